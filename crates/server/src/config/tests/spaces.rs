//! How are spaces read? Templates, sources, SQL, HTTP, tags, and how they get along.

use super::*;
use bellwether_adapters::{Accept, Rows};
use bellwether_core::policy::{Early, Priority};
use bellwether_core::time::Span;

#[test]
fn match_and_ttl_are_required() {
    one("[[space]]\nttl = \"60s\"\n", &["b.toml:1:1", "[[space]] number 1", "no `match`"]);
    one("[[space]]\nmatch = \"s:{id}\"\n", &["b.toml:1:1", "[[space]] 's'", "no `ttl`"]);
    one("[[space]]\nmatch = \"s:{id\"\nttl = \"60s\"\n", &["b.toml:2:9", "without `}`", "close it"]);
    one("[[space]]\nmatch = \"{id}\"\nttl = \"60s\"\n", &["b.toml:2:9", "no `name`"]);
    one("[[space]]\nmatch = 5\nttl = \"60s\"\n", &["b.toml:2:9", "text in quotes"]);
    assert_eq!(valid("[[space]]\nmatch = \"{id}\"\nttl = \"60s\"\nname = \"all\"\n").spaces[0].name, "all");
}

#[test]
fn every_knob_reaches_the_policy() {
    let knobs = "grace = \"10m\"\nstale_if_error = \"1h\"\ntimeout = \"300ms\"\nnegative_ttl = \"7s\"\njitter = \"20%\"\n\
                 early = \"xfetch\"\npriority = \"critical\"\nrescue_invalidated = true\n";
    let policy = valid(&sql(&format!("{QUERY}{knobs}"))).spaces.remove(0).policy;
    assert_eq!(
        (policy.ttl, policy.stale_while_revalidate, policy.stale_if_error),
        (Span::secs(60), Span::secs(600), Span::secs(3600))
    );
    assert_eq!((policy.timeout, policy.negative_ttl), (Span::ms(300), Span::secs(7)));
    assert_eq!((policy.jitter, policy.early), (0.2, Early::XFetch { beta: 2.0 }));
    assert_eq!((policy.priority, policy.rescue_invalidated), (Priority::Critical, true));
    assert_eq!(valid(&sql(&format!("{QUERY}early = \"off\""))).spaces[0].policy.early, Early::Off);
}

#[test]
fn knobs_beyond_their_bounds_are_refused() {
    for (knob, words) in [
        ("timeout = \"0s\"", ["b.toml:13:11", "longer than zero"]),
        ("grace = \"60d\"", ["b.toml:13:9", "49 days"]),
        ("stale_if_error = \"60d\"", ["b.toml:13:18", "49 days"]),
        ("jitter = \"200%\"", ["b.toml:13:10", "\"100%\""]),
        ("jitter = 0.1", ["b.toml:13:10", "\"10%\""]),
        ("early = \"eager\"", ["b.toml:13:9", "\"lead\", \"xfetch\" or \"off\""]),
        ("priority = \"hihg\"", ["b.toml:13:12", "\"critical\", \"normal\", \"low\" or \"background\""]),
        ("priority = \"normel\"", ["b.toml:13:12", "did you mean \"normal\"?"]),
        ("rescue_invalidated = \"yes\"", ["b.toml:13:22", "true or false"]),
        ("generation = \"v 2\"", ["b.toml:13:14", "\"v2\""]),
        ("generation = \"\"", ["b.toml:13:14", "\"v2\""]),
        ("name = \"a b\"", ["b.toml:13:8", "without spaces"]),
        ("tags = \"catalogue\"", ["b.toml:13:8", "write tags = [\"catalogue\"]"]),
        ("tags = [\"x\", 7]", ["b.toml:13:14", "text in quotes"]),
        ("tags = [\"x:{sku}\"]", ["b.toml:13:9", "a capture of `product:{id:int}`: `{id}`"]),
        ("tags = [\"\"]", ["b.toml:13:9", "some text"]),
    ] {
        one(&sql(&format!("{QUERY}{knob}")), &words);
    }
    one("[[space]]\nmatch = \"s:{id}\"\nttl = \"0s\"\n", &["b.toml:3:7", "longer than zero"]);
}

