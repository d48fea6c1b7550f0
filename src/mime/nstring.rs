//! IMAP strings as answers write them (RFC 9051 §4.3, §9: `string`, `nstring`).

/// Strings longer than this are written as literals, which are read without scanning.
const QUOTED_MAX: usize = 1_000;

/// Writes a string: quoted where that is possible, else as a literal `{n}` CRLF and the bytes.
///
/// A literal is used for 8-bit bytes, CR and LF, which a quoted string may not hold (RFC 3501 §9), and for long
/// strings. NUL is in no IMAP string (RFC 9051 §4.3.1) and is left out.
pub fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    let quotable =
        bytes.len() <= QUOTED_MAX && bytes.iter().all(|b| b.is_ascii() && !matches!(b, b'\r' | b'\n'));
    if quotable {
        out.push(b'"');
        for &byte in bytes.iter().filter(|b| **b != 0) {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    } else {
        let len = bytes.iter().filter(|b| **b != 0).count();
        out.extend_from_slice(format!("{{{len}}}\r\n").as_bytes());
        out.extend(bytes.iter().filter(|b| **b != 0));
    }
}

/// Writes a string, or `NIL` for none.
pub fn write_nstring(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => write_string(bytes, out),
        None => out.extend_from_slice(b"NIL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_literal_or_nil() {
        let long = [b'x'; 1_001];
        let mut long_form = b"{1001}\r\n".to_vec();
        long_form.extend_from_slice(&long);
        let table: [(Option<&[u8]>, &[u8]); 8] = [
            (None, b"NIL"),
            (Some(b""), b"\"\""),
            (Some(b"a\"b\\c"), b"\"a\\\"b\\\\c\""),
            (Some(b"a\0b"), b"\"ab\""),
            (Some(b"a\rb"), b"{3}\r\na\rb"),
            (Some(b"\xe9\0"), b"{1}\r\n\xe9"),
            (Some(b"\n"), b"{1}\r\n\n"),
            (Some(&long), &long_form),
        ];
        for (given, want) in table {
            let mut out = Vec::new();
            write_nstring(given, &mut out);
            assert_eq!(out, want);
        }
    }
}
