//! Is a trace read as it is written, and does the memory tier answer as ttl, grace and limit say?

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bellwether_sim::replay::{
    Eviction, Figures, Format, MOST_REQUESTS, Op, ReadError, Setup, Span, Trace, read, run, run_all,
};

const KEYS: [i32; 6] = [7, -1, 300_000, 7, 8, 9];

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn file(home: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = home.join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).expect("an encoder");
    writer.write_all(bytes).expect("compressed");
    writer.finish().expect("compressed")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn auto(path: &Path) -> Result<Trace, ReadError> {
    read(path, Format::Auto, MOST_REQUESTS)
}

fn names(trace: &Trace) -> Vec<String> {
    let name = |key: u32| String::from_utf8_lossy(&trace.keys[key as usize]).into_owned();
    trace.requests.iter().map(|request| name(request.key)).collect()
}

/// A trace from lines of CSV.
fn csv(lines: &str) -> Trace {
    let home = home();
    auto(&file(home.path(), "t.csv", lines.as_bytes())).expect("a trace")
}

#[test]
fn every_format_reads_the_same_compressed_or_not() {
    let home = home();
    let be32: Vec<u8> = KEYS.iter().flat_map(|key| key.to_be_bytes()).collect();
    let lis = "7 1 0 0\n1 1 0 1\n300000 1 0 2\n7 3 0 3\n";
    let lines: String = KEYS.iter().map(|key| format!("{key}\n")).collect();
    let wanted: Vec<String> = KEYS.iter().map(ToString::to_string).collect();
    for (name, bytes) in [("t.trace", be32.as_slice()), ("t.lis", lis.as_bytes()), ("t.csv", lines.as_bytes())] {
        for (ending, packed) in [("", bytes.to_vec()), (".xz", xz(bytes)), (".zst", zstd(bytes))] {
            let trace = auto(&file(home.path(), &format!("{name}{ending}"), &packed)).expect(name);
            // Keys of a .lis are never negative.
            let found: Vec<String> = names(&trace)
                .iter()
                .map(|n| if name == "t.lis" && n == "1" { "-1".into() } else { n.clone() })
                .collect();
            assert_eq!(found, wanted, "{name}{ending}");
            assert!(!trace.timed && trace.malformed.count == 0 && trace.requests.iter().all(|r| r.size.is_none()));
            assert_eq!(trace.keys.len(), 5, "a key asked for twice is one key");
        }
        // Without its name, by content.
        let trace = auto(&file(home.path(), "unnamed", bytes)).expect(name);
        assert_eq!(trace.requests.len(), KEYS.len(), "{name} by content");
    }
}

#[test]
fn columns_are_found_by_name_or_by_place() {
    let named = csv("op,key,ignored,size,time_ms\nset,\"a,b\",x,10,1000\nget,\"a,b\",x,,1500\nDEL,c,x,7,2500\n");
    assert_eq!(names(&named), ["a,b", "a,b", "c"]);
    let found: Vec<_> = named.requests.iter().map(|r| (r.at, r.size, r.op)).collect();
    assert_eq!(found, [(0, Some(10), Op::Set), (500, None, Op::Get), (1500, Some(7), Op::Delete)]);
    let placed = csv("# a remark\n10.25,k,100\n10.5,l,200\n");
    assert_eq!(placed.requests.iter().map(|r| (r.at, r.size)).collect::<Vec<_>>(), [(0, Some(100)), (250, Some(200))]);
    let jumbled = csv("time,key\n10,a\n9,b\n11,c\n");
    assert_eq!(jumbled.requests.iter().map(|r| r.at).collect::<Vec<_>>(), [0, 0, 1000]);
    assert_eq!(jumbled.out_of_order, 1);
}

#[test]
fn what_is_no_trace_by_its_first_bytes_is_refused_instead_of_read_as_numbers() {
    let home = home();
    let refused = |name: &str, bytes: &[u8], format| match read(&file(home.path(), name, bytes), format, 10) {
        Err(ReadError::Wrong(words)) => words,
        other => panic!("{name}: {other:?}"),
    };
    for (name, bytes, expected) in [
        ("t.zst", &b"no zstd at all"[..], "named .zst, but does not begin like zstd"),
        ("t.csv.xz", b"key\na\n", "named .xz, but does not begin like xz"),
        ("t.trace", b"\x1F\x8B\x08\0\0\0\0\0", "begins like gzip"),
        ("t.bin", b"PAR1\0\0\0\0", "begins like Parquet"),
    ] {
        let words = refused(name, bytes, Format::Auto);
        assert!(words.contains(expected), "{words}");
    }
    assert!(refused("u.zst", b"no zstd at all", Format::Be32).contains("zstd"), "whatever the format");
    // Control: keys of four bytes may begin like anything, where they are said to be such.
    let trace = read(&file(home.path(), "t.bin", b"PAR1\0\0\0\0"), Format::Be32, 10).expect("two keys");
    assert_eq!(trace.requests.len(), 2);
}

