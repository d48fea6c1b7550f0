//! Results of searches, as they are answered: `* SEARCH`, `* SORT`, `* ESEARCH`.

use std::collections::HashMap;

use super::returns::{Partial, ReturnOption, Returns};
use crate::imap::answer::Fail;
use crate::imap::wire::name::NameCoding;
use crate::imap::wire::reply::Line;
use crate::imap::wire::set::Numbering;
use crate::imap::wire::unit::Tag;
use crate::mail::UidSet;
use crate::net::out::Out;
use crate::store::view::View;

/// Numbers written before what waits may be sent.
const NUMBERS_AT_ONCE: usize = 4096;

/// In what order results stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imap) enum Sequence {
    /// That of the mailbox.
    Mailbox,
    /// One that was asked for.
    Sorted,
}

impl Sequence {
    /// Numbers as a set: the shortest that keeps their order.
    pub(in crate::imap) fn set(self, numbers: impl Iterator<Item = u32>) -> String {
        match self {
            Sequence::Mailbox => numbers.collect::<UidSet>().to_string(),
            Sequence::Sorted => in_order(numbers),
        }
    }
}

/// RFC 5267 §3.2: a range stands for its numbers in rising order, so only such are written as one.
fn in_order(numbers: impl Iterator<Item = u32>) -> String {
    let mut set = String::new();
    let mut run: Option<(u32, u32)> = None;
    let mut end_run = |run: Option<(u32, u32)>| {
        let Some((first, last)) = run else { return };
        if !set.is_empty() {
            set.push(',');
        }
        set.push_str(&first.to_string());
        if first != last {
            set.push(':');
            set.push_str(&last.to_string());
        }
    };
    for number in numbers {
        run = match run {
            Some((first, last)) if last.checked_add(1) == Some(number) => Some((first, number)),
            ended => {
                end_run(ended);
                Some((number, number))
            }
        };
    }
    end_run(run);
    set
}

/// What an ESEARCH response belongs to.
pub(in crate::imap) struct Correlator<'c> {
    tag: &'c str,
    mailbox: Option<(&'c str, NameCoding, u32)>,
}

impl<'c> Correlator<'c> {
    /// A command about the selected mailbox.
    pub(in crate::imap) fn of(tag: &'c Tag) -> Self {
        Correlator { tag: tag.as_str(), mailbox: None }
    }

    /// A command about several: this one, and its UIDVALIDITY (RFC 7377 §2.1).
    pub(in crate::imap) fn in_mailbox(
        tag: &'c Tag,
        name: &'c str,
        coding: NameCoding,
        uid_validity: u32,
    ) -> Self {
        Correlator { tag: tag.as_str(), mailbox: Some((name, coding, uid_validity)) }
    }

    fn write<B: bytes::BufMut>(&self, line: &mut Line<'_, B>) {
        line.raw("ESEARCH (TAG ").string(self.tag.as_bytes());
        if let Some((name, coding, uid_validity)) = self.mailbox {
            line.raw(" MAILBOX ").mailbox(name, coding).raw(" UIDVALIDITY ").number(uid_validity);
        }
        line.raw(")");
    }
}

/// What a search has found.
pub(in crate::imap) struct Report<'a> {
    /// The messages, in the order in which they are answered.
    pub(in crate::imap) uids: Vec<u32>,
    /// Which order that is.
    pub(in crate::imap) sequence: Sequence,
    /// How well those fit that were found by FUZZY.
    pub(in crate::imap) scores: &'a HashMap<u32, u8>,
    /// What numbers mean.
    pub(in crate::imap) view: &'a View,
    /// Which are answered.
    pub(in crate::imap) numbering: Numbering,
    /// Whether mod-sequences were looked for, so that the highest is told.
    pub(in crate::imap) with_modseq: bool,
}

