//! What do the tests need on this machine beyond Rust, and how does it get there?
//!
//! Servers and tools come from Debian; the Python and Node clients are pinned in `crates/system/clients` and land in
//! `target/xtask`, so that nothing outside the repository changes.

use crate::steps::{command, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A command that tells whether something is there, and the Debian packages that bring it.
struct Need {
    probe: &'static [&'static str],
    packages: &'static [&'static str],
}

const NEEDS: [Need; 10] = [
    Need { probe: &["redis-server", "--version"], packages: &["redis-server"] },
    Need { probe: &["redis-cli", "--version"], packages: &["redis-tools"] },
    Need { probe: &["redis-benchmark", "--version"], packages: &["redis-tools"] },
    Need { probe: &["memcached", "--version"], packages: &["memcached"] },
    // Debian keeps what runs a server out of PATH, one directory a version.
    Need { probe: &["sh", "-c", "ls /usr/lib/postgresql/*/bin/initdb"], packages: &["postgresql"] },
    // Makes the certificates of servers that speak TLS.
    Need { probe: &["openssl", "version"], packages: &["openssl"] },
    Need { probe: &["curl", "--version"], packages: &["curl"] },
    // Whom a system trusts that trusts nobody can't be tested.
    Need { probe: &["test", "-s", "/etc/ssl/certs/ca-certificates.crt"], packages: &["ca-certificates"] },
    Need { probe: &["python3", "-c", "import ensurepip, venv"], packages: &["python3", "python3-venv"] },
    // Rust's own linker driver: bundled C (SQLite) is compiled with it.
    Need { probe: &["cc", "--version"], packages: &["gcc", "libc6-dev"] },
];

/// The clients' own minimum: an older Node is replaced by one in the virtual environment.
const NODE_MAJOR: u32 = 20;

/// Installs what is missing; says what to do where it may not.
pub(crate) fn everything(root: &Path) -> Result<(), String> {
    tools()?;
    let clients = root.join("crates/system/clients");
    let home = target()?.join("xtask");
    fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
    let venv = home.join("venv");
    python(&clients.join("python/requirements.txt"), &venv)?;
    node(&clients.join("node"), &home.join("node"), &venv)
}

/// Cargo's target directory: this very program lies in `<target>/debug`.
pub(crate) fn target() -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    exe.ancestors().nth(2).map(Path::to_path_buf).ok_or_else(|| format!("{}: not in a target directory", exe.display()))
}

fn tools() -> Result<(), String> {
    let mut packages: Vec<&str> =
        NEEDS.iter().filter(|need| !works(need.probe)).flat_map(|need| need.packages).copied().collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get update && apt-get install --yes --no-install-recommends {}", packages.join(" "));
    if !is_root() || !works(&["apt-get", "--version"]) {
        return Err(format!("missing on this machine; as root:\n  {line}"));
    }
    println!("{line}");
    let _no_services = NoServices::begin()?;
    apt(&["update", "--quiet"])?;
    apt(&[&["install", "--quiet", "--yes", "--no-install-recommends"], packages.as_slice()].concat())?;
    match NEEDS.iter().find(|need| !works(need.probe)) {
        None => Ok(()),
        Some(need) => Err(format!("'{}' still fails after {line}", need.probe.join(" "))),
    }
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let mut apt = command("apt-get", arguments, Path::new("/"));
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    run(apt)
}

fn works(probe: &[&str]) -> bool {
    let mut probe = command(probe[0], &probe[1..], Path::new("/"));
    probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    command("id", &["-u"], Path::new("/")).output().is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}

/// While it lives, installing a package starts no service: Debian's `policy-rc.d` says so with 101.
/// Otherwise `apt-get install redis-server` would leave a server on port 6379.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn begin() -> Result<Self, String> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").map_err(|e| format!("{POLICY}: {e}"))?;
        let guard = Self { ours: true };
        run(command("chmod", &["755", POLICY], Path::new("/")))?;
        Ok(guard)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            // If it can't be removed, later installs start no services: nothing that a test run could mend.
            let _ = fs::remove_file(POLICY);
        }
    }
}

/// The virtual environment with the pinned Python clients.
fn python(requirements: &Path, venv: &Path) -> Result<(), String> {
    let wanted = fs::read_to_string(requirements).map_err(|e| format!("{}: {e}", requirements.display()))?;
    let python = venv.join("bin/python");
    let alive = works(&[&python.to_string_lossy(), "--version"]);
    if alive && stamped(venv, &wanted) {
        return Ok(());
    }
    let here = Path::new("/");
    run(command("python3", &["-m", "venv", "--clear", &venv.to_string_lossy()], here))?;
    pip(venv, &["-r", &requirements.to_string_lossy()])?;
    stamp(venv, &wanted)
}

fn pip(venv: &Path, what: &[&str]) -> Result<(), String> {
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
    run(command(venv.join("bin/python"), &[&install, what].concat(), Path::new("/")))
}

/// Node in the virtual environment (a link, or a wheel if the machine's is too old), and the locked Node clients.
fn node(clients: &Path, home: &Path, venv: &Path) -> Result<(), String> {
    let lock = clients.join("package-lock.json");
    let wanted = fs::read_to_string(&lock).map_err(|e| format!("{}: {e}", lock.display()))?;
    let node = venv.join("bin/node");
    if node_major(&node) < Some(NODE_MAJOR) {
        let of_machine = which("node").filter(|path| node_major(path) >= Some(NODE_MAJOR));
        match of_machine.filter(|_| works(&["npm", "--version"])) {
            Some(path) => {
                // A broken link from an earlier run would be in the way.
                let _ = fs::remove_file(&node);
                std::os::unix::fs::symlink(&path, &node).map_err(|e| format!("{}: {e}", node.display()))?;
            }
            None => pip(venv, &["-r", &clients.join("requirements.txt").to_string_lossy()])?,
        }
    }
    if stamped(home, &wanted) && home.join("node_modules").is_dir() {
        return Ok(());
    }
    fs::create_dir_all(home).map_err(|e| format!("{}: {e}", home.display()))?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(clients.join(file), home.join(file)).map_err(|e| format!("{file}: {e}"))?;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let mut npm = command("npm", &["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], home);
    if venv.join("bin/npm").exists() {
        npm = command(venv.join("bin/npm"), &["ci", "--no-audit", "--no-fund", "--ignore-scripts"], home);
    }
    npm.env("PATH", format!("{}:{path}", venv.join("bin").display()));
    run(npm)?;
    stamp(home, &wanted)
}

fn node_major(node: &Path) -> Option<u32> {
    let output = command(node, &["--version"], Path::new("/")).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// What was installed into `folder` when it last succeeded.
fn stamped(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(folder.join("installed")).is_ok_and(|text| text == wanted)
}

fn stamp(folder: &Path, wanted: &str) -> Result<(), String> {
    fs::write(folder.join("installed"), wanted).map_err(|e| format!("{}: {e}", folder.display()))
}
