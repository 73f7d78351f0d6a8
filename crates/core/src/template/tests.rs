//! Do templates split keys as documented, and does only one template get each key?
#![allow(clippy::indexing_slicing, reason = "a test may panic: its panic is the report")]

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Template {
    Template::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn values<'a>(template: &'a Template, key: &'a str) -> Option<Vec<&'a [u8]>> {
    match template.match_key(key.as_bytes()) {
        Match::Yes(captures) => Some(captures.parts().to_vec()),
        Match::No | Match::WrongType => None,
    }
}

#[test]
fn a_literal_matches_its_bytes_alone() {
    let template = parse("home");
    assert!(matches!(template.match_key(b"home"), Match::Yes(_)));
    for key in ["", "hom", "homes", "Home", "home:"] {
        assert_eq!(template.match_key(key.as_bytes()), Match::No, "{key}");
    }
}

#[test]
fn a_capture_takes_one_or_more_bytes_except_separators() {
    let template = parse("session:{id}");
    assert_eq!(values(&template, "session:a-b.c d"), Some(vec![&b"a-b.c d"[..]]));
    for key in ["session:", "session:a:b", "session:a/b", "session", "sessions:a"] {
        assert_eq!(template.match_key(key.as_bytes()), Match::No, "{key}");
    }
    assert!(matches!(template.match_key(b"session:\xff\x00\r\n"), Match::Yes(_)), "keys are bytes");
}

#[test]
fn a_rest_capture_takes_separators_too() {
    let template = parse("page:{path*}");
    assert_eq!(values(&template, "page:a/b:c"), Some(vec![&b"a/b:c"[..]]));
    assert_eq!(template.match_key(b"page:"), Match::No);
}

#[test]
fn only_canonical_ints_are_ints() {
    let template = parse("product:{id:int}");
    for (text, id) in
        [("0", 0), ("42", 42), ("-7", -7), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
    {
        let key = format!("product:{text}");
        let Match::Yes(captures) = template.match_key(key.as_bytes()) else { panic!("{key}") };
        assert_eq!(captures.get("id"), Some(Value::Int(id)));
    }
    for text in
        ["042", "+7", "-0", "00", "-", "1.0", "1e3", "9223372036854775808", "abc", " 1", "\u{663}", "--1", "-01"]
    {
        let key = format!("product:{text}");
        assert_eq!(template.match_key(key.as_bytes()), Match::WrongType, "{key}");
    }
    assert_eq!(template.match_key(b"product:"), Match::No, "an empty capture is no match at all");
    assert_eq!(template.match_key(b"product:1:2"), Match::No);
}

#[test]
fn only_lower_case_uuids_are_uuids() {
    let template = parse("u:{id:uuid}");
    assert!(matches!(template.match_key(b"u:67e55044-10b1-426f-9247-bb680e5fe0c8"), Match::Yes(_)));
    for text in [
        "67E55044-10b1-426f-9247-bb680e5fe0c8",
        "67e5504410b1426f9247bb680e5fe0c8",
        "67e55044-10b1-426f-9247-bb680e5fe0c",
        "x",
    ] {
        assert_eq!(template.match_key(format!("u:{text}").as_bytes()), Match::WrongType, "{text}");
    }
}

#[test]
fn a_capture_ends_where_the_next_literal_first_fits() {
    assert_eq!(values(&parse("{a}-{b}"), "x-y-z"), Some(vec![&b"x"[..], b"y-z"]));
    assert_eq!(values(&parse("{a}-{b}"), "--x"), Some(vec![&b"-"[..], b"x"]));
    assert_eq!(values(&parse("{a}xx{b}"), "xxxx"), Some(vec![&b"x"[..], b"x"]));
    assert_eq!(values(&parse("{a}.html"), "x.html.html"), Some(vec![&b"x.html"[..]]));
    assert_eq!(values(&parse("{a}aab{b}"), "aaaabz"), Some(vec![&b"aa"[..], b"z"]));
    assert_eq!(parse("{a}-{b:int}").match_key(b"x-y-7"), Match::WrongType);
    assert_eq!(values(&parse("a{x}:b:{y}/c"), "a1:b:2/c"), Some(vec![&b"1"[..], b"2"]));
    assert_eq!(values(&parse("{x}:{y*}"), "1::/2"), Some(vec![&b"1"[..], b":/2"]));
}

#[test]
fn the_default_name_is_the_literal_prefix() {
    for (text, name) in [
        ("product:{id:int}", "product"),
        ("a:b:{x}", "a:b"),
        ("a/{x}/c", "a"),
        ("{x}:a", ""),
        ("home", "home"),
        ("p::{x}", "p"),
    ] {
        assert_eq!(parse(text).literal_prefix(), name);
    }
}

#[test]
fn what_is_no_template_is_refused_with_its_place() {
    for (text, at, word) in [
        ("", 0, "nothing"),
        ("a:{id", 2, "without `}`"),
        ("a:{i{d}", 2, "without `}`"),
        ("a}b", 1, "without `{`"),
        ("a:{}", 2, "without a name"),
        ("a:{1x}", 2, "`1x`"),
        ("a:{x y}", 2, "`x y`"),
        ("a:{x:float}", 2, "`float`"),
        ("a:{x*:int}", 2, "`x*`"),
        ("a:{x:int*}", 2, "`int*`"),
        ("a:{x}{y}", 5, "directly behind"),
        ("a:{x}:{x}", 6, "second capture"),
        ("a:{x*}:b", 2, "before the end"),
        ("a:{x*}{y}", 2, "before the end"),
        ("{a}:{b}:{c}:{d}:{e}:{f}:{g}:{h}:{i}", 32, "more than 8"),
    ] {
        let error = Template::parse(text).expect_err(text);
        assert!(error.at == at && error.found.contains(word), "{text}: {error}");
    }
    assert!(Template::parse(&"x".repeat(5000)).is_err());
}

#[test]
fn a_wrong_type_leaves_the_key_to_a_later_space() {
    let templates = [parse("product:{id:int}"), parse("product:{slug}-page"), parse("order:{id:int}")];
    let index = |key: &'static str| match route(&templates, key.as_bytes()) {
        Route::Space { index, .. } => Ok(index),
        Route::WrongType { index } => Err(Some(index)),
        Route::Nowhere => Err(None),
    };
    assert_eq!(index("product:42"), Ok(0));
    assert_eq!(index("product:red-page"), Ok(1));
    assert_eq!(index("product:red"), Err(Some(0)));
    assert_eq!(index("order:x"), Err(Some(2)));
    assert_eq!(index("user:1"), Err(None));
    // Of several that would fit but for a type, the first gives its name to the answer.
    let typed = [parse("u:{name}:x"), parse("u:{id:int}"), parse("u:{id:uuid}")];
    assert_eq!(route(&typed, b"u:x"), Route::WrongType { index: 1 });
}

#[test]
fn a_hidden_template_is_known() {
    for (earlier, later, hidden) in [
        ("product:{id}", "product:{id:int}", true),
        ("product:{id:int}", "product:{id}", false),
        ("product:{id:int}", "product:{n:int}", true),
        ("product:{id:int}", "product:{n:uuid}", false),
        ("product:{id:int}", "product:42", true),
        ("product:{id:int}", "product:042", false),
        ("product:{id:int}", "product:4{n:int}", false),
        ("{any*}", "product:{id}", true),
        ("{any*}", "{other*}", true),
        ("{a}:{b*}", "{other*}", false),
        ("p{any*}", "product:{id}:{path*}", true),
        ("product:{id}", "product:{path*}", false),
        ("{a}:{b}", "product:{id}", true),
        ("{a}:{b}", "product:{id}:{c}", false),
        ("{a}-{b}", "x-{c}-{d}", true),
        ("a:{x:int}:{y}", "a:7:{z:int}", true),
        ("a:{x:int}:{y}", "a:99999999999999999999:{z:int}", false),
        // The same shape, but `p-5-3` splits differently: claiming would be wrong.
        ("{a}-{b:int}", "p{c}-{d:int}", false),
        ("{a}-{b:int}", "{c}-{d:int}", true),
    ] {
        assert_eq!(parse(earlier).hides(&parse(later)), hidden, "{earlier} before {later}");
    }
}

#[test]
fn an_expansion_knows_its_names() {
    let template = parse("order:{shop}:{id:int}");
    let Match::Yes(captures) = template.match_key(b"order:w\xffst:7") else { panic!() };
    assert_eq!(Expansion::parse("{id}/{shop}!{id}", &template).expect("valid").expand(&captures), b"7/w\xffst!7");
    assert!(!captures.are_utf8());
    assert_eq!(captures.get("shop").and_then(Value::as_str), None);
    for (text, at) in [("", 0), ("x{who}", 1), ("{id:int}", 0), ("{shop*}", 0), ("{id", 0), ("a}", 1)] {
        assert_eq!(Expansion::parse(text, &template).expect_err(text).at, at, "{text}");
    }
    let error = Expansion::parse("x{who}", &template).expect_err("no such capture");
    assert!(error.expected.contains("`{shop}`, `{id}`"), "{error}");
}

/// Whether `pieces` can match at all, by trying every split: the oracle for templates without types.
fn fits_somehow(prefix: &[u8], slots: &[Slot], key: &[u8]) -> bool {
    let Some(rest) = key.strip_prefix(prefix) else { return false };
    let Some((slot, tail)) = slots.split_first() else { return rest.is_empty() };
    (1..=rest.len()).any(|end| {
        (slot.kind == Kind::Rest || !rest[..end].iter().any(is_separator))
            && fits_somehow(&slot.after.bytes, tail, &rest[end..])
    })
}

/// Templates over a tiny alphabet, where fits overlap often.
fn template_text() -> impl Strategy<Value = String> {
    template_text_of(0)
}

/// Kinds from 1 on have no types.
fn template_text_of(first_kind: u8) -> impl Strategy<Value = String> {
    let literal = "[ab:/1-]{1,3}";
    let kinds = prop::collection::vec(first_kind..4, 0..4);
    (prop::option::of(literal), kinds, prop::collection::vec(literal, 4), prop::option::of(literal), any::<bool>())
        .prop_map(|(prefix, kinds, between, suffix, open)| {
            let mut text = prefix.unwrap_or_default();
            for (i, kind) in kinds.iter().enumerate() {
                let last = i + 1 == kinds.len();
                text += &match kind {
                    0 => format!("{{c{i}:int}}"),
                    1 if last && open => format!("{{c{i}*}}"),
                    _ => format!("{{c{i}}}"),
                };
                if !last {
                    text += &between[i];
                } else if !(open && *kind == 1) {
                    text += suffix.as_deref().unwrap_or_default();
                }
            }
            if text.is_empty() { "x".into() } else { text }
        })
}

fn untyped(template: &Template) -> bool {
    template.captures().all(|(_, kind)| matches!(kind, Kind::Text | Kind::Rest))
}

#[test]
fn a_key_is_taken_without_its_captures_as_with_them() {
    let texts = ["a:{x}", "a:{x*}", "a:{x:int}", "a:{x:uuid}", "{x}", "{x*}", "a", "a:{x}:b", "a:{x}b", "{x}:{y:int}"];
    let keys = ["", "a", "a:", "a:b", "a:b:c", "a:7", "a:07", "b:7", "a::b", "a:bb", "a:x/y", "a:7:b", "A:7"];
    let uuid = "a:123e4567-e89b-12d3-a456-426614174000";
    let mut taken = 0;
    for (text, key) in texts.iter().flat_map(|text| keys.iter().chain([&uuid]).map(move |key| (text, key))) {
        let template = parse(text);
        let yes = matches!(template.match_key(key.as_bytes()), Match::Yes(_));
        assert_eq!(template.takes(key.as_bytes()), yes, "{text} {key}");
        assert_eq!(place([&template], key.as_bytes()), yes.then_some(0));
        taken += usize::from(yes);
    }
    assert!((20..100).contains(&taken), "{taken}: some are, some are not");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn parsing_any_text_never_panics(text in "\\PC{0,40}|[a{}:*/x]{0,20}") {
        let _ = Template::parse(&text);
        let _ = Expansion::parse(&text, &parse("a:{x}"));
    }

    #[test]
    fn matching_any_bytes_never_panics_and_loses_nothing(text in template_text(), key in prop::collection::vec(any::<u8>(), 0..40)) {
        let template = parse(&text);
        if let Match::Yes(captures) = template.match_key(&key) {
            prop_assert_eq!(refill(&template, captures.parts()), key);
        }
    }

    #[test]
    fn the_first_fit_finds_every_key_that_fits_somehow(text in template_text(), key in "[ab:/1-]{0,12}") {
        let template = parse(&text);
        let somehow = fits_somehow(&template.prefix, &template.slots, key.as_bytes());
        let matched = template.match_key(key.as_bytes());
        prop_assert_eq!(matched != Match::No, somehow);
        prop_assert_eq!(template.takes(key.as_bytes()), matches!(matched, Match::Yes(_)), "without captures as with them");
        if untyped(&template) {
            prop_assert_ne!(matched, Match::WrongType);
        }
    }

    #[test]
    fn g5_a_key_is_its_captures_put_back(text in template_text(), key in "[ab:/1-]{0,12}") {
        // Hence two keys of one template never share their captures.
        let template = parse(&text);
        if let Match::Yes(captures) = template.match_key(key.as_bytes()) {
            prop_assert_eq!(refill(&template, captures.parts()), key.as_bytes());
        }
    }

    #[test]
    fn captures_come_back_and_different_captures_make_different_keys(
        one in ("[a-z.é]{1,6}", any::<i64>(), "[a-z:/]{1,8}"),
        two in ("[a-z.é]{1,6}", any::<i64>(), "[a-z:/]{1,8}"),
    ) {
        let template = parse("k:{a}-{b:int}/{c*}");
        let again = Expansion::parse("k:{a}-{b}/{c}", &template).expect("valid");
        let key = |(a, b, c): &(String, i64, String)| format!("k:{a}-{b}/{c}").into_bytes();
        let first = key(&one);
        let Match::Yes(captures) = template.match_key(&first) else { panic!("{first:?}") };
        prop_assert_eq!(captures.get("a").and_then(Value::as_str), Some(one.0.as_str()));
        prop_assert_eq!(captures.get("b"), Some(Value::Int(one.1)));
        prop_assert_eq!(captures.get("c"), Some(Value::Text(one.2.as_bytes())));
        prop_assert!(captures.are_utf8());
        prop_assert_eq!(again.expand(&captures), first.clone());
        prop_assert_eq!(one == two, first == key(&two));
    }

    #[test]
    fn hiding_is_never_claimed_wrongly(earlier in template_text(), later in template_text(), key in "[ab:/1-]{1,10}", fill in "[ab1:/-]{1,3}") {
        let (earlier, later) = (parse(&earlier), parse(&later));
        if earlier.hides(&later) {
            let parts = vec![fill.as_bytes(); later.slots.len()];
            for key in [key.into_bytes(), refill(&later, &parts)] {
                if matches!(later.match_key(&key), Match::Yes(_)) {
                    prop_assert!(matches!(earlier.match_key(&key), Match::Yes(_)), "{:?}", String::from_utf8_lossy(&key));
                }
            }
        }
    }

    #[test]
    fn hiding_is_exact_without_types(earlier in template_text_of(1), later in template_text_of(1)) {
        let (earlier, later) = (parse(&earlier), parse(&later));
        // Two fillings of the last capture tell an open end from a closed one.
        let open = later.slots.last().is_some_and(|slot| slot.kind == Kind::Rest);
        let mut parts = vec![&[STAND_IN][..]; later.slots.len()];
        let mut keys = vec![refill(&later, &parts)];
        if open {
            *parts.last_mut().expect("open") = b"\xff:/:/:/:/:/:/:/:/\xff";
            keys.push(refill(&later, &parts));
        }
        let reaches_all = keys.iter().all(|key| matches!(earlier.match_key(key), Match::Yes(_)));
        prop_assert_eq!(earlier.hides(&later), reaches_all);
    }
}

fn refill(template: &Template, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = template.prefix.to_vec();
    for (slot, part) in template.slots.iter().zip(parts) {
        key.extend_from_slice(part);
        key.extend_from_slice(&slot.after.bytes);
    }
    key
}

#[test]
fn the_worst_key_costs_one_pass_per_capture() {
    // Quadratic work would be 16 million steps a match here, and seconds for the loop.
    let template = parse(&format!("{{a}}{}b{{b}}", "a".repeat(2000)));
    let key = "a".repeat(4096).into_bytes();
    let began = std::time::Instant::now();
    for _ in 0..200 {
        assert_eq!(template.match_key(&key), Match::No);
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
}
