//! Is every dependency under an allowed licence, from one registry, and not banned?
//!
//! `cargo deny` checks more, but is slow to build; this reads the same `deny.toml` and is always there.

use crate::spdx;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Checks the whole dependency graph of the workspace, all features.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let rules = Rules::read(&root.join("deny.toml"))?;
    let packages = packages(root)?;
    let problems = problems(&packages, &rules);
    if problems.is_empty() {
        println!("{} packages, all allowed by deny.toml", packages.len());
        return Ok(());
    }
    Err(format!("deny.toml does not allow:\n  {}", problems.join("\n  ")))
}

struct Rules {
    allowed: Vec<String>,
    banned: Vec<String>,
}

impl Rules {
    fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|e| format!("deny.toml: {e}"))?;
        let list = |section: &str, key: &str| {
            table.get(section).and_then(|s| s.get(key)).and_then(toml::Value::as_array).cloned().unwrap_or_default()
        };
        let allowed: Vec<String> =
            list("licenses", "allow").iter().filter_map(|v| v.as_str().map(String::from)).collect();
        let banned = list("bans", "deny").iter().filter_map(|v| v.get("crate")?.as_str().map(String::from)).collect();
        if allowed.is_empty() {
            return Err("deny.toml: [licenses] allow is empty".into());
        }
        Ok(Self { allowed, banned })
    }
}

struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    source: String,
}

fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--all-features", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    let list = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    Ok(list.iter().filter_map(foreign).collect())
}

/// The package, unless it is one of ours (those have no source).
fn foreign(package: &Value) -> Option<Package> {
    let text = |key: &str| package[key].as_str().map(String::from);
    Some(Package { source: text("source")?, name: text("name")?, version: text("version")?, licence: text("license") })
}

fn problems(packages: &[Package], rules: &Rules) -> Vec<String> {
    let registries: BTreeSet<&str> =
        packages.iter().map(|p| p.source.as_str()).filter(|s| s.starts_with("registry+")).collect();
    let mut problems = Vec::new();
    if registries.len() > 1 {
        problems.push(format!("more than one registry: {registries:?}"));
    }
    for package in packages {
        let mut say = |what: String| problems.push(format!("{} {}: {what}", package.name, package.version));
        if !package.source.starts_with("registry+") {
            say(format!("comes from {}, no registry", package.source));
        }
        if rules.banned.contains(&package.name) {
            say("is banned".into());
        }
        match package.licence.as_deref().map(|licence| (licence, spdx::allows(licence, &rules.allowed))) {
            Some((_, Ok(true))) => {}
            Some((licence, Ok(false))) => say(format!("licence {licence}")),
            Some((_, Err(why))) => say(why),
            None => say("names no licence".into()),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{Package, Rules, problems};

    fn package(name: &str, licence: Option<&str>, source: &str) -> Package {
        Package {
            name: name.into(),
            version: "1.0.0".into(),
            licence: licence.map(String::from),
            source: source.into(),
        }
    }

    #[test]
    fn a_foreign_licence_a_git_source_and_a_banned_crate_are_each_found() {
        let text = "[licenses]\nallow = ['MIT']\n[bans]\ndeny = [{ crate = 'bad' }]";
        let rules = Rules::parse(text).unwrap();
        let packages = [
            package("fine", Some("MIT"), "registry+a"),
            package("copyleft", Some("GPL-3.0"), "registry+a"),
            package("nameless", None, "registry+a"),
            package("bad", Some("MIT"), "registry+a"),
            package("patched", Some("MIT"), "git+b"),
        ];
        let found = problems(&packages, &rules);
        assert_eq!(found.len(), 4, "{found:#?}");
        for name in ["copyleft", "nameless", "bad", "patched"] {
            assert!(found.iter().any(|line| line.starts_with(name)), "{name}: {found:#?}");
        }
        assert!(problems(&packages[..1], &rules).is_empty());
        assert_eq!(
            problems(&[package("x", Some("MIT"), "registry+z"), package("y", Some("MIT"), "registry+a")], &rules).len(),
            1
        );
    }

    #[test]
    fn an_empty_allow_list_is_an_error() {
        assert!(Rules::parse("[licenses]\nallow = []").is_err());
    }
}
