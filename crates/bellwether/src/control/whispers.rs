//! What do others say of the keys they see, and how are they told what is seen here? Best effort: what is lost is said
//! again in the next window.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bellwether_core::heat::fleet::Told;
use bellwether_core::time::{Span, Tick};
use futures_util::{FutureExt, StreamExt};
use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::events::{Transport, Whisper};
use crate::port::clock::Clock;
use crate::state::heat::Heat;

/// So long telling may take, and connecting.
const LIMIT: Duration = Duration::from_secs(1);
/// After a failure so long is waited: a server that lets nobody whisper is not asked ten times a second.
const RETRY: Span = Span::secs(5);
/// Whoever has nothing to say says so once in this time, to be counted.
const ALIVE: Span = Span::secs(1);
/// How often a listener looks whether its cache is still there.
const LOOK: Span = Span::secs(1);

/// The way to others.
pub(super) struct Whispers {
    transport: Arc<dyn Transport>,
    sender: u64,
    /// One message at a time: where the way is slow, less is told.
    telling: Option<JoinHandle<bool>>,
    spoken: Tick,
    not_before: Tick,
}

impl Whispers {
    /// Begins to listen.
    pub(super) fn start(engine: &Arc<Engine>, transport: Arc<dyn Transport>) -> Whispers {
        let sender = fastrand::u64(..);
        engine.heat.judged().tells_as = Some(sender);
        let ears = listen(Arc::downgrade(&engine.heat), engine.clock.clone(), transport.clone(), sender);
        engine.runtime().spawn(ears);
        let now = engine.clock.now();
        Whispers { transport, sender, telling: None, spoken: now, not_before: now }
    }

    /// Tells the others, unless the last message is still on its way.
    pub(super) fn tell(&mut self, engine: &Engine, told: Vec<Told>, now: Tick) {
        if self.telling.as_ref().is_some_and(|telling| !telling.is_finished()) {
            return;
        }
        let ended = self.telling.take().and_then(FutureExt::now_or_never);
        if ended.is_some_and(|ended| !ended.unwrap_or(false)) {
            self.not_before = now + RETRY;
        }
        if now < self.not_before || (told.is_empty() && now.since(self.spoken) < ALIVE) {
            return;
        }
        self.spoken = now;
        let bytes = Whisper { sender: self.sender, told }.to_bytes();
        let transport = self.transport.clone();
        self.telling = Some(engine.runtime().spawn(async move {
            match tokio::time::timeout(LIMIT, transport.whisper(bytes)).await {
                Ok(Ok(())) => true,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "others can't be told which keys are hot here");
                    false
                }
                Err(_) => false,
            }
        }));
    }
}

/// Hears the others until the cache is gone.
async fn listen(heat: Weak<Heat>, clock: Clock, transport: Arc<dyn Transport>, own: u64) {
    while heat.strong_count() > 0 {
        if let Ok(Ok(mut heard)) = tokio::time::timeout(LIMIT, transport.whispers()).await {
            loop {
                let next = tokio::select! {
                    next = heard.next() => next,
                    () = clock.sleep_until(clock.now() + LOOK) => match heat.strong_count() {
                        0 => return,
                        _ => continue,
                    },
                };
                let (Some(bytes), Some(heat)) = (next, heat.upgrade()) else { break };
                if let Some(whisper) = Whisper::from_bytes(&bytes).filter(|whisper| whisper.sender != own) {
                    heat.judged().view.hear(whisper.sender, &whisper.told, clock.now());
                }
            }
        }
        clock.sleep_until(clock.now() + RETRY).await;
    }
}
