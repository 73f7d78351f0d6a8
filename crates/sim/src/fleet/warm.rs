//! How does a process load its hot list? As the server does it: most popular first, in the guard's background class, and
//! ready when the core's ramp says so.

use bellwether_core::fence::Fence;
use bellwether_core::policy::Priority;
use bellwether_core::read::decide::Demand;
use bellwether_core::read::flight::{Asker, Join};
use bellwether_core::time::Span;

use super::task::{Event, Task};
use super::warming::STEP;
use super::world::Fleet;

/// After what the guard turned away.
const PAUSE: Span = Span::ms(20);

impl Fleet<'_> {
    /// Loads the next key of a process's list that is not there.
    pub(super) fn warm(&mut self, process: u32) {
        let (now, keys) = (self.now, self.case.keys);
        while let Some(warming) = self.warming.get_mut(process as usize) {
            let first = warming.step.saturating_mul(STEP);
            if first >= keys || now >= warming.until {
                return warming.ramp.end_warming(now);
            }
            let length = STEP.min(keys - first);
            if warming.done == length {
                let share = self.list.get(warming.step as usize).copied().unwrap_or(1.0);
                // Ready or not: what is left of the list goes on in the background.
                warming.ramp.warmed(share, now);
                (warming.step, warming.done) = (warming.step + 1, 0);
                continue;
            }
            let key = first + (warming.done + warming.shift) % length;
            warming.done += 1;
            let there = self.values[self.place(process, key)].is_some_and(|meta| now < meta.fresh_until);
            if !there {
                return self.load_unasked(process, key);
            }
        }
    }

    /// Goes on with the list, once what it waited for has ended.
    pub(super) fn warm_on(&mut self, process: u32, landed: bool) {
        self.after(if landed { Span(1) } else { PAUSE }, Event::Warm(process));
    }

    fn load_unasked(&mut self, process: u32, key: u32) {
        let deadline = Some(self.now + self.policy.timeout);
        let asker = Asker { demand: Demand::Any, priority: Priority::Background, deadline, floor: Fence::ZERO };
        let number = self.tasks.len();
        if matches!(self.join(process, key, &asker), Join::Follow { .. }) {
            // Somebody waits for it here: it comes without this.
            return self.warm_on(process, true);
        }
        self.launch(Task { warms: true, ..Task::new(process, key, self.sharing(process, false)) });
        debug_assert_eq!(number + 1, self.tasks.len());
    }
}
