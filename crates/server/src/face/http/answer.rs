//! What is the answer to one request? Who asks, what for, with which method: then the service.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderMap, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, StatusCode};

use super::bodies::Bodies;
use super::conditions::{Insists, priority};
use super::many;
use super::reply::{self, Body};
use super::target::{Lost, TagMode, Target};
use crate::config::Secret;
use crate::service::{Peer, Service, Terms, WriteTerms};
use crate::telemetry;

/// Answers one request. The future is small: whatever waits is boxed.
pub(super) async fn answer(
    service: &Service,
    bodies: &Bodies,
    peer: Option<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    // A body that says itself where it ends is framed by the parser alone: nothing is read behind it.
    let last = request.headers().contains_key(TRANSFER_ENCODING);
    let response = match allowed(service.password(), request.headers()) {
        true => routed(service, bodies, peer, request).await,
        false => reply::closing(reply::unauthorized()),
    };
    if last { reply::closing(response) } else { response }
}

/// Whether the request knows the password, if there is one.
pub(crate) fn allowed(password: Option<&Secret>, headers: &HeaderMap) -> bool {
    let Some(password) = password else { return true };
    let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).and_then(|line| {
        let (scheme, token) = line.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
    });
    given.is_some_and(|token| password.matches(token))
}

async fn routed(service: &Service, bodies: &Bodies, peer: Option<Peer>, request: Request<Incoming>) -> Response<Body> {
    let target = match Target::of(request.uri().path(), request.uri().query()) {
        Ok(target) => target,
        Err(lost) => {
            if lost == Lost::TooLong {
                service.count_too_long();
            }
            return reply::lost(lost);
        }
    };
    match (target, request.method()) {
        (Target::Key(key), &Method::GET | &Method::HEAD) => read(service, key, peer, request.headers()).await,
        (Target::Key(key), &Method::PUT) => Box::pin(write(service, bodies, &key, request)).await,
        (Target::Key(key), &Method::DELETE) => {
            let service = service.collecting();
            match service.remove(&key) {
                Ok(_) => told(&service).await,
                Err(refusal) => reply::refusal(&refusal, &key),
            }
        }
        (Target::Key(_), _) => reply::method_not_allowed(reply::KEY_METHODS),
        (Target::Many, &Method::POST) => Box::pin(read_many(service, bodies, peer, request)).await,
        (Target::Many, _) => reply::method_not_allowed("POST"),
        (Target::Tag(tag, mode), &Method::DELETE) => {
            match mode {
                TagMode::Remove => service.tag_remove(tag.as_bytes()),
                TagMode::Expire => service.tag_expire(tag.as_bytes()),
            }
            reply::done()
        }
        (Target::Tag(..), _) => reply::method_not_allowed("DELETE"),
    }
}

/// Answers a change once it is known wherever it must be.
async fn told(service: &Service) -> Response<Body> {
    let Some(telling) = service.telling() else { return reply::done() };
    if Box::pin(telling.done()).await.queued { reply::queued() } else { reply::done() }
}

async fn read(service: &Service, key: Bytes, peer: Option<Peer>, asked: &HeaderMap) -> Response<Body> {
    let (insists, now) = (Insists::of(asked), service.now());
    let priority = match priority(asked) {
        Ok(priority) => priority,
        Err(wrong) => return reply::error(StatusCode::BAD_REQUEST, &wrong, None, None),
    };
    if insists == Insists::default()
        && let Some(hit) = service.hit(&key)
    {
        return reply::value(&hit, asked);
    }
    let terms = Terms { demand: insists.demand(), priority, peer, ..Terms::asked(now) };
    let outcome = Box::pin(service.read(key.clone(), terms)).await;
    let response = reply::outcome(&outcome, &key, insists, asked);
    tracing::debug!(key = %telemetry::key(&key), status = response.status().as_u16(), "read over HTTP");
    response
}

/// Whether the body is something else than its bytes.
fn is_encoded(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONTENT_ENCODING).iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| !coding.trim_ascii().is_empty() && !coding.trim_ascii().eq_ignore_ascii_case(b"identity"))
}

async fn read_many(
    service: &Service,
    bodies: &Bodies,
    peer: Option<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    if is_encoded(request.headers()) {
        return reply::encoded();
    }
    let insists = Insists::of(request.headers());
    let priority = match priority(request.headers()) {
        Ok(priority) => priority,
        Err(wrong) => return reply::closing(reply::error(StatusCode::BAD_REQUEST, &wrong, None, None)),
    };
    let body = match bodies.whole(request.into_body()).await {
        Ok(body) => body,
        Err(unread) => return unread.reply(),
    };
    let keys = match many::keys(&body) {
        Ok(keys) => keys,
        Err(expected) => return reply::error(StatusCode::BAD_REQUEST, &expected, None, None),
    };
    drop(body);
    let terms = Terms { demand: insists.demand(), priority, peer, ..Terms::asked(service.now()) };
    let wanted = keys.iter().map(|key| Bytes::copy_from_slice(key.as_bytes())).collect();
    many::answer(&keys, &service.read_many(wanted, terms).await, insists, bodies.going())
}

async fn write(service: &Service, bodies: &Bodies, key: &[u8], request: Request<Incoming>) -> Response<Body> {
    // Said before a body is sent, to those who wait for a 100.
    if let Err(refusal) = service.writable(key) {
        return reply::refusal(&refusal, key);
    }
    // Readers would get the bytes without the word that says what they are.
    if is_encoded(request.headers()) {
        return reply::encoded();
    }
    let body = match bodies.whole(request.into_body()).await {
        Ok(body) => body,
        Err(unread) => return unread.reply(),
    };
    let service = service.collecting();
    match service.write(key, &body, WriteTerms::default()) {
        Ok(_) => told(&service).await,
        Err(refusal) => reply::refusal(&refusal, key),
    }
}
