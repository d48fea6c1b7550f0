//! GETMETADATA (RFC 5464 §4.2): annotations of a mailbox or of the server.

use crate::imap::answer::{Done, Fail, Outcome, OwnedCode};
use crate::imap::place::Place;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::name::{MailboxName, NameCoding};
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::mail::Rights;
use crate::net::out::Out;
use crate::store::metadata::{Depth, EntryName, SERVER, Scope};

/// Bytes of an entry's name.
const ENTRY_MAX: usize = 255;

/// Names in one command. Each is looked for among all annotations of the mailbox.
const ENTRIES_MAX: usize = 100;

/// Bytes of values in one response; more go into a further one.
const RESPONSE_MAX: usize = 64 << 10;

/// What a mailbox is for, as an annotation (RFC 6154 §5.4).
pub(super) const SPECIAL_USE: &str = "/specialuse";

/// `GETMETADATA [(options)] mailbox entries`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetMetadata {
    /// The mailbox; the server, when absent.
    pub mailbox: Option<MailboxName>,
    /// What is asked for.
    pub asked: Entries,
    /// Larger values are left out.
    pub max_size: Option<u32>,
}

/// Which annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    /// Their names; at least one.
    pub names: Vec<EntryName>,
    /// How far below these.
    pub depth: Depth,
}

/// A name and its value; `None`: it has none.
pub(super) type Valued = (EntryName, Option<Vec<u8>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Options {
    max_size: Option<u32>,
    depth: Depth,
}

impl GetMetadata {
    /// Reads the arguments. The options stand in front of the mailbox; examples of RFC 5464, and clients after them, have
    /// them behind it.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mut options = Options::default();
        if parser.skip(b'(') {
            options = rest_of_options(parser)?;
            parser.space()?;
        }
        let mailbox = parser.mailbox_or_server()?;
        parser.space()?;
        let names = if !parser.skip(b'(') {
            vec![entry_name(parser)?]
        } else if parser.peek().is_some_and(|b| b.is_ascii_alphabetic()) {
            options = rest_of_options(parser)?;
            parser.space()?;
            entry_names(parser)?
        } else {
            rest_of_names(parser)?
        };
        let asked = Entries { names, depth: options.depth };
        Ok(GetMetadata { mailbox, asked, max_size: options.max_size })
    }

    /// Shows the values.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let who = session.login()?.account;
        let (of, known) = match &self.mailbox {
            Some(name) => {
                let place = session.place(name).await?;
                readable(&place)?;
                ((place.account, place.mailbox.id), of_mailbox(&place, who == place.account))
            }
            None => (SERVER, of_server(session)),
        };
        let Entries { names, depth } = &self.asked;
        let stored = session.house.store.annotations(who, &[of], names, *depth).await?;
        let mut values: Vec<Valued> =
            stored.into_iter().map(|annotation| (annotation.name, Some(annotation.value))).collect();
        self.asked.complete(&mut values, known);
        let max = self.max_size.map_or(usize::MAX, |max| max as usize);
        let size = |value: &Valued| value.1.as_ref().map_or(0, Vec::len);
        let longest = values.iter().map(size).filter(|&size| size > max).max();
        values.retain(|value| size(value) <= max);
        let name = self.mailbox.as_ref().map_or("", MailboxName::as_str);
        write(out, name, session.coding(), &values).await?;
        Ok(match longest {
            Some(size) => Done::with(
                OwnedCode::Plain(Code::MetadataLongEntries(size as u64)),
                "some values are larger than that",
            ),
            None => Done::ok("done"),
        })
    }
}

impl Entries {
    /// Adds what is known otherwise, and, where no depth is asked for, that the rest of the names have no values.
    pub(super) fn complete(&self, values: &mut Vec<Valued>, known: Vec<Valued>) {
        let asked = |name: &EntryName| self.names.iter().any(|asked| asked.covers(name, self.depth));
        for (name, value) in known.into_iter().filter(|(name, _)| asked(name)) {
            values.retain(|(stored, _)| *stored != name);
            if value.is_some() {
                values.push((name, value));
            }
        }
        if self.depth == Depth::Zero {
            for name in &self.names {
                if !values.iter().any(|(known, _)| known == name) {
                    values.push((name.clone(), None));
                }
            }
        }
        values.sort_unstable();
        values.dedup();
    }
}

/// RFC 5464 §3.3: annotations are for those who may look the mailbox up and do something with its messages.
pub(super) fn readable(place: &Place) -> Result<(), Fail> {
    if may_annotate(place.rights) {
        return Ok(());
    }
    Err(Fail::no(Code::NoPerm, "this takes one of the rights r, s, w, i and p on the mailbox"))
}

