//! A search as it is carried out: sets resolved, strings folded, and an answer that may be "not known yet".
//!
//! A message is looked at in stages that cost more and more: what the view says, its row, what the text index says of it
//! and has of its text, or else its header and its body. With what is known so far a criterion holds, does not hold, or
//! is open; an AND with one that does not hold is settled, whatever else is in it. So each message is read only as far as
//! it must be.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;

use super::body::{Found, Wanted};
use super::fuzzy::{Pattern, average};
use super::key::SearchKey;
use crate::imap::answer::Fail;
use crate::imap::selected::Selected;
use crate::imap::wire::code::Code;
use crate::imap::wire::set::{Numbering, RawSet};
use crate::mail::{DateTime, SequenceSet, UidSet};
use crate::mime::decode::decode_header;
use crate::mime::header::fields;
use crate::mime::text::{decoded_header_text, fold, sent_day};
use crate::store::text::{COMMON, Fields, Text};
use crate::store::view::{ANSWERED, DELETED, DRAFT, Entry, FLAGGED, SEEN};

/// Words looked for by FUZZY in one search: each is compared with every word of every text.
const FUZZY_WORDS_MAX: usize = 100;

/// What a search looks for, and what it takes to know.
#[derive(Debug, Default)]
pub(super) struct Criteria {
    test: Test,
    /// Strings looked for in bodies; tests name them by number.
    pub(super) needles: Vec<String>,
    /// Strings looked for in header fields; tests name them by number.
    values: Vec<String>,
    /// Words looked for in bodies, fuzzily; tests name them by number.
    patterns: Vec<Pattern>,
    /// Header fields that are looked at, in lower case, each once.
    fields: Vec<String>,
    /// Whether the row of a message has to be known.
    pub(super) row: bool,
    /// Whether its ids and the time it was saved have.
    pub(super) objects: bool,
    /// Whether the header has.
    pub(super) header: bool,
    /// Whether the header is looked at as a whole.
    whole_header: bool,
    /// Whether mod-sequences are asked for.
    pub(super) modseq: bool,
    /// Whether anything is asked for by FUZZY.
    fuzzy: bool,
    /// How many words are.
    fuzzy_words: usize,
}

/// One condition, or several combined.
#[derive(Debug, Default)]
enum Test {
    #[default]
    Always,
    All(Vec<Test>),
    Any(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Uids(UidSet),
    Flag(u32),
    Recent,
    Keyword(String),
    ModSeq(u64),
    Received(Day),
    ReceivedUntil(Timestamp),
    ReceivedFrom(Timestamp),
    Larger(u64),
    Smaller(u64),
    Sent(Day),
    /// A field, by number, contains a value, by number.
    Field(usize, usize),
    Body(usize),
    Text(usize),
    /// A field, by number, fits a pattern.
    FuzzyField(usize, Pattern),
    /// The body fits a pattern, by number.
    FuzzyBody(usize),
    /// Header or body do.
    FuzzyText(usize),
    Saved(Day),
    EmailId(String),
    ThreadId(String),
}

/// Whether strings have to be there, or something like them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Likeness {
    Exact,
    Fuzzy,
}

/// A condition on a day.
#[derive(Debug, Clone, Copy)]
enum Day {
    Before(Date),
    On(Date),
    Since(Date),
}

impl Day {
    fn holds(self, day: Date) -> bool {
        match self {
            Day::Before(limit) => day < limit,
            Day::On(limit) => day == limit,
            Day::Since(limit) => day >= limit,
        }
    }
}

/// What is known of a message so far.
#[derive(Clone, Copy)]
pub(super) struct Knowledge<'k> {
    pub(super) entry: Entry,
    pub(super) keywords: &'k [Arc<str>],
    pub(super) recent: bool,
    pub(super) row: Option<Row>,
    pub(super) header: Option<&'k Header>,
    /// What is in the body.
    pub(super) body: Option<&'k Found>,
    /// What it is called.
    pub(super) objects: Option<&'k Objects>,
    /// Which strings are not in the content.
    pub(super) absent: Absent,
}

