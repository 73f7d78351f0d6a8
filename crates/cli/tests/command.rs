//! What does the binary itself say, and with which exit code does it end?

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn command(arguments: &[&str], home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    command.args(arguments).current_dir(home).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// The same for who may not read everything. Nothing is unreadable to root: then it runs as nobody, from a
/// copy that nobody can reach.
fn as_nobody(arguments: &[&str], home: &Path) -> Command {
    let probe = home.join("probe");
    std::fs::write(&probe, "x").expect("a file");
    std::fs::set_permissions(&probe, std::fs::Permissions::from_mode(0o000)).expect("its mode");
    if std::fs::read(&probe).is_err() {
        return command(arguments, home);
    }
    let binary = home.join("bellwether");
    // By another program: were it written here, a child that another test starts meanwhile would hold it open, and a
    // program that is open for writing can't be run.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_bellwether")).arg(&binary).status();
    assert!(copied.expect("cp runs").success(), "a copy");
    for path in [home, &binary] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    let mut command = Command::new(binary);
    command.args(arguments).current_dir(home).env_remove("RUST_LOG").stdin(Stdio::null()).uid(NOBODY).gid(NOBODY);
    command
}

const NOBODY: u32 = 65_534;

/// Runs to the end.
fn ends(arguments: &[&str], home: &Path) -> (Option<i32>, String, String) {
    said(command(arguments, home).output().expect("the binary runs"))
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

const LISTEN: &str = "[listen]\nredis = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n";
const SHOP: &str = "[origin.shop]\nsql = \"sqlite://shop.db\"\n[[space]]\nmatch = \"product:{id:int}\"\norigin = \"shop\"\n\
                    query = \"SELECT id, name FROM products WHERE id = :id\"\nttl = \"60s\"\n";

fn write(home: &Path, text: &str) {
    std::fs::write(home.join("b.toml"), text).expect("a file");
}

fn shop(home: &Path) {
    let database = rusqlite::Connection::open(home.join("shop.db")).expect("a database");
    let rows = "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO products VALUES (1, 'lamp')";
    database.execute_batch(rows).expect("rows");
}

/// A server that was started, killed by its own id at the end.
struct Running {
    child: Child,
    admin: String,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let started: Vec<String> = lines.by_ref().take_while(|line| line != "ready").collect();
        let faces: Vec<&str> = started.iter().filter_map(|line| line.rsplit_once(' ')).map(|(face, _)| face).collect();
        assert_eq!(faces, ["listening redis", "listening http", "listening admin"]);
        let admin = started[2].rsplit_once(' ').expect("an address").1.to_owned();
        Running { child, admin }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_version_names_what_it_was_built_with() {
    let (code, out, _) = ends(&["--version"], &home_path());
    let postgres = if cfg!(feature = "postgres") { ", postgres" } else { "" };
    let expected = format!("bellwether {} (origins: sqlite, http{postgres})", env!("CARGO_PKG_VERSION"));
    assert_eq!((code, out.trim()), (Some(0), &*expected));
}

fn home_path() -> std::path::PathBuf {
    std::env::temp_dir()
}

#[test]
fn help_tells_the_exit_codes_and_an_unknown_verb_the_known_one() {
    let (code, out, _) = ends(&["--help"], &home_path());
    assert_eq!(code, Some(0));
    for word in ["serve", "check", "explain", "Exit codes", "BELLWETHER_LOG"] {
        assert!(out.contains(word), "{word}: {out}");
    }
    let (code, _, err) = ends(&["chek"], &home_path());
    assert_eq!(code, Some(2));
    assert!(err.contains("'check'"), "{err}");
    assert_eq!(ends(&[], &home_path()).0, Some(2), "nothing asked");
}

#[test]
fn an_unknown_drill_is_told_which_there_are_and_which_was_meant() {
    let (code, out, err) = ends(&["drill", "virl", "--quick"], &home_path());
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("'virl'") && err.contains("'viral'") && err.contains("flash-sale"), "{err}");
    let (code, _, err) = ends(&["drill", "no\u{1b}such"], &home_path());
    assert_eq!(code, Some(2));
    assert!(!err.contains("Did you mean") && err.contains("races") && !err.contains('\u{1b}'), "{err}");
}

#[test]
fn thresholds_are_told_as_they_are_written_and_announcements_of_the_wrong_time_are_warned_of() {
    let home = home();
    let hot =
        |text: &str| write(home.path(), &format!("[[space]]\nmatch = \"kv:{{k}}\"\nttl = \"60s\"\n[hot]\n{text}"));
    hot("enter = 0.5\n");
    let (code, _, err) = ends(&["check", "b.toml"], home.path());
    assert_eq!(code, Some(2));
    assert!(err.contains("\"50%\"") && !err.contains("0.5%"), "{err}");
    hot("enter = \"20%\"\nwatch = \"30%\"\n");
    let (code, _, err) = ends(&["check", "b.toml"], home.path());
    assert_eq!(code, Some(2));
    assert!(err.contains("`enter` (20%)"), "{err}");
    for (from, word) in [("2206-01-01T00:00:00Z", "400 days"), ("2006-01-01T00:00:00Z", "is over")] {
        hot(&format!("[[hot.announce]]\nkey = \"kv:a\"\nfrom = \"{from}\"\nfor = \"1h\"\n"));
        let (code, _, err) = ends(&["check", "b.toml"], home.path());
        assert_eq!(code, Some(0), "{err}");
        assert!(err.starts_with("warning: ") && err.contains(word), "{err}");
    }
    write(home.path(), "[[space]]\nmatch = \"kv:*\"\nttl = \"60s\"\n");
    let (code, _, err) = ends(&["check", "b.toml"], home.path());
    assert_eq!(code, Some(2));
    assert!(err.starts_with("b.toml:2:") && err.contains("{x*}"), "{err}");
}

#[test]
fn check_tells_five_mistakes_on_five_lines_with_their_places() {
    let home = home();
    write(
        home.path(),
        "[listen]\nredsi = \"127.0.0.1:0\"\n[memory]\nlimit = \"plenty\"\n[[space]]\nmatch = \"a:{id:number}\"\nttl = \"60\"\n\
         [[space]]\nmatch = \"b:{id}\"\nttl = \"60s\"\norigin = \"nowhere\"\nget = \"/{id}\"\n",
    );
    let (code, out, err) = ends(&["check", "b.toml"], home.path());
    assert_eq!((code, out.as_str()), (Some(2), ""));
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 5, "{err}");
    for (line, place) in lines.iter().zip(["b.toml:2:", "b.toml:4:", "b.toml:6:", "b.toml:7:", "b.toml:11:"]) {
        assert!(line.starts_with(place), "{place} {line}");
        assert!(line.contains("found ") && line.contains("expected "), "{line}");
    }
    assert!(lines[0].contains("redis"), "did you mean: {}", lines[0]);
    let (code, _, same) = ends(&["serve", "--config", "b.toml"], home.path());
    assert_eq!((code, same), (Some(2), err), "serve says the same");
}

#[test]
fn check_is_content_with_a_right_file_and_with_connect_opens_what_it_names() {
    let home = home();
    write(home.path(), &format!("{LISTEN}{SHOP}"));
    let (code, out, err) = ends(&["check", "b.toml"], home.path());
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "b.toml: right; spaces: 1, origins: 1\n", ""));
    let (code, _, err) = ends(&["check", "b.toml", "--connect"], home.path());
    assert_eq!(code, Some(2));
    assert!(err.starts_with("b.toml:6:7:") && err.contains("shop.db"), "{err}");
    shop(home.path());
    let (code, out, err) = ends(&["check", "b.toml", "--connect"], home.path());
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("all reached"), "{out}");
    write(home.path(), &format!("{LISTEN}{}", SHOP.replace("SELECT id", "SELECT colour")));
    let (code, _, err) = ends(&["check", "b.toml", "--connect"], home.path());
    assert_eq!(code, Some(2));
    assert!(err.contains("colour"), "{err}");
}

