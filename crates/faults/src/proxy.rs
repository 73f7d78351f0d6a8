//! How is a proxy started, made to misbehave, and ended?

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::connection::{Shared, carry};
use crate::counts::{Counts, Tally, add};
use crate::fault::{Direction, Ending, Faults};

/// Connections at once; more are closed at once.
const MAX_CONNECTIONS: usize = 4_096;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// A server that does not accept by then is unreachable.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// After an accept that failed for lack of descriptors.
const PAUSE: Duration = Duration::from_millis(10);

type Live = Mutex<HashMap<u64, oneshot::Sender<Ending>>>;

/// A proxy in front of one server. It and its connections end when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    upstream: SocketAddr,
    shared: Arc<Shared>,
    live: Arc<Live>,
    next: Arc<AtomicU64>,
    accepting: Mutex<Option<JoinHandle<()>>>,
    /// Bound to the port and never listening, so that nobody else gets it while connections are refused.
    _holder: TcpSocket,
}

impl Proxy {
    /// Listens on a free loopback port in front of `upstream`; nothing is wrong at first. `seed` decides what chance does.
    pub async fn start(upstream: SocketAddr, seed: u64) -> io::Result<Proxy> {
        let holder = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = holder.local_addr()?;
        let (to_server, to_client) = (watch::Sender::new(Faults::NONE), watch::Sender::new(Faults::NONE));
        let proxy = Proxy {
            address,
            upstream,
            shared: Arc::new(Shared { seed, tally: Tally::default(), to_server, to_client }),
            live: Arc::default(),
            next: Arc::default(),
            accepting: Mutex::default(),
            _holder: holder,
        };
        proxy.admit().await?;
        Ok(proxy)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is wrong with one direction from now on. What has been read keeps its delay.
    pub fn set(&self, direction: Direction, faults: Faults) {
        self.shared.faults(direction).send_replace(faults);
    }

    /// What is wrong with both directions from now on.
    pub fn set_both(&self, faults: Faults) {
        for direction in Direction::BOTH {
            self.set(direction, faults);
        }
    }

    /// Nothing is wrong from now on.
    pub fn calm(&self) {
        self.set_both(Faults::NONE);
    }

    /// Ends every connection; says how many there were. New ones are taken as before.
    pub fn cut(&self, ending: Ending) -> usize {
        let all: Vec<_> = lock(&self.live).drain().map(|(_, told)| told).collect();
        // An error: it ended by itself this moment.
        let ended = all.into_iter().filter_map(|told| told.send(ending).ok()).count();
        add(&self.shared.tally.cuts, ended as u64);
        if ending == Ending::Reset {
            add(&self.shared.tally.resets, ended as u64);
        }
        ended
    }

    /// From now on nobody listens: the kernel refuses connections. Those that are carried go on; those it
    /// has not looked at yet are reset.
    pub async fn refuse(&self) {
        let accepting = lock(&self.accepting).take();
        if let Some(accepting) = accepting {
            accepting.abort();
            // Until it is gone, and with it the listener; an error says that it was aborted.
            let _ = accepting.await;
        }
    }

    /// Connections are taken again.
    pub async fn admit(&self) -> io::Result<()> {
        self.refuse().await;
        let listener = bound(self.address)?.listen(BACKLOG)?;
        let (shared, live, next) = (Arc::clone(&self.shared), Arc::clone(&self.live), Arc::clone(&self.next));
        let accepting = tokio::spawn(accept(listener, self.upstream, shared, live, next));
        *lock(&self.accepting) = Some(accepting);
        Ok(())
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        self.shared.tally.read()
    }

    /// Connections at this moment.
    pub fn live(&self) -> usize {
        lock(&self.live).len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = lock(&self.accepting).take() {
            accepting.abort();
        }
        // Whoever is not told any more is reset.
        lock(&self.live).clear();
    }
}

/// A socket at `address` that shares it with one that does not listen.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    shared: Arc<Shared>,
    live: Arc<Live>,
    next: Arc<AtomicU64>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let number = next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        {
            let mut live = lock(&live);
            if live.len() >= MAX_CONNECTIONS {
                continue;
            }
            live.insert(number, tell);
        }
        let (shared, live) = (Arc::clone(&shared), Arc::clone(&live));
        tokio::spawn(async move {
            connect(&shared, number, client, upstream, told).await;
            lock(&live).remove(&number);
        });
    }
}

async fn connect(
    shared: &Shared,
    number: u64,
    client: TcpStream,
    upstream: SocketAddr,
    told: oneshot::Receiver<Ending>,
) {
    let Ok(Ok(server)) = timeout(CONNECT_LIMIT, TcpStream::connect(upstream)).await else {
        add(&shared.tally.unreachable, 1);
        // Fails only for a client that has gone.
        let _ = client.set_zero_linger();
        return;
    };
    add(&shared.tally.connections, 1);
    // Small pieces shall travel as small pieces; without it they are only slower.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    carry(shared, number, client, server, told).await;
}
