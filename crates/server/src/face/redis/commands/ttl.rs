//! How long does a value live? Freshness left, and another end. Nothing here loads.

use bellwether::{Only, Span};
use bellwether_resp::{Args, eq_ignore_case, parse_i64};

use super::super::client::Client;
use super::lifetime::{Unit, unix_ms};
use super::words;
use super::write::then;
use crate::service::{Change, Deciding};

/// There is no such key.
const NOTHING: i64 = -2;

pub(super) fn ttl(client: &mut Client, args: Args<'_>) {
    // Redis rounds to the nearest second.
    left(client, args, |left| (left + 500) / 1000);
}

pub(super) fn pttl(client: &mut Client, args: Args<'_>) {
    left(client, args, |left| left);
}

pub(super) fn expiretime(client: &mut Client, args: Args<'_>) {
    left(client, args, |left| (left + unix_ms() + 500) / 1000);
}

pub(super) fn pexpiretime(client: &mut Client, args: Args<'_>) {
    left(client, args, |left| left + unix_ms());
}

/// Remaining freshness in ms, told by `tell`: 0 while stale.
fn left(client: &mut Client, args: Args<'_>, tell: impl FnOnce(i64) -> i64) {
    match client.service.peek(&args[1]) {
        Ok(Some(value)) => client.int(tell(i64::try_from(value.remaining().0).unwrap_or(i64::MAX / 2))),
        Ok(None) => client.int(NOTHING),
        Err(refusal) => client.refused(&refusal, &args[1]),
    }
}

pub(super) fn expire(client: &mut Client, args: Args<'_>) {
    end(client, args, Unit::Seconds, "expire");
}

pub(super) fn pexpire(client: &mut Client, args: Args<'_>) {
    end(client, args, Unit::Millis, "pexpire");
}

pub(super) fn expireat(client: &mut Client, args: Args<'_>) {
    end(client, args, Unit::UnixSeconds, "expireat");
}

pub(super) fn pexpireat(client: &mut Client, args: Args<'_>) {
    end(client, args, Unit::UnixMillis, "pexpireat");
}

/// The options of EXPIRE. `None`: it never holds, since every value here has an end.
fn condition<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Only>, String> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for word in words {
        match () {
            () if eq_ignore_case(word, "nx") => nx = true,
            () if eq_ignore_case(word, "xx") => xx = true,
            () if eq_ignore_case(word, "gt") => gt = true,
            () if eq_ignore_case(word, "lt") => lt = true,
            () => return Err(format!("ERR Unsupported option {}", String::from_utf8_lossy(word))),
        }
    }
    match (nx, xx || gt || lt) {
        (true, true) => Err("ERR NX and XX, GT or LT options at the same time are not compatible".to_owned()),
        (true, false) => Ok(None),
        _ if gt && lt => Err("ERR GT and LT options at the same time are not compatible".to_owned()),
        _ if gt => Ok(Some(Only::Later)),
        _ if lt => Ok(Some(Only::Sooner)),
        _ => Ok(Some(Only::Always)),
    }
}

/// An end that has passed removes; in a space with an origin the end only ever comes nearer.
fn end(client: &mut Client, args: Args<'_>, unit: Unit, name: &str) {
    let Some(number) = parse_i64(&args[2]) else { return client.error(words::NO_INTEGER) };
    let only = match condition(args.from(3).iter()) {
        Ok(only) => only,
        Err(words) => return client.error(words),
    };
    let Some(left) = unit.left(number) else { return client.error(words::invalid_expire(name)) };
    let key = &args[1];
    if let Err(refusal) = client.service.check(key) {
        return client.refused(&refusal, key);
    }
    let left = Span(u64::try_from(left).unwrap_or(0));
    let Some(only) = only else { return client.int(0) };
    match client.service.change_decided(key, Change::End(Some(left), only), false) {
        Some(deciding) => changed(client, key, deciding),
        None => {
            let ended = client.service.end(key, left, only);
            client.counted(ended, key);
        }
    }
}

/// Nothing lives for ever here: a plain space's value gets the space's full time again.
pub(super) fn persist(client: &mut Client, args: Args<'_>) {
    let key = &args[1];
    match client.service.change_decided(key, Change::End(None, Only::Always), false) {
        Some(deciding) => changed(client, key, deciding),
        None => {
            let renewed = client.service.renew(key);
            client.counted(renewed, key);
        }
    }
}

/// Answers 1 or 0 once the shared tier has decided.
fn changed(client: &mut Client, key: &[u8], deciding: Deciding) {
    then(client, key, deciding, |written, writer| writer.int(i64::from(written.stored)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_those_of_redis_and_no_value_is_without_an_end() {
        let said = |words: &[&str]| condition(words.iter().map(|word| word.as_bytes()));
        assert_eq!(said(&[]), Ok(Some(Only::Always)));
        assert_eq!(said(&["XX"]), Ok(Some(Only::Always)));
        assert_eq!(said(&["nx"]), Ok(None));
        assert_eq!((said(&["GT"]), said(&["xx", "gt"])), (Ok(Some(Only::Later)), Ok(Some(Only::Later))));
        assert_eq!(said(&["LT"]), Ok(Some(Only::Sooner)));
        for words in [&["nx", "xx"][..], &["nx", "gt"], &["gt", "lt"], &["zz"]] {
            assert!(said(words).is_err(), "{words:?}");
        }
    }
}
