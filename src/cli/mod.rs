//! The commands of the program.
//!
//! `serve` runs the daemon; the others speak to the database of a running one, found by the same options.

mod alias;
mod ask;
mod certificate;
mod connect;
mod dns;
mod docs;
mod domain;
mod export;
mod failure;
mod format;
mod import;
mod office;
mod password;
mod progress;
mod queue;
mod second_factor;

mod sql;
mod status;
mod switch;
mod table;
mod user;
mod user_import;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use failure::{Failure, told};
use serde::de::DeserializeOwned;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

use crate::log::{EventLayer, Log, Notes};
use crate::server;

/// A complete mail server in one daemon on PostgreSQL, ruled by SQL.
#[derive(Parser)]
#[command(name = "mailwright", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where the server's database is.
#[derive(clap::Args, Clone)]
pub struct Place {
    /// Where the private PostgreSQL cluster lives, when no database URL is given
    #[arg(long, global = true, env = "MAILWRIGHT_DATA_DIR", default_value = "./data", value_name = "DIR")]
    data_dir: PathBuf,
    /// The database to use instead of a private cluster: postgresql://user:password@host/database
    #[arg(long, global = true, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(Serve),
    /// Domains whose mail is kept here
    #[command(subcommand)]
    Domain(domain::Domain),
    /// People with mailboxes
    #[command(subcommand)]
    User(user::User),
    /// Addresses that expand to others
    #[command(subcommand)]
    Alias(alias::Alias),
    /// TLS certificates
    #[command(subcommand)]
    Certificate(certificate::Certificate),
    /// Set the password of a user, or of the administrator "system"
    ///
    /// On a terminal it is typed twice; otherwise it is the first line of standard input:
    /// echo "$SECRET" | mailwright password alice@example.org
    #[command(verbatim_doc_comment)]
    Password(password::Password),
    /// Codes that logins in the browser ask for besides the password
    #[command(subcommand)]
    SecondFactor(second_factor::SecondFactor),
    /// Run SQL on the server's database
    ///
    /// Everything the server does is ruled by tables. Without SQL on a terminal, psql is started.
    ///
    ///   mailwright sql -c "update control.service set enabled = false where name = 'pop3'"
    ///   mailwright sql --csv -c "select * from report.account" > accounts.csv
    ///   mailwright sql changes.sql
    #[command(verbatim_doc_comment)]
    Sql(sql::Sql),
    /// Show the DNS records that a domain needs, as lines of a zone file, and which of them are there
    Dns(dns::Records),
    /// Write the SQL reference: every table, view and function, from the comments in the database
    Docs(docs::Docs),
    /// Show nodes, services, listeners, sessions and the queue
    Status(status::Status),
    /// Mail on its way to other servers
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Bring mail from files into an account
    ///
    ///   mailwright import alice@example.org --maildir /home/alice/Maildir
    ///   mailwright import alice@example.org --mailbox Archive/2019 --mbox 2019.mbox
    ///   zcat old.mbox.gz | mailwright import alice@example.org --mbox - --mailbox Old
    #[command(verbatim_doc_comment)]
    Import(import::Import),
    /// Write the mail of an account to files
    ///
    ///   mailwright export alice@example.org --maildir /backup/alice
    ///   mailwright export alice@example.org --mailbox INBOX --mbox inbox.mbox
    #[command(verbatim_doc_comment)]
    Export(export::Export),
}

