//! Does the shared tier answer? What nobody can confirm is believed while it does not, and whoever is answered so does not
//! find out by himself that it does again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwether_core::time::Span;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::engine::Engine;
use crate::engine::space::SpaceState;
use crate::key::Key;

/// Between two questions whether it answers again; up to half of it longer, so that a fleet does not ask in step.
const PAUSE: Span = Span::ms(200);

/// Whether the last call of the tier was not answered.
#[derive(Default)]
pub(crate) struct Silence {
    on: AtomicBool,
    /// A key of which a copy was served meanwhile, and the name of its space.
    about: Mutex<Option<(Arc<str>, Key)>>,
    began: Arc<Notify>,
}

impl Silence {
    /// Nobody is there who could confirm a copy.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// A call was answered, or was not.
    pub(crate) fn set(&self, on: bool) {
        // Read first: where all is well nobody writes to what all share.
        if self.is_on() != on {
            self.on.store(on, Ordering::Relaxed);
            if on {
                self.began.notify_one();
            } else {
                *self.about.lock() = None;
            }
        }
    }

    /// A copy is served that nobody could confirm: by its key it is found out when somebody can again.
    pub(crate) fn served(&self, space: &SpaceState, key: impl FnOnce() -> Key) {
        if let Some(mut about) = self.about.try_lock()
            && about.is_none()
        {
            *about = Some((space.name.clone(), key()));
        }
    }

    /// Notified when it begins.
    pub(crate) fn began(&self) -> Arc<Notify> {
        self.began.clone()
    }

    /// Before the tier is asked again.
    pub(crate) fn pause() -> Span {
        PAUSE + Span(fastrand::u64(..=PAUSE.0 / 2))
    }
}

impl Engine {
    /// Asks the tier, if somebody was served something for its silence: all others ask it themselves.
    pub(crate) async fn ask_whether_silent(&self) {
        let Some((name, key)) = self.silence.about.lock().clone() else { return };
        let space = self.spaces.read().get(&name).cloned();
        let travel = space.as_ref().and_then(|space| Some((space, space.travel.as_ref()?)));
        let (Some(tier), Some((space, travel))) = (&self.tier, travel) else {
            // The space is gone.
            *self.silence.about.lock() = None;
            return;
        };
        // Only whether it answers is of interest, and that is noted on the way.
        let _ = self.within_budget(space, tier.verify(&travel.name(&key.bytes))).await;
    }
}
