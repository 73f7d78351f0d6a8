//! How do bytes get from one side to the other, and what happens to them on the way?

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::counts::{Tally, add};
use crate::fault::{Direction, Ending, Faults};
use crate::plan::{Plan, dice, plan};

/// The longest chunk.
const CHUNK: usize = 16 * 1024;
/// Chunks under way in one direction; a sender waits beyond.
const UNDER_WAY: usize = 256;

/// One direction's faults, as they are now.
pub(crate) type Watched = watch::Receiver<Faults>;

/// What all connections of a proxy share.
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) tally: Tally,
    pub(crate) to_server: watch::Sender<Faults>,
    pub(crate) to_client: watch::Sender<Faults>,
}

impl Shared {
    pub(crate) fn faults(&self, direction: Direction) -> &watch::Sender<Faults> {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

/// Why bytes are no longer carried.
enum Broken {
    /// The dice said so.
    Struck,
    /// One side is gone.
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Io(error)
    }
}

/// On its way, and when it arrives.
struct UnderWay {
    due: Instant,
    /// None: the end.
    plan: Option<Plan>,
}

/// Carries everything between the two until both have ended, or it is told to end.
pub(crate) async fn carry(
    shared: &Shared,
    number: u64,
    mut client: TcpStream,
    mut server: TcpStream,
    told: oneshot::Receiver<Ending>,
) {
    let ending = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = flow(shared, number, Direction::ToServer, from_client, to_server);
        let down = flow(shared, number, Direction::ToClient, from_server, to_client);
        tokio::select! {
            both = async { tokio::try_join!(up, down) } => match both {
                Ok(_) => Ending::Close,
                Err(Broken::Struck) => {
                    add(&shared.tally.resets, 1);
                    Ending::Reset
                }
                // What one side has suffered, the other shall see.
                Err(Broken::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ending::Reset,
                Err(Broken::Io(_)) => Ending::Close,
            },
            // An error: the proxy is gone.
            told = told => told.unwrap_or(Ending::Reset),
        }
    };
    if ending == Ending::Reset {
        // Where it can't be set there is no connection any more.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

async fn flow(
    shared: &Shared,
    number: u64,
    direction: Direction,
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
) -> Result<(), Broken> {
    let faults = shared.faults(direction).subscribe();
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let taking = take(shared, faults.clone(), dice(shared.seed, number, direction), from, sender);
    let giving = give(shared, direction, faults, receiver, to);
    tokio::try_join!(taking, giving).map(drop)
}

/// Reads chunks and decides what becomes of them.
async fn take(
    shared: &Shared,
    faults: Watched,
    mut dice: Rng,
    mut from: ReadHalf<'_>,
    sender: mpsc::Sender<UnderWay>,
) -> Result<(), Broken> {
    let mut last = Instant::now();
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = from.read_buf(&mut chunk).await?;
        let now = *faults.borrow();
        let made = (read > 0).then(|| plan(&now, chunk.freeze(), &mut dice));
        if let Some(plan) = &made {
            shared.tally.note(plan);
        }
        // The end is as late as a chunk.
        let delay = made.as_ref().map_or(now.latency, |plan| plan.delay);
        last = last.max(Instant::now() + delay);
        if sender.send(UnderWay { due: last, plan: made }).await.is_err() || read == 0 {
            return Ok(());
        }
    }
}

/// Delivers what is due.
async fn give(
    shared: &Shared,
    direction: Direction,
    mut faults: Watched,
    mut receiver: mpsc::Receiver<UnderWay>,
    mut to: WriteHalf<'_>,
) -> Result<(), Broken> {
    let arrived = match direction {
        Direction::ToServer => &shared.tally.to_server,
        Direction::ToClient => &shared.tally.to_client,
    };
    while let Some(UnderWay { due, plan }) = receiver.recv().await {
        sleep_until(due).await;
        alive(&mut faults).await;
        let Some(plan) = plan else {
            break;
        };
        let pieces = plan.pieces.len();
        for (at, piece) in plan.pieces.into_iter().enumerate() {
            to.write_all(&piece).await?;
            add(arrived, piece.len() as u64);
            let transfer = time_for(piece.len(), faults.borrow().bandwidth);
            let pause = if at + 1 < pieces { plan.pause } else { Duration::ZERO };
            sleep(transfer + pause).await;
            alive(&mut faults).await;
        }
        if plan.reset {
            return Err(Broken::Struck);
        }
    }
    let wait = faults.borrow().slow_close;
    if !wait.is_zero() {
        add(&shared.tally.slow_closes, 1);
        sleep(wait).await;
        alive(&mut faults).await;
    }
    // Fails only if that side is gone already, which is an end too.
    let _ = to.shutdown().await;
    Ok(())
}

/// Waits while nothing gets through.
async fn alive(faults: &mut Watched) {
    // An error: the proxy is gone, and with it this connection.
    let _ = faults.wait_for(|faults| !faults.dead).await;
}

/// How long so many bytes take.
fn time_for(bytes: usize, bandwidth: Option<u64>) -> Duration {
    bandwidth.map_or(Duration::ZERO, |per_second| Duration::from_secs_f64(bytes as f64 / per_second.max(1) as f64))
}
