//! What do all rows act with: callers in tasks of their own, a leader, and waits that end?

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::contender::Contender;
use crate::origin::{Answer, Failed, Origin, Seen};

pub(crate) const KEY: &str = "key";
/// Callers of a herd.
pub(crate) const CALLERS: usize = 100;
/// How often a race is run that is lost only now and then.
const TRIES: usize = 20;
/// Whoever is not done by then hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at something that is awaited.
const PAUSE: Duration = Duration::from_millis(1);

/// What a caller was told, and what the origin had seen by then.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) hung: bool,
    pub(crate) seen: Seen,
}

impl Answered {
    /// Was it given a row?
    pub(crate) fn served(&self) -> bool {
        matches!(self.answer, Ok(Some(_)))
    }

    /// Was it told that there is none to be had?
    pub(crate) fn refused(&self) -> bool {
        self.answer.is_err() && !self.hung
    }
}

/// Of so many answers, those that are so.
pub(crate) fn count(answers: &[Answered], which: impl Fn(&Answered) -> bool) -> usize {
    answers.iter().filter(|answered| which(answered)).count()
}

/// One caller's call, as a future of its own.
pub(crate) fn call<C: Contender>(cache: &C, origin: &Origin) -> BoxFuture<'static, Answer> {
    let (cache, origin) = (cache.clone(), origin.clone());
    Box::pin(async move { cache.get(KEY, &origin).await })
}

/// So many callers at once, each a task of its own.
pub(crate) async fn herd_of(
    callers: usize,
    origin: &Origin,
    call: impl Fn(usize) -> BoxFuture<'static, Answer>,
) -> Vec<Answered> {
    let mut tasks = JoinSet::new();
    for n in 0..callers {
        let (call, origin) = (call(n), origin.clone());
        tasks.spawn(async move {
            let told = timeout(PATIENCE, call).await;
            let hung = told.is_err();
            Answered { answer: told.unwrap_or(Err(Failed)), hung, seen: origin.seen() }
        });
    }
    let mut answers = Vec::with_capacity(callers);
    while let Some(told) = tasks.join_next().await {
        // A panic that reached the caller.
        let panicked = |_| Answered { answer: Err(Failed), hung: false, seen: origin.seen() };
        answers.push(told.unwrap_or_else(panicked));
    }
    answers
}

/// The same for callers of the one key.
pub(crate) async fn herd<C: Contender>(callers: usize, cache: &C, origin: &Origin) -> Vec<Answered> {
    herd_of(callers, origin, |_| call(cache, origin)).await
}

/// One caller more: was it served?
pub(crate) async fn later<C: Contender>(cache: &C, origin: &Origin) -> &'static str {
    match herd(1, cache, origin).await.first() {
        Some(answered) if answered.hung => "hangs",
        answered => yes(answered.is_some_and(Answered::served)),
    }
}

/// "yes" or "no".
pub(crate) fn yes(truth: bool) -> &'static str {
    if truth { "yes" } else { "no" }
}

/// A task whose load has begun.
pub(crate) async fn leader<C: Contender>(cache: &C, origin: &Origin) -> JoinHandle<Answer> {
    let before = origin.loads();
    let leader = tokio::spawn(call(cache, origin));
    until(origin, |seen| seen.loads > before).await;
    leader
}

/// Waits until the origin has seen this.
///
/// # Panics
/// If it has not for so long that there is nothing to judge.
pub(crate) async fn until(origin: &Origin, seen: impl Fn(Seen) -> bool) {
    let begun = Instant::now();
    while !seen(origin.seen()) {
        assert!(begun.elapsed() < PATIENCE, "the origin waited in vain");
        sleep(PAUSE).await;
    }
}

/// How many of the tries went wrong; whoever is told nothing has not been served.
pub(crate) async fn tries<F: Future<Output = Result<bool, Failed>>>(race: fn() -> F) -> String {
    let (mut wrong, mut hung) = (0, 0);
    for _ in 0..TRIES {
        match timeout(PATIENCE, race()).await {
            Ok(went_wrong) => wrong += usize::from(went_wrong.unwrap_or(true)),
            Err(_) => hung += 1,
        }
    }
    if hung > 0 { format!("{wrong}/{TRIES} ({hung} hang)") } else { format!("{wrong}/{TRIES}") }
}
