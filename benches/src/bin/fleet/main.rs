//! What does a fleet's origin see, and how long does its slowest caller wait? Eight processes over one real Redis, beside
//! another library and a lock that most people write; the waiters' lag; a steady expiry.
//!
//! `cargo run --release -p bellwether-benches --bin fleet`

mod contender;
mod process;
mod steady;
mod wake;

use bellwether_benches::report::{Bar, bars, table};
use bellwether_benches::stats::Spread;
use bellwether_servers::Redis;

use crate::contender::{LOAD_MS, Who};
use crate::process::{CALLERS, Child};

/// Processes of the fleet.
const PROCESSES: usize = 8;
const ROUNDS: usize = 11;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, who, url] = arguments.as_slice()
        && flag == "--child"
    {
        return process::child(Who::named(who), url);
    }
    let redis = Redis::start(&[]).expect("redis-server in PATH");
    let mut judged = cold(&redis.url());
    judged.extend(wake::measure(&redis.url()));
    judged.extend(steady::measure(&redis.url()));
    println!("{}", bars(&judged));
}

/// Everybody asks for a key that nobody has, at the same moment.
fn cold(url: &str) -> Vec<Bar> {
    let mut fleets: Vec<(Who, Vec<Child>)> =
        Who::ALL.into_iter().map(|who| (who, (0..PROCESSES).map(|_| Child::start(who, url)).collect())).collect();
    let mut figures: Vec<(Vec<f64>, Vec<f64>, u64)> = vec![Default::default(); fleets.len()];
    for round in 0..=ROUNDS {
        let count = fleets.len();
        for at in 0..count {
            let (_, fleet) = &mut fleets[(at + round) % count];
            let key = format!("cold-{round}");
            fleet.iter_mut().for_each(|child| child.go(&key));
            let answers: Vec<_> = fleet.iter_mut().map(Child::answer).collect();
            // The first round warms up.
            if round > 0 {
                let (loads, slowest, failed) = &mut figures[(at + round) % count];
                loads.push(answers.iter().map(|answer| answer.loads).sum::<u64>() as f64);
                slowest.push(answers.iter().map(|answer| answer.slowest_ms).fold(0.0, f64::max));
                *failed += answers.iter().map(|answer| answer.failed).sum::<u64>();
            }
        }
    }
    let mut rows = Vec::new();
    let mut judged = Vec::new();
    for ((who, _), (loads, slowest, failed)) in fleets.iter().zip(&figures) {
        let most = loads.iter().copied().fold(0.0, f64::max);
        let (loads, slowest) = (Spread::of(loads), Spread::of(slowest));
        let over = slowest.median - LOAD_MS as f64;
        rows.push(vec![
            who.name().to_owned(),
            format!("{loads}"),
            format!("{most}"),
            format!("{slowest}"),
            format!("{over:.0}"),
            failed.to_string(),
        ]);
        if *who == Who::Bellwether {
            judged.push(Bar::exactly("8 processes x 50 callers, cold: the most loads of a round", most, 1.0));
            judged.push(Bar::at_most("... slowest caller beyond the load, ms", over, 20.0));
            judged.push(Bar::exactly("... failed", *failed as f64, 0.0));
        }
    }
    println!("{PROCESSES} processes, {CALLERS} callers each, a load of {LOAD_MS} ms, {ROUNDS} rounds\n");
    let head = ["who", "loads a round", "most", "slowest caller, ms", "beyond the load, ms", "failed"];
    println!("{}", table(&head, &rows));
    judged
}
