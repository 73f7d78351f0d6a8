//! What is a key called in the tier? As its user wrote it, so that others find it there.
//!
//! Behind the tier's prefix stands the key. With a generation it is `@GENERATION:` and the key; a key that itself
//! begins with `@` has `@:` in front. A generation has no colon, so what a name says is never in doubt: no two keys of
//! whatever spaces and generations share one. Names that begin with `@@` are no key's: they are ours.

use std::sync::Arc;

use bellwether::shared::Naming;
use bellwether_core::template::{Route, Template, route};

/// Says of a name that more than the key stands there.
const SIGN: u8 = b'@';

/// The names of one space's keys.
pub(in crate::service) struct Names {
    /// Of all spaces, in the order in which they are tried: the first that matches has the key.
    templates: Arc<[Template]>,
    /// This space among them.
    own: usize,
    generation: Option<Box<[u8]>>,
    /// What stands in front of the keys in memory.
    stored: Box<[u8]>,
}

impl Names {
    /// `stored` stands in front of the keys in memory.
    pub(in crate::service) fn new(
        templates: Arc<[Template]>,
        own: usize,
        generation: Option<&str>,
        stored: &[u8],
    ) -> Names {
        Names { templates, own, generation: generation.map(|text| text.as_bytes().into()), stored: stored.into() }
    }
}

impl Naming for Names {
    fn name(&self, stored: &[u8]) -> Vec<u8> {
        let key = stored.strip_prefix(&*self.stored).unwrap_or(stored);
        named(self.generation.as_deref(), key)
    }

    fn key(&self, name: &[u8]) -> Option<Vec<u8>> {
        let (generation, key) = meant(name)?;
        if generation != self.generation.as_deref() {
            return None;
        }
        match route(self.templates.iter(), key) {
            Route::Space { index, .. } if index == self.own => Some([&self.stored, key].concat()),
            _ => None,
        }
    }
}

/// The name of a key, without the tier's prefix.
pub(in crate::service) fn named(generation: Option<&[u8]>, key: &[u8]) -> Vec<u8> {
    match generation {
        Some(generation) => [&[SIGN], generation, b":", key].concat(),
        None if key.first() == Some(&SIGN) => [&[SIGN], &b":"[..], key].concat(),
        None => key.to_vec(),
    }
}

/// The key of a name, whatever its generation; `None`: it is no key's.
pub(in crate::service) fn key_of(name: &[u8]) -> Option<&[u8]> {
    meant(name).map(|(_, key)| key)
}

/// Generation and key of a name; `None`: it is no key's.
fn meant(name: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let Some(rest) = name.strip_prefix(&[SIGN]) else { return Some((None, name)) };
    let end = rest.iter().position(|byte| *byte == b':')?;
    let (generation, key) = (&rest[..end], &rest[end + 1..]);
    match generation {
        [] => Some((None, key)),
        [SIGN, ..] => None,
        generation => Some((Some(generation), key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn template(text: &str) -> Template {
        Template::parse(text).expect("a template")
    }

    #[test]
    fn a_key_is_called_as_its_user_wrote_it() {
        let plain = |key: &[u8]| named(None, key);
        assert_eq!(plain(b"product:42"), b"product:42");
        assert_eq!(plain(b"@v2:x"), b"@:@v2:x");
        assert_eq!(named(Some(b"v2"), b"product:42"), b"@v2:product:42");
        assert_eq!(named(Some(b"v2"), b"@x"), b"@v2:@x");
        assert_eq!(meant(b"@@fleet:x"), None, "ours");
        assert_eq!(meant(b"@v2"), None, "nobody's");
    }

    #[test]
    fn a_name_is_the_key_of_the_space_that_has_it_and_of_no_other() {
        let templates: Arc<[Template]> = [template("a:{x:int}"), template("a:{x}"), template("a:{x}")].into();
        let stored = b"\x00v2";
        let names = |own, generation, stored: &[u8]| Names::new(templates.clone(), own, generation, stored);
        let (ints, rest, third) = (names(0, None, b""), names(1, Some("v2"), stored), names(2, None, b""));
        assert_eq!(ints.key(b"a:1").as_deref(), Some(&b"a:1"[..]));
        assert_eq!(rest.name(b"\x00v2a:b"), b"@v2:a:b");
        assert_eq!(rest.key(b"@v2:a:b").as_deref(), Some(&b"\x00v2a:b"[..]));
        for name in [&b"a:b"[..], b"@v2:a:1", b"@v3:a:b", b"@:a:b"] {
            assert_eq!(rest.key(name), None, "{name:?}");
        }
        assert_eq!(third.key(b"a:b"), None, "the space in front of it has the key");
    }

    proptest! {
        #[test]
        fn g5_no_two_keys_share_a_name(
            (a, b) in ("[@:v2-]{0,6}", "[@:v2-]{0,6}"),
            (x, y) in (proptest::option::of("[v2-]{1,3}"), proptest::option::of("[v2-]{1,3}")),
        ) {
            let name = |generation: &Option<String>, key: &str| {
                named(generation.as_deref().map(str::as_bytes), key.as_bytes())
            };
            prop_assert_eq!(name(&x, &a) == name(&y, &b), (&x, &a) == (&y, &b));
            let found = name(&x, &a);
            prop_assert_eq!(meant(&found), Some((x.as_deref().map(str::as_bytes), a.as_bytes())));
        }
    }
}
