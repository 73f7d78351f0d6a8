//! Can this part of a key be a value of that type? The types of a statement's parameters parse the captures.
//!
//! One value, one text: `042`, `+42` and `42` are one integer to PostgreSQL, but three keys to a cache, and a removal
//! of one would miss the others. So types whose values have a usual form take that form alone.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::Capture;

/// The longest that PostgreSQL does not cut off.
const LONGEST_NAME: usize = 63;

/// What a parameter takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Int {
        least: i64,
        most: i64,
    },
    Bool,
    Uuid,
    /// At most so many bytes.
    Text(usize),
    /// A text that compares more loosely than by its bytes.
    LooseText,
    Number,
    Date,
    Timestamp,
    OneOf(Vec<String>),
}

impl Takes {
    /// `None`: no key can be read as one.
    pub(super) fn of(ty: &Type) -> Option<Takes> {
        let int = |least: i64, most: i64| Takes::Int { least, most };
        match ty.kind() {
            Kind::Domain(inner) => return Takes::of(inner),
            Kind::Enum(words) => return Some(Takes::OneOf(words.clone())),
            Kind::Simple => {}
            _ => return None,
        }
        Some(match *ty {
            Type::INT2 => int(i16::MIN.into(), i16::MAX.into()),
            Type::INT4 => int(i32::MIN.into(), i32::MAX.into()),
            Type::INT8 => int(i64::MIN, i64::MAX),
            Type::OID => int(0, u32::MAX.into()),
            Type::BOOL => Takes::Bool,
            Type::UUID => Takes::Uuid,
            Type::TEXT | Type::VARCHAR => Takes::Text(usize::MAX),
            Type::NAME => Takes::Text(LONGEST_NAME),
            Type::BPCHAR => Takes::LooseText,
            Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => Takes::Number,
            Type::DATE => Takes::Date,
            Type::TIMESTAMP | Type::TIMESTAMPTZ => Takes::Timestamp,
            _ if ty.name() == "citext" => Takes::LooseText,
            _ => return None,
        })
    }

    /// Whether equal values have equal texts, as keys and as PostgreSQL writes them.
    pub(super) fn is_exact(&self) -> bool {
        !matches!(self, Takes::LooseText | Takes::Number | Takes::Timestamp)
    }

    /// The value's text; `None` if it is no such value, so that no row can have it.
    pub(super) fn text<'c>(&self, capture: &'c Capture) -> Option<Cow<'c, str>> {
        let text = match capture {
            Capture::Int(number) => Cow::Owned(number.to_string()),
            Capture::Text(text) => Cow::Borrowed(text.as_str()),
        };
        self.takes(&text).then_some(text)
    }

    fn takes(&self, text: &str) -> bool {
        match self {
            Takes::Int { least, most } => {
                text.parse().is_ok_and(|number: i64| (*least..=*most).contains(&number) && number.to_string() == text)
            }
            Takes::Bool => text == "true" || text == "false",
            Takes::Uuid => is_uuid(text.as_bytes()),
            // A NUL can be in no text of PostgreSQL's.
            Takes::Text(longest) => text.len() <= *longest && !text.contains('\0'),
            Takes::LooseText => !text.contains('\0'),
            Takes::Number => is_number(text),
            Takes::Date => is_date(text),
            Takes::Timestamp => is_timestamp(text),
            Takes::OneOf(words) => words.iter().any(|word| word == text),
        }
    }
}

/// Lower case, with hyphens, as PostgreSQL writes it.
fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Digits with at most one point between them, and a sign in front of them.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    // No type of PostgreSQL holds more.
    all_digits(whole) && all_digits(fraction) && whole.len() <= 131_072 && fraction.len() <= 16_383
}

/// `2026-02-28`, in the years that have four digits.
fn is_date(text: &str) -> bool {
    let Some([year, month, day]) = numbers(text, '-', [4, 2, 2]) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    year > 0 && (1..=12).contains(&month) && (1..=days).contains(&day)
}

/// `2026-02-28T12:00:00`, or with a space for the `T`; a fraction of at most six digits and an offset (`Z`, `+02`,
/// `+02:00`) may follow.
fn is_timestamp(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', ' ']) else { return false };
    let (time, offset) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let in_day = numbers(clock, ':', [2, 2, 2]).is_some_and(|[h, m, s]| h < 24 && m < 60 && s < 60);
    let fraction = (1..=6).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    is_date(date) && in_day && fraction && is_offset(offset)
}

fn is_offset(text: &str) -> bool {
    let Some(offset) = text.strip_prefix(['+', '-']) else { return text == "Z" };
    let hours = numbers(offset, ':', [2]).is_some_and(|[h]| h < 16);
    hours || numbers(offset, ':', [2, 2]).is_some_and(|[h, m]| h < 16 && m < 60)
}

