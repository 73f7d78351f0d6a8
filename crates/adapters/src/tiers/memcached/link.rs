//! How do many callers share one connection? Requests are written as they come, replies go to whoever asked, in order.
//!
//! A caller may give up at any moment: its reply is read all the same, and thrown away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use super::proto::{Replies, Reply, Request};

/// Requests that wait to be written. Whoever finds no room waits for it, as long as it may wait for its answer.
const QUEUE: usize = 256;
/// Requests that wait for their replies.
const UNDER_WAY: usize = 1024;
/// What is written at once, in bytes, unless a single request is longer.
const BATCH: usize = 64 * 1024;

/// A request and who waits for its reply.
struct Asked {
    request: Request,
    reply: oneshot::Sender<Reply>,
}

/// Who waits for the next reply, and with which opaque.
struct Awaited {
    opaque: u32,
    reply: oneshot::Sender<Reply>,
}

/// One connection.
#[derive(Clone)]
pub(super) struct Link {
    asked: mpsc::Sender<Asked>,
    why: Arc<Mutex<Option<String>>>,
}

impl Link {
    /// Begins to serve callers over a connection that is idle. The future ends with the connection, or when no
    /// caller can come any more.
    pub(super) fn new(stream: TcpStream, longest: usize) -> (Link, impl Future<Output = ()> + Send + use<>) {
        let (asked, queue) = mpsc::channel(QUEUE);
        let why = Arc::new(Mutex::new(None));
        let told = why.clone();
        let drive = async move {
            let reason = serve(stream, queue, longest).await;
            *told.lock() = Some(reason);
        };
        (Link { asked, why }, drive)
    }

    /// One request, and its reply.
    pub(super) async fn call(&self, request: Request) -> Result<Reply, Fault> {
        let (reply, answer) = oneshot::channel();
        self.asked.send(Asked { request, reply }).await.map_err(|_| self.lost())?;
        answer.await.map_err(|_| self.lost())
    }

    fn lost(&self) -> Fault {
        Fault::Lost(self.why.lock().clone().unwrap_or_else(|| "it was given up".to_owned()))
    }
}

/// Ends with the reason why the connection is of no use any more.
async fn serve(stream: TcpStream, queue: mpsc::Receiver<Asked>, longest: usize) -> String {
    let (reader, writer) = stream.into_split();
    let (awaited, waiting) = mpsc::channel(UNDER_WAY);
    // Whichever ends takes the other along, and with it everybody who waits.
    tokio::select! {
        reason = write(writer, queue, awaited) => reason,
        reason = read(reader, waiting, longest) => reason,
    }
}

async fn write(
    mut writer: tokio::net::tcp::OwnedWriteHalf,
    mut queue: mpsc::Receiver<Asked>,
    awaited: mpsc::Sender<Awaited>,
) -> String {
    let (opaques, mut out) = (AtomicU32::new(1), Vec::new());
    while let Some(asked) = queue.recv().await {
        let mut next = Some(asked);
        while let Some(Asked { request, reply }) = next {
            let opaque = opaques.fetch_add(1, Ordering::Relaxed);
            // Before it is written: no reply comes that nobody waits for.
            if awaited.send(Awaited { opaque, reply }).await.is_err() {
                return "nobody reads its answers any more".to_owned();
            }
            request.write(opaque, &mut out);
            next = if out.len() < BATCH { queue.try_recv().ok() } else { None };
        }
        if let Err(error) = writer.write_all(&out).await {
            return error.to_string();
        }
        out.clear();
        out.shrink_to(BATCH);
    }
    "nobody asks any more".to_owned()
}

async fn read(
    mut reader: tokio::net::tcp::OwnedReadHalf,
    mut waiting: mpsc::Receiver<Awaited>,
    longest: usize,
) -> String {
    let (mut replies, mut input) = (Replies::new(longest), BytesMut::new());
    let mut next: Option<Awaited> = None;
    loop {
        if next.is_none() {
            next = waiting.try_recv().ok();
        }
        if let Some(Awaited { opaque, .. }) = &next
            && !input.is_empty()
        {
            match replies.next(&mut input, *opaque) {
                Ok(Some(reply)) => {
                    if let Some(awaited) = next.take() {
                        // It may have given up: then the reply is nobody's.
                        let _ = awaited.reply.send(reply);
                    }
                    continue;
                }
                Ok(None) => {}
                Err(broken) => return broken.as_str().to_owned(),
            }
        } else if !input.is_empty() {
            return "it answered what nobody had asked".to_owned();
        }
        match reader.read_buf(&mut input).await {
            Ok(0) => return "it closed the connection".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}
