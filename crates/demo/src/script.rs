//! What happens in an incident, and when? One script, drawn from a seed, is played to both sides.

use std::time::Duration;

use crate::database::{Fault, QUERY, SLOW_QUERY};
use crate::incident::Incident;
use crate::shop::PRODUCTS;

/// Requests of one script, at most: what a side is asked is bounded, whatever the scale.
const MOST_REQUESTS: usize = 50_000;
/// Popularity of products: the usual exponent for shops.
const ZIPF: f64 = 0.99;

/// How large everything is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    /// What a caller waits at most, on either side.
    pub(crate) deadline: Duration,
    /// An answer is late this much after its deadline: what sockets and a busy machine may take.
    pub(crate) slack: Duration,
    /// 99 % of the answers come within this, however slow the database is.
    pub(crate) prompt: Duration,
    /// Share of the full rates.
    rate: f64,
    /// Share of the full length.
    length: f64,
    /// Requests of the crowd that asks at once.
    crowd: usize,
    /// Entries that expire together.
    pub(crate) mass: u32,
}

impl Scale {
    /// What a person sees.
    pub(crate) const FULL: Scale = Scale {
        deadline: Duration::from_secs(1),
        slack: Duration::from_millis(500),
        prompt: SLOW_QUERY,
        rate: 1.0,
        length: 1.0,
        crowd: 20_000,
        mass: PRODUCTS,
    };
    /// For tests: an unoptimized build on a busy machine must be able to follow.
    pub(crate) const QUICK: Scale = Scale {
        deadline: Duration::from_secs(2),
        slack: Duration::from_secs(2),
        prompt: Duration::from_secs(2),
        rate: 0.15,
        length: 0.5,
        crowd: 1_000,
        mass: 400,
    };
}

/// A request and its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) at: Duration,
    pub(crate) id: u32,
}

/// An incident, moment by moment; moments count from the first request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    /// How long an entry is fresh, on both sides.
    pub(crate) ttl: Duration,
    /// The product that the incident is about.
    pub(crate) star: u32,
    /// Loaded into the cache before it begins, while the database is made fast; then a pause each.
    pub(crate) warm: Vec<(Vec<u32>, Duration)>,
    /// In order of time.
    pub(crate) asks: Vec<Ask>,
    /// What a query takes until a fault says otherwise.
    pub(crate) query: Duration,
    /// In order of time.
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// The star's price changes and its entry is removed, in order of time.
    pub(crate) removals: Vec<Duration>,
    /// Connections that the herd uses, if as many files may be open.
    pub(crate) connections: usize,
}

/// From when to when, in seconds.
type Window = (f64, f64);

impl Script {
    /// The script of `incident`: the same for the same seed and scale.
    pub(crate) fn of(incident: Incident, scale: &Scale, seed: u64) -> Script {
        let mut herd = Herd { rng: fastrand::Rng::with_seed(seed ^ incident.number() as u64), scale, asks: Vec::new() };
        let mut script = Script {
            ttl: Duration::from_secs(1),
            star: 1,
            warm: Vec::new(),
            asks: Vec::new(),
            query: QUERY,
            faults: Vec::new(),
            removals: Vec::new(),
            connections: 1_000,
        };
        let warm = |ids: std::ops::RangeInclusive<u32>, pause: f64| (ids.collect(), Duration::from_secs_f64(pause));
        match incident {
            Incident::HotKey => {
                // The star is loaded a second before the others, so that it alone expires in the middle.
                script.ttl = Duration::from_millis(2_500);
                script.warm = vec![warm(1..=1, 1.0), warm(2..=300, 0.0)];
                herd.zipf(300.0, 300, (0.0, 2.0));
                herd.one(1, 2_000.0, (0.0, 2.0));
            }
            Incident::Cold => {
                script.star = 7;
                script.ttl = Duration::from_secs(60);
                script.connections = 200;
                // A server reads 20,000 requests in longer than a usual query takes: whoever is read after its end
                // would find a value, and nobody would have waited.
                script.query = SLOW_QUERY;
                herd.at_once(7);
            }
            Incident::Influencer => {
                script.star = 299;
                script.ttl = Duration::from_secs(2);
                script.warm = vec![warm(1..=300, 0.0)];
                herd.zipf(250.0, 300, (0.0, 3.5));
                herd.one(299, 20.0, (0.0, 0.5));
                herd.one(299, 2_000.0, (0.5, 3.5));
            }
            Incident::Removal => {
                script.ttl = Duration::from_secs(60);
                script.warm = vec![warm(1..=100, 0.0)];
                herd.zipf(200.0, 100, (0.0, 2.5));
                herd.one(1, 600.0, (0.0, 2.5));
                script.removals = herd.moments(0.020, 0.200, (0.3, 2.3));
            }
            Incident::Outage => {
                script.warm = vec![warm(1..=300, 0.0)];
                herd.zipf(1_000.0, 300, (0.0, 3.5));
                script.faults.push((Duration::from_millis(700), Fault::Failing(true)));
                script.faults.push((Duration::from_millis(2_700), Fault::Failing(false)));
            }
            Incident::Slow => {
                script.warm = vec![warm(1..=300, 0.0)];
                herd.zipf(1_000.0, 300, (0.0, 3.5));
                script.faults.push((Duration::from_millis(700), Fault::Takes(SLOW_QUERY)));
                script.faults.push((Duration::from_millis(3_000), Fault::Takes(QUERY)));
            }
            Incident::Avalanche => {
                script.ttl = Duration::from_secs(2);
                script.warm = vec![warm(1..=scale.mass, 0.0)];
                herd.zipf(1_500.0, scale.mass, (0.0, 3.5));
            }
        }
        script.asks = herd.finish();
        script.shortened(scale.length)
    }