#[test]
fn malformed_lines_are_counted_and_shown_and_the_rest_goes_on() {
    let mut lines = "time,key,size\n1,a,10\nsoon,b,10\n2,c\n3,,5\n4,\"d,5\n5,e,huge\n6,f,6\n".to_owned();
    (0..20).for_each(|_| lines.push_str("x,y,z\n"));
    let trace = csv(&lines);
    assert_eq!(names(&trace), ["a", "f"]);
    assert_eq!(trace.malformed.count, 25);
    let first: Vec<(u64, &str)> = trace.malformed.first.iter().map(|(n, what)| (*n, what.as_str())).collect();
    assert_eq!(first[0], (3, "expected a time, found \"soon\""));
    assert_eq!(first[1], (4, "expected 3 columns, found 2"));
    assert_eq!(first[2], (5, "the key is empty"));
    assert_eq!(first[3], (6, "a quotation mark is not closed"));
    assert_eq!(first[4], (7, "expected a size in bytes, found \"huge\""));
    assert_eq!(first.len(), 5, "only the first are shown");
}

#[test]
fn a_file_without_sense_is_an_error_that_says_which() {
    let home = home();
    let of = |name: &str, bytes: &[u8]| auto(&file(home.path(), name, bytes)).map(|trace| trace.requests.len());
    assert_eq!(of("empty.csv", b""), Err(ReadError::Empty));
    assert_eq!(of("heading.csv", b"time,key\n"), Err(ReadError::Empty));
    assert_eq!(of("blank.lis", b"\n\n"), Err(ReadError::Empty));
    assert!(matches!(of("bad.csv", b"time,key\nx,a\ny,b\n"), Err(ReadError::Senseless(m)) if m.count == 2));
    assert!(matches!(of("bad.lis", b"a b c\n"), Err(ReadError::Senseless(m)) if m.count == 1));
    assert!(matches!(of("short.trace", &[0, 1, 2]), Err(ReadError::Senseless(_))));
    assert!(matches!(of("no-key.csv", b"time,size\n1,2\n"), Err(ReadError::Wrong(text)) if text.contains("\"key\"")));
    let strange = of("strange.csv", b"url,user,when\n/a,1,2\n");
    assert!(matches!(strange, Err(ReadError::Wrong(text)) if text.contains("column `key`") && text.contains("url")));
    assert!(matches!(of("wide.csv", b"1,2,3,4,5\n"), Err(ReadError::Wrong(_))));
    assert!(matches!(auto(&home.path().join("none")), Err(ReadError::Unreadable(_))));
    assert!(matches!(auto(home.path()), Err(ReadError::Unreadable(_))), "a directory");
}

#[test]
fn a_file_that_breaks_off_is_an_error_and_says_how_far_it_went() {
    let home = home();
    let lines: String = (0..50_000).map(|n| format!("{}\n", n * 7919 % 10_007)).collect();
    for (name, whole) in [("t.csv.xz", xz(lines.as_bytes())), ("t.csv.zst", zstd(lines.as_bytes()))] {
        assert_eq!(auto(&file(home.path(), name, &whole)).map(|trace| trace.requests.len()), Ok(50_000));
        let half = file(home.path(), name, &whole[..whole.len() / 2]);
        let error = auto(&half).expect_err("half a file");
        let ReadError::CutOff { requests, what } = error else { panic!("{name}: {error:?}") };
        assert_eq!((requests < 50_000, what.as_str()), (true, "the file ends in the middle"), "{name}");
        // Control: what is there to its end, but makes no sense, is told as that.
        let mut wrong = whole.clone();
        let middle = wrong.len() / 2;
        wrong[middle..middle + 64].fill(0x55);
        let error = auto(&file(home.path(), name, &wrong)).expect_err("no such file");
        assert!(!matches!(&error, ReadError::CutOff { what, .. } if what.contains("ends")), "{name}: {error:?}");
    }
}

