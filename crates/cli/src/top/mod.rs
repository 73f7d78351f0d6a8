//! How is a running server doing right now? What it was asked in the last second, beside what its origins saw of that.

mod scrape;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use bellwether_core::why::Why;
use bellwether_server::admin::view::Hottest;
use bellwether_server::admin::{Came, Page, came};

use crate::admin;
use crate::failure::Failure;
use crate::live;
use crate::output::{aligned, printable, say};
use crate::words::{counted, number};
use scrape::Scrape;

/// An answer must be there within this time.
const LIMIT: Duration = Duration::from_secs(5);
/// A scrape of as many spaces as there may be.
const MAX_SCRAPE: u64 = 16 << 20;
/// A name that is wider is cut.
const WIDEST: usize = 40;

const REQUESTS: &str = "bellwether_requests_total";
const LOADS: &str = "bellwether_loads_total";
const SECONDS: &str = "bellwether_request_seconds";

/// What a server said at one moment.
struct Look {
    at: Instant,
    ready: String,
    metrics: Scrape,
}

impl Look {
    fn at(url: &str) -> Result<Look, Failure> {
        let answer = admin::fetch("--admin", url, Page::Metrics.path(), LIMIT, MAX_SCRAPE)?;
        if answer.status != 200 {
            return Err(admin::refusal(&answer));
        }
        let at = Instant::now();
        let metrics = Scrape::parse(&answer.body);
        if metrics.one("bellwether_build_info", &[]).is_none() {
            return Err(admin::stranger(&answer));
        }
        // 503 is an answer as well: it says why not.
        let ready = printable(admin::get(url, Page::Ready.path())?.body.trim());
        Ok(Look { at, ready, metrics })
    }
}

/// Shows a server's figures, again and again where somebody looks at a terminal.
pub(crate) fn top(url: &str, rows: u16, once: bool) -> Result<(), Failure> {
    let mut before = None;
    // Rates are of the time since the last look that was answered.
    let mut look = || {
        let (now, hot) = seen(url, rows).inspect_err(|_| before = None)?;
        let shown = before.as_ref().map(|before| shown(before, &now, &hot));
        before = Some(now);
        Ok(shown)
    };
    if !once && std::io::stdout().is_terminal() {
        return live::watch(url, look);
    }
    let mut shown = look()?;
    while shown.is_none() {
        std::thread::sleep(live::EVERY);
        shown = look()?;
    }
    say(shown.unwrap_or_default().trim_end());
    Ok(())
}

fn seen(url: &str, rows: u16) -> Result<(Look, Hottest), Failure> {
    let now = Look::at(url)?;
    let hot = admin::json(&admin::get(url, &format!("{}?n={rows}", Page::Hotkeys.path()))?)?;
    Ok((now, hot))
}

