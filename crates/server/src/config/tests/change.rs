//! Is every difference between two files found, and told as what it is?

use super::*;

const SQL: &str = "[[space]]\nmatch = \"product:{id:int}\"\norigin = \"shop\"\nttl = \"60s\"\n";
const HTTP: &str = "[[space]]\nmatch = \"page:{path*}\"\norigin = \"api\"\nttl = \"60s\"\nget = \"/pages/{path}\"\n";

fn from_to(old: &str, new: &str) -> Changes {
    changes(&valid(old), &valid(new))
}

/// What becomes of the only space when it is written with `new` instead of `old`.
#[track_caller]
fn only(old: &str, new: &str) -> SpaceChange {
    let changes = from_to(&format!("{ORIGINS}{old}"), &format!("{ORIGINS}{new}"));
    let [(_, change)] = changes.spaces.as_slice() else { panic!("one space: {changes:?}") };
    assert!(!changes.reordered && changes.gone_spaces.is_empty() && changes.at_next_start.is_empty());
    change.clone()
}

#[test]
fn the_same_file_changes_nothing_wherever_its_lines_stand() {
    let text = format!("{ORIGINS}{SQL}{QUERY}{HTTP}");
    let changes = from_to(&text, &format!("# moved down\n\n{text}\n"));
    assert!(changes.is_nothing(), "{changes:?}");
    assert!(changes.at_next_start.is_empty());
    assert!(!from_to(&text, &text.replace("60s", "61s")).is_nothing(), "control");
}

#[test]
fn how_values_live_is_adjusted_and_they_stay() {
    for (knob, value) in [
        ("stale_while_revalidate", "\"5m\""),
        ("stale_if_error", "\"5m\""),
        ("timeout", "\"250ms\""),
        ("negative_ttl", "\"1s\""),
        ("jitter", "\"0%\""),
        ("early", "\"off\""),
        ("priority", "\"low\""),
        ("rescue_invalidated", "true"),
        ("default", "\"{}\""),
    ] {
        let change = only(&format!("{SQL}{QUERY}"), &format!("{SQL}{QUERY}{knob} = {value}\n"));
        assert_eq!(change, SpaceChange::Adjusted(vec![knob]));
    }
    assert_eq!(
        only(&format!("{SQL}{QUERY}"), &format!("{SQL}{QUERY}grace = \"5m\"\n").replace("60s", "9s")),
        SpaceChange::Adjusted(vec!["ttl", "stale_while_revalidate", "stale_if_error"])
    );
    let tagged = |tags: &str| format!("{SQL}{QUERY}tags = {tags}\n");
    // Entries that carry a tag too many are only removed more often.
    assert_eq!(only(&tagged("[\"a\", \"b\"]"), &tagged("[\"b\"]")), SpaceChange::Adjusted(vec!["tags"]));
}

#[test]
fn what_values_are_begins_anew() {
    let sql = |knobs: &str| format!("{SQL}{knobs}\n");
    let many = "many = \"SELECT id, name FROM products WHERE id IN (:ids)\"\n";
    for (new, reason) in [
        (sql("query = \"SELECT id FROM products WHERE id = :id\""), "query"),
        (sql(&format!("{QUERY}{many}")), "many"),
        (sql(&format!("{QUERY}rows = \"all\"")), "rows"),
        (sql(&format!("{QUERY}column = \"name\"")), "column"),
        (sql(&format!("{QUERY}generation = \"v2\"")), "generation"),
        // A removal of the tag would miss what is resident.
        (sql(&format!("{QUERY}tags = [\"t\"]")), "tags"),
        (sql(QUERY).replace("{id:int}", "{id}"), "match"),
    ] {
        assert_eq!(only(&sql(QUERY), &new), SpaceChange::Renewed(vec![reason]), "{new}");
    }
    for (new, reason) in
        [(HTTP.replace("/pages/{path}", "/p/{path}"), "get"), (format!("{HTTP}accept = {{ json = true }}\n"), "accept")]
    {
        assert_eq!(only(HTTP, &new), SpaceChange::Renewed(vec![reason]), "{new}");
    }
    let plain = "[[space]]\nmatch = \"page:{path*}\"\nttl = \"60s\"\n";
    assert_eq!(only(HTTP, plain), SpaceChange::Renewed(vec!["origin"]));
    assert_eq!(only(plain, HTTP), SpaceChange::Renewed(vec!["origin"]));
    // A knob that changes beside it is no reason, and is not lost either: the space begins with it.
    let both = format!("{}timeout = \"9s\"\n", sql("query = \"SELECT id FROM products WHERE id = :id\""));
    assert_eq!(only(&sql(QUERY), &both), SpaceChange::Renewed(vec!["query"]));
}

