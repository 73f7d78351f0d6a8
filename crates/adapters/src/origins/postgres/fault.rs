//! What went wrong at PostgreSQL? Its codes as load errors for clients and as sentences for operators.

use std::error::Error as _;

use bellwether::{FailClass, LoadError};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::super::{SetupError, cannot_be_reached};
use super::url::{PostgresUrl, SslMode};

/// Whose fault it is, and so what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is gone; another one may live.
    Lost,
    /// The statement no longer is what was prepared.
    Outdated,
    Other,
}

pub(super) fn fault(error: &Error) -> Fault {
    let Some(code) = error.code() else {
        let io = error.source().is_some_and(|cause| cause.is::<std::io::Error>());
        return if error.is_closed() || io { Fault::Lost } else { Fault::Other };
    };
    match code {
        &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN => Fault::Lost,
        // "cached plan must not change result type"; a statement that a pooler in between has forgotten.
        &SqlState::FEATURE_NOT_SUPPORTED | &SqlState::INVALID_SQL_STATEMENT_NAME => Fault::Outdated,
        // Class 42: a table, column, function or type that is no more, or is another one.
        code if code.code().starts_with("42") && *code != SqlState::INSUFFICIENT_PRIVILEGE => Fault::Outdated,
        _ => Fault::Other,
    }
}

/// An error of a load. The text is ours: PostgreSQL's own messages quote SQL, names and values.
pub(super) fn load_error(error: &Error) -> LoadError {
    let Some(code) = error.code() else {
        return if is_tls(error) {
            LoadError::refused("the TLS handshake failed")
        } else if error.is_closed() {
            LoadError::refused("the database closed the connection")
        } else {
            cannot_be_reached(error, "the database")
        };
    };
    let (class, text) = match code {
        &SqlState::TOO_MANY_CONNECTIONS => (FailClass::Overloaded, "too many connections to the database"),
        &SqlState::OUT_OF_MEMORY | &SqlState::CONFIGURATION_LIMIT_EXCEEDED => {
            (FailClass::Overloaded, "the database is short of resources")
        }
        &SqlState::LOCK_NOT_AVAILABLE => (FailClass::Overloaded, "the row or table is locked by a writer"),
        &SqlState::QUERY_CANCELED => (FailClass::Timeout, "the statement took too long and was stopped"),
        &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN | &SqlState::CANNOT_CONNECT_NOW => {
            (FailClass::Refused, "the database is starting or shutting down")
        }
        &SqlState::INVALID_CATALOG_NAME => (FailClass::Refused, "there is no such database"),
        &SqlState::INSUFFICIENT_PRIVILEGE => (FailClass::Refused, "access to the data was denied"),
        &SqlState::READ_ONLY_SQL_TRANSACTION => (FailClass::Failed, "the query writes, which is refused"),
        code if code.code().starts_with("28") => (FailClass::Refused, "the database refused the login"),
        code if code.code().starts_with("08") => (FailClass::Refused, "the database can't be reached"),
        code if code.code().starts_with("22") => (FailClass::Failed, "the query can't work with the data it found"),
        code if code.code().starts_with("42") => {
            (FailClass::Failed, "the query failed; has the schema changed since start?")
        }
        _ => (FailClass::Failed, "the query failed"),
    };
    LoadError::new(class, text)
}

/// The private kind of an error shows in its text alone.
fn is_tls(error: &Error) -> bool {
    error.to_string() == "error performing TLS handshake"
}

/// PostgreSQL's own words, for the operator.
pub(super) fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}

/// Why a connection can't be used as it is configured; `None` if it may be otherwise in a while.
pub(super) fn setup_error(error: &Error, url: &PostgresUrl) -> Option<SetupError> {
    let words = words(error);
    let Some(code) = error.code() else {
        let hint = match url.mode {
            SslMode::VerifyFull => "check the host's name, and `sslrootcert`: whose certificates are to be trusted",
            _ => "set sslmode=disable if the way to the server is safe",
        };
        let refused = |hint| SetupError::new(format!("the database can't be used: {words}"), hint);
        // "invalid configuration" also stands for a password that is asked for and not there.
        let asked = "name user and password in the URL: postgres://user:${PASSWORD}@host/database";
        return match error.to_string().as_str() {
            "error performing TLS handshake" => Some(refused(hint)),
            "invalid configuration" | "authentication error" => Some(refused(asked)),
            _ => None,
        };
    };
    let hint = match code {
        &SqlState::INVALID_CATALOG_NAME => "correct the database's name in the URL, or create it",
        &SqlState::INSUFFICIENT_PRIVILEGE => "grant the user CONNECT on the database",
        code if code.code().starts_with("28") => "correct user and password in the URL, or the server's pg_hba.conf",
        _ => return None,
    };
    Some(SetupError::new(format!("the database can't be used: {words}"), hint))
}
