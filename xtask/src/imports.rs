//! Does any file import itself by way of others, or what is above it?
//!
//! Rust allows such cycles inside a crate, and they are how layers dissolve. An import is a `use`, or a path in the
//! code, that names something another file defines; re-exports are followed to the definition. `mod child;` is none,
//! nor is a re-export of a child's item that the parent does not use itself. Unit tests may import anything.

mod graph;
mod layers;
mod scan;

use graph::{Edge, Graph, Module};
use scan::Source;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Checks every crate of the workspace.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let (mut cycles, mut upward) = (Vec::new(), Vec::new());
    let mut files = 0;
    for crate_root in crate_roots(root)? {
        let tree = Tree::read(&crate_root)?;
        files += tree.files.len();
        cycles.extend(tree.imports().cycles().iter().map(|cycle| show(cycle, root)));
        if let Some(layers) = layers_of(&crate_root, root) {
            upward.extend(layers::upward(layers, &tree.edges()));
            upward.extend(layers::gone(layers, &tree.modules()));
        }
    }
    let mut wrong = Vec::new();
    if !cycles.is_empty() {
        wrong.push(format!("{} import cycle(s):\n{}", cycles.len(), cycles.join("\n")));
    }
    if !upward.is_empty() {
        wrong.push(format!("{} import(s) that point upwards:\n{}", upward.len(), upward.join("\n")));
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    println!("{files} files, no import cycle, no import that points upwards");
    Ok(())
}

/// The layers of the crate whose root this is. Programs beside a library have none.
fn layers_of(crate_root: &Path, root: &Path) -> Option<&'static layers::Layers> {
    let folder = crate_root.parent()?.parent()?.strip_prefix(root).ok()?;
    layers::of(folder.to_str()?).filter(|_| crate_root.ends_with("lib.rs"))
}

/// Every `src/lib.rs`, `src/main.rs`, `src/bin/*.rs` and `src/bin/*/main.rs` of the workspace: each begins a module tree of
/// its own.
fn crate_roots(root: &Path) -> Result<Vec<PathBuf>, String> {
    let crates = root.join("crates");
    let entries = std::fs::read_dir(&crates).map_err(|e| format!("{}: {e}", crates.display()))?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.extend([root.join("benches"), root.join("xtask")]);
    folders.sort();
    let mut roots: Vec<PathBuf> =
        folders.iter().flat_map(|folder| ["src/lib.rs", "src/main.rs"].map(|file| folder.join(file))).collect();
    for programs in folders.iter().filter_map(|folder| std::fs::read_dir(folder.join("src/bin")).ok()) {
        let programs = programs.filter_map(|entry| Some(entry.ok()?.path()));
        roots.extend(programs.map(|path| if path.is_dir() { path.join("main.rs") } else { path }));
    }
    roots.retain(|file| file.is_file() && file.extension().is_some_and(|extension| extension == "rs"));
    roots.sort();
    Ok(roots)
}

fn show(cycle: &[(PathBuf, usize)], root: &Path) -> String {
    let step = |(file, line): &(PathBuf, usize)| {
        format!("  {}:{line} imports", file.strip_prefix(root).unwrap_or(file).display())
    };
    let mut lines: Vec<String> = cycle.iter().map(step).collect();
    if let Some((first, _)) = cycle.first() {
        lines.push(format!("  {}", first.strip_prefix(root).unwrap_or(first).display()));
    }
    lines.join("\n")
}

/// The files of one crate by module.
struct Tree {
    files: BTreeMap<Module, (PathBuf, Source)>,
}

/// How often a re-export may lead to another one; more is taken as the definition.
const REEXPORT_DEPTH: usize = 16;

impl Tree {
    fn read(crate_root: &Path) -> Result<Self, String> {
        let mut files = BTreeMap::new();
        let mut open = vec![(Module::new(), crate_root.to_path_buf())];
        while let Some((module, file)) = open.pop() {
            let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            let source = Source::scan(&text);
            let folder = children_folder(&file, module.is_empty());
            for child in &source.children {
                let candidates = [folder.join(format!("{child}.rs")), folder.join(child).join("mod.rs")];
                if let Some(path) = candidates.into_iter().find(|path| path.is_file()) {
                    open.push(([module.as_slice(), std::slice::from_ref(child)].concat(), path));
                }
            }
            files.insert(module, (file, source));
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let module = |name: &str| name.split("::").filter(|part| !part.is_empty()).map(String::from).collect();
        let entry = |(name, text): &(&str, &str)| (module(name), (PathBuf::from(name), Source::scan(text)));
        Self { files: files.iter().map(entry).collect() }
    }

    fn imports(&self) -> Graph {
        let mut graph = Graph::default();
        for edge in self.edges() {
            graph.add(edge.file, &self.files[edge.to].0, edge.line);
        }
        graph
    }

    fn modules(&self) -> Vec<&Module> {
        self.files.keys().collect()
    }

    fn edges(&self) -> Vec<Edge<'_>> {
        let mut edges = Vec::new();
        for (from, (file, source)) in &self.files {
            for path in &source.paths {
                let facade = path.reexport && !source.uses(path.name());
                let target = self.target(from, &path.segments);
                let Some((to, _)) = target.and_then(|target| self.files.get_key_value(&target)) else { continue };
                let child = to.len() > from.len() && to.starts_with(from);
                if to != from && !(facade && child) {
                    edges.push(Edge { from, to, file, line: path.line });
                }
            }
        }
        edges
    }

