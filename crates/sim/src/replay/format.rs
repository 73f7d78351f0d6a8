//! How is a trace written?

/// How a trace is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Told by name and content.
    #[default]
    Auto,
    /// Lines of columns: key, and if known time, size and operation.
    Csv,
    /// Keys as big-endian 32-bit integers.
    Be32,
    /// Lines `start count x x`.
    Lis,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 4] = [Format::Auto, Format::Csv, Format::Be32, Format::Lis];

    /// The word on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Format::Auto => "auto",
            Format::Csv => "csv",
            Format::Be32 => "be32",
            Format::Lis => "lis",
        }
    }

    /// The format named `word`.
    pub fn parse(word: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.as_str().eq_ignore_ascii_case(word))
    }
}
