//! What is an entry worth that was kept on this machine's disk? In the process's own life what it says; after a
//! restart nothing of it is fresh.

use crate::entry::Meta;
use crate::fence::Floor;
use crate::read::decide::Demand;
use crate::time::Tick;

/// What becomes of entries that an earlier life of the process left on disk. None of them is ever fresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnRestart {
    /// They are served as stale while one paced refresh runs.
    #[default]
    ServeStale,
    /// They are served only where a load failed.
    Revalidate,
    /// They are gone.
    Drop,
}

/// An entry found on disk, as the walk sees it.
#[derive(Clone, Copy, Debug)]
pub struct Shelved {
    /// Its meta here, under a local fence that was drawn before the disk was asked.
    pub meta: Meta,
    /// What covers it.
    pub floor: Floor,
    /// The strictest demand of those who wait for it.
    pub demand: Demand,
    /// An earlier life of the process stored it: what others invalidated since is not known here.
    pub earlier: bool,
}

/// The meta of an entry of an earlier life: stale as long as it would have been fresh or stale. `None`: it is gone.
pub fn after_restart(meta: Meta, on_restart: OnRestart, now: Tick) -> Option<Meta> {
    let fresh_until = meta.fresh_until.min(now);
    let after = |until: Tick| until.since(fresh_until).as_u32();
    let swr_ms = match on_restart {
        OnRestart::ServeStale => after(meta.swr_until()),
        OnRestart::Revalidate => 0,
        OnRestart::Drop => return None,
    };
    Some(Meta { fresh_until, swr_ms, hard_ms: after(meta.hard_until()), early_ms: 0, ..meta })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Kind;
    use crate::fence::Fence;

    fn meta() -> Meta {
        Meta {
            fence: Fence(1),
            born: Tick(1_000),
            fresh_until: Tick(61_000),
            swr_ms: 10_000,
            hard_ms: 30_000,
            cost_ms: 5,
            early_ms: 500,
            kind: Kind::Value,
        }
    }

    #[test]
    fn nothing_is_fresh_after_a_restart_and_nothing_lives_longer() {
        for now in [2_000, 61_000, 65_000].map(Tick) {
            let served = after_restart(meta(), OnRestart::ServeStale, now).unwrap();
            assert!(served.fresh_until <= now && served.calm_until() <= now);
            assert_eq!((served.swr_until(), served.hard_until()), (Tick(71_000), Tick(91_000)), "{now:?}");
            let rescue = after_restart(meta(), OnRestart::Revalidate, now).unwrap();
            assert!(rescue.swr_until() <= now);
            assert_eq!(rescue.hard_until(), Tick(91_000));
        }
        assert_eq!(after_restart(meta(), OnRestart::Drop, Tick(2_000)), None);
    }
}
