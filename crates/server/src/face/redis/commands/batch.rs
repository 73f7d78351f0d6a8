//! What do MULTI and EXEC promise here? An ordered batch: one command after another, others may come between.

use bellwether_resp::Args;

use super::super::client::{Client, Queue};

pub(super) fn multi(client: &mut Client, _: Args<'_>) {
    if client.multi.is_some() {
        return client.error("ERR MULTI calls can not be nested");
    }
    client.multi = Some(Queue::default());
    client.ok();
}

pub(super) fn exec(client: &mut Client, _: Args<'_>) {
    match client.multi.take() {
        None => client.error("ERR EXEC without MULTI"),
        Some(queue) if queue.broken => {
            client.error("EXECABORT Transaction discarded because of previous errors.");
        }
        Some(queue) => {
            client.writer().array(queue.commands);
            client.exec = (queue.commands > 0).then_some(queue);
        }
    }
}

pub(super) fn discard(client: &mut Client, _: Args<'_>) {
    match client.multi.take() {
        None => client.error("ERR DISCARD without MULTI"),
        Some(_) => client.ok(),
    }
}

/// Refused rather than ignored: an EXEC that does not look at watched keys would be a lost update.
pub(super) fn watch(client: &mut Client, _: Args<'_>) {
    if client.multi.is_some() {
        return client.error("ERR WATCH inside MULTI is not allowed");
    }
    client.error("ERR WATCH is not available: MULTI and EXEC are an ordered batch, not an isolated one");
}

pub(super) fn unwatch(client: &mut Client, _: Args<'_>) {
    client.ok();
}
