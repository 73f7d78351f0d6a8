//! Are commands found, and broken ones refused in Redis's words?

use bellwether_resp::{Limits, Parsed, Parser, ProtocolError};

use crate::{encode, read_at_once, read_bytewise};

fn words(command: &[&str]) -> Vec<Vec<u8>> {
    command.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn commands_of_either_form_follow_each_other_in_one_stream() {
    type Row = (&'static [u8], &'static [&'static [&'static str]], usize);
    let table: &[Row] = &[
        (b"*1\r\n$4\r\nPING\r\n", &[&["PING"]], 0),
        (b"*2\r\n$3\r\nGET\r\n$0\r\n\r\nPING\r\n", &[&["GET", ""], &["PING"]], 0),
        (b"PING\nPING a\r\n*1\r\n$1\r\nx\r\n", &[&["PING"], &["PING", "a"], &["x"]], 0),
        (b"\r\n\n  \r\n*0\r\n*-1\r\n*-77\r\nPING\r\n*0\r\n", &[&["PING"]], 0),
        (b"ECHO \"a\\x42\" 'c d'\r\n", &[&["ECHO", "aB", "c d"]], 0),
        // What Redis takes too: any two bytes behind an argument, any byte behind a CR.
        (b"*1\r\n$4\r\nPINGxxPING\r\n", &[&["PING"], &["PING"]], 0),
        (b"*1\rX$4\r\rPINGab", &[&["PING"]], 0),
        // Lone LFs end no length line, and NUL hides a line end: both wait for more.
        (b"*1\n$4\nPING\n", &[], 11),
        (b"a\0b\r\n", &[], 5),
        (b"*1\0\r\n", &[], 5),
        (b"*2\r\n$3\r\nGET\r\n$3\r\nke", &[], 19),
        (b"*1\r", &[], 3),
        (b"PING\r\nPI", &[&["PING"]], 2),
    ];
    for (bytes, commands, unread) in table {
        for story in [read_at_once(Limits::NORMAL, bytes), read_bytewise(Limits::NORMAL, bytes)] {
            assert_eq!(
                story.commands,
                commands.iter().map(|c| words(c)).collect::<Vec<_>>(),
                "{}",
                bytes.escape_ascii()
            );
            assert_eq!((story.error, story.unread), (None, *unread), "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn a_get_is_found_at_once_only_where_nothing_else_is_under_way() {
    let get = encode(&["gEt", "key"]);
    let length = get.len();
    let mut parser = Parser::new(Limits::NORMAL);
    assert_eq!(parser.get(&get), Some((length - 5..length - 2, length)));
    assert_eq!(parser.get(&[&get[..], b"PING\r\n"].concat()), Some((length - 5..length - 2, length)));
    for other in
        [&get[..length - 1], b"GET key\r\n", &encode(&["GET"]), &encode(&["GET", "a", "b"]), &encode(&["SET", "a"])]
    {
        assert_eq!(parser.get(other), None, "{}", other.escape_ascii());
    }
    // What has begun is gone on with.
    assert_eq!(parser.next(&get[..20]), Ok(None));
    assert_eq!(parser.get(&get), None);
    assert_eq!(parser.next(&get), Ok(Some(Parsed::Command { consumed: length })));
    assert_eq!(&parser.args(&get)[1], b"key");
    assert!(parser.get(&get).is_some());
    assert!(parser.args(&get).is_empty(), "that one is no more at hand");
    let mut stranger = Parser::new(Limits::BEFORE_AUTH);
    assert_eq!(stranger.get(&get), None);
}

#[test]
fn broken_streams_are_refused_in_rediss_words() {
    use ProtocolError::*;
    let no_line = |start: &str| [start.as_bytes(), &[b'1'; 65 * 1024]].concat();
    let table: Vec<(Vec<u8>, ProtocolError)> = vec![
        (b"*\r\n".into(), InvalidMultibulkLength),
        (b"*-\r\n".into(), InvalidMultibulkLength),
        (b"*+1\r\n".into(), InvalidMultibulkLength),
        (b"*01\r\n".into(), InvalidMultibulkLength),
        (b"*-0\r\n".into(), InvalidMultibulkLength),
        (b"* 1\r\n".into(), InvalidMultibulkLength),
        (b"*1 \r\n".into(), InvalidMultibulkLength),
        (b"*1\n\r\n".into(), InvalidMultibulkLength),
        (b"*NaN\r\n".into(), InvalidMultibulkLength),
        (b"*1048577\r\n".into(), InvalidMultibulkLength),
        (b"*2147483648\r\n".into(), InvalidMultibulkLength),
        (b"*99999999999999999999\r\n".into(), InvalidMultibulkLength),
        (b"*1\r\n$\r\n".into(), InvalidBulkLength),
        (b"*1\r\n$-1\r\n".into(), InvalidBulkLength),
        (b"*1\r\n$+4\r\n".into(), InvalidBulkLength),
        (b"*1\r\n$04\r\n".into(), InvalidBulkLength),
        (b"*1\r\n$NaN\r\n".into(), InvalidBulkLength),
        (b"*1\r\n$536870913\r\n".into(), InvalidBulkLength),
        (b"*1\r\n$9223372036854775808\r\n".into(), InvalidBulkLength),
        (b"*1\r\nPING\r\n".into(), ExpectedDollar(b'P')),
        (b"*1\r\n\r\n\r\n".into(), ExpectedDollar(b'\r')),
        (b"*1\r\n\n\r\n".into(), ExpectedDollar(b'\n')),
        (b"*2\r\n$1\r\na\r\n*1\r\n".into(), ExpectedDollar(b'*')),
        (no_line("*"), BigMultibulkCount),
        (no_line("*1\r\n$"), BigBulkCount),
        (no_line("*1\r\n"), BigBulkCount),
        (no_line("x"), BigInline),
        (b"GET \"a\r\n".into(), UnbalancedQuotes),
        (b"POST / HTTP/1.1\r\n".into(), Http),
        (b"host: localhost\r\n".into(), Http),
        (encode(&["pOsT", "/"]), Http),
        (encode(&["Host:"]), Http),
    ];
    for (bytes, error) in table {
        for story in [read_at_once(Limits::NORMAL, &bytes), read_bytewise(Limits::NORMAL, &bytes)] {
            assert_eq!(
                (story.error, story.commands.len()),
                (Some(error), 0),
                "{:.60}",
                bytes.escape_ascii().to_string()
            );
        }
    }
}

#[test]
fn only_the_first_word_makes_an_http_request() {
    for bytes in [&b"ECHO POST\r\n"[..], b"POSTS\r\n", b"Host\r\n", b"\"host\" :\r\n"] {
        assert_eq!(read_at_once(Limits::NORMAL, bytes).error, None, "{}", bytes.escape_ascii());
    }
}

#[test]
fn every_error_has_its_reply_and_only_silent_closes_have_none() {
    use ProtocolError::*;
    let reply = |error: ProtocolError| error.reply().map(|words| String::from_utf8(words.into_owned()).unwrap());
    for error in [
        InvalidMultibulkLength,
        InvalidBulkLength,
        ExpectedDollar(b'x'),
        BigMultibulkCount,
        BigBulkCount,
        BigInline,
        UnauthenticatedMultibulkLength,
        UnauthenticatedBulkLength,
        UnbalancedQuotes,
    ] {
        assert_eq!(reply(error), Some(format!("ERR Protocol error: {error}")));
    }
    assert_eq!(reply(ExpectedDollar(b'\r')).unwrap(), "ERR Protocol error: expected '$', got ' '");
    assert_eq!(ExpectedDollar(0xff).reply().unwrap().as_ref(), b"ERR Protocol error: expected '$', got '\xff'");
    assert_eq!((reply(QueryBufferFull), reply(Http)), (None, None));
}

#[test]
fn the_limits_are_exact() {
    let limits = Limits { max_args: 3, max_bulk: 5, max_inline: 20, max_query_buffer: 40, before_auth: false };
    let fits = |bytes: &[u8]| {
        let story = read_at_once(limits, bytes);
        assert_eq!(story, read_bytewise(limits, bytes), "{}", bytes.escape_ascii());
        story.error
    };
    assert_eq!(fits(&encode(&["a", "b", "c"])), None);
    assert_eq!(fits(&encode(&["a", "b", "c", "d"])), Some(ProtocolError::InvalidMultibulkLength));
    assert_eq!(fits(b"a b c\r\n"), None);
    assert_eq!(fits(b"a b c d\r\n"), Some(ProtocolError::InvalidMultibulkLength));
    assert_eq!(fits(&encode(&["12345"])), None);
    assert_eq!(fits(&encode(&["123456"])), Some(ProtocolError::InvalidBulkLength));
    assert_eq!(fits(format!("{}\n", "a".repeat(20)).as_bytes()), None);
    assert_eq!(fits(format!("{}\n", "a".repeat(21)).as_bytes()), Some(ProtocolError::BigInline));
    // 4 + 11 + 11 + 11 = 37 bytes; with lines as long as Redis allows them, the same command is too long.
    assert_eq!(fits(&encode(&["12345", "12345", "12345"])), None);
    let tight = Limits { max_query_buffer: 36, ..limits };
    let whole = encode(&["12345", "12345", "12345"]);
    assert_eq!(read_at_once(tight, &whole).error, Some(ProtocolError::QueryBufferFull));
    assert_eq!(read_at_once(Limits { max_query_buffer: 37, ..limits }, &whole).error, None);
}

#[test]
fn a_command_that_can_never_fit_is_refused_by_its_announcement() {
    let limits = Limits { max_query_buffer: 1000, ..Limits::NORMAL };
    assert_eq!(read_at_once(limits, b"*2\r\n$3\r\nSET\r\n$980\r\n").error, Some(ProtocolError::QueryBufferFull));
    assert_eq!(read_at_once(limits, b"*2\r\n$3\r\nSET\r\n$979\r\n").error, None);
}

#[test]
fn limits_without_limit_neither_overflow_nor_refuse() {
    let endless = Limits {
        max_args: usize::MAX,
        max_bulk: usize::MAX,
        max_inline: usize::MAX,
        max_query_buffer: usize::MAX,
        before_auth: false,
    };
    assert_eq!(read_at_once(endless, b"*9223372036854775807\r\n$1\r\na\r\n").error, None);
    assert_eq!(read_at_once(endless, b"*1\r\n$9223372036854775807\r\na").error, Some(ProtocolError::QueryBufferFull));
    assert_eq!(read_at_once(endless, b"PING\r\n").commands, [words(&["PING"])]);
}

#[test]
fn before_auth_a_client_gets_ten_arguments_of_16_kib() {
    let error = |limits, bytes: &[u8]| read_at_once(limits, bytes).error;
    let (ten, eleven) = (encode(&["a"; 10]), encode(&["a"; 11]));
    let (fits, big) = (encode(&["a".repeat(16384)]), b"*1\r\n$16385\r\n");
    assert_eq!(error(Limits::BEFORE_AUTH, &ten), None);
    assert_eq!(error(Limits::BEFORE_AUTH, &fits), None);
    assert_eq!(error(Limits::BEFORE_AUTH, &eleven), Some(ProtocolError::UnauthenticatedMultibulkLength));
    assert_eq!(error(Limits::BEFORE_AUTH, big), Some(ProtocolError::UnauthenticatedBulkLength));
    // Nonsense stays nonsense, as Redis words it.
    assert_eq!(error(Limits::BEFORE_AUTH, b"*99999999999\r\n"), Some(ProtocolError::InvalidMultibulkLength));
    assert_eq!(error(Limits::BEFORE_AUTH, b"*1\r\n$99999999999\r\n"), Some(ProtocolError::InvalidBulkLength));
    // Control: the same bytes are fine once authenticated.
    assert_eq!(error(Limits::NORMAL, &eleven), None);
    assert_eq!(error(Limits::NORMAL, big), None);
}

#[test]
fn auth_in_a_pipeline_frees_the_commands_behind_it() {
    let mut parser = Parser::new(Limits::BEFORE_AUTH);
    let mut input = encode(&["AUTH", "secret"]);
    input.extend(encode(&["MGET"; 11]));
    let auth = parser.next(&input).unwrap().unwrap();
    parser.set_limits(Limits::NORMAL);
    let rest = &input[auth.consumed()..];
    assert_eq!(parser.next(rest), Ok(Some(Parsed::Command { consumed: rest.len() })));
    assert_eq!(parser.args(rest).len(), 11);
}

#[test]
fn an_error_is_final() {
    let mut parser = Parser::new(Limits::NORMAL);
    assert_eq!(parser.next(b"*x\r\n"), Err(ProtocolError::InvalidMultibulkLength));
    assert_eq!(parser.next(b"PING\r\n"), Err(ProtocolError::InvalidMultibulkLength));
    assert!(parser.args(b"PING\r\n").is_empty());
}

#[test]
fn arguments_are_slices_of_the_read_buffer() {
    let input = encode(&["SET", "k", "v\r\n\0"]);
    let mut parser = Parser::new(Limits::NORMAL);
    assert_eq!(parser.next(&input), Ok(Some(Parsed::Command { consumed: input.len() })));
    let args = parser.args(&input);
    assert_eq!((&args[0], args.get(2), args.get(3)), (&b"SET"[..], Some(&b"v\r\n\0"[..]), None));
    assert!(input.as_ptr_range().contains(&args.get(2).unwrap().as_ptr()), "not a copy");
    assert_eq!(args.from(1).iter().collect::<Vec<_>>(), [&b"k"[..], b"v\r\n\0"]);
    assert_eq!((args.from(3).len(), args.from(9).len(), args.iter().len()), (0, 0, 3));
    assert_eq!(format!("{args:?}"), r#"["SET", "k", "v\\r\\n\\x00"]"#);
}

#[test]
fn a_shrunken_buffer_is_a_callers_bug_but_no_panic() {
    let mut parser = Parser::new(Limits::NORMAL);
    assert_eq!(parser.next(b"*3\r\n$3\r\nSET\r\n$3\r\nke"), Ok(None));
    assert_eq!(parser.next(b"*3\r\n$"), Ok(None));
    assert_eq!(parser.next(b""), Ok(None));
    parser.set_limits(Limits { max_inline: 0, max_query_buffer: 4, ..Limits::NORMAL });
    assert_eq!(parser.next(b"*3\r\n$3\r\nSET\r\n$3\r\nke"), Err(ProtocolError::QueryBufferFull));
}
