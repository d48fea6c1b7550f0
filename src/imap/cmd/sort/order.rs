//! The order of messages: what each is compared by, and the comparison (RFC 5256 §3, §2.2, RFC 5957 §3).
//!
//! Of each message a few numbers and strings are kept, nothing else, and all of them together have a limit. Text is
//! compared as `i;unicode-casemap` wants it; where nothing tells two messages apart, the order of the mailbox does, in
//! REVERSE too.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use super::key::{Criterion, SortKey};
use crate::imap::answer::Fail;
use crate::imap::progress::Progress;
use crate::imap::selected::Selected;
use crate::imap::wire::code::Code;
use crate::mime::charset;
use crate::mime::decode::decode_words;
use crate::mime::envelope_text::{AddressField, ShownAddress, first_address};
use crate::mime::subject::BaseSubject;
use crate::mime::text::fold;
use crate::net::out::Out;
use crate::store::Store;
use crate::store::fetch::PAGE;
use crate::store::order::{Columns, OrderFacts};

/// Text that a sort keeps, bytes.
const TEXT_MAX: usize = 256 << 20;

/// What a message is compared by, for one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i64),
    Text(Box<str>),
}

/// A message with what it is compared by.
#[derive(Debug, Clone)]
pub(in crate::imap) struct Ranked {
    /// Its UID.
    pub(in crate::imap) uid: u32,
    /// One value for each key.
    values: Box<[Value]>,
}

impl Ranked {
    /// Memory that it takes.
    pub(in crate::imap) fn bytes(&self) -> usize {
        let values = self.values.iter().map(|value| size_of::<Value>() + value.bytes());
        size_of::<Ranked>() + values.sum::<usize>()
    }
}

#[cfg(test)]
impl Ranked {
    /// One that is compared by a number.
    pub(in crate::imap) fn of_size(uid: u32, size: i64) -> Self {
        Ranked { uid, values: Box::new([Value::Number(size)]) }
    }
}

#[cfg(test)]
impl Order {
    /// By a number.
    pub(in crate::imap) fn by_size() -> Self {
        Order::new(vec![Criterion { key: SortKey::Size, reverse: false }])
    }
}

/// An order of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::imap) struct Order {
    criteria: Vec<Criterion>,
}

/// The messages to be put in order.
pub(in crate::imap) struct Source<'s> {
    /// Where they are read.
    pub(in crate::imap) store: &'s Store,
    /// The mailbox they are in.
    pub(in crate::imap) selected: &'s Selected,
    /// How well those fit that were found by FUZZY.
    pub(in crate::imap) scores: &'s HashMap<u32, u8>,
}

impl Order {
    pub(super) fn new(criteria: Vec<Criterion>) -> Self {
        Order { criteria }
    }

    fn has(&self, keys: &[SortKey]) -> bool {
        self.criteria.iter().any(|criterion| keys.contains(&criterion.key))
    }

    /// Which of two messages comes first.
    pub(in crate::imap) fn compare(&self, one: &Ranked, other: &Ranked) -> Ordering {
        let values = one.values.iter().zip(&other.values).zip(&self.criteria);
        let by_key = |((a, b), criterion): ((&Value, &Value), &Criterion)| {
            if criterion.reverse { b.cmp(a) } else { a.cmp(b) }
        };
        let decided = values.map(by_key).find(|order| order.is_ne());
        decided.unwrap_or_else(|| one.uid.cmp(&other.uid))
    }

