//! ID (RFC 2971): what the client says it is, for the session list and the log.

use crate::imap::answer::Done;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::net::out::Out;

/// RFC 2971 §3.3: fields, and octets of a field's name and value.
const FIELDS_MAX: usize = 30;
const NAME_MAX: usize = 30;
const VALUE_MAX: usize = 1024;

/// `ID NIL` or `ID (name value …)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    /// Names and values as sent, what is no UTF-8 replaced. For people to read: nothing may be decided by it.
    pub fields: Vec<(String, Option<String>)>,
}

impl Id {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        if parser.skip_word("NIL") {
            return Ok(Id { fields: Vec::new() });
        }
        let fields = parser.list_of(field)?;
        if fields.len() > FIELDS_MAX {
            return Err(parser.bad("too many ID fields"));
        }
        Ok(Id { fields })
    }
}

fn field(parser: &mut Parser<'_>) -> Result<(String, Option<String>), Bad> {
    let at = parser.at();
    let name = parser.string()?;
    parser.space()?;
    let value = parser.nstring()?;
    if name.len() > NAME_MAX || value.as_ref().is_some_and(|value| value.len() > VALUE_MAX) {
        return Err(Bad::new("ID field too long", at));
    }
    Ok((readable(&name), value.map(|value| readable(&value))))
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, " ")
}

/// Characters kept of what a client says it is.
const CLIENT_MAX: usize = 200;

impl Id {
    /// "name version", as far as they are given.
    fn client(&self) -> String {
        let of = |wanted: &str| {
            let field = self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            field.and_then(|(_, value)| value.as_deref()).unwrap_or_default()
        };
        let client = format!("{} {}", of("name"), of("version"));
        client.trim().chars().take(CLIENT_MAX).collect()
    }

    /// Says who we are, and notes who they are.
    pub fn run(self, session: &mut Session, out: &mut Out<'_>) -> Done {
        tracing::debug!(peer = %session.handle.peer(), client = ?self.fields, "client identifies itself");
        session.client = self.client();
        session.handle.client(&session.client);
        let fields: [(&str, &str); 2] = [("name", "Mailwright"), ("version", env!("CARGO_PKG_VERSION"))];
        Line::untagged(&mut out.buffer()).raw("ID ").list(fields, |line, (name, value)| {
            line.string(name.as_bytes()).raw(" ").string(value.as_bytes());
        });
        Done::ok("done")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        let many = format!("ID ({}\"a\" \"b\")", "\"a\" \"b\" ".repeat(30));
        let long = format!("ID (\"a\" \"{}\")", "x".repeat(1025));
        for input in
            ["ID", "ID ()x", "ID (\"a\")", "ID (\"a\" b)", "ID (a \"b\")", "ID NIL NIL", &many, &long]
        {
            refusal(input);
        }
        let id = |fields: &[(&str, Option<&str>)]| {
            let fields =
                fields.iter().map(|(name, value)| (name.to_string(), value.map(str::to_owned))).collect();
            Command::Id(Id { fields })
        };
        for (input, client) in [
            ("ID NIL", ""),
            ("ID (\"name\" \"Mutt\")", "Mutt"),
            ("ID (\"VERSION\" \"2.2\" \"os\" \"x\" \"Name\" \"Mutt\")", "Mutt 2.2"),
            ("ID (\"version\" NIL \"name\" \"a b\")", "a b"),
        ] {
            let Command::Id(id) = command(input) else { panic!("{input}") };
            assert_eq!(id.client(), client, "{input}");
        }
        assert_eq!(command("ID nil"), id(&[]));
        assert_eq!(command("ID ()"), id(&[]));
        assert_eq!(command("ID (\"name\" \"x\" \"os\" NIL)"), id(&[("name", Some("x")), ("os", None)]));
        assert_eq!(command("ID (\"name\" {4}\r\na\r\n\0)"), id(&[("name", Some("a   "))]));
    }
}
