//! What does the file look like, and is it ours? Tables, version, and what is known of the process before.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::clock::{Anchor, Left};
use super::floors::{Floor, Floors, Seq};
use super::limits::{Limits, PAGE};
use super::row::{self, About};
use super::trouble::Trouble;
use crate::SetupError;

/// Says that a file is a Bellwether's: "BWDT".
const APPLICATION: i32 = 0x4257_4454;
/// The version of everything below.
const VERSION: i32 = 1;
/// How long one connection waits for the other, which holds its locks for moments.
const PATIENCE: Duration = Duration::from_secs(2);
/// KiB of pages that the writer keeps in memory; the reader half.
const WRITER_CACHE: i64 = 4096;

/// `sum` guards a row against flipped bits, as SQLite has no checksums.
const TABLES: &str = "
CREATE TABLE about (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,
    boot TEXT NOT NULL,
    wall_ms INTEGER NOT NULL,
    ticks INTEGER NOT NULL,
    latest_ms INTEGER NOT NULL,
    clean INTEGER NOT NULL,
    life INTEGER NOT NULL,
    all_life INTEGER NOT NULL,
    all_fence INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT;
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    space INTEGER NOT NULL,
    life INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    envelope BLOB NOT NULL
) STRICT;
CREATE INDEX entry_by_end ON entry (expires_ms);
CREATE TABLE floor (
    kind INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    life INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (kind, scope)
) STRICT, WITHOUT ROWID;
";

/// Opens the file to write. Its tables are looked at by [`is_new`].
pub(super) fn connect(path: &Path, limits: Limits) -> Result<Connection, Trouble> {
    let connection = open(path, WRITER_CACHE)?;
    connection.pragma_update(None, "max_page_count", limits.pages)?;
    Ok(connection)
}

/// Opens it to read.
pub(super) fn connect_reader(path: &Path) -> Result<Connection, Trouble> {
    let connection = open(path, WRITER_CACHE / 2)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Whether the file is somebody else's, as far as can be told without touching it or what lies beside it. A file that
/// can't be read so says nothing.
pub(super) fn look(path: &Path) -> Result<(), SetupError> {
    let name = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(connection) = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags) else { return Ok(()) };
    match is_new(&connection, path) {
        Err(Trouble::Refused(refusal)) => Err(refusal),
        _ => Ok(()),
    }
}

fn open(path: &Path, cache_kib: i64) -> Result<Connection, Trouble> {
    // No CREATE: the file is made beforehand, with its rights. No mutex: a connection never leaves its thread.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Whether the file has no tables yet. Refuses what is somebody else's, before anything is written to it.
pub(super) fn is_new(connection: &Connection, path: &Path) -> Result<bool, Trouble> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 && application == 0 {
        return Ok(true);
    }
    // The header's two words have no checksum: what is ours says so once more inside.
    let inside = connection.query_row("SELECT version FROM about WHERE id = 1", [], |row| row.get::<_, i32>(0)).ok();
    match (application, version, inside) {
        (APPLICATION, VERSION, _) => Ok(false),
        (APPLICATION, _, Some(VERSION)) | (_, VERSION, Some(VERSION)) => {
            Err(Trouble::Damaged(format!("{}: its header is not what was written", path.display())))
        }
        (APPLICATION, found, _) => Err(Trouble::Refused(SetupError::new(
            format!(
                "{} was written by another version of Bellwether (format {found}, this one knows {VERSION})",
                path.display()
            ),
            "delete it, or name another directory; it holds copies only",
        ))),
        _ => Err(Trouble::Refused(SetupError::new(
            format!("{} is a database of another program", path.display()),
            "name a directory of the tier's own",
        ))),
    }
}

/// Makes the tables of a new file.
pub(super) fn create(connection: &Connection, first: &About) -> Result<(), Trouble> {
    connection.pragma_update(None, "page_size", PAGE)?;
    prepare(connection)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(TABLES)?;
    write_about(connection, first)?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// How the file is written: a commit is a write to the log without a wait for the platter; what is deleted is
/// overwritten where that costs nothing, so that a damaged page can't bring it back.
pub(super) fn prepare(connection: &Connection) -> Result<(), Trouble> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Trouble::Failed(format!("the file system can't hold a write-ahead log (got \"{mode}\")")));
    }
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
    Ok(())
}

/// Reads what the file knows of itself.
pub(super) fn about(connection: &Connection) -> Result<About, Trouble> {
    let sql = "SELECT boot, wall_ms, ticks, latest_ms, clean, life, all_life, all_fence, sum FROM about WHERE id = 1";
    let (about, sum) = connection.query_row(sql, [], |row| {
        let left = Left {
            boot: row.get(0)?,
            anchor: Anchor { wall_ms: row.get(1)?, ticks: row.get(2)? },
            latest_ms: row.get(3)?,
            clean: row.get(4)?,
        };
        let about = About { left, life: row.get(5)?, all: Seq { life: row.get(6)?, fence: row.get(7)? } };
        Ok((about, row.get::<_, i64>(8)?))
    })?;
    if sum != row::about_sum(&about) {
        return Err(Trouble::Damaged("what the file says of itself is not what was written".to_owned()));
    }
    Ok(about)
}

/// Writes it.
pub(super) fn write_about(connection: &Connection, about: &About) -> Result<(), Trouble> {
    let About { left, life, all } = about;
    let sql = "INSERT OR REPLACE INTO about VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    connection.prepare_cached(sql)?.execute(params![
        VERSION,
        left.boot,
        left.anchor.wall_ms,
        left.anchor.ticks,
        left.latest_ms,
        left.clean,
        life,
        all.life,
        all.fence,
        row::about_sum(about),
    ])?;
    Ok(())
}

/// All floors of tags and spaces, of which a damaged one makes the whole file damaged.
pub(super) fn floors(connection: &Connection, all: Seq) -> Result<Floors, Trouble> {
    let mut statement = connection.prepare("SELECT kind, scope, life, fence, until_ms, sum FROM floor")?;
    let mut rows = statement.query([])?;
    let mut scopes = HashMap::new();
    while let Some(found) = rows.next()? {
        let (kind, scope): (i64, i64) = (found.get(0)?, found.get(1)?);
        let floor = Floor { at: Seq { life: found.get(2)?, fence: found.get(3)? }, until_ms: found.get(4)? };
        let scope = row::scope(kind, scope).filter(|scope| found.get(5) == Ok(row::floor_sum(*scope, floor)));
        let Some(scope) = scope else { return Err(Trouble::Damaged("a floor is not what was written".to_owned())) };
        scopes.insert(scope, floor);
    }
    Ok(Floors::new(scopes, all))
}

/// Pages in use.
pub(super) fn used_pages(connection: &Connection) -> Result<u64, Trouble> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, u64>(0));
    Ok(number("page_count")?.saturating_sub(number("freelist_count")?))
}

/// Pages of the file, free ones included.
pub(super) fn all_pages(connection: &Connection) -> Result<u64, Trouble> {
    Ok(connection.pragma_query_value(None, "page_count", |row| row.get::<_, u64>(0))?)
}

/// The latest end of any entry.
pub(super) fn last_end(connection: &Connection) -> Result<u64, Trouble> {
    let sql = "SELECT max(expires_ms) FROM entry";
    let found = connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, Option<u64>>(0)).optional()?;
    Ok(found.flatten().unwrap_or(0))
}
