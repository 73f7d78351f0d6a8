//! What does one node bear? Measured for a moment, beside everything else, where nobody has said so.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::engine::Engine;

/// So long is measured, once in a process, on a thread of its own: nobody waits for it.
const MEASURED_FOR: Duration = Duration::from_millis(20);
/// A request and its reply, in bytes, as a cache's usually are.
const MESSAGE: [u8; 64] = [b'x'; 64];
/// What a server does beside reading and writing makes it slower than this loop: a Redis that was asked without
/// pipelining, in turn with the loop on one busy machine, did 0.3 to 0.56 of what the loop says.
const SERVED: f64 = 0.5;

/// Measures, unless the clock is driven by hand: then nothing depends on the machine.
pub(crate) fn start(engine: &Arc<Engine>) {
    if engine.clock.is_manual() || engine.heat.policy().capacity.is_some() {
        return;
    }
    let heat = engine.heat.clone();
    engine.runtime().spawn_blocking(move || measured().map(|capacity| heat.measured(capacity)));
}

/// What was measured in this process, or is now. `None`: it could not be.
fn measured() -> Option<u32> {
    static MEASURED: OnceLock<Option<u32>> = OnceLock::new();
    let unknown = |error| tracing::debug!(%error, "what a node bears could not be measured: it is assumed");
    *MEASURED.get_or_init(|| measure().map_err(unknown).ok())
}

/// How many requests a second one thread of this machine can read from a socket and answer. A message there and back is
/// two writes and two reads, of which a server has one each.
fn measure() -> std::io::Result<u32> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    for end in [&client, &server] {
        end.set_nodelay(true)?;
        // Nothing of it can block, but a thread that hangs would hang for ever.
        end.set_read_timeout(Some(Duration::from_secs(1)))?;
    }
    let mut read = MESSAGE;
    let (mut trips, began) = (0u32, Instant::now());
    while began.elapsed() < MEASURED_FOR {
        client.write_all(&MESSAGE)?;
        server.read_exact(&mut read)?;
        server.write_all(&MESSAGE)?;
        client.read_exact(&mut read)?;
        trips += 1;
    }
    Ok((f64::from(trips) * 2.0 * SERVED / began.elapsed().as_secs_f64()) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_measured_quickly_and_says_something_of_this_machine() {
        let began = Instant::now();
        let capacity = measure().expect("loopback");
        assert!((1_000..10_000_000).contains(&capacity), "{capacity}");
        assert!(began.elapsed() < Duration::from_secs(5), "it never takes long");
    }

    #[test]
    fn all_caches_of_a_process_go_by_one_measurement() {
        let of_others: Vec<_> = (0..3).map(|_| std::thread::spawn(measured)).collect();
        let one = measured();
        assert!(one.is_some() && of_others.into_iter().all(|other| other.join().is_ok_and(|other| other == one)));
    }
}
