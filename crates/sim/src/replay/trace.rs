//! What was asked for? A trace in memory: who wanted which key, when, and how large its value was.

use std::collections::HashMap;
use std::sync::Arc;

use super::format::Format;

/// Requests of one trace; what comes beyond is left out, and said.
pub const MOST_REQUESTS: usize = 50_000_000;
/// Malformed lines that are shown.
pub const MOST_SHOWN: usize = 5;
/// A key's bytes.
const MOST_KEY: usize = 4096;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads through: a miss loads.
    Get,
    /// Writes a value.
    Set,
    /// Removes it.
    Delete,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Milliseconds since the first request; 0 where the trace has no times.
    pub at: u64,
    /// Its key's place in [`Trace::keys`].
    pub key: u32,
    /// Bytes of the value, if the trace says so.
    pub size: Option<u32>,
    /// What it does.
    pub op: Op,
}

/// A recorded trace.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// How its file is written; [`Format::Auto`] if it comes from none.
    pub format: Format,
    /// In order.
    pub requests: Vec<Request>,
    /// Every key once.
    pub keys: Vec<Arc<[u8]>>,
    /// Whether the trace says when requests came.
    pub timed: bool,
    /// Requests whose time lay before the one ahead of them: they count as coming together with it.
    pub out_of_order: u64,
    /// What could not be read.
    pub malformed: Malformed,
    /// There were more requests than were kept.
    pub cut: bool,
}

/// Lines (or records) without sense.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Malformed {
    /// How many.
    pub count: u64,
    /// The first of them: number from 1, and what is wrong.
    pub first: Vec<(u64, String)>,
}

impl Trace {
    /// Bytes of every key's largest value, or `size` where the trace names none.
    pub fn distinct_bytes(&self, size: u32) -> u64 {
        let mut largest = vec![0u32; self.keys.len()];
        for request in &self.requests {
            let place = &mut largest[request.key as usize];
            *place = (*place).max(request.size.unwrap_or(size));
        }
        largest.iter().map(|bytes| u64::from(*bytes)).sum()
    }
}

/// Takes requests one by one.
pub(super) struct Builder {
    trace: Trace,
    places: HashMap<Arc<[u8]>, u32>,
    most: usize,
    /// Time of the first request, in ms.
    begun: Option<u64>,
    last: u64,
}

impl Builder {
    pub(super) fn new(most: usize) -> Builder {
        let most = most.min(MOST_REQUESTS);
        Builder { trace: Trace::default(), places: HashMap::new(), most, begun: None, last: 0 }
    }

    /// How the file is written.
    pub(super) fn written_as(&mut self, format: Format) {
        self.trace.format = format;
    }

    /// Whether there is no room for more.
    pub(super) fn full(&mut self) -> bool {
        self.trace.cut = self.trace.requests.len() >= self.most;
        self.trace.cut
    }

    /// One request; `at` in ms.
    pub(super) fn request(&mut self, at: Option<u64>, key: &[u8], size: Option<u32>, op: Op) -> Result<(), String> {
        if key.is_empty() {
            return Err("the key is empty".to_owned());
        }
        if key.len() > MOST_KEY {
            return Err(format!("a key of {} bytes is longer than the limit of {MOST_KEY}", key.len()));
        }
        let at = at.map_or(0, |at| self.since_begin(at));
        let key = self.place(key);
        self.trace.requests.push(Request { at, key, size, op });
        Ok(())
    }

    fn since_begin(&mut self, at: u64) -> u64 {
        self.trace.timed = true;
        let begun = *self.begun.get_or_insert(at);
        let since = at.saturating_sub(begun);
        self.trace.out_of_order += u64::from(since < self.last || at < begun);
        self.last = self.last.max(since);
        self.last
    }

    fn place(&mut self, key: &[u8]) -> u32 {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        // At most as many keys as requests, far below 2^32.
        let place = self.trace.keys.len() as u32;
        let key: Arc<[u8]> = key.into();
        self.trace.keys.push(key.clone());
        self.places.insert(key, place);
        place
    }

    pub(super) fn malformed(&mut self, number: u64, what: String) {
        let malformed = &mut self.trace.malformed;
        malformed.count += 1;
        if malformed.first.len() < MOST_SHOWN {
            malformed.first.push((number, what));
        }
    }

    pub(super) fn done(self) -> Trace {
        self.trace
    }
}
