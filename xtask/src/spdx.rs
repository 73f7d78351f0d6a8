//! Does an SPDX licence expression leave a choice that is allowed?

/// Whether `expression` can be satisfied with `allowed` licences alone. `/` is the old spelling of `OR`.
pub(crate) fn allows(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = Words { rest: spaced.split_whitespace().collect(), allowed };
    words.rest.reverse();
    let answer = words.either()?;
    match words.rest.last() {
        None => Ok(answer),
        Some(word) => Err(format!("'{expression}' is no licence expression: '{word}' is left over")),
    }
}

/// A recursive descent over the words: `either` binds loosest, then `both`, then one licence.
struct Words<'a> {
    rest: Vec<&'a str>,
    allowed: &'a [String],
}

impl Words<'_> {
    fn either(&mut self) -> Result<bool, String> {
        let mut answer = self.both()?;
        while self.take("OR") {
            answer |= self.both()?;
        }
        Ok(answer)
    }

    fn both(&mut self) -> Result<bool, String> {
        let mut answer = self.one()?;
        while self.take("AND") {
            answer &= self.one()?;
        }
        Ok(answer)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let answer = self.either()?;
            return if self.take(")") { Ok(answer) } else { Err("a parenthesis is left open".into()) };
        }
        let mut name = self.rest.pop().ok_or("an expression ends too early")?.to_owned();
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.rest.pop().ok_or("WITH names no exception")?);
        }
        Ok(self.allowed.contains(&name))
    }

    fn take(&mut self, word: &str) -> bool {
        let here = self.rest.last() == Some(&word);
        if here {
            self.rest.pop();
        }
        here
    }
}

#[cfg(test)]
mod tests {
    use super::allows;

    #[test]
    fn one_allowed_branch_of_or_is_enough_and_and_needs_both() {
        let allowed: Vec<String> = ["MIT", "Apache-2.0", "Unicode-3.0"].map(String::from).into();
        let cases = [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/Apache-2.0", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("(MIT OR GPL-3.0) AND OpenSSL", false),
            ("Apache-2.0 WITH LLVM-exception", false),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ];
        for (expression, expected) in cases {
            assert_eq!(allows(expression, &allowed), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn a_malformed_expression_is_an_error_not_a_yes() {
        for expression in ["", "MIT OR", "(MIT", "MIT MIT", "MIT WITH"] {
            assert!(allows(expression, &["MIT".to_owned()]).is_err(), "{expression}");
        }
    }
}
