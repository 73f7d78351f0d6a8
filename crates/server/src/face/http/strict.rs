//! Which requests are refused before anything is understood of them? Heads that two programs in a
//! row could read differently: the ways into request smuggling.
//!
//! hyper forgives some of them (a length beside a transfer coding, a length twice, bare line
//! feeds). So a head is held back until it is whole, judged, and only then handed on; a refused one
//! is replaced by a request of our own that names the reason (`refused`), so that it is answered in
//! clear words, in the order of the pipeline, and the connection closed.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::refused::{self, Refused};

/// The longest head: a key of 4 KiB is 12 KiB percent-encoded, and cookies come along.
pub(super) const MAX_HEAD: usize = 32 << 10;
/// Header lines of one request.
pub(super) const MAX_HEADERS: usize = 64;
/// Read at a time while a head is awaited.
const CHUNK: usize = 4 << 10;
/// A client that takes nothing of its answer for so long is cut.
const WRITE_STALL: Duration = Duration::from_secs(30);

thread_local! {
    /// Where bytes land first: connections of one thread read one at a time.
    static CHUNKS: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// A connection that hands on only what can be read in one way.
pub(super) struct Strict<S> {
    inner: S,
    /// Read, and not handed on yet.
    held: BytesMut,
    /// So much of `held` is judged.
    judged: usize,
    /// So much of `held` was searched for the end of the head.
    searched: usize,
    next: Next,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A head.
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// A body that says itself where it ends. The answer to it closes the connection, so no head
    /// is ever looked for behind it.
    Chunks,
    /// Nothing: a head was refused.
    Nothing,
}

impl<S> Strict<S> {
    pub(super) fn new(inner: S) -> Strict<S> {
        Strict { inner, held: BytesMut::new(), judged: 0, searched: 0, next: Next::Head, stalled: None }
    }

    /// Judges what is held; afterwards either `judged > 0` or more must be read.
    fn judge(&mut self) {
        match self.next {
            Next::Head => self.judge_head(),
            Next::Body(left) => {
                let here = self.held.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.judged = here;
                let left = left - here as u64;
                self.next = if left == 0 { Next::Head } else { Next::Body(left) };
            }
            Next::Chunks => self.judged = self.held.len(),
            Next::Nothing => self.held.clear(),
        }
    }

    fn judge_head(&mut self) {
        match find_end(&self.held, self.searched) {
            Ok(Some(end)) => match framing(&self.held[..end]) {
                Ok(framing) => {
                    self.judged = end;
                    self.searched = 0;
                    self.next = match framing {
                        Framing::Length(0) => Next::Head,
                        Framing::Length(bytes) => Next::Body(bytes),
                        Framing::Chunked => Next::Chunks,
                    };
                }
                Err(refused) => self.refuse(refused),
            },
            Ok(None) if self.held.len() > MAX_HEAD => {
                let first_line = memchr::memchr(b'\n', &self.held).is_some();
                self.refuse(if first_line { Refused::LongHead } else { Refused::LongTarget });
            }
            Ok(None) => self.searched = self.held.len(),
            Err(refused) => self.refuse(refused),
        }
    }

    fn refuse(&mut self, refused: Refused) {
        let request = refused.as_request();
        self.held.clear();
        self.held.extend_from_slice(request.as_bytes());
        self.judged = request.len();
        self.next = Next::Nothing;
    }

    fn stalls(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stalled =
            self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + WRITE_STALL)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.judged == 0 && !this.held.is_empty() && this.searched < this.held.len() {
                this.judge();
            }
            if this.judged > 0 {
                let here = this.judged.min(buf.remaining());
                buf.put_slice(&this.held[..here]);
                this.held.advance(here);
                this.judged -= here;
                return Poll::Ready(Ok(()));
            }
            let (inner, held) = (Pin::new(&mut this.inner), &mut this.held);
            let polled = CHUNKS.with_borrow_mut(|chunk| {
                let mut chunk = ReadBuf::new(chunk);
                let polled = inner.poll_read(cx, &mut chunk);
                held.extend_from_slice(chunk.filled());
                polled.map_ok(|()| chunk.filled().len())
            });
            if polled.is_pending() && held.is_empty() {
                // Thousands of connections idle: they hold no buffer meanwhile.
                *held = BytesMut::new();
            }
            if ready!(polled)? == 0 {
                // An end in the middle of a head is an end: nothing of it was handed on.
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(cx, bytes) {
            Poll::Ready(done) => {
                self.stalled = None;
                Poll::Ready(done)
            }
            Poll::Pending => self.stalls(cx).map(|done| done.map(|()| 0)),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write_vectored(cx, slices) {
            Poll::Ready(done) => {
                self.stalled = None;
                Poll::Ready(done)
            }
            Poll::Pending => self.stalls(cx).map(|done| done.map(|()| 0)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// How long a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

/// Where the head ends, looking from `from` on; `None` if it goes on.
fn find_end(bytes: &[u8], from: usize) -> Result<Option<usize>, Refused> {
    // Empty lines before a request are allowed; what else begins no word would wait for an end that never comes.
    if bytes.first().is_some_and(|first| !first.is_ascii_alphabetic() && *first != b'\r') {
        return Err(Refused::NoRequest);
    }
    for at in memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| at + from) {
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(Refused::BareLineFeed);
        }
        // `at == 1` is an empty line before the request: handed on by itself, the parser skips it.
        if at == 1 || bytes[at - 2] == b'\n' {
            return Ok(Some(at + 1));
        }
    }
    Ok(None)
}

/// How a whole head frames its body; or why it can't be read in one way only.
fn framing(head: &[u8]) -> Result<Framing, Refused> {
    if head == b"\r\n" {
        return Ok(Framing::Length(0));
    }
    let head = head.strip_suffix(b"\r\n\r\n").ok_or(Refused::NoRequest)?;
    let mut lines = Lines(Some(head));
    let modern = request_line(lines.next().unwrap_or_default())?;
    let (mut length, mut chunked, mut hosts) = (None, false, 0);
    for (at, line) in lines.enumerate() {
        if at == MAX_HEADERS {
            return Err(Refused::ManyHeaders);
        }
        let colon = memchr::memchr(b':', line).ok_or(Refused::Header)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // A blank first is a folded line; a blank last hides the name from those who trim it.
        if !is_token(name) || value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(Refused::Header);
        }
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let said = digits(value).ok_or(Refused::Length)?;
                if length.replace(said).is_some() {
                    return Err(Refused::Length);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                // Once and alone: whatever else was done to the body would be taken for the body.
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refused::Coding);
                }
                chunked = true;
            }
            4 if name.eq_ignore_ascii_case(b"host") => hosts += 1,
            _ => {}
        }
    }
    if hosts > 1 || (modern && hosts == 0) {
        return Err(Refused::Host);
    }
    match (length, chunked) {
        (Some(_), true) => Err(Refused::Length),
        (None, true) if !modern => Err(Refused::Length),
        (None, true) => Ok(Framing::Chunked),
        (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// `METHOD TARGET HTTP/1.x`; whether it is HTTP/1.1.
fn request_line(line: &[u8]) -> Result<bool, Refused> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refused::NoRequest);
    };
    // A fragment is never sent; parsers cut it off, and so would ask for another key.
    if target.contains(&b'#') {
        return Err(Refused::Fragment);
    }
    // What hyper takes for a path, so that no request is left to its answer without words.
    let fits = |byte: &u8| !byte.is_ascii_control() && !b"<>`".contains(byte);
    if !target.iter().all(fits) || std::str::from_utf8(target).is_err() {
        return Err(Refused::Target);
    }
    if !is_token(method) || method == refused::METHOD.as_bytes() || target.is_empty() {
        return Err(Refused::NoRequest);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        version if version.starts_with(b"HTTP/") => Err(Refused::Version),
        _ => Err(Refused::NoRequest),
    }
}

