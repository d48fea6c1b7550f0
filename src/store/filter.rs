//! Searches that are stored under a name, as annotations of the server (RFC 5466 §3.2).

use std::collections::HashMap;

use super::Store;
use crate::db::Error;
use crate::mail::AccountId;
use crate::sql;

const FIND_FILTERS: &str = sql!("store/find_filters");

/// Where they are, as the names of annotations are kept.
const VALUES: &str = "/filters/values/";

impl Store {
    /// The filters of these names that an account may use, as they are stored. Case is of no account in a name.
    pub async fn filters(
        &self,
        account: AccountId,
        names: &[String],
    ) -> Result<HashMap<String, Vec<u8>>, Error> {
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let entries: Vec<String> = names.iter().map(|name| entry(name)).collect();
        let rows = self.control.db.query(FIND_FILTERS, &[&account.0, &entries]).await?;
        let stored: HashMap<&str, &[u8]> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let values = names.iter().zip(&entries);
        Ok(values
            .filter_map(|(name, entry)| Some((name.clone(), stored.get(entry.as_str())?.to_vec())))
            .collect())
    }
}

fn entry(name: &str) -> String {
    format!("{VALUES}{}", name.to_ascii_lowercase())
}
