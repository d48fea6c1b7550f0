//! What SEARCH looks for (RFC 3501 §6.4.4, RFC 9051 §6.4.4; MODSEQ: RFC 7162 §3.1.5; OLDER, YOUNGER: RFC 5032).

use jiff::civil::Date;

use super::charset::Charset;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::RawSet;

/// How deep NOT, OR and parentheses may nest. People nest by hand; programs build ORs of some dozen.
const DEPTH_MAX: usize = 100;

/// `search-key`. Strings are substrings to be found, whatever their case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// `ALL`
    All,
    /// Keys side by side: all of them.
    And(Vec<SearchKey>),
    /// `OR`
    Or(Box<SearchKey>, Box<SearchKey>),
    /// `NOT`; also `UNSEEN` and its like.
    Not(Box<SearchKey>),
    /// A sequence set.
    SequenceSet(RawSet),
    /// `UID`
    Uid(RawSet),
    /// `ANSWERED`
    Answered,
    /// `DELETED`
    Deleted,
    /// `DRAFT`
    Draft,
    /// `FLAGGED`
    Flagged,
    /// `SEEN`
    Seen,
    /// `RECENT`
    Recent,
    /// `KEYWORD`
    Keyword(String),
    /// `BEFORE`: internal date, its day only.
    Before(Date),
    /// `ON`
    On(Date),
    /// `SINCE`: that day or later.
    Since(Date),
    /// `SENTBEFORE`: the Date header, its day only.
    SentBefore(Date),
    /// `SENTON`
    SentOn(Date),
    /// `SENTSINCE`
    SentSince(Date),
    /// `OLDER`: internal date at least so many seconds ago.
    Older(u32),
    /// `YOUNGER`: at most so many.
    Younger(u32),
    /// `LARGER`: more octets.
    Larger(u64),
    /// `SMALLER`: fewer.
    Smaller(u64),
    /// `MODSEQ`: at least that mod-sequence. Its metadata item is of no account: we keep one per message.
    ModSeq(u64),
    /// `BCC`
    Bcc(String),
    /// `CC`
    Cc(String),
    /// `FROM`
    From(String),
    /// `TO`
    To(String),
    /// `SUBJECT`
    Subject(String),
    /// `BODY`
    Body(String),
    /// `TEXT`: header or body.
    Text(String),
    /// `HEADER`: a field's name, and a string in it; an empty one finds all that have the field.
    Header(String, String),
}

impl SearchKey {
    /// Whether a sequence set is among the keys.
    pub fn names_sequence_numbers(&self) -> bool {
        match self {
            SearchKey::SequenceSet(_) => true,
            SearchKey::And(keys) => keys.iter().any(SearchKey::names_sequence_numbers),
            SearchKey::Or(one, other) => one.names_sequence_numbers() || other.names_sequence_numbers(),
            SearchKey::Not(key) => key.names_sequence_numbers(),
            _ => false,
        }
    }
}

/// Keys up to the end of the command.
pub(super) fn search_keys(parser: &mut Parser<'_>, charset: Charset) -> Result<SearchKey, Bad> {
    Keys { charset, depth: 0 }.side_by_side(parser)
}

#[derive(Clone, Copy)]
struct Keys {
    charset: Charset,
    depth: usize,
}

impl Keys {
    /// `search-key *(SP search-key)`
    fn side_by_side(self, parser: &mut Parser<'_>) -> Result<SearchKey, Bad> {
        let first = self.key(parser)?;
        if parser.peek() != Some(b' ') {
            return Ok(first);
        }
        let mut keys = vec![first];
        while parser.skip(b' ') {
            keys.push(self.key(parser)?);
        }
        Ok(SearchKey::And(keys))
    }

    fn deeper(self, parser: &Parser<'_>) -> Result<Keys, Bad> {
        if self.depth == DEPTH_MAX {
            return Err(parser.bad("search keys nested too deep"));
        }
        Ok(Keys { depth: self.depth + 1, ..self })
    }

    fn key(self, parser: &mut Parser<'_>) -> Result<SearchKey, Bad> {
        match parser.peek() {
            Some(b'(') => self.parenthesized(parser),
            Some(b'0'..=b'9' | b'*') => parser.sequence_set().map(SearchKey::SequenceSet),
            _ => self.named(parser),
        }
    }

    fn parenthesized(self, parser: &mut Parser<'_>) -> Result<SearchKey, Bad> {
        parser.expect(b'(', "expected a parenthesis")?;
        let key = self.deeper(parser)?.side_by_side(parser)?;
        parser.expect(b')', "expected a closing parenthesis")?;
        Ok(key)
    }

