//! Does every verb end in the same way when it is told what is wrong? 2 for what was typed, 1 for what was met.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn bellwether(arguments: &[&str], home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    command.args(arguments).current_dir(home).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Exit code and stderr.
fn ends(arguments: &[&str], home: &Path) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = bellwether(arguments, home).output().expect("the binary runs");
    (status.code(), String::from_utf8(stderr).expect("UTF-8"))
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in [("keys", "product:1\n"), ("other", "nosuch:1\n"), ("empty", ""), ("notes.txt", "no report")] {
        std::fs::write(home.path().join(name), text).expect("a file");
    }
    home
}

/// Runs each line; the code, and words that it says.
fn all(home: &Path, more: &[&str], lines: &[(&str, i32, &str)]) {
    for (line, code, words) in lines {
        let mut arguments: Vec<&str> = line.split(' ').map(|word| if word == "''" { "" } else { word }).collect();
        arguments.extend_from_slice(more);
        let (ended, said) = ends(&arguments, home);
        assert_eq!(ended, Some(*code), "{line}: {said}");
        assert!(said.contains(words), "{line}: {said}");
        let first = said.lines().next().unwrap_or_default();
        let named = ["bellwether: ", "error: "].iter().any(|who| first.starts_with(who)) || first.contains(": found ");
        assert!(named, "who says so: {said}");
    }
}

/// The sample shop.
struct Shop(Child, String);

