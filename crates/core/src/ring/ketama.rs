//! Which node has a key, so that other clients of the same fleet agree? libmemcached's weighted ketama with equal
//! weights (`MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED`, PHP's `OPT_LIBKETAMA_COMPATIBLE`): points on a circle, by MD5.

/// Points of a node on the circle, four to a digest.
const POINTS: u32 = 160;
const TO_A_DIGEST: usize = 4;
/// A node at this port is named without it.
const USUAL_PORT: u16 = 11211;

/// The circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ketama {
    /// Ends of arcs, ascending, with the place of the node that has the arc.
    points: Vec<(u32, usize)>,
}

impl Ketama {
    /// The circle of nodes (host and port). `md5` is MD5.
    pub fn new<'a>(nodes: impl IntoIterator<Item = (&'a str, u16)>, md5: impl Fn(&[u8]) -> [u8; 16]) -> Ketama {
        let mut points = Vec::new();
        for (place, (host, port)) in nodes.into_iter().enumerate() {
            let name = if port == USUAL_PORT { host.to_owned() } else { format!("{host}:{port}") };
            for index in 0..POINTS / TO_A_DIGEST as u32 {
                let digest = md5(format!("{name}-{index}").as_bytes());
                points.extend((0..TO_A_DIGEST).map(|part| (word(&digest, part), place)));
            }
        }
        // Where two nodes share a point, the first one has it.
        points.sort_unstable();
        Ketama { points }
    }

    /// The place of the node that has the key with this MD5. `None` without any node.
    pub fn owner(&self, key: &[u8; 16]) -> Option<usize> {
        let hash = word(key, 0);
        let after = self.points.partition_point(|(point, _)| *point < hash);
        self.points.get(after).or(self.points.first()).map(|(_, place)| *place)
    }
}

fn word(digest: &[u8; 16], part: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| digest[part * TO_A_DIGEST + i]))
}
