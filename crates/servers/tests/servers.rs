//! Does every server start, answer, stand what is done to it, and leave nothing behind?

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bellwether_servers::{Memcached, Postgres, Redis, RedisCluster, Running, Sentinel, Value, until};

const LIMIT: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(500);

/// Where a server was, to be looked at once it should be gone.
struct Trace {
    pid: u32,
    home: PathBuf,
}

fn trace(running: &Running) -> Trace {
    let trace = Trace { pid: running.pid().expect("it runs"), home: running.home().to_owned() };
    assert!(process(trace.pid) && trace.home.is_dir(), "what is not there can't go");
    assert_eq!(group(trace.pid), Some(trace.pid), "a process group of its own");
    trace
}

fn process(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// The fifth word of its stat: the second, in brackets, may hold blanks.
fn group(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(2)?.parse().ok()
}

fn gone(traces: &[Trace]) {
    for Trace { pid, home } in traces {
        assert!(!process(*pid), "process {pid} is still there");
        assert!(!home.exists(), "{} is still there", home.display());
    }
}

/// What comes back within a moment; nothing from a server that is silent.
fn ask(running: &Running, question: &str) -> String {
    let mut stream = TcpStream::connect(running.address()).expect("it accepts connections");
    stream.set_read_timeout(Some(SOON)).expect("a limit can be set");
    stream.write_all(question.as_bytes()).expect("a question can be sent");
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[test]
fn a_redis_answers_by_tcp_and_by_unix_socket_and_is_gone_once_dropped() {
    let redis = Redis::start(&["--requirepass", "secret"]).unwrap();
    let mut socket = UnixStream::connect(redis.socket()).unwrap();
    socket.write_all(b"AUTH secret\r\n").unwrap();
    let mut answer = [0; 5];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n");
    let error = redis.call(&["GET", "k"]).unwrap_err().to_string();
    assert!(error.contains("GET k: NOAUTH"), "{error}");
    let traces = [trace(&redis)];
    drop(redis);
    gone(&traces);
}

#[test]
fn a_frozen_redis_is_silent_until_it_is_thawed_and_a_frozen_one_can_be_dropped() {
    let redis = Redis::start(&[]).unwrap();
    redis.freeze().unwrap();
    assert_eq!(ask(&redis, "PING\r\n"), "");
    redis.thaw().unwrap();
    assert_eq!(ask(&redis, "PING\r\n"), "+PONG\r\n");
    redis.freeze().unwrap();
    let traces = [trace(&redis)];
    drop(redis);
    gone(&traces);
}

#[test]
fn a_killed_redis_comes_back_on_its_port_with_what_its_directory_holds() {
    let redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).unwrap();
    let (address, pid) = (redis.address(), redis.pid().unwrap());
    redis.call(&["SET", "k", "v"]).unwrap();
    redis.kill().unwrap();
    assert!(!redis.alive() && !process(pid) && TcpStream::connect(address).is_err());
    assert!(redis.kill().unwrap_err().to_string().contains("does not run"));
    redis.restart().unwrap();
    assert_eq!((redis.address(), redis.alive()), (address, true));
    assert_eq!(redis.call(&["GET", "k"]).unwrap(), Value::Bulk(b"v".to_vec()));
}

#[test]
fn a_redis_with_tls_is_trusted_by_whom_trusts_its_authority_alone() {
    let redis = Redis::start_with_tls(&[]).unwrap();
    let port = redis.tls_url().unwrap().rsplit(':').next().unwrap().to_owned();
    let ping = |authority: Option<&Path>| {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &port, "--tls"]);
        authority.map(|file| command.arg("--cacert").arg(file));
        let output = command.arg("PING").output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(ping(Some(&redis.certificates().unwrap().authority)), "PONG");
    assert_eq!(ping(None), "");
}

#[test]
fn a_server_that_refuses_its_arguments_is_quoted() {
    let error = Redis::start(&["--nosuch", "x"]).err().unwrap().to_string();
    assert!(error.contains("redis-server failed") && error.contains("nosuch"), "{error}");
}

