//! What does a server answer to HTTP, including requests that no client library would send?

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No test waits longer for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// One connection.
pub struct Http {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// 200 and the like.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body, chunks joined.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{:?} is no JSON: {e}", self.text()))
    }
}

impl Http {
    /// Connects.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT).expect("the server accepts connections");
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a read limit can be set");
        stream.set_write_timeout(Some(ANSWER_LIMIT)).expect("a write limit can be set");
        Self { address, reader: BufReader::new(stream) }
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn once(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Response {
        Self::connect(address).request(method, path, headers, body)
    }

    /// A `GET` on a connection of its own.
    #[track_caller]
    pub fn get(address: SocketAddr, path: &str) -> Response {
        Self::once(address, "GET", path, &[], b"")
    }

    /// Sends a request and reads its answer; the connection stays usable.
    #[track_caller]
    pub fn request(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for header in headers {
            head += &format!("{header}\r\n");
        }
        if !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        self.send_raw(&[head.as_bytes(), b"\r\n", body].concat()).expect("a request can be sent");
        self.read(method == "HEAD").unwrap_or_else(|e| panic!("the answer to {method} {path}: {e}"))
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads one answer.
    pub fn read(&mut self, head_only: bool) -> io::Result<Response> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| bad(&first))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(&line))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new() };
        if !head_only && status != 304 && status != 204 {
            response.body = self.body(&response)?;
        }
        Ok(response)
    }

    /// Everything up to the close; an error if the server keeps the connection.
    pub fn read_to_close(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        match self.reader.read_to_end(&mut all) {
            Ok(_) => Ok(all),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(all),
            Err(e) => Err(e),
        }
    }

    fn body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.trim(), 16).map_err(|_| bad(&line))?;
                self.exactly(size, &mut body)?;
                self.line()?;
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        match response.header("content-length") {
            Some(length) => self.exactly(length.parse().map_err(|_| bad(length))?, &mut body)?,
            None => {
                self.reader.read_to_end(&mut body)?;
            }
        }
        Ok(body)
    }

    fn exactly(&mut self, size: usize, body: &mut Vec<u8>) -> io::Result<()> {
        let begun = body.len();
        body.resize(begun + size, 0);
        self.reader.read_exact(&mut body[begun..])
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {what:?}"))
}
