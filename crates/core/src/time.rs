//! What time is it? Milliseconds as data: the core never reads a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment, in milliseconds of one process's clock (CLOCK_BOOTTIME in production, virtual in
/// the simulator). Ticks of different processes are never compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u64);

impl Tick {
    /// The latest moment there is: "never".
    pub const NEVER: Tick = Tick(u64::MAX);

    /// Time since `earlier`, zero if `earlier` lies ahead.
    pub fn since(self, earlier: Tick) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// The longest span a policy may name (400 days, the cap of the stored envelope).
    pub const LONGEST: Span = Span(400 * 24 * 3600 * 1000);

    /// `n` whole seconds.
    pub const fn secs(n: u64) -> Span {
        Span(n * 1000)
    }

    /// `n` milliseconds.
    pub const fn ms(n: u64) -> Span {
        Span(n)
    }

    /// This span times `factor`, rounded down; a negative or NaN factor gives zero.
    pub fn scale(self, factor: f64) -> Span {
        Span((self.0 as f64 * factor) as u64)
    }

    /// As milliseconds in 32 bits, at most `u32::MAX` (49 days).
    pub fn as_u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    /// The shorter of the two.
    pub fn at_most(self, other: Span) -> Span {
        Span(self.0.min(other.0))
    }

    /// Reads "250ms", "60s", "10m", "6h", "2d" (one whole number and one unit).
    ///
    /// # Errors
    /// A sentence that says what was expected.
    ///
    /// ```
    /// use bellwether_core::time::Span;
    /// assert_eq!(Span::parse("90s"), Ok(Span::secs(90)));
    /// assert!(Span::parse("90").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Span, String> {
        let expected =
            || format!("expected a duration such as \"250ms\", \"60s\", \"10m\", \"6h\" or \"2d\", found \"{text}\"");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().map_err(|_| expected())?;
        let unit: u64 = match &text[digits..] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(expected()),
        };
        match number.checked_mul(unit) {
            Some(ms) if ms <= Span::LONGEST.0 => Ok(Span(ms)),
            _ => Err(format!("\"{text}\" is longer than the limit of 400 days")),
        }
    }
}

impl Add<Span> for Tick {
    type Output = Tick;
    fn add(self, span: Span) -> Tick {
        Tick(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Tick {
    type Output = Tick;
    fn sub(self, span: Span) -> Tick {
        Tick(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl From<Duration> for Span {
    /// Rounds up: a positive duration never becomes zero.
    fn from(d: Duration) -> Span {
        let ms = d.as_nanos().div_ceil(1_000_000);
        Span(u64::try_from(ms).unwrap_or(u64::MAX))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        Duration::from_millis(span.0)
    }
}

impl fmt::Display for Span {
    /// The shortest exact form: `1500ms`, `60s`, `10m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0s"),
            n if n % 86_400_000 == 0 => write!(f, "{}d", n / 86_400_000),
            n if n % 3_600_000 == 0 => write!(f, "{}h", n / 3_600_000),
            n if n % 60_000 == 0 => write!(f, "{}m", n / 60_000),
            n if n % 1000 == 0 => write!(f, "{}s", n / 1000),
            n => write!(f, "{n}ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_they_print() {
        for text in ["1ms", "1500ms", "60s", "90s", "10m", "6h", "2d", "400d"] {
            let span = Span::parse(text).expect(text);
            assert_eq!(Span::parse(&span.to_string()), Ok(span), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "60", "-1s", "1.5s", "60 s", "1w", "401d", "99999999999999999999s", "١s"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_positive_duration_never_becomes_zero() {
        assert_eq!(Span::from(Duration::from_nanos(1)), Span(1));
        assert_eq!(Span::from(Duration::ZERO), Span::ZERO);
    }
}
