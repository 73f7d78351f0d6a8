//! How many loads at once does the origin bear right now? A limit that follows its service times.
//!
//! A gradient limit in the manner of Netflix's `Gradient2Limit` (concurrency-limits): as long as loads take about as
//! long as they usually do, the limit grows; when they take longer, it shrinks by as much as they do. What differs here
//! is how "longer" is told: by the middle of the times, because a queue makes all loads wait, and a mean is long as well
//! where a few take long by themselves. And how "usually" is learned. An average that follows everything comes to believe that an overloaded origin is a
//! normal one, above all when it was overloaded from the start. So where loads are slow and the limit may be to blame,
//! it dips for a moment, a few loads run nearly alone, and what these take is usual.

use crate::time::{Span, Tick};

mod taken;

use taken::{Middle, Taken};

/// The limit is set anew at most this often...
pub const EVERY: Span = Span::ms(100);
/// ...and after at least so many loads: fewer say little.
pub const LEAST: u32 = 10;
/// Loads may take so many times as long as usual, on average and with what they wait, before the limit shrinks.
const TOLERANCE: f64 = 1.5;
/// So many times as long while the most important callers wait for a permit although others are there who could. Each of
/// many processes has a limit of its own before one origin, and whose "usual" is a little less shrinks for the sake of
/// those who let callers of lower classes through.
const PRESSED_TOLERANCE: f64 = 3.0;
/// The limit never shrinks to less than this share of itself in one step, before smoothing.
const STEEPEST: f64 = 0.5;
/// How much of a step is taken at once. One slow window can take 10 % off the limit, no more.
const SMOOTHING: f64 = 0.2;
/// The most that is added in one step, before smoothing.
const HEADROOM: f64 = 4.0;
/// If one load in so many was turned away by the origin or timed out, the limit shrinks whatever the others took.
const PUSHED_BACK: u32 = 10;
/// Here shrinking and headroom balance: a limit that came down to this is not what makes loads slow.
const BLAMELESS: f64 = 4.5;
/// Weights of a window in what is "usual": where the limit is innocent, while it is not used up, and while it is:
/// downwards, and upwards. The last is so small because a queue of our own making must not become usual.
const INNOCENT: f64 = 1.0 / 4.0;
const CALM: f64 = 1.0 / 16.0;
const FASTER: f64 = 1.0 / 64.0;
const SLOWER: f64 = 1.0 / 512.0;
/// The limit dips after so many windows in a row that were slow: one may be chance.
const SLOW_WINDOWS: u32 = 5;
/// A dip goes down to half of the limit, and at most to so many loads.
const DIP: f64 = 8.0;
/// The first so many windows count alike, as far as they differ by chance.
const SETTLED: u32 = 10;
/// It is about the first so many loads that begin within it, and ends when so many of them have ended and the others
/// have all run for longer. The first of many that end are short ones all.
const COHORT: u32 = 11;
const KNOWN: u32 = 8;
/// It ends after so long even if few loads ended.
const LONGEST_DIP: Span = Span::secs(4);
/// Between two dips there is at least so much time...
const BETWEEN_DIPS: Span = Span::secs(10);
/// ...and so many times as much as the last one took: a slow origin is not kept waiting for more than 3 %.
const DIP_SHARE: u64 = 30;
/// But no more than this: a dip that is that long was forgotten, because nobody came.
const MOST_BETWEEN_DIPS: Span = Span::secs(600);
/// A limit that was full from the start, for so many windows, dips for the first time.
const UNKNOWN_FOR: u32 = 10;

/// What a load that ended tells the limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// It was answered after so many microseconds of service: the wait for its permit is not in it.
    Took(u64),
    /// The origin said that it is overloaded, or did not answer in time.
    PushedBack,
}

