//! Content transfer encodings undone (RFC 2045 §6): base64 and quoted-printable, leniently and in a stream.

/// How a body is encoded for transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 7bit, 8bit, binary, and any name not known: the bytes are what they are.
    Identity,
    /// RFC 2045 §6.8.
    Base64,
    /// RFC 2045 §6.7.
    QuotedPrintable,
}

impl Encoding {
    /// The encoding of that name, in any case; none stands for 7bit (RFC 2045 §6.1).
    #[must_use]
    pub fn of(name: Option<&[u8]>) -> Encoding {
        match name.map(<[u8]>::trim_ascii) {
            Some(name) if name.eq_ignore_ascii_case(b"base64") => Encoding::Base64,
            Some(name) if name.eq_ignore_ascii_case(b"quoted-printable") => Encoding::QuotedPrintable,
            _ => Encoding::Identity,
        }
    }

    /// The same where the name is one of RFC 2045 §6; for others nobody can say what the bytes were.
    #[must_use]
    pub fn known(name: Option<&[u8]>) -> Option<Encoding> {
        let encoding = Encoding::of(name);
        let is_plain = |name: &[u8]| {
            [&b"7bit"[..], b"8bit", b"binary"]
                .iter()
                .any(|plain| name.trim_ascii().eq_ignore_ascii_case(plain))
        };
        (encoding != Encoding::Identity || name.is_none_or(is_plain)).then_some(encoding)
    }
}

/// White space kept back until it is known whether it ends its line.
const SPACE_MAX: usize = 1_000;

/// Decodes a body that comes in pieces; how it is cut makes no difference.
#[derive(Debug)]
pub struct Decoder(State);

#[derive(Debug)]
enum State {
    Identity,
    Base64 { bits: u32, count: u8 },
    Quoted { held: Vec<u8>, escape: Escape },
}

/// Where quoted-printable stands within `=XY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Equals,
    Digit(u8),
}

impl Decoder {
    /// A decoder at the start of a body.
    #[must_use]
    pub fn new(encoding: Encoding) -> Decoder {
        Decoder(match encoding {
            Encoding::Identity => State::Identity,
            Encoding::Base64 => State::Base64 { bits: 0, count: 0 },
            Encoding::QuotedPrintable => State::Quoted { held: Vec::new(), escape: Escape::None },
        })
    }

    /// Appends what these bytes decode to.
    ///
    /// Base64: bytes outside the alphabet are skipped, padding ends a group and another may follow. Quoted-printable:
    /// an `=` that begins no valid escape is text; white space at the end of a line is dropped (RFC 2045 §6.7 rule 3).
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => out.extend_from_slice(bytes),
            State::Base64 { bits, count } => {
                for &byte in bytes {
                    base64_byte(byte, bits, count, out);
                }
            }
            State::Quoted { held, escape } => {
                for &byte in bytes {
                    quoted_byte(byte, held, escape, out);
                }
            }
        }
    }

    /// Appends what the end of the body decodes to.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => {}
            State::Base64 { bits, count } => base64_flush(bits, count, out),
            State::Quoted { held, escape } => {
                // `=` as the very last byte is a soft line break without its line end.
                if let Escape::Digit(digit) = *escape {
                    out.extend_from_slice(&[b'=', digit]);
                }
                if *escape == Escape::None {
                    out.append(held);
                }
            }
        }
    }
}

/// Decodes a whole body.
#[must_use]
pub fn decode(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut decoder = Decoder::new(encoding);
    decoder.feed(body, &mut out);
    decoder.finish(&mut out);
    out
}

fn base64_byte(byte: u8, bits: &mut u32, count: &mut u8, out: &mut Vec<u8>) {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        b'=' => return base64_flush(bits, count, out),
        _ => return,
    };
    *bits = *bits << 6 | u32::from(value);
    *count += 1;
    if *count == 4 {
        let [_, a, b, c] = bits.to_be_bytes();
        out.extend_from_slice(&[a, b, c]);
        (*bits, *count) = (0, 0);
    }
}