/// Numbers of just so many digits.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[u32; N]> {
    let mut found = [0; N];
    let mut parts = text.split(between);
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// A list of values as PostgreSQL writes an array: each in quotes, so that none of them is `NULL` or ends the list.
pub(super) fn array<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let mut out = String::from("{");
    for (at, text) in texts.into_iter().enumerate() {
        out.push_str(if at == 0 { "\"" } else { ",\"" });
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push('}');
    out
}

/// A bound value as a text, which the server reads by the parameter's type.
pub(super) struct Bound<'t>(pub(super) Option<Cow<'t, str>>);

/// Its value is a part of somebody's key: no log shows it.
impl fmt::Debug for Bound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl ToSql for Bound<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(match &self.0 {
            None => IsNull::Yes,
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(ty: &Type, text: &str) -> bool {
        Takes::of(ty).expect("a type that keys can be read as").text(&text.into()).is_some()
    }

    #[test]
    fn an_integer_is_what_fits_in_its_usual_form_alone() {
        for (ty, most) in [(Type::INT2, "32767"), (Type::INT4, "2147483647"), (Type::INT8, "9223372036854775807")] {
            assert!(takes(&ty, most) && takes(&ty, "0") && takes(&ty, "-1"), "{ty}");
            for text in ["", "abc", "042", "+7", "-0", "1.0", " 1", "1 ", "0x1", "9223372036854775808", "1_000", "١"] {
                assert!(!takes(&ty, text), "{ty}: {text}");
            }
        }
        assert!(!takes(&Type::INT2, "32768") && takes(&Type::INT2, "-32768"));
        assert!(!takes(&Type::INT4, "2147483648") && !takes(&Type::OID, "-1"));
        assert_eq!(Takes::of(&Type::INT4).expect("known").text(&Capture::Int(1 << 31)), None);
        assert_eq!(Takes::of(&Type::TEXT).expect("known").text(&Capture::Int(7)).as_deref(), Some("7"));
    }

    #[test]
    fn other_types_take_what_they_write() {
        let right = [
            (Type::BOOL, vec!["true", "false"]),
            (Type::UUID, vec!["0123abcd-0000-4000-8000-00000000000f"]),
            (Type::TEXT, vec!["", "x", "'; DROP TABLE t; --", "é"]),
            (Type::NUMERIC, vec!["1", "-1.50", "0.000000000000000000001", "99999999999999999999999"]),
            (Type::FLOAT8, vec!["1.5"]),
            (Type::DATE, vec!["2026-02-28", "2024-02-29", "0001-01-01", "9999-12-31", "2000-02-29"]),
            (Type::TIMESTAMPTZ, vec!["2026-02-28T12:00:00Z", "2026-02-28 12:00:00.123456+02", "2026-02-28T12:00:00"]),
            (Type::TIMESTAMP, vec!["2026-02-28T23:59:59-15:59"]),
        ];
        for (ty, texts) in right {
            texts.iter().for_each(|text| assert!(takes(&ty, text), "{ty}: {text}"));
        }
        let wrong = [
            (Type::BOOL, vec!["1", "t", "TRUE", ""]),
            (Type::UUID, vec!["0123ABCD-0000-4000-8000-00000000000f", "{0123abcd-0000-4000-8000-00000000000f}", "x"]),
            (Type::TEXT, vec!["a\0b"]),
            (Type::NUMERIC, vec!["", ".", "1.", ".5", "NaN", "Infinity", "1e5", "+1", "1,5", " 1", "--1"]),
            (
                Type::DATE,
                vec!["2026-02-29", "1900-02-29", "2026-13-01", "2026-00-01", "2026-1-1", "0000-01-01", "today"],
            ),
            (Type::DATE, vec!["infinity", "2026-02-28T00:00:00", "28.02.2026", "2026-02-28-01", "-026-01-01"]),
            (
                Type::TIMESTAMPTZ,
                vec!["now", "2026-02-28", "2026-02-28T24:00:00", "2026-02-28T12:00:00.", "2026-02-28T12:00"],
            ),
            (Type::TIMESTAMPTZ, vec!["2026-02-28T12:00:00+1", "2026-02-28T12:00:00+16", "2026-02-28T12:00:00 UTC"]),
        ];
        for (ty, texts) in wrong {
            texts.iter().for_each(|text| assert!(!takes(&ty, text), "{ty}: {text}"));
        }
        assert!(takes(&Type::NAME, &"x".repeat(63)) && !takes(&Type::NAME, &"x".repeat(64)));
        assert_eq!(Takes::of(&Type::INET), None);
        assert_eq!(Takes::of(&Type::INT4_ARRAY), None);
    }

    #[test]
    fn a_list_is_quoted_whatever_it_holds() {
        assert_eq!(array([]), "{}");
        assert_eq!(array(["1", "2"]), r#"{"1","2"}"#);
        assert_eq!(array(["NULL", "a\"b", "c\\", "},{", "'; DROP"]), r#"{"NULL","a\"b","c\\","},{","'; DROP"}"#);
    }

    #[test]
    fn a_bound_value_never_shows() {
        assert_eq!(format!("{:?}", [Bound(Some("secret".into()))]), "[***]");
    }
}
