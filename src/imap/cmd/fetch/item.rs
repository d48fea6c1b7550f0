//! What FETCH can be asked for (RFC 3501 §6.4.5, §9 `fetch-att`; MODSEQ: RFC 7162 §3.1.5; BINARY: RFC 3516 §4; EMAILID and
//! THREADID: RFC 8474 §5; SAVEDATE: RFC 8514 §4.1; PREVIEW: RFC 8970 §3).

use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::section::{Partial, Section};

/// Different items in one command. Clients ask for a dozen; each may be the whole message again.
const ITEMS_MAX: usize = 100;

/// `fetch-att`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchAtt {
    /// `ENVELOPE`
    Envelope,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822`: the whole message, under that name; sets `\Seen`.
    Rfc822,
    /// `RFC822.HEADER`: does not set `\Seen`.
    Rfc822Header,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `RFC822.TEXT`: sets `\Seen`.
    Rfc822Text,
    /// `BODY` without a section: the structure without its extension data.
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `UID`
    Uid,
    /// `MODSEQ`
    ModSeq,
    /// `BODY[…]<…>` and `BODY.PEEK[…]<…>`
    BodySection(BodySection),
    /// `BINARY[…]<…>` and `BINARY.PEEK[…]<…>`: the section has part numbers only.
    Binary(BodySection),
    /// `BINARY.SIZE[…]`: how much `BINARY[…]` would give.
    BinarySize(Section),
    /// `EMAILID`
    EmailId,
    /// `THREADID`
    ThreadId,
    /// `SAVEDATE`
    SaveDate,
    /// `PREVIEW`, and `PREVIEW (LAZY)`.
    Preview(Effort),
}

/// Whether a preview is worth work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// It is made where nobody has asked for it before.
    Made,
    /// `LAZY`: only one that is known already is told.
    Lazy,
}

/// A part of a message's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodySection {
    /// Which part.
    pub section: Section,
    /// Which octets of it; the answer names the offset only.
    pub partial: Option<Partial>,
    /// Whether reading it counts.
    pub peek: Peek,
}

/// Whether fetching sets `\Seen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// `BODY[…]`: it does.
    Seen,
    /// `BODY.PEEK[…]`: it doesn't.
    Unseen,
}

impl FetchAtt {
    /// Whether answering sets `\Seen` (not in a mailbox opened by EXAMINE).
    pub fn sets_seen(&self) -> bool {
        match self {
            FetchAtt::Rfc822 | FetchAtt::Rfc822Text => true,
            FetchAtt::BodySection(body) | FetchAtt::Binary(body) => body.peek == Peek::Seen,
            _ => false,
        }
    }

    /// Whether answering needs the message's bytes, not only its row.
    pub fn reads_content(&self) -> bool {
        matches!(
            self,
            FetchAtt::Rfc822
                | FetchAtt::Rfc822Header
                | FetchAtt::Rfc822Text
                | FetchAtt::BodySection(_)
                | FetchAtt::Binary(_)
                | FetchAtt::BinarySize(_)
        )
    }
}

/// A macro, one item, or items in parentheses; each item once.
pub(super) fn fetch_items(parser: &mut Parser<'_>) -> Result<Vec<FetchAtt>, Bad> {
    let at = parser.at();
    if parser.peek() != Some(b'(') {
        if let Some(items) = macro_items(parser) {
            return Ok(items);
        }
        return Ok(vec![fetch_att(parser)?]);
    }
    let mut items = Vec::new();
    parser.list_of(|parser| {
        let item = fetch_att(parser)?;
        if items.len() == ITEMS_MAX {
            return Err(parser.bad("too many FETCH items"));
        }
        if !items.contains(&item) {
            items.push(item);
        }
        Ok(())
    })?;
    if items.is_empty() { Err(Bad::new("expected a FETCH item", at)) } else { Ok(items) }
}

