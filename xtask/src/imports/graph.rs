//! Which file imports which, and which cycles does that have?

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// A module's path from the crate's root: `["read", "walk"]`.
pub(super) type Module = Vec<String>;

/// One module imports from another.
pub(super) struct Edge<'t> {
    pub(super) from: &'t Module,
    pub(super) to: &'t Module,
    /// Of `from`.
    pub(super) file: &'t Path,
    pub(super) line: usize,
}

/// Who imports whom; for each pair the line of the first import.
#[derive(Default)]
pub(super) struct Graph {
    edges: BTreeMap<PathBuf, BTreeMap<PathBuf, usize>>,
}

impl Graph {
    pub(super) fn add(&mut self, from: &Path, to: &Path, line: usize) {
        self.edges.entry(from.to_path_buf()).or_default().entry(to.to_path_buf()).or_insert(line);
    }

    /// One shortest cycle through each file that no cycle listed before has named: (file, line of its import).
    pub(super) fn cycles(&self) -> Vec<Vec<(PathBuf, usize)>> {
        let mut named: BTreeSet<&Path> = BTreeSet::new();
        let mut cycles = Vec::new();
        for start in self.edges.keys() {
            if named.contains(start.as_path()) {
                continue;
            }
            if let Some(cycle) = self.shortest_back_to(start) {
                named.extend(cycle.iter().copied());
                cycles.push(self.with_lines(&cycle));
            }
        }
        cycles
    }

    /// Breadth first from `start` until an edge leads back to it.
    fn shortest_back_to<'a>(&'a self, start: &'a Path) -> Option<Vec<&'a Path>> {
        let mut came_from: BTreeMap<&Path, &Path> = BTreeMap::new();
        let mut open = VecDeque::from([start]);
        while let Some(file) = open.pop_front() {
            for next in self.edges.get(file).into_iter().flat_map(BTreeMap::keys) {
                if next == start {
                    let mut cycle = vec![file];
                    while let Some(before) = came_from.get(cycle[cycle.len() - 1]) {
                        cycle.push(before);
                    }
                    cycle.reverse();
                    return Some(cycle);
                }
                if !came_from.contains_key(next.as_path()) {
                    came_from.insert(next, file);
                    open.push_back(next);
                }
            }
        }
        None
    }

    fn with_lines(&self, cycle: &[&Path]) -> Vec<(PathBuf, usize)> {
        let next = |i: usize| cycle[(i + 1) % cycle.len()];
        cycle.iter().enumerate().map(|(i, file)| (file.to_path_buf(), self.edges[*file][next(i)])).collect()
    }
}
