//! Is it told, and where, that keys of one prefix are asked for in vain far more often than usual?

use std::thread::sleep;
use std::time::{Duration, Instant};

use bellwether_system::{Bellwether, Http, Resp, until};

/// The alarm learns what is usual for so many seconds with requests.
const LEARNS: Duration = Duration::from_secs(62);
const BEAT: Duration = Duration::from_millis(250);
/// Of an attack, in a beat.
const ABSENT: u64 = 250;
/// Half of it was not reached for half a minute.
const CALM: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);

const ALERT: &str = "bellwether_found_nothing_alert";
const SAID: &str = "far more requests than usual find nothing";

/// What always happens: rows that are there, and now and then one that is not.
fn daily(client: &mut Resp, beat: u64) {
    let words = |key: String| vec!["GET".to_owned(), key];
    let mut asked: Vec<Vec<String>> = (1..20).map(|id| words(format!("product:{id}"))).collect();
    asked.extend(["furniture", "kitchen"].map(|name| words(format!("category:{name}"))));
    asked.push(words(format!("product:{}", 10_000 + beat)));
    client.pipeline(&asked);
}

fn scan(client: &mut Resp, beat: u64) {
    let ids = 1_000_000 + beat * ABSENT..1_000_000 + (beat + 1) * ABSENT;
    let asked: Vec<Vec<String>> = ids.map(|id| vec!["GET".to_owned(), format!("product:{id}")]).collect();
    client.pipeline(&asked);
}

fn alerts(server: &Bellwether, space: &str) -> f64 {
    server.metrics().sum(ALERT, &[&format!("space=\"{space}\"")])
}

#[test]
#[ignore = "two minutes: the alarm learns for one, and an attack must be over for half of one"]
fn a_scan_of_one_prefix_is_told_in_the_log_in_metrics_and_by_the_api_and_so_is_its_end() {
    let server = Bellwether::start(None);
    let mut client = server.connect();
    let (began, mut beat) = (Instant::now(), 0);
    while began.elapsed() < LEARNS {
        daily(&mut client, beat);
        beat += 1;
        assert_eq!(alerts(&server, "product"), 0.0, "after {:?}", began.elapsed());
        sleep(BEAT);
    }
    let alert = || {
        daily(&mut client, beat);
        scan(&mut client, beat);
        beat += 1;
        // Rows that do not exist are missed as well.
        (alerts(&server, "product") == 2.0).then_some(())
    };
    until(LIMIT, "the alert", alert);
    assert_eq!(alerts(&server, "category"), 0.0, "the control: nobody scans categories");
    let told = server.process.stderr();
    let lines: Vec<&str> = told.lines().filter(|line| line.contains(SAID)).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        assert!(line.contains("WARN") && line.contains("prefix=\"product\""), "{line}");
    }
    let said = Http::get(server.admin(), "/api/penetration").json();
    let spaces = said["spaces"].as_array().expect("a list");
    let of = |name: &str| spaces.iter().find(|space| space["space"] == name).expect("each space");
    for kind in ["misses", "absent"] {
        let (scanned, other) = (&of("product")["found_nothing"][kind], &of("category")["found_nothing"][kind]);
        assert_eq!((&scanned["alert"], &other["alert"]), (&true.into(), &false.into()), "{kind}: {said}");
        let rate = |name: &str| scanned[name].as_f64().expect("a rate");
        assert!(rate("per_second") >= 50.0 && rate("per_second") >= 4.0 * rate("usually"), "{kind}: {scanned}");
    }
    let calm = || {
        daily(&mut client, beat);
        beat += 1;
        sleep(BEAT);
        (alerts(&server, "product") == 0.0).then_some(())
    };
    until(CALM, "the end of the alert", calm);
    assert!(server.process.stderr().contains("as many requests as usual find nothing"));
}
