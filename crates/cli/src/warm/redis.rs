//! Which keys does another Redis have? Its SCAN, step by step, and what it counts of how often each is asked for.

use std::io;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::time::Duration;

use bellwether_adapters::tiers::redis::{RedisShape, RedisTarget};
use bellwether_core::key::MAX_KEY_BYTES;
use bellwether_resp::{Protocol, ReplyLimits, ReplyParser, Value, Writer};

use super::wire::{self, Stream};
use crate::failure::Failure;
use crate::key::encoded;
use crate::output::printable;

/// From connecting to each answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Keys looked at in one step.
const COUNT: &str = "1000";

/// What another Redis counts of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Popularity {
    /// How often each was asked for (`OBJECT FREQ`, where its eviction is LFU).
    Frequency,
    /// Since when nobody has asked for it (`OBJECT IDLETIME`).
    Idle,
    /// Nothing that it tells us, and why.
    Untold(String),
}

/// A connection that walks a keyspace.
pub(super) struct Redis {
    stream: Box<dyn Stream>,
    parser: ReplyParser,
    input: Vec<u8>,
    prefix: Vec<u8>,
    pattern: Vec<u8>,
    tls: bool,
    /// Whether it has ever answered: until then it may be spoken to in the wrong way.
    heard: bool,
    /// `None`: the walk is over.
    cursor: Option<Vec<u8>>,
    /// Found already, with the prefix.
    keys: Vec<Vec<u8>>,
    too_long: u64,
}

impl Redis {
    pub(super) fn open(target: &RedisTarget, prefix: &str, ca: Option<&Path>) -> Result<Redis, Failure> {
        let failed = |error: io::Error| Failure::Run(format!("--from: {}: {error}", named(target)));
        let stream = match &target.shape {
            RedisShape::One(at) => {
                let addresses = (at.host.as_str(), at.port).to_socket_addrs().map_err(failed)?;
                let tls = target.tls.then(|| wire::tls(&at.host, ca)).transpose()?;
                wire::connect(addresses, tls, LIMIT).map_err(failed)?
            }
            RedisShape::Unix(path) => wire::connect_unix(path, LIMIT).map_err(failed)?,
            RedisShape::Cluster(_) | RedisShape::Sentinel { .. } => {
                let hint = "one server is walked at a time: name each primary by redis://HOST:PORT";
                return Err(Failure::input(format!("--from: {hint}")));
            }
        };
        let mut redis = Redis {
            stream,
            parser: ReplyParser::new(ReplyLimits::NORMAL),
            input: Vec::new(),
            prefix: prefix.as_bytes().to_vec(),
            pattern: pattern(prefix.as_bytes()),
            tls: target.tls,
            heard: false,
            cursor: Some(b"0".to_vec()),
            keys: Vec::new(),
            too_long: 0,
        };
        if let Some(password) = &target.password {
            let login = target.user.iter().chain([password]).map(String::as_bytes);
            redis.call(&[&b"AUTH"[..]].into_iter().chain(login).collect::<Vec<_>>())?;
        }
        if target.db != 0 {
            redis.call(&[b"SELECT", target.db.to_string().as_bytes()])?;
        }
        Ok(redis)
    }

    /// What it counts of its keys: known by asking for one of them.
    pub(super) fn popularity(&mut self) -> Result<Popularity, Failure> {
        while self.keys.is_empty() && self.step()? {}
        let Some(key) = self.keys.first().cloned() else { return Ok(Popularity::Frequency) };
        let told = self.call_all(&[vec![b"OBJECT", b"FREQ", &key], vec![b"OBJECT", b"IDLETIME", &key]])?;
        Ok(match told.as_slice() {
            [Ok(_), _] => Popularity::Frequency,
            [_, Ok(_)] => Popularity::Idle,
            [_, Err(words)] => Popularity::Untold(words.clone()),
            _ => Popularity::Untold("no answer".to_owned()),
        })
    }

    /// The next keys, at most so many, without the prefix; none: that was all.
    pub(super) fn next(&mut self, most: usize) -> Result<Vec<String>, Failure> {
        while self.keys.len() < most && self.step()? {}
        let rest = self.keys.split_off(most.min(self.keys.len()));
        let keys = std::mem::replace(&mut self.keys, rest);
        Ok(keys.iter().map(|key| encoded(&key[self.prefix.len()..])).collect())
    }

