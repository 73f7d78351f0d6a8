//! How does plain cache-aside reach the database? A pool of as many connections as Bellwether's side has.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::database::{Database, PAGE, POOL};
use crate::failure::Failure;
use crate::shop::Shop;

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPage {
    /// The caller's deadline passed.
    Timeout,
    /// The database answered with an error.
    Failed,
    /// No such product.
    Missing,
}

/// Connections and the right to use one. Who gives up while waiting leaves the queue, as in any decent pool.
pub(super) struct Pool {
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Pool {
    pub(super) fn open(shop: &Shop, database: &Arc<Database>) -> Result<Pool, Failure> {
        let connect = |_| {
            let connection = Connection::open_with_flags(shop.path(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            database.register(&connection)?;
            Ok(connection)
        };
        let opened: rusqlite::Result<Vec<Connection>> = (0..POOL).map(connect).collect();
        let idle = opened.map_err(|error| Failure::Shop(error.to_string()))?;
        Ok(Pool { permits: Arc::new(Semaphore::new(POOL as usize)), idle: Arc::new(Mutex::new(idle)) })
    }

    /// A product's page from the database. A query that has begun is not cut off if its caller gives up.
    pub(super) async fn page(&self, id: u32) -> Result<Bytes, NoPage> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| NoPage::Failed)?;
        let idle = self.idle.clone();
        let query = tokio::task::spawn_blocking(move || {
            let connection = idle.lock().pop().ok_or(NoPage::Failed)?;
            let page = query(&connection, id);
            idle.lock().push(connection);
            drop(permit);
            page
        });
        query.await.unwrap_or(Err(NoPage::Failed))
    }
}

fn query(connection: &Connection, id: u32) -> Result<Bytes, NoPage> {
    let page = connection.prepare_cached(PAGE).and_then(|mut statement| {
        statement.query_row([id], |row| {
            Ok(json!({
                "id": row.get::<_, i64>(0)?,
                "name": row.get::<_, String>(1)?,
                "price": row.get::<_, i64>(2)?,
                "stock": row.get::<_, i64>(3)?,
                "description": row.get::<_, String>(4)?,
                "read_at": row.get::<_, i64>(5)?,
            }))
        })
    });
    match page {
        Ok(page) => Ok(page.to_string().into()),
        Err(rusqlite::Error::QueryReturnedNoRows) => Err(NoPage::Missing),
        Err(_) => Err(NoPage::Failed),
    }
}