#[test]
fn a_space_without_an_origin_is_plain() {
    for (knob, words) in [
        ("query = \"SELECT :id\"", ["b.toml:4:9", "an `origin`"]),
        ("get = \"/x/{id}\"", ["b.toml:4:7", "an `origin`"]),
        ("default = \"x\"", ["b.toml:4:11", "nothing is loaded here"]),
        ("rows = \"all\"", ["b.toml:4:8", "nothing is loaded here"]),
        ("negative_ttl = \"1s\"", ["b.toml:4:16", "nothing is loaded here"]),
        ("priority = \"low\"", ["b.toml:4:12", "nothing is loaded here"]),
    ] {
        one(&plain(knob), &words);
    }
    one(
        &format!("{ORIGINS}{}", plain("orgin = \"shop\"\nquery = \"SELECT :id\"")),
        &["b.toml:11:1", "did you mean `origin`?"],
    );
}

#[test]
fn a_space_names_an_origin_and_speaks_its_language() {
    let space = |origin: &str, knobs: &str| {
        format!("{ORIGINS}[[space]]\nmatch = \"p:{{id}}\"\nttl = \"1s\"\norigin = \"{origin}\"\n{knobs}\n")
    };
    for (origin, knobs, words) in [
        ("shp", "query = \"SELECT :id\"", ["b.toml:11:10", "api or shop", "did you mean \"shop\"?"]),
        ("shop", "", ["b.toml:11:10", "without `query`", "needs `query`"]),
        ("api", "", ["b.toml:11:10", "without `get`", "needs `get`"]),
        ("shop", "query = \"SELECT :id\"\nget = \"/x\"", ["b.toml:13:7", "speaks SQL", "remove it"]),
        ("shop", "query = \"SELECT :id\"\naccept = {}", ["b.toml:13:10", "speaks SQL", "remove it"]),
        ("api", "get = \"/x\"\nrows = \"all\"", ["b.toml:13:8", "speaks HTTP", "remove it"]),
        ("api", "qery = \"SELECT :id\"\nget = \"/{id}\"", ["b.toml:12:1", "`qery`", "did you mean `query`?"]),
        ("shop", "qury = \"SELECT :id\"", ["b.toml:12:1", "`qury`", "did you mean `query`?"]),
    ] {
        one(&space(origin, knobs), &words);
    }
    one(
        "[[space]]\nmatch = \"p:{id}\"\nttl = \"1s\"\norigin = \"shop\"\nquery = \"SELECT :id\"\n",
        &["b.toml:4:10", "[origin.shop]"],
    );
}

#[test]
fn a_broken_origin_is_one_problem_not_one_per_space() {
    let text = "[origin.shop]\nsql = \"postgres://h\"\n[[space]]\nmatch = \"p:{id}\"\nttl = \"1s\"\norigin = \"shop\"\nquery = \"SELECT :id\"\n";
    one(text, &["b.toml:2:7", "name the user"]);
    // Nor does it make right SQL look wrong.
    one(&text.replace("SELECT :id", "SELECT d ? 'a', (ARRAY[:id::int])[1]"), &["b.toml:2:7", "name the user"]);
}

#[test]
fn statements_are_read_as_their_database_reads_them() {
    let space = |url: &str, query: &str, many: &str| {
        format!(
            "[origin.shop]\nsql = \"{url}\"\n[[space]]\nmatch = \"p:{{id}}\"\nttl = \"1s\"\norigin = \"shop\"\n\
             query = '''{query}'''\nmany = '''{many}'''\n"
        )
    };
    let (sqlite, postgres) = ("sqlite://shop.db", "postgres://u@h/d");
    let odd = "SELECT $$ :x '$$, d ? 'a', E'\\' :x', (ARRAY[:id::int])[1:2] FROM p /* /* */ :x */";
    valid(&space(postgres, odd, "SELECT id FROM p WHERE id = ANY (:ids::int[])"));
    let any = "SELECT id FROM p WHERE id = ANY (:ids)";
    let line = ["b.toml:8:8", "`:ids` 1 times, 0 of them"];
    one(&space(sqlite, "SELECT id FROM p WHERE id = :id", any), &line);
    one(&space(postgres, "SELECT id FROM p WHERE id = :id", "SELECT id FROM p WHERE id = :ids"), &line);
    one(&space(postgres, "SELECT id FROM p WHERE id = $1", any), &["b.toml:7:9", "`$1`", "named parameters"]);
    one(&space(postgres, "SELECT id FROM p WHERE id = $$:id$$", any), &["b.toml:7:9", "`:id` in quotes"]);
    one(&space(postgres, "DELETE FROM p WHERE id = :id", any), &["b.toml:7:9", "no SELECT"]);
}