#[test]
fn another_origin_under_the_same_name_renews_its_spaces_and_a_budget_does_not() {
    let text = format!("{ORIGINS}{SQL}{QUERY}{HTTP}");
    let moved = from_to(&text, &text.replace("shop.db", "shop-2.db"));
    assert_eq!(moved.origin("shop"), OriginChange::Replaced);
    assert_eq!(moved.space("product"), &SpaceChange::Renewed(vec!["origin"]));
    assert_eq!(moved.space("page"), &SpaceChange::Same);
    let budget = from_to(&text, &text.replace("shop.db\"", "shop.db\"\nmax_concurrency = 3\nrate = \"5/s\""));
    assert_eq!((budget.origin("shop"), budget.origin("api")), (OriginChange::Budget, OriginChange::Same));
    assert_eq!(budget.space("product"), &SpaceChange::Same);
    assert!(!budget.is_nothing());
    let gone = from_to(&text, &format!("[origin.api]\nhttp = \"https://api.internal\"\n{HTTP}"));
    assert_eq!((gone.gone_origins, gone.gone_spaces), (vec!["shop".to_owned()], vec!["product".to_owned()]));
}

fn kv(template: &str) -> String {
    format!("[[space]]\nname = \"{template}\"\nmatch = \"{template}\"\nttl = \"60s\"\n")
}

#[test]
fn spaces_come_go_and_change_places() {
    let (a, b, c) = (kv("a:{k}"), kv("b:{k}"), kv("c:{k}"));
    let changes = from_to(&format!("{a}{b}"), &format!("{b}{c}"));
    assert_eq!(changes.gone_spaces, ["a:{k}"]);
    assert_eq!((changes.space("b:{k}"), changes.space("c:{k}")), (&SpaceChange::Same, &SpaceChange::Added));
    assert!(!changes.reordered, "b is where it was among those that go on");
    let swapped = from_to(&format!("{a}{b}"), &format!("{b}{a}"));
    assert!(swapped.reordered && !swapped.is_nothing());
    assert!(swapped.spaces.iter().all(|(_, change)| *change == SpaceChange::Same));
}

#[test]
fn g2_a_space_that_gets_keys_of_another_begins_anew() {
    // While the narrow space was there, removals of its keys went to it: what the wide one holds of
    // them, from before, is older.
    let (narrow, wide) = (kv("k:special:{x}"), kv("k:{x*}"));
    let without = from_to(&format!("{narrow}{wide}"), &wide);
    assert_eq!(without.space("k:{x*}"), &SpaceChange::Renewed(vec!["keys of other spaces"]));
    let behind = from_to(&format!("{}{wide}", kv("k:{x:int}")), &wide);
    assert_eq!(behind.space("k:{x*}"), &SpaceChange::Renewed(vec!["keys of other spaces"]));
    // One that is new in front takes keys away: nothing old can come back by that.
    let with = from_to(&wide, &format!("{narrow}{wide}"));
    assert_eq!(with.space("k:{x*}"), &SpaceChange::Same);
    let elsewhere = from_to(&format!("{}{wide}", kv("other:{x}")), &wide);
    assert_eq!(elsewhere.space("k:{x*}"), &SpaceChange::Same, "they never had a key in common");
}

#[test]
fn what_a_running_server_cannot_change_is_named() {
    let base = plain("");
    for (head, keys) in [
        ("[listen]\nredis = \"127.0.0.1:7000\"\n", vec!["[listen] redis"]),
        ("[listen]\nhttp = \"127.0.0.1:7000\"\nadmin = \"127.0.0.1:7001\"\n", vec!["[listen] http", "[listen] admin"]),
        ("[listen]\npassword = \"x\"\n", vec!["[listen] password"]),
        ("[memory]\nlimit = \"1 GiB\"\n", vec!["[memory] limit"]),
    ] {
        let changes = from_to(&base, &format!("{head}{base}"));
        assert_eq!(changes.at_next_start, keys);
        assert!(changes.is_nothing(), "the rest is as it was");
    }
}
