//! What does a person see while the incidents are played? Two columns that live, or plain lines.

mod draw;
mod live;
mod scene;
mod terminal;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::database::Database;
use crate::incident::Incident;
use crate::ledger::Ledger;
use crate::measured::Measured;
use crate::side::Side;
use crate::words::{count, millis};
use live::Live;
use scene::{Column, Scene};

/// Takes a line for people: what becomes of it is the caller's.
pub type Say = fn(&str);

/// Tells what goes on.
pub(crate) struct View {
    scene: Arc<Mutex<Scene>>,
    live: Option<Live>,
    say: Say,
}

impl View {
    /// Live if stdout is a terminal that can do it and nobody asked for less.
    pub(crate) fn open(incidents: &[Incident], say: Say) -> View {
        let scene = Arc::new(Mutex::new(Scene::new(incidents.len())));
        let live = terminal::can_live().then(|| Live::start(scene.clone())).flatten();
        View { scene, live, say }
    }

    pub(crate) fn incident(&self, position: usize, incident: Incident) {
        let mut scene = self.scene.lock();
        scene.begin(position, incident);
        if self.live.is_none() {
            (self.say)(&format!("\n{} of {}  {}: {}", position, scene.of(), incident.name(), incident.title()));
        }
    }

    pub(crate) fn warming(&self, side: Side) {
        *self.scene.lock().column(side) = Column::Warming;
    }

    pub(crate) fn playing(&self, side: Side, ledger: &Arc<Mutex<Ledger>>, database: &Arc<Database>) {
        *self.scene.lock().column(side) = Column::playing(ledger.clone(), database.clone());
    }

    pub(crate) fn ended(&self, side: Side, measured: &Measured) {
        self.scene.lock().column(side).end(measured);
        if self.live.is_none() {
            (self.say)(&format!("  {}", line(side, measured)));
        }
    }

    /// Both sides of an incident were played.
    pub(crate) fn judged(&self, incident: Incident, plain: &Measured, ours: &Measured) {
        self.scene.lock().done.push((incident, plain.clone(), ours.clone()));
    }
}

/// One side in one line; what did not happen is left out.
fn line(side: Side, measured: &Measured) -> String {
    let (asked, queries, peak) = (count(measured.asked), count(measured.queries), measured.peak);
    let mut line = format!("{:<11} {asked} asked, queries {queries}, peak {peak}", side.name());
    for (number, what) in [(measured.failed, "failed"), (measured.late, "late"), (measured.stale, "stale")] {
        if number > 0 {
            line += &format!(", {} {what}", count(number));
        }
    }
    format!("{line}, p99 {} ms", millis(measured.p99_us))
}
