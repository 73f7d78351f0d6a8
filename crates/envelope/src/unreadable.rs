//! Why can't stored bytes be handed out, or an entry be stored? Closed lists, to be counted.

/// Why bytes are no entry. All but [`Unreadable::NotOurs`] are misses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unreadable {
    /// Without the magic: no Bellwether wrote it. A foreign value, handed out unchanged and never rewritten.
    #[error("no envelope: it does not begin with the magic B5 42 57 31")]
    NotOurs,
    /// An envelope of another version.
    #[error("an envelope of a version that this reader does not know")]
    FutureVersion,
    /// Too short, or a field of the header means nothing.
    #[error("the header is cut short or contradicts itself")]
    BadHeader,
    /// Compressed in a way, or of a format, that this reader does not know.
    #[error("compression or format unknown to this reader")]
    UnknownCodec,
    /// The bytes are not those that were written, or were written for another key.
    #[error("the checksum does not fit key and bytes")]
    BadCrc,
    /// The ends of its windows are out of order, or further away than any entry may live.
    #[error("fresh_until <= swr_until <= hard_until <= now + 400 days does not hold")]
    BadTimes,
    /// The payload is longer than the reader's limit.
    #[error("the payload is longer than the limit")]
    TooLarge,
    /// An extension is cut short, doubled or of a wrong length.
    #[error("an extension is cut short, doubled or of a wrong length")]
    BadExtension,
    /// The payload can't be inflated, or is not as long as its header says.
    #[error("the payload is not what its header says")]
    BadBody,
    /// The full key that it carries is another one: two keys share a hash.
    #[error("it belongs to another key of the same hash")]
    OtherKey,
}

impl Unreadable {
    /// All there are, for counters.
    pub const ALL: [Unreadable; 10] = [
        Unreadable::NotOurs,
        Unreadable::FutureVersion,
        Unreadable::BadHeader,
        Unreadable::UnknownCodec,
        Unreadable::BadCrc,
        Unreadable::BadTimes,
        Unreadable::TooLarge,
        Unreadable::BadExtension,
        Unreadable::BadBody,
        Unreadable::OtherKey,
    ];

    /// The word in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unreadable::NotOurs => "foreign",
            Unreadable::FutureVersion => "future_version",
            Unreadable::BadHeader => "bad_header",
            Unreadable::UnknownCodec => "unknown_codec",
            Unreadable::BadCrc => "bad_crc",
            Unreadable::BadTimes => "bad_times",
            Unreadable::TooLarge => "too_large",
            Unreadable::BadExtension => "bad_extension",
            Unreadable::BadBody => "bad_body",
            Unreadable::OtherKey => "other_key",
        }
    }
}

/// Why an entry can't be stored at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The payload's length has no place in a header.
    #[error("the payload is longer than 4 GiB")]
    Payload,
    /// An extension is longer than 64 KiB, of a type that is not the codec's, or there are too many.
    #[error("an extension is longer than 64 KiB, of a type outside 64 to 255, or there are more than 250")]
    Extensions,
}
