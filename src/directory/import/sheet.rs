//! The file: CSV with a header row, as spreadsheets and other servers write it.
//!
//! Pure: bytes in, rows and troubles out, linear in their number. What only the database knows (which domains there are, which addresses
//! are taken) is asked there.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::super::password::is_valid_hash;
use super::{MAX_BYTES, MAX_ROWS};
use crate::mail::Address;
use crate::mail::size::Limit;
use crate::sasl::MAX_PASSWORD;

/// Troubles that are kept; further ones are only counted.
const TROUBLES: usize = 1000;
/// Characters of one field at most.
const FIELD: usize = 4096;
/// Addresses in one field at most.
const ADDRESSES: usize = 100;

/// The columns, by the names that a header may give them; the first is the one that we write.
const COLUMNS: [(Column, &[&str]); 12] = [
    (Column::Address, &["address", "email", "e_mail", "mail", "email_address"]),
    (Column::LocalPart, &["local_part", "localpart", "user", "username", "login"]),
    (Column::Domain, &["domain"]),
    (Column::Name, &["display_name", "name", "full_name", "fullname"]),
    (Column::Password, &["password"]),
    (Column::Hash, &["password_hash", "hash", "crypt"]),
    (Column::Quota, &["quota", "quota_bytes"]),
    (Column::MaxMessage, &["max_message", "max_message_bytes"]),
    (Column::ForwardTo, &["forward_to", "forward", "forwarding"]),
    (Column::ForwardKeep, &["forward_keep", "keep"]),
    (Column::Aliases, &["aliases", "alias"]),
    (Column::Active, &["active", "enabled"]),
];

/// Of the services, that a user may not use: a column besides, with its own form.
const FORBIDDEN: &[&str] = &["forbidden_services", "forbidden"];

/// A file to begin with.
pub const TEMPLATE: &str = "address,display_name,password,password_hash,quota,forward_to,forward_keep,aliases,active,forbidden_services\r\n\
alice@example.org,Alice Liddell,a good long password,,2G,,,\"a.liddell sales@example.org\",yes,\r\n\
bob@example.org,Bob,,{SHA512-CRYPT}$6$…,default,bob@example.net,no,,yes,pop3\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Column {
    Address,
    LocalPart,
    Domain,
    Name,
    Password,
    Hash,
    Quota,
    MaxMessage,
    ForwardTo,
    ForwardKeep,
    Aliases,
    Active,
    Forbidden,
}

/// Something wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The line of the file, from 1; 0 where it is the file as a whole.
    pub line: u64,
    /// The column, as the header has it.
    pub column: String,
    /// What is wrong, and what to do.
    pub what: String,
}

/// A user to be made.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Row {
    /// The line of the file.
    pub line: u64,
    /// Before the `@`.
    pub local_part: String,
    /// The domain in ASCII.
    pub domain: String,
    /// The person's name.
    pub display_name: Option<String>,
    /// A password that is still to be hashed.
    pub password: Option<String>,
    /// What is stored of a password.
    pub hash: Option<String>,
    /// Keys for SCRAM.
    pub scram: Option<String>,
    /// Bytes of mail; none = as the domain says.
    pub quota_bytes: Option<i64>,
    /// Bytes of the largest message.
    pub max_message_bytes: Option<i64>,
    /// Services that are forbidden.
    pub forbidden_services: Vec<String>,
    /// Where mail goes on to.
    pub forward_to: Vec<String>,
    /// Whether a copy of that is kept.
    pub forward_keep: bool,
    /// Further addresses: local part and domain.
    pub aliases: Vec<(String, String)>,
    /// Whether it receives mail and logs in.
    pub active: bool,
}

impl Row {
    /// Its address.
    pub fn address(&self) -> String {
        format!("{}@{}", self.local_part, self.domain)
    }
}

/// A file that has been read.
#[derive(Default)]
pub struct Sheet {
    /// Lines that are right, as far as the file alone can tell.
    pub rows: Vec<Row>,
    /// What is wrong with the others.
    pub troubles: Vec<Trouble>,
    /// Troubles that were only counted.
    pub more: usize,
}

impl Sheet {
    /// Reads a file; `shortest` is the shortest password allowed.
    pub fn read(bytes: &[u8], shortest: usize) -> Sheet {
        let mut sheet = Sheet::default();
        if let Err(what) = sheet.read_all(bytes, shortest) {
            sheet.rows.clear();
            sheet.troubles.insert(0, Trouble { line: 0, column: String::new(), what });
        }
        sheet
    }