#[test]
fn captures_are_bind_parameters_only() {
    for (query, words) in [
        ("SELECT * FROM p WHERE id = ':id'", ["`:id` in quotes", "write :id alone"]),
        ("SELECT * FROM p WHERE id = '{id}'", ["`{id}` in quotes", "write :id alone"]),
        ("SELECT * FROM p WHERE n LIKE '%:id%'", ["`:id` in quotes", "'%' || :id || '%'"]),
        ("SELECT * FROM p WHERE id = {id}", ["`{` in `query`", ":id instead of {id}"]),
        ("SELECT * FROM p WHERE id = :sku", ["`:sku`", "a capture of `match`: `:id`"]),
        ("SELECT * FROM p WHERE id IN (:ids)", ["`:ids`", "belongs to `many`"]),
        ("SELECT * FROM p WHERE id = ?", ["`?`", "named parameters such as `:id`"]),
        ("SELECT * FROM p WHERE id = ?1", ["`?1`", "named parameters"]),
        ("SELECT * FROM p WHERE id = $id", ["`$id`", "named parameters"]),
        ("SELECT * FROM p WHERE id = @id", ["`@id`", "named parameters"]),
        ("SELECT 1; DELETE FROM p", ["more behind `;`", "one statement"]),
        ("DELETE FROM p WHERE id = :id", ["no SELECT", "reads"]),
        ("", ["no statement", "SELECT"]),
        ("SELECT 'open", ["never closed", "other half"]),
        ("SELECT /* open", ["never closed", "other half"]),
        ("-- SELECT", ["no statement", "SELECT"]),
    ] {
        one(&sql(&format!("query = \"{query}\"")), &[&["b.toml:12:9"][..], &words].concat());
    }
}

#[test]
fn what_only_looks_like_a_capture_is_left_alone() {
    for query in [
        "SELECT '12:30', 'a:idea', '{other}', \\\"x\\\".\\\"y\\\" FROM p WHERE id = :id;",
        "select * from p where id = :id -- ':id' {id} ?",
        "WITH x AS (SELECT 1) SELECT /* {id} */ * FROM x WHERE 'it''s' <> ':i' AND :id = :id ; ;",
        "SELECT j->>'$.name', a$b, [odd name], `tick` FROM p WHERE id=:id",
        "VALUES (:id)",
        "SELECT 'é', naïve FROM p WHERE id = :id",
    ] {
        valid(&sql(&format!("query = \"{query}\"")));
    }
}

#[test]
fn many_is_one_list_for_one_capture() {
    for (many, words) in [
        ("SELECT * FROM p", ["no `:ids`", "IN (:ids)"]),
        ("SELECT * FROM p WHERE id = :ids", ["`:ids` 1 times, 0 of them", "exactly once"]),
        ("SELECT * FROM p WHERE id IN (:ids) OR x IN (:ids)", ["`:ids` 2 times", "exactly once"]),
        ("SELECT * FROM p WHERE id IN (:ids) AND x = :id", ["`:id` in `many`", "goes into the list"]),
        ("SELECT * FROM p WHERE id IN (':ids')", ["no `:ids`", "IN (:ids)"]),
    ] {
        one(&sql(&format!("{QUERY}many = \"{many}\"")), &[&["b.toml:13:8"][..], &words].concat());
    }
    valid(&sql(&format!("{QUERY}many = \"SELECT * FROM p WHERE id in ( :ids )\"")));
    let two = format!(
        "{ORIGINS}[[space]]\nmatch = \"p:{{a}}:{{b}}\"\nttl = \"1s\"\norigin = \"shop\"\nquery = \"SELECT :a, :b\"\nmany = \"SELECT 1 WHERE 1 IN (:ids)\"\n"
    );
    one(&two, &["b.toml:13:8", "2 captures", "exactly one capture"]);
}

