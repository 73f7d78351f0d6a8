//! What can the repository do for itself? `cargo xtask help` lists it.

mod imports;
mod licences;
mod setup;
mod shape;
mod spdx;
mod steps;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask VERB
  test       everything that must hold: format, imports, licences, clippy, all tests with real clients
  setup      only install what the tests need (Redis, Memcached, PostgreSQL, curl, openssl, Python and Node clients)
  imports    only look for import cycles between files, and for imports that point upwards
  shape      only look for files that are too long, or do not say what they are for
  licences   only check the dependencies' licences and sources against deny.toml
  help       this text

VERB of your own while working: `cargo test -p CRATE` needs no set-up, except for bellwether-system.";

fn main() -> ExitCode {
    let verb = std::env::args().nth(1);
    let root = root();
    let outcome = match verb.as_deref() {
        Some("test") => test::run(&root),
        Some("setup") => setup::everything(&root).map(|_| ()),
        Some("imports") => imports::check(&root),
        Some("shape") => shape::check(&root),
        Some("licences") => licences::check(&root),
        None | Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("no verb '{other}'\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root: cargo runs this program from anywhere inside it.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
