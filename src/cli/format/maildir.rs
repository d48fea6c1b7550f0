//! Maildir: a file for each message, its flags in the file's name; Maildir++ folders beside `cur` as `.Name.Below`.
//!
//! Letters behind `:2,` are D draft, F flagged, P passed on, R replied, S seen, T trashed; small letters are keywords,
//! named in the file `dovecot-keywords` of the folder. The time of the file is the time the message was received.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::folder;
use super::marks::Marks;
use crate::mail::Flags;

const LETTERS: [(u8, Flags); 5] = [
    (b'D', Flags::DRAFT),
    (b'F', Flags::FLAGGED),
    (b'R', Flags::ANSWERED),
    (b'S', Flags::SEEN),
    (b'T', Flags::DELETED),
];
/// The keyword that P stands for.
const FORWARDED: &str = "$Forwarded";
/// Keywords that a folder can name: a to z.
const KEYWORDS: usize = 26;
const KEYWORD_FILE: &str = "dovecot-keywords";

/// A folder of a Maildir.
#[derive(Debug, PartialEq, Eq)]
pub struct Folder {
    /// Name of the mailbox; `None` for the Maildir itself.
    pub name: Option<String>,
    /// Where it is.
    pub path: PathBuf,
}

/// The Maildir itself and the folders in it, and those whose names cannot be read.
pub fn folders(root: &Path) -> io::Result<(Vec<Folder>, Vec<PathBuf>)> {
    if !root.join("cur").is_dir() && !root.join("new").is_dir() {
        let text = "it has neither cur nor new in it: this is no Maildir";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut found = vec![Folder { name: None, path: root.to_owned() }];
    let mut unreadable = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let Some(file) = path.file_name().map(|name| name.as_encoded_bytes()) else { continue };
        let Some(name) = file.strip_prefix(b".") else { continue };
        if !path.join("cur").is_dir() && !path.join("new").is_dir() {
            continue;
        }
        match folder::decode(name) {
            Some(name) => found.push(Folder { name: Some(name), path }),
            None => unreadable.push(path),
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok((found, unreadable))
}

/// A message's file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// When it was received.
    pub received: SystemTime,
    /// The file.
    pub path: PathBuf,
}

/// The messages of a folder, the oldest first. What is in `tmp` has not arrived.
pub fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for part in ["cur", "new"] {
        let entries = match fs::read_dir(folder.join(part)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let facts = fs::metadata(entry.path())?;
            if facts.is_file() && !hidden {
                found.push(Entry { received: facts.modified()?, path: entry.path() });
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The keywords that small letters stand for in a folder.
pub fn keyword_names(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read(folder.join(KEYWORD_FILE)) {
        Ok(text) => Ok(parse_keyword_names(&String::from_utf8_lossy(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn parse_keyword_names(text: &str) -> Vec<String> {
    let mut names = vec![String::new(); KEYWORDS];
    for line in text.lines() {
        if let Some((number, name)) = line.split_once(' ')
            && let Some(place) = number.parse::<usize>().ok().and_then(|at| names.get_mut(at))
        {
            name.trim().clone_into(place);
        }
    }
    names
}

/// What a file's name says.
pub fn marks(path: &Path, names: &[String]) -> Marks {
    let mut marks = Marks::default();
    let name = path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    let Some(at) = memchr::memmem::rfind(name, b":2,") else { return marks };
    for &letter in name.get(at + 3..).unwrap_or_default().split(|&b| b == b',').next().unwrap_or_default() {
        match letter {
            b'P' => marks.keyword(FORWARDED.as_bytes()),
            b'a'..=b'z' => {
                let name = names.get(usize::from(letter - b'a')).map(String::as_str).unwrap_or_default();
                marks.keyword(name.as_bytes());
            }
            letter => {
                let flag = LETTERS.iter().find(|(known, _)| *known == letter);
                marks.flags |= flag.map_or(Flags::NONE, |(_, flag)| *flag);
            }
        }
    }
    marks
}

/// Writes a folder.
pub struct Writer {
    folder: PathBuf,
    names: Vec<String>,
    count: u64,
    /// Keywords that found no letter.
    pub lost_keywords: u64,
}

impl Writer {
    /// Makes the folder of mailbox `name` in the Maildir `root`; `None` is the Maildir itself.
    pub fn make(root: &Path, name: Option<&str>) -> io::Result<Self> {
        let folder =
            name.map_or_else(|| root.to_owned(), |name| root.join(format!(".{}", folder::encode(name))));
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(folder.join(part))?;
        }
        if name.is_some() {
            // Says that this is a folder of a Maildir, not a Maildir (Maildir++).
            fs::write(folder.join("maildirfolder"), b"")?;
        }
        Ok(Self { folder, names: Vec::new(), count: 0, lost_keywords: 0 })
    }

    /// A file to write the next message to.
    pub fn begin(&mut self) -> io::Result<(fs::File, PathBuf)> {
        self.count += 1;
        let path = self.folder.join("tmp").join(format!("{}.{}", std::process::id(), self.count));
        Ok((fs::File::create_new(&path)?, path))
    }

    /// Puts a written message in its place.
    pub fn finish(
        &mut self,
        file: fs::File,
        path: &Path,
        received: jiff::Timestamp,
        marks: &Marks,
    ) -> io::Result<()> {
        let seconds = received.as_second();
        let since = Duration::from_secs(seconds.unsigned_abs());
        let time = if seconds < 0 { SystemTime::UNIX_EPOCH - since } else { SystemTime::UNIX_EPOCH + since };
        file.set_modified(time)?;
        let size = file.metadata()?.len();
        drop(file);
        let unique = format!("{seconds}.P{}Q{}.mailwright,S={size}", std::process::id(), self.count);
        let letters = self.letters(marks);
        fs::rename(path, self.folder.join("cur").join(format!("{unique}:2,{letters}")))
    }

    /// Flags in the order of their letters, as the format asks.
    fn letters(&mut self, marks: &Marks) -> String {
        let mut letters: Vec<u8> = LETTERS
            .iter()
            .filter(|(_, flag)| marks.flags.contains(*flag))
            .map(|(letter, _)| *letter)
            .collect();
        for keyword in &marks.keywords {
            if keyword.eq_ignore_ascii_case(FORWARDED) {
                letters.push(b'P');
                continue;
            }
            let known = self.names.iter().position(|name| name.eq_ignore_ascii_case(keyword));
            let at = known.unwrap_or(self.names.len());
            if at >= KEYWORDS {
                self.lost_keywords += 1;
                continue;
            }
            if known.is_none() {
                self.names.push(keyword.clone());
            }
            letters.push(b'a' + at as u8);
        }
        letters.sort_unstable();
        letters.into_iter().map(char::from).collect()
    }

    /// Writes down what the small letters stand for.
    pub fn close(self) -> io::Result<()> {
        if self.names.is_empty() {
            return Ok(());
        }
        let mut file = fs::File::create(self.folder.join(KEYWORD_FILE))?;
        for (at, name) in self.names.iter().enumerate() {
            writeln!(file, "{at} {name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Marks {
        marks(Path::new(name), &parse_keyword_names("0 work\n2 $Junk\nx y\n99 z\n3\n"))
    }

    #[test]
    fn flags_of_names() {
        for name in ["", "a", "a:2,", "a:1,S", "a:2,X9", "a,S=5"] {
            assert_eq!(of(name), Marks::default(), "{name}");
        }
        let found = of("1700000000.M1P2Q3.host,S=12:2,DFRSTPacbz");
        assert_eq!(found.flags, Flags::ALL);
        assert_eq!(found.keywords, [FORWARDED, "work", "$Junk"]);
        assert_eq!(of("a:2,S,x").flags, Flags::SEEN);
    }

    #[test]
    fn what_is_written_is_read() {
        let root = std::env::temp_dir().join(format!("mailwright-maildir-{}", std::process::id()));
        let mut writer = Writer::make(&root, None).unwrap();
        Writer::make(&root, Some("Work/v1.0")).unwrap();
        let all = Marks {
            flags: Flags::ALL,
            keywords: vec!["b".into(), "$forwarded".into(), "a".into()],
            ..Marks::default()
        };
        for (time, marks) in [(5, &all), (-5, &Marks::default())] {
            let (file, path) = writer.begin().unwrap();
            (&file).write_all(b"Subject: x\n").unwrap();
            writer.finish(file, &path, jiff::Timestamp::from_second(time).unwrap(), marks).unwrap();
        }
        writer.close().unwrap();
        let (folders, unreadable) = folders(&root).unwrap();
        let found = entries(&root).unwrap();
        let read: Vec<Marks> =
            found.iter().map(|entry| marks(&entry.path, &keyword_names(&root).unwrap())).collect();
        fs::remove_dir_all(&root).unwrap();
        assert!(unreadable.is_empty());
        let names: Vec<Option<&str>> = folders.iter().map(|folder| folder.name.as_deref()).collect();
        assert_eq!(names, [None, Some("Work/v1.0")]);
        assert_eq!(found[0].received, SystemTime::UNIX_EPOCH - Duration::from_secs(5));
        assert_eq!(read[0], Marks::default());
        assert_eq!(read[1].flags, Flags::ALL);
        // Letters are sorted, and so are the keywords by them.
        assert_eq!(read[1].keywords, [FORWARDED, "b", "a"]);
    }

    #[test]
    fn keywords_run_out() {
        let mut writer = Writer { folder: PathBuf::new(), names: Vec::new(), count: 0, lost_keywords: 0 };
        let keywords = (0..30).map(|n| format!("k{n}")).collect();
        let marks = Marks { keywords, ..Marks::default() };
        assert_eq!(writer.letters(&marks), ('a'..='z').collect::<String>());
        assert_eq!(writer.lost_keywords, 4);
    }
}
