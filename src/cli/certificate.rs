//! `mailwright certificate`: bring certificates from files, make one that signs itself, and see how long they last.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;
use tokio_postgres::Client;

use super::ask::{at_terminal, password_from_input};
use super::failure::{At, Failure, told};
use super::json_rows;
use super::table::{Table, say, say_line, visible};
use crate::sasl::Secret;
use crate::sql;
use crate::tls::certificate::{Certified, self_signed};
use crate::tls::import::{self, ImportError};
use crate::tls::pkcs12::{self, Pkcs12Error};

const LIST: &str = sql!("cli/list_certificates");
const KEEP: &str = sql!("cli/keep_certificate");

/// What can be done with certificates.
#[derive(Subcommand)]
pub enum Certificate {
    /// Bring a certificate and its key from a file, PEM or PKCS #12 (.p12, .pfx)
    ///
    /// It is served at once by all nodes. One that was brought before for the same names is replaced.
    ///
    ///   mailwright certificate import mail.pfx
    ///   mailwright certificate import fullchain.pem --key privkey.pem
    #[command(verbatim_doc_comment)]
    Import(Import),
    /// Show all certificates and how long they are valid
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Make a certificate that nobody but this server vouches for
    SelfSigned {
        /// Host names it is for
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// What to bring, and from where.
#[derive(Args)]
pub struct Import {
    /// The server's own certificate first, then the intermediate ones; and the key, unless --key names another file
    file: PathBuf,
    /// File with the private key, PEM, without a passphrase
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Serve it for this host name; may be given several times. By default for all names inside it
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Read the password of a PKCS #12 file from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Deserialize)]
struct Row {
    id: i64,
    names: Vec<String>,
    source: String,
    active: bool,
    not_after: Option<Timestamp>,
    days_left: Option<i64>,
    state: String,
    error: Option<String>,
    renewal_error: Option<String>,
}

/// Does it.
pub async fn run(client: Client, command: Certificate) -> Result<(), Failure> {
    match command {
        Certificate::Import(import) => bring(&client, import).await,
        Certificate::List { json } => list(&client, json).await,
        Certificate::SelfSigned { names } => {
            let names = names.iter().map(|name| host_name(name)).collect::<Result<Vec<_>, _>>()?;
            let (chain, key) = self_signed(&names).map_err(|error| told(error.to_string()))?;
            let read = read(&chain, &key, &[])?;
            keep(&client, &chain, &key, &[], &read, "self-signed").await
        }
    }
}

async fn bring(client: &Client, import: Import) -> Result<(), Failure> {
    let file = contents(&import.file)?;
    let key_file = import.key.as_deref().map(contents).transpose()?;
    let (chain, key) = pair(&import, &file, key_file.as_deref())?;
    let names = import.names.iter().map(|name| host_name(name)).collect::<Result<Vec<_>, _>>()?;
    let read = read(&chain, &key, &names)?;
    read.check(Timestamp::now()).map_err(|error| told(format!("{error}\nNothing has been changed")))?;
    keep(client, &chain, &key, &names, &read, "uploaded").await
}

/// Chain and key. Many PKCS #12 files have an empty password.
fn pair(import: &Import, file: &[u8], key: Option<&[u8]>) -> Result<(String, String), Failure> {
    let place = import.file.display();
    let named = |error: ImportError| match error {
        ImportError::KeyBesidesPkcs12 => told(format!("{place} is no PEM file, and --key belongs to those")),
        ImportError::KeyNotText => told(error.to_string()),
        error => told(format!("{place}: {error}")),
    };
    if !import.password_stdin {
        match import::pair(file, key, "") {
            Err(ImportError::Pkcs12(Pkcs12Error::WrongPassword)) => {}
            other => return other.map_err(named),
        }
    }
    let password = if import.password_stdin {
        password_from_input()?
    } else if at_terminal() {
        let typed = rpassword::prompt_password(format!("Password of {place}: "));
        Secret::from(typed.at("read from", Path::new("the terminal"))?)
    } else {
        return Err(told(format!(
            "{place} has a password: say --password-stdin, and write it to standard input"
        )));
    };
    let password = std::str::from_utf8(password.expose()).map_err(|_| told("the password is no UTF-8"))?;
    import::pair(file, key, password).map_err(named)
}

fn read(chain: &str, key: &str, names: &[String]) -> Result<Certified, Failure> {
    Certified::from_pem(chain.as_bytes(), key.as_bytes(), names)
        .map_err(|error| told(format!("{error}\nNothing has been changed")))
}

async fn keep(
    client: &Client,
    chain: &str,
    key: &str,
    names: &[String],
    read: &Certified,
    source: &str,
) -> Result<(), Failure> {
    let row = client
        .query_one(KEEP, &[&chain, &key, &names, &read.own_names, &read.not_before, &read.not_after, &source])
        .await?;
    let (id, is_new): (i64, bool) = (row.get(0), row.get(1));
    say_line(format!(
        "certificate {id} for {} {}; it expires on {}",
        visible(&read.names.join(", ")),
        if is_new { "has been added" } else { "has been replaced" },
        day(read.not_after)
    ));
    Ok(())
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let Some(rows) = json_rows::<Row>(client.query(LIST, &[]).await?, json)? else { return Ok(()) };
    let mut table = Table::new(["id", "names", "source", "expires", "days left", "active", "state"]);
    for row in rows {
        let renewal = row.renewal_error.map(|error| format!("renewal failed: {error}"));
        let state =
            [Some(row.state), row.error, renewal].into_iter().flatten().collect::<Vec<_>>().join("; ");
        table.row([
            row.id.to_string(),
            row.names.join(", "),
            row.source,
            row.not_after.map(day).unwrap_or_default(),
            row.days_left.map(|days| days.to_string()).unwrap_or_default(),
            if row.active { "yes" } else { "no" }.to_owned(),
            state,
        ]);
    }
    say(&table.text());
    Ok(())
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// A host name, or a wildcard, as certificates have it.
fn host_name(name: &str) -> Result<String, Failure> {
    import::host_name(name).map_err(told)
}

fn contents(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).at("open", path)?;
    file.take(pkcs12::MAX_FILE as u64 + 1).read_to_end(&mut bytes).at("read", path)?;
    match bytes.len() > pkcs12::MAX_FILE {
        true => Err(told(format!("{} is larger than 1 MiB: this is no certificate", path.display()))),
        false => Ok(bytes),
    }
}
