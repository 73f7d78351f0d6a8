//! What is there to be shown right now?

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::database::Database;
use crate::incident::Incident;
use crate::ledger::Ledger;
use crate::measured::Measured;
use crate::side::Side;

/// Looks at the database that are kept: as wide as a column is.
pub(super) const HISTORY: usize = 24;

/// The incident being played, and those that were.
pub(super) struct Scene {
    of: usize,
    pub(super) now: Option<(usize, Incident)>,
    columns: [Column; 2],
    /// At most as many as there are incidents.
    pub(super) done: Vec<(Incident, Measured, Measured)>,
}

/// One side of it.
pub(super) enum Column {
    /// Its turn comes.
    Waits,
    /// Its cache is being filled.
    Warming,
    /// The herd is on it.
    Playing(Playing),
    /// It is done.
    Ended(Box<Measured>, VecDeque<u64>),
}

/// A side under load.
pub(super) struct Playing {
    pub(super) ledger: Arc<Mutex<Ledger>>,
    pub(super) database: Arc<Database>,
    pub(super) begun: Instant,
    /// Queries that arrived between two looks, the newest last.
    pub(super) history: VecDeque<u64>,
    /// Arrivals at the last look.
    seen: u64,
}

impl Scene {
    pub(super) fn new(of: usize) -> Scene {
        Scene { of, now: None, columns: [Column::Waits, Column::Waits], done: Vec::new() }
    }

    pub(super) fn of(&self) -> usize {
        self.of
    }

    pub(super) fn begin(&mut self, position: usize, incident: Incident) {
        self.now = Some((position, incident));
        self.columns = [Column::Waits, Column::Waits];
    }

    pub(super) fn column(&mut self, side: Side) -> &mut Column {
        &mut self.columns[side as usize]
    }

    /// Notes what the databases saw since the last look.
    pub(super) fn look(&mut self) {
        for column in &mut self.columns {
            if let Column::Playing(playing) = column {
                playing.look();
            }
        }
    }

    pub(super) fn columns(&self) -> &[Column; 2] {
        &self.columns
    }
}

impl Column {
    pub(super) fn playing(ledger: Arc<Mutex<Ledger>>, database: Arc<Database>) -> Column {
        Column::Playing(Playing { ledger, database, begun: Instant::now(), history: VecDeque::new(), seen: 0 })
    }

    pub(super) fn end(&mut self, measured: &Measured) {
        let history = match self {
            Column::Playing(playing) => std::mem::take(&mut playing.history),
            _ => VecDeque::new(),
        };
        *self = Column::Ended(Box::new(measured.clone()), history);
    }
}

impl Playing {
    fn look(&mut self) {
        let arrivals = self.database.seen().arrivals;
        self.history.push_back(arrivals.saturating_sub(self.seen));
        self.seen = arrivals;
        while self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}
