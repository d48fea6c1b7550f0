//! Any bytes have a structure, the same however they are cut, with sound offsets and an answer for IMAP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailwright::mime::bodystructure::{Form, write_bodystructure};
use mailwright::mime::envelope::{Envelope, write_envelope};
use mailwright::mime::structure::{Builder, Limits};
use mailwright::mime::summary::Summary;

fuzz_target!(|data: &[u8]| {
    let Some((&first, message)) = data.split_first() else { return };
    let cut = usize::from(first) % (message.len() + 1);
    let build = |pieces: &[&[u8]]| {
        let mut builder = Builder::new(Limits::default());
        pieces.iter().for_each(|piece| builder.feed(piece));
        builder.finish()
    };
    let parsed = build(&[message]);
    assert_eq!(parsed, build(&[&message[..cut], &message[cut..]]));
    assert!(parsed.root.walk().all(|part| part.body_start <= part.body_end && part.body_end <= parsed.size));
    let mut out = Vec::new();
    write_bodystructure(&parsed.root, Form::BodyStructure, &mut out);
    write_envelope(&Envelope::parse(&parsed.header), &mut out);
    let _ = Summary::new(&parsed.header, &parsed.root);
});
