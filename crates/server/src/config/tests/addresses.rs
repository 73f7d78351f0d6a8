//! Does every address of a tier that a guide shows work, and lead to the same place wherever it is read?

use super::*;
use bellwether_adapters::tiers::address::TierAddress;
use std::collections::BTreeSet;

/// Shown because it is wrong.
const WRONG: &str = "redis-cluster";

/// The addresses of a page, as they stand there.
fn shown(page: &str) -> Vec<&str> {
    let words = page.split(|c: char| c.is_whitespace() || "`\"'|()<>".contains(c));
    let addresses = words.filter(|word| {
        let scheme = word.split_once("://").map_or("", |(scheme, _)| scheme);
        ["redis", "valkey", "memcache"].iter().any(|kind| scheme.starts_with(kind))
    });
    addresses.map(|word| word.trim_end_matches(['.', ',', ';', ':', '?', '…'])).collect()
}

/// What `[…]` holds is left away, or not; the brackets of an address of IPv6 stay.
fn with_optional(text: &str, keep: bool) -> String {
    let Some((before, rest)) = text.split_once('[') else { return text.to_owned() };
    let mut depth = 1;
    let end = rest.find(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        depth == 0
    });
    let (inner, after) = rest.split_at(end.expect("a bracket that is closed"));
    let after = with_optional(&after[1..], keep);
    match inner {
        _ if inner.contains("::") => format!("{before}[{inner}]{after}"),
        _ if keep => format!("{before}{}{after}", with_optional(inner, keep)),
        _ => format!("{before}{after}"),
    }
}

/// Something that can be written in the place of words in capitals.
fn filled(text: &str) -> String {
    let text = text.replace("DATABASE", "2").replace("/DB", "/2").replace("db=N", "db=2").replace("PORT", "7");
    match text.split_once("://") {
        Some((scheme, "")) if scheme.ends_with("unix") => format!("{text}/PATH"),
        Some((scheme, "")) if scheme.ends_with("sentinel") => format!("{text}HOST/NAME"),
        Some((_, "")) => format!("{text}HOST"),
        _ => text.replace("${PW}", "pw"),
    }
}

#[test]
fn every_address_that_a_guide_shows_works_and_leads_where_the_library_reads_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guides = std::fs::read_dir(root.join("docs/guide")).expect("the guides");
    let pages = guides.map(|page| page.expect("a page").path()).chain([root.join("README.md")]);
    let (mut read, mut wrong) = (BTreeSet::new(), 0);
    for page in pages.filter(|page| page.extension().is_some_and(|ext| ext == "md")) {
        let text = std::fs::read_to_string(&page).expect("a page");
        for address in shown(&text) {
            if address.starts_with(WRONG) {
                wrong += 1;
                assert!(TierAddress::parse(&filled(address)).is_err(), "{address} of {}", page.display());
                continue;
            }
            for keep in [false, true] {
                let url = filled(&with_optional(address, keep));
                let says = format!("{url}, from {address} of {}", page.display());
                let here = read_with(&format!("[shared]\nurl = \"{url}\"\n{}", plain("")), &[], false)
                    .unwrap_or_else(|problems| panic!("{says}: {}", said(&problems)));
                let there = TierAddress::parse(&url).unwrap_or_else(|mistake| panic!("{says}: {}", mistake.problem()));
                match (here.shared.expect("a tier").at, there) {
                    (SharedAt::Redis(here), TierAddress::Redis(there)) => assert_eq!(here, there, "{says}"),
                    (SharedAt::Memcached { nodes, .. }, TierAddress::Memcached(there)) => assert_eq!(nodes, there),
                    (here, there) => panic!("{says}: {here:?}, {there:?}"),
                }
                read.insert(url);
            }
        }
    }
    assert!(wrong > 0 && read.len() >= 25, "they do show some: {read:#?}");
    for one in ["valkey://HOST", "redis+sentinel://A:26379,B:26379/NAME/0", "redis+unix:///run/redis.sock?db=1"] {
        assert!(read.contains(one), "{one} is among {read:#?}");
    }
}
