//! How many loads at once does the origin bear right now? A limit that follows its service times.
//!
//! A gradient limit in the manner of Netflix's `Gradient2Limit` (concurrency-limits): as long as loads take about as
//! long as they usually do, the limit grows; when they take longer, it shrinks by as much as they do. What differs here
//! is how "usually" is learned. An average that follows everything comes to believe that an overloaded origin is a
//! normal one, above all when it was overloaded from the start. So where loads are slow and the limit may be to blame,
//! it dips for a moment, a few loads run nearly alone, and what these take is usual.
//!
//! And a limit that is far too high does not come down in small steps, because meanwhile everybody waits behind what it
//! lets through. It falls at once to what the origin delivers in the usual time (its bandwidth-delay product, as in TCP
//! BBR's drain), and loads that began before the fall say nothing of what came of it. If fewer end as well once fewer are
//! let in, no queue was to blame: the origin has become slower, and the fall is undone.

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
/// The most that is added in one step, before smoothing; nothing while loads are slow.
const HEADROOM: f64 = 4.0;
/// So many slow windows in a row, and the limit falls: one may have been an outlier's.
const SURE: u32 = 2;
/// It falls only if less than this share of it is left: nearer than that, steps are quick enough.
const FAR: f64 = 0.7;
/// Where more than one end in so many tells nothing of how long it took, how many ended says nothing either.
const UNTOLD: u32 = 4;
/// If one load in so many was turned away by the origin or timed out, the limit shrinks whatever the others took.
const PUSHED_BACK: u32 = 10;
/// A limit that came down to this is not what makes loads slow: it does not shrink further for that.
const BLAMELESS: f64 = 4.0;
/// Steps come nearer to it and never arrive.
const NEARLY: f64 = 0.5;
/// While nothing is known yet, so many at once are tried; and later so many at least.
const FIRST: f64 = 16.0;
const FEWEST: f64 = 8.0;
/// More than ever ran at their usual pace are tried as long as others behind them wait no longer than this, or...
const BEHIND_US: f64 = 250_000.0;
/// ...up to so many times as many: else it would never be found out.
const TRIED: f64 = 2.0;
/// If none has ended for so many times as long as usual, no more than those are tried: whatever is asked now is slow.
const STALLED: f64 = 2.0;
/// The window that a stall ends in begins before it: the next one tells what loads take now.
const STALL_COUNTS: u32 = 2;
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
    /// The most loads at once that took no longer than usual; 0: not known yet.
    proven: f64,
    /// Windows in a row that were slow although the limit was used up.
    slow_windows: u32,
    /// So many run, since...
    running: usize,
    /// ...the last time that one began or ended.
    changed: Tick,
    /// The last sign of life: a load ended, or began alone.
    alive: Tick,
    /// There was none for too long: so many windows, until it is known what loads take since.
    stalled: u32,
    /// The limit fell, and it is not known yet whether that was right.
    fall: Option<Fall>,
    /// Counts falls and dips: what began before the last of them says nothing of what is now.
    era: Era,
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

/// The limit has fallen at once.
#[derive(Clone, Copy, Debug)]
struct Fall {
    /// So many ran at once.
    from: f64,
    /// What loads took just before, and how many ended in a microsecond.
    short: f64,
    rate: f64,
}

/// Between two falls or dips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Era(u32);

/// What came since the limit was last set.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// When the first of its loads ended.
    since: Option<Tick>,
    sum_us: u64,
    took: u32,
    pushed_back: u32,
    /// Loads that ended and tell nothing of the pace: batches, failures.
    untold: u32,
    /// Loads that ran, summed up over its milliseconds.
    busy: u64,
    /// The most loads that ran at once.
    peak: usize,
    /// A load could not start because more than [`Limiter::tried`] would have run.
    held_back: bool,
}

/// What a window says.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// What its loads took, on average.
    short: f64,
    /// So many ended in a microsecond; `None`: too many of them tell nothing of their own time.
    rate: Option<f64>,
    /// So many ran at once, on average and at most.
    running: f64,
    peak: f64,
    /// More did not run because of the limit, or might not have.
    used_up: bool,
}

