//! The commands of the program.
//!
//! `serve` runs the daemon; the others speak to the database of a running one, found by the same options.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

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
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Serve(serve) => run_server(cli.place, serve).await.map_err(|e| e.to_string()),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("mailwright: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn run_server(place: Place, serve: Serve) -> Result<(), server::StartError> {
    // RUST_LOG is for those who look for a fault; everybody else uses control.server.log_level.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let node = serve.node.unwrap_or_else(|| {
        std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| "node".to_owned(), |name| name.trim().to_owned())
    });
    server::serve(server::Options {
        data_dir: place.data_dir,
        port_offset: serve.port_offset,
        node,
        database_url: place.database_url,
        demo: serve.demo,
        notify: !serve.without_notify,
    })
    .await
}
