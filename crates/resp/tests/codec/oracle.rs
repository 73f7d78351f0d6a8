//! Does an independent codec read the same as ours?

use bellwether_resp::{Limits, Parsed, Parser, Protocol, Writer};
use proptest::collection::vec;
use proptest::prelude::*;
use redis_protocol::{resp2, resp3};

use crate::encode;
use crate::properties::{value, write};

proptest! {
    #[test]
    fn another_parser_finds_the_same_arguments(
        args in vec(vec(any::<u8>(), 0..40), 1..20),
        behind in vec(any::<u8>(), 0..20),
    ) {
        prop_assume!(!args[0].eq_ignore_ascii_case(b"post") && !args[0].eq_ignore_ascii_case(b"host:"));
        let mut bytes = encode(&args);
        bytes.extend(behind);
        let (frame, used) = resp2::decode::decode(&bytes).unwrap().expect("complete");
        let resp2::types::OwnedFrame::Array(frames) = frame else { panic!("an array was sent") };
        let theirs: Vec<Vec<u8>> = frames
            .into_iter()
            .map(|frame| match frame {
                resp2::types::OwnedFrame::BulkString(bytes) => bytes,
                other => panic!("bulk strings were sent, got {other:?}"),
            })
            .collect();
        let mut parser = Parser::new(Limits::NORMAL);
        prop_assert_eq!(parser.next(&bytes), Ok(Some(Parsed::Command { consumed: used })));
        let ours: Vec<Vec<u8>> = parser.args(&bytes).iter().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(&ours, &theirs);
        prop_assert_eq!(ours, args);
    }

    #[test]
    fn another_client_reads_every_reply_to_its_end(value in value()) {
        let mut bytes = Vec::new();
        write(&mut Writer::new(&mut bytes, Protocol::Resp3), &value);
        let (_, used) = resp3::decode::complete::decode(&bytes).unwrap().expect("complete");
        prop_assert_eq!(used, bytes.len());
        bytes.clear();
        write(&mut Writer::new(&mut bytes, Protocol::Resp2), &value);
        let (_, used) = resp2::decode::decode(&bytes).unwrap().expect("complete");
        prop_assert_eq!(used, bytes.len());
    }
}
