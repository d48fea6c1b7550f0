//! What a submission server may change in a header (RFC 6409 §8): add a field that is missing, take one out.

use super::header::fields;

/// Whether the header has a field of that name, in any case.
#[must_use]
pub fn has(header: &[u8], name: &str) -> bool {
    fields(header).any(|field| field.is(name))
}

/// The header without the fields of that name; everything else stays byte for byte.
#[must_use]
pub fn remove(header: &[u8], name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len());
    let mut walked = 0;
    for field in fields(header) {
        walked += field.raw.len();
        if !field.is(name) {
            out.extend_from_slice(field.raw);
        }
    }
    out.extend_from_slice(header.get(walked..).unwrap_or_default());
    out
}

/// The header with a field put before all others. The value is the caller's: without line ends, or folded.
#[must_use]
pub fn prepend(header: &[u8], name: &str, value: &str) -> Vec<u8> {
    let field = format!("{name}: {value}\r\n");
    [field.as_bytes(), header].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"From: a\r\nBCC: b,\r\n c\r\njunk\r\nbcc : d\r\n\r\nBcc: body\r\n";

    #[test]
    fn has_by_name_in_the_header_only() {
        assert!(!has(HEADER, "date"));
        assert!(!has(b"\r\nDate: x\r\n", "date"));
        assert!(has(HEADER, "bcc"));
    }

    #[test]
    fn removes_every_one_and_nothing_else() {
        assert_eq!(remove(HEADER, "Bcc"), b"From: a\r\njunk\r\n\r\nBcc: body\r\n");
        assert_eq!(remove(HEADER, "date"), HEADER);
    }

    #[test]
    fn prepends() {
        assert_eq!(prepend(b"\r\n", "Date", "now"), b"Date: now\r\n\r\n");
    }
}
