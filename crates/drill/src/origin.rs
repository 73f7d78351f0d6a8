//! What did the origin really see, and how does it behave: slow, failing, hanging, talking nonsense?

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

/// A hanging origin lets go after this, so that no connection outlives its drill for long.
const HANG_LIMIT: Duration = Duration::from_secs(30);
/// Bytes of one request's head.
const MAX_HEAD: u64 = 16 * 1024;
/// Connections at once; more are closed at once. Far above what any server under test may open.
const MAX_CONNECTIONS: usize = 4_096;
/// Paths that are remembered; requests for others are answered, and counted together.
const MAX_PATHS: usize = 100_000;

/// What the origin does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// 200 with the value, or 404 for a path under `/absent/` or [removed](Origin::remove).
    Answer,
    /// This status with a body that must never be taken for a value.
    Status(u16),
    /// Reads the request and says nothing.
    Hang,
    /// Announces a body and closes in its middle.
    CloseHalfway,
    /// Bytes that are no HTTP.
    Garbage,
    /// 200 with a body that is no JSON.
    NotJson,
}

/// An HTTP server on a thread of its own, so that a busy caller does not make it slow.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    stop: Notify,
}

struct State {
    mode: Mode,
    delay: Duration,
    /// Who works on requests; `None`: each request has a worker of its own.
    workers: Option<Arc<Semaphore>>,
    /// `None`: no such row.
    rows: HashMap<String, Option<String>>,
    seen: HashMap<String, Seen>,
    /// Paths beyond [`MAX_PATHS`] included.
    all: Seen,
}

/// What was seen of one path, or of all.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Requests that were read.
    pub requests: u64,
    /// Requests that were answered, or given up.
    pub ended: u64,
    /// The most that were open at once.
    pub peak: u64,
}

impl Seen {
    fn begin(&mut self) {
        self.requests += 1;
        self.peak = self.peak.max(self.requests - self.ended);
    }
}

impl Origin {
    /// Listens at `address` and answers at once.
    pub fn bind(address: SocketAddr) -> io::Result<Origin> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = State {
            mode: Mode::Answer,
            delay: Duration::ZERO,
            workers: None,
            rows: HashMap::new(),
            seen: HashMap::new(),
            all: Seen::default(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), stop: Notify::new() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().name("origin".into()).spawn(move || {
            // Connections end with the runtime.
            runtime.block_on(async {
                tokio::select! {
                    () = of_thread.stop.notified() => {}
                    () = listen(listener, &of_thread) => {}
                }
            });
        })?;
        Ok(Origin { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it does from now on.
    pub fn mode(&self, mode: Mode) {
        self.lock().mode = mode;
    }

    /// How long each answer takes from now on; its value is read before, as a query under MVCC does.
    pub fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// So many requests are worked on at once from now on, the others wait in the order they came; `None`: all are. Work
    /// that nobody waits for any more is done all the same: it does not know.
    pub fn workers(&self, workers: Option<usize>) {
        self.lock().workers = workers.map(|count| Arc::new(Semaphore::new(count)));
    }

    /// Sets the value at `path`; paths that were never set answer `{"path":"…"}`.
    pub fn set(&self, path: &str, value: &str) {
        self.lock().rows.insert(path.into(), Some(value.into()));
    }

    /// There is no row at `path` from now on.
    pub fn remove(&self, path: &str) {
        self.lock().rows.insert(path.into(), None);
    }

    /// What was seen of all paths.
    pub fn seen(&self) -> Seen {
        self.lock().all
    }

    /// What was seen of `path`.
    pub fn seen_of(&self, path: &str) -> Seen {
        self.lock().seen.get(path).copied().unwrap_or_default()
    }

    /// Requests that it has read.
    pub fn requests(&self) -> u64 {
        self.seen().requests
    }

    /// Requests for `path` that it has read.
    pub fn requests_for(&self, path: &str) -> u64 {
        self.seen_of(path).requests
    }

    /// The most requests that were open at once.
    pub fn peak(&self) -> u64 {
        self.seen().peak
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(listener: std::net::TcpListener, shared: &Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: some come back when connections end.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            // The client went away or said no HTTP: the connection ends either way.
            let _ = converse(stream, &shared).await;
            drop(place);
        });
    }
}

/// Answers requests on one connection until either side closes it.
async fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(path) = read_request(&mut stream).await? {
        let request = Request::begin(shared, path);
        let worker = request.worker().await;
        sleep(request.delay).await;
        drop(worker);
        let kept = request.answer(&mut stream).await?;
        drop(request);
        if !kept {
            return Ok(());
        }
    }
    Ok(())
}

/// A request under way; whatever becomes of it, its end is counted.
struct Request<'a> {
    shared: &'a Shared,
    path: String,
    mode: Mode,
    delay: Duration,
    workers: Option<Arc<Semaphore>>,
    /// `None`: no such row.
    value: Option<String>,
}

