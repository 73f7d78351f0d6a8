//! How is a memcached run?

use std::io::{Read, Write};
use std::ops::Deref;

use crate::error::ServerError;
use crate::program::{User, find};
use crate::redis::owned;
use crate::running::{Place, Recipe, Running};

/// A memcached of 64 MiB unless told otherwise.
pub struct Memcached(Running);

impl Memcached {
    /// Starts one with further `arguments` (`-m`, `16`), and waits until it answers.
    pub fn start(arguments: &[&str]) -> Result<Memcached, ServerError> {
        let more = owned(arguments);
        let arguments = move |place: &Place| {
            let port = place.port.to_string();
            let mut words = owned(&["-l", "127.0.0.1", "-p", &port, "-U", "0", "-m", "64"]);
            words.extend(more.iter().cloned());
            words
        };
        let running = Running::start(Recipe {
            program: find("memcached", "memcached")?,
            arguments: Box::new(arguments),
            user: User::instead_of_root(&["nobody"]),
            without: None,
            farewell: None,
            prepare: Box::new(|_| Ok(())),
            ready: Box::new(|place| answers(place).is_some()),
        })?;
        Ok(Memcached(running))
    }
}

impl Deref for Memcached {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

fn answers(place: &Place) -> Option<()> {
    let mut stream = place.connect()?;
    stream.write_all(b"version\r\n").ok()?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).ok()?;
    (&answer == b"VERSION ").then_some(())
}
