//! What a client that comes back is told (RFC 7162 §3.2.5, §3.2.6): which of the messages it knows have gone, and which
//! have changed.
//!
//! What must hold: what is told fits the client's view, neither more nor less. No message that the view shows is told as
//! gone, and none that has left it since is kept back: where deletions are forgotten, all that is missing is told.

use super::answer::Fail;
use super::selected::{Selected, SendModSeq};
use super::wire::bad::Bad;
use super::wire::parser::Parser;
use super::wire::reply::Line;
use crate::intake::House;
use crate::mail::UidSet;
use crate::net::out::Out;
use crate::store::resync::Vanished;
use crate::store::view::View;

/// Ranges in one VANISHED response: what a client reads into one line, some 20 KB.
const RANGES_AT_ONCE: usize = 1000;

/// `QRESYNC (uidvalidity modseq [known-uids] [seq-match-data])`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    /// The UIDVALIDITY under which the client knows the mailbox.
    pub uid_validity: u32,
    /// Up to where it knows it.
    pub modseq: u64,
    /// The UIDs that it knows; all, when absent.
    pub known: Option<UidSet>,
    /// Some sequence numbers with their UIDs, as the client knew them.
    pub matched: Option<Vec<(u32, u32)>>,
}

impl Resync {
    /// Reads the parenthesized arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.expect(b'(', "expected the arguments of QRESYNC")?;
        let uid_validity = parser.nz_number()?;
        parser.space()?;
        let modseq = parser.mod_sequence()?;
        let mut resync = Resync { uid_validity, modseq, known: None, matched: None };
        if parser.skip(b' ') && parser.peek() != Some(b'(') {
            resync.known = Some(plain_set(parser)?);
            if !parser.skip(b' ') {
                parser.expect(b')', "expected the end of QRESYNC's arguments")?;
                return Ok(resync);
            }
        }
        if parser.skip(b'(') {
            resync.matched = Some(matched(parser)?);
        }
        parser.expect(b')', "expected the end of QRESYNC's arguments")?;
        Ok(resync)
    }
}

/// A set without `*`, which has no meaning where there is no mailbox yet.
fn plain_set(parser: &mut Parser<'_>) -> Result<UidSet, Bad> {
    let at = parser.at();
    let set = parser.sequence_set()?;
    UidSet::parse(set.as_bytes()).map_err(|_| Bad::new("expected a set without *", at))
}

/// `known-sequence-set SP known-uid-set ")"`, as pairs.
fn matched(parser: &mut Parser<'_>) -> Result<Vec<(u32, u32)>, Bad> {
    let at = parser.at();
    let seqs = ascending(parser)?;
    parser.space()?;
    let uids = ascending(parser)?;
    if seqs.len() != uids.len() {
        return Err(Bad::new("as many UIDs as sequence numbers were expected", at));
    }
    parser.expect(b')', "expected the end of the sequence match data")?;
    // A client gives a small sample; of a large one the end, which matters most, is as good.
    let pairs = seqs.iter().rev().zip(uids.iter().rev()).take(PAIRS_MAX);
    let mut pairs: Vec<(u32, u32)> = pairs.collect();
    pairs.reverse();
    Ok(pairs)
}

/// Pairs of sequence match data that are looked at.
const PAIRS_MAX: usize = 10_000;

/// RFC 7162 §3.2.5.2: in ascending order, as otherwise the pairs would not be what was meant.
fn ascending(parser: &mut Parser<'_>) -> Result<UidSet, Bad> {
    let at = parser.at();
    let set = parser.sequence_set()?;
    let bad = Bad::new("expected an ascending set without *", at);
    let uids = UidSet::parse(set.as_bytes()).map_err(|_| bad.clone())?;
    let mut least = 0;
    for end in set.as_bytes().split(|b| matches!(b, b',' | b':')) {
        let number =
            std::str::from_utf8(end).ok().and_then(|end| end.parse::<u32>().ok()).ok_or(bad.clone())?;
        if number < least {
            return Err(bad);
        }
        least = number;
    }
    Ok(uids)
}

/// What is asked for: of which UIDs, since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Of these. None above those that the mailbox has given out.
    uids: UidSet,
    since: u64,
    /// Up to this UID the client knows what is gone.
    known_up_to: u32,
}

impl Asked {
    /// UIDs of a command's set. `*` stands for the highest that was ever given out: its message may be gone.
    pub fn new(uids: &UidSet, since: u64, view: &View) -> Self {
        let last = view.uid_next().saturating_sub(1);
        Asked { uids: within(uids, 1, last), since, known_up_to: 0 }
    }

    /// What SELECT asks for.
    pub fn of(resync: &Resync, view: &View) -> Self {
        let all: UidSet = [1..=u32::MAX].into_iter().collect();
        let mut asked = Asked::new(resync.known.as_ref().unwrap_or(&all), resync.modseq, view);
        // RFC 7162 §3.2.5.2: up to the last pair that still holds, nothing has gone that the client does not know of.
        let pairs = resync.matched.iter().flatten().rev();
        let holds = pairs.copied().find(|&(seq, uid)| view.uid_of(seq) == Some(uid));
        asked.known_up_to = holds.map_or(0, |(_, uid)| uid);
        asked
    }

