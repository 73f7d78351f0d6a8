//! Which keys, in which order? From a file, stdin, a peer's hot list or another Redis: never all of them at once.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor};
use std::path::Path;
use std::time::Duration;

use crate::admin;
use crate::failure::Failure;
use crate::output::printable;
use crate::warm::redis::Redis;

/// The longest line: a key of 4 KiB, each byte encoded, and a rate.
const LONGEST_LINE: u64 = 16 << 10;
/// The longest hot list.
const LONGEST_LIST: u64 = 16 << 20;
/// A peer that has not sent its list by then does not.
const LIMIT: Duration = Duration::from_secs(30);
/// An origin may take so long to name its keys.
const KEYS_LIMIT: Duration = Duration::from_secs(620);
/// The longest list of them.
const LONGEST_KEYS: u64 = 300 << 20;
/// What a hot list begins with.
const HOT_LIST: &str = "bellwether hot list ";
const HOT_LIST_FORMAT: &str = "1";

/// Where keys come from.
pub(super) struct Source {
    named: String,
    total: Option<u64>,
    from: From,
}

enum From {
    Lines { lines: Box<dyn BufRead>, at: u64, hot_list: bool },
    Redis(Box<Redis>),
}

impl Source {
    pub(super) fn open(file: Option<&Path>, from: Option<&str>, prefix: &str) -> Result<Source, Failure> {
        match (file, from) {
            (_, Some(url)) if url.starts_with("redis://") => {
                let redis = Redis::open(url, prefix)?;
                Ok(Source { named: "redis".to_owned(), total: None, from: From::Redis(Box::new(redis)) })
            }
            (_, Some(url)) if url.starts_with("http://") => {
                let answer = admin::fetch(url, "/api/hotlist", LIMIT, LONGEST_LIST)?;
                match answer.status {
                    200 => Source::of_lines(
                        format!("hot list of {url}"),
                        Box::new(Cursor::new(answer.body.into_bytes())),
                        None,
                    ),
                    401 => Err(Failure::Run(admin::needs_password())),
                    status => Err(Failure::Run(format!("{url} has no hot list: it answered {status}"))),
                }
            }
            (_, Some(url)) => {
                let hint = "expected http://peer:9090 (its admin listener) or redis://host:6379";
                Err(Failure::Input(vec![format!("--from {}: {hint}", url.escape_debug())]))
            }
            (Some(path), None) if path == Path::new("-") => {
                Source::of_lines("stdin".to_owned(), Box::new(BufReader::new(io::stdin())), None)
            }
            (Some(path), None) => {
                let failed = |error: io::Error| Failure::Input(vec![format!("{}: {error}", path.display())]);
                let mut total = 0;
                for line in BufReader::new(File::open(path).map_err(failed)?).split(b'\n') {
                    total += u64::from(!line.map_err(failed)?.is_empty());
                }
                let lines = Box::new(BufReader::new(File::open(path).map_err(failed)?));
                Source::of_lines(format!("file {}", path.display()), lines, Some(total))
            }
            (None, None) => Err(Failure::Input(vec!["a file of keys, or --from".to_owned()])),
        }
    }

    /// The keys of a space, as its origin names them.
    pub(super) fn of_space(admin_url: &str, space: &str) -> Result<Source, Failure> {
        let path = format!("/api/keys/{space}");
        let answer = admin::fetch(admin_url, &path, KEYS_LIMIT, LONGEST_KEYS)?;
        match answer.status {
            200 => {
                let total = answer.body.lines().count() as u64;
                let lines = Box::new(Cursor::new(answer.body.into_bytes()));
                Source::of_lines(format!("space {space}"), lines, Some(total))
            }
            401 => Err(Failure::Run(admin::needs_password())),
            status => {
                let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
                let words = json["error"].as_str().map(printable);
                Err(Failure::Run(words.unwrap_or_else(|| format!("the server answered {status}"))))
            }
        }
    }

    fn of_lines(named: String, mut lines: Box<dyn BufRead>, total: Option<u64>) -> Result<Source, Failure> {
        let begins = lines.fill_buf().map_err(|error| Failure::Run(format!("{named}: {error}")))?;
        let hot_list = begins.starts_with(HOT_LIST.as_bytes());
        let mut source = Source { named, total, from: From::Lines { lines, at: 0, hot_list } };
        if hot_list {
            let head = source.line()?.unwrap_or_default();
            if head.strip_prefix(HOT_LIST) != Some(HOT_LIST_FORMAT) {
                let wrong = format!("{}: a hot list of another version ({})", source.named, head.escape_debug());
                return Err(Failure::Input(vec![wrong]));
            }
            // Its head and its end are no keys.
            source.total = source.total.map(|total| total.saturating_sub(2));
        }
        Ok(source)
    }

    /// What it is, for people and for going on with it.
    pub(super) fn named(&self) -> String {
        self.named.clone()
    }

    /// How many keys it has, if that is known.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Whether it names its keys in one order each time.
    pub(super) fn is_ordered(&self) -> bool {
        matches!(self.from, From::Lines { .. })
    }

    /// Passes over so many keys.
    pub(super) fn skip(&mut self, mut keys: u64) -> Result<(), Failure> {
        while keys > 0 {
            let passed = self.next(usize::try_from(keys).unwrap_or(usize::MAX).min(10_000))?;
            if passed.is_empty() {
                return Ok(());
            }
            keys -= passed.len() as u64;
        }
        Ok(())
    }

    /// The next keys, at most so many, percent-encoded; none: that was all.
    pub(super) fn next(&mut self, most: usize) -> Result<Vec<String>, Failure> {
        if let From::Redis(redis) = &mut self.from {
            return redis.next(most);
        }
        let mut keys = Vec::new();
        while keys.len() < most {
            let Some(line) = self.line()? else { break };
            let From::Lines { hot_list, .. } = &self.from else { break };
            match (hot_list, line.split_once(' ')) {
                (true, Some(("end", _))) => break,
                (true, Some((_, key))) => keys.push(key.to_owned()),
                (true, None) => {}
                (false, _) => keys.push(line),
            }
        }
        Ok(keys)
    }

    /// The next line that is not empty.
    fn line(&mut self) -> Result<Option<String>, Failure> {
        let From::Lines { lines, at, .. } = &mut self.from else { return Ok(None) };
        loop {
            let mut line = Vec::new();
            let failed = |at: u64, words: &str| Failure::Input(vec![format!("{}:{at}: {words}", self.named)]);
            *at += 1;
            io::Read::take(&mut *lines, LONGEST_LINE)
                .read_until(b'\n', &mut line)
                .map_err(|error| failed(*at, &error.to_string()))?;
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
                return Ok(Some(text.to_owned()));
            }
        }
    }
}
