//! How do this process and the others hear of each other's invalidations, and who hears of it beside the cache?

use bellwether::events::{Heard, Message};
use bellwether_adapters::events::RedisEvents;

use super::super::filter::Known;
use super::super::watch::Watch;
use super::announced::Announcements;
use super::naming;
use super::tier::certificates;
use crate::config::{Backplane, BackplaneMode, Shared};

/// The backplane that `shared` names; what is wrong with it and what to do otherwise.
pub(crate) fn backplane(shared: &Shared) -> Result<Option<RedisEvents>, (String, String)> {
    let Backplane::On { url, mode } = &shared.backplane else { return Ok(None) };
    let events = RedisEvents::open(url, &shared.prefix, &certificates(&shared.tls)?)
        .map_err(|error| (error.problem().to_owned(), error.hint().to_owned()))?;
    Ok(Some(match mode {
        BackplaneMode::Streams => events,
        BackplaneMode::PubSub => events.best_effort(),
    }))
}

/// What others invalidated holds here already: clients that keep copies of their own hear of it too, and filters of
/// existing keys. Of tags, spaces and gaps these learn by floors and marks, which cover them.
pub(crate) fn heard(watch: &Watch, filters: &Known, announced: Option<&Announcements>, heard: &Heard) {
    // What is written down is read again when it was changed, and when that may have been missed.
    if matches!(heard, Heard::Message(Message::Announced) | Heard::Gap) {
        announced.inspect(|announced| announced.wake());
    }
    match heard {
        Heard::Message(Message::Key { name, .. }) => {
            if let Some(key) = naming::key_of(name) {
                filters.note(key);
                watch.changed(key, None);
            }
        }
        // What is stale may be served.
        Heard::Message(Message::Refresh { .. } | Message::Announced) => {}
        // Which keys these are nobody here knows, nor the tag by its name.
        Heard::Message(Message::Tag { .. } | Message::Space { .. } | Message::Suspect | Message::Everything)
        | Heard::Gap => watch.everything_changed(),
    }
}
