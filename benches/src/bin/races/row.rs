//! What is a row of the race table, and when is it won?

use futures_util::future::BoxFuture;

/// One race of one contender; the drill's name and words, as far as a library can play it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) race: &'static str,
    /// What has to come out: parts as they have to be, or with a bound, such as "1, >= 95".
    pub(crate) wanted: &'static str,
    /// Plays it; what comes out.
    pub(crate) run: fn() -> BoxFuture<'static, String>,
}

impl Row {
    /// Is this what is wanted?
    pub(crate) fn is_won(&self, came_out: &str) -> bool {
        let (wanted, found) = (self.wanted.split(", "), came_out.split(", "));
        wanted.clone().count() == found.clone().count() && wanted.zip(found).all(|(wanted, found)| fits(wanted, found))
    }
}

fn fits(wanted: &str, found: &str) -> bool {
    let number = |text: &str| text.trim_end_matches(" ms").parse::<f64>().ok();
    let bound = |sign: &str| Some((number(found)?, number(wanted.strip_prefix(sign)?)?));
    if let Some((found, most)) = bound("<= ") {
        found <= most
    } else if let Some((found, least)) = bound(">= ") {
        found >= least
    } else if let Some((found, beyond)) = bound("< ") {
        found < beyond
    } else {
        found == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_won_by_what_is_wanted_part_by_part() {
        let row = |wanted| Row { name: "", race: "", wanted, run: || Box::pin(async { String::new() }) };
        for (wanted, won, lost) in [
            ("1, 100", "1, 100", ["2, 100", "1, 99", "1", "1, 100, 0"]),
            ("1, >= 95", "1, 95", ["1, 94", "2, 95", "1, none", "1, hangs"]),
            ("<= 1.5, 0", "1.0, 0", ["1.6, 0", "1.0, 1", "1.0", "hangs"]),
            ("1, 100, < 20 ms", "1, 100, 19 ms", ["1, 100, 20 ms", "1, 99, 5 ms", "1, 100", "1, 100, ms"]),
            ("0/20", "0/20", ["1/20", "0/20 (1 hang)", "", "no batches"]),
        ] {
            assert!(row(wanted).is_won(won), "{wanted}: {won}");
            for lost in lost {
                assert!(!row(wanted).is_won(lost), "{wanted}: {lost}");
            }
        }
    }
}
