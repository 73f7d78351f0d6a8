//! How are a space's values made, as a number? What an earlier life left on the disk under another one is not used.
//!
//! The number stands on disks and has to outlive versions: it is made of words and parts that are written here, each
//! with its length in front, and of nothing that changes when code is renamed.

use bellwether_adapters::{Accept, Rows};
use bellwether_core::key::push_part;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::{OriginConfig, OriginKind, Source, SpaceConfig};

/// What the parts mean: another one whenever they mean something else. Every entry on disk is another one's then.
const VERSION: u8 = 1;

/// The number of a space whose values come from `origin`.
pub(super) fn of(config: &SpaceConfig, origin: Option<&OriginConfig>) -> u64 {
    xxh3_64(&parts(config, origin))
}

fn parts(config: &SpaceConfig, origin: Option<&OriginConfig>) -> Vec<u8> {
    let mut out = vec![VERSION];
    match origin.map(|origin| &origin.kind) {
        None => all(&mut out, ["none"]),
        Some(OriginKind::Sqlite { path }) => all(&mut out, ["sqlite", &path.to_string_lossy()]),
        #[cfg(feature = "postgres")]
        Some(OriginKind::Postgres(url)) => {
            all(&mut out, ["postgres"]);
            all(&mut out, url.identity().each_ref().map(String::as_str));
        }
        Some(OriginKind::Http(base)) => all(&mut out, ["http", &base.authority(), &base.path]),
    }
    // What stands in a key's place in a statement or path is what the template captures there.
    if !matches!(config.source, Source::Plain) {
        all(&mut out, [config.template.as_str()]);
    }
    match &config.source {
        Source::Plain => all(&mut out, ["plain"]),
        Source::Sql(sql) => {
            let rows = match sql.rows {
                Rows::One => "one",
                Rows::All => "all",
            };
            all(&mut out, ["sql", &sql.query.text, rows]);
            optional(&mut out, sql.column.as_ref().map(|column| column.text.as_str()));
        }
        Source::Http(http) => {
            all(&mut out, ["get", http.get.as_str()]);
            accepted(&mut out, &http.accept);
        }
    }
    out
}

/// Which answers are values.
fn accepted(out: &mut Vec<u8>, accept: &Accept) {
    let mut status = accept.status.clone();
    status.sort_unstable();
    status.dedup();
    let status: Vec<String> = status.iter().map(u16::to_string).collect();
    all(out, [status.join(" ").as_str(), if accept.json { "json" } else { "any" }]);
    optional(out, accept.content_type.as_deref());
}

fn all<const N: usize>(out: &mut Vec<u8>, parts: [&str; N]) {
    for part in parts {
        push_part(out, part.as_bytes());
    }
}

/// None, or one that may be empty.
fn optional(out: &mut Vec<u8>, part: Option<&str>) {
    match part {
        None => all(out, ["none"]),
        Some(part) => all(out, ["some", part]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::config;

    /// The number of the first space of a configuration.
    fn number(text: &str) -> u64 {
        let config = config::parse(text, "b.toml", Path::new("/etc/bw"), [], false).expect(text);
        let space = &config.spaces[0];
        let origin = space.source.origin().and_then(|name| config.origins.iter().find(|origin| origin.name == name));
        of(space, origin)
    }

    const PLAIN: &str = "[[space]]\nmatch = \"s:{id}\"\nttl = \"1m\"\n";

    fn sql(url: &str, more: &str) -> String {
        format!("[origin.o]\nsql = \"{url}\"\n{PLAIN}origin = \"o\"\n{more}")
    }

    fn http(url: &str, more: &str) -> String {
        format!("[origin.o]\nhttp = \"{url}\"\n{PLAIN}origin = \"o\"\n{more}")
    }

    const QUERY: &str = "query = \"SELECT a, b FROM t WHERE id = :id\"\n";
    const GET: &str = "get = \"/v/{id}\"\n";

    /// These numbers stand on disks. Who changes one takes every server's entries from it at its next start: raise
    /// `VERSION` and say so in the changelog, or leave them as they are.
    #[test]
    fn what_is_on_disk_is_found_again_by_every_later_version() {
        let whole =
            format!("{GET}accept = {{ status = [203, 200], content_type = \"application/json\", json = true }}\n");
        let numbers = [
            number(PLAIN),
            number(&sql("sqlite:///var/shop.db", QUERY)),
            number(&http("https://api.internal/base", &whole)),
        ];
        assert_eq!(numbers, [16_036_366_107_734_345_955, 16_655_101_504_115_070_157, 4_058_582_555_677_460_402]);
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_postgres_is_found_again_whatever_its_password_and_its_encryption() {
        let of_url = |url: &str| number(&sql(url, QUERY));
        let usual = of_url("postgres://app:pw@db/shop");
        assert_eq!(usual, 4_415_178_478_916_032_948);
        assert_eq!(usual, of_url("postgres://app:other@db:5432/shop?sslmode=require"));
        for other in [
            "postgres://app:pw@db2/shop",
            "postgres://app:pw@db:1/shop",
            "postgres://app:pw@db/s",
            "postgres://b@db/shop",
        ] {
            assert_ne!(usual, of_url(other), "{other}");
        }
    }

    #[test]
    fn what_makes_another_value_makes_another_number() {
        let all = [
            PLAIN.to_owned(),
            sql("sqlite:///var/shop.db", QUERY),
            sql("sqlite:///var/other.db", QUERY),
            sql("sqlite:///var/shop.db", "query = \"SELECT b, a FROM t WHERE id = :id\"\n"),
            sql("sqlite:///var/shop.db", &format!("{QUERY}rows = \"all\"\n")),
            sql("sqlite:///var/shop.db", &format!("{QUERY}column = \"a\"\n")),
            sql("sqlite:///var/shop.db", &format!("{QUERY}column = \"b\"\n")),
            http("http://api.internal", GET),
            http("http://api.internal:81", GET),
            http("http://api.internal/base", GET),
            http("http://api.internal", "get = \"/w/{id}\"\n"),
            http("http://api.internal", GET).replace("s:{id}", "s:{id:int}"),
            http("http://api.internal", &format!("{GET}accept = {{ json = true }}\n")),
            http("http://api.internal", &format!("{GET}accept = {{ status = [200, 201] }}\n")),
            http("http://api.internal", &format!("{GET}accept = {{ content_type = \"text/html\" }}\n")),
        ];
        let numbers: BTreeSet<u64> = all.iter().map(|text| number(text)).collect();
        assert_eq!(numbers.len(), all.len());
        let order = |status: &str| number(&http("http://h", &format!("{GET}accept = {{ status = [{status}] }}\n")));
        assert_eq!(order("200, 203"), order("203, 200"), "the control: this makes none");
    }
}
