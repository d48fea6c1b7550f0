//! Where imported messages come from: which files there are, and each read to its end.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Importer, Incoming, stored_name};
use crate::cli::failure::{At, Failure, told};
use crate::cli::format::folder;
use crate::cli::format::lines::ToCrlf;
use crate::cli::format::maildir;
use crate::cli::format::marks::{self, Marks};
use crate::cli::format::mbox::{Piece, Reader};
use crate::cli::format::uidlist::UidList;
use crate::cli::progress::Unit;
use crate::mail::DateTime;

/// Bytes read at a time.
const BUFFER: usize = 128 * 1024;

/// Files that go into one mailbox.
pub(super) struct Source {
    mailbox: String,
    from: From,
}

enum From {
    Mbox(PathBuf),
    /// A folder of a Maildir, and its messages.
    Maildir(PathBuf, Vec<maildir::Entry>),
    /// A folder whose name cannot be read.
    Nameless(PathBuf),
}

type Sources = (Vec<Source>, u64, Unit);

/// An mbox file, or all in a folder; with their bytes.
pub(super) fn mboxes(path: &Path, mailbox: Option<&str>) -> Result<Sources, Failure> {
    let default = mailbox.unwrap_or("INBOX");
    if path == Path::new("-") {
        let source = Source { mailbox: default.to_owned(), from: From::Mbox(path.to_owned()) };
        return Ok((vec![source], 0, Unit::Bytes));
    }
    let facts = fs::metadata(path).at("read", path)?;
    if !facts.is_dir() {
        let source = Source { mailbox: default.to_owned(), from: From::Mbox(path.to_owned()) };
        return Ok((vec![source], facts.len(), Unit::Bytes));
    }
    let mut sources = Vec::new();
    let mut total = 0;
    for entry in fs::read_dir(path).at("read", path)? {
        let entry = entry.at("read", path)?;
        let file = entry.file_name();
        let Some(name) = file.as_encoded_bytes().strip_suffix(b".mbox") else { continue };
        total += entry.metadata().at("read", &entry.path())?.len();
        sources.push(match folder::decode(name) {
            Some(name) => Source { mailbox: below(mailbox, name), from: From::Mbox(entry.path()) },
            None => Source { mailbox: String::new(), from: From::Nameless(entry.path()) },
        });
    }
    if sources.is_empty() {
        return Err(told(format!("there is no file NAME.mbox in the folder {}", path.display())));
    }
    sources.sort_by(|a, b| a.mailbox.cmp(&b.mailbox));
    Ok((sources, total, Unit::Bytes))
}

/// The folders of a Maildir; with the number of their messages.
pub(super) fn maildir(root: &Path, mailbox: Option<&str>) -> Result<Sources, Failure> {
    let (folders, nameless) = maildir::folders(root).at("read", root)?;
    let mut sources = Vec::new();
    let mut total = 0;
    for found in folders {
        let entries = maildir::entries(&found.path).at("read", &found.path)?;
        total += entries.len() as u64;
        let mailbox = match found.name {
            None => mailbox.unwrap_or("INBOX").to_owned(),
            Some(name) => below(mailbox, name),
        };
        sources.push(Source { mailbox, from: From::Maildir(found.path, entries) });
    }
    sources.extend(
        nameless.into_iter().map(|path| Source { mailbox: String::new(), from: From::Nameless(path) }),
    );
    Ok((sources, total, Unit::Messages))
}

fn below(mailbox: Option<&str>, name: String) -> String {
    mailbox.map_or_else(|| name.clone(), |above| format!("{above}/{name}"))
}

impl Importer {
    /// Takes all sources, one after the other.
    pub(super) async fn take_all(&mut self, sources: Vec<Source>) -> Result<(), Failure> {
        for source in sources {
            match source.from {
                From::Nameless(path) => {
                    self.failed(&path.display().to_string(), "this is no name for a mailbox: rename it");
                }
                From::Mbox(path) => {
                    self.open(&source.mailbox).await?;
                    self.take_mbox(&path).await?;
                }
                From::Maildir(folder, entries) => {
                    self.open(&source.mailbox).await?;
                    self.take_maildir(&folder, entries, &source.mailbox).await?;
                }
            }
        }
        Ok(())
    }

