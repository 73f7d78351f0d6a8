//! Was the origin's budget held (G9)? Loads at once, and permits in every window of time.

use bellwether_core::policy::Budget;
use bellwether_core::time::Tick;

pub(crate) struct Windows {
    budget: Budget,
    running: usize,
    all: Vec<Tick>,
    background: Vec<Tick>,
}

impl Windows {
    pub(crate) fn new(budget: &Budget) -> Windows {
        Windows { budget: budget.clone(), running: 0, all: Vec::new(), background: Vec::new() }
    }

    pub(crate) fn granted(&mut self, now: Tick, background: bool) {
        self.all.push(now);
        if background {
            self.background.push(now);
        }
    }

    /// How many run now, this one counted.
    pub(crate) fn began(&mut self) -> usize {
        self.running += 1;
        self.running
    }

    pub(crate) fn ended(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.budget.max_concurrency as usize
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        let kinds =
            [("rate", self.budget.rate, &self.all), ("refresh_rate", self.budget.refresh_rate, &self.background)];
        let mut found = Vec::new();
        for (name, rate, permits) in kinds {
            let Some(rate) = rate else { continue };
            let over = excess(permits, rate) - (rate / 10.0).max(1.0);
            if over > 1e-6 {
                found.push(format!("{name} of {rate}/s was exceeded by {over:.1} permits"));
            }
        }
        found
    }
}

/// The most permits above `rate * T` of all windows of any length T.
fn excess(permits: &[Tick], rate: f64) -> f64 {
    let (mut lowest, mut worst) = (f64::MAX, 0.0f64);
    for (n, at) in permits.iter().enumerate() {
        let line = n as f64 - rate * at.0 as f64 / 1000.0;
        lowest = lowest.min(line);
        worst = worst.max(line + 1.0 - lowest);
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_a_burst_over_the_edge_of_two_seconds_is_seen() {
        let permits: Vec<Tick> = [Tick(999); 10].into_iter().chain([Tick(1000); 10]).collect();
        assert!(excess(&permits, 10.0) > 19.0);
        let paced: Vec<Tick> = (0..50).map(|n| Tick(n * 100)).collect();
        assert!(excess(&paced, 10.0) < 1.01);
    }
}
