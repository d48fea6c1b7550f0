//! `dovecot-uidlist`, in which the Dovecot server keeps the UIDs of a Maildir folder, and the unique ids that it showed
//! by POP3. Who brings those along spares every POP3 client that leaves mail on the server fetching all of it again.
//!
//! The first line is `3 V<uidvalidity> N<next uid> …`, every other one `<uid> <key><value> … :<file name>`; key P is a
//! POP3 unique id that came from a server before, G an id of the message. Most ids stand nowhere: they are made of UID
//! and UIDVALIDITY by a format of the server's settings.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::str::FromStr;

const FILE: &str = "dovecot-uidlist";
/// The one version that servers of the last fifteen years write.
const VERSION: &str = "3";
/// The longest unique id (RFC 1939 §7).
const MAX_UIDL: usize = 70;
/// The widest number of a format.
const MAX_WIDTH: usize = 20;

/// What is known of one message.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Entry {
    uid: u32,
    pop3: Option<String>,
    guid: Option<String>,
}

/// The list of a folder; empty when there is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UidList {
    validity: u32,
    entries: HashMap<Vec<u8>, Entry>,
}

impl UidList {
    /// The list in a folder of a Maildir.
    pub fn read(folder: &Path) -> io::Result<Self> {
        match std::fs::read(folder.join(FILE)) {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Lines that cannot be read are passed over, as a message that is not in the list has no id to keep.
    fn parse(bytes: &[u8]) -> Self {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let header = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
        let mut words = header.split(' ');
        if words.next() != Some(VERSION) {
            return Self::default();
        }
        let validity = words.find_map(|word| word.strip_prefix('V')?.parse().ok());
        let Some(validity) = validity else { return Self::default() };
        Self { validity, entries: lines.filter_map(parse_line).collect() }
    }

    /// The UID that a message had.
    pub fn uid(&self, file: &Path) -> Option<u32> {
        self.entries.get(base(file)).map(|entry| entry.uid)
    }

    /// The unique id that a message had by POP3: the one that is named, or one made by the format; `None` when it
    /// cannot be known, or is longer than such an id may be.
    pub fn pop3_uidl(&self, file: &Path, format: &Format) -> Option<String> {
        let entry = self.entries.get(base(file));
        let named = entry.and_then(|entry| entry.pop3.clone());
        let id = named.or_else(|| format.write(self.validity, entry, base(file)))?;
        let fits = (1..=MAX_UIDL).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then_some(id)
    }
}

fn parse_line(line: &[u8]) -> Option<(Vec<u8>, Entry)> {
    let at = memchr::memmem::find(line, b" :")?;
    let mut words = std::str::from_utf8(line.get(..at)?).ok()?.split(' ');
    let mut entry = Entry { uid: words.next()?.parse().ok()?, ..Entry::default() };
    for word in words {
        if let Some(id) = word.strip_prefix('P') {
            entry.pop3 = Some(id.to_owned());
        } else if let Some(id) = word.strip_prefix('G') {
            entry.guid = Some(id.to_owned());
        }
    }
    Some((without_flags(line.get(at + 2..)?).to_owned(), entry))
}

/// The name of a file without the flags behind it, which change.
fn base(file: &Path) -> &[u8] {
    without_flags(file.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default())
}

fn without_flags(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == b':').next().unwrap_or_default()
}

/// How unique ids are made, in the form of Dovecot's setting `pop3_uidl_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Uid(Number),
    Validity(Number),
    File,
    Guid,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Number {
    zeros: bool,
    width: usize,
    hexadecimal: bool,
}

impl Number {
    fn write(self, value: u32) -> String {
        let Self { width, .. } = self;
        match (self.zeros, self.hexadecimal) {
            (true, true) => format!("{value:0width$x}"),
            (true, false) => format!("{value:0width$}"),
            (false, true) => format!("{value:x}"),
            (false, false) => value.to_string(),
        }
    }
}

impl Format {
    fn write(&self, validity: u32, entry: Option<&Entry>, file: &[u8]) -> Option<String> {
        let mut id = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => id.push_str(text),
                Piece::Uid(number) => id.push_str(&number.write(entry?.uid)),
                Piece::Validity(number) => id.push_str(&number.write(entry.map(|_| validity)?)),
                Piece::File => id.push_str(std::str::from_utf8(file).ok()?),
                // A message whose id stands nowhere has its file's name for one.
                Piece::Guid => match entry.and_then(|entry| entry.guid.as_deref()) {
                    Some(guid) => id.push_str(guid),
                    None => id.push_str(std::str::from_utf8(file).ok()?),
                },
            }
        }
        Some(id)
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((plain, coded)) = rest.split_once('%') {
            if !plain.is_empty() {
                pieces.push(Piece::Text(plain.to_owned()));
            }
            let (piece, after) = parse_piece(coded).ok_or_else(|| {
                format!("%{coded}: only %u, %v, %f and %g are understood, %u and %v as %08Xu, too")
            })?;
            pieces.push(piece);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        if pieces.iter().all(|piece| matches!(piece, Piece::Text(_) | Piece::Validity(_))) {
            return Err("every message would get the same id: %u, %f or %g must be in it".to_owned());
        }
        Ok(Self(pieces))
    }
}

