//! `mailwright export`: the mail of an account as files that other programs read, and `mailwright import` too.
//!
//! Small messages are fetched several at a time and written in order; large ones stream. No transaction stays open
//! meanwhile, so a message that goes during the export is left out, or said to be.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Place;
use super::connect::target;
use super::failure::{At, Failure, told};
use super::format::folder;
use super::format::lines::ToLf;
use super::format::maildir::Writer;
use super::format::marks::{self, Marks};
use super::format::mbox::{Quoter, separator};
use super::office::Office;
use super::progress::{Progress, Unit};
use super::table::say_line;
use crate::mail::count;
use crate::mail::size::show;
use crate::mail::{Address, Flags};
use crate::store::OpenMailbox;
use crate::store::fetch::{Facts, PAGE, Want};
use crate::store::view::View;

/// A message up to this size is fetched whole, ahead of its turn.
const SMALL: u64 = 1 << 20;
/// Messages fetched at a time.
const AHEAD: usize = 8;

/// What to export, and where to.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
pub struct Export {
    /// Whose mail
    address: Address,
    /// Only this mailbox; by default all
    #[arg(long, value_name = "NAME")]
    mailbox: Option<String>,
    /// With --mailbox: the mbox file to write. Else a folder, in which every mailbox becomes NAME.mbox
    #[arg(long, value_name = "FILE", group = "target")]
    mbox: Option<PathBuf>,
    /// The Maildir to write; INBOX is the Maildir itself, other mailboxes are Maildir++ folders in it
    #[arg(long, value_name = "DIR", group = "target")]
    maildir: Option<PathBuf>,
}

/// Does it.
pub async fn run(place: &Place, command: Export) -> Result<(), Failure> {
    let office = Office::open(target(place)?, &command.address).await?;
    let mailboxes = open_mailboxes(&office, command.mailbox.as_deref(), &command.address).await?;
    let total: u64 = mailboxes.iter().map(|(_, open)| u64::from(open.view().len())).sum();
    let mut exporter = Exporter {
        office,
        progress: Progress::new("exported", total, Unit::Messages),
        messages: 0,
        bytes: 0,
        lost_keywords: 0,
    };
    let one = command.mailbox.is_some();
    let outcome =
        exporter.write_all(&mailboxes, command.mbox.as_deref(), command.maildir.as_deref(), one).await;
    let seconds = exporter.progress.finish().as_secs_f64();
    outcome?;
    say_line(format!(
        "exported {} ({}) from {}, {seconds:.1} s",
        count(exporter.messages, "message"),
        show(exporter.bytes as i64),
        count(mailboxes.len() as u64, "mailbox")
    ));
    if exporter.lost_keywords > 0 {
        say_line(format!(
            "left out {}: a Maildir folder has room for 26 different ones, an mbox for any number",
            count(exporter.lost_keywords, "keyword")
        ));
    }
    if exporter.messages < total {
        say_line(format!("not exported: {}, deleted meanwhile", count(total - exporter.messages, "message")));
    }
    Ok(())
}

type Named = (String, std::sync::Arc<OpenMailbox>);

async fn open_mailboxes(
    office: &Office,
    only: Option<&str>,
    address: &Address,
) -> Result<Vec<Named>, Failure> {
    let only = only.map(super::import::stored_name);
    let mut found = Vec::new();
    for entry in office.store.list_mailboxes(office.account).await? {
        let Some(mailbox) = entry.mailbox else { continue };
        if only.as_ref().is_some_and(|name| *name != entry.name) {
            continue;
        }
        if let Some(open) = office.store.views.open(office.account, mailbox.id, None).await? {
            found.push((entry.name, open));
        }
    }
    match only {
        Some(name) if found.is_empty() => Err(told(format!(
            "{} has no mailbox {name}; see: mailwright sql -c \"select * from report.mailbox\"",
            address.to_unicode()
        ))),
        _ => Ok(found),
    }
}

struct Exporter {
    office: Office,
    progress: Progress,
    messages: u64,
    bytes: u64,
    lost_keywords: u64,
}

/// A message and, if it is small, all its bytes.
type Fetched = (Facts, Option<Vec<u8>>);

impl Exporter {
    async fn write_all(
        &mut self,
        mailboxes: &[Named],
        mbox: Option<&Path>,
        maildir: Option<&Path>,
        one: bool,
    ) -> Result<(), Failure> {
        match (mbox, maildir) {
            (Some(file), _) if one => {
                for (_, open) in mailboxes {
                    self.write_mbox(open, file).await?;
                }
            }
            (Some(root), _) => {
                make_empty(root)?;
                for (name, open) in mailboxes {
                    self.write_mbox(open, &root.join(format!("{}.mbox", folder::encode(name)))).await?;
                }
            }
            (None, Some(root)) => {
                make_empty(root)?;
                // The Maildir itself is there even when INBOX is not exported: without it there are no folders.
                Writer::make(root, None).at("make", root)?;
                for (name, open) in mailboxes {
                    self.write_maildir(name, open, root).await?;
                }
            }
            (None, None) => return Err(told("say where to: --mbox FILE or --maildir DIR")),
        }
        Ok(())
    }

