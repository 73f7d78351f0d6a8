//! How is the server started: from a file, or with the sample shop that needs none?

use std::path::Path;

use bellwether_server::run::{self, ConfigFile, StartError};
use bellwether_server::{config, telemetry};

use crate::failure::Failure;
use crate::input::{self, environment};

pub(crate) fn serve(file: Option<&Path>, insecure: bool) -> Result<(), Failure> {
    telemetry::init().map_err(Failure::input)?;
    let ended = match file {
        Some(path) => {
            let file = ConfigFile::new(path, environment(), insecure);
            run::run(file.load()?, Some(file)).map_err(|error| named(error, path))
        }
        None => {
            // Mistakes in the environment are bad input, and told before anything is made.
            config::sample(Path::new(""), environment(), insecure)?;
            run::run_sample(environment(), insecure)
        }
    };
    ended.map(drop).map_err(|error| Failure::Run(error.to_string()))
}

fn named(error: StartError, file: &Path) -> StartError {
    match error {
        StartError::Problems(problems) => StartError::Problems(input::named(problems, file)),
        other => other,
    }
}
