//! `mailwright import`: mail from files into an account, by the same way as all mail: spool and committer.
//!
//! Messages keep their order. One is read while those before it are committed in groups; at most [`IN_FLIGHT`] wait for
//! their commit, and the memory for all of them is the spool's budget. Nothing is counted as imported before its
//! transaction has committed.

mod files;

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures_util::TryStreamExt;
use unicode_normalization::UnicodeNormalization;

use super::Place;
use super::connect::target;
use super::failure::{Failure, told};
use super::format::marks::{self, Marks};
use super::format::uidlist;
use super::office::Office;
use super::progress::{Progress, Unit};
use super::table::{say_line, visible};
use crate::intake::{Delivery, HandedOver, Place as Destination};
use crate::mail::count;
use crate::mail::size::show;
use crate::mail::{Address, DateTime, MailboxId};
use crate::sql;
use crate::store::mailbox::MailboxError;
use crate::store::{Draft, Spool};

const KNOWN: &str = sql!("cli/known_contents");

/// Deliveries handed over and not yet committed: enough to fill a batch while another is being committed.
const IN_FLIGHT: usize = 256;
/// The format that Dovecot has unless it is told otherwise.
const DOVECOT_UIDL: &str = "%08Xu%08Xv";
/// After so many failures in a row nothing will work any more.
const HOPELESS: u32 = 10;

/// What to import, and where to.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub struct Import {
    /// Whose mail it becomes
    address: Address,
    /// Mailbox it goes into, made if it is not there; INBOX by default. Folders of a Maildir go below it
    #[arg(long, value_name = "NAME")]
    mailbox: Option<String>,
    /// An mbox file; - is standard input. A folder: every NAME.mbox in it into its own mailbox
    #[arg(long, value_name = "FILE", group = "source")]
    mbox: Option<PathBuf>,
    /// A Maildir, with its Maildir++ folders
    #[arg(long, value_name = "DIR", group = "source")]
    maildir: Option<PathBuf>,
    /// How the old server made POP3 unique ids (Dovecot's pop3_uidl_format), for messages of INBOX whose id does not stand
    /// in dovecot-uidlist
    #[arg(long, value_name = "FORMAT", default_value = DOVECOT_UIDL, conflicts_with = "mbox")]
    pop3_uidl: uidlist::Format,
    /// Read everything and say what would be imported, but change nothing
    #[arg(long, conflicts_with = "skip_duplicates")]
    dry_run: bool,
    /// Leave out messages that are in the mailbox already, so that a broken import can be run again
    #[arg(long)]
    skip_duplicates: bool,
}

/// Does it.
pub async fn run(place: &Place, command: Import) -> Result<(), Failure> {
    let (sources, total, unit) = match (&command.mbox, &command.maildir) {
        (Some(path), _) => files::mboxes(path, command.mailbox.as_deref())?,
        (None, Some(root)) => files::maildir(root, command.mailbox.as_deref())?,
        (None, None) => return Err(told("say what to import: --mbox FILE or --maildir DIR")),
    };
    let office = Office::open(target(place)?, &command.address).await?;
    let verb = if command.dry_run { "read" } else { "imported" };
    let mut importer = Importer {
        office: Arc::new(office),
        dry_run: command.dry_run,
        skip_duplicates: command.skip_duplicates,
        pop3_uidl: command.pop3_uidl,
        here: None,
        in_flight: VecDeque::new(),
        tally: Tally::default(),
        progress: Progress::new(verb, total, unit),
        before: 0,
        unit,
    };
    let outcome = importer.take_all(sources).await;
    let outcome = outcome.and(importer.close().await);
    let failed = importer.tally.failed > 0;
    importer.conclude(command.skip_duplicates);
    outcome?;
    if failed { Err(Failure::Shown) } else { Ok(()) }
}

#[derive(Default)]
struct Tally {
    /// Committed, or with a dry run: read.
    imported: u64,
    bytes: u64,
    duplicates: u64,
    /// POP3 unique ids that came along with what was imported.
    pop3_uidls: u64,
    empty: u64,
    failed: u64,
    failed_in_a_row: u32,
    mailboxes: u64,
}

/// The mailbox that messages go into just now.
struct Here {
    name: String,
    id: MailboxId,
    known: HashSet<[u8; 16]>,
}

/// A delivery that has not been answered yet.
struct Sent {
    what: String,
    bytes: u64,
    has_pop3_uidl: bool,
    outcome: HandedOver,
}

struct Importer {
    office: Arc<Office>,
    dry_run: bool,
    skip_duplicates: bool,
    pop3_uidl: uidlist::Format,
    here: Option<Here>,
    in_flight: VecDeque<Sent>,
    tally: Tally,
    progress: Progress,
    /// Bytes of the sources that are done with.
    before: u64,
    unit: Unit,
}