/// RFC 9110, 5.6.2.
fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Lines that end with CR LF, the last without.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.take()?;
        match memchr::memchr(b'\n', rest) {
            Some(at) => {
                self.0 = Some(&rest[at + 1..]);
                // Every line feed was checked to stand behind a carriage return.
                Some(&rest[..at - 1])
            }
            None => Some(rest),
        }
    }
}

/// Digits and nothing else.
fn digits(text: &[u8]) -> Option<u64> {
    let plain = !text.is_empty() && text.len() < 20 && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(request: &str) -> Result<Framing, Refused> {
        let end = find_end(request.as_bytes(), 0)?.expect("a whole head");
        framing(&request.as_bytes()[..end])
    }

    fn judged(request: &str) -> Option<Framing> {
        judge(request).ok()
    }

    #[test]
    fn plain_requests_pass_with_the_length_of_their_body() {
        assert_eq!(judged("GET / HTTP/1.1\r\nhost: x\r\n\r\n"), Some(Framing::Length(0)));
        assert_eq!(judged("GET / HTTP/1.0\r\n\r\n"), Some(Framing::Length(0)));
        assert_eq!(judged("PUT / HTTP/1.1\r\nhost: x\r\nContent-Length:  12 \r\n\r\nrest"), Some(Framing::Length(12)));
        assert_eq!(judged("PUT / HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(Framing::Chunked));
        assert_eq!(judged("GET /ä\"{|}^\\ HTTP/1.1\r\nhost: x\r\n\r\n"), Some(Framing::Length(0)), "hyper takes it");
        assert_eq!(judged("\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n"), Some(Framing::Length(0)), "an empty line first");
    }

    #[test]
    fn whatever_can_be_read_in_two_ways_is_refused() {
        for head in [
            "host: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked",
            "host: x\r\ntransfer-encoding: chunked\r\ncontent-length: 1",
            "host: x\r\ncontent-length: 1\r\ncontent-length: 1",
            "host: x\r\ncontent-length: 1\r\nContent-Length: 2",
            "host: x\r\ncontent-length: 1, 1",
            "host: x\r\ncontent-length: +1",
            "host: x\r\ncontent-length:",
            "host: x\r\ncontent-length: 99999999999999999999",
            "host: x\r\ncontent-length : 1",
            "host: x\r\nx: a\r\n b",
            "host: x\r\nx: a\r\n\tb",
            "host: x\r\nno colon",
            "host: x\r\n: no name",
            "host: x\nx: y",
            "host: x\r\nhost: y",
            "x: y",
        ] {
            let request = format!("GET / HTTP/1.1\r\n{head}\r\n\r\n");
            assert_eq!(judged(&request), None, "{head:?}");
        }
        assert_eq!(judged("GET /v1/a#b HTTP/1.1\r\nhost: x\r\n\r\n"), None, "a fragment");
        assert_eq!(find_end("\u{16}\u{3}\u{1}".as_bytes(), 0), Err(Refused::NoRequest), "TLS");
        assert_eq!(judged("\nGET / HTTP/1.1\r\nhost: x\r\n\r\n"), None, "a bare line feed first");
    }

    #[test]
    fn every_refusal_has_its_reason() {
        let many = "x: y\r\n".repeat(MAX_HEADERS) + "x: y";
        for (head, reason) in [
            ("PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked", Refused::Coding),
            ("PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked", Refused::Coding),
            ("PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked", Refused::Coding),
            ("PUT / HTTP/1.0\r\ntransfer-encoding: chunked", Refused::Length),
            ("PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked", Refused::Length),
            ("GET / HTTP/2.0\r\nhost: x", Refused::Version),
            ("GET / HTTP/1.1", Refused::Host),
            ("GET  / HTTP/1.1\r\nhost: x", Refused::NoRequest),
            ("GET /\r\nhost: x", Refused::NoRequest),
            ("G(T / HTTP/1.1\r\nhost: x", Refused::NoRequest),
            ("REFUSED /0 HTTP/1.1\r\nhost: x", Refused::NoRequest),
            ("GET /a\u{7f} HTTP/1.1\r\nhost: x", Refused::Target),
            ("GET /<a> HTTP/1.1\r\nhost: x", Refused::Target),
            ("GET / HTTP/1.1\r\nhost: x\r\na b: c", Refused::Header),
            ("GET / HTTP/1.1\r\nhost: x\r\na: b\u{1}c", Refused::Header),
            (&format!("GET / HTTP/1.1\r\n{many}"), Refused::ManyHeaders),
        ] {
            assert_eq!(judge(&format!("{head}\r\n\r\n")), Err(reason), "{head:.80}");
        }
        assert_eq!(
            judge(&format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n\r\n", "x: y\r\n".repeat(63).trim_end())),
            Ok(Framing::Length(0))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_cut_and_one_that_reads_slowly_is_not() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (near, mut far) = tokio::io::duplex(16);
        let mut strict = Strict::new(near);
        let begun = Instant::now();
        let slow = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(WRITE_STALL * 9 / 10).await;
                far.read_exact(&mut [0; 16]).await.expect("it is sent");
            }
            far
        });
        strict.write_all(&[0; 16 * 11]).await.expect("a slow reader is waited for");
        assert!(begun.elapsed() > WRITE_STALL * 8, "control: it was slow");
        let _silent = slow.await.expect("no panic");
        let begun = Instant::now();
        let cut = strict.write_all(&[0]).await.expect_err("nobody reads");
        assert_eq!((cut.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, WRITE_STALL.as_secs()));
    }

    #[test]
    fn the_end_is_found_wherever_reads_are_cut() {
        let head = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        for cut in 1..head.len() {
            assert_eq!(find_end(&head[..cut], 0), Ok(None), "{cut}");
            assert_eq!(find_end(head, cut), Ok(Some(head.len())), "{cut}");
        }
    }
}
