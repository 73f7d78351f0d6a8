//! Which keys are resident, and what do they cost? SCAN and what tools ask about single keys.

use bellwether_resp::{Args, eq_ignore_case, parse_i64};

use super::super::client::{Client, written};
use super::super::glob;
use super::words;

/// Keys of one step where the client names no number, as in Redis.
const COUNT: usize = 10;
/// Keys of one step at most.
const MAX_COUNT: usize = 100_000;

/// The options of SCAN.
struct Walk {
    cursor: u64,
    count: usize,
    pattern: Option<Vec<u8>>,
    /// A type that nothing here has.
    nothing: bool,
}

impl Walk {
    fn parse(args: Args<'_>) -> Result<Walk, &'static str> {
        let cursor = std::str::from_utf8(&args[1]).ok().and_then(|text| text.parse().ok());
        let mut walk =
            Walk { cursor: cursor.ok_or("ERR invalid cursor")?, count: COUNT, pattern: None, nothing: false };
        let mut rest = args.from(2).iter();
        while let Some(word) = rest.next() {
            let value = rest.next().ok_or(words::SYNTAX)?;
            if eq_ignore_case(word, "match") {
                walk.pattern = (value != b"*").then(|| value.to_vec());
            } else if eq_ignore_case(word, "count") {
                let count = parse_i64(value).ok_or(words::NO_INTEGER)?;
                let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(words::SYNTAX)?;
                walk.count = count.min(MAX_COUNT);
            } else if eq_ignore_case(word, "type") {
                walk.nothing = !eq_ignore_case(value, "string");
            } else {
                return Err(words::SYNTAX);
            }
        }
        Ok(walk)
    }
}

/// Over resident values. It walks memory, so it runs beside the connections, not among them.
pub(super) fn scan(client: &mut Client, args: Args<'_>) {
    let walk = match Walk::parse(args) {
        Ok(walk) => walk,
        Err(words) => return client.error(words),
    };
    let (service, protocol) = (client.service.clone(), client.protocol);
    client.later(Box::pin(async move {
        let wanted =
            move |key: &[u8]| !walk.nothing && walk.pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, key));
        let page = service.scan(walk.cursor, walk.count, wanted).await;
        written(protocol, |writer| match page {
            Some(page) => {
                writer.array(2);
                writer.bulk(page.cursor.to_string());
                writer.array(page.keys.len());
                page.keys.iter().for_each(|key| writer.bulk(key));
            }
            // Only if the process is about to end.
            None => writer.error("ERR the walk was interrupted"),
        })
    }));
}

pub(super) fn randomkey(client: &mut Client, _: Args<'_>) {
    let (service, protocol) = (client.service.clone(), client.protocol);
    client.later(Box::pin(async move {
        let key = service.random_key().await;
        written(protocol, |writer| match key {
            Some(key) => writer.bulk(key),
            None => writer.nil(),
        })
    }));
}

/// Entries, those included that say "no such row".
pub(super) fn dbsize(client: &mut Client, _: Args<'_>) {
    let entries = client.service.entries();
    client.int(entries);
}

const MEMORY_HELP: &[(&str, &str)] = &[
    ("DOCTOR", "Say where memory is shown."),
    ("PURGE", "Nothing: memory that is free is given back by itself."),
    ("USAGE <key> [SAMPLES <count>]", "Bytes that a resident value counts against the limit."),
];
const OBJECT_HELP: &[(&str, &str)] = &[
    ("ENCODING <key>", "Always raw."),
    ("FREQ <key>", "How often a resident value was asked for, 255 at most."),
    ("IDLETIME <key>", "Age of a resident value in seconds."),
    ("REFCOUNT <key>", "Always 1."),
];

pub(super) fn memory(client: &mut Client, args: Args<'_>) {
    match &args[1] {
        word if eq_ignore_case(word, "usage") => {
            let sampled = args.len() == 5 && eq_ignore_case(&args[3], "samples");
            match args.len() {
                2 => return client.error(words::arity("memory|usage")),
                3 => {}
                _ if sampled => {}
                _ => return client.error(words::SYNTAX),
            }
            about(client, &args[2], |client, entry| client.int(i64::from(entry.bytes)));
        }
        word if eq_ignore_case(word, "doctor") => client.bulk("See /metrics on the admin listener."),
        word if eq_ignore_case(word, "purge") => client.ok(),
        word if eq_ignore_case(word, "help") => words::help(client.writer(), args, "MEMORY", MEMORY_HELP),
        word => client.error(words::subcommand("memory", word)),
    }
}

pub(super) fn object(client: &mut Client, args: Args<'_>) {
    let given = &args[1];
    let known = ["encoding", "freq", "idletime", "refcount"].into_iter().find(|name| eq_ignore_case(given, name));
    let Some(known) = known else {
        return match eq_ignore_case(given, "help") {
            true => words::help(client.writer(), args, "OBJECT", OBJECT_HELP),
            false => client.error(words::subcommand("object", given)),
        };
    };
    if args.len() != 3 {
        return client.error(words::arity(&format!("object|{known}")));
    }
    about(client, &args[2], |client, entry| match known {
        "encoding" => client.bulk("raw"),
        // A logarithmic counter of eight bits in Redis; here what it stands for, cut at its maximum.
        "freq" => client.int(i64::from(entry.hits.min(255))),
        "idletime" => client.int(entry.age.0 / 1000),
        _ => client.int(1),
    });
}

/// Tells something of a resident value, else nil.
fn about(client: &mut Client, key: &[u8], tell: impl FnOnce(&mut Client, bellwether::ExplainEntry)) {
    match client.service.present(key) {
        Err(refusal) => client.refused(&refusal, key),
        Ok(found) => match client.service.explain(key).and_then(|explain| explain.entry) {
            Some(entry) if found.is_some() => tell(client, entry),
            _ => client.writer().nil(),
        },
    }
}
