//! How does a space's SQL become statements for PostgreSQL? Captures as `$n`, and the server writes the JSON.
//!
//! Around the query stand two more: the inner one makes the body and knows the caps on rows, the outer one withholds
//! a body that is too large, so that it never crosses the wire. The planner sees through both: an index stays in use.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::SetupError;
use super::super::sql::check::{self, Shape};
use super::super::sql::{Dialect, LIST, TokenKind, tokens};

/// A statement with positions for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Positional {
    /// Without the semicolon at its end.
    pub(super) sql: String,
    /// `$1` is the first.
    pub(super) binds: Vec<Arc<str>>,
}

/// `query`: each `:name` becomes `$n`.
pub(super) fn query(what: &str, text: &str) -> Result<Positional, SetupError> {
    positional(what, text, |_, _| Some(""))
}

/// `many`: `IN (:ids)` becomes `= ANY ($1)`, and `ANY (:ids)` stays.
pub(super) fn many(text: &str, key: &str) -> Result<Positional, SetupError> {
    let positional = positional("many", text, |before, after| {
        let is = |at: usize, text: &str| {
            before
                .len()
                .checked_sub(at)
                .and_then(|at| before.get(at))
                .is_some_and(|token| token.eq_ignore_ascii_case(text))
        };
        if !is(1, "(") {
            return None;
        }
        if is(2, "IN") && !is(3, "NOT") && after == Some(")") {
            return Some("IN");
        }
        is(2, "ANY").then_some("")
    })?;
    check::only_the_list(&positional.binds, key)?;
    Ok(positional)
}

/// Replaces placeholders. `accept` sees the tokens in front of one and the one behind it; it answers which word in
/// front of the parenthesis is replaced by `= ANY`, `""` if none is, `None` if no placeholder may stand there.
fn positional(
    what: &str,
    text: &str,
    accept: impl Fn(&[&str], Option<&str>) -> Option<&'static str>,
) -> Result<Positional, SetupError> {
    let tokens = tokens(text, Dialect::Postgres);
    let texts: Vec<&str> = tokens.iter().map(|token| token.text).collect();
    let end = tokens.iter().position(|token| token.kind == TokenKind::Symbol && token.text == ";");
    if end.is_some_and(|end| texts[end..].iter().any(|text| *text != ";")) {
        return Err(check::several_statements(what));
    }
    let (mut sql, mut copied, mut binds) = (String::with_capacity(text.len() + 8), 0, Vec::<Arc<str>>::new());
    for (at, token) in tokens.iter().enumerate() {
        if token.kind == TokenKind::Foreign {
            return Err(check::foreign_placeholder(what, token.text));
        }
        let Some(name) = token.name() else { continue };
        match accept(&texts[..at], texts.get(at + 1).copied()) {
            None if name == LIST => return Err(check::misplaced_list(name)),
            None | Some("") => sql.push_str(&text[copied..token.start]),
            Some(word) => {
                let word_at = at.checked_sub(2).map_or(0, |at| tokens[at].start);
                sql.push_str(&text[copied..word_at]);
                sql.push_str("= ANY");
                sql.push_str(&text[word_at + word.len()..token.start]);
            }
        }
        let position = binds.iter().position(|known| **known == *name).unwrap_or_else(|| {
            binds.push(name.into());
            binds.len() - 1
        });
        // A String takes whatever is written to it.
        let _ = write!(sql, "${}", position + 1);
        copied = token.start + token.text.len();
    }
    let until = end.map_or(text.len(), |end| tokens[end].start);
    sql.push_str(&text[copied..until]);
    Ok(Positional { sql, binds })
}

/// A column of a query's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) holds: Holds,
}

/// What must be known of a column's values to serve them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Numbers that may be NaN or infinite.
    Numbers,
    /// Arrays of such numbers.
    ArraysOfNumbers,
    /// Bytes, which JSON can't hold.
    Bytes,
    Other,
}

/// A statement that answers with rows of: the body, NULL if it is larger than `max_bytes`; its length in bytes;
/// whether it holds a number that JSON can't say; with `key`, the text of that column. Then, NULL in every row, the
/// query's own columns: the server refuses to run a prepared statement whose columns have other types than they had,
/// and so says by itself that what we know of them is outdated.
pub(super) fn wrapped(
    positional: &Positional,
    body: &[&Column],
    key: Option<&str>,
    shape: Shape,
    max_rows: usize,
    max_bytes: usize,
) -> String {
    let (bw, o) = (unlike("bw", body, key), unlike("o", body, key));
    let of = |name: &str| format!("{bw}.{}", quoted(name));
    let (made, lateral) = match shape {
        Shape::Raw(at) if body[at].holds == Holds::Bytes => (of(&body[at].name), String::new()),
        Shape::Raw(at) => (format!("CAST({} AS pg_catalog.text)", of(&body[at].name)), String::new()),
        Shape::Object | Shape::Array => {
            let columns: Vec<String> = body.iter().map(|column| of(&column.name)).collect();
            (
                format!("CAST(pg_catalog.to_json({o}) AS pg_catalog.text)"),
                format!(" CROSS JOIN LATERAL (SELECT {}) {o}", columns.join(", ")),
            )
        }
    };
    let unsayable = match shape {
        Shape::Raw(_) => "FALSE".to_owned(),
        Shape::Object | Shape::Array => unsayable(body, &of),
    };
    let key_text = key.map_or_else(String::new, |key| format!(", CAST({} AS pg_catalog.text) AS k", of(key)));
    let outer_key = if key.is_some() { ", w.k" } else { "" };
    let (mut witnesses, mut outer_witnesses) = (String::new(), String::new());
    let own = key.filter(|key| body.iter().all(|column| column.name != *key));
    for (at, name) in body.iter().map(|column| column.name.as_str()).chain(own).enumerate() {
        // A String takes whatever is written to it.
        let _ = write!(witnesses, ", CASE WHEN FALSE THEN {} END AS t{at}", of(name));
        let _ = write!(outer_witnesses, ", w.t{at}");
    }
    let inner = &positional.sql;
    // One more than may come, so that too many are noticed. The line's end ends a comment.
    let limit = match (shape, key) {
        (Shape::Array, _) | (_, Some(_)) => max_rows.saturating_add(1),
        (Shape::Object | Shape::Raw(_), None) => 2,
    };
    format!(
        "SELECT CASE WHEN pg_catalog.octet_length(w.j) <= {max_bytes} THEN w.j END, pg_catalog.octet_length(w.j), w.n{outer_key}{outer_witnesses} \
         FROM (SELECT {made} AS j, {unsayable} AS n{key_text}{witnesses} FROM (\n{inner}\n) {bw}{lateral} LIMIT {limit}) w"
    )
}