#[derive(clap::Args)]
struct Serve {
    /// Add this to every port, so that no root is needed: 10000 makes SMTP listen on 10025
    #[arg(long, env = "MAILWRIGHT_PORT_OFFSET", default_value_t = 0, value_name = "N")]
    port_offset: u16,
    /// Name of this node; by default the host's name
    #[arg(long, env = "MAILWRIGHT_NODE", value_name = "NAME")]
    node: Option<String>,
    /// Make the domain example.test with the users alice and bob, password mailwright
    #[arg(long)]
    demo: bool,
    /// Do not listen for notifications of the database, for connection poolers that cannot pass them on; changes are
    /// then obeyed within seconds instead of at once
    #[arg(long)]
    without_notify: bool,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("mailwright: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(cli.place, cli.command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Shown) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("mailwright: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(place: Place, command: Command) -> Result<(), Failure> {
    let is_server = matches!(command, Command::Serve(_));
    let (log, notes) = Log::open();
    let set_log_level = match is_server {
        true => log_to_stderr("info", Some(EventLayer::new(log.clone()))),
        false => log_to_stderr("warn", None),
    };
    let place = &place;
    match command {
        Command::Domain(command) => domain::run(connect::connect(place).await?, command).await,
        Command::User(command) => user::run(connect::connect(place).await?, command).await,
        Command::Alias(command) => alias::run(connect::connect(place).await?, command).await,
        Command::Certificate(command) => certificate::run(connect::connect(place).await?, command).await,
        Command::Dns(command) => dns::run(connect::connect(place).await?, command).await,
        Command::Docs(command) => docs::run(connect::connect(place).await?, command).await,
        Command::Password(command) => password::run(connect::connect(place).await?, command).await,
        Command::SecondFactor(command) => second_factor::run(connect::connect(place).await?, command).await,
        Command::Status(command) => status::run(connect::connect(place).await?, command).await,
        Command::Queue(command) => queue::run(connect::connect(place).await?, command).await,
        Command::Import(command) => import::run(place, command).await,
        Command::Export(command) => export::run(place, command).await,
        Command::Sql(command) => sql::run(place, command).await,
        Command::Serve(serve) => Ok(run_server(place.clone(), serve, set_log_level, log, notes).await?),
    }
}

/// Rows of one JSON value each: printed as they are if `json`, else read for a table.
fn json_rows<T: DeserializeOwned>(
    rows: Vec<tokio_postgres::Row>,
    json: bool,
) -> Result<Option<Vec<T>>, Failure> {
    let values = rows.iter().map(|row| row.get::<_, serde_json::Value>(0));
    if json {
        table::say_line(format!("{:#}", values.collect::<serde_json::Value>()));
        return Ok(None);
    }
    let read: Result<Vec<T>, serde_json::Error> = values.map(serde_json::from_value).collect();
    read.map(Some).map_err(|error| told(format!("the database's answer cannot be read: {error}")))
}

/// Logs to standard error, and into the table; returns what changes the level later. RUST_LOG is for those who look for a fault, and
/// keeps the last word.
fn log_to_stderr(level: &str, table: Option<EventLayer>) -> Arc<dyn Fn(&str) + Send + Sync> {
    let asked = EnvFilter::try_from_default_env();
    let fixed = asked.is_ok();
    let (filter, handle) = reload::Layer::new(asked.unwrap_or_else(|_| filter_of(level)));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(filter).with(layer).with(table).init();
    Arc::new(move |level| {
        if !fixed && let Err(error) = handle.reload(filter_of(level)) {
            eprintln!("the log level cannot be changed: {error}");
        }
    })
}

/// What is logged at a level. The pool's own words on a lost connection say nothing that we do not say better.
fn filter_of(level: &str) -> EnvFilter {
    EnvFilter::new(format!("{level},deadpool_postgres=off"))
}

async fn run_server(
    place: Place,
    serve: Serve,
    set_log_level: Arc<dyn Fn(&str) + Send + Sync>,
    log: Log,
    notes: Notes,
) -> Result<(), server::StartError> {
    let node = serve.node.unwrap_or_else(|| {
        std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| "node".to_owned(), |name| name.trim().to_owned())
    });
    let options = server::Options {
        data_dir: place.data_dir,
        port_offset: serve.port_offset,
        node,
        database_url: place.database_url,
        demo: serve.demo,
        notify: !serve.without_notify,
        set_log_level,
    };
    server::serve(options, log, notes).await
}
