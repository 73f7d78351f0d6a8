//! By what may a program fill a key that it was not asked to load? A word that it gives back, and never looks into.

use std::fmt;
use std::str::FromStr;

use bellwether_core::fence::Fence;
use bellwether_core::position::Position;

/// The right to fill a key of a space that programs fill by themselves: see [`Space::lease`](crate::Space::lease).
///
/// Where processes share a tier it is the tier's lease, and good in each of them. As text (`Display`, `FromStr`) it may
/// travel through clients; what is in it is nobody's business, and may be another thing in the next version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(crate) Of);

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Of {
    /// This process's: the local fence of whoever holds it.
    Here(Fence),
    /// This process's alone, because the tier is gone, or can't have the key.
    Lone(Fence),
    /// The tier's lease, by what proves it.
    Fleet(Proof),
}

/// What a lease that the tier granted is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Proof {
    pub(crate) token: Fence,
    /// What the process that asked for it had applied of the fleet's invalidations before.
    pub(crate) seen: Position,
}

impl Token {
    /// Whether it was given out because the shared tier could not be asked, or can't have the key: it holds in this process
    /// alone, and so does what is stored under it.
    pub fn is_lone(&self) -> bool {
        matches!(self.0, Of::Lone(_))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Of::Here(fence) => write!(f, "{}", fence.0),
            Of::Lone(fence) => write!(f, "l{:016x}", fence.0),
            Of::Fleet(Proof { token, seen }) => write!(f, "f{:016x}{:016x}{:x}", token.0, seen.epoch, seen.number),
        }
    }
}

/// A text that no token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no token: give back what was given")]
pub struct NoToken;

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Token, NoToken> {
        let number = |digits: Option<&str>| {
            let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(NoToken)
        };
        let fence = || number(text.get(1..17)).map(Fence);
        Ok(Token(match (text.as_bytes().first(), text.len()) {
            (Some(b'0'..=b'9'), _) => Of::Here(Fence(text.parse().map_err(|_| NoToken)?)),
            (Some(b'l'), 17) => Of::Lone(fence()?),
            (Some(b'f'), _) => {
                let seen = Position { epoch: number(text.get(17..33))?, number: number(text.get(33..))? };
                Of::Fleet(Proof { token: fence()?, seen })
            }
            _ => return Err(NoToken),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_comes_back_as_it_went_out(fence in any::<u64>(), epoch in any::<u64>(), number in any::<u64>()) {
            let seen = Position { epoch, number };
            for of in [Of::Here(Fence(fence)), Of::Lone(Fence(fence)), Of::Fleet(Proof { token: Fence(fence), seen })] {
                prop_assert_eq!(Token(of).to_string().parse(), Ok(Token(of)));
            }
        }

        #[test]
        fn what_is_no_token_is_refused_and_breaks_nothing(text in ".{0,60}", hex in "[lf+-]?[0-9a-f+]{0,50}") {
            for text in [text, hex] {
                if let Ok(token) = text.parse::<Token>() {
                    prop_assert_eq!(token.to_string().parse(), Ok(token));
                }
            }
        }
    }
}