#[test]
fn rows_and_column_agree() {
    let source = |knobs: &str| match valid(&sql(&format!("{QUERY}{knobs}"))).spaces.remove(0).source {
        Source::Sql(source) => (source.rows, source.column.map(|column| column.text)),
        _ => panic!("an SQL space"),
    };
    assert_eq!(source(""), (Rows::One, None));
    assert_eq!(source("rows = \"all\""), (Rows::All, None));
    assert_eq!(source("column = \"body\""), (Rows::One, Some("body".into())));
    one(&sql(&format!("{QUERY}rows = \"two\"")), &["b.toml:13:8", "\"one\" or \"all\""]);
    one(&sql(&format!("{QUERY}rows = \"all\"\ncolumn = \"body\"")), &["b.toml:14:10", "one raw value"]);
    one(&sql(&format!("{QUERY}column = \"\"")), &["b.toml:13:10", "a column's name"]);
}

#[test]
fn get_is_a_path_behind_the_base() {
    for (get, words) in [
        ("pages/{path}", "begin with one `/`"),
        ("//evil/{path}", "begin with one `/`"),
        ("https://h/{path}", "begin with one `/`"),
        ("/a b", "percent-encode"),
        ("/a#b", "percent-encode"),
        ("/a/../{path}", "without `.` and `..`"),
        ("/{slug}", "a capture of `page:{path*}`: `{path}`"),
        ("/{path*}", "the name alone, `{path}`"),
        ("/{path", "without `}`"),
    ] {
        one(&http(&format!("get = \"{get}\"")), &["b.toml:12:7", words]);
    }
    valid(&http("get = \"/search?q={path}&dots=..\""));
}

#[test]
fn accept_says_which_answers_are_values() {
    let accept =
        |value: &str| match valid(&http(&format!("get = \"/{{path}}\"\naccept = {value}"))).spaces.remove(0).source {
            Source::Http(source) => source.accept,
            _ => panic!("an HTTP space"),
        };
    assert_eq!(accept("{}"), Accept::default());
    let all = accept("{ status = [200, 203], content_type = \"Text/HTML\", json = true }");
    assert_eq!(all, Accept { status: vec![200, 203], content_type: Some("text/html".into()), json: true });
    for (value, words) in [
        ("{ status = [404] }", ["b.toml:13:22", "404 already means"]),
        ("{ status = [\"200\"] }", ["b.toml:13:22", "from 200 to 299"]),
        ("{ status = [] }", ["b.toml:13:21", "from 200 to 299"]),
        ("{ status = 200 }", ["b.toml:13:21", "write status = [200]"]),
        ("{ content_type = \"json\" }", ["b.toml:13:27", "application/json"]),
        ("{ json = 1 }", ["b.toml:13:19", "true or false"]),
        ("{ jsn = true }", ["[[space]] 'page' accept", "did you mean `json`?"]),
        ("true", ["b.toml:13:10", "a table in braces"]),
    ] {
        one(&http(&format!("get = \"/{{path}}\"\naccept = {value}")), &words);
    }
}

#[test]
fn spaces_have_names_of_their_own() {
    let text = "[[space]]\nmatch = \"p:{id:int}\"\nttl = \"1s\"\n[[space]]\nmatch = \"p:{slug}\"\nttl = \"1s\"\n";
    one(text, &["b.toml:5:9", "a second space called 'p' (the first is on line 2)", "set `name`"]);
    valid(&format!("{text}name = \"slugs\"\n"));
}

#[test]
fn a_hidden_space_is_reported() {
    let space =
        |name: &str, template: &str| format!("[[space]]\nname = \"{name}\"\nmatch = \"{template}\"\nttl = \"1s\"\n");
    let text = space("all", "p:{any*}") + &space("one", "p:{id:int}");
    one(&text, &["b.toml:7:9", "hidden by \"p:{any*}\" of 'all' (the first is on line 3)", "narrower space first"]);
    valid(&(space("one", "p:{id:int}") + &space("all", "p:{any*}")));
}

