//! How does a verb hear that it is to end? By a thread that waits for signals and does nothing else.

use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Calls `told` for each of these signals, in a thread of its own. From here on they end the program no more.
pub(crate) fn hear<const N: usize>(
    kinds: [SignalKind; N],
    mut told: impl FnMut(SignalKind) + Send + 'static,
) -> io::Result<()> {
    let waits = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let signals = kinds.map(|kind| signal(kind).map(|signal| (kind, signal)));
            let Ok(mut signals) = signals.into_iter().collect::<io::Result<Vec<_>>>() else { return };
            loop {
                told(next(&mut signals).await);
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(waits).map(drop)
}

/// The first that comes.
async fn next(signals: &mut [(SignalKind, Signal)]) -> SignalKind {
    std::future::poll_fn(|cx| {
        let came = signals.iter_mut().find_map(|(kind, signal)| signal.poll_recv(cx).is_ready().then_some(*kind));
        came.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}
