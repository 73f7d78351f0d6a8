//! Which page is asked for, and may it be seen?

use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::guard::{Guard, Refused};
use super::{announce, dlq, explain, forecast, metrics, page};
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
/// Explanations of keys are below.
const EXPLAIN: &str = "/api/explain/";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
/// Nothing is loaded, run, framed or sent anywhere.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// What the answers are made of.
pub(super) struct Admin {
    pub(super) service: Service,
    pub(super) guard: Guard,
    pub(super) shutdown: Shutdown,
    pub(super) connections: Connections,
}

/// Answers one request. Nothing here waits.
pub(super) fn answer<B>(admin: &Admin, request: &Request<B>) -> Response<Body> {
    dressed(match *request.method() {
        Method::GET | Method::HEAD => page_of(admin, request),
        Method::POST if changes(request.uri().path()) => page_of(admin, request),
        _ => reply::method_not_allowed("GET, HEAD"),
    })
}

/// Whether a path is one that changes something.
fn changes(path: &str) -> bool {
    path.starts_with(DLQ) || path.starts_with(ANNOUNCE)
}

/// What this request wants tried again, if it wants that and may: a key by its name, or all that is owed. The one
/// thing that is waited for: what comes of it is the answer.
pub(super) fn to_retry<B>(admin: &Admin, request: &Request<B>) -> Option<Option<Vec<u8>>> {
    let key = request.uri().path().strip_prefix(RETRY).filter(|_| request.method() == Method::POST)?;
    admin.guard.check(request.headers()).ok()?;
    match key.strip_prefix('/') {
        Some(key) => decoded(key).ok().filter(|key| !key.is_empty()).map(|key| Some(key.to_vec())),
        None if key.is_empty() => Some(None),
        None => None,
    }
}

/// What was tried again, and what came of it.
pub(super) async fn retried(admin: &Admin, key: Option<Vec<u8>>) -> Response<Body> {
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
        // Without its tiers it serves all the same.
        "/readyz" => {
            let degraded = admin.service.degraded();
            let said = if degraded.is_empty() { String::new() } else { format!(", degraded: {}", degraded.join("; ")) };
            return text_page(StatusCode::OK, TEXT, format!("ready{said}\n"));
        }
        _ => {}
    }
    let refused = |words| reply::error(StatusCode::FORBIDDEN, words, None, None);
    match admin.guard.check(request.headers()) {
        Ok(()) => {}
        Err(Refused::Password) => return reply::unauthorized(),
        Err(Refused::Host) => {
            return refused(
                "this host name is not ours: use localhost, the address of [listen] admin, or set a password",
            );
        }
        Err(Refused::Origin) => return refused("a page of another origin may not ask here"),
    }
    match request.uri().path() {
        path if path.starts_with(ANNOUNCE) && *request.method() != Method::POST => reply::method_not_allowed("POST"),
        path if path.starts_with(ANNOUNCE) => {
            announce::announce(&admin.service, &path[ANNOUNCE.len()..], request.uri().query())
        }
        path if path.starts_with(DLQ) => owed(admin, request.method(), &path[DLQ.len()..]),
        "/api/forecast" => reply::json(StatusCode::OK, forecast::json(&admin.service).to_string()),
        "/" => text_page(StatusCode::OK, HTML, page::index(&admin.service)),
        "/metrics" => match metrics::text(&admin.service, admin.connections.clone()) {
            Ok(text) => text_page(StatusCode::OK, OPENMETRICS, text),
            Err(_) => reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written", None, None),
        },
        path => match path.strip_prefix(EXPLAIN).map(decoded) {
            Some(Ok(key)) if !key.is_empty() => match explain::json(&admin.service, &key) {
                Some(json) => reply::json(StatusCode::OK, json.to_string()),
                None => reply::error(StatusCode::NOT_FOUND, &explain::nowhere(&admin.service, &key), None, None),
            },
            Some(Err(_)) => {
                reply::error(StatusCode::BAD_REQUEST, "no key of at most 4 KiB, percent-encoded", None, None)
            }
            _ => reply::error(StatusCode::NOT_FOUND, "no such page: see /", None, None),
        },
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

fn text_page(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
