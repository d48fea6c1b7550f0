//! All envelopes, and all bodies, of a mailbox of 10,000 messages: Mailwright, and Dovecot with its defaults, cold and warm.
//!
//! Cold: the server was stopped, PostgreSQL with it, what the operating system had cached of any file was dropped, and the server
//! was started again. Dovecot's index cache, a file, is there as an earlier fetch has left it, or was removed before. Warm: the same
//! once more, by another session.

use std::path::Path;
use std::time::Instant;

use futures_util::future::try_join_all;

use super::Bench;
use super::daemon::{self, Daemon, PASSWORD};
use super::dovecot::{self, Dovecot};
use super::imap::LIMIT;
use super::letter::{Sizes, letter};
use super::report::{Figure, Runs, progress};
use super::trouble::{Told as _, Trouble, within};
use super::wire::Client;

const USER: &str = "u1@example.test";
/// Connections that fill the mailbox.
const FILLERS: usize = 10;

/// What is asked for.
#[derive(Clone, Copy, PartialEq)]
enum What {
    Envelopes,
    Bodies,
}

impl What {
    fn command(self) -> &'static str {
        match self {
            What::Envelopes => "FETCH 1:* (UID FLAGS ENVELOPE)",
            What::Bodies => "FETCH 1:* (UID BODY.PEEK[])",
        }
    }
}

/// The mailbox, as it must be.
struct Mailbox {
    count: usize,
    bytes: u64,
}

/// Milliseconds that each took; a run is an element of each.
#[derive(Default)]
struct Times {
    select_cold: Runs,
    envelopes_forgotten: Runs,
    envelopes_cold: Runs,
    envelopes_warm: Runs,
    bodies_cold: Runs,
    bodies_warm: Runs,
}

/// Measures and reports.
pub async fn run(bench: &mut Bench) -> Result<(), Trouble> {
    let (rounds, count) = if bench.quick { (1, 500) } else { (3, 10_000) };
    let bytes = (1..=count).map(|number| message(number).len() as u64).sum();
    let mailbox = Mailbox { count, bytes };
    let no_peer = dovecot::missing();
    let peer = Dovecot::new(bench.work.join("fetch-peer"));
    let data_dir = bench.work.join("fetch");
    progress("filling the mailboxes");
    let daemon = Daemon::start(&data_dir).await?;
    daemon.make_accounts(1).await?;
    daemon.obey(&["update control.imap set require_tls_for_login = false"]).await?;
    mailbox.fill(daemon::IMAP).await?;
    within(LIMIT, "analysing", daemon.sql.batch_execute("vacuum analyze")).await?;
    daemon.stop().await?;
    if no_peer.is_none() {
        peer.start().await?;
        mailbox.fill(dovecot::IMAP).await?;
        peer.stop().await?;
    }
    let can_drop = drop_caches();
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    for round in 1..=rounds {
        progress(&format!("round {round} of {rounds}: Mailwright"));
        mailbox.measure_ours(&data_dir, &mut ours).await?;
        if no_peer.is_none() {
            progress(&format!("round {round} of {rounds}: Dovecot"));
            mailbox.measure_peer(&peer, &mut theirs).await?;
        }
    }
    let report = &mut bench.report;
    report.note(&format!("{count} messages, {} MB, one connection", bytes / 1_000_000));
    report.note("cold: servers started anew, PostgreSQL too, and the system's file cache dropped before");
    if let Err(why) = can_drop {
        report.note(&format!("BUT the file cache could not be dropped: {why}; what is called cold had it"));
    }
    if let Some(why) = &no_peer {
        report.note(&format!("SKIPPED: Dovecot: {why}"));
    }
    let mut line = |name: &str, ours: &Runs, theirs: &Runs, peer: &str| {
        let figure = Figure::new(format!("Mailwright: {name}"), ours.clone(), "ms");
        report.figure(if theirs.0.is_empty() {
            figure
        } else {
            figure.beside(format!("Dovecot: {peer}"), theirs.clone())
        });
    };
    line("SELECT, cold", &ours.select_cold, &theirs.select_cold, "SELECT, cold");
    let name = "all envelopes, cold";
    line(name, &ours.envelopes_cold, &theirs.envelopes_forgotten, "all envelopes, cold, no index cache");
    line(
        name,
        &ours.envelopes_cold,
        &theirs.envelopes_cold,
        "all envelopes, cold, index cache of an earlier fetch",
    );
    line("all envelopes, warm", &ours.envelopes_warm, &theirs.envelopes_warm, "all envelopes, warm");
    line("all bodies, cold", &ours.bodies_cold, &theirs.bodies_cold, "all bodies, cold");
    line("all bodies, warm", &ours.bodies_warm, &theirs.bodies_warm, "all bodies, warm");
    report.note("these are times: a ratio below 1 means that Mailwright is faster");
    Ok(())
}

