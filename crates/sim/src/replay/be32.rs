//! What does a record of a binary trace say? Four bytes, big-endian: the key.

use std::io::{self, BufRead};

use super::trace::{Builder, Op};

/// Reads all records. Bytes left over at the end are a malformed record.
pub(super) fn read(mut source: impl BufRead, builder: &mut Builder) -> io::Result<()> {
    let mut record = [0; 4];
    let (mut held, mut number) = (0, 1);
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let taken = buffer.len();
        for byte in buffer {
            record[held] = *byte;
            held += 1;
            if held == record.len() {
                if builder.full() {
                    return Ok(());
                }
                // A number is neither empty nor long.
                let _ = builder.request(None, i32::from_be_bytes(record).to_string().as_bytes(), None, Op::Get);
                (held, number) = (0, number + 1);
            }
        }
        source.consume(taken);
    }
    if held > 0 {
        builder.malformed(number, format!("the last record has {held} bytes instead of 4"));
    }
    Ok(())
}