    /// These messages in order. One that has been expunged meanwhile is left out.
    pub(in crate::imap) async fn ranked(
        &self,
        source: &Source<'_>,
        uids: &[u32],
        mut heard: Option<(&mut Progress, &mut Out<'_>)>,
    ) -> Result<Vec<Ranked>, Fail> {
        let mut ranked = Vec::with_capacity(uids.len());
        let mut text = 0;
        let columns = Columns {
            subject: self.has(&[SortKey::Subject]),
            envelope: self.has(&[
                SortKey::Cc,
                SortKey::DisplayFrom,
                SortKey::DisplayTo,
                SortKey::From,
                SortKey::To,
            ]),
            header: false,
        };
        for page in uids.chunks(PAGE) {
            for message in self.facts(source, page, columns).await? {
                let score = source.scores.get(&message.uid).copied();
                let values = self.values(&message, score);
                text += values.iter().map(Value::bytes).sum::<usize>();
                ranked.push(Ranked { uid: message.uid, values });
            }
            if text > TEXT_MAX {
                return Err(Fail::no(Code::Limit, "too much to be put in order: look for fewer messages"));
            }
            if let Some((progress, out)) = &mut heard {
                progress.at(ranked.len() as u64, uids.len() as u64, out).await?;
            }
            tokio::task::yield_now().await;
        }
        self.sorted(ranked).await
    }

    async fn sorted(&self, mut ranked: Vec<Ranked>) -> Result<Vec<Ranked>, Fail> {
        let order = self.clone();
        // A second of work for a million messages, during which the thread does nothing else.
        let sorting = tokio::task::spawn_blocking(move || {
            ranked.sort_unstable_by(|one, other| order.compare(one, other));
            ranked
        });
        sorting.await.map_err(|_| Fail::no(Code::ServerBug, "the messages could not be put in order"))
    }

    /// What has to be known of messages; their contents are left alone where their rows say it all.
    async fn facts(
        &self,
        source: &Source<'_>,
        uids: &[u32],
        columns: Columns,
    ) -> Result<Vec<OrderFacts>, Fail> {
        let (account, mailbox) = (source.selected.account, source.selected.mailbox);
        if columns != Columns::default() || self.has(&[SortKey::Date]) {
            return Ok(source.store.order_facts(account, mailbox, uids, columns).await?);
        }
        let rows = source.store.dates_and_sizes(account, mailbox, uids).await?;
        let facts = |row: crate::store::fetch::DateAndSize| OrderFacts {
            uid: row.uid,
            arrived: row.internal_date.at(),
            size: row.size,
            sent: row.internal_date.at(),
            subject: None,
            envelope: Vec::new(),
            header: bytes::Bytes::new(),
        };
        Ok(rows.into_iter().map(facts).collect())
    }

    fn values(&self, message: &OrderFacts, score: Option<u8>) -> Box<[Value]> {
        let local = |field| first_address(&message.envelope, field).map_or(String::new(), |a| local_part(&a));
        let shown = |field| first_address(&message.envelope, field).map_or(String::new(), |a| display(&a));
        let value = |criterion: &Criterion| match criterion.key {
            // Clients are told seconds: what they can't tell apart keeps the order of the mailbox.
            SortKey::Arrival => Value::Number(message.arrived.as_second()),
            SortKey::Date => Value::Number(message.sent.as_second()),
            SortKey::Size => Value::Number(message.size as i64),
            // RFC 6203 §6: the highest score first.
            SortKey::Relevancy => Value::Number(-i64::from(score.unwrap_or(0))),
            SortKey::Subject => {
                let subject = message.subject.as_deref().unwrap_or_default();
                Value::text(&BaseSubject::of_text(subject).text)
            }
            SortKey::Cc => Value::text(&local(AddressField::Cc)),
            SortKey::From => Value::text(&local(AddressField::From)),
            SortKey::To => Value::text(&local(AddressField::To)),
            SortKey::DisplayFrom => Value::text(&shown(AddressField::From)),
            SortKey::DisplayTo => Value::text(&shown(AddressField::To)),
        };
        self.criteria.iter().map(value).collect()
    }
}

impl Value {
    fn text(text: &str) -> Self {
        Value::Text(fold(text).into())
    }

