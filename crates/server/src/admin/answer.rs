//! Which page is asked for, and may it be seen?

use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;

use super::guard::{Guard, Refused};
use super::{announce, dlq, explain, forecast, heat, metrics, page, penetration, warm};
use crate::connections::Connections;
use crate::face::http::reply::{self, Body};
use crate::face::http::target::decoded;
use crate::service::Service;
use crate::shutdown::Shutdown;

/// What is owed to the shared tier; verbs and keys are below.
const DLQ: &str = "/api/dlq";
const RETRY: &str = "/api/dlq/retry";
/// A key that will be hot is below.
const ANNOUNCE: &str = "/api/hot/announce/";
const ANNOUNCED: &str = "/api/hot/announce";
/// Lists of the keys of a space's origin are below.
const KEYS: &str = "/api/keys/";
/// Explanations of keys are below.
const EXPLAIN: &str = "/api/explain/";
/// The origins' guards.
const ORIGINS: &str = "/api/origins";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
/// The share of traffic that the process is good for.
const WEIGHT: HeaderName = HeaderName::from_static("bellwether-weight");
/// Nothing is loaded, run, framed or sent anywhere.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// What the answers are made of.
pub(super) struct Admin {
    pub(super) service: Service,
    pub(super) guard: Guard,
    pub(super) shutdown: Shutdown,
    pub(super) connections: Connections,
}

/// Answers one request. Only what loads keys, looks on disk, tells the fleet, or tries again what is owed, waits.
pub(super) async fn answer(admin: &Admin, request: Request<Incoming>) -> Response<Body> {
    if let Some(key) = to_retry(admin, &request) {
        return retried(admin, key).await;
    }
    if let Some(key) = request.uri().path().strip_prefix(EXPLAIN)
        && matches!(*request.method(), Method::GET | Method::HEAD)
    {
        return dressed(match refused(admin, &request) {
            Some(refused) => refused,
            None => explained(admin, key).await,
        });
    }
    if let Some(key) = request.uri().path().strip_prefix(ANNOUNCE) {
        let query = request.uri().query();
        return dressed(match (refused(admin, &request), request.method()) {
            (Some(refused), _) => refused,
            (None, &Method::POST) => announce::announce(&admin.service, key, query).await,
            (None, &Method::DELETE) => announce::withdraw(&admin.service, key).await,
            (None, _) => reply::method_not_allowed("POST, DELETE"),
        });
    }
    let space = request.uri().path().strip_prefix(KEYS).map(str::to_owned);
    if space.is_none() && request.uri().path() != warm::PATH {
        return answer_now(admin, &request);
    }
    dressed(match (refused(admin, &request), space) {
        (Some(refused), _) => refused,
        (None, Some(_)) if request.method() != Method::GET => reply::method_not_allowed("GET"),
        (None, Some(space)) => match admin.service.keys_of(&space).await {
            Ok(keys) => text_page(StatusCode::OK, TEXT, keys),
            Err(unnamed) => warm::unnamed(&space, &unnamed),
        },
        (None, None) => warm::answer(&admin.service, request).await,
    })
}

fn answer_now<B>(admin: &Admin, request: &Request<B>) -> Response<Body> {
    dressed(match *request.method() {
        Method::GET | Method::HEAD => page_of(admin, request),
        Method::POST if changes(request.uri().path()) => page_of(admin, request),
        _ => reply::method_not_allowed("GET, HEAD"),
    })
}

/// Whether a path is one that changes something.
fn changes(path: &str) -> bool {
    path.starts_with(DLQ)
}

/// What this request wants tried again, if it wants that and may: a key by its name, or all that is owed.
fn to_retry<B>(admin: &Admin, request: &Request<B>) -> Option<Option<Vec<u8>>> {
    let key = request.uri().path().strip_prefix(RETRY).filter(|_| request.method() == Method::POST)?;
    admin.guard.check(request.headers()).ok()?;
    match key.strip_prefix('/') {
        Some(key) => decoded(key).ok().filter(|key| !key.is_empty()).map(|key| Some(key.to_vec())),
        None if key.is_empty() => Some(None),
        None => None,
    }
}

/// What was tried again, and what came of it.
async fn retried(admin: &Admin, key: Option<Vec<u8>>) -> Response<Body> {
    dressed(reply::json(StatusCode::OK, dlq::retry(&admin.service, key.as_deref()).await.to_string()))
}