/// What stands behind a percent sign, and the rest.
fn parse_piece(coded: &str) -> Option<(Piece, &str)> {
    let mut number = Number { zeros: coded.starts_with('0'), ..Number::default() };
    let digits = coded.len() - coded.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits > 0 {
        number.width = coded.get(..digits)?.parse().ok().filter(|width| *width <= MAX_WIDTH)?;
    }
    let mut rest = coded.get(digits..)?;
    if let Some(after) = rest.strip_prefix('X') {
        number.hexadecimal = true;
        rest = after;
    }
    let plain = number == Number::default();
    let piece = match rest.chars().next()? {
        'u' => Piece::Uid(number),
        'v' => Piece::Validity(number),
        'f' if plain => Piece::File,
        'g' if plain => Piece::Guid,
        '%' if plain => Piece::Text("%".to_owned()),
        _ => return None,
    };
    Some((piece, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: &[u8] = b"3 V1700000000 N9 Gabc123\n1 W50 :a.host\n3 Pold-id-3 G5f :b.host,S=4:2,S\nnonsense\nx :y\n7 :new\xff\n";

    fn format(text: &str) -> Format {
        text.parse().unwrap()
    }

    #[test]
    fn lists() {
        let list = UidList::parse(LIST);
        let uid = |file: &str| list.uid(Path::new(file));
        assert_eq!(
            (uid("cur/a.host:2,FS"), uid("new/a.host"), uid("b.host,S=4")),
            (Some(1), Some(1), Some(3))
        );
        assert_eq!((uid("c.host"), uid("y"), uid("")), (None, None, None));
        for bytes in [&b""[..], b"1 5 6\n1 a\n", b"3 N7\n1 :a.host\n", b"3 Vx\n", b"4 V5 N6\n1 :a.host\n"] {
            assert_eq!(UidList::parse(bytes), UidList::default(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn unique_ids() {
        let list = UidList::parse(LIST);
        for (text, file, expected) in [
            ("%08Xu%08Xv", "a.host:2,S", Some("000000016553f100")),
            ("%08Xu%08Xv", "b.host,S=4", Some("old-id-3")),
            ("%08Xu%08Xv", "c.host", None),
            ("%v.%u", "a.host", Some("1700000000.1")),
            ("%v-%u", "a.host", Some("1700000000-1")),
            ("UID%u-%03u%%", "a.host", Some("UID1-001%")),
            ("%Xv%u", "a.host", Some("6553f1001")),
            ("%f", "c.host:2,S", Some("c.host")),
            ("%g", "a.host", Some("a.host")),
            // Not an id by RFC 1939.
            ("%u %v", "a.host", None),
            ("%f", "", None),
        ] {
            assert_eq!(list.pop3_uidl(Path::new(file), &format(text)).as_deref(), expected, "{text} {file}");
        }
        for (length, kept) in [(1, true), (70, true), (71, false)] {
            let name = "x".repeat(length);
            assert_eq!(list.pop3_uidl(Path::new(&name), &format("%f")).is_some(), kept, "{length}");
        }
    }

    #[test]
    fn formats_that_are_none() {
        for text in ["", "x", "%v", "%", "%m", "%08", "%Mf", "%08f", "%999u", "%u%", "%\u{e9}"] {
            assert!(text.parse::<Format>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>, lines in "(3 V7 N9\n)?([0-9PG :a\n]{0,40})", text in "[%uvfgX0-9a]{0,12}") {
            UidList::parse(&bytes);
            let list = UidList::parse(lines.as_bytes());
            if let Ok(format) = text.parse::<Format>() {
                list.pop3_uidl(Path::new("a"), &format);
            }
        }
    }
}
