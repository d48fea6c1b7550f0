//! Any bytes are framed within bounds, and any unit is a command or a refusal.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mailwright::imap::cmd::{Context, parse};
use mailwright::imap::table::States;
use mailwright::imap::wire::framer::{Frame, Framer, Limits};
use mailwright::imap::wire::name::NameCoding;

fuzz_target!(|data: &[u8]| {
    let mut framer = Framer::new(Limits::default());
    let mut input = BytesMut::from(data);
    for state in [States::SELECTED, States::NOT_AUTHENTICATED].into_iter().cycle() {
        match framer.next(&mut input) {
            Frame::NeedMore | Frame::Fatal(_) => break,
            Frame::Command(unit) => {
                let _ = parse(&unit, Context { state, coding: NameCoding::ModifiedUtf7 });
            }
            Frame::Message(unit) => match parse(&unit, Context { state, coding: NameCoding::ModifiedUtf7 }) {
                Ok(_) => framer.stream(),
                Err(_) => framer.refuse(),
            },
            _ => {}
        }
    }
});
