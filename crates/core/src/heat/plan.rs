//! What is done about a hot key, and why?
//!
//! A reaction is data: it is planned here from a verdict, carried out elsewhere, and never adds more staleness than
//! its space allows.

use super::hot::{Hot, Stage};
use crate::entry::{Kind, Meta};
use crate::ring::split::balanced;
use crate::time::Span;

/// Reads of one key may take this share of a node's capacity once the key is promoted: how often instances ask again.
const PROMOTED_SHARE: f64 = 0.05;
/// The shortest time that a promoted key is held, where the budget allows that much.
const SHORTEST_PROMOTION: Span = Span::ms(100);
/// The longest, while the origin is well.
const LONGEST_PROMOTION: Span = Span::secs(2);
/// Taken off a promotion at random, so that instances don't ask again together.
const PROMOTION_JITTER: f64 = 0.10;
/// More writes than this share of the reads make a key write-heavy.
const WRITES_PER_READ: f64 = 0.20;
/// So do writes beyond this share of a node's capacity. What copies add in writes stays below it too.
const WRITE_SHARE: f64 = 0.10;
/// A replica that is read may lag by so much; by less where the budget is less, and not below the second: nobody would
/// have compared it in time.
const LONGEST_LAG: Span = Span::ms(500);
const SHORTEST_LAG: Span = Span::ms(100);
/// What remains for one node above this share is spread: over replicas, then over copies.
const SPREAD_ABOVE: f64 = 0.25;
/// From this size on the network is a key's capacity: it is compressed before it is copied.
const LARGE_VALUE: u32 = 64 * 1024;
/// A larger value gets no reference per thread: each pins what was replaced until its thread looks again.
const LARGEST_OWN_COPY: u32 = 64 * 1024;
/// Reads a second in one process from which threads fight over a key's count. Where they don't, a reference of one's own
/// costs 5 to 10 ns more than the store's, for the lines of memory that it takes; where they do, 50 ns less.
const CONTENDED: f64 = 500_000.0;
/// How much longer an extended entry is kept, as a factor of its whole life.
const EXTENSION: u64 = 10;
/// Writes are gathered for so long: the more there are, the longer.
const SHORTEST_GATHERING: Span = Span::ms(5);
const LONGEST_GATHERING: Span = Span::ms(20);

/// What a space and this process allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The staleness that reactions may add, all of them together.
    pub budget: Span,
    /// Freshness may be extended as well (`[hot] extend_ttl`).
    pub extend_ttl: bool,
    /// Memory answers reads of the space as it is. False: a promotion makes it.
    pub memory: bool,
    /// It lives in a tier that several processes share: there are nodes.
    pub shared: bool,
    /// Somebody can load the key although nobody reads it.
    pub loads: bool,
}

/// What there is to be known when a reaction is planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Situation {
    /// The verdict; `None` for a key that was announced and is not hot yet.
    pub hot: Option<Hot>,
    /// What its space allows.
    pub allowed: Allowed,
    /// The space's ttl.
    pub ttl: Span,
    /// Bytes of the value, zero while unknown.
    pub value_bytes: u32,
    /// Processes that ask for it.
    pub instances: u32,
    /// Nodes of the shared tier.
    pub nodes: u32,
    /// Replicas of each node that may be read.
    pub replicas: u32,
    /// Operations a second that a node bears.
    pub capacity: f64,
    /// What others invalidate is heard at once and ends copies in memory.
    pub heard: bool,
    /// The origin is slow, or sheds.
    pub degraded: bool,
    /// Somebody said that it will be hot.
    pub announced: bool,
    /// Threads of this process that read.
    pub threads: u32,
}

/// Why a key is reacted to as it is: the strongest reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Somebody said that it will be hot.
    Announced,
    /// It is written so often that copies would cost more than they save.
    WriteHeavy,
    /// It is hot while its origin is slow, or sheds.
    OriginDegraded,
    /// More than a node should bear remains although it is held in memory, or because it must not be.
    NodeOverloaded,
    /// Its value is so large that the network is its capacity.
    LargeValue,
    /// Its space allows no staleness: only what adds none is done.
    Strict,
    /// It is read more than a key should be.
    ReadHeavy,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 7] = [
        Reason::Announced,
        Reason::WriteHeavy,
        Reason::OriginDegraded,
        Reason::NodeOverloaded,
        Reason::LargeValue,
        Reason::Strict,
        Reason::ReadHeavy,
    ];

    /// The word in metrics and in `explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Announced => "announced",
            Reason::WriteHeavy => "write_heavy",
            Reason::OriginDegraded => "origin_degraded",
            Reason::NodeOverloaded => "node_overloaded",
            Reason::LargeValue => "large_value",
            Reason::Strict => "strict",
            Reason::ReadHeavy => "read_heavy",
        }
    }
}

