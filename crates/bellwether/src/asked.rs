//! How does a read go on that memory did not answer? By what its caller insists on, counted and timed.

use std::sync::Arc;

use bellwether_core::policy::Priority;
use bellwether_core::read::decide::Demand;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;
use futures_util::future::{BoxFuture, FutureExt};

use crate::body::{AnyBody, LoadFn};
use crate::cached::Cached;
use crate::ctx::LoadCtx;
use crate::engine::ask::{Answer, Ask};
use crate::engine::miss::or_missing;
use crate::error::Error;
use crate::key::Key;
use crate::load::{LoadError, Loaded};
use crate::space::Shared;
use crate::weigh::Value;

/// What a caller insists on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Terms {
    pub(crate) demand: Demand,
    pub(crate) bypass: bool,
    pub(crate) priority: Option<Priority>,
    pub(crate) timeout: Option<Span>,
    pub(crate) deadline: Option<Tick>,
}

impl Terms {
    /// Whether whatever may be served will do.
    pub(crate) fn takes_any(self) -> bool {
        !self.bypass && self.demand == Demand::Any
    }

    pub(crate) fn ask<V>(&self, shared: &Shared<V>) -> Ask {
        let asked_us = shared.engine.clock.now_us();
        let policy = &shared.state.policy;
        let patience = match self.deadline {
            Some(deadline) => deadline.since(Tick(asked_us / 1000)),
            None => self.timeout.unwrap_or(policy.timeout),
        };
        Ask {
            demand: self.demand,
            priority: self.priority.unwrap_or(policy.priority),
            asked_us,
            patience_ms: patience.as_u32(),
            default: shared.default.clone(),
        }
    }
}

impl<V: Value> Shared<V> {
    /// A miss from end to end, counted and timed.
    pub(crate) fn miss(
        self: Arc<Shared<V>>,
        key: Key,
        terms: Terms,
        load: LoadFn,
    ) -> BoxFuture<'static, Result<Cached<V>, Error>> {
        let ask = terms.ask(&self);
        if terms.bypass {
            return async move {
                let answer = self.engine.alone(&self.state, &key, &ask, load, Why::Bypass).await;
                self.counted(&key, answer, ask.asked_us)
            }
            .boxed();
        }
        let mut load = Some(load);
        async move {
            let answer = self.engine.miss(&self.state, &key, &ask, &mut load).await;
            self.counted(&key, answer, ask.asked_us)
        }
        .boxed()
    }

    /// The end of a request that left the hit path.
    pub(crate) fn counted(&self, key: &Key, answer: Result<Answer, Error>, began_us: u64) -> Result<Cached<V>, Error> {
        let entry = answer.as_ref().ok().map(|(entry, ..)| entry.clone());
        let result = typed(answer);
        if let Some(drawn) = self.state.count_drawn(why_of(&result), self.engine.heat.sampling()) {
            self.engine.look_at_read(&self.state, &key.by_ref(), entry.as_deref(), drawn);
        }
        self.state.request_seconds.record_since(began_us, self.engine.clock.now_us());
        result
    }
}

/// The reason that a finished request is counted under.
pub(crate) fn why_of<V>(result: &Result<Cached<V>, Error>) -> Why {
    match result {
        Ok(cached) => cached.why(),
        Err(error) => error.why(),
    }
}

/// A typed answer; a negative becomes the error that says so.
pub(crate) fn typed<V: Value>(answer: Result<Answer, Error>) -> Result<Cached<V>, Error> {
    let (entry, why, at) = answer.and_then(or_missing)?;
    Cached::new(entry, why, at)
        .ok_or_else(|| Error::explained(Why::OriginFailed, "the entry holds another type".to_owned()))
}

/// A loader without its types.
pub(crate) fn erase<K, V, F, Fut, E>(key: K, loader: F) -> LoadFn
where
    K: Send + 'static,
    V: Value,
    F: FnOnce(LoadCtx<K, V>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Loaded<V>, E>> + Send,
    E: Into<LoadError>,
{
    Box::new(move |input| {
        async move {
            let ctx = LoadCtx::new(key, input.have, input.deadline, input.clock);
            let loaded = loader(ctx).await.map_err(Into::into)?;
            Ok(loaded.map(|value| Box::new(value) as AnyBody))
        }
        .boxed()
    })
}
