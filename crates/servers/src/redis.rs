//! How is a Redis run?

use std::ops::Deref;
use std::path::PathBuf;

use bellwether_resp::Value;

use crate::certificate::Certificates;
use crate::error::ServerError;
use crate::program::find;
use crate::reply::{ask, call};
use crate::running::{Place, Recipe, Running};

/// A redis-server that keeps nothing on disk unless told to. It listens at a unix socket as well.
pub struct Redis {
    running: Running,
    tls: bool,
}

impl Redis {
    /// Starts one with further `arguments` (`--requirepass`, `x`), and waits until it answers.
    pub fn start(arguments: &[&str]) -> Result<Redis, ServerError> {
        let arguments = owned(arguments);
        Redis::of(move |_| arguments.clone(), false)
    }

    /// Starts one that speaks TLS at a second port, under certificates made for it.
    pub fn start_with_tls(arguments: &[&str]) -> Result<Redis, ServerError> {
        let arguments = owned(arguments);
        let more = move |place: &Place| {
            let Certificates { authority, certificate, key } = Certificates::of(&place.home);
            let mut words = owned(&["--tls-port", &place.second.to_string(), "--tls-auth-clients", "no"]);
            for (name, file) in
                [("--tls-ca-cert-file", authority), ("--tls-cert-file", certificate), ("--tls-key-file", key)]
            {
                words.extend([name.to_owned(), file.display().to_string()]);
            }
            words.extend(arguments.iter().cloned());
            words
        };
        Redis::of(more, true)
    }

    pub(crate) fn of(
        more: impl Fn(&Place) -> Vec<String> + Send + Sync + 'static,
        tls: bool,
    ) -> Result<Redis, ServerError> {
        let arguments = move |place: &Place| {
            let (port, socket) = (place.port.to_string(), socket(place));
            let first = ["--port", &port, "--bind", "127.0.0.1", "--unixsocket", &socket, "--save", ""];
            let mut words = owned(&first);
            words.extend(owned(&["--appendonly", "no", "--repl-diskless-sync-delay", "0"]));
            words.extend(more(place));
            words
        };
        let running = Running::start(Recipe {
            program: find("redis-server", "redis-server")?,
            arguments: Box::new(arguments),
            user: None,
            without: None,
            farewell: None,
            prepare: Box::new(move |home| if tls { Certificates::make(home).map(drop) } else { Ok(()) }),
            ready: Box::new(answers),
        })?;
        Ok(Redis { running, tls })
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// `rediss://127.0.0.1:PORT`, if it was started with TLS.
    pub fn tls_url(&self) -> Option<String> {
        self.tls.then(|| format!("rediss://127.0.0.1:{}", self.place().second))
    }

    /// The certificates it was started with, if any.
    pub fn certificates(&self) -> Option<Certificates> {
        self.tls.then(|| Certificates::of(self.home()))
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        socket(self.place()).into()
    }

    /// What it answers to one command, over a connection of its own; an error it answers is an error here.
    pub fn call(&self, words: &[&str]) -> Result<Value, ServerError> {
        call(self.address(), words)
    }
}

impl Deref for Redis {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

pub(crate) fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn socket(place: &Place) -> String {
    place.home.join("redis.sock").display().to_string()
}

/// Whether it answers, be it that it wants a password first. One that still loads its data does not count.
pub(crate) fn answers(place: &Place) -> bool {
    match ask(place.address(), &[&["PING"]]).as_deref() {
        Ok([Value::Simple(pong)]) => pong == b"PONG",
        Ok([Value::Error(text)]) => text.starts_with(b"NOAUTH"),
        _ => false,
    }
}
