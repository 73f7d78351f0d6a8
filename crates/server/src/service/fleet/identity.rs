//! Do all processes of the fleet hear each other? The backplane has a word of its own, the tier remembers it: whoever
//! comes with another backplane is turned away, although its address may read the same, or another one be right.

use std::time::Duration;

use bellwether::shared::{Acquired, Ask, Draw, Found, Tier, TierError};
use bellwether::{Fence, Mode, Span};
use bellwether_adapters::events::RedisEvents;
use serde_json::{Value, json};

use super::marker::{self, Writes};
use crate::config::leaves_the_machine;
use bellwether_adapters::tiers::address::RedisTarget;

/// Where the tier remembers it, behind the prefix: no key has such a name.
pub(crate) const NAME: &str = "@@backplane";
/// The right to write it is held for so long.
const LEASE: Span = Span::secs(2);
/// A backplane that has lost its word is given it again by those who run, within this.
const GIVEN_AGAIN: Duration = Duration::from_secs(7);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Looks at who else writes it.
const LOOKS: u32 = 15;

/// A backplane as the tier remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its word.
    id: String,
    /// How it was called by who wrote this, for people.
    at: String,
}

/// What a look found.
pub(crate) enum Same {
    /// It is the fleet's: this is its word.
    Yes(String),
    /// Nobody has said yet which one it is, and it was not to be said now.
    Unsaid,
    /// The fleet uses another one, called so.
    No(String),
}

/// Compares, and writes down what is not written down yet, if it may.
///
/// # Errors
/// Tier or backplane can't be asked.
pub(crate) async fn look(
    tier: &dyn Tier,
    events: &RedisEvents,
    url: &RedisTarget,
    writes: Writes,
) -> Result<Same, String> {
    let at = called(url);
    let Some(known) = read(tier).await? else {
        if writes == Writes::No {
            return Ok(Same::Unsaid);
        }
        let id = match events.identity().await.map_err(|error| error.to_string())? {
            Some(id) => id,
            None => identified(events, None).await?,
        };
        return first(tier, Known { id, at }).await;
    };
    let here = match events.identity().await.map_err(|error| error.to_string())? {
        Some(here) => here,
        // The same one, by all that can be known: it has lost what it held.
        None if known.at == at && writes == Writes::No => return Ok(Same::Unsaid),
        None if known.at == at => identified(events, Some(&known.id)).await?,
        None => match given_again(events).await? {
            Some(here) => here,
            None => return Ok(Same::No(known.at)),
        },
    };
    Ok(if here == known.id { Same::Yes(here) } else { Same::No(known.at) })
}

/// Looks once more, for a process that runs: either side may have lost its part, and is given it again.
///
/// # Errors
/// Tier or backplane can't be asked.
pub(crate) async fn again(tier: &dyn Tier, events: &RedisEvents, url: &RedisTarget, id: &str) -> Result<Same, String> {
    let here = identified(events, Some(id)).await?;
    let known = match read(tier).await? {
        Some(known) => known,
        None => return first(tier, Known { id: here, at: called(url) }).await,
    };
    Ok(if here == known.id && here == id { Same::Yes(here) } else { Same::No(known.at) })
}

/// The first to write it down, or who comes beside it.
async fn first(tier: &dyn Tier, ours: Known) -> Result<Same, String> {
    let key = NAME.as_bytes();
    // Who writes another word has another token; who writes the same is late with the very same bytes.
    let draw = Draw(ours.id.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default());
    let ask = Ask { lease: LEASE, mode: Mode::Miss, holds: Fence::ZERO, at_least: Fence::ZERO, draw };
    let body = json!({ "id": ours.id, "at": ours.at });
    for _ in 0..LOOKS {
        if let Acquired::Granted { token, .. } = tier.acquire(key, ask).await.map_err(text)? {
            // Refused: somebody else was quicker, and is read.
            tier.publish(key, token, marker::marker(&body)).await.map_err(text)?;
        }
        if let Some(known) = read(tier).await? {
            return Ok(if known.id == ours.id { Same::Yes(ours.id) } else { Same::No(known.at) });
        }
        tokio::time::sleep(LOOK).await;
    }
    Err("others write the name of the backplane all the time".to_owned())
}

async fn read(tier: &dyn Tier) -> Result<Option<Known>, String> {
    let Found::Entry { envelope, .. } = tier.get(NAME.as_bytes()).await.map_err(text)? else { return Ok(None) };
    let read: Value = serde_json::from_slice(&envelope.body).unwrap_or_default();
    let word = |name: &str| read[name].as_str().map(str::to_owned);
    Ok(word("id").zip(word("at")).map(|(id, at)| Known { id, at }))
}

/// Waits for those who run to give the backplane its word again.
async fn given_again(events: &RedisEvents) -> Result<Option<String>, String> {
    let until = tokio::time::Instant::now() + GIVEN_AGAIN;
    while tokio::time::Instant::now() < until {
        if let Some(here) = events.identity().await.map_err(|error| error.to_string())? {
            return Ok(Some(here));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(None)
}

async fn identified(events: &RedisEvents, word: Option<&str>) -> Result<String, String> {
    events.identify(word).await.map_err(|error| error.to_string())
}

fn text(error: TierError) -> String {
    error.text
}

/// How it is called here. What is of this machine alone carries the machine's name: on another one it is another
/// server.
pub(crate) fn called(url: &RedisTarget) -> String {
    if leaves_the_machine(url) {
        return url.to_string();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{url} on {}", if host.trim().is_empty() { "this machine" } else { host.trim() })
}
