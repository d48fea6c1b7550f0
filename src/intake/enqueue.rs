//! The queue entries of a batch: inserted by one statement, and given to the relay of this node where it has a place.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::delivery::{Content, Outbound};
use super::story::Story;
use crate::db::{Client, Error, Prepared};
use crate::log::{Step, Trace};
use crate::queue::{self, Inlet, Work};
use crate::sql;

const ENQUEUE: &str = sql!("intake/enqueue");

/// The queue entries of a batch.
pub(super) struct Queued<'a> {
    node: &'a str,
    outbound: Vec<Entry<'a>>,
    /// For each entry and domain of it, in their order: its place in the relay of this node, if there was one.
    groups: Vec<Group<'a>>,
    /// What was inserted: message, content, recipient, in the order of the entries and their recipients.
    pub(super) ids: Vec<tokio_postgres::Row>,
}

/// What is queued: under which envelope, which message, and its story.
type Entry<'a> = (&'a Outbound, &'a Content, Option<&'a Story>);

/// The recipients of one entry in one domain.
struct Group<'a> {
    entry: usize,
    domain: &'a str,
    here: bool,
    recipients: Vec<usize>,
    place: Option<queue::Place>,
}

impl<'a> Queued<'a> {
    pub(super) fn new(node: &'a str) -> Self {
        Self { node, outbound: Vec::new(), groups: Vec::new(), ids: Vec::new() }
    }

    pub(super) fn push(&mut self, outbound: &'a Outbound, content: &'a Content, story: Option<&'a Story>) {
        let entry = self.outbound.len();
        let first = self.groups.len();
        self.outbound.push((outbound, content, story));
        for (at, recipient) in outbound.recipients.iter().enumerate() {
            let known = self
                .groups
                .iter_mut()
                .skip(first)
                .find(|group| group.domain == recipient.domain && group.here == recipient.here);
            match known {
                Some(group) => group.recipients.push(at),
                None => self.groups.push(Group {
                    entry,
                    domain: &recipient.domain,
                    here: recipient.here,
                    recipients: vec![at],
                    place: None,
                }),
            }
        }
    }

    /// Takes places for what can be sent at once.
    pub(super) fn take_places(&mut self, inlet: &Inlet) {
        for group in &mut self.groups {
            let Some((outbound, content, _)) = self.outbound.get(group.entry) else { continue };
            if outbound.hold_until.is_none() {
                let bytes = match content {
                    Content::Draft(draft) => draft.chunks.iter().map(|chunk| chunk.bytes.len()).sum(),
                    Content::Stored { .. } => 0,
                };
                group.place = inlet.place(group.domain, group.recipients.len(), bytes);
            }
        }
    }

    /// The statement, prepared; none where there is nothing for it.
    pub(super) async fn prepare(&self, client: &Client) -> Result<Option<Prepared>, Error> {
        match self.outbound.is_empty() {
            true => Ok(None),
            false => client.prepare(ENQUEUE).await.map(Some),
        }
    }

