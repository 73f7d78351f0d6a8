//! What do the tiers not guarantee that one would expect of them? A warning, or under `strict` a mistake.

use super::problem::{Place, Report, Wrong};
use super::resolved::{Backplane, BackplaneMode, OnStart, Shared, SharedAt, Source};
use super::space;
use super::tiers;
use bellwether_adapters::tiers::address::{RedisShape, RedisTarget};
use std::net::IpAddr;

const SHARED: &str = "[shared]";

/// Everything that is less than it looks.
pub(super) fn shortcomings(
    shared: Option<&tiers::Read>,
    disk: Option<&Place>,
    spaces: &[space::Read],
    report: &mut Report,
) {
    unused(shared, disk, spaces, report);
    let Some((read, shared)) = shared.and_then(|read| Some((read, read.config.as_ref()?))) else { return };
    let fleet = || spaces.iter().filter(|space| space.tiers.shared);
    if fleet().next().is_none() {
        return;
    }
    // What is wrong with the tier is wrong for all its spaces: one that is strict is enough.
    let strict = fleet().any(|space| space.strict);
    for (place, found, wrong) in of_tier(read, shared, strict) {
        say(report, strict, &place, SHARED, found, wrong);
    }
    for space in fleet() {
        if let Some((place, shown)) = &space.tags
            && shared.backplane == Backplane::Off
        {
            let wrong = Wrong::expected("a backplane: without one a tag is removed in one process only");
            let found = format!("{shown} without a backplane");
            say(report, space.strict, place, &space.subject, found, wrong.hint(ADD_BACKPLANE));
        }
    }
    for space in fleet().filter(|_| shared.backplane == Backplane::Off) {
        if let Some((place, shown)) = &space.hides {
            let wrong = Wrong::expected("a backplane: without one a filter does not hear what other processes remove");
            let found = format!("{shown} without a backplane");
            say(report, space.strict, place, &space.subject, found, wrong.hint(ADD_BACKPLANE));
        }
    }
    careless(read, shared, spaces, report);
}

const ADD_BACKPLANE: &str = "add backplane = \"redis://HOST:PORT\" to [shared]";

fn say(report: &mut Report, strict: bool, place: &Place, subject: &str, found: String, wrong: Wrong) {
    if strict {
        report.say(place, subject, format!("{found} beside `strict`"), wrong);
    } else {
        report.warn(place, subject, found, wrong);
    }
}

/// A section that no space uses.
fn unused(shared: Option<&tiers::Read>, disk: Option<&Place>, spaces: &[space::Read], report: &mut Report) {
    let mut unused = |place: &Place, subject: &str, word: &str| {
        let wrong = Wrong::expected(format!("a space with \"{word}\" among its `tiers`"));
        report.warn(place, subject, "a tier that no space uses", wrong.hint("remove the section"));
    };
    if let Some(read) = shared
        && !spaces.iter().any(|space| space.tiers.shared)
    {
        unused(&read.place, SHARED, "shared");
    }
    if let Some(place) = disk
        && !spaces.iter().any(|space| space.tiers.disk)
    {
        unused(place, "[disk]", "disk");
    }
}

/// What the tier as such can't guarantee.
fn of_tier(read: &tiers::Read, shared: &Shared, strict: bool) -> Vec<(Place, String, Wrong)> {
    let mut found = Vec::new();
    match &shared.backplane {
        Backplane::Off => {
            let (place, shown) = read.knob("backplane", "no backplane");
            let wrong = Wrong::expected(format!(
                "a backplane: without one other processes learn of a removal up to {} later (`resync`)",
                shared.resync
            ));
            found.push((place, shown, wrong.hint(ADD_BACKPLANE)));
        }
        Backplane::On { mode: BackplaneMode::PubSub, .. } => {
            let (place, shown) = read.knob("backplane_mode", "");
            let wrong = Wrong::expected("backplane_mode = \"streams\": nobody notices a message that Pub/Sub loses");
            found.push((place, shown, wrong));
        }
        Backplane::On { mode: BackplaneMode::Streams, .. } => {}
    }
    if shared.replica_reads {
        let (place, shown) = read.knob("replica_reads", "");
        let wrong = Wrong::expected("replica_reads = false: a replica that lags hands out what was removed");
        found.push((place, shown, wrong));
    }
    // To degrade is what is asked for, unless it is not.
    if strict && read.is_set("on_start") && shared.on_start == OnStart::Degraded {
        let (place, shown) = read.knob("on_start", "");
        found.push((place, shown, Wrong::expected("on_start = \"refuse\": without its tier nothing is guaranteed")));
    }
    found
}

/// What is allowed, strict or not, but hardly meant.
fn careless(read: &tiers::Read, shared: &Shared, spaces: &[space::Read], report: &mut Report) {
    let urls = [
        ("url", if let SharedAt::Redis(url) = &shared.at { Some(url) } else { None }),
        ("backplane", if let Backplane::On { url, .. } = &shared.backplane { Some(url) } else { None }),
    ];
    for (key, url) in urls {
        if let Some(url) = url
            && read.is_set(key)
            && url.password.is_some()
            && !url.tls
            && leaves_the_machine(url)
        {
            let (place, _) = read.knob(key, "");
            let wrong = Wrong::expected("rediss://: a password in plain text can be read on its way");
            report.warn(&place, SHARED, format!("a password that goes to {url} unencrypted"), wrong);
        }
    }
    for space in spaces.iter().filter(|space| space.tiers.shared) {
        let Some(config) = space.config.as_ref().filter(|config| !matches!(config.source, Source::Plain)) else {
            continue;
        };
        if shared.timeout >= config.policy.timeout {
            let (place, _) = read.knob("timeout", "");
            let found =
                format!("timeout = \"{}\" beside a space whose callers wait {}", shared.timeout, config.policy.timeout);
            let wrong = Wrong::expected("less than the space's `timeout`: a tier that is slow leaves no time to load");
            report.warn(&place, &space.subject, found, wrong);
        }
    }
}

/// Names may lead anywhere; that of this machine does not.
pub(crate) fn leaves_the_machine(target: &RedisTarget) -> bool {
    let servers = match &target.shape {
        RedisShape::One(server) => std::slice::from_ref(server),
        RedisShape::Unix(_) => return false,
        RedisShape::Cluster(servers) | RedisShape::Sentinel { sentinels: servers, .. } => servers,
    };
    let local = |host: &str| {
        let address = host.parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
    };
    !servers.iter().all(|server| local(&server.host))
}
