//! A message made fit for servers that take 7 bits only (RFC 6152 §3, RFC 3030 §4).
//!
//! Each part that needs it gets another transfer encoding: quoted-printable for text, base64 for everything else. Parts that
//! need none stay byte for byte, but for a label that would claim more than 7 bits. What a part holds once decoded is the
//! same as before.
//!
//! Not everything can be converted, and nothing is converted by half: a header with raw 8-bit text has no 7-bit form here,
//! a signature (multipart/signed) would not survive, and a structure that is deeper or larger than [`Limits`] is not known
//! well enough. The message is whole in memory, and so is the result, which has up to three times its size.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::content::{media_type, param};
use super::header::fields;
use super::part::{Body, Part};
use super::structure::{Builder, Limits};
use super::transfer::{Encoding, decode};

/// RFC 5321 §4.5.3.1.6, RFC 2045 §2.7: bytes of a line, without its end.
const LINE: usize = 998;
/// RFC 2045 §6.7 rule 5, less the `=` of a soft line break.
const QUOTED_LINE: usize = 75;
/// Bytes that make a line of 76 characters in base64.
const BASE64_LINE: usize = 57;

/// Why a message has no 7-bit form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoForm {
    /// A header with raw 8-bit text, or with bytes that no header may have.
    #[error("a header field has characters that are not ASCII")]
    Header,
    /// Within multipart/signed or multipart/encrypted nothing may be changed (RFC 1847 §2.1).
    #[error("a part of it is signed or encrypted, and must not be changed")]
    Signed,
    /// Parts that can't be told from one another.
    #[error("its structure is too deep, too large or broken")]
    Structure,
}

/// Whether the bytes can travel as `7bit`: ASCII without NUL, in lines of at most 998 bytes that all end in CRLF.
#[must_use]
pub fn is_seven_bit(bytes: &[u8]) -> bool {
    if !bytes.is_ascii() {
        return false;
    }
    let mut line = 0;
    let mut before = 0;
    for &byte in bytes {
        match byte {
            0 => return false,
            b'\n' if before == b'\r' => line = 0,
            b'\n' => return false,
            _ if before == b'\r' => return false,
            b'\r' => {}
            _ if line == LINE => return false,
            _ => line += 1,
        }
        before = byte;
    }
    before != b'\r'
}

/// The message in 7 bits.
///
/// # Errors
/// When it can't be without changing what it says.
pub fn convert(message: &[u8]) -> Result<Vec<u8>, NoForm> {
    let mut builder = Builder::new(Limits { tree_bytes: 64 << 20, ..Limits::default() });
    builder.feed(message);
    let parsed = builder.finish();
    let mut converter = Converter { message, out: Vec::with_capacity(message.len() + message.len() / 4) };
    converter.part(&parsed.root, true)?;
    Ok(converter.out)
}

struct Converter<'a> {
    message: &'a [u8],
    out: Vec<u8>,
}

