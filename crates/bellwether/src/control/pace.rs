//! How fast may the refreshes of each space come, and what is ahead? Measured again and again.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bellwether_core::guard::pacer::{Fellows, Turn};
use bellwether_core::heat::fleet::GONE_AFTER;
use bellwether_core::time::{Span, Tick};
use bellwether_core::write::ends::CROWD;

use crate::engine::Engine;
use crate::port::clock::Clock;
use crate::state::space::SpaceState;

/// What comes sooner is not worth a word: it would be told of every second.
const SOON: Span = Span::secs(10);
/// How often spaces are measured.
const EVERY: Span = Span::secs(1);

/// Measures until the cache is gone.
pub(crate) fn start(engine: &Arc<Engine>) {
    engine.runtime().spawn(watch(Arc::downgrade(engine), engine.clock.clone()));
}

async fn watch(engine: Weak<Engine>, clock: Clock) {
    // By the ids of spaces: until when a crowd was told.
    let mut told: HashMap<u32, Tick> = HashMap::new();
    let began = clock.now();
    loop {
        clock.sleep_until(clock.now() + EVERY).await;
        let Some(engine) = engine.upgrade() else { return };
        let spaces: Vec<_> = engine.spaces.read().values().cloned().collect();
        // Those that share the refreshes of shared spaces: what another has loaded costs no turn.
        let fleet = fleet(&engine, began, clock.now());
        for space in spaces {
            let shared = space.travel.as_ref().is_some_and(|travel| travel.on_shared);
            let keys = engine.memory.counts().values(space.id);
            let all = if shared { fleet } else { (1, Fellows::Counted) };
            space.paced.measure(keys, space.policy.ttl, all, clock.now());
            if keys >= u64::from(CROWD) {
                tell(&engine, &space, &mut told);
            }
        }
        told.retain(|_, until| clock.now() < *until);
    }
}

/// How many processes there are, and what else is known of them.
fn fleet(engine: &Engine, began: Tick, now: Tick) -> (u32, Fellows) {
    let judged = engine.heat.judged();
    let instances = judged.view.instances(now);
    let fellows = match judged.tells_as {
        None => Fellows::Counted,
        Some(_) if now.since(began) < GONE_AFTER => Fellows::Unheard,
        Some(own) => {
            let place = judged.view.place(own, now);
            Fellows::Turns(Turn { place, wall_ms: engine.clock.wall_us() / 1000 })
        }
    };
    (instances, fellows)
}

/// Says once of each crowd that it is coming.
fn tell(engine: &Engine, space: &SpaceState, told: &mut HashMap<u32, Tick>) {
    let now = engine.clock.now();
    if told.get(&space.id).is_some_and(|until| now < *until) {
        return;
    }
    let Some(crowd) = engine.memory.counts().held(space.id).ends.crowd(now).filter(|crowd| crowd.ahead.start >= SOON)
    else {
        return;
    };
    told.insert(space.id, now + crowd.ahead.end);
    let (keys, in_s) = (crowd.keys, crowd.ahead.start.0 / 1000);
    let space_name = &*space.name;
    if space.policy.stale_while_revalidate > Span::ZERO {
        tracing::warn!(space = space_name, keys, in_s, "keys stop being fresh together: they are refreshed in turn");
    } else {
        let advice =
            "keys stop being fresh together and nothing is served meanwhile: a `grace` would spread their loads";
        tracing::warn!(space = space_name, keys, in_s, "{advice}");
    }
}
