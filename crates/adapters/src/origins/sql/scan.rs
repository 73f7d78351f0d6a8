//! What does a query's text look like? Just enough of a database's tokens to find placeholders without being fooled
//! by strings, quoted names and comments; whether the statement is right in itself is for the database to say.

/// Whose rules of quoting hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite: names may stand in backticks and brackets; `?`, `@name` and `$name` are placeholders too.
    Sqlite,
    /// PostgreSQL: `E'…'` with backslashes, `$tag$…$tag$`, comments in comments; brackets and `?` are operators.
    Postgres,
}

/// One token, with where it lies in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// As it is written.
    pub text: &'a str,
    /// Its first byte.
    pub start: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword, a bare name or a number.
    Word,
    /// `:name`
    Placeholder,
    /// A placeholder that is not ours: `?`, `@name`, `$name`, `$1`.
    Foreign,
    /// A string, or a quoted name.
    Quoted,
    /// A quote, bracket or comment that never ends: the rest of the text.
    Unclosed,
    /// Anything else: one character, or `::`.
    Symbol,
}

impl Token<'_> {
    /// The name of a placeholder, without its colon.
    pub fn name(&self) -> Option<&str> {
        (self.kind == TokenKind::Placeholder).then(|| &self.text[1..])
    }

    /// What stands between the quotes.
    pub fn inside(&self) -> &str {
        if self.kind != TokenKind::Quoted {
            return self.text;
        }
        let text = self.text.trim_start_matches(['e', 'E']);
        let open = if text.starts_with('$') { dollar_tag(text.as_bytes()) } else { 1 };
        text.get(open..text.len() - open).unwrap_or_default()
    }
}

/// The tokens of a text; spaces and comments are left out.
pub fn tokens(sql: &str, dialect: Dialect) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (kind, len) = match dialect {
            Dialect::Sqlite => sqlite(&bytes[at..]),
            Dialect::Postgres => postgres(&bytes[at..]),
        }
        .unwrap_or_else(|| common(&bytes[at..], dialect));
        if let Some(kind) = kind {
            found.push(Token { kind, text: &sql[at..at + len], start: at });
        }
        at += len;
    }
    found
}

/// `None`: nothing to keep. The length is never 0, and ends between two characters.
type Scanned = (Option<TokenKind>, usize);

/// What only SQLite reads in its own way.
fn sqlite(rest: &[u8]) -> Option<Scanned> {
    Some(match rest[0] {
        b'`' => quoted(rest, b'`', false),
        b'[' => closed(TokenKind::Quoted, find(rest, b"]"), rest.len()),
        b'?' => (Some(TokenKind::Foreign), 1 + name(&rest[1..])),
        b'@' if name(&rest[1..]) > 0 => (Some(TokenKind::Foreign), 1 + name(&rest[1..])),
        _ => return None,
    })
}

/// What only PostgreSQL reads in its own way.
fn postgres(rest: &[u8]) -> Option<Scanned> {
    Some(match rest[0] {
        b'e' | b'E' if rest.get(1) == Some(&b'\'') => {
            let (kind, len) = quoted(&rest[1..], b'\'', true);
            (kind, 1 + len)
        }
        b'$' if dollar_tag(rest) > 0 => {
            let tag = dollar_tag(rest);
            closed(TokenKind::Quoted, find(&rest[tag..], &rest[..tag]).map(|end| tag + end), rest.len())
        }
        b'/' if rest.starts_with(b"/*") => match nested_comment(rest) {
            Some(len) => (None, len),
            None => (Some(TokenKind::Unclosed), rest.len()),
        },
        // The upper end of an array's slice.
        b':' if rest.get(1).is_some_and(u8::is_ascii_digit) => (Some(TokenKind::Symbol), 1),
        _ => return None,
    })
}

fn common(rest: &[u8], dialect: Dialect) -> Scanned {
    match rest[0] {
        b if b.is_ascii_whitespace() => (None, 1),
        b'-' if rest.starts_with(b"--") => {
            let ends = |b: &u8| *b == b'\n' || (*b == b'\r' && dialect == Dialect::Postgres);
            (None, rest.iter().position(ends).unwrap_or(rest.len()))
        }
        b'/' if rest.starts_with(b"/*") => match find(&rest[2..], b"*/") {
            Some(end) => (None, 2 + end),
            None => (Some(TokenKind::Unclosed), rest.len()),
        },
        quote @ (b'\'' | b'"') => quoted(rest, quote, false),
        b':' if rest.starts_with(b"::") => (Some(TokenKind::Symbol), 2),
        b':' if name(&rest[1..]) > 0 => (Some(TokenKind::Placeholder), 1 + name(&rest[1..])),
        b'$' if name(&rest[1..]) > 0 => (Some(TokenKind::Foreign), 1 + name(&rest[1..])),
        // `$` may stand inside a name, not in front of it.
        b if in_a_name(b) => (Some(TokenKind::Word), name(rest)),
        _ => (Some(TokenKind::Symbol), 1),
    }
}

