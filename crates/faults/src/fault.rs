//! What can be wrong with a connection?

use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    /// Both.
    pub const BOTH: [Direction; 2] = [Direction::ToServer, Direction::ToClient];
}

/// How connections are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As a program does that is done (FIN).
    Close,
    /// As a kernel does for a program that is gone (RST): what was under way is lost.
    Reset,
}

/// What is wrong with one direction. Chances are from 0 to 1 for each chunk: what one read of the proxy brings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Every chunk arrives so much later; chunks do not wait for each other's latency.
    pub latency: Duration,
    /// And up to so much later still. Chunks keep their order.
    pub jitter: Duration,
    /// Bytes a second.
    pub bandwidth: Option<u64>,
    /// Chunks arrive in small pieces.
    pub slice: Option<Slice>,
    /// The chance that a bit of a chunk is flipped.
    pub corrupt: f64,
    /// The chance that a chunk arrives twice.
    pub duplicate: f64,
    /// The chance that both sides are reset in the middle of a chunk.
    pub reset: f64,
    /// The end of the stream is told so much later.
    pub slow_close: Duration,
    /// Everything is taken and thrown away: who waits for an answer waits for ever.
    pub swallow: bool,
    /// Nothing gets through, neither bytes nor the end, until this is off again: the other side is silently dead.
    pub dead: bool,
}

/// How chunks are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The longest piece; each has from one to so many bytes.
    pub bytes: usize,
    /// Between two pieces.
    pub pause: Duration,
}

impl Faults {
    /// Nothing is wrong.
    pub const NONE: Faults = Faults {
        latency: Duration::ZERO,
        jitter: Duration::ZERO,
        bandwidth: None,
        slice: None,
        corrupt: 0.0,
        duplicate: 0.0,
        reset: 0.0,
        slow_close: Duration::ZERO,
        swallow: false,
        dead: false,
    };
}

impl Default for Faults {
    fn default() -> Faults {
        Faults::NONE
    }
}
