//! Is the shared tier still silent? It is asked by a key of which a copy was served for that reason.

use crate::engine::Engine;

impl Engine {
    /// Asks the tier, if somebody was served something for its silence: all others ask it themselves.
    pub(crate) async fn ask_whether_silent(&self) {
        let Some((name, key)) = self.silence.about() else { return };
        let space = self.spaces.read().get(&name).cloned();
        let travel = space.as_ref().and_then(|space| Some((space, space.travel.as_ref()?)));
        let (Some(tier), Some((space, travel))) = (&self.tier, travel) else {
            // The space is gone.
            self.silence.forget();
            return;
        };
        // Only whether it answers is of interest, and that is noted on the way.
        let _ = self.within_budget(space, tier.verify(&travel.name(&key.bytes))).await;
    }
}
