//! What does a wrong start say? Which file and line, what was found, what to do; and it never half-starts.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bellwether_system::{Bellwether, Process, config};

const LIMIT: Duration = Duration::from_secs(20);

/// The exit code and stderr of a start that must fail, and never panics.
fn fails(command: Command) -> (i32, String) {
    let mut process = Process::spawn(command);
    let status = process.wait(LIMIT);
    let words = process.stderr();
    assert!(!words.contains("panicked"), "{words}");
    assert!(!process.stdout().contains("ready"), "it said ready");
    let code = status.code().expect("it ends by itself");
    assert!(code != 0 && code != 101, "exit code {code}: {words}");
    (code, words)
}

fn serve(home: &Path, text: &str) -> Command {
    let file = Bellwether::write(home, text);
    let mut command = Bellwether::command(&["serve", "--config"]);
    command.arg(file).current_dir(home);
    command
}

const SHOP: &str = r#"
[origin.shop]
sql = "sqlite://nowhere/shop-that-is-not-there.db"
[[space]]
match = "product:{id:int}"
origin = "shop"
query = "SELECT id FROM products WHERE id = :id"
ttl = "60s"
"#;

#[test]
fn a_port_in_use_is_named_on_every_listener() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for face in ["REDIS", "HTTP", "ADMIN"] {
        let home = tempfile::tempdir().unwrap();
        let mut command = Bellwether::command(&["serve"]);
        command.current_dir(home.path());
        for other in ["REDIS", "HTTP", "ADMIN"] {
            command.env(format!("BELLWETHER__LISTEN__{other}"), "127.0.0.1:0");
        }
        command.env(format!("BELLWETHER__LISTEN__{face}"), &address);
        let (_, words) = fails(command);
        assert!(words.contains(&address) && words.contains("in use"), "{face}: {words}");
        assert!(!words.contains("try:"), "{face}: nothing to try: {words}");
    }
}

#[test]
fn a_missing_database_is_named_and_not_created() {
    let home = tempfile::tempdir().unwrap();
    let (_, words) = fails(serve(home.path(), &config("", SHOP)));
    assert!(words.contains("shop-that-is-not-there.db"), "{words}");
    assert!(!home.path().join("nowhere").exists());
}

#[test]
fn a_database_that_is_none_is_named() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("nowhere")).unwrap();
    std::fs::write(home.path().join("nowhere/shop-that-is-not-there.db"), "certainly no SQLite ".repeat(200)).unwrap();
    let (_, words) = fails(serve(home.path(), &config("", SHOP)));
    assert!(words.contains("shop-that-is-not-there.db"), "{words}");
}

#[test]
fn a_query_that_does_not_fit_its_database_fails_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let text = SHOP.replace("nowhere/shop-that-is-not-there.db", "shop.db").replace("SELECT id", "SELECT colour");
    let (_, words) = fails(serve(home.path(), &config("", &text)));
    assert!(words.contains("colour"), "{words}");
}

#[test]
fn an_unreadable_configuration_is_named() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("bytes.toml"), b"\xff\xfe\x00").unwrap();
    for file in ["missing.toml", "bytes.toml", "."] {
        for verb in [&["serve", "--config"][..], &["check"], &["check", "--config"]] {
            let mut command = Bellwether::command(verb);
            command.arg(file).current_dir(home.path());
            let (_, words) = fails(command);
            assert!(words.contains(file), "{verb:?} {file}: {words}");
        }
    }
}

#[test]
fn an_open_address_needs_a_password_or_insecure() {
    let home = tempfile::tempdir().unwrap();
    let open = config("", "[[space]]\nmatch = \"kv:{k*}\"\nttl = \"1m\"").replace("127.0.0.1", "0.0.0.0");
    let (_, words) = fails(serve(home.path(), &open));
    assert!(words.contains("password") && words.contains("--insecure"), "{words}");
}

/// Five mistakes on lines that their own text names.
const FIVE_MISTAKES: &str = r#"[listen]
redis = "127.0.0.1:0"
htpp = "127.0.0.1:0"            # line 3: unknown key
[origin.shop]
sql = "sqlite://shop.db"
timeout = "2 fortnights"        # line 6: no duration
[[space]]
match = "product:{id:number}"   # line 8: no such type
origin = "shop"
query = "SELECT id FROM products WHERE id = :id"
ttl = "60s"
[[space]]
match = "page:{path*}"
origin = "web"                  # line 14: no such origin
get = "/pages/{path}"
ttl = "30s"
[[space]]
match = "kv:{k}"
ttl = "30s"
grace = -5                      # line 20: no duration
"#;

#[test]
fn check_tells_all_five_mistakes_at_once_with_file_and_line() {
    let home = tempfile::tempdir().unwrap();
    let file = Bellwether::write(home.path(), FIVE_MISTAKES);
    let mut command = Bellwether::command(&["check"]);
    command.arg(&file).current_dir(home.path());
    let mut process = Process::spawn(command);
    let status = process.wait(LIMIT);
    let words = process.stdout() + &process.stderr();
    assert_eq!(status.code(), Some(2), "{words}");
    for line in [3, 6, 8, 14, 20] {
        assert!(words.contains(&format!("bellwether.toml:{line}")), "line {line} is not named:\n{words}");
    }
    for found in ["htpp", "2 fortnights", "number", "web"] {
        assert!(words.contains(found), "'{found}' is not shown:\n{words}");
    }
    assert!(words.contains("http") && words.to_lowercase().contains("did you mean"), "{words}");
    // serve says the same and does not start.
    let (_, words) = fails(serve(home.path(), FIVE_MISTAKES));
    assert!(words.contains("bellwether.toml:3") && words.contains("bellwether.toml:20"), "{words}");
}

#[test]
fn control_check_is_content_with_a_right_file() {
    let home = tempfile::tempdir().unwrap();
    let text = config("", &SHOP.replace("nowhere/shop-that-is-not-there.db", "shop.db"));
    let mut command = Bellwether::command(&["check"]);
    command.arg(Bellwether::write(home.path(), &text)).current_dir(home.path());
    let mut process = Process::spawn(command);
    let status = process.wait(LIMIT);
    assert!(status.success(), "{}{}", process.stdout(), process.stderr());
}
