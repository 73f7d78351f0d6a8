//! What does the shop itself do meanwhile? It changes a price and removes the page, as the guide tells its users to.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::wire::exchange;
use crate::failure::Failure;
use crate::script::Script;
use crate::side::Running;

/// A removal is acknowledged within this, or the incident can't be judged.
const LIMIT: Duration = Duration::from_secs(5);

/// A thread that follows the script's removals.
pub(super) struct BackOffice {
    thread: Option<JoinHandle<Result<(), Failure>>>,
    stop: Arc<AtomicBool>,
    /// Whoever asks from now on must get this price or a newer one.
    price: Arc<AtomicU64>,
}

impl BackOffice {
    pub(super) fn open(running: &Running, script: &Script, begun: Instant) -> Result<BackOffice, Failure> {
        let (stop, price) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        if script.removals.is_empty() {
            return Ok(BackOffice { thread: None, stop, price });
        }
        let mut stream = TcpStream::connect(running.address())?;
        stream.set_nodelay(true)?;
        let (shop, star, removals) = (running.shop().clone(), script.star, script.removals.clone());
        let (told, newest) = (stop.clone(), price.clone());
        let key = format!("product:{star}");
        let command = format!("*2\r\n$3\r\nDEL\r\n${}\r\n{key}\r\n", key.len());
        let work = move || {
            for at in removals {
                thread::sleep((begun + at).saturating_duration_since(Instant::now()));
                if told.load(Ordering::Relaxed) {
                    break;
                }
                let raised = shop.raise_price(i64::from(star)).map_err(|error| Failure::Shop(error.to_string()))?;
                let reply = exchange(&mut stream, &command, LIMIT)?;
                if !reply.starts_with(':') {
                    return Err(io::Error::other(format!("DEL was answered with: {reply}")).into());
                }
                newest.store(raised, Ordering::Release);
            }
            Ok(())
        };
        let thread = thread::Builder::new().name("back-office".to_owned()).spawn(work)?;
        Ok(BackOffice { thread: Some(thread), stop, price })
    }

    /// The price of the newest acknowledged removal.
    pub(super) fn price(&self) -> &AtomicU64 {
        &self.price
    }

    /// Ends it, and tells what went wrong there.
    pub(super) fn close(mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        ended.unwrap_or_else(|_| Err(io::Error::other("the shop's back office panicked").into()))
    }
}

impl Drop for BackOffice {
    fn drop(&mut self) {
        // Interrupted: the thread ends by itself at its next removal.
        self.stop.store(true, Ordering::Relaxed);
    }
}
