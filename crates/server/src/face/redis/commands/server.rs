//! What do tools ask of the server itself? INFO, CONFIG GET and a few that are answered by habit.

use bellwether_resp::{Args, eq_ignore_case, parse_i64};

use super::super::client::Client;
use super::super::info::{self, maxmemory_policy};
use super::super::{MAX_CLIENTS, glob};
use super::lifetime::unix_ms;
use super::words;

pub(super) fn info(client: &mut Client, args: Args<'_>) {
    let wanted: Vec<String> = args.from(1).iter().map(|word| String::from_utf8_lossy(word).to_lowercase()).collect();
    let text = info::text(&client.service, &client.clients, &wanted);
    client.writer().verbatim(*b"txt", text);
}

const CONFIG_HELP: &[(&str, &str)] =
    &[("GET <pattern> [<pattern> ...]", "What clients want to know of the configuration.")];
const LATENCY_HELP: &[(&str, &str)] = &[
    ("DOCTOR", "Say where latencies are shown."),
    ("HISTORY <event>", "Nothing."),
    ("LATEST", "Nothing."),
    ("RESET [<event> ...]", "Nothing."),
];
const SLOWLOG_HELP: &[(&str, &str)] = &[("GET [<count>]", "Nothing."), ("LEN", "0."), ("RESET", "Nothing.")];

pub(super) fn config(client: &mut Client, args: Args<'_>) {
    match (&args[1], args.len()) {
        (word, 3..) if eq_ignore_case(word, "get") => config_get(client, args.from(2)),
        (word, _) if eq_ignore_case(word, "get") => client.error(words::arity("config|get")),
        (word, _) if eq_ignore_case(word, "set") || eq_ignore_case(word, "rewrite") => {
            client.error("ERR the configuration is a file: change it, and the server reads it again");
        }
        (word, _) if eq_ignore_case(word, "help") => words::help(client.writer(), args, "CONFIG", CONFIG_HELP),
        (word, _) => client.error(words::subcommand("config", word)),
    }
}

fn config_get(client: &mut Client, patterns: Args<'_>) {
    let known = [
        ("appendonly", "no".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", MAX_CLIENTS.to_string()),
        ("maxmemory", client.service.memory_limit().to_string()),
        ("maxmemory-policy", maxmemory_policy(client.service.eviction()).to_owned()),
        ("notify-keyspace-events", String::new()),
        ("port", client.clients.port().to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ];
    let wanted =
        |name: &str| patterns.iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()));
    let found: Vec<_> = known.iter().filter(|(name, _)| wanted(name)).collect();
    let mut writer = client.writer();
    writer.map(found.len());
    for (name, value) in found {
        writer.bulk(name);
        writer.bulk(value);
    }
}

pub(super) fn role(client: &mut Client, _: Args<'_>) {
    let mut writer = client.writer();
    writer.array(3);
    writer.bulk("master");
    writer.int(0);
    writer.array(0);
}

pub(super) fn time(client: &mut Client, _: Args<'_>) {
    let now = unix_ms();
    let mut writer = client.writer();
    writer.array(2);
    writer.bulk((now / 1000).to_string());
    writer.bulk((now % 1000 * 1000).to_string());
}

/// No replicas: none has acknowledged anything.
pub(super) fn wait(client: &mut Client, args: Args<'_>) {
    match (parse_i64(&args[1]), parse_i64(&args[2])) {
        (None, _) => client.error(words::NO_INTEGER),
        (_, None) => client.error("ERR timeout is not an integer or out of range"),
        (_, Some(timeout)) if timeout < 0 => client.error("ERR timeout is negative"),
        _ => client.int(0),
    }
}

pub(super) fn latency(client: &mut Client, args: Args<'_>) {
    match &args[1] {
        word if eq_ignore_case(word, "latest") || eq_ignore_case(word, "history") => client.writer().array(0),
        word if eq_ignore_case(word, "reset") => client.int(0),
        word if eq_ignore_case(word, "doctor") => client.bulk("See the histograms of /metrics on the admin listener."),
        word if eq_ignore_case(word, "help") => words::help(client.writer(), args, "LATENCY", LATENCY_HELP),
        word => client.error(words::subcommand("latency", word)),
    }
}

pub(super) fn slowlog(client: &mut Client, args: Args<'_>) {
    match &args[1] {
        word if eq_ignore_case(word, "get") => client.writer().array(0),
        word if eq_ignore_case(word, "len") => client.int(0),
        word if eq_ignore_case(word, "reset") => client.ok(),
        word if eq_ignore_case(word, "help") => words::help(client.writer(), args, "SLOWLOG", SLOWLOG_HELP),
        word => client.error(words::subcommand("slowlog", word)),
    }
}
