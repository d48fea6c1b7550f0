//! Any bytes are framed within bounds, and any unit is a command, more of one, or a refusal.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mailwright::imap::cmd::append::grammar::{Takes, Within, steps};
use mailwright::imap::cmd::{Command, Context, parse};
use mailwright::imap::table::States;
use mailwright::imap::wire::framer::{Frame, Framer, Limits};
use mailwright::imap::wire::name::NameCoding;
use mailwright::imap::wire::parser::{Charsets, Parser};
use mailwright::imap::wire::unit::Unit;

fuzz_target!(|data: &[u8]| {
    let mut framer = Framer::new(Limits::default());
    let mut input = BytesMut::from(data);
    // Where APPEND or REPLACE stands, while messages of it come in.
    let mut open: Option<(Within, Takes)> = None;
    for state in [States::SELECTED, States::NOT_AUTHENTICATED].into_iter().cycle() {
        match framer.next(&mut input) {
            Frame::NeedMore | Frame::Fatal(_) => break,
            Frame::Command(unit) | Frame::Message(unit) | Frame::Tail(unit) => {
                open = match open {
                    Some(open) => go_on(&unit, open),
                    None => begin(&unit, state),
                };
                match open {
                    Some(_) => framer.stream(),
                    None => framer.refuse(),
                }
            }
            Frame::Refused(_) => open = None,
            _ => {}
        }
    }
});

fn begin(unit: &Unit, state: States) -> Option<(Within, Takes)> {
    let context = Context { state, coding: NameCoding::ModifiedUtf7, charsets: Charsets::Any };
    let request = parse(unit, context).ok()?;
    unit.pending()?;
    match request.command {
        Command::Append(append) => Some((append.within, Takes::Several)),
        Command::Replace(replace) => Some((replace.append.within, Takes::One)),
        _ => None,
    }
}

fn go_on(unit: &Unit, (mut within, takes): (Within, Takes)) -> Option<(Within, Takes)> {
    let mut parser = Parser::new(unit, NameCoding::default());
    steps(&mut parser, &mut within, takes).ok()?;
    unit.pending().map(|_| (within, takes))
}
