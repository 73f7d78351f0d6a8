//! Batch loading: many keys, one query for those that memory lacks, an outcome for each.
//!
//! ```sh
//! cargo run -p bellwether --example batch
//! ```
use bellwether::{Cache, Loaded, Policy};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder().build()?;
    let names = cache.space::<u64, String>("name", Policy::ttl("60s"));

    for ids in [vec![1, 2, 3], vec![3, 2, 7, 3]] {
        println!("asked for {ids:?}");
        let found = names.get_many(&ids).or_load(|missing, _ctx| async move { query(missing) }).await;
        for (id, name) in ids.iter().zip(found) {
            match name {
                Ok(name) => println!("  {id}: {} ({})", *name, name.why().as_str()),
                Err(error) if error.is_missing() => println!("  {id}: no such row ({})", error.why().as_str()),
                Err(error) => println!("  {id}: {error}"),
            }
        }
    }
    Ok(())
}

/// One query for all: `SELECT id, name FROM names WHERE id = ANY($1)`. Rows that are not there are left out.
fn query(ids: Vec<u64>) -> Result<Vec<(u64, Loaded<String>)>, std::io::Error> {
    println!("  one query for {ids:?}");
    Ok(ids.into_iter().filter(|id| *id < 5).map(|id| (id, Loaded::value(format!("name {id}")))).collect())
}
