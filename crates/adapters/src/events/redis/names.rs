//! What are the backplane's keys called, and the fields of its floors?

use bellwether::Invalidation;
use bellwether::events::{Batch, Message, Scope};

/// The floor of everything.
pub(super) const ALL: &str = ".all";

/// Keys of one backplane: one slot of a cluster, and none of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) stream: String,
    pub(super) floors: String,
    pub(super) ages: String,
    /// Where what travels as best effort is published.
    pub(super) channel: String,
    /// Where processes tell each other what may be lost.
    pub(super) whispers: String,
    /// A word by which it is known to be the same, whatever it is called.
    pub(super) fleet: String,
    /// Which keys will be hot, by what somebody said.
    pub(super) announced: String,
}

impl Names {
    /// Those beside entries whose keys begin with `prefix`: `{bw}:stream` for `bw:`.
    pub(super) fn beside(prefix: &str) -> Names {
        let name: String = prefix.trim_end_matches(':').chars().filter(|c| !matches!(c, '{' | '}')).collect();
        let name = if name.is_empty() { "bw".to_owned() } else { name };
        Names::within(&format!("{{{name}}}:"))
    }

    /// Names of the same slot and under the same patterns that nobody uses.
    pub(super) fn apart(&self, number: u64) -> Names {
        Names::within(&format!("{}check:{number:016x}:", self.beginning()))
    }

    /// Which keys and which channels an ACL user needs.
    pub(super) fn patterns(&self) -> (String, String) {
        (format!("~{}*", self.beginning()), format!("&{}*", self.beginning()))
    }

    fn beginning(&self) -> &str {
        self.stream.trim_end_matches("stream")
    }

    fn within(beginning: &str) -> Names {
        let of = |what: &str| format!("{beginning}{what}");
        Names {
            stream: of("stream"),
            floors: of("floors"),
            ages: of("floors:ages"),
            channel: of("events"),
            whispers: of("heat"),
            fleet: of("fleet"),
            announced: of("announced"),
        }
    }
}

/// The fields that a batch raises.
pub(super) fn raised(batch: &Batch) -> Vec<String> {
    let mark = |verb: &Invalidation| match verb {
        Invalidation::Remove => 'r',
        Invalidation::Expire => 'e',
    };
    let field = |message: &Message| match message {
        Message::Tag { hash, verb } => Some(format!("t{}:{hash:016x}", mark(verb))),
        Message::Space { name, verb } => Some(format!("s{}:{name}", mark(verb))),
        Message::Everything => Some(ALL.to_owned()),
        Message::Key { .. } | Message::Suspect | Message::Refresh { .. } | Message::Announced => None,
    };
    batch.messages.iter().filter_map(field).collect()
}

/// What a field is the floor of. `None`: of nothing, or it can't be read.
pub(super) fn scope(field: &str) -> Option<(Scope, Invalidation)> {
    if field == ALL {
        return Some((Scope::All, Invalidation::Remove));
    }
    let (kind, name) = field.split_once(':')?;
    let verb = match kind.as_bytes() {
        [_, b'r'] => Invalidation::Remove,
        [_, b'e'] => Invalidation::Expire,
        _ => return None,
    };
    let scope = match kind.as_bytes() {
        [b't', _] => Scope::Tag(u64::from_str_radix(name, 16).ok()?),
        [b's', _] => Scope::Space(name.into()),
        _ => return None,
    };
    Some((scope, verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_share_a_slot_whatever_the_prefix() {
        assert_eq!(Names::beside("bw:").stream, "{bw}:stream");
        assert_eq!(Names::beside("shop:eu:").floors, "{shop:eu}:floors");
        assert_eq!(Names::beside("{x}y").channel, "{xy}:events");
        assert_eq!(Names::beside("").ages, "{bw}:floors:ages");
        assert_eq!(Names::beside("bw:").whispers, "{bw}:heat");
        assert_eq!(Names::beside("bw:").fleet, "{bw}:fleet");
        assert_eq!(Names::beside("bw:").announced, "{bw}:announced");
        let apart = Names::beside("bw:").apart(10);
        assert_eq!(apart.stream, "{bw}:check:000000000000000a:stream");
        assert_eq!(Names::beside("bw:").patterns(), ("~{bw}:*".to_owned(), "&{bw}:*".to_owned()));
    }

    #[test]
    fn fields_read_back_as_what_they_are_floors_of() {
        let verb = Invalidation::Expire;
        let messages = vec![
            Message::Tag { hash: 0xab, verb },
            Message::Space { name: "a:b".into(), verb: Invalidation::Remove },
            Message::Everything,
            Message::Suspect,
        ];
        let fields = raised(&Batch { sender: 1, messages });
        assert_eq!(fields, ["te:00000000000000ab", "sr:a:b", ".all"]);
        let read: Vec<_> = fields.iter().filter_map(|field| scope(field)).collect();
        let space = (Scope::Space("a:b".into()), Invalidation::Remove);
        assert_eq!(read, [(Scope::Tag(0xab), verb), space, (Scope::All, Invalidation::Remove)]);
        assert!([".at", ".run", "tx:1", "tr:zz", "q"].iter().all(|field| scope(field).is_none()));
    }
}
