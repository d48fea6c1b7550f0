//! Any line is a command or a refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailwright::smtp::answer::ReplyParser;
use mailwright::smtp::command::parse;

fuzz_target!(|line: &[u8]| {
    if let Err(bad) = parse(line) {
        let mut out = bytes::BytesMut::new();
        bad.reply().write(&mut out);
        // What we answer is what a client can read.
        assert!(ReplyParser::new().next(&mut out).is_ok());
    }
    let _ = ReplyParser::new().next(&mut bytes::BytesMut::from(line));
});
