//! What can be asked of `simulate`, and how are its words read?

use std::path::PathBuf;

use bellwether_sim::replay::Format;
use bellwether_sim::scenarios::{Level, Scenario, Set};

/// The most seeds of one run.
pub(super) const MOST_SEEDS: u64 = 1_000;

const EXAMPLES: &str = "Examples:\n  \
    bellwether simulate                              every scenario, every policy set\n  \
    bellwether simulate --list                       what there is\n  \
    bellwether simulate --policy full --seeds 8      does all of Bellwether hold whatever the seed?\n  \
    bellwether simulate S4 --seed 7 --html out.html  one scenario, with its pictures\n  \
    bellwether simulate S2 --policy naive,lead --html report.html\n  \
    bellwether simulate --trace requests.csv --memory 64MiB,256MiB --ttl 60s,10m --eviction auto,lru\n\n\
    The same arguments make the same bytes.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Which scenarios, or `list`; all of them unless named
    #[arg(value_name = "SCENARIO", conflicts_with = "trace")]
    pub(super) scenarios: Vec<String>,
    /// Tell of scenarios (all, or those named) and policy sets, and run nothing
    #[arg(long, conflicts_with = "trace")]
    pub(super) list: bool,
    /// Which policy sets, or levels (naive, partial, full), divided by commas; all of them unless named
    #[arg(long, value_name = "SET", value_delimiter = ',', conflicts_with = "trace")]
    pub(super) policy: Vec<String>,
    /// Chooses the requests, service times and every draw
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Run so many seeds, from --seed on; the tables show means, how far seeds differ and which ones miss what
    #[arg(long, value_name = "K", default_value_t = 1, conflicts_with = "trace")]
    pub(super) seeds: u64,
    /// Processes of the fleet, instead of the scenario's own
    #[arg(long, value_name = "N", conflicts_with = "trace")]
    pub(super) processes: Option<u32>,
    /// Requests a second, such as 20000/s: instead of the scenario's own; or for a trace without times
    #[arg(long, value_name = "RATE")]
    pub(super) rate: Option<String>,
    /// XFetch's beta
    #[arg(long, value_name = "BETA", allow_negative_numbers = true, conflicts_with = "trace")]
    pub(super) beta: Option<f64>,
    /// Replay this trace (CSV, big-endian 32-bit keys, or ARC's .lis; plain, .xz or .zst) through the memory tier
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
    /// How the trace is written: auto, csv, be32 or lis
    #[arg(long, value_name = "FORMAT", default_value = "auto", requires = "trace")]
    pub(super) format: String,
    /// Memory limits to try; 1 %, 5 % and 20 % of what all keys need unless named
    #[arg(long, value_name = "SIZE", value_delimiter = ',', requires = "trace")]
    pub(super) memory: Vec<String>,
    /// Ttls to try; 1h unless named
    #[arg(long, value_name = "TIME", value_delimiter = ',', requires = "trace")]
    pub(super) ttl: Vec<String>,
    /// Graces to try; 0s unless named
    #[arg(long, value_name = "TIME", value_delimiter = ',', requires = "trace")]
    pub(super) grace: Vec<String>,
    /// Eviction policies to try: auto, lru, lfu, fifo, s3-fifo, sieve; auto unless named
    #[arg(long, value_name = "POLICY", value_delimiter = ',', requires = "trace")]
    pub(super) eviction: Vec<String>,
    /// A value's size where the trace names none; 1KiB unless named
    #[arg(long, value_name = "SIZE", requires = "trace")]
    pub(super) size: Option<String>,
    /// Only the first N requests of the trace
    #[arg(long, value_name = "N", requires = "trace")]
    pub(super) limit: Option<usize>,
    /// Also write everything, the course over time included, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Also write the figures as CSV
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
    /// Also write a page with plots
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
}

impl Arguments {
    /// What is set that only a trace heeds. `requires` does not see it where a scenario is named, which no trace allows.
    pub(super) fn of_a_trace(&self) -> Vec<&'static str> {
        let set = [
            ("--format", self.format != "auto"),
            ("--memory", !self.memory.is_empty()),
            ("--ttl", !self.ttl.is_empty()),
            ("--grace", !self.grace.is_empty()),
            ("--eviction", !self.eviction.is_empty()),
            ("--size", self.size.is_some()),
            ("--limit", self.limit.is_some()),
        ];
        set.into_iter().filter_map(|(option, set)| set.then_some(option)).collect()
    }
}

