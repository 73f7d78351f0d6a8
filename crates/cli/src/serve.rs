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
            run::run(file.load()?, Some(file)).map_err(|error| failure(error, Some(path)))
        }
        None => {
            // Mistakes in the environment are bad input, and told before anything is made.
            config::sample(Path::new(""), environment(), insecure)?;
            run::run_sample(environment(), insecure).map_err(|error| failure(error, None))
        }
    };
    ended.map(drop)
}

/// What the file names and what can't be opened is said as `check --connect` says it.
fn failure(error: StartError, file: Option<&Path>) -> Failure {
    match (error, file) {
        (StartError::Problems(problems), Some(file)) => input::named(problems, file).into(),
        (StartError::Problems(problems), None) => problems.into(),
        (other, _) => Failure::Run(other.to_string()),
    }
}
