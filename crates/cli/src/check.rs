//! Is a configuration right, and with `--connect`, can what it names be opened?

use std::path::Path;

use bellwether_server::config;
use bellwether_server::service::{Service, beside};

use crate::failure::Failure;
use crate::input::{environment, named};
use crate::output::{complain, say};

pub(crate) fn check(file: &Path, connect: bool, insecure: bool) -> Result<(), Failure> {
    let (config, mut problems) = config::load_all(file, environment(), insecure)?;
    if !problems.is_empty() {
        // Who mends these would meet the others next.
        problems.extend(if connect { named(beside(&config), file) } else { Vec::new() });
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        return Err(problems.into());
    }
    for warning in &config.warnings {
        complain(&format!("warning: {warning}"));
    }
    let summary =
        format!("{}: right; spaces: {}, origins: {}", file.display(), config.spaces.len(), config.origins.len());
    if !connect {
        say(&summary);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Run(format!("no thread can be started: {error}")))?;
    let opened = runtime.block_on(async {
        let service = Service::rehearse(config, runtime.handle().clone()).await?;
        match service.unreachable().await {
            problems if problems.is_empty() => Ok(service.advice().await),
            problems => Err(problems),
        }
    });
    for advice in named(opened.map_err(|problems| named(problems, file))?, file) {
        complain(&format!("warning: {advice}"));
    }
    say(&format!("{summary}, all reached"));
    Ok(())
}
