//! Makes the preview of a message that has none yet (RFC 8970 §3.1), from the beginning of its text.

use crate::db::Error;
use crate::mime::charset;
use crate::mime::content::param;
use crate::mime::part::Part;
use crate::mime::preview::{candidates, preview};
use crate::mime::text::html_text;
use crate::mime::transfer::{Decoder, Encoding};
use crate::store::source::Source;

/// How much of a text is read, bytes: an answer may begin with screens of quoted lines.
const TEXT_READ: u64 = 16 << 10;

/// How much of HTML is read, bytes: it begins with styles.
const HTML_READ: u64 = 64 << 10;

/// The preview of a message with this tree; `prefix` is how many bytes stand before its content.
pub(super) async fn make(source: &mut Source<'_>, prefix: u64, root: &Part) -> Result<String, Error> {
    for part in candidates(root) {
        let html = part.is("text", "html");
        let end = part.body_end.min(part.body_start.saturating_add(if html { HTML_READ } else { TEXT_READ }));
        let raw = source.bytes(prefix + part.body_start..prefix + end).await?;
        let text = text(part, &raw);
        let found = if html { preview(&html_text(&text)) } else { preview(&text) };
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(String::new())
}

fn text(part: &Part, raw: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut decoder = Decoder::new(Encoding::of(part.encoding.as_deref()));
    decoder.feed(raw, &mut bytes);
    decoder.finish(&mut bytes);
    let label = param(&part.params, "charset").unwrap_or(b"us-ascii");
    charset::decode(label, &bytes).unwrap_or_else(|| charset::guess(&bytes))
}
