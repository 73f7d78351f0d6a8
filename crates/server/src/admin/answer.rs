//! Which page is asked for, and may it be seen?

use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::guard::{Guard, Refused};
use super::pages::Page;
use super::{announce, dlq, explain, forecast, heat, metrics, page, penetration, warm};
use crate::connections::Connections;
use crate::face::http::reply::{self, Body};
use crate::face::http::target::decoded;
use crate::service::{NO_KEY, Service};
use crate::shutdown::Shutdown;

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
fn probed<B: hyper::body::Body>(admin: &Admin, request: &Request<B>) -> Option<Response<Body>> {
    let (page @ (Page::Live | Page::Ready), _) = Page::of(request.uri().path())? else { return None };
    if let Some(refused) = asked_wrongly(page, request) {
        return Some(refused);
    }
    let readiness = admin.service.readiness();
    Some(match page {
        Page::Live => text_page(StatusCode::OK, TEXT, "alive\n".to_owned()),
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
    let uri = request.uri().clone();
    let Some((page, name)) = Page::of(uri.path()) else {
        let reads = Page::Index.allows(request.method());
        return if reads { no_page() } else { reply::method_not_allowed(Page::Index.methods()) };
    };
    if let Some(refused) = asked_wrongly(page, &request) {
        return refused;
    }
    // A space is named as it is.
    let key = name.filter(|_| page != Page::Keys).map(|key| decoded(key).ok().filter(|key| !key.is_empty()));
    if key == Some(None) {
        return reply::error(StatusCode::BAD_REQUEST, NO_KEY, None, None);
    }
    let key = key.flatten().unwrap_or_default();
    let query = uri.query();
    match page {
        Page::Index => index(admin),
        Page::Metrics => match metrics::text(service, admin.connections.clone()) {
            Ok(text) => text_page(StatusCode::OK, OPENMETRICS, text),
            Err(_) => reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written", None, None),
        },
        Page::Origins => reply::json(StatusCode::OK, service.describe_origins().to_string()),
        Page::Explain => explained(service, &key).await,
        Page::Hotkeys => listed(service, query, heat::hot),
        Page::Bigkeys => listed(service, query, heat::big),
        Page::Announced => announce::list(service),
        Page::Announce if request.method() == Method::DELETE => announce::withdraw(service, &key).await,
        Page::Announce => announce::announce(service, &key, query).await,
        Page::Forecast => reply::view(&forecast::forecast(service)),
        Page::Hotlist => text_page(StatusCode::OK, TEXT, service.hot_list()),
        Page::Keys => keys_of(service, name.unwrap_or_default()).await,
        Page::Penetration => reply::json(StatusCode::OK, penetration::json(service).to_string()),
        Page::Dlq => reply::view(&dlq::list(service)),
        Page::DlqRetry => reply::view(&dlq::retry(service, name.map(|_| &key[..])).await),
        Page::DlqDrop => reply::view(&dlq::give_up(service, name.map(|_| &key[..]))),
        Page::Warm => warm::answer(service, request).await,
        // Answered before anybody was asked for a password.
        Page::Live | Page::Ready => no_page(),
    }
}

/// A page that is asked for by another method than its own. What comes with that is not read.
fn asked_wrongly<B: hyper::body::Body>(page: Page, request: &Request<B>) -> Option<Response<Body>> {
    let refused = || reply::method_not_allowed(page.methods());
    match (page.allows(request.method()), request.body().is_end_stream()) {
        (true, _) => None,
        (false, true) => Some(refused()),
        (false, false) => Some(reply::closing(refused())),
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

/// The keys that a space's origin names.
async fn keys_of(service: &Service, space: &str) -> Response<Body> {
    match service.keys_of(space).await {
        Ok(keys) => text_page(StatusCode::OK, TEXT, keys),
        Err(unnamed) => warm::unnamed(space, &unnamed),
    }
}

/// What is known of a key, looked up on disk as well.
async fn explained(service: &Service, key: &[u8]) -> Response<Body> {
    match explain::json(service, key).await {
        Some(json) => reply::json(StatusCode::OK, json.to_string()),
        None => reply::error(StatusCode::NOT_FOUND, &explain::nowhere(service, key), None, None),
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

/// As many rows as the query asks for.
fn listed<T: Serialize>(
    service: &Service,
    query: Option<&str>,
    list: impl FnOnce(&Service, usize) -> T,
) -> Response<Body> {
    match heat::rows(query) {
        Ok(rows) => reply::view(&list(service, rows)),
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
