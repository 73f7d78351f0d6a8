//! What can be asked that Redis has no words for? BW.GET with its terms and tokens, tags, refreshes, explanations.

use bellwether::{Demand, Priority, Span, Token};
use bellwether_core::key::MAX_KEY_BYTES;
use bellwether_resp::{Args, Protocol, Writer, eq_ignore_case, parse_i64};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::super::client::{Client, written};
use super::super::replies::Reply;
use super::lifetime::{Unit, lifetime};
use super::words;
use crate::service::{Grant, Outcome, Refusal, Terms, class};

/// Keys that BW.HOTKEYS tells unless it is asked for more, and the most that are known.
const HOT_ROWS: usize = 10;
const MOST_HOT_ROWS: usize = 256;
/// Tags of one value.
const MAX_TAGS: usize = 64;

/// The options of BW.GET.
#[derive(Clone, Copy, Debug)]
struct Asked {
    demand: Demand,
    priority: Option<Priority>,
    lease: Option<Span>,
    wait: Option<Span>,
}

impl Asked {
    /// How fresh, once: two such words contradict each other.
    fn insist(&mut self, demand: Demand) -> Result<(), String> {
        if self.demand != Demand::Any {
            return Err("ERR only one of FRESH, CACHED and MAXAGE may be asked for".to_owned());
        }
        self.demand = demand;
        Ok(())
    }

    fn parse(args: Args<'_>) -> Result<Asked, String> {
        let mut asked = Asked { demand: Demand::Any, priority: None, lease: None, wait: None };
        let mut rest = args.iter();
        while let Some(word) = rest.next() {
            let mut millis = || millis(rest.next().ok_or(words::SYNTAX)?);
            match () {
                () if eq_ignore_case(word, "fresh") => asked.insist(Demand::Fresh)?,
                () if eq_ignore_case(word, "cached") => asked.insist(Demand::CachedOnly)?,
                () if eq_ignore_case(word, "maxage") => {
                    let age = millis()?;
                    asked.insist(Demand::MaxAge(age))?;
                }
                () if eq_ignore_case(word, "lease") => asked.lease = Some(millis()?),
                () if eq_ignore_case(word, "wait") => asked.wait = Some(millis()?),
                () if eq_ignore_case(word, "priority") => {
                    let word = rest.next().ok_or(words::SYNTAX)?;
                    asked.priority = Some(class(word).map_err(|wrong| format!("ERR {wrong}"))?);
                }
                () => return Err(words::SYNTAX.to_owned()),
            }
        }
        Ok(asked)
    }
}

fn millis(text: &[u8]) -> Result<Span, String> {
    let number = parse_i64(text).ok_or(words::NO_INTEGER)?;
    u64::try_from(number).map(Span).map_err(|_| words::NO_INTEGER.to_owned())
}

pub(super) fn get(client: &mut Client, args: Args<'_>) {
    let asked = match Asked::parse(args.from(2)) {
        Ok(asked) => asked,
        Err(words) => return client.error(words),
    };
    let terms = Terms { demand: asked.demand, priority: asked.priority, ..client.terms() };
    let (service, protocol) = (client.service.clone(), client.protocol);
    let key = Bytes::copy_from_slice(&args[1]);
    let (clients, shutdown) = (client.clients.clone(), client.shutdown.clone());
    client.later(Box::pin(async move {
        // Until it is answered: it may wait for whoever holds the token, as BLPOP waits for a push.
        let _waits = clients.waits();
        let granted = service.lease(key.clone(), terms, asked.lease, asked.wait, shutdown.requested()).await;
        told(granted, &key, protocol)
    }));
}

/// `[value|nil, why, age_ms, token|nil, retry_after_ms]`
fn told(granted: Result<Grant, Outcome>, key: &[u8], protocol: Protocol) -> Reply {
    written(protocol, |writer| match granted {
        Err(failed) => writer.error(words::failed(&failed, key)),
        Ok(grant) => {
            writer.array(5);
            match &grant.value {
                Some(value) => writer.bulk(&value.body),
                None => writer.nil(),
            }
            writer.bulk(grant.why.as_str());
            int(writer, grant.value.as_ref().map_or(0, |value| value.age().0));
            match grant.token {
                Some(token) => writer.bulk(token.to_string()),
                None => writer.nil(),
            }
            int(writer, grant.retry_after.map_or(0, |span| span.0));
        }
    })
}

fn int(writer: &mut Writer<'_, Vec<u8>>, number: impl TryInto<i64>) {
    writer.int(number.try_into().unwrap_or(i64::MAX));
}

fn token(text: &[u8]) -> Result<Token, &'static str> {
    let token = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    token.ok_or("ERR invalid token: give back what BW.GET gave")
}

/// Answers 1 or 0 once it is known: the shared tier decides, where there is one.
fn decided(client: &mut Client, decided: Result<BoxFuture<'static, bool>, Refusal>, key: &[u8]) {
    let mut deciding = match decided {
        Ok(deciding) => deciding,
        Err(refusal) => return client.refused(&refusal, key),
    };
    if let Some(done) = (&mut deciding).now_or_never() {
        return client.int(i64::from(done));
    }
    let protocol = client.protocol;
    client.later(Box::pin(async move {
        let done = deciding.await;
        written(protocol, |writer| int(writer, i64::from(done)))
    }));
    // What follows on this connection must see it.
    client.waits = true;
}

