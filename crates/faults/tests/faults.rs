//! Does every fault happen, and nothing else?

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bellwether_faults::{Direction, Ending, Faults, Proxy, Slice};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(10);
/// Long enough that what was to come would have come.
const SOON: Duration = Duration::from_millis(150);
const LATE: Duration = Duration::from_millis(100);

struct Stage {
    proxy: Proxy,
    echo: JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.echo.abort();
    }
}

/// An echo server behind a proxy.
async fn stage() -> Stage {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let echo = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.ok();
            });
        }
    });
    Stage { proxy: Proxy::start(address, 7).await.expect("a proxy"), echo }
}

impl Stage {
    async fn client(&self) -> TcpStream {
        connect(self.proxy.address()).await
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("the proxy accepts");
    stream.set_nodelay(true).expect("nodelay can be set");
    stream
}

/// Sends, and reads as many bytes back.
async fn echo(client: &mut TcpStream, text: &[u8]) -> Vec<u8> {
    client.write_all(text).await.expect("it can be sent");
    let mut answer = vec![0; text.len()];
    timeout(LIMIT, client.read_exact(&mut answer)).await.expect("in time").expect("an answer");
    answer
}

/// What comes within a moment.
async fn within(client: &mut TcpStream, limit: Duration) -> Vec<u8> {
    let mut all = Vec::new();
    // The limit is what ends it.
    let _ = timeout(limit, client.read_to_end(&mut all)).await;
    all
}

#[tokio::test]
async fn without_faults_everything_arrives_as_it_was_and_is_counted() {
    let stage = stage().await;
    let mut client = stage.client().await;
    let sent: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let (mut from, mut to) = client.split();
    let mut received = vec![0; sent.len()];
    let (written, read) = tokio::join!(to.write_all(&sent), from.read_exact(&mut received));
    assert!(written.is_ok() && read.is_ok() && received == sent);
    client.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "the end goes both ways");
    let counts = stage.proxy.counts();
    assert_eq!((counts.connections, counts.to_server, counts.to_client), (1, 300_000, 300_000));
    assert_eq!(counts.corrupted + counts.duplicated + counts.swallowed + counts.resets + counts.delayed, 0);
}

