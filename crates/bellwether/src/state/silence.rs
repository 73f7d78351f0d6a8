//! Does the shared tier answer? What nobody can confirm is believed while it does not, and whoever is answered so does not
//! find out by himself that it does again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwether_core::time::Span;
use parking_lot::Mutex;
use tokio::sync::Notify;

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
                self.forget();
            }
        }
    }

    /// A copy is served that nobody could confirm: by its key it is found out when somebody can again.
    pub(crate) fn served(&self, space: &Arc<str>, key: impl FnOnce() -> Key) {
        if let Some(mut about) = self.about.try_lock()
            && about.is_none()
        {
            *about = Some((space.clone(), key()));
        }
    }

    /// The key that it may be asked by, with its space's name.
    pub(crate) fn about(&self) -> Option<(Arc<str>, Key)> {
        self.about.lock().clone()
    }

    /// It can't be asked by that key any more.
    pub(crate) fn forget(&self) {
        *self.about.lock() = None;
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
