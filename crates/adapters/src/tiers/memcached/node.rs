//! How is one server asked? A connection, a breaker, and a keeper that brings the connection back: every call ends in
//! bounded time.

use std::sync::Arc;
use std::time::Duration;

use bellwether::shared::Limit;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::fault::Fault;
use super::link::Link;
use super::options::MemcachedOptions;
use super::proto::{Reply, Request};
use crate::tiers::address::ServerAddress;
use crate::tiers::breaker::{Breaker, pause};
use crate::tiers::health::Health;

/// The first version whose meta commands have all flags that are used here.
const OLDEST: [u32; 3] = [1, 6, 12];
/// What a header, extensions and a line need beside the longest value.
const SLACK: usize = 256 * 1024;

/// How a server is at the moment.
#[derive(Clone)]
enum State {
    Connecting,
    Up(Link),
    Down(String),
}

/// One server.
pub(super) struct Node {
    /// Where it is, for people and for placement.
    pub(super) label: String,
    /// Whether it takes writes.
    pub(super) health: Health,
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

struct Shared {
    address: ServerAddress,
    options: MemcachedOptions,
    state: watch::Sender<State>,
    breaker: Breaker,
    /// The connection is to be given up: the server is silent.
    give_up: Notify,
    /// Where its answers are read.
    runtime: Handle,
}

/// Called with every new connection before anybody else may use it.
pub(super) type Greet = Arc<dyn Fn(Link) -> futures_util::future::BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

impl Node {
    /// Begins to connect.
    pub(super) fn new(address: ServerAddress, options: MemcachedOptions, runtime: &Handle, greet: Greet) -> Node {
        let label = address.to_string();
        let (state, _) = watch::channel(State::Connecting);
        let (breaker, give_up, runtime) = (Breaker::default(), Notify::new(), runtime.clone());
        let shared = Arc::new(Shared { address, options, state, breaker, give_up, runtime });
        let keeper = shared.runtime.spawn(keep(shared.clone(), greet)).abort_handle();
        Node { label, health: Health::default(), shared, keeper }
    }

    /// One request, and its reply.
    pub(super) async fn call(&self, request: Request) -> Result<Reply, Fault> {
        let limit = Limit::new(self.shared.options.answer_timeout).read_by(&self.shared.runtime);
        let mut patience = Patience { shared: &self.shared, counts: true, limit };
        let reply = match patience.limit.wait(self.shared.ask(request)).await {
            Some(reply) => reply,
            None => {
                self.shared.silent();
                Err(Fault::Silent)
            }
        };
        patience.over();
        if reply.is_ok() {
            self.shared.breaker.answered();
        }
        match reply? {
            Reply::Refused(text) => Err(Fault::told(&text)),
            reply => Ok(reply),
        }
    }

    /// Whether it can be asked; `None`: it is being found out.
    pub(super) fn is_up(&self) -> Option<bool> {
        match &*self.shared.state.borrow() {
            State::Connecting => None,
            State::Up(_) => Some(true),
            State::Down(_) => Some(false),
        }
    }

    /// Why it can't be asked, if it can't.
    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.shared.state.borrow() {
            State::Down(why) => Some(why.clone()),
            State::Connecting | State::Up(_) => None,
        }
    }

    /// Its connection, if there is one.
    pub(super) fn link(&self) -> Option<Link> {
        match &*self.shared.state.borrow() {
            State::Up(link) => Some(link.clone()),
            State::Connecting | State::Down(_) => None,
        }
    }

