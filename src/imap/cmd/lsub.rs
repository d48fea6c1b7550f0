//! LSUB (RFC 3501 §6.3.9), which LIST (SUBSCRIBED) replaces.

use super::list::matched;
use crate::imap::answer::{Done, Outcome};
use crate::imap::listing::{Criteria, Tree};
use crate::imap::pattern::Pattern;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::net::out::Out;

/// `LSUB reference pattern`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lsub {
    /// Which subscribed names.
    pub pattern: Pattern,
}

impl Lsub {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let reference = parser.mailbox_prefix()?;
        parser.space()?;
        let pattern = parser.list_mailbox()?;
        Ok(Lsub { pattern: Pattern::new(&reference, &pattern) })
    }
}

impl Lsub {
    /// Shows the subscribed names, whether their mailboxes exist or not. Where `%` stops above one, the level that it
    /// reaches is shown for it with `\Noselect`, which here says that the level itself is not subscribed.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let entries = session.names().await?;
        let tree = Tree::new(&entries);
        let matched = matched(&tree, &[self.pattern]).await;
        let criteria = Criteria { subscribed: true, special_use: false, recursive: true };
        for listed in tree.select(criteria, &matched) {
            let attributes = if listed.meets { "LSUB () \"/\" " } else { "LSUB (\\Noselect) \"/\" " };
            let (name, coding) = (listed.node.name, session.coding());
            Line::untagged(&mut out.buffer()).raw(attributes).mailbox(name, coding);
            out.page().await?;
        }
        Ok(Done::ok("done"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["LSUB", "LSUB \"\"", "LSUB \"\" (a b)", "LSUB () \"\" *", "LSUB \"\" * RETURN ()"] {
            refusal(input);
        }
        assert_eq!(command("LSUB a/ %"), Command::Lsub(Lsub { pattern: Pattern::new("a/", "%") }));
    }
}
