//! The line ends of a message that came in chunks.
//!
//! RFC 3030 §2: what comes by BDAT without BODY=BINARYMIME is made of lines as DATA's is, so that CR and LF stand only
//! as CRLF (RFC 5321 §2.3.8). The framer holds DATA to that; a chunk it passes as it is.

use std::borrow::Cow;

use memchr::memchr2_iter;

use crate::smtp::Bare;

/// Watches over the line ends of one message.
#[derive(Debug, Default)]
pub(super) struct LineEnds {
    /// The last byte was CR.
    cr: bool,
    bare_seen: bool,
}

impl LineEnds {
    /// Was there a CR or LF outside of CRLF?
    pub(super) fn bare_seen(&self) -> bool {
        self.bare_seen
    }

    /// The next bytes, as they go on: with [`Bare::Normalise`] a lone CR or LF becomes CRLF.
    pub(super) fn pass<'a>(&mut self, bytes: &'a [u8], policy: Bare) -> Cow<'a, [u8]> {
        let Some(last) = bytes.last() else { return Cow::Borrowed(bytes) };
        let mut out = Vec::new();
        if self.cr && bytes.first() != Some(&b'\n') {
            self.bare_seen = true;
            out.push(b'\n');
        }
        let mut copied = 0;
        for at in memchr2_iter(b'\r', b'\n', bytes) {
            let before = at.checked_sub(1).map_or(self.cr, |before| bytes.get(before) == Some(&b'\r'));
            let (end, missing) = match (bytes.get(at), bytes.get(at + 1)) {
                (Some(b'\n'), _) if !before => (at, b'\r'),
                (Some(b'\r'), Some(next)) if *next != b'\n' => (at + 1, b'\n'),
                _ => continue,
            };
            self.bare_seen = true;
            out.extend_from_slice(bytes.get(copied..end).unwrap_or_default());
            out.push(missing);
            copied = end;
        }
        self.cr = *last == b'\r';
        if out.is_empty() || policy == Bare::Refuse {
            return Cow::Borrowed(bytes);
        }
        out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// The message has ended; gives what is missing at its end.
    pub(super) fn finish(&mut self, policy: Bare) -> &'static [u8] {
        let missing = std::mem::take(&mut self.cr);
        self.bare_seen |= missing;
        if missing && policy == Bare::Normalise { b"\n" } else { b"" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn passed(pieces: &[&[u8]], policy: Bare) -> (Vec<u8>, bool) {
        let mut line_ends = LineEnds::default();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend_from_slice(&line_ends.pass(piece, policy));
        }
        out.extend_from_slice(line_ends.finish(policy));
        (out, line_ends.bare_seen())
    }

    #[test]
    fn sees_what_stands_alone() {
        for bare in ["\n", "\r", "a\rb", "\r\r\n", "\r\n\n", "a\n.\nb"] {
            let (out, seen) = passed(&[bare.as_bytes()], Bare::Refuse);
            assert!(seen && out == bare.as_bytes(), "{bare:?}");
        }
        for clean in ["", "a", "\r\n", "a\r\n\r\nb"] {
            assert_eq!(passed(&[clean.as_bytes()], Bare::Refuse), (clean.into(), false));
        }
        assert_eq!(passed(&[b"a\r", b"\nb"], Bare::Refuse), (b"a\r\nb".to_vec(), false));
        assert_eq!(passed(&[b"a\r", b"b\n"], Bare::Normalise), (b"a\r\nb\r\n".to_vec(), true));
    }

    proptest! {
        #[test]
        fn normalised_is_clean_however_it_is_cut(text in "[a\r\n]{0,20}", cut in 1usize..6) {
            let whole = passed(&[text.as_bytes()], Bare::Normalise);
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            prop_assert_eq!(&passed(&pieces, Bare::Normalise), &whole);
            prop_assert!(!passed(&[&whole.0], Bare::Refuse).1);
        }
    }
}
