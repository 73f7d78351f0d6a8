//! How many loads at once does the origin bear right now? A limit that follows its service times.
//!
//! A gradient limit in the manner of Netflix's `Gradient2Limit` (concurrency-limits): as long as loads take about as
//! long as they usually do, the limit grows; when they take longer, it shrinks by as much as they do. What differs here
//! is how "usually" is learned. An average that follows everything comes to believe that an overloaded origin is a
//! normal one, above all when it was overloaded from the start. So where loads are slow and the limit may be to blame,
//! it dips for a moment, a few loads run nearly alone, and what these take is usual.

use crate::time::{Span, Tick};

/// The limit is set anew at most this often...
pub const EVERY: Span = Span::ms(100);
/// ...and after at least so many loads: fewer say little.
pub const LEAST: u32 = 10;
/// Loads may take so many times as long as usual before the limit shrinks.
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
/// A dip goes down to half of the limit, and at most to so many loads.
const DIP: f64 = 8.0;
/// It ends after so long even if few loads ended.
const LONGEST_DIP: Span = Span::secs(2);
/// Between two dips there is at least so much time...
const BETWEEN_DIPS: Span = Span::secs(10);
/// ...and so many times as much as the last one took: a slow origin is not kept waiting for more than 3 %.
const DIP_SHARE: u64 = 30;
/// A limit that was used up from the start, for so many windows, dips for the first time.
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
    /// What loads usually take, in microseconds.
    long: Option<f64>,
    /// What those of the last window took.
    short: Option<f64>,
    window: Window,
    /// The most important callers wait for a permit, and there are others.
    pressed: bool,
    /// Windows until it is known whether `long` is what the origin needs, or has a queue in it.
    unknown: u32,
    dip: Option<Dip>,
    /// No dip before.
    next_dip: Tick,
}

/// The limit is low for a moment, to see what loads take that run nearly alone.
#[derive(Clone, Copy, Debug)]
struct Dip {
    limit: usize,
    since: Tick,
    /// Of loads that began within it.
    sum_us: u64,
    took: u32,
}

/// What came since the limit was last set.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// When the first of its loads ended.
    since: Option<Tick>,
    sum_us: u64,
    took: u32,
    pushed_back: u32,
    /// The most loads that ran at once.
    peak: usize,
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
            long: None,
            short: None,
            window: Window::default(),
            pressed: false,
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

    /// What loads usually take, in microseconds of service; `None` before the first window.
    pub fn long_us(&self) -> Option<u64> {
        self.long.map(|long| long as u64)
    }

    /// What the loads of the last window took, on average.
    pub fn short_us(&self) -> Option<u64> {
        self.short.map(|short| short as u64)
    }

    /// The limit is low for a moment only.
    pub fn is_dipping(&self) -> bool {
        self.dip.is_some()
    }

    /// Loads take longer than they usually do, by more than is put up with.
    pub fn is_slow(&self) -> bool {
        self.long.zip(self.short).is_some_and(|(long, short)| short > TOLERANCE * long)
    }

    /// Whether the most important callers wait for a permit, and there are others.
    pub fn press(&mut self, pressed: bool) {
        self.pressed = pressed;
    }

    /// A load began: with it so many run. True: it began within a dip, which [`Limiter::ended`] wants to know.
    pub fn started(&mut self, running: usize) -> bool {
        self.window.peak = self.window.peak.max(running);
        self.dip.is_some()
    }

    /// A load ended, which began within a dip or not.
    pub fn ended(&mut self, sample: Sample, in_dip: bool, now: Tick) {
        if let Some(dip) = self.dip {
            return self.dipping(dip, sample, in_dip, now);
        }
        let window = &mut self.window;
        match sample {
            Sample::Took(us) => {
                window.sum_us = window.sum_us.saturating_add(us);
                window.took += 1;
            }
            Sample::PushedBack => window.pushed_back += 1,
        }
        let since = *window.since.get_or_insert(now);
        if now.since(since) >= EVERY && window.took + window.pushed_back >= LEAST {
            let window = std::mem::take(window);
            self.set_anew(window, now);
        }
    }

    /// Nothing but loads that began within the dip says anything now. The first to be turned away ends it: that is
    /// not a matter of what is usual.
    fn dipping(&mut self, mut dip: Dip, sample: Sample, in_dip: bool, now: Tick) {
        let pushed_back = sample == Sample::PushedBack;
        if let (Sample::Took(us), true) = (sample, in_dip) {
            dip.sum_us = dip.sum_us.saturating_add(us);
            dip.took += 1;
        }
        let length = now.since(dip.since);
        self.dip = Some(dip);
        if dip.took < LEAST && length < LONGEST_DIP && !pushed_back {
            return;
        }
        if dip.took > 0 && !pushed_back {
            self.long = Some(mean(dip.sum_us, dip.took));
            self.unknown = 0;
        }
        self.dip = None;
        self.next_dip = now + BETWEEN_DIPS.max(Span(length.0.saturating_mul(DIP_SHARE)));
        self.window = Window::default();
    }

    fn set_anew(&mut self, window: Window, now: Tick) {
        let Window { sum_us, took, pushed_back, peak, .. } = window;
        let used_up = peak as f64 > self.limit / 2.0;
        let overloaded = pushed_back.saturating_mul(PUSHED_BACK) >= took + pushed_back;
        if overloaded {
            // No headroom: an origin that says no is asked less and less, down to one load at a time.
            return self.step_to(self.limit * STEEPEST);
        }
        let short = mean(sum_us, took);
        self.short = Some(short);
        let long = *self.long.get_or_insert(short);
        let tolerance = if self.pressed { PRESSED_TOLERANCE } else { TOLERANCE };
        let gradient = (tolerance * long / short).clamp(STEEPEST, 1.0);
        let headroom = if used_up { HEADROOM.min(self.limit.sqrt()) } else { 0.0 };
        let innocent = self.limit <= BLAMELESS;
        self.step_to(self.limit * gradient + headroom);
        self.long = Some(learned(long, short, used_up, innocent));
        // Not used up, loads take what the origin needs.
        self.unknown = if used_up && !innocent { self.unknown.saturating_sub(1) } else { 0 };
        let unknown_for_long = self.unknown == 1;
        if used_up && !innocent && (gradient < 1.0 || unknown_for_long) && now >= self.next_dip {
            let limit = (self.limit / 2.0).min(DIP) as usize;
            self.dip = Some(Dip { limit: limit.max(1), since: now, sum_us: 0, took: 0 });
        }
    }

    fn step_to(&mut self, wanted: f64) {
        self.limit = ((1.0 - SMOOTHING) * self.limit + SMOOTHING * wanted).clamp(1.0, self.pool);
    }
}

/// What is usual after a window. It is learned quickly while the limit is not used up: then loads take what the origin
/// needs. Slowly while it is, because a part of what they take may be a queue that our own loads make; downwards less
/// slowly, because nothing makes loads faster than they are. And quickly where the limit came down as far as it does
/// and loads are still slow: then it is the origin that has changed.
fn learned(long: f64, short: f64, used_up: bool, innocent: bool) -> f64 {
    let weight = match used_up {
        _ if innocent => INNOCENT,
        false => CALM,
        true if short < long => FASTER,
        true => SLOWER,
    };
    long + weight * (short - long)
}

/// At least a microsecond: a quotient of two zeros says nothing.
fn mean(sum_us: u64, count: u32) -> f64 {
    (sum_us as f64 / f64::from(count.max(1))).max(1.0)
}

#[cfg(test)]
mod tests;
