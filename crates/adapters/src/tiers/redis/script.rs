//! How are the scripts called, and what do they answer? The only writers of the server block.

use std::sync::LazyLock;

use bellwether::shared::{Ask, Change, Mode, Only, When, Write};
use bellwether::{FailClass, Fence, Invalidation, Span};
use bellwether_core::cell::TOKEN_STEP;
use bytes::Bytes;
use redis::{Cmd, Value};

use super::fault::Fault;
use crate::tiers::wire::{class_number, class_of};

/// A script, with the hash by which a server that knows it is asked.
pub(super) struct Script {
    text: &'static str,
    inner: LazyLock<redis::Script>,
}

/// Each is the common beginning and its own file.
macro_rules! script {
    ($name:ident, $file:literal) => {
        pub(super) static $name: Script = {
            const TEXT: &str = concat!(include_str!("scripts/prelude.lua"), include_str!($file));
            Script { text: TEXT, inner: LazyLock::new(|| redis::Script::new(TEXT)) }
        };
    };
}

script!(ACQUIRE, "scripts/acquire.lua");
script!(PUBLISH, "scripts/publish.lua");
script!(RENEW, "scripts/renew.lua");
script!(RELEASE, "scripts/release.lua");
script!(INVALIDATE, "scripts/invalidate.lua");
script!(WRITE, "scripts/write.lua");
script!(CHANGE, "scripts/change.lua");
script!(LOOK, "scripts/look.lua");

/// One call of a script on one key.
pub(super) struct Call {
    script: &'static Script,
    args: Vec<Vec<u8>>,
}

impl Call {
    /// By hash.
    pub(super) fn by_hash(&self, key: &[u8]) -> Cmd {
        self.command("EVALSHA", self.script.inner.get_hash(), key)
    }

    /// In full: for a node that does not know the script. Loads are not replicated, and vanish at a failover.
    pub(super) fn in_full(&self, key: &[u8]) -> Cmd {
        self.command("EVAL", self.script.text, key)
    }

    fn command(&self, name: &str, which: &str, key: &[u8]) -> Cmd {
        let mut cmd = Cmd::with_capacity(4 + self.args.len(), 64 + key.len() + self.length());
        cmd.arg(name).arg(which).arg(1).arg(key);
        for arg in &self.args {
            cmd.arg(arg);
        }
        cmd
    }

    /// Bytes of its arguments.
    pub(super) fn length(&self) -> usize {
        self.args.iter().map(Vec::len).sum()
    }
}

fn number(n: u64) -> Vec<u8> {
    n.to_string().into_bytes()
}

fn fence(fence: Fence) -> Vec<u8> {
    fence.0.to_le_bytes().to_vec()
}

/// Windows of an entry to be stored, in ms from now; its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    pub(super) age: u64,
    pub(super) fresh: u64,
    pub(super) swr: u64,
    pub(super) hard: u64,
}

impl Windows {
    fn args(self) -> impl Iterator<Item = Vec<u8>> {
        [self.age, self.fresh, self.swr, self.hard].into_iter().map(number)
    }
}

pub(super) fn acquire(ask: &Ask, longest: usize) -> Call {
    let mode = match ask.mode {
        Mode::Miss => 0,
        Mode::Early => 1,
        Mode::Backup => 2,
    };
    let step = ask.draw.0 % TOKEN_STEP;
    let args = vec![
        number(ask.lease.0),
        number(mode),
        fence(ask.holds),
        fence(ask.at_least),
        number(longest as u64),
        number(step),
    ];
    Call { script: &ACQUIRE, args }
}

/// `sent_us`: no later than now by the node's clock; 0: nobody knows.
pub(super) fn publish(token: Fence, sent_us: u64, windows: Windows, envelope: Vec<u8>) -> Call {
    let args = [fence(token), number(sent_us)].into_iter().chain(windows.args()).chain([envelope]).collect();
    Call { script: &PUBLISH, args }
}

pub(super) fn renew(token: Fence, lease: Span) -> Call {
    Call { script: &RENEW, args: vec![fence(token), number(lease.0)] }
}

pub(super) fn release(token: Fence, failed: Option<(Span, FailClass)>) -> Call {
    let (cool, class) = failed.map_or((0, 0), |(cool, class)| (cool.0, class_number(class).into()));
    Call { script: &RELEASE, args: vec![fence(token), number(cool), number(class)] }
}

/// `sent_us`: as in `publish`; `late`: so long ago it was acknowledged.
pub(super) fn invalidate(verb: Invalidation, tombstone_ms: u64, at_least: Fence, sent_us: u64, late: Span) -> Call {
    let verb = u64::from(verb == Invalidation::Expire);
    let args = vec![number(verb), number(tombstone_ms), fence(at_least), number(sent_us), number(late.0)];
    Call { script: &INVALIDATE, args }
}

/// `longest`: of what was there before, to be handed over; `sent_us`: as in `publish`.
pub(super) fn write(how: Write, longest: u64, sent_us: u64, windows: Windows, envelope: Vec<u8>) -> Call {
    let when = match how.when {
        When::Always => 0,
        When::Absent => 1,
        When::Present => 2,
    };
    let words = [number(when), fence(how.at_least)].into_iter();
    let numbers = [longest, sent_us, how.late.0].map(number);
    let args = words.chain(numbers).chain(windows.args()).chain([envelope]).collect();
    Call { script: &WRITE, args }
}

