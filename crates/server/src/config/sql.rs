//! Does this statement use its captures safely? As bind parameters only, never inside quotes.
//!
//! What the text alone tells; whether the statement is right in itself is for the database to say (`check --connect`).

use super::problem::Wrong;
use bellwether_adapters::{Dialect, Token, TokenKind, tokens};

/// A mistake in a statement: what stands there, and what may.
pub(super) type Fault = (String, Wrong);

/// Checks `query`, asked for one key.
pub(super) fn check_query(text: &str, captures: &[&str], dialect: Dialect) -> Vec<Fault> {
    let tokens = tokens(text, dialect);
    let mut faults = common(&tokens, captures);
    let known = |name: &str| captures.contains(&name);
    for name in parameters(&tokens).filter(|name| !known(name)) {
        let wrong = Wrong::expected(match captures {
            [] => "no parameters: `match` has no captures".to_owned(),
            captures => format!("a capture of `match`: {}", listed(captures)),
        });
        let plural = name == "ids" && !captures.is_empty();
        faults.push((format!("`:{name}`"), if plural { wrong.hint("`:ids` belongs to `many`") } else { wrong }));
    }
    faults
}

/// Checks `many`, asked for many keys at once: one list, `IN (:ids)` or, where the database has arrays, `ANY (:ids)`.
pub(super) fn check_many(text: &str, captures: &[&str], dialect: Dialect) -> Vec<Fault> {
    let tokens = tokens(text, dialect);
    let mut faults = common(&tokens, captures);
    let expected = || {
        Wrong::expected(match dialect {
            Dialect::Sqlite => "`IN (:ids)` exactly once and no other parameter",
            Dialect::Postgres => "`IN (:ids)` or `= ANY (:ids)` exactly once and no other parameter",
        })
    };
    let is = |token: &Token<'_>, text: &str| token.text.eq_ignore_ascii_case(text);
    let lists = tokens.windows(4).filter(|window| match window {
        [word, open, list, close] if is(open, "(") && list.name() == Some("ids") => {
            // A cast may follow in an array: `ANY (:ids::int[])`.
            (is(word, "in") && is(close, ")")) || (dialect == Dialect::Postgres && is(word, "any"))
        }
        _ => false,
    });
    let (lists, uses) = (lists.count(), parameters(&tokens).filter(|name| *name == "ids").count());
    if uses == 0 {
        faults.push(("no `:ids`".to_owned(), expected().hint("for example … WHERE id IN (:ids)")));
    } else if lists != 1 || uses != 1 {
        faults.push((format!("`:ids` {uses} times, {lists} of them in `IN (:ids)`"), expected()));
    }
    for name in parameters(&tokens).filter(|name| *name != "ids") {
        faults.push((format!("`:{name}`"), expected().hint("each key's capture goes into the list")));
    }
    faults
}

/// Checks `keys`, which names all keys: nothing is bound.
pub(super) fn check_keys(text: &str, dialect: Dialect) -> Vec<Fault> {
    let tokens = tokens(text, dialect);
    let mut faults = common(&tokens, &[]);
    for name in parameters(&tokens) {
        let wrong = Wrong::expected("no parameters: `keys` names all keys");
        faults.push((format!("`:{name}`"), wrong.hint("for example SELECT id FROM … ORDER BY …")));
    }
    faults
}

fn common(tokens: &[Token<'_>], captures: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    match tokens.first() {
        None => faults.push(("no statement".to_owned(), Wrong::expected("a SELECT"))),
        Some(first) if ["select", "with", "values"].contains(&first.text.to_lowercase().as_str()) => {}
        Some(_) => {
            faults.push((
                "a statement that is no SELECT".to_owned(),
                Wrong::expected("a statement that reads: SELECT, WITH or VALUES"),
            ));
        }
    }
    let is_mark = |token: &Token<'_>, mark: &str| token.kind == TokenKind::Symbol && token.text == mark;
    if tokens.iter().skip_while(|token| !is_mark(token, ";")).any(|token| !is_mark(token, ";")) {
        faults.push(("more behind `;`".to_owned(), Wrong::expected("one statement")));
    }
    for token in tokens {
        match token.kind {
            TokenKind::Quoted => faults.extend(captures.iter().filter_map(|name| in_quotes(token.inside(), name))),
            TokenKind::Unclosed => {
                let mark: String = token.text.chars().take(1).collect();
                faults.push((format!("`{mark}` that is never closed"), Wrong::expected("its other half")));
            }
            TokenKind::Foreign => {
                faults.push((format!("`{}`", token.text), Wrong::expected("named parameters such as `:id`")));
            }
            TokenKind::Symbol if token.text == "{" => {
                let wrong = Wrong::expected("captures as parameters such as `:id`");
                faults.push(("`{`".to_owned(), wrong.hint("nothing is pasted into SQL: write :id instead of {id}")));
            }
            TokenKind::Word | TokenKind::Placeholder | TokenKind::Symbol => {}
        }
    }
    faults.dedup();
    faults
}

/// A capture inside quotes is text to the database, or was meant to be pasted in.
fn in_quotes(text: &str, name: &str) -> Option<Fault> {
    let braces = format!("{{{name}}}");
    let parameter = format!(":{name}");
    let colon = text.match_indices(&parameter).any(|(at, _)| !text[at + parameter.len()..].starts_with(is_name));
    let found = if text.contains(&braces) {
        braces
    } else if colon {
        parameter.clone()
    } else {
        return None;
    };
    let wrong = Wrong::expected(format!("`{parameter}` outside quotes"));
    let hint = match text.split_once(&found) {
        Some(("%", "%")) => format!("write '%' || {parameter} || '%'"),
        _ => format!("a parameter is never quoted: write {parameter} alone"),
    };
    Some((format!("`{found}` in quotes"), wrong.hint(hint)))
}

fn parameters<'t>(tokens: &'t [Token<'_>]) -> impl Iterator<Item = &'t str> {
    tokens.iter().filter_map(Token::name)
}

pub(super) fn listed(captures: &[&str]) -> String {
    let names: Vec<String> = captures.iter().map(|name| format!("`:{name}`")).collect();
    names.join(", ")
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