fn shown(before: &Look, now: &Look, hot: &Hottest) -> String {
    let rates = Rates { before: &before.metrics, now: &now.metrics, seconds: (now.at - before.at).as_secs_f64() };
    let parts = [state(now), rates.all(), rates.spaces(), rates.origins(), tiers(&now.metrics), hottest(hot)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Whether it is well, and what it holds.
fn state(Look { ready, metrics, .. }: &Look) -> String {
    let of = |name: &str| metrics.sum(name, &[]);
    let clients =
        metrics.sum("bellwether_connections", &[]) - metrics.sum("bellwether_connections", &[("face", "admin")]);
    format!(
        "{ready} · memory {} of {}, {} entries · {} under way · {}\n",
        size(of("bellwether_memory_bytes")),
        size(of("bellwether_memory_limit_bytes")),
        count(of("bellwether_entries")),
        counted(of("bellwether_flights") as u64, "load"),
        counted(clients as u64, "client"),
    )
}

/// What happened between two looks.
struct Rates<'a> {
    before: &'a Scrape,
    now: &'a Scrape,
    seconds: f64,
}

/// Requests a second, by what they came to.
#[derive(Default)]
struct Asked {
    all: f64,
    hits: f64,
    stale: f64,
    errors: f64,
    loads: f64,
    failed: f64,
}

impl Rates<'_> {
    /// A second, of all with these labels, by the value of another.
    fn rose(&self, name: &str, labels: &[(&str, &str)], by: &str) -> Vec<(String, f64)> {
        let rose = self.now.rose(self.before, name, labels, by);
        rose.into_iter().map(|(value, rise)| (value, rise / self.seconds)).collect()
    }

    fn asked(&self, labels: &[(&str, &str)]) -> Asked {
        let mut asked = Asked::default();
        for (why, rate) in self.rose(REQUESTS, labels, "why") {
            asked.all += rate;
            match Why::ALL.iter().find(|known| known.as_str() == why).map(|known| came(*known)) {
                Some(Came::Hit) => asked.hits += rate,
                Some(Came::Stale) => asked.stale += rate,
                Some(Came::Error) => asked.errors += rate,
                // A server that is newer than this program may know of more.
                Some(Came::Load | Came::Other) | None => {}
            }
        }
        for (result, rate) in self.rose(LOADS, labels, "result") {
            asked.loads += rate;
            if result == "failure" {
                asked.failed += rate;
            }
        }
        asked
    }

    fn took(&self, labels: &[(&str, &str)], share: f64) -> String {
        match self.now.quantile(self.before, SECONDS, labels, share) {
            None => "-".to_owned(),
            Some(bound) if bound.is_finite() => format!("<{}", took(bound)),
            Some(_) => ">10 s".to_owned(),
        }
    }

    /// What callers asked, and what of it the origins saw.
    fn all(&self) -> String {
        let asked = self.asked(&[]);
        let seen = match asked.loads {
            0.0 => "none".to_owned(),
            loads if asked.all > loads => format!("{}, 1 for {} requests", rate(loads), rate(asked.all / loads)),
            loads => rate(loads),
        };
        format!(
            "{} requests/s, {} hits · loads/s at the origins: {seen} · p50 {}, p99 {}\n",
            rate(asked.all),
            share(asked.hits, asked.all),
            self.took(&[], 0.5),
            self.took(&[], 0.99),
        )
    }

    /// The spaces, the busiest first.
    fn spaces(&self) -> String {
        let mut spaces: Vec<(String, Asked)> = self
            .now
            .values(REQUESTS, "space", |_| true)
            .into_iter()
            .chain(self.now.values("bellwether_space_values", "space", |_| true))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .map(|space| {
                let asked = self.asked(&[("space", &space)]);
                (space, asked)
            })
            // Requests that no space matches have a row while there are any.
            .filter(|(space, asked)| !space.is_empty() || asked.all > 0.0)
            .collect();
        spaces.sort_by(|(_, a), (_, b)| b.all.total_cmp(&a.all));
        let heads =
            ["space", "requests/s", "hits", "loads/s", "failed/s", "stale/s", "errors/s", "p50", "p99", "values"];
        let mut table = vec![heads.map(String::from).to_vec()];
        for (space, asked) in spaces {
            let of = [("space", space.as_str())];
            table.push(vec![
                if space.is_empty() { "(no space)".to_owned() } else { cut(&space) },
                rate(asked.all),
                share(asked.hits, asked.all),
                rate(asked.loads),
                rate(asked.failed),
                rate(asked.stale),
                rate(asked.errors),
                self.took(&of, 0.5),
                self.took(&of, 0.99),
                count(self.now.sum("bellwether_space_values", &of)),
            ]);
        }
        aligned(&table, 1..10)
    }

    fn origins(&self) -> String {
        let origins = self.now.values("bellwether_origin_limit", "origin", |_| true);
        if origins.is_empty() {
            return String::new();
        }
        let heads = ["origin", "breaker", "running", "of", "waiting", "loads take", "usually", "turned away/s"];
        let mut table = vec![heads.map(String::from).to_vec()];
        for origin in origins {
            let of = [("origin", origin.as_str())];
            let gauge = |name: &str| count(self.now.sum(name, &of));
            let time = |name: &str| self.now.one(name, &of).map_or_else(|| "-".to_owned(), took);
            let breaker =
                |state: &&str| self.now.one("bellwether_origin_breaker", &[of[0], ("state", state)]) == Some(1.0);
            let shed: f64 = self.rose("bellwether_origin_shed_total", &of, "why").iter().map(|(_, rate)| rate).sum();
            let states = self.now.values("bellwether_origin_breaker", "state", |_| true);
            table.push(vec![
                cut(&origin),
                states.iter().map(String::as_str).find(breaker).map_or_else(|| "-".to_owned(), printable),
                gauge("bellwether_origin_running"),
                gauge("bellwether_origin_limit"),
                gauge("bellwether_origin_waiting"),
                time("bellwether_origin_recent_load_seconds"),
                time("bellwether_origin_usual_load_seconds"),
                rate(shed),
            ]);
        }
        aligned(&table, 2..8)
    }
}

/// What several processes share, and the disk.
fn tiers(now: &Scrape) -> String {
    let mut lines = String::new();
    let nodes = now.values("bellwether_shared_node_up", "node", |_| true);
    if !nodes.is_empty() {
        let down = now.values("bellwether_shared_node_up", "node", |up| up != 1.0);
        let word = if now.sum("bellwether_shared_degraded", &[]) == 0.0 { "well" } else { "degraded" };
        let away = if down.is_empty() { String::new() } else { format!(" (not: {})", printable(&down.join(", "))) };
        let owed = count(now.sum("bellwether_shared_pending", &[]));
        lines += &format!(
            "shared tier: {word}; servers {} of {}{away}; invalidations owed {owed}\n",
            nodes.len() - down.len(),
            nodes.len()
        );
    }
    if let Some(live) = now.one("bellwether_backplane_live", &[]) {
        let gaps = count(now.sum("bellwether_backplane_gaps_total", &[]));
        lines += &format!("backplane: {}; gaps so far {gaps}\n", if live == 1.0 { "live" } else { "not live" });
    }
    if let Some(up) = now.one("bellwether_disk_up", &[]) {
        let of = |name: &str| size(now.sum(name, &[]));
        let word = if up == 1.0 { "up" } else { "off" };
        lines +=
            &format!("disk: {word}; {} of {}\n", of("bellwether_disk_used_bytes"), of("bellwether_disk_limit_bytes"));
    }
    lines
}

