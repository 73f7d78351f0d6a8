//! In which words is a command refused? Redis's own, wherever Redis has any: clients look for them.

use bellwether_resp::{Args, Writer};

use crate::service::{KEY_TOO_LONG, Outcome, no_space};

pub(in crate::face::redis) const SYNTAX: &str = "ERR syntax error";
pub(super) const NO_INTEGER: &str = "ERR value is not an integer or out of range";
pub(super) const NO_CLUSTER: &str = "ERR This instance has cluster support disabled";

/// Bytes of a command's name, and of all its arguments together, that an error shows.
const SHOWN: usize = 128;

/// Commands of Redis that change a part of a value, or several keys under one condition.
const OF_PARTS: &[&str] = &[
    "append",
    "bitcount",
    "bitfield",
    "bitfield_ro",
    "bitop",
    "bitpos",
    "copy",
    "decr",
    "decrby",
    "getbit",
    "incr",
    "incrby",
    "incrbyfloat",
    "lcs",
    "msetnx",
    "rename",
    "renamenx",
    "setbit",
    "setrange",
];

/// Those that run programs.
const SCRIPTS: &[&str] = &["eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro", "function", "script"];

/// Commands of Redis that need another data type than strings.
const NOT_HERE: &[&str] = &[
    "blmove",
    "blmpop",
    "blpop",
    "brpop",
    "brpoplpush",
    "bzmpop",
    "bzpopmax",
    "bzpopmin",
    "dump",
    "geoadd",
    "geodist",
    "geohash",
    "geopos",
    "georadius",
    "georadiusbymember",
    "geosearch",
    "geosearchstore",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hincrby",
    "hincrbyfloat",
    "hkeys",
    "hlen",
    "hmget",
    "hmset",
    "hrandfield",
    "hscan",
    "hset",
    "hsetnx",
    "hstrlen",
    "hvals",
    "lindex",
    "linsert",
    "llen",
    "lmove",
    "lmpop",
    "lpop",
    "lpos",
    "lpush",
    "lpushx",
    "lrange",
    "lrem",
    "lset",
    "ltrim",
    "pfadd",
    "pfcount",
    "pfmerge",
    "restore",
    "rpop",
    "rpoplpush",
    "rpush",
    "rpushx",
    "sadd",
    "scard",
    "sdiff",
    "sdiffstore",
    "sinter",
    "sintercard",
    "sinterstore",
    "sismember",
    "smembers",
    "smismember",
    "smove",
    "sort",
    "sort_ro",
    "spop",
    "srandmember",
    "srem",
    "sscan",
    "sunion",
    "sunionstore",
    "xack",
    "xadd",
    "xautoclaim",
    "xclaim",
    "xdel",
    "xgroup",
    "xinfo",
    "xlen",
    "xpending",
    "xrange",
    "xread",
    "xreadgroup",
    "xrevrange",
    "xtrim",
    "zadd",
    "zcard",
    "zcount",
    "zdiff",
    "zdiffstore",
    "zincrby",
    "zinter",
    "zintercard",
    "zinterstore",
    "zlexcount",
    "zmpop",
    "zmscore",
    "zpopmax",
    "zpopmin",
    "zrandmember",
    "zrange",
    "zrangebylex",
    "zrangebyscore",
    "zrangestore",
    "zrank",
    "zrem",
    "zremrangebylex",
    "zremrangebyrank",
    "zremrangebyscore",
    "zrevrange",
    "zrevrangebylex",
    "zrevrangebyscore",
    "zrevrank",
    "zscan",
    "zscore",
    "zunion",
    "zunionstore",
];

/// A command that is not known: Redis 7's words, byte for byte, because clients fall back on them.
/// Where Redis would know it, a hint follows.
pub(in crate::face::redis) fn unknown(args: Args<'_>) -> Vec<u8> {
    let name = &args[0];
    let mut words = b"ERR unknown command '".to_vec();
    words.extend_from_slice(until_nul(name, SHOWN));
    words.extend_from_slice(b"', with args beginning with: ");
    let begin = words.len();
    for arg in args.from(1) {
        let shown = words.len() - begin;
        if shown >= SHOWN {
            break;
        }
        words.push(b'\'');
        words.extend_from_slice(until_nul(arg, SHOWN - shown));
        words.extend_from_slice(b"' ");
    }
    let lower = name.to_ascii_lowercase();
    if let Some(instead) = instead(&lower) {
        let hint = format!("(command '{}' is not available: {instead})", shown_name(name));
        words.extend_from_slice(hint.as_bytes());
    }
    words
}

