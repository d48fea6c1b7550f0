//! THREAD and UID THREAD (RFC 5256 §3; REFS: draft-ietf-morg-inthread).
//!
//! `ordered_subject` and `references` make threads and are pure, as is `tree`, what they make; `forest` keeps
//! circles out of them. Here messages are read, a page at a time, and of each only what the threads need is kept.

mod forest;
mod ordered_subject;
mod references;
mod tree;

use self::ordered_subject::ordered_subject;
use self::references::{Gather, References};
use self::tree::{Piece, Tree};
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::cmd::search::charset::Charset;
use crate::imap::cmd::search::key::{SearchKey, search_keys};
use crate::imap::cmd::search::{self, filter};
use crate::imap::progress::Progress;
use crate::imap::selected::Selected;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::imap::wire::set::Numbering;
use crate::imap::wire::unit::Tag;
use crate::mime::header::fields;
use crate::mime::message_id::{MessageId, message_ids};
use crate::mime::subject::BaseSubject;
use crate::mime::text::fold;
use crate::net::out::Out;
use crate::store::Store;
use crate::store::order::{Columns, OrderFacts};

/// References of one message that are looked at: the newest, which say where it belongs.
const REFERENCES_MAX: usize = 500;

/// Messages in a thread command, those that are only referred to included.
const NODES_MAX: usize = 10_000_000;

/// Pieces of the answer written before others have their turn.
const PIECES_AT_ONCE: usize = 4096;

/// `THREAD algorithm charset key …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// What numbers the answer gives.
    pub numbering: Numbering,
    /// How threads are made.
    pub algorithm: Algorithm,
    /// Of which messages.
    pub key: SearchKey,
}

/// How threads are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// By subject.
    OrderedSubject,
    /// By references, and by subject.
    References,
    /// By references alone; the thread with the newest mail is the last.
    Refs,
}

/// What a thread needs to know of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    /// Its number: rises in the order of the mailbox.
    number: u32,
    /// When it was sent, in seconds (RFC 5256 §2.2).
    sent: i64,
    /// When it arrived, in seconds.
    arrived: i64,
    subject: Subject,
}

/// A base subject, folded, as a digest: of two nothing is asked but whether they are equal.
type SubjectKey = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subject {
    key: SubjectKey,
    is_empty: bool,
    is_reply: bool,
}

impl From<&BaseSubject> for Subject {
    fn from(base: &BaseSubject) -> Self {
        let digest = blake3::hash(fold(&base.text).as_bytes());
        let key = digest.as_bytes().first_chunk().copied().unwrap_or_default();
        Subject { key, is_empty: base.text.is_empty(), is_reply: base.is_reply }
    }
}

impl Thread {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let at = parser.at();
        let algorithm = match parser.atom()?.to_ascii_uppercase().as_slice() {
            b"ORDEREDSUBJECT" => Algorithm::OrderedSubject,
            b"REFERENCES" => Algorithm::References,
            b"REFS" => Algorithm::Refs,
            _ => return Err(Bad::new("unknown threading algorithm", at)),
        };
        parser.space()?;
        let charset = Charset::parse(parser)?;
        parser.space()?;
        Ok(Thread { numbering, algorithm, key: search_keys(parser, charset)? })
    }

    /// Looks, and answers with the threads of what is found.
    pub async fn run(self, tag: &Tag, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let mut progress = Progress::new(tag, &session.config());
        let key = filter::resolved(session, self.key).await?;
        let hits = search::look(session, &key, &mut progress, out).await?;
        let house = session.house.clone();
        let selected = session.selected()?;
        let tree = threads(&house.store, selected, (&hits.uids, self.algorithm), &mut progress, out).await?;
        write(&tree, selected, self.numbering, out).await?;
        Ok(Done::ok("threads made"))
    }
}

/// Reads the messages and makes threads of them.
async fn threads(
    store: &Store,
    selected: &Selected,
    (uids, algorithm): (&[u32], Algorithm),
    progress: &mut Progress,
    out: &mut Out<'_>,
) -> Result<Tree, Fail> {
    let header = algorithm != Algorithm::OrderedSubject;
    let columns = Columns { subject: true, envelope: false, header };
    let (mut messages, mut references) = (Vec::new(), References::default());
    for (at, page) in uids.chunks(columns.page()).enumerate() {
        for message in store.order_facts(selected.account, selected.mailbox, page, columns).await? {
            if header {
                let said = Said::of(&message.header);
                references.add(facts(&message), said.id, &said.references);
            } else {
                messages.push(facts(&message));
            }
        }
        if references.len() > NODES_MAX {
            return Err(Fail::no(Code::Limit, "too many messages are referred to: look for fewer"));
        }
        progress.at((at * columns.page()) as u64, uids.len() as u64, out).await?;
        tokio::task::yield_now().await;
    }
    // Some seconds of work for a million messages, during which the thread does nothing else.
    let made = tokio::task::spawn_blocking(move || match algorithm {
        Algorithm::OrderedSubject => ordered_subject(messages),
        Algorithm::References => references.finish(Gather::BySubjectToo),
        Algorithm::Refs => references.finish(Gather::ByReferences),
    });
    made.await.map_err(|_| Fail::no(Code::ServerBug, "the threads could not be made"))
}