#[test]
fn a_cluster_is_whole_again_without_the_primary_that_was_killed() {
    let cluster = RedisCluster::start(3, 1).unwrap();
    assert_eq!((cluster.nodes().len(), cluster.primary_of_key(b"foo").unwrap()), (6, 2));
    cluster.nodes()[2].call(&["SET", "foo", "bar"]).unwrap();
    let moved = cluster.nodes()[0].call(&["GET", "foo"]).unwrap_err().to_string();
    assert!(moved.contains("MOVED 12182"), "{moved}");
    // So that the replica has it.
    cluster.nodes()[2].call(&["WAIT", "1", "1000"]).unwrap();
    let killed = cluster.kill_primary_of_key(b"foo").unwrap();
    assert_eq!(killed, 2);
    until(LIMIT, "the dead primary to be missed", || (!cluster.healthy()).then_some(())).unwrap();
    cluster.until_healthy().unwrap();
    let heir = cluster.primary_of_key(b"foo").unwrap();
    assert!(heir != killed && heir >= 3, "{heir} is a replica's number");
    assert_eq!(cluster.nodes()[heir].call(&["GET", "foo"]).unwrap(), Value::Bulk(b"bar".to_vec()));
    cluster.nodes()[killed].restart().unwrap();
    cluster.until_healthy().unwrap();
    assert_eq!(cluster.primary_of_key(b"foo").unwrap(), heir);
    let traces: Vec<Trace> = cluster.nodes().iter().map(|node| trace(node)).collect();
    drop(cluster);
    gone(&traces);
}

#[test]
fn sentinels_name_another_primary_once_theirs_is_killed() {
    let sentinel = Sentinel::start().unwrap();
    assert_eq!((sentinel.primary(), sentinel.addresses().len()), (Some(0), 3));
    let killed = sentinel.kill_primary().unwrap();
    let heir = sentinel.until_primary_is_not(killed).unwrap();
    assert_ne!(heir, killed);
    sentinel.servers()[heir].call(&["SET", "k", "v"]).unwrap();
    let traces: Vec<Trace> = sentinel.sentinels().map(trace).collect();
    drop(sentinel);
    gone(&traces);
}

#[test]
fn a_memcached_answers_freezes_dies_and_comes_back_empty() {
    let memcached = Memcached::start(&["-m", "16"]).unwrap();
    assert_eq!(ask(&memcached, "set k 0 0 1\r\nv\r\n"), "STORED\r\n");
    memcached.freeze().unwrap();
    assert_eq!(ask(&memcached, "get k\r\n"), "");
    memcached.thaw().unwrap();
    assert_eq!(ask(&memcached, "get k\r\n"), "VALUE k 0 1\r\nv\r\nEND\r\n");
    memcached.kill().unwrap();
    memcached.restart().unwrap();
    assert_eq!(ask(&memcached, "get k\r\n"), "END\r\n");
    let traces = [trace(&memcached)];
    drop(memcached);
    gone(&traces);
}

#[test]
fn a_postgres_answers_with_and_without_tls_freezes_and_survives_a_kill() {
    let postgres = Postgres::start_with_tls().unwrap();
    postgres.exec("CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'one')").unwrap();
    assert_eq!(postgres.exec("SELECT * FROM t").unwrap(), "1|one");
    let error = postgres.exec("SELECT * FROM nosuch").unwrap_err().to_string();
    assert!(error.contains("nosuch"), "{error}");
    let verified = |authority: &Path| {
        let url = format!("{}?sslmode=verify-full&sslrootcert={}", postgres.url(), authority.display());
        let mut command = Command::new("psql");
        command.args(["-XAtc", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &url]);
        String::from_utf8_lossy(&command.output().unwrap().stdout).trim().to_owned()
    };
    assert_eq!(verified(&postgres.certificates().unwrap().authority), "t");
    assert_eq!(verified(Path::new("/etc/ssl/certs/ca-certificates.crt")), "");
    // Of what was written just now a server that is killed forgets a part.
    postgres.exec("CHECKPOINT").unwrap();
    postgres.kill().unwrap();
    postgres.restart().unwrap();
    assert_eq!(postgres.exec("SELECT name FROM t").unwrap(), "one");
    let traces = [trace(&postgres)];
    drop(postgres);
    gone(&traces);
}

/// Not a test: what the next one starts and kills.
#[test]
#[ignore = "waits to be killed"]
fn a_parent_that_waits() {
    let redis = Redis::start(&[]).unwrap();
    println!("\nserver {} {}", redis.pid().unwrap(), redis.home().display());
    std::thread::sleep(LIMIT);
}

#[test]
fn a_server_ends_with_its_parent_though_that_is_killed() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_parent_that_waits", "--ignored", "--nocapture"]);
    let mut parent = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.into_iter().find(|line| line.starts_with("server ")).expect("a server was started");
    let (pid, home) = told.strip_prefix("server ").unwrap().split_once(' ').unwrap();
    let pid: u32 = pid.parse().unwrap();
    assert!(process(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let ended = until(LIMIT, "the server to end", || (!process(pid)).then_some(()));
    // Nobody is left who could remove it.
    std::fs::remove_dir_all(home).unwrap();
    ended.unwrap();
}
