//! Can every origin be reached right now? For `check --connect`: a server starts without asking.

use crate::config::{Place, Problem};

use super::Service;

impl Service {
    /// The spaces whose origins can't be reached, each as a problem; the file's name is left to the caller.
    pub async fn unreachable(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for served in &self.serving_on().spaces {
            let Some(source) = &served.origin else { continue };
            if let Err(error) = source.origin.check().await {
                problems.push(Problem {
                    file: String::new(),
                    place: Place::File,
                    subject: format!("[[space]] '{}'", served.name),
                    found: format!("an origin that can't be reached: {error}"),
                    expected: "an origin that answers".to_owned(),
                    hint: Some("is it running, and is the address in its [origin] section right?".to_owned()),
                });
            }
        }
        problems
    }
}
