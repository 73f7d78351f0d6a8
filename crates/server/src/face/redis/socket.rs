//! How do the bytes get in and out? One task per connection, one write per read where possible.
//!
//! An idle connection holds no buffers: what is read lands in its thread's own, and only what is
//! left over (half a command, replies that the client doesn't take) is the connection's to keep.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::client::Client;
use super::clients::Clients;
use super::company::{Chair, Line};
use super::conn::{Conn, Stop};
use super::held::Held;
use super::replies::HIGH_WATER;
use crate::connections::Crowded;
use crate::rest::{self, Seen};
use crate::service::Service;
use crate::shutdown::Shutdown;

/// Bytes asked of the socket at once.
const READ: usize = 64 << 10;
/// Bytes of replies that a client may have asked for without taking any of them.
const OUTPUT_CAP: usize = 64 << 20;
/// A client that takes nothing for so long, and is owed more than [`OUTPUT_CAP`], is cut.
const STALLED: Duration = Duration::from_secs(1);
/// A client that takes nothing for so long is cut.
const GONE: Duration = Duration::from_secs(30);
/// A client that needs a password has so long to say it.
const BEFORE_AUTH: Duration = Duration::from_secs(5);
/// After the last reply, what the client still sends is read and dropped until it pauses for so long: closing with
/// unread input would make the kernel throw away replies that are on their way.
const LINGER: Duration = Duration::from_millis(500);
/// However much it sends, for so long at most: a large value takes its time, and is heard out.
const LONGEST_LINGER: Duration = Duration::from_secs(5);
/// Output memory that a thread keeps for its next connection.
const KEEP: usize = 256 << 10;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers::default());
}

/// What the connections of one thread share, one at a time.
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers { input: vec![0; READ], output: Vec::new() }
    }
}

/// A connection with its socket.
struct Socket {
    stream: Arc<TcpStream>,
    conn: Conn,
    /// Input that makes no whole command yet, or may not begin yet.
    rest: Vec<u8>,
    /// What that and queued commands are of all connections' share.
    held: Held,
    /// Bytes of the output that are sent already.
    sent: usize,
    stop: Stop,
    /// The client won't send any more.
    ended: bool,
    /// Runs while the client takes nothing of what is to be sent.
    stalled: Option<Pin<Box<Sleep>>>,
    since: Instant,
    /// When it asked last.
    asked: Seen,
}

