//! What does a Redis answer to one command?

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bellwether_resp::{Protocol, ReplyLimits, ReplyParser, Value, Writer};

use crate::error::ServerError;

/// Nobody waits longer for one reply: a frozen server gives none.
const REPLY_LIMIT: Duration = Duration::from_secs(5);
/// Read at once.
const READ: usize = 16 * 1024;

/// Sends one command over a connection of its own; an error it answers is an error.
pub(crate) fn call(address: SocketAddr, words: &[&str]) -> Result<Value, ServerError> {
    let refused = |answer: String| ServerError::Refused { command: words.join(" "), answer };
    let value = ask(address, &[words]).map_err(|error| refused(error.to_string()))?.pop();
    match value {
        Some(Value::Error(text)) => Err(refused(String::from_utf8_lossy(&text).into_owned())),
        Some(value) => Ok(value),
        None => Err(refused("nothing".into())),
    }
}

/// A reply's text; empty if it is none.
pub(crate) fn text(value: &Value) -> String {
    value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// The replies to commands sent in one write.
pub(crate) fn ask(address: SocketAddr, commands: &[&[&str]]) -> io::Result<Vec<Value>> {
    let mut stream = TcpStream::connect_timeout(&address, REPLY_LIMIT)?;
    stream.set_read_timeout(Some(REPLY_LIMIT))?;
    stream.set_write_timeout(Some(REPLY_LIMIT))?;
    let mut output = Vec::new();
    let mut writer = Writer::new(&mut output, Protocol::Resp2);
    for words in commands {
        writer.array(words.len());
        words.iter().for_each(|word| writer.bulk(word));
    }
    stream.write_all(&output)?;
    let (mut parser, mut input, mut replies) = (ReplyParser::new(ReplyLimits::NORMAL), Vec::new(), Vec::new());
    while replies.len() < commands.len() {
        match parser.next(&input).map_err(io::Error::other)? {
            Some(reply) => {
                input.drain(..reply.consumed);
                replies.push(reply.value);
            }
            None => {
                let mut chunk = [0; READ];
                match stream.read(&mut chunk)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => input.extend_from_slice(&chunk[..read]),
                }
            }
        }
    }
    Ok(replies)
}