impl Report<'_> {
    fn number(&self, uid: u32) -> Option<u32> {
        match self.numbering {
            Numbering::Uid => Some(uid),
            Numbering::Sequence => self.view.seq_of(uid),
        }
    }

    fn numbers<'u>(&self, uids: &'u [u32]) -> impl Iterator<Item = u32> + use<'_, 'u> {
        uids.iter().filter_map(|&uid| self.number(uid))
    }

    /// The highest mod-sequence of these messages.
    fn modseq(&self, uids: &[u32]) -> Option<u64> {
        let modseqs = uids.iter().filter_map(|&uid| self.view.entry(uid)).map(|entry| entry.modseq());
        modseqs.max().filter(|_| self.with_modseq)
    }

    /// `* SEARCH` or `* SORT`, with all numbers.
    pub(in crate::imap) async fn write_plain(
        &self,
        name: &'static str,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        let mut line = Line::untagged(out.buffer());
        line.raw(name);
        line.pause();
        for some in self.uids.chunks(NUMBERS_AT_ONCE) {
            let mut line = Line::resume(out.buffer());
            for number in self.numbers(some) {
                line.raw(" ").number(number);
            }
            line.pause();
            out.page().await?;
        }
        let mut line = Line::resume(out.buffer());
        if let Some(modseq) = self.modseq(&self.uids) {
            line.raw(" (MODSEQ ").number(modseq).raw(")");
        }
        Ok(())
    }

    /// `* ESEARCH` (RFC 4731 §3.1), if it is to be answered at all; what needs a message is left out where none was found.
    pub(in crate::imap) async fn write_extended(
        &self,
        correlator: &Correlator<'_>,
        returns: &Returns,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        if returns.is_answered() {
            self.write_data(correlator, returns, out);
            out.page().await?;
        }
        Ok(())
    }

    fn write_data(&self, correlator: &Correlator<'_>, returns: &Returns, out: &mut Out<'_>) {
        let mut line = Line::untagged(out.buffer());
        correlator.write(&mut line);
        if self.numbering == Numbering::Uid {
            line.raw(" UID");
        }
        for option in &returns.0 {
            match option {
                ReturnOption::Min => {
                    if let Some(number) = self.uids.first().and_then(|&uid| self.number(uid)) {
                        line.raw(" MIN ").number(number);
                    }
                }
                ReturnOption::Max => {
                    if let Some(number) = self.uids.last().and_then(|&uid| self.number(uid)) {
                        line.raw(" MAX ").number(number);
                    }
                }
                ReturnOption::All if self.uids.is_empty() => {}
                ReturnOption::All => {
                    line.raw(" ALL ").text(&self.sequence.set(self.numbers(&self.uids)));
                }
                ReturnOption::Count => {
                    line.raw(" COUNT ").number(self.uids.len() as u64);
                }
                ReturnOption::Partial(partial) => self.write_partial(*partial, &mut line),
                ReturnOption::Relevancy => {
                    let scores =
                        self.listed(returns).iter().map(|uid| self.scores.get(uid).copied().unwrap_or(1));
                    line.raw(" RELEVANCY ").list(scores, |line, score| {
                        line.number(score);
                    });
                }
                ReturnOption::Save | ReturnOption::Update | ReturnOption::Context => {}
            }
        }
        // RFC 7162 §3.1.10: of the messages that MIN and MAX name, if nothing else is asked for; of all otherwise.
        if let Some(modseq) = self.modseq(&returns.saved(&self.uids)) {
            line.raw(" MODSEQ ").number(modseq);
        }
    }

    /// RFC 9394 §3.1: the range as it was asked for, and NIL where there is nothing in it.
    fn write_partial<B: bytes::BufMut>(&self, partial: Partial, line: &mut Line<'_, B>) {
        line.raw(" PARTIAL (");
        match partial {
            Partial::First(one, other) => line.number(one).raw(":").number(other),
            Partial::Last(one, other) => line.raw("-").number(one).raw(":-").number(other),
        };
        let some = self.uids.get(partial.range(self.uids.len())).unwrap_or_default();
        if some.is_empty() {
            line.raw(" NIL)");
        } else {
            line.raw(" ").text(&self.sequence.set(self.numbers(some))).raw(")");
        }
    }

    /// The messages whose numbers are answered one by one: scores stand in their order.
    fn listed(&self, returns: &Returns) -> &[u32] {
        let partial = returns.0.iter().find_map(|option| match option {
            ReturnOption::Partial(partial) => Some(partial.range(self.uids.len())),
            _ => None,
        });
        partial.map_or(&self.uids, |range| self.uids.get(range).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_keep_their_order() {
        for (numbers, sorted, mailbox) in [
            (&[][..], "", ""),
            (&[5], "5", "5"),
            (&[1, 2, 3], "1:3", "1:3"),
            (&[3, 2, 1], "3,2,1", "1:3"),
            (&[4, 5, 1, 2, 9], "4:5,1:2,9", "1:2,4:5,9"),
            (&[u32::MAX, 1], "4294967295,1", "1,4294967295"),
        ] {
            assert_eq!(Sequence::Sorted.set(numbers.iter().copied()), sorted);
            assert_eq!(Sequence::Mailbox.set(numbers.iter().copied()), mailbox);
        }
    }
}
