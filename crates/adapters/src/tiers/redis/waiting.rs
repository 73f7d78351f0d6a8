//! How does somebody wait for a key to change, without asking over and over?

use std::sync::Arc;

use bellwether_envelope::Header;

use super::commands::{bytes_of, head};
use super::common::Common;
use super::entry::held;
use super::lane::Purpose;
use super::node::Node;

/// Somebody waits for a key, until this is dropped.
pub(super) struct Waiting<'a> {
    node: &'a Arc<Node>,
    key: &'a [u8],
}

impl<'a> Waiting<'a> {
    /// Waits until the node says that `key` has changed. `None`: it can't tell.
    pub(super) async fn until_changed(node: &'a Arc<Node>, key: &'a [u8], common: &Common) -> Option<Waiting<'a>> {
        let changed = node.waits.join(key)?;
        let waiting = Waiting { node, key };
        let mut notified = std::pin::pin!(changed.notified());
        notified.as_mut().enable();
        // Reading it is what makes the node tell of its next change.
        let bytes = node.call(Purpose::Wait, &head(key)).await.and_then(bytes_of).ok()?;
        // It may have changed before it was read: then nobody loads any more, and there is nothing to wait for.
        let now = node.clock.now_ms();
        let is_led = Header::read(&bytes).is_ok_and(|header| now.is_none_or(|now| held(&header, now).is_some()));
        if is_led {
            notified.await;
            common.counters.woken.add();
        }
        Some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.node.waits.leave(self.key);
    }
}