pub(super) fn set(client: &mut Client, args: Args<'_>) {
    let (ttl, tags) = match set_terms(args.from(4)) {
        Ok(terms) => terms,
        Err(words) => return client.error(words),
    };
    match token(&args[3]) {
        Ok(token) => {
            let stored = client.service.publish(&args[1], &args[2], token, ttl, tags);
            decided(client, stored, &args[1]);
        }
        Err(words) => client.error(words),
    }
}

/// `[EX s|PX ms] [TAG t …]`
fn set_terms(args: Args<'_>) -> Result<(Option<Span>, Vec<String>), String> {
    let mut ttl = None;
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        if eq_ignore_case(word, "tag") {
            let tags: Vec<String> = rest.map(|tag| String::from_utf8_lossy(tag).into_owned()).collect();
            if tags.len() > MAX_TAGS || tags.iter().any(|tag| tag.len() > MAX_KEY_BYTES) {
                return Err(format!("ERR at most {MAX_TAGS} tags of at most {MAX_KEY_BYTES} bytes each"));
            }
            return if tags.is_empty() { Err(words::SYNTAX.to_owned()) } else { Ok((ttl, tags)) };
        }
        let unit = Unit::option(word).filter(|unit| ttl.is_none() && matches!(unit, Unit::Seconds | Unit::Millis));
        let (Some(unit), Some(time)) = (unit, rest.next()) else { return Err(words::SYNTAX.to_owned()) };
        ttl = Some(lifetime(time, unit, "bw.set")?);
    }
    Ok((ttl, Vec::new()))
}

pub(super) fn release(client: &mut Client, args: Args<'_>) {
    let cool_down = match (args.get(3), args.get(4), args.len()) {
        (None, _, _) => Ok(Span::ZERO),
        (Some(word), Some(time), 5) if eq_ignore_case(word, "cooldown") => millis(time),
        _ => Err(words::SYNTAX.to_owned()),
    };
    match (token(&args[2]), cool_down) {
        (Ok(token), Ok(cool_down)) => {
            let released = client.service.release(&args[1], token, cool_down);
            decided(client, released, &args[1]);
        }
        (Err(words), _) => client.error(words),
        (_, Err(words)) => client.error(words),
    }
}

pub(super) fn expire(client: &mut Client, args: Args<'_>) {
    let expired = client.service.expire(&args[1]);
    client.counted(expired, &args[1]);
}

pub(super) fn refresh(client: &mut Client, args: Args<'_>) {
    let refreshed = client.service.refresh(&args[1]);
    client.counted(refreshed, &args[1]);
}

pub(super) fn tag_expire(client: &mut Client, args: Args<'_>) {
    args.from(1).iter().for_each(|tag| client.service.tag_expire(tag));
    client.ok();
}

/// The number of values made stale: each is served until it was refreshed.
pub(super) fn tag_refresh(client: &mut Client, args: Args<'_>) {
    let tags: Vec<Vec<u8>> = args.from(1).iter().map(|tag| tag.to_vec()).collect();
    let (service, protocol) = (client.service.clone(), client.protocol);
    client.later(Box::pin(async move {
        let refreshed = service.tags_refresh(tags).await;
        written(protocol, |writer| int(writer, refreshed))
    }));
}

pub(super) fn tag_remove(client: &mut Client, args: Args<'_>) {
    args.from(1).iter().for_each(|tag| client.service.tag_remove(tag));
    client.ok();
}

/// `BW.HOTKEYS [n]`: the keys that are hot or watched, the hottest first, each as a map.
pub(super) fn hotkeys(client: &mut Client, args: Args<'_>) {
    let rows = match args.from(1).iter().next() {
        None => Some(HOT_ROWS),
        Some(text) => parse_i64(text).and_then(|rows| usize::try_from(rows).ok()),
    };
    match rows.filter(|rows| args.len() <= 2 && (1..=MOST_HOT_ROWS).contains(rows)) {
        Some(rows) => {
            // Its fields are texts, numbers and options: there is nothing that JSON can't say.
            let keys = serde_json::to_value(client.service.hot_keys(rows)).unwrap_or_default();
            write(&mut client.writer(), &keys);
        }
        None => client.error(format!("ERR expected BW.HOTKEYS [n], n from 1 to {MOST_HOT_ROWS}")),
    }
}

/// `BW.EXPLAIN key`: the same description as `/api/explain/{key}`, as a map, but for what lies on disk: no look waits here.
pub(super) fn explain(client: &mut Client, args: Args<'_>) {
    // Who asks why is told so, and is no request.
    if let Err(refusal) = client.service.present(&args[1]) {
        return client.refused(&refusal, &args[1]);
    }
    let description = client.service.describe(&args[1]).unwrap_or_else(|| {
        let space = client.service.space_of(&args[1]).unwrap_or_default();
        serde_json::json!({ "space": space, "would": "negative_type" })
    });
    write(&mut client.writer(), &description);
}

/// A description in Redis's types.
fn write(writer: &mut Writer<'_, Vec<u8>>, value: &Value) {
    match value {
        Value::Null => writer.nil(),
        Value::Bool(yes) => writer.bool(*yes),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => writer.int(whole),
            None => writer.bulk(number.to_string()),
        },
        Value::String(text) => writer.bulk(text),
        Value::Array(items) => {
            writer.array(items.len());
            items.iter().for_each(|item| write(writer, item));
        }
        Value::Object(fields) => {
            writer.map(fields.len());
            for (name, value) in fields {
                writer.bulk(name);
                write(writer, value);
            }
        }
    }
}
