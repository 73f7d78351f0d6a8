//! How do connections come in, and who gets them?

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;

use super::files::allow_open_files;
use crate::shutdown::Shutdown;

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: u32 = 4096;
/// After a failed accept (no file descriptors left): a pause instead of a hot loop.
const PAUSE: Duration = Duration::from_millis(50);
/// File descriptors wanted: every client of either face, origins and files besides.
const FILES: u64 = 32_768;
/// Clients that every machine should have room for; below, a warning says so.
const ENOUGH: u64 = 1_000;
/// File descriptors that no client gets: origins, listeners, admin pages, the runtimes' own.
const RESERVED: u64 = 256;
/// Failed accepts are told this often at most.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A listener on `address`. Called inside a runtime.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for connections of the last run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What to do about an address that can't be listened on.
pub(super) fn hint(error: &io::Error, face: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another process listens there: stop it, or change `{face}` in [listen] or by \
                 BELLWETHER__LISTEN__{}=127.0.0.1:0 (port 0 takes any that is free)",
                face.to_uppercase()
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need special rights: change `{face}` in [listen]")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address: change `{face}` in [listen], e.g. to 127.0.0.1")
        }
        _ => format!("change `{face}` in [listen]"),
    }
}

/// Asks for as many file descriptors as clients may need, as far as the system lets us. Returns for
/// how many clients there are enough, when what origins, listeners and the admin pages need is set aside.
pub(super) fn room_for_clients() -> usize {
    let files = allow_open_files(FILES);
    let room = files.saturating_sub(RESERVED).max(1);
    if room < ENOUGH {
        tracing::warn!(
            files,
            clients = room,
            "few files may be open at once: fewer clients are let in; raise `ulimit -n`"
        );
    }
    usize::try_from(room).unwrap_or(usize::MAX)
}

/// One listener's connections, dealt out to the cores one by one. `SO_REUSEPORT` would leave it to a
/// hash, and a few long-lived connections on one core.
pub(super) struct Accept {
    listener: TcpListener,
    over: HandOver,
}

/// Who gets the next connection.
struct HandOver {
    cores: Vec<Handle>,
    next: usize,
    shutdown: Shutdown,
}

impl Accept {
    pub(super) fn new(listener: TcpListener, cores: Vec<Handle>, shutdown: Shutdown) -> Accept {
        Accept { listener, over: HandOver { cores, next: 0, shutdown } }
    }

    /// Hands each connection to `serve`, on its core, until the server stops. What the kernel has
    /// taken on by then is still served: its clients believe to be connected.
    pub(super) async fn run<S, F>(self, serve: S)
    where
        S: Fn(TcpStream) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Accept { listener, mut over } = self;
        let shutdown = over.shutdown.clone();
        let mut told: Option<Instant> = None;
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => over.hand_over(stream.into_std(), &serve),
                    Err(error) => {
                        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                            told = Some(Instant::now());
                            tracing::warn!(%error, "can't accept a connection");
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                () = shutdown.requested() => break,
            }
        }
        // The kernel itself is asked: the runtime knows only of what it was told already.
        let Ok(listener) = listener.into_std() else { return };
        // As many as it keeps: whoever comes later is not waited for.
        for _ in 0..=BACKLOG {
            let Ok((stream, _)) = listener.accept() else { return };
            over.hand_over(stream.set_nonblocking(true).map(|()| stream), &serve);
        }
    }
}

impl HandOver {
    /// Only a socket that is broken already comes as an error, or can't be handed over.
    fn hand_over<S, F>(&mut self, stream: io::Result<std::net::TcpStream>, serve: &S)
    where
        S: Fn(TcpStream) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(core) = self.cores.get(self.next) else { return };
        self.next = (self.next + 1) % self.cores.len();
        let Ok(stream) = stream else { return };
        let (serve, guard) = (serve.clone(), self.shutdown.guard());
        core.spawn(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%error, "a connection can't be served"),
            }
            drop(guard);
        });
    }
}
