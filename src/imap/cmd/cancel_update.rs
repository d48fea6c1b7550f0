//! CANCELUPDATE (RFC 5267 §4.3.5).

use crate::imap::answer::{Done, Outcome};
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::unit::Tag;

/// `CANCELUPDATE "tag" …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelUpdate {
    /// The tags of the searches whose results are not to be kept up to date any longer.
    pub tags: Vec<Tag>,
}

impl CancelUpdate {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mut tags = Vec::new();
        loop {
            let at = parser.at();
            let tag = Tag::new(&parser.string()?).ok_or(Bad::new("expected a tag in quotes", at))?;
            tags.push(tag);
            if !parser.skip(b' ') {
                return Ok(CancelUpdate { tags });
            }
        }
    }

    /// Stops.
    pub fn run(self, session: &mut Session) -> Outcome {
        session.selected()?.contexts.cancel(&self.tags);
        Ok(Done::ok("no further updates"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in
            ["CANCELUPDATE", "CANCELUPDATE ", "CANCELUPDATE a", "CANCELUPDATE \"\"", "CANCELUPDATE \"a\" "]
        {
            refusal(input);
        }
        let cancel = |tags: &[&[u8]]| {
            let tags = tags.iter().map(|tag| Tag::new(tag).unwrap()).collect();
            Command::CancelUpdate(CancelUpdate { tags })
        };
        assert_eq!(command("CANCELUPDATE \"B01\""), cancel(&[b"B01"]));
        assert_eq!(command("cancelupdate \"a\" \"b\""), cancel(&[b"a", b"b"]));
    }
}
