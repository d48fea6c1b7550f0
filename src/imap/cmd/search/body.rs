//! Looking for strings in the body of a message: its text parts, decoded, wherever they lie, and the headers of messages
//! in it.
//!
//! Parts are looked at in the order they stand in the message: so each chunk of it is read once, however many parts there
//! are. Text is read in windows that end at a line end where there is one, so that a charset with states is not cut
//! within one; of HTML both the source and, where it is not too large, what a reader sees are looked at.

use std::ops::Range;

use memchr::memrchr;

use crate::imap::answer::Fail;
use crate::mime::charset;
use crate::mime::content::param;
use crate::mime::part::{Body, Part};
use crate::mime::text::{decoded_header_text, fold, html_text};
use crate::mime::transfer::{Decoder, Encoding};
use crate::store::source::Source;

/// Decoded text that is looked at at once, bytes.
const WINDOW: usize = 512 << 10;

/// HTML up to this is looked at as a reader sees it, too, bytes.
const HTML_MAX: usize = 4 << 20;

/// Headers of encapsulated messages are looked at this far, bytes.
const HEADER_MAX: u64 = 64 << 10;

/// Which of the strings, folded, the body of a message contains. `prefix` is how many bytes stand before its content.
pub(super) async fn find(
    source: &mut Source<'_>,
    prefix: u64,
    root: &Part,
    needles: &[String],
) -> Result<Vec<bool>, Fail> {
    let mut hits = Hits::new(needles);
    for part in root.walk() {
        if hits.all() {
            break;
        }
        match &part.body {
            Body::Leaf if part.is_type("text") => {
                text_part(source, prefix + part.body_start..prefix + part.body_end, part, &mut hits).await?;
            }
            Body::Message(message) => {
                let inner = &message.part;
                let end = inner.body_start.min(inner.header_start.saturating_add(HEADER_MAX));
                let header = source.bytes(prefix + inner.header_start..prefix + end).await?;
                hits.look(&decoded_header_text(&header));
            }
            _ => {}
        }
        hits.gap();
    }
    Ok(hits.found)
}

async fn text_part(
    source: &mut Source<'_>,
    range: Range<u64>,
    part: &Part,
    hits: &mut Hits<'_>,
) -> Result<(), Fail> {
    let label = param(&part.params, "charset").unwrap_or(b"us-ascii");
    let text = |bytes: &[u8]| charset::decode(label, bytes).unwrap_or_else(|| charset::guess(bytes));
    let mut html = part.is("text", "html").then(String::new);
    let mut decoder = Decoder::new(Encoding::of(part.encoding.as_deref()));
    let mut raw = Vec::new();
    let mut take = |text: String, hits: &mut Hits<'_>| {
        hits.look(&text);
        html = html.take().filter(|html| html.len() + text.len() <= HTML_MAX).map(|html| html + &text);
    };
    let mut pieces = source.pieces(range);
    while let Some(piece) = pieces.next().await? {
        decoder.feed(&piece, &mut raw);
        if raw.len() >= WINDOW {
            let rest = raw.split_off(memrchr(b'\n', &raw).map_or(raw.len(), |at| at + 1));
            take(text(&raw), hits);
            raw = rest;
            if hits.all() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }
    decoder.finish(&mut raw);
    take(text(&raw), hits);
    if let Some(html) = html.filter(|_| !hits.all()) {
        hits.gap();
        hits.look(&html_text(&html));
    }
    Ok(())
}

/// Strings that are looked for, and which have been found.
struct Hits<'n> {
    needles: &'n [String],
    found: Vec<bool>,
    /// The end of what was looked at, folded: a string may begin there.
    tail: String,
    longest: usize,
}

impl<'n> Hits<'n> {
    fn new(needles: &'n [String]) -> Self {
        let found = needles.iter().map(String::is_empty).collect();
        let longest = needles.iter().map(String::len).max().unwrap_or(0);
        Self { needles, found, tail: String::new(), longest }
    }

    fn all(&self) -> bool {
        self.found.iter().all(|found| *found)
    }

    /// Looks at text that follows what was looked at last.
    fn look(&mut self, text: &str) {
        let mut folded = std::mem::take(&mut self.tail);
        folded.push_str(&fold(text));
        for (needle, found) in self.needles.iter().zip(&mut self.found) {
            *found = *found || folded.contains(needle.as_str());
        }
        let keep = folded.len().saturating_sub(self.longest);
        let keep = (keep..=folded.len()).find(|&at| folded.is_char_boundary(at)).unwrap_or(folded.len());
        self.tail = folded.split_off(keep);
    }

    /// What comes next does not follow what came before.
    fn gap(&mut self) {
        self.tail.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(needles: &[&str], texts: &[&str]) -> Vec<bool> {
        let needles: Vec<String> = needles.iter().map(|needle| fold(needle)).collect();
        let mut hits = Hits::new(&needles);
        texts.iter().for_each(|text| hits.look(text));
        hits.found
    }

    #[test]
    fn strings_are_found_across_windows() {
        assert_eq!(
            hits(&["hello", "wörld", "", "x"], &["He", "l", "lo W\u{d6}", "RLD"]),
            [true, true, true, false]
        );
        assert_eq!(hits(&["ab"], &["a", "", "b"]), [true]);
        assert_eq!(hits(&["öö"], &["ö", "\u{d6}"]), [true]);
        assert_eq!(hits(&["ab"], &[]), [false]);
    }

    #[test]
    fn not_across_parts() {
        let needles = ["ab".to_owned()];
        let mut hits = Hits::new(&needles);
        hits.look("a");
        hits.gap();
        hits.look("b");
        assert!(!hits.all());
    }
}