/// RFC 3501 §6.4.5: a macro stands alone, not among other items.
fn macro_items(parser: &mut Parser<'_>) -> Option<Vec<FetchAtt>> {
    let fast = [FetchAtt::Flags, FetchAtt::InternalDate, FetchAtt::Rfc822Size];
    let more: &[FetchAtt] = if parser.skip_word("FAST") {
        &[]
    } else if parser.skip_word("ALL") {
        &[FetchAtt::Envelope]
    } else if parser.skip_word("FULL") {
        &[FetchAtt::Envelope, FetchAtt::Body]
    } else {
        return None;
    };
    Some(fast.iter().chain(more).cloned().collect())
}

fn fetch_att(parser: &mut Parser<'_>) -> Result<FetchAtt, Bad> {
    let at = parser.at();
    let name = parser.word()?.to_ascii_uppercase();
    let bracket = parser.peek() == Some(b'[');
    match (name.as_slice(), bracket) {
        (b"BODY", true) => body_section(parser, Peek::Seen),
        (b"BODY.PEEK", true) => body_section(parser, Peek::Unseen),
        (b"BODY", false) => Ok(FetchAtt::Body),
        (b"BODYSTRUCTURE", false) => Ok(FetchAtt::BodyStructure),
        (b"ENVELOPE", false) => Ok(FetchAtt::Envelope),
        (b"FLAGS", false) => Ok(FetchAtt::Flags),
        (b"INTERNALDATE", false) => Ok(FetchAtt::InternalDate),
        (b"MODSEQ", false) => Ok(FetchAtt::ModSeq),
        (b"RFC822", false) => Ok(FetchAtt::Rfc822),
        (b"RFC822.HEADER", false) => Ok(FetchAtt::Rfc822Header),
        (b"RFC822.SIZE", false) => Ok(FetchAtt::Rfc822Size),
        (b"RFC822.TEXT", false) => Ok(FetchAtt::Rfc822Text),
        (b"UID", false) => Ok(FetchAtt::Uid),
        (b"BINARY", true) => binary_section(parser, Peek::Seen),
        (b"BINARY.PEEK", true) => binary_section(parser, Peek::Unseen),
        (b"BINARY.SIZE", true) => {
            Ok(FetchAtt::BinarySize(Section { part: parser.section_binary()?, text: None }))
        }
        (b"EMAILID", false) => Ok(FetchAtt::EmailId),
        (b"THREADID", false) => Ok(FetchAtt::ThreadId),
        (b"SAVEDATE", false) => Ok(FetchAtt::SaveDate),
        // Modifiers of the whole command may follow in parentheses too: only what is known is taken as the item's.
        (b"PREVIEW", false) if parser.skip_text(" (LAZY)") => Ok(FetchAtt::Preview(Effort::Lazy)),
        (b"PREVIEW", false) => Ok(FetchAtt::Preview(Effort::Made)),
        _ => Err(Bad::new("unknown FETCH item", at)),
    }
}

fn body_section(parser: &mut Parser<'_>, peek: Peek) -> Result<FetchAtt, Bad> {
    let section = parser.section()?;
    let partial = parser.partial()?;
    Ok(FetchAtt::BodySection(BodySection { section, partial, peek }))
}

