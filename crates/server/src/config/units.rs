//! What do "250ms", "256 MiB", "1000/s" and "10%" mean?

use super::problem::{Wrong, did_you_mean, one_of};
use bellwether_core::time::Span;

/// "250ms", "60s", "10m", "6h", "2d".
pub(super) fn duration(text: &str) -> Result<Span, Wrong> {
    Span::parse(text).map_err(|_| {
        let wrong = Wrong::expected("a duration such as \"250ms\", \"60s\", \"10m\", \"6h\" or \"2d\"");
        let compact: String = text.split_whitespace().collect::<String>().to_lowercase();
        let digits = compact.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = match compact.strip_prefix(digits).unwrap_or_default() {
            "" | "sec" | "secs" | "second" | "seconds" => "s",
            "msec" | "millis" | "milliseconds" => "ms",
            "min" | "mins" | "minute" | "minutes" => "m",
            "hour" | "hours" => "h",
            "day" | "days" => "d",
            other => other,
        };
        let meant = format!("{digits}{unit}");
        if Span::parse(&meant).is_ok() {
            wrong.hint(format!("write \"{meant}\""))
        } else if digits.contains('.') {
            wrong.hint("whole numbers only: \"1500ms\" instead of \"1.5s\"")
        } else if Span::parse(&format!("1{unit}")).is_ok() && digits.bytes().all(|b| b.is_ascii_digit()) {
            wrong.hint("at most 400 days")
        } else {
            wrong
        }
    })
}

const SIZE_UNITS: [(&str, u64); 5] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// "256 MiB", with or without the space.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let wrong = || Wrong::expected("a size above zero such as \"64 KiB\", \"256 MiB\" or \"4 GiB\"");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let Ok(number) = number.parse::<u64>() else { return Err(wrong()) };
    let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        // MB is 1000 or 1024 squared, depending on whom one asks: not guessed.
        let first = unit.bytes().next().map(|b| b.to_ascii_uppercase());
        let meant = SIZE_UNITS.iter().find(|(name, _)| name.bytes().next() == first).map_or("MiB", |(name, _)| name);
        return Err(wrong().hint(format!("write \"{number} {meant}\"")));
    };
    number.checked_mul(*factor).filter(|&bytes| bytes > 0).ok_or_else(wrong)
}

/// "1000/s".
pub(super) fn rate(text: &str) -> Result<f64, Wrong> {
    let wrong = || Wrong::expected("a rate above zero such as \"1000/s\"");
    let Some(number) = text.strip_suffix("/s") else {
        return Err(match decimal(text.trim()) {
            Some(number) if number > 0.0 => wrong().hint(format!("write \"{}/s\"", text.trim())),
            _ => wrong(),
        });
    };
    decimal(number.trim()).filter(|&rate| rate > 0.0).ok_or_else(wrong)
}

/// "10%", as a share of one.
pub(super) fn percentage(text: &str) -> Result<f64, Wrong> {
    let wrong = || {
        let wrong = Wrong::expected("a percentage from \"0%\" to \"100%\", such as \"10%\"");
        match decimal(text) {
            // Most who write 0.5 mean a half.
            Some(share) if share <= 1.0 && text.contains('.') => {
                wrong.hint(format!("write \"{}%\" for a share of {text}", (share * 1e6).round() / 1e4))
            }
            Some(_) => wrong.hint(format!("write \"{text}%\"")),
            None => wrong,
        }
    };
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    decimal(number.trim()).filter(|&percent| percent <= 100.0).map(|percent| percent / 100.0).ok_or_else(wrong)
}

/// Digits with at most one point: no sign, no exponent, no "inf".
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if plain { text.parse().ok().filter(|n: &f64| n.is_finite()) } else { None }
}

/// One word of a closed list.
pub(super) fn choice<T: Clone>(text: &str, choices: &[(&str, T)]) -> Result<T, Wrong> {
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(value.clone());
    }
    let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let wrong = Wrong::expected(one_of(words.iter().map(String::as_str)));
    Err(match did_you_mean(text, choices.iter().map(|(word, _)| *word)) {
        Some(meant) => wrong.hint(format!("did you mean \"{meant}\"?")),
        None => wrong,
    })
}
