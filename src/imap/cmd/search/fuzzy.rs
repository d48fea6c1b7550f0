//! Fuzzy matching (RFC 6203): words instead of substrings, and a score from 1 to 100 of how well they fit.
//!
//! Case and accents don't count. A text fits when each word that is looked for fits some word of it, in whatever order:
//!
//! | a word of the text                                              | fits by |
//! |-----------------------------------------------------------------|---------|
//! | is the word                                                     | 100     |
//! | begins with it                                                  | 90      |
//! | contains it (four letters or more; two, beyond ASCII)           | 80      |
//! | is its beginning (four letters or more, at most three missing)  | 75      |
//! | differs by one letter left out, added, changed or exchanged (four letters or more) | 60 |
//! | differs by two such (eight letters or more)                     | 40      |
//!
//! The score of a text is the average over the words. Languages are not known here, so that no endings are taken off by
//! rule; the table finds most of them all the same.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::mime::text::fold;

/// Words that are looked for at once.
const WORDS_MAX: usize = 20;

/// Letters of a word that count; no word that people write is longer.
const LETTERS_MAX: usize = 64;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pattern {
    words: Vec<Vec<char>>,
}

impl Pattern {
    /// The words of a string. Of one without words, nothing is asked: it is in any text.
    pub(super) fn new(text: &str) -> Self {
        let mut words: Vec<Vec<char>> = Vec::new();
        each_word(&fold(text), |word| {
            if words.len() < WORDS_MAX && !words.iter().any(|known| known == word) {
                words.push(word.to_vec());
            }
        });
        Pattern { words }
    }

    /// How many words are looked for.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// How well a text, folded, fits; 0 when it does not.
    pub(super) fn score(&self, folded: &str) -> u8 {
        let mut scan = Scan::new(self);
        scan.look(folded);
        scan.score()
    }
}

/// A pattern and what has been found of it so far, in a text that comes in pieces.
#[derive(Debug)]
pub(super) struct Scan<'p> {
    pattern: &'p Pattern,
    /// Of each word, how well it fits.
    best: Vec<u8>,
}

impl<'p> Scan<'p> {
    pub(super) fn new(pattern: &'p Pattern) -> Self {
        Scan { pattern, best: vec![0; pattern.words.len()] }
    }

    /// Looks at more text, folded.
    pub(super) fn look(&mut self, folded: &str) {
        if self.is_perfect() {
            return;
        }
        each_word(folded, |word| {
            for (wanted, best) in self.pattern.words.iter().zip(&mut self.best) {
                if *best < 100 {
                    *best = (*best).max(likeness(wanted, word));
                }
            }
        });
    }

    /// Whether nothing better can be found.
    pub(super) fn is_perfect(&self) -> bool {
        self.best.iter().all(|best| *best == 100)
    }

    /// How well the text fits; 0 when it does not.
    pub(super) fn score(&self) -> u8 {
        if self.best.contains(&0) {
            return 0;
        }
        average(self.best.iter().copied()).unwrap_or(100)
    }
}

/// The average of scores, none of no scores.
pub(super) fn average(scores: impl Iterator<Item = u8>) -> Option<u8> {
    let (sum, count) = scores.fold((0usize, 0), |(sum, count), score| (sum + usize::from(score), count + 1));
    sum.checked_div(count).and_then(|score| u8::try_from(score).ok())
}

/// Hands over the words of a folded text, without accents.
fn each_word(folded: &str, mut word: impl FnMut(&[char])) {
    let mut letters: Vec<char> = Vec::new();
    let mut take = |c: char, letters: &mut Vec<char>| {
        if c.is_alphanumeric() {
            if letters.len() < LETTERS_MAX {
                letters.push(c);
            }
        } else if !is_combining_mark(c) && !letters.is_empty() {
            word(letters);
            letters.clear();
        }
    };
    if folded.is_ascii() {
        folded.chars().for_each(|c| take(c, &mut letters));
    } else {
        folded.nfd().for_each(|c| take(c, &mut letters));
    }
    take(' ', &mut letters);
}

