//! Any bytes are lines, the same however they are cut, and any line has a verb and perhaps numbers.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mailwright::pop3::wire::{Awaited, Framer, Line, number, split};

fn lines(awaited: Awaited, pieces: &[&[u8]]) -> Vec<Line> {
    let (mut framer, mut input, mut lines) = (Framer::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Some(line) = framer.next(&mut input, awaited) {
            lines.push(line);
        }
    }
    lines
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let awaited = if first & 1 == 0 { Awaited::Command } else { Awaited::Response };
    let cut = usize::from(first >> 1) % (rest.len() + 1);
    let whole = lines(awaited, &[rest]);
    assert_eq!(whole, lines(awaited, &[&rest[..cut], &rest[cut..]]));
    for line in whole {
        if let Line::Text(text) = line {
            let (_, rest) = split(&text);
            let _ = rest.map(number);
        }
    }
});
