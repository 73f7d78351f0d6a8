//! Does `bellwether top` tell what a real server is asked, and what its origin sees of that?

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bellwether_servers::Redis;
use bellwether_system::{Bellwether, Origin, config, until};

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

/// The live view in a terminal of its own, and a shell around it that tells how it left that terminal.
struct View {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl View {
    fn open(home: &Path, admin: &str) -> View {
        let shell = format!(
            "trap : INT; stty rows 40 columns 120; stty -a > before; \"$BW\" top --admin {admin}; echo ended $?; \
             stty -a > after; cmp before after && echo restored"
        );
        let mut child = Command::new("script")
            .args(["-qec", &shell, "/dev/null"])
            .env("BW", Bellwether::command(&[]).get_program())
            .env("SHELL", "/bin/sh")
            .current_dir(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of bsdutils");
        let (keys, mut out) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let shown = Arc::new(Mutex::new(Vec::new()));
        let reads = shown.clone();
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut some) {
                reads.lock().expect("no panic under it").extend(&some[..read]);
            }
        });
        View { child, keys, shown }
    }

    fn until(&self, words: &str) -> String {
        let shown = || String::from_utf8_lossy(&self.shown.lock().expect("no panic under it")).into_owned();
        until(Duration::from_secs(40), words, || Some(shown()).filter(|shown| shown.contains(words)))
    }

    fn press(&mut self, key: &[u8]) {
        self.keys.write_all(key).expect("it is read");
    }

    /// What is shown from here on is all that is known.
    fn forget(&self) {
        self.shown.lock().expect("no panic under it").clear();
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_live_view_outlives_its_server_and_leaves_the_terminal_as_it_was() {
    let home = tempfile::tempdir().expect("a directory");
    let rest = "[[space]]\nmatch = \"s:{id}\"\nttl = \"1m\"\n";
    let server = Bellwether::start(Some(&config("", rest)));
    let admin = server.admin();
    let url = format!("http://{admin}");
    let mut view = View::open(home.path(), &url);
    view.until("requests/s");
    drop(server);
    view.until(&format!("no server listens at {admin}"));
    view.until("asked again in 2 s");
    view.forget();
    let listen = format!("[listen]\nredis = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nadmin = \"{admin}\"\n{rest}");
    let server = Bellwether::start(Some(&listen));
    view.until("\u{1b}[Hready");
    view.press(b"q");
    let left = view.until("restored");
    assert!(left.contains("ended 0") && left.contains("\u{1b}[?25h\u{1b}[?1049l"), "{left}");
    // An interrupt ends it too.
    let mut view = View::open(home.path(), &url);
    view.until("requests/s");
    view.press(b"\x03");
    let left = view.until("restored");
    assert!(left.contains("ended 0") && left.contains("\u{1b}[?25h\u{1b}[?1049l"), "{left}");
    // Control: what was never there is told at once, on the screen where it stays.
    drop(server);
    let left = View::open(home.path(), &url).until("restored");
    assert!(left.contains("ended 1") && left.contains("no server listens") && !left.contains("\u{1b}["), "{left}");
}
