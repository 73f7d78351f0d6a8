//! How long after the holder's value is there does a waiter of another process have it?

use std::time::{Duration, Instant};

use bellwether::{Loaded, Space};
use bellwether_benches::report::{Bar, table};
use bellwether_benches::stats::Spread;

use crate::contender::space;

/// Waits of each kind.
const TRIES: usize = 60;

/// The waiters' lag, woken and polling.
#[tokio::main(worker_threads = 2)]
pub(crate) async fn measure(url: &str) -> Vec<Bar> {
    let mut rows = Vec::new();
    let mut judged = Vec::new();
    for (what, tracking, bar) in [("woken by client-side tracking", true, 5.0), ("polling", false, 40.0)] {
        let (holder, waiter) = (space(url, tracking), space(url, tracking));
        let mut lags = Vec::new();
        for n in 0..TRIES {
            lags.push(lag(&holder, &waiter, &format!("wake-{tracking}-{n}"), n).await);
        }
        let spread = Spread::of(&lags);
        judged.push(Bar::at_most(format!("a waiter's lag, {what}, p50, ms"), spread.median, bar));
        rows.push(vec![what.to_owned(), format!("{spread}")]);
    }
    println!("a waiter in another process has the value so long after its holder, {TRIES} waits\n");
    println!("{}", table(&["how", "lag, ms"], &rows));
    judged
}

async fn lag(holder: &Space<str, String>, waiter: &Space<str, String>, key: &str, n: usize) -> f64 {
    // Loads of different lengths: a poll that happens to fit would look like a wake-up.
    let took = Duration::from_millis(150 + (n as u64 * 37) % 200);
    let lead = async move {
        let load = move |_| async move {
            tokio::time::sleep(took).await;
            Ok::<_, std::io::Error>(Loaded::value("value".to_owned()))
        };
        holder.get(key).timeout("10s").or_load(load).await.expect("loaded");
        Instant::now()
    };
    let follow = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let never = |_| async { Err::<Loaded<String>, _>(std::io::Error::other("the holder loads")) };
        waiter.get(key).timeout("10s").or_load(never).await.expect("the holder's value");
        Instant::now()
    };
    let (holder, waiter) = tokio::join!(lead, follow);
    waiter.saturating_duration_since(holder).as_secs_f64() * 1000.0
}
