//! Does `bellwether top` tell what a real server is asked, and what its origin sees of that?

use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bellwether_servers::Redis;
use bellwether_system::{Bellwether, Origin, config};

/// What the binary says beside a server; whether it ended well. It waits for nobody longer than 5 s.
fn top(server: &Bellwether, words: &[&str], password: Option<&str>) -> (bool, String, String) {
    let admin = format!("http://{}", server.admin());
    let mut command = Bellwether::command(&[&["top", "--admin", &admin], words].concat());
    if let Some(password) = password {
        command.env("BELLWETHER_ADMIN_PASSWORD", password);
    }
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.success(), text(stdout), text(stderr))
}

#[test]
fn what_a_server_is_asked_stands_beside_what_its_origin_sees() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let origin = Origin::start();
    let rest = format!(
        "[shared]\nurl = \"{}\"\n[origin.api]\nhttp = \"{}\"\n\
         [[space]]\nname = \"page\"\nmatch = \"v:{{id}}\"\norigin = \"api\"\nget = \"/v/{{id}}\"\nttl = \"10m\"\n\
         [[space]]\nname = \"session\"\nmatch = \"s:{{id}}\"\nttl = \"30m\"\n",
        redis.url(),
        origin.url()
    );
    let server = Bellwether::start(Some(&config("", &rest)));
    let over = AtomicBool::new(false);
    let (well, shown, said) = thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = server.connect();
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                // Of a hundred reads of the first space one is a load.
                n += 1;
                let key = format!("v:{n}");
                // The others would follow its load if they came with it.
                client.call(&["GET", key.as_str()]);
                client.pipeline(&vec![vec!["GET", key.as_str()]; 99]);
                client.pipeline(&[["GET", "s:none"].to_vec(), ["GET", "nowhere"].to_vec()]);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let told = top(&server, &["--once"], None);
        over.store(true, Ordering::Relaxed);
        told
    });
    assert!(well, "{said}");
    for part in
        ["ready", "requests/s", "hits", "1 for ", "memory", "shared tier: well; servers 1 of 1", "backplane: live"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let row = |name: &str| -> Vec<String> {
        let line = shown.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {shown}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    let number = |cell: &str| cell.replace(',', "").parse::<f64>().unwrap_or_else(|_| panic!("{cell}: {shown}"));
    let page = row("page ");
    let (requests, loads) = (number(&page[1]), number(&page[4]));
    assert!(loads > 0.0 && requests > 20.0 * loads, "{shown}");
    assert!(page[2].starts_with('9'), "most are hits: {shown}");
    assert!(number(&row("session ")[1]) > 0.0 && row("(no")[0] == "(no", "{shown}");
    assert_eq!(row("api ")[1], "closed", "{shown}");
    // Control: who asks nothing more is shown nothing more.
    let (_, calm, _) = top(&server, &[], None);
    assert!(calm.contains("0 requests/s, - hits"), "not a terminal, so once: {calm}");
}

#[test]
fn whoever_does_not_know_the_password_is_told_where_it_belongs() {
    let server =
        Bellwether::start(Some(&config("password = \"secret\"", "[[space]]\nmatch = \"s:{id}\"\nttl = \"1m\"\n")));
    let (well, _, said) = top(&server, &["--once"], None);
    assert!(!well && said.contains("set BELLWETHER_ADMIN_PASSWORD"), "{said}");
    let (well, _, said) = top(&server, &["--once"], Some("wrong"));
    assert!(!well && said.contains("another password"), "{said}");
    let (well, shown, said) = top(&server, &["--once"], Some("secret"));
    assert!(well && shown.contains("requests/s"), "{said}");
}
