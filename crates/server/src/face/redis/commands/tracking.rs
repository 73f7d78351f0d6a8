//! How does a client's own cache stay true? CLIENT TRACKING and what belongs to it, in Redis's words.

use bellwether_resp::{Args, eq_ignore_case, parse_i64};
use bytes::Bytes;

use super::super::client::Client;
use super::super::following::{Keeps, Tracked};
use super::words;
use crate::service::watch::{MOST_PREFIXES, Tracking};

const NOT_TRACKING: &str = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
                            OPTOUT mode enabled";

/// The options of CLIENT TRACKING as they are written.
#[derive(Default)]
struct Options {
    redirect: Option<u64>,
    prefixes: Vec<Bytes>,
    bcast: bool,
    optin: bool,
    optout: bool,
    noloop: bool,
}

pub(super) fn tracking(client: &mut Client, args: Args<'_>) {
    let options = match options(client, args) {
        Ok(options) => options,
        Err(words) => return client.error(words),
    };
    match &args[2] {
        word if eq_ignore_case(word, "on") => match tracked(client, options) {
            Ok(tracked) => {
                client.following.track(Some(tracked));
                client.ok();
            }
            Err(words) => client.error(words),
        },
        word if eq_ignore_case(word, "off") => {
            client.following.track(None);
            client.ok();
        }
        _ => client.error(words::SYNTAX),
    }
}

fn options(client: &Client, args: Args<'_>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut rest = args.from(3).iter();
    while let Some(word) = rest.next() {
        match () {
            () if eq_ignore_case(word, "redirect") => {
                if options.redirect.is_some() {
                    return Err("ERR A client can only redirect to a single other client".to_owned());
                }
                let id = parse_i64(rest.next().ok_or(words::SYNTAX)?).ok_or(words::NO_INTEGER)?;
                let id = u64::try_from(id).ok().filter(|id| client.service.watch().is_here(*id));
                options.redirect = Some(id.ok_or("ERR The client ID you want redirect to does not exist")?);
            }
            () if eq_ignore_case(word, "prefix") => {
                options.prefixes.push(Bytes::copy_from_slice(rest.next().ok_or(words::SYNTAX)?));
            }
            () if eq_ignore_case(word, "bcast") => options.bcast = true,
            () if eq_ignore_case(word, "optin") => options.optin = true,
            () if eq_ignore_case(word, "optout") => options.optout = true,
            () if eq_ignore_case(word, "noloop") => options.noloop = true,
            () => return Err(words::SYNTAX.to_owned()),
        }
    }
    Ok(options)
}

/// What `ON` with these options makes of a client, which may track already.
fn tracked(client: &Client, options: Options) -> Result<Tracked, String> {
    let Options { redirect, prefixes, bcast, optin, optout, noloop } = options;
    if !bcast && !prefixes.is_empty() {
        return Err("ERR PREFIX option requires BCAST mode to be enabled".to_owned());
    }
    let before = client.following.tracked();
    if before.is_some_and(|before| bcast != (before.keeps == Keeps::Prefixes)) {
        return Err("ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                    re-enabling it with a different mode."
            .to_owned());
    }
    if bcast && (optin || optout) {
        return Err("ERR OPTIN and OPTOUT are not compatible with BCAST".to_owned());
    }
    if optin && optout {
        return Err("ERR You can't specify both OPTIN mode and OPTOUT mode".to_owned());
    }
    let switches =
        |before: &Tracked| (optin && before.keeps == Keeps::OptOut) || (optout && before.keeps == Keeps::OptIn);
    if before.is_some_and(switches) {
        return Err("ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                    re-enabling it with a different mode."
            .to_owned());
    }
    let keeps = match () {
        () if bcast => Keeps::Prefixes,
        () if optin => Keeps::OptIn,
        () if optout => Keeps::OptOut,
        () => Keeps::All,
    };
    let broadcast = if bcast { Some(all_prefixes(client, prefixes)?) } else { None };
    Ok(Tracked { keeps, tracking: Tracking { redirect, noloop, broadcast }, caching: None })
}

