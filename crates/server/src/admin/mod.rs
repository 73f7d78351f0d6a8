//! What is going on? Metrics, health and explanations, on a listener of its own that no load reaches.

mod announce;
mod answer;
mod came;
mod dlq;
mod explain;
mod family;
mod forecast;
mod guard;
mod guards;
mod heat;
mod metrics;
mod page;
mod pages;
mod penetration;
pub mod view;
mod warm;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use tokio::net::TcpListener;

use crate::connections::{Connections, Face};
use crate::face::http::drive;
use crate::service::Service;
use crate::shutdown::Shutdown;
use answer::Admin;
pub use came::{Came, came};
use guard::Guard;
pub use pages::Page;

/// Connections at once: people, a scraper or two, and probes.
const MAX_CONNECTIONS: usize = 128;
/// As long as a connection may idle, or take for a head. Short, since places are few: whoever fills
/// them with half requests must not keep probes out for a minute. A scraper that idles comes anew.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failed accept, such as no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers on `listener` for as long as its runtime lives, also while a shutdown drains, so that
/// `/readyz` can say so. Call it once every listener is bound: it says ready from its first answer
/// on. It needs a thread and a runtime of its own: it must answer when nothing else does.
pub async fn serve(service: Service, listener: TcpListener, shutdown: Shutdown, connections: Connections) {
    // An address that can't be told matches no Host: only loopback names are left.
    let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
    let guard = Guard::new(address, service.password().cloned());
    let admin = Arc::new(Admin { service, guard, shutdown, connections });
    // The drain waits for requests of the other faces, never for a scraper.
    let never = Shutdown::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if admin.connections.open(Face::Admin) >= MAX_CONNECTIONS {
            continue;
        }
        let (admin, never, open) = (admin.clone(), never.clone(), admin.connections.accept(Face::Admin));
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let admin = admin.clone();
                async move { Ok::<_, Infallible>(answer::answer(&admin, request).await) }
            });
            drive(stream, answer, &never, HEAD_TIMEOUT).await;
            drop(open);
        });
    }
}
