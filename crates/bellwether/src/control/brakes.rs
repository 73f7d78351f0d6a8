//! In which spaces does memory cost more than it saves? Looked at for each shared space, window by window.

use std::collections::HashMap;

use bellwether_core::guard::brake::{Brake, Traffic, WINDOW};
use bellwether_core::time::Span;

use crate::engine::Engine;

/// The brakes of a cache's spaces, by their ids.
#[derive(Default)]
pub(crate) struct Brakes {
    brakes: HashMap<u32, (Brake, Traffic)>,
    /// Of the window that runs.
    passed: Span,
}

impl Brakes {
    /// `step` has passed since the last look.
    pub(crate) fn look(&mut self, engine: &Engine, step: Span) {
        self.passed = self.passed + step;
        if self.passed < WINDOW {
            return;
        }
        self.passed = Span::ZERO;
        let spaces: Vec<_> = engine.spaces.read().values().filter(|space| space.travel.is_some()).cloned().collect();
        self.brakes.retain(|id, _| spaces.iter().any(|space| space.id == *id));
        for space in spaces {
            let so_far = space.traffic();
            let (brake, before) = self.brakes.entry(space.id).or_insert_with(|| (Brake::default(), so_far));
            let window = so_far.since(*before);
            *before = so_far;
            let Some(on) = brake.judge(window) else { continue };
            space.brake(on);
            let (space, invalidations, hits, reads) = (&*space.name, window.invalidations, window.hits, window.reads);
            if on {
                tracing::warn!(space, invalidations, hits, "more is invalidated than memory serves: its tier is off");
            } else {
                tracing::info!(
                    space,
                    invalidations,
                    reads,
                    "more is read than invalidated: the memory tier is on again"
                );
            }
        }
    }
}
