//! How is a value of a plain space written and removed? SET with all its options, DEL, and their like.

use std::collections::HashSet;

use bellwether::{Only, Span};
use bellwether_resp::{Args, Writer, eq_ignore_case};
use bytes::Bytes;

use super::super::client::{Client, told, written};
use super::lifetime::{Unit, lifetime};
use super::words;
use crate::service::{Change, Deciding, Ends, Outcome, When, WriteTerms, Written};

pub(super) fn set(client: &mut Client, args: Args<'_>) {
    match set_terms(args) {
        Ok((terms, get)) => {
            write_then(client, &args[1], &args[2], terms, get, move |written, writer| match (get, written) {
                (true, Written { before: Some(before), .. }) => writer.bulk(&before.body),
                (false, Written { stored: true, .. }) => writer.simple("OK"),
                _ => writer.nil(),
            })
        }
        Err(words) => client.error(words),
    }
}

/// The options of SET; whether the old value is asked for.
fn set_terms(args: Args<'_>) -> Result<(WriteTerms, bool), String> {
    let mut terms = WriteTerms::default();
    let mut get = false;
    let mut rest = args.from(3).iter();
    while let Some(word) = rest.next() {
        if eq_ignore_case(word, "nx") && terms.when == When::Always {
            terms.when = When::Absent;
        } else if eq_ignore_case(word, "xx") && terms.when == When::Always {
            terms.when = When::Present;
        } else if eq_ignore_case(word, "get") {
            get = true;
        } else if eq_ignore_case(word, "keepttl") && terms.ends == Ends::BySpace {
            terms.ends = Ends::AsBefore;
        } else if let (Some(unit), Ends::BySpace) = (Unit::option(word), terms.ends) {
            let time = rest.next().ok_or(words::SYNTAX)?;
            terms.ends = Ends::After(lifetime(time, unit, "set")?);
        } else {
            return Err(words::SYNTAX.to_owned());
        }
    }
    Ok((terms, get))
}