/// The prefixes that the client has already, and those behind them.
fn all_prefixes(client: &Client, new: Vec<Bytes>) -> Result<Vec<Bytes>, String> {
    let before =
        client.following.tracked().and_then(|tracked| tracked.tracking.broadcast.as_deref()).unwrap_or_default();
    let overlap = |a: &Bytes, b: &Bytes| a.starts_with(b) || b.starts_with(a);
    let shown = |prefix: &Bytes| String::from_utf8_lossy(prefix).into_owned();
    for (at, prefix) in new.iter().enumerate() {
        let existing = before.iter().find(|known| overlap(known, prefix)).map(|known| (prefix, "an existing", known));
        let given = || {
            new[at + 1..].iter().find(|other| overlap(other, prefix)).map(|other| (prefix, "another provided", other))
        };
        if let Some((prefix, which, other)) = existing.or_else(given) {
            return Err(format!(
                "ERR Prefix '{}' overlaps with {which} prefix '{}'. Prefixes for a single client must not overlap.",
                shown(prefix),
                shown(other)
            ));
        }
    }
    let all: Vec<Bytes> = before.iter().chain(&new).cloned().collect();
    let room = client.service.watch().room_for(client.id, all.len());
    room.map_err(|_| format!("ERR too many prefixes: at most {MOST_PREFIXES} of all clients together"))?;
    Ok(all)
}

pub(super) fn caching(client: &mut Client, args: Args<'_>) {
    let keeps = client.following.tracked().map(|tracked| tracked.keeps);
    let Some(keeps @ (Keeps::OptIn | Keeps::OptOut)) = keeps else { return client.error(NOT_TRACKING) };
    let (yes, mode, wanted) = match &args[2] {
        word if eq_ignore_case(word, "yes") => (true, "OPTIN", Keeps::OptIn),
        word if eq_ignore_case(word, "no") => (false, "OPTOUT", Keeps::OptOut),
        _ => return client.error(words::SYNTAX),
    };
    if keeps != wanted {
        let word = if yes { "YES" } else { "NO" };
        return client
            .error(format!("ERR CLIENT CACHING {word} is only valid when tracking is enabled in {mode} mode."));
    }
    client.following.caching(Some(yes));
    client.ok();
}

/// CLIENT GETREDIR.
pub(super) fn redirect(client: &mut Client, _: Args<'_>) {
    let number = told_to(client);
    client.int(number);
}

fn told_to(client: &Client) -> i64 {
    let tracked = client.following.tracked();
    tracked.map_or(-1, |tracked| tracked.tracking.redirect.map_or(0, |id| i64::try_from(id).unwrap_or(i64::MAX)))
}

/// CLIENT TRACKINGINFO.
pub(super) fn info(client: &mut Client, _: Args<'_>) {
    let (mut flags, mut prefixes) = (vec!["off"], Vec::new());
    if let Some(tracked) = client.following.tracked() {
        let redirect = tracked.tracking.redirect;
        flags = vec!["on"];
        match tracked.keeps {
            Keeps::All => {}
            Keeps::OptIn => flags.push("optin"),
            Keeps::OptOut => flags.push("optout"),
            Keeps::Prefixes => flags.push("bcast"),
        }
        match tracked.caching {
            None => {}
            Some(true) => flags.push("caching-yes"),
            Some(false) => flags.push("caching-no"),
        }
        flags.extend(tracked.tracking.noloop.then_some("noloop"));
        flags.extend(redirect.filter(|id| !client.service.watch().is_here(*id)).map(|_| "broken_redirect"));
        prefixes = tracked.tracking.broadcast.clone().unwrap_or_default();
    }
    let redirect = told_to(client);
    let mut writer = client.writer();
    writer.map(3);
    writer.bulk("flags");
    writer.set(flags.len());
    flags.into_iter().for_each(|flag| writer.bulk(flag));
    writer.bulk("redirect");
    writer.int(redirect);
    writer.bulk("prefixes");
    writer.array(prefixes.len());
    prefixes.iter().for_each(|prefix| writer.bulk(prefix));
}
