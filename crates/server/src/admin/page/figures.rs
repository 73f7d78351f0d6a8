//! Which few figures does a person want at three in the morning? Who is answered with what, and what is not well.

use bellwether::disk::DiskState;
use bellwether::{BreakerPosition, OriginCounts, Snapshot, SpaceCounts, Span};

use super::html::Head::{Numbers, Words};
use super::html::{cell, escaped, table};
use crate::admin::came::{Came, came};
use crate::service::{HotRow, Service, SharedState, SpaceView, Undone};

/// Hot keys that are shown.
const KEYS: usize = 10;

/// Everything that is shown of how it goes.
pub(super) fn figures(service: &Service, leaving: bool) -> String {
    let (snapshot, shared) = (service.snapshot(), service.shared_state());
    [
        state(service, &snapshot, leaving),
        undone(&service.reloads().undone()),
        spaces(&service.space_views(), &snapshot.spaces),
        origins(&snapshot.origins),
        tiers(&snapshot, shared.as_ref()),
        hottest(&service.hot_keys(KEYS)),
    ]
    .concat()
}

/// Whether it is well, in a line.
fn state(service: &Service, snapshot: &Snapshot, leaving: bool) -> String {
    let readiness = service.readiness();
    let degraded = service.degraded();
    let word = match (leaving, readiness.ready, degraded.is_empty()) {
        (true, ..) => "<b class=bad>draining</b>".to_owned(),
        (_, false, _) => format!("<b class=bad>warming up: {} %</b>", (readiness.warm * 100.0) as u32),
        (_, _, true) => "<b>ready</b>".to_owned(),
        (_, _, false) => format!("<b class=bad>ready, degraded: {}</b>", escaped(&degraded.join("; "))),
    };
    let memory = &snapshot.memory;
    format!(
        "<p>{word} · weight {:.2} · memory {} of {} · entries {} · flights {}</p>\n",
        readiness.weight,
        size(memory.bytes),
        size(memory.limit),
        brief(memory.entries),
        snapshot.live_flights,
    )
}

/// In what the configuration's file differs from what is at work: nothing is said if it does not.
fn undone(undone: &Undone) -> String {
    let Undone { refused, problems, at_next_start } = undone;
    let mut text = String::new();
    if !refused.is_empty() {
        let lines: String = refused.iter().map(|line| format!("<li><code>{}</code></li>\n", escaped(line))).collect();
        let more = match problems - refused.len() {
            0 => String::new(),
            more => format!("<li>{more} more: see the log</li>\n"),
        };
        text += "<p class=bad>The configuration's file is refused; what was at work before stays at work:</p>\n";
        text += &format!("<ul>\n{lines}{more}</ul>\n");
    }
    if !at_next_start.is_empty() {
        let settings = escaped(&at_next_start.join(", "));
        text += &format!("<p>Changed in the file, and taking effect at the next start: {settings}</p>\n");
    }
    text
}

/// The spaces in the order in which they are tried, and what no space matches.
fn spaces(views: &[SpaceView], counts: &[SpaceCounts]) -> String {
    let of = |name: &str| counts.iter().find(|counts| counts.name == name);
    let known = views.iter().filter_map(|view| Some((escaped(&view.name), of(&view.name)?)));
    let nowhere = of("").filter(|counts| total(counts, None) > 0);
    let rows: String = known
        .chain(nowhere.map(|counts| ("<i>no space</i>".to_owned(), counts)))
        .map(|(name, of)| space(&name, of))
        .collect();
    let heads = [
        Words("space"),
        Numbers("requests"),
        Numbers("hits"),
        Numbers("loads"),
        Numbers("stale"),
        Numbers("errors"),
        Numbers("failed loads"),
    ];
    let note = "<p class=soft>Since the start. Hits: fresh, \"no such row\" included; loads: a caller led or followed one; \
                errors: no value, for any reason.</p>\n";
    format!("<h2>Requests</h2>\n{}{note}", table(&heads, &rows))
}

fn space(name: &str, counts: &SpaceCounts) -> String {
    let [hits, loads, stale, errors] =
        [Came::Hit, Came::Load, Came::Stale, Came::Error].map(|of| total(counts, Some(of)));
    let all = total(counts, None);
    let share = if all == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * hits as f64 / all as f64) };
    let cells = [
        cell(&brief(all), false),
        cell(&share, false),
        cell(&brief(loads), false),
        cell(&brief(stale), false),
        cell(&brief(errors), errors > 0),
        cell(&brief(counts.loads_failed), counts.loads_failed > 0),
    ];
    format!("<tr><th scope=row>{name}</th>{}</tr>\n", cells.concat())
}

/// Requests that came to this; all of them.
fn total(counts: &SpaceCounts, of: Option<Came>) -> u64 {
    counts.requests.iter().filter(|(why, _)| of.is_none_or(|of| came(*why) == of)).map(|(_, count)| count).sum()
}