impl<'a> Converter<'a> {
    fn slice(&self, from: u64, to: u64) -> &'a [u8] {
        // Offsets are within bytes in memory.
        self.message.get(from as usize..to as usize).unwrap_or_default()
    }

    /// `is_message`: the part is a message of its own, and needs MIME-Version to be read as what it says.
    fn part(&mut self, part: &Part, is_message: bool) -> Result<(), NoForm> {
        let header = self.slice(part.header_start, part.body_start);
        let body = self.slice(part.body_start, part.body_end);
        if !is_header(header) {
            return Err(NoForm::Header);
        }
        let is_closed = part.is("multipart", "signed") || part.is("multipart", "encrypted");
        let is_fit = is_seven_bit(body);
        if is_closed && !is_fit {
            return Err(NoForm::Signed);
        }
        if is_closed {
            self.out.extend_from_slice(header);
            self.out.extend_from_slice(body);
            return Ok(());
        }
        let encoding = Encoding::of(part.encoding.as_deref());
        if is_fit && matches!(part.body, Body::Leaf) {
            self.header(header, part, None);
            self.out.extend_from_slice(body);
            return Ok(());
        }
        match &part.body {
            Body::Leaf => self.leaf(part, header, body, is_message),
            // RFC 6532 §3.7: unlike message/rfc822 it may be encoded, and its header may be UTF-8.
            Body::Message(_) if part.is("message", "global") && !is_fit => {
                self.header(header, part, Some("base64"));
                base64(&decode(encoding, body), &mut self.out);
                Ok(())
            }
            // RFC 2045 §6.4: these have no encoding; what was found inside is not what was meant.
            _ if encoding != Encoding::Identity && !is_fit => Err(NoForm::Structure),
            _ if encoding != Encoding::Identity => {
                self.out.extend_from_slice(header);
                self.out.extend_from_slice(body);
                Ok(())
            }
            Body::Message(message) => {
                self.header(header, part, None);
                self.part(&message.part, true)
            }
            Body::Multipart(children) => {
                self.header(header, part, None);
                self.children(part, children)
            }
        }
    }

    /// The parts of a multipart, and what stands between them.
    fn children(&mut self, part: &Part, children: &[Part]) -> Result<(), NoForm> {
        let boundary = param(&part.params, "boundary").unwrap_or_default().trim_ascii_end();
        let mut at = part.body_start;
        for child in children {
            let between = self.slice(at, child.header_start);
            if is_seven_bit(between) {
                self.out.extend_from_slice(between);
            } else {
                // Only a preamble says something here, and to nobody (RFC 2046 §5.1.1).
                if delimiters(between, boundary) != 1 {
                    return Err(NoForm::Structure);
                }
                self.delimiter(boundary, "");
            }
            self.part(child, false)?;
            at = child.body_end.max(at);
        }
        let rest = self.slice(at, part.body_end);
        if is_seven_bit(rest) {
            self.out.extend_from_slice(rest);
        } else {
            if delimiters(rest, boundary) != 0 {
                return Err(NoForm::Structure);
            }
            self.delimiter(boundary, "--");
        }
        Ok(())
    }

    fn delimiter(&mut self, boundary: &[u8], end: &str) {
        for piece in [b"\r\n--", boundary, end.as_bytes(), b"\r\n"] {
            self.out.extend_from_slice(piece);
        }
    }

    fn leaf(&mut self, part: &Part, header: &[u8], body: &[u8], is_message: bool) -> Result<(), NoForm> {
        let written =
            fields(header).find(|field| field.is("Content-Type")).and_then(|field| media_type(field.value));
        if let Some((kind, subtype, _)) = &written {
            let composite = kind.eq_ignore_ascii_case(b"multipart")
                || (kind.eq_ignore_ascii_case(b"message")
                    && [&b"rfc822"[..], b"partial", b"external-body"]
                        .iter()
                        .any(|name| subtype.eq_ignore_ascii_case(name)));
            // RFC 2045 §6.4, RFC 2046 §5.2: these have no encoding.
            if composite {
                return Err(NoForm::Structure);
            }
        }
        let encoding = Encoding::of(part.encoding.as_deref());
        let is_text = part.is_type("text") || part.is_type("message");
        let content = decode(encoding, body);
        let quoted = match encoding {
            Encoding::QuotedPrintable => true,
            Encoding::Base64 => false,
            Encoding::Identity => is_text && !content.contains(&0),
        };
        let name = if quoted { "quoted-printable" } else { "base64" };
        if is_message && !fields(header).any(|field| field.is("MIME-Version")) {
            self.out.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        if written.is_none() {
            // RFC 1428 §3 has a name for what nobody knows.
            let charset = if std::str::from_utf8(&content).is_ok() { "utf-8" } else { "unknown-8bit" };
            self.out.extend_from_slice(b"Content-Type: text/plain; charset=");
            self.out.extend_from_slice(charset.as_bytes());
            self.out.extend_from_slice(b"\r\n");
            let header: Vec<u8> = super::fixup::remove(header, "Content-Type");
            self.header(&header, part, Some(name));
        } else {
            self.header(header, part, Some(name));
        }
        if quoted {
            quoted_printable(&content, &mut self.out);
            // At a message's end there will be a line end; here is none that belongs to the text.
            if part.body_end == self.message.len() as u64 && !content.ends_with(b"\r\n") {
                self.out.extend_from_slice(b"=\r\n");
            }
        } else {
            base64(&content, &mut self.out);
        }
        Ok(())
    }

    /// A part's header with this transfer encoding; without one, 8bit and binary become 7bit and all else stays.
    fn header(&mut self, header: &[u8], part: &Part, encoding: Option<&str>) {
        let claims_more = part
            .encoding
            .as_deref()
            .is_some_and(|name| name.eq_ignore_ascii_case(b"8bit") || name.eq_ignore_ascii_case(b"binary"));
        let Some(name) = encoding.or(claims_more.then_some("7bit")) else {
            self.out.extend_from_slice(header);
            return;
        };
        let mut walked = 0;
        let mut is_written = false;
        let label = format!("Content-Transfer-Encoding: {name}\r\n");
        for field in fields(header) {
            walked += field.raw.len();
            if !field.is("Content-Transfer-Encoding") {
                self.out.extend_from_slice(field.raw);
                if !field.raw.ends_with(b"\n") {
                    self.out.extend_from_slice(b"\r\n");
                }
            } else if !std::mem::replace(&mut is_written, true) {
                self.out.extend_from_slice(label.as_bytes());
            }
        }
        if !is_written {
            self.out.extend_from_slice(label.as_bytes());
        }
        let rest = header.get(walked..).unwrap_or_default();
        self.out.extend_from_slice(if rest.is_empty() { b"\r\n" } else { rest });
    }
}