#[test]
fn check_warns_of_what_works_in_one_process_only_and_strict_makes_it_a_mistake() {
    let home = home();
    let fleet = "[shared]\nurl = \"memcached://127.0.0.1:1\"\n[[space]]\nmatch = \"s:{id}\"\nttl = \"1s\"\n";
    write(home.path(), &format!("{fleet}tags = [\"t\"]\n"));
    let (code, out, err) = ends(&["check", "b.toml"], home.path());
    assert_eq!((code, out.as_str()), (Some(0), "b.toml: right; spaces: 1, origins: 0\n"));
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert!(lines[0].starts_with("warning: b.toml:1:2: [shared]: ") && lines[0].contains("up to 5s later"), "{err}");
    assert!(lines[1].starts_with("warning: b.toml:6:8: ") && lines[1].contains("one process only"), "{err}");
    write(home.path(), &format!("{fleet}tags = [\"t\"]\nstrict = true\n"));
    let (code, out, err) = ends(&["check", "b.toml"], home.path());
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(2), "", 2), "{err}");
}

#[test]
fn check_with_connect_says_which_origin_does_not_answer() {
    let home = home();
    let nobody =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port, free again");
    let space = "[[space]]\nmatch = \"p:{id}\"\norigin = \"api\"\nget = \"/{id}\"\nttl = \"60s\"\n";
    write(home.path(), &format!("{LISTEN}[origin.api]\nhttp = \"http://{nobody}\"\n{space}"));
    assert_eq!(ends(&["check", "b.toml"], home.path()).0, Some(0), "control: the file is right");
    let (code, _, err) = ends(&["check", "b.toml", "--connect"], home.path());
    assert_eq!(code, Some(2));
    assert!(err.starts_with("b.toml:6:8: [origin.api]: ") && err.contains("reached"), "{err}");
}

