//! What is there? GET and its like read through; STRLEN, TYPE and TOUCH look at what is resident.

use bellwether::{Cached, HIT_MANY, Why};
use bellwether_adapters::Payload;
use bellwether_resp::{Args, Protocol, parse_i64};
use bytes::Bytes;

use super::super::client::{Client, told, written};
use super::super::replies::Reply;
use super::words;
use crate::service::{Outcome, Refusal};

#[inline]
pub(in crate::face::redis) fn get(client: &mut Client, args: Args<'_>) {
    let key = &args[1];
    answer(client, key, client.service.hit(key));
}

/// Answers a GET of `key`, of which memory has `found`.
#[inline]
pub(in crate::face::redis) fn answer(client: &mut Client, key: &[u8], found: Option<Cached<Payload>>) {
    match found {
        Some(value) => client.replies.value(value),
        None => get_missed(client, key),
    }
}

/// One GET after another, of up to [`HIT_MANY`] keys.
pub(in crate::face::redis) fn get_many(client: &mut Client, keys: &[&[u8]]) {
    if let [key] = keys {
        return answer(client, key, client.service.hit(key));
    }
    let mut found = [const { None }; HIT_MANY];
    client.service.hit_many(keys, &mut found[..keys.len()]);
    if !client.replies.values(&found[..keys.len()]) {
        keys.iter().zip(found).for_each(|(key, found)| answer(client, key, found));
    }
}

/// GET of whoever keeps what it is handed, or while somebody watches prefixes.
pub(super) fn get_kept(client: &mut Client, args: Args<'_>) {
    let key = &args[1];
    if !client.hands(key) {
        return get(client, args);
    }
    match client.service.hit(key) {
        Some(value) => {
            let outcome = Outcome::Value(value);
            client.service.handed(key, &outcome, client.now);
            client.outcome(outcome, key);
        }
        None => get_missed(client, key),
    }
}

#[cold]
fn get_missed(client: &mut Client, key: &[u8]) {
    let terms = client.terms();
    match client.service.read_now(key, &terms) {
        Some(outcome) => {
            if client.hands(key) {
                client.service.handed(key, &outcome, client.now);
            }
            client.outcome(outcome, key);
        }
        None => {
            let next = client.replies.next_number();
            client.read(key, terms, told);
            if client.service.collects() && client.service.is_plain(key) {
                client.is_looked_up(next, std::iter::once(key), key.len());
                client.plain = client.is_plain();
            }
        }
    }
}

/// Reads all keys of `args`, then tells them by `tell`, which also gets the keys if any has failed.
fn read_all(
    client: &mut Client,
    args: Args<'_>,
    tell: impl FnOnce(Vec<Outcome>, &[Bytes], Protocol) -> Reply + Send + 'static,
) {
    let terms = client.terms();
    let (service, protocol) = (client.service.clone(), client.protocol);
    let watched = args.iter().fold(false, |watched, key| client.hands(key) | watched);
    let found: Vec<Option<Outcome>> =
        args.iter().map(|key| service.hit(key).map(Outcome::Value).or_else(|| service.read_now(key, &terms))).collect();
    if found.iter().all(|found| found.as_ref().is_some_and(is_answer)) {
        let outcomes: Vec<Outcome> = found.into_iter().flatten().collect();
        if watched {
            args.iter().zip(&outcomes).for_each(|(key, outcome)| service.handed(key, outcome, client.now));
        }
        return client.replies.push(tell(outcomes, &[], protocol));
    }
    let keys: Vec<Bytes> = args.iter().map(Bytes::copy_from_slice).collect();
    client.later(Box::pin(async move {
        let missing: Vec<Bytes> =
            keys.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(key, _)| key.clone()).collect();
        let mut loaded = service.read_many(missing, terms).await.into_iter();
        let outcomes: Vec<Outcome> = found.into_iter().filter_map(|found| found.or_else(|| loaded.next())).collect();
        if watched {
            // What memory had was handed out before the rest was waited for: what is good for longer is so anyway.
            let now = service.now();
            keys.iter().zip(&outcomes).for_each(|(key, outcome)| service.handed(key, outcome, now));
        }
        tell(outcomes, &keys, protocol)
    }));
}

