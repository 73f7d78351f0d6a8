//! Which class does a caller name? One reader for every face, and words for what is none.

use bellwether::Priority;

use crate::config::{did_you_mean, one_of};

/// Characters of a wrong word that an error shows.
const SHOWN: usize = 32;

/// The class that `word` names, in any letter case.
///
/// # Errors
/// What was expected, what was found, and what was probably meant.
pub(crate) fn class(word: &[u8]) -> Result<Priority, String> {
    let text = String::from_utf8_lossy(word);
    let text = text.trim();
    if let Some(class) = Priority::parse(text) {
        return Ok(class);
    }
    let words = || Priority::ALL.iter().map(|class| class.as_str());
    let found: String = text.chars().take(SHOWN).flat_map(char::escape_default).collect();
    let meant = did_you_mean(text, words()).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    Err(format!("expected the priority {}, found '{found}'{meant}", one_of(words())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_class_says_which_there_are_and_which_was_meant() {
        assert_eq!(class(b" Critical "), Ok(Priority::Critical));
        let said = |word: &[u8]| class(word).expect_err("no class");
        let all = "expected the priority critical, normal, low or background, found";
        assert_eq!(said(b"critcal"), format!("{all} 'critcal'; did you mean critical?"));
        assert_eq!(said(b"urgent"), format!("{all} 'urgent'"));
        assert_eq!(said(b"a\r\nb\xff"), format!("{all} 'a\\r\\nb\\u{{fffd}}'"), "harmless on a line of its own");
        assert!(said(&[b'x'; 5000]).len() < 200);
    }
}