    /// Inserts all of it.
    pub(super) async fn run(
        &self,
        pg: &tokio_postgres::Client,
        statement: &Prepared,
    ) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
        let entries = &self.outbound;
        let digest: Vec<&[u8]> = entries.iter().map(|(_, content, _)| content.digest()).collect();
        let prefix: Vec<Option<&[u8]>> = entries.iter().map(|(out, ..)| out.prefix.as_deref()).collect();
        let sender: Vec<&str> = entries.iter().map(|(out, ..)| out.envelope.sender.as_str()).collect();
        let account: Vec<Option<i64>> =
            entries.iter().map(|(out, ..)| out.envelope.account.map(|a| a.0)).collect();
        let envelope_id: Vec<Option<&str>> =
            entries.iter().map(|(out, ..)| out.envelope.envelope_id.as_deref()).collect();
        let return_full: Vec<Option<bool>> =
            entries.iter().map(|(out, ..)| out.envelope.return_full).collect();
        let smtputf8: Vec<bool> = entries.iter().map(|(out, ..)| out.envelope.smtputf8).collect();
        let body: Vec<&str> =
            entries.iter().map(|(out, ..)| queue::body_word(Some(out.envelope.body))).collect();
        let require_tls: Vec<bool> = entries.iter().map(|(out, ..)| out.envelope.require_tls).collect();
        let priority: Vec<i16> = entries.iter().map(|(out, ..)| out.envelope.priority).collect();
        let by: Vec<Option<Timestamp>> =
            entries.iter().map(|(out, ..)| out.envelope.deliver_by.map(|by| by.at)).collect();
        let by_return: Vec<bool> = entries
            .iter()
            .map(|(out, ..)| out.envelope.deliver_by.is_some_and(|by| by.return_after))
            .collect();
        let by_trace: Vec<bool> =
            entries.iter().map(|(out, ..)| out.envelope.deliver_by.is_some_and(|by| by.trace)).collect();
        let hold: Vec<Option<Timestamp>> = entries.iter().map(|(out, ..)| out.hold_until).collect();
        let trace: Vec<Option<&str>> =
            entries.iter().map(|(.., story)| story.map(|story| &*story.message)).collect();
        let (mut entry, mut address, mut domain, mut notify, mut original, mut leased) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for group in &self.groups {
            let Some((outbound, ..)) = entries.get(group.entry) else { continue };
            for recipient in group.recipients.iter().filter_map(|at| outbound.recipients.get(*at)) {
                // Counted from 1, as arrays are.
                entry.push(group.entry as i64 + 1);
                address.push(recipient.address.as_str());
                domain.push(recipient.domain.as_str());
                notify.push(recipient.notify.map(queue::notify_words));
                original.push(recipient.original.as_deref());
                leased.push(group.place.is_some());
            }
        }
        let waiting: BTreeSet<(&str, Option<Timestamp>)> = self
            .groups
            .iter()
            .filter(|group| group.place.is_none())
            .map(|group| (group.domain, entries.get(group.entry).and_then(|(out, ..)| out.hold_until)))
            .collect();
        let (look_at, look_from): (Vec<&str>, Vec<Option<Timestamp>>) = waiting.into_iter().unzip();
        pg.query(
            statement,
            &[
                &digest,
                &prefix,
                &sender,
                &account,
                &envelope_id,
                &return_full,
                &smtputf8,
                &body,
                &require_tls,
                &priority,
                &by,
                &by_return,
                &by_trace,
                &hold,
                &entry,
                &address,
                &domain,
                &notify,
                &original,
                &leased,
                &self.node,
                &queue::LEASE.as_secs_f64(),
                &look_at,
                &look_from,
                &trace,
            ],
        )
        .await
    }

    /// What was committed, as work for this node where it has a place; `None` for each that waits to be claimed.
    pub(super) fn work(self) -> Vec<Option<Work>> {
        let mut rows = self.ids.iter();
        let mut messages: HashMap<usize, Arc<queue::Message>> = HashMap::new();
        let mut found = Vec::with_capacity(self.groups.len());
        for group in self.groups {
            let ids: Vec<&tokio_postgres::Row> = rows.by_ref().take(group.recipients.len()).collect();
            let (Some(place), Some((out, content, story)), Some(first)) =
                (group.place, self.outbound.get(group.entry), ids.first())
            else {
                found.push(None);
                continue;
            };
            let message = messages
                .entry(group.entry)
                .or_insert_with(|| Arc::new(out.message(content, *story, first)))
                .clone();
            let recipients = ids.iter().zip(&group.recipients).filter_map(|(row, at)| {
                let recipient = out.recipients.get(*at)?;
                Some(queue::Recipient {
                    id: row.get(2),
                    address: recipient.address.clone(),
                    attempts: 0,
                    notify: recipient.notify,
                    original: recipient.original.clone(),
                    delay_reported: false,
                })
            });
            let work = Work::handed_over(message, group.domain.into(), recipients.collect(), place);
            found.push(Some(if group.here { work.to_be_looked_up() } else { work }));
        }
        found
    }
}

impl Queued<'_> {
    /// What the trace is told of it: where each recipient's copy goes, under which number.
    pub(super) fn tell(&self, rows: &mut Vec<Trace>) {
        let mut ids = self.ids.iter();
        for group in &self.groups {
            let ids = ids.by_ref().take(group.recipients.len());
            let Some((outbound, _, Some(story))) = self.outbound.get(group.entry) else {
                ids.for_each(drop);
                continue;
            };
            for (row, recipient) in ids.zip(&group.recipients) {
                rows.push(Trace {
                    queue_id: Some(row.get(0)),
                    recipient: outbound.recipients.get(*recipient).map(|to| to.address.clone()),
                    // It may go on under another name than that of whom it came from.
                    sender: (outbound.envelope.sender != story.sender)
                        .then(|| outbound.envelope.sender.clone()),
                    ..Trace::new(Step::Queued, &story.message)
                });
            }
        }
    }
}

impl Outbound {
    /// The message as it is in the queue now; `row` begins with its id and that of its content.
    fn message(&self, content: &Content, story: Option<&Story>, row: &tokio_postgres::Row) -> queue::Message {
        let prefix = self.prefix.clone().unwrap_or_default();
        queue::Message {
            id: row.get(0),
            content: row.get(1),
            content_size: Some(content.size()),
            size: content.size() + prefix.len() as u64,
            prefix,
            received_at: Timestamp::now(),
            trace: story.map(|story| story.message.clone()),
            envelope: self.envelope.clone(),
            chunks: match content {
                // Chunks that were written as they came in are read again.
                Content::Draft(draft) => draft.is_held().then(|| draft.chunks.clone()),
                Content::Stored { .. } => None,
            },
        }
    }
}