fn dressed(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn page_of<B>(admin: &Admin, request: &Request<B>) -> Response<Body> {
    // A probe has no password and comes under any name; what it learns is no secret.
    match request.uri().path() {
        "/livez" => return text_page(StatusCode::OK, TEXT, "alive\n".to_owned()),
        "/readyz" if admin.shutdown.is_leaving() => {
            return text_page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".to_owned());
        }
        "/readyz" if !admin.service.readiness().ready => {
            let percent = (admin.service.readiness().warm * 100.0) as u32;
            let text = format!("warming up: {percent} % of what was read most is there\n");
            return text_page(StatusCode::SERVICE_UNAVAILABLE, TEXT, text);
        }
        // Without its tiers it serves all the same.
        "/readyz" => {
            let degraded = admin.service.degraded();
            let said = if degraded.is_empty() { String::new() } else { format!(", degraded: {}", degraded.join("; ")) };
            return weighed(admin, &format!("ready{said}\n"));
        }
        _ => {}
    }
    if let Some(refused) = refused(admin, request) {
        return refused;
    }
    match request.uri().path() {
        ANNOUNCED => announce::list(&admin.service),
        ORIGINS => reply::json(StatusCode::OK, admin.service.describe_origins().to_string()),
        path if path.starts_with(DLQ) => owed(admin, request.method(), &path[DLQ.len()..]),
        "/api/hotkeys" => listed(&admin.service, request.uri().query(), heat::hot),
        "/api/bigkeys" => listed(&admin.service, request.uri().query(), heat::big),
        "/api/hotlist" => text_page(StatusCode::OK, TEXT, admin.service.hot_list()),
        "/api/forecast" => reply::json(StatusCode::OK, forecast::json(&admin.service).to_string()),
        "/api/penetration" => reply::json(StatusCode::OK, penetration::json(&admin.service).to_string()),
        "/" => text_page(StatusCode::OK, HTML, page::index(&admin.service)),
        "/metrics" => match metrics::text(&admin.service, admin.connections.clone()) {
            Ok(text) => text_page(StatusCode::OK, OPENMETRICS, text),
            Err(_) => reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written", None, None),
        },
        _ => reply::error(StatusCode::NOT_FOUND, "no such page: see /", None, None),
    }
}

/// What is known of a key, looked up on disk as well.
async fn explained(admin: &Admin, key: &str) -> Response<Body> {
    match decoded(key) {
        Ok(key) if !key.is_empty() => match explain::json(&admin.service, &key).await {
            Some(json) => reply::json(StatusCode::OK, json.to_string()),
            None => reply::error(StatusCode::NOT_FOUND, &explain::nowhere(&admin.service, &key), None, None),
        },
        Ok(_) => reply::error(StatusCode::NOT_FOUND, "no such page: see /", None, None),
        Err(_) => reply::error(StatusCode::BAD_REQUEST, "no key of at most 4 KiB, percent-encoded", None, None),
    }
}

/// Who may not ask here is told so.
fn refused<B>(admin: &Admin, request: &Request<B>) -> Option<Response<Body>> {
    let refused = |words| Some(reply::error(StatusCode::FORBIDDEN, words, None, None));
    match admin.guard.check(request.headers()) {
        Ok(()) => None,
        Err(Refused::Password) => Some(reply::unauthorized()),
        Err(Refused::Host) => {
            refused("this host name is not ours: use localhost, the address of [listen] admin, or set a password")
        }
        Err(Refused::Origin) => refused("a page of another origin may not ask here"),
    }
}

/// `""` lists; `/retry` and `/drop` act on all, `/retry/KEY` and `/drop/KEY` on one key.
fn owed(admin: &Admin, method: &Method, path: &str) -> Response<Body> {
    let (verb, key) = match path.strip_prefix('/').unwrap_or(path).split_once('/') {
        Some((verb, key)) => match decoded(key) {
            Ok(key) if !key.is_empty() => (verb, Some(key)),
            _ => return reply::error(StatusCode::BAD_REQUEST, "no key, percent-encoded", None, None),
        },
        None => (path.trim_start_matches('/'), None),
    };
    let key = key.as_deref();
    let done = match (method, verb) {
        (&Method::POST, "drop") => dlq::give_up(&admin.service, key),
        (_, "retry" | "drop") => return reply::method_not_allowed("POST"),
        (&Method::POST, _) => return reply::method_not_allowed("GET, HEAD"),
        (_, "") if key.is_none() => dlq::list(&admin.service),
        _ => return reply::error(StatusCode::NOT_FOUND, "no such page: see /", None, None),
    };
    reply::json(StatusCode::OK, done.to_string())
}

/// As many rows as the query asks for.
fn listed(service: &Service, query: Option<&str>, list: impl FnOnce(&Service, usize) -> Value) -> Response<Body> {
    match heat::rows(query) {
        Ok(rows) => reply::json(StatusCode::OK, list(service, rows).to_string()),
        Err(words) => reply::error(StatusCode::BAD_REQUEST, &words, None, None),
    }
}

/// With the share of traffic that this process is good for, from 0.00 to 1.00: for load balancers that can shift it.
fn weighed(admin: &Admin, text: &str) -> Response<Body> {
    let mut response = text_page(StatusCode::OK, TEXT, text.to_owned());
    let weight = format!("{:.2}", admin.service.readiness().weight);
    let weight = HeaderValue::try_from(weight).expect("digits and a point are a header value");
    response.headers_mut().insert(WEIGHT, weight);
    response
}

fn text_page(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