#[test]
fn every_frame_of_a_zst_is_read_skippable_ones_are_passed_over_and_what_is_no_frame_is_told() {
    let home = home();
    let of = |name: &str, bytes: &[u8]| auto(&file(home.path(), name, bytes)).map(|trace| names(&trace));
    let skipped = |kind: u8, content: &[u8]| {
        let length = (content.len() as u32).to_le_bytes();
        [&[kind, 0x2A, 0x4D, 0x18], &length[..], content].concat()
    };
    let (a, b, c) = (zstd(b"key\na\n"), zstd(b"b\n"), zstd(b"c\n"));
    let frames =
        [skipped(0x50, b"\x10\0"), a.clone(), b, zstd(b""), skipped(0x5F, b""), c, skipped(0x57, b"x")].concat();
    let wanted: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(of("t.csv.zst", &frames), Ok(wanted.clone()));
    assert_eq!(of("unnamed", &frames), Ok(wanted), "by content");
    assert_eq!(of("only.csv.zst", &skipped(0x50, b"nothing")), Err(ReadError::Empty));
    // A frame ends where it does, however far the reader has read ahead.
    let lines: Vec<String> = (0..50_000).map(|n| (n * 7919 % 10_007).to_string()).collect();
    let large: Vec<u8> = lines.chunks(20_000).flat_map(|part| zstd((part.join("\n") + "\n").as_bytes())).collect();
    assert_eq!(of("large.csv.zst", &large), Ok(lines));
    let cut = skipped(0x50, b"abc")[..9].to_vec();
    let (no_frame, ends) =
        ("expected another frame of zstd or the end, found the bytes 67 61 72 62", "ends in the middle");
    for (rest, expected) in [(b"garbage".to_vec(), no_frame), (b"ga".to_vec(), ends), (cut, ends)] {
        let told = of("rest.csv.zst", &[a.clone(), rest].concat());
        assert!(matches!(&told, Err(ReadError::CutOff { what, .. }) if what.contains(expected)), "{told:?}");
    }
}

#[test]
fn a_heading_divided_by_other_marks_than_commas_is_refused_and_a_key_may_hold_them() {
    let home = home();
    let of = |bytes: &str| auto(&file(home.path(), "t.csv", bytes.as_bytes())).map(|trace| names(&trace));
    for (lines, found) in [
        ("time;key;size\n1;a;10\n", "divided by semicolons: expected commas, as in \"time,key,size,op\""),
        ("# a remark\n\"Time\";\"Key\"\n1;a\n", "divided by semicolons"),
        ("time\tkey\n1\ta\n", "divided by tabs"),
    ] {
        let told = of(lines);
        assert!(matches!(&told, Err(ReadError::Wrong(text)) if text.contains(found)), "{told:?}");
    }
    // Control: keys of one column hold what they like.
    assert_eq!(of("user;7\nuser;key\nkeys\t8\n"), Ok(["user;7", "user;key", "keys\t8"].map(str::to_owned).to_vec()));
    assert_eq!(of("key,time\na;key,1\n"), Ok(vec!["a;key".to_owned()]));
}

#[test]
fn what_is_shown_of_a_line_is_short_and_harmless_to_a_terminal() {
    let home = home();
    let escape = "\x1b[2J\x1b]0;owned\x07";
    let long = "x".repeat(5_000);
    let lines =
        format!("time,key,size,op\n{escape},a,1,get\n1,a,{escape},get\n1,a,1,{escape}\n{long},a,1,get\n1,b,1,get\n");
    let harmless = |told: &str| !told.contains(char::is_control) && told.chars().count() < 120;
    let trace = csv(&lines);
    assert_eq!(trace.malformed.count, 4);
    for (number, what) in &trace.malformed.first {
        assert!(harmless(what) && (*number == 5 || what.contains("\"?[2J?]0;owned?\"")), "line {number}: {what:?}");
    }
    for heading in [format!("time,{escape}\n"), format!("time,{escape},{long}\n"), format!("time;key;{escape}\n")] {
        let told = auto(&file(home.path(), "heading.csv", heading.as_bytes())).expect_err("no heading");
        assert!(
            matches!(&told, ReadError::Wrong(text) if !text.contains(char::is_control) && text.len() < 400),
            "{told:?}"
        );
    }
}

