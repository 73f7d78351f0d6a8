//! Which races are run, in which order?

mod failing;
mod identity;
mod leaving;
mod removing;
mod together;

use crate::contender::Contender;
use crate::row::Row;

/// Every row, in the order of the table.
pub(crate) fn all<C: Contender>() -> Vec<Row> {
    let files: [fn() -> Vec<Row>; 5] =
        [together::rows::<C>, leaving::rows::<C>, failing::rows::<C>, removing::rows::<C>, identity::rows::<C>];
    files.into_iter().flat_map(|rows| rows()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::{Bellwether, Moka, Naive, WIDE};

    /// Rows of the drill that need a socket, and why a library has nothing of the kind.
    const SOCKETS_ONLY: [(&str, &str); 2] = [
        ("broken", "a load of a library is a future, no connection: `panics` is what can break in it"),
        ("ordered", "there is no pipeline: callers await a removal before they read, which is `read`"),
    ];
    /// Rows that need the caller's own future or loader in the process.
    const LIBRARY_ONLY: [&str; 2] = ["unpolled", "panics"];

    #[test]
    fn every_row_of_the_drill_is_played_or_needs_a_socket() {
        let mut played: Vec<&str> = all::<Bellwether<WIDE>>().iter().map(|row| row.name).collect();
        played.retain(|name| !LIBRARY_ONLY.contains(name));
        let drill = bellwether_drill::races::rows().map(|(name, _)| name);
        let sockets = |name: &&str| SOCKETS_ONLY.iter().any(|(only, _)| only == name);
        let (skipped, wanted): (Vec<&str>, Vec<&str>) = drill.partition(sockets);
        assert_eq!(played, wanted);
        assert_eq!(skipped, SOCKETS_ONLY.map(|(name, _)| name));
    }

    /// Nobody joins a load of the naive cache, so nobody gets an older one from it: that takes a cache that coalesces.
    const LOST_BY_COALESCING: &str = "read";

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_row_can_be_lost() {
        let of_moka = all::<Moka>().into_iter().filter(|row| row.name == LOST_BY_COALESCING);
        let of_naive = all::<Naive>().into_iter().filter(|row| row.name != LOST_BY_COALESCING);
        for row in of_naive.chain(of_moka) {
            let came_out = tokio::spawn((row.run)()).await;
            // A loader's panic is told to nobody but who ran it: the row itself ends.
            let came_out = came_out.unwrap_or_else(|error| panic!("{}: {error}", row.name));
            assert!(!row.is_won(&came_out), "{}: {came_out}", row.name);
        }
    }
}
