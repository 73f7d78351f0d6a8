//! How is work shared out to processors, so that the results are the same on any machine?

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `work` for each of `items`, on as many threads as there are processors; results in the order of the items.
pub(crate) fn side_by_side<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<T>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let at = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(item) = items.get(at)
                {
                    let result = work(item);
                    if let Ok(mut place) = done[at].lock() {
                        *place = Some(result);
                    }
                }
            });
        }
    });
    // A worker that panicked has ended the scope already: every place is filled.
    done.into_iter().filter_map(|place| place.into_inner().ok().flatten()).collect()
}