/// One origin's limit: a number between 1 and the pool.
#[derive(Clone, Debug)]
pub struct Limiter {
    pool: f64,
    limit: f64,
    /// What loads usually take.
    usual: Option<Usual>,
    /// What those of the last window took on average, in microseconds.
    short: Option<f64>,
    /// Of that, so much was a wait at the origin, as far as can be told.
    wait: f64,
    /// Windows in a row in which that was too much.
    slow: u32,
    window: Window,
    /// Loads that run, as far as it was told.
    running: usize,
    /// The most important callers wait for a permit, and there are others.
    pressed: bool,
    /// Windows until now, up to [`SETTLED`].
    windows: u32,
    /// Windows until it is known whether what is usual is what the origin needs, or has a queue in it.
    unknown: u32,
    dip: Option<Dip>,
    /// No dip before.
    next_dip: Tick,
}

/// What loads usually take, in microseconds: on average, and half of them at most.
#[derive(Clone, Copy, Debug)]
struct Usual {
    mean: f64,
    median: f64,
}

/// What those of a window took, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Took {
    mean: f64,
    middle: Middle,
}

/// The limit is low for a moment, to see what loads take that run nearly alone.
#[derive(Clone, Copy, Debug)]
struct Dip {
    limit: usize,
    since: Tick,
    /// Loads of its cohort.
    began: u32,
    /// All of them had begun.
    complete: Option<Tick>,
    /// What loads took before it.
    before: Took,
}

/// What came since the limit was last set.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// When the first of its loads ended.
    since: Option<Tick>,
    /// Within a dip, by those of its cohort.
    taken: Taken,
    pushed_back: u32,
    /// The most loads that ran at once.
    peak: usize,
    /// Ends since a load began for the last time.
    since_start: u32,
}

impl Limiter {
    /// A limit that starts at the pool: it is the operator's word for what the origin bears, and the first hundred
    /// loads of a cold start go at once.
    pub fn new(pool: u32) -> Limiter {
        Limiter::starting_at(pool, pool)
    }

    /// A limit that starts lower.
    pub fn starting_at(start: u32, pool: u32) -> Limiter {
        let pool = f64::from(pool.max(1));
        Limiter {
            pool,
            limit: f64::from(start).clamp(1.0, pool),
            usual: None,
            short: None,
            wait: 0.0,
            slow: 0,
            window: Window::default(),
            running: 0,
            pressed: false,
            windows: 0,
            unknown: UNKNOWN_FOR,
            dip: None,
            next_dip: Tick(0),
        }
    }

    /// Another pool. A limit that was at the old one is at the new one; any other stays, as far as it fits.
    pub fn set_pool(&mut self, pool: u32) {
        let pool = f64::from(pool.max(1));
        self.limit = if self.limit >= self.pool { pool } else { self.limit.min(pool) };
        self.pool = pool;
    }

    /// Loads that may run at once.
    pub fn limit(&self) -> usize {
        // Between 1 and the pool, which was an integer. The pool may have shrunk below a dip that is under way.
        let limit = self.limit as usize;
        self.dip.map_or(limit, |dip| dip.limit.min(limit))
    }

    /// What loads usually take on average, in microseconds of service; `None` before the first window.
    pub fn long_us(&self) -> Option<u64> {
        self.usual.map(|usual| usual.mean as u64)
    }

    /// What the loads of the last window took, on average.
    pub fn short_us(&self) -> Option<u64> {
        self.short.map(|short| short as u64)
    }

    /// The limit is low for a moment only.
    pub fn is_dipping(&self) -> bool {
        self.dip.is_some()
    }

    /// Loads wait at the origin, by more than is put up with.
    pub fn is_slow(&self) -> bool {
        self.usual.is_some_and(|usual| usual.mean + self.wait > TOLERANCE * usual.mean)
    }

    /// Whether the most important callers wait for a permit, and there are others.
    pub fn press(&mut self, pressed: bool) {
        self.pressed = pressed;
    }

    /// A load began: with it so many run. True: it is one of a dip's cohort, which [`Limiter::ended`] wants to know.
    pub fn started(&mut self, running: usize) -> bool {
        self.running = running;
        self.window.peak = self.window.peak.max(running);
        self.window.since_start = 0;
        let Some(dip) = self.dip.as_mut().filter(|dip| dip.began < COHORT) else { return false };
        dip.began += 1;
        true
    }