    fn bytes(&self) -> usize {
        match self {
            Value::Number(_) => 0,
            Value::Text(text) => text.len(),
        }
    }
}

/// addr-mailbox; of a group its name.
fn local_part(address: &ShownAddress<'_>) -> String {
    address.mailbox.as_deref().map(charset::guess).unwrap_or_default()
}

/// RFC 5957 §3: the display name if there is one, or the name of the group, or else the address.
fn display(address: &ShownAddress<'_>) -> String {
    let name = |bytes: &Option<Cow<'_, [u8]>>| bytes.as_deref().map(decode_words).unwrap_or_default();
    match (&address.name, &address.host) {
        (Some(decorated), _) if !decorated.is_empty() => name(&address.name),
        (_, None) => name(&address.mailbox),
        (_, Some(host)) if host.is_empty() => local_part(address),
        (_, Some(host)) => format!("{}@{}", local_part(address), charset::guess(host)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::key::sort_criteria;
    use super::*;
    use crate::imap::wire::parser::tests::taken;
    use crate::mime::envelope::{Envelope, write_envelope};

    fn message(uid: u32, header: &str) -> OrderFacts {
        let parsed = Envelope::parse(header.as_bytes());
        let mut envelope = Vec::new();
        write_envelope(&parsed, &mut envelope);
        let at = |second: i64| jiff::Timestamp::from_second(second).unwrap();
        OrderFacts {
            uid,
            arrived: at(1000 - i64::from(uid)),
            size: u64::from(uid % 2),
            sent: at(i64::from(uid / 2)),
            subject: parsed.subject.as_deref().map(decode_words),
            envelope,
            header: Bytes::new(),
        }
    }

    fn ordered(criteria: &str, headers: &[&str]) -> Vec<u32> {
        let order = Order::new(taken(criteria, sort_criteria));
        let rank = |(at, header): (usize, &&str)| {
            let message = message(at as u32 + 1, header);
            Ranked { uid: message.uid, values: order.values(&message, Some(at as u8)) }
        };
        let mut ranked: Vec<Ranked> = headers.iter().enumerate().map(rank).collect();
        ranked.sort_unstable_by(|one, other| order.compare(one, other));
        ranked.iter().map(|one| one.uid).collect()
    }

    #[test]
    fn keys() {
        let four = &["", "", "", ""];
        assert_eq!(ordered("(ARRIVAL)", four), [4, 3, 2, 1]);
        assert_eq!(ordered("(REVERSE ARRIVAL)", four), [1, 2, 3, 4]);
        assert_eq!(ordered("(DATE)", four), [1, 2, 3, 4]);
        assert_eq!(ordered("(SIZE)", four), [2, 4, 1, 3]);
        // What is equal keeps the order of the mailbox, in REVERSE too.
        assert_eq!(ordered("(REVERSE SIZE)", four), [1, 3, 2, 4]);
        assert_eq!(ordered("(SIZE REVERSE DATE)", four), [4, 2, 3, 1]);
        assert_eq!(ordered("(RELEVANCY)", four), [4, 3, 2, 1]);
        assert_eq!(
            ordered("(SUBJECT)", &["Subject: b\r\n", "Subject: Re: A\r\n", "", "Subject: [x] \u{c4}\r\n"]),
            [3, 2, 4, 1]
        );
        assert_eq!(
            ordered("(FROM)", &["From: \"A\" <z@a>\r\n", "From: b@x, a@x\r\n", "From: \"B\" <B@y>\r\n", ""]),
            [4, 2, 3, 1]
        );
        assert_eq!(
            ordered("(TO CC)", &["To: b@x\r\n", "Cc: a@x\r\n", "To: group: a@x;\r\n", "Cc: B@x\r\n"]),
            [2, 4, 1, 3]
        );
    }

    #[test]
    fn what_is_displayed() {
        let shown = |header: &str| {
            let message = message(1, header);
            first_address(&message.envelope, AddressField::From).map_or(String::new(), |a| display(&a))
        };
        for (header, text) in [
            ("", ""),
            ("From: a@b\r\n", "a@b"),
            ("From: \"\" <a@b>\r\n", "a@b"),
            ("From: =?utf-8?q?J=C3=B6rg?= <a@b>\r\n", "Jörg"),
            ("From: friends: a@b;\r\n", "friends"),
            ("From: nobody\r\n", "nobody"),
        ] {
            assert_eq!(shown(header), text, "{header}");
        }
        assert_eq!(
            ordered("(DISPLAYFROM)", &["From: z@x\r\n", "From: \"B\" <a@x>\r\n", "From: c@x\r\n"]),
            [2, 3, 1]
        );
        assert_eq!(ordered("(REVERSE DISPLAYTO)", &["To: z@x\r\n", "To: \"B\" <a@x>\r\n"]), [1, 2]);
    }

    proptest! {
        #[test]
        fn any_order_is_total(
            subjects in proptest::collection::vec("[abRe: ]{0,6}", 0..12),
            criteria in proptest::sample::select(vec!["(SUBJECT)", "(REVERSE SUBJECT SIZE)", "(SIZE REVERSE FROM ARRIVAL)"])
        ) {
            let headers: Vec<String> = subjects.iter().map(|s| format!("Subject: {s}\r\nFrom: {}@x\r\n", s.len() % 3)).collect();
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let mut all = ordered(criteria, &headers);
            let again = ordered(criteria, &headers);
            prop_assert_eq!(&all, &again);
            all.sort_unstable();
            prop_assert_eq!(all, (1..=headers.len() as u32).collect::<Vec<_>>());
        }
    }
}