/// Whether these rights are enough for annotations.
pub(super) fn may_annotate(rights: Rights) -> bool {
    let some = Rights::READ | Rights::SEEN | Rights::WRITE | Rights::INSERT | Rights::POST;
    rights.contains(Rights::LOOKUP) && rights.intersects(some)
}

/// What is no annotation in the tables and one to clients: the special use of one's own mailbox.
fn of_mailbox(place: &Place, personal: bool) -> Vec<Valued> {
    let special = place.mailbox.special_use.as_ref().filter(|_| personal);
    vec![special_use(special.map(String::as_str))]
}

/// A special use as an annotation.
pub(super) fn special_use(value: Option<&str>) -> Valued {
    let name = EntryName { scope: Scope::Private, path: SPECIAL_USE.into() };
    (name, value.map(|value| value.as_bytes().to_vec()))
}

/// RFC 5464 §6.2.1: what the settings say.
fn of_server(session: &Session) -> Vec<Valued> {
    let config = session.config();
    let entry = |path: &str, value: &Option<String>| {
        let name = EntryName { scope: Scope::Shared, path: path.into() };
        (name, value.as_ref().map(|value| value.as_bytes().to_vec()))
    };
    vec![entry("/admin", &config.imap.admin_contact), entry("/comment", &config.imap.server_comment)]
}

/// `* METADATA name (entry value …)`, nothing where nothing is to be said.
pub(super) async fn write(
    out: &mut Out<'_>,
    name: &str,
    coding: NameCoding,
    values: &[Valued],
) -> Result<(), Fail> {
    let mut rest = values;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |(_, value): &&Valued| {
            bytes += value.as_ref().map_or(0, Vec::len);
            bytes <= RESPONSE_MAX
        };
        let (some, more) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        write_some(out, name, coding, some);
        out.page().await?;
        rest = more;
    }
    Ok(())
}

fn write_some(out: &mut Out<'_>, name: &str, coding: NameCoding, values: &[Valued]) {
    let mut buffer = out.buffer();
    let mut line = Line::untagged(&mut buffer);
    line.raw("METADATA ");
    if name.is_empty() {
        line.raw("\"\"");
    } else {
        line.mailbox(name, coding);
    }
    line.raw(" ").list(values, |line, (name, value)| {
        line.astring(name.to_string().as_bytes()).raw(" ");
        // RFC 5464 §4.4.1: what a literal cannot hold is a literal8.
        if value.as_ref().is_some_and(|value| value.contains(&0)) {
            line.raw("~").literal(value.as_deref().unwrap_or_default());
        } else {
            line.nstring(value.as_deref());
        }
    });
}

/// The options behind their opening parenthesis.
fn rest_of_options(parser: &mut Parser<'_>) -> Result<Options, Bad> {
    let mut options = Options::default();
    loop {
        let at = parser.at();
        match parser.atom()?.to_ascii_uppercase().as_slice() {
            b"MAXSIZE" => {
                parser.space()?;
                options.max_size = Some(parser.number()?);
            }
            b"DEPTH" => {
                parser.space()?;
                let at = parser.at();
                options.depth = match parser.atom()?.to_ascii_uppercase().as_slice() {
                    b"0" => Depth::Zero,
                    b"1" => Depth::One,
                    b"INFINITY" => Depth::Infinity,
                    _ => return Err(Bad::new("expected 0, 1 or infinity", at)),
                };
            }
            _ => return Err(Bad::new("unknown GETMETADATA option", at)),
        }
        if parser.skip(b')') {
            return Ok(options);
        }
        parser.space()?;
    }
}

/// `entries`: one, or some in parentheses.
fn entry_names(parser: &mut Parser<'_>) -> Result<Vec<EntryName>, Bad> {
    if parser.skip(b'(') { rest_of_names(parser) } else { Ok(vec![entry_name(parser)?]) }
}

/// Names behind their opening parenthesis, each once.
fn rest_of_names(parser: &mut Parser<'_>) -> Result<Vec<EntryName>, Bad> {
    let mut names = Vec::new();
    loop {
        let at = parser.at();
        let name = entry_name(parser)?;
        if !names.contains(&name) {
            names.push(name);
        }
        if names.len() > ENTRIES_MAX {
            return Err(Bad::new("too many entries", at));
        }
        if parser.skip(b')') {
            return Ok(names);
        }
        parser.space()?;
    }
}

/// What LIST RETURN (METADATA …) asks for (RFC 9590 §3).
pub(super) fn entries_to_return(parser: &mut Parser<'_>) -> Result<Entries, Bad> {
    parser.space()?;
    let mut depth = Depth::default();
    let names = if !parser.skip(b'(') {
        vec![entry_name(parser)?]
    } else if parser.peek().is_some_and(|b| b.is_ascii_alphabetic()) {
        depth = rest_of_options(parser)?.depth;
        parser.space()?;
        entry_names(parser)?
    } else {
        rest_of_names(parser)?
    };
    Ok(Entries { names, depth })
}

