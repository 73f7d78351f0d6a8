//! What can a client learn about the commands? COMMAND and its subcommands.

use bellwether_resp::{Args, Writer, eq_ignore_case};

use super::super::client::Client;
use super::command::{Command, Kind, Table};
use super::words;

const HELP: &[(&str, &str)] = &[
    ("(no subcommand)", "Details of all commands."),
    ("COUNT", "How many commands there are."),
    ("GETKEYS <full-command>", "The keys in a full command."),
    ("INFO [<command-name> ...]", "Details of these commands, or of all."),
    ("LIST", "The names of all commands."),
];

pub(super) fn command(client: &mut Client, args: Args<'_>, table: &Table) {
    let Some(word) = args.get(1) else {
        return all(table, &mut client.writer());
    };
    match word {
        word if eq_ignore_case(word, "count") && args.len() == 2 => client.int(table.0.len()),
        word if eq_ignore_case(word, "count") => client.error(words::arity("command|count")),
        word if eq_ignore_case(word, "list") && args.len() > 2 => client.error(words::SYNTAX),
        word if eq_ignore_case(word, "list") => {
            let mut writer = client.writer();
            writer.array(table.0.len());
            table.0.iter().for_each(|command| writer.bulk(command.name));
        }
        word if eq_ignore_case(word, "info") && args.len() == 2 => all(table, &mut client.writer()),
        word if eq_ignore_case(word, "info") => {
            let mut writer = client.writer();
            writer.array(args.len() - 2);
            for name in args.from(2) {
                match table.find(name) {
                    Some(command) => tell(command, &mut writer),
                    None => writer.nil_array(),
                }
            }
        }
        // No DOCS: told that there are none, redis-cli helps people type by what it knows of Redis itself.
        word if eq_ignore_case(word, "getkeys") => match keys(table, args.from(2)) {
            Ok(keys) => {
                let mut writer = client.writer();
                writer.array(keys.len());
                keys.into_iter().for_each(|key| writer.bulk(key));
            }
            Err(words) => client.error(words),
        },
        word if eq_ignore_case(word, "help") => words::help(client.writer(), args, "COMMAND", HELP),
        word => client.error(words::subcommand("command", word)),
    }
}

fn all(table: &Table, writer: &mut Writer<'_, Vec<u8>>) {
    writer.array(table.0.len());
    table.0.iter().for_each(|command| tell(command, writer));
}

/// Ten fields, as since Redis 7.
fn tell(command: &Command, writer: &mut Writer<'_, Vec<u8>>) {
    let (flag, category) = match command.kind {
        Kind::Read => ("readonly", "@read"),
        Kind::Write => ("write", "@write"),
        Kind::Other => ("loading", "@connection"),
    };
    writer.array(10);
    writer.bulk(command.name);
    writer.int(i64::from(command.arity));
    writer.set(1);
    writer.simple(flag);
    let (first, last, step) = command.keys;
    [first, last, step].into_iter().for_each(|place| writer.int(i64::from(place)));
    writer.set(1);
    writer.simple(category);
    // Tips, key specifications, subcommands.
    (0..3).for_each(|_| writer.array(0));
}

fn keys<'a>(table: &Table, args: Args<'a>) -> Result<Vec<&'a [u8]>, String> {
    // A command and at least one argument of it, as in Redis.
    if args.len() < 2 {
        return Err(words::arity("command|getkeys"));
    }
    let Some(command) = args.get(0).and_then(|name| table.find(name)) else {
        return Err("ERR Invalid command specified".to_owned());
    };
    let (first, last, step) = command.keys;
    if first == 0 {
        return Err("ERR The command has no key arguments".to_owned());
    }
    if !command.takes(args.len()) {
        return Err("ERR Invalid number of arguments specified for command".to_owned());
    }
    let first = usize::try_from(first).unwrap_or(1);
    // Counted from the end where negative; the last of the arguments is -1.
    let last = usize::try_from(last).unwrap_or(args.len() - 1);
    let step = usize::try_from(step).unwrap_or(1).max(1);
    Ok((first..=last).step_by(step).filter_map(|at| args.get(at)).collect())
}