fn facts(message: &OrderFacts) -> Facts {
    let base = BaseSubject::of_text(message.subject.as_deref().unwrap_or_default());
    Facts {
        number: message.uid,
        sent: message.sent.as_second(),
        arrived: message.arrived.as_second(),
        subject: (&base).into(),
    }
}

/// What a header says of its message's place.
struct Said {
    id: Option<MessageId>,
    /// The oldest first.
    references: Vec<MessageId>,
}

impl Said {
    fn of(header: &[u8]) -> Self {
        let (mut id, mut references, mut in_reply_to) = (None, Vec::new(), None);
        for field in fields(header) {
            if field.is("message-id") {
                id = id.or_else(|| message_ids(field.value).next());
            } else if field.is("references") && references.is_empty() {
                references = message_ids(field.value).collect();
            } else if field.is("in-reply-to") {
                in_reply_to = in_reply_to.or_else(|| message_ids(field.value).next());
            }
        }
        if references.is_empty() {
            references.extend(in_reply_to);
        }
        let too_many = references.len().saturating_sub(REFERENCES_MAX);
        references.drain(..too_many);
        Said { id, references }
    }
}

/// `* THREAD`, sent as it is written.
async fn write(
    tree: &Tree,
    selected: &Selected,
    numbering: Numbering,
    out: &mut Out<'_>,
) -> Result<(), Fail> {
    let mut line = Line::untagged(out.buffer());
    line.raw(if tree.tops.is_empty() { "THREAD" } else { "THREAD " });
    line.pause();
    let mut pieces = tree.pieces().peekable();
    while pieces.peek().is_some() {
        let mut line = Line::resume(out.buffer());
        for piece in pieces.by_ref().take(PIECES_AT_ONCE) {
            match piece {
                Piece::Open => line.raw("("),
                Piece::Close => line.raw(")"),
                Piece::Space => line.raw(" "),
                Piece::Message(uid) => match numbering {
                    Numbering::Uid => line.number(uid),
                    Numbering::Sequence => line.number(selected.view().seq_of(uid).unwrap_or(uid)),
                },
            };
        }
        line.pause();
        out.page().await?;
    }
    drop(Line::resume(out.buffer()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};
    use crate::imap::wire::bad;

    #[test]
    fn grammar() {
        for input in [
            "THREAD",
            "THREAD REFERENCES",
            "THREAD REFERENCES UTF-8",
            "THREAD REFERENCES UTF-8 ",
            "THREAD BYDATE UTF-8 ALL",
            "THREAD (REFS) UTF-8 ALL",
            "THREAD RETURN (ALL) REFS UTF-8 ALL",
        ] {
            assert_eq!(refusal(input).answer, bad::Answer::Bad, "{input}");
        }
        assert_eq!(refusal("THREAD REFS X-KLINGON ALL").answer, bad::Answer::BadCharset);
        let thread = |numbering, algorithm, key| Command::Thread(Thread { numbering, algorithm, key });
        assert_eq!(
            command("THREAD ORDEREDSUBJECT UTF-8 SEEN"),
            thread(Numbering::Sequence, Algorithm::OrderedSubject, SearchKey::Seen)
        );
        assert_eq!(
            command("uid thread references us-ascii all"),
            thread(Numbering::Uid, Algorithm::References, SearchKey::All)
        );
        assert_eq!(
            command("THREAD refs \"utf-8\" ALL"),
            thread(Numbering::Sequence, Algorithm::Refs, SearchKey::All)
        );
    }

    #[test]
    fn what_a_header_says() {
        let said = |header: &str| {
            let said = Said::of(header.as_bytes());
            (said.id.is_some(), said.references.len())
        };
        assert_eq!(said(""), (false, 0));
        assert_eq!(said("Message-ID: <a@b>\r\nIn-Reply-To: <c@d> <e@f>\r\n"), (true, 1));
        assert_eq!(said("In-Reply-To: <c@d>\r\nReferences: <e@f> <g@h>\r\n"), (false, 2));
        assert_eq!(said("References: none\r\nIn-Reply-To: \"<x@y>\" <c@d>\r\n"), (false, 1));
        let many = format!("References: {}<last@x>\r\n", "<a@b> ".repeat(100_000));
        let said = Said::of(many.as_bytes());
        assert_eq!(said.references.len(), REFERENCES_MAX);
        assert_eq!(said.references.last().copied(), message_ids(b"<last@x>").next());
    }
}