/// Strings, as [`Criteria::strings`] numbers them, that are known to be nowhere in the content of a message: a bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Absent(pub(super) u32);

impl Absent {
    fn has(self, string: usize) -> bool {
        u32::try_from(string).ok().and_then(|n| self.0.checked_shr(n)).is_some_and(|bits| bits & 1 == 1)
    }
}

/// What the row of a message says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) received: DateTime,
    pub(super) size: u64,
}

/// What a message is called besides its UID, and when it was put into its mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Objects {
    /// The day in UTC, as the client is told it. RFC 8514 §4.3: where it is not known, the internal date stands for it.
    pub(super) saved: Date,
    pub(super) email_id: String,
    pub(super) thread_id: Option<String>,
}

/// A header, decoded and folded as far as a search looks at it.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// Number of the field, and its text.
    fields: Vec<(usize, String)>,
    whole: String,
    sent: Option<Date>,
    /// What is known where not all of the header is: the fields, by number, that are; `sent` always is.
    only: Option<Vec<usize>>,
}

impl Header {
    /// Whether a field contains a value; `None` when that field has not been read.
    fn field_contains(&self, number: usize, text: &str) -> Option<bool> {
        let found = self.fields.iter().any(|(field, value)| *field == number && value.contains(text));
        let known = self.only.as_ref().is_none_or(|only| only.contains(&number));
        (found || known).then_some(found)
    }

    /// How well a field fits a pattern; `None` when that field has not been read.
    fn field_score(&self, number: usize, pattern: &Pattern) -> Option<u8> {
        let known = self.only.as_ref().is_none_or(|only| only.contains(&number));
        let fields = self.fields.iter().filter(|(field, _)| *field == number);
        known.then(|| fields.map(|(_, value)| pattern.score(value)).max().unwrap_or(0))
    }

    /// How well it fits as a whole; `None` when only some has been read.
    fn score(&self, pattern: &Pattern) -> Option<u8> {
        self.only.is_none().then(|| pattern.score(&self.whole))
    }

    /// Whether any part of it contains a string; `None` when only some has been read.
    fn contains(&self, text: &str) -> Option<bool> {
        let found = self.whole.contains(text);
        (found || self.only.is_none()).then_some(found)
    }
}

impl Criteria {
    /// Prepares a search in this view at this time.
    pub(super) fn new(key: &SearchKey, selected: &Selected, now: Timestamp) -> Result<Self, Fail> {
        let mut criteria = Criteria::default();
        let resolve = |set: &RawSet, numbering| resolve(set, numbering, selected);
        criteria.test = criteria.compile(key, &resolve, now, Likeness::Exact)?;
        if criteria.fuzzy_words > FUZZY_WORDS_MAX {
            return Err(Fail::no(Code::Limit, "too many words to be looked for by FUZZY"));
        }
        Ok(criteria)
    }

