//! Where do logs go, and what do they never show? To stderr; keys only as a hash, unless asked for.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

/// The filter, such as `debug` or `bellwether_server=trace,info`; `RUST_LOG` where it is not set.
const FILTER: &str = "BELLWETHER_LOG";
/// Set to `plain`, logs show keys as they are.
const KEYS: &str = "BELLWETHER_LOG_KEYS";
/// Bytes of a key that is shown.
const SHOWN: usize = 128;

/// Starts logging: one line an event, on stderr.
///
/// # Errors
/// A filter that can't be read, with the variable's name; or a program that logs already.
pub fn init() -> Result<(), String> {
    let set = |name: &'static str| std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| (name, text));
    let filter = match set(FILTER).or_else(|| set("RUST_LOG")) {
        None => EnvFilter::new("info"),
        Some((name, text)) => EnvFilter::try_new(&text).map_err(|error| format!("{name}={text}: {error}"))?,
    };
    let colours = io::IsTerminal::is_terminal(&io::stderr());
    let subscriber = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(colours).with_env_filter(filter);
    subscriber.try_init().map_err(|error| error.to_string())
}

/// A key in a log: the same key is the same word as long as the process lives, and tells nobody
/// what it was.
pub fn key(bytes: &[u8]) -> impl fmt::Display {
    Key { bytes, plain: *plain() }
}

struct Key<'a> {
    bytes: &'a [u8],
    plain: bool,
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plain {
            return write!(f, "{}", self.bytes[..self.bytes.len().min(SHOWN)].escape_ascii());
        }
        // Seeded by the process: a table of hashed keys is worth nothing elsewhere.
        static SEED: OnceLock<RandomState> = OnceLock::new();
        write!(f, "#{:016x}", SEED.get_or_init(RandomState::new).hash_one(self.bytes))
    }
}

fn plain() -> &'static bool {
    static PLAIN: OnceLock<bool> = OnceLock::new();
    PLAIN.get_or_init(|| std::env::var(KEYS).is_ok_and(|text| text == "plain"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_log_is_recognised_and_not_shown() {
        let shown = key(b"session:secret").to_string();
        assert_eq!(shown, key(b"session:secret").to_string());
        assert_ne!(shown, key(b"session:other").to_string());
        assert!(!shown.contains("secret"), "{shown}");
        let plain = Key { bytes: b"session:\r\nx", plain: true }.to_string();
        assert_eq!(plain, "session:\\r\\nx", "control: shown on demand, on one line");
    }
}