#[test]
fn only_as_many_requests_as_wanted_are_read() {
    let home = home();
    let path = file(home.path(), "t.lis", b"1 100 0 0\n");
    let trace = read(&path, Format::Auto, 10).expect("a trace");
    assert!(trace.requests.len() == 10 && trace.cut);
    assert!(!auto(&path).expect("a trace").cut);
}

fn setup() -> Setup {
    Setup {
        memory: None,
        ttl: Span::secs(60),
        grace: Span::ZERO,
        eviction: Eviction::Auto,
        rate: 1000.0,
        size: 1000,
        seed: 1,
    }
}

fn replayed(trace: &Trace, setup: &Setup) -> Figures {
    run(trace, setup).expect("a sensible setup")
}

#[test]
fn times_decide_what_is_fresh_stale_or_gone() {
    let trace = csv("time,key\n0,a\n30,a\n61,a\n125,a\n");
    let figures = replayed(&trace, &setup());
    assert_eq!((figures.hits, figures.stale, figures.misses), (1, 0, 3));
    let figures = replayed(&trace, &Setup { grace: Span::secs(3), ..setup() });
    assert_eq!((figures.hits, figures.stale, figures.misses), (1, 1, 2), "61 s is within the grace, 64 s later is not");
    assert_eq!((figures.loads(), figures.loaded_bytes), (3, 3000));
    let figures = replayed(&trace, &Setup { ttl: Span::secs(600), ..setup() });
    assert_eq!((figures.hits, figures.misses), (3, 1));
}

#[test]
fn without_times_the_rate_decides() {
    let trace = csv("a\na\na\na\n");
    let at = |rate| replayed(&trace, &Setup { rate, ..setup() }).misses;
    assert_eq!((at(1000.0), at(0.01)), (1, 4));
}

#[test]
fn writes_fill_and_removals_empty() {
    let trace = csv("op,key\nset,a\nget,a\ndelete,a\nget,a\nget,a\n");
    let figures = replayed(&trace, &setup());
    assert_eq!((figures.reads, figures.writes, figures.hits, figures.misses), (3, 2, 2, 1));
}

/// Rounds over more keys than fit, and now and then one of a few favourites.
fn mixed() -> Trace {
    csv(&(0..20_000)
        .map(|n| if n % 2 == 0 { format!("s{}\n", n % 1_999) } else { format!("f{}\n", n * 7 % 41) })
        .collect::<String>())
}

#[test]
fn a_limit_costs_loads_and_unlimited_memory_costs_the_fewest() {
    let trace = mixed();
    let unlimited = replayed(&trace, &setup());
    assert_eq!(unlimited.misses, trace.keys.len() as u64, "each key once");
    assert_eq!(unlimited.evicted, 0);
    for eviction in Eviction::ALL {
        let limited = Setup { memory: Some(400_000), eviction, ..setup() };
        let figures = replayed(&trace, &limited);
        assert_eq!(figures.reads, figures.hits + figures.stale + figures.misses);
        assert!(figures.misses > unlimited.misses && figures.hits > 0, "{eviction}: {figures:?}");
        assert!(figures.evicted_fresh > 0 && figures.peak_bytes <= 400_000, "{eviction}: {figures:?}");
    }
    let of = |eviction| replayed(&trace, &Setup { memory: Some(400_000), eviction, ..setup() }).hit_ratio();
    assert!(of(Eviction::Auto) > of(Eviction::Fifo), "who is asked for often stays");
}

#[test]
fn the_same_trace_and_seed_give_the_same_figures() {
    let trace = mixed();
    let setups: Vec<Setup> =
        Eviction::ALL.iter().map(|eviction| Setup { memory: Some(300_000), eviction: *eviction, ..setup() }).collect();
    let once = run_all(&trace, &setups).expect("sensible setups");
    assert_eq!(once, run_all(&trace, &setups).expect("sensible setups"));
    let alone: Vec<Figures> = setups.iter().map(|setup| replayed(&trace, setup)).collect();
    assert_eq!(once, alone, "two at a time or one by one");
    // Control: the seed does something.
    let other: Vec<Setup> = setups.iter().map(|setup| Setup { seed: 2, ..*setup }).collect();
    assert_ne!(once, run_all(&trace, &other).expect("sensible setups"));
}

#[test]
fn a_limit_below_the_least_is_refused() {
    assert!(run(&csv("a\n"), &Setup { memory: Some(10), ..setup() }).is_err());
}