fn origins(origins: &[OriginCounts]) -> String {
    if origins.is_empty() {
        return String::new();
    }
    let row = |of: &OriginCounts| {
        let guard = &of.guard;
        let took = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", us as f64 / 1_000.0));
        let limited = guard.limit < of.max_concurrency as usize;
        let cells = [
            cell(guard.breaker.as_str(), guard.breaker != BreakerPosition::Closed),
            cell(&format!("{} of {}", of.running, guard.limit), limited),
            cell(&of.waiting.to_string(), of.waiting > 0),
            cell(&took(guard.recent_us), false),
            cell(&took(guard.usual_us), false),
            cell(&brief(guard.opened), false),
        ];
        format!("<tr><th scope=row>{}</th>{}</tr>\n", escaped(&of.name), cells.concat())
    };
    let rows: String = origins.iter().map(row).collect();
    let heads = [
        Words("origin"),
        Numbers("breaker"),
        Numbers("running"),
        Numbers("waiting"),
        Numbers("loads take"),
        Numbers("usually"),
        Numbers("opened"),
    ];
    format!("<h2>Origins</h2>\n{}", table(&heads, &rows))
}

/// What several processes share, and the disk.
fn tiers(snapshot: &Snapshot, shared: Option<&SharedState>) -> String {
    let mut rows = Vec::new();
    if let Some(state) = shared {
        let up = state.nodes.iter().filter(|(_, up)| *up).count();
        let pending = snapshot.shared.as_ref().map_or(0, |counts| counts.pending);
        let troubles = if state.is_degraded() { format!(": {}", state.troubles().join(", ")) } else { String::new() };
        let words =
            format!("{}{troubles}; servers {up} of {}; invalidations owed {pending}", state.word(), state.nodes.len());
        rows.push(("shared tier", words, state.is_degraded() || pending > 0));
    }
    if let Some(backplane) = &snapshot.backplane {
        let live = if backplane.live { "live" } else { "not live" };
        let gaps: u64 = backplane.gaps.iter().map(|(_, count)| count).sum();
        rows.push(("backplane", format!("{live}; gaps so far {}", brief(gaps)), !backplane.live));
    }
    if let Some(disk) = &snapshot.disk {
        let off = disk.state == DiskState::Off;
        let alert = disk.alert.as_ref().map(|alert| format!("; {alert}")).unwrap_or_default();
        let words = format!("{}; {} of {}{alert}", if off { "off" } else { "up" }, size(disk.used), size(disk.limit));
        rows.push(("disk", words, off));
    }
    if rows.is_empty() {
        return String::new();
    }
    let row = |(name, words, bad): (&str, String, bool)| {
        let class = if bad { " class=bad" } else { "" };
        format!("<tr><th scope=row>{name}</th><td{class}>{}</td></tr>\n", escaped(&words))
    };
    format!(
        "<h2>Tiers</h2>\n{}",
        table(&[Words("tier"), Words("state")], &rows.into_iter().map(row).collect::<String>())
    )
}

/// The hottest keys, as `/api/hotkeys` has them.
fn hottest(keys: &[HotRow]) -> String {
    if keys.is_empty() {
        return "<h2>Hot keys</h2>\n<p>No key draws more than its share.</p>\n".to_owned();
    }
    let row = |key: &HotRow| {
        let done = key.done.as_deref().unwrap_or_default().join(", ");
        let done = if done.is_empty() { "-" } else { &done };
        let since = Span(key.since_ms / 1_000 * 1_000);
        let cells = [
            cell(&brief(key.fleet.reads_per_s), false),
            cell(&format!("{:.1} %", 100.0 * key.share), false),
            format!("<td>{}</td><td>{since}</td><td>{done}</td>", key.stage),
        ];
        format!("<tr><th scope=row><code>{}</code></th>{}</tr>\n", escaped(&key.key), cells.concat())
    };
    let heads = [Words("key"), Numbers("reads/s"), Numbers("of a node"), Words("stage"), Words("since"), Words("done")];
    format!("<h2>Hot keys</h2>\n{}", table(&heads, &keys.iter().map(row).collect::<String>()))
}

/// A count in few letters: what matters is how large it is.
fn brief(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.1} G", n as f64 / 1e9),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_refused_is_told_with_its_lines_and_one_at_work_is_not() {
        assert_eq!(undone(&Undone::default()), "");
        let refused = vec!["b.toml:3:1: [memory]: found `<x>`; expected a known key".to_owned()];
        let told = undone(&Undone { refused, problems: 4, at_next_start: vec!["[memory] limit"] });
        for words in
            ["<p class=bad>", "b.toml:3:1", "`&lt;x&gt;`", "3 more: see the log", "next start: [memory] limit<"]
        {
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    #[test]
    fn figures_are_short_and_of_the_right_size() {
        assert_eq!([9_999, 12_345, 7_654_321, 5_000_000_000].map(brief), ["9999", "12.3 k", "7.7 M", "5.0 G"]);
        assert_eq!([5, 2_048, 3 << 20, 5 << 30].map(size), ["5 B", "2.0 KiB", "3.0 MiB", "5.0 GiB"]);
    }
}
