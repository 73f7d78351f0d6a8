//! How is the origin asked, over connections that are pooled without thought?

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The value, `None` if there is no such row, or what went wrong.
pub(super) type Loaded = Result<Option<Vec<u8>>, String>;

/// The longest body.
const MAX_BODY: usize = 1 << 20;
/// Connections that are kept.
const MAX_IDLE: usize = 256;

type Connection = BufReader<TcpStream>;

/// The drill's origin.
pub(super) struct Upstream {
    origin: SocketAddr,
    pooled: bool,
    idle: Mutex<Vec<Connection>>,
}

/// A connection that goes back to the pool, whatever was read from it.
struct Borrowed<'a> {
    upstream: &'a Upstream,
    connection: Option<Connection>,
}

impl Upstream {
    pub(super) fn new(origin: SocketAddr, pooled: bool) -> Upstream {
        Upstream { origin, pooled, idle: Mutex::default() }
    }

    pub(super) async fn get(&self, path: &str) -> Loaded {
        self.exchange(path).await.map_err(|error| error.to_string())?
    }

    async fn exchange(&self, path: &str) -> io::Result<Loaded> {
        let idle = self.idle().pop();
        let fresh = match idle {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(self.origin).await?),
        };
        let mut borrowed = Borrowed { upstream: self, connection: Some(fresh) };
        let Some(connection) = &mut borrowed.connection else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let answer = ask(connection, path).await;
        if answer.is_err() {
            // At least a broken one is not kept.
            borrowed.connection = None;
        }
        answer
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let mut idle = self.upstream.idle();
        if self.upstream.pooled && idle.len() < MAX_IDLE {
            idle.extend(self.connection.take());
        }
    }
}

async fn ask(connection: &mut Connection, path: &str) -> io::Result<Loaded> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: origin\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes()).await?;
    let status = line(connection).await?;
    let status = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let header = line(connection).await?;
        if header.is_empty() {
            break;
        }
        if let Some(text) = header.strip_prefix("content-length: ") {
            length = text.parse().ok().filter(|&length| length <= MAX_BODY).ok_or(io::ErrorKind::InvalidData)?;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await?;
    Ok(match status.as_str() {
        "200" => Ok(Some(body)),
        "404" => Ok(None),
        other => Err(format!("the origin answered {other}")),
    })
}

async fn line(connection: &mut Connection) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
