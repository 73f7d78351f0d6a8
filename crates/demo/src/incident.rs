//! Which incidents are played?

use std::fmt;

/// What happens to the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// The most wanted entry expires while everybody looks at it.
    HotKey,
    /// A crowd asks at once for what nobody has asked for before.
    Cold,
    /// One product's traffic grows a hundredfold.
    Influencer,
    /// Prices change, entries are removed, readers go on reading.
    Removal,
    /// The database answers with errors.
    Outage,
    /// The database becomes ten times slower.
    Slow,
    /// Everything expires at the same moment.
    Avalanche,
}

impl Incident {
    /// All of them, in the order in which they are played.
    pub const ALL: [Incident; 7] = [
        Incident::HotKey,
        Incident::Cold,
        Incident::Influencer,
        Incident::Removal,
        Incident::Outage,
        Incident::Slow,
        Incident::Avalanche,
    ];

    /// As in `--only`; counts from 1.
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// As in `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Incident::HotKey => "hot-key",
            Incident::Cold => "cold",
            Incident::Influencer => "influencer",
            Incident::Removal => "removal",
            Incident::Outage => "outage",
            Incident::Slow => "slow",
            Incident::Avalanche => "avalanche",
        }
    }

    /// What happens, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Incident::HotKey => "the most wanted entry expires under load",
            Incident::Cold => "a crowd asks at once for one slow page that is not cached",
            Incident::Influencer => "one product's traffic grows 100-fold",
            Incident::Removal => "its price changes, its entry is removed",
            Incident::Outage => "every query of the database fails for a while",
            Incident::Slow => "every query takes ten times as long",
            Incident::Avalanche => "every entry expires at the same moment",
        }
    }

    /// The incident that `word` names or numbers.
    ///
    /// # Errors
    /// What may be written instead, and which of it was most likely meant.
    pub fn parse(word: &str) -> Result<Incident, String> {
        let lower = word.trim().to_lowercase();
        let named = |i: &Incident| i.name() == lower || i.number().to_string() == lower;
        if let Some(found) = Incident::ALL.into_iter().find(named) {
            return Ok(found);
        }
        let distance = |i: &Incident| strsim::damerau_levenshtein(&lower, i.name());
        // A third of the letters may differ: beyond that a guess sends people astray.
        let near = |i: &Incident| distance(i) <= (i.name().len().max(lower.len()) / 3).max(1);
        let hint = Incident::ALL.into_iter().filter(near).min_by_key(distance);
        let hint = hint.map_or_else(String::new, |i| format!("; did you mean '{}'?", i.name()));
        let known: Vec<String> = Incident::ALL.iter().map(|i| format!("{} {}", i.number(), i.name())).collect();
        Err(format!("no incident '{}'{hint}; there are: {}", word.escape_debug(), known.join(", ")))
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_goes_by_its_number_or_its_name() {
        for incident in Incident::ALL {
            assert_eq!(Incident::parse(incident.name()), Ok(incident));
            assert_eq!(Incident::parse(&incident.number().to_string()), Ok(incident));
        }
        assert_eq!(Incident::parse(" Hot-Key "), Ok(Incident::HotKey));
    }

    #[test]
    fn an_unknown_one_is_answered_with_the_list_and_the_nearest() {
        let words = Incident::parse("avalance").expect_err("no such incident");
        assert!(words.contains("did you mean 'avalanche'?") && words.contains("3 influencer"), "{words}");
        let words = Incident::parse("8").expect_err("there are seven");
        assert!(!words.contains("did you mean") && words.contains("7 avalanche"), "{words}");
    }
}
