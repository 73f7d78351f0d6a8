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
    use super::without_secrets;

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
}
