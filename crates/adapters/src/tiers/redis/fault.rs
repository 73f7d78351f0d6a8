//! What does a node's error mean? A closed list, and what to do about each.

use bellwether::shared::{TierError, TierTrouble};
use redis::{RedisError, ServerError};

/// Why a command brought no answer of use.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The breaker is open: the node was not asked.
    Open(String),
    /// No connection, or it broke.
    Lost(String),
    /// No answer in time.
    Silent(String),
    /// Another node has the slot, and will keep it.
    Moved(u16, String),
    /// Another node has the key already, while the slot is on its way.
    Ask(String),
    /// It is no primary (any more).
    ReadOnly,
    /// It starts, or its cluster has no majority: in a moment, perhaps.
    Later(String),
    /// It does not know the script.
    NoScript,
    /// Full, and evicts nothing.
    Full,
    /// The key holds another type.
    WrongType,
    /// Wrong password, or rights are missing.
    Denied(String),
    /// It could not save, or has too few replicas, and is set to take no writes then.
    Unsafe(String),
    /// Any other error, or an answer of an unexpected shape.
    Other(String),
}

/// Codes by which servers say what is wrong. Within a script's error they stand somewhere in the text.
const CODES: [&str; 14] = [
    "WRONGTYPE",
    "OOM",
    "READONLY",
    "NOSCRIPT",
    "LOADING",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MASTERDOWN",
    "NOPERM",
    "NOAUTH",
    "WRONGPASS",
    "BUSY",
    "MISCONF",
    "NOREPLICAS",
];

impl Fault {
    /// From what the client library reports.
    pub(super) fn of(error: &RedisError) -> Fault {
        if error.is_timeout() {
            return Fault::Silent("no answer in time".into());
        }
        // What it says of a broken connection names no secrets: an operating system's words.
        if error.is_io_error() || error.is_connection_dropped() {
            return Fault::Lost(error.to_string());
        }
        match error.kind() {
            redis::ErrorKind::AuthenticationFailed => Fault::Denied("wrong user or password".into()),
            redis::ErrorKind::Parse => Fault::Lost("it answered what is no RESP".into()),
            _ => match error.code() {
                Some(code) => Fault::told(code, error.detail().unwrap_or_default()),
                None => Fault::Other(error.to_string()),
            },
        }
    }

    /// From an error among a node's answers.
    pub(super) fn answered(error: &ServerError) -> Fault {
        Fault::told(error.code(), error.details().unwrap_or_default())
    }

    fn told(code: &str, detail: &str) -> Fault {
        // Redis 6 wraps an error inside a script: "ERR Error running script (…): @user_script:1: -OOM command …".
        let within = |text: &str| {
            let words = text.split(|c: char| !c.is_ascii_uppercase());
            words.into_iter().find_map(|word| CODES.iter().find(|code| **code == word).copied())
        };
        let code = if code == "ERR" { within(detail).unwrap_or(code) } else { code };
        match code {
            "MOVED" | "ASK" => match redirect(detail) {
                Some((slot, address)) if code == "MOVED" => Fault::Moved(slot, address),
                Some((_, address)) => Fault::Ask(address),
                None => Fault::Other(format!("{code} without an address")),
            },
            "READONLY" => Fault::ReadOnly,
            "LOADING" | "CLUSTERDOWN" | "TRYAGAIN" | "MASTERDOWN" | "BUSY" => Fault::Later(code.to_owned()),
            "NOSCRIPT" => Fault::NoScript,
            "OOM" => Fault::Full,
            "WRONGTYPE" => Fault::WrongType,
            "NOPERM" | "NOAUTH" | "WRONGPASS" => Fault::Denied(format!("{code} {detail}")),
            "MISCONF" | "NOREPLICAS" => Fault::Unsafe(format!("{code} {detail}")),
            _ if is_of_a_scripts_user(detail) => Fault::Denied(format!("NOPERM {detail}")),
            _ => Fault::Other(format!("{code} {detail}")),
        }
    }

    /// What it is to the engine.
    pub(super) fn trouble(&self) -> TierTrouble {
        match self {
            Fault::Open(_) | Fault::Lost(_) | Fault::Silent(_) | Fault::Moved(..) | Fault::Ask(_) => {
                TierTrouble::Unreachable
            }
            Fault::ReadOnly => TierTrouble::ReadOnly,
            Fault::Later(_) => TierTrouble::NotReady,
            Fault::NoScript | Fault::Unsafe(_) | Fault::Other(_) => TierTrouble::Failed,
            Fault::Full => TierTrouble::Full,
            Fault::WrongType => TierTrouble::WrongType,
            Fault::Denied(_) => TierTrouble::Denied,
        }
    }

