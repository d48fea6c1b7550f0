//! What SEARCH looks for (RFC 3501 §6.4.4, RFC 9051 §6.4.4; MODSEQ: RFC 7162 §3.1.5; OLDER, YOUNGER: RFC 5032; FILTER:
//! RFC 5466; FUZZY: RFC 6203; EMAILID, THREADID: RFC 8474 §5.3; SAVEDBEFORE and its like: RFC 8514 §4.3).

use jiff::civil::Date;

use super::charset::Charset;
use crate::imap::wire::bad::{Answer, Bad};
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
    /// `FUZZY`: what is nearly so.
    Fuzzy(Box<SearchKey>),
    /// `FILTER`: what is stored under this name.
    Filter(String),
    /// `EMAILID`
    EmailId(String),
    /// `THREADID`
    ThreadId(String),
    /// `SAVEDBEFORE`: when it was put into the mailbox, its day only.
    SavedBefore(Date),
    /// `SAVEDON`
    SavedOn(Date),
    /// `SAVEDSINCE`
    SavedSince(Date),
}

impl SearchKey {
    /// Shows this key and all within it.
    pub(super) fn walk(&self, see: &mut impl FnMut(&SearchKey)) {
        see(self);
        match self {
            SearchKey::And(keys) => keys.iter().for_each(|key| key.walk(see)),
            SearchKey::Or(one, other) => {
                one.walk(see);
                other.walk(see);
            }
            SearchKey::Not(key) | SearchKey::Fuzzy(key) => key.walk(see),
            _ => {}
        }
    }

    /// This key with others in place of those that hold no keys.
    pub(in crate::imap) fn map<E>(
        self,
        put: &mut impl FnMut(SearchKey) -> Result<SearchKey, E>,
    ) -> Result<SearchKey, E> {
        Ok(match self {
            SearchKey::And(keys) => {
                let keys: Result<Vec<_>, E> = keys.into_iter().map(|key| key.map(put)).collect();
                SearchKey::And(keys?)
            }
            SearchKey::Or(one, other) => {
                let one = one.map(put)?;
                SearchKey::Or(Box::new(one), Box::new(other.map(put)?))
            }
            SearchKey::Not(key) => SearchKey::Not(Box::new(key.map(put)?)),
            SearchKey::Fuzzy(key) => SearchKey::Fuzzy(Box::new(key.map(put)?)),
            other => put(other)?,
        })
    }

    fn has(&self, is_it: impl Fn(&SearchKey) -> bool) -> bool {
        let mut found = false;
        self.walk(&mut |key| found |= is_it(key));
        found
    }

    /// Whether FUZZY is in it.
    pub(in crate::imap::cmd) fn is_fuzzy(&self) -> bool {
        self.has(|key| matches!(key, SearchKey::Fuzzy(_)))
    }

    /// Whether a sequence set is among the keys. `$` is none: what it stands for are messages.
    pub fn names_sequence_numbers(&self) -> bool {
        self.has(|key| matches!(key, SearchKey::SequenceSet(set) if !set.is_saved()))
    }

    /// Whether it means anything only in the mailbox that is selected: sequence numbers, and results that were saved.
    pub(in crate::imap::cmd) fn is_of_selected(&self) -> bool {
        self.has(|key| match key {
            SearchKey::SequenceSet(_) => true,
            SearchKey::Uid(set) => set.is_saved(),
            _ => false,
        })
    }
}

/// Keys up to the end of the command.
pub(in crate::imap::cmd) fn search_keys(parser: &mut Parser<'_>, charset: Charset) -> Result<SearchKey, Bad> {
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
            Some(b'0'..=b'9' | b'*' | b'$') => parser.sequence_set().map(SearchKey::SequenceSet),
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
            b"FUZZY" => self.operand(parser).map(SearchKey::Fuzzy),
            b"FILTER" => self.filter(parser).map(SearchKey::Filter),
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

    /// `filter-name`. RFC 5466 §3.1: what is stored is UTF-8, and excludes any other charset but its part.
    fn filter(self, parser: &mut Parser<'_>) -> Result<String, Bad> {
        let at = parser.at();
        if self.charset != Charset::default() {
            return Err(Bad { what: "FILTER takes UTF-8", at, answer: Answer::BadCharsetOfFilter });
        }
        let name = parser.atom()?;
        let name = std::str::from_utf8(name).ok().filter(|name| !name.contains('/'));
        name.map(str::to_owned).ok_or(Bad::new("expected the name of a filter", at))
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
        // RFC 8514 §4.3: whether the mailbox knows save dates, and each does.
        b"SAVEDATESUPPORTED" => SearchKey::All,
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
        b"EMAILID" => object_id(parser).map(SearchKey::EmailId),
        b"KEYWORD" => parser.flag_keyword().map(SearchKey::Keyword),
        b"LARGER" => parser.number64().map(SearchKey::Larger),
        b"MODSEQ" => modseq(parser).map(SearchKey::ModSeq),
        b"OLDER" => parser.nz_number().map(SearchKey::Older),
        b"ON" => parser.date().map(SearchKey::On),
        b"SAVEDBEFORE" => parser.date().map(SearchKey::SavedBefore),
        b"SAVEDON" => parser.date().map(SearchKey::SavedOn),
        b"SAVEDSINCE" => parser.date().map(SearchKey::SavedSince),
        b"SENTBEFORE" => parser.date().map(SearchKey::SentBefore),
        b"SENTON" => parser.date().map(SearchKey::SentOn),
        b"SENTSINCE" => parser.date().map(SearchKey::SentSince),
        b"SINCE" => parser.date().map(SearchKey::Since),
        b"SMALLER" => parser.number64().map(SearchKey::Smaller),
        b"THREADID" => object_id(parser).map(SearchKey::ThreadId),
        b"UID" => parser.sequence_set().map(SearchKey::Uid),
        b"UNKEYWORD" => parser.flag_keyword().map(|k| SearchKey::Not(Box::new(SearchKey::Keyword(k)))),
        b"YOUNGER" => parser.nz_number().map(SearchKey::Younger),
        _ => return None,
    };
    Some(key)
}

