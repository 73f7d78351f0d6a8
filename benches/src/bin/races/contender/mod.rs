//! What must a cache offer to race? `get` with a loader, `remove`, and perhaps a ttl and a batch.

#[cfg(test)]
mod naive;
mod ours;
mod theirs;

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::origin::{Answer, Failed, Origin};

#[cfg(test)]
pub(crate) use naive::Naive;
pub(crate) use ours::{Bellwether, DEFAULT, WIDE};
pub(crate) use theirs::{Amalgam, Cachet, Foyer, Moka, Quick};

/// How long after its ttl a value may be stale.
const GRACE: Duration = Duration::from_secs(60);

/// A cache in the race, set up as favourably as it can be. Clones are the same cache.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// Its column.
    const NAME: &'static str;

    /// A fresh, empty one.
    fn new() -> Self;

    /// Two in one process that may hold the same keys.
    fn pair() -> (Self, Self) {
        (Self::new(), Self::new())
    }

    /// One whose values are fresh for `ttl`, and stale for [`GRACE`] after it if it can serve stale ones;
    /// `None` if it knows no ttl. Some must know the origin by then.
    fn graced(_ttl: Duration, _: &Origin) -> Option<Self> {
        None
    }

    /// The value, loaded from `origin` if need be.
    fn get<'a>(&'a self, key: &'a str, origin: &Origin) -> BoxFuture<'a, Answer>;

    /// The same for a caller that waits no longer than this.
    fn get_within<'a>(&'a self, key: &'a str, origin: &Origin, deadline: Duration) -> BoxFuture<'a, Answer> {
        let get = self.get(key, origin);
        Box::pin(async move { timeout(deadline, get).await.unwrap_or(Err(Failed)) })
    }

    /// Several keys in one call, where there is such a call; answers in the order of the keys.
    fn get_many<'a>(&'a self, _rows: &'a [&'a (String, Origin)]) -> Option<BoxFuture<'a, Vec<Answer>>> {
        None
    }

    /// Invalidates the key.
    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()>;
}