    async fn write_mbox(&mut self, open: &OpenMailbox, path: &Path) -> Result<(), Failure> {
        let file: Box<dyn Write + Send> = match path == Path::new("-") {
            true => Box::new(std::io::stdout()),
            false => Box::new(File::create_new(path).map_err(|error| there_already(path, error))?),
        };
        let mut file = BufWriter::with_capacity(1 << 18, file);
        let view = open.view();
        for page in uids(&view).chunks(PAGE) {
            let store = self.office.store.clone();
            let mut messages = std::pin::pin!(fetch(&store, open, page).await?);
            while let Some((facts, whole)) = messages.try_next().await? {
                let marks = marks_of(&view, facts.uid);
                let head = separator(&sender(&facts.prefix), facts.internal_date.at()) + &marks.fields();
                file.write_all(head.as_bytes()).at("write", path)?;
                let (mut quoter, mut out) = (Quoter::default(), Vec::new());
                let mut pieces = Pieces::new(&store, &facts, whole);
                while let Some(piece) = pieces.next().await? {
                    quoter.feed(&piece, &mut out);
                    file.write_all(&out).at("write", path)?;
                    out.clear();
                }
                quoter.finish(&mut out);
                file.write_all(&out).at("write", path)?;
                self.written(facts.size);
            }
        }
        file.flush().at("write", path)
    }

    async fn write_maildir(&mut self, name: &str, open: &OpenMailbox, root: &Path) -> Result<(), Failure> {
        let mut writer =
            Writer::make(root, (name != "INBOX").then_some(name)).at("make a folder in", root)?;
        let view = open.view();
        for page in uids(&view).chunks(PAGE) {
            let store = self.office.store.clone();
            let mut messages = std::pin::pin!(fetch(&store, open, page).await?);
            while let Some((facts, whole)) = messages.try_next().await? {
                let (file, path) = writer.begin().at("write in", root)?;
                let (mut lf, mut out) = (ToLf::default(), Vec::new());
                let mut pieces = Pieces::new(&store, &facts, whole);
                while let Some(piece) = pieces.next().await? {
                    lf.feed(&piece, &mut out);
                    (&file).write_all(&out).at("write", &path)?;
                    out.clear();
                }
                lf.finish(&mut out);
                (&file).write_all(&out).at("write", &path)?;
                let marks = marks_of(&view, facts.uid);
                writer.finish(file, &path, facts.internal_date.at(), &marks).at("write", &path)?;
                self.written(facts.size);
            }
        }
        self.lost_keywords += writer.lost_keywords;
        writer.close().at("write in", root)
    }

    fn written(&mut self, size: u64) {
        self.messages += 1;
        self.bytes += size;
        self.progress.reached(self.messages, self.messages);
    }
}

fn uids(view: &View) -> Vec<u32> {
    view.iter().map(|(_, entry)| entry.uid()).collect()
}

fn marks_of(view: &View, uid: u32) -> Marks {
    let Some(entry) = view.entry(uid) else { return Marks::default() };
    let keywords = view.keywords_of(entry).iter().map(|keyword| keyword.to_string()).collect();
    Marks { flags: Flags::from_bits_truncate(entry.flags() as u8), keywords, ..Marks::default() }
}

/// The messages with these UIDs, in order; small ones whole.
async fn fetch<'a>(
    store: &'a std::sync::Arc<crate::store::Store>,
    open: &OpenMailbox,
    uids: &[u32],
) -> Result<impl futures_util::Stream<Item = Result<Fetched, Failure>> + use<'a>, Failure> {
    let all = store.facts(open.account, open.id, uids, Want::default()).await?;
    let fetched = stream::iter(all).map(move |facts| async move {
        let whole = match facts.size <= SMALL {
            true => Some(
                store.read(&facts.prefix, facts.content, facts.content_size, 0..facts.size).whole().await?,
            ),
            false => None,
        };
        Ok((facts, whole))
    });
    Ok(fetched.buffered(AHEAD))
}

/// The bytes of a message.
enum Pieces {
    Whole(Option<Vec<u8>>),
    Streamed(Box<crate::store::content::Reader>),
}

impl Pieces {
    fn new(store: &crate::store::Store, facts: &Facts, whole: Option<Vec<u8>>) -> Self {
        match whole {
            Some(bytes) => Self::Whole(Some(bytes)),
            None => Self::Streamed(Box::new(store.read(
                &facts.prefix,
                facts.content,
                facts.content_size,
                0..facts.size,
            ))),
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Whole(bytes) => Ok(bytes.take().map(Bytes::from)),
            Self::Streamed(reader) => Ok(reader.next().await?),
        }
    }
}

/// The envelope sender, where delivery has noted it.
fn sender(prefix: &[u8]) -> String {
    let path = marks::first_field(prefix, "return-path").unwrap_or_default();
    let path = String::from_utf8_lossy(path.trim_ascii()).into_owned();
    path.trim_start_matches('<').trim_end_matches('>').to_owned()
}

/// Makes a folder to write to; one that holds something is left alone.
fn make_empty(root: &Path) -> Result<(), Failure> {
    fs::create_dir_all(root).at("make", root)?;
    match fs::read_dir(root).at("read", root)?.next() {
        None => Ok(()),
        Some(_) => Err(told(format!("{} is not empty: name a new folder to export to", root.display()))),
    }
}

fn there_already(path: &Path, error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            told(format!("{} exists already: name a new file to export to", path.display()))
        }
        _ => Failure::File { what: "write", path: path.to_owned(), source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders() {
        assert_eq!(sender(b""), "");
        assert_eq!(sender(b"Return-Path: <>\r\nDelivered-To: x\r\n"), "");
        assert_eq!(sender(b"Return-Path: <a@b.example>\r\n"), "a@b.example");
    }
}
