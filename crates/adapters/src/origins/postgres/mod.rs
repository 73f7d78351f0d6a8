//! How is a row loaded from PostgreSQL? Read-only, by prepared statements, within caps; the server writes the JSON.
//!
//! ```no_run
//! # use bellwether_adapters::{PostgresOrigin, PostgresUrl, SqlQuery};
//! # fn main() -> Result<(), bellwether_adapters::SetupError> {
//! let url = PostgresUrl::parse("postgres://shop@127.0.0.1/shop", std::path::Path::new(""))?;
//! let shop = PostgresOrigin::open(url, 16, std::time::Duration::from_secs(2))?;
//! let product = shop.query(
//!     SqlQuery::new("SELECT id, name FROM products WHERE id = :id", ["id"])
//!         .many("SELECT id, name FROM products WHERE id = ANY (:ids)"),
//! )?;
//! # Ok(()) }
//! ```
//!
//! Nothing is connected until [`Origin::ready`] or the first load. Whichever comes first prepares the statements, and
//! so learns what their parameters take and which columns they return.

mod fault;
mod keys;
mod link;
mod param;
mod plan;
mod planned;
mod run;
mod sql;
mod tls;
mod url;

use std::sync::Arc;
use std::time::Duration;

use bellwether::{FailClass, LoadError, Loaded};
use futures_util::FutureExt;
use tokio::time::timeout;

pub use self::keys::PostgresKeys;
pub use self::url::{PostgresUrl, SslMode};

use self::fault::Fault;
use self::link::{Held, Link, Trouble};
use self::plan::{Plan, Unplanned, Values};
use self::planned::Planned;
use super::sql::SqlQuery;
use super::{BatchFuture, CheckFuture, LoadFuture, NotReady, Origin, ReadyFuture, SetupError};
use crate::{Captures, Payload};

/// A PostgreSQL database. Cheap to clone: clones share their connections.
#[derive(Clone, Debug)]
pub struct PostgresOrigin {
    link: Arc<Link>,
}

impl PostgresOrigin {
    /// An origin at `url`. Nothing is connected yet. At most `max_concurrency` connections are made, one per load; the
    /// server ends a statement after `timeout`, and at once if its future is dropped.
    ///
    /// # Errors
    /// The certificates that are to be trusted can't be read.
    pub fn open(url: PostgresUrl, max_concurrency: usize, timeout: Duration) -> Result<PostgresOrigin, SetupError> {
        Ok(PostgresOrigin { link: Arc::new(Link::new(url, max_concurrency, timeout)?) })
    }

    /// The view of one space.
    ///
    /// # Errors
    /// What the text of the SQL alone tells is wrong; the database itself is asked by [`Origin::ready`].
    pub fn query(&self, query: SqlQuery) -> Result<PostgresSpace, SetupError> {
        plan::check_texts(&query)?;
        let planned = Arc::new(Planned::default());
        Ok(PostgresSpace { link: Arc::clone(&self.link), query: Arc::new(query), planned })
    }

    /// The statement that names the keys of a space with these captures. Its text alone is looked at: the database is
    /// asked when the keys are.
    ///
    /// # Errors
    /// What is wrong with the SQL, and what to write instead.
    pub fn keys(
        &self,
        text: &str,
        captures: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Result<PostgresKeys, SetupError> {
        keys::keys(&self.link, text, captures.into_iter().map(Into::into).collect())
    }

    /// Statements executed so far, over all spaces of this origin.
    pub fn queries(&self) -> u64 {
        self.link.queries()
    }

    /// Does the database answer right now?
    pub fn check(&self) -> CheckFuture<'_> {
        check(&self.link).boxed()
    }
}

async fn check(link: &Arc<Link>) -> Result<(), LoadError> {
    let asked = async {
        let mut held = link.hold().await?;
        let answer = held.batch_execute("SELECT 1").await;
        held.rest();
        Ok(answer?)
    };
    in_time(link, asked).await.map_err(Trouble::load_error)
}

async fn in_time<T>(link: &Link, asked: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let late = || Trouble::Load(LoadError::new(FailClass::Timeout, "the database did not answer in time"));
    timeout(link.timeout, asked).await.unwrap_or_else(|_| Err(late()))
}

