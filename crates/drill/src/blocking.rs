//! How is something done that blocks, such as starting a server?

use bellwether_servers::ServerError;

use crate::error::DrillError;

/// Runs it on a thread where nobody else waits. What it has begun when its caller goes, it ends by itself.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServerError> + Send + 'static,
) -> Result<T, DrillError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| DrillError::Server(error.to_string()))?.map_err(|error| DrillError::Server(error.to_string()))
}