    /// A load ended, which was one of a dip's cohort or not.
    pub fn ended(&mut self, sample: Sample, in_dip: bool, now: Tick) {
        self.running = self.running.saturating_sub(1);
        self.window.since_start = self.window.since_start.saturating_add(1);
        if let Some(dip) = self.dip {
            return self.dipping(dip, sample, in_dip, now);
        }
        let window = &mut self.window;
        match sample {
            Sample::Took(us) => window.taken.add(us),
            Sample::PushedBack => window.pushed_back += 1,
        }
        let length = now.since(*window.since.get_or_insert(now));
        if length < EVERY || window.taken.count() + window.pushed_back < LEAST {
            return;
        }
        if self.usual.is_none() && window.is_too_early(length) {
            return;
        }
        let window = self.next_window();
        self.set_anew(&window, length, now);
    }

    /// Nothing but what its cohort takes says anything now. The first load to be turned away ends it: that is not a
    /// matter of what is usual.
    fn dipping(&mut self, mut dip: Dip, sample: Sample, in_dip: bool, now: Tick) {
        let pushed_back = sample == Sample::PushedBack;
        if let (Sample::Took(us), true) = (sample, in_dip) {
            self.window.taken.add(us);
        }
        let ended = self.window.taken.count();
        let began = dip.began.max(ended);
        let length = now.since(dip.since);
        if began >= COHORT {
            dip.complete.get_or_insert(now);
        }
        self.dip = Some(dip);
        let most = self.window.taken.ranked(KNOWN - 1);
        let outlived = |since: Tick| now.since(since).0 as f64 * 1000.0 >= most;
        let known = ended >= KNOWN && dip.complete.is_some_and(outlived);
        if !known && length < LONGEST_DIP && !pushed_back {
            return;
        }
        if ended > 0 && !pushed_back {
            let median = self.window.taken.ranked(began.saturating_sub(1) / 2);
            self.usual = Some(Usual::measured(self.usual, dip.before, median, most));
            self.unknown = 0;
            self.windows = SETTLED;
        }
        self.dip = None;
        let pause = Span(length.0.saturating_mul(DIP_SHARE)).at_most(MOST_BETWEEN_DIPS);
        self.next_dip = now + BETWEEN_DIPS.max(pause);
        self.next_window();
    }

    /// Begins a new one. Those that run now may have come to be too many before it.
    fn next_window(&mut self) -> Window {
        std::mem::replace(&mut self.window, Window { peak: self.running, ..Window::default() })
    }

    fn set_anew(&mut self, window: &Window, length: Span, now: Tick) {
        let ended = window.taken.count() + window.pushed_back;
        if window.pushed_back.saturating_mul(PUSHED_BACK) >= ended {
            // No headroom: an origin that says no is asked less and less, down to one load at a time.
            return self.step_to(self.limit * STEEPEST);
        }
        // Few come any more, so those that end now are those that take long. Where more run than may, none can come.
        if self.running < self.limit() && window.since_start.saturating_mul(4) > ended.saturating_mul(3) {
            return;
        }
        let took = Took { mean: window.taken.mean(), middle: window.taken.middle() };
        let usual = *self.usual.get_or_insert(Usual { mean: took.mean, median: took.middle.median });
        self.short = Some(took.mean);
        self.wait = usual.wait(took.middle);
        let tolerance = if self.pressed { PRESSED_TOLERANCE } else { TOLERANCE };
        // Before the mean is settled it lacks those that take long: without the wait, this window's says as much.
        let needed = if self.windows < SETTLED { usual.mean.max(took.mean - self.wait) } else { usual.mean };
        let gradient = (tolerance * needed / (needed + self.wait)).clamp(STEEPEST, 1.0);
        let used_up = window.peak as f64 > self.limit / 2.0;
        let full = window.peak >= self.limit();
        let innocent = self.limit <= BLAMELESS;
        let headroom = if used_up { HEADROOM.min(self.limit.sqrt()) } else { 0.0 };
        self.step_to(self.limit * gradient + headroom);
        self.windows = self.windows.saturating_add(1).min(SETTLED);
        self.usual = Some(usual.learned(took, used_up, innocent, self.windows));
        self.slow = if gradient < 1.0 { self.slow.saturating_add(1) } else { 0 };
        self.unknown = match self.unknown {
            // Not used up, loads take what the origin needs. Nor is there a doubt where it could be seen for long what
            // they take while fewer run than may.
            _ if !used_up || innocent => 0,
            _ if !full && self.windows == SETTLED => 0,
            0 => 0,
            left if full => left - 1,
            _ => UNKNOWN_FOR,
        };
        let in_doubt = self.slow >= SLOW_WINDOWS || self.unknown == 1;
        if used_up && !innocent && in_doubt && now >= self.next_dip {
            self.begin_dip(took, ended, length, now);
        }
    }

