//! What is done to a connection before its first statement? Nothing, unless the embedding program says so.

use std::fmt;
use std::sync::Arc;

use rusqlite::Connection;

type Action = dyn Fn(&Connection) -> rusqlite::Result<()> + Send + Sync;

/// Done to each connection of an origin once it is open, such as registering an SQL function of the program's own.
/// No configuration can name one; by default nothing is done. Cheap to clone.
#[derive(Clone, Default)]
pub struct OnConnect(Option<Arc<Action>>);

impl OnConnect {
    /// Does `action`. An error fails what the connection was opened for.
    pub fn new(action: impl Fn(&Connection) -> rusqlite::Result<()> + Send + Sync + 'static) -> OnConnect {
        OnConnect(Some(Arc::new(action)))
    }

    /// This, or what `other` does where this does nothing.
    #[must_use]
    pub fn or(self, other: &OnConnect) -> OnConnect {
        if self.0.is_some() { self } else { other.clone() }
    }

    pub(super) fn apply(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.0.as_ref().map_or(Ok(()), |action| action(connection))
    }
}

impl fmt::Debug for OnConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "OnConnect(set)" } else { "OnConnect(none)" })
    }
}
