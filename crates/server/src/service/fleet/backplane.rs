//! How do this process and the others hear of each other's invalidations, and who hears of it beside the cache?

use std::fmt::Write as _;

use bellwether::events::{Heard, Message};
use bellwether_adapters::events::RedisEvents;

use super::naming;
use crate::config::{Backplane, BackplaneMode, RedisUrl, Shared};
use crate::service::watch::Watch;

/// The backplane that `shared` names; what is wrong with it and what to do otherwise.
pub(in crate::service) fn backplane(shared: &Shared) -> Result<Option<RedisEvents>, (String, String)> {
    let Backplane::On { url, mode } = &shared.backplane else { return Ok(None) };
    let events = RedisEvents::at(&text(url), &shared.prefix)
        .map_err(|error| (error.problem().to_owned(), error.hint().to_owned()))?;
    Ok(Some(match mode {
        BackplaneMode::Streams => events,
        BackplaneMode::PubSub => events.best_effort(),
    }))
}

/// The URL with user and password, for nobody's eyes.
fn text(url: &RedisUrl) -> String {
    let shown = url.to_string();
    let (scheme, rest) = shown.split_once("://").unwrap_or(("redis", &shown));
    let who = match (&url.user, &url.password) {
        (None, None) => String::new(),
        (user, password) => {
            let password = password.as_ref().map(|password| password.expose()).unwrap_or_default();
            format!("{}:{}@", encoded(user.as_deref().unwrap_or_default()), encoded(password))
        }
    };
    format!("{scheme}://{who}{rest}")
}

/// Percent-encoded, but for letters and digits.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// What others invalidated holds here already: clients that keep copies of their own hear of it too.
pub(in crate::service) fn heard(watch: &Watch, heard: &Heard) {
    match heard {
        Heard::Message(Message::Key { name, .. }) => {
            if let Some(key) = naming::key_of(name) {
                watch.changed(key, None);
            }
        }
        // Which keys these are nobody here knows, nor the tag by its name.
        Heard::Message(Message::Tag { .. } | Message::Space { .. } | Message::Suspect | Message::Everything)
        | Heard::Gap => watch.everything_changed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Node, RedisAt, Secret};

    #[test]
    fn a_password_travels_whatever_is_in_it() {
        let node = Node { host: "h".to_owned(), port: 1 };
        let open = RedisUrl { at: RedisAt::One(node), tls: false, user: None, password: None, database: 2 };
        assert_eq!(text(&open), "redis://h:1/2");
        let locked = RedisUrl { user: Some("app".to_owned()), password: Some(Secret::of("p@s/%")), tls: true, ..open };
        assert_eq!(text(&locked), "rediss://app:p%40s%2F%25@h:1/2");
    }
}