    fn compile(
        &mut self,
        key: &SearchKey,
        resolve: &impl Fn(&RawSet, Numbering) -> Result<UidSet, Fail>,
        now: Timestamp,
        likeness: Likeness,
    ) -> Result<Test, Fail> {
        let ago = |seconds: u32| {
            now.checked_sub(jiff::SignedDuration::from_secs(seconds.into())).unwrap_or(Timestamp::MIN)
        };
        if let Some(test) = self.compile_text(key, likeness) {
            return Ok(test);
        }
        Ok(match key {
            SearchKey::All => Test::Always,
            SearchKey::And(keys) => {
                let tests = keys.iter().map(|key| self.compile(key, resolve, now, likeness));
                Test::All(tests.collect::<Result<_, _>>()?)
            }
            SearchKey::Or(one, other) => {
                let one = self.compile(one, resolve, now, likeness)?;
                Test::Any(Box::new(one), Box::new(self.compile(other, resolve, now, likeness)?))
            }
            SearchKey::Not(key) => Test::Not(Box::new(self.compile(key, resolve, now, likeness)?)),
            SearchKey::SequenceSet(set) => Test::Uids(resolve(set, Numbering::Sequence)?),
            SearchKey::Uid(set) => Test::Uids(resolve(set, Numbering::Uid)?),
            SearchKey::Answered => Test::Flag(ANSWERED),
            SearchKey::Deleted => Test::Flag(DELETED),
            SearchKey::Draft => Test::Flag(DRAFT),
            SearchKey::Flagged => Test::Flag(FLAGGED),
            SearchKey::Seen => Test::Flag(SEEN),
            SearchKey::Recent => Test::Recent,
            SearchKey::Keyword(name) => Test::Keyword(name.clone()),
            SearchKey::ModSeq(modseq) => {
                self.modseq = true;
                Test::ModSeq(*modseq)
            }
            SearchKey::Before(day) => self.of_row(Test::Received(Day::Before(*day))),
            SearchKey::On(day) => self.of_row(Test::Received(Day::On(*day))),
            SearchKey::Since(day) => self.of_row(Test::Received(Day::Since(*day))),
            SearchKey::Older(seconds) => self.of_row(Test::ReceivedUntil(ago(*seconds))),
            SearchKey::Younger(seconds) => self.of_row(Test::ReceivedFrom(ago(*seconds))),
            SearchKey::Larger(size) => self.of_row(Test::Larger(*size)),
            SearchKey::Smaller(size) => self.of_row(Test::Smaller(*size)),
            SearchKey::SentBefore(day) => self.of_header(Test::Sent(Day::Before(*day))),
            SearchKey::SentOn(day) => self.of_header(Test::Sent(Day::On(*day))),
            SearchKey::SentSince(day) => self.of_header(Test::Sent(Day::Since(*day))),
            SearchKey::Fuzzy(key) => {
                self.fuzzy = true;
                self.compile(key, resolve, now, Likeness::Fuzzy)?
            }
            SearchKey::SavedBefore(day) => self.of_objects(Test::Saved(Day::Before(*day))),
            SearchKey::SavedOn(day) => self.of_objects(Test::Saved(Day::On(*day))),
            SearchKey::SavedSince(day) => self.of_objects(Test::Saved(Day::Since(*day))),
            SearchKey::EmailId(id) => self.of_objects(Test::EmailId(id.clone())),
            SearchKey::ThreadId(id) => self.of_objects(Test::ThreadId(id.clone())),
            // Filters have been put in place of their names before; one that is left finds nothing. Keys about text are
            // dealt with above.
            SearchKey::Filter(_)
            | SearchKey::Bcc(_)
            | SearchKey::Cc(_)
            | SearchKey::From(_)
            | SearchKey::To(_)
            | SearchKey::Subject(_)
            | SearchKey::Header(..)
            | SearchKey::Body(_)
            | SearchKey::Text(_) => Test::Not(Box::new(Test::Always)),
        })
    }

    /// Keys that look for strings, exactly or fuzzily.
    fn compile_text(&mut self, key: &SearchKey, likeness: Likeness) -> Option<Test> {
        Some(match key {
            SearchKey::Bcc(text) => self.field("bcc", text, likeness),
            SearchKey::Cc(text) => self.field("cc", text, likeness),
            SearchKey::From(text) => self.field("from", text, likeness),
            SearchKey::To(text) => self.field("to", text, likeness),
            SearchKey::Subject(text) => self.field("subject", text, likeness),
            SearchKey::Header(name, text) => self.field(name, text, likeness),
            SearchKey::Body(text) if likeness == Likeness::Fuzzy => Test::FuzzyBody(self.pattern(text)),
            SearchKey::Body(text) => Test::Body(self.needle(text)),
            SearchKey::Text(text) => {
                self.whole_header = true;
                let test = match likeness {
                    Likeness::Exact => Test::Text(self.needle(text)),
                    Likeness::Fuzzy => Test::FuzzyText(self.pattern(text)),
                };
                self.of_header(test)
            }
            _ => return None,
        })
    }

    fn of_row(&mut self, test: Test) -> Test {
        self.row = true;
        test
    }

    fn of_objects(&mut self, test: Test) -> Test {
        self.objects = true;
        self.of_row(test)
    }

    fn of_header(&mut self, test: Test) -> Test {
        self.header = true;
        test
    }

