//! Are replies read back, and endless or broken ones refused?

use bellwether_resp::{Reply, ReplyError, ReplyLimits, ReplyParser, Value};

fn parse(bytes: &[u8]) -> Result<Option<Reply>, ReplyError> {
    ReplyParser::new(ReplyLimits::NORMAL).next(bytes)
}

#[test]
fn every_type_is_read() {
    let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
    let table: Vec<(&str, Value)> = vec![
        ("+OK\r\n", Value::Simple(b"OK".to_vec())),
        ("-ERR no\r\n", Value::Error(b"ERR no".to_vec())),
        ("!6\r\nERR no\r\n", Value::Error(b"ERR no".to_vec())),
        (":-7\r\n", Value::Int(-7)),
        ("$4\r\na\r\nb\r\n", bulk("a\r\nb")),
        ("$0\r\n\r\n", bulk("")),
        ("$-1\r\n", Value::Nil),
        ("*-1\r\n", Value::Nil),
        ("_\r\n", Value::Nil),
        ("#t\r\n", Value::Bool(true)),
        (",-1.5e-7\r\n", Value::Double(-1.5e-7)),
        (",inf\r\n", Value::Double(f64::INFINITY)),
        ("(-123456789012345678901234567890\r\n", Value::BigNumber(b"-123456789012345678901234567890".to_vec())),
        ("=8\r\nmkd:# hi\r\n", Value::Verbatim { format: *b"mkd", text: b"# hi".to_vec() }),
        ("*0\r\n", Value::Array(vec![])),
        ("*2\r\n*0\r\n:1\r\n", Value::Array(vec![Value::Array(vec![]), Value::Int(1)])),
        ("~1\r\n$1\r\na\r\n", Value::Set(vec![bulk("a")])),
        ("%1\r\n$1\r\na\r\n%0\r\n", Value::Map(vec![(bulk("a"), Value::Map(vec![]))])),
        (
            ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
            Value::Push(vec![bulk("invalidate"), Value::Array(vec![bulk("k")])]),
        ),
        // Attributes are dropped, wherever they stand.
        ("|1\r\n+ttl\r\n:9\r\n:1\r\n", Value::Int(1)),
        ("*2\r\n|0\r\n:1\r\n|1\r\n+a\r\n*1\r\n:0\r\n:2\r\n", Value::Array(vec![Value::Int(1), Value::Int(2)])),
    ];
    for (text, value) in table {
        assert_eq!(parse(text.as_bytes()), Ok(Some(Reply { value, consumed: text.len() })), "{text:?}");
        assert_eq!(parse(&text.as_bytes()[..text.len() - 1]), Ok(None), "{text:?} without its last byte");
    }
}

#[test]
fn broken_replies_are_refused() {
    use ReplyError::*;
    let table: &[(&str, ReplyError)] = &[
        ("?\r\n", UnknownType(b'?')),
        ("HTTP/1.1 400\r\n", UnknownType(b'H')),
        ("\r\n", UnknownType(b'\r')),
        ("+OK\n", BadLineEnd),
        ("+OK\rx", BadLineEnd),
        ("$2\r\nabc\r\n", BadLineEnd),
        (":1x\r\n", BadNumber),
        (":+1\r\n", BadNumber),
        ("$-2\r\n", BadNumber),
        ("*-2\r\n", BadNumber),
        ("%-1\r\n", BadNumber),
        ("$?\r\n", BadNumber),
        ("*01\r\n", BadNumber),
        ("#T\r\n", BadLiteral),
        ("_x\r\n", BadLiteral),
        (",infinity\r\n", BadLiteral),
        (",\r\n", BadLiteral),
        ("(1.5\r\n", BadLiteral),
        ("=3\r\ntxt\r\n", BadLiteral),
        ("$536870913\r\n", TooLong),
        ("*16777217\r\n", TooManyElements),
        ("%9223372036854775807\r\n", TooManyElements),
    ];
    for (text, error) in table {
        assert_eq!(parse(text.as_bytes()), Err(*error), "{text:?}");
    }
    assert_eq!(parse(&[b"+", &[b'a'; 70_000][..]].concat()), Err(TooLong));
}

#[test]
fn nesting_ends_at_32() {
    for kind in ["*1\r\n", "%1\r\n:0\r\n", "|1\r\n:0\r\n"] {
        let nested = |depth: usize| [kind.repeat(depth), ":1\r\n".to_owned()].concat();
        let deepest = parse(nested(ReplyLimits::MAX_DEPTH).as_bytes());
        assert!(deepest.is_ok(), "{kind:?}: {deepest:?}");
        assert_eq!(parse(nested(ReplyLimits::MAX_DEPTH + 1).as_bytes()), Err(ReplyError::TooDeep), "{kind:?}");
        assert_eq!(parse(kind.repeat(1_000_000).as_bytes()), Err(ReplyError::TooDeep), "{kind:?}");
    }
}

#[test]
fn the_elements_of_all_aggregates_count_together() {
    let limits = ReplyLimits { max_elements: 5, ..ReplyLimits::NORMAL };
    let next = |text: &str| ReplyParser::new(limits).next(text.as_bytes());
    assert!(next("*2\r\n*1\r\n:0\r\n%1\r\n:0\r\n:0\r\n").unwrap().is_some());
    assert_eq!(next("*2\r\n*2\r\n:0\r\n:0\r\n%1\r\n"), Err(ReplyError::TooManyElements));
}

#[test]
fn an_error_is_final_and_the_count_starts_anew_with_each_reply() {
    let limits = ReplyLimits { max_elements: 2, ..ReplyLimits::NORMAL };
    let mut parser = ReplyParser::new(limits);
    for _ in 0..3 {
        assert_eq!(parser.next(b"*2\r\n:1\r\n:2\r\n").unwrap().unwrap().consumed, 12);
    }
    assert_eq!(parser.next(b"*3\r\n"), Err(ReplyError::TooManyElements));
    assert_eq!(parser.next(b"+OK\r\n"), Err(ReplyError::TooManyElements));
}

#[test]
fn values_read_well() {
    let text = "*4\r\n$1\r\na\r\n:1\r\n_\r\n%1\r\n+k\r\n-ERR no\r\n";
    let value = parse(text.as_bytes()).unwrap().unwrap().value;
    assert_eq!(value.to_string(), "[a, 1, (nil), {k: (error) ERR no}]");
    let items = value.as_slice().unwrap();
    assert_eq!((items[0].as_bytes(), items[1].as_int(), items[2].as_bytes()), (Some(&b"a"[..]), Some(1), None));
    let flat = Value::Array(vec![Value::Int(1), Value::Int(2)]);
    assert_eq!(flat.pairs(), Some(vec![(&Value::Int(1), &Value::Int(2))]));
    assert_eq!(items[3].pairs().unwrap()[0].1.as_error(), Some(&b"ERR no"[..]));
    assert_eq!(Value::Array(vec![Value::Nil]).pairs(), None);
}