/// A message that is being read.
struct Incoming {
    /// None: nothing is kept of it.
    spool: Option<Spool>,
    bytes: u64,
}

impl Incoming {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes += bytes.len() as u64;
        match &mut self.spool {
            Some(spool) => Ok(spool.write(bytes).await?),
            None => Ok(()),
        }
    }
}

impl Importer {
    /// Makes `name` the mailbox that messages go into.
    async fn open(&mut self, name: &str) -> Result<(), Failure> {
        self.close().await?;
        self.tally.mailboxes += 1;
        if self.dry_run {
            return Ok(());
        }
        let (store, account) = (&self.office.store, self.office.account);
        let name = stored_name(name);
        let mailbox = match store.find_mailbox(account, &name).await? {
            Some(mailbox) => mailbox,
            None => {
                let refused = |error| match error {
                    MailboxError::Database(error) => Failure::from(error),
                    error => told(format!("the mailbox {name} cannot be made: {error}")),
                };
                let made = store.create_mailbox(account, &name, None).await.map_err(refused)?;
                store.subscribe(account, &name).await.map_err(refused)?;
                made
            }
        };
        let known = match self.skip_duplicates {
            true => self.load_known(mailbox.id).await?,
            false => HashSet::new(),
        };
        self.here = Some(Here { name, id: mailbox.id, known });
        Ok(())
    }

    async fn load_known(&self, mailbox: MailboxId) -> Result<HashSet<[u8; 16]>, Failure> {
        let client = self.office.db().client().await?;
        let statement = client.prepare(KNOWN).await?;
        let rows = client.raw().query_raw(&statement, [self.office.account.0, mailbox.0]).await?;
        let mut rows = std::pin::pin!(rows);
        let mut known = HashSet::new();
        while let Some(row) = rows.try_next().await? {
            known.extend(match row.get::<_, Option<&[u8]>>(0) {
                Some(digest) => digest.first_chunk::<16>().copied(),
                None => row.get::<_, Option<&str>>(2).map(|id| likeness(row.get::<_, i64>(1) as u64, id)),
            });
        }
        Ok(known)
    }

    async fn begin(&self) -> Result<Incoming, Failure> {
        let spool = if self.dry_run { None } else { Some(self.office.store.spool().await?) };
        Ok(Incoming { spool, bytes: 0 })
    }

