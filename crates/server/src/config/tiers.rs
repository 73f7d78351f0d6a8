//! Where do entries live beside memory? `[disk]` and `[shared]`.

use super::problem::{Place, Wrong};
use super::raw::Fields;
use super::resolved::{Backplane, BackplaneMode, Disk, OnRestart, OnStart, Placement, Shared, SharedAt, SharedTls};
use super::section::{Context, Section};
use super::tier_url::tier_url;
use super::units;
use bellwether_adapters::tiers::address::{RedisTarget, TierAddress};
use bellwether_core::time::Span;

/// Where entries go beside the configuration.
const DISK_PATH: &str = "bellwether-data";
/// Bytes unless `limit` says otherwise.
const DISK_LIMIT: u64 = 4 << 30;
/// Below this a limit is a mistake: the files' own overhead would be most of it.
const LEAST_DISK: u64 = 16 << 20;

pub(super) fn disk(cx: &mut Context<'_>, place: Place, fields: Fields) -> Disk {
    let mut section = Section::new(cx, "[disk]", place.clone(), fields);
    let path = section.parsed("path", |text| match text {
        "" => Err(Wrong::expected("a directory such as \"bellwether-data\"")),
        path => Ok(path.to_owned()),
    });
    let limit = section.parsed("limit", |text| match units::size(text)? {
        bytes if bytes < LEAST_DISK => Err(Wrong::expected("at least \"16 MiB\"").hint("\"4 GiB\" is the default")),
        bytes => Ok(bytes),
    });
    let on_restart = section.parsed("on_restart", |text| {
        let choices =
            [("serve_stale", OnRestart::ServeStale), ("revalidate", OnRestart::Revalidate), ("drop", OnRestart::Drop)];
        units::choice(text, &choices)
    });
    let path = section.cx.base.join(path.unwrap_or_else(|| DISK_PATH.to_owned()));
    section.finish();
    Disk { path, limit: limit.unwrap_or(DISK_LIMIT), on_restart: on_restart.unwrap_or_default(), place }
}

/// In front of every stored key.
const PREFIX: &str = "bw:";
/// The longest prefix: it goes into every stored key.
const MAX_PREFIX: usize = 64;
/// What a request may spend on the shared tier.
const TIMEOUT: Span = Span::ms(50);
/// The longest that a request may be told to wait for a tier that is down.
const LONGEST_TIMEOUT: Span = Span::secs(10);
/// How late a memory entry is compared with the shared tier.
const RESYNC: Span = Span::secs(5);
/// Later than this it would be no comparison any more.
const LONGEST_RESYNC: Span = Span::secs(24 * 3600);

const TLS_CA: &str = "tls_ca";
const TLS_CERT: &str = "tls_cert";
const TLS_KEY: &str = "tls_key";

/// `[shared]` as far as it could be read, and where its knobs stand that are less than they look.
pub(super) struct Read {
    pub(super) config: Option<Shared>,
    pub(super) place: Place,
    /// Knobs that were set: where, and how they read.
    pub(super) set: Vec<(&'static str, Place, String)>,
}

impl Read {
    /// Where `key` stands and how it reads; the section's header where it was not set.
    pub(super) fn knob(&self, key: &str, unset: &str) -> (Place, String) {
        let set = self.set.iter().find(|(of, ..)| *of == key);
        set.map_or_else(|| (self.place.clone(), unset.to_owned()), |(_, place, shown)| (place.clone(), shown.clone()))
    }

