//! May this body still come in, or go out? What all requests hold at once is bounded, not only each by itself.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};

use super::reply::{self, Body};
use crate::allowance::{Allowance, Part};

/// The longest body: that of a value, or of a list of keys.
const MAX_BODY: usize = 8 << 20;
/// Bytes of all bodies under way. Thousands of clients that send slowly must not hold gigabytes.
const MAX_BODIES: usize = 256 << 20;
/// A body must have come after so long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Bodies on their way: those that a server's clients are sending, and the answers that were put
/// together for them and are not taken yet. Its listeners' connections share one.
#[derive(Clone, Debug)]
pub struct Bodies {
    coming: Allowance,
    going: Allowance,
}

impl Default for Bodies {
    fn default() -> Bodies {
        Bodies { coming: Allowance::of(MAX_BODIES), going: Allowance::of(MAX_BODIES) }
    }
}

/// A body with its part of [`MAX_BODIES`], which it gives back when dropped.
#[derive(Debug)]
pub(super) struct Received {
    bytes: BytesMut,
    part: Part,
}

/// Why a body was not read to its end.
#[derive(Debug)]
pub(super) enum Unread {
    TooLong,
    TooSlow,
    TooMany,
    Broken,
}

impl Unread {
    /// What stays unread would be taken for a request: the connection's last answer.
    pub(super) fn reply(self) -> Response<Body> {
        let (status, words) = match self {
            Unread::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 8 MiB"),
            Unread::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body did not come in 30 s"),
            Unread::TooMany => (StatusCode::SERVICE_UNAVAILABLE, "too many bodies are on their way: ask again"),
            Unread::Broken => (StatusCode::BAD_REQUEST, "the body could not be read to its end"),
        };
        reply::closing(reply::error(status, words, None, None))
    }
}

impl Bodies {
    /// Reads a body to its end.
    pub(super) async fn whole(&self, body: Incoming) -> Result<Received, Unread> {
        // A declared length is believed only when it is too long.
        if body.size_hint().lower() > MAX_BODY as u64 {
            return Err(Unread::TooLong);
        }
        tokio::time::timeout(TIMEOUT, collect(body, self.received())).await.unwrap_or(Err(Unread::TooSlow))
    }

    /// The part of an answer that is put together, to be kept until its client has taken it.
    pub(super) fn going(&self) -> Part {
        self.going.part()
    }

    fn received(&self) -> Received {
        Received { bytes: BytesMut::new(), part: self.coming.part() }
    }
}

async fn collect(mut body: Incoming, mut received: Received) -> Result<Received, Unread> {
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        received.add(&data)?;
    }
    Ok(received)
}

impl Received {
    /// Copies: frames are slices of buffers that may be much larger than they are.
    fn add(&mut self, data: &Bytes) -> Result<(), Unread> {
        if self.bytes.len() + data.len() > MAX_BODY {
            return Err(Unread::TooLong);
        }
        if !self.part.set(self.bytes.len() + data.len()) {
            return Err(Unread::TooMany);
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

impl std::ops::Deref for Received {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bodies_together_are_bounded_and_their_room_comes_back() {
        let (part, bodies, others) = (Bytes::from(vec![0; MAX_BODY]), Bodies::default(), Bodies::default());
        let all = || {
            let mut held = Vec::new();
            loop {
                let mut received = bodies.received();
                match received.add(&part) {
                    Ok(()) => held.push(received),
                    Err(Unread::TooMany) => return held,
                    Err(other) => panic!("{other:?}"),
                }
            }
        };
        let held = all();
        assert_eq!(held.len(), MAX_BODIES / MAX_BODY);
        assert!(others.received().add(&part).is_ok(), "another server in the same process has room of its own");
        assert_eq!(Unread::TooMany.reply().status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(held);
        let mut again = all();
        assert_eq!(again.len(), MAX_BODIES / MAX_BODY, "nothing is lost");
        let longest = again.last_mut().expect("some");
        assert!(matches!(longest.add(&Bytes::from_static(b"x")), Err(Unread::TooLong)));
    }
}
