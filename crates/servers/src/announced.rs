//! How is a program run that chooses its ports itself, and says on stdout where it listens?

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;

use crate::error::ServerError;
use crate::running::{Recipe, Running};

/// What a program says once it can be asked.
const READY: &str = "ready";

/// A program that has said `ready`, and before that `listening NAME ADDRESS`, a line each.
pub struct Announced(Running);

impl Announced {
    /// Starts `program` with `arguments` in an empty directory with these files (name and text), and waits until it is
    /// ready. Variables of the environment that begin with `without` are kept from it.
    pub fn start(
        program: &Path,
        arguments: &[&str],
        files: &[(&str, String)],
        without: Option<&'static str>,
    ) -> Result<Announced, ServerError> {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let files: Vec<(String, String)> =
            files.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
        let write = move |home: &Path| {
            files.iter().try_for_each(|(name, text)| {
                let file = home.join(name);
                fs::write(&file, text).map_err(ServerError::system(file.display().to_string()))
            })
        };
        let running = Running::start(Recipe {
            program: program.to_owned(),
            arguments: Box::new(move |_| arguments.clone()),
            user: None,
            without,
            farewell: None,
            prepare: Box::new(write),
            ready: Box::new(|place| place.log().lines().any(|line| line == READY)),
        })?;
        Ok(Announced(running))
    }

    /// Where it listens for what it calls `name`, in this life.
    pub fn listening(&self, name: &str) -> Option<SocketAddr> {
        self.log().lines().find_map(|line| line.strip_prefix("listening ")?.strip_prefix(name)?.trim().parse().ok())
    }
}

impl Deref for Announced {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}
