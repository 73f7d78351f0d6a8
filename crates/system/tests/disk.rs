//! Does a real server's disk keep what it may, and nothing that was removed, over a `kill -9`?

use std::path::Path;
use std::time::Duration;

use bellwether_system::{Bellwether, Mode, Origin, Value, config, until};

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
