//! How does this process act on what it hears? One task that applies invalidations, and one that tells its own.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bellwether_core::fence::Invalidation;
use bellwether_core::time::Span;

use crate::engine::Engine;
use crate::events::{Batch, Follower, Heard, Message, News, Transport, Turn};
use crate::state::fleet::{CAUSES, Fleet};

/// While something may be missing, copies are suspect again after so long.
const DOUBT: Span = Span::secs(1);

/// Follows and tells, until the cache is gone.
pub(crate) fn start(engine: &Arc<Engine>, fleet: Arc<Fleet>, transport: Arc<dyn Transport>) {
    let (weak, clock) = (Arc::downgrade(engine), engine.clock.clone());
    let (outbox, told) = (fleet.outbox.clone(), fleet.clone());
    let follower = Follower::new(transport.clone(), clock.clone());
    let telling = engine.runtime().spawn(outbox.send(transport, clock, move |batch, at| told.placed(batch, at)));
    let telling = telling.abort_handle();
    engine.runtime().spawn(async move {
        follow(weak, fleet, follower).await;
        telling.abort();
    });
}

async fn follow(weak: Weak<Engine>, fleet: Arc<Fleet>, mut follower: Follower) {
    let Some(clock) = weak.upgrade().map(|engine| engine.clock.clone()) else { return };
    let mut doubted = clock.now();
    loop {
        let news = tokio::select! {
            news = follower.next() => Some(news),
            () = clock.sleep_until(doubted + DOUBT) => None,
        };
        let Some(engine) = weak.upgrade() else { return };
        if let Some(news) = news {
            hear(&engine, &fleet, news);
        }
        if clock.now().since(doubted) >= DOUBT {
            doubted = clock.now();
            if !fleet.is_live() {
                engine.suspect_copies();
            }
        }
    }
}

fn hear(engine: &Arc<Engine>, fleet: &Fleet, news: News) {
    match news {
        News::Apply(at, batch) => {
            fleet.counts.heard.fetch_add(batch.messages.len() as u64, Ordering::Relaxed);
            // What comes from the shared tier is judged by it first, then what is held here: nobody takes over again
            // what was just dropped. Only then do loads say that they have seen it.
            fleet.raise(&batch, at);
            if batch.sender != fleet.outbox.sender() {
                apply(engine, fleet, batch);
            }
            fleet.applied(at);
        }
        // Once it is live again all copies are suspect.
        News::Floors(at, floors) => fleet.replace(at, floors),
        News::Turn(Turn::Gap(cause)) => {
            fleet.set_live(false);
            if let Some(count) = CAUSES.iter().position(|known| *known == cause).map(|at| &fleet.counts.gaps[at]) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            tracing::warn!(
                cause = cause.as_str(),
                "invalidations may be missing: copies are compared with the shared tier"
            );
            doubt(engine, fleet);
        }
        News::Turn(Turn::Live { lost }) => {
            if lost {
                doubt(engine, fleet);
            }
            fleet.set_live(true);
            // A process that begins has no copies that could have missed any.
            if !fleet.counts.followed.swap(true, Ordering::Relaxed) {
                tracing::info!("the backplane is followed: every invalidation of the fleet is heard");
            } else if lost {
                tracing::warn!("every invalidation is heard again; some were missed, and copies are compared");
            } else {
                tracing::info!("every invalidation is heard again; none was missed");
            }
        }
    }
}

fn doubt(engine: &Engine, fleet: &Fleet) {
    fleet.counts.suspicions.fetch_add(1, Ordering::Relaxed);
    engine.suspect_copies();
    fleet.pass_on(&Heard::Gap);
}

fn apply(engine: &Arc<Engine>, fleet: &Fleet, batch: Batch) {
    for message in batch.messages {
        match &message {
            Message::Key { name, verb, fence } => drop(engine.hear_key(name, *verb, *fence)),
            Message::Tag { hash, verb } => drop(engine.raise_tag(*hash, *verb)),
            Message::Space { name, verb } => drop(engine.hear_space(name, *verb)),
            Message::Suspect => doubt(engine, fleet),
            Message::Everything => engine.each_shared(|space| drop(engine.raise_space(space, Invalidation::Remove))),
            Message::Refresh { hash } => engine.hear_stale(*hash),
            // It is for whoever reads what is written down elsewhere.
            Message::Announced => {}
        }
        fleet.pass_on(&Heard::Message(message));
    }
}
