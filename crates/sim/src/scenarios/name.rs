//! What is done to the fleet? The scenarios, from the incidents this product exists for.

/// An incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// A flash sale finds its key expired.
    S1,
    /// A popular key expires again and again.
    S2,
    /// The process that loads a popular key dies.
    S3,
    /// One key goes viral.
    S4,
    /// A large fleet is restarted, instance by instance.
    S5,
    /// Thousands of keys that were stored together expire together.
    S6,
    /// Many servers read one key out of their own memory.
    S7,
    /// The whole fleet starts with nothing.
    S8,
    /// Somebody asks for keys that do not exist.
    S9,
    /// The origin becomes slow, or dies, for a minute.
    S10,
    /// Somebody asks for one page under ever new parameters.
    S11,
    /// The node that holds a hot key dies.
    S12,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Scenario; 12] = [
        Scenario::S1,
        Scenario::S2,
        Scenario::S3,
        Scenario::S4,
        Scenario::S5,
        Scenario::S6,
        Scenario::S7,
        Scenario::S8,
        Scenario::S9,
        Scenario::S10,
        Scenario::S11,
        Scenario::S12,
    ];

    /// The word on the command line and in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scenario::S1 => "S1",
            Scenario::S2 => "S2",
            Scenario::S3 => "S3",
            Scenario::S4 => "S4",
            Scenario::S5 => "S5",
            Scenario::S6 => "S6",
            Scenario::S7 => "S7",
            Scenario::S8 => "S8",
            Scenario::S9 => "S9",
            Scenario::S10 => "S10",
            Scenario::S11 => "S11",
            Scenario::S12 => "S12",
        }
    }

    /// What happens, in a line.
    pub const fn says(self) -> &'static str {
        match self {
            Scenario::S1 => {
                "a flash sale's requests on one expired key, all within 100 ms, or while it is removed 500 times a second"
            }
            Scenario::S2 => "one key at 20,000 requests/s expires every minute",
            Scenario::S3 => "the process that loads a key at 20,000 requests/s dies while it loads",
            Scenario::S4 => "one key goes from 500 to 80,000 requests/s in a moment",
            Scenario::S5 => "500 instances are restarted, one a second",
            Scenario::S6 => "5,000 keys expire at :00 every hour",
            Scenario::S7 => "50 servers read one key 200,000 times a second",
            Scenario::S8 => "a fleet of 1,000 instances starts with nothing",
            Scenario::S9 => "100,000 requests/s for keys that do not exist",
            Scenario::S10 => "the origin is 10 x slower, or dead, for 60 s, or asked for 3 x what it bears",
            Scenario::S11 => "a flood of requests for one page under ever new parameters",
            Scenario::S12 => "the node that holds a key at 80,000 requests/s dies",
        }
    }

    /// The scenario named `word`, in any letter case.
    pub fn parse(word: &str) -> Option<Scenario> {
        Scenario::ALL.into_iter().find(|scenario| scenario.as_str().eq_ignore_ascii_case(word))
    }
}
