//! ENABLE (RFC 5161).

use crate::imap::answer::Done;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::net::out::Out;

/// An extension that changes what the server sends unasked, and so waits for the client's consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// RFC 7162 §3.1: MODSEQ in every FETCH of flags.
    CondStore,
    /// RFC 6855 §3: names and strings in UTF-8.
    Utf8Accept,
    /// RFC 7162 §3.2: that, and VANISHED instead of EXPUNGE.
    QResync,
    /// RFC 9051: ESEARCH instead of SEARCH, names in UTF-8, nothing that is `\Recent`.
    Rev2,
    /// RFC 9586: no sequence numbers any more, in either direction.
    UidOnly,
}

/// What a client has enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Enabled(u8);

impl Enabled {
    /// Enables an extension, for the rest of the connection.
    pub fn add(&mut self, extension: Extension) {
        self.0 |= 1 << extension as u8;
    }

    /// Whether it is enabled.
    pub fn has(self, extension: Extension) -> bool {
        self.0 & 1 << extension as u8 != 0
    }
}

impl Extension {
    const ALL: [Extension; 5] = [
        Extension::CondStore,
        Extension::QResync,
        Extension::Rev2,
        Extension::UidOnly,
        Extension::Utf8Accept,
    ];

    /// As it is written in ENABLE and ENABLED.
    pub fn name(self) -> &'static str {
        match self {
            Extension::CondStore => "CONDSTORE",
            Extension::Utf8Accept => "UTF8=ACCEPT",
            Extension::QResync => "QRESYNC",
            Extension::Rev2 => "IMAP4rev2",
            Extension::UidOnly => "UIDONLY",
        }
    }
}

/// `ENABLE capability …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enable {
    /// Those asked for that this server has. RFC 5161 §3.1: others are ignored.
    pub extensions: Vec<Extension>,
}

impl Enable {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        let mut extensions = Vec::new();
        parser.space()?;
        loop {
            let name = parser.atom()?;
            let known = Extension::ALL.into_iter().find(|e| name.eq_ignore_ascii_case(e.name().as_bytes()));
            extensions.extend(known.filter(|e| !extensions.contains(e)));
            if !parser.skip(b' ') {
                return Ok(Enable { extensions });
            }
        }
    }
}

impl Enable {
    /// Enables them, as far as they are announced to this client, and says which.
    pub fn run(self, session: &mut Session, out: &mut Out<'_>) -> Done {
        let mut names = String::new();
        for extension in self.extensions {
            if !session.is_announced(extension.name()) {
                continue;
            }
            session.enable(extension);
            names.push(' ');
            names.push_str(extension.name());
        }
        Line::untagged(&mut out.buffer()).raw("ENABLED").text(&names);
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
        for input in ["ENABLE", "ENABLE ", "ENABLE (CONDSTORE)", "ENABLE CONDSTORE ", "ENABLE \"CONDSTORE\""]
        {
            refusal(input);
        }
        let enable = |extensions: &[Extension]| Command::Enable(Enable { extensions: extensions.to_vec() });
        assert_eq!(command("ENABLE X-GOOD-IDEA"), enable(&[]));
        assert_eq!(command("ENABLE condstore X CONDSTORE"), enable(&[Extension::CondStore]));
        assert_eq!(command("ENABLE utf8=accept"), enable(&[Extension::Utf8Accept]));
        assert_eq!(
            command("ENABLE UIDONLY imap4rev2 QRESYNC"),
            enable(&[Extension::UidOnly, Extension::Rev2, Extension::QResync])
        );
    }
}
