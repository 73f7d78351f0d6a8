//! Does this statement use its captures safely? As bind parameters only, never inside quotes.
//!
//! Just enough of a scanner to tell quotes, comments and parameters apart; whether the statement is
//! right in itself is for the database to say (`check --connect`).

use super::problem::Wrong;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'q> {
    Word(&'q str),
    /// `:name`
    Parameter(&'q str),
    /// `?`, `?1`, `@name`, `$name`
    OtherParameter(&'q str),
    /// Inside of quotes or brackets.
    Quoted(&'q str),
    /// A quote, bracket or comment that never ends.
    Unclosed(char),
    Mark(char),
}

/// A mistake in a statement: what stands there, and what may.
pub(super) type Fault = (String, Wrong);

/// Checks `query`, asked for one key.
pub(super) fn check_query(text: &str, captures: &[&str]) -> Vec<Fault> {
    let tokens = tokens(text);
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

/// Checks `many`, asked for many keys at once: one list, `IN (:ids)`.
pub(super) fn check_many(text: &str, captures: &[&str]) -> Vec<Fault> {
    let tokens = tokens(text);
    let mut faults = common(&tokens, captures);
    let expected = || Wrong::expected("`IN (:ids)` exactly once and no other parameter");
    let lists = tokens.windows(4).filter(|window| {
        matches!(window, [Token::Word(word), Token::Mark('('), Token::Parameter("ids"), Token::Mark(')')] if word.eq_ignore_ascii_case("in"))
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

fn common(tokens: &[Token<'_>], captures: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    match tokens.first() {
        None => faults.push(("no statement".to_owned(), Wrong::expected("a SELECT"))),
        Some(Token::Word(word)) if ["select", "with", "values"].contains(&word.to_lowercase().as_str()) => {}
        Some(_) => {
            faults.push((
                "a statement that is no SELECT".to_owned(),
                Wrong::expected("a statement that reads: SELECT, WITH or VALUES"),
            ));
        }
    }
    if tokens.iter().skip_while(|token| **token != Token::Mark(';')).any(|token| *token != Token::Mark(';')) {
        faults.push(("more behind `;`".to_owned(), Wrong::expected("one statement")));
    }
    for token in tokens {
        match token {
            Token::Quoted(text) => faults.extend(captures.iter().filter_map(|name| in_quotes(text, name))),
            Token::Unclosed(mark) => {
                faults.push((format!("`{mark}` that is never closed"), Wrong::expected("its other half")));
            }
            Token::OtherParameter(text) => {
                faults.push((format!("`{text}`"), Wrong::expected("named parameters such as `:id`")));
            }
            Token::Mark('{') => {
                let wrong = Wrong::expected("captures as parameters such as `:id`");
                faults.push(("`{`".to_owned(), wrong.hint("nothing is pasted into SQL: write :id instead of {id}")));
            }
            Token::Word(_) | Token::Parameter(_) | Token::Mark(_) => {}
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

fn parameters<'q>(tokens: &[Token<'q>]) -> impl Iterator<Item = &'q str> {
    tokens.iter().filter_map(|token| match token {
        Token::Parameter(name) => Some(*name),
        _ => None,
    })
}

pub(super) fn listed(captures: &[&str]) -> String {
    let names: Vec<String> = captures.iter().map(|name| format!("`:{name}`")).collect();
    names.join(", ")
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Length of what begins `text` and is made of `accept`.
fn run(text: &str, accept: impl Fn(char) -> bool) -> usize {
    text.find(|c: char| !accept(c)).unwrap_or(text.len())
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            _ if first.is_whitespace() => (None, first.len_utf8()),
            '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => match rest[2..].find("*/") {
                Some(end) => (None, end + 4),
                None => (Some(Token::Unclosed('/')), rest.len()),
            },
            '\'' | '"' | '`' | '[' => quoted(rest, first),
            ':' if rest.starts_with("::") => (Some(Token::Mark(':')), 2),
            ':' | '@' | '$' | '?' => parameter(rest, first),
            // `$` may stand inside a name, not in front of it.
            _ if is_name(first) || !first.is_ascii() => {
                let length = run(rest, |c| is_name(c) || c == '$' || !c.is_ascii());
                (Some(Token::Word(&rest[..length])), length)
            }
            _ => (Some(Token::Mark(first)), first.len_utf8()),
        };
        found.extend(token);
        rest = &rest[length..];
    }
    found
}

fn parameter(rest: &str, first: char) -> (Option<Token<'_>>, usize) {
    let length = 1 + run(&rest[1..], is_name);
    let token = match (first, length) {
        (':', 2..) => Token::Parameter(&rest[1..length]),
        (':' | '@' | '$', 1) => Token::Mark(first),
        _ => Token::OtherParameter(&rest[..length]),
    };
    (Some(token), length)
}

/// A doubled quote stands for itself; as two quoted texts side by side it reads the same to every check.
fn quoted(rest: &str, open: char) -> (Option<Token<'_>>, usize) {
    let close = if open == '[' { ']' } else { open };
    match rest[1..].find(close) {
        Some(length) => (Some(Token::Quoted(&rest[1..=length])), length + 2),
        None => (Some(Token::Unclosed(open)), rest.len()),
    }
}
