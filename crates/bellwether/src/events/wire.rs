//! What are the bytes of a batch? Version 1, little endian; see `docs/guide/backplane.md`.

use bellwether_core::fence::{Fence, Invalidation};
use bytes::Bytes;

use crate::events::{Batch, Message};

const VERSION: u8 = 1;
const KEY: u8 = 1;
const TAG: u8 = 2;
const SPACE: u8 = 3;
const SUSPECT: u8 = 4;
const EVERYTHING: u8 = 5;
/// Kinds from here on are hints, each with the length of its body: who does not know one passes it over.
const HINTS: u8 = 128;
const REFRESH: u8 = HINTS;
const ANNOUNCED: u8 = HINTS + 1;

/// The bytes are no batch, or one of a newer version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a batch of messages of version 1")]
pub struct Unreadable;

impl Batch {
    /// The bytes of it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.sender.to_le_bytes());
        for message in &self.messages {
            write(&mut bytes, message);
        }
        bytes
    }

    /// Reads such bytes.
    ///
    /// # Errors
    /// They are of another version, contain a message of an unknown kind that is no hint, or are broken.
    pub fn from_bytes(bytes: &[u8]) -> Result<Batch, Unreadable> {
        let mut rest = Rest(bytes);
        if rest.byte()? != VERSION {
            return Err(Unreadable);
        }
        let sender = rest.number()?;
        let mut messages = Vec::new();
        while !rest.0.is_empty() {
            messages.extend(read(&mut rest)?);
        }
        Ok(Batch { sender, messages })
    }
}

fn write(bytes: &mut Vec<u8>, message: &Message) {
    let verb = |verb: &Invalidation| match verb {
        Invalidation::Remove => 0,
        Invalidation::Expire => 1,
    };
    match message {
        Message::Key { name, verb: v, fence } => match u16::try_from(name.len()) {
            Ok(length) => {
                bytes.extend([KEY, verb(v)]);
                bytes.extend(fence.unwrap_or(Fence::ZERO).0.to_le_bytes());
                bytes.extend(length.to_le_bytes());
                bytes.extend(name.iter());
            }
            // No tier holds such a name.
            Err(_) => bytes.push(SUSPECT),
        },
        Message::Tag { hash, verb: v } => {
            bytes.extend([TAG, verb(v)]);
            bytes.extend(hash.to_le_bytes());
        }
        Message::Space { name, verb: v } => match u16::try_from(name.len()) {
            Ok(length) => {
                bytes.extend([SPACE, verb(v)]);
                bytes.extend(length.to_le_bytes());
                bytes.extend(name.as_bytes());
            }
            Err(_) => bytes.push(EVERYTHING),
        },
        Message::Suspect => bytes.push(SUSPECT),
        Message::Everything => bytes.push(EVERYTHING),
        Message::Refresh { hash } => hint(bytes, REFRESH, &hash.to_le_bytes()),
        Message::Announced => hint(bytes, ANNOUNCED, &[]),
    }
}

fn hint<const N: usize>(bytes: &mut Vec<u8>, kind: u8, body: &[u8; N]) {
    const { assert!(N <= u16::MAX as usize) };
    bytes.push(kind);
    bytes.extend((N as u16).to_le_bytes());
    bytes.extend(body);
}