/// Writes and answers, at once or when the shared tier has decided.
fn write_then(
    client: &mut Client,
    key: &[u8],
    value: &[u8],
    terms: WriteTerms,
    reads: bool,
    answer: impl FnOnce(Written, &mut Writer<'_, Vec<u8>>) + Send + 'static,
) {
    match client.service.write_decided(key, value, &terms, reads) {
        Err(refusal) => client.refused(&refusal, key),
        Ok(None) => {
            if let Some(written) = write(client, key, value, terms) {
                answer(written, &mut client.writer());
            }
        }
        Ok(Some(deciding)) => then(client, key, deciding, answer),
    }
}

/// Answers when the shared tier has decided.
pub(super) fn then(
    client: &mut Client,
    key: &[u8],
    deciding: Deciding,
    answer: impl FnOnce(Written, &mut Writer<'_, Vec<u8>>) + Send + 'static,
) {
    let (protocol, key) = (client.protocol, key.to_vec());
    client.later(Box::pin(async move {
        let decided = deciding.await;
        written(protocol, |writer| match decided {
            Ok(decided) => answer(decided, writer),
            Err(refusal) => writer.error(refusal.words(&key)),
        })
    }));
    // What follows on this connection must see it.
    client.waits = true;
}

/// Writes, or says why not.
fn write(client: &mut Client, key: &[u8], value: &[u8], terms: WriteTerms) -> Option<Written> {
    match client.service.write(key, value, terms) {
        Ok(written) => Some(written),
        Err(refusal) => {
            client.refused(&refusal, key);
            None
        }
    }
}

pub(super) fn setex(client: &mut Client, args: Args<'_>) {
    set_for(client, args, Unit::Seconds, "setex");
}

pub(super) fn psetex(client: &mut Client, args: Args<'_>) {
    set_for(client, args, Unit::Millis, "psetex");
}

fn set_for(client: &mut Client, args: Args<'_>, unit: Unit, name: &str) {
    match lifetime(&args[2], unit, name) {
        Ok(span) => {
            let terms = WriteTerms { ends: Ends::After(span), ..WriteTerms::default() };
            if write(client, &args[1], &args[3], terms).is_some() {
                client.ok();
            }
        }
        Err(words) => client.error(words),
    }
}

pub(super) fn setnx(client: &mut Client, args: Args<'_>) {
    let terms = WriteTerms { when: When::Absent, ..WriteTerms::default() };
    write_then(client, &args[1], &args[2], terms, false, |written, writer| writer.int(i64::from(written.stored)));
}

pub(super) fn getset(client: &mut Client, args: Args<'_>) {
    write_then(client, &args[1], &args[2], WriteTerms::default(), true, tell_before);
}

/// What was there.
fn tell_before(written: Written, writer: &mut Writer<'_, Vec<u8>>) {
    match written.before {
        Some(before) => writer.bulk(&before.body),
        None => writer.nil(),
    }
}

pub(super) fn getdel(client: &mut Client, args: Args<'_>) {
    if let Some(deciding) = client.service.change_decided(&args[1], Change::Take, true) {
        return then(client, &args[1], deciding, tell_before);
    }
    match client.service.take(&args[1]) {
        Ok(Some(value)) => client.replies.value(value),
        Ok(None) => client.writer().nil(),
        Err(refusal) => client.refused(&refusal, &args[1]),
    }
}

/// In a space with an origin it reads through, and shortens as EXPIRE does.
pub(super) fn getex(client: &mut Client, args: Args<'_>) {
    let left = match new_end(args) {
        Ok(Some(left)) => left,
        Ok(None) => return client.read(&args[1], client.terms(), told),
        Err(words) => return client.error(words),
    };
    let decided = client.service.is_plain(&args[1]);
    let deciding =
        decided.then(|| client.service.change_decided(&args[1], Change::End(left, Only::Always), true)).flatten();
    if let Some(deciding) = deciding {
        return then(client, &args[1], deciding, tell_before);
    }
    let watched = client.hands(&args[1]);
    // Changes of its own: those of the connection belong to the command that it is at by then.
    let (service, key) = (client.service.collecting(), Bytes::copy_from_slice(&args[1]));
    let (terms, protocol) = (client.terms(), client.protocol);
    client.later(Box::pin(async move {
        let outcome = service.read(key.clone(), terms).await;
        if watched {
            service.handed(&key, &outcome, service.now());
        }
        if matches!(outcome, Outcome::Value(_)) {
            service.end_of_read(&key, left).await;
        }
        told(outcome, &key, protocol)
    }));
    // A write: what follows on this connection must see it.
    client.waits = true;
}

/// The end that GETEX gives the value, if any: after so long, or when its space says.
fn new_end(args: Args<'_>) -> Result<Option<Option<Span>>, String> {
    let Some(word) = args.get(2) else { return Ok(None) };
    match (Unit::option(word), args.get(3), args.len()) {
        (Some(unit), Some(time), 4) => lifetime(time, unit, "getex").map(|left| Some(Some(left))),
        (None, None, _) if eq_ignore_case(word, "persist") => Ok(Some(None)),
        _ => Err(words::SYNTAX.to_owned()),
    }
}

pub(super) fn mset(client: &mut Client, args: Args<'_>) {
    let pairs = || args.from(1).iter().zip(args.from(2).iter()).step_by(2);
    if args.len().is_multiple_of(2) {
        return client.error(words::arity("mset"));
    }
    // Nothing is written if anything could not be.
    for (key, value) in pairs() {
        if let Err(refusal) = client.service.could_write(key, value) {
            return client.refused(&refusal, key);
        }
    }
    for (key, value) in pairs() {
        if write(client, key, value, WriteTerms::default()).is_none() {
            return;
        }
    }
    client.ok();
}

/// DEL and UNLINK: every key is removed, resident or not; those that were resident are counted.
pub(super) fn del(client: &mut Client, args: Args<'_>) {
    for key in args.from(1) {
        if let Err(refusal) = client.service.check(key) {
            return client.refused(&refusal, key);
        }
    }
    let mut resident = 0;
    let mut named = HashSet::new();
    // One that is named twice is removed once, and counted so.
    for key in args.from(1).iter().filter(|key| named.insert(*key)) {
        // Checked above.
        resident += usize::from(client.service.remove(key).unwrap_or(false));
    }
    let Some(telling) = client.service.telling() else { return client.int(resident) };
    let protocol = client.protocol;
    client.later(Box::pin(async move {
        let told = telling.done().await;
        let removed = i64::try_from(resident + told.elsewhere).unwrap_or(i64::MAX);
        written(protocol, |writer| writer.int(removed))
    }));
    client.waits = true;
}
