//! How is `bellwether serve` started beside the drill?

use std::path::Path;

use bellwether_servers::{Announced, ServerError};

/// Settings in the environment, which would reach the child's configuration.
const SETTINGS: &str = "BELLWETHER__";
const FILE: &str = "drill.toml";

/// Starts `program serve` with this configuration, and waits until it is ready. It chooses its ports itself.
pub(crate) fn serve(program: &Path, config: &str) -> Result<Announced, ServerError> {
    let listen = ["redis", "http", "admin"].map(|face| format!("{face} = \"127.0.0.1:0\"\n")).concat();
    let text = format!("[listen]\n{listen}\n{config}");
    Announced::start(program, &["serve", "--config", FILE], &[(FILE, text)], Some(SETTINGS))
}
