//! How long does a value live? Freshness left, and a nearer end. Nothing here loads.

use bellwether::Span;
use bellwether_resp::{Args, eq_ignore_case, parse_i64};

use super::super::client::Client;
use super::lifetime::{Unit, unix_ms};
use super::words;

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

/// The options of EXPIRE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Only {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Only {
    fn parse(args: Args<'_>) -> Result<Only, String> {
        let mut only = Only::default();
        for word in args {
            match () {
                () if eq_ignore_case(word, "nx") => only.nx = true,
                () if eq_ignore_case(word, "xx") => only.xx = true,
                () if eq_ignore_case(word, "gt") => only.gt = true,
                () if eq_ignore_case(word, "lt") => only.lt = true,
                () => return Err(format!("ERR Unsupported option {}", String::from_utf8_lossy(word))),
            }
        }
        if only.nx && (only.xx || only.gt || only.lt) {
            return Err("ERR NX and XX, GT or LT options at the same time are not compatible".to_owned());
        }
        if only.gt && only.lt {
            return Err("ERR GT and LT options at the same time are not compatible".to_owned());
        }
        Ok(only)
    }

    /// Whether a value that has `now` left may get `wanted`. Every value here has an end, so `NX` never holds.
    fn allows(self, now: Span, wanted: Span) -> bool {
        !self.nx && (!self.gt || wanted > now) && (!self.lt || wanted < now)
    }
}

/// An end that has passed removes; in a space with an origin the end only ever comes nearer.
fn end(client: &mut Client, args: Args<'_>, unit: Unit, name: &str) {
    let Some(number) = parse_i64(&args[2]) else { return client.error(words::NO_INTEGER) };
    let only = match Only::parse(args.from(3)) {
        Ok(only) => only,
        Err(words) => return client.error(words),
    };
    let Some(left) = unit.left(number) else { return client.error(words::invalid_expire(name)) };
    let key = &args[1];
    if let Err(refusal) = client.service.check(key) {
        return client.refused(&refusal, key);
    }
    let left = Span(u64::try_from(left).unwrap_or(0));
    let result = if left > Span::ZERO {
        client.service.end_after(key, left, |now| only.allows(now, left))
    } else {
        match client.service.present(key) {
            Ok(Some(value)) if !only.allows(value.remaining(), left) => Ok(false),
            Ok(_) => client.service.remove(key),
            Err(refusal) => Err(refusal),
        }
    };
    client.counted(result, key);
}

/// Nothing lives for ever here: a plain space's value gets the space's full time again.
pub(super) fn persist(client: &mut Client, args: Args<'_>) {
    let renewed = client.service.renew(&args[1]);
    client.counted(renewed, &args[1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare_with_what_is_left() {
        let (short, long) = (Span::secs(5), Span::secs(50));
        let only = |nx, xx, gt, lt| Only { nx, xx, gt, lt };
        assert!(only(false, false, false, false).allows(short, long));
        assert!(!only(true, false, false, false).allows(short, long), "everything has an end");
        assert!(only(false, true, false, false).allows(short, long));
        assert!(
            only(false, false, true, false).allows(short, long) && !only(false, false, true, false).allows(long, short)
        );
        assert!(
            only(false, false, false, true).allows(long, short) && !only(false, false, false, true).allows(short, long)
        );
    }
}
