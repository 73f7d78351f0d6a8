//! Which commands are there? Name, arity, keys and what begins each.

use super::command::Kind::{Other, Read, Write};
use super::command::{Command, Table, command};
use super::{batch, channels, connection, keyspace, meta, own, read, server, ttl, write};

const NONE: (i32, i32, i32) = (0, 0, 0);
const ONE: (i32, i32, i32) = (1, 1, 1);
const ALL: (i32, i32, i32) = (1, -1, 1);
const PAIRS: (i32, i32, i32) = (1, -1, 2);
/// Behind a subcommand.
const SECOND: (i32, i32, i32) = (2, 2, 1);

/// In the order of their names.
static COMMANDS: &[Command] = &[
    command("auth", -2, NONE, Other, connection::auth).before_auth(),
    command("bw.expire", 2, ONE, Write, own::expire),
    command("bw.explain", 2, ONE, Read, own::explain),
    command("bw.get", -2, ONE, Read, own::get),
    command("bw.hotkeys", -1, NONE, Other, own::hotkeys),
    command("bw.refresh", 2, ONE, Write, own::refresh),
    command("bw.release", -3, ONE, Write, own::release),
    command("bw.set", -4, ONE, Write, own::set),
    command("bw.tag.expire", -2, NONE, Write, own::tag_expire),
    command("bw.tag.refresh", -2, NONE, Write, own::tag_refresh),
    command("bw.tag.remove", -2, NONE, Write, own::tag_remove),
    command("client", -2, NONE, Other, connection::client),
    command("cluster", -2, NONE, Other, connection::cluster),
    command("command", -1, NONE, Other, |client, args| meta::command(client, args, &TABLE)),
    command("config", -2, NONE, Other, server::config),
    command("dbsize", 1, NONE, Read, keyspace::dbsize),
    command("del", -2, ALL, Write, write::del),
    command("discard", 1, NONE, Other, batch::discard).at_once(),
    command("echo", 2, NONE, Other, connection::echo),
    command("exec", 1, NONE, Other, batch::exec).at_once(),
    command("exists", -2, ALL, Read, read::exists),
    command("expire", -3, ONE, Write, ttl::expire),
    command("expireat", -3, ONE, Write, ttl::expireat),
    command("expiretime", 2, ONE, Read, ttl::expiretime),
    command("get", 2, ONE, Read, read::get_kept),
    command("getdel", 2, ONE, Write, write::getdel),
    command("getex", -2, ONE, Write, write::getex),
    command("getrange", 4, ONE, Read, read::getrange),
    command("getset", 3, ONE, Write, write::getset),
    command("hello", -1, NONE, Other, connection::hello).before_auth(),
    command("info", -1, NONE, Other, server::info),
    command("latency", -2, NONE, Other, server::latency),
    command("memory", -2, SECOND, Read, keyspace::memory),
    command("mget", -2, ALL, Read, read::mget),
    command("mset", -3, PAIRS, Write, write::mset),
    command("multi", 1, NONE, Other, batch::multi).at_once(),
    command("object", -2, SECOND, Read, keyspace::object),
    command("persist", 2, ONE, Write, ttl::persist),
    command("pexpire", -3, ONE, Write, ttl::pexpire),
    command("pexpireat", -3, ONE, Write, ttl::pexpireat),
    command("pexpiretime", 2, ONE, Read, ttl::pexpiretime),
    command("ping", -1, NONE, Other, connection::ping),
    command("psetex", 4, ONE, Write, write::psetex),
    command("psubscribe", -2, NONE, Other, channels::psubscribe),
    command("pttl", 2, ONE, Read, ttl::pttl),
    command("publish", 3, NONE, Other, channels::not_ours),
    command("punsubscribe", -1, NONE, Other, channels::punsubscribe),
    command("quit", -1, NONE, Other, connection::quit).before_auth().at_once(),
    command("randomkey", 1, NONE, Read, keyspace::randomkey),
    command("readonly", 1, NONE, Other, connection::cluster),
    command("readwrite", 1, NONE, Other, connection::cluster),
    command("reset", 1, NONE, Other, connection::reset).before_auth().at_once(),
    command("role", 1, NONE, Other, server::role),
    command("scan", -2, NONE, Read, keyspace::scan),
    command("select", 2, NONE, Other, connection::select),
    command("set", -3, ONE, Write, write::set),
    command("setex", 4, ONE, Write, write::setex),
    command("setnx", 3, ONE, Write, write::setnx),
    command("slowlog", -2, NONE, Other, server::slowlog),
    command("ssubscribe", -2, NONE, Other, channels::not_ours),
    command("strlen", 2, ONE, Read, read::strlen),
    command("subscribe", -2, NONE, Other, channels::subscribe),
    command("substr", 4, ONE, Read, read::getrange),
    command("sunsubscribe", -1, NONE, Other, channels::not_ours),
    command("time", 1, NONE, Other, server::time),
    command("touch", -2, ALL, Read, read::touch),
    command("ttl", 2, ONE, Read, ttl::ttl),
    command("type", 2, ONE, Read, read::kind),
    command("unlink", -2, ALL, Write, write::del),
    command("unsubscribe", -1, NONE, Other, channels::unsubscribe),
    command("unwatch", 1, NONE, Other, batch::unwatch),
    command("wait", 3, NONE, Other, server::wait),
    command("watch", -2, ALL, Other, batch::watch).at_once(),
];

/// What there is, for all who look for a command.
pub(in crate::face::redis) static TABLE: Table = Table(COMMANDS);

#[cfg(test)]
mod tests {
    use super::super::command::MAX_KEYS;
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case() {
        for pair in COMMANDS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} stands before {}", pair[0].name, pair[1].name);
        }
        for command in COMMANDS {
            assert!(TABLE.find(command.name.to_uppercase().as_bytes()).is_some_and(|found| found.name == command.name));
        }
        assert!(TABLE.find(b"").is_none() && TABLE.find(b"getx").is_none() && TABLE.find(&[b'a'; 100]).is_none());
    }

    #[test]
    fn the_keys_of_one_command_are_bounded() {
        let too_many = |name: &str, args| TABLE.find(name.as_bytes()).expect("a command").names_too_many(args);
        for name in ["mget", "del", "unlink", "exists", "touch", "watch"] {
            assert!(!too_many(name, MAX_KEYS + 1) && too_many(name, MAX_KEYS + 2), "{name}");
        }
        assert!(!too_many("mset", 2 * MAX_KEYS + 1) && too_many("mset", 2 * MAX_KEYS + 3));
        assert!(!too_many("bw.set", MAX_KEYS * 2), "its key is one, its tags have a bound of their own");
    }

    #[test]
    fn arity_counts_the_name_and_a_negative_one_is_a_minimum() {
        let takes = |name: &str, args| TABLE.find(name.as_bytes()).expect("a command").takes(args);
        assert!(takes("get", 2) && !takes("get", 1) && !takes("get", 3));
        assert!(takes("mget", 2) && takes("mget", 900) && !takes("mget", 1));
    }
}
