//! What is done to the fleet? The scenarios, from the incidents this product exists for.

use bellwether_core::time::Span;

/// An incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// A flash sale finds its key expired.
    S1,
    /// A popular key expires again and again.
    S2,
    /// Thousands of keys that were stored together expire together.
    S6,
    /// The origin becomes slow, or dies, for a minute.
    S10,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Scenario; 4] = [Scenario::S1, Scenario::S2, Scenario::S6, Scenario::S10];

    /// The word on the command line and in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scenario::S1 => "S1",
            Scenario::S2 => "S2",
            Scenario::S6 => "S6",
            Scenario::S10 => "S10",
        }
    }

    /// What happens, in a line.
    pub const fn says(self) -> &'static str {
        match self {
            Scenario::S1 => "20,000 concurrent requests on one expired key (a flash sale)",
            Scenario::S2 => "one key at 20,000 requests/s expires every minute",
            Scenario::S6 => "5,000 keys expire at :00 every hour",
            Scenario::S10 => "the origin is 10 x slower, or dead, for 60 s",
        }
    }

    /// What is measured against the bound, and what the bound is.
    pub const fn measure(self) -> &'static str {
        match self {
            Scenario::S1 => "loads",
            Scenario::S2 => "loads per period",
            Scenario::S6 => "peak loads in 1 s",
            Scenario::S10 => "amplification",
        }
    }

    /// Why nothing can do better.
    pub const fn bound_says(self) -> &'static str {
        match self {
            Scenario::S1 => "1 load; 0 blocked if any copy exists",
            Scenario::S2 => "1 load a period; elapsed / mean(stamped ttl - lead) loads in all",
            Scenario::S6 => "keys / ttl: the same loads spread evenly",
            Scenario::S10 => "no more loads than without the fault; 100 % answered from stale",
        }
    }

    /// The scenario named `word`, in any letter case.
    pub fn parse(word: &str) -> Option<Scenario> {
        Scenario::ALL.into_iter().find(|scenario| scenario.as_str().eq_ignore_ascii_case(word))
    }
}

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
    /// Every key was stored at some moment of the last ttl.
    Spread,
    /// Every key was stored at this very moment.
    Together,
    /// Every key has just expired; those who keep a grace still hold it.
    Expired,
}

/// When requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// At random (Poisson), from the start of the run to its end.
    Random,
    /// Evenly, for so long.
    EvenFor(Span),
}

/// One run's parameters. The same for every policy set, which therefore all see the same requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Of which scenario.
    pub scenario: Scenario,
    /// What sets it apart from the scenario's other cases; empty if it has none.
    pub variant: &'static str,
    /// What happens, in a line.
    pub says: &'static str,
    /// Processes of the fleet.
    pub processes: u32,
    /// Keys, equally popular.
    pub keys: u32,
    /// Requests a second, all processes together.
    pub rate: f64,
    /// How they come.
    pub arrivals: Arrivals,
    /// What is stored at the start.
    pub start: Start,
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
    /// After this long a process gives up on a load.
    pub load_timeout: Span,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// Of the run.
    pub length: Span,
    /// Width of a point in the plots.
    pub bin: Span,
}

impl Case {
    fn of(scenario: Scenario) -> Case {
        Case {
            scenario,
            variant: "",
            says: scenario.says(),
            processes: 50,
            keys: 1,
            rate: 20_000.0,
            arrivals: Arrivals::Random,
            start: Start::Spread,
            ttl: Span::secs(60),
            grace: Span::secs(600),
            jitter: 0.10,
            timeout: Span::secs(1),
            beta: 1.0,
            load: Span::ms(200),
            spread: 0.3,
            capacity: None,
            load_timeout: Span::secs(2),
            fault: None,
            length: Span::secs(600),
            bin: Span::secs(2),
        }
    }

    /// A scenario's cases at the size that the design names.
    pub fn all(scenario: Scenario) -> Vec<Case> {
        let case = Case::of(scenario);
        match scenario {
            Scenario::S1 => vec![Case {
                rate: 200_000.0,
                arrivals: Arrivals::EvenFor(Span::ms(100)),
                start: Start::Expired,
                capacity: Some(100),
                length: Span::secs(3),
                bin: Span::ms(20),
                ..case
            }],
            Scenario::S2 => vec![case],
            Scenario::S6 => {
                let hourly = Case {
                    keys: 5_000,
                    start: Start::Together,
                    ttl: Span::secs(3_600),
                    grace: Span::secs(3_600),
                    length: Span::secs(2 * 3_600 + 600),
                    bin: Span::secs(20),
                    ..case
                };
                let even = Case {
                    variant: "no jitter",
                    says: "5,000 keys stored together expire together, every hour",
                    jitter: 0.0,
                    ..hourly.clone()
                };
                vec![
                    even,
                    Case {
                        variant: "10 % jitter",
                        says: "5,000 keys stored together, each ttl up to 10 % shorter",
                        ..hourly
                    },
                ]
            }
            Scenario::S10 => {
                let minute = |trouble| Some(Fault { from: Span::secs(60), until: Span::secs(120), trouble });
                let troubled = Case {
                    keys: 50,
                    ttl: Span::secs(10),
                    load: Span::ms(50),
                    capacity: Some(64),
                    length: Span::secs(240),
                    bin: Span::secs(1),
                    ..case
                };
                let slow = Case {
                    variant: "slow",
                    says: "the origin is 10 x slower for 60 s",
                    fault: minute(Trouble::Slow(10)),
                    ..troubled.clone()
                };
                vec![
                    slow,
                    Case {
                        variant: "dead",
                        says: "the origin is dead for 60 s: every load hangs until it is given up",
                        fault: minute(Trouble::Dead),
                        ..troubled
                    },
                ]
            }
        }
    }

    /// "S6, no jitter".
    pub fn name(&self) -> String {
        match self.variant {
            "" => self.scenario.as_str().to_owned(),
            variant => format!("{}, {variant}", self.scenario.as_str()),
        }
    }

    /// What nothing can do better than, in the scenario's measure.
    pub fn bound(&self) -> f64 {
        match self.scenario {
            Scenario::S1 | Scenario::S2 | Scenario::S10 => 1.0,
            Scenario::S6 => f64::from(self.keys) * 1000.0 / self.ttl.0 as f64,
        }
    }

    /// Every parameter that a reader needs to judge the figures, in words.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let percent = |share: f64| format!("{} %", (share * 1000.0).round() / 10.0);
        let mut all = vec![
            ("processes", self.processes.to_string()),
            ("keys", self.keys.to_string()),
            ("requests", format!("{}/s", self.rate)),
        ];
        if let Arrivals::EvenFor(span) = self.arrivals {
            all.push(("for", span.to_string()));
        }
        all.extend([
            ("run", self.length.to_string()),
            ("ttl", self.ttl.to_string()),
            ("grace", format!("{} (swr, lead)", self.grace)),
            ("jitter", percent(self.jitter)),
            ("a caller waits", self.timeout.to_string()),
            ("a load takes", format!("{} (lognormal, sigma {})", self.load, self.spread)),
            ("a load is given up after", self.load_timeout.to_string()),
            ("origin works on", self.capacity.map_or("any number at once".to_owned(), |n| format!("{n} at once"))),
            ("XFetch beta", self.beta.to_string()),
        ]);
        all
    }
}
