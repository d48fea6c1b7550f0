//! Any bytes are a deflate stream or not, however they come in; each step gives a bounded piece, and what was packed comes out
//! as it went in.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mailwright::net::deflate::{Last, Packer, Unpacked, Unpacker};

/// What one step may give at most.
const STEP: usize = 16 * 1024;

fuzz_target!(|data: &[u8]| {
    let Some((&first, stream)) = data.split_first() else { return };
    let cut = usize::from(first) % (stream.len() + 1);
    let whole = unpack(&[stream]);
    let pieces = unpack(&[&stream[..cut], &stream[cut..]]);
    if let (Some(whole), Some(pieces)) = (&whole, &pieces) {
        assert_eq!(whole, pieces);
    }
    let packed = Packer::default().pack(stream, Last::No).expect("anything can be packed");
    assert_eq!(unpack(&[&packed]).expect("what was packed can be unpacked"), stream);
});

fn unpack(pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let mut unpacker = Unpacker::new(BytesMut::new());
    let mut all = Vec::new();
    for piece in pieces {
        unpacker.packed().extend_from_slice(piece);
        loop {
            let mut plain = BytesMut::new();
            let step = unpacker.step(&mut plain).ok()?;
            assert!(plain.len() <= STEP);
            all.extend_from_slice(&plain);
            // A few bytes may inflate to a thousand times as many: the session would stop at its limits, and so does this.
            if step != Unpacked::Some || all.len() > 1 << 20 {
                break;
            }
        }
    }
    Some(all)
}
