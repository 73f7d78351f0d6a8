//! How are a run's keys removed from the engine that everybody shares?

use crate::client::Client;
use crate::error::ClientError;
use crate::key::PREFIX;
use crate::target::Target;

/// Keys looked at by one step.
const STEP: &str = "1000";

/// What every key of a run holds in its name.
pub(crate) fn mark(run: &str) -> String {
    format!("{PREFIX}{run}")
}

/// Removes every key whose name holds `mark`.
pub(crate) async fn clean(target: &Target, mark: &str) -> Result<(), ClientError> {
    let mut client = Client::open(target).await?;
    let (mut cursor, pattern) = ("0".to_owned(), format!("*{mark}*"));
    loop {
        let reply = client.call(&["SCAN", &cursor, "MATCH", &pattern, "COUNT", STEP]).await?;
        let Some([next, found]) = reply.as_slice() else {
            return Err(ClientError::Refused { command: "SCAN", answer: reply.to_string() });
        };
        let names: Vec<String> = found.as_slice().unwrap_or_default().iter().map(ToString::to_string).collect();
        if !names.is_empty() {
            let words: Vec<&str> = ["DEL"].into_iter().chain(names.iter().map(String::as_str)).collect();
            client.call(&words).await?;
        }
        cursor = next.to_string();
        if cursor == "0" {
            return Ok(());
        }
    }
}
