//! Who is there, and how do they speak? HELLO, AUTH, CLIENT and what else concerns the connection alone.

use bellwether_resp::{Args, Protocol, eq_ignore_case, parse_i64};

use super::super::client::{Client, Library};
use super::super::info::VERSION;
use super::{tracking, words};

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the default user. \
                           Are you sure your configuration is correct?";
const HELLO_FIRST: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                           HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
                           select the RESP protocol version at the same time";
/// The only user there is.
const USER: &str = "default";

pub(super) fn auth(client: &mut Client, args: Args<'_>) {
    if args.len() > 3 {
        return client.error(words::SYNTAX);
    }
    if args.len() == 2 && client.service.password().is_none() {
        return client.error(NO_PASSWORD);
    }
    let (user, password) = if args.len() == 2 { (USER.as_bytes(), &args[1]) } else { (&args[1], &args[2]) };
    match authenticate(client, user, password) {
        true => client.ok(),
        false => client.error(WRONG_PASSWORD),
    }
}

fn authenticate(client: &mut Client, user: &[u8], password: &[u8]) -> bool {
    let right = client.service.password().is_none_or(|secret| secret.matches(password));
    let known = right && user == USER.as_bytes();
    client.known |= known;
    known
}

pub(super) fn hello(client: &mut Client, args: Args<'_>) {
    let mut protocol = client.protocol;
    if let Some(version) = args.get(1) {
        protocol = match parse_i64(version) {
            None => return client.error("ERR Protocol version is not an integer or out of range"),
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return client.error("NOPROTO unsupported protocol version"),
        };
    }
    let mut name = None;
    let mut at = 2;
    while let Some(option) = args.get(at) {
        match (args.get(at + 1), args.get(at + 2)) {
            (Some(user), Some(password)) if eq_ignore_case(option, "auth") => {
                if !authenticate(client, user, password) {
                    return client.error(WRONG_PASSWORD);
                }
                at += 3;
            }
            (Some(given), _) if eq_ignore_case(option, "setname") => {
                if !is_name(given) {
                    return client.error(BAD_NAME);
                }
                name = Some(given.to_vec());
                at += 2;
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return client.error(format!("ERR Syntax error in HELLO option '{option}'"));
            }
        }
    }
    if !client.known {
        return client.error(HELLO_FIRST);
    }
    client.protocol = protocol;
    client.name = name.unwrap_or_else(|| std::mem::take(&mut client.name));
    greet(client);
}

fn greet(client: &mut Client) {
    let (id, protocol) = (client.id, client.protocol);
    let mut writer = client.writer();
    writer.map(7);
    // Clients that look at this name do so to learn what the server can do.
    for (key, value) in [("server", "redis"), ("version", VERSION)] {
        writer.bulk(key);
        writer.bulk(value);
    }
    writer.bulk("proto");
    writer.int(if protocol == Protocol::Resp3 { 3 } else { 2 });
    writer.bulk("id");
    writer.int(i64::try_from(id).unwrap_or(i64::MAX));
    for (key, value) in [("mode", "standalone"), ("role", "master")] {
        writer.bulk(key);
        writer.bulk(value);
    }
    writer.bulk("modules");
    writer.array(0);
}

pub(super) fn ping(client: &mut Client, args: Args<'_>) {
    // What listens in RESP2 could not tell a PONG from a message.
    if client.protocol == Protocol::Resp2 && client.following.subscriptions() > 0 && args.len() <= 2 {
        let mut writer = client.writer();
        writer.array(2);
        writer.bulk("pong");
        return writer.bulk(args.get(1).unwrap_or_default());
    }
    match (args.get(1), args.len()) {
        (None, _) => client.simple("PONG"),
        (Some(text), 2) => client.bulk(text),
        _ => client.error(words::arity("ping")),
    }
}

pub(super) fn echo(client: &mut Client, args: Args<'_>) {
    client.bulk(&args[1]);
}

pub(super) fn quit(client: &mut Client, _: Args<'_>) {
    client.ok();
    client.closing = true;
}

pub(super) fn reset(client: &mut Client, _: Args<'_>) {
    client.multi = None;
    client.skip = 0;
    client.replies.mute(false);
    client.protocol = Protocol::Resp2;
    client.known = client.service.password().is_none();
    client.name.clear();
    client.following.reset();
    client.simple("RESET");
}

pub(super) fn select(client: &mut Client, args: Args<'_>) {
    match parse_i64(&args[1]) {
        Some(0) => client.ok(),
        Some(_) => client.error("ERR DB index is out of range"),
        None => client.error(words::NO_INTEGER),
    }
}

/// CLUSTER, READONLY and READWRITE: there is none, in the words by which clients know it.
pub(super) fn cluster(client: &mut Client, _: Args<'_>) {
    client.error(words::NO_CLUSTER);
}

const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

fn is_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

