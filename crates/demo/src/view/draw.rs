//! How is a scene drawn? As lines of at most so many characters, without any control codes.

use std::collections::VecDeque;

use super::scene::{Column, Playing, Scene};
use crate::database::POOL;
use crate::measured::Measured;
use crate::words::{count, millis, seconds};

/// Width of the labels and of each column: 80 in all.
const LABELS: usize = 24;
const COLUMN: usize = 28;
/// What the database can take between two looks, in queries: the bars' full height.
const FULL: u64 = 32;

/// Bars from nothing to full.
pub(super) const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same where only ASCII can be shown.
pub(super) const ASCII: [char; 9] = [' ', '.', '.', ':', ':', '-', '=', '+', '#'];

/// What a column shows, row by row.
struct Cells {
    state: String,
    asked: String,
    queries: String,
    at_once: String,
    bars: String,
    failed: String,
    late: String,
    stale: String,
    latency: String,
    oldest: String,
}

/// The whole scene; no line is longer than `width`, and there are no more than `height`.
pub(super) fn lines(scene: &Scene, bars: &[char; 9], width: usize, height: usize) -> Vec<String> {
    let mut lines = vec![format!("bellwether demo: one herd, one weak database: {POOL} connections")];
    lines.push(String::new());
    if let Some((position, incident)) = scene.now {
        lines.push(format!("{position} of {}  {}: {}", scene.of(), incident.name(), incident.title()));
    }
    lines.push(String::new());
    lines.push(row("", "plain cache-aside", "bellwether"));
    let [plain, ours] = scene.columns();
    let (plain, ours) = (cells(plain, bars), cells(ours, bars));
    let rows: [(&str, &str, &str); 10] = [
        ("", &plain.state, &ours.state),
        ("requests", &plain.asked, &ours.asked),
        ("queries at the database", &plain.queries, &ours.queries),
        ("  at once, now (most)", &plain.at_once, &ours.at_once),
        ("  every 100 ms", &plain.bars, &ours.bars),
        ("failed", &plain.failed, &ours.failed),
        ("late", &plain.late, &ours.late),
        ("stale after a removal", &plain.stale, &ours.stale),
        ("p50, p99 in ms", &plain.latency, &ours.latency),
        ("oldest answer in s", &plain.oldest, &ours.oldest),
    ];
    lines.extend(rows.map(|(label, plain, ours)| row(label, plain, ours)));
    lines.push(String::new());
    for (incident, plain, ours) in &scene.done {
        let queries = |m: &Measured| format!("queries {} failed {}", count(m.queries), count(m.failed));
        lines.push(row(&format!("{incident}"), &queries(plain), &queries(ours)));
    }
    lines.truncate(height);
    lines.iter().map(|line| line.chars().take(width).collect()).collect()
}

fn row(label: &str, plain: &str, ours: &str) -> String {
    format!("{label:<LABELS$}{plain:<COLUMN$}{ours}")
}

fn cells(column: &Column, bars: &[char; 9]) -> Cells {
    match column {
        Column::Waits => empty("waits for its turn"),
        Column::Warming => empty("its cache is filled"),
        Column::Playing(playing) => live(playing, bars),
        Column::Ended(measured, history) => of(measured, "done".to_owned(), String::new(), bar(history, bars)),
    }
}

fn empty(state: &str) -> Cells {
    Cells {
        state: state.to_owned(),
        asked: String::new(),
        queries: String::new(),
        at_once: String::new(),
        bars: String::new(),
        failed: String::new(),
        late: String::new(),
        stale: String::new(),
        latency: String::new(),
        oldest: String::new(),
    }
}

fn live(playing: &Playing, bars: &[char; 9]) -> Cells {
    let elapsed = playing.elapsed();
    let counts = crate::measured::Counts::default();
    let measured = Measured::new(&playing.ledger.lock().clone(), playing.database.seen(), counts, elapsed);
    let state = format!("{} s", seconds(measured.took_ms));
    of(&measured, state, format!("{} ", playing.database.running()), bar(&playing.history, bars))
}

fn of(measured: &Measured, state: String, running: String, bars: String) -> Cells {
    Cells {
        state,
        asked: count(measured.asked),
        queries: count(measured.queries),
        at_once: format!("{running}({})", measured.peak),
        bars,
        failed: count(measured.failed),
        late: count(measured.late),
        stale: count(measured.stale),
        latency: format!("{}, {}", millis(measured.p50_us), millis(measured.p99_us)),
        oldest: seconds(measured.oldest_ms),
    }
}

/// A bar for each look.
fn bar(history: &VecDeque<u64>, bars: &[char; 9]) -> String {
    let height = |queries: &u64| match *queries {
        0 => 0,
        // Rounded up: a single query is to be seen.
        some => usize::try_from((some * 8).div_ceil(FULL)).unwrap_or(8).min(8),
    };
    history.iter().map(|queries| bars[height(queries)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::Incident;
    use crate::side::Side;

    #[test]
    fn a_scene_fits_into_the_terminal_whatever_is_in_it() {
        let mut scene = Scene::new(7);
        let many = Measured { asked: 1_234_567, queries: 987_654, p99_us: u32::MAX, ..Measured::default() };
        for (at, incident) in Incident::ALL.into_iter().enumerate() {
            scene.begin(at + 1, incident);
            scene.column(Side::Plain).end(&many);
            scene.done.push((incident, many.clone(), many.clone()));
        }
        for (width, height) in [(80, 24), (60, 20), (10, 3)] {
            let lines = lines(&scene, &BLOCKS, width, height);
            assert!(lines.len() <= height && lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
        }
        let lines = lines(&scene, &BLOCKS, 80, 30).join("\n");
        assert!(lines.contains("queries 987,654 failed 0 "), "columns stand apart: {lines}");
        for words in ["7 of 7  avalanche", "1,234,567", "waits for its turn", "1 hot-key"] {
            assert!(lines.contains(words), "{words}: {lines}");
        }
    }

    #[test]
    fn one_query_is_seen_and_a_full_database_fills_the_bar() {
        let history = VecDeque::from([0, 1, 16, 32, 500]);
        assert_eq!(bar(&history, &BLOCKS), " ▁▄██");
        assert!(bar(&history, &ASCII).is_ascii());
    }
}