    pub(super) fn is_set(&self, key: &str) -> bool {
        self.set.iter().any(|(of, ..)| *of == key)
    }
}

/// Everything that is told of `[shared]` apart from its own mistakes.
const TOLD: [&str; 7] = ["url", "backplane", "backplane_mode", "replica_reads", "on_start", "timeout", "password"];

pub(super) fn shared(cx: &mut Context<'_>, place: Place, fields: Fields) -> Read {
    let mut section = Section::new(cx, "[shared]", place.clone(), fields);
    let url = section.url("url", tier_url);
    if section.setting("url").is_none() {
        let wrong = Wrong::expected("where it is, such as url = \"redis://127.0.0.1:6379\"");
        section.missing(&["url"], place.clone(), "no `url`", wrong);
    }
    let url = with_password(&mut section, url);
    let at = located(&mut section, url);
    let prefix = section.parsed("prefix", prefix);
    let timeout = section.parsed("timeout", |text| within(text, LONGEST_TIMEOUT));
    let resync = section.parsed("resync", |text| within(text, LONGEST_RESYNC));
    let on_start = section.parsed("on_start", |text| {
        units::choice(text, &[("degraded", OnStart::Degraded), ("refuse", OnStart::Refuse)])
    });
    let replica_reads = replica_reads(&mut section, at.as_ref());
    let backplane = backplane(&mut section, at.as_ref());
    let tls = tls(&mut section, at.as_ref(), &backplane);
    let set = TOLD.iter().filter_map(|key| section.setting(key).map(|(place, shown)| (*key, place, shown))).collect();
    let url_place = section.setting("url").map_or_else(|| place.clone(), |(place, _)| place);
    let backplane_place = section.setting("backplane").map_or_else(|| url_place.clone(), |(place, _)| place);
    section.finish();
    let config = at.map(|at| Shared {
        at,
        prefix: prefix.unwrap_or_else(|| PREFIX.to_owned()),
        timeout: timeout.unwrap_or(TIMEOUT),
        resync: resync.unwrap_or(RESYNC),
        on_start: on_start.unwrap_or_default(),
        replica_reads,
        backplane,
        tls,
        place: url_place,
        backplane_place,
    });
    Read { config, place, set }
}

/// A password beside the URL needs no encoding, and may stand in a file of its own.
fn with_password(section: &mut Section<'_, '_>, url: Option<TierAddress>) -> Option<TierAddress> {
    let password = section.secret("password").map(|password| password.expose().to_owned());
    let Some((place, shown)) = section.setting("password") else { return url };
    match url? {
        TierAddress::Redis(RedisTarget { password: Some(_), .. }) => {
            let wrong = Wrong::expected("one of the two").hint("take it out of `url`");
            section.say(&place, format!("{shown} beside a password in `url`"), wrong);
            None
        }
        TierAddress::Redis(url) => Some(TierAddress::Redis(RedisTarget { password, ..url })),
        TierAddress::Memcached(_) => {
            let wrong = Wrong::expected("no `password`: Memcached is asked without one").hint("remove it");
            section.say(&place, shown, wrong);
            None
        }
    }
}

fn located(section: &mut Section<'_, '_>, url: Option<TierAddress>) -> Option<SharedAt> {
    let choices = [("rendezvous", Placement::Rendezvous), ("ketama", Placement::Ketama)];
    let placement = section.parsed("placement", |text| units::choice(text, &choices));
    match url? {
        TierAddress::Memcached(nodes) => Some(SharedAt::Memcached { nodes, placement: placement.unwrap_or_default() }),
        TierAddress::Redis(url) => {
            if let Some((place, shown)) = section.setting("placement") {
                let wrong = Wrong::expected("no `placement`: only a Memcached fleet is placed by its clients");
                section.say(&place, shown, wrong.hint("remove it"));
            }
            Some(SharedAt::Redis(url))
        }
    }
}

/// `tls_ca`, `tls_cert` and `tls_key`: of no use without TLS, and the latter two not without each other.
fn tls(section: &mut Section<'_, '_>, at: Option<&SharedAt>, backplane: &Backplane) -> SharedTls {
    let mut file = |key| {
        let path = section.parsed(key, |text| match text {
            "" => Err(Wrong::expected("a file such as \"ca.pem\"")),
            path => Ok(path.to_owned()),
        });
        path.map(|path| section.cx.base.join(path))
    };
    let [ca, cert, key] = [TLS_CA, TLS_CERT, TLS_KEY].map(&mut file);
    let encrypted = matches!(at, None | Some(SharedAt::Redis(RedisTarget { tls: true, .. })))
        || matches!(backplane, Backplane::On { url: RedisTarget { tls: true, .. }, .. });
    for name in [TLS_CA, TLS_CERT, TLS_KEY] {
        if let Some((place, shown)) = section.setting(name).filter(|_| !encrypted) {
            let wrong = Wrong::expected("a Redis over TLS").hint("write rediss:// in `url`, or remove it");
            section.say(&place, shown, wrong);
        }
    }
    for (one, other) in [(TLS_CERT, TLS_KEY), (TLS_KEY, TLS_CERT)] {
        if let Some((place, shown)) = section.setting(one).filter(|_| section.setting(other).is_none()) {
            section.say(
                &place,
                shown,
                Wrong::expected(format!("`{other}` beside it")).hint("a certificate and its key"),
            );
        }
    }
    SharedTls { ca, identity: cert.zip(key) }
}

fn prefix(text: &str) -> Result<String, Wrong> {
    let wrong =
        || Wrong::expected(format!("at most {MAX_PREFIX} letters, digits, and signs but for braces, such as \"bw:\""));
    if text.contains(['{', '}']) {
        return Err(wrong().hint("braces would put every key on one node of a cluster"));
    }
    let plain = text.len() <= MAX_PREFIX && text.bytes().all(|b| b.is_ascii_graphic());
    if plain { Ok(text.to_owned()) } else { Err(wrong()) }
}

fn within(text: &str, longest: Span) -> Result<Span, Wrong> {
    let span = units::duration(text)?;
    if span == Span::ZERO || span > longest {
        return Err(Wrong::expected(format!("more than zero and at most \"{longest}\"")));
    }
    Ok(span)
}

fn replica_reads(section: &mut Section<'_, '_>, at: Option<&SharedAt>) -> bool {
    let wanted = section.boolean("replica_reads").unwrap_or(false);
    let known = match at {
        Some(SharedAt::Redis(url)) => url.has_replicas(),
        Some(SharedAt::Memcached { .. }) => false,
        None => true,
    };
    if wanted
        && !known
        && let Some((place, shown)) = section.setting("replica_reads")
    {
        let wrong = Wrong::expected("a cluster or sentinels, which say where replicas are");
        section.say(&place, shown, wrong.hint("remove it, or write redis+cluster:// or redis+sentinel://"));
    }
    wanted && known
}

/// What `backplane` says.
enum Wanted {
    Off,
    At(RedisTarget),
}

fn backplane(section: &mut Section<'_, '_>, at: Option<&SharedAt>) -> Backplane {
    let wanted = section.url("backplane", |text| match text {
        "off" => Ok(Wanted::Off),
        text if !text.contains("://") => {
            Err(Wrong::expected("\"off\", or a URL such as \"redis://127.0.0.1:6379\"; by default that of `url`"))
        }
        text => match tier_url(text)? {
            TierAddress::Redis(url) => Ok(Wanted::At(url)),
            TierAddress::Memcached(_) => Err(Wrong::expected("a Redis or Valkey: Memcached carries no messages")),
        },
    });
    let mode = section.parsed("backplane_mode", |text| {
        units::choice(text, &[("streams", BackplaneMode::Streams), ("pubsub", BackplaneMode::PubSub)])
    });
    let unset = section.setting("backplane").is_none();
    let url = match (wanted, at) {
        (Some(Wanted::At(url)), _) => Some(url),
        (None, Some(SharedAt::Redis(url))) if unset => Some(url.clone()),
        _ => None,
    };
    if let Some((place, shown)) = section.setting("backplane_mode")
        && url.is_none()
        && at.is_some()
    {
        let wrong =
            Wrong::expected("a backplane: there is none here").hint("add backplane = \"redis://…\", or remove it");
        section.say(&place, shown, wrong);
    }
    url.map_or(Backplane::Off, |url| Backplane::On { url, mode: mode.unwrap_or_default() })
}
