//! When does a refresh that is due begin? At once, or when the process's pacer says so.

use bellwether_core::entry::Meta;
use bellwether_core::guard::pacer::{Fellows, Pace, Turn};
use bellwether_core::heat::fleet::GONE_AFTER;
use bellwether_core::time::Span;

use super::case::Start;
use super::task::Event;
use super::world::Fleet;

/// How often a pacer is told how large the space is.
const MEASURE_EVERY: Span = Span::secs(1);

impl Fleet<'_> {
    /// Tells the pacers what there is to pace.
    pub(super) fn measure(&mut self) {
        let since = self.now.since(self.start());
        if self.pacers.is_empty() || !since.0.is_multiple_of(MEASURE_EVERY.0) {
            return;
        }
        let (keys, ttl, processes, now) = (u64::from(self.case.keys), self.case.ttl, self.case.processes, self.now);
        (0..u64::from(processes)).for_each(|process| self.marks.hear(process, &[], now));
        // A fleet that has just begun does not know how large it is.
        let begins = matches!(self.case.start, Start::Empty | Start::Snapshot) && since < GONE_AFTER;
        for (process, pacer) in self.pacers.iter_mut().enumerate() {
            let turn = Turn { place: self.marks.place(process as u64, now), wall_ms: now.0 };
            pacer.meet(if begins { Fellows::Unheard } else { Fellows::Turns(turn) }, now);
            pacer.measure(keys, ttl, processes, now);
        }
        if since == GONE_AFTER {
            // Those who were kept waiting until then.
            (0..processes).for_each(|process| self.pace(process));
        }
    }

    /// A reader found a value due for a refresh.
    pub(super) fn refresh_in_time(&mut self, process: u32, key: u32, meta: &Meta, hits: u32) {
        let now = self.now;
        let Some(pacer) = self.pacers.get_mut(process as usize) else {
            return self.refresh(process, key, meta.fence);
        };
        match pacer.ask(&key, hits, meta.swr_until(), now) {
            Pace::Go => self.paced(process, key),
            Pace::Wait => self.pace(process),
            Pace::Full => {}
        }
    }

    /// Begins what the pacer lets through by now.
    pub(super) fn pace(&mut self, process: u32) {
        // After the run only those are answered who wait: nobody waits for these.
        if self.now.since(self.start()) >= self.case.length {
            return;
        }
        let at = process as usize;
        let mut due = Vec::new();
        let next = self.pacers[at].advance(self.now, &mut due);
        if let Some(next) = next
            && self.pace_wakes[at].is_none_or(|wake| next < wake)
        {
            self.pace_wakes[at] = Some(next);
            self.after(next.since(self.now).max(Span(1)), Event::Pace(process));
        }
        for key in due {
            self.paced(process, key);
        }
    }

    /// A refresh that the pacer lets through, of what is resident now.
    fn paced(&mut self, process: u32, key: u32) {
        let place = self.place(process, key);
        let Some(meta) = self.values[place] else { return };
        let number = self.tasks.len();
        self.refresh(process, key, meta.fence);
        if let Some(Some(task)) = self.tasks.get_mut(number) {
            task.paced = true;
        }
    }

    /// A value came: its key waits for no refresh any more, and one that was let through for it and was not needed
    /// leaves its place to another.
    pub(super) fn needs_no_refresh(&mut self, id: u64, process: u32, key: u32, loaded: bool) {
        let Some(pacer) = self.pacers.get_mut(process as usize) else { return };
        pacer.withdraw(&key);
        let paced = self.tasks[id as usize].as_ref().is_some_and(|task| task.paced);
        if paced && !loaded {
            pacer.refund(self.now);
            self.pace(process);
        }
    }
}