    fn field(&mut self, name: &str, text: &str, likeness: Likeness) -> Test {
        let number = number_of(&mut self.fields, name.to_ascii_lowercase());
        if likeness == Likeness::Fuzzy {
            let pattern = Pattern::new(text);
            self.fuzzy_words += pattern.len();
            return self.of_header(Test::FuzzyField(number, pattern));
        }
        let value = number_of(&mut self.values, fold(text));
        self.of_header(Test::Field(number, value))
    }

    fn needle(&mut self, text: &str) -> usize {
        number_of(&mut self.needles, fold(text))
    }

    fn pattern(&mut self, text: &str) -> usize {
        let (pattern, known) = (Pattern::new(text), self.patterns.len());
        let words = pattern.len();
        let number = number_of(&mut self.patterns, pattern);
        if number == known {
            self.fuzzy_words += words;
        }
        number
    }

    /// Whether the body has to be looked at where nothing else settles it.
    pub(super) fn body(&self) -> bool {
        !self.needles.is_empty() || !self.patterns.is_empty()
    }

    /// What bodies are looked through for.
    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted { needles: &self.needles, patterns: &self.patterns }
    }

    /// All strings that are looked for: needles, then values.
    pub(super) fn strings(&self) -> impl Iterator<Item = &str> {
        self.needles.iter().chain(&self.values).map(String::as_str)
    }

    /// Reads of a header, prefix included, what this search looks at.
    pub(super) fn read_header(&self, header: &[u8]) -> Header {
        let mut read = Header { sent: sent_day(header), ..Header::default() };
        for field in fields(header) {
            if let Some(number) = self.fields.iter().position(|name| field.is(name)) {
                read.fields.push((number, fold(&decode_header(field.value))));
            }
        }
        if self.whole_header {
            read.whole = fold(&decoded_header_text(header));
        }
        read
    }

    /// The same of a prefix and what the text index has in its row of the header behind it.
    pub(super) fn common_header(&self, prefix: &[u8], stored: &Fields) -> Header {
        let mut read = self.read_header(prefix);
        read.sent = read.sent.or(stored.sent);
        let number = |name: &str| self.fields.iter().position(|field| field == name);
        let common = stored.common.iter().flatten();
        let looked_at = common.filter_map(|(common, value)| {
            let name = COMMON.get(usize::from(*common))?;
            Some((number(name)?, value.clone()))
        });
        read.fields.extend(looked_at);
        let known = COMMON.iter().filter(|_| stored.common.is_some());
        read.only = Some(known.filter_map(|name| number(name)).collect());
        read
    }

    /// The same of a prefix and the text that the text index has of the header behind it.
    pub(super) fn stored_header(&self, prefix: &[u8], stored: &Fields, text: &Text<'_>) -> Header {
        let mut read = self.read_header(prefix);
        read.sent = read.sent.or(stored.sent);
        for (name, value) in &text.header {
            if let Some(number) = self.fields.iter().position(|field| field == *name) {
                read.fields.push((number, (*value).to_owned()));
            }
        }
        if self.whole_header {
            read.whole.push_str(&text.header_text());
        }
        read
    }

    /// Whether anything is asked for by FUZZY.
    pub(super) fn is_scored(&self) -> bool {
        self.fuzzy
    }

    /// How well a message that is looked for fits what was asked for by FUZZY, 1 to 100: the best of alternatives, the
    /// average of what has to be all. One that nothing was asked of that way fits as well as can be.
    pub(super) fn score(&self, message: &Knowledge<'_>) -> u8 {
        self.test.score(message, self).unwrap_or(100).max(1)
    }

    /// Whether a message is looked for; `None` when more must be known.
    pub(super) fn holds(&self, message: &Knowledge<'_>) -> Option<bool> {
        self.test.holds(message, self)
    }
}

/// The place of something in a list; it is added if it is missing.
fn number_of<T: PartialEq>(list: &mut Vec<T>, name: T) -> usize {
    list.iter().position(|known| *known == name).unwrap_or_else(|| {
        list.push(name);
        list.len() - 1
    })
}

