//! Where does Bellwether lose? At the hop: a map in the caller's own process needs no socket.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::failure::Failure;
use crate::side::Running;
use crate::words::count;

/// Hits that are timed, one after another.
const HITS: usize = 2_000;
/// Lookups that are timed together: one alone is shorter than the clock's own cost.
const LOOKUPS: u32 = 1_000;
/// All of them take at most this long.
const LIMIT: Duration = Duration::from_secs(5);
/// The page that is asked for; warm on both sides.
const ID: u32 = 1;

/// Medians, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Hop {
    /// A hit over Bellwether's socket.
    pub(crate) bellwether_us: f64,
    /// A hit of the plain map over its socket.
    pub(crate) plain_us: f64,
    /// A hit of the plain map without any socket.
    pub(crate) map_us: f64,
}

impl Hop {
    pub(crate) fn lines(&self) -> Vec<String> {
        let times = (self.bellwether_us / self.map_us.max(0.001)).round();
        vec![
            "Where Bellwether loses: its hop. Median of a hit, one caller at a time:".to_owned(),
            format!("  {:>9.2} us  bellwether over its socket", self.bellwether_us),
            format!("  {:>9.2} us  plain cache-aside over an ordinary tokio socket", self.plain_us),
            format!(
                "  {:>9.2} us  its map inside the caller's own process: {} times faster",
                self.map_us,
                count(times as u64)
            ),
        ]
    }
}

/// Times hits on both sides, which must hold the page.
pub(crate) fn measure(plain: &Running, ours: &Running) -> Result<Hop, Failure> {
    let map = plain.cache().map_or(0.0, |cache| {
        median((0..HITS / 10).map(|_| {
            let begun = Instant::now();
            (0..LOOKUPS).for_each(|_| drop(std::hint::black_box(cache.cached(ID))));
            begun.elapsed().as_secs_f64() * 1e6 / f64::from(LOOKUPS)
        }))
    });
    let mut sockets = [socket(plain.address())?, socket(ours.address())?];
    let mut times = [Vec::new(), Vec::new()];
    let until = Instant::now() + LIMIT;
    // Turn by turn, so that a busy moment of the machine meets both.
    while times[1].len() < HITS && (Instant::now() < until || times[1].is_empty()) {
        for (stream, times) in sockets.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            hit(stream)?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    let [plain, ours] = times.map(|times| median(times.into_iter()));
    Ok(Hop { bellwether_us: ours, plain_us: plain, map_us: map })
}

fn socket(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// One GET and its whole reply.
fn hit(stream: &mut TcpStream) -> io::Result<()> {
    let key = format!("product:{ID}");
    stream.write_all(format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()).as_bytes())?;
    let mut buffer = [0; 1024];
    let mut have = 0;
    loop {
        let read = stream.read(buffer.get_mut(have..).unwrap_or_default())?;
        have += read;
        // A page is one bulk string: `$length`, the page, a line end.
        match (read, &buffer[..have]) {
            (0, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
            (_, [b'$', .., b'}', b'\r', b'\n']) => return Ok(()),
            (_, [b'$', ..]) => {}
            _ => return Err(io::Error::other("a hit was answered with something else than a page")),
        }
    }
}

fn median(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