/// Whether a header can travel as it is; how long its lines are is not looked at.
fn is_header(header: &[u8]) -> bool {
    header.is_ascii() && header.split_inclusive(|byte| *byte == b'\n').all(is_header_line)
}

fn is_header_line(line: &[u8]) -> bool {
    let content = line.strip_suffix(b"\r\n").unwrap_or(line);
    !content.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
}

/// How many lines of these are the boundary, as `structure` reads it.
fn delimiters(bytes: &[u8], boundary: &[u8]) -> usize {
    let is_delimiter =
        |line: &[u8]| line.trim_ascii_end().strip_prefix(b"--").is_some_and(|rest| rest == boundary);
    bytes.split(|byte| *byte == b'\n').filter(|line| is_delimiter(line)).count()
}

fn base64(content: &[u8], out: &mut Vec<u8>) {
    for line in content.chunks(BASE64_LINE) {
        out.extend_from_slice(STANDARD.encode(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// RFC 2045 §6.7. CRLF is a line's end; bare CR and LF are characters.
fn quoted_printable(content: &[u8], out: &mut Vec<u8>) {
    let mut column = 0;
    let mut rest = content;
    while let Some((&byte, after)) = rest.split_first() {
        if rest.starts_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            column = 0;
            rest = rest.get(2..).unwrap_or_default();
            continue;
        }
        let ends_line = after.is_empty() || after.starts_with(b"\r\n");
        let is_literal = match byte {
            b'=' => false,
            b' ' | b'\t' => !ends_line,
            // What begins a line by our doing must not look like a boundary.
            b'-' => column < QUOTED_LINE,
            byte => byte.is_ascii_graphic(),
        };
        let width = if is_literal { 1 } else { 3 };
        if column + width > QUOTED_LINE {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if is_literal {
            out.push(byte);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend(b"=".iter().chain(HEX.get(high)).chain(HEX.get(low)));
        }
        column += width;
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders, PartType};
    use proptest::prelude::*;

    use super::*;

    fn text(message: &str) -> String {
        String::from_utf8(convert(message.replace('\n', "\r\n").as_bytes()).unwrap())
            .unwrap()
            .replace("\r\n", "\n")
    }

    #[test]
    fn what_is_seven_bit() {
        let long = [b'x'; 999];
        let table: [(&[u8], bool); 9] = [
            (b"", true),
            (b"a\r\n\r\nb", true),
            (b"a\n", false),
            (b"a\rb", false),
            (b"a\r", false),
            (b"a\0", false),
            ("ä".as_bytes(), false),
            (&long, false),
            (&long[1..], true),
        ];
        for (bytes, want) in table {
            assert_eq!(is_seven_bit(bytes), want, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_text_is_quoted() {
        assert_eq!(
            text(
                "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\nMIME-Version: 1.0\n\nä = b \n-\n"
            ),
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\nMIME-Version: 1.0\n\n=C3=A4 =3D b=20\n-\n"
        );
        assert_eq!(
            text("Subject: x\n\nä"),
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nSubject: x\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4=\n"
        );
    }

    #[test]
    fn only_parts_that_need_it_change() {
        let message = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\npreämble\n--b\n\nplain\n--b\n\
             Content-Type: image/png\nContent-Transfer-Encoding: binary\n\nä\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n\
             Subject: in\nContent-Type: text/plain; charset=utf-8\n\nö\n--b--\nepilögue\n";
        assert_eq!(
            text(message),
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\n\n--b\n\nplain\n--b\n\
             Content-Type: image/png\nContent-Transfer-Encoding: base64\n\nw6Q=\n\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n\
             MIME-Version: 1.0\nSubject: in\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=B6\n--b--\n"
        );
    }

    #[test]
    fn what_has_no_form() {
        let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(200) + "\r\nä\r\n";
        for (message, why) in [
            ("Subject: ä\r\n\r\nb\r\n", NoForm::Header),
            ("Subject: a\rb\r\n\r\nb\r\n", NoForm::Header),
            (
                "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nä\r\n--b\r\n\r\ns\r\n--b--\r\n",
                NoForm::Signed,
            ),
            (
                "Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\nä\r\n--b--\r\n",
                NoForm::Signed,
            ),
            ("Content-Type: multipart/mixed; boundary=b\r\n\r\nä\r\n", NoForm::Structure),
            ("Content-Type: multipart/mixed\r\n\r\nä\r\n", NoForm::Structure),
            ("Content-Type: message/partial; id=x\r\n\r\nä\r\n", NoForm::Structure),
            (
                "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n\r\nä\r\n",
                NoForm::Structure,
            ),
            (&deep, NoForm::Structure),
        ] {
            assert_eq!(convert(message.as_bytes()), Err(why), "{message}");
        }
        // What is signed and fits stays as it is beside what does not.
        let signed = "Content-Type: multipart/signed; boundary=c\n\n--c\nContent-Transfer-Encoding: 8bit\n\na\n--c\n\ns\n--c--\n";
        let message = format!(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n{signed}\n--b\nContent-Type: text/plain; charset=utf-8\n\nä\n--b--\n"
        );
        assert!(text(&message).contains(signed));
    }

    /// What a reader makes of it: each leaf's type and bytes.
    fn leaves(message: &[u8]) -> Vec<(String, Vec<u8>)> {
        fn walk(message: &mail_parser::Message<'_>, out: &mut Vec<(String, Vec<u8>)>) {
            for part in &message.parts {
                let kind = part.content_type().map_or(String::new(), |kind| {
                    format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default())
                });
                match &part.body {
                    PartType::Multipart(_) => {}
                    PartType::Message(inner) => walk(inner, out),
                    _ => out.push((kind, part.contents().to_vec())),
                }
            }
        }
        let mut out = Vec::new();
        walk(&MessageParser::default().parse(message).unwrap(), &mut out);
        out
    }

    /// A part without its place, and what it may say in its body.
    fn entity() -> impl Strategy<Value = Vec<u8>> {
        let words = prop_oneof![
            "[a-zäö=. \t-]{0,200}".prop_map(String::into_bytes),
            "[ -~]{0,1200}".prop_map(String::into_bytes),
        ];
        let lines = proptest::collection::vec(words, 0..4).prop_map(|lines| lines.join(&b"\r\n"[..]));
        let text = lines.prop_map(|body| {
            [
                &b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"[..],
                &body,
            ]
            .concat()
        });
        let opaque = proptest::collection::vec(
            any::<u8>().prop_filter("a line end and what boundaries begin with", |b| !b"\r\n-".contains(b)),
            0..2000,
        );
        let opaque = opaque.prop_map(|body| {
            [
                &b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"[..],
                &body,
            ]
            .concat()
        });
        prop_oneof![text, opaque].prop_recursive(3, 12, 4, |inner| {
            (proptest::collection::vec(inner.clone(), 1..4), "[a-z]{6}").prop_map(|(parts, boundary)| {
                let mut out =
                    format!("Content-Type: multipart/mixed; boundary=\"={boundary}\"\r\n\r\n").into_bytes();
                for part in parts {
                    out.extend_from_slice(format!("--={boundary}\r\n").as_bytes());
                    out.extend_from_slice(&part);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(format!("--={boundary}--\r\n").as_bytes());
                out
            })
        })
    }

    proptest! {
        #[test]
        fn says_the_same(entity in entity()) {
            let message = [&b"From: a@b.test\r\nMIME-Version: 1.0\r\n"[..], &entity].concat();
            let converted = convert(&message).unwrap();
            prop_assert!(is_seven_bit(&converted), "{}", String::from_utf8_lossy(&converted));
            prop_assert_eq!(leaves(&converted), leaves(&message), "{}", String::from_utf8_lossy(&converted));
        }

        #[test]
        fn any_bytes_give_an_answer(message in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(converted) = convert(&message) {
                prop_assert!(converted.is_ascii());
            }
        }

        #[test]
        fn quoting_is_undone(content in proptest::collection::vec(prop_oneof![Just(b'-'), Just(b'\r'), Just(b'\n'), Just(b' '), any::<u8>()], 0..400)) {
            let mut out = Vec::new();
            quoted_printable(&content, &mut out);
            prop_assert!(out.split(|b| *b == b'\n').all(|line| line.len() <= 77));
            prop_assert_eq!(decode(Encoding::QuotedPrintable, &out), content);
        }
    }
}
