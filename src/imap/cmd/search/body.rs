//! Looking for strings in the body of a message, as it is read or as the text index has it.

use crate::imap::answer::Fail;
use crate::mime::part::Part;
use crate::mime::text::fold;
use crate::store::source::Source;
use crate::store::text::body::{Sink, read_body};

/// Which of the strings, folded, the body of a message contains. `prefix` is how many bytes stand before its content.
pub(super) async fn find(
    source: &mut Source<'_>,
    prefix: u64,
    root: &Part,
    needles: &[String],
) -> Result<Vec<bool>, Fail> {
    let mut hits = Hits::new(needles);
    read_body(source, prefix, root, &mut hits).await?;
    Ok(hits.found)
}

/// The same of a body that has been read and folded already.
pub(super) fn find_in(body: &str, needles: &[String]) -> Vec<bool> {
    needles.iter().map(|needle| memchr::memmem::find(body.as_bytes(), needle.as_bytes()).is_some()).collect()
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
}

impl Sink for Hits<'_> {
    fn text(&mut self, text: &str) {
        let mut folded = std::mem::take(&mut self.tail);
        folded.push_str(&fold(text));
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
        self.found.iter().all(|found| *found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(needles: &[&str], texts: &[&str]) -> Vec<bool> {
        let needles: Vec<String> = needles.iter().map(|needle| fold(needle)).collect();
        let mut hits = Hits::new(&needles);
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
        let mut hits = Hits::new(&needles);
        hits.text("a");
        hits.gap();
        hits.text("b");
        assert!(!hits.enough());
    }

    #[test]
    fn in_a_body_at_hand() {
        let needles = ["", "b", "bc", "ab"].map(str::to_owned);
        assert_eq!(find_in("a\0bc", &needles), [true, true, true, false]);
    }
}
