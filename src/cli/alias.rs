//! `mailwright alias`: addresses that expand to others.

use clap::Subcommand;
use serde::Deserialize;
use tokio_postgres::Client;

use super::domain::{no_such_domain, stored_name};
use super::failure::{Failure, told};
use super::json_rows;
use super::switch::switch;
use super::table::{Table, say, say_line};
use super::user::{Key, has_domain};
use crate::mail::{Address, domain_to_unicode};
use crate::sql;

const ADD: &str = sql!("cli/add_alias");
const SET: &str = sql!("cli/set_alias");
const REMOVE: &str = sql!("cli/remove_alias");
const LIST: &str = sql!("cli/list_aliases");

/// What can be done with aliases.
#[derive(Subcommand)]
pub enum Alias {
    /// Make an alias
    ///
    /// Example: mailwright alias add sales@example.org alice@example.org bob@elsewhere.example
    Add {
        /// The new address
        address: Address,
        /// Where its mail goes, here or elsewhere
        #[arg(required = true)]
        targets: Vec<Address>,
        /// Only users who have logged in may write to it
        #[arg(long)]
        authenticated_only: bool,
    },
    /// Change an alias; targets, if any are given, replace all it had
    Set {
        /// Its address
        address: Address,
        /// Where its mail goes
        targets: Vec<Address>,
        /// Only users who have logged in may write to it
        #[arg(long, conflicts_with = "anybody")]
        authenticated_only: bool,
        /// Anybody may write to it
        #[arg(long)]
        anybody: bool,
        /// Let it expand again
        #[arg(long, conflicts_with = "inactive")]
        active: bool,
        /// Let it be an unknown address
        #[arg(long)]
        inactive: bool,
    },
    /// Remove an alias
    Remove {
        /// Its address
        address: Address,
    },
    /// Show aliases
    List {
        /// Only of this domain
        domain: Option<String>,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
}

#[derive(Deserialize)]
struct Row {
    local_part: String,
    domain: String,
    targets: Vec<String>,
    active: bool,
    authenticated_only: bool,
}

/// Does it.
pub async fn run(client: Client, command: Alias) -> Result<(), Failure> {
    match command {
        Alias::Add { address, targets, authenticated_only } => {
            let key = Key::from(&address);
            let made = client
                .execute(ADD, &[&key.local, &key.domain, &texts(&targets), &authenticated_only])
                .await?;
            if made == 0 {
                return Err(no_such_domain(&address.domain_unicode()));
            }
            say_line(format!("alias {} has been made", address.to_unicode()));
        }
        Alias::Set { address, targets, authenticated_only, anybody, active, inactive } => {
            let key = Key::from(&address);
            let targets = (!targets.is_empty()).then(|| texts(&targets));
            let restricted = switch(authenticated_only, anybody);
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&key.local, &key.domain, &targets, &restricted, &switch(active, inactive)];
            if client.execute(SET, &values).await? == 0 {
                return Err(no_such_alias(&address));
            }
            say_line(format!("alias {} has been changed", address.to_unicode()));
        }
        Alias::Remove { address } => {
            let key = Key::from(&address);
            if client.execute(REMOVE, &[&key.local, &key.domain]).await? == 0 {
                return Err(no_such_alias(&address));
            }
            say_line(format!("alias {} has been removed", address.to_unicode()));
        }
        Alias::List { domain, json } => list(&client, domain, json).await?,
    }
    Ok(())
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(Address::to_string).collect()
}

fn no_such_alias(address: &Address) -> Failure {
    told(format!(
        "there is no alias {}: see mailwright alias list {}",
        address.to_unicode(),
        address.domain_unicode()
    ))
}

async fn list(client: &Client, domain: Option<String>, json: bool) -> Result<(), Failure> {
    let domain = domain.as_deref().map(stored_name).transpose()?;
    if let Some(name) = &domain
        && !has_domain(client, name).await?
    {
        return Err(no_such_domain(name));
    }
    let Some(rows) = json_rows::<Row>(client.query(LIST, &[&domain]).await?, json)? else { return Ok(()) };
    let mut table = Table::new(["address", "state", "who may write to it", "targets"]);
    for row in rows {
        table.row([
            format!("{}@{}", row.local_part, domain_to_unicode(&row.domain)),
            if row.active { "active" } else { "inactive" }.to_owned(),
            if row.authenticated_only { "users only" } else { "anybody" }.to_owned(),
            row.targets.join(", "),
        ]);
    }
    say(&table.text());
    Ok(())
}
