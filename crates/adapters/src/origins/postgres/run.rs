//! What does a statement find? Binds, reads rows within the caps, and tells whose they are.

use std::collections::{HashMap, HashSet};
use std::pin::{Pin, pin};

use bellwether::{LoadError, Loaded};
use futures_util::TryStreamExt;
use tokio_postgres::{Row, RowStream};

use super::super::sql::body::{Body, for_each, loose, not_finite, places, too_large};
use super::super::sql::check::Shape;
use super::super::sql::{BATCH_BODIES, MAX_BATCH};
use super::link::{Held, Link, Trouble};
use super::param::{Bound, array};
use super::plan::{Batch, Plan, Values};
use crate::{Captures, Payload};

/// Columns of the statements' rows.
const BODY: usize = 0;
const LENGTH: usize = 1;
const UNSAYABLE: usize = 2;
const KEY: usize = 3;

/// Loads one key.
pub(super) async fn one(
    held: &Held,
    link: &Link,
    plan: &Plan,
    captures: &Captures,
) -> Result<Loaded<Payload>, Trouble> {
    let values = match plan.one.values(captures) {
        Values::Bound(values) => values,
        // Who asked `never` first does not come here.
        Values::Never => return Ok(Loaded::missing()),
        Values::Incomplete => return Err(Trouble::failed("the key has no value for a placeholder of the query")),
    };
    let statement = plan.one.text.prepared(held).await?;
    link.count();
    let mut rows = pin!(held.query_raw(&statement, values).await?);
    let mut body = Body::default();
    while let Some(row) = rows.try_next().await? {
        if let Err(error) = add(&mut body, &row, plan) {
            return Err(unread(rows, error).await);
        }
    }
    Ok(body.loaded(plan.shape))
}

/// The row that was one too many is often the last: then the connection can be used again.
async fn unread(mut rows: Pin<&mut RowStream>, error: Trouble) -> Trouble {
    match (error, rows.try_next().await) {
        (Trouble::Load(error), Ok(Some(_))) => Trouble::Unread(error),
        (error, _) => error,
    }
}

fn add(body: &mut Body, row: &Row, plan: &Plan) -> Result<(), Trouble> {
    body.row(plan.shape, plan.max_rows).map_err(Trouble::Load)?;
    let length: Option<i32> = row.try_get(LENGTH)?;
    if row.try_get(UNSAYABLE)? {
        return Err(Trouble::Load(not_finite()));
    }
    let Some(length) = length else {
        // Only a raw column is ever NULL.
        body.null = true;
        return Ok(());
    };
    // Withheld by the statement itself.
    if usize::try_from(length).is_ok_and(|length| length > plan.max_bytes) {
        return Err(Trouble::Load(too_large(plan.max_bytes)));
    }
    body.bytes.extend_from_slice(bytes(row, plan.shape)?);
    body.within(plan.max_bytes).map_err(Trouble::Load)
}

fn bytes(row: &Row, shape: Shape) -> Result<&[u8], Trouble> {
    let raw = matches!(shape, Shape::Raw(_)) && *row.columns()[BODY].type_() == tokio_postgres::types::Type::BYTEA;
    Ok(if raw { row.try_get::<_, &[u8]>(BODY)? } else { row.try_get::<_, &str>(BODY)?.as_bytes() })
}

/// Loads many keys by one statement.
///
/// Rows are matched to keys by the exact text of the key column. PostgreSQL's own `=` may be looser
/// (citext, 1.50 = 1.5): a key without a row of its own that such a match could have found is
/// asked again alone, so that a batch never says "missing" where a single load says otherwise.
pub(super) async fn many(
    held: &Held,
    link: &Link,
    plan: &Plan,
    captures: &[Captures],
) -> Result<Vec<(usize, Loaded<Payload>)>, Trouble> {
    let Some(batch) = &plan.many else { return Err(Trouble::failed("this space has no batch query")) };
    if captures.len() > MAX_BATCH {
        return Err(Trouble::Load(LoadError::rejected(format!("more than {MAX_BATCH} keys in one batch"))));
    }
    // Keys that can't have a value are not asked for, and have none.
    let (mut asked, mut texts) = (Vec::with_capacity(captures.len()), Vec::with_capacity(captures.len()));
    for (index, captures) in captures.iter().enumerate() {
        let capture = captures.get(&batch.key);
        let capture = capture.ok_or(Trouble::failed("a key has no value for the batch's placeholder"))?;
        if let Some(text) = batch.takes.text(capture) {
            asked.push(index);
            texts.push(text.into_owned());
        }
    }
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let Found { mut bodies, strangers } = ask_for(held, link, plan, batch, &texts).await?;

    let near: HashSet<String> = bodies.keys().map(|key| loose(key)).collect();
    let mut answers = Vec::with_capacity(captures.len());
    for (text, places) in places(&texts) {
        let indices: Vec<usize> = places.iter().map(|place| asked[*place]).collect();
        let answer = match bodies.remove(text) {
            Some(body) => body.loaded(plan.shape),
            None if strangers || !batch.takes.is_exact() || near.contains(&loose(text)) => {
                one(held, link, plan, &captures[indices[0]]).await?
            }
            None => Body::default().loaded(plan.shape),
        };
        answers.extend(for_each(answer, &indices));
    }
    Ok(answers)
}

/// What a batch's statement returned.
struct Found {
    /// By the text of the key column.
    bodies: HashMap<String, Body>,
    /// There were rows whose key nobody asked for by that very text.
    strangers: bool,
}

async fn ask_for(held: &Held, link: &Link, plan: &Plan, batch: &Batch, texts: &[String]) -> Result<Found, Trouble> {
    let wanted: HashSet<&str> = texts.iter().map(String::as_str).collect();
    let list = Bound(Some(array(wanted.iter().copied()).into()));
    let statement = batch.text.prepared(held).await?;
    link.count();
    let mut rows = pin!(held.query_raw(&statement, [list]).await?);
    let mut gathering = Gathering {
        found: Found { bodies: HashMap::with_capacity(wanted.len()), strangers: false },
        wanted,
        rows: 0,
        bytes: 0,
    };
    while let Some(row) = rows.try_next().await? {
        if let Err(error) = gathering.add(&row, plan) {
            return Err(unread(rows, error).await);
        }
    }
    Ok(gathering.found)
}

/// The rows of a batch so far.
struct Gathering<'t> {
    found: Found,
    wanted: HashSet<&'t str>,
    rows: usize,
    bytes: usize,
}

impl Gathering<'_> {
    fn add(&mut self, row: &Row, plan: &Plan) -> Result<(), Trouble> {
        self.rows += 1;
        if self.rows > plan.max_rows {
            return Err(Trouble::Load(LoadError::rejected(format!("more than {} rows in one batch", plan.max_rows))));
        }
        let key = match row.try_get::<_, Option<&str>>(KEY)? {
            Some(key) if self.wanted.contains(key) => key,
            _ => {
                self.found.strangers = true;
                return Ok(());
            }
        };
        let body = self.found.bodies.entry(key.to_owned()).or_default();
        let before = body.bytes.len();
        add(body, row, plan)?;
        self.bytes += body.bytes.len() - before;
        if self.bytes > plan.max_bytes.saturating_mul(BATCH_BODIES) {
            return Err(Trouble::Load(LoadError::rejected("the values of one batch are too large together")));
        }
        Ok(())
    }
}