    /// The same in a share of the time; requests were drawn as many fewer.
    fn shortened(mut self, share: f64) -> Script {
        let shorten = |span: &mut Duration| *span = span.mul_f64(share);
        shorten(&mut self.ttl);
        self.warm.iter_mut().for_each(|(_, pause)| shorten(pause));
        self.asks.iter_mut().for_each(|ask| shorten(&mut ask.at));
        self.faults.iter_mut().for_each(|(at, _)| shorten(at));
        self.removals.iter_mut().for_each(shorten);
        self
    }

    /// The moment of the last request.
    pub(crate) fn length(&self) -> Duration {
        self.asks.last().map_or(Duration::ZERO, |ask| ask.at)
    }
}

/// Requests being drawn.
struct Herd<'a> {
    rng: fastrand::Rng,
    scale: &'a Scale,
    asks: Vec<Ask>,
}

impl Herd<'_> {
    /// Everybody at once.
    fn at_once(&mut self, id: u32) {
        self.asks.extend(std::iter::repeat_n(Ask { at: Duration::ZERO, id }, self.scale.crowd));
    }

    /// One product, at random moments.
    fn one(&mut self, id: u32, rate: f64, window: Window) {
        self.arrivals(rate, window, |_| id);
    }

    /// Products 1 to `products`, the first the most popular, at random moments.
    fn zipf(&mut self, rate: f64, products: u32, window: Window) {
        let weights = (1..=products).scan(0.0, |sum, rank| {
            *sum += f64::from(rank).powf(-ZIPF);
            Some(*sum)
        });
        let sums: Vec<f64> = weights.collect();
        let total = sums.last().copied().unwrap_or_default();
        self.arrivals(rate, window, |rng| {
            let drawn = rng.f64() * total;
            let rank = sums.partition_point(|sum| *sum <= drawn) as u32 + 1;
            rank.min(products)
        });
    }

    /// A Poisson process: callers do not know of each other.
    fn arrivals(&mut self, rate: f64, (from, to): Window, mut id: impl FnMut(&mut fastrand::Rng) -> u32) {
        let mean = 1.0 / (rate * self.scale.rate * self.scale.length);
        let mut at = from;
        while self.asks.len() < MOST_REQUESTS {
            at -= mean * (1.0 - self.rng.f64()).ln();
            if at >= to {
                break;
            }
            let id = id(&mut self.rng);
            self.asks.push(Ask { at: Duration::from_secs_f64(at), id });
        }
    }

    /// Moments with gaps between `least` and `most` seconds.
    fn moments(&mut self, least: f64, most: f64, (from, to): Window) -> Vec<Duration> {
        let mut moments = Vec::new();
        let mut at = from;
        while at < to {
            moments.push(Duration::from_secs_f64(at));
            at += least + (most - least) * self.rng.f64();
        }
        moments
    }

    fn finish(mut self) -> Vec<Ask> {
        self.asks.truncate(MOST_REQUESTS);
        self.asks.sort_by_key(|ask| ask.at);
        self.asks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_herd_and_another_one_another() {
        for incident in Incident::ALL {
            let script = Script::of(incident, &Scale::FULL, 1);
            assert_eq!(script, Script::of(incident, &Scale::FULL, 1), "{incident}");
            assert!(!script.asks.is_empty() && script.asks.len() < MOST_REQUESTS, "{incident}");
            assert!(script.asks.is_sorted_by_key(|ask| ask.at) && script.removals.is_sorted(), "{incident}");
            assert!(script.asks.iter().all(|ask| (1..=PRODUCTS).contains(&ask.id)), "{incident}");
            assert!(script.length() < Duration::from_secs(4), "{incident}");
        }
        let other = Script::of(Incident::Outage, &Scale::FULL, 2);
        assert_ne!(other.asks, Script::of(Incident::Outage, &Scale::FULL, 1).asks);
    }

    #[test]
    fn the_influencer_multiplies_the_products_traffic_a_hundredfold() {
        let script = Script::of(Incident::Influencer, &Scale::FULL, 42);
        let count = |from: f64, to: f64| {
            let (from, to) = (Duration::from_secs_f64(from), Duration::from_secs_f64(to));
            script.asks.iter().filter(|a| a.id == script.star && (from..to).contains(&a.at)).count() as f64
        };
        let (before, after) = (count(0.0, 0.5) / 0.5, count(0.5, 3.5) / 3.0);
        assert!((1_900.0..2_100.0).contains(&after) && before < 50.0, "{before}/s, then {after}/s");
    }

    #[test]
    fn traffic_is_zipf_the_first_product_takes_the_largest_share() {
        let script = Script::of(Incident::Outage, &Scale::FULL, 42);
        let of = |id: u32| script.asks.iter().filter(|ask| ask.id == id).count() as f64 / script.asks.len() as f64;
        // 1 / (1 + 2^-0.99 + ... + 300^-0.99) = 0.157
        assert!((0.12..0.20).contains(&of(1)) && of(1) > of(2) && of(2) > of(20), "{} {} {}", of(1), of(2), of(20));
    }
}
