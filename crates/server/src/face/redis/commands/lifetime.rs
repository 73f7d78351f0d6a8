//! Until when shall a value live? Relative and absolute ends, in seconds and milliseconds.

use std::time::{SystemTime, UNIX_EPOCH};

use bellwether::Span;
use bellwether_resp::{eq_ignore_case, parse_i64};

use super::words;

/// Milliseconds since 1970, for times that clients name absolutely.
pub(super) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// In which unit and from when a client names the end of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    UnixSeconds,
    UnixMillis,
}

impl Unit {
    /// Of an option of SET and GETEX.
    pub(super) fn option(word: &[u8]) -> Option<Unit> {
        let units =
            [("ex", Unit::Seconds), ("px", Unit::Millis), ("exat", Unit::UnixSeconds), ("pxat", Unit::UnixMillis)];
        units.into_iter().find(|(name, _)| eq_ignore_case(word, name)).map(|(_, unit)| unit)
    }

    /// `number` of this unit in milliseconds; `None` beyond all bounds.
    fn millis(self, number: i64) -> Option<i64> {
        match self {
            Unit::Seconds | Unit::UnixSeconds => number.checked_mul(1000),
            Unit::Millis | Unit::UnixMillis => Some(number),
        }
    }

    /// Time from now on, in milliseconds: negative for a moment that has passed. `None` if the end
    /// lies beyond what Redis can say as a moment.
    pub(super) fn left(self, number: i64) -> Option<i64> {
        let millis = self.millis(number)?;
        match self {
            Unit::Seconds | Unit::Millis => millis.checked_add(unix_ms()).map(|_| millis),
            Unit::UnixSeconds | Unit::UnixMillis => Some(millis.saturating_sub(unix_ms())),
        }
    }
}

/// The time that SET and its like let a value live: zero if its end has passed.
pub(super) fn lifetime(text: &[u8], unit: Unit, command: &str) -> Result<Span, String> {
    let number = parse_i64(text).ok_or(words::NO_INTEGER)?;
    if number <= 0 {
        return Err(words::invalid_expire(command));
    }
    let left = unit.left(number).ok_or_else(|| words::invalid_expire(command))?;
    Ok(Span(u64::try_from(left).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_positive_and_in_bounds() {
        assert_eq!(lifetime(b"5", Unit::Seconds, "set"), Ok(Span::secs(5)));
        assert_eq!(lifetime(b"5", Unit::Millis, "set"), Ok(Span::ms(5)));
        assert_eq!(lifetime(b"5", Unit::UnixSeconds, "set"), Ok(Span::ZERO), "long ago");
        for text in ["0", "-1", "9223372036854775807"] {
            for unit in [Unit::Seconds, Unit::Millis] {
                let refused = lifetime(text.as_bytes(), unit, "set");
                assert_eq!(refused, Err("ERR invalid expire time in 'set' command".to_owned()), "{text}");
            }
        }
        assert!(lifetime(b"9223372036854775807", Unit::UnixMillis, "set").is_ok(), "a moment that can be said");
        assert_eq!(lifetime(b"x", Unit::Seconds, "set"), Err(words::NO_INTEGER.to_owned()));
    }
}
