//! What must hold for every stream of bytes? Called by the fuzzer, and by a test for each input that it found.

use crate::{Limits, Parsed, Parser, Protocol, ProtocolError, ReplyLimits, ReplyParser, Value, Writer};

/// Longer inputs find nothing that shorter ones don't, and cost more.
const MOST: usize = 4096;
/// Up to here every byte also comes on its own.
const BYTEWISE: usize = 512;

/// Small limits, so that short streams meet all of them.
const TIGHT: Limits = Limits { max_args: 6, max_bulk: 12, max_inline: 24, max_query_buffer: 48, before_auth: false };
const TIGHT_REPLIES: ReplyLimits = ReplyLimits { max_bytes: 40, max_bulk: 12, max_line: 16, max_elements: 8 };

/// A stream of commands, whose first byte says how it is cut: any cut tells the same story, and what
/// was understood is understood again when it is written as a client would.
///
/// # Panics
/// If that does not hold.
pub fn commands(data: &[u8]) {
    let Some((seed, bytes)) = input(data) else { return };
    for limits in [Limits::NORMAL, Limits::BEFORE_AUTH, TIGHT] {
        let story = commands_in(limits, [bytes]);
        assert_eq!(commands_in(limits, cut(bytes, seed)), story, "cut by {seed}");
        assert_eq!(commands_by(limits, cut(bytes, seed), true), story, "cut by {seed}, GETs looked for first");
        if bytes.len() <= BYTEWISE {
            assert_eq!(commands_in(limits, bytes.chunks(1)), story, "bytewise");
        }
    }
    let (commands, ..) = commands_in(Limits::NORMAL, [bytes]);
    let written: Vec<u8> = commands.iter().flat_map(|args| encode(args)).collect();
    assert_eq!(commands_in(Limits::NORMAL, [&written[..]]), (commands, None, 0), "written anew");
}

/// A stream of replies, whose first byte says how it is cut: any cut reads the same, and a value is
/// what it was after it is written and read.
///
/// # Panics
/// If that does not hold.
pub fn replies(data: &[u8]) {
    let Some((seed, bytes)) = input(data) else { return };
    for limits in [ReplyLimits::NORMAL, TIGHT_REPLIES] {
        let whole = replies_in(limits, [bytes]);
        // Not compared as they are: no NaN equals itself.
        let shown = format!("{whole:?}");
        assert_eq!(format!("{:?}", replies_in(limits, cut(bytes, seed))), shown, "cut by {seed}");
        if bytes.len() <= BYTEWISE {
            assert_eq!(format!("{:?}", replies_in(limits, bytes.chunks(1))), shown, "bytewise");
        }
    }
    for value in replies_in(ReplyLimits::NORMAL, [bytes]).0.into_iter().filter(writable) {
        let mut written = Vec::new();
        write(&mut Writer::new(&mut written, Protocol::Resp3), &value);
        let again = replies_in(ReplyLimits::NORMAL, [&written[..]]);
        assert_eq!(format!("{again:?}"), format!("{:?}", (vec![value], false, 0)), "written anew");
    }
}

fn input(data: &[u8]) -> Option<(u8, &[u8])> {
    let (seed, bytes) = data.split_first()?;
    Some((*seed, &bytes[..bytes.len().min(MOST)]))
}

/// `bytes` in pieces of 1 to 16, the same for the same seed.
fn cut(mut bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let (mut state, mut pieces) = (u32::from(seed), Vec::new());
    while !bytes.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (piece, rest) = bytes.split_at(((state >> 28) as usize + 1).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// Commands, the error that ended the stream, and the bytes left unread.
type Story = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>, usize);

fn commands_in<'a>(limits: Limits, chunks: impl IntoIterator<Item = &'a [u8]>) -> Story {
    commands_by(limits, chunks, false)
}

/// With `gets`, each is first asked for as a GET.
fn commands_by<'a>(limits: Limits, chunks: impl IntoIterator<Item = &'a [u8]>, gets: bool) -> Story {
    let (mut parser, mut buffer, mut commands) = (Parser::new(limits), Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            if gets && let Some((key, consumed)) = parser.get(&buffer) {
                // However it is spelled.
                commands.push(vec![buffer[8..11].to_vec(), buffer[key].to_vec()]);
                buffer.drain(..consumed);
                continue;
            }
            let parsed = match parser.next(&buffer) {
                Ok(Some(parsed)) => parsed,
                Ok(None) => break,
                Err(error) => return (commands, Some(error), 0),
            };
            let args: Vec<Vec<u8>> = parser.args(&buffer).iter().map(<[u8]>::to_vec).collect();
            assert_eq!(args.is_empty(), matches!(parsed, Parsed::Nothing { .. }), "a command has a name");
            commands.extend(Some(args).filter(|args| !args.is_empty()));
            assert!(0 < parsed.consumed() && parsed.consumed() <= buffer.len(), "{parsed:?} of {}", buffer.len());
            buffer.drain(..parsed.consumed());
        }
    }
    (commands, None, buffer.len())
}

fn encode(args: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Values, whether the stream broke, and the bytes left unread.
fn replies_in<'a>(limits: ReplyLimits, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Value>, bool, usize) {
    let (mut parser, mut buffer, mut values) = (ReplyParser::new(limits), Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            match parser.next(&buffer) {
                Ok(Some(reply)) => {
                    assert!(0 < reply.consumed && reply.consumed <= buffer.len());
                    buffer.drain(..reply.consumed);
                    values.push(reply.value);
                }
                Ok(None) => break,
                Err(_) => return (values, true, 0),
            }
        }
    }
    (values, false, buffer.len())
}

/// Whether a server of ours could say it: lines without line ends, and no numbers beyond 64 bits.
fn writable(value: &Value) -> bool {
    match value {
        Value::Simple(line) | Value::Error(line) => !line.iter().any(|byte| matches!(byte, b'\r' | b'\n')),
        Value::BigNumber(_) => false,
        Value::Map(pairs) => pairs.iter().all(|(key, value)| writable(key) && writable(value)),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => items.iter().all(writable),
        Value::Int(_) | Value::Bulk(_) | Value::Nil | Value::Bool(_) | Value::Double(_) | Value::Verbatim { .. } => {
            true
        }
    }
}

fn write(writer: &mut Writer<'_, Vec<u8>>, value: &Value) {
    match value {
        Value::Simple(text) => writer.simple(text),
        Value::Error(text) => writer.error(text),
        Value::Int(number) => writer.int(*number),
        Value::Bulk(bytes) => writer.bulk(bytes),
        Value::Nil => writer.nil(),
        Value::Bool(truth) => writer.bool(*truth),
        Value::Double(number) => writer.double(*number),
        Value::Verbatim { format, text } => writer.verbatim(*format, text),
        Value::BigNumber(_) => unreachable!("not writable"),
        Value::Map(pairs) => {
            writer.map(pairs.len());
            pairs.iter().for_each(|(key, value)| {
                write(writer, key);
                write(writer, value);
            });
        }
        Value::Array(items) => {
            writer.array(items.len());
            items.iter().for_each(|item| write(writer, item));
        }
        Value::Set(items) => {
            writer.set(items.len());
            items.iter().for_each(|item| write(writer, item));
        }
        Value::Push(items) => {
            writer.push(items.len());
            items.iter().for_each(|item| write(writer, item));
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_stored_stream_of_commands_tells_one_story() {
        bellwether_corpus::replay("commands", super::commands);
    }

    #[test]
    fn every_stored_stream_of_replies_reads_one_way() {
        bellwether_corpus::replay("replies", super::replies);
    }
}
