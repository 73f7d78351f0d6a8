//! How is one process of a naive fleet run? It says where it listens, as `bellwether serve` does, and serves until it
//! is killed.

mod cache;
mod store;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::control::flaw::FleetFlaw;
use crate::control::fleet::cache::{Cache, Shared};
pub use crate::control::fleet::store::Nodes;
use crate::control::serve::accept;

/// Serves over the engine at `nodes`, reading through to `origin`, until the process ends.
pub async fn serve(flaw: FleetFlaw, origin: SocketAddr, nodes: Nodes) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let mut out = io::stdout().lock();
    writeln!(out, "listening redis {address}\nready")?;
    out.flush()?;
    drop(out);
    accept(listener, Arc::new(Cache(Arc::new(Shared::new(flaw, origin, nodes))))).await;
    Ok(())
}