    /// Unless those that run would not be through by half of it: it would teach nothing. In a window of this length, so
    /// many ended.
    fn begin_dip(&mut self, before: Took, ended: u32, length: Span, now: Tick) {
        let limit = ((self.limit / 2.0).min(DIP) as usize).max(1);
        let ahead = self.running.saturating_sub(limit) as u64;
        if ahead.saturating_mul(length.0) / u64::from(ended.max(1)) <= LONGEST_DIP.0 / 2 {
            self.dip = Some(Dip { limit, since: now, began: 0, complete: None, before });
        }
    }

    fn step_to(&mut self, wanted: f64) {
        self.limit = ((1.0 - SMOOTHING) * self.limit + SMOOTHING * wanted).clamp(1.0, self.pool);
    }
}

impl Usual {
    /// How long loads wait at the origin, as far as their middle tells: a queue adds to each of them, a few that take
    /// long by themselves do not move it. What may be chance is not a wait.
    fn wait(self, middle: Middle) -> f64 {
        if middle.low > self.median { middle.median - self.median } else { 0.0 }
    }

    /// What is usual after a window. It is learned quickly while the limit is not used up: then loads take what the
    /// origin needs. Slowly while it is, because a part of what they take may be a queue that our own loads make; less
    /// slowly where they are faster beyond chance, because nothing makes loads faster than they are. And quickly where
    /// the limit came down as far as it does and loads are still slow: then it is the origin that has changed.
    fn learned(self, took: Took, used_up: bool, innocent: bool, windows: u32) -> Usual {
        let Middle { low, median, high } = took.middle;
        let may_be_chance = low <= self.median;
        let weight = match used_up {
            _ if innocent => INNOCENT,
            _ if windows < SETTLED && may_be_chance => 1.0 / f64::from(windows),
            false => CALM,
            true if high < self.median => FASTER,
            true => SLOWER,
        };
        // Without the wait, the mean is no more in doubt than while the limit is not used up. (What the middle gained by
        // chance is none: taken off as well, the mean of loads of two kinds would come down to nothing.)
        let gained = if used_up && !innocent { self.wait(took.middle) } else { 0.0 };
        let mean_weight = if may_be_chance { weight.max(CALM) } else { weight };
        Usual {
            mean: self.mean + mean_weight * ((took.mean - gained).max(1.0) - self.mean),
            median: self.median + weight * (median - self.median),
        }
    }

    /// After a dip, in which half of the loads took the median at most, and nearly all halves of as many loads take no
    /// more than `most`. If that is not less than before it, few loads take as long as many: there is no queue. Else the
    /// mean would have to wait for the longest, but a queue adds as much to it as to the middle.
    fn measured(usual: Option<Usual>, before: Took, median: f64, most: f64) -> Usual {
        let usual = usual.unwrap_or(Usual { mean: median, median });
        if most >= before.middle.median {
            return Usual { mean: before.mean.max(usual.mean), median: before.middle.median };
        }
        Usual { mean: (usual.mean + median - usual.median).max(median), median }
    }
}

impl Window {
    /// Of the first loads of all, those that take long have not ended yet. (A longer wait would take a queue for usual.)
    fn is_too_early(&self, length: Span) -> bool {
        length < LONGEST_DIP && (length.0 as f64) * 1000.0 < self.taken.middle().median
    }
}

#[cfg(test)]
mod tests;
