//! What does a statement find? Binds, steps, and renders rows within the caps.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether::Loaded;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, Row};

use super::super::sql::body::{Body, for_each, loose, not_finite, places};
use super::super::sql::check::Shape;
use super::super::sql::{BATCH_BODIES, MAX_BATCH};
use super::plan::{Ask, Batch, Plan};
use super::session::Trouble;
use crate::{Capture, Captures, Payload};

/// Loads one key.
pub(super) fn one(
    connection: &Connection,
    plan: &Plan,
    captures: &Captures,
    queries: &AtomicU64,
) -> Result<Loaded<Payload>, Trouble> {
    let mut statement = connection.prepare_cached(&plan.one.sql)?;
    bind(&mut statement, &plan.one, captures)?;
    queries.fetch_add(1, Ordering::Relaxed);
    let mut rows = statement.raw_query();
    let mut body = Body::default();
    while let Some(row) = rows.next()? {
        if body.rows == 0 {
            as_at_start(row, &plan.one)?;
        }
        add(&mut body, row, plan, &plan.one.output)?;
    }
    Ok(body.loaded(plan.shape))
}

fn bind(statement: &mut CachedStatement<'_>, ask: &Ask, captures: &Captures) -> Result<(), Trouble> {
    for (at, name) in ask.binds.iter().enumerate() {
        match captures.get(name) {
            Some(Capture::Int(value)) => statement.raw_bind_parameter(at + 1, value)?,
            Some(Capture::Text(value)) => statement.raw_bind_parameter(at + 1, value)?,
            None => return Err(Trouble::failed("the key has no value for a placeholder of the query")),
        }
    }
    Ok(())
}

/// SQLite prepares anew when the schema changes. `SELECT *` then has other columns than those
/// the plan was made for, and a value would come out under another's name.
fn as_at_start(row: &Row<'_>, ask: &Ask) -> Result<(), Trouble> {
    let statement = row.as_ref();
    let same = statement.column_count() == ask.columns.len()
        && ask.columns.iter().enumerate().all(|(at, name)| statement.column_name(at).is_ok_and(|now| now == name));
    if same { Ok(()) } else { Err(Trouble::failed("the query's columns have changed since start; reload or restart")) }
}

fn add(body: &mut Body, row: &Row<'_>, plan: &Plan, output: &[usize]) -> Result<(), Trouble> {
    body.row(plan.shape, plan.max_rows)?;
    match plan.shape {
        Shape::Object | Shape::Array => object(body, row, plan, output)?,
        Shape::Raw(at) => raw(body, row.get_ref(output[at])?),
    }
    Ok(body.within(plan.max_bytes)?)
}

fn object(body: &mut Body, row: &Row<'_>, plan: &Plan, output: &[usize]) -> Result<(), Trouble> {
    for (head, column) in plan.heads.iter().zip(output) {
        body.bytes.extend_from_slice(head.as_bytes());
        json(&mut body.bytes, row.get_ref(*column)?)?;
        body.within(plan.max_bytes)?;
    }
    body.bytes.push(b'}');
    Ok(())
}

fn json(out: &mut Vec<u8>, value: ValueRef<'_>) -> Result<(), Trouble> {
    let written = match value {
        ValueRef::Null => serde_json::to_writer(out, &()),
        ValueRef::Integer(number) => serde_json::to_writer(out, &number),
        ValueRef::Real(number) if number.is_finite() => serde_json::to_writer(out, &number),
        ValueRef::Real(_) => return Err(not_finite().into()),
        ValueRef::Text(text) => serde_json::to_writer(out, utf8(text)?),
        ValueRef::Blob(_) => {
            return Err(Trouble::rejected("a BLOB, which JSON can't hold; serve it alone with `column`"));
        }
    };
    written.map_err(|_| Trouble::failed("a value could not be written as JSON"))
}

fn raw(body: &mut Body, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => body.null = true,
        ValueRef::Integer(number) => body.bytes.extend_from_slice(number.to_string().as_bytes()),
        ValueRef::Real(number) => body.bytes.extend_from_slice(number.to_string().as_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => body.bytes.extend_from_slice(bytes),
    }
}

