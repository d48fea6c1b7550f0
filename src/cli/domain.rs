//! `mailwright domain`: the domains whose mail is kept here. Names may be written in Unicode; tables keep them in ASCII.

use clap::{Args, Subcommand};
use serde::Deserialize;
use tokio_postgres::Client;

use super::ask::consent;
use super::failure::{Failure, told};
use super::json_rows;
use super::switch::switch;
use super::table::{Table, say, say_line};
use crate::mail::count;
use crate::mail::size::{Limit, show};
use crate::mail::{Address, domain_to_ascii, domain_to_unicode};
use crate::sql;

const ADD: &str = sql!("cli/add_domain");
const SET: &str = sql!("cli/set_domain");
const REMOVE: &str = sql!("cli/remove_domain");
const WEIGH: &str = sql!("cli/weigh_domain");
const LIST: &str = sql!("cli/list_domains");
const CLEAR_DEFAULT: &str = sql!("cli/clear_default_domain");

/// What can be done with domains.
#[derive(Subcommand)]
pub enum Domain {
    /// Make a domain
    ///
    /// Example: mailwright domain add example.org --default --quota 2G
    Add {
        /// Name of the domain; bücher.example is as good as xn--bcher-kva.example
        name: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// Change a domain; what is not named stays as it is
    ///
    /// Example: mailwright domain set example.org --catch-all postmaster@example.org
    Set {
        /// Name of the domain
        name: String,
        #[command(flatten)]
        terms: Terms,
        /// Refuse mail for names that do not exist
        #[arg(long, conflicts_with = "catch_all")]
        no_catch_all: bool,
        /// Let no domain be the default, if it was this one
        #[arg(long, conflicts_with = "default")]
        no_default: bool,
        /// Receive mail again
        #[arg(long, conflicts_with = "inactive")]
        active: bool,
        /// Receive nothing and let no user of it log in; its mail stays
        #[arg(long)]
        inactive: bool,
    },
    /// Remove a domain with its accounts, aliases and mail
    Remove {
        /// Name of the domain
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Show all domains
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// What can be said of a domain, new or old.
#[derive(Args)]
pub struct Terms {
    /// Let users of this domain log in without @domain
    #[arg(long)]
    default: bool,
    /// Who gets the mail for names that do not exist
    #[arg(long, value_name = "ADDRESS")]
    catch_all: Option<Address>,
    /// Accounts it may have; 0 = no limit
    #[arg(long, value_name = "N")]
    max_accounts: Option<u32>,
    /// Mail that an account may keep, unless it has a quota of its own: 500M, 2G, 0 = no limit, "default"
    #[arg(long, value_name = "SIZE")]
    quota: Option<Limit>,
    /// Largest message for its accounts: 25M; 0 or "default" = as the server allows
    #[arg(long, value_name = "SIZE")]
    max_message: Option<Limit>,
}

/// The limit of a message's size as columns have it: the server always has one, so "none" is "the server's".
pub fn message_limit(limit: Option<Limit>) -> Option<Limit> {
    limit.map(|limit| if limit == Limit::Bytes(0) { Limit::Inherited } else { limit })
}

/// The stored form of a domain's name.
pub fn stored_name(name: &str) -> Result<String, Failure> {
    match domain_to_ascii(name.trim().trim_end_matches('.').as_bytes()) {
        Ok(literal) if literal.starts_with('[') => {
            Err(told(format!("{literal} is an address, no domain: write a name like example.org")))
        }
        Ok(name) => Ok(name),
        Err(error) => Err(told(format!("\"{name}\": {error}; write a name like example.org"))),
    }
}

pub(super) fn no_such_domain(name: &str) -> Failure {
    told(format!(
        "there is no domain {name}: see mailwright domain list, or make it with: mailwright domain add {name}"
    ))
}

#[derive(Deserialize)]
struct Row {
    name: String,
    active: bool,
    is_default: bool,
    catch_all: Option<String>,
    max_accounts: i64,
    quota_bytes: Option<i64>,
    max_message_bytes: Option<i64>,
    accounts: i64,
    aliases: i64,
    used_bytes: i64,
}

/// Does it.
pub async fn run(mut client: Client, command: Domain) -> Result<(), Failure> {
    match command {
        Domain::Add { name, terms } => {
            let name = stored_name(&name)?;
            add(&mut client, &name, &terms).await?;
            say_line(format!("domain {} has been made", domain_to_unicode(&name)));
        }
        Domain::Set { name, terms, no_catch_all, no_default, active, inactive } => {
            let name = stored_name(&name)?;
            let default = switch(terms.default, no_default);
            set(&mut client, &name, &terms, (default, switch(active, inactive), no_catch_all)).await?;
            say_line(format!("domain {} has been changed", domain_to_unicode(&name)));
        }
        Domain::Remove { name, yes } => remove(&client, &stored_name(&name)?, yes).await?,
        Domain::List { json } => list(&client, json).await?,
    }
    Ok(())
}

async fn add(client: &mut Client, name: &str, terms: &Terms) -> Result<(), Failure> {
    let transaction = client.transaction().await?;
    if terms.default {
        transaction.execute(CLEAR_DEFAULT, &[&name]).await?;
    }
    let (quota, message) = (terms.quota, message_limit(terms.max_message));
    transaction
        .execute(
            ADD,
            &[
                &name,
                &terms.default,
                &terms.catch_all.as_ref().map(Address::to_string),
                &terms.max_accounts.map(|n| i32::try_from(n).unwrap_or(i32::MAX)),
                &quota.and_then(Limit::bytes),
                &message.and_then(Limit::bytes),
            ],
        )
        .await?;
    Ok(transaction.commit().await?)
}

type Switches = (Option<bool>, Option<bool>, bool);

async fn set(
    client: &mut Client,
    name: &str,
    terms: &Terms,
    (default, active, no_catch_all): Switches,
) -> Result<(), Failure> {
    let transaction = client.transaction().await?;
    if terms.default {
        transaction.execute(CLEAR_DEFAULT, &[&name]).await?;
    }
    let (quota, message) = (terms.quota, message_limit(terms.max_message));
    let changed = transaction
        .execute(
            SET,
            &[
                &name,
                &default,
                &terms.catch_all.as_ref().map(Address::to_string),
                &no_catch_all,
                &terms.max_accounts.map(|n| i32::try_from(n).unwrap_or(i32::MAX)),
                &quota.and_then(Limit::bytes),
                &(quota == Some(Limit::Inherited)),
                &message.and_then(Limit::bytes),
                &(message == Some(Limit::Inherited)),
                &active,
            ],
        )
        .await?;
    if changed == 0 {
        return Err(no_such_domain(name));
    }
    Ok(transaction.commit().await?)
}

async fn remove(client: &Client, name: &str, yes: bool) -> Result<(), Failure> {
    let row = client.query_opt(WEIGH, &[&name]).await?.ok_or_else(|| no_such_domain(name))?;
    let counted = |at: usize, thing| count(row.get::<_, i64>(at), thing);
    let shown = domain_to_unicode(name);
    let (accounts, aliases, messages) = (counted(0, "account"), counted(1, "alias"), counted(2, "message"));
    let lost = format!("{accounts}, {aliases} and {messages} ({})", show(row.get(3)));
    consent(&format!("Removing the domain {shown} removes {lost} for good."), yes)?;
    client.execute(REMOVE, &[&name]).await?;
    say_line(format!("domain {shown} has been removed, with {lost}"));
    Ok(())
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let Some(rows) = json_rows::<Row>(client.query(LIST, &[]).await?, json)? else { return Ok(()) };
    let head = ["domain", "state", "accounts", "aliases", "used", "quota", "largest message", "catch-all"];
    let mut table = Table::new(head);
    for row in rows {
        let state = match (row.active, row.is_default) {
            (true, true) => "default",
            (true, false) => "active",
            (false, _) => "inactive",
        };
        let accounts = match row.max_accounts {
            0 => row.accounts.to_string(),
            max => format!("{} of {max}", row.accounts),
        };
        table.row([
            domain_to_unicode(&row.name),
            state.to_owned(),
            accounts,
            row.aliases.to_string(),
            show(row.used_bytes),
            limit_text(row.quota_bytes),
            limit_text(row.max_message_bytes),
            row.catch_all.unwrap_or_default(),
        ]);
    }
    say(&table.text());
    Ok(())
}

/// A limit as a table shows it; empty = inherited.
pub(super) fn limit_text(bytes: Option<i64>) -> String {
    match bytes {
        None => String::new(),
        Some(0) => "none".to_owned(),
        Some(bytes) => show(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["", "exa mple.org", "[192.0.2.1]", "192.0.2.1", "-a.org", "a..b"] {
            assert!(stored_name(name).is_err(), "{name}");
        }
        assert_eq!(stored_name("Bücher.Example.").unwrap(), "xn--bcher-kva.example");
    }

    #[test]
    fn a_message_always_has_a_limit() {
        assert_eq!(message_limit(Some(Limit::Bytes(0))), Some(Limit::Inherited));
        assert_eq!(message_limit(Some(Limit::Bytes(5))), Some(Limit::Bytes(5)));
        assert_eq!(message_limit(None), None);
    }
}
