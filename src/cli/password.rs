//! `mailwright password`: a new password for a user or an administrator. It is never an argument, where others on the
//! host could read it, and only its hash reaches the database.

use clap::Args;
use tokio_postgres::Client;

use super::ask::new_password;
use super::failure::{Failure, told};
use super::table::say_line;
use super::user::{Key, no_such_user};
use crate::directory::password::{Stored, hash};
use crate::mail::Address;
use crate::sasl::Secret;
use crate::sql;

pub(super) const RULE: &str = sql!("cli/password_rule");
const SET_ADMINISTRATOR: &str = sql!("cli/set_administrator_password");
const SET_ACCOUNT: &str = sql!("cli/set_account_password");
pub(super) const FIND_ACCOUNT: &str = sql!("cli/find_account");
const FIND_ADMINISTRATOR: &str = sql!("cli/find_administrator");

/// Whose password.
#[derive(Args)]
pub struct Password {
    /// Address of a user, or name of an administrator such as system
    whom: String,
}

/// Does it.
pub async fn run(client: Client, command: Password) -> Result<(), Failure> {
    if command.whom.contains('@') {
        return of_user(&client, &command.whom).await;
    }
    let name = command.whom.to_lowercase();
    if client.query_opt(FIND_ADMINISTRATOR, &[&name]).await?.is_none() {
        return Err(told(format!(
            "there is no administrator {name}; for a user write the whole address: {name}@example.org"
        )));
    }
    let stored = hashed(&client, &new_password(&name)?).await?;
    if client.execute(SET_ADMINISTRATOR, &[&name, &stored.hash]).await? == 0 {
        return Err(told(format!("the administrator {name} has been removed meanwhile")));
    }
    say_line(format!("the administrator {name} has a new password"));
    Ok(())
}

async fn of_user(client: &Client, whom: &str) -> Result<(), Failure> {
    let address = Address::parse(whom.as_bytes()).map_err(|error| told(format!("\"{whom}\": {error}")))?;
    let key = Key::from(&address);
    let row = client
        .query_opt(FIND_ACCOUNT, &[&key.local, &key.domain])
        .await?
        .ok_or_else(|| no_such_user(&address))?;
    let stored = hashed(client, &new_password(&address.to_unicode())?).await?;
    if client.execute(SET_ACCOUNT, &[&row.get::<_, i64>(0), &stored.hash, &stored.scram]).await? == 0 {
        return Err(no_such_user(&address));
    }
    say_line(format!("{} has a new password", address.to_unicode()));
    Ok(())
}

/// What is stored of a new password, if it is long enough.
pub async fn hashed(client: &Client, secret: &Secret) -> Result<Stored, Failure> {
    let shortest: i32 = client.query_one(RULE, &[]).await?.get(0);
    // Characters, where it has any; bytes count otherwise.
    let length =
        std::str::from_utf8(secret.expose()).map_or(secret.expose().len(), |text| text.chars().count());
    if length < usize::try_from(shortest).unwrap_or(0) {
        return Err(told(format!(
            "the password is too short: at least {shortest} characters, as control.directory.min_password_length says"
        )));
    }
    hash(secret).map_err(|error| told(format!("this password cannot be used: {error}")))
}