impl Seen {
    /// So many of what ran at once are enough to deliver as much, if loads take `long`: by Little's law.
    fn enough(&self, long: f64) -> f64 {
        let usual = long.min(self.short);
        self.rate.map_or(self.running * usual / self.short, |rate| rate * usual).max(1.0)
    }
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
            proven: 0.0,
            slow_windows: 0,
            running: 0,
            changed: Tick(0),
            alive: Tick(0),
            stalled: 0,
            fall: None,
            era: Era::default(),
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

    /// So many at once are not too many for those who must not wait behind them: so many have run at their usual pace, or
    /// so many more that the queue they might make at the origin would soon be gone. Not above the pool.
    pub fn tried(&self, now: Tick) -> usize {
        let tried = match self.long {
            None => FIRST,
            Some(_) if self.stalled > 0 || self.is_stalled(now) => self.proven,
            Some(long) => self.proven * (BEHIND_US / long).max(TRIED),
        };
        tried.max(FEWEST).min(self.pool) as usize
    }

    fn is_stalled(&self, now: Tick) -> bool {
        let silent_us = now.since(self.alive).0 as f64 * 1000.0;
        self.long.is_some_and(|long| silent_us > STALLED * long)
    }

    /// A load that might have started by the limit did not by [`Limiter::tried`].
    pub fn held_back(&mut self) {
        self.window.held_back = true;
    }

    /// A load began: with it so many run. Its era is what [`Limiter::ended`] wants to know.
    pub fn started(&mut self, running: usize, now: Tick) -> Era {
        if running == 1 {
            self.alive = now;
        }
        self.runs(running, now);
        self.window.peak = self.window.peak.max(running);
        self.era
    }

    /// A load ended: without it so many run.
    pub fn left(&mut self, running: usize, now: Tick) {
        if self.is_stalled(now) {
            self.stalled = STALL_COUNTS;
        }
        self.alive = now;
        self.runs(running, now);
    }

    fn runs(&mut self, running: usize, now: Tick) {
        if self.window.since.is_some() {
            let busy = (self.running as u64).saturating_mul(now.since(self.changed).0);
            self.window.busy = self.window.busy.saturating_add(busy);
        }
        (self.running, self.changed) = (running, now);
    }

    /// It tells nothing of the origin's pace.
    pub fn untold(&mut self) {
        self.window.untold = self.window.untold.saturating_add(1);
    }

