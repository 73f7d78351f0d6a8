//! How is a list of keys said to SQLite? As one JSON text, so that one statement serves any number of keys.

use super::super::sql::{Dialect, TokenKind, tokens};

/// Rewrites `IN (:keys)` so that one prepared statement serves any number of keys. `json_each`
/// keeps integers integers and texts texts. `None` if the placeholder stands anywhere else.
pub(super) fn expand_in(sql: &str, placeholder: &str) -> Option<String> {
    let tokens = tokens(sql, Dialect::Sqlite);
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
