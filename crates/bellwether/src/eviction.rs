//! Who goes first when memory is full? A closed list of policies.

use std::fmt;
use std::str::FromStr;

/// How the memory tier chooses what to push out. All keep the same limit; they differ in what
/// stays, in the cost of a hit and in bytes per entry: BENCHMARKS.md shows all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Eviction {
    /// Two rings and ghosts, a variant of Clock-Pro (Jiang, Chen, Zhang, USENIX ATC 2005), tuned over recorded traces: the
    /// best hit ratio of those here, the cheapest hit and the smallest entry.
    #[default]
    Auto,
    /// Least recently used first.
    Lru,
    /// Least frequently used first, as W-TinyLFU reckons it.
    Lfu,
    /// Oldest first, however often it is asked for.
    Fifo,
    /// Three queues: what is asked for once leaves early (Yang et al., "FIFO queues are all you
    /// need for cache eviction", SOSP 2023).
    S3Fifo,
    /// One queue and a hand that passes by what was asked for (Zhang et al., "SIEVE is simpler
    /// than LRU", NSDI 2024).
    Sieve,
}

impl Eviction {
    /// All of them.
    pub const ALL: [Eviction; 6] =
        [Eviction::Auto, Eviction::Lru, Eviction::Lfu, Eviction::Fifo, Eviction::S3Fifo, Eviction::Sieve];

    /// The word in configuration and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Eviction::Auto => "auto",
            Eviction::Lru => "lru",
            Eviction::Lfu => "lfu",
            Eviction::Fifo => "fifo",
            Eviction::S3Fifo => "s3-fifo",
            Eviction::Sieve => "sieve",
        }
    }

    /// Whether this build has it: all but `auto` need the cargo feature `foyer`.
    pub const fn is_built_in(self) -> bool {
        matches!(self, Eviction::Auto) || cfg!(feature = "foyer")
    }
}

impl fmt::Display for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Eviction {
    type Err = String;

    /// ```
    /// use bellwether::Eviction;
    /// assert_eq!("s3-fifo".parse(), Ok(Eviction::S3Fifo));
    /// assert!("s3fifo".parse::<Eviction>().is_err_and(|error| error.contains("\"s3-fifo\"")));
    /// ```
    fn from_str(word: &str) -> Result<Eviction, String> {
        Eviction::ALL.into_iter().find(|policy| policy.as_str() == word).ok_or_else(|| {
            let words = Eviction::ALL.map(|policy| format!("\"{policy}\"")).join(", ");
            format!("expected one of {words}, found \"{word}\"")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_reads_back_as_it_prints() {
        for policy in Eviction::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!(Eviction::default(), Eviction::Auto);
        assert!(Eviction::Auto.is_built_in());
    }
}