impl<'a> Request<'a> {
    fn begin(shared: &'a Shared, path: String) -> Request<'a> {
        let mut state = shared.lock();
        state.all.begin();
        if state.seen.len() < MAX_PATHS || state.seen.contains_key(&path) {
            state.seen.entry(path.clone()).or_default().begin();
        }
        let value = match state.rows.get(&path) {
            Some(row) => row.clone(),
            None if path.starts_with("/absent/") => None,
            None => Some(format!("{{\"path\":\"{path}\"}}")),
        };
        let (mode, delay, workers) = (state.mode, state.delay, state.workers.clone());
        Request { shared, path, mode, delay, workers, value }
    }

    /// The worker that takes it up, once there is one; none where each request has its own.
    async fn worker(&self) -> Option<OwnedSemaphorePermit> {
        // They are never closed.
        Arc::clone(self.workers.as_ref()?).acquire_owned().await.ok()
    }

    /// Writes the answer; false if the connection ends with it.
    async fn answer(&self, stream: &mut BufReader<TcpStream>) -> io::Result<bool> {
        let full = |status: u16, body: &str| {
            let length = body.len();
            format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        };
        let value = self.value.as_deref();
        let (text, kept) = match self.mode {
            Mode::Answer => (value.map_or_else(|| full(404, "{}"), |value| full(200, value)), true),
            Mode::Status(status) => (full(status, "{\"never\":\"a value\"}"), true),
            Mode::NotJson => (full(200, "<html>"), true),
            Mode::CloseHalfway => {
                (full(200, value.unwrap_or("{}")).replace("content-length: ", "content-length: 9"), false)
            }
            Mode::Garbage => ("\u{1}\u{2} no http at all\r\n\r\n".to_owned(), false),
            Mode::Hang => {
                // Until the client has had enough; what it may still send is not looked at.
                let _ = timeout(HANG_LIMIT, stream.fill_buf()).await;
                return Ok(false);
            }
        };
        stream.get_mut().write_all(text.as_bytes()).await?;
        Ok(kept)
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.all.ended += 1;
        if let Some(seen) = state.seen.get_mut(&self.path) {
            seen.ended += 1;
        }
    }
}

/// The path of the next request; none at the end.
async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut head = stream.take(MAX_HEAD);
    let mut line = String::new();
    if head.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).map(str::to_owned);
    loop {
        line.clear();
        if head.read_line(&mut line).await? <= 2 {
            return Ok(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, Origin, Seen};
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    const LIMIT: Duration = Duration::from_secs(10);

    struct Client(BufReader<TcpStream>);

    impl Client {
        fn of(origin: &Origin) -> Client {
            let stream = TcpStream::connect(origin.address()).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            Client(BufReader::new(stream))
        }

        fn ask(&mut self, path: &str) {
            write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        }

        /// Status and body; none if what comes is no whole answer.
        fn answer(&mut self) -> Option<(u16, String)> {
            let mut line = String::new();
            self.0.read_line(&mut line).ok()?;
            let status = line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
            let mut length = 0;
            loop {
                line.clear();
                self.0.read_line(&mut line).ok()?;
                match line.trim_end().strip_prefix("content-length: ") {
                    Some(text) => length = text.parse().ok()?,
                    None if line.len() <= 2 => break,
                    None => {}
                }
            }
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).ok()?;
            Some((status, String::from_utf8(body).ok()?))
        }

        fn get(&mut self, path: &str) -> Option<(u16, String)> {
            self.ask(path);
            self.answer()
        }
    }

    fn origin() -> Origin {
        Origin::bind(([127, 0, 0, 1], 0).into()).unwrap()
    }

    #[test]
    fn every_mode_does_what_it_says_and_every_request_is_counted() {
        let origin = origin();
        let mut client = Client::of(&origin);
        assert_eq!(client.get("/v/1"), Some((200, "{\"path\":\"/v/1\"}".into())));
        origin.set("/v/1", "2");
        assert_eq!(client.get("/v/1"), Some((200, "2".into())));
        origin.remove("/v/1");
        assert_eq!(client.get("/v/1"), Some((404, "{}".into())));
        assert_eq!(client.get("/absent/1"), Some((404, "{}".into())));
        origin.mode(Mode::Status(503));
        assert_eq!(client.get("/v/2").map(|(status, _)| status), Some(503));
        origin.mode(Mode::NotJson);
        assert_eq!(client.get("/v/2"), Some((200, "<html>".into())));
        for mode in [Mode::CloseHalfway, Mode::Garbage] {
            origin.mode(mode);
            assert_eq!(Client::of(&origin).get("/v/3"), None, "{mode:?}");
        }
        assert_eq!((origin.requests(), origin.requests_for("/v/1"), origin.requests_for("/v/3")), (8, 3, 2));
    }

    #[test]
    fn the_value_is_read_before_the_delay() {
        let origin = origin();
        origin.delay(Duration::from_millis(100));
        let begun = Instant::now();
        let mut client = Client::of(&origin);
        client.ask("/v/1");
        while origin.requests() == 0 {
            assert!(begun.elapsed() < LIMIT);
            std::thread::sleep(Duration::from_millis(1));
        }
        origin.set("/v/1", "new");
        assert_eq!(client.answer(), Some((200, "{\"path\":\"/v/1\"}".into())));
        assert!(begun.elapsed() >= Duration::from_millis(100));
    }

    #[test]
    fn workers_take_requests_up_one_after_the_other() {
        let origin = origin();
        let took = |workers| {
            origin.delay(Duration::from_millis(40));
            origin.workers(workers);
            let mut clients: Vec<Client> = (0..4).map(|_| Client::of(&origin)).collect();
            let begun = Instant::now();
            clients.iter_mut().for_each(|client| client.ask("/v/1"));
            clients.iter_mut().for_each(|client| assert!(client.answer().is_some()));
            begun.elapsed()
        };
        assert!(took(Some(1)) >= Duration::from_millis(160), "four in turn");
        let fewest = (0..5).map(|_| took(None)).min();
        assert!(fewest < Some(Duration::from_millis(160)), "control: all at once, {fewest:?}");
    }

    #[test]
    fn a_hanging_request_is_open_until_its_client_goes_and_the_peak_is_counted_by_path() {
        let origin = origin();
        origin.mode(Mode::Hang);
        let mut clients = [Client::of(&origin), Client::of(&origin)];
        clients.iter_mut().for_each(|client| client.ask("/v/1"));
        let begun = Instant::now();
        let wait_for = |wanted: Seen| {
            while origin.seen_of("/v/1") != wanted {
                assert!(begun.elapsed() < LIMIT, "{:?}", origin.seen_of("/v/1"));
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        wait_for(Seen { requests: 2, ended: 0, peak: 2 });
        drop(clients);
        wait_for(Seen { requests: 2, ended: 2, peak: 2 });
        assert_eq!(origin.seen_of("/v/2"), Seen::default());
    }
}
