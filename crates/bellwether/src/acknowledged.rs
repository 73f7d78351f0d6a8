//! Who else knows of what was changed here? Awaited, an answer to a change says what other tiers said to it.

use futures_util::future::{BoxFuture, FutureExt};
use tokio::task::JoinHandle;

use crate::engine::shelf::Gone;
use crate::engine::told::Acknowledged;
use crate::engine::write;

/// An invalidation that holds in this process already. Await it to know that it holds in the
/// shared tier as well, and survives this process where a disk keeps entries; without either there is nothing to wait for.
#[must_use = "await it if the invalidation must hold in the shared tier; `drop` it if not"]
pub struct Invalidated {
    pub(crate) resident: bool,
    pub(crate) tier: Option<JoinHandle<Acknowledged>>,
    pub(crate) disk: Option<JoinHandle<Gone>>,
}

impl Invalidated {
    /// Whether a value was resident in this process.
    pub fn was_resident(&self) -> bool {
        self.resident
    }

    /// What the shared tier said to it.
    pub async fn acknowledged(self) -> Acknowledged {
        acknowledged(self.tier, self.disk).await
    }
}

impl IntoFuture for Invalidated {
    /// Whether it holds everywhere. False: the shared tier did not acknowledge it in time (why =
    /// `invalidation_queued`). It is told again until it does; here its copy is not believed until then.
    type Output = bool;
    type IntoFuture = BoxFuture<'static, bool>;

    fn into_future(self) -> BoxFuture<'static, bool> {
        acknowledged(self.tier, self.disk).map(|said| said.told).boxed()
    }
}

/// A write that holds in this process already. Await it to know that it holds in the shared tier as
/// well; without a shared tier there is nothing to wait for.
pub struct Written {
    pub(crate) kept: bool,
    pub(crate) tier: Option<JoinHandle<Acknowledged>>,
    pub(crate) disk: Option<JoinHandle<Gone>>,
}

impl Written {
    /// Whether the value is kept; false if it may not be, or is too large.
    pub fn kept(&self) -> bool {
        self.kept
    }

    /// What the shared tier said to it; `was_resident` is about what it holds no more.
    pub async fn acknowledged(self) -> Acknowledged {
        acknowledged(self.tier, self.disk).await
    }
}

impl IntoFuture for Written {
    /// Whether it holds everywhere. False: the shared tier did not acknowledge it in time; it is told again.
    type Output = bool;
    type IntoFuture = BoxFuture<'static, bool>;

    fn into_future(self) -> BoxFuture<'static, bool> {
        acknowledged(self.tier, self.disk).map(|said| said.told).boxed()
    }
}

/// Another end of a value that holds in this process already. Await it to know that it holds on disk as well.
pub struct Ended(pub(crate) write::Ended);

impl Ended {
    /// Whether there was a value whose end could be changed.
    pub fn changed(&self) -> bool {
        self.0.changed
    }

    /// What was said to it elsewhere.
    pub async fn acknowledged(self) -> Acknowledged {
        acknowledged(None, self.0.on_disk).await
    }
}

/// An invalidation of a tag or a whole space that holds in this process already. Await it to know that it survives this
/// process where a disk tier keeps entries; without one there is nothing to wait for.
pub struct Cleared {
    pub(crate) disk: Option<JoinHandle<bool>>,
}

impl Cleared {
    pub(crate) fn new(disk: Option<JoinHandle<bool>>) -> Cleared {
        Cleared { disk }
    }
}

impl IntoFuture for Cleared {
    /// False: the disk failed, and after a restart entries may be found there again.
    type Output = bool;
    type IntoFuture = BoxFuture<'static, bool>;

    fn into_future(self) -> BoxFuture<'static, bool> {
        async move {
            match self.disk {
                Some(task) => task.await.unwrap_or(false),
                None => true,
            }
        }
        .boxed()
    }
}

async fn acknowledged(tier: Option<JoinHandle<Acknowledged>>, disk: Option<JoinHandle<Gone>>) -> Acknowledged {
    let alone = tier.is_none();
    let said = match tier {
        None => Acknowledged { told: true, was_resident: false },
        // A task that was aborted with its runtime told nobody.
        Some(task) => task.await.unwrap_or(Acknowledged { told: false, was_resident: false }),
    };
    match disk {
        None => said,
        Some(task) => {
            let gone = task.await.unwrap_or_default();
            // Where there is a shared tier that one decides what a key has.
            Acknowledged { told: gone.done && said.told, was_resident: said.was_resident || alone && gone.was_there }
        }
    }
}
