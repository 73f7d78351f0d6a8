//! Does the codec keep its promises without a network?
#![allow(clippy::unwrap_used, reason = "helpers outside #[test] may panic too: it is the report")]

mod commands;
mod memory;
mod oracle;
mod properties;
mod replies;

use bellwether_resp::{Limits, Parsed, Parser, ProtocolError};

/// Everything a stream of bytes says: its commands, what ended it, and the bytes left unread.
#[derive(Debug, PartialEq)]
struct Story {
    commands: Vec<Vec<Vec<u8>>>,
    error: Option<ProtocolError>,
    unread: usize,
}

/// Reads `chunks` as a server does: append what arrived, take every command that is complete, keep the rest.
fn read<'a>(limits: Limits, chunks: impl IntoIterator<Item = &'a [u8]>) -> Story {
    read_by(limits, chunks, false)
}

/// With `gets`, each is first asked for as a GET.
fn read_by<'a>(limits: Limits, chunks: impl IntoIterator<Item = &'a [u8]>, gets: bool) -> Story {
    let mut parser = Parser::new(limits);
    let mut buffer: Vec<u8> = Vec::new();
    let mut commands = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            if gets && let Some((key, consumed)) = parser.get(&buffer) {
                commands.push(vec![buffer[8..11].to_vec(), buffer[key].to_vec()]);
                buffer.drain(..consumed);
                continue;
            }
            let parsed = match parser.next(&buffer) {
                Ok(Some(parsed)) => parsed,
                Ok(None) => break,
                Err(error) => return Story { commands, error: Some(error), unread: 0 },
            };
            let args: Vec<Vec<u8>> = parser.args(&buffer).iter().map(<[u8]>::to_vec).collect();
            match parsed {
                Parsed::Command { .. } => {
                    assert!(!args.is_empty(), "a command has a name");
                    commands.push(args);
                }
                Parsed::Nothing { .. } => assert!(args.is_empty(), "nothing has no arguments"),
            }
            assert!(0 < parsed.consumed() && parsed.consumed() <= buffer.len(), "{parsed:?} of {}", buffer.len());
            buffer.drain(..parsed.consumed());
        }
    }
    Story { commands, error: None, unread: buffer.len() }
}

/// The same bytes in one read.
fn read_at_once(limits: Limits, bytes: &[u8]) -> Story {
    read(limits, [bytes])
}

/// The same bytes, one per read.
fn read_bytewise(limits: Limits, bytes: &[u8]) -> Story {
    read(limits, bytes.chunks(1))
}

/// A command as clients send it.
fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.as_ref().len()).as_bytes());
        bytes.extend_from_slice(arg.as_ref());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
