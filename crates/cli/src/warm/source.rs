//! Which keys, in which order? From a file, stdin, a space's origin, a peer's hot list or another Redis.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_adapters::tiers::address::without_secrets;
use bellwether_adapters::tiers::redis::RedisTarget;
use bellwether_core::key::MAX_KEY_BYTES;
use bellwether_server::admin::Page;
use bellwether_server::service::{hotlist, key_of_text};

use super::progress::Progress;
use super::ranking::Ranking;
use super::redis::{self, Popularity, Redis};
use crate::admin;
use crate::failure::Failure;
use crate::key::encoded;
use crate::output::{complain, printable};
use crate::words::counted;

/// The longest line: a key of 4 KiB, each byte encoded, and a rate.
const LONGEST_LINE: u64 = 16 << 10;
/// A peer that has not sent its list by then does not.
const LIMIT: Duration = Duration::from_secs(30);
/// An origin may take so long to name its keys.
const KEYS_LIMIT: Duration = Duration::from_secs(620);
/// The longest list of them.
const LONGEST_KEYS: u64 = 300 << 20;
/// Lines that are no keys are told, as many as these.
const MOST_WRONG: usize = 10;
const NO_KEY: &str = "no key: expected one a line, at most 4 KiB, percent-encoded (%20, and %25 for % itself)";
const _: () = assert!(MAX_KEY_BYTES == 4 << 10 && LONGEST_LINE > 3 * MAX_KEY_BYTES as u64, "the words name the limit");

/// Where keys are to be had.
pub(super) enum Place {
    File(PathBuf),
    Stdin,
    /// The origin of a space of the server that is warmed.
    Space(String),
    /// The admin listener of a peer.
    Peer(String),
    Redis {
        target: Box<RedisTarget>,
        prefix: String,
        ca: Option<PathBuf>,
    },
}

impl Place {
    pub(super) fn of_url(url: &str, prefix: &str, ca: Option<&Path>) -> Result<Place, Failure> {
        let prefixed = !prefix.is_empty() || ca.is_some();
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("http") if prefixed => Err(Failure::input("--prefix and --ca are for another Redis, not for a peer")),
            Some("http") => Ok(Place::Peer(url.to_owned())),
            Some(scheme) if scheme.starts_with("redis") || scheme.starts_with("valkey") => {
                let wrong = |error| Failure::input(format!("--from: {error}"));
                let target = Box::new(RedisTarget::parse(url).map_err(wrong)?);
                Ok(Place::Redis { target, prefix: prefix.to_owned(), ca: ca.map(Path::to_owned) })
            }
            _ => {
                let hint =
                    "expected http://peer:9090 (its admin listener), redis://host:6379 or rediss://host:6379 (TLS)";
                Err(Failure::input(format!("--from {}: {hint}", printable(&without_secrets(url)))))
            }
        }
    }

    /// What it is, for people and for going on with it.
    pub(super) fn named(&self) -> String {
        match self {
            Place::File(path) => format!("{}", path.display()),
            Place::Stdin => "stdin".to_owned(),
            Place::Space(space) => format!("space {}", printable(space)),
            Place::Peer(url) => format!("hot list of {}", printable(&without_secrets(url))),
            Place::Redis { target, prefix, .. } => {
                format!("{} {}", redis::named(target), printable(prefix)).trim_end().to_owned()
            }
        }
    }

    /// Whether it may name other keys each time it is asked.
    pub(super) fn is_living(&self) -> bool {
        !matches!(self, Place::File(_) | Place::Stdin)
    }

    /// Asks it. `admin_url` is the server that is warmed; of a Redis at most `most` keys are wanted.
    pub(super) fn open(&self, admin_url: &str, most: Option<u64>, watch: &mut Watch<'_>) -> Result<Source, Failure> {
        let cursor = |text: String| Box::new(Cursor::new(text.into_bytes()));
        match self {
            Place::File(path) => of_file(self.named(), path),
            Place::Stdin => Source::of_lines(self.named(), Box::new(BufReader::new(io::stdin())), None),
            Place::Space(space) => {
                let path = format!("{}/{}", Page::Keys.path(), encoded(space.as_bytes()));
                let answer = admin::fetch("--admin", admin_url, &path, KEYS_LIMIT, LONGEST_KEYS)?;
                if answer.status != 200 {
                    return Err(admin::refusal(&answer));
                }
                let total = answer.body.lines().count() as u64;
                Source::of_lines(self.named(), cursor(answer.body), Some(total))
            }
            Place::Peer(url) => {
                let answer = admin::fetch("--from", url, Page::Hotlist.path(), LIMIT, hotlist::MOST_BYTES as u64)?;
                match answer.status {
                    200 => {
                        let total = answer.body.lines().count() as u64;
                        Source::of_lines(self.named(), cursor(answer.body), Some(total))
                    }
                    401 => Err(Failure::Run(format!("--from {url}: {}", admin::needs_password()))),
                    status => Err(Failure::Run(format!("--from {url} has no hot list: it answered {status}"))),
                }
            }
            Place::Redis { target, prefix, ca } => {
                let redis = Redis::open(target, prefix, ca.as_deref())?;
                of_redis(self.named(), redis, most, watch)
            }
        }
    }
}