/// As both databases have it: every byte beyond ASCII belongs to a name.
fn in_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn name(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| in_a_name(**b) || **b == b'$').count()
}

/// Where `end` ends.
fn find(bytes: &[u8], end: &[u8]) -> Option<usize> {
    bytes.windows(end.len()).position(|window| window == end).map(|at| at + end.len())
}

fn closed(kind: TokenKind, end: Option<usize>, all: usize) -> Scanned {
    match end {
        Some(end) => (Some(kind), end),
        None => (Some(TokenKind::Unclosed), all),
    }
}

/// A doubled quote stands for itself, and so does one behind a backslash where those count.
fn quoted(bytes: &[u8], quote: u8, backslashes: bool) -> Scanned {
    let mut at = 1;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1) == Some(&quote)) {
            (b'\\', _) if backslashes => at += 2,
            (b, true) if b == quote => at += 2,
            (b, false) if b == quote => return (Some(TokenKind::Quoted), at + 1),
            _ => at += 1,
        }
    }
    (Some(TokenKind::Unclosed), bytes.len())
}

/// Length of the `$$` or `$tag$` that begins the text; 0 if none does.
fn dollar_tag(rest: &[u8]) -> usize {
    let tag = rest[1..].iter().take_while(|b| in_a_name(**b)).count();
    let named = !rest.get(1).is_some_and(u8::is_ascii_digit);
    if named && rest.get(1 + tag) == Some(&b'$') { tag + 2 } else { 0 }
}