/// What there is in the place of a command of Redis, by its name in lower case.
fn instead(name: &[u8]) -> Option<&'static str> {
    let among = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
    match name {
        b"keys" => Some("SCAN 0 MATCH pattern"),
        b"flushall" | b"flushdb" => Some("BW.TAG.REMOVE removes all that carries a tag"),
        _ if among(OF_PARTS) => Some("a value is read and written whole, by GET and SET"),
        _ if among(SCRIPTS) => Some("bellwether serve runs no scripts"),
        _ if among(NOT_HERE) => Some("bellwether serve answers string commands"),
        _ => None,
    }
}

/// C's `%.*s`: at most so many bytes, and none behind a NUL.
fn until_nul(bytes: &[u8], most: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(most)];
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn shown_name(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase()
}

/// Too few or too many arguments for the command, or for `command|subcommand`.
pub(in crate::face::redis) fn arity(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// More keys than one command may name.
pub(in crate::face::redis) fn too_many(name: &str, most: usize) -> String {
    format!("ERR too many keys for '{name}' command: at most {most} at once")
}

/// A command that a client of RESP2 may not send while it listens.
pub(in crate::face::redis) fn subscribed(name: &str) -> String {
    format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    )
}

pub(super) fn subcommand(command: &str, given: &[u8]) -> String {
    let given = String::from_utf8_lossy(until_nul(given, SHOWN)).into_owned();
    format!("ERR unknown subcommand '{given}'. Try {} HELP.", command.to_uppercase())
}

/// The subcommands with what each does, in the form of Redis.
pub(super) fn help(mut writer: Writer<'_, Vec<u8>>, args: Args<'_>, command: &str, subcommands: &[(&str, &str)]) {
    if args.len() != 2 {
        return writer.error(arity(&format!("{}|help", command.to_lowercase())));
    }
    writer.array(1 + 2 * (subcommands.len() + 1));
    writer.simple(format!("{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for (subcommand, does) in subcommands.iter().chain(&[("HELP", "Prints this help.")]) {
        writer.simple(subcommand);
        writer.simple(format!("    {does}"));
    }
}

pub(super) fn invalid_expire(command: &str) -> String {
    format!("ERR invalid expire time in '{command}' command")
}

/// An outcome that is no answer.
pub(in crate::face::redis) fn failed(outcome: &Outcome, key: &[u8]) -> String {
    match outcome {
        Outcome::Failed(failure) => failure.to_string(),
        Outcome::NoSpace => no_space(key),
        Outcome::KeyTooLong => KEY_TOO_LONG.to_owned(),
        Outcome::Value(_) | Outcome::Missing(_) => "ERR no failure".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_resp::{Limits, Parser};

    fn words(line: &str) -> String {
        let mut parser = Parser::new(Limits::NORMAL);
        let _ = parser.next(line.as_bytes()).expect("a command");
        String::from_utf8(unknown(parser.args(line.as_bytes()))).expect("text")
    }

    #[test]
    fn unknown_commands_are_refused_in_redis_words() {
        assert_eq!(words("NoSuch\n"), "ERR unknown command 'NoSuch', with args beginning with: ");
        assert_eq!(words("NOSUCH a b\n"), "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' ");
        let long = words(&format!("NOSUCH {} {} c\n", "a".repeat(100), "b".repeat(100)));
        assert!(long.ends_with(&format!("'{}' '{}' ", "a".repeat(100), "b".repeat(128 - 103))), "{long}");
        assert_eq!(words("N \"a\\x00b\"\n"), "ERR unknown command 'N', with args beginning with: 'a' ");
    }

    #[test]
    fn a_command_of_another_type_says_what_there_is() {
        let told = words("LPUSH k v\n");
        assert!(told.starts_with("ERR unknown command 'LPUSH', with args beginning with: 'k' 'v' (command 'lpush'"));
        for (line, instead) in [
            ("LPUSH k v\n", "answers string commands"),
            ("Incr k\n", "whole, by GET and SET"),
            ("EVALSHA x 0\n", "no scripts"),
            ("FLUSHALL\n", "BW.TAG.REMOVE"),
            ("KEYS *\n", "SCAN 0 MATCH"),
        ] {
            assert!(words(line).contains(instead), "{line}");
        }
    }

    #[test]
    fn no_command_that_is_here_is_said_not_to_be() {
        for name in [NOT_HERE, OF_PARTS, SCRIPTS].concat() {
            assert!(super::super::table::TABLE.find(name.as_bytes()).is_none(), "{name}");
        }
    }
}