/// Who is shown how far it is, and may stop it.
pub(super) struct Watch<'a> {
    pub(super) progress: &'a mut Progress,
    pub(super) stop: &'a AtomicBool,
}

/// A list in a file: its lines are counted, and read whether they are keys, before the first is loaded.
pub(super) fn of_file(named: String, path: &Path) -> Result<Source, Failure> {
    let failed = |error: io::Error| Failure::input(format!("{}: {error}", path.display()));
    let open = || File::open(path).map(BufReader::new).map_err(failed);
    // What is no file is read once only: a pipe, a device.
    match std::fs::metadata(path).map_err(failed)? {
        there if there.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
        there if !there.is_file() => return Source::of_lines(named, Box::new(open()?), None),
        _ => {}
    }
    let mut reading = Source::of_lines(named.clone(), Box::new(open()?), None)?;
    let (mut total, mut wrong) = (0, Vec::new());
    loop {
        match reading.key() {
            Ok(Some(_)) => total += 1,
            Ok(None) => break,
            Err(Failure::Input(lines)) if wrong.len() < MOST_WRONG => wrong.extend(lines),
            Err(Failure::Input(_)) => {
                wrong.push("and more".to_owned());
                break;
            }
            Err(other) => return Err(other),
        }
    }
    if !wrong.is_empty() {
        wrong.push("bellwether: nothing was loaded".to_owned());
        return Err(Failure::Input(wrong));
    }
    let mut source = Source::of_lines(named, Box::new(open()?), None)?;
    source.total = Some(total);
    Ok(source)
}

/// What a Redis has: ordered, where it tells what is popular.
fn of_redis(named: String, mut redis: Redis, most: Option<u64>, watch: &mut Watch<'_>) -> Result<Source, Failure> {
    let by = redis.popularity()?;
    let words = match &by {
        Popularity::Untold(why) => {
            complain(&format!("{named}: in no order, since it does not tell which keys are popular ({why})"));
            return Ok(Source { named, total: None, refused: 0, from: From::Redis(Box::new(redis)) });
        }
        Popularity::Frequency => "what is asked for most first (OBJECT FREQ)",
        Popularity::Idle => "what was asked for last first (OBJECT IDLETIME: it does not count how often)",
    };
    let mut ranking = Ranking::new(most);
    while let Some(keys) = redis.scored(&by)? {
        keys.into_iter().for_each(|(score, key)| ranking.add(score, key));
        watch.progress.found(ranking.seen());
        if watch.stop.load(Ordering::Relaxed) {
            watch.progress.clear();
            return Err(Failure::Run(format!("stopped after {}: nothing was loaded", counted(ranking.seen(), "key"))));
        }
    }
    watch.progress.clear();
    let refused = redis.too_long();
    let (keys, left_out) = ranking.into_keys();
    let left_out = match left_out {
        0 => String::new(),
        left_out => format!("; the {left_out} least popular are left out"),
    };
    complain(&format!("{named}: {}, {words}{left_out}", counted(keys.len() as u64, "key")));
    let total = Some(keys.len() as u64);
    Ok(Source { named, total, refused, from: From::Keys(keys.into_iter()) })
}

