//! The library in ten lines: a hundred callers, one load.
//!
//! ```sh
//! cargo run -p bellwether --example ten_lines
//! ```
use std::time::Duration;

use bellwether::{Cache, Loaded, Policy};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder().memory("64 MiB").build()?;
    let users = cache.space::<u64, String>("user", Policy::ttl("60s").grace("6h"));

    let herd = (0..100).map(|_| {
        let users = users.clone();
        tokio::spawn(async move { users.get(&42).or_load(|ctx| slow_query(*ctx.key())).await })
    });
    for caller in herd.collect::<Vec<_>>() {
        caller.await??;
    }

    for (why, n) in &cache.snapshot().spaces[0].requests {
        println!("{n:>3} {}", why.as_str());
    }
    Ok(())
}

async fn slow_query(id: u64) -> Result<Loaded<String>, std::io::Error> {
    println!("    the database is asked for user {id}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(Loaded::value(format!("user {id}")))
}
