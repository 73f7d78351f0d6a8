//! What must hold for every row? Called by the fuzzer, and by a test for each input that it found.

use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value as Json;

use super::super::sql::{Rows, SqlQuery};
use super::plan::{Plan, plan};
use super::run;
use crate::{Captures, Payload};

const COLUMNS: usize = 3;
const MOST_ROWS: usize = 4;

/// A value as it is put into the database.
#[derive(Clone, Debug)]
enum Cell {
    Null,
    Int(i64),
    Real(f64),
    /// Not necessarily UTF-8: SQLite does not mind.
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

/// A database in memory with one table of whatever types, and the plans that read it.
struct Bench {
    connection: Connection,
    object: Plan,
    array: Plan,
    raw: Plan,
}

thread_local! {
    static BENCH: Bench = Bench::new();
}

/// Rows of whatever types: a row becomes JSON that says the same, or an error where JSON can't; a
/// raw column its own bytes; and a batch says what single loads say.
///
/// # Panics
/// If that does not hold.
pub fn rows(data: &[u8]) {
    let rows = decoded(data);
    BENCH.with(|bench| {
        bench.fill(&rows);
        for id in 1..=2 {
            let own: Vec<&[Cell; COLUMNS]> = rows.iter().filter(|(of, _)| *of == id).map(|(_, row)| row).collect();
            an_object(&own, bench.one(&bench.object, id));
            an_array(&own, bench.one(&bench.array, id));
            a_raw_value(&own, bench.one(&bench.raw, id));
        }
        for plan in [&bench.object, &bench.array, &bench.raw] {
            bench.a_batch_says_what_single_loads_say(plan);
        }
    });
}

fn an_object(rows: &[&[Cell; COLUMNS]], answer: Result<Option<Bytes>, ()>) {
    let row = match rows {
        [] => return assert_eq!(answer, Ok(None), "no row is a missing value"),
        [row] => row,
        _ => return assert_eq!(answer, Err(()), "two rows where one is expected"),
    };
    match answer {
        Ok(Some(body)) => {
            says(&body, |json| is_row(json, row));
            numbers_are_exact(&body, rows);
        }
        other => assert!(!all_sayable(row) && other.is_err(), "{row:?} became {other:?}"),
    }
}

fn an_array(rows: &[&[Cell; COLUMNS]], answer: Result<Option<Bytes>, ()>) {
    match answer {
        Ok(Some(body)) => {
            says(&body, |json| {
                let items = json.as_array().expect("an array");
                assert_eq!(items.len(), rows.len());
                items.iter().zip(rows).all(|(item, row)| is_row(item, row))
            });
            numbers_are_exact(&body, rows);
        }
        other => assert!(!rows.iter().all(|row| all_sayable(row)) && other.is_err(), "{rows:?} became {other:?}"),
    }
}

fn a_raw_value(rows: &[&[Cell; COLUMNS]], answer: Result<Option<Bytes>, ()>) {
    let [row] = rows else { return assert_eq!(answer.is_ok(), rows.is_empty()) };
    let expected = match &row[0] {
        Cell::Null => None,
        Cell::Int(number) => Some(number.to_string().into_bytes()),
        Cell::Real(number) if number.is_nan() => None,
        Cell::Real(number) => {
            let body = answer.expect("a number").expect("no NULL");
            let read: f64 = std::str::from_utf8(&body).expect("digits").parse().expect("a number");
            return assert!(read == *number, "{number} became {read}");
        }
        Cell::Text(bytes) | Cell::Blob(bytes) => Some(bytes.clone()),
    };
    assert_eq!(answer.expect("raw bytes").map(|body| body.to_vec()), expected);
}

fn says(body: &Bytes, holds: impl FnOnce(&Json) -> bool) {
    let json: Json = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {body:?}"));
    assert!(holds(&json), "{body:?}");
}

/// The JSON reader at hand rounds: so the digits are read by themselves.
fn numbers_are_exact(body: &[u8], rows: &[&[Cell; COLUMNS]]) {
    let written = numbers(std::str::from_utf8(body).expect("JSON is UTF-8"));
    let mut written = written.into_iter();
    for cell in rows.iter().flat_map(|row| row.iter()) {
        match cell {
            Cell::Int(number) => assert_eq!(written.next().map(str::parse), Some(Ok(*number))),
            Cell::Real(number) if !number.is_nan() => {
                let text = written.next().expect("a number");
                assert!(text.parse() == Ok(*number), "{number} became {text}");
                assert!(text.contains(['.', 'e']), "{text} would be read as a whole number");
            }
            Cell::Real(_) | Cell::Null | Cell::Text(_) | Cell::Blob(_) => {}
        }
    }
    assert_eq!(written.next(), None);
}

/// The numbers of a JSON text, outside of its strings.
fn numbers(json: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => 2 + string_length(&rest[1..]),
            '-' | '0'..='9' => {
                let end = rest.find(|c: char| !"-+.eE0123456789".contains(c)).unwrap_or(rest.len());
                found.push(&rest[..end]);
                end
            }
            other => other.len_utf8(),
        };
        rest = &rest[length..];
    }
    found
}

/// Bytes up to the quote that ends a string.
fn string_length(inside: &str) -> usize {
    let mut escaped = false;
    let end = inside.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.expect("every string ends")
}

/// Whether JSON has a word for each value.
fn all_sayable(row: &[Cell; COLUMNS]) -> bool {
    row.iter().all(|cell| match cell {
        Cell::Null | Cell::Int(_) => true,
        // SQLite keeps NaN as NULL.
        Cell::Real(number) => !number.is_infinite(),
        Cell::Text(bytes) => std::str::from_utf8(bytes).is_ok(),
        Cell::Blob(_) => false,
    })
}