#[test]
fn a_file_that_is_missing_or_may_not_be_read_is_named() {
    let home = home();
    for verb in [&["check"][..], &["serve", "--config"]] {
        let (code, _, err) = ends(&[verb, &["none.toml"]].concat(), home.path());
        assert_eq!(code, Some(2));
        assert!(err.starts_with("none.toml: ") && err.contains("no such file"), "{err}");
    }
    write(home.path(), LISTEN);
    let file = home.path().join("b.toml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).expect("its mode");
    for verb in [&["check"][..], &["serve", "--config"]] {
        let (code, _, err) = said(as_nobody(&[verb, &["b.toml"]].concat(), home.path()).output().expect("it runs"));
        assert_eq!(code, Some(2), "{err}");
        assert!(err.starts_with("b.toml: ") && err.contains("may not be read"), "{err}");
    }
    std::fs::write(&file, b"\xff\xfe").expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    let (code, _, err) = ends(&["check", "b.toml"], home.path());
    assert_eq!(code, Some(2));
    assert!(err.starts_with("b.toml: ") && err.contains("UTF-8"), "{err}");
    let (code, _, err) = ends(&["check", "."], home.path());
    assert_eq!(code, Some(2));
    assert!(err.contains("a directory"), "{err}");
}

#[test]
fn a_missing_database_is_named_with_its_line_and_not_made() {
    let home = home();
    write(home.path(), &format!("{LISTEN}{SHOP}"));
    let (code, out, err) = ends(&["serve", "--config", "b.toml"], home.path());
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.starts_with("b.toml:6:7:") && err.contains("shop.db"), "{err}");
    assert_eq!(ends(&["check", "b.toml", "--connect"], home.path()), (code, out, err), "check says the same");
    assert!(!home.path().join("shop.db").exists());
}

#[test]
fn a_used_port_is_named_with_its_listener_and_what_to_do() {
    let home = home();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    for (face, variable) in [("redis", "REDIS"), ("http", "HTTP"), ("admin", "ADMIN")] {
        let mut command = command(&["serve"], home.path());
        for other in ["REDIS", "HTTP", "ADMIN"] {
            command.env(format!("BELLWETHER__LISTEN__{other}"), "127.0.0.1:0");
        }
        command.env(format!("BELLWETHER__LISTEN__{variable}"), &address);
        let (code, out, err) = said(command.output().expect("the binary runs"));
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.contains(&format!("can't listen on {face} {address}")) && err.contains("port 0"), "{err}");
    }
}

#[test]
fn what_the_cache_would_refuse_is_bad_input_for_serve_as_for_check() {
    let home = home();
    write(
        home.path(),
        &format!("{LISTEN}[memory]\nlimit = \"1 KiB\"\n[[space]]\nmatch = \"kv:{{k}}\"\nttl = \"1m\"\n"),
    );
    for verb in [&["check"][..], &["serve", "--config"]] {
        let (code, out, err) = ends(&[verb, &["b.toml"]].concat(), home.path());
        assert_eq!((code, out.as_str()), (Some(2), ""), "{verb:?}");
        assert!(err.contains("b.toml:6:9: [memory]: ") && err.contains("64 KiB"), "{err}");
    }
}

