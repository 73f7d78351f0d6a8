//! Does a key match a pattern such as `user:*:h[ae]llo?`? Redis's rules, without its recursion.

/// Bytes of pattern that one comparison may look at; beyond, a pattern matches nothing. Neither
/// `a*a*a*b` nor a class of a million letters is a way to stall others.
const MAX_STEPS: usize = 1 << 20;

/// Whether the whole of `text` fits `pattern`: `*` any bytes, `?` one byte, `[ab]`, `[^ab]` and
/// `[a-z]` one of them or none of them, `\` takes the next byte literally.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and where the text went on when it was met.
    let mut star: Option<(usize, usize)> = None;
    let mut steps = 0;
    while steps < MAX_STEPS {
        steps += 1;
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        let Some(byte) = text.get(t) else { return pattern[p..].iter().all(|rest| *rest == b'*') };
        let (fits, length) = one(&pattern[p..], *byte);
        steps += length;
        if fits {
            p += length;
            t += 1;
            continue;
        }
        // The last star takes one byte more; earlier ones need not be looked at again.
        let Some((behind, at)) = &mut star else { return false };
        *at += 1;
        (p, t) = (*behind, *at);
    }
    false
}

/// Whether `byte` fits the first element of `pattern`, and the bytes that element takes.
fn one(pattern: &[u8], byte: u8) -> (bool, usize) {
    match pattern {
        [] => (false, 0),
        [b'?', ..] => (true, 1),
        [b'\\', literal, ..] => (*literal == byte, 2),
        [b'[', rest @ ..] => {
            let (fits, length) = class(rest, byte);
            (fits, length + 1)
        }
        [literal, ..] => (*literal == byte, 1),
    }
}

/// A class behind its `[`. One that is never closed ends with the pattern.
fn class(inside: &[u8], byte: u8) -> (bool, usize) {
    let negated = inside.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &inside[at.min(inside.len())..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != negated, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_looked_at_only_so_far_whatever_it_is_made_of() {
        let text = [b'a'; 4096];
        let class = [b"*[".as_slice(), &vec![b'b'; 4 << 20], b"]x"].concat();
        for pattern in [class, b"*a".repeat(1 << 20)] {
            let begun = std::time::Instant::now();
            assert!(!matches(&pattern, &text));
            assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
        }
        assert!(matches(b"*[b-z]*[^b-z]a", b"xaaa"), "control: classes still fit");
    }

    #[test]
    fn patterns_mean_what_they_mean_in_redis() {
        let fits = [
            ("*", ""),
            ("", ""),
            ("a", "a"),
            ("a*", "a"),
            ("a*c", "abbc"),
            ("*b*", "abc"),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-c]llo", "hbllo"),
            ("h[c-a]llo", "hbllo"),
            ("a\\*b", "a*b"),
            ("[\\]]", "]"),
            ("**a**", "a"),
            ("*a*b*c", "xaybzabc"),
            ("[abc", "b"),
            ("user:*", "user:"),
        ];
        for (pattern, text) in fits {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        let fits_not = [
            ("", "a"),
            ("a", ""),
            ("a", "ab"),
            ("a*c", "ab"),
            ("h?llo", "hllo"),
            ("h[^e]llo", "hello"),
            ("a\\*b", "axb"),
            ("[]", "]"),
            ("?", ""),
            ("*a", "ab"),
            ("[", "x"),
        ];
        for (pattern, text) in fits_not {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    #[test]
    fn a_wicked_pattern_costs_a_bounded_time() {
        let pattern = format!("{}b", "a*".repeat(2000));
        assert!(!matches(pattern.as_bytes(), "a".repeat(4096).as_bytes()));
    }
}