fn nested_comment(rest: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match rest.get(at..at + 2)? {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return Some(at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
}

/// Does the text begin like a query? Databases also call PRAGMA, ATTACH, BEGIN, SHOW and EXPLAIN read-only, none of
/// which loads a value.
pub(crate) fn begins_like_a_query(sql: &str, dialect: Dialect) -> bool {
    tokens(sql, dialect)
        .first()
        .is_some_and(|first| ["SELECT", "WITH", "VALUES"].iter().any(|word| first.text.eq_ignore_ascii_case(word)))
}

/// A template's `{name}` inside a string of the query: somebody took the query for a text template.
pub(crate) fn quoted_template<'a, S: AsRef<str>>(sql: &'a str, captures: &[S], dialect: Dialect) -> Option<&'a str> {
    let quoted = tokens(sql, dialect).into_iter().filter(|token| token.kind == TokenKind::Quoted);
    quoted.map(|token| token.text).find(|text| {
        captures.iter().any(|name| {
            let name = name.as_ref();
            text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{{name}:"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dialect::{Postgres, Sqlite};

    fn placeholders(sql: &str, dialect: Dialect) -> Vec<&str> {
        tokens(sql, dialect).into_iter().filter(|t| t.kind == TokenKind::Placeholder).map(|t| t.text).collect()
    }

    fn kinds(sql: &str, dialect: Dialect) -> Vec<(TokenKind, &str)> {
        tokens(sql, dialect).into_iter().map(|t| (t.kind, t.text)).collect()
    }

    #[test]
    fn placeholders_in_strings_names_and_comments_are_none() {
        let sql = "SELECT ':a', \":b\", 'it''s :e' -- :f\n /* :g */ FROM t WHERE x=:x AND y = :größe";
        for dialect in [Sqlite, Postgres] {
            assert_eq!(placeholders(sql, dialect), [":x", ":größe"]);
        }
        assert_eq!(placeholders("SELECT `:c`, [:d], :x", Sqlite), [":x"]);
    }

    #[test]
    fn a_cast_is_no_placeholder() {
        for dialect in [Sqlite, Postgres] {
            assert_eq!(placeholders("SELECT x::int, :id::bigint, ARRAY[:a]::text[]", dialect)[0], ":id");
        }
        assert_eq!(placeholders("SELECT :id::int, ARRAY[:a]::text[]", Postgres), [":id", ":a"]);
    }

    #[test]
    fn postgres_quotes_by_dollars_and_backslashes_and_nests_comments() {
        let sql = "SELECT $$:a'$$, $x$ :b $$ $y$ $x$, E'it\\'s :c', e'\\\\', U&'d\\', /* /* :d */ :e */ b$1$, :f \
                   FROM t WHERE a[1:2] = :g";
        assert_eq!(placeholders(sql, Postgres), [":f", ":g"]);
        // A backslash means nothing in a plain string.
        assert_eq!(placeholders("SELECT '\\', :a, 'x'", Postgres), [":a"]);
        assert_eq!(placeholders("SELECT se'\\', :a, 'x'", Postgres), [":a"], "`se` is a name, no prefix");
    }

    #[test]
    fn operators_of_postgres_are_no_placeholders_and_those_of_other_drivers_are_found() {
        assert_eq!(placeholders("SELECT d ? 'a' AND d @> '{}' AND @ -1 = :x", Postgres), [":x"]);
        let foreign = |sql, dialect| tokens(sql, dialect).iter().any(|t| t.kind == TokenKind::Foreign);
        for sql in ["SELECT ?", "SELECT ?1", "SELECT @id", "SELECT $id"] {
            assert!(foreign(sql, Sqlite), "{sql}");
        }
        assert!(foreign("SELECT $1", Postgres) && foreign("SELECT $id", Postgres));
        assert!(!foreign("SELECT d ? 'a', @ x, a$1, $$1$$", Postgres));
    }

    #[test]
    fn unfinished_quotes_and_comments_are_told_and_end_with_the_text() {
        for dialect in [Sqlite, Postgres] {
            for sql in ["SELECT 'a", "SELECT /* a", "SELECT \"", "'", "/*", "SELECT 'it''"] {
                let last = tokens(sql, dialect).pop().expect("a token");
                assert_eq!((last.kind, last.start + last.text.len()), (TokenKind::Unclosed, sql.len()), "{sql}");
            }
            for sql in ["SELECT -- a", ":", "é", "", "$", "::", "e", "E", "/"] {
                let end = tokens(sql, dialect).last().map_or(0, |t| t.start + t.text.len());
                assert!(end <= sql.len(), "{sql}");
            }
        }
        for sql in ["$$ a", "$x$ a $y$", "E'\\'", "E'a\\", "/* /* */"] {
            assert_eq!(kinds(sql, Postgres), [(TokenKind::Unclosed, sql)], "{sql}");
        }
        assert_eq!(kinds("[a", Sqlite), [(TokenKind::Unclosed, "[a")]);
    }

    #[test]
    fn what_stands_in_quotes_is_without_them() {
        let inside = |sql, dialect| tokens(sql, dialect)[0].inside().to_owned();
        for dialect in [Sqlite, Postgres] {
            assert_eq!(inside("'{id}'", dialect), "{id}");
            assert_eq!(inside("''", dialect), "");
        }
        assert_eq!(inside("E'{id}'", Postgres), "{id}");
        assert_eq!(inside("$x$e{id}$x$", Postgres), "e{id}");
        assert_eq!(inside("[:id]", Sqlite), ":id");
    }

    #[test]
    fn a_query_begins_with_select_with_or_values() {
        for dialect in [Sqlite, Postgres] {
            for sql in ["SELECT 1", " -- why\n select 1", "/* x */ WITH a AS (SELECT 1) SELECT * FROM a", "VALUES (1)"]
            {
                assert!(begins_like_a_query(sql, dialect), "{sql}");
            }
            for sql in ["", "PRAGMA user_version", "EXPLAIN SELECT 1", "ATTACH 'x' AS y", "DELETE FROM t", "'SELECT'"] {
                assert!(!begins_like_a_query(sql, dialect), "{sql}");
            }
        }
    }

    #[test]
    fn a_text_template_in_quotes_is_found() {
        let found = |sql| quoted_template(sql, &["id"], Sqlite);
        assert_eq!(found("SELECT * FROM t WHERE id = '{id}'"), Some("'{id}'"));
        assert_eq!(found("SELECT * FROM t WHERE id = '{id:int}'"), Some("'{id:int}'"));
        assert_eq!(found("SELECT '{\"id\": 1}' -- '{id}'"), None);
    }

    proptest::proptest! {
        #[test]
        fn tokens_lie_in_order_and_nothing_but_spaces_and_comments_between(
            sql in "[ a-z0-9eE'\"$:/*\\-\\\\\n\\[\\]`?@é]{0,40}"
        ) {
            for dialect in [Sqlite, Postgres] {
                let mut at = 0;
                for token in tokens(&sql, dialect) {
                    assert!(token.start >= at && !token.text.is_empty());
                    let between = sql[at..token.start].trim();
                    assert!(between.is_empty() || between.starts_with("--") || between.starts_with("/*"), "{between}");
                    at = token.start + token.text.len();
                }
            }
        }
    }
}
