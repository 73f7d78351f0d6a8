//! How are keys served over HTTP? `GET`, `PUT`, `DELETE /v1/{key}`, many at once, and tags.
//!
//! The walk of a request: `strict` refuses heads that can be read in two ways, hyper parses the
//! rest, `target` names what the path means, `conditions` what the client insists on, `answer`
//! asks the service, `reply` writes the outcome down.

mod answer;
mod bodies;
mod conditions;
mod many;
mod refused;
pub(crate) mod reply;
mod strict;
pub(crate) mod target;

pub(crate) use answer::allowed;

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures_util::TryFutureExt;
use futures_util::future::{Either, ready};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::connections::Crowded;
use crate::service;
use crate::shutdown::Shutdown;
use reply::Body;
use strict::{MAX_HEAD, MAX_HEADERS, Strict};

pub use bodies::Bodies;

/// From the end of an answer to the end of the next head: how long a connection may idle, and how
/// slowly a head may come.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Whoever is turned away has so long to take the words.
const TURNED_AWAY: Duration = Duration::from_millis(500);
/// What hyper buffers of one connection, in either direction; a whole head fits.
const MAX_BUFFER: usize = 2 * MAX_HEAD;

/// Serves one connection until its client leaves, or until its request in progress is answered
/// after a shutdown was asked for.
pub async fn serve_connection(service: service::Service, stream: TcpStream, shutdown: Shutdown, bodies: Bodies) {
    // A connection that is gone already has no address: its first read says so.
    let peer = stream.peer_addr().ok().map(|address| service.peer(address.ip()));
    let answer = service_fn(move |request| {
        let (service, bodies) = (service.clone(), bodies.clone());
        async move { Ok::<_, Infallible>(answer::answer(&service, &bodies, peer, request).await) }
    });
    drive(stream, answer, &shutdown, HEAD_TIMEOUT).await;
}

/// Tells a client that there is no place for it; whether it hears us or not, it has to go.
pub(crate) async fn turn_away(mut stream: TcpStream, crowded: Crowded) {
    let body = format!("{{\"error\":\"{}\"}}\n", crowded.words());
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n";
    let words = format!("{head}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let _ = tokio::time::timeout(TURNED_AWAY, stream.write_all(words.as_bytes())).await;
}

/// One connection under the limits of every HTTP listener here; it may idle, or take for a head, as
/// long as `patience`.
pub(crate) async fn drive<S>(stream: TcpStream, answer: S, shutdown: &Shutdown, patience: Duration)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    // What `strict` refused comes as a request that says why.
    let answer = service_fn(|request: Request<Incoming>| match refused::answer(&request) {
        Some(refusal) => Either::Left(ready(Ok(refusal))),
        None => Either::Right(answer.call(request).map_ok(|response| match shutdown.is_leaving() {
            true => reply::closing(response),
            false => response,
        })),
    });
    let _in_flight = shutdown.guard();
    // Fails on a connection that is gone already: the first read says so.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER)
        // Who has sent all may close that side and still gets the answer.
        .half_close(true)
        .serve_connection(TokioIo::new(Strict::new(stream)), answer);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}
