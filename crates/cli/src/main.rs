//! What can be asked of Bellwether on the command line?
#![forbid(unsafe_code)]

mod admin;
mod bench;
mod check;
mod demo;
mod dlq;
mod drill;
mod explain;
mod failure;
mod files;
mod forecast;
mod hot;
mod hotkeys;
mod input;
mod key;
mod live;
mod output;
mod report;
mod serve;
mod signals;
mod simulate;
mod top;
mod warm;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;
use output::complain;

/// Allocations come from all threads at once: loads fill what connections read.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What it was built with: heavy adapters can be left out.
#[cfg(feature = "postgres")]
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (origins: sqlite, http, postgres)");
#[cfg(not(feature = "postgres"))]
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (origins: sqlite, http)");

const EXIT_CODES: &str = "Exit codes:\n  \
    0  done\n  \
    1  it could not start or run: a port in use, no server to ask; nothing is owed or announced of\n     \
    the key that was named; demo, drill: a claim does not hold\n  \
    2  bad input: the command line, a file or name in it that is not there or no such thing,\n     \
    or a configuration with problems (one line each: file:line:column: …), those included that show\n     \
    when what it names is opened: a database that is not there, a query that it refuses\n\n\
    Logs go to stderr; BELLWETHER_LOG (or RUST_LOG) filters them: BELLWETHER_LOG=debug";

/// A stampede-proof read-through cache: one request leads, the herd follows.
#[derive(Parser)]
#[command(name = "bellwether", version = VERSION, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the server; without a file, a sample shop that works at once
    Serve {
        /// What to serve, as TOML
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// A file in the place where none is expected
        #[arg(hide = true)]
        file: Option<PathBuf>,
        /// Allow addresses that others can reach without a password
        #[arg(long)]
        insecure: bool,
    },
    /// See it: a herd against a weak database, with plain cache-aside and with Bellwether, side by side
    Demo(demo::Arguments),
    /// Tell every problem of a configuration at once
    Check {
        /// The configuration
        #[arg(required_unless_present = "config")]
        file: Option<PathBuf>,
        /// The same, as `serve` is told it
        #[arg(long, value_name = "FILE", conflicts_with = "file")]
        config: Option<PathBuf>,
        /// Also open the origins and prepare the statements
        #[arg(long)]
        connect: bool,
        /// Allow addresses that others can reach without a password
        #[arg(long)]
        insecure: bool,
    },
    /// Show what a running server knows of a key, and how it would answer
    Explain {
        /// The key, as in GET
        key: OsString,
        /// The server's admin listener; its password, if any, is read from BELLWETHER_ADMIN_PASSWORD
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
        admin: String,
    },
    /// Show which keys of a running server draw more than their share, and what is done about it
    Hotkeys {
        /// So many keys, the hottest first
        #[arg(long, short, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=256))]
        number: u16,
        /// Once, instead of again every second
        #[arg(long)]
        once: bool,
        /// The server's admin listener; its password, if any, is read from BELLWETHER_ADMIN_PASSWORD
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
        admin: String,
    },
    /// Show how a running server is doing: what it is asked, what its origins see of that, tiers, breakers, hot keys
    Top {
        /// So many of the hot keys
        #[arg(long, short, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=256))]
        number: u16,
        /// Once, of one second, instead of again every second
        #[arg(long)]
        once: bool,
        /// The server's admin listener; its password, if any, is read from BELLWETHER_ADMIN_PASSWORD
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
        admin: String,
    },
    /// Show the largest values in a running server's memory
    Bigkeys {
        /// So many, the largest first
        #[arg(long, short, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        number: u16,
        /// The server's admin listener; its password, if any, is read from BELLWETHER_ADMIN_PASSWORD
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
        admin: String,
    },
    /// Show which values of a running server stop being fresh when, and how many together
    Forecast {
        /// The server's admin listener; its password, if any, is read from BELLWETHER_ADMIN_PASSWORD
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
        admin: String,
    },
    /// Show, retry or drop invalidations that the shared tier of a running server could not be told
    Dlq {
        /// What to do with them
        #[command(subcommand)]
        what: dlq::Dlq,
        /// The server's admin listener; its password, if any, is read from BELLWETHER_ADMIN_PASSWORD
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090", global = true)]
        admin: String,
    },
    /// Say of a running server's key that it will be hot
    Hot {
        /// What to say
        #[command(subcommand)]
        what: hot::Hot,
        /// The server's admin listener; its password, if any, is read from BELLWETHER_ADMIN_PASSWORD
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090", global = true)]
        admin: String,
    },
    /// Load keys before anybody asks for them, no faster than the origin's guard lets them through
    Warm(warm::Arguments),
    /// Reproduce races and incidents on a real server, and judge it
    Drill {
        /// Which; `drill list` tells them
        #[command(subcommand)]
        drill: drill::Drill,
    },
    /// Measure this machine: GET hits beside whatever of Redis, Valkey, Memcached, Varnish and nginx is installed
    Bench(bench::Arguments),
    /// Compare policies in virtual time, or replay a recorded trace under other limits
    Simulate(Box<simulate::Arguments>),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Serve { file: Some(file), .. } => {
            let hint = format!("bellwether serve --config {}", output::printable(&file.to_string_lossy()));
            Err(Failure::input(format!("`serve` takes its file as --config: {hint}")))
        }
        Verb::Serve { config, insecure, .. } => serve::serve(config.as_deref(), insecure),
        Verb::Demo(arguments) => demo::demo(arguments),
        Verb::Check { file, config, connect, insecure } => {
            // One of them is there, or the line was refused.
            check::check(&file.or(config).unwrap_or_default(), connect, insecure)
        }
        Verb::Explain { key, admin } => explain::explain(&key, &admin),
        Verb::Hotkeys { number, once, admin } => hotkeys::hotkeys(&admin, number, once),
        Verb::Top { number, once, admin } => top::top(&admin, number, once),
        Verb::Bigkeys { number, admin } => hotkeys::bigkeys(&admin, number),
        Verb::Forecast { admin } => forecast::forecast(&admin),
        Verb::Dlq { what, admin } => dlq::dlq(&what, &admin),
        Verb::Hot { what, admin } => hot::hot(&what, &admin),
        Verb::Warm(arguments) => warm::warm(&arguments),
        Verb::Drill { drill } => drill::drill(drill),
        Verb::Bench(arguments) => bench::bench(&arguments),
        Verb::Simulate(arguments) => simulate::simulate(&arguments),
    };
    match done.and_then(|()| output::all_shown()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Run(words)) => {
            complain(&format!("bellwether: {words}"));
            ExitCode::from(1)
        }
        Err(Failure::Input(lines)) => {
            lines.iter().for_each(|line| complain(line));
            ExitCode::from(2)
        }
    }
}
