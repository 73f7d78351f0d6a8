//! Is a filter asked for only where it can be built, and believed only as long as somebody has said?

use super::*;
use bellwether_core::time::Span;

const KEYS: &str = "keys = \"SELECT id FROM products\"\n";

fn strangers(knobs: &str) -> Strangers {
    valid(&sql(&format!("{QUERY}{KEYS}{knobs}"))).spaces.remove(0).strangers
}

#[test]
fn nothing_is_filtered_and_nobody_counted_unless_asked_for() {
    assert_eq!(strangers(""), Strangers::default());
    assert_eq!(strangers("filter = false\n"), Strangers::default());
}

#[test]
fn a_filter_answers_only_where_it_is_said_for_how_long_a_row_may_be_hidden() {
    let filter = |knobs: &str| strangers(&format!("filter = true\n{knobs}")).filter.expect("a filter");
    assert_eq!(filter(""), FilterConfig { rebuild: Span::secs(600), hides: None });
    assert_eq!(filter("filter_rebuild = \"2m\"\n").rebuild, Span::secs(120));
    let hides = filter("filter_hides = \"1m\"\n");
    assert_eq!(hides, FilterConfig { rebuild: Span::secs(30), hides: Some(Span::secs(60)) }, "half of it");
    assert_eq!(filter("filter_hides = \"2h\"\n").rebuild, Span::secs(600), "and no more than by default");
}

#[test]
fn budgets_of_clients_are_rates_of_at_least_one() {
    let budgets = strangers("absent_per_client = \"50/s\"\nloads_per_client = \"500/s\"\n");
    assert_eq!((budgets.absent_per_client, budgets.loads_per_client), (Some(50.0), Some(500.0)));
    one(&sql(&format!("{QUERY}absent_per_client = \"0.5/s\"")), &["b.toml:13:21", "at least \"1/s\""]);
    one(&sql(&format!("{QUERY}loads_per_client = 50")), &["b.toml:13:20", "\"1000/s\""]);
}

#[test]
fn what_a_filter_lacks_or_contradicts_is_said() {
    one(&sql(&format!("{QUERY}filter = true")), &["b.toml:13:10", "`keys` beside it", "SELECT id FROM"]);
    for (knobs, words) in [
        ("filter_hides = \"1m\"", vec!["b.toml:14:16", "filter = true beside it"]),
        ("filter_rebuild = \"1m\"", vec!["b.toml:14:18", "filter = true beside it"]),
        ("filter = true\nfilter_rebuild = \"10ms\"", vec!["b.toml:15:18", "at least 1s"]),
        ("filter = true\nfilter_hides = \"500ms\"", vec!["b.toml:15:16", "at least 2s"]),
        ("filter = true\nfilter_hides = \"1m\"\nfilter_rebuild = \"2m\"", vec!["b.toml:15:16", "at least 2m"]),
        ("filter = \"yes\"", vec!["b.toml:14:10", "true or false"]),
        ("filtre = true", vec!["b.toml:14:1", "did you mean"]),
    ] {
        one(&sql(&format!("{QUERY}{KEYS}{knobs}")), &words);
    }
    let http = "[[space]]\nmatch = \"page:{path*}\"\norigin = \"api\"\nttl = \"60s\"\nget = \"/pages/{path}\"\nfilter = true\n";
    one(&format!("{ORIGINS}{http}"), &["filter = true", "a path that names all keys", "/products/keys"]);
    for (keys, words) in [
        ("SELECT id FROM products", "begin with one `/`"),
        ("//keys", "begin with one `/`"),
        ("/keys/{path}", "the whole list has no captures"),
        ("/a/../keys", "without `.` and `..`"),
        ("/keys of pages", "percent-encode"),
    ] {
        one(&format!("{ORIGINS}{http}keys = \"{keys}\"\n"), &["keys = ", "a path such as", words]);
    }
    valid(&format!("{ORIGINS}{http}keys = \"/pages/keys?all=1\"\n"));
    one("[[space]]\nmatch = \"s:{id}\"\nttl = \"9s\"\nfilter = true\n", &["b.toml:4:10", "without an origin"]);
}

#[test]
fn another_filter_leaves_the_values_where_they_are() {
    let changed = |old: &str, new: &str| {
        let of = |knobs: &str| valid(&sql(&format!("{QUERY}{KEYS}{knobs}")));
        changes(&of(old), &of(new)).spaces.remove(0).1
    };
    assert_eq!(changed("", "filter = true\n"), SpaceChange::Adjusted(vec!["filter", "filter_rebuild"]));
    assert_eq!(changed("filter = true\n", "filter = true\n"), SpaceChange::Same);
    let (brief, long) = ("filter = true\nfilter_hides = \"1m\"\n", "filter = true\nfilter_hides = \"2m\"\n");
    assert_eq!(changed(brief, long), SpaceChange::Adjusted(vec!["filter_rebuild", "filter_hides"]));
    assert_eq!(changed("", "absent_per_client = \"9/s\"\n"), SpaceChange::Adjusted(vec!["absent_per_client"]));
}

#[test]
fn a_filter_that_does_not_hear_of_other_processes_is_a_warning_and_under_strict_a_mistake() {
    let text = |shared: &str, knobs: &str| format!("{shared}{}", sql(&format!("{QUERY}{KEYS}filter = true\n{knobs}")));
    let (hides, off) = ("filter_hides = \"1m\"\n", "[shared]\nurl = \"redis://127.0.0.1\"\nbackplane = \"off\"\n");
    let said = |text: &str| valid(text).warnings.iter().map(ToString::to_string).collect::<String>();
    assert!(
        said(&text(off, hides)).contains("filter_hides = \"1m\" without a backplane"),
        "{}",
        said(&text(off, hides))
    );
    let on = off.replace("backplane = \"off\"\n", "");
    for quiet in [text(&on, hides), text("", hides), text(off, "")] {
        assert!(!said(&quiet).contains("filter_hides"), "{}", said(&quiet));
    }
    let strict = read(&text(off, &format!("{hides}strict = true\n"))).expect_err("it can't be kept");
    assert!(strict.iter().any(|problem| problem.to_string().contains("filter_hides")), "{strict:?}");
}
