//! Which server has a name, in a given set of servers?

use bellwether_core::ring::ketama::Ketama;
use bellwether_core::ring::rendezvous;
use md5::{Digest, Md5};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::options::Placement;

/// A set of servers, ready to be asked.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    labels: Vec<String>,
    ring: Ring,
}

#[derive(Clone, Debug)]
enum Ring {
    Rendezvous(Vec<u64>),
    Ketama(Ketama),
}

impl Placed {
    /// Servers as `host:port`.
    pub(super) fn new(placement: Placement, labels: Vec<String>) -> Placed {
        let ring = match placement {
            Placement::Rendezvous => Ring::Rendezvous(labels.iter().map(|label| xxh3_64(label.as_bytes())).collect()),
            Placement::Ketama => {
                let nodes = labels.iter().map(|label| match label.rsplit_once(':') {
                    Some((host, port)) => (host.trim_matches(['[', ']']), port.parse().unwrap_or(0)),
                    None => (label.as_str(), 0),
                });
                Ring::Ketama(Ketama::new(nodes, |bytes| Md5::digest(bytes).into()))
            }
        };
        Placed { labels, ring }
    }

    /// The place of the server that has a name.
    pub(super) fn owner(&self, name: &[u8]) -> usize {
        let owner = match &self.ring {
            Ring::Rendezvous(seeds) => rendezvous::owner(seeds.iter().map(|seed| xxh3_64_with_seed(name, *seed))),
            Ring::Ketama(ketama) => ketama.owner(&Md5::digest(name).into()),
        };
        // There is at least one server.
        owner.unwrap_or(0)
    }

    /// The servers, as `host:port`.
    pub(super) fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The server that has a name, as `host:port`.
    pub(super) fn owner_label(&self, name: &[u8]) -> &str {
        self.labels.get(self.owner(name)).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(text: &str) -> Vec<(Placed, Placed, Vec<&str>)> {
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.len() >= 50);
        lines
            .into_iter()
            .map(|line| {
                let fields: Vec<_> = line.split('\t').collect();
                let labels: Vec<_> = fields[0].split(',').map(str::to_owned).collect();
                (Placed::new(Placement::Rendezvous, labels.clone()), Placed::new(Placement::Ketama, labels), fields)
            })
            .collect()
    }

    #[test]
    fn rendezvous_places_as_its_published_vectors_say() {
        for (rendezvous, _, fields) in vectors(include_str!("../../../tests/vectors/rendezvous.tsv")) {
            let key: Vec<u8> = (0..fields[1].len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&fields[1][at..at + 2], 16).unwrap())
                .collect();
            assert_eq!(rendezvous.owner_label(&key), fields[2], "{fields:?}");
            let score = xxh3_64_with_seed(&key, xxh3_64(fields[2].as_bytes()));
            assert_eq!(score.to_string(), fields[3]);
        }
    }

    #[test]
    fn ketama_places_as_libmemcached_does() {
        let mut otherwise = 0;
        for (rendezvous, ketama, fields) in vectors(include_str!("../../../tests/vectors/ketama.tsv")) {
            assert_eq!(ketama.owner_label(fields[1].as_bytes()), fields[2], "{fields:?}");
            otherwise += usize::from(rendezvous.owner_label(fields[1].as_bytes()) != fields[2]);
        }
        assert!(otherwise > 200, "the control: another placement is not libmemcached's");
    }

    #[test]
    fn a_fourth_server_takes_its_share_and_moves_nothing_else() {
        const KEYS: u32 = 20_000;
        for placement in [Placement::Rendezvous, Placement::Ketama] {
            let labels = |count| (1..=count).map(|n| format!("10.0.0.{n}:11211")).collect();
            let (three, four) = (Placed::new(placement, labels(3)), Placed::new(placement, labels(4)));
            let mut moved = 0;
            for key in 0..KEYS {
                let name = format!("bw:product:{key}");
                let (before, after) = (three.owner_label(name.as_bytes()), four.owner_label(name.as_bytes()));
                moved += u32::from(before != after);
                assert!(before == after || after == "10.0.0.4:11211");
            }
            let share = f64::from(moved) / f64::from(KEYS);
            assert!(share <= 0.28, "{placement:?}: {share}");
        }
    }
}
