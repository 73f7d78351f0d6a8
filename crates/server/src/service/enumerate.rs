//! Which keys does a space's origin have? Asked by the space's `keys`, as a text for whoever warms up.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::template::Match;
use parking_lot::Mutex;

use super::Service;
use super::hotlist::encoded;

/// Keys of one list, at most.
const MOST_KEYS: u64 = 10_000_000;
/// Bytes of one list, at most.
const MOST_BYTES: usize = 256 << 20;
/// The guard is asked again so often, and so many times.
const AGAIN: (Duration, u32) = (Duration::from_millis(200), 50);

/// Why the keys can't be told.
#[derive(Debug)]
pub(crate) enum Unnamed {
    /// There is no such space.
    NoSpace,
    /// The space has no `keys`.
    NoKeys,
    /// There are too many.
    TooMany,
    /// Another list is being made.
    Busy,
    /// The origin failed, or its guard turned the question away.
    Failed(String),
}

/// A list as far as it came.
#[derive(Default)]
struct List {
    text: String,
    keys: u64,
    too_many: bool,
}

impl Service {
    /// The keys of a space, one a line, in the order in which its statement names them. Under a permit of its origin's
    /// guard, one list at a time.
    pub(crate) async fn keys_of(&self, space: &str) -> Result<String, Unnamed> {
        let serving = self.serving_on();
        let served = serving.spaces.iter().find(|served| served.name == space).ok_or(Unnamed::NoSpace)?;
        let keys = served.origin.as_ref().and_then(|source| source.keys.clone()).ok_or(Unnamed::NoKeys)?;
        let _one = self.0.enumerating.try_lock().map_err(|_| Unnamed::Busy)?;
        for _ in 0..AGAIN.1 {
            let list = Arc::new(Mutex::new(List::default()));
            let (filling, template) = (list.clone(), served.template.clone());
            let sink = Box::new(move |captures: Vec<String>| {
                let Some(key) = template.fill(&captures) else { return true };
                // What is no key of the space would be asked for in vain.
                if !matches!(template.match_key(&key), Match::Yes(_)) {
                    return true;
                }
                let mut list = filling.lock();
                if list.keys >= MOST_KEYS || list.text.len() + 3 * key.len() >= MOST_BYTES {
                    list.too_many = true;
                    return false;
                }
                encoded(&key, &mut list.text);
                list.text.push('\n');
                list.keys += 1;
                true
            });
            match served.space.guarded(keys.each(sink)).await {
                Ok(Ok(())) => {
                    let list = std::mem::take(&mut *list.lock());
                    return if list.too_many { Err(Unnamed::TooMany) } else { Ok(list.text) };
                }
                Ok(Err(error)) => {
                    let told = list.lock().keys;
                    return Err(Unnamed::Failed(format!("{error} (after {told} keys)")));
                }
                // Nobody was asked: readers go first.
                Err(_) => tokio::time::sleep(AGAIN.0).await,
            }
        }
        Err(Unnamed::Failed("the origin's guard turned it away for 10 s".to_owned()))
    }
}