    /// The module whose file defines what `segments` name, seen from `from`; none if it is another crate's.
    fn target(&self, from: &Module, segments: &[String]) -> Option<Module> {
        self.definition(self.absolute(from, segments)?, REEXPORT_DEPTH)
    }

    fn absolute(&self, from: &Module, segments: &[String]) -> Option<Vec<String>> {
        let mut path = from.clone();
        let mut rest = segments;
        match rest.first()?.as_str() {
            "crate" => (path, rest) = (Module::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|word| word == "super") {
                    path.pop()?;
                    rest = &rest[1..];
                }
            }
            child if self.files[from].1.children.iter().any(|name| name == child) => {}
            _ => return None,
        }
        path.extend_from_slice(rest);
        Some(path)
    }

    fn definition(&self, path: Vec<String>, depth: usize) -> Option<Module> {
        let length = (0..=path.len()).rev().find(|&length| self.files.contains_key(&path[..length]))?;
        let module: Module = path[..length].to_vec();
        let Some(name) = path.get(length).filter(|_| depth > 0) else { return Some(module) };
        let source = &self.files[&module].1;
        if source.defines(name) {
            return Some(module);
        }
        for reexport in source.paths.iter().filter(|p| p.reexport && (p.alias() == name || p.name() == "*")) {
            let mut target = reexport.segments.clone();
            if reexport.name() == "*" {
                target.pop();
                target.push(name.clone());
            }
            let found = self.absolute(&module, &target).and_then(|path| self.definition(path, depth - 1));
            if let Some(found) = found.filter(|found| reexport.name() != "*" || self.files[found].1.defines(name)) {
                return Some(found);
            }
        }
        Some(module)
    }
}

/// Where the files of a file's child modules lie.
fn children_folder(file: &Path, is_root: bool) -> PathBuf {
    let parent = file.parent().unwrap_or(Path::new("")).to_path_buf();
    if is_root || file.file_name().is_some_and(|name| name == "mod.rs") {
        return parent;
    }
    parent.join(file.file_stem().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::Tree;

    fn cycles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let found = Tree::of(files).imports().cycles();
        found.iter().map(|cycle| cycle.iter().map(|(file, _)| file.display().to_string()).collect()).collect()
    }

    #[test]
    fn a_cycle_between_two_files_is_caught_however_it_is_written() {
        for (a, b) in [
            ("use crate::b::B; pub struct A;", "use crate::a::A; pub struct B;"),
            ("use super::b::{self, B}; struct A;", "fn f() { crate::a::g() }"),
            ("use crate::{x::X, b::{B, C}};", "type T = super::a::A;"),
        ] {
            assert_eq!(
                cycles(&[("", "mod a; mod b; mod x;"), ("a", a), ("b", b), ("x", "")]),
                [["a", "b"]],
                "{a} / {b}"
            );
        }
    }

    #[test]
    fn a_cycle_of_three_is_caught_and_one_way_imports_are_fine() {
        let root = ("", "mod a; mod b; mod c;");
        let (a, b) = (("a", "use crate::b::X;"), ("b", "use crate::c::Y; pub struct X;"));
        assert_eq!(cycles(&[root, a, b, ("c", "use crate::a::Z; pub struct Y;")]), [["a", "b", "c"]]);
        assert!(cycles(&[root, a, b, ("c", "pub struct Y;")]).is_empty());
    }

    #[test]
    fn a_parent_that_only_declares_and_reexports_is_no_import() {
        let child = ("a", "use crate::Other; pub struct A;");
        assert!(
            cycles(&[("", "mod a; mod b; pub use a::A; pub use b::Other;"), child, ("b", "pub struct Other;")])
                .is_empty()
        );
    }

    #[test]
    fn a_parent_that_uses_its_child_while_the_child_uses_it_is_a_cycle() {
        let parent = ("p", "mod c; pub use c::C; pub struct P; fn f(c: C) {}");
        assert_eq!(cycles(&[("", "mod p;"), parent, ("p::c", "use super::P; pub struct C;")]), [["p", "p::c"]]);
        let facade = ("p", "mod c; pub use c::C; pub struct P;");
        assert!(cycles(&[("", "mod p;"), facade, ("p::c", "use super::P; pub struct C;")]).is_empty());
    }

    #[test]
    fn reexports_lead_to_the_file_that_defines() {
        let root = ("", "mod a; mod b; pub use b::*;");
        assert_eq!(cycles(&[root, ("a", "use crate::B;"), ("b", "use crate::a::A; pub struct B;")]), [["a", "b"]]);
    }

    #[test]
    fn comments_strings_and_unit_tests_import_nothing() {
        let b = r##"// use crate::a::A;
            /* use crate::a::A; /* nested */ */ const S: &str = "crate::a::A"; const R: &str = r#"crate::a::A"#;
            fn f<'a>(x: &'a str, q: char) -> bool { q == '"' }
            #[cfg(test)] mod tests { use crate::a::A; fn g() { {} } }
            #[cfg(test)] use crate::a::A;"##;
        assert!(cycles(&[("", "mod a; mod b;"), ("a", "use crate::b::f;"), ("b", b)]).is_empty());
    }
}
