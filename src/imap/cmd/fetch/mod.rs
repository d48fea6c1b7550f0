//! FETCH and UID FETCH (RFC 3501 §6.4.5), with CHANGEDSINCE (RFC 7162 §3.1.4).

pub mod item;

use self::item::{FetchAtt, fetch_items};
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::{Numbering, RawSet};

/// `FETCH set items [(CHANGEDSINCE modseq)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// What the set's numbers are.
    pub numbering: Numbering,
    /// Which messages.
    pub set: RawSet,
    /// What of them, macros expanded; each item once. Under UID FETCH, and with CHANGEDSINCE, what these answer
    /// unasked (UID, MODSEQ) is among them.
    pub items: Vec<FetchAtt>,
    /// Only messages whose mod-sequence is higher.
    pub changed_since: Option<u64>,
}

impl Fetch {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let set = parser.sequence_set()?;
        parser.space()?;
        let mut items = fetch_items(parser)?;
        let mut changed_since = None;
        if parser.skip(b' ') {
            parser.expect(b'(', "expected FETCH modifiers")?;
            if !parser.skip_word("CHANGEDSINCE") {
                return Err(parser.bad("unknown FETCH modifier"));
            }
            parser.space()?;
            changed_since = Some(parser.mod_sequence()?);
            parser.expect(b')', "expected the end of the FETCH modifiers")?;
        }
        // RFC 3501 §6.4.8: UID FETCH answers with the uid; RFC 7162 §3.1.4.1: CHANGEDSINCE implies MODSEQ.
        let uid = (numbering == Numbering::Uid).then_some(FetchAtt::Uid);
        let modseq = changed_since.map(|_| FetchAtt::ModSeq);
        for implied in uid.into_iter().chain(modseq) {
            if !items.contains(&implied) {
                items.push(implied);
            }
        }
        Ok(Fetch { numbering, set, items, changed_since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in [
            "FETCH",
            "FETCH 1",
            "FETCH 1 ",
            "FETCH FLAGS 1",
            "FETCH 0 FLAGS",
            "FETCH 1 FLAGS (CHANGEDSINCE)",
            "FETCH 1 FLAGS (CHANGEDSINCE 0)",
            "FETCH 1 FLAGS (CHANGEDSINCE 1",
            "FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
            "FETCH 1 FLAGS (VANISHED)",
            "FETCH 1 FLAGS ()",
            "FETCH 1 FLAGS UID",
        ] {
            refusal(input);
        }
        let fetch = |numbering, set: &str, items: &[FetchAtt], changed_since| {
            let set = RawSet::new(set.as_bytes()).unwrap();
            Command::Fetch(Fetch { numbering, set, items: items.to_vec(), changed_since })
        };
        let (sequence, uid) = (Numbering::Sequence, Numbering::Uid);
        assert_eq!(command("fetch 1,3:* flags"), fetch(sequence, "1,3:*", &[FetchAtt::Flags], None));
        assert_eq!(
            command("UID FETCH 1 (UID FLAGS)"),
            fetch(uid, "1", &[FetchAtt::Uid, FetchAtt::Flags], None)
        );
        assert_eq!(
            command("UID FETCH 1:* FLAGS (CHANGEDSINCE 17)"),
            fetch(uid, "1:*", &[FetchAtt::Flags, FetchAtt::Uid, FetchAtt::ModSeq], Some(17))
        );
    }
}
