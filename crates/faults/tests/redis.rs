//! What does a client of a real Redis see of each fault?

use std::time::{Duration, Instant};

use bellwether_faults::{Direction, Faults, Proxy, Slice};
use bellwether_servers::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SOON: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_millis(80);
const GOOD: &[u8] = b"$10\r\n0123456789\r\n";

/// What a GET through the proxy is answered within a moment, the whole stream of bytes.
async fn get(proxy: &Proxy) -> Vec<u8> {
    // A server that is not there is a reset, which may come as early as that.
    let Ok(mut stream) = TcpStream::connect(proxy.address()).await else {
        return Vec::new();
    };
    // If it can't be sent there is no answer either.
    let _ = stream.write_all(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n").await;
    let mut answer = Vec::new();
    let wanted = GOOD.len();
    let reading = async {
        // An end or a reset leaves what has come so far.
        while answer.len() < wanted && stream.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {}
    };
    // The limit leaves it too.
    let _ = timeout(SOON, reading).await;
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_reaches_a_client_of_redis_and_none_stays() {
    let redis = Redis::start(&[]).unwrap();
    redis.call(&["SET", "k", "0123456789"]).unwrap();
    let proxy = Proxy::start(redis.address(), 11).await.unwrap();
    let only = |faults: Faults| proxy.set(Direction::ToClient, faults);

    only(Faults { latency: LATE, ..Faults::NONE });
    let begun = Instant::now();
    assert_eq!(get(&proxy).await, GOOD);
    assert!(begun.elapsed() >= LATE);

    only(Faults { bandwidth: Some(100), slice: Some(Slice { bytes: 2, pause: Duration::ZERO }), ..Faults::NONE });
    let begun = Instant::now();
    assert_eq!(get(&proxy).await, GOOD);
    assert!(begun.elapsed() >= LATE, "17 bytes at 100 a second");

    only(Faults { slice: Some(Slice { bytes: 1, pause: Duration::from_millis(2) }), ..Faults::NONE });
    let begun = Instant::now();
    assert_eq!(get(&proxy).await, GOOD);
    assert!(begun.elapsed() >= Duration::from_millis(32), "16 pauses");

    only(Faults { corrupt: 1.0, ..Faults::NONE });
    let answer = get(&proxy).await;
    assert!(answer.len() == GOOD.len() && answer != GOOD, "{answer:?}");

    only(Faults { duplicate: 1.0, ..Faults::NONE });
    assert!(get(&proxy).await.starts_with(GOOD));
    only(Faults { reset: 1.0, ..Faults::NONE });
    assert!(get(&proxy).await.len() < GOOD.len());
    for silent in [Faults { swallow: true, ..Faults::NONE }, Faults { dead: true, ..Faults::NONE }] {
        only(silent);
        assert_eq!(get(&proxy).await, b"");
    }
    // The other way: the question is lost, or is another.
    only(Faults::NONE);
    proxy.set(Direction::ToServer, Faults { swallow: true, ..Faults::NONE });
    assert_eq!(get(&proxy).await, b"");
    proxy.set(Direction::ToServer, Faults { corrupt: 1.0, ..Faults::NONE });
    assert_ne!(get(&proxy).await, GOOD);

    proxy.calm();
    assert_eq!(get(&proxy).await, GOOD);
    redis.kill().unwrap();
    assert_eq!(get(&proxy).await, b"");
    assert_eq!(proxy.counts().unreachable, 1);
}
