//! Do the origins keep their rules against real databases and real, misbehaving servers?

#[cfg(feature = "http")]
mod http_answers;
#[cfg(feature = "http")]
mod http_faults;
#[cfg(feature = "http")]
mod http_server;
#[cfg(feature = "postgres")]
mod postgres_faults;
#[cfg(feature = "postgres")]
mod postgres_keys;
#[cfg(feature = "postgres")]
mod postgres_many;
#[cfg(feature = "postgres")]
mod postgres_server;
#[cfg(feature = "postgres")]
mod postgres_setup;
#[cfg(feature = "postgres")]
mod postgres_values;
#[cfg(feature = "sqlite")]
mod sqlite_faults;
#[cfg(feature = "sqlite")]
mod sqlite_many;
#[cfg(feature = "sqlite")]
mod sqlite_setup;
#[cfg(feature = "sqlite")]
mod sqlite_values;

use std::time::Duration;

use bellwether::{FailClass, LoadError, Loaded};
use bellwether_adapters::Payload;

/// Nothing here takes longer, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a load came to, for comparing.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Value(String),
    Missing,
    NotModified,
    Failed(FailClass),
}

fn outcome(result: &Result<Loaded<Payload>, LoadError>) -> Outcome {
    match result {
        Ok(loaded) if loaded.is_missing() => Outcome::Missing,
        Ok(loaded) if loaded.is_not_modified() => Outcome::NotModified,
        Ok(loaded) => Outcome::Value(text(loaded)),
        Err(error) => Outcome::Failed(failed(error)),
    }
}

/// The class of an error, whose text must tell clients nothing that is the operator's business.
fn failed(error: &LoadError) -> FailClass {
    let text = error.to_string();
    for secret in ["SELECT", "select", "secret", "products", "http:", "https:", "127.0.0.1", "localhost", ".db", "/"] {
        assert!(!text.contains(secret), "an error tells {secret:?}: {text}");
    }
    error.class()
}

fn text(loaded: &Loaded<Payload>) -> String {
    let payload = loaded.as_value().expect("a value");
    String::from_utf8(payload.body.to_vec()).expect("UTF-8")
}

fn value(text: &str) -> Outcome {
    Outcome::Value(text.to_owned())
}

/// A future that must end.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it must not take this long")
}