/// The UIDs that a set means. Numbers of no message find nothing.
pub(super) fn resolve(set: &RawSet, numbering: Numbering, selected: &Selected) -> Result<UidSet, Fail> {
    if numbering == Numbering::Uid || set.is_saved() {
        return Ok(selected.uids(set, numbering)?.into_iter().collect());
    }
    let set = SequenceSet::parse(set.as_bytes()).map_err(|e| Fail::bad(e.to_string()))?;
    let view = selected.view();
    let resolved = set.resolve(view.len());
    Ok(resolved.ranges().flat_map(|range| view.range_seqs(range)).map(|(_, entry)| entry.uid()).collect())
}

impl Test {
    fn holds(&self, message: &Knowledge<'_>, criteria: &Criteria) -> Option<bool> {
        let Knowledge { entry, row, header, body, absent, .. } = message;
        match self {
            Test::Always => Some(true),
            Test::All(tests) => {
                let mut all = Some(true);
                for test in tests {
                    match test.holds(message, criteria) {
                        Some(false) => return Some(false),
                        None => all = None,
                        Some(true) => {}
                    }
                }
                all
            }
            Test::Any(one, other) => either(one.holds(message, criteria), other.holds(message, criteria)),
            Test::Not(test) => test.holds(message, criteria).map(|holds| !holds),
            Test::Uids(uids) => Some(uids.contains(entry.uid())),
            Test::Flag(flag) => Some(entry.has(*flag)),
            Test::Recent => Some(message.recent),
            Test::Keyword(name) => {
                Some(message.keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case(name)))
            }
            Test::ModSeq(modseq) => Some(entry.modseq() >= *modseq),
            Test::Received(day) => row.map(|row| day.holds(row.received.date())),
            Test::ReceivedUntil(limit) => row.map(|row| row.received.at() <= *limit),
            Test::ReceivedFrom(limit) => row.map(|row| row.received.at() >= *limit),
            Test::Larger(size) => row.map(|row| row.size > *size),
            Test::Smaller(size) => row.map(|row| row.size < *size),
            // A message without a date that can be read was sent on no day.
            Test::Sent(day) => header.map(|header| header.sent.is_some_and(|sent| day.holds(sent))),
            Test::Field(field, value) => header.and_then(|header| {
                let text = criteria.values.get(*value)?;
                let missing = absent.has(criteria.needles.len() + value);
                header.field_contains(*field, text).or(missing.then_some(false))
            }),
            Test::Body(needle) => match body {
                Some(found) => Some(found.needles.get(*needle) == Some(&true)),
                None => absent.has(*needle).then_some(false),
            },
            Test::Text(needle) => {
                let text = criteria.needles.get(*needle)?;
                let missing = absent.has(*needle).then_some(false);
                let in_header = header.and_then(|header| header.contains(text).or(missing));
                let in_body = body.map(|found| found.needles.get(*needle) == Some(&true)).or(missing);
                either(in_header, in_body)
            }
            Test::FuzzyField(..) | Test::FuzzyBody(_) => {
                self.own_score(message, criteria).map(|score| score > 0)
            }
            Test::FuzzyText(pattern) => {
                let in_header = Test::header_score(*pattern, message, criteria);
                let in_body = Test::FuzzyBody(*pattern).own_score(message, criteria);
                either(in_header.map(|score| score > 0), in_body.map(|score| score > 0))
            }
            Test::Saved(day) => message.objects.map(|objects| day.holds(objects.saved)),
            Test::EmailId(id) => message.objects.map(|objects| objects.email_id == *id),
            Test::ThreadId(id) => message.objects.map(|objects| objects.thread_id.as_ref() == Some(id)),
        }
    }

    /// How well a message fits, as far as it is known; none where nothing fuzzy is asked, or does not fit.
    fn score(&self, message: &Knowledge<'_>, criteria: &Criteria) -> Option<u8> {
        match self {
            Test::All(tests) => average(tests.iter().filter_map(|test| test.score(message, criteria))),
            Test::Any(one, other) => one.score(message, criteria).max(other.score(message, criteria)),
            Test::FuzzyText(pattern) => {
                let in_header = Test::header_score(*pattern, message, criteria);
                in_header
                    .max(Test::FuzzyBody(*pattern).own_score(message, criteria))
                    .filter(|score| *score > 0)
            }
            test => test.own_score(message, criteria).filter(|score| *score > 0),
        }
    }

    /// How well one thing that is looked for fits; `None` when more must be known.
    fn own_score(&self, message: &Knowledge<'_>, criteria: &Criteria) -> Option<u8> {
        match self {
            Test::FuzzyField(field, pattern) => message.header?.field_score(*field, pattern),
            Test::FuzzyBody(pattern) => {
                debug_assert!(*pattern < criteria.patterns.len());
                message.body.map(|found| found.scores.get(*pattern).copied().unwrap_or(0))
            }
            _ => None,
        }
    }

    fn header_score(pattern: usize, message: &Knowledge<'_>, criteria: &Criteria) -> Option<u8> {
        message.header?.score(criteria.patterns.get(pattern)?)
    }
}

