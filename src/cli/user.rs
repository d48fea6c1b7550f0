//! `mailwright user`: people (or things) with mailboxes here.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Deserialize;
use tokio_postgres::Client;

use super::ask::{at_terminal, consent, new_password, password_from_input};
use super::domain::{limit_text, message_limit, no_such_domain, stored_name};
use super::failure::{Failure, told};
use super::json_rows;
use super::password::hashed;
use super::switch::switch;
use super::table::{Table, say, say_line};
use crate::directory::password::Stored;
use crate::mail::count;
use crate::mail::size::{Limit, show};
use crate::mail::{Address, domain_to_unicode};
use crate::sql;

const ADD: &str = sql!("cli/add_account");
const SET: &str = sql!("cli/set_account");
const REMOVE: &str = sql!("cli/remove_account");
const WEIGH: &str = sql!("cli/weigh_account");
const LIST: &str = sql!("cli/list_accounts");

/// What can be done with users.
#[derive(Subcommand)]
pub enum User {
    /// Make a user, with the mailboxes that mail programs expect
    ///
    /// The password is asked for on a terminal, and is otherwise the first line of standard input:
    /// echo "$SECRET" | mailwright user add alice@example.org --name "Alice Liddell"
    #[command(verbatim_doc_comment)]
    Add {
        /// Address of the user
        address: Address,
        /// Take the password from the first line of standard input, even on a terminal
        #[arg(long)]
        password_stdin: bool,
        /// Make the user without a password: nobody can log in until there is one
        #[arg(long, conflicts_with = "password_stdin")]
        no_password: bool,
        #[command(flatten)]
        terms: Terms,
    },
    /// Change a user; what is not named stays as it is
    ///
    /// Example: mailwright user set alice@example.org --quota 5G --forbid pop3
    Set {
        /// Address of the user
        address: Address,
        /// Take a new password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
        /// Receive mail and log in again
        #[arg(long, conflicts_with = "inactive")]
        active: bool,
        /// Receive nothing and do not log in; the mail stays
        #[arg(long)]
        inactive: bool,
        #[command(flatten)]
        terms: Terms,
    },
    /// Remove a user with all mail
    Remove {
        /// Address of the user
        address: Address,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Make users from a CSV file, all of them or none
    ///
    /// The first line names the columns: address (or local_part and domain), display_name, password or password_hash, quota,
    /// max_message, forward_to, forward_keep, aliases, active, forbidden_services.
    ///
    ///   mailwright user import users.csv --dry-run
    #[command(verbatim_doc_comment)]
    Import {
        /// The file, in UTF-8; - reads standard input
        file: PathBuf,
        /// Only check it, and say what is wrong with which line
        #[arg(long)]
        dry_run: bool,
    },
    /// Show users and what they keep
    List {
        /// Only of this domain
        domain: Option<String>,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// What can be said of a user, new or old.
#[derive(Args)]
pub struct Terms {
    /// The person's name
    #[arg(long)]
    name: Option<String>,
    /// Mail that this user may keep: 500M, 2G, 0 = no limit, "default" = as the domain says
    #[arg(long, value_name = "SIZE")]
    quota: Option<Limit>,
    /// Largest message for this user: 25M; 0 or "default" = as the domain says
    #[arg(long, value_name = "SIZE")]
    max_message: Option<Limit>,
    /// Services that this user may not use: smtp, pop3, imap, webmail, rpc, with commas between; "" = none
    #[arg(long, value_name = "SERVICES")]
    forbid: Option<String>,
}

impl Terms {
    fn forbidden(&self) -> Option<Vec<&str>> {
        let list = self.forbid.as_ref()?;
        Some(list.split([',', ' ']).filter(|name| !name.is_empty()).collect())
    }
}

/// An address here, as the directory's tables have it.
pub struct Key {
    /// Before the `@`, in lower case.
    pub local: String,
    /// The domain in ASCII.
    pub domain: String,
}

impl From<&Address> for Key {
    fn from(address: &Address) -> Self {
        let key = address.key();
        let local = key.rsplit_once('@').map_or(key.as_str(), |(local, _)| local).to_owned();
        Self { local, domain: address.domain().to_owned() }
    }
}

/// Says that there is no such user.
pub fn no_such_user(address: &Address) -> Failure {
    told(format!(
        "there is no user {}: see mailwright user list {}",
        address.to_unicode(),
        address.domain_unicode()
    ))
}

#[derive(Deserialize)]
struct Row {
    local_part: String,
    domain: String,
    display_name: Option<String>,
    active: bool,
    has_password: bool,
    messages: Option<i64>,
    used_bytes: Option<i64>,
    quota_bytes: Option<i64>,
    max_message_bytes: Option<i64>,
    forbidden_services: Vec<String>,
}

/// Does it.
pub async fn run(client: Client, command: User) -> Result<(), Failure> {
    match command {
        User::Add { address, password_stdin, no_password, terms } => {
            let source = match (no_password, password_stdin) {
                (true, _) => Source::None,
                (false, true) => Source::Input,
                (false, false) => Source::Person,
            };
            add(&client, &address, source, &terms).await
        }
        User::Set { address, password_stdin, active, inactive, terms } => {
            let stored = match password_stdin {
                true => Some(hashed(&client, &password_from_input()?).await?),
                false => None,
            };
            set(&client, &address, &terms, switch(active, inactive), stored).await
        }
        User::Remove { address, yes } => remove(&client, &address, yes).await,
        User::Import { file, dry_run } => super::user_import::run(&client, &file, dry_run).await,
        User::List { domain, json } => list(&client, domain, json).await,
    }
}

enum Source {
    None,
    Input,
    Person,
}

async fn add(client: &Client, address: &Address, source: Source, terms: &Terms) -> Result<(), Failure> {
    let key = Key::from(address);
    // Before anybody types a password for nothing.
    if !has_domain(client, &key.domain).await? {
        return Err(no_such_domain(&address.domain_unicode()));
    }
    let stored = match source {
        Source::None => None,
        Source::Person if at_terminal() => Some(new_password(&address.to_unicode())?),
        Source::Input | Source::Person => Some(
            password_from_input()
                .map_err(|error| told(format!("{error}, or make the user without one: --no-password")))?,
        ),
    };
    let stored = match stored {
        Some(secret) => Some(hashed(client, &secret).await?),
        None => None,
    };
    let made = client
        .execute(
            ADD,
            &[
                &key.local,
                &key.domain,
                &stored.as_ref().map(|s| &s.hash),
                &stored.as_ref().map(|s| &s.scram),
                &terms.name,
                &terms.quota.and_then(Limit::bytes),
                &message_limit(terms.max_message).and_then(Limit::bytes),
                &terms.forbidden(),
            ],
        )
        .await?;
    if made == 0 {
        return Err(no_such_domain(&address.domain_unicode()));
    }
    say_line(format!("user {} has been made", address.to_unicode()));
    Ok(())
}

async fn set(
    client: &Client,
    address: &Address,
    terms: &Terms,
    active: Option<bool>,
    stored: Option<Stored>,
) -> Result<(), Failure> {
    let key = Key::from(address);
    let (quota, message) = (terms.quota, message_limit(terms.max_message));
    let changed = client
        .execute(
            SET,
            &[
                &key.local,
                &key.domain,
                &terms.name,
                &quota.and_then(Limit::bytes),
                &(quota == Some(Limit::Inherited)),
                &message.and_then(Limit::bytes),
                &(message == Some(Limit::Inherited)),
                &terms.forbidden(),
                &active,
                &stored.as_ref().map(|s| &s.hash),
                &stored.as_ref().map(|s| &s.scram),
            ],
        )
        .await?;
    if changed == 0 {
        return Err(no_such_user(address));
    }
    say_line(format!("user {} has been changed", address.to_unicode()));
    Ok(())
}

async fn remove(client: &Client, address: &Address, yes: bool) -> Result<(), Failure> {
    let key = Key::from(address);
    let row =
        client.query_opt(WEIGH, &[&key.local, &key.domain]).await?.ok_or_else(|| no_such_user(address))?;
    let shown = address.to_unicode();
    let lost = format!("{} ({})", count(row.get::<_, i64>(0), "message"), show(row.get(1)));
    consent(&format!("Removing the user {shown} removes {lost} for good."), yes)?;
    client.execute(REMOVE, &[&key.local, &key.domain]).await?;
    say_line(format!("user {shown} has been removed, with {lost}"));
    Ok(())
}

/// Whether the domain is one of ours.
pub(super) async fn has_domain(client: &Client, name: &str) -> Result<bool, Failure> {
    const HAS_DOMAIN: &str = sql!("cli/has_domain");
    Ok(client.query_one(HAS_DOMAIN, &[&name]).await?.get(0))
}

async fn list(client: &Client, domain: Option<String>, json: bool) -> Result<(), Failure> {
    let domain = domain.as_deref().map(stored_name).transpose()?;
    if let Some(name) = &domain
        && !has_domain(client, name).await?
    {
        return Err(no_such_domain(name));
    }
    let Some(rows) = json_rows::<Row>(client.query(LIST, &[&domain]).await?, json)? else { return Ok(()) };
    let head = ["address", "name", "state", "messages", "used", "quota", "largest message", "may not use"];
    let mut table = Table::new(head);
    for row in rows {
        let state = match (row.active, row.has_password) {
            (true, true) => "active",
            (true, false) => "no password",
            (false, _) => "inactive",
        };
        table.row([
            format!("{}@{}", row.local_part, domain_to_unicode(&row.domain)),
            row.display_name.unwrap_or_default(),
            state.to_owned(),
            row.messages.unwrap_or_default().to_string(),
            show(row.used_bytes.unwrap_or_default()),
            limit_text(row.quota_bytes.or(Some(0))),
            limit_text(row.max_message_bytes),
            row.forbidden_services.join(","),
        ]);
    }
    say(&table.text());
    Ok(())
}