/// What can be done about a key: the parts of a [`Reaction`], in the order in which they come into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// Each thread holds a reference of its own, so that they don't fight over one count.
    OwnCopies,
    /// Held in memory for a while although its space's memory is off.
    Promote,
    /// Its value is compressed as well as can be where it leaves the process, whatever is usual there.
    Compress,
    /// Replicas of its node are read.
    Replicas,
    /// It lies on several nodes.
    Split,
    /// Its entry is kept longer.
    Extend,
    /// It is refreshed by a task of its own.
    Worker,
    /// Writes of a few milliseconds go to the tier as one: the last.
    Coalesce,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 8] = [
        Measure::OwnCopies,
        Measure::Promote,
        Measure::Compress,
        Measure::Replicas,
        Measure::Split,
        Measure::Extend,
        Measure::Worker,
        Measure::Coalesce,
    ];

    /// The word in metrics and in `explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Measure::OwnCopies => "own_copies",
            Measure::Promote => "promote",
            Measure::Compress => "compress",
            Measure::Replicas => "replicas",
            Measure::Split => "split",
            Measure::Extend => "extend",
            Measure::Worker => "worker",
            Measure::Coalesce => "coalesce_writes",
        }
    }
}

/// How long an entry is kept beyond what its policy says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// Longer fresh.
    pub fresh: Span,
    /// Longer kept at the most, `fresh` included: [`EXTENSION`] times its life, but not beyond this.
    pub most: Span,
}

/// What is done about one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reaction {
    /// Why.
    pub reason: Reason,
    /// Each thread keeps a reference of its own.
    pub own_copies: bool,
    /// Memory answers for so long after the tier was asked, less a part at random ([`promotion`]).
    pub promote: Option<Span>,
    /// Compressed as well as can be where it leaves the process.
    pub compress: bool,
    /// Replicas of its node may be read that lag by no more than this.
    pub replicas: Option<Span>,
    /// Copies on different nodes; 1: not split.
    pub copies: u16,
    /// Copies that nobody is sent to any more and that still lie there; they are told of every write until they are
    /// deleted.
    pub leaving: u16,
    /// Its entry is kept longer.
    pub extend: Option<Extension>,
    /// Refreshed by a task of its own.
    pub worker: bool,
    /// Writes of so long go to the tier as one.
    pub coalesce: Option<Span>,
}

/// What a reaction is expected to save and to cost, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Reads that the busiest node is spared.
    pub reads_saved: f64,
    /// Writes more than without it.
    pub writes_added: f64,
    /// Bytes more that lie somewhere.
    pub bytes_held: f64,
    /// Staleness that it adds at the worst.
    pub staleness: Span,
}

/// The reaction to a key that nothing is done about yet; `None`: leave it alone.
pub fn plan(situation: &Situation) -> Option<Reaction> {
    plan_after(situation, None, 1.0)
}

/// The reaction to a key about which `before` is done: each part of that stays as long as `part` of its bar is passed.
/// [`Course`](super::course::Course) knows how much that is.
pub fn plan_after(situation: &Situation, before: Option<&Reaction>, part: f64) -> Option<Reaction> {
    let hot = situation.hot.filter(|hot| hot.stage == Stage::Hot);
    let before = Before { reaction: before, part };
    match hot {
        Some(hot) if is_write_heavy(&hot, situation.capacity, before) => Some(of_writes(&hot, situation)),
        Some(_) => Some(of_reads(situation, before)),
        None if situation.announced => Some(of_reads(situation, before)),
        None => None,
    }
}

/// What is done already, and how much of its bars is to be passed for it to stay.
#[derive(Clone, Copy)]
struct Before<'a> {
    reaction: Option<&'a Reaction>,
    part: f64,
}

impl Before<'_> {
    /// The part of a bar that is to be passed for what is done already, or is not.
    fn bar(self, is: impl FnOnce(&Reaction) -> bool) -> f64 {
        if self.reaction.is_some_and(is) { self.part } else { 1.0 }
    }
}

fn is_write_heavy(hot: &Hot, capacity: f64, before: Before<'_>) -> bool {
    let part = before.bar(|before| before.reason == Reason::WriteHeavy);
    let Rw { reads, writes } = Rw::of(hot);
    writes > part * WRITES_PER_READ * reads || writes > part * WRITE_SHARE * capacity
}

/// Reads and writes of the fleet.
struct Rw {
    reads: f64,
    writes: f64,
}