type Run = fn(&mut Client, Args<'_>);

/// Subcommands of CLIENT with the number of arguments that each takes, as Redis counts.
const SUBCOMMANDS: &[(&str, i32, Run)] = &[
    ("caching", 3, tracking::caching),
    ("getname", 2, |client, _| {
        let name = client.name.clone();
        if name.is_empty() { client.writer().nil() } else { client.bulk(name) }
    }),
    ("getredir", 2, tracking::redirect),
    ("id", 2, |client, _| client.int(client.id)),
    ("info", 2, |client, _| {
        let line = line(client);
        client.writer().verbatim(*b"txt", line);
    }),
    ("kill", -3, kill),
    ("list", -2, |client, _| {
        let line = line(client);
        client.writer().verbatim(*b"txt", line);
    }),
    ("no-evict", 3, on_or_off),
    ("no-touch", 3, on_or_off),
    ("reply", 3, reply),
    ("setinfo", 4, setinfo),
    ("setname", 3, |client, args| {
        if !is_name(&args[2]) {
            return client.error(BAD_NAME);
        }
        client.name = args[2].to_vec();
        client.ok();
    }),
    ("tracking", -3, tracking::tracking),
    ("trackinginfo", 2, tracking::info),
];

const HELP: &[(&str, &str)] = &[
    ("GETNAME", "The name of the current connection."),
    ("CACHING (YES|NO)", "Whether the next command's keys are kept, with OPTIN or OPTOUT."),
    ("GETREDIR", "Whom invalidations are told to; 0: this connection, -1: nobody."),
    ("ID", "The number of the current connection."),
    ("INFO", "The current connection."),
    ("KILL ID <id>", "Close the current connection; others are not ours to close."),
    ("LIST", "The current connection; others are counted in /metrics."),
    ("NO-EVICT (ON|OFF)", "Nothing: no client is evicted."),
    ("NO-TOUCH (ON|OFF)", "Nothing."),
    ("REPLY (ON|OFF|SKIP)", "Whether commands are replied to."),
    ("SETINFO <LIB-NAME|LIB-VER> <value>", "Name the client's library."),
    ("SETNAME <name>", "Name the current connection."),
    ("TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]", "Be told what is no longer good."),
    ("         [OPTIN] [OPTOUT] [NOLOOP]", "Options of TRACKING, as in Redis."),
    ("TRACKINGINFO", "How this connection tracks."),
];

pub(super) fn client(client: &mut Client, args: Args<'_>) {
    let given = &args[1];
    let Some((name, arity, run)) = SUBCOMMANDS.iter().find(|(name, ..)| eq_ignore_case(given, name)) else {
        return match eq_ignore_case(given, "help") {
            true => words::help(client.writer(), args, "CLIENT", HELP),
            false => client.error(words::subcommand("client", given)),
        };
    };
    let least = arity.unsigned_abs() as usize;
    if args.len() < least || (*arity > 0 && args.len() > least) {
        return client.error(words::arity(&format!("client|{name}")));
    }
    run(client, args);
}

/// This connection as a line of CLIENT LIST.
fn line(client: &Client) -> String {
    let protocol = if client.protocol == Protocol::Resp3 { 3 } else { 2 };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "id={} addr={} laddr=127.0.0.1:{} name={} db=0 multi={} cmd=client user={USER} lib-name={} lib-ver={} resp={protocol}\n",
        client.id,
        client.peer,
        client.clients.port(),
        text(&client.name),
        client.multi.as_ref().map_or(-1, |queue| i64::try_from(queue.commands).unwrap_or(i64::MAX)),
        text(&client.library.name),
        text(&client.library.version),
    )
}

/// A connection can end itself; others are the operating system's to end.
fn kill(client: &mut Client, args: Args<'_>) {
    let own = client.id.to_string();
    match (args.get(2), args.get(3)) {
        (Some(word), Some(id)) if eq_ignore_case(word, "id") => {
            let itself = id == own.as_bytes();
            client.closing |= itself;
            client.int(i64::from(itself));
        }
        (Some(_), Some(_)) => client.int(0),
        _ => client.error("ERR No such client"),
    }
}

/// Nothing is evicted or touched on behalf of a connection, so either is true already.
fn on_or_off(client: &mut Client, args: Args<'_>) {
    if eq_ignore_case(&args[2], "on") || eq_ignore_case(&args[2], "off") {
        client.ok();
    } else {
        client.error(words::SYNTAX);
    }
}

fn reply(client: &mut Client, args: Args<'_>) {
    match &args[2] {
        word if eq_ignore_case(word, "on") => {
            client.skip = 0;
            client.replies.mute(false);
            client.ok();
        }
        word if eq_ignore_case(word, "off") => client.replies.mute(true),
        // This command itself, and the one behind it.
        word if eq_ignore_case(word, "skip") => client.skip = 2,
        _ => client.error(words::SYNTAX),
    }
}

fn setinfo(client: &mut Client, args: Args<'_>) {
    if !is_name(&args[3]) {
        let what = String::from_utf8_lossy(&args[2]).to_lowercase();
        return client.error(format!("ERR {what} cannot contain spaces, newlines or special characters."));
    }
    let Library { name, version } = &mut client.library;
    match &args[2] {
        word if eq_ignore_case(word, "lib-name") => *name = args[3].to_vec(),
        word if eq_ignore_case(word, "lib-ver") => *version = args[3].to_vec(),
        word => {
            let word = String::from_utf8_lossy(word).into_owned();
            return client.error(format!("ERR Unrecognized option '{word}'"));
        }
    }
    client.ok();
}
