//! What may be repeated of an address, be it right or wrong? Its scheme and its hosts: a password may stand anywhere
//! else, where its writer did not mean it to.

use super::read::{is_scheme, server};

/// Stands for what is not shown.
const HIDDEN: &str = "***";
/// The longest name of a parameter: what is longer is no name.
const LONGEST_NAME: usize = 16;

/// `text` for an error or a log: scheme, hosts and the names of parameters, `***` for the rest.
///
/// ```
/// use bellwether_adapters::tiers::address::without_secrets;
/// assert_eq!(without_secrets("redis://app:hunter2@cache:6379"), "redis://***@cache:6379");
/// assert_eq!(without_secrets("redis://cache/hunter2?auth=hunter2"), "redis://cache/***?auth=***");
/// ```
pub fn without_secrets(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        return if text.is_empty() { String::new() } else { HIDDEN.to_owned() };
    };
    let (login, rest) = match rest.rsplit_once('@') {
        // A password that is not encoded has cut the address in pieces, and no one knows which is which.
        Some((login, _)) if login.contains(['/', '?', '#']) => return format!("{scheme}://{HIDDEN}"),
        Some((_, rest)) => (format!("{HIDDEN}@"), rest),
        None => (String::new(), rest),
    };
    let (hosts, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let hosts: Vec<_> = hosts.split(',').map(host).collect();
    format!("{scheme}://{login}{}{}", hosts.join(","), tail(behind))
}

/// Any text for an error or a log, up to the first name whose value may be a secret (`password=`, `api_key=`, `token=` …).
/// What goes on behind it may belong to it. A placeholder such as `:id` or `${PASSWORD}` is no secret.
///
/// ```
/// use bellwether_adapters::tiers::address::up_to_secret;
/// assert_eq!(up_to_secret("/p/{id}?v=2&api_key=hunter2"), "/p/{id}?v=2&api_key=***");
/// assert_eq!(up_to_secret("SELECT a FROM t WHERE token = :id"), "SELECT a FROM t WHERE token = :id");
/// ```
pub fn up_to_secret(text: &str) -> String {
    for (at, _) in text.match_indices('=') {
        let (before, value) = (&text[..at], text[at + 1..].trim_start());
        let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = before.trim_end().rsplit(|c: char| !part_of_name(c)).next().unwrap_or_default();
        if names_secret(name) && !value.is_empty() && !is_placeholder(value) {
            return format!("{before}={HIDDEN}");
        }
    }
    text.to_owned()
}

/// Whether something will stand there that does not yet: a parameter, a capture, a variable.
fn is_placeholder(text: &str) -> bool {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some('{'), _) | (Some('$'), Some('{' | '0'..='9')) => true,
        (Some(':'), Some(next)) => next.is_ascii_alphabetic(),
        (Some('?'), next) => next.is_none_or(|next| " ),".contains(next)),
        _ => false,
    }
}

/// Words that names of secrets hold.
const WITHIN: [&str; 4] = ["passw", "pwd", "secret", "credential"];
/// And those that they end with.
const LAST: [&str; 8] = ["pass", "passphrase", "token", "key", "auth", "authorization", "signature", "sig"];

fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WITHIN.iter().any(|word| name.contains(word)) || LAST.iter().any(|word| name.ends_with(word))
}

/// A host as it is written; where a port should be may stand the password of `user:password`.
fn host(text: &str) -> String {
    if text.is_empty() || server(text, 1).is_ok() {
        return text.to_owned();
    }
    match text.split_once(':') {
        Some((host, _)) if server(host, 1).is_ok() => format!("{host}:{HIDDEN}"),
        _ => HIDDEN.to_owned(),
    }
}

/// What stands behind the hosts.
fn tail(text: &str) -> String {
    let (path, query) = match text.split_once('#') {
        Some((path, _)) if !path.contains('?') => return format!("{}#{HIDDEN}", tail(path)),
        _ => text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query))),
    };
    let path = if path.len() > 1 { "/***" } else { path };
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{}", names(query)))
}

/// The names of parameters, up to the first that is not known: its value may be a secret that goes on behind an `&`.
fn names(query: &str) -> String {
    let mut shown = Vec::new();
    for pair in query.split('&') {
        let name = pair.split_once('=').map(|(name, _)| name).filter(|name| is_name(name));
        shown.push(name.map_or_else(|| HIDDEN.to_owned(), |name| format!("{name}={HIDDEN}")));
        if name != Some("db") {
            break;
        }
    }
    shown.join("&")
}

fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b"_-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::{up_to_secret, without_secrets};

    #[test]
    fn of_an_address_its_scheme_its_hosts_and_the_names_of_parameters_are_shown_and_nothing_else() {
        for (text, shown) in [
            ("", ""),
            ("hunter2", "***"),
            ("app:hunter2@h:1", "***"),
            ("app:hunter2://h", "***"),
            ("hunter2@://h", "***"),
            ("redis:/hunter2@h", "***"),
            ("redis://", "redis://"),
            ("redis://h:6379", "redis://h:6379"),
            ("REDIS://[::1]:1", "REDIS://[::1]:1"),
            ("http://127.0.0.1:9090/", "http://127.0.0.1:9090/"),
            ("http://app:hunter2@h:1", "http://***@h:1"),
            ("redis://app:hunter2@", "redis://***@"),
            ("redis://app:hun@ter2@h", "redis://***@h"),
            ("redis://app:hunter2@h:1@x:2", "redis://***@x:2"),
            ("redis://h:hunter2", "redis://h:***"),
            ("redis://:hunter2", "redis://***"),
            ("redis://h:99999", "redis://h:***"),
            ("redis://hunter2!", "redis://***"),
            ("redis://h/hunter2", "redis://h/***"),
            ("redis://h#hunter2", "redis://h#***"),
            ("redis://h/1#hunter2", "redis://h/***#***"),
            ("redis://h?auth=hunter2", "redis://h?auth=***"),
            ("redis://h?db=1&auth=hunter2", "redis://h?db=***&auth=***"),
            ("redis://h?password=a&hunter2=b", "redis://h?password=***"),
            ("redis://h?hunter2", "redis://h?***"),
            ("redis://h?Hunter2=x", "redis://h?***"),
            ("redis://h?x=hunter2#hunter2", "redis://h?x=***"),
            ("redis://h?x=a@hunter2", "redis://***"),
            ("redis://:hunter2/x@h", "redis://***"),
            ("redis://:hunter2?x@h", "redis://***"),
            ("redis://:hunter2#x@h", "redis://***"),
            ("redis+unix://host/hunter2", "redis+unix://host/***"),
            ("redis+unix:///run/s?pass=hunter2", "redis+unix:///***?pass=***"),
            ("redis+cluster://app:hunter2@a:1,app:hunter2@b:2", "redis+cluster://***@b:2"),
            ("redis+cluster://a:1,b:hunter2", "redis+cluster://a:1,b:***"),
            ("memcached://h?x=hunter2", "memcached://h?x=***"),
        ] {
            assert_eq!(without_secrets(text), shown, "{text}");
        }
    }

    #[test]
    fn a_text_is_shown_up_to_the_first_name_that_a_secret_follows() {
        for name in [
            "password",
            "passwd",
            "pwd",
            "pass",
            "sslpassword",
            "db_pass",
            "token",
            "access_token",
            "secret",
            "client_secret",
            "api_key",
            "apikey",
            "X-Api-Key",
            "key",
            "auth",
            "sig",
            "X-Amz-Signature",
            "PASSWORD",
        ] {
            for (before, behind) in
                [("/p?", ""), ("host=h user=u ", " port=1"), ("https://h/p?a=1&", "&b=2"), ("", ";x")]
            {
                let shown = up_to_secret(&format!("{before}{name}=hunter2{behind}"));
                assert_eq!(shown, format!("{before}{name}=***"));
            }
            assert_eq!(up_to_secret(&format!("{name} = 'hunter2'")), format!("{name} =***"), "as a statement has it");
            for placeholder in [":id", "$1", "${PASSWORD}", "{id}", "?"] {
                let text = format!("WHERE {name} = {placeholder} AND x={placeholder}");
                assert_eq!(up_to_secret(&text), text, "nobody's secret");
            }
        }
        for text in ["", "=", "password", "password=", "60 seconds", "author=me", "/p?page=2", "tokens=3", "sslmode=on"]
        {
            assert_eq!(up_to_secret(text), text, "control");
        }
    }
}
