//! Can the origins serve their first loads? Those that can't be reached yet are not waited for: their first load gets
//! them ready. What is wrong with them is told before anybody is served.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;

use bellwether_adapters::{NotReady, Origin};
use futures_util::future::join_all;
use tokio::runtime::Handle;

use super::open::{setup_problem, sql_problem};
use super::serving::Serving;
use crate::config::{Problem, Source, SpaceConfig};

/// A space's origin that has something to get ready.
struct Unready {
    origin: Arc<dyn Origin>,
    /// The origin's name, and where its address is written.
    named: Arc<(String, crate::config::Place)>,
    space: SpaceConfig,
}

/// Gets everything ready that can be.
///
/// # Errors
/// Every origin and statement that can't be used as it is written.
pub(super) async fn ready(serving: &Serving) -> Result<(), Vec<Problem>> {
    told(all(unready(serving)).await, serving)
}

/// The same for a thread that may wait; the asking is done on `loads`.
pub(super) fn ready_on(loads: &Handle, serving: &Serving) -> Result<(), Vec<Problem>> {
    let unready = unready(serving);
    if unready.is_empty() {
        return Ok(());
    }
    let (tell, answer) = mpsc::channel();
    loads.spawn(async move {
        // Only a thread that panicked waits no longer.
        let _ = tell.send(all(unready).await);
    });
    // Without an answer the runtime is ending, and everything with it.
    told(answer.recv().unwrap_or_default(), serving)
}

fn unready(serving: &Serving) -> Vec<Unready> {
    let with_config = serving.spaces.iter().zip(&serving.config.spaces);
    let unready = with_config.filter_map(|(served, space)| {
        let source = served.origin.as_ref().filter(|source| source.origin.ready().is_some())?;
        Some(Unready { origin: source.origin.clone(), named: source.named.clone(), space: space.clone() })
    });
    unready.collect()
}

/// Origins side by side, the spaces of one after another.
async fn all(unready: Vec<Unready>) -> Vec<Problem> {
    let mut by_origin: BTreeMap<String, Vec<Unready>> = BTreeMap::new();
    unready.into_iter().for_each(|one| by_origin.entry(one.named.0.clone()).or_default().push(one));
    join_all(by_origin.into_values().map(of_one_origin)).await.into_iter().flatten().collect()
}

async fn of_one_origin(spaces: Vec<Unready>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for Unready { origin, named, space } in &spaces {
        let Some(getting_ready) = origin.ready() else { continue };
        let (name, place) = &**named;
        match (getting_ready.await, &space.source) {
            (Ok(()), _) => {}
            (Err(NotReady::Space(error)), Source::Sql(sql)) => {
                problems.push(*sql_problem(sql, &format!("[[space]] '{}'", space.name), &error));
            }
            (Err(NotReady::Space(error)), Source::Plain | Source::Http(_)) => {
                problems.push(*setup_problem(&space.place, &format!("[[space]] '{}'", space.name), &error));
            }
            // The next space would hear the same.
            (Err(NotReady::Origin(error)), _) => {
                problems.push(*setup_problem(place, &format!("[origin.{name}]"), &error));
                break;
            }
            (Err(NotReady::Later(error)), _) => {
                tracing::warn!("origin '{name}' can't be asked yet, its first load will get it ready: {error}");
                break;
            }
        }
    }
    problems
}

fn told(mut problems: Vec<Problem>, serving: &Serving) -> Result<(), Vec<Problem>> {
    if problems.is_empty() {
        return Ok(());
    }
    problems.iter_mut().for_each(|problem| problem.file.clone_from(&serving.config.file));
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    Err(problems)
}
