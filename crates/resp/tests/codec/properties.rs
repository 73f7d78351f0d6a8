//! What holds for all streams?

use bellwether_resp::{Limits, Output, Protocol, ReplyLimits, ReplyParser, Value, Writer};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{encode, read, read_at_once, read_by};

/// Small limits, so that random streams meet all of them.
const TIGHT: Limits = Limits { max_args: 6, max_bulk: 12, max_inline: 24, max_query_buffer: 48, before_auth: false };

const WORDS: &[&str] = &["GET", "", "key", "a\r\nb", "post", "*1\r\n", "\0"];

#[rustfmt::skip]
const FRAGMENTS: &[&str] = &[
    "*", "$", "\r\n", "\r", "\n", "\0", "-1", "0", "1", "2", "10", "01", "+1", " ", "\"", "'", "\\x41", "PING\r\n",
    "*2\r\n", "$3\r\n", "*0\r\n", "*1\r\n$", "99999999999", "POST ", "host:",
];

#[rustfmt::skip]
const REPLY_FRAGMENTS: &[&str] = &[
    "*2\r\n", "%1\r\n", "|1\r\n", "~0\r\n", ">1\r\n", "$3\r\nabc\r\n", "$-1\r\n", "*-1\r\n", "_\r\n", "#t\r\n",
    "#x\r\n", ",1.5\r\n", ",x\r\n", "(12\r\n", "!3\r\nERR\r\n", "=5\r\ntxt:a\r\n", "\r", "\n", "*",
];

/// Pieces of which broken streams are made.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(prop::sample::select(WORDS), 1..5).prop_map(|args| encode(&args)),
        2 => ("GET|get|Gets", "[a-z]{0,11}").prop_map(|(name, key)| encode(&[name, key])),
        3 => prop::sample::select(FRAGMENTS).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..30),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..12).prop_map(|pieces| pieces.concat())
}

/// Cuts `bytes` after so many bytes each time.
fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for &size in sizes.iter().cycle() {
        if bytes.is_empty() || sizes.is_empty() {
            break;
        }
        let (chunk, rest) = bytes.split_at(size.min(bytes.len()));
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

/// Any reply a [`Writer`] can write in RESP3 and a parser tells apart.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let text = || "[a-zA-Z0-9 ]{0,12}".prop_map(String::into_bytes);
    // Keys of maps and members of sets: the oracle takes nothing but scalars there.
    let word = || "[a-z]{1,8}".prop_map(|text| Value::Bulk(text.into_bytes()));
    let leaf = prop_oneof![
        text().prop_map(Value::Simple),
        text().prop_map(Value::Error),
        any::<i64>().prop_map(Value::Int),
        vec(any::<u8>(), 0..20).prop_map(Value::Bulk),
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<f64>().prop_filter("equal to itself", |n| !n.is_nan()).prop_map(Value::Double),
        text().prop_map(|text| Value::Verbatim { format: *b"txt", text }),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((word(), inner), 0..4).prop_map(Value::Map),
            vec(word(), 0..6).prop_map(Value::Set),
        ]
    })
}

pub(crate) fn write<O: Output>(writer: &mut Writer<'_, O>, value: &Value) {
    match value {
        Value::Simple(text) => writer.simple(text),
        Value::Error(text) => writer.error(text),
        Value::Int(number) => writer.int(*number),
        Value::Bulk(bytes) => writer.bulk(bytes),
        Value::Nil => writer.nil(),
        Value::Bool(truth) => writer.bool(*truth),
        Value::Double(number) => writer.double(*number),
        Value::Verbatim { format, text } => writer.verbatim(*format, text),
        Value::BigNumber(_) => unreachable!("not generated"),
        Value::Map(pairs) => {
            writer.map(pairs.len());
            for (key, value) in pairs {
                write(writer, key);
                write(writer, value);
            }
        }
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            match value {
                Value::Set(_) => writer.set(items.len()),
                Value::Push(_) => writer.push(items.len()),
                _ => writer.array(items.len()),
            }
            for item in items {
                write(writer, item);
            }
        }
    }
}

/// What a RESP2 client gets in its place.
fn as_resp2(value: Value) -> Value {
    match value {
        Value::Bool(truth) => Value::Int(truth.into()),
        Value::Double(number) => {
            let mut bytes = Vec::new();
            Writer::new(&mut bytes, Protocol::Resp3).double(number);
            Value::Bulk(bytes[1..bytes.len() - 2].to_vec())
        }
        Value::Verbatim { text, .. } => Value::Bulk(text),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            Value::Array(items.into_iter().map(as_resp2).collect())
        }
        Value::Map(pairs) => Value::Array(pairs.into_iter().flat_map(|(k, v)| [as_resp2(k), as_resp2(v)]).collect()),
        scalar => scalar,
    }
}

/// All replies in `chunks`, whether the stream broke, and the bytes left.
fn replies<'a>(limits: ReplyLimits, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Value>, bool, usize) {
    let (mut parser, mut buffer, mut values) = (ReplyParser::new(limits), Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            match parser.next(&buffer) {
                Ok(Some(reply)) => {
                    assert!(0 < reply.consumed && reply.consumed <= buffer.len());
                    buffer.drain(..reply.consumed);
                    values.push(reply.value);
                }
                Ok(None) => break,
                Err(_) => return (values, true, 0),
            }
        }
    }
    (values, false, buffer.len())
}

fn reply_piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => value().prop_map(|value| {
            let mut bytes = Vec::new();
            write(&mut Writer::new(&mut bytes, Protocol::Resp3), &value);
            bytes
        }),
        2 => prop::sample::select(REPLY_FRAGMENTS).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..10),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_cut_of_a_stream_tells_the_same_story(bytes in stream(), sizes in vec(1..9_usize, 1..6)) {
        for limits in [Limits::NORMAL, Limits::BEFORE_AUTH, TIGHT] {
            let story = read_at_once(limits, &bytes);
            prop_assert_eq!(&read(limits, cut(&bytes, &sizes)), &story);
            prop_assert_eq!(&read_by(limits, cut(&bytes, &sizes), true), &story, "GETs are looked for first");
            prop_assert_eq!(&read_by(limits, [&bytes[..]], true), &story, "the same, uncut");
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = read_at_once(Limits::NORMAL, &bytes);
        let _ = read_at_once(TIGHT, &[b"*3\r\n$", &bytes[..]].concat());
        let _ = replies(ReplyLimits::NORMAL, [&bytes[..]]);
    }

    #[test]
    fn what_is_written_reads_back_equal(value in value()) {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let mut bytes = Vec::new();
            write(&mut Writer::new(&mut bytes, protocol), &value);
            let want = if protocol == Protocol::Resp3 { value.clone() } else { as_resp2(value.clone()) };
            prop_assert_eq!(replies(ReplyLimits::NORMAL, [&bytes[..]]), (vec![want], false, 0));
        }
    }

    #[test]
    fn any_cut_of_the_replies_reads_the_same(pieces in vec(reply_piece(), 0..8), sizes in vec(1..9_usize, 1..6)) {
        let bytes = pieces.concat();
        let tight = ReplyLimits { max_bytes: 40, max_bulk: 12, max_line: 16, max_elements: 8 };
        for limits in [ReplyLimits::NORMAL, tight] {
            prop_assert_eq!(
                format!("{:?}", replies(limits, cut(&bytes, &sizes))),
                format!("{:?}", replies(limits, [&bytes[..]]))
            );
        }
    }
}
