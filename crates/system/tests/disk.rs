//! Does a real server's disk keep what it may, and nothing that was removed, over a `kill -9`?

use std::path::Path;
use std::time::Duration;

use bellwether_system::{Bellwether, Http, Mode, Origin, Value, config, until};

fn on_disk(origin: &Origin, home: &Path) -> String {
    config(
        "",
        &format!(
            "[disk]\npath = \"{}\"\nlimit = \"64 MiB\"\n[origin.api]\nhttp = \"{}\"\n[[space]]\n\
             match = \"page:{{id}}\"\norigin = \"api\"\nget = \"/{{id}}\"\nttl = \"60s\"\ngrace = \"10m\"\n\
             tags = [\"kind:{{id}}\"]\n",
            home.join("tier").display(),
            origin.url(),
        ),
    )
}

#[test]
fn what_was_loaded_is_served_stale_after_a_kill_and_what_was_removed_is_not() {
    let home = tempfile::tempdir().expect("a directory");
    let origin = Origin::start();
    let (kept, removed, tagged) = ("page:kept", "page:removed", "page:tagged");
    for page in ["kept", "removed", "tagged"] {
        origin.set(&format!("/{page}"), page);
    }
    {
        // Dropped, it is killed.
        let server = Bellwether::start(Some(&on_disk(&origin, home.path())));
        let mut client = server.connect();
        for key in [kept, removed, tagged] {
            assert!(matches!(client.call(&["GET", key]), Value::Bulk(_)), "{key}");
        }
        // Stored behind the answer: seen by the tier's own count.
        until(Duration::from_secs(10), "three entries on disk", || {
            (server.metrics().sum("bellwether_disk_total", &["event=\"stored\""]) >= 3.0).then_some(())
        });
        assert_eq!(client.call(&["DEL", removed]), Value::Int(1));
        assert_eq!(client.call(&["BW.TAG.REMOVE", "kind:tagged"]), Value::Simple("OK".into()));
    }
    origin.mode(Mode::Status(500));
    let server = Bellwether::start(Some(&on_disk(&origin, home.path())));
    let mut client = server.connect();
    let answer = client.call(&["GET", kept]);
    assert!(matches!(answer, Value::Bulk(_)), "stale, from the disk: {answer:?}");
    for key in [removed, tagged] {
        let answer = client.call(&["GET", key]);
        assert!(answer.error().is_some_and(|error| error.starts_with("BWORIGIN")), "{key}: {answer:?}");
    }
}

#[test]
fn a_second_process_on_the_same_directory_is_refused_with_the_way_out() {
    let home = tempfile::tempdir().expect("a directory");
    let origin = Origin::start();
    let _first = Bellwether::start(Some(&on_disk(&origin, home.path())));
    let mut second = Bellwether::command(&["serve", "--config"]);
    let output = second.arg(Bellwether::write(home.path(), &on_disk(&origin, home.path()))).output();
    let output = output.expect("it starts and ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("[disk]") && said.contains("process"), "{said}");
}

/// A plain space on disk, beside what `more` says.
fn plain(home: &Path, more: &str) -> String {
    config(
        "",
        &format!(
            "[disk]\npath = \"{}\"\nlimit = \"64 MiB\"\n{more}\n[[space]]\nmatch = \"session:{{id}}\"\nttl = \"30m\"\n",
            home.join("tier").display(),
        ),
    )
}

fn stored(server: &Bellwether, entries: f64) {
    until(Duration::from_secs(10), "entries on disk", || {
        (server.metrics().sum("bellwether_disk_total", &["event=\"stored\""]) >= entries).then_some(())
    });
}

#[test]
fn a_plain_value_is_there_after_a_kill_as_long_as_its_own_ttl_lasts() {
    let home = tempfile::tempdir().expect("a directory");
    {
        let server = Bellwether::start(Some(&plain(home.path(), "")));
        let mut client = server.connect();
        for (key, seconds) in [("session:long", "600"), ("session:gone", "600"), ("session:short", "1")] {
            assert_eq!(client.call(&["SET", key, key, "EX", seconds]), Value::ok());
        }
        stored(&server, 3.0);
        assert_eq!(client.call(&["DEL", "session:gone"]), Value::Int(1));
        std::thread::sleep(Duration::from_secs(1));
    }
    let server = Bellwether::start(Some(&plain(home.path(), "")));
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(client.call(&["GET", "session:long"]), Value::bulk("session:long"));
        assert_eq!(client.call(&["GET", "session:gone"]), Value::Nil, "it was removed");
        assert_eq!(client.call(&["GET", "session:short"]), Value::Nil, "its time is over");
    }
    let suspect = server.metrics().sum("bellwether_requests_total", &["why=\"suspect\""]);
    assert_eq!(suspect, 2.0, "nobody can say that it is fresh");
    // What is written in this life is all there is.
    assert_eq!(client.call(&["SET", "session:long", "new", "PX", "300"]), Value::ok());
    assert_eq!(client.call(&["GET", "session:long"]), Value::bulk("new"));
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(client.call(&["GET", "session:long"]), Value::Nil, "no older value comes back");
}

#[test]
fn a_check_makes_no_directory_and_one_that_is_deleted_is_told_of() {
    let home = tempfile::tempdir().expect("a directory");
    let tier = home.path().join("tier");
    let text = plain(home.path(), "");
    let file = Bellwether::write(home.path(), &text);
    let check = || {
        let output = Bellwether::command(&["check", "--connect"]).arg(&file).output().expect("it starts and ends");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code(), said)
    };
    let (code, said) = check();
    assert!(code == Some(0) && said.contains("all reached"), "{said}");
    assert!(!tier.exists(), "a check leaves nothing behind");
    std::fs::write(&tier, b"x").expect("written");
    let (code, said) = check();
    assert!(code == Some(2) && said.contains("is not a directory") && said.contains("[disk]"), "{said}");
    std::fs::remove_file(&tier).expect("deleted");

    let server = Bellwether::start(Some(&text));
    let (code, said) = check();
    assert_eq!(code, Some(0), "a running server is not in the way: {said}");
    let ready = || Http::get(server.admin(), "/readyz").text().trim().to_owned();
    assert_eq!(ready(), "ready");
    std::fs::remove_dir_all(&tier).expect("deleted");
    until(Duration::from_secs(10), "the disk tier to be off", || {
        (ready() == "ready, degraded: disk tier: off" && server.metrics().sum("bellwether_disk_up", &[]) == 0.0)
            .then_some(())
    });
    assert!(server.process.stderr().contains("deleted or replaced"), "{}", server.process.stderr());
}

#[test]
fn debts_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().expect("a directory");
    let redis = bellwether_servers::Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let _server = Bellwether::start(Some(&plain(home.path(), &format!("[shared]\nurl = \"{}\"", redis.url()))));
    let tier = home.path().join("tier");
    for name in ["owed.sqlite", "entries.sqlite", "lock"] {
        let mode = std::fs::metadata(tier.join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
