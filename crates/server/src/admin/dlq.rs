//! What does the shared tier not know yet? Invalidations that are owed to it: listed, tried again, given up.

use bellwether::shared::TierTrouble;
use bellwether::{Invalidation, Owing, Retried};

use super::view::{Owed, OwedDropped, OwedRetried, OwedRow};
use crate::service::{Service, shown};

/// Rows of one answer; the count beside them is of all.
const MOST_SHOWN: usize = 1_000;

/// What is owed.
pub(super) fn list(service: &Service) -> Owed {
    let owing = service.owing();
    Owed { owed: owing.len(), shown: owing.iter().take(MOST_SHOWN).map(row).collect() }
}

fn row(owing: &Owing) -> OwedRow {
    let verb = match owing.verb {
        Invalidation::Remove => "remove",
        Invalidation::Expire => "expire",
    };
    OwedRow {
        key: shown(&owing.name),
        space: owing.space.clone(),
        verb: verb.to_owned(),
        tries: owing.tries,
        state: if owing.dead { "dead" } else { "retrying" }.to_owned(),
        cause: owing.trouble.map(|trouble| trouble.as_str().to_owned()),
    }
}

/// Tries again what is owed for `key`, or for all, and says what came of it.
pub(super) async fn retry(service: &Service, key: Option<&[u8]>) -> OwedRetried {
    let Retried { told, owed, untried } = service.retry_owed(key).await;
    let named = |(trouble, count): (&TierTrouble, &usize)| (trouble.as_str().to_owned(), *count);
    let retried = told + untried + owed.values().sum::<usize>();
    OwedRetried { retried, told, owed: owed.iter().map(named).collect(), untried }
}

/// Gives up what is owed for `key`, or for all.
pub(super) fn give_up(service: &Service, key: Option<&[u8]>) -> OwedDropped {
    OwedDropped { dropped: service.drop_owed(key) }
}
