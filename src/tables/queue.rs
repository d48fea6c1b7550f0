//! The queue as a whole: counts, and what is done to all of a destination or a state.

use serde_json::Value;

use super::{Tables, Who};
use crate::db::Error;
use crate::sql;

const COUNTS: &str = sql!("tables/queue_counts");
const SELECTION: &str = sql!("tables/queue_selection");
const ACT: &str = sql!("tables/queue_act");

/// A part of the queue: what is of this destination, in this state, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The recipients' domain; any if there is none.
    pub domain: Option<String>,
    /// As `queue.state` calls it; any if there is none.
    pub state: Option<String>,
}

impl Tables {
    /// Counts by state, by age, and by destination: so many, the fullest ones whose name contains the words.
    pub async fn queue_counts(&self, who: &Who, words: &str, most: i32) -> Result<Value, Error> {
        self.ask(who, COUNTS, &[&words, &most]).await
    }

    /// How many recipients a selection has, and of how many messages.
    pub async fn queue_selection(&self, who: &Who, of: &Selection) -> Result<Value, Error> {
        self.ask(who, SELECTION, &[&of.domain, &of.state]).await
    }

    /// Does `retry`, `hold`, `release` or `cancel` to a selection, at most so many recipients of it: `done` says how many, `more`
    /// that there may be more; or what is `wrong`.
    pub async fn queue_act(
        &self,
        who: &Who,
        action: &str,
        of: &Selection,
        most: i32,
    ) -> Result<Value, Error> {
        self.ask(who, ACT, &[&action, &of.domain, &of.state, &most]).await
    }
}
