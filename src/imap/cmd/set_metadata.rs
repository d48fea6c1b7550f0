//! SETMETADATA (RFC 5464 §4.3): annotations of a mailbox or of the server.

use super::create::UseAttr;
use super::get_metadata::{SPECIAL_USE, Valued, entry_name, readable};
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::mail::Rights;
use crate::store::metadata::{SERVER, Scope};

/// Entries in one command.
const ENTRIES_MAX: usize = 100;

/// `SETMETADATA mailbox (entry value …)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetMetadata {
    /// The mailbox; the server, when absent.
    pub mailbox: Option<MailboxName>,
    /// What is set; NIL removes. Each name once.
    pub values: Vec<Valued>,
}

impl SetMetadata {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mailbox = parser.mailbox_or_server()?;
        parser.space()?;
        let at = parser.at();
        let mut values: Vec<Valued> = Vec::new();
        for (name, value) in parser.list_of(entry_value)? {
            // The last one wins.
            values.retain(|(known, _)| *known != name);
            values.push((name, value));
            if values.len() > ENTRIES_MAX {
                return Err(Bad::new("too many entries", at));
            }
        }
        if values.is_empty() {
            Err(Bad::new("expected an entry", at))
        } else {
            Ok(SetMetadata { mailbox, values })
        }
    }

    /// Sets all of the values, or none.
    pub async fn run(self, session: &mut Session) -> Outcome {
        let who = session.login()?.account;
        let max = session.config().imap.max_metadata_bytes;
        if self.values.iter().any(|(_, value)| value.as_ref().is_some_and(|value| value.len() > max)) {
            return Err(Fail::no(Code::MetadataMaxSize(max as u64), "a value is larger than may be kept"));
        }
        let shared = self.values.iter().any(|(name, _)| name.scope == Scope::Shared);
        let of = match &self.mailbox {
            None if shared => {
                return Err(Fail::no(Code::NoPerm, "the administrator sets what is shared by all"));
            }
            None => SERVER,
            Some(mailbox) => {
                let place = session.place(mailbox).await?;
                readable(&place)?;
                if shared {
                    place.needs(Rights::WRITE)?;
                }
                let of = (place.account, place.mailbox.id);
                if let Some(value) = self.special_use()? {
                    if place.account != who {
                        return Err(Fail::no(Code::UseAttr, "only your own mailboxes have special uses"));
                    }
                    session.house.store.set_special_use(of, value).await?;
                    return Ok(Done::ok("set"));
                }
                of
            }
        };
        if session.house.store.annotate(who, of, &self.values).await? {
            Ok(Done::ok("set"))
        } else {
            Err(Fail::no(Code::MetadataTooMany, "there would be more entries than may be kept"))
        }
    }

    /// The special use that is set, if that is what this is about (RFC 6154 §5.4).
    fn special_use(&self) -> Result<Option<Option<&'static str>>, Fail> {
        let is_use = |(name, _): &&Valued| name.scope == Scope::Private && name.path == SPECIAL_USE;
        let Some((_, value)) = self.values.iter().find(is_use) else { return Ok(None) };
        if self.values.len() > 1 {
            return Err(Fail::no(Code::Cannot, "a special use is set by itself"));
        }
        match value.as_deref() {
            None | Some(b"") => Ok(Some(None)),
            Some(value) => {
                let known = UseAttr::find(value).filter(|attr| attr.is_mailbox());
                let refusal = || Fail::no(Code::UseAttr, "this special use is not known here");
                Ok(Some(Some(known.ok_or_else(refusal)?.as_str())))
            }
        }
    }
}

/// `entry-value`
fn entry_value(parser: &mut Parser<'_>) -> Result<Valued, Bad> {
    let at = parser.at();
    let name = entry_name(parser)?;
    if name.path.is_empty() {
        return Err(Bad::new("this is no name of an entry", at));
    }
    parser.space()?;
    Ok((name, parser.value()?.map(|value| value.into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};
    use crate::store::metadata::EntryName;

    #[test]
    fn grammar() {
        let many: Vec<String> = (0..=ENTRIES_MAX).map(|n| format!("/shared/{n} x")).collect();
        let many = format!("SETMETADATA a ({})", many.join(" "));
        for input in [
            "SETMETADATA",
            "SETMETADATA a",
            "SETMETADATA a ()",
            "SETMETADATA a (/shared/x)",
            "SETMETADATA a (/shared/x atom)",
            "SETMETADATA a (/shared \"x\")",
            "SETMETADATA a (/shared/x/ \"x\")",
            "SETMETADATA a /shared/x \"x\"",
            "SETMETADATA a (/shared/x \"x\" /shared/y)",
            &many,
        ] {
            refusal(input);
        }
        let set = |mailbox: &str, values: &[(Scope, &str, Option<&[u8]>)]| {
            let value = |(scope, path, value): &(Scope, &str, Option<&[u8]>)| {
                (EntryName { scope: *scope, path: (*path).into() }, value.map(<[u8]>::to_vec))
            };
            let values = values.iter().map(value).collect();
            Command::SetMetadata(SetMetadata { mailbox: MailboxName::new(mailbox).ok(), values })
        };
        // RFC 5464 §4.3.
        assert_eq!(
            command("SETMETADATA INBOX (/private/comment {33}\r\nMy new comment across\r\ntwo lines.)"),
            set("INBOX", &[(Scope::Private, "/comment", Some(b"My new comment across\r\ntwo lines."))])
        );
        assert_eq!(
            command("SETMETADATA INBOX (/private/comment NIL)"),
            set("INBOX", &[(Scope::Private, "/comment", None)])
        );
        assert_eq!(
            command("SETMETADATA \"\" (/private/a ~{3+}\r\na\0b /private/A \"x\" /shared/b \"\")"),
            set("", &[(Scope::Private, "/a", Some(b"x")), (Scope::Shared, "/b", Some(b""))])
        );
        assert_eq!(
            command("SETMETADATA a (/shared/a ~{3+}\r\na\0b)"),
            set("a", &[(Scope::Shared, "/a", Some(b"a\0b"))])
        );
    }
}