    /// Adds what somebody else has found, lines in order.
    pub fn add(&mut self, troubles: impl IntoIterator<Item = Trouble>) {
        for trouble in troubles {
            self.trouble(trouble.line, &trouble.column, trouble.what);
        }
        self.troubles.sort_by_key(|trouble| trouble.line);
        let bad: std::collections::HashSet<u64> = self.troubles.iter().map(|trouble| trouble.line).collect();
        self.rows.retain(|row| !bad.contains(&row.line));
    }

    fn trouble(&mut self, line: u64, column: &str, what: impl Into<String>) {
        if self.troubles.len() < TROUBLES {
            self.troubles.push(Trouble { line, column: column.to_owned(), what: what.into() });
        } else {
            self.more += 1;
        }
    }

    /// The error is one of the file as a whole.
    fn read_all(&mut self, bytes: &[u8], shortest: usize) -> Result<(), String> {
        if bytes.len() > MAX_BYTES {
            return Err(format!("the file has more than {} MiB: divide it", MAX_BYTES >> 20));
        }
        let text = text(bytes)?;
        let head = text.lines().find(|line| !line.trim().is_empty()).ok_or("the file is empty")?;
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter(head)).flexible(true).from_reader(text.as_bytes());
        let broken = |error: csv::Error| format!("the file cannot be read: {error}");
        let header = reader.headers().map_err(broken)?.clone();
        let columns = columns(&header)?;
        let mut seen: HashMap<String, u64> = HashMap::new();
        let mut lines = Lines { bytes: text.as_bytes(), byte: 0, line: 1 };
        let mut count = 0;
        for record in reader.records() {
            let record = record.map_err(broken)?;
            let line = lines.at(record.position().map_or(0, csv::Position::byte));
            if record.iter().all(|field| field.trim().is_empty()) {
                continue;
            }
            count += 1;
            if count > MAX_ROWS {
                return Err(format!("the file has more than {MAX_ROWS} users: divide it"));
            }
            if record.len() != header.len() {
                self.trouble(
                    line,
                    "",
                    format!(
                        "it has {} fields and the header {}: a separator is missing or too many, or a field with one is not in quotes",
                        record.len(),
                        header.len()
                    ),
                );
                continue;
            }
            let before = self.troubles.len() + self.more;
            let row = Line { line, record: &record, header: &header, columns: &columns }.row(self, shortest);
            let addresses = std::iter::once((row.address(), Column::Address))
                .chain(row.aliases.iter().map(|(l, d)| (format!("{l}@{d}"), Column::Aliases)));
            for (address, column) in addresses.filter(|(address, _)| address.len() > 1) {
                if let Some(first) = seen.insert(address.clone(), line) {
                    self.trouble(
                        line,
                        own_name(column),
                        format!("{address} stands in line {first} already: an address is given once"),
                    );
                }
            }
            if self.troubles.len() + self.more == before {
                self.rows.push(row);
            }
        }
        if count == 0 {
            return Err("the file has a header and no users".to_owned());
        }
        Ok(())
    }
}

/// Counts the lines up to a place in the file. The reader's own count is one less where lines end in CR LF.
struct Lines<'a> {
    bytes: &'a [u8],
    byte: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the record that begins here or, past line ends, behind it; the places come in order.
    fn at(&mut self, byte: u64) -> u64 {
        let rest = |from: usize| self.bytes.get(from..).unwrap_or_default();
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).max(self.byte);
        let byte = byte + rest(byte).iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let between = self.bytes.get(self.byte..byte).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.byte = byte;
        self.line
    }
}

/// One line, as it is read.
struct Line<'a> {
    line: u64,
    record: &'a csv::StringRecord,
    header: &'a csv::StringRecord,
    columns: &'a HashMap<Column, usize>,
}