#[test]
fn mistakes_in_the_environment_are_bad_input() {
    let home = home();
    let mut serve = command(&["serve"], home.path());
    let (code, _, err) = said(serve.env("BELLWETHER__LISTEN__HTTP", "everywhere").output().expect("the binary runs"));
    assert_eq!(code, Some(2));
    assert!(err.contains("BELLWETHER__LISTEN__HTTP") && err.contains("everywhere"), "{err}");
    let mut serve = command(&["serve"], home.path());
    let (code, _, err) = said(serve.env("BELLWETHER_LOG", "a=b=c").output().expect("the binary runs"));
    assert_eq!(code, Some(2));
    assert!(err.contains("BELLWETHER_LOG"), "{err}");
}

#[test]
fn explain_asks_a_running_server_and_shows_a_table() {
    let home = home();
    shop(home.path());
    write(home.path(), &format!("{LISTEN}password = \"secret\"\n{SHOP}"));
    let server = Running::start(command(&["serve", "--config", "b.toml"], home.path()));
    let url = format!("http://{}", server.admin);
    let explain = |key: &str, password: &str| {
        let mut explain = command(&["explain", key, "--admin", &url], home.path());
        said(explain.env("BELLWETHER_ADMIN_PASSWORD", password).output().expect("the binary runs"))
    };
    let (code, out, err) = explain("product:1", "secret");
    assert_eq!(code, Some(0), "{err}");
    for row in
        ["key             product:1", "space           product", "would answer    loaded", "entry           none"]
    {
        assert!(out.lines().any(|line| line == row), "{row}: {out}");
    }
    let (code, _, err) = explain("nothing at/all", "secret");
    assert_eq!(code, Some(2), "as for any name that is not known");
    assert!(err.contains("no space matches key 'nothing at/all'"), "{err}");
    let (code, _, err) = explain("product:1", "wrong");
    assert_eq!(code, Some(1));
    assert!(err.contains("BELLWETHER_ADMIN_PASSWORD") && !err.contains("wrong"), "{err}");
}

#[test]
fn explain_says_how_to_start_a_server_where_none_listens() {
    let nobody =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port, free again");
    let (code, _, err) = ends(&["explain", "a", "--admin", &format!("http://{nobody}")], &home_path());
    assert_eq!(code, Some(1));
    assert!(err.contains("no server listens") && err.contains("bellwether serve"), "{err}");
    let (code, _, err) = ends(&["explain", "a", "--admin", "ftp://x/y"], &home_path());
    assert_eq!(code, Some(2));
    assert!(err.contains("http://127.0.0.1:9090"), "{err}");
}

#[test]
fn a_stop_while_the_sample_shop_is_being_made_leaves_nothing_behind() {
    let home = home();
    let there = || std::fs::read_dir(home.path()).expect("a folder").count();
    for pause in 0..8 {
        let mut serve = command(&["serve"], home.path());
        serve.env("TMPDIR", home.path()).stdout(Stdio::null()).stderr(Stdio::null());
        for face in ["REDIS", "HTTP", "ADMIN"] {
            serve.env(format!("BELLWETHER__LISTEN__{face}"), "127.0.0.1:0");
        }
        let mut serve = serve.spawn().expect("the binary runs");
        // From the moment on in which there is something to leave behind.
        let begun = std::time::Instant::now();
        while there() == 0 {
            assert!(begun.elapsed().as_secs() < 20, "no shop was made");
        }
        std::thread::sleep(std::time::Duration::from_millis(pause));
        let told = Command::new("kill").arg(serve.id().to_string()).status().expect("kill runs");
        assert!(told.success());
        assert_eq!((serve.wait().expect("it ends").code(), there()), (Some(0), 0), "after {pause} ms");
    }
}

#[test]
fn check_with_connect_names_what_is_not_there_beside_other_mistakes() {
    let home = home();
    let wrong = "[[space]]\nmatch = \"u:{id}\"\nttl = \"soon\"\n";
    write(home.path(), &format!("[disk]\npath = \"b.toml\"\n{SHOP}{wrong}"));
    let (code, _, err) = ends(&["check", "b.toml"], home.path());
    assert_eq!((code, err.lines().count()), (Some(2), 1), "without it nothing is opened: {err}");
    let (code, out, err) = ends(&["check", "b.toml", "--connect"], home.path());
    assert_eq!((code, out.as_str()), (Some(2), ""));
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 3, "{err}");
    for (line, (place, word)) in
        lines.iter().zip([("b.toml:1:", "b.toml"), ("b.toml:4:7:", "shop.db"), ("b.toml:12:7:", "soon")])
    {
        assert!(line.starts_with(place) && line.contains(word), "{place} {line}");
    }
}
