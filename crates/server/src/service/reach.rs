//! Can every origin and tier be reached right now? For `check --connect`: a server starts without asking.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::{Config, Problem, Source};

use super::Service;
use super::open::openable;

/// The first of an origin's keys must be there by then.
const FIRST_KEY: Duration = Duration::from_secs(10);

/// What can't be opened of a file that has other mistakes: what is said of it beside them.
pub fn beside(config: &Config) -> Vec<Problem> {
    openable(config)
}

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
        let silent: BTreeSet<String> = problems.iter().map(|problem| problem.subject.clone()).collect();
        problems.extend(self.nameless(&silent).await);
        if let Some(fleet) = &self.0.fleet {
            problems.extend(fleet.unreachable().await);
        }
        problems
    }

    /// The spaces whose HTTP origin does not name its keys when it is asked for the first of them. Statements were
    /// prepared; of origins that do not answer at all that was said.
    async fn nameless(&self, silent: &BTreeSet<String>) -> Vec<Problem> {
        let serving = self.serving_on();
        let mut problems = Vec::new();
        for (served, config) in serving.spaces.iter().zip(&serving.config.spaces) {
            let Source::Http(http) = &config.source else { continue };
            let (Some(keys), Some(source)) = (&http.keys, &served.origin) else { continue };
            let Some(names) = source.keys.as_ref().filter(|_| !silent.contains(&format!("[origin.{}]", http.origin)))
            else {
                continue;
            };
            let asked = tokio::time::timeout(FIRST_KEY, names.each(Box::new(|_| false))).await;
            let failed = match asked {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no key within {} s", FIRST_KEY.as_secs()),
            };
            problems.push(Problem {
                file: String::new(),
                place: keys.place.clone(),
                subject: format!("[[space]] '{}'", config.name),
                found: format!("keys = \"{}\", which names no keys: {failed}", keys.text),
                expected: "the keys of the space, one a line".to_owned(),
                hint: Some("`warm` and `filter` ask for it: correct the path, or remove `keys`".to_owned()),
            });
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