/// `objectid`: at most 255 letters, digits, `-` and `_` (RFC 8474 §7).
fn object_id(parser: &mut Parser<'_>) -> Result<String, Bad> {
    let at = parser.at();
    let is_id = |id: &&str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        id.len() <= 255 && id.bytes().all(fits)
    };
    let id = std::str::from_utf8(parser.atom()?).ok().filter(is_id);
    id.map(str::to_owned).ok_or(Bad::new("expected an object id", at))
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
            "$x",
            "$,1",
            "UID $:1",
            "FUZZY",
            "FUZZY ",
            "FUZZY FOO",
            "FILTER",
            "FILTER a/b",
            "FILTER \"a\"",
            "EMAILID",
            "EMAILID a.b",
            "THREADID \"a\"",
            "SAVEDON",
            "SAVEDATESUPPORTED x",
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
            ("EMAILID M6d99ac3275bb4e", SearchKey::EmailId("M6d99ac3275bb4e".into())),
            ("FILTER on-the-road", SearchKey::Filter("on-the-road".into())),
            ("FLAGGED", SearchKey::Flagged),
            ("FUZZY SUBJECT x", SearchKey::Fuzzy(Box::new(SearchKey::Subject(text())))),
            ("FUZZY (SEEN)", SearchKey::Fuzzy(Box::new(SearchKey::Seen))),
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
            ("SAVEDATESUPPORTED", SearchKey::All),
            ("SAVEDBEFORE 1-Feb-1994", SearchKey::SavedBefore(day())),
            ("SAVEDON 1-Feb-1994", SearchKey::SavedOn(day())),
            ("SAVEDSINCE 1-Feb-1994", SearchKey::SavedSince(day())),
            ("SENTBEFORE 1-Feb-1994", SearchKey::SentBefore(day())),
            ("SENTON 1-Feb-1994", SearchKey::SentOn(day())),
            ("SENTSINCE 1-Feb-1994", SearchKey::SentSince(day())),
            ("SINCE 1-Feb-1994", SearchKey::Since(day())),
            ("SMALLER 0", SearchKey::Smaller(0)),
            ("SUBJECT x", SearchKey::Subject(text())),
            ("TEXT x", SearchKey::Text(text())),
            ("TO x", SearchKey::To(text())),
            ("THREADID T64b478a75b7ea9", SearchKey::ThreadId("T64b478a75b7ea9".into())),
            ("UID 2,4:*", SearchKey::Uid(set())),
            ("UID $", SearchKey::Uid(RawSet::saved())),
            ("$", SearchKey::SequenceSet(RawSet::saved())),
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
    fn filters_take_utf8() {
        let latin = taken("iso-8859-1", Charset::parse);
        let bad = refused("SEEN FILTER a", |p| search_keys(p, latin));
        assert_eq!(bad.answer, Answer::BadCharsetOfFilter);
        let ascii = taken("us-ascii", Charset::parse);
        assert_eq!(taken("FILTER a", |p| search_keys(p, ascii)), SearchKey::Filter("a".into()));
    }

    #[test]
    fn what_a_key_is_about() {
        for (text, is_fuzzy, is_of_selected) in [
            ("SEEN", false, false),
            ("NOT (SEEN FUZZY TEXT x)", true, false),
            ("OR SEEN 1", false, true),
            ("UID 1", false, false),
            ("NOT UID $", false, true),
            ("FUZZY $", true, true),
        ] {
            let key = taken(text, keys);
            assert_eq!((key.is_fuzzy(), key.is_of_selected()), (is_fuzzy, is_of_selected), "{text}");
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
        for text in [
            nested(DEPTH_MAX + 1),
            "(".repeat(60_000),
            "NOT ".repeat(15_000),
            "OR ".repeat(20_000),
            "FUZZY ".repeat(10_000),
        ] {
            assert_eq!(refused(text, keys).what, "search keys nested too deep");
        }
        taken(format!("{}ALL", "NOT ".repeat(DEPTH_MAX)), keys);
    }
}
