//! How do tests reach both HTTP listeners? On free ports, over real origins, by a client that sends any bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use bellwether_server::connections::{Connections, Face};
use bellwether_server::service::Service;
use bellwether_server::shutdown::Shutdown;
use bellwether_server::{admin, config, face};

/// No test waits longer for one answer.
const LIMIT: Duration = Duration::from_secs(20);
/// What the origin takes to answer `/slow/…`.
pub(crate) const SLOW: Duration = Duration::from_millis(400);

const SPACES: &str = r#"
[origin.shop]
sql = "sqlite://shop.db"
[origin.api]
http = "ORIGIN"
[[space]]
match = "product:{id:int}"
origin = "shop"
query = "SELECT id, name FROM products WHERE id = :id"
keys = "SELECT id FROM products UNION ALL SELECT 'x' UNION ALL SELECT NULL ORDER BY 1 DESC"
ttl = "60s"
jitter = "0%"
tags = ["catalogue", "p:{id}"]
[[space]]
match = "raw:{id:int}"
origin = "shop"
query = "SELECT name FROM products WHERE id = :id"
column = "name"
ttl = "60s"
[[space]]
match = "page:{path*}"
origin = "api"
get = "/{path}"
ttl = "60s"
timeout = "5s"
[[space]]
match = "hasty:{path*}"
origin = "api"
get = "/{path}"
ttl = "60s"
timeout = "50ms"
[[space]]
match = "brief:{path*}"
origin = "api"
get = "/{path}"
ttl = "1ms"
grace = "1m"
[[space]]
match = "ready:{path*}"
origin = "api"
get = "/{path}"
ttl = "60s"
default = '{"title":"back soon"}'
[[space]]
match = "spare:{path*}"
origin = "api"
get = "/{path}"
ttl = "60s"
accept = { json = true }
default = '{"title":"back soon"}'
[[space]]
match = "kv:{key*}"
ttl = "30m"
"#;

pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) service: Service,
    pub(crate) shutdown: Shutdown,
    runtime: Option<tokio::runtime::Runtime>,
    _home: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::with("")
    }

    /// `listen` goes into `[listen]`.
    pub(crate) fn with(listen: &str) -> Server {
        let home = tempfile::tempdir().expect("a temporary directory");
        shop(&home.path().join("shop.db"));
        let spaces = SPACES.replace("ORIGIN", &format!("http://{}", origin()));
        let text = format!("[listen]\n{listen}\n{spaces}");
        let config = config::parse(&text, "test.toml", home.path(), [], false).expect("a valid configuration");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let service = runtime.block_on(Service::start(config, runtime.handle().clone()));
        let service = service.unwrap_or_else(|problems| panic!("{problems:?}"));
        let (shutdown, connections) = (Shutdown::new(), Connections::default());
        let bind = || runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let (listener, admin) = (bind(), bind());
        let address = |listener: &tokio::net::TcpListener| listener.local_addr().expect("a bound address");
        let server = (address(&listener), address(&admin));
        runtime.spawn(admin::serve(service.clone(), admin, shutdown.clone(), connections.clone()));
        let (serving, down, bodies) = (service.clone(), shutdown.clone(), face::http::Bodies::default());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let open = connections.accept(Face::Http);
                let serve = face::http::serve_connection(serving.clone(), stream, down.clone(), bodies.clone());
                tokio::spawn(async move {
                    serve.await;
                    drop(open);
                });
            }
        });
        Server { http: server.0, admin: server.1, service, shutdown, runtime: Some(runtime), _home: home }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::to(self.http)
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        self.connect().ask(method, path, headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    pub(crate) fn drained(&self) -> bool {
        self.runtime.as_ref().is_some_and(|runtime| runtime.block_on(self.shutdown.drained(LIMIT)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) struct Client(BufReader<TcpStream>, SocketAddr);

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn cache_status(&self) -> &str {
        self.header("cache-status").unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        Client(BufReader::new(stream), address)
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        self.send(&request(self.1, method, path, headers, body));
        self.answer(method == "HEAD").unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// The server may close in the middle: what it says then is what counts.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// `None` once the connection is closed.
    pub(crate) fn answer(&mut self, head_only: bool) -> Option<Answer> {
        let mut answer = Answer { status: self.line()?.split(' ').nth(1)?.parse().ok()?, ..Answer::default() };
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some((name, value)) => answer.headers.push((name.to_owned(), value.to_owned())),
                None => break,
            }
        }
        let length = answer.header("content-length").map_or(0, |text| text.parse().expect("a length"));
        if !head_only && answer.status != 304 {
            answer.body.resize(length, 0);
            self.0.read_exact(&mut answer.body).ok()?;
        }
        Some(answer)
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }
}

pub(crate) fn request(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
    for header in headers {
        head += &format!("{header}\r\n");
    }
    if !body.is_empty() {
        head += &format!("content-length: {}\r\n", body.len());
    }
    format!("{head}\r\n{body}").into_bytes()
}

fn shop(file: &Path) {
    let database = rusqlite::Connection::open(file).expect("a database");
    let rows = "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
                INSERT INTO products VALUES (1, 'lamp'), (2, 'chair'), (3, 'table');";
    database.execute_batch(rows).expect("rows");
}

/// `/slow/…` takes [`SLOW`], `/fails/…` fails, `/absent/…` is absent, `/bytes/…` is no text.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer_as_origin(stream));
        }
    });
    address
}

fn answer_as_origin(stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if first.is_empty() {
            first.clone_from(&line);
        }
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    if path.starts_with("/slow") {
        std::thread::sleep(SLOW);
    }
    let (status, kind, body) = match &path {
        path if path.starts_with("/fails") => ("500 Broken", "text/plain", b"secret words".to_vec()),
        path if path.starts_with("/absent") => ("404 Not Found", "text/plain", Vec::new()),
        path if path.starts_with("/bytes") => ("200 OK", "image/x-raw", vec![0, 255]),
        path => ("200 OK", "text/plain; charset=utf-8", format!("page {path}").into_bytes()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // The caller may have given up.
    let _ = reader.get_mut().write_all(&[head.as_bytes(), &body].concat());
}