/// Ends a group of fewer than four digits: two hold one byte, three hold two, one holds none.
fn base64_flush(bits: &mut u32, count: &mut u8, out: &mut Vec<u8>) {
    match *count {
        2 => out.push((*bits >> 4) as u8),
        3 => out.extend_from_slice(&[(*bits >> 10) as u8, (*bits >> 2) as u8]),
        _ => {}
    }
    (*bits, *count) = (0, 0);
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn quoted_byte(byte: u8, held: &mut Vec<u8>, escape: &mut Escape, out: &mut Vec<u8>) {
    match *escape {
        Escape::Equals if held.is_empty() && hex(byte).is_some() => *escape = Escape::Digit(byte),
        // White space after `=` belongs to a soft line break, if the line ends there.
        Escape::Equals if matches!(byte, b' ' | b'\t' | b'\r') && held.len() < SPACE_MAX => held.push(byte),
        Escape::Equals if byte == b'\n' => {
            held.clear();
            *escape = Escape::None;
        }
        Escape::Equals => {
            *escape = Escape::None;
            out.push(b'=');
            out.append(held);
            quoted_byte(byte, held, escape, out);
        }
        Escape::Digit(first) => {
            *escape = Escape::None;
            if let (Some(high), Some(low)) = (hex(first), hex(byte)) {
                out.push(high << 4 | low);
            } else {
                out.extend_from_slice(&[b'=', first]);
                quoted_byte(byte, held, escape, out);
            }
        }
        Escape::None => quoted_text(byte, held, escape, out),
    }
}

fn quoted_text(byte: u8, held: &mut Vec<u8>, escape: &mut Escape, out: &mut Vec<u8>) {
    match byte {
        b' ' | b'\t' | b'\r' if held.len() < SPACE_MAX => held.push(byte),
        b'\n' => {
            if held.last() == Some(&b'\r') {
                out.push(b'\r');
            }
            held.clear();
            out.push(b'\n');
        }
        b'=' => {
            out.append(held);
            *escape = Escape::Equals;
        }
        _ => {
            out.append(held);
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes_what_is_valid_and_what_is_nearly() {
        use Encoding::{Base64, Identity, QuotedPrintable};
        let table: [(Encoding, &[u8], &[u8]); 17] = [
            (Identity, b"a=41\r\n", b"a=41\r\n"),
            (Base64, b"SGVs\r\nbG8=\r\n", b"Hello"),
            (Base64, b"SGVsbG8", b"Hello"),
            (Base64, b"SGk=SGk=", b"HiHi"),
            (Base64, b"S*G-k", b"Hi"),
            (Base64, b"A", b""),
            (Base64, b"", b""),
            (QuotedPrintable, b"a=3Db=e4", b"a=b\xe4"),
            (QuotedPrintable, b"soft=\r\nbreak", b"softbreak"),
            (QuotedPrintable, b"soft= \t\r\nbreak=\nx", b"softbreakx"),
            (QuotedPrintable, b"trail  \r\nnext \t\n", b"trail\r\nnext\n"),
            (QuotedPrintable, b"a b\tc", b"a b\tc"),
            (QuotedPrintable, b"=zz =4z= x", b"=zz =4z= x"),
            (QuotedPrintable, b"end=", b"end"),
            (QuotedPrintable, b"end=4", b"end=4"),
            (QuotedPrintable, b"==41", b"=A"),
            (QuotedPrintable, b"cr\rx", b"cr\rx"),
        ];
        for (encoding, body, want) in table {
            assert_eq!(decode(encoding, body), want, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn names() {
        assert_eq!(Encoding::of(Some(b" BASE64 ")), Encoding::Base64);
        assert_eq!(Encoding::of(Some(b"x-uuencode")), Encoding::Identity);
        assert_eq!(Encoding::of(None), Encoding::Identity);
        assert_eq!(Encoding::known(Some(b"x-uuencode")), None);
        assert_eq!(Encoding::known(Some(b" 8Bit")), Some(Encoding::Identity));
        assert_eq!(Encoding::known(Some(b"Base64")), Some(Encoding::Base64));
        assert_eq!(Encoding::known(None), Some(Encoding::Identity));
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(body in "[=A0z \t\r\n+/]{0,80}", cut in 0_usize..80, base64 in any::<bool>()) {
            let encoding = if base64 { Encoding::Base64 } else { Encoding::QuotedPrintable };
            let (a, b) = body.as_bytes().split_at(cut.min(body.len()));
            let mut out = Vec::new();
            let mut decoder = Decoder::new(encoding);
            decoder.feed(a, &mut out);
            decoder.feed(b, &mut out);
            decoder.finish(&mut out);
            prop_assert_eq!(out, decode(encoding, body.as_bytes()));
        }
    }
}
