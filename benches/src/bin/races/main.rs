//! Which races does a cache lose? The drill's rows for six caches; the README's table is this program's output.
//!
//! `cargo run --release -p bellwether-benches --bin races [-- [--markdown] [--default-budget] [ROW ...]]`
//!
//! `--markdown`: the README's table alone. `--default-budget`: Bellwether's origin is not said to bear more than it is taken to.
//! The program fails if Bellwether loses a row.

mod contender;
mod origin;
mod row;
mod rows;
mod stage;

use std::any::Any;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use bellwether_benches::machine;
use bellwether_benches::report::{compact, table};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use contender::{Amalgam, Bellwether, Cachet, Contender, DEFAULT, Foyer, Moka, Quick, WIDE};
use row::Row;

/// Nobody waits longer for one row of one contender.
const ROW_LIMIT: Duration = Duration::from_secs(10);
/// Nobody waits longer for all of them, even if a contender blocks every thread.
const RUN_LIMIT: Duration = Duration::from_secs(240);

/// A contender's name and rows. The first one's are to be won.
type Column = (&'static str, Vec<Row>);

fn column<C: Contender>() -> Column {
    (C::NAME, rows::all::<C>())
}

fn main() -> ExitCode {
    let (options, only): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|word| word.starts_with('-'));
    let has = |wanted: &str| options.iter().any(|option| option == wanted);
    let (markdown, defaults) = (has("--markdown"), has("--default-budget"));
    let ours = if defaults { column::<Bellwether<DEFAULT>> } else { column::<Bellwether<WIDE>> };
    let names: Vec<&str> = ours().1.iter().map(|row| row.name).collect();
    let known =
        |word: &&String| ["--markdown", "--default-budget"].contains(&word.as_str()) || names.contains(&word.as_str());
    if let Some(word) = options.iter().chain(&only).find(|word| !known(word)) {
        eprintln!("races: {word}: expected --markdown, --default-budget, or rows: {}", names.join(", "));
        return ExitCode::from(2);
    }
    let usual = std::panic::take_hook();
    // What loaders do on purpose is counted, not printed.
    std::panic::set_hook(Box::new(move |panic| {
        if words(panic.payload()) != origin::ON_PURPOSE {
            usual(panic);
        }
    }));
    if !markdown {
        println!("{}; each try bounded to 2 s\n", machine::line());
    }
    let mut columns =
        [ours(), column::<Moka>(), column::<Quick>(), column::<Foyer>(), column::<Amalgam>(), column::<Cachet>()];
    for (_, rows) in &mut columns {
        rows.retain(|row| only.is_empty() || only.iter().any(|name| name == row.name));
    }
    let (done, played) = mpsc::channel();
    // Tasks and threads that a contender left hanging end with the process.
    std::thread::spawn(move || done.send(play(&columns, markdown)));
    let Ok((table, lost)) = played.recv_timeout(RUN_LIMIT) else {
        eprintln!("races: not done in {} s", RUN_LIMIT.as_secs());
        return ExitCode::FAILURE;
    };
    print!("{table}");
    if lost.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("races: bellwether loses {}", lost.join(", "));
    ExitCode::FAILURE
}

/// Plays every row for every contender, one after the other: the table, and what the first one loses.
fn play(columns: &[Column], markdown: bool) -> (String, Vec<&'static str>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime of two threads");
    let all = |(_, rows): &Column| rows.iter().map(|row| came_out(&runtime, row)).collect();
    let cells: Vec<Vec<String>> = columns.iter().map(all).collect();
    runtime.shutdown_background();
    let head: Vec<&str> =
        ["row", "race"].into_iter().chain(columns.iter().map(|(name, _)| *name)).chain(["wanted"]).collect();
    let line = |(at, row): (usize, &Row)| {
        let name = if markdown { format!("`{}`", row.name) } else { row.name.to_owned() };
        let cells = cells.iter().map(|column| column[at].clone());
        [name, row.race.to_owned()].into_iter().chain(cells).chain([row.wanted.to_owned()]).collect()
    };
    let (_, ours) = &columns[0];
    let lost = ours.iter().zip(&cells[0]).filter(|(row, cell)| !row.is_won(cell)).map(|(row, _)| row.name).collect();
    let lines: Vec<Vec<String>> = ours.iter().enumerate().map(line).collect();
    (if markdown { compact(&head, &lines) } else { table(&head, &lines) }, lost)
}

/// What comes out of one row, whatever its contender does.
fn came_out(runtime: &Runtime, row: &Row) -> String {
    match runtime.block_on(async { timeout(ROW_LIMIT, tokio::spawn((row.run)())).await }) {
        Ok(Ok(cell)) => cell,
        Ok(Err(ended)) => match ended.try_into_panic() {
            Ok(panic) => format!("panicked: {}", words(&*panic)),
            Err(ended) => ended.to_string(),
        },
        Err(_) => format!("not done in {} s", ROW_LIMIT.as_secs()),
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("?")
}