/// The next message; `None`: a hint of a later version.
fn read(rest: &mut Rest<'_>) -> Result<Option<Message>, Unreadable> {
    Ok(Some(match rest.byte()? {
        KEY => {
            let (verb, fence) = (rest.verb()?, rest.number()?);
            let name = Bytes::copy_from_slice(rest.text()?);
            Message::Key { name, verb, fence: (fence != 0).then_some(Fence(fence)) }
        }
        TAG => {
            let verb = rest.verb()?;
            Message::Tag { hash: rest.number()?, verb }
        }
        SPACE => {
            let verb = rest.verb()?;
            let name = std::str::from_utf8(rest.text()?).map_err(|_| Unreadable)?;
            Message::Space { name: name.into(), verb }
        }
        SUSPECT => Message::Suspect,
        EVERYTHING => Message::Everything,
        kind if kind >= HINTS => {
            let body = rest.text()?;
            return match kind {
                REFRESH => {
                    let hash = body.try_into().map_err(|_| Unreadable)?;
                    Ok(Some(Message::Refresh { hash: u64::from_le_bytes(hash) }))
                }
                ANNOUNCED if body.is_empty() => Ok(Some(Message::Announced)),
                ANNOUNCED => Err(Unreadable),
                _ => Ok(None),
            };
        }
        _ => return Err(Unreadable),
    }))
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        let bytes = self.take(8)?.try_into().map_err(|_| Unreadable)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn text(&mut self) -> Result<&'a [u8], Unreadable> {
        let bytes = self.take(2)?.try_into().map_err(|_| Unreadable)?;
        self.take(usize::from(u16::from_le_bytes(bytes)))
    }

    fn verb(&mut self) -> Result<Invalidation, Unreadable> {
        match self.byte()? {
            0 => Ok(Invalidation::Remove),
            1 => Ok(Invalidation::Expire),
            _ => Err(Unreadable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message() -> impl Strategy<Value = Message> {
        let verb = || prop_oneof![Just(Invalidation::Remove), Just(Invalidation::Expire)];
        prop_oneof![
            (prop::collection::vec(any::<u8>(), 0..40), verb(), prop::option::of(1u64..))
                .prop_map(|(name, verb, fence)| Message::Key { name: name.into(), verb, fence: fence.map(Fence) }),
            (any::<u64>(), verb()).prop_map(|(hash, verb)| Message::Tag { hash, verb }),
            ("[a-zü:]{0,20}", verb()).prop_map(|(name, verb)| Message::Space { name: name.into(), verb }),
            Just(Message::Suspect),
            Just(Message::Everything),
            any::<u64>().prop_map(|hash| Message::Refresh { hash }),
            Just(Message::Announced),
        ]
    }

    proptest! {
        #[test]
        fn a_batch_reads_back_as_it_was_written(sender: u64, messages in prop::collection::vec(message(), 0..20)) {
            let batch = Batch { sender, messages };
            prop_assert_eq!(Batch::from_bytes(&batch.to_bytes()), Ok(batch));
        }

        #[test]
        fn no_bytes_are_too_strange_to_be_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(batch) = Batch::from_bytes(&bytes) {
                let written = batch.to_bytes();
                // Shorter only by hints of a later version.
                if written.len() == bytes.len() {
                    prop_assert_eq!(&written, &bytes);
                } else {
                    prop_assert!(written.len() < bytes.len() && bytes[9..].iter().any(|byte| *byte >= HINTS));
                }
                prop_assert_eq!(Batch::from_bytes(&written), Ok(batch));
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_guide() {
        let key = Message::Key { name: "user:7".into(), verb: Invalidation::Expire, fence: Some(Fence(258)) };
        let batch = Batch { sender: 3, messages: vec![key, Message::Tag { hash: 1, verb: Invalidation::Remove }] };
        let expected = b"\x01\x03\0\0\0\0\0\0\0\x01\x01\x02\x01\0\0\0\0\0\0\x06\0user:7\x02\0\x01\0\0\0\0\0\0\0";
        assert_eq!(batch.to_bytes(), expected);
        assert_eq!(Batch::from_bytes(b"\x02\x03\0\0\0\0\0\0\0"), Err(Unreadable), "a later version");
        assert_eq!(Batch::from_bytes(b"\x01\x03\0\0\0\0\0\0\0\x09"), Err(Unreadable), "an unknown kind");
        let hints = Batch { sender: 3, messages: vec![Message::Refresh { hash: 7 }, Message::Announced] };
        let expected = b"\x01\x03\0\0\0\0\0\0\0\x80\x08\0\x07\0\0\0\0\0\0\0\x81\0\0";
        assert_eq!(hints.to_bytes(), expected);
        let later = [b"\x01\x03\0\0\0\0\0\0\0\xf0\x02\0??", &expected[9..]].concat();
        assert_eq!(Batch::from_bytes(&later), Ok(hints), "a hint of a later version is passed over, and nothing else");
        assert_eq!(Batch::from_bytes(b"\x01\x03\0\0\0\0\0\0\0\xf0\x03\0??"), Err(Unreadable), "cut off");
    }

    #[test]
    fn a_name_that_no_tier_holds_makes_more_suspect_not_less() {
        let long = Message::Key { name: vec![b'x'; 70_000].into(), verb: Invalidation::Remove, fence: None };
        let batch = Batch { sender: 1, messages: vec![long] };
        assert_eq!(Batch::from_bytes(&batch.to_bytes()).map(|read| read.messages), Ok(vec![Message::Suspect]));
    }
}
