//! Does a real Redis read every stream of bytes as we do, and refuse it in the same words?
//!
//! Each case goes to a Redis server and through [`Parser`]; a small model of ECHO and PING turns what was
//! parsed into what Redis would answer, so the whole conversation is compared byte for byte.
#![allow(clippy::unwrap_used, reason = "helpers outside #[test] may panic too: it is the report")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bellwether_resp::{Limits, Parsed, Parser, Protocol, ProtocolError, Writer, eq_ignore_case};

/// Longer than any healthy Redis needs, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// Waited once for a batch, after Redis has answered a PING sent behind it: what it hasn't said about a case by
/// then, it won't say.
const SILENCE: Duration = Duration::from_millis(20);
/// Cases in flight at a time: fewer than Redis's default limit of open files allows.
const BATCH: usize = 100;

struct Redis {
    process: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Redis {
    fn start(extra: &[&str]) -> Redis {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            // The port may be taken by somebody else before Redis binds it: then another one is tried.
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let port = address.port().to_string();
            let process = Command::new("redis-server")
                .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
                .arg(dir.path())
                .args(extra)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("install redis-server (apt-get install redis-server) or run cargo xtask test");
            let mut redis = Redis { process, address, _dir: dir };
            while Instant::now() < deadline && redis.process.try_wait().unwrap().is_none() {
                if TcpStream::connect(address).is_ok() {
                    return redis;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("redis-server did not listen within {PATIENCE:?}");
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// What Redis answers to each case.
    fn outcomes(&self, cases: &[Vec<u8>], expected: &[Outcome]) -> Vec<Outcome> {
        let mut streams: Vec<TcpStream> = cases.iter().map(|_| self.connect()).collect();
        for (stream, case) in streams.iter_mut().zip(cases) {
            // Redis may have closed in the middle of what it refuses.
            let _ = stream.write_all(case);
        }
        let mut probe = self.connect();
        probe.write_all(b"PING\r\n").unwrap();
        assert!(probe.read(&mut [0; 64]).unwrap() > 0, "Redis lives");
        std::thread::sleep(SILENCE);
        // One deadline for all, or a hundred disappointed expectations would cost a hundred times our patience.
        let deadline = Instant::now() + PATIENCE;
        streams.iter_mut().zip(expected).map(|(stream, expected)| hear(stream, expected, deadline)).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended by itself
        let _ = self.process.wait();
    }
}

#[derive(PartialEq)]
struct Outcome {
    said: Vec<u8>,
    closed: bool,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"{}", self.said.escape_ascii(), if self.closed { ", then closes" } else { "" })
    }
}

/// Reads until the server closes, or has said all that is expected and nothing more is there.
fn hear(stream: &mut TcpStream, expected: &Outcome, deadline: Instant) -> Outcome {
    let (mut said, mut block) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let all_said = !expected.closed && said.len() >= expected.said.len();
        let patience = deadline.saturating_duration_since(Instant::now());
        stream.set_nonblocking(all_said || patience.is_zero()).unwrap();
        stream.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).unwrap();
        match stream.read(&mut block) {
            Ok(0) => return Outcome { said, closed: true },
            Ok(n) => said.extend_from_slice(&block[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Outcome { said, closed: false };
            }
            // Closed with bytes of ours unread.
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Outcome { said, closed: true },
            Err(e) => panic!("reading: {e}"),
        }
    }
}

/// What Redis should answer if it parses as we do.
fn modelled(limits: Limits, case: &[u8]) -> Outcome {
    let (mut parser, mut said, mut rest) = (Parser::new(limits), Vec::new(), case);
    loop {
        match parser.next(rest) {
            Ok(Some(parsed)) => {
                if matches!(parsed, Parsed::Command { .. }) {
                    let args: Vec<&[u8]> = parser.args(rest).iter().collect();
                    answer(limits, &args, &mut Writer::new(&mut said, Protocol::Resp2));
                }
                rest = &rest[parsed.consumed()..];
            }
            Ok(None) => return Outcome { said, closed: false },
            Err(error) => {
                if error == ProtocolError::Http {
                    said.clear(); // Redis drops what it hasn't sent yet
                }
                if let Some(words) = error.reply() {
                    Writer::new(&mut said, Protocol::Resp2).error(words);
                }
                return Outcome { said, closed: true };
            }
        }
    }
}

fn answer(limits: Limits, args: &[&[u8]], reply: &mut Writer<'_, Vec<u8>>) {
    let wrong_number = |name| format!("ERR wrong number of arguments for '{name}' command");
    match args {
        [name, rest @ ..] if eq_ignore_case(name, "echo") => match rest {
            [_] if limits.before_auth => reply.error("NOAUTH Authentication required."),
            [text] => reply.bulk(text),
            _ => reply.error(wrong_number("echo")),
        },
        [name, rest @ ..] if eq_ignore_case(name, "ping") => match rest {
            _ if limits.before_auth => reply.error("NOAUTH Authentication required."),
            [] => reply.simple("PONG"),
            [text] => reply.bulk(text),
            _ => reply.error(wrong_number("ping")),
        },
        [name, rest @ ..] => {
            // Redis prints with C's printf: up to a NUL, 128 bytes of the name and of the arguments together.
            let printed = |text: &[u8], most: usize| -> Vec<u8> {
                text.iter().copied().take_while(|&byte| byte != 0).take(most).collect()
            };
            let mut list = Vec::new();
            for arg in rest {
                if list.len() >= 128 {
                    break;
                }
                let text = printed(arg, 128 - list.len());
                list.extend([b"'", &text[..], b"' "].concat());
            }
            let name = printed(name, 128);
            reply.error([b"ERR unknown command '", &name[..], b"', with args beginning with: ", &list[..]].concat());
        }
        [] => unreachable!("a command has a name"),
    }
}

fn compare(redis: &Redis, limits: Limits, cases: &[Vec<u8>]) {
    for cases in cases.chunks(BATCH) {
        let ours: Vec<Outcome> = cases.iter().map(|case| modelled(limits, case)).collect();
        let theirs = redis.outcomes(cases, &ours);
        let differing: String = cases
            .iter()
            .zip(ours.iter().zip(&theirs))
            .filter(|(_, (ours, theirs))| ours != theirs)
            .map(|(case, (ours, theirs))| {
                let case: String = case.escape_ascii().to_string().chars().take(200).collect();
                format!("\"{case}\"\n  redis: {theirs:?}\n  ours:  {ours:?}\n")
            })
            .collect();
        assert!(differing.is_empty(), "Redis reads these otherwise:\n{differing}");
    }
}

fn owned(cases: &[&[u8]]) -> Vec<Vec<u8>> {
    cases.iter().map(|case| case.to_vec()).collect()
}

#[test]
fn malformed_streams_meet_the_same_words_as_in_redis() {
    let redis = Redis::start(&[]);
    let mut cases = owned(&[
        // Counts and lengths.
        b"*\r\n",
        b"*-\r\n",
        b"*+1\r\n",
        b"*01\r\n",
        b"*-0\r\n",
        b"*00\r\n",
        b"* 1\r\n",
        b"*1 \r\n",
        b"*NaN\r\n",
        b"*1a\r\n",
        b"*2147483648\r\n",
        b"*9223372036854775807\r\n",
        b"*9223372036854775808\r\n",
        b"*99999999999999999999999\r\n",
        b"*-9223372036854775808\r\nPING\r\n",
        b"*-9223372036854775809\r\n",
        b"*0\r\nPING\r\n",
        b"*-1\r\nPING\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$-\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$+4\r\nPING\r\n",
        b"*1\r\n$04\r\nPING\r\n",
        b"*1\r\n$-0\r\n",
        b"*1\r\n$4 \r\nPING\r\n",
        b"*1\r\n$NaN\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$536870912\r\nabc",
        b"*1\r\n$1000000000\r\n",
        b"*1\r\n$9223372036854775808\r\n",
        b"*1\r\n$0\r\n\r\n",
        // Type bytes.
        b"*1\r\nPING\r\n",
        b"*1\r\n\r\n",
        b"*1\r\n\r\n\r\n",
        b"*1\r\n\n\r\n",
        b"*1\r\n\xff\r\n",
        b"*1\r\nP",
        b"*1\r\nPING",
        b"*2\r\n$4\r\nECHO\r\n*1\r\n",
        b"*2\r\n$4\r\nECHO\r\n:1\r\n",
        b"*1\r\n'\r\n",
        b"*1\r\n%\r\n",
        b"*1\r\n\0\r\n",
        b"$4\r\nPING\r\n",
        // Line ends.
        b"*1\n$4\nPING\n",
        b"*1\r\n$4\nPING\r\n",
        b"*1\n\r\n",
        b"*1\rX$4\r\rPINGab",
        b"*1\r\n$4\r\nPINGxx",
        b"*2\r\n$4\r\nECHO\r\n$3\r\nabcdePING\r\n",
        b"*1\r",
        b"*1\r\n$4\r",
        b"*1\0\r\n",
        b"*\0\r\n",
        b"*1\r\n$4\0\r\nPING\r\n",
        b"PING\n",
        b"PING\r\r\n",
        b"\rPING\r\n",
        b"PI\rNG\r\n",
        b"\n\n\r\n\r\r\nPING\r\n",
        b"\0PING\r\n",
        b"PING\0\r\n",
        b"a\0b\r\nPING\r\n",
        // Quotes.
        b"ECHO \"\"\r\n",
        b"ECHO ''\r\n",
        b"\"\"\r\n",
        b"ECHO \"a\\x41\\xfF\\x4\\xg0\"\r\n",
        b"ECHO \\x41\r\n",
        b"ECHO \"\\n\\r\\t\\b\\a\\\\\\\"\\q\"\r\n",
        b"ECHO 'a\\'b\\n\\x41'\r\n",
        b"ECHO a\"b c\"\r\n",
        b"ECHO a'b c'\r\n",
        b"ECHO \"a\"b\r\n",
        b"ECHO 'a'b\r\n",
        b"ECHO \"a\"'b'\r\n",
        b"ECHO \"a\r\n",
        b"ECHO 'a\r\n",
        b"ECHO a\"\r\n",
        b"ECHO \"\\\"\r\n",
        b"ECHO \"a\\\r\n",
        b"ECHO 'a\\'\r\n",
        b"ECHO \"it's\"\r\n",
        b"ECHO a\x0bb\r\n",
        b"\x0b\x0cECHO\ta\x0c\r\n",
        b"ECHO \"a\"\x0b\r\n",
        b"ECHO \x0b\r\n",
        b"ECHO \"\\x4\"\r\n",
        b"ECHO \"\\x\r\n",
        // Cross-protocol scripting.
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"post\r\n",
        b"Host: x\r\n",
        b"HOST:\r\n",
        b"*1\r\n$4\r\nPOST\r\n",
        b"*2\r\n$5\r\nhost:\r\n$1\r\nx\r\n",
        b"ECHO POST\r\n",
        b"POSTS\r\n",
        b"Host\r\n",
        b"PUT / HTTP/1.1\r\n",
        b"PING\r\nPOST /\r\nPING\r\n",
        // Errors behind commands, commands behind errors.
        b"PING\r\n*1\r\n$4\r\nPING\r\n*x\r\nPING\r\n",
        b"*2\r\n$4\r\nECHO\r\n$4\r\na\r\nb\r\nECHO \"\\x00\"\r\n",
        b"nosuch a b\r\nPING\r\n",
    ]);
    let long = |start: &str, fill: usize, end: &str| [start, &"1".repeat(fill), end].concat().into_bytes();
    cases.extend([
        long("", 65536, ""),
        long("", 65537, ""),
        long("*", 65535, ""),
        long("*", 65536, ""),
        long("*1\r\n", 65536, ""),
        long("*1\r\n", 65537, ""),
        long("*1\r\n$", 65535, ""),
        long("*1\r\n$", 65536, ""),
        long("*", 1000, "\r\n"),
        long("*1\r\n$", 1000, "\r\n"),
        long("ECHO ", 65000, "\r\n"),
    ]);
    compare(&redis, Limits::NORMAL, &cases);
}

#[test]
fn before_auth_the_limits_and_words_are_rediss() {
    let redis = Redis::start(&["--requirepass", "secret"]);
    let mut cases = owned(&[
        b"*11\r\n",
        b"*10\r\n",
        b"*2147483648\r\n",
        b"*-11\r\nPING\r\n",
        b"*1\r\n$16385\r\n",
        b"*1\r\n$16384\r\n",
        b"*1\r\n$536870912\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$99999999999999999999\r\n",
        b"*1\r\n$-1\r\n",
        b"PING\r\n",
        b"ECHO a\r\n",
        b"POST /\r\n",
        b"ECHO \"a\r\n",
        b"PING 1 2 3 4 5 6 7 8 9 10 11\r\n",
    ]);
    cases.push(b"*1048576\r\n".to_vec());
    compare(&redis, Limits::BEFORE_AUTH, &cases);
    // Control: without the tighter limits the comparison fails.
    let control = std::panic::catch_unwind(|| compare(&redis, Limits::NORMAL, &owned(&[b"*11\r\n"])));
    assert!(control.is_err(), "the comparison cannot fail");
}

/// Streams made of the pieces that matter, 2,000 of them, the same at each run.
#[test]
fn random_streams_are_read_as_redis_reads_them() {
    const PIECES: &[&str] = &[
        "*1\r\n$4\r\nPING\r\n",
        "*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n",
        "*2\r\n$4\r\necho\r\n",
        "*2\r\n",
        "*1\r\n",
        "$4\r\n",
        "$0\r\n\r\n",
        "$2\r\n",
        "PING\r\n",
        "ECHO ",
        "PING",
        "hi",
        "\r\n",
        "\r",
        "\n",
        "\0",
        "*",
        "$",
        "-",
        "+",
        "0",
        "1",
        "3",
        " ",
        "\"",
        "'",
        "\\",
        "\\x41",
        "\t",
        "\x0b",
        "*0\r\n",
        "*-1\r\n",
        "x",
    ];
    let redis = Redis::start(&[]);
    let mut random = fastrand::Rng::with_seed(7);
    let cases: Vec<Vec<u8>> = (0..2000)
        .map(|_| (0..random.usize(1..10)).map(|_| *random.choice(PIECES).unwrap()).collect::<String>().into_bytes())
        .collect();
    compare(&redis, Limits::NORMAL, &cases);
}
