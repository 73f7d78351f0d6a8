//! Who waits for which key to change? Woken by the node's own word (client-side tracking, RESP3).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use redis::Value;
use tokio::sync::Notify;

/// More keys are not waited for this way: whoever comes then polls.
const MOST_KEYS: usize = 100_000;

/// Keys of one node that somebody waits for.
#[derive(Default)]
pub(super) struct Waits {
    keys: Mutex<HashMap<Vec<u8>, Waited>>,
}

struct Waited {
    changed: Arc<Notify>,
    waiting: usize,
}

impl Waits {
    /// Waits for `key`, until [`leave`](Self::leave). `None`: too many keys are waited for.
    pub(super) fn join(&self, key: &[u8]) -> Option<Arc<Notify>> {
        let mut keys = self.keys.lock();
        if let Some(waited) = keys.get_mut(key) {
            waited.waiting += 1;
            return Some(waited.changed.clone());
        }
        if keys.len() >= MOST_KEYS {
            return None;
        }
        let changed = Arc::new(Notify::new());
        keys.insert(key.to_vec(), Waited { changed: changed.clone(), waiting: 1 });
        Some(changed)
    }

    /// Waits no longer.
    pub(super) fn leave(&self, key: &[u8]) {
        let mut keys = self.keys.lock();
        let Some(waited) = keys.get_mut(key) else { return };
        waited.waiting -= 1;
        if waited.waiting == 0 {
            keys.remove(key);
        }
    }

    /// The node says that keys have changed: a list of them, or nothing for all.
    pub(super) fn invalidated(&self, data: &[Value]) {
        match data.first() {
            Some(Value::Array(keys) | Value::Set(keys)) => {
                for key in keys {
                    if let Value::BulkString(key) = key {
                        self.wake(key);
                    }
                }
            }
            _ => self.wake_all(),
        }
    }

    fn wake(&self, key: &[u8]) {
        if let Some(waited) = self.keys.lock().get(key) {
            waited.changed.notify_waiters();
        }
    }

    /// Nothing more will be heard: everybody had better look.
    pub(super) fn wake_all(&self) {
        for waited in self.keys.lock().values() {
            waited.changed.notify_waiters();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_waits_for_a_key_is_woken_by_its_change_alone_and_nothing_is_left_behind() {
        let waits = Waits::default();
        let (a, b) = (waits.join(b"a").expect("room"), waits.join(b"b").expect("room"));
        let (mut on_a, mut on_b) = (pin!(a.notified()), pin!(b.notified()));
        on_a.as_mut().enable();
        on_b.as_mut().enable();
        waits.invalidated(&[Value::Array(vec![Value::BulkString(b"a".to_vec())])]);
        assert!(on_a.now_or_never().is_some() && on_b.as_mut().now_or_never().is_none());
        waits.invalidated(&[Value::Nil]);
        assert!(on_b.now_or_never().is_some(), "FLUSHALL");
        waits.leave(b"a");
        waits.leave(b"b");
        assert_eq!(waits.len(), 0);
    }
}