/// Serves one connection until either side ends it, or the server stops: then what has been
/// received is answered first.
pub async fn serve_connection(service: Service, stream: TcpStream, clients: Arc<Clients>, shutdown: Shutdown) {
    let _in_flight = shutdown.guard();
    let Ok(peer) = stream.peer_addr() else { return };
    let all = clients.clone();
    let (_place, id) = match all.enter(peer.ip()) {
        Ok(entered) => entered,
        Err(crowded) => return turn_away(stream, crowded).await,
    };
    // Fails only on a socket that is gone; the first read will say so.
    let _ = stream.set_nodelay(true);
    let socket = Socket::new(stream, Conn::new(Client::new(service, clients, id, peer, shutdown.clone())));
    if let Err(error) = socket.run(&shutdown, peer).await {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

impl Line for TcpStream {
    fn send(&self, bytes: &[u8]) -> usize {
        // An error is there for the connection as well.
        self.try_io(Interest::WRITABLE, || Ok(send(self, bytes, SendFlags::NOSIGNAL)?)).unwrap_or(0)
    }
}

async fn turn_away(mut stream: TcpStream, crowded: Crowded) {
    let words = format!("-ERR {}\r\n", crowded.words());
    // Whether it hears us or not: it has to go.
    let _ = timeout(LINGER, stream.write_all(words.as_bytes())).await;
}

impl Socket {
    fn new(stream: TcpStream, conn: Conn) -> Socket {
        Socket {
            held: conn.client.clients.held(),
            stream: Arc::new(stream),
            conn,
            rest: Vec::new(),
            sent: 0,
            stop: Stop::Input,
            ended: false,
            stalled: None,
            since: Instant::now(),
            asked: Seen::default(),
        }
    }

    async fn run(mut self, shutdown: &Shutdown, peer: SocketAddr) -> io::Result<()> {
        let mut stop = pin!(shutdown.requested());
        let (mut waits, mut stopping): (Option<Waker>, bool) = (None, false);
        let mut stranger = (!self.conn.client.known).then(|| Box::pin(sleep(BEFORE_AUTH)));
        let cut = std::future::poll_fn(|cx| {
            // Once asked, it wakes whom it was asked for: no need to ask again for every command.
            let asked = waits.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            if !stopping && (!asked || shutdown.is_requested()) {
                waits = Some(cx.waker().clone());
                self.conn.client.following.mailbox.wake_by(cx.waker());
                if !self.conn.waits() {
                    self.conn.chair = Chair::take(self.stream.clone(), cx.waker());
                }
                stopping = stop.as_mut().poll(cx).is_ready();
            }
            if self.conn.client.known {
                if stranger.is_some() {
                    stranger = None;
                }
            } else if stranger.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(Ok(true));
            }
            self.poll(cx, stopping)
        })
        .await?;
        if cut {
            tracing::debug!(%peer, "connection cut");
            return Ok(());
        }
        self.linger().await
    }

    /// Moves everything that can be moved. Ready: the connection is over; true: without ceremony.
    fn poll(&mut self, cx: &mut Context<'_>, stopping: bool) -> Poll<io::Result<bool>> {
        BUFFERS.with_borrow_mut(|buffers| {
            let result = self.turn(cx, stopping, buffers);
            let output = &mut self.conn.client.replies.output;
            if output.is_empty() && output.capacity() > 0 {
                let used = std::mem::take(output);
                if used.capacity() <= KEEP && used.capacity() > buffers.output.capacity() {
                    buffers.output = used;
                }
            }
            result
        })
    }

    /// Lends this connection the thread's memory for replies, if it has none.
    fn borrow(&mut self, of_thread: &mut Vec<u8>) {
        let output = &mut self.conn.client.replies.output;
        if output.capacity() == 0 {
            std::mem::swap(output, of_thread);
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, stopping: bool, buffers: &mut Buffers) -> Poll<io::Result<bool>> {
        if self.stop == Stop::Company {
            if !self.conn.is_answered() {
                self.borrow(&mut buffers.output);
                let Some(sent) = self.conn.answer() else { return Poll::Ready(Ok(true)) };
                self.sent = sent;
            }
            self.stop = Stop::Input;
        }
        let mut asked = false;
        loop {
            if !self.is_quiet() {
                self.borrow(&mut buffers.output);
                if let Some(over) = self.move_replies(cx)? {
                    return over;
                }
            }
            // The first look goes without the runtime's leave: it counts how often a task finds something.
            match self.poll_read(cx, buffers, std::mem::replace(&mut asked, true), stopping) {
                Poll::Ready(result) => result?,
                // Nothing more has arrived: whoever stops has answered all that did. The kernel itself is asked:
                // the runtime knows only of what it was told already, and says "pending" to who has read a lot.
                Poll::Pending if stopping && self.is_settled() => {
                    match recv(&self.stream, &mut *buffers.input, RecvFlags::DONTWAIT) {
                        Ok((read, _)) => self.took(read, buffers, stopping),
                        Err(Errno::WOULDBLOCK) => return Poll::Ready(Ok(false)),
                        Err(error) => return Poll::Ready(Err(error.into())),
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
            if self.stop == Stop::Company {
                // Who waits is answered without a turn of this connection. If more has come, or the client has ended, the
                // next one comes when all that are ready now had theirs.
                if self.stream.poll_read_ready(cx)?.is_ready() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
    }

    /// Whether nothing is to be moved but what the client may have sent.
    #[inline]
    fn is_quiet(&self) -> bool {
        let something = self.conn.client.following.mailbox.has_something();
        self.stop == Stop::Input && !self.ended && self.rest.is_empty() && self.conn.is_quiet() && !something
    }

    /// Whether the client has got all that it is owed.
    fn is_settled(&self) -> bool {
        let replies = &self.conn.client.replies;
        replies.output.is_empty() && replies.settled()
    }

    /// Moves all replies that can be moved, and begins what may begin then. `None`: the client may be read from. Else why not:
    /// the connection is over, or it has to wait.
    fn move_replies(&mut self, cx: &mut Context<'_>) -> io::Result<Option<Poll<io::Result<bool>>>> {
        loop {
            self.conn.poll(cx);
            if self.stop == Stop::Replies {
                self.go_on();
                self.weigh();
                // What has just begun must know whom to wake.
                self.conn.poll(cx);
            }
            if self.stop == Stop::Cut {
                return Ok(Some(Poll::Ready(Ok(true))));
            }
            self.conn.client.hear(cx);
            let blocked = self.poll_write(cx)?.is_pending();
            if blocked && self.poll_stalled(cx).is_ready() {
                return Ok(Some(Poll::Ready(Ok(true))));
            }
            let over = match self.stop {
                Stop::Cut => Poll::Ready(Ok(true)),
                Stop::End if self.is_settled() => Poll::Ready(Ok(false)),
                // The output had no room; now it has.
                Stop::Replies if !blocked && self.may_go_on() => continue,
                Stop::Input if !self.ended => return Ok(None),
                Stop::Input if self.is_settled() => Poll::Ready(Ok(false)),
                Stop::End | Stop::Replies | Stop::Input | Stop::Company => Poll::Pending,
            };
            return Ok(Some(over));
        }
    }

    fn may_go_on(&self) -> bool {
        let client = &self.conn.client;
        let room = client.replies.room() && !client.replies.owed_at_least(HIGH_WATER);
        room && ((client.exec.is_none() && !client.waits) || client.replies.settled())
    }

    /// Begins what had to wait for replies to leave.
    fn go_on(&mut self) {
        let (used, stop) = self.conn.process(&self.rest);
        self.forget(used);
        self.stop = stop;
    }

    fn forget(&mut self, used: usize) {
        self.rest.drain(..used);
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
    }

    /// Reads once. `asks`: not without the runtime's leave.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut Buffers,
        mut asks: bool,
        stopping: bool,
    ) -> Poll<io::Result<()>> {
        loop {
            if asks {
                ready!(self.stream.poll_read_ready(cx))?;
            }
            asks = true;
            match self.receive(&mut buffers.input) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    self.took(read, buffers, stopping);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Asks the kernel itself: the C library's calls prepare for the thread to be cancelled in them, which shows here.
    fn receive(&self, input: &mut [u8]) -> io::Result<usize> {
        let room = input.len();
        let mut read = None;
        let tried = self.stream.try_io(Interest::READABLE, || {
            let (got, _) = recv(&self.stream, input, RecvFlags::empty())?;
            read = Some(got);
            // What leaves room was all there is: said so, the runtime saves asking once more in vain.
            if 0 < got && got < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        read.map_or_else(|| tried.map(|()| 0), Ok)
    }

    /// Begins what can be begun of so many bytes that were read; none means that the client won't send any more.
    fn took(&mut self, read: usize, buffers: &mut Buffers, stopping: bool) {
        let Buffers { input, output } = buffers;
        let read = &input[..read];
        // Whoever stops must have a turn once it is answered.
        if self.rest.is_empty() && !stopping && self.conn.joins(read) {
            self.stop = Stop::Company;
        } else {
            self.borrow(output);
            self.begin(read);
        }
        rest::asked(self.conn.client.now, &mut self.asked);
    }

    fn begin(&mut self, read: &[u8]) {
        if read.is_empty() {
            self.ended = true;
        }
        if self.rest.is_empty() {
            let (used, stop) = self.conn.process(read);
            self.rest.extend_from_slice(&read[used..]);
            self.stop = stop;
        } else {
            self.rest.extend_from_slice(read);
            self.go_on();
        }
        self.weigh();
    }

    /// Counts what this connection holds; where all hold too much, it lets go and ends.
    #[inline]
    fn weigh(&mut self) {
        if !self.held.set(self.rest.capacity() + self.conn.client.queued()) {
            self.let_go();
        }
    }

    #[cold]
    fn let_go(&mut self) {
        self.rest = Vec::new();
        let client = &mut self.conn.client;
        (client.multi, client.exec) = (None, None);
        self.conn.refuse("ERR too many unfinished commands of all clients together, ask again later");
        self.stop = Stop::End;
    }

    /// Sends what can be sent. Pending: the client takes no more for now.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        loop {
            let output = &mut self.conn.client.replies.output;
            if self.sent == output.len() {
                output.clear();
                self.sent = 0;
                self.stalled = None;
                self.conn.client.replies.flush();
                if self.conn.client.replies.output.is_empty() {
                    return Ok(Poll::Ready(()));
                }
                continue;
            }
            if self.stream.poll_write_ready(cx)?.is_pending() {
                return Ok(Poll::Pending);
            }
            let sending = || Ok(send(&self.stream, &output[self.sent..], SendFlags::NOSIGNAL)?);
            match self.stream.try_io(Interest::WRITABLE, sending) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    self.sent += sent;
                    self.stalled = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Ready: this client has taken nothing for too long.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stalled.is_none() {
            self.since = Instant::now();
        }
        loop {
            let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALLED)));
            ready!(timer.as_mut().poll(cx));
            timer.as_mut().set(sleep_until(self.since + GONE));
            // How much is it owed? What it sent already is begun, up to the cap: values are kept by reference.
            let (used, stop) = self.conn.process_up_to(&self.rest, OUTPUT_CAP);
            self.forget(used);
            self.stop = stop;
            self.weigh();
            self.conn.poll(cx);
            if self.since.elapsed() >= GONE || self.conn.client.replies.owed_at_least(OUTPUT_CAP) {
                return Poll::Ready(());
            }
        }
    }

    /// Ends a connection whose replies are all sent, so that they arrive.
    async fn linger(mut self) -> io::Result<()> {
        // Nobody else sends here any more.
        drop(self.conn.chair.take());
        let Some(mut stream) = Arc::into_inner(self.stream) else { return Ok(()) };
        stream.shutdown().await?;
        if self.ended {
            return Ok(());
        }
        // On the heap: every idle connection carries what is on this future's stack.
        let mut dropped = vec![0; READ];
        let drain = async {
            while let Ok(read) = timeout(LINGER, stream.read(&mut dropped)).await {
                if read? == 0 {
                    break;
                }
            }
            Ok(())
        };
        timeout(LONGEST_LINGER, drain).await.unwrap_or(Ok(()))
    }
}
