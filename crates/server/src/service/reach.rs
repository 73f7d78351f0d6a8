//! Can every origin and tier be reached right now? For `check --connect`: a server starts without asking.

use std::collections::BTreeSet;

use crate::config::Problem;

use super::Service;

impl Service {
    /// The origins and tiers that can't be reached, each as a problem at the line of its address; the file's
    /// name is left to the caller.
    pub async fn unreachable(&self) -> Vec<Problem> {
        let (mut problems, mut asked) = (Vec::new(), BTreeSet::new());
        for source in self.serving_on().spaces.iter().filter_map(|served| served.origin.as_ref()) {
            let (name, place) = &*source.named;
            if !asked.insert(name.clone()) {
                continue;
            }
            if let Err(error) = source.origin.check().await {
                problems.push(Problem {
                    file: String::new(),
                    place: place.clone(),
                    subject: format!("[origin.{name}]"),
                    found: format!("an origin that can't be reached: {error}"),
                    expected: "an origin that answers".to_owned(),
                    hint: Some("is it running, and is this address right?".to_owned()),
                });
            }
        }
        if let Some(fleet) = &self.0.fleet {
            problems.extend(fleet.unreachable().await);
        }
        problems
    }

    /// What could be better about the tier that several processes share, for people.
    pub async fn advice(&self) -> Vec<Problem> {
        match &self.0.fleet {
            Some(fleet) => fleet.advice().await,
            None => Vec::new(),
        }
    }
}