impl Rw {
    fn of(hot: &Hot) -> Rw {
        Rw { reads: hot.fleet.reads.max(hot.here.reads), writes: hot.fleet.writes.max(hot.here.writes) }
    }
}

/// A key that is written as it is read: nothing is copied, its writes are gathered.
fn of_writes(hot: &Hot, s: &Situation) -> Reaction {
    let share = if s.capacity > 0.0 { Rw::of(hot).writes / s.capacity } else { 1.0 };
    let gather = LONGEST_GATHERING.scale(share).0.clamp(SHORTEST_GATHERING.0, LONGEST_GATHERING.0);
    Reaction { coalesce: Some(Span(gather)).filter(|_| s.allowed.shared), ..nothing(Reason::WriteHeavy) }
}

fn nothing(reason: Reason) -> Reaction {
    Reaction {
        reason,
        own_copies: false,
        promote: None,
        compress: false,
        replicas: None,
        copies: 1,
        leaving: 0,
        extend: None,
        worker: false,
        coalesce: None,
    }
}

fn of_reads(s: &Situation, before: Before<'_>) -> Reaction {
    let promote = promoted_for(s);
    let left = Span(s.allowed.budget.0 - promote.unwrap_or_default().at_most(s.allowed.budget).0);
    let rest = remaining(s, promote);
    let near = before.bar(|before| before.replicas.is_some());
    let replicas = lag(s, left).filter(|_| rest > SPREAD_ABOVE * near);
    let left = Span(left.0 - replicas.unwrap_or_default().0);
    let rest = if replicas.is_some() { rest / f64::from(1 + s.replicas) } else { rest };
    let held = before.reaction.map_or(1, |before| before.copies);
    let copies = copies(s, rest, 1.0).max(copies(s, rest, before.part).min(held));
    let fresh = if s.allowed.extend_ttl || s.degraded { s.ttl.at_most(left) } else { Span::ZERO };
    let large = s.value_bytes > LARGE_VALUE;
    let reason = match () {
        () if s.announced && s.hot.is_none_or(|hot| hot.stage != Stage::Hot) => Reason::Announced,
        () if s.degraded => Reason::OriginDegraded,
        () if replicas.is_some() || copies > 1 => Reason::NodeOverloaded,
        () if large => Reason::LargeValue,
        () if s.allowed.budget == Span::ZERO => Reason::Strict,
        () => Reason::ReadHeavy,
    };
    Reaction {
        // Where memory answers only what is held for a while, a reference would be asked in vain.
        own_copies: is_contended(s, before) && s.allowed.memory && s.value_bytes <= LARGEST_OWN_COPY,
        promote,
        compress: large && s.allowed.shared,
        replicas,
        copies,
        extend: (left > Span::ZERO).then_some(Extension { fresh, most: left }),
        worker: s.allowed.loads,
        ..nothing(reason)
    }
}

/// It is read so often here that threads fight over it, or is going to be.
fn is_contended(s: &Situation, before: Before<'_>) -> bool {
    let bar = before.bar(|before| before.own_copies) * CONTENDED;
    s.announced || (s.threads > 1 && s.hot.is_some_and(|hot| hot.here.reads >= bar))
}

/// How far replicas may lag that are read. Where no staleness is allowed they are not.
fn lag(s: &Situation, left: Span) -> Option<Span> {
    (s.allowed.shared && s.replicas > 0 && left >= SHORTEST_LAG).then(|| LONGEST_LAG.at_most(left))
}

/// `instances / (5 % of a node)`, so that asking again costs a node no more than that. As long as the budget allows where
/// a copy ends with the invalidation anyway: time ends it only if that gets lost.
fn promoted_for(s: &Situation) -> Option<Span> {
    if s.allowed.memory || s.allowed.budget == Span::ZERO {
        return None;
    }
    let seconds = f64::from(s.instances.max(1)) / (PROMOTED_SHARE * s.capacity.max(1.0));
    let most = LONGEST_PROMOTION.at_most(s.allowed.budget);
    let ttl = if s.heard { most } else { Span::secs(1).scale(seconds).max(SHORTEST_PROMOTION).at_most(most) };
    Some(if s.degraded { Span(ttl.0 * 2).at_most(s.allowed.budget) } else { ttl })
}

/// The share of a node that the key still takes once it is held in memory.
fn remaining(s: &Situation, promote: Option<Span>) -> f64 {
    let Some(hot) = &s.hot else { return 0.0 };
    let Rw { reads, writes } = Rw::of(hot);
    let held = match promote {
        Some(ttl) => ttl,
        None if s.allowed.memory => s.ttl,
        None => return hot.share,
    };
    // Each instance asks again once it holds the value no more, and all of them after each write.
    let again = f64::from(s.instances.max(1)) * (1.0 / (held.0.max(1) as f64 / 1000.0) + writes);
    if reads > 0.0 { hot.share * (again / reads).min(1.0) } else { 0.0 }
}