/// `until_us`: a node whose time is past that does nothing.
pub(super) fn change(change: Change, at_least: Fence, longest: u64, tombstone_ms: u64, until_us: u64) -> Call {
    let (verb, [fresh, swr, hard], only) = match change {
        Change::Take => (0, [0; 3], Only::Always),
        Change::End(ending) => (1, [ending.fresh.0, ending.swr.0, ending.hard.0], ending.only),
    };
    let only = match only {
        Only::Always => 0,
        Only::Later => 1,
        Only::Sooner => 2,
    };
    let words = [number(verb), fence(at_least), number(longest), number(tombstone_ms)];
    let args = words.into_iter().chain([fresh, swr, hard, only, until_us].map(number)).collect();
    Call { script: &CHANGE, args }
}

pub(super) fn look(longest: u64) -> Call {
    Call { script: &LOOK, args: vec![number(longest)] }
}

/// A body that a script hands over, or its length if it is too long to go this way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    None,
    Here(Bytes),
    Longer(u64),
}

/// What acquire.lua answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Acquire {
    Granted { token: Fence, stale: Body },
    Denied { left: Span, stale: Body },
    Fresh(Body),
    Failed { left: Span, class: FailClass },
    HitForMiss { left: Span },
    Foreign { left: Option<Span>, body: Body },
}

/// A script's answer, word by word. All begin with a status and the node's time in µs.
pub(super) struct Words {
    words: std::vec::IntoIter<Value>,
    pub(super) status: i64,
    pub(super) now_us: u64,
}

impl Words {
    pub(super) fn of(value: Value) -> Result<Words, Fault> {
        let Value::Array(words) = value else { return Err(odd()) };
        let mut words = Words { words: words.into_iter(), status: 0, now_us: 0 };
        words.status = words.int()?;
        words.now_us = words.natural()?;
        Ok(words)
    }

    fn int(&mut self) -> Result<i64, Fault> {
        match self.words.next() {
            Some(Value::Int(n)) => Ok(n),
            _ => Err(odd()),
        }
    }

    pub(super) fn natural(&mut self) -> Result<u64, Fault> {
        self.int()?.try_into().map_err(|_| odd())
    }

    fn span(&mut self) -> Result<Span, Fault> {
        self.natural().map(Span)
    }

    fn class(&mut self) -> Result<FailClass, Fault> {
        Ok(class_of(self.natural()?.try_into().unwrap_or(u32::MAX)))
    }

    fn bytes(&mut self) -> Result<Bytes, Fault> {
        match self.words.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes.into()),
            _ => Err(odd()),
        }
    }

    pub(super) fn fence(&mut self) -> Result<Fence, Fault> {
        let bytes = self.bytes()?;
        Ok(Fence(u64::from_le_bytes(bytes[..].try_into().map_err(|_| odd())?)))
    }

    /// What is left by PTTL: negative where there is no end.
    pub(super) fn left(&mut self) -> Result<Option<Span>, Fault> {
        Ok(u64::try_from(self.int()?).ok().map(Span))
    }

    pub(super) fn body(&mut self) -> Result<Body, Fault> {
        let length = self.natural()?;
        let bytes = self.bytes()?;
        Ok(match (length, bytes.is_empty()) {
            (0, _) => Body::None,
            (_, true) => Body::Longer(length),
            _ => Body::Here(bytes),
        })
    }

    /// As an entry carries them: little-endian numbers of 32 bits.
    pub(super) fn salts(&mut self) -> Result<Vec<u32>, Fault> {
        let bytes = self.bytes()?;
        let (salts, rest) = bytes.as_chunks::<4>();
        if rest.is_empty() { Ok(salts.iter().map(|salt| u32::from_le_bytes(*salt)).collect()) } else { Err(odd()) }
    }

    pub(super) fn acquire(mut self) -> Result<Acquire, Fault> {
        Ok(match self.status {
            1 => Acquire::Granted { token: self.fence()?, stale: self.body()? },
            2 => Acquire::Denied { left: self.span()?, stale: self.body()? },
            3 => Acquire::Fresh(self.body()?),
            4 => Acquire::Failed { left: self.span()?, class: self.class()? },
            5 => Acquire::HitForMiss { left: self.span()? },
            6 => Acquire::Foreign { left: self.left()?, body: self.body()? },
            _ => return Err(odd()),
        })
    }
}

pub(super) fn odd() -> Fault {
    Fault::Other("a script answered something that it never should".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_another_shape_is_an_error_not_a_panic() {
        let array = |values: &[Value]| Words::of(Value::Array(values.to_vec())).and_then(Words::acquire);
        for odd in [Value::Nil, Value::Array(vec![]), Value::Array(vec![Value::Int(1), Value::Int(-1)])] {
            assert!(Words::of(odd).is_err());
        }
        assert!(array(&[Value::Int(1), Value::Int(5)]).is_err());
        assert!(array(&[Value::Int(1), Value::Int(5), Value::BulkString(vec![1; 7]), Value::Int(0)]).is_err());
        assert!(array(&[Value::Int(9), Value::Int(5)]).is_err());
    }
}