/// Whether one of two holds, as far as it is known.
fn either(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::imap::cmd::search::charset::Charset;
    use crate::imap::cmd::search::key::search_keys;
    use crate::imap::wire::parser::tests::taken;
    use crate::mime::text::folded_fields;
    use crate::store::view::{EntryRow, Loader};

    const NOW: &str = "2024-03-01T12:00:00Z";

    fn criteria(keys: &str) -> Criteria {
        let key = taken(keys, |p| search_keys(p, Charset::default()));
        let mut criteria = Criteria::default();
        let resolve = |set: &RawSet, _| Ok(UidSet::parse(set.as_bytes()).unwrap());
        criteria.test = criteria.compile(&key, &resolve, NOW.parse().unwrap(), Likeness::Exact).unwrap();
        criteria
    }

    fn entry() -> Entry {
        let mut loader = Loader::new(1, 1, 1);
        let row: EntryRow = EntryRow { uid: 7, flags: SEEN, modseq: 40, keywords: Vec::new() };
        loader.push(&row).unwrap();
        loader.finish().entry(7).unwrap()
    }

    /// What is known after the view, the row, the header, the body: `t`, `f`, `?`.
    fn stages(keys: &str, header: &str, body: &[&str]) -> String {
        let criteria = criteria(keys);
        let read = criteria.read_header(header.as_bytes());
        let found = Found {
            needles: criteria.needles.iter().map(|n| body.contains(&n.as_str())).collect(),
            scores: criteria.patterns.iter().map(|pattern| pattern.score(&body.join(" "))).collect(),
        };
        let keywords = [Arc::from("$Done")];
        // Received on the 29th in its own zone, on the 1st in UTC.
        let received = DateTime::new("2024-03-01T01:00:00Z".parse().unwrap(), -120);
        let mut known = Knowledge {
            entry: entry(),
            keywords: &keywords,
            recent: false,
            row: None,
            header: None,
            body: None,
            objects: None,
            absent: Absent::default(),
        };
        let mut shown = String::new();
        let mut show = |known: &Knowledge<'_>| {
            shown.push(match criteria.holds(known) {
                Some(true) => 't',
                Some(false) => 'f',
                None => '?',
            });
        };
        show(&known);
        known.row = Some(Row { received, size: 100 });
        show(&known);
        known.header = Some(&read);
        show(&known);
        known.body = Some(&found);
        show(&known);
        shown
    }

    #[test]
    fn each_key_is_settled_as_early_as_it_can_be() {
        let header = "From: =?utf-8?q?J=C3=B6rg?= <j@x>\r\nSubject: Stra=\r\nSUBJECT: \u{df}e\r\nX-Empty:\r\n\
            Date: Thu, 29 Feb 2024 23:30:00 -0500\r\n\r\n";
        for (keys, want) in [
            ("ALL", "tttt"),
            ("SEEN", "tttt"),
            ("UNSEEN", "ffff"),
            ("NEW", "ffff"),
            ("KEYWORD $DONE", "tttt"),
            ("UNKEYWORD $done", "ffff"),
            ("MODSEQ 40", "tttt"),
            ("MODSEQ 41", "ffff"),
            ("UID 7", "tttt"),
            ("1:6", "ffff"),
            ("ON 29-Feb-2024", "?ttt"),
            ("BEFORE 29-Feb-2024", "?fff"),
            ("BEFORE 1-Mar-2024", "?ttt"),
            ("SINCE 1-Mar-2024", "?fff"),
            ("OLDER 39600", "?ttt"),
            ("OLDER 39601", "?fff"),
            ("YOUNGER 39600", "?ttt"),
            ("YOUNGER 39599", "?fff"),
            ("LARGER 99", "?ttt"),
            ("LARGER 100", "?fff"),
            ("SMALLER 100", "?fff"),
            ("SENTON 29-Feb-2024", "??tt"),
            ("SENTSINCE 1-Mar-2024", "??ff"),
            ("FROM \"j\u{d6}RG\"", "??tt"),
            ("SUBJECT SSE", "??tt"),
            ("TO j", "??ff"),
            ("HEADER x-empty \"\"", "??tt"),
            ("HEADER x-other \"\"", "??ff"),
            ("TEXT sse", "??tt"),
            ("TEXT inside", "???t"),
            ("BODY inside", "???t"),
            ("BODY sse", "???f"),
            ("UNSEEN BODY inside", "ffff"),
            ("OR SEEN BODY inside", "tttt"),
            ("NOT (SEEN LARGER 500)", "?ttt"),
            ("LARGER 500 BODY inside", "?fff"),
            ("OR TO j OR LARGER 500 BODY inside", "???t"),
            ("FUZZY FROM jorg", "??tt"),
            ("FUZZY FROM georg", "??ff"),
            ("FUZZY SUBJECT strasze", "??tt"),
            ("SUBJECT strasze", "??ff"),
            ("FUZZY BODY insde", "???t"),
            ("FUZZY TEXT insde", "???t"),
            ("FUZZY TEXT jorg", "??tt"),
            ("NOT FUZZY BODY outsde", "???t"),
            ("FUZZY SEEN", "tttt"),
            ("FUZZY LARGER 100", "?fff"),
            ("FUZZY OR FROM georg BODY insde", "???t"),
        ] {
            assert_eq!(stages(keys, header, &["inside"]), want, "{keys}");
        }
    }

    /// What is known from the row of the text index, and from its text: `t`, `f`, `?`.
    fn by_index(keys: &str, prefix: &str, header: &str, body: &str, absent: &[&str]) -> String {
        let criteria = criteria(keys);
        let fields = folded_fields(header.as_bytes());
        let row = Fields::of(header.as_bytes(), &fields);
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let text = Text { header: fields, body };
        let common = criteria.common_header(prefix.as_bytes(), &row);
        let stored = criteria.stored_header(prefix.as_bytes(), &row, &text);
        let found = super::super::body::find_in(body, criteria.wanted());
        let bits = criteria.strings().zip(0u32..).filter(|(string, _)| absent.contains(string));
        let absent = Absent(bits.map(|(_, n)| 1 << n).sum());
        let (row, keywords) = (None, &[][..]);
        let known = Knowledge {
            entry: entry(),
            keywords,
            recent: false,
            row,
            header: None,
            body: None,
            objects: None,
            absent,
        };
        let by_row = Knowledge { header: Some(&common), ..known };
        let by_text = Knowledge { header: Some(&stored), body: Some(&found), ..known };
        let show = |holds| match holds {
            Some(true) => 't',
            Some(false) => 'f',
            None => '?',
        };
        [known, by_row, by_text].iter().map(|known| show(criteria.holds(known))).collect()
    }

    #[test]
    fn what_the_index_settles() {
        let (prefix, header) =
            ("Received: here\r\n", "From: A\r\nX-Other: b\r\nDate: 1 Jan 70 00:00 GMT\r\n");
        // Before anything of the header is known, with the row, with the text.
        for (keys, want) in [
            ("BODY no", "fff"),
            ("NOT BODY no", "ttt"),
            ("BODY text", "??t"),
            ("BODY maybe", "??f"),
            ("TEXT no", "?ff"),
            ("TEXT here", "?tt"),
            ("TEXT text", "??t"),
            ("TEXT other", "??t"),
            ("FROM a", "?tt"),
            ("FROM b", "?ff"),
            ("HEADER X-Other no", "?ff"),
            ("HEADER X-Other b", "??t"),
            ("HEADER X-Other \"\"", "??t"),
            ("HEADER Received here", "?tt"),
            ("HEADER Received no", "?ff"),
            ("SENTON 1-Jan-1970", "?tt"),
            ("SENTON 2-Jan-1970", "?ff"),
            ("OR BODY no SUBJECT no", "?ff"),
            ("BODY text BODY no", "fff"),
        ] {
            assert_eq!(by_index(keys, prefix, header, "text", &["no"]), want, "{keys}");
        }
        // A date that stands before the content's own counts first.
        assert_eq!(by_index("SENTON 2-Jan-1970", "Date: 2 Jan 70 00:00 GMT\r\n", header, "", &[]), "?tt");
    }

    #[test]
    fn what_has_to_be_read() {
        let needs = |keys| {
            let c = criteria(keys);
            (c.row, c.header, c.body())
        };
        assert_eq!(needs("SEEN UID 1:3 MODSEQ 1"), (false, false, false));
        assert_eq!(needs("SEEN OR SMALLER 1 TO x"), (true, true, false));
        assert_eq!(needs("BODY x"), (false, false, true));
        assert_eq!(needs("NOT TEXT x"), (false, true, true));
        assert_eq!(criteria("OR BODY A TEXT a").needles, ["a"]);
    }

    #[test]
    fn how_well_messages_fit() {
        let header = "From: George <g@x>\r\nSubject: conferences\r\n\r\n";
        for (keys, score) in [
            ("SEEN", 100),
            ("FUZZY FROM george", 100),
            ("FUZZY FROM georg", 90),
            ("FUZZY FROM gorge", 60),
            ("FUZZY (FROM george SUBJECT conference)", 95),
            ("FUZZY FROM george FUZZY FROM gorge", 80),
            ("FUZZY OR FROM gorge SUBJECT conference", 90),
            ("OR FROM nobody FUZZY SUBJECT conference", 90),
            ("SEEN FUZZY BODY insde", 60),
            ("FUZZY TEXT conference", 90),
        ] {
            let criteria = criteria(keys);
            let read = criteria.read_header(header.as_bytes());
            let found = super::super::body::find_in("inside", criteria.wanted());
            let known = Knowledge {
                entry: entry(),
                keywords: &[],
                recent: false,
                row: None,
                header: Some(&read),
                body: Some(&found),
                objects: None,
                absent: Absent::default(),
            };
            assert_eq!((criteria.holds(&known), criteria.score(&known)), (Some(true), score), "{keys}");
        }
    }

    #[test]
    fn ids_and_save_dates() {
        let objects =
            Objects { saved: date(2024, 2, 29), email_id: "M1".into(), thread_id: Some("Ta".into()) };
        for (keys, holds) in [
            ("EMAILID M1", true),
            ("EMAILID m1", false),
            ("THREADID Ta", true),
            ("NOT THREADID Tb", true),
            ("SAVEDON 29-Feb-2024", true),
            ("SAVEDBEFORE 29-Feb-2024", false),
            ("SAVEDSINCE 29-Feb-2024", true),
            ("SAVEDATESUPPORTED", true),
        ] {
            let criteria = criteria(keys);
            let known = Knowledge {
                entry: entry(),
                keywords: &[],
                recent: false,
                row: None,
                header: None,
                body: None,
                objects: Some(&objects),
                absent: Absent::default(),
            };
            assert_eq!(criteria.holds(&known), Some(holds), "{keys}");
            let unknown = criteria.holds(&Knowledge { objects: None, ..known });
            assert_eq!(unknown.is_none(), criteria.objects, "{keys}");
        }
    }

    #[test]
    fn a_date_that_cannot_be_read_is_no_day() {
        assert_eq!(stages("NOT SENTSINCE 1-Jan-1970", "Date: soon\r\n\r\n", &[]), "??tt");
        let sent = criteria("SENTON 1-Jan-1970").read_header(b"Date:  1 Jan 70 00:00 GMT\r\n").sent;
        assert_eq!(sent, Some(date(1970, 1, 1)));
    }
}
