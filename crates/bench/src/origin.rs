//! Where do HTTP caches get their values? An origin that answers every path with one KiB, and counts.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::wire::value;

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: u64 = 64;
/// Between two looks for a connection or for the end.
const PAUSE: Duration = Duration::from_millis(2);
/// A connection on which nothing comes for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// An origin; ends with this value.
pub(crate) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answered: AtomicU64,
    open: AtomicU64,
    over: AtomicBool,
}

impl Origin {
    pub(crate) fn start() -> io::Result<Origin> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let origin = Origin { address: listener.local_addr()?, shared: Arc::default() };
        let shared = origin.shared.clone();
        thread::Builder::new().name("origin".to_owned()).spawn(move || accept(&listener, &shared))?;
        Ok(origin)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Requests so far.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.over.load(Ordering::Relaxed) {
        let room = shared.open.load(Ordering::Relaxed) < MAX_CONNECTIONS;
        let Some((stream, _)) = room.then(|| listener.accept().ok()).flatten() else {
            thread::sleep(PAUSE);
            continue;
        };
        let shared = shared.clone();
        shared.open.fetch_add(1, Ordering::Relaxed);
        thread::spawn(move || {
            // The cache that asks hears of a broken connection by itself.
            let _ = serve(stream, &shared);
            shared.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Answers one request after another; those of caches have no body.
fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    let body = value();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nCache-Control: max-age=3600\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (mut buffer, mut held) = ([0; 4096], Vec::new());
    while !shared.over.load(Ordering::Relaxed) {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        held.extend_from_slice(&buffer[..read]);
        if held.len() > 64 << 10 {
            return Ok(());
        }
        while let Some(end) = memchr::memmem::find(&held, b"\r\n\r\n") {
            held.drain(..end + 4);
            shared.answered.fetch_add(1, Ordering::Relaxed);
            stream.write_all(answer.as_bytes())?;
        }
    }
    Ok(())
}