/// "unknown scenario "s3": …", with the closest that there is.
fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let lower = word.to_ascii_lowercase();
    let distance = |name: &&str| strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase());
    let closest = known.iter().copied().min_by_key(distance).filter(|name| distance(name) <= (word.len() / 3).max(1));
    let meant = closest.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default();
    format!("unknown {what} \"{word}\": expected one of {}{meant}", known.join(", "))
}

/// Words read one by one, what is said twice once; every mistake at once.
fn each<T: PartialEq>(words: &[String], read: impl Fn(&str) -> Result<T, String>, wrong: &mut Vec<String>) -> Vec<T> {
    let mut found = Vec::new();
    for word in words {
        match read(word.trim()) {
            Ok(value) if found.contains(&value) => {}
            Ok(value) => found.push(value),
            Err(words) => wrong.push(words),
        }
    }
    found
}

pub(super) fn scenarios(words: &[String], wrong: &mut Vec<String>) -> Vec<Scenario> {
    let known = Scenario::ALL.map(Scenario::as_str);
    let read = |word: &str| {
        Scenario::parse(word)
            .ok_or_else(|| unknown("scenario", word, &known) + " (bellwether simulate --list shows them)")
    };
    let mut named = each(words, read, wrong);
    named.sort_unstable();
    if words.is_empty() { Scenario::ALL.to_vec() } else { named }
}

/// Which sets are asked for: words of sets, or of levels.
pub(super) struct Asked(Vec<String>);

impl Asked {
    /// Whether this set is meant.
    pub(super) fn for_set(&self, set: &Set) -> bool {
        let meant =
            |word: &String| word.eq_ignore_ascii_case(set.word) || word.eq_ignore_ascii_case(set.level.as_str());
        self.0.is_empty() || self.0.iter().any(meant)
    }
}

/// `known`: the sets of the scenarios that are asked for.
pub(super) fn policies(words: &[String], known: &[Set], wrong: &mut Vec<String>) -> Asked {
    let mut names: Vec<&str> = Vec::new();
    for name in known.iter().map(|set| set.word).chain(Level::ALL.map(Level::as_str)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let read = |word: &str| match names.iter().any(|name| name.eq_ignore_ascii_case(word)) {
        true => Ok(word.to_owned()),
        false => Err(unknown("policy set", word, &names)),
    };
    Asked(each(words, read, wrong))
}

pub(super) fn format(word: &str, wrong: &mut Vec<String>) -> Format {
    let known = Format::ALL.map(Format::as_str);
    Format::parse(word).unwrap_or_else(|| {
        wrong.push(unknown("format", word, &known));
        Format::Auto
    })
}

pub(super) fn evictions(words: &[String], wrong: &mut Vec<String>) -> Vec<bellwether_sim::replay::Eviction> {
    use bellwether_sim::replay::Eviction;
    let known = Eviction::ALL.map(Eviction::as_str);
    let named = each(words, |word| word.parse().map_err(|_| unknown("eviction policy", word, &known)), wrong);
    if words.is_empty() { vec![Eviction::Auto] } else { named }
}

/// Lengths of time, or `default`.
pub(super) fn times(
    option: &str,
    words: &[String],
    default: bellwether_sim::replay::Span,
    wrong: &mut Vec<String>,
) -> Vec<bellwether_sim::replay::Span> {
    use bellwether_sim::replay::Span;
    let named = each(words, |word| Span::parse(word).map_err(|text| format!("{option}: {text}")), wrong);
    if words.is_empty() { vec![default] } else { named }
}

pub(super) fn sizes(option: &str, words: &[String], wrong: &mut Vec<String>) -> Vec<u64> {
    each(
        words,
        |word| {
            size(word).ok_or_else(|| {
                format!("{option}: expected a size such as \"64KiB\", \"256MiB\" or \"4GiB\", found \"{word}\"")
            })
        },
        wrong,
    )
}

/// "64MiB", "64 MiB".
fn size(word: &str) -> Option<u64> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = word[..digits].parse().ok()?;
    let unit = match word[digits..].trim() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1u64 << 30,
        _ => return None,
    };
    number.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// "20000/s" or "20000".
pub(super) fn rate(word: Option<&String>, wrong: &mut Vec<String>) -> Option<f64> {
    let word = word?;
    let number = word.strip_suffix("/s").unwrap_or(word).trim().parse::<f64>().ok();
    let rate = number.filter(|rate| rate.is_finite() && *rate > 0.0);
    if rate.is_none() {
        wrong.push(format!("--rate: expected a rate above zero such as \"20000/s\", found \"{word}\""));
    }
    rate
}
