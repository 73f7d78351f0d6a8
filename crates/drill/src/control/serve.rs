//! How does a control speak RESP? Command after command, until its client goes.

use std::io;
use std::sync::Arc;

use bellwether_resp::{Args, Limits, Parsed, Parser, Protocol, Writer, eq_ignore_case};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::control::upstream::Loaded;

/// Room made for a read.
const READ: usize = 16 * 1024;
/// Input that may wait while a command is worked on.
const MAX_INPUT: usize = 1 << 20;

/// What a control answers with.
pub(super) trait ReadThrough: Send + Sync + 'static {
    /// The value, loaded if need be.
    fn get(&self, name: &str) -> impl Future<Output = Loaded> + Send;

    /// Drops it; whether it was there.
    fn remove(&self, name: &str) -> impl Future<Output = bool> + Send;
}

/// Serves every connection; all end when this is dropped.
pub(super) async fn accept<C: ReadThrough>(listener: TcpListener, cache: Arc<C>) {
    let mut connections = JoinSet::new();
    // An error is a client that left early, or no file descriptor: the drill sees both.
    while let Ok((stream, _)) = listener.accept().await {
        let cache = Arc::clone(&cache);
        connections.spawn(async move { converse(stream, &*cache).await });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse<C: ReadThrough>(mut stream: TcpStream, cache: &C) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut parser) = (BytesMut::new(), Parser::new(Limits::NORMAL));
    loop {
        let Some(parsed) = parser.next(&input).map_err(io::Error::other)? else {
            if receive(&mut stream, &mut input).await? {
                continue;
            }
            return Ok(());
        };
        let words = if let Parsed::Command { .. } = parsed { owned(parser.args(&input)) } else { Vec::new() };
        input.advance(parsed.consumed());
        if words.is_empty() {
            continue;
        }
        let mut working = Box::pin(execute(&words, cache));
        let reply = loop {
            tokio::select! {
                biased;
                reply = &mut working => break reply,
                more = receive(&mut stream, &mut input), if input.len() < MAX_INPUT => {
                    // The client has gone: so has its work.
                    if !more? {
                        return Ok(());
                    }
                }
            }
        };
        stream.write_all(&reply).await?;
    }
}

/// False at the end.
async fn receive(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<bool> {
    input.reserve(READ);
    Ok(stream.read_buf(input).await? > 0)
}

fn owned(args: Args<'_>) -> Vec<String> {
    args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

async fn execute<C: ReadThrough>(words: &[String], cache: &C) -> Vec<u8> {
    let mut output = Vec::new();
    let mut reply = Writer::new(&mut output, Protocol::Resp2);
    match words {
        [name, key] if eq_ignore_case(name.as_bytes(), "get") => tell(&mut reply, cache.get(key).await),
        [name, keys @ ..] if eq_ignore_case(name.as_bytes(), "mget") => {
            reply.array(keys.len());
            for key in keys {
                tell(&mut reply, cache.get(key).await);
            }
        }
        [name, keys @ ..] if eq_ignore_case(name.as_bytes(), "del") => {
            let mut removed = 0;
            for key in keys {
                removed += i64::from(cache.remove(key).await);
            }
            reply.int(removed);
        }
        _ => reply.error("ERR unknown command"),
    }
    output
}

fn tell(reply: &mut Writer<'_, Vec<u8>>, loaded: Loaded) {
    match loaded {
        Ok(Some(value)) => reply.bulk(value),
        Ok(None) => reply.nil(),
        Err(words) => reply.error(format!("ERR {words}")),
    }
}