    /// In words, with where it happened.
    pub(super) fn text(&self, node: &str) -> String {
        match self {
            Fault::Open(why) => format!("{node} can't be reached: {why}"),
            Fault::Lost(why) => format!("no connection to {node}: {why}"),
            Fault::Silent(why) | Fault::Other(why) => format!("{node}: {why}"),
            Fault::Moved(slot, to) => {
                format!("{node} sends slot {slot} on to {to}: it is a node of a cluster, or nodes disagree")
            }
            Fault::Ask(to) => format!("{node} sends on to {to}: nodes disagree"),
            Fault::ReadOnly => format!("{node} is a replica: it takes no writes"),
            Fault::Later(code) => format!("{node} is not ready: {code}"),
            Fault::NoScript => format!("{node} does not keep scripts"),
            Fault::Full => format!("{node} is full and evicts nothing (maxmemory-policy noeviction)"),
            Fault::WrongType => "the key holds another type than a string".to_owned(),
            Fault::Denied(why) => format!("{node} turns us away: {why}"),
            Fault::Unsafe(why) => format!("{node} refuses writes by its own settings: {why}"),
        }
    }

    /// For the engine, with where it happened.
    pub(super) fn into_error(self, node: &str) -> TierError {
        TierError { kind: self.trouble(), text: self.text(node) }
    }

    /// Whether it says of the server, and not of what was asked, that it takes no writes.
    pub(super) fn is_of_the_server(&self) -> bool {
        use Fault::{Denied, Full, Later, ReadOnly, Unsafe};
        matches!(self, ReadOnly | Later(_) | Full | Denied(_) | Unsafe(_))
    }
}

/// Whether an error of a script, whose code is `ERR`, says that its user lacks a right: as Redis 7 puts it, and as Valkey.
pub(crate) fn is_of_a_scripts_user(text: &str) -> bool {
    ["user executing the script", "ACL failure in script"].iter().any(|words| text.contains(words))
}

/// "3999 127.0.0.1:6381": slot and address. The host is empty where it is the one that answers.
fn redirect(detail: &str) -> Option<(u16, String)> {
    let (slot, address) = detail.trim().split_once(' ')?;
    Some((slot.parse().ok()?, address.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Fault {
        let value = redis::parse_redis_value(line.as_bytes()).expect("a reply");
        match value {
            redis::Value::ServerError(error) => Fault::answered(&error),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn errors_inside_scripts_mean_what_they_mean_outside() {
        assert!(matches!(of("-WRONGTYPE Operation against a key\r\n"), Fault::WrongType));
        assert!(matches!(
            of("-OOM command not allowed when used memory > 'maxmemory'. script: 1, on @user_script:9.\r\n"),
            Fault::Full
        ));
        let six =
            "-ERR Error running script (call to f_1): @user_script:3: @user_script: 3: -OOM command not allowed\r\n";
        assert!(matches!(of(six), Fault::Full));
        let six = "-ERR Error running script (call to f_1): @user_script:3: WRONGTYPE Operation against a key\r\n";
        assert!(matches!(of(six), Fault::WrongType));
        let seven =
            "-ERR The user executing the script can't run this command or subcommand script: 1, on @user_script:9.\r\n";
        assert!(matches!(of(seven), Fault::Denied(_)));
        let valkey = "-ERR ACL failure in script: User app has no permissions to run the 'set' command script: 1, on @user_script:9.\r\n";
        assert!(matches!(of(valkey), Fault::Denied(_)));
        assert!(matches!(of("-ERR unknown command 'FOO'\r\n"), Fault::Other(_)));
    }

    #[test]
    fn redirects_carry_where_to() {
        assert!(matches!(of("-MOVED 3999 127.0.0.1:6381\r\n"), Fault::Moved(3999, to) if to == "127.0.0.1:6381"));
        assert!(matches!(of("-ASK 1 [::1]:6381\r\n"), Fault::Ask(to) if to == "[::1]:6381"));
        assert!(matches!(of("-READONLY You can't write against a read only replica.\r\n"), Fault::ReadOnly));
        assert!(matches!(of("-CLUSTERDOWN The cluster is down\r\n"), Fault::Later(_)));
        assert!(matches!(of("-NOSCRIPT No matching script.\r\n"), Fault::NoScript));
        assert!(matches!(of("-NOPERM this user has no permissions\r\n"), Fault::Denied(_)));
    }
}
