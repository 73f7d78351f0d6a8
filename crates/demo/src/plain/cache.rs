//! How does plain cache-aside answer? Get; on a miss query, then set. Callers don't know of each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::pool::{NoPage, Pool};
use crate::database::Database;
use crate::failure::Failure;
use crate::measured::Counts;
use crate::shop::Shop;

/// The cache and the database behind it.
pub(crate) struct CacheAside {
    /// As many entries as the shop has products.
    pages: Mutex<HashMap<u32, (Bytes, Instant)>>,
    ttl: Duration,
    deadline: Duration,
    pool: Pool,
    requests: AtomicU64,
    hits: AtomicU64,
}

impl CacheAside {
    pub(crate) fn new(
        shop: &Shop,
        database: &Arc<Database>,
        ttl: Duration,
        deadline: Duration,
    ) -> Result<CacheAside, Failure> {
        let pool = Pool::open(shop, database)?;
        let (requests, hits) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(CacheAside { pages: Mutex::default(), ttl, deadline, pool, requests, hits })
    }

    /// A product's page, by the caller's deadline.
    pub(crate) async fn get(&self, id: u32) -> Result<Bytes, NoPage> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(page) = self.cached(id) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(page);
        }
        tokio::time::timeout(self.deadline, self.load(id)).await.unwrap_or(Err(NoPage::Timeout))
    }

    async fn load(&self, id: u32) -> Result<Bytes, NoPage> {
        let page = self.pool.page(id).await?;
        self.pages.lock().insert(id, (page.clone(), Instant::now() + self.ttl));
        Ok(page)
    }

    /// The page in memory, if it is fresh.
    pub(crate) fn cached(&self, id: u32) -> Option<Bytes> {
        let pages = self.pages.lock();
        let (page, fresh_until) = pages.get(&id)?;
        (Instant::now() < *fresh_until).then(|| page.clone())
    }

    /// Whether there was something to remove.
    pub(crate) fn remove(&self, id: u32) -> bool {
        self.pages.lock().remove(&id).is_some()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts { requests: self.requests.load(Ordering::Relaxed), hits: self.hits.load(Ordering::Relaxed) }
    }
}