#[tokio::test]
async fn latency_delays_every_chunk_but_chunks_do_not_wait_for_each_other() {
    let stage = stage().await;
    let mut client = stage.client().await;
    stage.proxy.set(Direction::ToClient, Faults { latency: LATE, jitter: LATE / 10, ..Faults::NONE });
    let begun = Instant::now();
    assert_eq!(echo(&mut client, b"x").await, b"x");
    assert!(begun.elapsed() >= LATE);
    // In a row they would take 20 latencies.
    let begun = Instant::now();
    for n in 0..20u8 {
        client.write_all(&[n]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut all = [0; 20];
    timeout(LIMIT, client.read_exact(&mut all)).await.unwrap().unwrap();
    assert!(begun.elapsed() < 10 * LATE, "{:?}", begun.elapsed());
    assert_eq!(all.to_vec(), (0..20).collect::<Vec<u8>>(), "in their order");
    assert!(stage.proxy.counts().delayed >= 2);
}

#[tokio::test]
async fn bandwidth_is_not_exceeded() {
    let stage = stage().await;
    let mut client = stage.client().await;
    stage.proxy.set(Direction::ToClient, Faults { bandwidth: Some(100_000), ..Faults::NONE });
    let begun = Instant::now();
    echo(&mut client, &[7; 30_000]).await;
    // The last chunk's own time comes after it.
    assert!(begun.elapsed() >= Duration::from_millis(130), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn slices_arrive_one_by_one_with_pauses() {
    let stage = stage().await;
    let mut client = stage.client().await;
    let slice = Slice { bytes: 4, pause: Duration::from_millis(5) };
    stage.proxy.set(Direction::ToClient, Faults { slice: Some(slice), ..Faults::NONE });
    client.write_all(&[7; 60]).await.unwrap();
    let (mut reads, mut left) = (0, 60);
    while left > 0 {
        let mut buffer = [0; 60];
        left -= timeout(LIMIT, client.read(&mut buffer)).await.unwrap().unwrap();
        reads += 1;
    }
    assert!(reads >= 8 && stage.proxy.counts().sliced == 1, "{reads} reads");
}

#[tokio::test]
async fn corrupt_bytes_differ_in_one_bit_and_the_same_seed_corrupts_the_same() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let stage = stage().await;
        let mut client = stage.client().await;
        stage.proxy.set(Direction::ToClient, Faults { corrupt: 0.5, ..Faults::NONE });
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(echo(&mut client, b"0123456789").await);
        }
        let wrong = answers.iter().filter(|answer| *answer != b"0123456789").count();
        assert!((1..20).contains(&wrong), "{wrong}");
        assert_eq!(stage.proxy.counts().corrupted, wrong as u64);
        runs.push(answers);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_duplicate_comes_twice() {
    let stage = stage().await;
    let mut client = stage.client().await;
    stage.proxy.set(Direction::ToClient, Faults { duplicate: 1.0, ..Faults::NONE });
    client.write_all(b"once").await.unwrap();
    let mut twice = [0; 8];
    timeout(LIMIT, client.read_exact(&mut twice)).await.unwrap().unwrap();
    assert_eq!((&twice, stage.proxy.counts().duplicated), (b"onceonce", 1));
}

#[tokio::test]
async fn a_reset_is_a_reset_and_no_close() {
    let stage = stage().await;
    let mut client = stage.client().await;
    stage.proxy.set(Direction::ToClient, Faults { reset: 1.0, ..Faults::NONE });
    client.write_all(b"question").await.unwrap();
    let mut all = Vec::new();
    let error = timeout(LIMIT, client.read_to_end(&mut all)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(all.len() < 8 && b"question".starts_with(&all[..]));
    assert_eq!(stage.proxy.counts().resets, 1);
}

#[tokio::test]
async fn a_slow_close_is_told_late() {
    let stage = stage().await;
    let mut client = stage.client().await;
    echo(&mut client, b"x").await;
    stage.proxy.set(Direction::ToClient, Faults { slow_close: LATE, ..Faults::NONE });
    let begun = Instant::now();
    client.shutdown().await.unwrap();
    assert_eq!(timeout(LIMIT, client.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
    assert!(begun.elapsed() >= LATE);
    assert_eq!(stage.proxy.counts().slow_closes, 1);
}

#[tokio::test]
async fn what_is_swallowed_is_lost_and_what_is_held_by_a_dead_side_comes_when_it_lives_again() {
    let stage = stage().await;
    let mut client = stage.client().await;
    stage.proxy.set(Direction::ToClient, Faults { swallow: true, ..Faults::NONE });
    client.write_all(b"lost").await.unwrap();
    assert_eq!(within(&mut client, SOON).await, b"");
    stage.proxy.set(Direction::ToClient, Faults { dead: true, ..Faults::NONE });
    client.write_all(b"late").await.unwrap();
    assert_eq!(within(&mut client, SOON).await, b"");
    stage.proxy.calm();
    assert_eq!(echo(&mut client, b"").await, b"");
    let mut late = [0; 4];
    timeout(LIMIT, client.read_exact(&mut late)).await.unwrap().unwrap();
    assert_eq!((&late, stage.proxy.counts().swallowed), (b"late", 1));
}

#[tokio::test]
async fn a_half_open_connection_does_not_learn_that_the_server_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap(), 7).await.unwrap();
    let mut client = connect(proxy.address()).await;
    let (server, _) = listener.accept().await.unwrap();
    proxy.set(Direction::ToClient, Faults { dead: true, ..Faults::NONE });
    drop(server);
    assert!(timeout(SOON, client.read(&mut [0; 1])).await.is_err(), "it would read the end");
    assert!(client.write_all(b"still there?").await.is_ok());
    proxy.calm();
    assert!(matches!(timeout(LIMIT, client.read(&mut [0; 1])).await.unwrap(), Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_cut_ends_every_connection_and_new_ones_are_taken() {
    let stage = stage().await;
    for ending in [Ending::Reset, Ending::Close] {
        let mut clients = [stage.client().await, stage.client().await];
        for client in &mut clients {
            echo(client, b"x").await;
        }
        assert_eq!(stage.proxy.live(), 2);
        assert_eq!(stage.proxy.cut(ending), 2);
        for client in &mut clients {
            let end = timeout(LIMIT, client.read(&mut [0; 1])).await.unwrap().map_err(|error| error.kind());
            let expected = if ending == Ending::Reset { Err(ErrorKind::ConnectionReset) } else { Ok(0) };
            assert_eq!(end, expected, "{ending:?}");
        }
    }
    assert_eq!(echo(&mut stage.client().await, b"again").await, b"again");
    assert_eq!((stage.proxy.counts().cuts, stage.proxy.counts().resets), (4, 2));
}

#[tokio::test]
async fn who_is_refused_is_refused_by_the_kernel_until_connections_are_taken_again() {
    let stage = stage().await;
    let mut earlier = stage.client().await;
    echo(&mut earlier, b"x").await;
    stage.proxy.refuse().await;
    let error = TcpStream::connect(stage.proxy.address()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(echo(&mut earlier, b"goes on").await, b"goes on");
    stage.proxy.admit().await.unwrap();
    assert_eq!(echo(&mut stage.client().await, b"again").await, b"again");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_seen_as_a_reset() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(free, 7).await.unwrap();
    // It may come as early as in the answer to the connect.
    let end = match TcpStream::connect(proxy.address()).await {
        Ok(mut client) => timeout(LIMIT, client.read(&mut [0; 1])).await.unwrap(),
        Err(error) => Err(error),
    };
    let end = end.map_err(|error| error.kind());
    assert_eq!((end, proxy.counts().unreachable), (Err(ErrorKind::ConnectionReset), 1));
}

#[tokio::test]
async fn a_dropped_proxy_takes_its_connections_with_it() {
    let mut client = {
        let stage = stage().await;
        let mut client = stage.client().await;
        echo(&mut client, b"x").await;
        client
    };
    let end = timeout(LIMIT, client.read(&mut [0; 1])).await.unwrap().map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}