impl Line<'_> {
    /// The field of a column as it stands there.
    fn raw(&self, column: Column) -> &str {
        self.columns.get(&column).and_then(|at| self.record.get(*at)).unwrap_or_default()
    }

    fn get(&self, column: Column) -> &str {
        self.raw(column).trim()
    }

    /// The name that the header gives a column.
    fn name(&self, column: Column) -> &str {
        self.columns.get(&column).and_then(|at| self.header.get(*at)).unwrap_or(own_name(column)).trim()
    }

    /// The row; what is wrong with it is said to the sheet, and then it is not to be used.
    fn row(&self, sheet: &mut Sheet, shortest: usize) -> Row {
        let mut wrong = |column: Column, what: String| sheet.trouble(self.line, self.name(column), what);
        if let Some(long) = self.record.iter().position(|field| field.chars().count() > FIELD) {
            let name = self.header.get(long).unwrap_or_default();
            sheet.trouble(self.line, name, format!("a field has at most {FIELD} characters"));
            return Row::default();
        }
        let mut row = Row { line: self.line, ..Row::default() };
        let (column, text) = match self.columns.contains_key(&Column::Address) {
            true => (Column::Address, self.get(Column::Address).to_owned()),
            false => {
                (Column::LocalPart, format!("{}@{}", self.get(Column::LocalPart), self.get(Column::Domain)))
            }
        };
        match parts(&text) {
            Ok((local, domain)) => (row.local_part, row.domain) = (local, domain),
            Err(what) => wrong(column, what),
        }
        let name = self.get(Column::Name);
        if name.chars().any(char::is_control) {
            wrong(Column::Name, "a name has no control characters".to_owned());
        }
        row.display_name = Some(name.to_owned()).filter(|name| !name.is_empty());
        let (password, hash) = (self.raw(Column::Password), self.get(Column::Hash));
        if !password.is_empty() && !hash.is_empty() {
            wrong(Column::Hash, "give a password or its hash, not both".to_owned());
        } else if !password.is_empty() {
            match password {
                long if long.len() > MAX_PASSWORD => {
                    wrong(Column::Password, format!("a password has at most {MAX_PASSWORD} bytes"));
                }
                short if short.chars().count() < shortest => {
                    wrong(Column::Password, format!("a password needs at least {shortest} characters"));
                }
                odd if odd.contains('\0') => {
                    wrong(Column::Password, "a password cannot hold the character NUL".to_owned())
                }
                right => row.password = Some(right.to_owned()),
            }
        } else if !hash.is_empty() {
            match is_valid_hash(hash) {
                true => row.hash = Some(hash.to_owned()),
                false => wrong(
                    Column::Hash,
                    "this hash is of no known scheme, or is not whole: $argon2id$…, $2b$…, $6$…, $5$…, {SSHA512}…, {SHA256}…, {PLAIN}… \
                    and their like are known"
                        .to_owned(),
                ),
            }
        }
        for (column, place) in
            [(Column::Quota, &mut row.quota_bytes), (Column::MaxMessage, &mut row.max_message_bytes)]
        {
            match self.get(column) {
                "" => {}
                text => match text.parse::<Limit>() {
                    Ok(limit) => *place = limit.bytes(),
                    Err(error) => wrong(column, error.to_string()),
                },
            }
        }
        for address in list(self.get(Column::ForwardTo)) {
            match Address::parse(address.as_bytes()) {
                Ok(address) => row.forward_to.push(address.key()),
                Err(error) => wrong(Column::ForwardTo, format!("\"{address}\": {error}")),
            }
        }
        for alias in list(self.get(Column::Aliases)) {
            let whole =
                if alias.contains('@') { alias.to_owned() } else { format!("{alias}@{}", row.domain) };
            match parts(&whole) {
                Ok(parts) => row.aliases.push(parts),
                Err(what) => wrong(Column::Aliases, what),
            }
        }
        for (column, count) in
            [(Column::ForwardTo, row.forward_to.len()), (Column::Aliases, row.aliases.len())]
        {
            if count > ADDRESSES {
                wrong(column, format!("there are at most {ADDRESSES} addresses in one field"));
            }
        }
        for (column, place) in
            [(Column::ForwardKeep, &mut row.forward_keep), (Column::Active, &mut row.active)]
        {
            match yes_or_no(self.get(column)) {
                Some(said) => *place = said,
                None => wrong(column, format!("\"{}\" is neither yes nor no", self.get(column))),
            }
        }
        for service in list(self.get(Column::Forbidden)) {
            match service.to_lowercase().as_str() {
                known @ ("smtp" | "pop3" | "imap" | "webmail" | "rpc") => {
                    row.forbidden_services.push(known.to_owned())
                }
                _ => wrong(
                    Column::Forbidden,
                    format!(
                        "\"{service}\" is no service: smtp, pop3, imap, webmail and rpc can be forbidden"
                    ),
                ),
            }
        }
        row
    }
}

