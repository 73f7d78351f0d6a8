//! What does a process do about keys that were asked for in vain? What the server does: it loads them once there is room.

use bellwether_core::fence::Fence;
use bellwether_core::guard::unmet::{LOOK, is_unmet};
use bellwether_core::policy::Priority;
use bellwether_core::why::Why;

use super::task::Event;
use super::world::Fleet;

impl Fleet<'_> {
    pub(super) fn note_unmet(&mut self, process: u32, key: u32, why: Why, class: Priority) {
        if !self.set.guards() || !is_unmet(why, class) {
            return;
        }
        let unmet = &mut self.unmet[process as usize];
        let first = unmet.is_empty();
        unmet.note(u64::from(key), size_of::<u32>(), self.now, || key);
        if first {
            self.after(LOOK, Event::Unmet(process));
        }
    }

    pub(super) fn load_unmet(&mut self, process: u32) {
        let wanted = self.unmet[process as usize].len();
        let room = self.gates[process as usize].catch_up(wanted, self.now);
        for key in self.unmet[process as usize].due(room, self.now) {
            let place = self.place(process, key);
            if self.values[place].is_none_or(|meta| meta.hard_until() <= self.now) {
                self.refresh(process, key, Fence::ZERO);
            }
        }
        if !self.unmet[process as usize].is_empty() {
            self.after(LOOK, Event::Unmet(process));
        }
    }
}
