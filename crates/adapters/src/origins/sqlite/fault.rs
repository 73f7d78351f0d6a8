//! What went wrong in SQLite? Its codes as load errors for clients and as sentences for operators.

use std::io;
use std::path::Path;

use bellwether::{FailClass, LoadError};
use rusqlite::ErrorCode;

use super::super::SetupError;

/// An error of a load. The text is ours: SQLite's own messages quote SQL and names.
pub(super) fn load_error(error: &rusqlite::Error) -> LoadError {
    let (class, text) = match code(error) {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (FailClass::Overloaded, "the database is locked by a writer")
        }
        Some(ErrorCode::OperationInterrupted) => (FailClass::Timeout, "the statement took too long and was stopped"),
        Some(ErrorCode::TooBig) => (FailClass::Rejected, "a value is larger than this space allows"),
        Some(ErrorCode::CannotOpen) => (FailClass::Refused, "the database file can't be opened"),
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            (FailClass::Refused, "access to the database was denied")
        }
        Some(ErrorCode::ReadOnly) => (FailClass::Refused, "the database needs recovery by a process that may write"),
        Some(ErrorCode::NotADatabase) => (FailClass::Failed, "the file is not an SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => (FailClass::Failed, "the database file is damaged"),
        Some(ErrorCode::SystemIoFailure) => (FailClass::Failed, "reading the database file failed"),
        Some(ErrorCode::OutOfMemory) => (FailClass::Failed, "the database ran out of memory"),
        // What remains of prepare-time errors is a table or column that existed at start.
        _ => (FailClass::Failed, "the query failed; has the schema changed since start?"),
    };
    LoadError::new(class, text)
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    match error {
        rusqlite::Error::SqlInputError { error, .. } => Some(error.code),
        other => other.sqlite_error_code(),
    }
}

/// SQLite's own words without the statement, for the operator.
pub(super) fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

/// Why a file can't be opened at all.
pub(super) fn no_file(path: &Path, error: &io::Error) -> SetupError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => SetupError::new(
            format!("database file {path} does not exist"),
            "correct the path in `sql`, or create the database first: Bellwether never creates one",
        ),
        io::ErrorKind::PermissionDenied => SetupError::new(
            format!("database file {path} may not be read by this user"),
            "give this user read permission on the file and search permission on its directories",
        ),
        _ => SetupError::new(format!("database file {path} can't be opened: {error}"), "check the path in `sql`"),
    }
}

/// Why a file that opens is no usable database.
pub(super) fn no_database(path: &Path, error: &rusqlite::Error) -> SetupError {
    let path = path.display();
    match code(error) {
        Some(ErrorCode::NotADatabase) => SetupError::new(
            format!("{path} is not an SQLite database"),
            "point `sql` at a database file; an encrypted one can't be read",
        ),
        Some(ErrorCode::CannotOpen) => SetupError::new(
            format!("database {path} can't be opened by SQLite"),
            "a database in WAL mode needs a directory in which this user may create files, or its -shm and -wal files in place",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SetupError::new(
            format!("database {path} is locked by a writer"),
            "wait for the writer to finish, or use WAL mode, in which readers and writers don't block each other",
        ),
        Some(ErrorCode::ReadOnly) => SetupError::new(
            format!("database {path} was left in the middle of a write"),
            "open it once with a program that may write, e.g. the sqlite3 shell, so that it recovers",
        ),
        _ => SetupError::new(
            format!("database {path} can't be read: {}", words(error)),
            "check the file with `PRAGMA integrity_check` in the sqlite3 shell",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_permission_says_what_to_do() {
        // As a unit test, since root may read everything.
        let error = no_file(Path::new("/data/shop.db"), &io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(error.problem().contains("/data/shop.db") && error.hint().contains("read permission"), "{error}");
    }
}