#[test]
fn there_may_be_only_so_many_spaces() {
    let spaces =
        |n: usize| (0..n).map(|i| format!("[[space]]\nmatch = \"s{i}:{{id}}\"\nttl = \"1s\"\n")).collect::<String>();
    valid(&spaces(1024));
    one(&spaces(1025), &["1025 of `space`", "at most 1024"]);
}

/// What is wrong with an address says nothing of the statements of its spaces.
#[test]
fn an_address_that_can_not_be_read_is_one_problem() {
    let text = |address: &str, many: &str| {
        format!(
            "[origin.db]\nsql = \"{address}\"\n[[space]]\nmatch = \"p:{{id:int}}\"\norigin = \"db\"\nttl = \"1s\"\n\
             query = \"SELECT id FROM p WHERE id = :id\"\nmany = \"{many}\"\n"
        )
    };
    let any = "SELECT id FROM p WHERE id = ANY (:ids)";
    for (address, words) in [
        ("postgre://h/db", ["b.toml:2:7", "did you mean postgres://?"]),
        ("postgress://h/db", ["b.toml:2:7", "did you mean postgres://?"]),
        ("posgresql://h/db", ["b.toml:2:7", "did you mean postgresql://?"]),
        ("sqlit://shop.db", ["b.toml:2:7", "did you mean sqlite://?"]),
        ("postgres://u:${BW_NOT_SET}@h/db", ["b.toml:2:7", "BW_NOT_SET"]),
        ("oracle://h", ["b.toml:2:7", "a SQLite file"]),
    ] {
        one(&text(address, any), &words);
    }
    // Control: what is wrong in anybody's words is told beside it.
    let both = wrong(&text("postgre://h/db", "SELECT id FROM p WHERE id IN (:other)"));
    assert!(both.contains("did you mean") && both.contains(":other") && both.lines().count() >= 2, "{both}");
    // And where it is known whose words they are, they are judged by them.
    one(&text("sqlite://shop.db", any), &["`IN (:ids)` exactly once"]);
}

#[test]
fn the_keys_of_a_space_are_named_by_a_select_without_parameters() {
    for (keys, words) in [
        ("SELECT id FROM p WHERE id = :id", ["`:id` in `keys`", "`keys` names all keys"]),
        ("DELETE FROM p", ["a statement that is no SELECT in `keys`", "reads"]),
        ("", ["no statement in `keys`", "a SELECT"]),
    ] {
        one(&sql(&format!("{QUERY}keys = \"{keys}\"")), &[&["b.toml:13:8"][..], &words].concat());
    }
    valid(&sql(&format!("{QUERY}keys = \"SELECT id FROM p ORDER BY sold DESC\"")));
    one(&plain("keys = \"SELECT id FROM p\""), &["keys = ", "no `keys` in a space without an origin"]);
}

#[test]
fn callers_that_wait_longer_than_a_load_may_take_are_warned_of() {
    let text = |origin: &str, space: &str| {
        format!(
            "[origin.shop]\nsql = \"sqlite://shop.db\"\n{origin}\n[[space]]\nmatch = \"p:{{id}}\"\norigin = \"shop\"\n\
             query = \"SELECT 1 WHERE :id\"\nttl = \"60s\"\n{space}\n"
        )
    };
    let warned = valid(&text("timeout = \"500ms\"", "timeout = \"5s\"")).warnings;
    let said = said(&warned);
    assert_eq!(warned.len(), 1, "{said}");
    assert!(
        said.contains("b.toml:9:11: ") && said.contains("ends after 500ms") && said.contains("[origin.shop]"),
        "{said}"
    );
    for (origin, space) in
        [("timeout = \"5s\"", "timeout = \"5s\""), ("", "timeout = \"2s\""), ("timeout = \"500ms\"", "")]
    {
        assert_eq!(valid(&text(origin, space)).warnings, [], "{origin} {space}");
    }
}