    /// Some more keys, and how popular each is; `None`: that was all.
    pub(super) fn scored(&mut self, by: &Popularity) -> Result<Option<Vec<(u64, String)>>, Failure> {
        if self.keys.is_empty() && !self.step()? {
            return Ok(None);
        }
        let keys = std::mem::take(&mut self.keys);
        let what: &[u8] = if *by == Popularity::Frequency { b"FREQ" } else { b"IDLETIME" };
        let questions: Vec<Vec<&[u8]>> = keys.iter().map(|key| vec![&b"OBJECT"[..], what, key]).collect();
        let told = self.call_all(&questions)?;
        let scored = keys.iter().zip(told).map(|(key, told)| {
            let number = told.ok().and_then(|value| value.as_int()).and_then(|number| u64::try_from(number).ok());
            let score = match by {
                Popularity::Frequency => number.unwrap_or_default(),
                // One that is gone meanwhile comes last.
                _ => u64::MAX - number.unwrap_or(u64::MAX),
            };
            (score, encoded(&key[self.prefix.len()..]))
        });
        Ok(Some(scored.collect()))
    }

    /// Keys that no key here can be.
    pub(super) fn too_long(&self) -> u64 {
        self.too_long
    }

    /// One step of the walk; false: it is over.
    fn step(&mut self) -> Result<bool, Failure> {
        let Some(cursor) = self.cursor.take() else { return Ok(false) };
        let pattern = self.pattern.clone();
        let reply = self.call(&[b"SCAN", &cursor, b"MATCH", &pattern, b"COUNT", COUNT.as_bytes()])?;
        let parts = reply.as_slice().unwrap_or_default();
        let [next, found] = parts else {
            return Err(Failure::Run("--from: its answer to SCAN is none: is it a Redis?".to_owned()));
        };
        let next = next.as_bytes().unwrap_or(b"0");
        self.cursor = (next != b"0").then(|| next.to_vec());
        for key in found.as_slice().unwrap_or_default().iter().filter_map(Value::as_bytes) {
            // Bellwether's own keys are no client's.
            match key.strip_prefix(self.prefix.as_slice()) {
                None | Some(b"") => {}
                Some(own) if own.starts_with(b"@@") => {}
                Some(own) if own.len() > MAX_KEY_BYTES => self.too_long += 1,
                Some(_) => self.keys.push(key.to_vec()),
            }
        }
        Ok(true)
    }

    fn call(&mut self, words: &[&[u8]]) -> Result<Value, Failure> {
        let told = self.call_all(&[words.to_vec()])?.pop();
        let told = told.unwrap_or_else(|| Err("no answer".to_owned()));
        told.map_err(|words| Failure::Run(format!("--from: the other Redis says: {words}")))
    }

    /// Why it can't be asked, or its answer can't be read.
    fn broken(&self, error: &io::Error) -> Failure {
        let words = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("no answer in {} s", LIMIT.as_secs()),
            io::ErrorKind::UnexpectedEof => "it has closed the connection".to_owned(),
            _ => error.to_string(),
        };
        let hint = if self.heard { "" } else { wire::doubt(self.tls, error) };
        Failure::Run(format!("--from: the other Redis: {words}{hint}"))
    }

    /// Asks everything at once; what is refused is told one by one.
    fn call_all(&mut self, questions: &[Vec<&[u8]>]) -> Result<Vec<Result<Value, String>>, Failure> {
        let mut output = Vec::new();
        let mut writer = Writer::new(&mut output, Protocol::Resp2);
        for words in questions {
            writer.array(words.len());
            words.iter().for_each(|word| writer.bulk(word));
        }
        let written = self.stream.write_all(&output).and_then(|()| self.stream.flush());
        written.map_err(|error| self.broken(&error))?;
        let mut told = Vec::with_capacity(questions.len());
        let mut part = [0; 16 << 10];
        while told.len() < questions.len() {
            let parsed = self.parser.next(&self.input);
            let unread = |error| io::Error::other(format!("no answer of a Redis: {error}"));
            match parsed.map_err(|error| self.broken(&unread(error)))? {
                Some(reply) => {
                    self.heard = true;
                    self.input.drain(..reply.consumed);
                    told.push(match reply.value.as_error() {
                        Some(error) => Err(printable(&String::from_utf8_lossy(error))),
                        None => Ok(reply.value),
                    });
                }
                None => match self.stream.read(&mut part).map_err(|error| self.broken(&error))? {
                    0 => return Err(self.broken(&io::ErrorKind::UnexpectedEof.into())),
                    read => self.input.extend_from_slice(&part[..read]),
                },
            }
        }
        Ok(told)
    }
}

/// A Redis, without what is secret.
pub(super) fn named(target: &RedisTarget) -> String {
    let scheme = if target.tls { "rediss" } else { "redis" };
    match &target.shape {
        RedisShape::One(at) => format!("{scheme}://{at}/{}", target.db),
        RedisShape::Unix(path) => format!("{scheme}+unix://{}?db={}", path.display(), target.db),
        RedisShape::Cluster(_) | RedisShape::Sentinel { .. } => format!("{scheme} of several servers"),
    }
}

/// What MATCH takes for this prefix: what means something there is escaped.
fn pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix {
        if b"*?[]\\^".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_prefix_means_itself() {
        assert_eq!(super::pattern(b"bw:[a]*"), b"bw:\\[a\\]\\**");
    }
}
