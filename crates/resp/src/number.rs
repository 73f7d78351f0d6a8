//! Is this a number, spelled the one way Redis accepts?

/// Redis's `string2ll`: canonical decimal only. No `+`, no leading zeros, no `-0`, no blanks, nothing
/// outside `i64`. Being laxer than Redis would let one byte stream have two meanings.
///
/// ```
/// # use bellwether_resp::parse_i64;
/// assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
/// for odd in ["", "-", "+1", "01", "-0", " 1", "1 ", "9223372036854775808"] {
///     assert_eq!(parse_i64(odd.as_bytes()), None);
/// }
/// ```
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        b"0" => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    // Summed up below zero, where i64 has room for one more than above.
    let mut sum: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        sum = sum.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(sum) } else { sum.checked_neg() }
}

/// Digits that [`short_length`] reads: no overflow of `u32`, and every length that is common.
const SHORT_DIGITS: usize = 9;

/// The fast path for the lines that make up nearly all traffic: a canonical length of at most nine digits
/// and its two-byte line end at the start of `text`. Returns the length and the bytes it took. `None`
/// decides nothing: incomplete, odd or wrong is for the slow path to tell.
#[inline]
pub(crate) fn short_length(text: &[u8]) -> Option<(u32, usize)> {
    let mut length = 0;
    for (i, &byte) in text.iter().take(SHORT_DIGITS + 1).enumerate() {
        match byte {
            b'0'..=b'9' if i < SHORT_DIGITS => length = length * 10 + u32::from(byte - b'0'),
            b'\r' if i > 0 && text.len() > i + 1 && (i == 1 || text[0] != b'0') => return Some((length, i + 2)),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_i64_are_numbers_and_the_next_ones_are_not() {
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_i64(b"-9223372036854775809"), None);
        assert_eq!(parse_i64(b"92233720368547758070"), None);
        for odd in ["1a", "a", "--1", "0x1", "00", "1\0", "\u{661}", "NaN", "1e3", "-01"] {
            assert_eq!(parse_i64(odd.as_bytes()), None, "{odd:?}");
        }
    }

    #[test]
    fn the_fast_path_never_says_other_than_the_slow_one() {
        for text in ["0", "1", "10", "999999999", "1000000000", "01", "", "-1", "+1", "1 ", "00"] {
            let line = format!("{text}\r\n");
            let slow = parse_i64(text.as_bytes());
            match short_length(line.as_bytes()) {
                Some((length, used)) => assert_eq!((Some(i64::from(length)), used), (slow, line.len()), "{text:?}"),
                None => assert!(slow.is_none_or(|n| !(0..=999_999_999).contains(&n)), "{text:?}"),
            }
            assert_eq!(short_length(&line.as_bytes()[..line.len() - 1]), None, "{text:?} without its last byte");
        }
    }
}
