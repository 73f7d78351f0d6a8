//! How does a number read? Separators, percentages, times and sizes, the same in table and page.

use bellwether_core::time::Span;

/// 20000 -> "20,000".
pub fn whole(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text whose numbers of five digits and more are written as people write them: "requests 100000000/s" -> "requests 100,000,000/s".
pub(crate) fn grouped(text: &str) -> String {
    let (mut done, mut rest) = (String::with_capacity(text.len() + 8), text);
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let (digits, after) = from.split_at(from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len()));
        done.push_str(before);
        // What stands behind a point is no number by itself.
        match digits.parse() {
            Ok(n) if digits.len() >= 5 && !done.ends_with('.') => done.push_str(&whole(n)),
            _ => done.push_str(digits),
        }
        rest = after;
    }
    done + rest
}

/// As many digits as mean something: "20,000", "17.5", "1.02".
pub(crate) fn number(n: f64) -> String {
    match n {
        n if !n.is_finite() => "-".to_owned(),
        n if n >= 100.0 || n.fract() == 0.0 => whole(n.round() as u64),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// A share of `of`: "99.94 %". Only all of it reads 100 %, only none of it 0 %.
pub(crate) fn percent(part: f64, of: f64) -> String {
    if of <= 0.0 {
        return "-".to_owned();
    }
    let share = 100.0 * part / of;
    match share {
        share if share <= 0.0 => "0 %".to_owned(),
        share if share < 0.01 => "< 0.01 %".to_owned(),
        share if share >= 100.0 => "100 %".to_owned(),
        share if share >= 99.995 => "> 99.99 %".to_owned(),
        share => format!("{share:.2} %"),
    }
}

/// "0", "210 ms", "1.5 s", "4 min".
pub(crate) fn time(span: Span) -> String {
    match span.0 {
        0 => "0".to_owned(),
        ms @ 1..1_000 => format!("{ms} ms"),
        ms @ 1_000..120_000 if ms.is_multiple_of(1_000) => format!("{} s", ms / 1_000),
        ms @ 1_000..120_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        ms @ 120_000..7_200_000 => format!("{} min", ms / 60_000),
        ms => format!("{:.1} h", ms as f64 / 3_600_000.0),
    }
}

/// "64 MiB", "1.5 GiB".
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let digits = if scaled.fract() == 0.0 || scaled >= 100.0 { 0 } else { 1 };
    format!("{scaled:.digits$} {}", units[unit])
}

/// Text inside HTML or SVG.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A field of a CSV file (RFC 4180).
pub(crate) fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!((whole(0), whole(999), whole(20_000)), ("0".into(), "999".into(), "20,000".into()));
        assert_eq!((number(1.0), number(2.728), number(34.94)), ("1".into(), "2.73".into(), "34.9".into()));
        assert_eq!(percent(99_999.0, 100_000.0), "> 99.99 %");
        assert_eq!(
            (percent(1.0, 1.0), percent(0.0, 1.0), percent(1.0, 1e6)),
            ("100 %".into(), "0 %".into(), "< 0.01 %".into())
        );
        assert_eq!((time(Span(1_500)), time(Span::secs(3))), ("1.5 s".into(), "3 s".into()));
        assert_eq!((size(64 << 20), size(1536 << 20), size(100)), ("64 MiB".into(), "1.5 GiB".into(), "100 B".into()));
    }

    #[test]
    fn long_numbers_in_a_text_are_grouped_and_nothing_else_is_changed() {
        for (text, read) in [
            ("100000000/s: 20/s for each key", "100,000,000/s: 20/s for each key"),
            ("6, 40000/s each", "6, 40,000/s each"),
            ("1000 ms, 0.123456 and 20000.5", "1000 ms, 0.123456 and 20,000.5"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("", ""),
            ("übrig", "übrig"),
        ] {
            assert_eq!(grouped(text), read);
        }
    }

    #[test]
    fn what_others_wrote_stays_text() {
        assert_eq!(escaped("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
        assert_eq!((field("a,\"b\""), field("ab")), ("\"a,\"\"b\"\"\"".into(), "ab".into()));
    }
}
