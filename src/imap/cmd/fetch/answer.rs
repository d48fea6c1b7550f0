//! The answer for one message: `* n FETCH (…)`.

use bytes::{BufMut, Bytes};

use super::binary::Binary;
use super::item::{BodySection, FetchAtt};
use super::slice::{Shape, Slice, cut};
use crate::imap::answer::Fail;
use crate::imap::selected::Selected;
use crate::imap::wire::reply::Line;
use crate::imap::wire::section::{Partial, Section, SectionText};
use crate::mail::DateTime;
use crate::mime::bodystructure::{Form, write_bodystructure};
use crate::mime::header::select;
use crate::net::out::Out;
use crate::store::fetch::Facts;
use crate::store::object_id;
use crate::store::source::{Pieces, Source};
use crate::store::view::Entry;

/// What is known of a message besides what the view says.
pub(super) struct Message<'a> {
    pub(super) facts: &'a Facts,
    pub(super) source: Source<'a>,
    pub(super) shape: Shape<'a>,
    /// Its preview, where one is asked for; none where that would take work that the client does not want.
    pub(super) preview: Option<String>,
}

/// Writes the answer for a message that the client knows. `message` may be left out where no item needs it.
///
/// # Errors
/// [`Fail::Gone`] whenever something fails: what was begun can't be taken back, so that the connection must end.
pub(super) async fn answer(
    selected: &Selected,
    uid: u32,
    items: &[FetchAtt],
    mut message: Option<&mut Message<'_>>,
    out: &mut Out<'_>,
) -> Result<(), Fail> {
    let (Some(seq), Some(entry)) = (selected.view().seq_of(uid), selected.view().entry(uid)) else {
        return Ok(());
    };
    let mut line = Line::untagged(out.buffer());
    selected.begin_fetch(&mut line, seq, uid);
    line.pause();
    for (index, item) in items.iter().enumerate() {
        let mut line = Line::resume(out.buffer());
        line.raw(if index > 0 { " " } else { "" });
        if from_view(&mut line, selected, entry, item) {
            line.pause();
            continue;
        }
        if let Some(message) = message.as_deref() {
            from_facts(&mut line, item, message);
        }
        line.pause();
        if let (Some(message), Some(body)) = (message.as_deref_mut(), Body::of(item)) {
            body.write(message, out).await.map_err(broken_off)?;
        }
        if let (Some(message), Some(binary)) = (message.as_deref_mut(), Binary::of(item)) {
            binary.write(message.shape, &mut message.source, out).await.map_err(broken_off)?;
        }
    }
    Line::resume(out.buffer()).raw(")");
    out.page().await?;
    Ok(())
}

fn broken_off(fail: Fail) -> Fail {
    if let Fail::Database(error) = fail {
        tracing::warn!(%error, "a message could not be read to its end; its connection is closed");
    }
    Fail::Gone
}

/// Writes what the view says; `false` when it is not the view that says it.
fn from_view(line: &mut Line<'_, impl BufMut>, selected: &Selected, entry: Entry, item: &FetchAtt) -> bool {
    match item {
        FetchAtt::Flags => selected.flags(line.raw("FLAGS "), entry),
        FetchAtt::Uid => _ = line.raw("UID ").number(entry.uid()),
        FetchAtt::ModSeq => _ = line.raw("MODSEQ (").number(entry.modseq()).raw(")"),
        _ => return false,
    }
    true
}

