//! Can a drill fail at all? Read-through servers with the faults that real caches have.
//!
//! Each is written the way such code is written in good faith; none is of use for anything else.

mod cache;
mod flaw;
mod fleet;
mod flights;
mod serve;
mod upstream;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use cache::Cache;
pub use flaw::{Flaw, FleetFlaw};
pub use fleet::{Nodes, serve as serve_fleet};

/// A running control; its tasks end when it is dropped.
pub(crate) struct Control {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Control {
    /// Listens on a free port of this machine.
    pub(crate) fn start(flaw: Flaw, origin: SocketAddr) -> io::Result<Control> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let cache = Arc::new(Cache::new(flaw, origin));
        let accepting = tokio::spawn(serve::accept(listener, cache));
        Ok(Control { address, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