    /// A key that begins with its name.
    fn named(self, parser: &mut Parser<'_>) -> Result<SearchKey, Bad> {
        let at = parser.at();
        let name = parser.atom().map_err(|_| Bad::new("expected a search key", at))?.to_ascii_uppercase();
        if let Some(key) = without_argument(&name) {
            return Ok(key);
        }
        if parser.peek() != Some(b' ') {
            return Err(Bad::new("unknown search key, or one without its argument", at));
        }
        parser.space()?;
        match name.as_slice() {
            b"NOT" => self.operand(parser).map(SearchKey::Not),
            b"OR" => {
                let left = self.operand(parser)?;
                parser.space()?;
                Ok(SearchKey::Or(left, self.operand(parser)?))
            }
            b"HEADER" => {
                let field = parser.header_name()?;
                parser.space()?;
                Ok(SearchKey::Header(field, self.charset.text(parser)?))
            }
            b"BCC" => self.charset.text(parser).map(SearchKey::Bcc),
            b"BODY" => self.charset.text(parser).map(SearchKey::Body),
            b"CC" => self.charset.text(parser).map(SearchKey::Cc),
            b"FROM" => self.charset.text(parser).map(SearchKey::From),
            b"SUBJECT" => self.charset.text(parser).map(SearchKey::Subject),
            b"TEXT" => self.charset.text(parser).map(SearchKey::Text),
            b"TO" => self.charset.text(parser).map(SearchKey::To),
            _ => with_argument(&name, parser).unwrap_or(Err(Bad::new("unknown search key", at))),
        }
    }

    fn operand(self, parser: &mut Parser<'_>) -> Result<Box<SearchKey>, Bad> {
        self.deeper(parser)?.key(parser).map(Box::new)
    }
}

fn without_argument(name: &[u8]) -> Option<SearchKey> {
    let not = |key| SearchKey::Not(Box::new(key));
    let key = match name {
        b"ALL" => SearchKey::All,
        b"ANSWERED" => SearchKey::Answered,
        b"DELETED" => SearchKey::Deleted,
        b"DRAFT" => SearchKey::Draft,
        b"FLAGGED" => SearchKey::Flagged,
        b"NEW" => SearchKey::And(vec![SearchKey::Recent, not(SearchKey::Seen)]),
        b"OLD" => not(SearchKey::Recent),
        b"RECENT" => SearchKey::Recent,
        b"SEEN" => SearchKey::Seen,
        b"UNANSWERED" => not(SearchKey::Answered),
        b"UNDELETED" => not(SearchKey::Deleted),
        b"UNDRAFT" => not(SearchKey::Draft),
        b"UNFLAGGED" => not(SearchKey::Flagged),
        b"UNSEEN" => not(SearchKey::Seen),
        _ => return None,
    };
    Some(key)
}

/// Keys whose argument is no string and no key.
fn with_argument(name: &[u8], parser: &mut Parser<'_>) -> Option<Result<SearchKey, Bad>> {
    let key = match name {
        b"BEFORE" => parser.date().map(SearchKey::Before),
        b"KEYWORD" => parser.flag_keyword().map(SearchKey::Keyword),
        b"LARGER" => parser.number64().map(SearchKey::Larger),
        b"MODSEQ" => modseq(parser).map(SearchKey::ModSeq),
        b"OLDER" => parser.nz_number().map(SearchKey::Older),
        b"ON" => parser.date().map(SearchKey::On),
        b"SENTBEFORE" => parser.date().map(SearchKey::SentBefore),
        b"SENTON" => parser.date().map(SearchKey::SentOn),
        b"SENTSINCE" => parser.date().map(SearchKey::SentSince),
        b"SINCE" => parser.date().map(SearchKey::Since),
        b"SMALLER" => parser.number64().map(SearchKey::Smaller),
        b"UID" => parser.sequence_set().map(SearchKey::Uid),
        b"UNKEYWORD" => parser.flag_keyword().map(|k| SearchKey::Not(Box::new(SearchKey::Keyword(k)))),
        b"YOUNGER" => parser.nz_number().map(SearchKey::Younger),
        _ => return None,
    };
    Some(key)
}

