//! Does memory follow what has arrived, never what was announced?

use std::time::{Duration, Instant};

use bellwether_resp::{Limits, Parser, ReplyLimits, ReplyParser};

use crate::encode;

#[test]
fn ten_announcements_of_512_mb_reserve_nothing() {
    for _ in 0..10 {
        let mut parser = Parser::new(Limits::NORMAL);
        let mut buffer = Vec::with_capacity(64);
        buffer.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$536870912\r\n");
        buffer.extend_from_slice(&[b'x'; 25]);
        assert_eq!(parser.next(&buffer), Ok(None));
        assert_eq!(buffer.capacity(), 64);
        assert!(parser.heap_bytes() <= 64, "{} bytes for one argument that arrived", parser.heap_bytes());
    }
}

#[test]
fn a_million_announced_arguments_reserve_nothing() {
    let mut parser = Parser::new(Limits::NORMAL);
    assert_eq!(parser.next(b"*1048576\r\n"), Ok(None));
    assert_eq!(parser.heap_bytes(), 0);
    let mut replies = ReplyParser::new(ReplyLimits::NORMAL);
    assert_eq!(replies.next(b"*16777216\r\n"), Ok(None));
    assert_eq!(replies.next(b"*16777216\r\n$536870912\r\n"), Ok(None));
    assert!(replies.heap_bytes() <= 1024, "{}", replies.heap_bytes());
}

#[test]
fn steady_traffic_allocates_once_and_a_giant_gives_its_memory_back() {
    let mut parser = Parser::new(Limits::NORMAL);
    let small = encode(&["SET", "key", "value", "EX", "60"]);
    let _ = parser.next(&small);
    let steady = parser.heap_bytes();
    for _ in 0..1000 {
        assert!(parser.next(&small).unwrap().is_some());
        assert_eq!(parser.heap_bytes(), steady);
    }
    let giant = encode(&["a"; 200_000]);
    assert!(parser.next(&giant).unwrap().is_some());
    assert!(parser.heap_bytes() >= 200_000 * 8, "control: the giant's places were kept");
    assert!(parser.heap_bytes() <= 2 * giant.len() * 8 / 7, "not much more than it sent");
    assert_eq!(parser.next(b""), Ok(None));
    assert!(parser.heap_bytes() <= 16 * 1024, "{}", parser.heap_bytes());
    let inline = ["\"", &"x".repeat(60_000), "\"\r\n"].concat();
    assert!(parser.next(inline.as_bytes()).unwrap().is_some());
    assert_eq!(parser.next(b""), Ok(None));
    assert!(parser.heap_bytes() <= 16 * 1024, "{}", parser.heap_bytes());
}

/// 2^17 arguments in reads of 7 bytes: reading each from the start would look at some 10^10 arguments.
#[test]
fn a_trickled_command_is_not_read_again_from_its_start() {
    let bytes = encode(&vec!["a"; 1 << 17]);
    let mut parser = Parser::new(Limits::NORMAL);
    let begun = Instant::now();
    for end in (1..bytes.len()).step_by(7) {
        assert_eq!(parser.next(&bytes[..end]), Ok(None));
    }
    assert!(parser.next(&bytes).unwrap().is_some());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