    /// Ends when it has been found out whether it can be asked.
    pub(super) async fn settled(&self) {
        // Its sender lives as long as the node does.
        let _ = self.shared.state.subscribe().wait_for(|state| !matches!(state, State::Connecting)).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Shared {
    async fn ask(&self, request: Request) -> Result<Reply, Fault> {
        let mut states = self.state.subscribe();
        // A connection that breaks says nothing of the next one, and a question can be asked twice. What writes can't:
        // it may have been done.
        let mut again = matches!(request, Request::Get(_)).then(|| request.clone());
        let mut request = request;
        loop {
            let state = states.borrow_and_update().clone();
            match state {
                State::Up(link) => match (link.call(request).await, again.take()) {
                    // Its keeper is about to see that it is gone.
                    (Err(Fault::Lost(_)), Some(same)) if states.changed().await.is_ok() => request = same,
                    (answer, _) => return answer,
                },
                State::Down(why) => return Err(Fault::Down(why)),
                State::Connecting if states.changed().await.is_ok() => {}
                State::Connecting => return Err(Fault::Down("the tier is closed".to_owned())),
            }
        }
    }

    /// It did not answer in time.
    fn silent(&self) {
        if matches!(*self.state.borrow(), State::Up(_)) && !self.breaker.is_open() && self.breaker.failed() {
            self.give_up.notify_one();
        }
    }

    /// Its connections are of no use: answers that come late would come before all others.
    fn down(&self, why: String) {
        if self.breaker.open() || !matches!(*self.state.borrow(), State::Down(_)) {
            tracing::warn!(node = %self.address, why, "not reachable: it is left alone, and tried again in the background");
        }
        self.state.send_replace(State::Down(why));
    }
}

/// Counts who gives up against the node: a budget that ends a call from outside would hide its silence. What this process
/// stood still is not counted.
struct Patience<'a> {
    shared: &'a Shared,
    counts: bool,
    limit: Limit,
}

impl Patience<'_> {
    fn over(mut self) {
        self.counts = false;
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if self.counts && self.limit.used() >= self.shared.options.patience {
            self.shared.silent();
        }
    }
}

/// Connects, and connects again, as long as there is a tier.
async fn keep(shared: Arc<Shared>, greet: Greet) {
    let mut attempt = 0;
    loop {
        match connect(&shared, &greet).await {
            Ok((link, drive)) => {
                attempt = 0;
                if shared.breaker.close() {
                    tracing::info!(node = %shared.address, "reachable again");
                }
                shared.state.send_replace(State::Up(link));
                tokio::select! {
                    _ = drive => shared.state.send_replace(State::Connecting),
                    () = shared.give_up.notified() => {
                        shared.down("no answer in time".to_owned());
                        continue;
                    }
                };
                continue;
            }
            Err(why) => shared.down(why),
        }
        tokio::time::sleep(pause(attempt, fastrand::f64())).await;
        attempt = attempt.saturating_add(1);
    }
}

type Drive = tokio::task::JoinHandle<()>;

/// Gives up a connection with whoever holds it.
struct Driven(Drive);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Future for Driven {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        // A panic ends a connection as anything else does.
        std::pin::Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}

async fn connect(shared: &Arc<Shared>, greet: &Greet) -> Result<(Link, Driven), String> {
    let limit = shared.options.connect_timeout;
    let silent = |_| "no answer while connecting".to_owned();
    let stream = timeout(limit, handshake(&shared.address)).await.map_err(silent)??;
    let longest = usize::try_from(shared.options.max_value).unwrap_or(usize::MAX).saturating_add(SLACK);
    let (link, drive) = Link::new(stream, longest);
    let driven = Driven(tokio::spawn(drive));
    let greeted = timeout(limit.max(Duration::from_millis(1)), greet(link.clone())).await.map_err(silent)?;
    greeted.map_err(|fault| fault.into_error(&shared.address.to_string()).text)?;
    Ok((link, driven))
}

async fn handshake(address: &ServerAddress) -> Result<TcpStream, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    stream.write_all(b"version\r\n").await.map_err(text)?;
    let mut line = Vec::new();
    // Nothing else was asked: nothing that comes behind the line is lost with the reader.
    let mut reader = BufReader::with_capacity(128, &mut stream);
    while line.last() != Some(&b'\n') {
        let bytes = reader.fill_buf().await.map_err(text)?;
        if bytes.is_empty() || line.len() > 128 {
            return Err("it closed the connection, or is no memcached".to_owned());
        }
        line.extend_from_slice(bytes);
        let read = bytes.len();
        reader.consume(read);
    }
    check_version(&String::from_utf8_lossy(&line))?;
    Ok(stream)
}

fn check_version(line: &str) -> Result<(), String> {
    let Some(version) = line.trim_end().strip_prefix("VERSION ") else {
        return Err("it answers what no memcached does: is this its port, and does it ask for no password?".to_owned());
    };
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let found: [u32; 3] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
    if found < OLDEST {
        return Err(format!("memcached {version} is too old: 1.6.12 or later is needed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_and_others_are_told_so() {
        assert_eq!(check_version("VERSION 1.6.18\r\n"), Ok(()));
        assert_eq!(check_version("VERSION 1.6.12-rc1\r\n"), Ok(()));
        assert_eq!(check_version("VERSION 2.0\r\n"), Ok(()));
        assert!(check_version("VERSION 1.5.22\r\n").is_err_and(|why| why.contains("1.5.22 is too old")));
        assert!(check_version("-ERR unknown command\r\n").is_err_and(|why| why.contains("no memcached")));
    }
}
