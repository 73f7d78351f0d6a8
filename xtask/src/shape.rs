//! Is every file one idea? It stays below a number of lines, and its first line says which question it answers.

use std::path::{Path, PathBuf};

/// A source file is shorter than this.
const LINES: usize = 500;
/// A file of tests is: their cases are read one by one.
const LINES_OF_TESTS: usize = 600;
/// Where sources lie.
const FOLDERS: [&str; 4] = ["crates", "benches", "xtask", "fuzz"];
/// What is no source of ours.
const OTHERS: [&str; 2] = ["target", "node_modules"];
/// Files deeper than this are of something else.
const DEEPEST: usize = 12;

/// Checks every Rust file of the repository.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        sources(&root.join(folder), DEEPEST, &mut files)?;
    }
    files.sort();
    let mut wrong = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(file);
        wrong.extend(judged(name, &text).into_iter().map(|said| format!("  {}: {said}", name.display())));
    }
    if wrong.is_empty() {
        println!("{} files, each short and with its question", files.len());
        return Ok(());
    }
    Err(format!("{} file(s) out of shape:\n{}", wrong.len(), wrong.join("\n")))
}

/// What is wrong with a file.
fn judged(name: &Path, text: &str) -> Vec<String> {
    let (lines, bound) = (text.lines().count(), bound(name));
    let long = (lines >= bound).then(|| format!("{lines} lines, expected fewer than {bound}: which ideas are in it?"));
    let first = text.lines().next().and_then(|line| line.strip_prefix("//!")).unwrap_or_default();
    let silent =
        first.trim().is_empty().then(|| "its first line is no `//!` that says what the file is for".to_owned());
    long.into_iter().chain(silent).collect()
}

fn bound(name: &Path) -> usize {
    let is_tests = |part: &std::ffi::OsStr| {
        let part = part.to_string_lossy();
        let stem = part.strip_suffix(".rs").unwrap_or(&part);
        stem == "tests" || stem.ends_with("_tests")
    };
    if name.iter().any(is_tests) { LINES_OF_TESTS } else { LINES }
}

fn sources(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let told = |e: std::io::Error| format!("{}: {e}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_ours = depth > 0 && !name.starts_with('.') && !OTHERS.contains(&name.as_str());
        if path.is_dir() && is_ours {
            sources(&path, depth - 1, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{DEEPEST, LINES, LINES_OF_TESTS, judged, sources};
    use std::path::{Path, PathBuf};

    fn of_lines(lines: usize) -> String {
        format!("//! What is it?\n{}", "\n".repeat(lines - 1))
    }

    #[test]
    fn a_file_is_shorter_than_its_bound_and_tests_have_their_own() {
        for (name, bound) in [
            ("crates/a/src/b.rs", LINES),
            ("crates/a/src/contests.rs", LINES),
            ("crates/a/src/b/tests.rs", LINES_OF_TESTS),
            ("crates/a/src/b_tests.rs", LINES_OF_TESTS),
            ("crates/a/tests/b.rs", LINES_OF_TESTS),
        ] {
            assert!(judged(Path::new(name), &of_lines(bound - 1)).is_empty(), "{name}");
            let said = judged(Path::new(name), &of_lines(bound));
            assert!(said.len() == 1 && said[0].contains(&format!("{bound} lines")), "{name}: {said:?}");
        }
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_caught() {
        for text in ["", "use a;\n", "//!\n//! Late.\n", "// What?\n"] {
            assert_eq!(judged(Path::new("a.rs"), text).len(), 1, "{text:?}");
        }
        assert!(judged(Path::new("a.rs"), "//! What?\n").is_empty(), "the control");
    }

    /// What the last cells of a table name in backticks, below a headline.
    fn constants(page: &str) -> Vec<&str> {
        let (_, table) = page.split_once("## Limits").expect("a table of limits");
        let rows = table.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| "));
        let cells = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit('|').next());
        let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        names.filter(|name| name.contains(char::is_uppercase)).collect()
    }

    #[test]
    fn each_limit_that_operators_read_of_has_the_name_of_one_constant() {
        let root = crate::root();
        let mut files: Vec<PathBuf> = Vec::new();
        for one in ["core", "bellwether", "adapters", "server", "resp"] {
            sources(&root.join("crates").join(one).join("src"), DEEPEST, &mut files).expect("sources");
        }
        let texts: Vec<(PathBuf, String)> =
            files.into_iter().map(|file| (file.clone(), std::fs::read_to_string(file).expect("a source"))).collect();
        let is_in = |file: &Path, module: &str| {
            let stem = file.file_stem().is_some_and(|stem| stem == module);
            stem || file.ends_with(Path::new(module).join("mod.rs")) || module.starts_with(char::is_uppercase)
        };
        let page = std::fs::read_to_string(root.join("docs/guide/operations.md")).expect("the page");
        let names = constants(&page);
        assert!(names.len() > 30, "the control: they are read");
        for name in names {
            let (module, constant) = name.split_once("::").map_or((None, name), |(module, name)| (Some(module), name));
            let defined = ["const", "struct"].map(|word| format!("{word} {constant}"));
            let defines = |text: &str| {
                let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
                defined.iter().any(|of| text.match_indices(of.as_str()).any(|(at, of)| ends(&text[at + of.len()..])))
            };
            let all: Vec<&PathBuf> = texts.iter().filter(|(_, text)| defines(text)).map(|(file, _)| file).collect();
            let right = match module {
                Some(module) => all.iter().any(|file| is_in(file, module)),
                None => all.len() == 1,
            };
            assert!(right, "{name} of the limits is in {all:?}");
        }
    }
}