/// How well a word of a text fits one that is looked for.
fn likeness(wanted: &[char], word: &[char]) -> u8 {
    if word == wanted {
        return 100;
    }
    if word.starts_with(wanted) {
        return 90;
    }
    let is_ascii = wanted.iter().all(char::is_ascii);
    let enough = if is_ascii { 4 } else { 2 };
    if wanted.len() >= enough && word.windows(wanted.len()).any(|part| part == wanted) {
        return 80;
    }
    if word.len() >= 4 && wanted.len() <= word.len() + 3 && wanted.starts_with(word) {
        return 75;
    }
    let most = match wanted.len() {
        0..4 => 0,
        4..8 => 1,
        _ => 2,
    };
    match distance(wanted, word, most) {
        Some(1) => 60,
        Some(2) => 40,
        _ => 0,
    }
}

/// How many letters have to be left out, added, changed or exchanged with their neighbours to make one word of another,
/// if it is no more than `most` (optimal string alignment).
fn distance(one: &[char], other: &[char], most: usize) -> Option<usize> {
    if one.len().abs_diff(other.len()) > most {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (at, a) in one.iter().enumerate() {
        let mut row = Vec::with_capacity(other.len() + 1);
        row.push(at + 1);
        for (across, b) in other.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let changed = cell(&last, across) + usize::from(a != b);
            let mut least = changed.min(cell(&last, across + 1) + 1).min(cell(&row, across) + 1);
            let crossed =
                at > 0 && across > 0 && one.get(at - 1) == Some(b) && other.get(across - 1) == Some(a);
            if crossed {
                least = least.min(cell(&before, across - 1) + 1);
            }
            row.push(least);
        }
        if row.iter().all(|cell| *cell > most) {
            return None;
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn score(wanted: &str, text: &str) -> u8 {
        Pattern::new(wanted).score(&fold(text))
    }

    #[test]
    fn scores() {
        for (wanted, text, expected) in [
            ("hello", "Hello, world", 100),
            ("world hello", "Hello, world", 100),
            ("Hell", "hello", 90),
            ("ell", "hello", 0),
            ("ello", "hello", 80),
            ("hellos", "hello", 75),
            ("helo", "hello", 60),
            ("hlelo", "hello", 60),
            ("hallo", "hello", 60),
            ("hxllx", "hello", 0),
            ("conference", "conferance", 60),
            ("conferrance", "conference", 40),
            ("cat", "car", 0),
            ("hello there", "hello", 0),
            ("helo world", "hello world", 80),
            ("grun", "GRÜN", 100),
            ("grün", "grun", 100),
            ("grün", "gru\u{308}n", 100),
            ("straße", "STRASSE", 100),
            ("日本", "今日本屋", 80),
            ("", "anything", 100),
            ("!?", "", 100),
            ("x", "", 0),
        ] {
            assert_eq!(score(wanted, text), expected, "{wanted} in {text}");
        }
    }

    #[test]
    fn text_in_pieces() {
        let pattern = Pattern::new("one two");
        let mut scan = Scan::new(&pattern);
        scan.look("two");
        assert_eq!(scan.score(), 0);
        scan.look("ones");
        assert_eq!((scan.score(), scan.is_perfect()), (95, false));
        scan.look("one");
        assert_eq!((scan.score(), scan.is_perfect()), (100, true));
    }

    #[test]
    fn much_text_and_many_words() {
        let wanted: String = (0..5000).map(|n| format!("word{n} ")).collect();
        assert_eq!(Pattern::new(&wanted).words.len(), WORDS_MAX);
        let text = "a".repeat(1_000_000) + &" wort".repeat(100_000);
        assert_eq!(score("words", &text), 0);
        assert_eq!(score("word", &text), 60);
        assert_eq!(score(&"a".repeat(10_000), &text), 100, "what is beyond the limit does not count");
    }

    proptest! {
        #[test]
        fn words_of_a_text_are_found_in_it(text in "[a-zäöü]{2,9}( [a-zäöü]{2,9}){0,5}", at in 0usize..6) {
            let words: Vec<&str> = text.split(' ').collect();
            prop_assert_eq!(score(words[at % words.len()], &text), 100);
            prop_assert_eq!(score(&text.to_uppercase(), &text), 100);
        }

        #[test]
        fn distances_are_symmetric(one in "[ab]{0,6}", other in "[ab]{0,6}") {
            let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
            prop_assert_eq!(distance(&one, &other, 2), distance(&other, &one, 2));
            prop_assert_eq!(distance(&one, &one, 0), Some(0));
        }
    }
}
