//! Which channels can be listened to? Those that carry invalidations: SUBSCRIBE and its like.

use bellwether_resp::{Args, Writer};
use bytes::Bytes;

use super::super::client::Client;
use super::super::following::{CHANNELS, MOST_PATTERNS};

pub(super) fn subscribe(client: &mut Client, args: Args<'_>) {
    // None is subscribed if any is not there.
    if let Some(other) = args.from(1).iter().find(|name| !CHANNELS.iter().any(|channel| channel.as_bytes() == *name)) {
        let [redirected, ours] = CHANNELS;
        let other = String::from_utf8_lossy(other);
        return client.error(format!("ERR no channel '{other}' here: there are {ours} and {redirected}"));
    }
    for name in args.from(1) {
        if !client.following.channels.iter().any(|channel| channel == name) {
            client.following.channels.push(Bytes::copy_from_slice(name));
        }
        client.following.subscribed();
        confirm(client, "subscribe", Some(name));
    }
}

pub(super) fn psubscribe(client: &mut Client, args: Args<'_>) {
    let new = args.from(1).iter().filter(|pattern| !client.following.patterns.iter().any(|known| known == pattern));
    if client.following.patterns.len() + new.count() > MOST_PATTERNS {
        return client.error(format!("ERR too many patterns: at most {MOST_PATTERNS} for one client"));
    }
    for pattern in args.from(1) {
        if !client.following.patterns.iter().any(|known| known == pattern) {
            client.following.patterns.push(Bytes::copy_from_slice(pattern));
        }
        client.following.subscribed();
        confirm(client, "psubscribe", Some(pattern));
    }
}

pub(super) fn unsubscribe(client: &mut Client, args: Args<'_>) {
    leave(client, args, "unsubscribe", |client| &mut client.following.channels);
}

pub(super) fn punsubscribe(client: &mut Client, args: Args<'_>) {
    leave(client, args, "punsubscribe", |client| &mut client.following.patterns);
}

/// Leaves those that are named, or all.
fn leave(client: &mut Client, args: Args<'_>, verb: &str, list: fn(&mut Client) -> &mut Vec<Bytes>) {
    let named: Vec<Bytes> = match args.len() {
        1 => list(client).clone(),
        _ => args.from(1).iter().map(Bytes::copy_from_slice).collect(),
    };
    if named.is_empty() {
        return confirm(client, verb, None);
    }
    for name in named {
        list(client).retain(|known| *known != name);
        client.following.subscribed();
        confirm(client, verb, Some(&name));
    }
}

/// What Redis answers to each name, in the form of a message.
fn confirm(client: &mut Client, verb: &str, name: Option<&[u8]>) {
    let left = client.following.subscriptions();
    let mut writer: Writer<'_, Vec<u8>> = client.writer();
    writer.push(3);
    writer.bulk(verb);
    match name {
        Some(name) => writer.bulk(name),
        None => writer.nil(),
    }
    writer.int(i64::try_from(left).unwrap_or(i64::MAX));
}

/// PUBLISH and channels of shards: what the channels carry is ours to say.
pub(super) fn not_ours(client: &mut Client, args: Args<'_>) {
    let name = String::from_utf8_lossy(&args[0]).to_uppercase();
    client.error(format!("ERR {name} is not available: channels here carry invalidations alone"));
}