/// `entry` (RFC 5464 §5): names differ without regard to case.
pub(super) fn entry_name(parser: &mut Parser<'_>) -> Result<EntryName, Bad> {
    let at = parser.at();
    let bytes = parser.astring()?.to_ascii_lowercase();
    let bad = Bad::new("this is no name of an entry", at);
    let name = String::from_utf8(bytes).map_err(|_| bad.clone())?;
    let (scope, path) = match name.strip_prefix("/private") {
        Some(path) => (Scope::Private, path),
        None => (Scope::Shared, name.strip_prefix("/shared").ok_or(bad.clone())?),
    };
    let printable = name.len() <= ENTRY_MAX
        && name.bytes().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'*' | b'%'));
    let levels = path.is_empty() || path.starts_with('/') && !path.ends_with('/') && !path.contains("//");
    if printable && levels { Ok(EntryName { scope, path: path.to_owned() }) } else { Err(bad) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    fn name(scope: Scope, path: &str) -> EntryName {
        EntryName { scope, path: path.into() }
    }

    #[test]
    fn refusals() {
        let many: Vec<String> = (0..=ENTRIES_MAX).map(|n| format!("/shared/{n}")).collect();
        let many = format!("GETMETADATA a ({})", many.join(" "));
        let long = format!("GETMETADATA a /shared/{}", "x".repeat(ENTRY_MAX));
        for input in [
            "GETMETADATA",
            "GETMETADATA a",
            "GETMETADATA a ()",
            "GETMETADATA a comment",
            "GETMETADATA a /comment",
            "GETMETADATA a /sharedcomment",
            "GETMETADATA a /shared/",
            "GETMETADATA a /shared//x",
            "GETMETADATA a \"/shared/x*\"",
            "GETMETADATA a \"/shared/%\"",
            "GETMETADATA a \"/shared/é\"",
            "GETMETADATA a /shared/a /shared/b",
            "GETMETADATA () a /shared/a",
            "GETMETADATA (FOO 1) a /shared/a",
            "GETMETADATA (DEPTH 2) a /shared/a",
            "GETMETADATA (MAXSIZE) a /shared/a",
            "GETMETADATA (MAXSIZE 1)a /shared/a",
            &many,
            &long,
        ] {
            refusal(input);
        }
    }

    #[test]
    fn grammar() {
        let get = |mailbox: &str, names: &[EntryName], max_size, depth| {
            Command::GetMetadata(GetMetadata {
                mailbox: MailboxName::new(mailbox).ok(),
                asked: Entries { names: names.to_vec(), depth },
                max_size,
            })
        };
        let comment = name(Scope::Shared, "/comment");
        let mine = name(Scope::Private, "/comment");
        // RFC 5464 §4.2, and the same with the options where its grammar has them.
        assert_eq!(
            command("GETMETADATA \"\" /shared/comment"),
            get("", std::slice::from_ref(&comment), None, Depth::Zero)
        );
        assert_eq!(
            command("getmetadata \"INBOX\" (/Private/Comment /shared/comment /PRIVATE/COMMENT)"),
            get("INBOX", &[mine.clone(), comment.clone()], None, Depth::Zero)
        );
        for input in [
            "GETMETADATA \"INBOX\" (MAXSIZE 1024) (/shared/comment /private/comment)",
            "GETMETADATA (maxsize 1024) \"INBOX\" (/shared/comment /private/comment)",
        ] {
            assert_eq!(
                command(input),
                get("INBOX", &[comment.clone(), mine.clone()], Some(1024), Depth::Zero)
            );
        }
        let filters = [name(Scope::Private, "/filters/values")];
        assert_eq!(
            command("GETMETADATA (DEPTH 1) \"INBOX\" (/private/filters/values)"),
            get("INBOX", &filters, None, Depth::One)
        );
        assert_eq!(
            command("GETMETADATA (DEPTH infinity MAXSIZE 0) a /private"),
            get("a", &[name(Scope::Private, "")], Some(0), Depth::Infinity)
        );
    }

    #[test]
    fn what_is_known_otherwise_and_what_is_not_there() {
        let asked = Entries {
            names: vec![name(Scope::Private, SPECIAL_USE), name(Scope::Shared, "/x")],
            depth: Depth::Zero,
        };
        let mut values = Vec::new();
        asked.complete(&mut values, vec![special_use(Some("\\Sent"))]);
        assert_eq!(values, [special_use(Some("\\Sent")), (name(Scope::Shared, "/x"), None)]);
        let asked = Entries { names: vec![name(Scope::Shared, "")], depth: Depth::Infinity };
        let mut values = Vec::new();
        asked.complete(&mut values, vec![special_use(None)]);
        assert_eq!(values, []);
    }
}