fn message(number: usize) -> Vec<u8> {
    letter(USER, number, Sizes::small(number))
}

impl Mailbox {
    async fn fill(&self, port: u16) -> Result<(), Trouble> {
        let filling = (0..FILLERS).map(|filler| async move {
            let mut client = Client::login(port, USER, PASSWORD).await?;
            for number in (1..=self.count).skip(filler).step_by(FILLERS) {
                client.append("APPEND INBOX", &message(number)).await?;
            }
            client.command("LOGOUT").await?;
            Ok(())
        });
        within::<_, Trouble>(LIMIT, "filling a mailbox", try_join_all(filling)).await?;
        Ok(())
    }

    async fn measure_ours(&self, data_dir: &Path, times: &mut Times) -> Result<(), Trouble> {
        // What is not checked here has been said already.
        drop_caches().ok();
        let daemon = Daemon::start(data_dir).await?;
        let (select, fetch) = self.fetch(daemon::IMAP, What::Envelopes).await?;
        times.select_cold.0.push(select);
        times.envelopes_cold.0.push(fetch);
        times.envelopes_warm.0.push(self.fetch(daemon::IMAP, What::Envelopes).await?.1);
        daemon.stop().await?;
        drop_caches().ok();
        let daemon = Daemon::start(data_dir).await?;
        times.bodies_cold.0.push(self.fetch(daemon::IMAP, What::Bodies).await?.1);
        times.bodies_warm.0.push(self.fetch(daemon::IMAP, What::Bodies).await?.1);
        daemon.stop().await
    }

    async fn measure_peer(&self, peer: &Dovecot, times: &mut Times) -> Result<(), Trouble> {
        peer.forget("u1").await?;
        drop_caches().ok();
        peer.start().await?;
        let (select, fetch) = self.fetch(dovecot::IMAP, What::Envelopes).await?;
        times.select_cold.0.push(select);
        times.envelopes_forgotten.0.push(fetch);
        peer.stop().await?;
        drop_caches().ok();
        peer.start().await?;
        times.envelopes_cold.0.push(self.fetch(dovecot::IMAP, What::Envelopes).await?.1);
        times.envelopes_warm.0.push(self.fetch(dovecot::IMAP, What::Envelopes).await?.1);
        peer.stop().await?;
        drop_caches().ok();
        peer.start().await?;
        times.bodies_cold.0.push(self.fetch(dovecot::IMAP, What::Bodies).await?.1);
        times.bodies_warm.0.push(self.fetch(dovecot::IMAP, What::Bodies).await?.1);
        peer.stop().await
    }

    /// Milliseconds of SELECT, and of FETCH.
    async fn fetch(&self, port: u16, what: What) -> Result<(f64, f64), Trouble> {
        let mut client = Client::login(port, USER, PASSWORD).await?;
        let began = Instant::now();
        let selected = client.command("SELECT INBOX").await?;
        let select = began.elapsed().as_secs_f64() * 1e3;
        let began = Instant::now();
        let answer = client.command(what.command()).await?;
        let fetch = began.elapsed().as_secs_f64() * 1e3;
        let got = (selected.exists, answer.fetches);
        if got != (Some(self.count), self.count) {
            let text = format!("{} of {} messages: {got:?}", what.command(), self.count);
            return Err(Trouble::broken(text));
        }
        if what == What::Bodies && answer.literal_bytes != self.bytes {
            let text = format!("bodies have {} bytes and should have {}", answer.literal_bytes, self.bytes);
            return Err(Trouble::broken(text));
        }
        client.command("LOGOUT").await?;
        Ok((select, fetch))
    }
}

/// Writes what is unwritten, and drops what the operating system has cached of files.
fn drop_caches() -> Result<(), Trouble> {
    // SAFETY: sync takes nothing and cannot fail.
    unsafe { libc::sync() };
    std::fs::write("/proc/sys/vm/drop_caches", "3").told("write /proc/sys/vm/drop_caches")
}
