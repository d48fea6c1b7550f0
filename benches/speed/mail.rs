//! Sending mail: `smtp-source` for load, and a client of our own where the moment of each answer counts, or a login is
//! needed.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::child;
use super::daemon::PASSWORD;
use super::trouble::{Told as _, Trouble, within};

/// Bytes in the body of a message.
pub const BODY: usize = 10_240;

/// `smtp-source` of Postfix.
pub struct Source(PathBuf);

impl Source {
    /// Looks for it.
    pub fn find() -> Result<Self, Trouble> {
        child::find("smtp-source").map(Self).ok_or_else(|| {
            Trouble::Skipped(
                "smtp-source, of the package postfix, is not installed (scripts/setup bench)".to_owned(),
            )
        })
    }

    fn start(&self, port: u16, account: usize, messages: usize) -> Result<tokio::process::Child, Trouble> {
        let mut command = child::killed_on_drop(&self.0);
        command.args([
            "-d",
            "-l",
            &BODY.to_string(),
            "-m",
            &messages.to_string(),
            "-f",
            "sender@example.test",
            "-t",
        ]);
        command.arg(format!("u{account}@example.test")).arg(format!("127.0.0.1:{port}"));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().told("start smtp-source")
    }

    /// Sends by `sessions` sessions at once, each a process with one connection, the n-th to the account u`n`. Returns
    /// when all is accepted: how long it took.
    pub async fn send(
        &self,
        port: u16,
        sessions: usize,
        each: usize,
        limit: Duration,
    ) -> Result<Duration, Trouble> {
        let began = Instant::now();
        let mut running = Vec::new();
        for account in 1..=sessions {
            running.push(self.start(port, account, each)?);
        }
        let all = futures_util::future::try_join_all(running.into_iter().map(|process| async {
            let output = process.wait_with_output().await.told("wait for smtp-source")?;
            match output.status.success() {
                true => Ok(()),
                false => {
                    let said = String::from_utf8_lossy(&output.stderr);
                    Err(Trouble::broken(format!("smtp-source ended with {}: {}", output.status, said.trim())))
                }
            }
        }));
        within(limit, "sending by smtp-source", all).await?;
        Ok(began.elapsed())
    }

    /// Sends to the accounts in `accounts` without end, until the processes are dropped.
    pub fn keep_sending(
        &self,
        port: u16,
        accounts: std::ops::Range<usize>,
    ) -> Result<Vec<tokio::process::Child>, Trouble> {
        accounts.map(|account| self.start(port, account, 10_000_000)).collect()
    }
}

const ANSWER: Duration = Duration::from_secs(60);

/// An SMTP client that knows when it was answered.
pub struct Client {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

/// When a message was sent.
#[derive(Clone, Copy)]
pub struct Sent {
    /// Its last byte went out.
    pub dot: Instant,
    /// It was accepted.
    pub accepted: Instant,
}

impl Client {
    /// Connects and greets.
    pub async fn connect(port: u16) -> Result<Self, Trouble> {
        let connecting = async { TcpStream::connect(("127.0.0.1", port)).await.told("connect by SMTP") };
        let stream = within(ANSWER, "connecting by SMTP", connecting).await?;
        stream.set_nodelay(true).told("set TCP_NODELAY")?;
        let (read, write) = stream.into_split();
        let mut client = Self { read: BufReader::new(read), write };
        client.answer("220").await?;
        client.say("EHLO bench.example.test", "250").await?;
        Ok(client)
    }

    /// Sends a message of readable text.
    pub async fn send(&mut self, account: usize, number: usize) -> Result<Sent, Trouble> {
        self.say("MAIL FROM:<sender@example.test>", "250").await?;
        self.say(&format!("RCPT TO:<u{account}@example.test>"), "250").await?;
        self.say("DATA", "354").await?;
        let to = format!("u{account}@example.test");
        let message = format!("{}.\r\n", message("sender@example.test", &to, number));
        self.write.write_all(message.as_bytes()).await.told("send a message")?;
        let dot = Instant::now();
        self.answer("250").await?;
        Ok(Sent { dot, accepted: Instant::now() })
    }

    /// Logs in by AUTH PLAIN.
    pub async fn login(&mut self, user: &str) -> Result<(), Trouble> {
        let initial = STANDARD.encode(format!("\0{user}\0{PASSWORD}"));
        self.say(&format!("AUTH PLAIN {initial}"), "235").await
    }

    /// Sends `count` messages of readable text, pipelined: the next envelope goes out with the end of a message
    /// (RFC 2920 §3.1). All are accepted when it returns.
    pub async fn send_all(&mut self, from: &str, to: &str, count: usize) -> Result<(), Trouble> {
        let envelope = format!("MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
        let mut flight = envelope.clone();
        for number in 1..=count {
            self.write.write_all(flight.as_bytes()).await.told("send mail")?;
            if number > 1 {
                self.answer("250").await?;
            }
            for wanted in ["250", "250", "354"] {
                self.answer(wanted).await?;
            }
            flight = format!("{}.\r\n{envelope}", message(from, to, number));
        }
        // After the last one comes nothing.
        let last = flight.strip_suffix(&envelope).unwrap_or(&flight);
        self.write.write_all(last.as_bytes()).await.told("send mail")?;
        self.answer("250").await
    }

    async fn say(&mut self, command: &str, wanted: &str) -> Result<(), Trouble> {
        let line = format!("{command}\r\n");
        self.write.write_all(line.as_bytes()).await.told("send an SMTP command")?;
        self.answer(wanted).await
    }

    async fn answer(&mut self, wanted: &str) -> Result<(), Trouble> {
        loop {
            let mut line = String::new();
            let reading = async { self.read.read_line(&mut line).await.told("read an SMTP reply") };
            within(ANSWER, "waiting for an SMTP reply", reading).await?;
            if !line.starts_with(wanted) {
                return Err(Trouble::broken(format!("SMTP: {wanted} was expected, not {line:?}")));
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}

/// A message of about [`BODY`] bytes, unlike any other.
fn message(from: &str, to: &str, number: usize) -> String {
    const WORDS: [&str; 16] = [
        "mailbox",
        "the",
        "queue",
        "letter",
        "of",
        "postmaster",
        "and",
        "reply",
        "to",
        "envelope",
        "in",
        "header",
        "a",
        "sender",
        "is",
        "relay",
    ];
    let mut text = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: Message {number}\r\n\
         Message-ID: <{number}.{to}>\r\n\r\n"
    );
    // Any sequence that does not repeat will do.
    let mut state =
        to.bytes().fold(number as u64, |state, byte| state.wrapping_mul(257).wrapping_add(u64::from(byte)));
    let mut column = 0;
    while text.len() < BODY {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = WORDS[(state >> 60) as usize];
        text.push_str(word);
        column += word.len() + 1;
        if column > 70 {
            text.push_str("\r\n");
            column = 0;
        } else {
            text.push(' ');
        }
    }
    text.push_str("\r\n");
    text
}
