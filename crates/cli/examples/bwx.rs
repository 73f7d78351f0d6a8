//! x
#![allow(missing_docs, clippy::all)]
use bellwether_server::run::{self, ConfigFile};
use std::path::Path;
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let _ = bellwether_server::telemetry::init();
    let path = std::env::args().nth(3).unwrap();
    let file = ConfigFile::new(Path::new(&path), std::iter::empty::<(String, String)>(), false);
    let _ = run::run(file.load().ok().unwrap(), Some(file));
}