/// `[entry-name SP entry-type-req SP] mod-sequence-valzer`
fn modseq(parser: &mut Parser<'_>) -> Result<u64, Bad> {
    if parser.peek() == Some(b'"') {
        parser.string()?;
        parser.space()?;
        let at = parser.at();
        let known = ["priv", "shared", "all"].iter().any(|kind| parser.skip_word(kind));
        if !known {
            return Err(Bad::new("expected priv, shared or all", at));
        }
        parser.space()?;
    }
    parser.number64()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::imap::wire::parser::tests::{refused, taken};

    fn keys(parser: &mut Parser<'_>) -> Result<SearchKey, Bad> {
        search_keys(parser, Charset::default())
    }

    fn not(key: SearchKey) -> SearchKey {
        SearchKey::Not(Box::new(key))
    }

    #[test]
    fn refusals() {
        for text in [
            "",
            "FOO",
            "FOO x",
            "NOT",
            "NOT ",
            "OR",
            "OR ALL",
            "OR ALL ",
            "()",
            "(ALL",
            "ALL )",
            "SEEN x",
            "BEFORE x",
            "BEFORE 1-Jan",
            "SUBJECT",
            "SUBJECT ",
            "HEADER",
            "HEADER a",
            "HEADER a\u{e9} b",
            "HEADER \"\" b",
            "KEYWORD \\Seen",
            "LARGER x",
            "LARGER -1",
            "UID",
            "UID x",
            "UID 0",
            "OLDER 0",
            "YOUNGER 4294967296",
            "MODSEQ x",
            "MODSEQ \"/flags/a\" 1",
            "MODSEQ \"/flags/a\" some 1",
            "1,",
            "*x",
            "$",
            "ALL  ALL",
            "{3+}\r\nALL",
            "SUBJECT {1+}\r\n\0",
        ] {
            refused(text, keys);
        }
    }

    #[test]
    fn every_key() {
        let day = || date(1994, 2, 1);
        let text = || "x".to_owned();
        let set = || RawSet::new(b"2,4:*").unwrap();
        for (input, expected) in [
            ("all", SearchKey::All),
            ("ANSWERED", SearchKey::Answered),
            ("BCC x", SearchKey::Bcc(text())),
            ("BEFORE 1-Feb-1994", SearchKey::Before(day())),
            ("BODY \"x\"", SearchKey::Body(text())),
            ("CC x", SearchKey::Cc(text())),
            ("DELETED", SearchKey::Deleted),
            ("DRAFT", SearchKey::Draft),
            ("FLAGGED", SearchKey::Flagged),
            ("FROM {1+}\r\nx", SearchKey::From(text())),
            ("HEADER X-Spam \"\"", SearchKey::Header("X-Spam".into(), String::new())),
            ("KEYWORD x", SearchKey::Keyword(text())),
            ("LARGER 5000000000", SearchKey::Larger(5_000_000_000)),
            ("MODSEQ 620162338", SearchKey::ModSeq(620_162_338)),
            (r#"MODSEQ "/flags/\\draft" all 7"#, SearchKey::ModSeq(7)),
            ("NEW", SearchKey::And(vec![SearchKey::Recent, not(SearchKey::Seen)])),
            ("NOT SEEN", not(SearchKey::Seen)),
            ("OLD", not(SearchKey::Recent)),
            ("OLDER 60", SearchKey::Older(60)),
            ("ON \"1-Feb-1994\"", SearchKey::On(day())),
            ("OR ALL SEEN", SearchKey::Or(Box::new(SearchKey::All), Box::new(SearchKey::Seen))),
            ("RECENT", SearchKey::Recent),
            ("SEEN", SearchKey::Seen),
            ("SENTBEFORE 1-Feb-1994", SearchKey::SentBefore(day())),
            ("SENTON 1-Feb-1994", SearchKey::SentOn(day())),
            ("SENTSINCE 1-Feb-1994", SearchKey::SentSince(day())),
            ("SINCE 1-Feb-1994", SearchKey::Since(day())),
            ("SMALLER 0", SearchKey::Smaller(0)),
            ("SUBJECT x", SearchKey::Subject(text())),
            ("TEXT x", SearchKey::Text(text())),
            ("TO x", SearchKey::To(text())),
            ("UID 2,4:*", SearchKey::Uid(set())),
            ("2,4:*", SearchKey::SequenceSet(set())),
            ("UNANSWERED", not(SearchKey::Answered)),
            ("UNDELETED", not(SearchKey::Deleted)),
            ("UNDRAFT", not(SearchKey::Draft)),
            ("UNFLAGGED", not(SearchKey::Flagged)),
            ("UNKEYWORD x", not(SearchKey::Keyword(text()))),
            ("UNSEEN", not(SearchKey::Seen)),
            ("YOUNGER 60", SearchKey::Younger(60)),
        ] {
            assert_eq!(taken(input, keys), expected, "{input}");
        }
    }

    #[test]
    fn keys_combine() {
        assert_eq!(
            taken("1:3 OR (SEEN NOT DRAFT) (ALL) FROM x", keys),
            SearchKey::And(vec![
                SearchKey::SequenceSet(RawSet::new(b"1:3").unwrap()),
                SearchKey::Or(
                    Box::new(SearchKey::And(vec![SearchKey::Seen, not(SearchKey::Draft)])),
                    Box::new(SearchKey::All),
                ),
                SearchKey::From("x".into()),
            ])
        );
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth| format!("{}ALL{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(taken(nested(DEPTH_MAX), keys), SearchKey::All);
        for text in [nested(DEPTH_MAX + 1), "(".repeat(60_000), "NOT ".repeat(15_000), "OR ".repeat(20_000)] {
            assert_eq!(refused(text, keys).what, "search keys nested too deep");
        }
        taken(format!("{}ALL", "NOT ".repeat(DEPTH_MAX)), keys);
    }
}
