//! Address lists as bytes (RFC 5322 §3.4 and the obsolete forms of §4.4): mailboxes, groups, routes, comments.
//!
//! The reader is lenient because real mail is not: names with unquoted dots, commas left empty, semicolons between
//! addresses and an `@` in a name are all read the way people meant them. Quoting is removed (RFC 9051 §7.5.2), encoded
//! words stay. One pass, no backing up.

use serde::{Deserialize, Serialize};

/// One element of an address list, in the flat form IMAP uses (RFC 9051 §7.5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// A mailbox.
    Mailbox(Mailbox),
    /// A group of that name begins.
    GroupStart(Vec<u8>),
    /// The group ends.
    GroupEnd,
}

/// A mailbox: a display name and an addr-spec, unquoted and undecoded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mailbox {
    /// Display name, or the comment that older mail has instead.
    pub name: Option<Vec<u8>>,
    /// The route of an obsolete route address, such as `@a,@b`.
    pub route: Option<Vec<u8>>,
    /// Local part; empty if it is missing.
    pub local: Vec<u8>,
    /// Domain or domain literal; empty if it is missing.
    pub domain: Vec<u8>,
}

/// Reads a list of addresses, at most `limit` elements (two more may close and open a group).
#[must_use]
pub fn parse_list(value: &[u8], limit: usize) -> Vec<Address> {
    let mut list = List { limit, ..List::default() };
    let mut rest = value;
    while list.found.len() < limit {
        let Some((&byte, after)) = rest.split_first() else { break };
        rest = after;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => list.one.gap = true,
            b'(' => rest = list.one.comment(rest),
            b'"' => rest = list.one.quoted(rest),
            b'[' if list.one.in_domain() => rest = list.one.literal(rest),
            _ => list.special(byte),
        }
    }
    list.finish()
}

#[derive(Default)]
struct List {
    found: Vec<Address>,
    limit: usize,
    in_group: bool,
    one: Element,
}

impl List {
    fn special(&mut self, byte: u8) {
        match byte {
            b',' if !self.one.in_route() => self.end_element(),
            b';' => {
                self.end_element();
                if std::mem::take(&mut self.in_group) {
                    self.found.push(Address::GroupEnd);
                }
            }
            b':' if self.one.in_route() => self.one.place = Place::Angle,
            b':' if !self.in_group && self.one.place == Place::Open => {
                let one = std::mem::take(&mut self.one);
                self.found.push(Address::GroupStart(one.phrase));
                self.in_group = true;
            }
            b'<' if self.one.place == Place::Open => self.one.open_angle(),
            b'>' if self.one.place == Place::Open => {}
            b'>' => self.one.place = Place::Closed,
            b'@' => self.one.at_sign(),
            _ => self.one.text(&[byte]),
        }
    }

    fn end_element(&mut self) {
        let one = std::mem::take(&mut self.one);
        if self.found.len() < self.limit
            && let Some(mailbox) = one.mailbox()
        {
            self.found.push(Address::Mailbox(mailbox));
        }
    }

    fn finish(mut self) -> Vec<Address> {
        self.end_element();
        if self.in_group {
            self.found.push(Address::GroupEnd);
        }
        self.found
    }
}

/// Where in an element the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Before any angle bracket: a display name or a bare addr-spec, nobody knows yet.
    #[default]
    Open,
    /// In the route of an angle address.
    Route,
    /// In the addr-spec of an angle address.
    Angle,
    /// Behind an angle address.
    Closed,
}

/// One address while it is read: as a phrase and as an addr-spec at once, until `<` or the end tells which it is.
#[derive(Default)]
struct Element {
    place: Place,
    /// Everything so far as a display name: unquoted, one space for each gap.
    phrase: Vec<u8>,
    /// Length of `phrase` before the run of words that became `local`.
    before_local: usize,
    name: Option<Vec<u8>>,
    route: Vec<u8>,
    local: Vec<u8>,
    domain: Option<Vec<u8>>,
    /// What follows a domain after a gap belongs to nothing.
    domain_ended: bool,
    comment: Option<Vec<u8>>,
    /// White space or a comment came since the last text.
    gap: bool,
}

impl Element {
    fn in_route(&self) -> bool {
        self.place == Place::Route
    }

    fn in_domain(&self) -> bool {
        self.domain.is_some() && self.place != Place::Closed
    }

