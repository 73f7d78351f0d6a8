//! Which moment of the calendar does a text name? "2026-12-01T18:00:00Z", as RFC 3339 writes it.

/// Milliseconds since 1970 of a moment such as "2026-12-01T18:00:00Z", "2026-12-01T19:00:00.5+01:00" or
/// "2026-12-01T18:00Z".
///
/// # Errors
/// What was expected.
///
/// ```
/// use bellwether_core::moment::parse;
/// assert_eq!(parse("1970-01-02T00:00:01Z"), Ok(86_401_000));
/// assert_eq!(parse("2026-12-01T19:00:00+01:00"), parse("2026-12-01T18:00:00Z"));
/// assert!(parse("tomorrow").is_err());
/// ```
pub fn parse(text: &str) -> Result<u64, &'static str> {
    read(text).ok_or("a moment such as \"2026-12-01T18:00:00Z\" or \"2026-12-01T19:00:00+01:00\"")
}

fn read(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let (time, offset) = zone(rest)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (clock, fraction) = time.split_once('.').map_or((time, ""), |(clock, fraction)| (clock, fraction));
    let [hour, minute, second] = match clock.len() {
        5 if fraction.is_empty() => {
            let [hour, minute] = numbers(clock, ':', [2, 2])?;
            [hour, minute, 0]
        }
        _ => numbers(clock, ':', [2, 2, 2])?,
    };
    let inside = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let millis = millis(fraction, time.contains('.'))?;
    let minutes = (days_before(year, month, day) * 24 + hour) * 60 + minute - offset;
    let ms = (minutes * 60 + second) * 1000 + millis;
    u64::try_from(ms).ok().filter(|_| inside)
}

/// The time without its zone, and the zone in minutes east of Greenwich.
fn zone(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let at = text.rfind(['+', '-'])?;
    let (time, zone) = text.split_at(at);
    let [hours, minutes] = numbers(zone.get(1..)?, ':', [2, 2])?;
    let offset = hours * 60 + minutes;
    (hours < 24 && minutes < 60).then_some((time, if zone.starts_with('-') { -offset } else { offset }))
}

/// Exactly these many numbers of these many digits.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut parts = text.split(between);
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// The first three digits behind the point.
fn millis(fraction: &str, there: bool) -> Option<i64> {
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return (!there).then_some(0);
    }
    format!("{fraction:0<3}").get(..3)?.parse().ok()
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the beginning of 1970.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leaps(before) - leaps(1969);
    years + (1..month.clamp(1, 12)).map(|month| days_in(year, month)).sum::<i64>() + day - 1
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn moments_are_read_as_rfc_3339_writes_them() {
        // By `date -u -d … +%s`.
        for (text, seconds) in [
            ("2026-12-01T18:00:00Z", 1_796_148_000),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("2026-12-01 19:30+01:30", 1_796_148_000),
            ("2026-11-30T23:00:00-19:00", 1_796_148_000),
        ] {
            assert_eq!(parse(text), Ok(seconds * 1000), "{text}");
        }
        assert_eq!(parse("1970-01-01T00:00:00.0625Z"), Ok(62));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "18:00",
            "2026-12-01",
            "2026-12-01T18:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-12-01T24:00:00Z",
            "2026-12-01T18:00:60Z",
            "2026-12-01T18:00:00.Z",
            "2026-12-1T18:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-12-01T18:00:00+1:00",
            "１970-01-01T00:00:00Z",
            "2026-12-01T18:00:00Zé",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
