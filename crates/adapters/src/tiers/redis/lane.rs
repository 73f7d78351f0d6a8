//! What is known of one connection to a node? Whether it is there, and how often it was tried for.

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
pub(super) struct Lane(watch::Sender<State>);

#[derive(Default)]
struct State {
    conn: Option<MultiplexedConnection>,
    /// Whether somebody makes one.
    connecting: bool,
    /// Which attempt is the newest: a connection that ended long ago must not take its successor along.
    epoch: u64,
    /// Attempts that have ended, either way.
    ended: u64,
    /// Why the last one brought none.
    why: String,
}

/// A connection to be used.
pub(super) struct Line {
    pub(super) conn: MultiplexedConnection,
    pub(super) epoch: u64,
}

impl Lane {
    pub(super) fn new() -> Lane {
        Lane(watch::Sender::new(State::default()))
    }

    /// The connection, if it is there.
    pub(super) fn line(&self) -> Option<Line> {
        let state = self.0.borrow();
        state.conn.clone().map(|conn| Line { conn, epoch: state.epoch })
    }

    pub(super) fn is_up(&self) -> bool {
        self.0.borrow().conn.is_some()
    }

    /// The number of the connection that the caller is to make. `None`: it is there, or somebody makes it.
    pub(super) fn begin(&self) -> Option<u64> {
        let mut begun = None;
        self.0.send_if_modified(|state| {
            if state.conn.is_none() && !state.connecting {
                state.connecting = true;
                state.epoch += 1;
                begun = Some(state.epoch);
            }
            // Nothing that anybody waits for.
            false
        });
        begun
    }

    /// It is there, or is not.
    pub(super) fn end(&self, outcome: Result<MultiplexedConnection, String>) {
        self.0.send_modify(|state| {
            (state.connecting, state.ended) = (false, state.ended + 1);
            match outcome {
                Ok(conn) => (state.conn, state.why) = (Some(conn), "it was lost at once".into()),
                Err(why) => state.why = why,
            }
        });
    }

    /// Connection `epoch` is of no use any more. True: it was the one in use.
    pub(super) fn drop_line(&self, epoch: u64) -> bool {
        self.0.send_if_modified(|state| state.epoch == epoch && state.conn.take().is_some())
    }

    /// No connection is of use any more.
    pub(super) fn clear(&self) {
        self.0.send_if_modified(|state| state.conn.take().is_some());
    }

    /// The end of the attempt under way. `begin` is called after one is sure to hear of it.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(super) async fn outcome(&self, begin: impl FnOnce()) -> Result<Line, String> {
        let mut watch = self.0.subscribe();
        let before = watch.borrow_and_update().ended;
        begin();
        let ended = watch.wait_for(|state| state.conn.is_some() || state.ended != before).await;
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