    /// Adds text, unquoted, at the reader's place.
    fn text(&mut self, text: &[u8]) {
        let gap = std::mem::take(&mut self.gap);
        let dot = text == b".";
        match self.place {
            Place::Closed => return,
            Place::Route => return self.route.extend_from_slice(text),
            Place::Open => {
                if gap && !self.phrase.is_empty() {
                    self.phrase.push(b' ');
                }
                if gap && !dot && self.domain.is_none() && !self.local.ends_with(b".") {
                    // A new word: what came before it was a name, if an `@` follows here.
                    self.before_local = self.phrase.len();
                    self.local.clear();
                }
                self.phrase.extend_from_slice(text);
            }
            Place::Angle => {}
        }
        match &mut self.domain {
            None => self.local.extend_from_slice(text),
            Some(domain) => {
                self.domain_ended |= gap && !dot && !domain.is_empty() && !domain.ends_with(b".");
                if !self.domain_ended {
                    domain.extend_from_slice(text);
                }
            }
        }
    }

    fn at_sign(&mut self) {
        if self.place == Place::Angle
            && self.local.is_empty()
            && self.domain.is_none()
            && self.route.is_empty()
        {
            self.place = Place::Route;
        }
        if matches!(self.place, Place::Route | Place::Closed) {
            return self.text(b"@");
        }
        self.gap = false;
        if self.place == Place::Open {
            self.phrase.push(b'@');
        }
        // The last `@` divides: what came before an earlier one belongs to the local part.
        if let Some(domain) = self.domain.take() {
            self.local.push(b'@');
            self.local.extend_from_slice(&domain);
        }
        self.domain = Some(Vec::new());
        self.domain_ended = false;
    }

    fn open_angle(&mut self) {
        self.place = Place::Angle;
        self.name = Some(std::mem::take(&mut self.phrase)).filter(|name| !name.is_empty());
        self.local.clear();
        self.domain = None;
        self.before_local = 0;
        self.gap = false;
    }

    /// A quoted string after its opening quote; one that is never closed takes the rest.
    fn quoted<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let (text, rest) = delimited(rest, b'"', None);
        self.text(&text);
        rest
    }

    /// A domain literal after its bracket, kept with both (RFC 5322 §3.4.1).
    fn literal<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let (mut text, rest) = delimited(rest, b']', None);
        text.insert(0, b'[');
        text.push(b']');
        self.text(&text);
        rest
    }

    fn comment<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let (text, rest) = delimited(rest, b')', Some(b'('));
        self.gap = true;
        self.comment = Some(text.trim_ascii().to_vec()).filter(|comment| !comment.is_empty());
        rest
    }

    fn mailbox(mut self) -> Option<Mailbox> {
        if self.place == Place::Open {
            if self.domain.is_some() {
                self.phrase.truncate(self.before_local);
                self.phrase.truncate(self.phrase.trim_ascii_end().len());
                self.name = Some(self.phrase).filter(|name| !name.is_empty());
            } else {
                // Words without a domain: an old local address.
                self.local = self.phrase;
            }
        }
        let nothing =
            self.local.is_empty() && self.domain.is_none() && self.name.is_none() && self.route.is_empty();
        if nothing && self.place == Place::Open {
            return None;
        }
        // A route that never came to its colon was an address without a local part.
        let (route, domain) = match (self.route.is_empty(), self.domain) {
            (true, domain) => (None, domain.unwrap_or_default()),
            (false, None) if self.local.is_empty() => (None, self.route.split_off(1)),
            (false, domain) => (Some(self.route), domain.unwrap_or_default()),
        };
        Some(Mailbox { name: self.name.or(self.comment), route, local: self.local, domain })
    }
}

