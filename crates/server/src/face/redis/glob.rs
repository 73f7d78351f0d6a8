//! Does a key match a pattern such as `user:*:h[ae]llo?`? Redis's rules, without its recursion.

/// Steps that one comparison may take; beyond, a pattern matches nothing. `a*a*a*b` is no way to stall others.
const MAX_STEPS: usize = 1 << 20;

/// Whether the whole of `text` fits `pattern`: `*` any bytes, `?` one byte, `[ab]`, `[^ab]` and
/// `[a-z]` one of them or none of them, `\` takes the next byte literally.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and where the text went on when it was met.
    let mut star: Option<(usize, usize)> = None;
    for _ in 0..MAX_STEPS {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        let Some(byte) = text.get(t) else { return pattern[p..].iter().all(|rest| *rest == b'*') };
        match one(&pattern[p..], *byte) {
            Some(used) => {
                p += used;
                t += 1;
            }
            // The last star takes one byte more; earlier ones need not be looked at again.
            None => match &mut star {
                Some((behind, at)) => {
                    *at += 1;
                    (p, t) = (*behind, *at);
                }
                None => return false,
            },
        }
    }
    false
}

/// Whether `byte` fits the first element of `pattern`: the bytes that element takes.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', rest @ ..] => class(rest, byte).map(|used| used + 1),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// A class behind its `[`. One that is never closed ends with the pattern.
fn class(inside: &[u8], byte: u8) -> Option<usize> {
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
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

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
