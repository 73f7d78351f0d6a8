//! How much may all clients together make us keep? A number of bytes that many parts share: a limit for
//! each alone would be multiplied by thousands of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes for all parts together. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    used: Arc<AtomicUsize>,
    most: usize,
}

/// Somebody's part of an allowance; given back when dropped.
#[derive(Debug)]
pub(crate) struct Part {
    of: Allowance,
    bytes: usize,
}

impl Allowance {
    pub(crate) fn of(most: usize) -> Allowance {
        Allowance { used: Arc::default(), most }
    }

    /// A part of nothing yet.
    pub(crate) fn part(&self) -> Part {
        Part { of: self.clone(), bytes: 0 }
    }
}

impl Part {
    /// Says that this part has `bytes` now. False: there is no room for so many, and it has what it had.
    #[inline]
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
        let used = &self.of.used;
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            if used.fetch_add(more, Ordering::Relaxed) + more > self.of.most {
                used.fetch_sub(more, Ordering::Relaxed);
                return false;
            }
        } else if bytes < self.bytes {
            used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g6_all_parts_together_are_bounded_and_what_is_given_back_can_be_had_again() {
        let all = Allowance::of(100);
        let (mut one, mut other) = (all.part(), all.part());
        assert!(one.set(60) && !other.set(41) && other.set(40));
        assert!(!one.set(61) && one.set(30) && other.set(70));
        drop(other);
        assert!(one.set(100) && !all.part().set(1));
        drop(one);
        assert!(all.part().set(100), "nothing is lost");
    }
}
