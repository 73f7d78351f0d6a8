//! Which keys does a drill use, and which row of its origin is behind each?

/// Every key begins so; a run's random name follows.
pub(crate) const PREFIX: &str = "bw-drill-";
/// Letters and digits of a run's name.
const RUN_LENGTH: usize = 8;

/// A key and the path of its row at the origin: `bw-drill-RUN:SPACE:ID` and `/SPACE/RUN/ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// What clients ask for.
    pub(crate) name: String,
    /// What the origin is asked for.
    pub(crate) path: String,
}

impl Key {
    pub(crate) fn new(space: &str, run: &str, id: u64) -> Key {
        Key { name: format!("{PREFIX}{run}:{space}:{id}"), path: format!("/{space}/{run}/{id}") }
    }

    /// What an endpoint makes of a key that it is asked for: the space's name, and the key.
    pub(crate) fn parse(name: &str) -> Option<(&str, Key)> {
        let mut parts = name.strip_prefix(PREFIX)?.split(':');
        let (run, space, id) = (parts.next()?, parts.next()?, parts.next()?);
        let id = id.parse().ok().filter(|_| parts.next().is_none())?;
        Some((space, Key::new(space, run, id)))
    }
}

/// A name that no other run has.
pub(crate) fn run_name() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(RUN_LENGTH).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_as_it_was_made_and_no_other_key_is() {
        let key = Key::new("row", "x7", 42);
        assert_eq!(Key::parse(&key.name), Some(("row", key.clone())));
        for foreign in ["product:42", "bw-drill-x7:row", "bw-drill-x7:row:1:2", "bw-drill-x7:row:a"] {
            assert_eq!(Key::parse(foreign), None, "{foreign}");
        }
    }
}
