//! Which plain commands are there beside the scripts, and what do they answer?

use bellwether_envelope::HEADER;
use bytes::Bytes;
use redis::{Cmd, Value};

use super::fault::Fault;

/// What is longer travels over a connection of its own.
pub(super) const SHORT: usize = 64 * 1024;

/// A plain read that is a `GET` for all that is short.
pub(super) fn short(key: &[u8]) -> Cmd {
    range(key, SHORT)
}

/// The header alone.
pub(super) fn head(key: &[u8]) -> Cmd {
    range(key, HEADER)
}

/// So much of the beginning.
pub(super) fn range(key: &[u8], length: usize) -> Cmd {
    let mut cmd = Cmd::with_capacity(4, key.len() + 32);
    cmd.arg("GETRANGE").arg(key).arg(0).arg(length - 1);
    cmd
}

/// What a read answered; nothing where there is nothing.
pub(super) fn bytes_of(value: Value) -> Result<Bytes, Fault> {
    match value {
        Value::BulkString(bytes) => Ok(bytes.into()),
        Value::Nil => Ok(Bytes::new()),
        _ => Err(Fault::Other("a read answered something that it never should".into())),
    }
}