fn binary_section(parser: &mut Parser<'_>, peek: Peek) -> Result<FetchAtt, Bad> {
    let section = Section { part: parser.section_binary()?, text: None };
    let partial = parser.partial()?;
    Ok(FetchAtt::Binary(BodySection { section, partial, peek }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::wire::parser::tests::{refused, taken};
    use crate::imap::wire::section::SectionText;

    #[test]
    fn refusals() {
        let many = (1..=101).map(|n| format!("BODY[{n}]")).collect::<Vec<_>>().join(" ");
        for text in [
            "",
            "FOO",
            "()",
            "(ALL)",
            "(FLAGS ALL)",
            "FLAGS UID",
            "BODY.PEEK",
            "BODY [TEXT]",
            "BODY[TEXT] <0.1>",
            "BODY[TEXT",
            "BODYSTRUCTURE[1]",
            "RFC822[]",
            "RFC822.PEEK",
            "BODY<0.1>",
            "BODY[]<0>",
            "(FLAGS UID",
            "(FLAGS,UID)",
            "ALLX",
            "BINARY",
            "BINARY[HEADER]",
            "BINARY[1.MIME]",
            "BINARY[1]<0.0>",
            "BINARY.SIZE[1]<0.1>",
            "BINARY.SIZE",
            "EMAILID[]",
            "PREVIEW (FUZZY)",
            "PREVIEW (LAZY",
            &format!("({many})"),
        ] {
            refused(text, fetch_items);
        }
    }

    #[test]
    fn items() {
        use FetchAtt::{Body, BodyStructure, Envelope, Flags, InternalDate, ModSeq, Rfc822, Rfc822Size, Uid};
        for (text, expected) in [
            ("fast", vec![Flags, InternalDate, Rfc822Size]),
            ("ALL", vec![Flags, InternalDate, Rfc822Size, Envelope]),
            ("FULL", vec![Flags, InternalDate, Rfc822Size, Envelope, Body]),
            ("body", vec![Body]),
            (
                "(RFC822 rfc822.header RFC822.TEXT)",
                vec![Rfc822, FetchAtt::Rfc822Header, FetchAtt::Rfc822Text],
            ),
            ("(UID MODSEQ BODYSTRUCTURE UID)", vec![Uid, ModSeq, BodyStructure]),
            ("(emailid ThreadID SAVEDATE)", vec![FetchAtt::EmailId, FetchAtt::ThreadId, FetchAtt::SaveDate]),
            ("PREVIEW", vec![FetchAtt::Preview(Effort::Made)]),
            (
                "(PREVIEW (lazy) PREVIEW)",
                vec![FetchAtt::Preview(Effort::Lazy), FetchAtt::Preview(Effort::Made)],
            ),
            ("BINARY.SIZE[1.2]", vec![FetchAtt::BinarySize(Section { part: vec![1, 2], text: None })]),
            (
                "BINARY.PEEK[2]<5.9>",
                vec![FetchAtt::Binary(BodySection {
                    section: Section { part: vec![2], text: None },
                    partial: Some(Partial { offset: 5, count: 9 }),
                    peek: Peek::Unseen,
                })],
            ),
        ] {
            assert_eq!(taken(text, fetch_items), expected, "{text}");
        }
    }

    #[test]
    fn sections() {
        let body = |part: &[u32], text, partial: Option<(u64, u64)>, peek| {
            let section = Section { part: part.to_vec(), text };
            let partial = partial.map(|(offset, count)| Partial { offset, count });
            FetchAtt::BodySection(BodySection { section, partial, peek })
        };
        for (text, expected, seen) in [
            ("BODY[]", body(&[], None, None, Peek::Seen), true),
            ("body.peek[]<0.2048>", body(&[], None, Some((0, 2048)), Peek::Unseen), false),
            ("BODY[1.2.MIME]", body(&[1, 2], Some(SectionText::Mime), None, Peek::Seen), true),
            (
                "BODY.PEEK[HEADER.FIELDS (Subject {4+}\r\nDate)]",
                body(
                    &[],
                    Some(SectionText::HeaderFields(vec!["Subject".into(), "Date".into()])),
                    None,
                    Peek::Unseen,
                ),
                false,
            ),
        ] {
            assert_eq!(taken(text, fetch_items), std::slice::from_ref(&expected), "{text}");
            assert_eq!(expected.sets_seen(), seen);
        }
        assert!(FetchAtt::Rfc822.sets_seen() && !FetchAtt::Rfc822Header.sets_seen());
        assert!(FetchAtt::Rfc822Header.reads_content() && !FetchAtt::Rfc822Size.reads_content());
    }
}