/// Whether a row holds NaN or an infinity, which `to_json` would write as texts.
fn unsayable(body: &[&Column], of: &impl Fn(&str) -> String) -> String {
    let tests: Vec<String> = body
        .iter()
        .filter_map(|column| {
            let text = format!("CAST({} AS pg_catalog.text)", of(&column.name));
            match column.holds {
                Holds::Numbers => Some(format!("{text} IN ('NaN', 'Infinity', '-Infinity')")),
                Holds::ArraysOfNumbers => Some(format!("{text} ~ 'NaN|Infinity'")),
                Holds::Bytes | Holds::Other => None,
            }
        })
        .collect();
    if tests.is_empty() { "FALSE".to_owned() } else { format!("COALESCE({}, FALSE)", tests.join(" OR ")) }
}

/// A name for the query's rows that none of its columns has: a column's name would be found first.
fn unlike(name: &str, body: &[&Column], key: Option<&str>) -> String {
    let mut name = name.to_owned();
    while body.iter().any(|column| column.name == name) || key == Some(name.as_str()) {
        name.push('_');
    }
    name
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, holds: Holds) -> Column {
        Column { name: name.to_owned(), holds }
    }

    #[test]
    fn names_become_positions_and_one_name_is_one_position() {
        let found = query("query", "SELECT ':a' FROM t WHERE x = :a::int AND y = :b AND z = :a;").expect("valid");
        assert_eq!(found.sql, "SELECT ':a' FROM t WHERE x = $1::int AND y = $2 AND z = $1");
        assert_eq!(found.binds.iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query("query", "SELECT 1 -- x").expect("valid").sql, "SELECT 1 -- x");
    }

    #[test]
    fn a_second_statement_and_other_placeholders_are_refused() {
        for sql in ["SELECT 1; DROP TABLE t", "SELECT 1;;SELECT 2", "SELECT $1", "SELECT $id"] {
            assert!(query("query", sql).is_err(), "{sql}");
        }
        assert_eq!(query("query", "SELECT ';' ; -- end\n").expect("valid").sql, "SELECT ';' ");
    }

    #[test]
    fn a_list_becomes_an_array() {
        for (sql, becomes) in [
            ("SELECT 1 WHERE id IN (:ids) ORDER BY 1", "SELECT 1 WHERE id = ANY ($1) ORDER BY 1"),
            ("SELECT 1 WHERE id in( :ids )", "SELECT 1 WHERE id = ANY( $1 )"),
            ("SELECT 1 WHERE id = ANY(:ids)", "SELECT 1 WHERE id = ANY($1)"),
            ("SELECT 1 WHERE id = any (:ids::int[])", "SELECT 1 WHERE id = any ($1::int[])"),
        ] {
            assert_eq!(many(sql, "id").expect(sql).sql, becomes);
        }
        for sql in [
            "SELECT :ids",
            "SELECT 1 WHERE id = :ids",
            "SELECT 1 WHERE id IN (:ids, 1)",
            "SELECT 1 WHERE id NOT IN (:ids)",
            "SELECT 1 WHERE id IN (:ids) AND x = :x",
            "SELECT 1",
        ] {
            assert!(many(sql, "id").is_err(), "{sql}");
        }
    }

    #[test]
    fn the_name_of_the_rows_is_no_columns_name_and_names_are_quoted() {
        let (bw, odd) = (column("bw", Holds::Other), column("a\"b", Holds::Numbers));
        let inner = query("query", "SELECT 1 -- c").expect("valid");
        let sql = wrapped(&inner, &[&bw, &odd], None, Shape::Object, 10, 99);
        assert!(
            sql.contains("(\nSELECT 1 -- c\n) bw_ CROSS JOIN LATERAL (SELECT bw_.\"bw\", bw_.\"a\"\"b\") o LIMIT 2")
        );
        assert!(
            sql.contains(
                "COALESCE(CAST(bw_.\"a\"\"b\" AS pg_catalog.text) IN ('NaN', 'Infinity', '-Infinity'), FALSE)"
            )
        );
        let all = wrapped(&inner, &[&bw], Some("id"), Shape::Array, 10, 99);
        assert!(all.contains("LIMIT 11") && all.contains("AS k") && all.contains(", w.k, w.t0, w.t1 FROM"), "{all}");
    }
}