    /// Tells what is gone, then what has changed.
    pub async fn answer(&self, house: &House, selected: &Selected, out: &mut Out<'_>) -> Result<(), Fail> {
        self.write_vanished(house, selected, out).await?;
        for (_, entry) in selected.view().changed_since(self.since) {
            if self.uids.contains(entry.uid()) {
                selected.write_fetch_flags(out, entry.uid(), SendModSeq::Yes);
                out.page().await?;
            }
        }
        Ok(())
    }

    /// `* VANISHED (EARLIER) set`, if anything is gone.
    pub async fn write_vanished(
        &self,
        house: &House,
        selected: &Selected,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        let view = selected.view();
        let mailbox = (selected.account, selected.mailbox);
        // What has left since the view was made is still in it, and told later.
        let until = view.highest_modseq();
        let gone = match house.store.vanished(mailbox, self.since, until).await? {
            Vanished::Known(gone) => intersection(&gone, &self.uids),
            Vanished::Forgotten => missing(view, &self.uids),
        };
        let gone = within(&gone, self.known_up_to.saturating_add(1), u32::MAX);
        let ranges: Vec<_> = gone.ranges().collect();
        for some in ranges.chunks(RANGES_AT_ONCE) {
            let some: UidSet = some.iter().cloned().collect();
            Line::untagged(&mut out.buffer()).raw("VANISHED (EARLIER) ").text(&some.to_string());
            out.page().await?;
        }
        Ok(())
    }
}

fn within(set: &UidSet, first: u32, last: u32) -> UidSet {
    set.ranges()
        .map(|range| (*range.start()).max(first)..=(*range.end()).min(last))
        .filter(|r| !r.is_empty())
        .collect()
}

fn intersection(one: &UidSet, other: &UidSet) -> UidSet {
    let mut both = Vec::new();
    let (mut left, mut right) = (one.ranges().peekable(), other.ranges().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let (start, end) = ((*a.start()).max(*b.start()), (*a.end()).min(*b.end()));
        if start <= end {
            both.push(start..=end);
        }
        if a.end() < b.end() {
            left.next();
        } else {
            right.next();
        }
    }
    both.into_iter().collect()
}

/// Of `uids`, those that the view does not have.
fn missing(view: &View, uids: &UidSet) -> UidSet {
    let mut missing = Vec::new();
    for range in uids.ranges() {
        let mut next = *range.start();
        for (_, entry) in view.range_uids(range.clone()) {
            if next < entry.uid() {
                missing.push(next..=entry.uid() - 1);
            }
            next = entry.uid().saturating_add(1);
        }
        if next <= *range.end() {
            missing.push(next..=*range.end());
        }
    }
    missing.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::view::{EntryRow, Update};

    fn set(text: &str) -> UidSet {
        if text.is_empty() { UidSet::new() } else { UidSet::parse(text.as_bytes()).unwrap() }
    }

    fn view(uids: &str, uid_next: u32) -> View {
        let added = set(uids).iter().map(|uid| EntryRow { uid, modseq: 2, ..EntryRow::default() }).collect();
        let update = Update { uid_next, highest_modseq: 2, added, ..Update::default() };
        View::empty(1, 1, 1).apply(update)
    }

    #[test]
    fn what_is_missing() {
        for (there, asked, gone) in [
            ("", "1:9", "1:9"),
            ("1:9", "1:9", ""),
            ("3,6", "1:9", "1:2,4:5,7:9"),
            ("3,6", "3,6", ""),
            ("3,6", "3:6,8", "4:5,8"),
            ("1,9", "1:9", "2:8"),
        ] {
            assert_eq!(missing(&view(there, 10), &set(asked)).to_string(), gone, "{there} {asked}");
        }
        let all: UidSet = [1..=u32::MAX].into_iter().collect();
        let asked = Asked::new(&all, 1, &view("1", 10));
        assert_eq!(asked.uids.to_string(), "1:9", "no UID that was never given out");
        assert_eq!(Asked::new(&all, 1, &View::empty(1, 1, 1)).uids, UidSet::new());
    }

    #[test]
    fn what_the_client_knows_by_its_sequence_numbers() {
        // RFC 7162 §3.2.5.2: of messages whose UIDs are divisible by three.
        let view = view("3,6,9,12,15,18,21,24", 25);
        for (matched, known_up_to) in [
            (vec![], 0),
            (vec![(1, 3), (4, 12), (8, 24)], 24),
            (vec![(1, 3), (4, 12), (8, 27)], 12),
            (vec![(1, 1), (4, 4)], 0),
            (vec![(9, 27)], 0),
        ] {
            let resync = Resync { uid_validity: 1, modseq: 1, known: None, matched: Some(matched) };
            assert_eq!(Asked::of(&resync, &view).known_up_to, known_up_to, "{resync:?}");
        }
    }

    proptest! {
        #[test]
        fn of_two_sets_what_is_in_both(
            one in prop::collection::btree_set(1u32..60, 0..40),
            other in prop::collection::btree_set(1u32..60, 0..40),
        ) {
            let both = intersection(&one.iter().copied().collect(), &other.iter().copied().collect());
            prop_assert!(both.iter().eq(one.intersection(&other).copied()));
        }
    }
}
