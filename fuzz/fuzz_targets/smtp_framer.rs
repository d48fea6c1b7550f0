//! The first byte says how the message comes; the rest is cut in two places and must give the same frames whole.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mailwright::smtp::dot::Bare;
use mailwright::smtp::framer::{Frame, Framer};

fn frames(policy: Bare, pieces: &[&[u8]]) -> (Vec<u8>, usize) {
    let mut framer = Framer::new(512);
    framer.expect_data(policy);
    let (mut content, mut ends, mut input) = (Vec::new(), 0, BytesMut::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match framer.next(&mut input) {
                Frame::More => break,
                Frame::Data(bytes) => content.extend_from_slice(&bytes),
                Frame::DataEnd(_) => ends += 1,
                _ => {}
            }
        }
    }
    (content, ends)
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let policy = if first & 1 == 0 { Bare::Refuse } else { Bare::Normalise };
    let cut = usize::from(first >> 1) % (rest.len() + 1);
    let whole = frames(policy, &[rest]);
    assert_eq!(whole, frames(policy, &[&rest[..cut], &rest[cut..]]));
});
