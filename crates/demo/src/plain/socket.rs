//! How is plain cache-aside reached? Over a socket as Bellwether is, or the comparison would be of sockets.
//!
//! The commands of a connection start at once and are answered in order, as Bellwether's are.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bellwether_resp::{Args, Limits, Parsed, Parser, Protocol, Writer, eq_ignore_case};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::cache::CacheAside;
use super::pool::NoPage;
use crate::database::POOL;

/// Commands of one connection under way; beyond, reading stops. As many as Bellwether allows.
const OUTSTANDING: usize = 1_024;
/// Connections that the kernel keeps until they are accepted. As many as for Bellwether: a herd comes all at once.
const BACKLOG: u32 = 4_096;
/// Replies are gathered up to this many bytes before they are written.
const GATHERED: usize = 64 << 10;
/// A query that runs when the server stops has so long to end.
const DRAIN: Duration = Duration::from_secs(2);

/// A reply, ready or to come.
enum Reply {
    Ready(Vec<u8>),
    Coming(JoinHandle<Vec<u8>>),
}

/// Plain cache-aside that is reached over a socket.
pub(crate) struct PlainServer {
    runtime: Runtime,
    cache: Arc<CacheAside>,
    address: SocketAddr,
}

impl PlainServer {
    /// On any free port of the loopback address, on as many threads as the machine has cores.
    pub(crate) fn start(cache: CacheAside) -> io::Result<PlainServer> {
        let cache = Arc::new(cache);
        let runtime = Builder::new_multi_thread()
            .max_blocking_threads(POOL as usize)
            .thread_name("plain")
            .enable_all()
            .build()?;
        let entered = runtime.enter();
        let listener = listen()?;
        drop(entered);
        let address = listener.local_addr()?;
        let of_accept = cache.clone();
        runtime.spawn(async move {
            // An error: no file descriptor left, or the runtime ends. Either way nobody else comes in.
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, of_accept.clone()));
            }
        });
        Ok(PlainServer { runtime, cache, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn cache(&self) -> &CacheAside {
        &self.cache
    }

    pub(crate) fn stop(self) {
        self.runtime.shutdown_timeout(DRAIN);
    }
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(BACKLOG)
}

async fn serve(stream: TcpStream, cache: Arc<CacheAside>) {
    // It only spares a delay.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let (replies, to_write) = mpsc::channel(OUTSTANDING);
    tokio::spawn(answer(write, to_write));
    // However the reading ends, the client is gone, and with the sender so is the writing.
    let _ = commands(read, replies, cache).await;
}

async fn commands(mut read: OwnedReadHalf, replies: mpsc::Sender<Reply>, cache: Arc<CacheAside>) -> io::Result<()> {
    let (mut parser, mut input) = (Parser::new(Limits::NORMAL), Vec::new());
    while read.read_buf(&mut input).await? > 0 {
        let mut done = 0;
        while let Some(parsed) = parser.next(&input[done..]).map_err(|_| io::ErrorKind::InvalidData)? {
            if let Parsed::Command { .. } = parsed {
                let reply = reply(parser.args(&input[done..]), &cache);
                replies.send(reply).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
            }
            done += parsed.consumed();
        }
        input.drain(..done);
    }
    Ok(())
}

fn reply(args: Args<'_>, cache: &Arc<CacheAside>) -> Reply {
    let id = args.get(1).and_then(|key| std::str::from_utf8(key).ok()?.strip_prefix("product:")?.parse().ok());
    match (args.get(0).unwrap_or_default(), id) {
        (name, Some(id)) if eq_ignore_case(name, "get") => {
            let cache = cache.clone();
            Reply::Coming(tokio::spawn(async move {
                let page = cache.get(id).await;
                written(|writer| match page {
                    Ok(page) => writer.bulk(page),
                    Err(NoPage::Missing) => writer.nil(),
                    Err(NoPage::Timeout) => writer.error("TIMEOUT the caller's deadline passed"),
                    Err(NoPage::Failed) => writer.error("FAILED the database answered with an error"),
                })
            }))
        }
        (name, Some(id)) if eq_ignore_case(name, "del") => {
            let removed = cache.remove(id);
            Reply::Ready(written(|writer| writer.int(i64::from(removed))))
        }
        _ => Reply::Ready(written(|writer| writer.error("ERR expected GET product:N or DEL product:N"))),
    }
}

fn written(write: impl FnOnce(&mut Writer<'_, Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Writer::new(&mut bytes, Protocol::Resp2));
    bytes
}

/// Writes replies in order, as many at once as are ready.
async fn answer(mut write: OwnedWriteHalf, mut replies: mpsc::Receiver<Reply>) {
    let mut output = Vec::new();
    while let Some(first) = replies.recv().await {
        let mut next = Some(first);
        while let Some(reply) = next.take() {
            match reply {
                Reply::Ready(bytes) => output.extend_from_slice(&bytes),
                Reply::Coming(task) => {
                    if !task.is_finished() && !output.is_empty() && flush(&mut write, &mut output).await.is_err() {
                        return;
                    }
                    // A panic in there would be a defect of the demo; the client sees the connection end.
                    let Ok(bytes) = task.await else { return };
                    output.extend_from_slice(&bytes);
                }
            }
            if output.len() < GATHERED {
                next = replies.try_recv().ok();
            }
        }
        if flush(&mut write, &mut output).await.is_err() {
            return;
        }
    }
}

async fn flush(write: &mut OwnedWriteHalf, output: &mut Vec<u8>) -> io::Result<()> {
    write.write_all(output).await?;
    output.clear();
    Ok(())
}
