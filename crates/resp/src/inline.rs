//! How is a line typed by hand cut into arguments? Redis's `sdssplitargs`, quirks included.

use crate::args::Span;
use crate::error::ProtocolError;

/// C's `isspace`: what separates arguments and may follow a closing quote.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// What ends an unquoted argument. Narrower than [`is_space`] in Redis too: `a\vb` is one argument.
fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Cuts `line` (without its line end, and without NUL: the line search stops there) into arguments,
/// unescaped into `text`, their places in `spans`. Both are the parser's, cleared by it.
pub(crate) fn split(line: &[u8], text: &mut Vec<u8>, spans: &mut Vec<Span>) -> Result<(), ProtocolError> {
    let mut rest = line;
    loop {
        rest = &rest[rest.iter().take_while(|&&byte| is_space(byte)).count()..];
        if rest.is_empty() {
            return Ok(());
        }
        let start = text.len() as u32;
        rest = word(rest, text)?;
        spans.push(Span { start, end: text.len() as u32 });
    }
}

/// Appends the argument at the start of `rest`; returns what follows it. Quotes may open inside a word
/// (`a"b c"` is `ab c`) but must close at its end.
fn word<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        match rest {
            [b'"', inside @ ..] => return quoted(inside, text, b'"', double_quoted),
            [b'\'', inside @ ..] => return quoted(inside, text, b'\'', single_quoted),
            [byte, after @ ..] if !ends_word(*byte) => {
                text.push(*byte);
                rest = after;
            }
            end => return Ok(end),
        }
    }
}

/// Appends what stands between quotes, one `step` at a time; returns what follows the closing `quote`,
/// which must be a blank or nothing.
fn quoted<'a>(
    mut rest: &'a [u8],
    text: &mut Vec<u8>,
    quote: u8,
    step: fn(&[u8]) -> (u8, usize),
) -> Result<&'a [u8], ProtocolError> {
    loop {
        match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [byte, after @ ..] if *byte == quote => {
                return match after.first() {
                    Some(&next) if !is_space(next) => Err(ProtocolError::UnbalancedQuotes),
                    _ => Ok(after),
                };
            }
            _ => {
                let (byte, used) = step(rest);
                text.push(byte);
                rest = &rest[used..];
            }
        }
    }
}

/// One byte between double quotes, and how many bytes spelled it; `rest` isn't empty.
fn double_quoted(rest: &[u8]) -> (u8, usize) {
    match rest {
        [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            (hex(*high) * 16 + hex(*low), 4)
        }
        [b'\\', escaped, ..] => {
            let byte = match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 0x08,
                b'a' => 0x07,
                other => *other,
            };
            (byte, 2)
        }
        _ => (rest[0], 1),
    }
}

/// One byte between single quotes, where only the quote itself can be escaped.
fn single_quoted(rest: &[u8]) -> (u8, usize) {
    match rest {
        [b'\\', b'\'', ..] => (b'\'', 2),
        _ => (rest[0], 1),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let (mut text, mut spans) = (Vec::new(), Vec::new());
        split(line, &mut text, &mut spans)?;
        Ok(spans.iter().map(|span| text[span.start as usize..span.end as usize].to_vec()).collect())
    }

    #[test]
    fn quoting_is_redis_quoting() {
        let table: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b" \t\x0b\x0c ", &[]),
            (b"GET  key ", &[b"GET", b"key"]),
            (b"a\x0bb", &[b"a\x0bb"]),
            (b"\"\" ''", &[b"", b""]),
            (b"\"\\x41\\xfF\\x4\\xg0\"", &[b"A\xffx4xg0"]),
            (b"\"\\n\\r\\t\\b\\a\\\\\\\"\\q\"", &[b"\n\r\t\x08\x07\\\"q"]),
            (b"'\\n\\'\\x41'", &[b"\\n'\\x41"]),
            (b"a\"b c\" d", &[b"ab c", b"d"]),
            (b"\\x41 \\\"x\"", &[b"\\x41", b"\\x"]),
            (b"\"it's\" 'say \"'", &[b"it's", b"say \""]),
            (b"\"a\"\x0b\"b\"", &[b"a", b"b"]),
        ];
        for (line, want) in table {
            let got = cut(line).unwrap_or_else(|e| panic!("{:?}: {e}", line.escape_ascii().to_string()));
            assert_eq!(got, want.iter().map(|w| w.to_vec()).collect::<Vec<_>>(), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn quotes_must_close_at_a_words_end() {
        for line in ["\"", "'", "\"a", "\"a\\\"", "'a\\'", "\"a\"b", "'a'b", "\"a\"'b'", "a\"", "\"\\"] {
            assert_eq!(cut(line.as_bytes()), Err(ProtocolError::UnbalancedQuotes), "{line}");
        }
    }
}
