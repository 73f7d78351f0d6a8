//! Does what the fuzzers found still hold? Their inputs lie in `fuzz/corpus`, a folder for each target.
#![forbid(unsafe_code)]

use std::panic::{RefUnwindSafe, catch_unwind};
use std::path::Path;

/// Fewer inputs than this are no corpus: it is not where it is looked for.
const LEAST: usize = 20;

/// Gives every stored input of a fuzz target to its property.
///
/// # Panics
/// The property does, for an input whose file is named; or there is no corpus.
pub fn replay(target: &str, property: impl Fn(&[u8]) + RefUnwindSafe) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut count = 0;
    for file in files {
        let path = file.expect("a folder that can be read").path();
        let input = std::fs::read(&path).expect("a file that can be read");
        let held = catch_unwind(|| property(&input));
        assert!(held.is_ok(), "{} breaks `{target}`", path.display());
        count += 1;
    }
    assert!(count >= LEAST, "{count} inputs in {}", corpus.display());
}

#[cfg(test)]
mod tests {
    use super::replay;

    #[test]
    fn every_input_is_given_to_the_property_and_one_that_breaks_it_is_named() {
        let seen = std::sync::atomic::AtomicUsize::new(0);
        let count = |_: &[u8]| {
            seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        };
        replay("templates", count);
        assert!(seen.into_inner() >= super::LEAST);
        for (target, property) in [("templates", false), ("nosuch", true)] {
            let broken = std::panic::catch_unwind(|| replay(target, |_| assert!(property)));
            let words = broken.expect_err("it breaks");
            let words = words.downcast_ref::<String>().expect("words");
            assert!(words.contains(target), "{words}");
        }
    }
}
