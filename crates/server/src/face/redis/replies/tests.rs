//! Do replies leave in the order of their commands, whatever comes when?

use super::*;
use futures_util::future::{pending, ready};

fn bytes(text: &str) -> Reply {
    Reply::Bytes(text.as_bytes().to_vec())
}

#[test]
fn replies_leave_in_the_order_of_their_commands() {
    let (one, first) = tokio::sync::oneshot::channel::<()>();
    let (two, second) = tokio::sync::oneshot::channel::<()>();
    let mut replies = Replies::default();
    replies.writer(Protocol::Resp2).int(0);
    replies.later(Box::pin(async move { first.await.map_or_else(|_| bytes("?"), |()| bytes("one ")) }));
    replies.writer(Protocol::Resp2).int(1);
    replies.writer(Protocol::Resp2).int(2);
    replies.later(Box::pin(async move { second.await.map_or_else(|_| bytes("?"), |()| bytes("two ")) }));
    replies.later(Box::pin(ready(bytes("three"))));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(!replies.poll(&mut cx));
    assert_eq!(replies.output, b":0\r\n");
    two.send(()).expect("it is awaited");
    assert!(replies.poll(&mut cx));
    assert_eq!(replies.output, b":0\r\n", "the second waits for the first");
    one.send(()).expect("it is awaited");
    assert!(replies.poll(&mut cx));
    assert_eq!(replies.output, b":0\r\none :1\r\n:2\r\ntwo three");
    assert!(replies.settled());
}

#[test]
fn a_reply_that_is_waited_for_is_told_from_one_that_can_be_taken_back() {
    let mut replies = Replies::default();
    let mark = replies.mark();
    replies.writer(Protocol::Resp2).int(1);
    assert!(!replies.is_pending_since(mark));
    assert_eq!(replies.take_since(mark), b":1\r\n");
    for _ in 0..2 {
        let mark = replies.mark();
        replies.later(Box::pin(pending()));
        assert!(replies.is_pending_since(mark));
    }
    let mark = replies.mark();
    replies.writer(Protocol::Resp2).int(2);
    assert!(!replies.is_pending_since(mark), "what was waited for before stays");
    assert_eq!(replies.take_since(mark), b":2\r\n");
}

#[test]
fn outstanding_replies_are_bounded_and_counted() {
    let mut replies = Replies::default();
    for _ in 0..MAX_OUTSTANDING {
        assert!(replies.room());
        replies.later(Box::pin(pending()));
    }
    assert!(!replies.room());
    replies.writer(Protocol::Resp2).simple("xyz");
    assert_eq!(replies.owed(), "+xyz\r\n".len());
}

#[test]
fn what_was_not_asked_for_comes_at_once_and_again_behind_what_may_be_older() {
    let mut replies = Replies::default();
    replies.writer(Protocol::Resp3).int(1);
    replies.interject(b"<a>".to_vec());
    assert_eq!(replies.output, b":1\r\n<a>", "no reply is on its way: once");
    let (done, wait) = tokio::sync::oneshot::channel::<()>();
    replies.later(Box::pin(async move { wait.await.map_or_else(|_| bytes("?"), |()| bytes("old")) }));
    replies.interject(b"<b>".to_vec());
    replies.writer(Protocol::Resp3).int(2);
    assert_eq!(replies.output, b":1\r\n<a><b>");
    done.send(()).expect("it is awaited");
    assert!(replies.poll(&mut Context::from_waker(Waker::noop())));
    assert_eq!(replies.output, b":1\r\n<a><b>old<b>:2\r\n");
    // An array that is half in the output is not broken in two.
    let mut replies = Replies { output: vec![b'.'; HIGH_WATER - 1], ..Replies::default() };
    replies.push(Reply::Values { values: vec![None, None].into_iter(), header: true, protocol: Protocol::Resp3 });
    assert!(!replies.settled(), "only its first value has room");
    replies.interject(b"<c>".to_vec());
    replies.output.clear();
    replies.flush();
    assert_eq!(replies.output, b"_\r\n<c>");
}

#[test]
fn a_muted_connection_answers_nothing() {
    let mut replies = Replies::default();
    replies.mute(true);
    replies.writer(Protocol::Resp2).ok();
    replies.later(Box::pin(ready(bytes("nothing"))));
    replies.mute(false);
    replies.writer(Protocol::Resp2).int(1);
    assert_eq!(replies.output, b":1\r\n");
}
