//! When is the configuration read again? When SIGHUP asks for it, and when its file changed.

use tokio::signal::unix::Signal;

use super::file::ConfigFile;
use super::watch::Watch;
use crate::service::Service;

/// Reloads for as long as it is polled. It reads and opens files: it needs a thread of its own.
pub(super) async fn reload(service: Service, file: Option<ConfigFile>, mut hangup: Signal) {
    let Some(file) = file else {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP: there is no configuration file to reload (start with --config FILE)");
        }
        return;
    };
    let mut watch = Watch::start(file.path(), file.first.clone());
    loop {
        tokio::select! {
            Some(()) = hangup.recv() => {
                tracing::info!("SIGHUP: reading the configuration again");
                watch.look();
            }
            () = watch.changed() => tracing::info!(file = %file.path().display(), "the configuration's file changed"),
        }
        file.reload(&service);
    }
}
