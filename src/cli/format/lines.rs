//! Line ends, in a stream cut anywhere.

/// LF to CRLF; a CRLF stays as it is.
#[derive(Default)]
pub struct ToCrlf {
    after_cr: bool,
}

impl ToCrlf {
    /// Appends what `bytes` are with CRLF line ends.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len() + bytes.len() / 32);
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(at);
            let has_cr = line.last().map_or(self.after_cr, |&b| b == b'\r');
            out.extend_from_slice(line);
            out.extend_from_slice(if has_cr { b"\n" } else { b"\r\n" });
            self.after_cr = false;
            bytes = rest.get(1..).unwrap_or_default();
        }
        out.extend_from_slice(bytes);
        if let Some(&last) = bytes.last() {
            self.after_cr = last == b'\r';
        }
    }
}

/// CRLF to LF; a lone CR stays as it is.
#[derive(Default)]
pub struct ToLf {
    held_cr: bool,
}

impl ToLf {
    /// Appends what `bytes` are with LF line ends. A CR at the end is held until it is known what follows.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len() + 1);
        for piece in bytes.split_inclusive(|&b| b == b'\r') {
            if self.held_cr && piece.first() != Some(&b'\n') {
                out.push(b'\r');
            }
            self.held_cr = piece.last() == Some(&b'\r');
            let kept = if self.held_cr { piece.get(..piece.len() - 1).unwrap_or_default() } else { piece };
            out.extend_from_slice(kept);
        }
    }

    /// Appends what was held.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.held_cr {
            out.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to_crlf(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut out, mut lines) = (Vec::new(), ToCrlf::default());
        pieces.iter().for_each(|piece| lines.feed(piece, &mut out));
        out
    }

    fn to_lf(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut out, mut lines) = (Vec::new(), ToLf::default());
        pieces.iter().for_each(|piece| lines.feed(piece, &mut out));
        lines.finish(&mut out);
        out
    }

    #[test]
    fn both_ways() {
        assert_eq!(to_crlf(&[b"a\nb\r\n\nc\rd\n"]), b"a\r\nb\r\n\r\nc\rd\r\n");
        assert_eq!(to_crlf(&[b"a\r", b"", b"\nb", b"\n"]), b"a\r\nb\r\n");
        assert_eq!(to_lf(&[b"a\r\nb\n\r\nc\rd\r\n\r"]), b"a\nb\n\nc\rd\n\r");
        assert_eq!(to_lf(&[b"\r\r\n"]), b"\r\n");
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(text in "[a\r\n]{0,40}", at in 0usize..41) {
            let (one, two) = text.as_bytes().split_at(at.min(text.len()));
            prop_assert_eq!(to_crlf(&[one, two]), to_crlf(&[text.as_bytes()]));
            prop_assert_eq!(to_lf(&[one, two]), to_lf(&[text.as_bytes()]));
        }

        #[test]
        fn clean_text_comes_back(lines in proptest::collection::vec("[ab]{0,3}", 0..9)) {
            let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            prop_assert_eq!(to_crlf(&[&to_lf(&[text.as_bytes()])]), text.as_bytes());
        }
    }
}