/// One space's view of a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct PostgresSpace {
    link: Arc<Link>,
    query: Arc<SqlQuery>,
    planned: Arc<Planned>,
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Asked<'a> {
    One(&'a Captures),
    Many(&'a [Captures]),
}

impl Origin for PostgresSpace {
    /// `have` is not looked at: reading a row costs what comparing it would.
    fn load<'a>(&'a self, captures: Captures, _have: Option<&'a Payload>) -> LoadFuture<'a> {
        async move {
            let found = self.ask(Asked::One(&captures)).await?;
            Ok(found.into_iter().next().map_or_else(Loaded::missing, |(_, loaded)| loaded))
        }
        .boxed()
    }

    fn load_many(&self, captures: Vec<Captures>) -> Option<BatchFuture<'_>> {
        self.query.many.as_ref()?;
        Some(async move { self.ask(Asked::Many(&captures)).await }.boxed())
    }

    /// Says yes only as long as it is known what the parameters take.
    fn never(&self, captures: &Captures) -> bool {
        self.planned.fresh().is_some_and(|plan| matches!(plan.one.values(captures), Values::Never))
    }

    fn check(&self) -> CheckFuture<'_> {
        check(&self.link).boxed()
    }

    fn ready(&self) -> Option<ReadyFuture<'_>> {
        Some(self.prepare().boxed())
    }
}

impl PostgresSpace {
    /// Asks on a connection, and once more where another connection or another plan may help. Statements only read,
    /// so that asking twice changes nothing.
    async fn ask(&self, asked: Asked<'_>) -> Result<Vec<(usize, Loaded<Payload>)>, LoadError> {
        let mut last = Fault::Other;
        loop {
            let mut held = self.link.hold().await.map_err(Trouble::load_error)?;
            let trouble = match self.ask_on(&held, asked, last == Fault::Outdated).await {
                Ok(found) => {
                    held.rest();
                    return Ok(found);
                }
                Err(trouble) => trouble,
            };
            let fault = match &trouble {
                Trouble::Postgres(error) => fault::fault(error),
                Trouble::Outdated => Fault::Outdated,
                Trouble::Load(_) | Trouble::Unread(_) => Fault::Other,
            };
            match (&trouble, fault) {
                // Dropped with rows unread, it is stopped.
                (Trouble::Unread(_), _) => {}
                (_, Fault::Lost) => held.discard(),
                _ => held.rest(),
            }
            if fault == Fault::Other || last != Fault::Other {
                return Err(trouble.load_error());
            }
            if fault == Fault::Outdated {
                held.statement_cache.clear();
            }
            last = fault;
        }
    }

    async fn ask_on(
        &self,
        held: &Held,
        asked: Asked<'_>,
        anew: bool,
    ) -> Result<Vec<(usize, Loaded<Payload>)>, Trouble> {
        if anew {
            // Prepared by the same text, and as outdated, on every connection.
            held.statement_cache.clear();
        }
        let plan = self.plan(held, anew).await?;
        match asked {
            Asked::One(captures) => Ok(vec![(0, run::one(held, &self.link, &plan, captures).await?)]),
            Asked::Many(captures) => run::many(held, &self.link, &plan, captures).await,
        }
    }

    /// What is known of the statements, asked for if need be.
    async fn plan(&self, held: &Held, anew: bool) -> Result<Arc<Plan>, Trouble> {
        if !anew && let Some(plan) = self.planned.usable() {
            return Ok(plan);
        }
        match plan::plan(held, &self.query).await {
            Ok(plan) => Ok(self.planned.know(plan)),
            Err(Unplanned::Trouble(trouble)) => Err(trouble),
            Err(Unplanned::Wrong(error)) => {
                self.planned.wrong(&error);
                Err(Trouble::failed("the query can't be prepared; the log and `check --connect` say why"))
            }
        }
    }

    /// Prepares the statements ahead of the first load, and finds out whether they may be run.
    async fn prepare(&self) -> Result<(), NotReady> {
        let later = |trouble: Trouble| match trouble {
            Trouble::Postgres(error) => match fault::setup_error(&error, &self.link.url) {
                Some(wrong) => NotReady::Origin(wrong),
                None => NotReady::Later(fault::load_error(&error)),
            },
            trouble => NotReady::Later(trouble.load_error()),
        };
        let asked = async {
            let mut held = self.link.hold().await?;
            let planned = self.prepare_on(&held).await;
            held.rest();
            match planned {
                Ok(()) => Ok(Ok(())),
                Err(Unplanned::Wrong(error)) => Ok(Err(NotReady::Space(error))),
                Err(Unplanned::Trouble(trouble)) => Err(trouble),
            }
        };
        in_time(&self.link, asked).await.map_err(later)?
    }

    async fn prepare_on(&self, held: &Held) -> Result<(), Unplanned> {
        let plan = plan::plan(held, &self.query).await?;
        plan::check_rights(held, &plan).await?;
        let plan = self.planned.know(plan);
        plan.one.text.prepared(held).await?;
        if let Some(many) = &plan.many {
            many.text.prepared(held).await?;
        }
        Ok(())
    }
}
