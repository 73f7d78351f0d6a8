//! Has somebody asked the drill to end?

use tokio::signal::unix::{SignalKind, signal};

/// SIGINT or SIGTERM. Without a handler it never comes, and the signal ends the process as usual.
pub(crate) async fn interrupted() {
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}
