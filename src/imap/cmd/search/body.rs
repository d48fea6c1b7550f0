//! Looking for strings in the body of a message, as it is read or as the text index has it.

use super::fuzzy::{Pattern, Scan};
use crate::imap::answer::Fail;
use crate::mime::part::Part;
use crate::mime::text::fold;
use crate::store::source::Source;
use crate::store::text::body::{Sink, read_body};

/// What a body is looked through for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'w> {
    /// Strings, folded.
    pub(super) needles: &'w [String],
    /// Words.
    pub(super) patterns: &'w [Pattern],
}

/// What of it has been found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Which of the strings are there.
    pub(super) needles: Vec<bool>,
    /// How well the words fit, 0 where they don't.
    pub(super) scores: Vec<u8>,
}

/// What the body of a message contains. `prefix` is how many bytes stand before its content.
pub(super) async fn find(
    source: &mut Source<'_>,
    prefix: u64,
    root: &Part,
    wanted: Wanted<'_>,
) -> Result<Found, Fail> {
    let mut hits = Hits::new(wanted);
    read_body(source, prefix, root, &mut hits).await?;
    let scores = hits.scans.iter().map(Scan::score).collect();
    Ok(Found { needles: hits.found, scores })
}

/// The same of a body that has been read and folded already.
pub(super) fn find_in(body: &str, wanted: Wanted<'_>) -> Found {
    let is_there = |needle: &String| memchr::memmem::find(body.as_bytes(), needle.as_bytes()).is_some();
    Found {
        needles: wanted.needles.iter().map(is_there).collect(),
        scores: wanted.patterns.iter().map(|pattern| pattern.score(body)).collect(),
    }
}

/// Strings that are looked for, and which have been found.
struct Hits<'n> {
    needles: &'n [String],
    found: Vec<bool>,
    scans: Vec<Scan<'n>>,
    /// The end of what was looked at, folded: a string may begin there.
    tail: String,
    longest: usize,
}

impl<'n> Hits<'n> {
    fn new(Wanted { needles, patterns }: Wanted<'n>) -> Self {
        let found = needles.iter().map(String::is_empty).collect();
        let longest = needles.iter().map(String::len).max().unwrap_or(0);
        let scans = patterns.iter().map(Scan::new).collect();
        Self { needles, found, scans, tail: String::new(), longest }
    }
}

impl Sink for Hits<'_> {
    fn text(&mut self, text: &str) {
        let fresh = fold(text);
        self.scans.iter_mut().for_each(|scan| scan.look(&fresh));
        let mut folded = std::mem::take(&mut self.tail);
        folded.push_str(&fresh);
        for (needle, found) in self.needles.iter().zip(&mut self.found) {
            *found = *found || folded.contains(needle.as_str());
        }
        let keep = folded.len().saturating_sub(self.longest);
        let keep = (keep..=folded.len()).find(|&at| folded.is_char_boundary(at)).unwrap_or(folded.len());
        self.tail = folded.split_off(keep);
    }

    fn gap(&mut self) {
        self.tail.clear();
    }

    fn enough(&self) -> bool {
        self.found.iter().all(|found| *found) && self.scans.iter().all(Scan::is_perfect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(needles: &[&str], texts: &[&str]) -> Vec<bool> {
        let needles: Vec<String> = needles.iter().map(|needle| fold(needle)).collect();
        let mut hits = Hits::new(Wanted { needles: &needles, patterns: &[] });
        texts.iter().for_each(|text| hits.text(text));
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
        let mut hits = Hits::new(Wanted { needles: &needles, patterns: &[] });
        hits.text("a");
        hits.gap();
        hits.text("b");
        assert!(!hits.enough());
    }

    #[test]
    fn in_a_body_at_hand() {
        let needles = ["", "b", "bc", "ab"].map(str::to_owned);
        let patterns = [Pattern::new("bc"), Pattern::new("x")];
        let found = find_in("a\0bc", Wanted { needles: &needles, patterns: &patterns });
        assert_eq!(found, Found { needles: vec![true, true, true, false], scores: vec![100, 0] });
    }
}
