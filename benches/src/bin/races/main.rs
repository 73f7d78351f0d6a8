//! Which races does a cache lose? The drill's rows for six caches; the README's table is this program's output.
//!
//! `cargo run --release -p bellwether-benches --bin races [-- [--markdown] [ROW ...]]`

mod contender;
mod origin;
mod row;
mod rows;
mod stage;

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use bellwether_benches::machine;
use bellwether_benches::report::{compact, table};
use tokio::time::timeout;

use contender::{Amalgam, Bellwether, Cachet, Contender, Foyer, Moka, Quick};
use row::Row;

/// Nobody waits longer for one row of one contender.
const ROW_LIMIT: Duration = Duration::from_secs(10);
/// Nobody waits longer for all of them, even if a contender blocks every thread.
const RUN_LIMIT: Duration = Duration::from_secs(240);

/// A contender's name and rows.
type Column = (&'static str, Vec<Row>);

fn column<C: Contender>() -> Column {
    (C::NAME, rows::all::<C>())
}

fn main() -> ExitCode {
    let (options, only): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|word| word.starts_with('-'));
    let known = |name: &String| rows::all::<Bellwether>().iter().any(|row| row.name == name);
    if !options.iter().all(|option| option == "--markdown") || !only.iter().all(known) {
        eprintln!("races: expected --markdown for the README's table alone, and rows, if not all of them are wanted");
        return ExitCode::from(2);
    }
    let markdown = !options.is_empty();
    // Loaders of some contenders panic on purpose; that is counted, not printed.
    std::panic::set_hook(Box::new(|_| {}));
    if !markdown {
        println!("{}; each try bounded to 2 s\n", machine::line());
    }
    let mut columns = [
        column::<Bellwether>(),
        column::<Moka>(),
        column::<Quick>(),
        column::<Foyer>(),
        column::<Amalgam>(),
        column::<Cachet>(),
    ];
    for (_, rows) in &mut columns {
        rows.retain(|row| only.is_empty() || only.iter().any(|name| name == row.name));
    }
    let (done, table) = mpsc::channel();
    // Tasks and threads that a contender left hanging end with the process.
    std::thread::spawn(move || done.send(played(&columns, markdown)));
    match table.recv_timeout(RUN_LIMIT) {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            let limit = RUN_LIMIT.as_secs();
            match why {
                mpsc::RecvTimeoutError::Timeout => eprintln!("races: not done in {limit} s"),
                mpsc::RecvTimeoutError::Disconnected => eprintln!("races: a row panicked"),
            }
            ExitCode::FAILURE
        }
    }
}

/// Plays every row for every contender, one after the other.
fn played(columns: &[Column], markdown: bool) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime of two threads");
    let play = |row: &Row| {
        let run = (row.run)();
        let cell = runtime.block_on(async { timeout(ROW_LIMIT, run).await });
        cell.unwrap_or_else(|_| format!("not done in {} s", ROW_LIMIT.as_secs()))
    };
    let cells: Vec<Vec<String>> = columns.iter().map(|(_, rows)| rows.iter().map(play).collect()).collect();
    runtime.shutdown_background();
    let head: Vec<&str> =
        ["row", "race"].into_iter().chain(columns.iter().map(|(name, _)| *name)).chain(["wanted"]).collect();
    let line = |(at, row): (usize, &Row)| {
        let name = if markdown { format!("`{}`", row.name) } else { row.name.to_owned() };
        let cells = cells.iter().map(|column| column[at].clone());
        [name, row.race.to_owned()].into_iter().chain(cells).chain([row.wanted.to_owned()]).collect()
    };
    let lines: Vec<Vec<String>> = columns[0].1.iter().enumerate().map(line).collect();
    if markdown { compact(&head, &lines) } else { table(&head, &lines) }
}
