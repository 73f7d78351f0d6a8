//! What is a run of the fleet made of? Its processes, keys, requests and origin, and what goes wrong.

use bellwether_core::time::Span;

/// What the origin goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Loads that begin meanwhile take this many times as long.
    Slow(u64),
    /// Loads that begin meanwhile are never answered: they end at the origin's timeout.
    Dead,
}

/// A time of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From the start of the run.
    pub from: Span,
    /// From the start of the run.
    pub until: Span,
    /// Which.
    pub trouble: Trouble,
}

/// What the caches hold when a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing.
    Empty,
    /// Every key was stored at some moment of the last ttl.
    Spread,
    /// Every key was stored at this very moment.
    Together,
    /// Every key has just expired; those who keep a grace still hold it.
    Expired,
    /// Most keys, as they lay on a disk: all past their ttl.
    Snapshot,
}

/// When requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// At random (Poisson), from the start of the run to its end.
    Random,
    /// Evenly, for so long.
    EvenFor(Span),
}

/// How requests choose their keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Popularity {
    /// Each key is as popular as the others.
    Equal,
    /// The n-th key is asked for 1 / n^exponent times as often as the first one (Zipf).
    Zipf(f64),
}

/// What processes remember themselves, beside the shared tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Copies, as long as they are fresh or in grace.
    Whole,
    /// Copies, each for so long at most (up to a tenth shorter), then it is asked for again.
    For(Span),
    /// None: every read is one of the shared tier. What reaches the origin is the same, and a fleet
    /// of a thousand processes needs no thousand copies of its keys here.
    None,
}

/// One run's parameters. The same for every policy set, which therefore all see the same requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What sets it apart from the scenario's other cases; empty if it has none.
    pub variant: &'static str,
    /// What happens, in a line.
    pub says: &'static str,
    /// Processes of the fleet.
    pub processes: u32,
    /// Keys.
    pub keys: u32,
    /// How popular each is.
    pub popularity: Popularity,
    /// Requests a second, all processes together.
    pub rate: f64,
    /// How they come.
    pub arrivals: Arrivals,
    /// What is stored at the start.
    pub start: Start,
    /// Each process has a list of what was read most before it was restarted.
    pub hot_list: bool,
    /// What processes remember themselves.
    pub memory: Memory,
    /// Of the space.
    pub ttl: Span,
    /// Of the space, for the sets that keep a grace.
    pub grace: Span,
    /// Of the space.
    pub jitter: f64,
    /// A caller's.
    pub timeout: Span,
    /// Of XFetch.
    pub beta: f64,
    /// Mean service time of a load.
    pub load: Span,
    /// Spread of the service time: sigma of a lognormal distribution, 0 for none.
    pub spread: f64,
    /// Loads the origin works on at once; others queue there. `None`: as many as come.
    pub capacity: Option<u32>,
    /// Loads that one process may have under way, where there is a guard.
    pub permits: u32,
    /// After this long a process gives up on a load.
    pub load_timeout: Span,
    /// What goes wrong at the origin.
    pub fault: Option<Fault>,
    /// From then on the next process that loads dies in the middle of its load.
    pub crash: Option<Span>,
    /// Keys are of three classes: a fifth is critical, half normal, the others low. How they fare is counted from this
    /// moment on, when the guard has learned what the origin bears. `None`: all are normal.
    pub classes: Option<Span>,
    /// The origin has none of the keys: what is kept of them is that they do not exist.
    pub missing: bool,
    /// So many others it has: those are what a filter is made of, where a set has one.
    pub existing: Option<u64>,
    /// One load in all is what nothing can avoid, however long the run.
    pub once: bool,
    /// Of the run.
    pub length: Span,
    /// Width of a point in the plots.
    pub bin: Span,
}

impl Default for Case {
    fn default() -> Case {
        Case {
            variant: "",
            says: "",
            processes: 50,
            keys: 1,
            popularity: Popularity::Equal,
            rate: 20_000.0,
            arrivals: Arrivals::Random,
            start: Start::Spread,
            hot_list: false,
            memory: Memory::Whole,
            ttl: Span::secs(60),
            grace: Span::secs(600),
            jitter: 0.10,
            timeout: Span::secs(1),
            beta: 1.0,
            load: Span::ms(200),
            spread: 0.3,
            capacity: None,
            permits: 16,
            load_timeout: Span::secs(2),
            fault: None,
            crash: None,
            classes: None,
            missing: false,
            existing: None,
            once: false,
            length: Span::secs(600),
            bin: Span::secs(2),
        }
    }
}

impl Case {
    /// Every parameter that a reader needs to judge the figures, in words.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let percent = |share: f64| format!("{} %", (share * 1000.0).round() / 10.0);
        let keys = match self.popularity {
            Popularity::Equal => self.keys.to_string(),
            Popularity::Zipf(exponent) => format!("{} (Zipf {exponent})", self.keys),
        };
        let mut all =
            vec![("processes", self.processes.to_string()), ("keys", keys), ("requests", format!("{}/s", self.rate))];
        if let Arrivals::EvenFor(span) = self.arrivals {
            all.push(("for", span.to_string()));
        }
        all.extend([
            ("run", self.length.to_string()),
            ("ttl", self.ttl.to_string()),
            ("grace", format!("{} (swr, lead, full)", self.grace)),
            ("jitter", percent(self.jitter)),
            ("a caller waits", self.timeout.to_string()),
            ("a load takes", format!("{} (lognormal, sigma {})", self.load, self.spread)),
            ("a load is given up after", self.load_timeout.to_string()),
            ("permits of a process", self.permits.to_string()),
            ("origin works on", self.capacity.map_or("any number at once".to_owned(), |n| format!("{n} at once"))),
            ("XFetch beta", self.beta.to_string()),
        ]);
        if let Some(from) = self.classes {
            all.push(("classes of keys", "critical 20 %, normal 50 %, low 30 %".to_owned()));
            all.push(("counted", format!("from {from} on")));
        }
        if self.missing {
            all.push(("the origin has", "none of the keys".to_owned()));
        }
        if self.hot_list {
            all.push(("hot list", "all keys by popularity; requests come from the first moment (full)".to_owned()));
        }
        if let Some(existing) = self.existing {
            all.push(("a filter is of", format!("{existing} other keys (full)")));
        }
        match self.memory {
            Memory::Whole => {}
            Memory::For(span) => all.push(("a copy in memory lives", span.to_string())),
            Memory::None => all.push(("memory", "none: reads are of the shared tier".to_owned())),
        }
        all
    }
}