fn is_row(json: &Json, row: &[Cell; COLUMNS]) -> bool {
    let object = json.as_object().expect("an object");
    let names = object.keys().map(String::as_str).eq(["a", "b\"\\", "é"]);
    names && all_sayable(row) && object.values().zip(row).all(|(json, cell)| is_cell(json, cell))
}

fn is_cell(json: &Json, cell: &Cell) -> bool {
    match cell {
        Cell::Null => json.is_null(),
        Cell::Int(number) => json.is_i64() && json.as_i64() == Some(*number),
        Cell::Real(number) if number.is_nan() => json.is_null(),
        // How exact it is, is looked at in the text.
        Cell::Real(_) => json.is_f64(),
        Cell::Text(bytes) => json.as_str().map(str::as_bytes) == Some(bytes),
        Cell::Blob(_) => false,
    }
}

impl Bench {
    fn new() -> Bench {
        let connection = Connection::open_in_memory().expect("memory");
        // No types, hence no affinity: values come back as they were put in.
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY, id, a, \"b\"\"\\\", é)").expect("a table");
        let all = "a, \"b\"\"\\\", é";
        let query = || SqlQuery::new(format!("SELECT {all} FROM t WHERE id = :id ORDER BY n"), ["id"]);
        let many = |query: SqlQuery| query.many(format!("SELECT id, {all} FROM t WHERE id IN (:ids) ORDER BY n"));
        let prepared = |query: SqlQuery| plan(&connection, query).expect("a plan");
        let (object, array) = (prepared(many(query())), prepared(many(query().rows(Rows::All))));
        let raw = prepared(many(query().column("a")));
        Bench { connection, object, array, raw }
    }

    fn fill(&self, rows: &[(i64, [Cell; COLUMNS])]) {
        self.connection.execute("DELETE FROM t", []).expect("emptied");
        for (id, row) in rows {
            let text = |at: usize| if matches!(row[at], Cell::Text(_)) { "CAST(? AS TEXT)" } else { "?" };
            let sql = format!("INSERT INTO t VALUES (NULL, ?, {}, {}, {})", text(0), text(1), text(2));
            let bound = row.iter().map(|cell| match cell.clone() {
                Cell::Null => Value::Null,
                Cell::Int(number) => Value::Integer(number),
                Cell::Real(number) => Value::Real(number),
                Cell::Text(bytes) | Cell::Blob(bytes) => Value::Blob(bytes),
            });
            let bound = std::iter::once(Value::Integer(*id)).chain(bound);
            self.connection.prepare_cached(&sql).expect("valid").execute(params_from_iter(bound)).expect("a row");
        }
    }

    fn one(&self, plan: &Plan, id: i64) -> Result<Option<Bytes>, ()> {
        let loaded = run::one(&self.connection, plan, &Captures::new().with("id", id), &AtomicU64::new(0));
        loaded.map(|loaded| body(loaded.as_value())).map_err(drop)
    }

    fn a_batch_says_what_single_loads_say(&self, plan: &Plan) {
        let ids = [1, 2, 3, 1];
        let keys: Vec<Captures> = ids.iter().map(|id| Captures::new().with("id", *id)).collect();
        let single: Vec<_> = ids.iter().map(|id| self.one(plan, *id)).collect();
        match run::many(&self.connection, plan, &keys, &AtomicU64::new(0)) {
            Ok(found) => {
                let mut batch = vec![Ok(None); ids.len()];
                found.iter().for_each(|(at, loaded)| batch[*at] = Ok(body(loaded.as_value())));
                assert_eq!(batch, single);
            }
            // One bad row fails the batch; its keys are then asked alone.
            Err(_) => assert!(single.iter().any(Result::is_err), "no single load fails"),
        }
    }
}

fn body(value: Option<&Payload>) -> Option<Bytes> {
    value.map(|payload| payload.body.clone())
}

/// Rows of the keys 1 and 2 out of whatever bytes.
fn decoded(data: &[u8]) -> Vec<(i64, [Cell; COLUMNS])> {
    let mut rest = data;
    let mut rows = Vec::new();
    while !rest.is_empty() && rows.len() < MOST_ROWS {
        let id = i64::from(take(&mut rest, 1)[0] % 2) + 1;
        rows.push((id, std::array::from_fn(|_| cell(&mut rest))));
    }
    rows
}

fn cell(rest: &mut &[u8]) -> Cell {
    let eight = |rest: &mut &[u8]| <[u8; 8]>::try_from(take(rest, 8)).unwrap_or_default();
    let some = |rest: &mut &[u8]| {
        let length = usize::from(take(rest, 1)[0]).min(rest.len());
        take(rest, length)
    };
    match take(rest, 1)[0] % 6 {
        0 => Cell::Null,
        1 => Cell::Int(i64::from_le_bytes(eight(rest))),
        2 => Cell::Real(f64::from_le_bytes(eight(rest))),
        3 => Cell::Text(some(rest)),
        4 => Cell::Blob(some(rest)),
        _ => Cell::Int(i64::from(take(rest, 1)[0])),
    }
}

/// The next bytes; zeros where there are none.
fn take(rest: &mut &[u8], count: usize) -> Vec<u8> {
    let (taken, left) = rest.split_at(count.min(rest.len()));
    *rest = left;
    let mut taken = taken.to_vec();
    taken.resize(count, 0);
    taken
}

#[cfg(test)]
mod replay {
    #[test]
    fn every_stored_row_becomes_what_it_says_or_an_error() {
        bellwether_corpus::replay("rows", super::rows);
    }
}
