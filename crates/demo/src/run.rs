//! How are the incidents played? One after the other, one side after the other, everything undone at the end.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::claims::{Duel, judge};
use crate::failure::Failure;
use crate::herd;
use crate::hop::{self, Hop};
use crate::incident::Incident;
use crate::ledger::Ledger;
use crate::measured::Measured;
use crate::script::{Scale, Script};
use crate::side::{Running, Side, Terms};
use crate::verdict::{Played, Verdict};
use crate::view::{Say, View};

/// Where the herd lives, and whoever may end it early.
pub(crate) struct Stage {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
    /// The terminal is closed.
    hang_up: Signal,
}

impl Stage {
    pub(crate) fn set() -> Result<Stage, Failure> {
        // One thread: the herd costs little, and takes the servers no core away.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let hang_up = signal(SignalKind::hangup())?;
        drop(entered);
        Ok(Stage { runtime, interrupt, terminate, hang_up })
    }

    /// Runs `work` to its end, or until somebody wants to leave.
    fn until_left<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let Stage { runtime, interrupt, terminate, hang_up } = self;
        runtime.block_on(async {
            tokio::select! {
                done = work => Ok(done),
                _ = interrupt.recv() => Err(Failure::Interrupted),
                _ = terminate.recv() => Err(Failure::Interrupted),
                _ = hang_up.recv() => Err(Failure::Interrupted),
            }
        })
    }

    /// Waits until somebody wants to leave.
    pub(crate) fn wait(&mut self) {
        // Nothing else ends it.
        let _ = self.until_left(std::future::pending::<()>());
    }
}

/// What is played.
pub(crate) struct Programme<'a> {
    pub(crate) incidents: &'a [Incident],
    pub(crate) scale: Scale,
    pub(crate) seed: u64,
    pub(crate) connections: usize,
    /// An empty directory for databases.
    pub(crate) home: &'a Path,
    /// Gets each line, where nothing lives on a terminal.
    pub(crate) say: Say,
}

impl Programme<'_> {
    /// Plays everything and judges it.
    pub(crate) fn play(&self, stage: &mut Stage) -> Result<Verdict, Failure> {
        let view = View::open(self.incidents, self.say);
        let mut played = Vec::new();
        for (at, incident) in self.incidents.iter().enumerate() {
            view.incident(at + 1, *incident);
            let script = Script::of(*incident, &self.scale, self.seed);
            let mut measured = Vec::new();
            for side in Side::BOTH {
                measured.push(self.side(stage, &view, side, &script)?);
            }
            if let Ok([plain, ours]) = <[Measured; 2]>::try_from(measured) {
                view.judged(*incident, &plain, &ours);
                let claims = judge(*incident, &script, &self.scale, Duel { plain: &plain, ours: &ours });
                played.push(Played { incident: *incident, plain, ours, claims });
            }
        }
        let hop = self.hop(stage)?;
        Ok(Verdict { played, hop })
    }

    /// One side of one incident, on a server and a database of its own.
    fn side(&self, stage: &mut Stage, view: &View, side: Side, script: &Script) -> Result<Measured, Failure> {
        view.warming(side);
        self.on(side, script, |running| {
            stage.until_left(warmed(side, running, script, &self.scale))??;
            let ledger = Arc::new(Mutex::new(Ledger::default()));
            view.playing(side, &ledger, running.database());
            let before = running.counts();
            let took = stage.until_left(herd::play(running, script, &self.scale, &ledger, self.connections))??;
            let counts = running.counts().since(before);
            let measured = Measured::new(&ledger.lock(), running.database().seen(), counts, took);
            view.ended(side, &measured);
            Ok(measured)
        })
    }

    /// What a hit costs, with and without a socket.
    fn hop(&self, stage: &mut Stage) -> Result<Hop, Failure> {
        let mut script = Script::of(Incident::Removal, &self.scale, self.seed);
        script.warm = vec![(vec![1], std::time::Duration::ZERO)];
        self.on(Side::Plain, &script, |plain| {
            self.on(Side::Bellwether, &script, |ours| {
                stage.until_left(warmed(Side::Plain, plain, &script, &self.scale))??;
                stage.until_left(warmed(Side::Bellwether, ours, &script, &self.scale))??;
                hop::measure(plain, ours)
            })
        })
    }

    /// Does something to a running side; however it ends, the side is stopped and its database gone.
    fn on<T>(
        &self,
        side: Side,
        script: &Script,
        work: impl FnOnce(&Running) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let home = tempfile::Builder::new().prefix(side.name()).tempdir_in(self.home)?;
        let terms = Terms { ttl: script.ttl, deadline: self.scale.deadline };
        let running = Running::start(side, home.path(), script.star, terms)?;
        let done = work(&running);
        running.stop();
        done
    }
}

async fn warmed(side: Side, running: &Running, script: &Script, scale: &Scale) -> Result<(), Failure> {
    let warm = herd::warm(running, script, scale).await;
    warm.map_err(|words| Failure::Warm { side: side.title(), words })
}
