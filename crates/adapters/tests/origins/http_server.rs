//! What does a server look like that does what a test says, however wrong?

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What to do about one request.
pub(crate) enum Act {
    /// Send these bytes and wait for the next request.
    Say(Vec<u8>),
    /// Send these bytes and close.
    SayAndClose(Vec<u8>),
    /// Send these bytes, then nothing for ever.
    SayAndHang(Vec<u8>),
    /// Send these bytes again and again until the other side has enough.
    Pour(Vec<u8>, Vec<u8>),
    /// Send these bytes, and after a while those.
    InTwo(Vec<u8>, Duration, Vec<u8>),
}

/// An answer with its length.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A body with status 200 and no more.
pub(crate) fn fine(body: &str) -> Act {
    Act::Say(answer("200 OK", "", body))
}

/// A raw TCP server; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) base: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    heads: Mutex<Vec<String>>,
    connections: AtomicUsize,
    /// Connections that the client has closed.
    left: AtomicUsize,
}

impl Server {
    /// Starts a server; `act` sees each request's head.
    pub(crate) async fn start(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Server { base, seen: Arc::default() };
        let (seen, act) = (Arc::clone(&server.seen), Arc::new(act));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.connections.fetch_add(1, Ordering::SeqCst);
                let (seen, act) = (Arc::clone(&seen), Arc::clone(&act));
                tokio::spawn(async move {
                    if converse(stream, &seen, &*act).await.is_none() {
                        seen.left.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        server
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().expect("no panic").clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn left(&self) -> usize {
        self.seen.left.load(Ordering::SeqCst)
    }
}

/// One connection; `None` when the client has closed it.
async fn converse(mut stream: TcpStream, seen: &Seen, act: &(dyn Fn(&str) -> Act + Send + Sync)) -> Option<()> {
    loop {
        let head = read_head(&mut stream).await?;
        let todo = act(&head);
        seen.heads.lock().expect("no panic").push(head);
        match todo {
            Act::Say(bytes) => stream.write_all(&bytes).await.ok()?,
            Act::SayAndClose(bytes) => return stream.write_all(&bytes).await.ok(),
            Act::SayAndHang(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                read_head(&mut stream).await?;
            }
            Act::Pour(first, again) => {
                stream.write_all(&first).await.ok()?;
                loop {
                    stream.write_all(&again).await.ok()?;
                }
            }
            Act::InTwo(first, pause, rest) => {
                stream.write_all(&first).await.ok()?;
                tokio::time::sleep(pause).await;
                stream.write_all(&rest).await.ok()?;
            }
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
