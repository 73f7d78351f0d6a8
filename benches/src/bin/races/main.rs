//! Which races does a cache lose? The same rows for six caches; the README's table is this program's output.
//!
//! `cargo run --release -p bellwether-benches --bin races [-- --markdown]`

mod contender;
mod rows;

use std::process::ExitCode;

use bellwether_benches::machine;
use bellwether_benches::report::{compact, table};

use contender::{Amalgam, Bellwether, Cachet, Contender, Foyer, Moka, Quick};

/// What is wanted, in the order of [`rows::all`].
const WANTED: [(&str, &str); 10] = [
    ("leader's future alive but not polled; a follower", "served"),
    ("leader aborted half-way, 99 followers: loads, failed", "1, 0"),
    ("leader aborted, nobody else; a later caller", "served"),
    ("100 callers over 1 s give up at 50 ms, a load takes 100 ms: loads / served", "1 / >= 95"),
    ("loader panics: runs, errors, time", "1, 100, < 20 ms"),
    ("origin error: calls, then calls of a second wave", "1, then 0"),
    ("write + invalidate during a load: stale value kept", "0/20"),
    ("a read that begins after the invalidation returned: stale", "0/20"),
    ("two caches, one key: crossed answers", "0/20"),
    ("get and get_many at once: loads of one key", "1"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let markdown = match arguments.as_slice() {
        [] => false,
        [only] if only == "--markdown" => true,
        other => {
            eprintln!("races: {}: expected nothing, or --markdown for the README's table alone", other.join(" "));
            return ExitCode::from(2);
        }
    };
    // Loaders of some contenders panic on purpose; that is counted, not printed.
    std::panic::set_hook(Box::new(|_| {}));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime of two threads");
    if !markdown {
        println!("{}; each try bounded to 2 s\n", machine::line());
    }
    let columns: Vec<Vec<String>> = runtime.block_on(async {
        vec![
            rows::all::<Bellwether>().await,
            rows::all::<Moka>().await,
            rows::all::<Quick>().await,
            rows::all::<Foyer>().await,
            rows::all::<Amalgam>().await,
            rows::all::<Cachet>().await,
        ]
    });
    let names = [Bellwether::NAME, Moka::NAME, Quick::NAME, Foyer::NAME, Amalgam::NAME, Cachet::NAME];
    let head: Vec<&str> = ["race"].into_iter().chain(names).chain(["wanted"]).collect();
    let row = |(at, (race, wanted)): (usize, &(&str, &str))| {
        let cells = columns.iter().map(|column| column[at].clone());
        [(*race).to_owned()].into_iter().chain(cells).chain([(*wanted).to_owned()]).collect()
    };
    let rows: Vec<Vec<String>> = WANTED.iter().enumerate().map(row).collect();
    print!("{}", if markdown { compact(&head, &rows) } else { table(&head, &rows) });
    // Tasks that a contender left hanging end with the process.
    runtime.shutdown_background();
    ExitCode::SUCCESS
}