fn utf8(text: &[u8]) -> Result<&str, Trouble> {
    std::str::from_utf8(text).map_err(|_| Trouble::rejected("a text that is not UTF-8"))
}

/// Loads many keys by one statement.
///
/// Rows are matched to keys by the exact text of the key column. SQLite's own `=` may be looser
/// (NOCASE, '042' = 42): a key without a row of its own that such a match could have found is
/// asked again alone, so that a batch never says "missing" where a single load says otherwise.
pub(super) fn many(
    connection: &Connection,
    plan: &Plan,
    captures: &[Captures],
    queries: &AtomicU64,
) -> Result<Vec<(usize, Loaded<Payload>)>, Trouble> {
    let Some(batch) = &plan.many else { return Err(Trouble::failed("this space has no batch query")) };
    if captures.len() > MAX_BATCH {
        return Err(Trouble::rejected(format!("more than {MAX_BATCH} keys in one batch")));
    }
    let keys = captures
        .iter()
        .map(|c| c.get(&batch.key).ok_or(Trouble::failed("a key has no value for the batch's placeholder")))
        .collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let texts: Vec<String> = keys.iter().map(|key| text(key)).collect();
    let Found { mut bodies, strangers } = ask_for(connection, plan, batch, &keys, &texts, queries)?;

    let near: HashSet<String> = bodies.keys().map(|key| loose(key)).collect();
    let mut answers = Vec::with_capacity(captures.len());
    for (text, indices) in places(&texts) {
        let answer = match bodies.remove(text) {
            Some(body) => body.loaded(plan.shape),
            None if strangers || near.contains(&loose(text)) => one(connection, plan, &captures[indices[0]], queries)?,
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

fn ask_for(
    connection: &Connection,
    plan: &Plan,
    batch: &Batch,
    keys: &[&Capture],
    texts: &[String],
    queries: &AtomicU64,
) -> Result<Found, Trouble> {
    let mut statement = connection.prepare_cached(&batch.ask.sql)?;
    statement.raw_bind_parameter(1, json_list(keys))?;
    queries.fetch_add(1, Ordering::Relaxed);
    let asked: HashSet<&str> = texts.iter().map(String::as_str).collect();
    let mut found = Found { bodies: HashMap::with_capacity(asked.len()), strangers: false };
    let (mut all_rows, mut all_bytes) = (0, 0);
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        if all_rows == 0 {
            as_at_start(row, &batch.ask)?;
        }
        all_rows += 1;
        if all_rows > plan.max_rows {
            return Err(Trouble::rejected(format!("more than {} rows in one batch", plan.max_rows)));
        }
        let key = match key_of(row.get_ref(batch.key_column)?) {
            Some(key) if asked.contains(key.as_str()) => key,
            _ => {
                found.strangers = true;
                continue;
            }
        };
        let body = found.bodies.entry(key).or_default();
        let before = body.bytes.len();
        add(body, row, plan, &batch.ask.output)?;
        all_bytes += body.bytes.len() - before;
        if all_bytes > plan.max_bytes.saturating_mul(BATCH_BODIES) {
            return Err(Trouble::rejected("the values of one batch are too large together"));
        }
    }
    Ok(found)
}

/// The keys as a JSON array: numbers stay numbers, texts stay texts. Duplicates cost nothing, the
/// list becomes a set.
fn json_list(keys: &[&Capture]) -> String {
    let values = keys.iter().map(|key| match key {
        Capture::Int(number) => serde_json::Value::from(*number),
        Capture::Text(text) => serde_json::Value::from(text.as_str()),
    });
    serde_json::Value::Array(values.collect()).to_string()
}

fn text(key: &Capture) -> String {
    match key {
        Capture::Int(number) => number.to_string(),
        Capture::Text(text) => text.clone(),
    }
}

pub(super) fn key_of(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Integer(number) => Some(number.to_string()),
        // A whole number in a REAL column prints without a fraction, as its key does.
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().map(str::to_owned),
        ValueRef::Blob(_) | ValueRef::Null => None,
    }
}
