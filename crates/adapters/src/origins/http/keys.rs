//! Which keys has an HTTP origin? One GET that names them, a key a line, read as it comes.
//!
//! Whoever takes another page for the list would take every key for one that does not exist. So nothing but keys is
//! believed: status 200, a body whose end can be told, and in it not one line that is no key.

use std::fmt;
use std::sync::Arc;

use bellwether::{FailClass, LoadError};
use futures_util::FutureExt;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, StatusCode};

use super::super::{KEYS_TIMEOUT, KeySink, Keys, KeysFuture, SetupError};
use super::{AGENT, HttpOrigin};

/// Bytes of one line: a key of 4 KiB, each byte of it percent-encoded.
const MAX_LINE: usize = 3 * 4096;
/// What is shown of a line that is no key, in characters.
const SHOWN: usize = 40;

/// The captures of the key that a line stands for; `None`: it is no key.
pub type KeyOfLine = Box<dyn Fn(&str) -> Option<Vec<String>> + Send + Sync>;

/// The keys of one space.
#[derive(Clone)]
pub struct HttpKeys {
    origin: HttpOrigin,
    path: PathAndQuery,
    key: Arc<KeyOfLine>,
}

impl fmt::Debug for HttpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpKeys").field("origin", &self.origin).field("path", &self.path).finish_non_exhaustive()
    }
}

impl HttpOrigin {
    /// The keys that a GET of `path` names, one a line; `key` says what a line stands for.
    ///
    /// # Errors
    /// It is no path.
    pub fn keys(&self, path: &str, key: KeyOfLine) -> Result<HttpKeys, SetupError> {
        let parsed = path.starts_with('/').then(|| PathAndQuery::try_from(path).ok()).flatten();
        let path = parsed.ok_or_else(|| {
            SetupError::new("`keys` is no path", "write one such as \"/products/keys\"").about("keys")
        })?;
        Ok(HttpKeys { origin: self.clone(), path, key: Arc::new(key) })
    }
}

impl Keys for HttpKeys {
    fn each(&self, sink: KeySink) -> KeysFuture<'_> {
        let walk = async {
            let walked = tokio::time::timeout(KEYS_TIMEOUT, self.walk(sink)).await;
            walked.unwrap_or_else(|_| Err(LoadError::new(FailClass::Timeout, "its keys take longer than ten minutes")))
        };
        walk.boxed()
    }
}

impl HttpKeys {
    async fn walk(&self, mut sink: KeySink) -> Result<(), LoadError> {
        let mut body = self.ask().await?;
        let mut lines = Lines { rest: Vec::new(), number: 0, key: &self.key };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| LoadError::new(FailClass::Failed, "its keys were cut short"))?;
            // Trailers say nothing that matters here.
            let Ok(data) = frame.into_data() else { continue };
            if !lines.more(&data, &mut sink)? {
                return Ok(());
            }
        }
        lines.end(&mut sink)
    }

    async fn ask(&self) -> Result<Incoming, LoadError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.origin.uri(self.path.clone())?;
        request.headers_mut().insert(header::USER_AGENT, AGENT);
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/plain"));
        let response = self.origin.ask(request).await?;
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            return Err(LoadError::new(FailClass::Failed, format!("status {status} where its keys should be")));
        }
        if !is_delimited(&response) {
            let words =
                "its keys come without a Content-Length and not in chunks: nobody could tell whether they are all";
            return Err(LoadError::new(FailClass::Failed, words));
        }
        Ok(response.into_body())
    }
}

/// Whether an end of the connection before the end of the body would be noticed.
fn is_delimited(response: &Response<Incoming>) -> bool {
    response.body().size_hint().exact().is_some() || response.headers().contains_key(header::TRANSFER_ENCODING)
}

/// What has come, line by line.
struct Lines<'k> {
    /// Of a line that is not whole yet.
    rest: Vec<u8>,
    number: u64,
    key: &'k KeyOfLine,
}

impl Lines<'_> {
    /// False: that is enough.
    fn more(&mut self, data: &[u8], sink: &mut KeySink) -> Result<bool, LoadError> {
        let mut data = data;
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(&data[..end.min(MAX_LINE + 1)]);
            data = &data[end + 1..];
            if !self.line(sink)? {
                return Ok(false);
            }
        }
        self.rest.extend_from_slice(&data[..data.len().min(MAX_LINE + 1)]);
        // It is too long whatever comes.
        if self.rest.len() > MAX_LINE { self.line(sink) } else { Ok(true) }
    }

    fn line(&mut self, sink: &mut KeySink) -> Result<bool, LoadError> {
        self.number += 1;
        let line = std::mem::take(&mut self.rest);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let text = std::str::from_utf8(line).ok().filter(|text| text.len() <= MAX_LINE);
        match text.and_then(|text| (self.key)(text)) {
            Some(captures) => Ok(sink(captures)),
            None => Err(self.no_key(line)),
        }
    }

    fn no_key(&self, line: &[u8]) -> LoadError {
        let shown: String = String::from_utf8_lossy(line).chars().take(SHOWN).collect();
        let shown = shown.escape_debug();
        LoadError::new(FailClass::Failed, format!("line {} is no key of the space: '{shown}'", self.number))
    }

    /// The body is over; its last line may have no end of its own.
    fn end(mut self, sink: &mut KeySink) -> Result<(), LoadError> {
        if !self.rest.is_empty() {
            self.line(sink)?;
        }
        match self.number {
            0 => Err(LoadError::new(FailClass::Failed, "it names no key at all")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// What becomes of such pieces of a body.
    fn read(pieces: &[&[u8]], most: usize) -> Result<Vec<String>, String> {
        let key: KeyOfLine = Box::new(|line| line.strip_prefix("p:").map(|id| vec![id.to_owned()]));
        let told = Arc::new(Mutex::new(Vec::new()));
        let taken = told.clone();
        let mut sink: KeySink = Box::new(move |mut captures| {
            let mut all = taken.lock().expect("nobody panics");
            all.extend(captures.pop());
            all.len() < most
        });
        let mut lines = Lines { rest: Vec::new(), number: 0, key: &key };
        let mut goes_on = true;
        for piece in pieces {
            goes_on = goes_on && lines.more(piece, &mut sink).map_err(|error| error.to_string())?;
        }
        if goes_on {
            lines.end(&mut sink).map_err(|error| error.to_string())?;
        }
        let all = told.lock().expect("nobody panics").clone();
        Ok(all)
    }

    #[test]
    fn a_line_is_a_key_however_the_body_is_cut() {
        let whole = b"p:1\np:22\r\np:333";
        for cut in 0..whole.len() {
            let (one, two) = whole.split_at(cut);
            assert_eq!(read(&[one, two], 9), Ok(vec!["1".into(), "22".into(), "333".into()]), "{cut}");
        }
        assert_eq!(read(&[b"p:1\np:2\n", b"p:3\n"], 2), Ok(vec!["1".into(), "2".into()]), "that was enough");
    }

    #[test]
    fn what_is_no_list_of_keys_is_never_taken_for_one() {
        let long = vec![b'x'; MAX_LINE + 100];
        for (body, words) in [
            (&b""[..], "no key at all"),
            (b"<html>\n", "line 1 is no key of the space: '<html>'"),
            (b"p:1\n\np:2\n", "line 2"),
            (b"p:1\n\xff\n", "line 2"),
            (b"[\"p:1\"]", "line 1"),
            (&long, "line 1 is no key of the space: 'xxxx"),
        ] {
            let error = read(&[body], 9).expect_err("no list");
            assert!(error.contains(words), "{error}");
            assert!(error.len() < 200, "{error}");
        }
    }
}
