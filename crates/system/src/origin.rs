//! How does an HTTP origin behave that is slow, fails, hangs or talks nonsense, and what did it really see?

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A hanging origin lets go after this, so that no thread outlives its test for long.
const HANG_LIMIT: Duration = Duration::from_secs(30);

/// What the origin does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// 200 with the value, or 404 for `/absent/…`.
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

/// An HTTP server on a free port, a thread per connection.
pub struct Origin {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    mode: Mode,
    delay: Duration,
    values: HashMap<String, String>,
    requests: HashMap<String, u64>,
    open: u64,
    peak: u64,
    stopped: bool,
}

impl Origin {
    /// Starts one that answers at once.
    #[track_caller]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = Arc::new(Mutex::new(State {
            mode: Mode::Answer,
            delay: Duration::ZERO,
            values: HashMap::new(),
            requests: HashMap::new(),
            open: 0,
            peak: 0,
            stopped: false,
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if lock(&shared).stopped {
                    return;
                }
                let state = Arc::clone(&shared);
                thread::spawn(move || converse(&stream, &state));
            }
        });
        Self { address, state }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it does from now on.
    pub fn mode(&self, mode: Mode) {
        lock(&self.state).mode = mode;
    }

    /// How long each answer takes from now on; its value is read before.
    pub fn delay(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    /// Sets the value at `path`; others answer `{"path":"…"}`.
    pub fn set(&self, path: &str, value: &str) {
        lock(&self.state).values.insert(path.into(), value.into());
    }

    /// Requests that it has read.
    pub fn requests(&self) -> u64 {
        lock(&self.state).requests.values().sum()
    }

    /// Requests for `path` that it has read.
    pub fn requests_for(&self, path: &str) -> u64 {
        lock(&self.state).requests.get(path).copied().unwrap_or(0)
    }

    /// The most requests that were open at once.
    pub fn peak(&self) -> u64 {
        lock(&self.state).peak
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        lock(&self.state).stopped = true;
        // Wakes the accepting thread; if that fails, it has ended already.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers requests on one connection until the client closes it.
fn converse(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    // The client went away, or said no HTTP: the connection ends either way.
    while let Some(path) = read_request(&mut reader) {
        let (mode, delay, value) = {
            let mut state = lock(state);
            *state.requests.entry(path.clone()).or_default() += 1;
            state.open += 1;
            state.peak = state.peak.max(state.open);
            let value = state.values.get(&path).cloned();
            (state.mode, state.delay, value.unwrap_or_else(|| format!("{{\"path\":\"{path}\"}}")))
        };
        thread::sleep(delay);
        // Before the answer: who has it may ask the next thing before this thread runs again.
        let hangs = mode == Mode::Hang;
        lock(state).open -= u64::from(!hangs);
        let kept = answer(stream, mode, &path, &value, state);
        lock(state).open -= u64::from(hangs);
        if !kept {
            return;
        }
    }
}

/// Writes the answer; false if the connection ends with it.
fn answer(mut stream: &TcpStream, mode: Mode, path: &str, value: &str, state: &Mutex<State>) -> bool {
    let full = |status: u16, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let (text, kept) = match mode {
        Mode::Answer if path.starts_with("/absent/") => (full(404, "{}"), true),
        Mode::Answer => (full(200, value), true),
        Mode::Status(status) => (full(status, "{\"never\":\"a value\"}"), true),
        Mode::NotJson => (full(200, "<html>"), true),
        Mode::CloseHalfway => (full(200, value).replace("content-length: ", "content-length: 9"), false),
        Mode::Garbage => ("\u{1}\u{2} no http at all\r\n\r\n".into(), false),
        Mode::Hang => {
            let begun = Instant::now();
            while begun.elapsed() < HANG_LIMIT && !lock(state).stopped {
                thread::sleep(Duration::from_millis(20));
            }
            return false;
        }
    };
    stream.write_all(text.as_bytes()).is_ok() && kept
}

/// The path of the next request; none at the end.
fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|&read| read > 0)?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    Some(path)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Mode, Origin};
    use crate::http::Http;
    use std::time::{Duration, Instant};

    #[test]
    fn every_mode_does_what_it_says_and_every_request_is_counted() {
        let origin = Origin::start();
        let mut http = Http::connect(origin.address);
        assert_eq!(http.request("GET", "/v/1", &[], b"").text(), "{\"path\":\"/v/1\"}");
        origin.set("/v/1", "2");
        assert_eq!(http.request("GET", "/v/1", &[], b"").text(), "2");
        assert_eq!(http.request("GET", "/absent/1", &[], b"").status, 404);
        origin.mode(Mode::Status(503));
        assert_eq!(http.request("GET", "/v/2", &[], b"").status, 503);
        origin.mode(Mode::CloseHalfway);
        http.send_raw(b"GET /v/3 HTTP/1.1\r\n\r\n").unwrap();
        assert!(http.read(false).is_err());
        origin.mode(Mode::Garbage);
        let mut http = Http::connect(origin.address);
        http.send_raw(b"GET /v/3 HTTP/1.1\r\n\r\n").unwrap();
        assert!(http.read(false).is_err());
        assert_eq!((origin.requests(), origin.requests_for("/v/1"), origin.requests_for("/v/3")), (6, 2, 2));
    }

    #[test]
    fn the_value_is_read_before_the_delay() {
        let origin = Origin::start();
        origin.delay(Duration::from_millis(100));
        let begun = Instant::now();
        let mut http = Http::connect(origin.address);
        http.send_raw(b"GET /v/1 HTTP/1.1\r\n\r\n").unwrap();
        crate::until(Duration::from_secs(2), "the request", || (origin.requests() == 1).then_some(()));
        origin.set("/v/1", "new");
        assert_eq!(http.read(false).unwrap().text(), "{\"path\":\"/v/1\"}");
        assert!(begun.elapsed() >= Duration::from_millis(100));
    }
}
