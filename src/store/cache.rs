//! What never changes about messages, in memory: facts of messages, and small contents.
//!
//! A message under its UID never changes but for flags (RFC 9051 §2.3.1.1), which are not here, nor does a content. So
//! nothing here can be out of date, and nobody has to be told of anything; a message that has gone may still be here,
//! and is then served to a client that does not know yet that it is gone (RFC 2180 §4.1.1). Half of the bytes are for
//! facts, half for contents; what was read once gives way to what was read again, so that a search through a large
//! mailbox does not empty it.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache as Quick;

use super::fetch::{Facts, Want};
use crate::mail::{AccountId, MailboxId};

/// What an entry costs besides the bytes that it holds: key, struct, allocations.
const OVERHEAD: u64 = 256;

/// Bytes that an entry is taken to have when the number of entries is estimated.
const TYPICAL: u64 = 4096;

type Key = (i64, i64, u32);

/// The memory of this node.
pub(super) struct Cache(ArcSwap<Kept>);

struct Kept {
    bytes: u64,
    messages: Quick<Key, Arc<Known>, Weigh>,
    contents: Quick<i64, Bytes, Weigh>,
}

/// Facts, and which of the wide columns they have.
struct Known {
    facts: Facts,
    has: Want,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Key, Arc<Known>> for Weigh {
    fn weight(&self, _: &Key, known: &Arc<Known>) -> u64 {
        let Facts { prefix, header, envelope, structure, .. } = &known.facts;
        // The tree of a part is some hundred bytes; most messages have fewer than ten.
        let structure = structure.as_ref().map_or(0, |structure| structure.0.walk().count() * 512);
        (prefix.len() + header.len() + envelope.len() + structure) as u64 + OVERHEAD
    }
}

impl Weighter<i64, Bytes> for Weigh {
    fn weight(&self, _: &i64, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + OVERHEAD
    }
}

impl Cache {
    pub(super) fn new(bytes: u64) -> Self {
        Self(ArcSwap::from_pointee(Kept::new(bytes)))
    }

    /// Obeys a changed setting: begins anew, with nothing.
    pub(super) fn resize(&self, bytes: u64) {
        if self.0.load().bytes != bytes {
            self.0.store(Arc::new(Kept::new(bytes)));
        }
    }

    /// The facts that are here, and the UIDs of those that are not.
    pub(super) fn messages(
        &self,
        (account, mailbox): (AccountId, MailboxId),
        uids: &[u32],
        want: Want,
    ) -> (Vec<Facts>, Vec<u32>) {
        let kept = self.0.load();
        let (mut found, mut missing) = (Vec::with_capacity(uids.len()), Vec::new());
        for &uid in uids {
            match kept.messages.get(&(account.0, mailbox.0, uid)).filter(|known| known.has.covers(want)) {
                Some(known) => found.push(known.facts.clone()),
                None => missing.push(uid),
            }
        }
        (found, missing)
    }

    /// Remembers facts, beside what is remembered of the same messages already.
    pub(super) fn keep_messages(
        &self,
        (account, mailbox): (AccountId, MailboxId),
        read: &[Facts],
        want: Want,
    ) {
        let kept = self.0.load();
        for facts in read {
            let key = (account.0, mailbox.0, facts.uid);
            let mut known = Known { facts: facts.clone(), has: want };
            if let Some(before) = kept.messages.peek(&key) {
                known.add(&before);
            }
            kept.messages.insert(key, Arc::new(known));
        }
    }

    /// The contents that are here, and the ids of those that are not.
    pub(super) fn contents(&self, ids: &[i64]) -> (HashMap<i64, Bytes>, Vec<i64>) {
        let kept = self.0.load();
        let (mut found, mut missing) = (HashMap::with_capacity(ids.len()), Vec::new());
        for &id in ids {
            match kept.contents.get(&id) {
                Some(bytes) => _ = found.insert(id, bytes),
                None => missing.push(id),
            }
        }
        (found, missing)
    }

    /// Remembers a whole content.
    pub(super) fn keep_content(&self, id: i64, bytes: &Bytes) {
        self.0.load().contents.insert(id, bytes.clone());
    }
}

impl Kept {
    fn new(bytes: u64) -> Self {
        let half = bytes / 2;
        let entries = (half / TYPICAL) as usize;
        Self {
            bytes,
            messages: Quick::with_weighter(entries, half, Weigh),
            contents: Quick::with_weighter(entries, half, Weigh),
        }
    }
}

impl Known {
    /// Takes over the wide columns that are missing here.
    fn add(&mut self, before: &Known) {
        let had = &before.facts;
        if before.has.header && !self.has.header {
            self.facts.header = had.header.clone();
            self.has.header = true;
        }
        if before.has.envelope && !self.has.envelope {
            self.facts.envelope = had.envelope.clone();
            self.has.envelope = true;
        }
        if before.has.structure && !self.has.structure {
            self.facts.structure = had.structure.clone();
            self.has.structure = true;
        }
        if before.has.thread && !self.has.thread {
            self.facts.thread = had.thread.clone();
            self.has.thread = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::DateTime;

    const BOX: (AccountId, MailboxId) = (AccountId(1), MailboxId(2));
    fn narrow() -> Want {
        Want::default()
    }

    fn with_header() -> Want {
        Want { header: true, ..Want::default() }
    }

    fn with_envelope() -> Want {
        Want { envelope: true, ..Want::default() }
    }

    fn facts(uid: u32, header: &'static [u8], envelope: &'static [u8]) -> Facts {
        Facts {
            uid,
            content: 7,
            internal_date: DateTime::new(jiff::Timestamp::UNIX_EPOCH, 0),
            size: 10,
            prefix: Bytes::new(),
            header_size: 4,
            content_size: 10,
            header: Bytes::from_static(header),
            envelope: Bytes::from_static(envelope),
            structure: None,
            pop3_uidl: None,
            saved: None,
            thread: None,
            preview: None,
        }
    }

    #[test]
    fn wide_columns_gather() {
        let cache = Cache::new(1 << 20);
        assert_eq!(cache.messages(BOX, &[1, 2], narrow()).1, [1, 2]);
        cache.keep_messages(BOX, &[facts(1, b"head", b"")], with_header());
        assert_eq!(cache.messages(BOX, &[1, 2], narrow()).1, [2]);
        assert_eq!(cache.messages(BOX, &[1], with_envelope()).1, [1]);
        cache.keep_messages(BOX, &[facts(1, b"", b"env")], with_envelope());
        let (found, missing) =
            cache.messages(BOX, &[1], Want { header: true, envelope: true, ..Want::default() });
        assert!(missing.is_empty());
        assert_eq!((&found[0].header[..], &found[0].envelope[..]), (&b"head"[..], &b"env"[..]));
        assert_eq!(cache.messages((AccountId(1), MailboxId(3)), &[1], narrow()).1, [1]);
    }

    #[test]
    fn it_is_bounded_and_can_be_switched_off() {
        let cache = Cache::new(1 << 20);
        for id in 0..1000 {
            cache.keep_content(id, &Bytes::from(vec![b'x'; 10_000]));
        }
        let ids: Vec<i64> = (0..1000).collect();
        let held: usize = cache.contents(&ids).0.values().map(Bytes::len).sum();
        assert!((100_000..=1 << 19).contains(&held), "{held} bytes");
        cache.resize(0);
        cache.keep_content(1, &Bytes::from_static(b"x"));
        assert_eq!(cache.contents(&[1]).1, [1]);
    }
}
