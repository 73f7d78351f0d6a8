//! Are refusals, help and INFO those of Redis?

use std::time::Duration;

use super::bench;

#[test]
fn words_and_help_are_rediss() {
    let mut bench = bench("");
    bench.expect(&[
        ("COMMAND GETKEYS", "-ERR wrong number of arguments for 'command|getkeys' command"),
        ("COMMAND GETKEYS PING", "-ERR wrong number of arguments for 'command|getkeys' command"),
        ("COMMAND GETKEYS NOSUCH a", "-ERR Invalid command specified"),
        ("COMMAND GETKEYS GET a b", "-ERR Invalid number of arguments specified for command"),
        ("COMMAND GETKEYS PUBLISH a b", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYS MSET a 1 b 2", "*2 $1 a $1 b"),
        ("COMMAND LIST x", "-ERR syntax error"),
        ("WAIT 0 x", "-ERR timeout is not an integer or out of range"),
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("WAIT 0 -1", "-ERR timeout is negative"),
        ("WAIT -1 0", ":0"),
        ("PEXPIRE kv:a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"),
        ("EXPIRE kv:a 9223372036854775807", "-ERR invalid expire time in 'expire' command"),
        ("SET kv:a 1 PX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
        ("PEXPIRE kv:a -9223372036854775808", ":0"),
        ("BW.GET kv:a CACHED FRESH", "-ERR only one of FRESH, CACHED and MAXAGE may be asked for"),
        ("BW.GET kv:a MAXAGE 5 CACHED", "-ERR only one of FRESH, CACHED and MAXAGE may be asked for"),
        ("CLIENT HELP x", "-ERR wrong number of arguments for 'client|help' command"),
    ]);
    for command in ["CLIENT", "OBJECT", "COMMAND", "CONFIG", "MEMORY", "LATENCY", "SLOWLOG"] {
        let help = bench.say(format!("{command} HELP\r\n"));
        let first = format!("+{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are: +");
        assert!(help.starts_with('*') && help.contains(&first), "{help}");
        assert!(help.ends_with("+HELP +    Prints this help."), "{help}");
    }
}

#[test]
fn one_command_names_a_bounded_number_of_keys() {
    let mut bench = bench("");
    let keys = " kv:a".repeat(10_000);
    for command in ["MGET", "DEL", "UNLINK", "EXISTS", "TOUCH"] {
        let words = format!("-ERR too many keys for '{}' command: at most 10000 at once", command.to_lowercase());
        assert_eq!(bench.say(multibulk(&format!("{command}{keys} kv:b"))), words);
        assert!(!bench.say(multibulk(&format!("{command}{keys}"))).starts_with('-'), "control: {command}");
    }
}

/// A command of many words as clients send it: as a line it would be too long.
fn multibulk(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let bulks = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), bulks.collect::<String>())
}

#[test]
fn info_tells_what_is_done_and_who_waits() {
    let mut bench = bench("");
    for _ in 0..20 {
        bench.say("PING\r\n".repeat(100));
        std::thread::sleep(Duration::from_millis(10));
    }
    let info = bench.say("INFO\r\n");
    let of = |name: &str| info.split(' ').find_map(|field| field.strip_prefix(name)?.parse::<u64>().ok());
    assert!(of("instantaneous_ops_per_sec:").is_some_and(|rate| rate > 100), "{info}");
    assert_eq!(of("blocked_clients:"), Some(0));
    bench.say("BW.GET kv:w LEASE 60000\r\n");
    let entered = bench.runtime.handle().clone();
    let _entered = entered.enter();
    bench.conn.process(b"BW.GET kv:w WAIT 60000\r\n");
    let info =
        super::super::info::text(&bench.conn.client.service, &bench.conn.client.clients, &["clients".to_owned()]);
    assert!(info.contains("blocked_clients:1\r\n"), "{info}");
}
