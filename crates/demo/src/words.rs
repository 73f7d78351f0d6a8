//! How are numbers said to people?

/// 20000 as 20,000.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds as milliseconds, with a fraction where it says something.
pub(crate) fn millis(micros: u32) -> String {
    let millis = f64::from(micros) / 1e3;
    match micros {
        0..1_000 => format!("{millis:.2}"),
        1_000..10_000 => format!("{millis:.1}"),
        _ => count(millis.round() as u64),
    }
}

/// Milliseconds as seconds.
pub(crate) fn seconds(millis: u64) -> String {
    format!("{}.{}", millis / 1_000, millis % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_people_read_them() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([70, 4_250, 98_400, 1_000_000].map(millis), ["0.07", "4.2", "98", "1,000"]);
        assert_eq!([0, 1_250, 60_000].map(seconds), ["0.0", "1.2", "60.0"]);
    }
}