/// Local part and domain of an address in their key form.
fn parts(text: &str) -> Result<(String, String), String> {
    if text.is_empty() || text == "@" {
        return Err("an address is missing".to_owned());
    }
    let address = Address::parse(text.as_bytes()).map_err(|error| format!("\"{text}\": {error}"))?;
    let key = address.key();
    let local = key.rsplit_once('@').map_or(key.as_str(), |(local, _)| local);
    Ok((local.to_owned(), address.domain().to_owned()))
}

/// The items of a field.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', ';', '|', '\n', '\r', '\t']).map(str::trim).filter(|item| !item.is_empty())
}

/// An empty field is yes: whoever says nothing means the usual.
fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "" | "yes" | "y" | "true" | "t" | "1" | "on" | "x" | "active" => Some(true),
        "no" | "n" | "false" | "f" | "0" | "off" | "-" | "inactive" => Some(false),
        _ => None,
    }
}

/// The file as text, or what it is instead and what to do.
fn text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("the file is UTF-16: store it as UTF-8 (in a spreadsheet, \"CSV UTF-8\")".to_owned());
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!(
            "the file is not UTF-8 (line {line}): it seems to be Latin-1 or Windows-1252; store it as UTF-8 (in a spreadsheet, \"CSV UTF-8\")"
        )
    })
}

/// What divides the fields of this header: a comma, a semicolon or a tab, whichever there are most of.
fn delimiter(head: &str) -> u8 {
    let count = |sign: u8| head.bytes().filter(|byte| *byte == sign).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|sign| count(*sign)).unwrap_or(b',')
}

fn own_name(column: Column) -> &'static str {
    let found = COLUMNS.iter().find(|(known, _)| *known == column);
    found.and_then(|(_, names)| names.first()).copied().unwrap_or("forbidden_services")
}

