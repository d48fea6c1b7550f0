//! Finding what is due, and leasing it to this node.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{DeliverBy, Envelope, LEASE, Message, Recipient, Work, body_type};
use crate::db::{Db, Error};
use crate::mail::AccountId;
use crate::smtp::rcpt::{Notify, NotifyOn};
use crate::sql;

const CLAIM: &str = sql!("queue/claim");

/// Destinations looked at in one claim.
const DESTINATIONS: i32 = 50;

/// Leases what is due to this node: of each domain that is not in `busy` at most `each` recipients. One round trip, which
/// costs by what is found and not by what waits. Recipients of one message and domain come as one [`Work`].
pub async fn claim(db: &Db, node: &str, each: usize, busy: &[String]) -> Result<Vec<Work>, Error> {
    let each = i32::try_from(each).unwrap_or(i32::MAX);
    let rows = db.query(CLAIM, &[&node, &LEASE.as_secs_f64(), &DESTINATIONS, &each, &busy]).await?;
    let mut messages: HashMap<i64, Arc<Message>> = HashMap::new();
    let mut found: Vec<Work> = Vec::new();
    for row in &rows {
        let message_id: i64 = row.get(1);
        let message = messages.entry(message_id).or_insert_with(|| Arc::new(message(row))).clone();
        let recipient = Recipient {
            id: row.get(0),
            address: row.get(2),
            attempts: row.get(4),
            notify: row.get::<_, Option<&str>>(5).map(notify),
            original: row.get(6),
            delay_reported: row.get(7),
        };
        let domain: &str = row.get(3);
        match found.last_mut() {
            Some(work) if work.message.id == message_id && &*work.domain == domain => {
                work.recipients.push(recipient);
            }
            _ => found.push(Work::new(message, domain.into(), vec![recipient], row.get(8))),
        }
    }
    Ok(found)
}

fn message(row: &tokio_postgres::Row) -> Message {
    let by = row.get::<_, Option<jiff::Timestamp>>(22);
    Message {
        id: row.get(1),
        content: row.get(9),
        content_size: row.get::<_, Option<i64>>(10).map(|size| size as u64),
        prefix: row.get::<_, Option<&[u8]>>(11).map(Bytes::copy_from_slice).unwrap_or_default(),
        size: row.get::<_, i64>(12) as u64,
        received_at: row.get(15),
        trace: row.get(25),
        envelope: Envelope {
            sender: row.get(13),
            account: row.get::<_, Option<i64>>(14).map(AccountId),
            envelope_id: row.get(16),
            return_full: row.get(17),
            smtputf8: row.get(18),
            body: body_type(row.get(19)),
            require_tls: row.get(20),
            priority: row.get(21),
            deliver_by: by.map(|at| DeliverBy { at, return_after: row.get(23), trace: row.get(24) }),
        },
        chunks: None,
    }
}

/// NOTIFY as the table has it. Words that SQL written by hand brought in and nobody knows count for nothing.
fn notify(words: &str) -> Notify {
    let on = |word| words.split(',').any(|w| w.eq_ignore_ascii_case(word));
    match on("NEVER") {
        true => Notify::Never,
        false => Notify::On(NotifyOn { success: on("SUCCESS"), failure: on("FAILURE"), delay: on("DELAY") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_as_the_table_has_it() {
        assert_eq!(notify("NEVER"), Notify::Never);
        let on = |success, failure, delay| Notify::On(NotifyOn { success, failure, delay });
        assert_eq!(notify("SUCCESS,delay"), on(true, false, true));
        assert_eq!(notify("FAILURE"), on(false, true, false));
        assert_eq!(notify("what"), on(false, false, false));
    }
}
