//! What does a file of zstd hold? All its frames, one after the other; skippable ones are passed over.

use std::io::{self, BufRead, Cursor, Read};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What a frame with content begins with.
const FRAME: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// Length of what a frame begins with, and of a skippable frame's length behind it.
const WORD: usize = 4;

/// Whether a file begins like zstd: some writers put a skippable frame first.
pub(super) fn begins(magic: &[u8]) -> bool {
    magic.starts_with(&FRAME) || skippable(magic)
}

fn skippable(magic: &[u8]) -> bool {
    matches!(magic, [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..])
}

/// The content of every frame.
pub(super) struct Frames<R> {
    source: R,
    /// Of the frame that is being read; finished before the first one.
    decoder: FrameDecoder,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(source: R) -> Frames<R> {
        Frames { source, decoder: FrameDecoder::new() }
    }

    /// Begins the next frame with content; `false`: the file is at its end.
    fn next(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            let magic = self.word()?;
            if magic == FRAME {
                let frame = Cursor::new(magic).chain(&mut self.source);
                return self.decoder.init(frame).map(|()| true).map_err(io::Error::other);
            }
            if !skippable(&magic) {
                let [a, b, c, d] = magic;
                let found = format!("{a:02x} {b:02x} {c:02x} {d:02x}");
                return Err(io::Error::other(format!(
                    "expected another frame of zstd or the end, found the bytes {found}"
                )));
            }
            let length = u64::from(u32::from_le_bytes(self.word()?));
            if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(false)
    }

    fn word(&mut self) -> io::Result<[u8; WORD]> {
        let mut word = [0; WORD];
        self.source.read_exact(&mut word)?;
        Ok(word)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // A frame may be empty: only the end of the file is the end.
        while self.decoder.can_collect() == 0 {
            if self.decoder.is_finished() {
                if !self.next()? {
                    return Ok(0);
                }
            } else {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, one).map_err(io::Error::other)?;
            }
        }
        self.decoder.read(into)
    }
}
