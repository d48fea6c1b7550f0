//! The `Content-*` fields as bytes (RFC 2045 §5, RFC 2183, RFC 3282): a value and its parameters.
//!
//! Values are unquoted and freed of comments, and otherwise left as written: RFC 2231 continuations and RFC 2047 words
//! stay what they are, since BODYSTRUCTURE shows them so. [`crate::mime::decode`] reads them.

use super::header::unfold;

/// Parameters in their order, name and value as written, unquoted.
pub type Params = Vec<(Vec<u8>, Vec<u8>)>;

/// Parameters kept of one field; RFC 2231 continuations of a long file name need some dozens.
const PARAMS_MAX: usize = 100;

/// The value of the first parameter of that name, in any case.
#[must_use]
pub fn param<'a>(params: &'a Params, name: &str) -> Option<&'a [u8]> {
    let found = params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, value)| value.as_slice())
}

/// Reads `type "/" subtype *(";" parameter)`; none if type or subtype is missing.
#[must_use]
pub fn media_type(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>, Params)> {
    let line = unfold(value);
    let mut scan = Scan { rest: &line };
    let kind = scan.token().to_vec();
    if kind.is_empty() || !scan.eat(b'/') {
        return None;
    }
    let subtype = scan.token().to_vec();
    if subtype.is_empty() {
        return None;
    }
    Some((kind, subtype, scan.params()))
}

/// Reads `token *(";" parameter)`, the form of Content-Disposition; none if the token is missing.
#[must_use]
pub fn token_and_params(value: &[u8]) -> Option<(Vec<u8>, Params)> {
    let line = unfold(value);
    let mut scan = Scan { rest: &line };
    let token = scan.token().to_vec();
    (!token.is_empty()).then(|| (token, scan.params()))
}

/// Reads the first token, the form of Content-Transfer-Encoding.
#[must_use]
pub fn token(value: &[u8]) -> Option<Vec<u8>> {
    token_and_params(value).map(|(token, _)| token)
}

/// Reads tokens between commas, the form of Content-Language (RFC 3282), at most as many as parameters are kept.
#[must_use]
pub fn tokens(value: &[u8]) -> Vec<Vec<u8>> {
    let line = unfold(value);
    let mut scan = Scan { rest: &line };
    let mut out = Vec::new();
    while out.len() < PARAMS_MAX && !scan.rest.is_empty() {
        let token = scan.token();
        if !token.is_empty() {
            out.push(token.to_vec());
        }
        if !scan.eat(b',') {
            scan.skip_past(b',');
        }
    }
    out
}

/// A walk over the tokens of an unfolded value. Every step consumes or ends, so a walk is linear.
struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    fn advance(&mut self, by: usize) {
        self.rest = self.rest.get(by..).unwrap_or_default();
    }

    /// Skips white space and comments, which nest (RFC 5322 §3.2.2).
    fn skip_space(&mut self) {
        let mut depth = 0_usize;
        let mut at = 0;
        while let Some(&byte) = self.rest.get(at) {
            match byte {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => at += 1,
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if depth > 0 => {}
                _ => break,
            }
            at += 1;
        }
        self.advance(at);
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.rest.first() == Some(&byte);
        if found {
            self.advance(1);
        }
        found
    }

    fn take_until(&mut self, stop: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|b| stop(*b)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip_past(&mut self, byte: u8) {
        self.take_until(|b| b == byte);
        self.advance(1);
    }

    /// RFC 2045 §5.1: a token ends at white space, `tspecials` or a control; kept here to those that matter.
    fn token(&mut self) -> &'a [u8] {
        self.skip_space();
        self.take_until(|b| b <= b' ' || matches!(b, b';' | b'/' | b'=' | b',' | b'"' | b'('))
    }

    fn params(&mut self) -> Params {
        let mut params = Params::new();
        while params.len() < PARAMS_MAX && !self.rest.is_empty() {
            if !self.eat(b';') {
                // Something after the value that is no parameter: go on at the next semicolon.
                self.skip_past(b';');
            }
            let name = self.token();
            if name.is_empty() || !self.eat(b'=') {
                self.take_until(|b| b == b';');
                continue;
            }
            params.push((name.to_vec(), self.value(name)));
        }
        params
    }

    fn value(&mut self, name: &[u8]) -> Vec<u8> {
        self.skip_space();
        if self.rest.first() == Some(&b'"') {
            return self.quoted();
        }
        // File names are often written with spaces and brackets but without the quotes these need.
        if name.eq_ignore_ascii_case(b"name") || name.eq_ignore_ascii_case(b"filename") {
            return self.take_until(|b| b == b';').trim_ascii_end().to_vec();
        }
        self.take_until(|b| b <= b' ' || matches!(b, b';' | b'"' | b'(')).to_vec()
    }

    /// A quoted string, its quotes and backslashes removed (RFC 5322 §3.2.4); one that is never closed ends with the
    /// field.
    fn quoted(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 1;
        while let Some(&byte) = self.rest.get(at) {
            at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    if let Some(&next) = self.rest.get(at) {
                        out.push(next);
                        at += 1;
                    }
                }
                _ => out.push(byte),
            }
        }
        self.advance(at);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(params: &Params) -> Vec<(String, String)> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        params.iter().map(|(k, v)| (text(k), text(v))).collect()
    }

    #[test]
    fn no_type_without_both_halves() {
        for bad in ["", "text", "text/", "/plain", "; charset=x", "(text/plain)"] {
            assert_eq!(media_type(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn reads_parameters_however_written() {
        let table = [
            (" text/plain; charset=us-ascii (Plain text)\r\n", vec![("charset", "us-ascii")]),
            (
                "text/plain;\r\n charset=\"a\\\"b\"; Format = flowed",
                vec![("charset", "a\"b"), ("Format", "flowed")],
            ),
            ("text/plain;; ;charset=x;", vec![("charset", "x")]),
            ("text/plain charset=x; y=z", vec![("y", "z")]),
            ("a/b; name=my file (1).pdf ; x=y", vec![("name", "my file (1).pdf"), ("x", "y")]),
            ("a/b; x=\"open", vec![("x", "open")]),
            ("a/b; name*0*=utf-8''%41; name*1=b", vec![("name*0*", "utf-8''%41"), ("name*1", "b")]),
            ("a/b; boundary=----=_Part/1=x", vec![("boundary", "----=_Part/1=x")]),
        ];
        for (line, want) in table {
            let (_, _, params) = media_type(line.as_bytes()).unwrap();
            let want: Vec<(String, String)> = want.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            assert_eq!(shown(&params), want, "{line}");
        }
        let many = format!("a/b{}", ";x=y".repeat(5_000));
        assert_eq!(media_type(many.as_bytes()).unwrap().2.len(), PARAMS_MAX);
    }

    #[test]
    fn reads_tokens() {
        assert_eq!(token(b" Base64 (x)\r\n"), Some(b"Base64".to_vec()));
        assert_eq!(token(b" (x)"), None);
        assert_eq!(
            tokens(b"de, (Swiss) fr-CH,,en;q=1, it"),
            [b"de".to_vec(), b"fr-CH".to_vec(), b"en".to_vec(), b"it".to_vec()]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[a/;=\"\\\\() ,\r\n]{0,60}") {
            for value in [bytes.as_slice(), text.as_bytes()] {
                let _ = media_type(value);
                let _ = token_and_params(value);
                let _ = tokens(value);
            }
        }
    }
}
