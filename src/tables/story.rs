//! What became of messages: finding them, and the story of one.

use jiff::Timestamp;
use serde_json::Value;

use super::{Tables, Who};
use crate::db::Error;
use crate::sql;

const FIND: &str = sql!("tables/find_messages");
const STORY: &str = sql!("tables/message_story");

/// What messages are found by; all that is given must be so.
#[derive(Debug, Clone, Default)]
pub struct Sought {
    /// Reverse path; empty = the null sender.
    pub sender: Option<String>,
    /// An address that it was for, as the client said it or where it came to.
    pub recipient: Option<String>,
    /// With or without angle brackets.
    pub message_id: Option<String>,
    /// The client that brought it: an IP address.
    pub peer: Option<String>,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// Older than this.
    pub until: Option<Timestamp>,
}

impl Tables {
    /// Messages, the newest first, so many at most.
    pub async fn find_messages(&self, who: &Who, sought: &Sought, most: i32) -> Result<Value, Error> {
        let Sought { sender, recipient, message_id, peer, since, until } = sought;
        self.ask(who, FIND, &[sender, recipient, message_id, peer, since, until, &most]).await
    }

    /// The story of a message, by what the trace calls it; null when there is none for this administrator.
    pub async fn story(&self, who: &Who, message: &str) -> Result<Value, Error> {
        self.ask(who, STORY, &[&message]).await
    }
}