/// So many copies that none takes more than a quarter of a node and none of the nodes is busier than the others; but
/// writing them all must not cost much either. `part` of each bar is what counts.
fn copies(s: &Situation, rest: f64, part: f64) -> u16 {
    if !s.allowed.shared || rest <= SPREAD_ABOVE * part {
        return 1;
    }
    let wanted = ((rest / (SPREAD_ABOVE * part)).ceil() as u64).max(u64::from(balanced(s.nodes)));
    let writes = s.hot.map_or(0.0, |hot| Rw::of(&hot).writes);
    let payable = if writes > 0.0 { (WRITE_SHARE / part * s.capacity / writes) as u64 } else { u64::MAX };
    let most = u64::from(s.nodes).min(payable).clamp(1, u64::from(u16::MAX));
    u16::try_from(wanted.clamp(1, most)).unwrap_or(u16::MAX)
}

/// How long this promoted copy is held: `ttl` less up to a tenth. `unit` is drawn uniformly from 0..1.
pub fn promotion(ttl: Span, unit: f64) -> Span {
    Span(ttl.0 - ttl.scale(PROMOTION_JITTER * unit.clamp(0.0, 1.0)).0)
}

impl Reaction {
    /// What is in force, in order.
    pub fn measures(&self) -> impl Iterator<Item = Measure> + '_ {
        Measure::ALL.into_iter().filter(|measure| self.has(*measure))
    }

    /// Whether `next` lacks something of this.
    pub fn is_more_than(&self, next: &Reaction) -> bool {
        self.copies > next.copies || self.measures().any(|measure| !next.has(measure))
    }

    /// Whether `measure` is in force.
    pub fn has(&self, measure: Measure) -> bool {
        match measure {
            Measure::OwnCopies => self.own_copies,
            Measure::Promote => self.promote.is_some(),
            Measure::Compress => self.compress,
            Measure::Replicas => self.replicas.is_some(),
            Measure::Split => self.copies > 1 || self.leaving > 0,
            Measure::Extend => self.extend.is_some(),
            Measure::Worker => self.worker,
            Measure::Coalesce => self.coalesce.is_some(),
        }
    }

    /// The most that it adds to how old a value may be that is served.
    pub fn staleness(&self) -> Span {
        self.promote.unwrap_or_default() + self.replicas.unwrap_or_default() + self.extend.unwrap_or_default().most
    }

    /// What it is expected to save and to cost.
    pub fn estimate(&self, s: &Situation) -> Estimate {
        let (reads, writes, share) = s.hot.map_or((0.0, 0.0, 0.0), |hot| {
            let Rw { reads, writes } = Rw::of(&hot);
            (reads, writes, hot.share)
        });
        let bytes = f64::from(s.value_bytes);
        let spread =
            f64::from(self.copies.max(1)) * if self.replicas.is_some() { f64::from(1 + s.replicas) } else { 1.0 };
        let left = if share > 0.0 { remaining(s, self.promote) / share / spread } else { 0.0 };
        let held = if self.promote.is_some() { f64::from(s.instances.max(1)) * bytes } else { 0.0 };
        let gathered = self.coalesce.map_or(0.0, |span| (writes - 1000.0 / span.0.max(1) as f64).max(0.0));
        Estimate {
            reads_saved: if self.reason == Reason::WriteHeavy { 0.0 } else { reads * (1.0 - left) },
            writes_added: writes * f64::from(self.copies - 1) - gathered,
            bytes_held: bytes * f64::from(self.copies - 1) + held,
            staleness: self.staleness(),
        }
    }
}

impl Extension {
    /// The meta of an entry that is kept so much longer. Only a value is; its windows stay in order.
    #[must_use]
    pub fn of(self, meta: Meta) -> Meta {
        if meta.kind != Kind::Value {
            return meta;
        }
        let (swr_until, hard_until) = (meta.swr_until(), meta.hard_until());
        let life = hard_until.since(meta.born);
        let longer = Span(life.0.saturating_mul(EXTENSION - 1)).at_most(self.most);
        let fresh_until = meta.fresh_until + self.fresh.at_most(longer);
        let hard_until = hard_until + longer;
        let swr_ms = swr_until.since(fresh_until).as_u32();
        Meta { fresh_until, swr_ms, hard_ms: hard_until.since(fresh_until).as_u32().max(swr_ms), ..meta }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
