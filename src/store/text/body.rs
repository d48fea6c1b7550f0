//! The text of a message's body: its text parts, decoded, wherever they lie, and the headers of messages in it. SEARCH
//! looks into it and the text index keeps it, both by this one function: so they agree.
//!
//! Parts are read in the order they stand in the message: so each chunk of it is read once, however many parts there
//! are. Text is read in windows that end at a line end where there is one, so that a charset with states is not cut
//! within one; of HTML both the source and, where it is not too large, what a reader sees count.

use std::ops::Range;

use memchr::memrchr;

use crate::db::Error;
use crate::mime::charset;
use crate::mime::content::param;
use crate::mime::part::{Body, Part};
use crate::mime::text::{decoded_header_text, html_text};
use crate::mime::transfer::{Decoder, Encoding};
use crate::store::source::Source;

/// Decoded text that is handed over at once, bytes.
const WINDOW: usize = 512 << 10;

/// HTML up to this is read as a reader sees it, too, bytes.
const HTML_MAX: usize = 4 << 20;

/// Headers of encapsulated messages are read this far, bytes.
const HEADER_MAX: u64 = 64 << 10;

/// Takes text as it is read.
pub trait Sink: Send {
    /// Takes text that follows what was taken last.
    fn text(&mut self, text: &str);
    /// What comes next does not follow what came before.
    fn gap(&mut self);
    /// Whether the rest need not be read.
    fn enough(&self) -> bool;
}

/// Reads the text of a body. `prefix` is how many bytes stand before its content.
pub async fn read_body(
    source: &mut Source<'_>,
    prefix: u64,
    root: &Part,
    sink: &mut impl Sink,
) -> Result<(), Error> {
    for part in root.walk() {
        if sink.enough() {
            break;
        }
        match &part.body {
            Body::Leaf if part.is_type("text") => {
                text_part(source, prefix + part.body_start..prefix + part.body_end, part, sink).await?;
            }
            Body::Message(message) => {
                let inner = &message.part;
                let end = inner.body_start.min(inner.header_start.saturating_add(HEADER_MAX));
                let header = source.bytes(prefix + inner.header_start..prefix + end).await?;
                sink.text(&decoded_header_text(&header));
            }
            _ => {}
        }
        sink.gap();
    }
    Ok(())
}

async fn text_part(
    source: &mut Source<'_>,
    range: Range<u64>,
    part: &Part,
    sink: &mut impl Sink,
) -> Result<(), Error> {
    let label = param(&part.params, "charset").unwrap_or(b"us-ascii");
    let text = |bytes: &[u8]| charset::decode(label, bytes).unwrap_or_else(|| charset::guess(bytes));
    let mut html = part.is("text", "html").then(String::new);
    let mut take = |text: String, sink: &mut _| {
        Sink::text(sink, &text);
        html = html.take().filter(|html| html.len() + text.len() <= HTML_MAX).map(|html| html + &text);
    };
    let mut decoder = Decoder::new(Encoding::of(part.encoding.as_deref()));
    let mut raw = Vec::new();
    let mut pieces = source.pieces(range);
    while let Some(piece) = pieces.next().await? {
        decoder.feed(&piece, &mut raw);
        if raw.len() >= WINDOW {
            let rest = raw.split_off(memrchr(b'\n', &raw).map_or(raw.len(), |at| at + 1));
            take(text(&raw), sink);
            raw = rest;
            if sink.enough() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }
    decoder.finish(&mut raw);
    take(text(&raw), sink);
    if let Some(html) = html.filter(|_| !sink.enough()) {
        sink.gap();
        sink.text(&html_text(&html));
    }
    Ok(())
}
