//! Which page is asked for, and may it be seen?

use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
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
/// A key that will be hot is below.
const ANNOUNCE: &str = "/api/hot/announce/";
const ANNOUNCED: &str = "/api/hot/announce";
/// Lists of the keys of a space's origin are below.
const KEYS: &str = "/api/keys/";
/// Explanations of keys are below.
const EXPLAIN: &str = "/api/explain/";
/// The origins' guards.
const ORIGINS: &str = "/api/origins";
/// How a page is asked for that changes nothing.
const READS: &str = "GET, HEAD";
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

/// Answers one request. Who may not ask is turned away here, whatever is asked for.
pub(super) async fn answer(admin: &Admin, request: Request<Incoming>) -> Response<Body> {
    dressed(match probed(admin, &request) {
        Some(probe) => probe,
        None => match refused(admin, &request) {
            Some(refused) => refused,
            None => page_of(admin, request).await,
        },
    })
}

/// What a probe is told, who has no password and comes under any name: what it learns is no secret.
fn probed<B>(admin: &Admin, request: &Request<B>) -> Option<Response<Body>> {
    let path = request.uri().path();
    if !matches!(path, "/livez" | "/readyz") {
        return None;
    }
    if !reads(request.method()) {
        return Some(reply::method_not_allowed(READS));
    }
    let readiness = admin.service.readiness();
    Some(match path {
        "/livez" => text_page(StatusCode::OK, TEXT, "alive\n".to_owned()),
        _ if admin.shutdown.is_leaving() => text_page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".to_owned()),
        _ if !readiness.ready => {
            let percent = (readiness.warm * 100.0) as u32;
            let text = format!("warming up: {percent} % of what was read most is there\n");
            text_page(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
        }
        // Without its tiers it serves all the same.
        _ => {
            let degraded = admin.service.degraded();
            let said = if degraded.is_empty() { String::new() } else { format!(", degraded: {}", degraded.join("; ")) };
            weighed(admin, &format!("ready{said}\n"))
        }
    })
}

fn dressed(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    // The page has one of its own.
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The page that is asked for, for who may see it. Only what loads keys, looks on disk, tells the fleet, or tries again what
/// is owed, waits.
async fn page_of(admin: &Admin, request: Request<Incoming>) -> Response<Body> {
    let service = &admin.service;
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let (path, query) = (uri.path(), uri.query());
    if path == warm::PATH {
        return warm::answer(service, request).await;
    }
    if let Some(key) = path.strip_prefix(ANNOUNCE) {
        return match method {
            Method::POST => announce::announce(service, key, query).await,
            Method::DELETE => announce::withdraw(service, key).await,
            _ => reply::method_not_allowed("POST, DELETE"),
        };
    }
    if let Some(below) = path.strip_prefix(DLQ) {
        return owed(service, &method, below).await;
    }
    if let Some(space) = path.strip_prefix(KEYS) {
        return match method {
            Method::GET => keys_of(service, space).await,
            _ => reply::method_not_allowed("GET"),
        };
    }
    if !reads(&method) {
        return reply::method_not_allowed(READS);
    }
    if let Some(key) = path.strip_prefix(EXPLAIN) {
        return explained(service, key).await;
    }
    match path {
        ANNOUNCED => announce::list(service),
        ORIGINS => reply::json(StatusCode::OK, service.describe_origins().to_string()),
        "/api/hotkeys" => listed(service, query, heat::hot),
        "/api/bigkeys" => listed(service, query, heat::big),
        "/api/hotlist" => text_page(StatusCode::OK, TEXT, service.hot_list()),
        "/api/forecast" => reply::json(StatusCode::OK, forecast::json(service).to_string()),
        "/api/penetration" => reply::json(StatusCode::OK, penetration::json(service).to_string()),
        "/" => index(admin),
        "/metrics" => match metrics::text(service, admin.connections.clone()) {
            Ok(text) => text_page(StatusCode::OK, OPENMETRICS, text),
            Err(_) => reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written", None, None),
        },
        _ => no_page(),
    }
}

/// The page for people.
fn index(admin: &Admin) -> Response<Body> {
    let (page, word) = page::index(&admin.service, admin.shutdown.is_leaving());
    let mut response = text_page(StatusCode::OK, HTML, page);
    let policy = HeaderValue::try_from(format!("{POLICY}; style-src 'nonce-{word}'"));
    let policy = policy.expect("letters, digits and quotes are a header value");
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

fn no_page() -> Response<Body> {
    reply::error(StatusCode::NOT_FOUND, "no such page: see /", None, None)
}

/// Whether it asks, and changes nothing.
fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The keys that a space's origin names.
async fn keys_of(service: &Service, space: &str) -> Response<Body> {
    match service.keys_of(space).await {
        Ok(keys) => text_page(StatusCode::OK, TEXT, keys),
        Err(unnamed) => warm::unnamed(space, &unnamed),
    }
}

/// What is known of a key, looked up on disk as well.
async fn explained(service: &Service, key: &str) -> Response<Body> {
    match decoded(key) {
        Ok(key) if !key.is_empty() => match explain::json(service, &key).await {
            Some(json) => reply::json(StatusCode::OK, json.to_string()),
            None => reply::error(StatusCode::NOT_FOUND, &explain::nowhere(service, &key), None, None),
        },
        Ok(_) => no_page(),
        Err(_) => reply::error(StatusCode::BAD_REQUEST, crate::service::NO_KEY, None, None),
    }
}

/// Who may not ask here is told so.
fn refused<B>(admin: &Admin, request: &Request<B>) -> Option<Response<Body>> {
    let refused = |words| Some(reply::error(StatusCode::FORBIDDEN, words, None, None));
    match admin.guard.check(request.headers()) {
        Ok(()) => None,
        Err(Refused::Password) => {
            let mut response = reply::unauthorized();
            // So that a browser asks whoever sits before it.
            response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Bellwether\""));
            Some(response)
        }
        Err(Refused::Host) => {
            refused("this host name is not ours: use localhost, the address of [listen] admin, or set a password")
        }
        Err(Refused::Origin) => refused("a page of another origin may not ask here"),
    }
}

/// `""` lists; `/retry` and `/drop` act on all, `/retry/KEY` and `/drop/KEY` on one key.
async fn owed(service: &Service, method: &Method, path: &str) -> Response<Body> {
    let (verb, key) = match path.strip_prefix('/').unwrap_or(path).split_once('/') {
        Some((verb, key)) => match decoded(key) {
            Ok(key) if !key.is_empty() => (verb, Some(key)),
            _ => return reply::error(StatusCode::BAD_REQUEST, "no key, percent-encoded", None, None),
        },
        None => (path.trim_start_matches('/'), None),
    };
    let key = key.as_deref();
    let done = match (method, verb) {
        (&Method::POST, "retry") => dlq::retry(service, key).await,
        (&Method::POST, "drop") => dlq::give_up(service, key),
        (_, "retry" | "drop") => return reply::method_not_allowed("POST"),
        (method, _) if !reads(method) => return reply::method_not_allowed(READS),
        (_, "") if key.is_none() => dlq::list(service),
        _ => return no_page(),
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
