//! Does the guide name every metric that a server exports, with its labels, and none that there is not?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bellwether_servers::Redis;
use bellwether_system::{Bellwether, Http, config};

/// Every part that has metrics of its own.
const ALL: &str = r#"
[disk]
path = "disk"
[origin.shop]
sql = "sqlite://shop.db"
[[space]]
match = "product:{id:int}"
origin = "shop"
query = "SELECT id, name FROM products WHERE id = :id"
keys = "SELECT id FROM products"
filter = true
absent_per_client = "10/s"
loads_per_client = "10/s"
ttl = "60s"
"#;

/// Labels by their names, with all values that were seen or are named.
type Labels = BTreeMap<String, BTreeSet<String>>;

fn guide() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Families of a scrape by the name that one asks for: counters with `_total`.
fn exported(text: &str) -> BTreeMap<String, Labels> {
    let mut families: BTreeMap<String, Labels> = BTreeMap::new();
    let mut of = String::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            of = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            families.entry(of.clone()).or_default();
        } else if !line.starts_with('#')
            && let Some((_, labels)) = line.split_once('{')
        {
            let (labels, _) = labels.rsplit_once('}').expect("labels end");
            let labels = labels.split(',').filter_map(|label| label.split_once("=\""));
            for (label, value) in labels.filter(|(label, _)| *label != "le") {
                let seen = families.entry(of.clone()).or_default().entry(label.to_owned()).or_default();
                seen.insert(value.trim_end_matches('"').to_owned());
            }
        }
    }
    families
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The rows of the guide's page: a name, its labels, and the values of those that have few.
fn documented(text: &str) -> BTreeMap<String, Labels> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `bellwether_").map(|rest| (line, rest)));
    let row = |(line, rest): (&str, &str)| {
        let name = format!("bellwether_{}", rest.split('`').next().unwrap_or_default());
        let cell = line.split('|').nth(2).unwrap_or_default();
        let label = |part: &str| {
            let words = quoted(part);
            let (name, values) = words.split_first()?;
            Some(((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect()))
        };
        (name, cell.split(';').filter_map(label).collect())
    };
    rows.map(row).collect()
}

#[test]
fn the_guide_names_every_metric_with_its_labels_and_no_other() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let server = Bellwether::start(Some(&config("", &format!("[shared]\nurl = \"{}\"\n{ALL}", redis.url()))));
    server.connect().call(&["GET", "product:1"]);
    let exported = exported(&Http::get(server.admin(), "/metrics").text());
    assert!(exported.len() > 80, "control: what was read are the metrics: {}", exported.len());
    let documented = documented(&read(&guide().join("metrics.md")));

    let names = |of: &BTreeMap<String, Labels>| of.keys().cloned().collect::<BTreeSet<_>>();
    let (there, named) = (names(&exported), names(&documented));
    let missing: Vec<_> = there.difference(&named).collect();
    assert!(missing.is_empty(), "docs/guide/metrics.md lacks {missing:?}");
    let gone: Vec<_> = named.difference(&there).collect();
    assert!(gone.is_empty(), "docs/guide/metrics.md names what no server exports: {gone:?}");

    for (name, labels) in &exported {
        let said = &documented[name];
        for (label, values) in labels {
            let Some(said) = said.get(label) else { panic!("{name}: the label `{label}` is not documented") };
            // One that has many values, or whose values stand in another row, is named alone.
            let unsaid: Vec<_> = values.difference(said).filter(|_| !said.is_empty()).collect();
            assert!(unsaid.is_empty(), "{name}: `{label}` may be {unsaid:?} as well");
            // Where a capacity comes from is one of these at a time.
            let unseen: Vec<_> = said.difference(values).filter(|_| label != "from").collect();
            assert!(unseen.is_empty(), "{name}: `{label}` is never {unseen:?}");
        }
    }
    // Of each event of the tier it is said what it counts.
    let page = read(&guide().join("metrics.md"));
    let (_, events) = page.split_once("### Events of the shared tier").expect("a part of the page");
    let events: BTreeSet<&str> = events.lines().take_while(|line| !line.starts_with("## ")).flat_map(quoted).collect();
    let unexplained: Vec<_> =
        exported["bellwether_shared_total"]["event"].iter().filter(|event| !events.contains(event.as_str())).collect();
    assert!(unexplained.is_empty(), "events of the shared tier: {unexplained:?}");
}

#[test]
fn no_page_names_a_metric_that_there_is_not() {
    let known: BTreeSet<String> = documented(&read(&guide().join("metrics.md"))).into_keys().collect();
    // Histograms are asked for by their parts, and `INFO` has words of its own.
    let is_known = |word: &str| {
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word);
        known.contains(name) || OTHERS.contains(&word) || word.ends_with('_')
    };
    let mut unknown = Vec::new();
    let pages = std::fs::read_dir(guide()).expect("the guide").filter_map(Result::ok).map(|entry| entry.path());
    let pages: Vec<PathBuf> = pages.chain([guide().join("../../README.md")]).collect();
    assert!(pages.len() > 15, "control: the guide is there");
    for page in pages.iter().filter(|page| page.extension().is_some_and(|ext| ext == "md")) {
        let text = read(page);
        for (at, _) in text.match_indices("bellwether_") {
            let word: String = text[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if !is_known(&word) {
                unknown.push(format!("{}: {word}", page.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// Crates, and fields of `INFO`.
const OTHERS: [&str; 8] = [
    "bellwether_adapters",
    "bellwether_core",
    "bellwether_server",
    "bellwether_testing",
    "bellwether_eviction",
    "bellwether_stampedes",
    "bellwether_loads",
    "bellwether_version",
];