    async fn take_mbox(&mut self, path: &Path) -> Result<(), Failure> {
        let source: Box<dyn Read + Send> = match path == Path::new("-") {
            true => Box::new(std::io::stdin()),
            false => Box::new(File::open(path).at("read", path)?),
        };
        let mut reader = Reader::new(BufReader::with_capacity(BUFFER, source));
        let mut number = 0;
        let mut letter: Option<Letter> = None;
        while let Some(piece) = reader.next().at("read", path)? {
            match piece {
                Piece::Begin(date) => {
                    number += 1;
                    letter = Some(Letter::new(self.begin().await?, date));
                }
                Piece::Bytes(bytes) => {
                    if let Some(letter) = &mut letter {
                        letter.write(&bytes).await?;
                    }
                }
                Piece::End => {
                    if let Some(letter) = letter.take() {
                        let (incoming, marks, date) = letter.finish().await?;
                        let what = format!("message {number} of {}", path.display());
                        self.complete(incoming, what, marks, date).await?;
                    }
                    self.show(reader.position());
                }
            }
        }
        self.before += reader.position();
        Ok(())
    }

    async fn take_maildir(
        &mut self,
        folder: &Path,
        mut entries: Vec<maildir::Entry>,
        mailbox: &str,
    ) -> Result<(), Failure> {
        let names = maildir::keyword_names(folder).at("read", folder)?;
        let uids = UidList::read(folder).at("read", folder)?;
        // What has no UID yet has come last; the order is that of their times otherwise.
        entries.sort_by_key(|entry| uids.uid(&entry.path).unwrap_or(u32::MAX));
        let has_pop3 = stored_name(mailbox) == "INBOX";
        let mut buffer = vec![0; BUFFER];
        for entry in entries {
            let mut file = match File::open(&entry.path) {
                Ok(file) => file,
                Err(error) => {
                    self.failed(&entry.path.display().to_string(), &error.to_string());
                    continue;
                }
            };
            let mut incoming = self.begin().await?;
            let (mut lines, mut out) = (ToCrlf::default(), Vec::new());
            let read = loop {
                match file.read(&mut buffer) {
                    Ok(0) => break Ok(()),
                    Ok(n) => lines.feed(buffer.get(..n).unwrap_or_default(), &mut out),
                    Err(error) => break Err(error),
                }
                incoming.write(&out).await?;
                out.clear();
            };
            let what = entry.path.display().to_string();
            if let Err(error) = read {
                self.failed(&what, &error.to_string());
                continue;
            }
            let received = Timestamp::try_from(entry.received).ok().map(|at| DateTime::new(at, 0));
            let mut marks = maildir::marks(&entry.path, &names);
            if has_pop3 {
                marks.pop3_uidl = uids.pop3_uidl(&entry.path, &self.pop3_uidl);
            }
            self.complete(incoming, what, marks, received).await?;
            self.show(0);
        }
        Ok(())
    }
}

/// A message of an mbox: its header is held until the marks have been taken out of it.
struct Letter {
    incoming: Incoming,
    date: Option<DateTime>,
    header: Option<Vec<u8>>,
    marks: Marks,
}

impl Letter {
    fn new(incoming: Incoming, date: Option<DateTime>) -> Self {
        Self { incoming, date, header: Some(Vec::new()), marks: Marks::default() }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(mut header) = self.header.take() else { return self.incoming.write(bytes).await };
        header.extend_from_slice(bytes);
        match marks::header_end(&header) {
            Some(end) => self.pass_header(&header, end).await,
            None if header.len() > marks::HEADER => self.incoming.write(&header).await,
            None => {
                self.header = Some(header);
                Ok(())
            }
        }
    }

    async fn pass_header(&mut self, bytes: &[u8], end: usize) -> Result<(), Failure> {
        let (header, body) = bytes.split_at(end.min(bytes.len()));
        let (marks, left) = marks::take(header);
        self.marks = marks;
        self.incoming.write(&left).await?;
        self.incoming.write(body).await
    }

    async fn finish(mut self) -> Result<(Incoming, Marks, Option<DateTime>), Failure> {
        if let Some(header) = self.header.take() {
            self.pass_header(&header, header.len()).await?;
        }
        Ok((self.incoming, self.marks, self.date))
    }
}