    /// A message is complete: hands it over, unless it is empty or there already.
    async fn complete(
        &mut self,
        incoming: Incoming,
        what: String,
        marks: Marks,
        received: Option<DateTime>,
    ) -> Result<(), Failure> {
        if incoming.bytes == 0 {
            self.tally.empty += 1;
            return Ok(());
        }
        let Some(spool) = incoming.spool else {
            self.tally.imported += 1;
            self.tally.bytes += incoming.bytes;
            self.tally.pop3_uidls += u64::from(marks.pop3_uidl.is_some());
            return Ok(());
        };
        let draft = spool.finish();
        let Some(here) = &mut self.here else { return Err(told("no mailbox is open")) };
        if self.skip_duplicates && !is_new(&draft, &mut here.known) {
            self.tally.duplicates += 1;
            return Ok(());
        }
        let internal_date = received
            .or_else(|| received_by_header(&draft.header))
            .unwrap_or_else(|| DateTime::new(jiff::Timestamp::now(), 0));
        let has_pop3_uidl = marks.pop3_uidl.is_some();
        let place = Destination {
            account: self.office.account,
            mailbox: here.id,
            prefix: None,
            internal_date,
            flags: marks.flags,
            keywords: marks.keywords,
            pop3_uidl: marks.pop3_uidl,
            takes_recent: false,
        };
        let delivery = Delivery::new(draft, vec![place], Vec::new());
        let outcome = self.office.committer.hand_over(delivery).await?;
        self.in_flight.push_back(Sent { what, bytes: incoming.bytes, has_pop3_uidl, outcome });
        while self.in_flight.len() > IN_FLIGHT {
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits for the oldest delivery.
    async fn settle(&mut self) -> Result<(), Failure> {
        let Some(sent) = self.in_flight.pop_front() else { return Ok(()) };
        let why = match sent.outcome.receipt().await {
            Ok(receipt) if receipt.first().is_some_and(Option::is_some) => {
                self.tally.imported += 1;
                self.tally.bytes += sent.bytes;
                self.tally.pop3_uidls += u64::from(sent.has_pop3_uidl);
                self.tally.failed_in_a_row = 0;
                return Ok(());
            }
            Ok(_) => "its mailbox has been deleted meanwhile".to_owned(),
            Err(error) => error.to_string(),
        };
        self.tally.failed_in_a_row += 1;
        self.failed(&sent.what, &why);
        if self.tally.failed_in_a_row >= HOPELESS {
            return Err(told(
                "nothing works any more: when the database is well, run this again with --skip-duplicates",
            ));
        }
        Ok(())
    }

    fn failed(&mut self, what: &str, why: &str) {
        self.tally.failed += 1;
        self.progress.trouble(&format!("not imported: {}: {}", visible(what), visible(why)));
    }

    /// Waits for all deliveries into this mailbox, and tells the nodes of it.
    async fn close(&mut self) -> Result<(), Failure> {
        while !self.in_flight.is_empty() {
            self.settle().await?;
        }
        if let Some(here) = self.here.take() {
            tracing::debug!(mailbox = here.name, "imported");
            self.office.ring(here.id).await?;
        }
        Ok(())
    }

    /// Shows how far it is: `position` in the source that is read.
    fn show(&mut self, position: u64) {
        let tally = &self.tally;
        let seen = tally.imported + tally.duplicates + tally.empty + tally.failed;
        let done = if self.unit == Unit::Bytes { self.before + position } else { seen };
        self.progress.reached(done, seen);
    }

    fn conclude(self, says_duplicates: bool) {
        let tally = self.tally;
        let seconds = self.progress.finish().as_secs_f64();
        let verb = if self.dry_run { "would import" } else { "imported" };
        say_line(format!(
            "{verb} {} ({}) into {}, {seconds:.1} s, {:.0} messages/s",
            count(tally.imported, "message"),
            show(tally.bytes as i64),
            count(tally.mailboxes, "mailbox"),
            tally.imported as f64 / seconds.max(0.001)
        ));
        if tally.pop3_uidls > 0 {
            let verb = if self.dry_run { "would keep" } else { "kept" };
            say_line(format!("{verb} {}", count(tally.pop3_uidls, "POP3 unique id")));
        }
        if says_duplicates {
            say_line(format!("skipped {} that were there already", tally.duplicates));
        }
        if tally.empty > 0 {
            say_line(format!("skipped {} that were empty", tally.empty));
        }
        if tally.failed > 0 {
            say_line(format!("not imported: {}, for the reasons above", tally.failed));
        }
    }
}

/// A mailbox name as the store has it.
pub(super) fn stored_name(name: &str) -> String {
    let name: String = name.trim_matches('/').nfc().collect();
    match name.split_once('/') {
        None if name.eq_ignore_ascii_case("INBOX") => "INBOX".to_owned(),
        Some((first, below)) if first.eq_ignore_ascii_case("INBOX") => format!("INBOX/{below}"),
        _ => name,
    }
}

/// Stands for a message whose stored copy begins with header lines of its own, so that its digest is not known: what has
/// the same size and the same Message-ID is the same message.
fn likeness(size: u64, message_id: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&size.to_be_bytes()).update(message_id.as_bytes());
    let mut found = [0; 16];
    hasher.finalize_xof().fill(&mut found);
    found
}

/// Whether the message is not known yet; from now on it is.
fn is_new(draft: &Draft, known: &mut HashSet<[u8; 16]>) -> bool {
    let alike = draft.summary.message_id.as_deref().map(|id| likeness(draft.size, id));
    if alike.is_some_and(|alike| known.contains(&alike)) {
        return false;
    }
    // BLAKE3 cut to 16 bytes is still far from meeting another by chance.
    draft.digest.first_chunk::<16>().is_none_or(|digest| known.insert(*digest))
}

/// When a message arrived, as its newest Received field says; else its Date.
fn received_by_header(header: &[u8]) -> Option<DateTime> {
    let received = marks::first_field(header, "received").and_then(|field| {
        let at = memchr::memrchr(b';', field)?;
        DateTime::parse_rfc5322(field.get(at + 1..)?)
    });
    received.or_else(|| DateTime::parse_rfc5322(marks::first_field(header, "date")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, stored) in
            [("inbox", "INBOX"), ("Inbox/a/", "INBOX/a"), ("e\u{301}", "\u{e9}"), ("inboxes", "inboxes")]
        {
            assert_eq!(stored_name(name), stored);
        }
    }

    #[test]
    fn dates_of_headers() {
        let date = |header: &str| received_by_header(header.as_bytes()).map(|d| d.at().as_second());
        assert_eq!(date("Subject: x\r\n\r\n"), None);
        assert_eq!(date("Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n\r\n"), Some(60));
        assert_eq!(
            date("Received: from a; x;\r\n Thu, 1 Jan 1970 00:02:00 +0000\r\nReceived: y\r\nDate: z\r\n"),
            Some(120)
        );
        assert_eq!(date("Received: nonsense\r\nDate: 1 Jan 1970 00:01:00 +0000\r\n"), Some(60));
    }
}