/// Text up to its closing delimiter, backslashes removed and line ends left out; delimiters nest if there is an `open`.
fn delimited(rest: &[u8], close: u8, open: Option<u8>) -> (Vec<u8>, &[u8]) {
    let mut text = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        at += 1;
        match byte {
            b'\\' => {
                text.extend(rest.get(at));
                at += 1;
                continue;
            }
            b'\r' | b'\n' => continue,
            _ if byte == close && depth == 0 => break,
            _ if byte == close => depth -= 1,
            _ if open == Some(byte) => depth += 1,
            _ => {}
        }
        text.push(byte);
    }
    (text, rest.get(at..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `name|route|local|domain` for a mailbox, `name:` and `;` for a group.
    fn shown(value: &[u8]) -> Vec<String> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let maybe = |b: &Option<Vec<u8>>| b.as_deref().map_or("-".to_owned(), text);
        let one = |a: &Address| match a {
            Address::Mailbox(m) => {
                format!("{}|{}|{}|{}", maybe(&m.name), maybe(&m.route), text(&m.local), text(&m.domain))
            }
            Address::GroupStart(name) => format!("{}:", text(name)),
            Address::GroupEnd => ";".to_owned(),
        };
        parse_list(value, 100).iter().map(one).collect()
    }

    #[test]
    fn nothing_in_nothing() {
        for empty in ["", " ", ",,", "()", ";", " (only a comment) , "] {
            assert_eq!(shown(empty.as_bytes()), Vec::<String>::new(), "{empty}");
        }
    }

    #[test]
    fn addresses_however_written() {
        let table: [(&str, &[&str]); 31] = [
            ("a@b.c", &["-|-|a|b.c"]),
            ("<a@b.c>", &["-|-|a|b.c"]),
            ("Joe <a@b.c>, x@y", &["Joe|-|a|b.c", "-|-|x|y"]),
            ("\"Joe, \\\"Q\\\"\" <a@b>", &["Joe, \"Q\"|-|a|b"]),
            ("Joe  Q. Public <a@b>", &["Joe Q. Public|-|a|b"]),
            ("\"joe doe\"@b", &["-|-|joe doe|b"]),
            ("=?utf-8?q?J=C3=B6?= <a@b>", &["=?utf-8?q?J=C3=B6?=|-|a|b"]),
            ("a@b (Joe)", &["Joe|-|a|b"]),
            ("a . b @ c . d (Joe (Jr) \\) x)", &["Joe (Jr) ) x|-|a.b|c.d"]),
            ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", &["Pete|-|pete|silly.test"]),
            ("<@x.y,@z:a@b>", &["-|@x.y,@z|a|b"]),
            ("<@x.y>", &["-|-||x.y"]),
            ("Joe <>", &["Joe|-||"]),
            ("<>", &["-|-||"]),
            ("root", &["-|-|root|"]),
            ("a@[1.2.3.4]", &["-|-|a|[1.2.3.4]"]),
            ("a@b@c", &["-|-|a@b|c"]),
            ("a@b <c@d>", &["a@b|-|c|d"]),
            ("a@b; c@d", &["-|-|a|b", "-|-|c|d"]),
            ("Joe a@b", &["Joe|-|a|b"]),
            ("a@b Joe", &["-|-|a|b"]),
            ("<a@b", &["-|-|a|b"]),
            ("<a@b, c@d>", &["-|-|a|b", "-|-|c|d"]),
            ("\"open <a@b>", &["-|-|open <a@b>|"]),
            ("(open <a@b>", &[]),
            ("A Group:Ed <e@x>,j@y (Joe);", &["A Group:", "Ed|-|e|x", "Joe|-|j|y", ";"]),
            ("Undisclosed recipients:;", &["Undisclosed recipients:", ";"]),
            ("g: a@b, c@d", &["g:", "-|-|a|b", "-|-|c|d", ";"]),
            ("g:;, x@y", &["g:", ";", "-|-|x|y"]),
            ("@b", &["-|-||b"]),
            ("Joe\r\n Doe\r\n <a@b>", &["Joe Doe|-|a|b"]),
        ];
        for (given, want) in table {
            assert_eq!(shown(given.as_bytes()), want, "{given}");
        }
    }

    #[test]
    fn the_number_is_limited() {
        assert_eq!(parse_list("a@b,".repeat(1_000).as_bytes(), 10).len(), 10);
        assert_eq!(parse_list(b"g:a@b,c@d,e@f", 2).last(), Some(&Address::GroupEnd));
    }

    #[test]
    fn a_megabyte_of_anything_takes_linear_time() {
        for piece in ["(", "\"", "<@", "a@", "a ", ":;", "<>,", "\\(", "["] {
            let _ = parse_list(piece.repeat(500_000).as_bytes(), 1_000_000);
        }
    }

    proptest! {
        #[test]
        fn groups_are_closed_and_nothing_panics(text in "[ab@<>:;,.()\"\\\\\\[\\] \r\n]{0,40}") {
            let list = parse_list(text.as_bytes(), 100);
            let starts = list.iter().filter(|a| matches!(a, Address::GroupStart(_))).count();
            let ends = list.iter().filter(|a| **a == Address::GroupEnd).count();
            prop_assert_eq!(starts, ends);
        }
    }
}