/// Keys, one after the other.
pub(super) struct Source {
    named: String,
    total: Option<u64>,
    refused: u64,
    from: From,
}

enum From {
    Lines { lines: Box<dyn BufRead>, at: u64, hot_list: bool },
    Keys(std::vec::IntoIter<String>),
    Redis(Box<Redis>),
}

impl Source {
    fn of_lines(named: String, mut lines: Box<dyn BufRead>, total: Option<u64>) -> Result<Source, Failure> {
        let begins = lines.fill_buf().map_err(|error| Failure::Run(format!("{named}: {error}")))?;
        let hot_list = begins.starts_with(hotlist::HEAD.as_bytes());
        let mut source = Source { named, total, refused: 0, from: From::Lines { lines, at: 0, hot_list } };
        if hot_list {
            let head = source.line()?.map(|(_, head)| head).unwrap_or_default();
            let format = head.strip_prefix(hotlist::HEAD).unwrap_or_default();
            if format != hotlist::FORMAT {
                let hint = "let the server that is to be warmed, or one of its version, write it";
                return Err(Failure::Input(vec![format!(
                    "{}:1: a hot list of format {}; this version reads format {}: {hint}",
                    source.named,
                    printable(format),
                    hotlist::FORMAT,
                )]));
            }
            // Its head and its end are no keys.
            source.total = source.total.map(|total| total.saturating_sub(2));
        }
        Ok(source)
    }

    /// How many keys it has, if that is known.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Keys that were passed over, since no key here can be as long.
    pub(super) fn refused(&self) -> u64 {
        match &self.from {
            From::Redis(redis) => redis.too_long(),
            _ => self.refused,
        }
    }

    /// The next keys, at most so many, percent-encoded; none: that was all.
    pub(super) fn next(&mut self, most: usize) -> Result<Vec<String>, Failure> {
        match &mut self.from {
            From::Redis(redis) => redis.next(most),
            From::Keys(keys) => Ok(keys.take(most).collect()),
            From::Lines { .. } => {
                let mut keys = Vec::new();
                while keys.len() < most
                    && let Some(key) = self.key()?
                {
                    keys.push(key);
                }
                Ok(keys)
            }
        }
    }

    /// The next key of a list; where there is none on its line the error names that line.
    fn key(&mut self) -> Result<Option<String>, Failure> {
        let From::Lines { hot_list, .. } = self.from else { return Ok(None) };
        let Some((at, line)) = self.line()? else { return Ok(None) };
        let key = match line.split_once(' ') {
            Some(("end", _)) if hot_list => return Ok(None),
            Some((_, key)) if hot_list => key,
            _ => &line,
        };
        if key_of_text(key).is_none() {
            let shown: String = printable(key).chars().take(40).collect();
            return Err(Failure::Input(vec![format!("{}:{at}: '{shown}' is {NO_KEY}", self.named)]));
        }
        Ok(Some(key.to_owned()))
    }

    /// The next line that is not empty, and its number.
    fn line(&mut self) -> Result<Option<(u64, String)>, Failure> {
        let From::Lines { lines, at, .. } = &mut self.from else { return Ok(None) };
        loop {
            let mut line = Vec::new();
            let failed = |at: u64, words: &str| Failure::Input(vec![format!("{}:{at}: {words}", self.named)]);
            *at += 1;
            io::Read::take(&mut *lines, LONGEST_LINE)
                .read_until(b'\n', &mut line)
                .map_err(|error| Failure::Run(format!("{}:{at}: {error}", self.named)))?;
            if line.is_empty() {
                return Ok(None);
            }
            if line.len() as u64 == LONGEST_LINE {
                return Err(failed(*at, "a line longer than any key: expected one key a line"));
            }
            let text =
                String::from_utf8(line).map_err(|_| failed(*at, "no text: percent-encode keys that are none"))?;
            let text = text.trim_end_matches(['\n', '\r']);
            if !text.is_empty() {
                return Ok(Some((*at, text.to_owned())));
            }
        }
    }
}
