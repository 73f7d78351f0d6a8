//! What is known of one connection to a node? Whether it is there, and how often it was tried for.

use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::MultiplexedConnection;
use tokio::sync::watch;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Commands and answers that are short.
    Main,
    /// Bodies over 64 KiB: nobody else stands behind them.
    Bulk,
    /// Keys that somebody waits for.
    Wait,
}

/// One connection, made when it is first wanted.
pub(super) struct Lane {
    state: watch::Sender<State>,
    connecting: AtomicBool,
}

#[derive(Default)]
struct State {
    conn: Option<MultiplexedConnection>,
    /// Which connection it is: one that ended long ago must not take its successor along.
    epoch: u64,
    /// Attempts that brought none.
    failed: u64,
    /// Why the last one did not.
    why: String,
}

/// A connection to be used.
pub(super) struct Line {
    pub(super) conn: MultiplexedConnection,
    pub(super) epoch: u64,
}

impl Lane {
    pub(super) fn new() -> Lane {
        Lane { state: watch::Sender::new(State::default()), connecting: AtomicBool::new(false) }
    }

    /// The connection, if it is there.
    pub(super) fn line(&self) -> Option<Line> {
        let state = self.state.borrow();
        state.conn.clone().map(|conn| Line { conn, epoch: state.epoch })
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().conn.is_some()
    }

    /// Whether the caller is to make it: nobody else does.
    pub(super) fn begin(&self) -> bool {
        !self.connecting.swap(true, Ordering::AcqRel)
    }

    /// The number of the connection that is being made.
    pub(super) fn next_epoch(&self) -> u64 {
        self.state.borrow().epoch + 1
    }

    /// It is there, or is not.
    pub(super) fn end(&self, epoch: u64, outcome: Result<MultiplexedConnection, String>) {
        self.state.send_modify(|state| match outcome {
            Ok(conn) => (state.conn, state.epoch) = (Some(conn), epoch),
            Err(why) => (state.failed, state.why, state.epoch) = (state.failed + 1, why, epoch),
        });
        self.connecting.store(false, Ordering::Release);
    }

    /// Connection `epoch` is of no use any more. True: it was the one in use.
    pub(super) fn drop_line(&self, epoch: u64) -> bool {
        self.state.send_if_modified(|state| state.epoch == epoch && state.conn.take().is_some())
    }

    /// No connection is of use any more.
    pub(super) fn clear(&self) {
        self.state.send_if_modified(|state| state.conn.take().is_some());
    }

    /// The end of the attempt under way. `begin` is called after one is sure to hear of it.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(super) async fn outcome(&self, begin: impl FnOnce()) -> Result<Line, String> {
        let mut watch = self.state.subscribe();
        let before = watch.borrow_and_update().failed;
        begin();
        let ended = watch.wait_for(|state| state.conn.is_some() || state.failed != before).await;
        match ended {
            Ok(state) => match &state.conn {
                Some(conn) => Ok(Line { conn: conn.clone(), epoch: state.epoch }),
                None => Err(state.why.clone()),
            },
            // The sender lives in `self`.
            Err(_) => Err("the tier is closed".into()),
        }
    }
}
