//! Who fills a key of a plain space? Cache-aside code in any language: one caller gets the token, of the whole fleet
//! where there is a shared tier; the others the stale value or the wait.

use std::pin::pin;

use bellwether::{Lease, Loaded, Span, Token, Why};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Service;
use super::outcome::{Grant, Outcome, Refusal, Terms};
use super::served::plain_payload;
use super::serving::Belongs;

/// A token ends after this long unless its holder asked for another time.
const LEASE: Span = Span::secs(2);
/// The longest lease and the longest wait that may be asked for.
const LONGEST: Span = Span::secs(600);

impl Service {
    /// A value of a plain space, or the right to write it; waits up to `wait` (default: the space's
    /// `timeout`) for the holder's value, or until `hurry`. In a space with an origin it is a plain read: nobody but
    /// the origin fills it, so there are no tokens.
    ///
    /// # Errors
    /// The outcome of that read, if it is no answer.
    pub async fn lease(
        &self,
        key: Bytes,
        terms: Terms,
        lease: Option<Span>,
        wait: Option<Span>,
        hurry: impl Future<Output = ()>,
    ) -> Result<Grant, Outcome> {
        let lease = lease.unwrap_or(LEASE).at_most(LONGEST);
        let (mut hurry, mut until) = (pin!(hurry.fuse()), None);
        loop {
            let serving = self.serving_on();
            let Belongs::To(served, _) = serving.belongs(&key) else { return granted(self.read(key, terms).await) };
            if served.origin.is_some() {
                return granted(self.read(key.clone(), terms).await);
            }
            let wait = || self.now() + wait.unwrap_or(served.policy.timeout).at_most(LONGEST);
            let left = until.get_or_insert_with(wait).since(self.now());
            let stored = served.stored(&key);
            let leased = tokio::select! {
                biased;
                leased = served.space.lease(&stored, terms.demand, lease, left) => leased,
                () = &mut hurry => {
                    until = Some(self.now());
                    served.space.lease(&stored, terms.demand, lease, Span::ZERO).await
                }
            };
            // A reload dropped the space under whoever waited: what is in its place is asked.
            if leased.is_err() && served.space.is_dropped() {
                continue;
            }
            let none = |why: Why| Grant { value: None, why, token: None, retry_after: None };
            return Ok(match leased {
                Ok(Lease::Value(value, token)) => {
                    Grant { why: value.why(), value: Some(value), token, retry_after: None }
                }
                Ok(Lease::Missing) => none(Why::Negative),
                Ok(Lease::Token(token)) => {
                    let why = if token.is_lone() { Why::Lone } else { Why::NotCached };
                    Grant { token: Some(token), ..none(why) }
                }
                Ok(Lease::Held(left)) => Grant { retry_after: Some(left), ..none(Why::Held) },
                Err(error) => Grant { retry_after: error.retry_after(), ..none(error.why()) },
            });
        }
    }

    /// Stores a value under a token from [`Service::lease`]. False if the token is void: another
    /// write, a removal or the end of the lease came first. What this process decides alone is done when this returns.
    ///
    /// # Errors
    /// The key is of no plain space.
    pub fn publish(
        &self,
        key: &[u8],
        value: &[u8],
        token: Token,
        ttl: Option<Span>,
        tags: impl IntoIterator<Item = String>,
    ) -> Result<BoxFuture<'static, bool>, Refusal> {
        let serving = self.serving();
        let (served, captures) = serving.plain(key)?;
        let mut loaded = Loaded::value(plain_payload(Bytes::copy_from_slice(value)));
        if let Some(ttl) = ttl {
            loaded = loaded.ttl(ttl.at_most(Span::LONGEST));
        }
        loaded = served.tags(&captures).into_iter().fold(loaded, Loaded::tag);
        loaded = tags.into_iter().fold(loaded, Loaded::tag);
        let stored = served.stored(key);
        let published = {
            // Like any write: `SET … NX` must not look before it and write after it.
            let _one_at_a_time = self.0.lock(&stored);
            served.space.publish(&stored, token, loaded)
        };
        let (service, key) = (self.clone(), key.to_vec());
        Ok(published
            .inspect(move |published| {
                if *published {
                    service.changed(&key)
                }
            })
            .boxed())
    }

    /// Gives a token back unused. With a cool-down nobody gets one for so long. False if it was void.
    ///
    /// # Errors
    /// The key is of no plain space.
    pub fn release(&self, key: &[u8], token: Token, cool_down: Span) -> Result<BoxFuture<'static, bool>, Refusal> {
        let serving = self.serving();
        let (served, _) = serving.plain(key)?;
        Ok(served.space.release(&served.stored(key), token, cool_down.at_most(LONGEST)))
    }
}

/// A read, told as a lease is: a space with an origin gives no tokens.
fn granted(outcome: Outcome) -> Result<Grant, Outcome> {
    match outcome {
        Outcome::Value(value) => Ok(Grant { why: value.why(), value: Some(value), token: None, retry_after: None }),
        Outcome::Missing(why) => Ok(Grant { value: None, why, token: None, retry_after: None }),
        failed => Err(failed),
    }
}