/// The values where there are any, or why the whole reply is an error.
fn all_or_partial(outcomes: Vec<Outcome>, keys: &[Bytes]) -> Result<Vec<Option<Cached<Payload>>>, String> {
    let mut failed = outcomes.iter().zip(keys).filter(|(outcome, _)| !is_answer(outcome));
    if let Some((outcome, key)) = failed.next() {
        let (count, of) = (1 + failed.count(), keys.len());
        return Err(format!("BWPARTIAL {count} of {of}: {}", words::failed(outcome, key)));
    }
    let values = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Value(value) => Some(value),
        _ => None,
    });
    Ok(values.collect())
}

fn is_answer(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Value(_) | Outcome::Missing(_))
}

pub(super) fn mget(client: &mut Client, args: Args<'_>) {
    read_all(client, args.from(1), |outcomes, keys, protocol| match all_or_partial(outcomes, keys) {
        Ok(values) => Reply::Values { values: values.into_iter(), header: true, protocol },
        Err(words) => written(protocol, |writer| writer.error(words)),
    });
}

pub(super) fn exists(client: &mut Client, args: Args<'_>) {
    let single = args.len() == 2;
    read_all(client, args.from(1), move |mut outcomes, keys, protocol| {
        if single && outcomes.first().is_some_and(|outcome| !is_answer(outcome)) {
            return told(outcomes.remove(0), &keys[0], protocol);
        }
        written(protocol, |writer| match all_or_partial(outcomes, keys) {
            Ok(values) => writer.int(i64::try_from(values.iter().flatten().count()).unwrap_or(i64::MAX)),
            Err(words) => writer.error(words),
        })
    });
}

pub(super) fn getrange(client: &mut Client, args: Args<'_>) {
    let (Some(start), Some(end)) = (parse_i64(&args[2]), parse_i64(&args[3])) else {
        return client.error(words::NO_INTEGER);
    };
    client.read(&args[1], client.terms(), move |outcome, key, protocol| match outcome {
        Outcome::Value(value) => written(protocol, |writer| writer.bulk(part(&value.body, start, end))),
        Outcome::Missing(_) => written(protocol, |writer| writer.bulk("")),
        failed => told(failed, key, protocol),
    });
}

/// The bytes from `start` to `end`, both included, both counted from the end where negative.
fn part(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let place = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    let (start, end) = (place(start), place(end).min(length - 1));
    let place = |at: i64| usize::try_from(at).ok();
    match (place(start), place(end.saturating_add(1))) {
        (Some(start), Some(end)) => bytes.get(start..end).unwrap_or_default(),
        _ => &[],
    }
}

/// What is there for those who ask whether it is, and may keep the answer.
fn present(client: &Client, key: &[u8]) -> Result<Option<Cached<Payload>>, Refusal> {
    let watched = client.hands(key);
    let found = client.service.present(key)?;
    if watched {
        let outcome = found.clone().map_or(Outcome::Missing(Why::NotCached), Outcome::Value);
        client.service.handed(key, &outcome, client.now);
    }
    Ok(found)
}

pub(super) fn strlen(client: &mut Client, args: Args<'_>) {
    match present(client, &args[1]) {
        Ok(found) => client.int(found.map_or(0, |value| value.body.len())),
        Err(refusal) => client.refused(&refusal, &args[1]),
    }
}

/// TYPE.
pub(super) fn kind(client: &mut Client, args: Args<'_>) {
    match present(client, &args[1]) {
        Ok(found) => client.simple(if found.is_some() { "string" } else { "none" }),
        Err(refusal) => client.refused(&refusal, &args[1]),
    }
}

pub(super) fn touch(client: &mut Client, args: Args<'_>) {
    let mut resident = 0;
    for key in args.from(1) {
        match client.service.present(key) {
            Ok(found) => resident += i64::from(found.is_some()),
            Err(refusal) => return client.refused(&refusal, key),
        }
    }
    client.int(resident);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_as_redis_cuts_them() {
        let cut = |start, end| part(b"hello", start, end);
        assert_eq!(cut(0, -1), b"hello");
        assert_eq!(cut(1, 3), b"ell");
        assert_eq!(cut(-3, -2), b"ll");
        assert_eq!(cut(-100, 100), b"hello");
        for (start, end) in [(3, 1), (5, 9), (-1, -3), (0, -100), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN)] {
            let expected: &[u8] =
                if (start, end) == (0, -100) || (start, end) == (i64::MIN, i64::MIN) { b"h" } else { b"" };
            assert_eq!(cut(start, end), expected, "{start} {end}");
        }
        assert_eq!(part(b"", 0, -1), b"");
    }
}