impl Shop {
    fn open(home: &Path) -> Shop {
        let mut serve = bellwether(&["serve"], home);
        for face in ["REDIS", "HTTP", "ADMIN"] {
            serve.env(format!("BELLWETHER__LISTEN__{face}"), "127.0.0.1:0");
        }
        let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let started: Vec<String> = lines.take_while(|line| line != "ready").collect();
        let admin = started.iter().find_map(|line| line.strip_prefix("listening admin ")).expect("its address");
        let admin = format!("http://{admin}");
        Shop(child, admin)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Somebody who answers everybody the same, and goes. Its thread ends with the test.
fn stranger(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let talk = |mut stream: TcpStream| {
            // It need not be understood, and who has gone needs no answer.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        };
        listener.incoming().map_while(Result::ok).for_each(talk);
    });
    address
}

#[test]
fn a_file_that_is_not_there_or_no_such_thing_is_bad_input_for_every_verb() {
    all(
        home().path(),
        &[],
        &[
            ("check none.toml", 2, "no such file"),
            ("check .", 2, "a directory"),
            ("serve --config none.toml", 2, "no such file"),
            ("simulate --trace none.csv", 2, "--trace none.csv: No such file"),
            ("simulate --trace .", 2, "--trace .: is a directory"),
            ("simulate --trace empty", 2, "no request"),
            ("simulate S1 --json none/report.json", 2, "no such folder"),
            ("drill races --json none/report.json", 2, "no such folder"),
            ("drill viral --json none/report.json", 2, "no such folder"),
            ("demo --json none/report.json", 2, "no such folder"),
            ("warm none", 2, "No such file"),
            ("warm .", 2, "is a directory"),
            ("warm empty", 2, "names no key"),
            ("warm -", 2, "stdin names no key"),
            ("warm keys --state none/state", 2, "--state none/state: can't be written"),
            ("warm keys --state notes.txt", 2, "no state of this version"),
            ("warm --from rediss://127.0.0.1:1 --ca none.pem", 2, "--ca none.pem"),
        ],
    );
}

#[test]
fn a_name_that_is_not_known_is_bad_input_for_every_verb() {
    let home = home();
    all(
        home.path(),
        &[],
        &[
            ("nosuch", 2, "unrecognized subcommand"),
            ("demo --only nosuch", 2, "no incident 'nosuch'"),
            ("simulate S99", 2, "unknown scenario"),
            ("drill nosuch", 2, "there is no drill 'nosuch'"),
            ("drill races --only nosuch", 2, "no such row"),
            ("bench --only nosuch", 2, "possible values"),
            ("warm --from ftp://nosuch", 2, "--from ftp://nosuch: expected"),
            ("top --admin https://127.0.0.1:1", 2, "--admin https://127.0.0.1:1: expected a URL"),
            ("top --once --admin http://127.0.0.1:1", 1, "no server listens at 127.0.0.1:1"),
            ("top -n 0", 2, "0"),
            ("hotkeys --once --admin https://127.0.0.1:1", 2, "--admin https://127.0.0.1:1: expected a URL"),
            // Nobody listens there, and nobody is asked.
            ("hot announce a --for soon --admin http://127.0.0.1:1", 2, "--for: expected a duration"),
            ("hot announce a --for 0s --admin http://127.0.0.1:1", 2, "above zero"),
            ("hot announce a --for 1h --at soon --admin http://127.0.0.1:1", 2, "--at: expected"),
        ],
    );
    let shop = Shop::open(home.path());
    let at = ["--admin", &shop.1];
    all(
        home.path(),
        &at,
        &[
            ("explain nosuch:1", 2, "no space matches key 'nosuch:1'"),
            ("explain ''", 2, "an empty key is no key"),
            ("hot announce nosuch:1 --for 1h", 2, "no space matches key 'nosuch:1'"),
            ("hot announce '' --for 1h", 2, "an empty key is no key"),
            ("hot announce product:1 --for soon", 2, "expected a duration"),
            ("hot withdraw ''", 2, "an empty key is no key"),
            ("dlq retry ''", 2, "an empty key is no key"),
            ("dlq drop", 2, "KEY|--all"),
            ("warm --space nosuch", 2, "there is no space 'nosuch'"),
            ("warm other", 2, "no key belongs to a space that loads"),
            // Nobody has asked it for anything: its hot list is empty.
            (&format!("warm --from {}", shop.1), 2, "names no key"),
            // Known, and nothing to be done about it now.
            ("hot withdraw product:1", 1, "is not announced"),
            ("dlq retry product:1", 1, "nothing is owed"),
            ("dlq drop product:1", 1, "nothing is owed"),
        ],
    );
    assert_eq!(ends(&["warm", "keys", "--admin", &shop.1], home.path()).0, Some(0), "the control");
}

#[test]
fn who_is_no_admin_listener_is_told_so_by_every_verb() {
    let home = home();
    let other = format!("http://{}", stranger(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone"));
    let page = format!("http://{}", stranger(b"HTTP/1.1 200 OK\r\n\r\n<html>welcome</html>"));
    let verbs = [
        "explain a",
        "top",
        "hotkeys --once",
        "bigkeys",
        "forecast",
        "dlq list",
        "hot list",
        "hot announce a --for 1h",
    ];
    for verb in verbs {
        let words = "is no admin listener of Bellwether";
        all(home.path(), &["--admin", &other], &[(verb, 1, words)]);
        all(home.path(), &["--admin", &page], &[(verb, 1, words)]);
    }
}

#[test]
fn a_redis_that_is_spoken_to_with_the_wrong_sort_of_connection_is_told_so() {
    let home = home();
    let mute = stranger(b"");
    let talks = stranger(b"-ERR what was that?\r\n");
    all(
        home.path(),
        &[],
        &[
            (&format!("warm --from redis://{mute}"), 1, "does it want TLS? Then write rediss://"),
            (&format!("warm --from rediss://{talks}"), 1, "does it speak TLS at all? If not, write redis://"),
            (&format!("warm --from redis://{talks}"), 1, "the other Redis says: ERR what was that?"),
        ],
    );
    let (code, said) =
        ends(&["drill", "redis-frozen", "--quick", "--against", &format!("redis://{mute}")], home.path());
    assert!(code == Some(1) && said.contains("a drill speaks without TLS"), "{said}");
}

#[test]
fn no_error_about_an_address_shows_its_password() {
    let home = home();
    for (line, shown) in [
        ("warm --from http://u:hunter2@h", "--from http://***@h: expected"),
        ("warm --from http://h:hunter2", "--from http://h:***: expected"),
        ("warm --from http://h/hunter2", "--from http://h/***: expected"),
        ("warm --from HTTP://u:hunter2@h?x", "--from HTTP://***@h?***: expected"),
        ("warm --from ftp://u:hunter2@h", "--from ftp://***@h: expected"),
        ("warm --from u:hunter2://h", "--from ***: expected"),
        ("warm --from hunter2", "--from ***: expected"),
        ("warm --from memcached://h?x=hunter2", "--from memcached://h?x=***: expected"),
        ("warm --from redis://h?auth=hunter2", "--from: "),
        ("warm --from redis://h:hunter2", "--from: "),
        ("warm --from redis+cluster://u:hunter2@a,u:hunter2@b", "the login stands once, before the first server"),
        ("warm keys --admin http://u:hunter2@h", "--admin http://***@h: expected a URL"),
        ("warm keys --admin u:hunter2@h", "--admin ***: expected a URL"),
        ("hotkeys --once --admin http://u:hunter2@h", "--admin http://***@h: expected a URL"),
        ("bigkeys --admin http://h:hunter2", "--admin http://h:***: expected a URL"),
        ("top --once --admin http://u:hunter2@h", "--admin http://***@h: expected a URL"),
        ("top --admin http://host:99999", "--admin http://host:***: expected a URL such as http://127.0.0.1:9090"),
        ("top --admin http://host:99999", "its port is no number from 1 to 65535"),
        ("hotkeys --admin host:0", "its port is no number from 1 to 65535"),
        ("explain a --admin http://h?auth=hunter2", "--admin http://h?auth=***: expected a URL"),
        ("dlq list --admin http://u:hunter2@h", "--admin http://***@h: expected a URL"),
        ("hot list --admin http://u:hunter2@h", "--admin http://***@h: expected a URL"),
        ("drill races --against redis://h:hunter2", "--against redis://…: host or port"),
        ("drill races --against u:hunter2@h", "--against …: it does not begin"),
    ] {
        all(home.path(), &[], &[(line, 2, shown)]);
        let (_, said) = ends(&line.split(' ').collect::<Vec<_>>(), home.path());
        assert!(!said.contains("hunter2"), "{line}: {said}");
    }
}

#[test]
fn a_scheme_is_the_same_in_any_case() {
    let home = home();
    all(
        home.path(),
        &[],
        &[
            ("warm --from REDIS://127.0.0.1:1", 1, "--from: redis://127.0.0.1:1/0: "),
            ("warm --from Valkeys://127.0.0.1:1", 1, "--from: rediss://127.0.0.1:1/0: "),
            ("warm --from HTTP://127.0.0.1:1", 1, "--from: no server listens at 127.0.0.1:1"),
            ("hotkeys --once --admin HTTP://127.0.0.1:1", 1, "no server listens at 127.0.0.1:1"),
        ],
    );
}
