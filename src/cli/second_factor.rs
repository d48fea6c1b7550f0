//! `mailwright second-factor`: lets somebody in again who has lost app and recovery codes.

use clap::Subcommand;
use tokio_postgres::Client;

use super::ask::consent;
use super::failure::{Failure, told};
use super::table::say_line;
use super::user::Key;
use crate::directory::throttle::key_for_code;
use crate::mail::Address;
use crate::sql;

const REMOVE: &str = sql!("cli/remove_second_factor");

/// What can be done with second factors.
#[derive(Subcommand)]
pub enum SecondFactor {
    /// Switch off somebody's second factor: the password alone opens the pages then
    ///
    /// Example: mailwright second-factor remove system
    Remove {
        /// Name of an administrator such as system, or address of a user
        whom: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Does it.
pub async fn run(client: Client, command: SecondFactor) -> Result<(), Failure> {
    let SecondFactor::Remove { whom, yes } = command;
    let whom = whom.to_lowercase();
    let (name, key, login) = if whom.contains('@') {
        let address =
            Address::parse(whom.as_bytes()).map_err(|error| told(format!("\"{whom}\": {error}")))?;
        let key = Key::from(&address);
        let login = format!("{}@{}", key.local, key.domain);
        (None, Some(key), login)
    } else {
        (Some(&whom), None, whom.clone())
    };
    consent(&format!("The password of {whom} alone will open the administration pages."), yes)?;
    let (local, domain) = (key.as_ref().map(|key| &key.local), key.as_ref().map(|key| &key.domain));
    let row = client.query_one(REMOVE, &[&name, &local, &domain, &key_for_code(&login)]).await?;
    if row.get::<_, i64>(0) == 0 {
        return Err(told(format!(
            "{whom} has no second factor (names of administrators stand alone, users are written with their domain)"
        )));
    }
    say_line(format!("{whom} logs in with the password alone"));
    Ok(())
}