/// The first of the hot keys.
fn hottest(hot: &Hottest) -> String {
    if hot.keys.is_empty() {
        return "no key draws more than its share\n".to_owned();
    }
    let heads = ["hot key", "stage", "reads/s", "of a node", "done"];
    let mut table = vec![heads.map(String::from).to_vec()];
    for key in &hot.keys {
        let done = printable(&key.done.as_deref().unwrap_or_default().join(", "));
        table.push(vec![
            cut(&key.key),
            printable(&key.stage),
            number(key.fleet.reads_per_s),
            format!("{:.0} %", key.share * 100.0),
            if done.is_empty() { "-".to_owned() } else { done },
        ]);
    }
    aligned(&table, 2..4)
}

fn cut(name: &str) -> String {
    let name = printable(name);
    match name.char_indices().nth(WIDEST) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name,
    }
}

/// A gauge: a whole number.
fn count(value: f64) -> String {
    number(value.max(0.0).round() as u64)
}

/// So many a second; few are told to a tenth.
fn rate(value: f64) -> String {
    if value > 0.0 && value < 9.95 { format!("{value:.1}") } else { count(value) }
}

fn share(part: f64, all: f64) -> String {
    if all > 0.0 { format!("{:.1} %", 100.0 * part / all) } else { "-".to_owned() }
}

fn took(seconds: f64) -> String {
    match seconds * 1e3 {
        ms if ms < 10.0 => format!("{} ms", (ms * 10.0).round() / 10.0),
        ms if ms < 1e3 => format!("{ms:.0} ms"),
        ms => format!("{} s", (ms / 100.0).round() / 10.0),
    }
}

fn size(bytes: f64) -> String {
    match bytes {
        bytes if bytes < 1_024.0 => format!("{bytes:.0} B"),
        bytes if bytes < 1_048_576.0 => format!("{:.1} KiB", bytes / 1_024.0),
        bytes if bytes < 1_073_741_824.0 => format!("{:.1} MiB", bytes / 1_048_576.0),
        bytes => format!("{:.1} GiB", bytes / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(said: serde_json::Value) -> Hottest {
        serde_json::from_value(said).expect("what a server says")
    }

    fn look(at: Instant, metrics: &str) -> Look {
        Look { at, ready: "ready".to_owned(), metrics: Scrape::parse(metrics) }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks_and_loads_stand_beside_requests() {
        let begun = Instant::now();
        let space = "bellwether_requests_total{space=\"product\x1b[31m\",why=\"hit\"}";
        let load = "bellwether_loads_total{space=\"product\x1b[31m\",result=\"success\"}";
        let stale = "bellwether_requests_total{space=\"old\",why=\"stale_error\"}";
        let bucket = |le: &str, n: u64| format!("bellwether_request_seconds_bucket{{le=\"{le}\",space=\"old\"}} {n}\n");
        let rest = "bellwether_origin_limit{origin=\"shop\"} 16\nbellwether_origin_breaker{origin=\"shop\",state=\"open\"} 1\n\
                    bellwether_shared_node_up{node=\"a:1\"} 1\nbellwether_shared_node_up{node=\"b:2\"} 0\n\
                    bellwether_shared_degraded 1\nbellwether_memory_bytes 3145728\nbellwether_memory_limit_bytes 268435456\n\
                    bellwether_origin_recent_load_seconds{origin=\"shop\"} 0.0123\n";
        let before = look(begun, &format!("{space} 1000\n{load} 10\n{stale} 0\n{rest}"));
        let buckets = [bucket("0.0001", 90), bucket("0.05", 100), bucket("+Inf", 100)].concat();
        let after =
            look(begun + Duration::from_secs(2), &format!("{space} 5000\n{load} 14\n{stale} 100\n{rest}{buckets}"));
        let hot: Hottest = read(
            json!({ "keys": [{ "key": "product:1", "stage": "hot", "fleet": { "reads_per_s": 61_500 }, "share": 0.6, "done": ["promote"] }] }),
        );
        let text = shown(&before, &after, &hot);
        for part in [
            "2,050 requests/s, 97.6 % hits",
            "loads/s at the origins: 2.0, 1 for 1,025 requests",
            "p50 <0.1 ms, p99 <50 ms",
            "memory 3.0 MiB of 256.0 MiB",
            "shared tier: degraded; servers 1 of 2 (not: b:2)",
            "61,500",
            "promote",
            "12 ms",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        assert!(row("product").contains("2,000") && row("product").contains("100.0 %"), "{text}");
        assert!(row("old").contains(" 50 ") && row("shop").contains("open"), "{text}");
        assert!(!text.contains('\u{1b}'), "no name draws on the terminal");
        // Nothing happened since: no rate, and no share of nothing.
        let still = shown(
            &after,
            &look(begun + Duration::from_secs(3), &format!("{space} 5000\n{load} 14\n{rest}")),
            &Hottest::default(),
        );
        assert!(still.contains("0 requests/s, - hits · loads/s at the origins: none · p50 -, p99 -"), "{still}");
    }
}
