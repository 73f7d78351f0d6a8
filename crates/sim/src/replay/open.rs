//! What kind of file is this? Compression by its first bytes, the format by its name or its content.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use super::format::Format;
use super::trace::{Builder, Malformed, Trace};
use super::zstd::{self, Frames};
use super::{be32, csv, lis};

/// Bytes by which a format is recognised.
const SAMPLE: usize = 8 * 1024;
const XZ: &[u8] = &[0xFD, b'7', b'z', b'X', b'Z', 0];
/// What begins like this would be read as keys of four bytes, without any sense.
const OTHERS: [(&[u8], &str); 6] = [
    (&[0x1F, 0x8B], "gzip"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (&[0x04, 0x22, 0x4D, 0x18], "lz4"),
    (b"PAR1", "Parquet"),
    (b"\x7FELF", "a program"),
];

/// Why a trace can't be replayed. The words name no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// It can't be read at all.
    Unreadable(String),
    /// It broke off.
    CutOff {
        /// Requests until then.
        requests: usize,
        /// What the reader said.
        what: String,
    },
    /// There is nothing in it.
    Empty,
    /// Nothing in it makes sense.
    Senseless(Malformed),
    /// The file as a whole makes no sense.
    Wrong(String),
}

/// Reads the first `most` requests of the trace in `file`, compressed with xz or zstd or not at all.
///
/// # Errors
/// See [`ReadError`]. Malformed lines are none as long as others make sense: they are counted in the trace.
pub fn read(file: &Path, format: Format, most: usize) -> Result<Trace, ReadError> {
    let unreadable = |error: io::Error| ReadError::Unreadable(error.to_string());
    let opened = File::open(file).map_err(unreadable)?;
    if opened.metadata().map_err(unreadable)?.is_dir() {
        return Err(ReadError::Unreadable("is a directory".to_owned()));
    }
    let mut raw = BufReader::with_capacity(1 << 16, opened);
    let magic = raw.fill_buf().map_err(unreadable)?;
    if magic.is_empty() {
        return Err(ReadError::Empty);
    }
    if let Some(words) = contradiction(file, format, magic) {
        return Err(ReadError::Wrong(words));
    }
    let mut source: Box<dyn Read> = if magic.starts_with(XZ) {
        Box::new(lzma_rust2::XzReader::new(raw, true))
    } else if zstd::begins(magic) {
        Box::new(Frames::new(raw))
    } else {
        Box::new(raw)
    };
    let mut builder = Builder::new(most);
    let outcome = parse(&mut source, file, format, &mut builder);
    let trace = builder.done();
    match outcome {
        Err(error) => return Err(ReadError::CutOff { requests: trace.requests.len(), what: broke_off(&error) }),
        Ok(Err(words)) => return Err(ReadError::Wrong(words)),
        Ok(Ok(())) => {}
    }
    match (trace.requests.is_empty(), trace.malformed.count) {
        (false, _) => Ok(trace),
        (true, 0) => Err(ReadError::Empty),
        (true, _) => Err(ReadError::Senseless(trace.malformed)),
    }
}

/// Why it can't be read on, in words: that the bytes are at an end lies deep in what the readers say, each in its own way.
fn broke_off(error: &io::Error) -> String {
    let at_its_end = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    let mut inner = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    let mut ends = at_its_end(error);
    while let Some(here) = inner {
        ends |= here.downcast_ref::<io::Error>().is_some_and(at_its_end);
        inner = here.source();
    }
    if ends { "the file ends in the middle".to_owned() } else { error.to_string() }
}

fn parse(source: &mut dyn Read, file: &Path, format: Format, builder: &mut Builder) -> io::Result<Result<(), String>> {
    let mut sample = Vec::with_capacity(SAMPLE);
    source.take(SAMPLE as u64).read_to_end(&mut sample)?;
    let format = if format == Format::Auto { recognised(file, &sample) } else { format };
    builder.written_as(format);
    let whole = BufReader::with_capacity(1 << 16, Cursor::new(sample).chain(source));
    match format {
        Format::Be32 => be32::read(whole, builder).map(Ok),
        Format::Lis => lis::read(whole, builder).map(Ok),
        Format::Csv | Format::Auto => csv::read(whole, builder),
    }
}

/// What the first bytes say against the file's name, or against any format; `None`: nothing.
fn contradiction(file: &Path, format: Format, magic: &[u8]) -> Option<String> {
    let ending = file.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    for (named, begins, what) in [("xz", magic.starts_with(XZ), "xz"), ("zst", zstd::begins(magic), "zstd")] {
        if ending == named && !begins {
            return Some(format!("is named .{named}, but does not begin like {what}: fetch it again, or rename it"));
        }
    }
    // Keys of four bytes may begin like anything, if somebody says that they are such.
    let (_, what) = OTHERS.into_iter().find(|(begins, _)| magic.starts_with(begins) && format != Format::Be32)?;
    Some(format!("begins like {what}: expected a trace as csv, be32 or lis, plain or compressed with xz or zstd"))
}

/// By the name without the ending of its compression; else by the first bytes.
fn recognised(file: &Path, sample: &[u8]) -> Format {
    let name = file.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let name = name.trim_end_matches(".xz").trim_end_matches(".zst");
    if name.ends_with(".csv") {
        return Format::Csv;
    }
    if name.ends_with(".lis") {
        return Format::Lis;
    }
    let text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7E) || *byte >= 0x80;
    if !sample.iter().all(text) {
        return Format::Be32;
    }
    let first = sample.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = first.split(|byte| *byte == b' ' || *byte == b'\r').filter(|word| !word.is_empty());
    let numbers = words.by_ref().take_while(|word| word.iter().all(u8::is_ascii_digit)).count();
    if numbers >= 2 && words.next().is_none() { Format::Lis } else { Format::Csv }
}
