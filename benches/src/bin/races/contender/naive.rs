//! What must lose? A cache that knows neither keys nor who else asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::yield_now;

use super::Contender;
use crate::origin::{Answer, Origin};

/// One value for whatever is asked for. Every miss loads, and hands out whatever is there by then.
#[derive(Clone, Default)]
pub(crate) struct Naive {
    held: Arc<Mutex<Option<(u64, Instant)>>>,
    ttl: Option<Duration>,
}

impl Naive {
    fn held(&self) -> Option<u64> {
        let held = *self.held.lock();
        held.filter(|(_, since)| self.ttl.is_none_or(|ttl| since.elapsed() < ttl)).map(|(value, _)| value)
    }
}

impl Contender for Naive {
    const NAME: &'static str = "naive";

    fn new() -> Naive {
        Naive::default()
    }

    fn pair() -> (Naive, Naive) {
        let one = Naive::new();
        (one.clone(), one)
    }

    fn graced(ttl: Duration, _: &Origin) -> Option<Naive> {
        Some(Naive { ttl: Some(ttl), ..Naive::default() })
    }

    fn get<'a>(&'a self, _: &'a str, origin: &Origin) -> BoxFuture<'a, Answer> {
        let origin = origin.clone();
        Box::pin(async move {
            if let Some(value) = self.held() {
                return Ok(Some(value));
            }
            let Some(value) = origin.load().await? else { return Ok(None) };
            *self.held.lock() = Some((value, Instant::now()));
            yield_now().await;
            Ok(self.held())
        })
    }

    fn remove<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
        *self.held.lock() = None;
        Box::pin(async {})
    }
}
