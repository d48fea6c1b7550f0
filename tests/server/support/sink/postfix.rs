//! Postfix's smtp-sink, for whom speed counts and nothing else.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use super::super::PATIENCE;

/// Postfix's smtp-sink: takes mail fast, and forgets it. It ends with this value.
pub struct SmtpSink {
    child: Child,
    address: SocketAddr,
}

/// Starts smtp-sink on an address of this host and a free port.
pub async fn smtp_sink(ip: &str) -> SmtpSink {
    let reserved = std::net::TcpListener::bind((ip, 0)).unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let program = ["/usr/sbin/smtp-sink", "smtp-sink"]
        .into_iter()
        .find(|p| !p.starts_with('/') || std::path::Path::new(p).exists());
    let mut command = Command::new(program.unwrap());
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } == 0 {
        command.args(["-u", "nobody"]);
    }
    command.arg(address.to_string()).arg("1000").stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.spawn().expect("smtp-sink (apt install postfix)");
    let sink = SmtpSink { child, address };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while TcpStream::connect(address).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "smtp-sink does not listen on {address}");
        tokio::task::yield_now().await;
    }
    sink
}

impl SmtpSink {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