fn from_facts(line: &mut Line<'_, impl BufMut>, item: &FetchAtt, message: &Message<'_>) {
    let Message { facts, shape, .. } = message;
    let structure = |form| {
        let mut bytes = Vec::new();
        if let Some(root) = shape.root {
            write_bodystructure(root, form, &mut bytes);
        }
        bytes
    };
    // What the mime module writes is in IMAP form already, literals included.
    match item {
        FetchAtt::InternalDate => line.raw("INTERNALDATE ").text(&facts.internal_date.to_imap()),
        FetchAtt::Rfc822Size => line.raw("RFC822.SIZE ").number(facts.size),
        FetchAtt::Envelope => line.raw("ENVELOPE ").literal_bytes(&facts.envelope),
        FetchAtt::Body => line.raw("BODY ").literal_bytes(&structure(Form::Body)),
        FetchAtt::BodyStructure => line.raw("BODYSTRUCTURE ").literal_bytes(&structure(Form::BodyStructure)),
        FetchAtt::EmailId => {
            line.raw("EMAILID (").text(&object_id::email_id(facts.content, &facts.prefix)).raw(")")
        }
        FetchAtt::ThreadId => match &facts.thread {
            Some(thread) => line.raw("THREADID (").text(thread).raw(")"),
            None => line.raw("THREADID NIL"),
        },
        FetchAtt::SaveDate => match facts.saved {
            Some(at) => line.raw("SAVEDATE ").text(&DateTime::new(at, 0).to_imap()),
            None => line.raw("SAVEDATE NIL"),
        },
        FetchAtt::Preview(_) => line.raw("PREVIEW ").nstring(message.preview.as_deref().map(str::as_bytes)),
        _ => line,
    };
}

/// An item that is bytes of the message, whatever its name.
struct Body<'i> {
    name: Name<'i>,
    section: &'i Section,
    partial: Option<Partial>,
}

enum Name<'i> {
    Rfc822(&'static str),
    Body(&'i Section),
}

static WHOLE: Section = Section { part: Vec::new(), text: None };
static HEADER: Section = Section { part: Vec::new(), text: Some(SectionText::Header) };
static TEXT: Section = Section { part: Vec::new(), text: Some(SectionText::Text) };

impl<'i> Body<'i> {
    fn of(item: &'i FetchAtt) -> Option<Self> {
        let old = |name, section| Some(Body { name: Name::Rfc822(name), section, partial: None });
        match item {
            FetchAtt::Rfc822 => old("RFC822 ", &WHOLE),
            FetchAtt::Rfc822Header => old("RFC822.HEADER ", &HEADER),
            FetchAtt::Rfc822Text => old("RFC822.TEXT ", &TEXT),
            FetchAtt::BodySection(BodySection { section, partial, .. }) => {
                Some(Body { name: Name::Body(section), section, partial: *partial })
            }
            _ => None,
        }
    }

    /// Writes name and bytes. The bytes go out as they come in: a message is never in memory as a whole.
    async fn write(&self, message: &mut Message<'_>, out: &mut Out<'_>) -> Result<(), Fail> {
        let bytes = section_bytes(&message.shape, &mut message.source, self.section, self.partial).await?;
        let mut line = Line::resume(out.buffer());
        match self.name {
            Name::Rfc822(name) => line.raw(name),
            Name::Body(section) => line.raw("BODY").section(section),
        };
        if let Some(Partial { offset, .. }) = self.partial {
            line.raw("<").number(offset).raw(">");
        }
        if let Name::Body(_) = self.name {
            line.raw(" ");
        }
        let (size, mut pieces) = match bytes {
            None => {
                line.raw("NIL");
                line.pause();
                return Ok(());
            }
            Some((0, _)) => {
                line.raw("\"\"");
                line.pause();
                return Ok(());
            }
            Some(bytes) => bytes,
        };
        line.literal_header(size);
        line.pause();
        let mut sent = 0;
        while let Some(piece) = pieces.next().await? {
            sent += piece.len() as u64;
            out.put_large(piece).await?;
        }
        if sent == size { Ok(()) } else { Err(Fail::Gone) }
    }
}

/// How many bytes a section has, and the bytes; `None` when the message has no such part.
pub(in crate::imap) async fn section_bytes<'m>(
    shape: &Shape<'_>,
    source: &'m mut Source<'_>,
    section: &Section,
    partial: Option<Partial>,
) -> Result<Option<(u64, Pieces<'m>)>, Fail> {
    match shape.slice(section) {
        Slice::Missing => Ok(None),
        Slice::Bytes(range) => {
            let range = cut(range, partial);
            Ok(Some((range.end - range.start, source.pieces(range))))
        }
        Slice::Fields(range, names, choice) => {
            let header = source.bytes(range).await?;
            let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
            let fields = Bytes::from(select(&header, &names, choice));
            // What is in memory fits a usize.
            let range = cut(0..fields.len() as u64, partial);
            let fields = fields.slice(range.start as usize..range.end as usize);
            Ok(Some((fields.len() as u64, Pieces::ready(fields))))
        }
    }
}