    /// It tells something, and began in an era.
    pub fn ended(&mut self, sample: Sample, began: Era, now: Tick) {
        let sample = (began == self.era).then_some(sample);
        if let Some(dip) = self.dip {
            return self.dipping(dip, sample, now);
        }
        let Some(sample) = sample else { return };
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
            self.set_anew(window, now.since(since), now);
        }
    }

    /// Nothing but loads that began within the dip says anything now. The first to be turned away ends it: that is
    /// not a matter of what is usual.
    fn dipping(&mut self, mut dip: Dip, sample: Option<Sample>, now: Tick) {
        let pushed_back = sample == Some(Sample::PushedBack);
        if let Some(Sample::Took(us)) = sample {
            dip.sum_us = dip.sum_us.saturating_add(us);
            dip.took += 1;
        }
        let length = now.since(dip.since);
        self.dip = Some(dip);
        if dip.took < LEAST && length < LONGEST_DIP && !pushed_back {
            return;
        }
        if dip.took > 0 && !pushed_back {
            let long = mean(dip.sum_us, dip.took);
            (self.long, self.unknown, self.slow_windows) = (Some(long), 0, 0);
            if let Some(fall) = self.fall.take() {
                self.found(long, fall);
            }
        }
        self.dip = None;
        self.next_dip = now + BETWEEN_DIPS.max(Span(length.0.saturating_mul(DIP_SHARE)));
        self.window = Window::default();
    }

    /// What loads take, seen after a fall. Was it no queue that made them slow, the limit is what it was before it
    /// fell; if there was one, it is what the origin delivered then, by what is known now.
    fn found(&mut self, long: f64, fall: Fall) {
        let no_queue = fall.short <= TOLERANCE * long;
        let bears = if no_queue { fall.from } else { TOLERANCE * fall.rate * long };
        self.limit = bears.min(fall.from).max(self.limit).clamp(1.0, self.pool);
        self.long = Some(long);
    }

    fn set_anew(&mut self, window: Window, length: Span, now: Tick) {
        let Window { sum_us, took, pushed_back, untold, busy, peak, held_back, .. } = window;
        self.stalled = self.stalled.saturating_sub(1);
        if pushed_back.saturating_mul(PUSHED_BACK) >= took + pushed_back {
            // No headroom: an origin that says no is asked less and less, down to one load at a time.
            return self.step_to(self.limit * STEEPEST);
        }
        let short = mean(sum_us, took);
        // The first of them opened the window.
        let rate = f64::from(took.saturating_sub(1)) / (length.0 as f64 * 1000.0);
        let rate = (untold.saturating_mul(UNTOLD) <= took).then_some(rate);
        let (running, peak) = (busy as f64 / length.0 as f64, peak as f64);
        let used_up = held_back || peak > self.limit / 2.0;
        self.short = Some(short);
        self.follow(Seen { short, rate, running, peak, used_up }, now);
    }

    fn follow(&mut self, seen: Seen, now: Tick) {
        let tolerance = if self.pressed { PRESSED_TOLERANCE } else { TOLERANCE };
        self.after_a_fall(seen, tolerance);
        let long = *self.long.get_or_insert(seen.short);
        let slow = seen.short > tolerance * long;
        self.prove(seen, long, slow);
        let bears = (tolerance * seen.enough(long)).max(BLAMELESS);
        let far = slow && seen.used_up && self.fall.is_none() && bears < FAR * self.limit;
        if far
            && self.slow_windows >= SURE
            && let Some(rate) = seen.rate
        {
            self.fall = Some(Fall { from: seen.peak.min(self.limit), short: seen.short, rate });
            self.limit = bears;
            return self.begin_era();
        }
        let innocent = self.limit <= BLAMELESS + NEARLY;
        let in_doubt = seen.used_up && !innocent;
        // Not used up, loads take what the origin needs.
        self.unknown = if in_doubt { self.unknown.saturating_sub(1) } else { 0 };
        let gradient = (tolerance * long / seen.short).clamp(STEEPEST, 1.0);
        let headroom = if seen.used_up && !slow { HEADROOM.min(self.limit.sqrt()) } else { 0.0 };
        let least = if slow { BLAMELESS.min(self.limit) } else { 1.0 };
        self.step_to((self.limit * gradient + headroom).max(least));
        self.long = Some(learned(long, seen.short, seen.used_up, innocent));
        // Far above what it bears, what is usual is not the question, and a dip would keep everybody waiting.
        if in_doubt && !far && (slow || self.unknown == 1) && now >= self.next_dip {
            let limit = (self.limit / 2.0).min(DIP) as usize;
            self.begin_era();
            self.dip = Some(Dip { limit: limit.max(1), since: now, sum_us: 0, took: 0 });
        }
    }

    /// Fewer were let in since it fell. Are loads still slow, and do fewer end as well, then nothing was queued there:
    /// it is the origin that takes so long.
    fn after_a_fall(&mut self, seen: Seen, tolerance: f64) {
        let Some((long, fall)) = self.long.zip(self.fall) else { return };
        let slow = seen.short > tolerance * long;
        if slow && seen.rate.is_none_or(|rate| rate >= FAR * fall.rate) {
            return;
        }
        self.fall = None;
        if slow {
            self.found(seen.short, fall);
        }
    }

    /// How many run at once at their usual pace: what did, or what would have.
    fn prove(&mut self, seen: Seen, long: f64, slow: bool) {
        self.slow_windows = if slow && seen.used_up { self.slow_windows + 1 } else { 0 };
        if !slow {
            self.proven = self.proven.max(seen.enough(long));
        } else if seen.used_up {
            self.proven = self.proven.min(seen.enough(long));
        }
    }

    /// What began before says nothing of what is now.
    fn begin_era(&mut self) {
        self.era = Era(self.era.0.wrapping_add(1));
        self.window = Window::default();
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
