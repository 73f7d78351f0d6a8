//! What does a query's text look like? Just enough of SQLite's tokens to find placeholders
//! without being fooled by strings and comments.

/// One token, with where it lies in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
    pub(super) start: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A keyword, a bare name or a number.
    Word,
    /// `:name`
    Placeholder,
    /// A string, or a quoted name.
    Quoted,
    /// Anything else, one character.
    Symbol,
}

/// The tokens of a text; spaces and comments are left out.
pub(super) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (kind, len) = match rest[0] {
            b if b.is_ascii_whitespace() => (None, 1),
            b'-' if rest.starts_with(b"--") => (None, until(rest, b"\n")),
            b'/' if rest.starts_with(b"/*") => (None, 2 + until(&rest[2..], b"*/")),
            quote @ (b'\'' | b'"' | b'`') => (Some(TokenKind::Quoted), quoted(rest, quote)),
            b'[' => (Some(TokenKind::Quoted), until(rest, b"]")),
            b':' if rest.get(1).copied().is_some_and(in_a_name) => (Some(TokenKind::Placeholder), 1 + name(&rest[1..])),
            b if in_a_name(b) => (Some(TokenKind::Word), name(rest)),
            _ => (Some(TokenKind::Symbol), 1),
        };
        if let Some(kind) = kind {
            found.push(Token { kind, text: &sql[at..at + len], start: at });
        }
        at += len;
    }
    found
}

/// As SQLite's tokenizer has it: every byte beyond ASCII belongs to a name.
fn in_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn name(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| in_a_name(**b)).count()
}

/// Length up to and including `end`, or to the end of the text.
fn until(bytes: &[u8], end: &[u8]) -> usize {
    bytes.windows(end.len()).position(|window| window == end).map_or(bytes.len(), |at| at + end.len())
}

/// Length of a quoted token; a doubled quote stands for itself.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match (bytes[at] == quote, bytes.get(at + 1) == Some(&quote)) {
            (true, true) => at += 2,
            (true, false) => return at + 1,
            (false, _) => at += 1,
        }
    }
    bytes.len()
}

/// Does the text begin like a query? `sqlite3_stmt_readonly` also holds for PRAGMA, ATTACH,
/// BEGIN and EXPLAIN, none of which loads a value.
pub(super) fn begins_like_a_query(sql: &str) -> bool {
    tokens(sql)
        .first()
        .is_some_and(|first| ["SELECT", "WITH", "VALUES"].iter().any(|word| first.text.eq_ignore_ascii_case(word)))
}

/// A template's `{name}` inside a string of the query: somebody took the query for a text template.
pub(super) fn quoted_template<'a, S: AsRef<str>>(sql: &'a str, captures: &[S]) -> Option<&'a str> {
    tokens(sql).into_iter().filter(|token| token.kind == TokenKind::Quoted).map(|token| token.text).find(|text| {
        captures.iter().any(|name| {
            let name = name.as_ref();
            text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{{name}:"))
        })
    })
}

/// Rewrites `IN (:keys)` so that one prepared statement serves any number of keys. `json_each`
/// keeps integers integers and texts texts. `None` if the placeholder stands anywhere else.
pub(super) fn expand_in(sql: &str, placeholder: &str) -> Option<String> {
    let tokens = tokens(sql);
    let mut out = String::with_capacity(sql.len() + 32);
    let mut copied = 0;
    for (at, token) in tokens.iter().enumerate() {
        if token.kind != TokenKind::Placeholder || token.text != placeholder {
            continue;
        }
        let is = |offset: usize, text: &str| {
            at.checked_sub(offset).and_then(|i| tokens.get(i)).is_some_and(|t| t.text.eq_ignore_ascii_case(text))
        };
        let closed = tokens.get(at + 1).is_some_and(|t| t.text == ")");
        if !(is(1, "(") && is(2, "IN") && closed) {
            return None;
        }
        out.push_str(&sql[copied..token.start]);
        out.push_str("SELECT value FROM json_each(");
        out.push_str(placeholder);
        out.push(')');
        copied = token.start + token.text.len();
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&sql[copied..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders(sql: &str) -> Vec<&str> {
        tokens(sql).into_iter().filter(|t| t.kind == TokenKind::Placeholder).map(|t| t.text).collect()
    }

    #[test]
    fn placeholders_in_strings_names_and_comments_are_none() {
        let sql = "SELECT ':a', \":b\", `:c`, [:d], 'it''s :e' -- :f\n /* :g */ FROM t WHERE x=:x AND y = :größe";
        assert_eq!(placeholders(sql), [":x", ":größe"]);
    }

    #[test]
    fn unfinished_quotes_and_comments_end_with_the_text() {
        for sql in ["SELECT 'a", "SELECT [a", "SELECT /* a", "SELECT -- a", "SELECT \"", "'", ":", "/*", "é", ""] {
            let end = tokens(sql).last().map_or(0, |t| t.start + t.text.len());
            assert!(end <= sql.len(), "{sql}");
        }
    }

    #[test]
    fn a_query_begins_with_select_with_or_values() {
        for sql in ["SELECT 1", " -- why\n select 1", "/* x */ WITH a AS (SELECT 1) SELECT * FROM a", "VALUES (1)"] {
            assert!(begins_like_a_query(sql), "{sql}");
        }
        for sql in ["", "PRAGMA user_version", "EXPLAIN SELECT 1", "ATTACH 'x' AS y", "DELETE FROM t", "'SELECT'"] {
            assert!(!begins_like_a_query(sql), "{sql}");
        }
    }

    #[test]
    fn a_text_template_in_quotes_is_found() {
        assert_eq!(quoted_template("SELECT * FROM t WHERE id = '{id}'", &["id"]), Some("'{id}'"));
        assert_eq!(quoted_template("SELECT * FROM t WHERE id = '{id:int}'", &["id"]), Some("'{id:int}'"));
        assert_eq!(quoted_template("SELECT '{\"id\": 1}' -- '{id}'", &["id"]), None);
    }

    #[test]
    fn an_in_list_becomes_a_json_list() {
        assert_eq!(
            expand_in("SELECT * FROM t WHERE id IN (:ids) AND s <> ':ids'", ":ids").as_deref(),
            Some("SELECT * FROM t WHERE id IN (SELECT value FROM json_each(:ids)) AND s <> ':ids'")
        );
        assert!(expand_in("SELECT * FROM t WHERE id in ( :ids )", ":ids").is_some());
        for sql in
            ["SELECT :ids", "SELECT * FROM t WHERE id = :ids", "SELECT * FROM t WHERE id IN (:ids, 1)", "SELECT 1"]
        {
            assert_eq!(expand_in(sql, ":ids"), None, "{sql}");
        }
    }
}
