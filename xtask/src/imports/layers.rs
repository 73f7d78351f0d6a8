//! Does every import point downwards? A table of layers, the lowest first, as ARCHITECTURE.md promises them.
//!
//! A layer is a list of modules with all that is below them; the longest name that fits says where a module is. What is
//! in no layer may be imported by all, and may import all: a crate's root, and what runs everything.

use super::graph::{Edge, Module};

/// A crate, and its layers.
pub(super) type Layers = (&'static str, &'static [&'static [&'static str]]);

const LAYERS: [Layers; 5] = [
    (
        "crates/bellwether",
        &[
            &[
                "port",
                "shared",
                "events",
                "disk",
                "weigh",
                "common",
                "key",
                "place",
                "token",
                "error",
                "policy",
                "eviction",
                "load",
                "entry",
                "body",
                "codec",
                "observe::counters",
            ],
            &["state"],
            &["engine", "observe::snapshot", "observe::explain"],
            &["control"],
            &["builder", "cache", "cached", "ctx", "get", "popular", "revision", "space"],
        ],
    ),
    (
        "crates/server",
        &[
            &["allowance", "connections", "rest", "shutdown", "telemetry"],
            &["config"],
            &["service"],
            &["face"],
            &["admin"],
            &["run"],
        ],
    ),
    (
        "crates/adapters",
        &[
            &["captures", "payload"],
            &["origins"],
            &["tiers::address", "tiers::breaker", "tiers::counters", "tiers::health", "tiers::wire"],
            &["tiers"],
            &["events"],
        ],
    ),
    (
        "crates/demo",
        &[
            &["database", "failure", "files", "incident", "script", "shop", "words"],
            &["plain"],
            &["side"],
            &["herd"],
            &["run"],
        ],
    ),
    (
        "crates/drill",
        &[
            &["catalogue", "error", "report", "target", "answer", "key"],
            &["origin", "client", "server"],
            &["races::stage", "incidents::stage"],
            &["races::rows", "incidents::plays"],
            &["races::run", "incidents::run"],
        ],
    ),
];

/// The layers of the crate in this folder of the workspace.
pub(super) fn of(folder: &str) -> Option<&'static Layers> {
    LAYERS.iter().find(|(of, _)| *of == folder)
}

/// The imports that point upwards, a line each.
pub(super) fn upward(layers: &Layers, edges: &[Edge<'_>]) -> Vec<String> {
    let lines = edges.iter().filter_map(|edge| {
        let (from, to) = (height(layers, edge.from)?, height(layers, edge.to)?);
        let names = || format!("{} imports {}", edge.from.join("::"), edge.to.join("::"));
        (from < to).then(|| format!("  {}:{}: {}, which is above it", edge.file.display(), edge.line, names()))
    });
    lines.collect()
}

/// Names of layers that no module has: the table is not what the code is.
pub(super) fn gone(layers: &Layers, modules: &[&Module]) -> Vec<String> {
    let names = layers.1.iter().flat_map(|layer| layer.iter());
    let is_gone = |name: &&&str| !modules.iter().any(|module| module.join("::") == ***name);
    names
        .filter(is_gone)
        .map(|name| format!("  {}: no module {name}, which the table of layers names", layers.0))
        .collect()
}

/// Which layer a module is in.
fn height(layers: &Layers, module: &Module) -> Option<usize> {
    let module = module.join("::");
    let fits = |name: &str| module.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let all = layers
        .1
        .iter()
        .enumerate()
        .flat_map(|(height, layer)| layer.iter().map(move |name| (name.len(), *name, height)));
    all.filter(|(_, name, _)| fits(name)).max().map(|(_, _, height)| height)
}

#[cfg(test)]
mod tests {
    use super::super::Tree;
    use super::{Layers, gone, upward};

    const TABLE: Layers = ("c", &[&["noun", "verb::noun"], &["verb"], &["face"]]);

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        upward(&TABLE, &Tree::of(files).edges())
    }

    #[test]
    fn an_import_that_points_upwards_is_caught_and_one_that_points_downwards_is_none() {
        let root = ("", "mod noun; mod verb; mod face; mod other; pub use face::F;");
        let downwards =
            [root, ("noun", "pub struct N;"), ("verb", "use crate::noun::N;"), ("face", "use crate::{noun::N, verb};")];
        assert!(found(&downwards).is_empty());
        let upwards = found(&[root, ("noun", "use crate::F;"), ("verb", ""), ("face", "pub struct F;")]);
        assert_eq!(upwards, ["  noun:1: noun imports face, which is above it"], "through a re-export, too");
        let free = [
            root,
            ("noun", "use crate::other::O;"),
            ("other", "use crate::face::F; pub struct O;"),
            ("face", "pub struct F;"),
        ];
        assert!(found(&free).is_empty(), "what is in no layer");
    }

    #[test]
    fn the_longest_name_says_where_a_module_is() {
        let root = ("", "mod noun; mod verb; mod face;");
        let verb = ("verb", "mod noun; mod act;");
        let below = [
            root,
            verb,
            ("verb::noun", "use crate::noun::N;"),
            ("verb::act", "use super::noun::M;"),
            ("noun", "pub struct N;"),
        ];
        assert!(found(&below).is_empty());
        let above = [root, verb, ("verb::noun", "use super::act::A;"), ("verb::act", "pub struct A;"), ("noun", "")];
        assert_eq!(found(&above).len(), 1);
    }

    #[test]
    fn a_layer_that_is_no_more_is_told() {
        let tree = Tree::of(&[("", "mod noun; mod verb;"), ("noun", ""), ("verb", "mod noun;"), ("verb::noun", "")]);
        assert_eq!(gone(&TABLE, &tree.modules()), ["  c: no module face, which the table of layers names"]);
    }
}