/// Where each column stands.
fn columns(header: &csv::StringRecord) -> Result<HashMap<Column, usize>, String> {
    let mut found = HashMap::new();
    for (at, given) in header.iter().enumerate() {
        let name = given.trim().to_lowercase().replace([' ', '-'], "_");
        let column =
            COLUMNS.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(column, _)| *column);
        let column = column.or(FORBIDDEN.contains(&name.as_str()).then_some(Column::Forbidden));
        let known = || {
            let names: Vec<&str> = COLUMNS.iter().filter_map(|(_, names)| names.first().copied()).collect();
            format!("{}, forbidden_services", names.join(", "))
        };
        let shown: String = given.chars().take(60).collect();
        let column = column.ok_or_else(|| {
            format!("the first line names the columns, and \"{shown}\" is none: there are {}", known())
        })?;
        if found.insert(column, at).is_some() {
            return Err(format!("the column \"{shown}\" stands there twice, perhaps under another name"));
        }
    }
    let (address, local, domain) = (
        found.contains_key(&Column::Address),
        found.contains_key(&Column::LocalPart),
        found.contains_key(&Column::Domain),
    );
    match (address, local, domain) {
        (true, false, false) | (false, true, true) => Ok(found),
        (true, ..) => Err("give the column address, or local_part and domain, not both".to_owned()),
        _ => {
            Err("the first line names the columns: address is missing (or local_part and domain)".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Sheet {
        Sheet::read(text.as_bytes(), 8)
    }

    #[test]
    fn separators_and_marks_are_found() {
        for (text, separator) in [
            ("\u{feff}address,name\r\nA@Example.org,Ann\r\n", "comma and mark"),
            ("Address;Name\nA@Example.org;Ann", "semicolon"),
            ("address\tname\na@example.org\tAnn\n\n", "tab"),
            ("local_part;domain;full name\na;example.org;Ann", "two columns"),
            ("name,E-Mail\n\"Ann\",a@example.org\n", "order"),
        ] {
            let sheet = read(text);
            assert!(sheet.troubles.is_empty(), "{separator}: {:?}", sheet.troubles);
            assert_eq!(sheet.rows[0].address(), "a@example.org", "{separator}");
            assert_eq!(sheet.rows[0].display_name.as_deref(), Some("Ann"), "{separator}");
        }
    }

    #[test]
    fn all_columns_are_read() {
        let sheet = read(
            "address;name;password;hash;quota;max_message;forward_to;keep;aliases;active;forbidden\n\
             a@x.org;\"Ann; A.\"; secret word ;;2G;10M;b@y.org,c@y.org;no;ann boss@z.org;no;pop3,imap\n\
             b@x.org;;;{PLAIN}x;default;;;;;;\n",
        );
        assert!(sheet.troubles.is_empty(), "{:?}", sheet.troubles);
        let [a, b] = &sheet.rows[..] else { panic!("{}", sheet.rows.len()) };
        assert_eq!((a.quota_bytes, a.max_message_bytes), (Some(2 << 30), Some(10 << 20)));
        assert_eq!(a.password.as_deref(), Some(" secret word "));
        assert_eq!(a.forward_to, ["b@y.org", "c@y.org"]);
        assert_eq!(a.aliases, [("ann".into(), "x.org".into()), ("boss".into(), "z.org".into())]);
        assert_eq!(a.forbidden_services, ["pop3", "imap"]);
        assert_eq!((a.active, a.forward_keep, a.display_name.as_deref()), (false, false, Some("Ann; A.")));
        assert_eq!((b.active, b.forward_keep, b.quota_bytes), (true, true, None));
        assert_eq!(b.hash.as_deref(), Some("{PLAIN}x"));
    }

    #[test]
    fn every_bad_line_is_named() {
        let sheet = read(
            "address,password,hash,quota,active,aliases,forward_to,forbidden\n\
             no-address,,,,,,,\n\
             a@x.org,short,,,,,,\n\
             b@x.org,long enough,$6$salt$x,,,,,\n\
             c@x.org,,md5:abc,,,,,\n\
             d@x.org,,,many,,,,\n\
             e@x.org,,,,perhaps,,,\n\
             f@x.org,,,,,b@@x,,\n\
             g@x.org,,,,,,nobody,\n\
             h@x.org,,,,,,,telnet\n\
             i@x.org,,\n\
             a@x.org,,,,,,,\n\
             good@x.org,,,,,,,\n",
        );
        let found: Vec<(u64, &str)> =
            sheet.troubles.iter().map(|trouble| (trouble.line, trouble.column.as_str())).collect();
        assert_eq!(
            found,
            [
                (2, "address"),
                (3, "password"),
                (4, "hash"),
                (5, "hash"),
                (6, "quota"),
                (7, "active"),
                (8, "aliases"),
                (9, "forward_to"),
                (10, "forbidden"),
                (11, ""),
                (12, "address")
            ],
            "{:?}",
            sheet.troubles
        );
        assert_eq!(sheet.rows.len(), 1);
    }

    #[test]
    fn files_that_cannot_be_used_say_why() {
        for (bytes, why) in [
            (&b""[..], "empty"),
            (b"address\n", "no users"),
            (b"address,name\na@x.org,Andr\xe9\n", "not UTF-8 (line 2)"),
            (b"\xff\xfea\0", "UTF-16"),
            (b"a@x.org,Ann\n", "is none"),
            (b"name\nAnn\n", "address is missing"),
            (b"address,email\na@x.org,b@x.org\n", "twice"),
            (b"address,domain\na@x.org,x.org\n", "not both"),
        ] {
            let sheet = Sheet::read(bytes, 8);
            assert!(sheet.rows.is_empty());
            assert!(sheet.troubles[0].what.contains(why), "{why}: {:?}", sheet.troubles);
        }
        let many = format!("address\n{}", "a@x.org\n".repeat(MAX_ROWS + 1));
        assert!(read(&many).troubles[0].what.contains("more than 10000"));
        assert!(Sheet::read(&vec![b'a'; MAX_BYTES + 1], 8).troubles[0].what.contains("8 MiB"));
        assert!(
            read(TEMPLATE).troubles.iter().all(|trouble| trouble.line == 3),
            "the hash is an example only"
        );
    }

    proptest! {
        #[test]
        fn no_file_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[a-z@,;\"\n\t{}$ü]{0,200}") {
            Sheet::read(&bytes, 8);
            Sheet::read(format!("address,password,hash,quota,aliases\n{text}").as_bytes(), 8);
        }
    }
}
