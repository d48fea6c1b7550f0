//! `smtp-sink` of Postfix: a server that takes all mail and keeps none.

use std::time::{Duration, Instant};

use super::child;
use super::trouble::{Told as _, Trouble};

const READY: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Starts it, and returns when it listens. It ends when dropped.
pub async fn start(port: u16) -> Result<tokio::process::Child, Trouble> {
    let Some(program) = child::find("smtp-sink") else {
        return Err(Trouble::Skipped("smtp-sink, of the package postfix, is not installed".to_owned()));
    };
    std::net::TcpListener::bind(("127.0.0.1", port)).told(&format!("have port {port} for smtp-sink"))?;
    let mut sink = child::killed_on_drop(&program);
    if child::is_root() {
        // It insists.
        sink.args(["-u", "nobody"]);
    }
    let sink = sink.arg(format!("127.0.0.1:{port}")).arg("200").spawn().told("start smtp-sink")?;
    let deadline = Instant::now() + READY;
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if Instant::now() > deadline {
            return Err(Trouble::broken("smtp-sink does not listen"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(sink)
}
