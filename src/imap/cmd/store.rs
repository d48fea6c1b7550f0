//! STORE and UID STORE (RFC 3501 §6.4.6), with UNCHANGEDSINCE (RFC 7162 §3.1.3).

use crate::imap::wire::bad::Bad;
use crate::imap::wire::flag::Flag;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::{Numbering, RawSet};

/// `STORE set [(UNCHANGEDSINCE modseq)] [+|-]FLAGS[.SILENT] flags`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// What the set's numbers are.
    pub numbering: Numbering,
    /// Which messages.
    pub set: RawSet,
    /// Only messages whose mod-sequence is no higher. 0 fails for all, and is allowed.
    pub unchanged_since: Option<u64>,
    /// What to do with the flags.
    pub change: Change,
    /// Whether the new flags are sent back.
    pub echo: Echo,
    /// The flags; none at all is allowed.
    pub flags: Vec<Flag>,
}

/// How STORE changes flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `FLAGS`: these and no others.
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// Whether STORE answers with FETCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It does.
    Flags,
    /// `.SILENT`: it doesn't, but for the mod-sequence (RFC 7162 §3.1.3).
    Silent,
}

impl Store {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let set = parser.sequence_set()?;
        parser.space()?;
        let mut unchanged_since = None;
        if parser.skip(b'(') {
            if !parser.skip_word("UNCHANGEDSINCE") {
                return Err(parser.bad("unknown STORE modifier"));
            }
            parser.space()?;
            unchanged_since = Some(parser.number64()?);
            parser.expect(b')', "expected the end of the STORE modifiers")?;
            parser.space()?;
        }
        let (change, echo) = item(parser)?;
        parser.space()?;
        let flags = parser.flags()?;
        Ok(Store { numbering, set, unchanged_since, change, echo, flags })
    }
}

fn item(parser: &mut Parser<'_>) -> Result<(Change, Echo), Bad> {
    let at = parser.at();
    let change = if parser.skip(b'+') {
        Change::Add
    } else if parser.skip(b'-') {
        Change::Remove
    } else {
        Change::Replace
    };
    match parser.word()?.to_ascii_uppercase().as_slice() {
        b"FLAGS" => Ok((change, Echo::Flags)),
        b"FLAGS.SILENT" => Ok((change, Echo::Silent)),
        _ => Err(Bad::new("unknown STORE item", at)),
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
            "STORE",
            "STORE 1",
            "STORE 1 FLAGS",
            "STORE 0 FLAGS ()",
            "STORE 1 FLAGS (\\Seen",
            "STORE 1 FLAGS \\Foo",
            "STORE 1 *FLAGS \\Seen",
            "STORE 1 ++FLAGS \\Seen",
            "STORE 1 FLAGS.LOUD \\Seen",
            "STORE 1 (UNCHANGEDSINCE) FLAGS ()",
            "STORE 1 (UNCHANGEDSINCE -1) FLAGS ()",
            "STORE 1 () FLAGS ()",
            "STORE 1 (FOO 1) FLAGS ()",
            "STORE 1 FLAGS () x",
        ] {
            refusal(input);
        }
        let store = |numbering, set: &str, unchanged_since, change, echo, flags: &[Flag]| {
            let set = RawSet::new(set.as_bytes()).unwrap();
            Command::Store(Store { numbering, set, unchanged_since, change, echo, flags: flags.to_vec() })
        };
        let (sequence, uid) = (Numbering::Sequence, Numbering::Uid);
        assert_eq!(
            command("STORE 1 FLAGS ()"),
            store(sequence, "1", None, Change::Replace, Echo::Flags, &[])
        );
        assert_eq!(
            command("uid store 2:4,* +flags.silent (\\Deleted)"),
            store(uid, "2:4,*", None, Change::Add, Echo::Silent, &[Flag::Deleted])
        );
        assert_eq!(
            command("STORE 1:* (UNCHANGEDSINCE 0) -FLAGS \\Seen a"),
            store(
                sequence,
                "1:*",
                Some(0),
                Change::Remove,
                Echo::Flags,
                &[Flag::Seen, Flag::Keyword("a".into())]
            )
        );
    }
}
