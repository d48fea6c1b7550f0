//! What a mail program does in a round, and how long each command took. Every answer is checked: a fast wrong one breaks the run.

use std::time::Instant;

use super::daemon::PASSWORD;
use super::letter::{self, Chance, LISTED, SUBJECT, Sizes, WORD, letter};
use super::trouble::Trouble;
use super::wire::{Answer, Client};

/// Messages whose headers are listed.
const NEWEST: usize = 50;
/// Messages whose bodies are read, and that are copied.
const READ: usize = 5;
const COPIED: usize = 3;
/// Since when `SEARCH SINCE` asks.
const SINCE: &str = "15-Sep-2026";

/// The commands that are told apart. Searches are, because they ask different things of a server.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Login,
    Select,
    Headers,
    Bodies,
    Store,
    Append,
    Copy,
    SearchFlag,
    SearchDate,
    SearchHeader,
    SearchBody,
    Expunge,
    Logout,
}

/// With what the report calls them.
pub const KINDS: [(Kind, &str); 13] = [
    (Kind::Login, "connect and LOGIN"),
    (Kind::Select, "SELECT"),
    (Kind::Headers, "FETCH headers of 50"),
    (Kind::Bodies, "FETCH bodies of 5"),
    (Kind::Store, "STORE"),
    (Kind::Append, "APPEND 4 KB"),
    (Kind::Copy, "COPY 3"),
    (Kind::SearchFlag, "SEARCH by flag"),
    (Kind::SearchDate, "SEARCH by date"),
    (Kind::SearchHeader, "SEARCH in subjects"),
    (Kind::SearchBody, "SEARCH in bodies"),
    (Kind::Expunge, "EXPUNGE"),
    (Kind::Logout, "LOGOUT"),
];

/// The searches, of which each round does one.
const SEARCHES: [Kind; 4] = [Kind::SearchFlag, Kind::SearchDate, Kind::SearchHeader, Kind::SearchBody];

/// A command that was answered.
pub struct Done {
    /// What it was.
    pub kind: Kind,
    /// How long it took.
    pub milliseconds: f64,
    at: Instant,
}

/// The commands of a run.
#[derive(Default)]
pub struct Tally(pub Vec<Done>);

impl Tally {
    fn add(&mut self, kind: Kind, began: Instant) {
        let at = Instant::now();
        self.0.push(Done { kind, milliseconds: (at - began).as_secs_f64() * 1e3, at });
    }

    /// Forgets what was answered after `end`.
    pub fn until(mut self, end: Instant) -> Self {
        self.0.retain(|done| done.at <= end);
        self
    }
}

/// An account, and what its INBOX must hold.
pub struct Account {
    user: String,
    number: usize,
    /// Of each message, bytes.
    sizes: Vec<u64>,
    /// Bytes of the listed header fields of the newest messages.
    listed: u64,
    /// Rounds, changes of a flag and messages appended so far.
    rounds: usize,
    stores: usize,
    appends: usize,
    /// UIDs of the messages that were appended and are still there.
    appended: Vec<u32>,
    chance: Chance,
}

impl Account {
    /// An account whose INBOX is to hold `count` messages.
    pub fn new(number: usize, count: usize) -> Self {
        let user = format!("u{number}@example.test");
        let mut account = Self {
            user,
            number,
            sizes: Vec::new(),
            listed: 0,
            rounds: 0,
            stores: 0,
            appends: 0,
            appended: Vec::new(),
            chance: Chance::new(number as u64),
        };
        for message in 1..=count {
            let letter = account.letter(message);
            account.sizes.push(letter.len() as u64);
            if message + NEWEST > count {
                account.listed += letter::listed_size(&letter, LISTED);
            }
        }
        account
    }

    fn letter(&self, message: usize) -> Vec<u8> {
        letter(&self.user, message, Sizes::of(message + self.number * 7_919))
    }

    /// Bytes that its INBOX is to hold.
    pub fn bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// Fills its INBOX. Then the UID of a message is its number.
    pub async fn fill(&self, port: u16) -> Result<(), Trouble> {
        let mut client = Client::login(port, &self.user, PASSWORD).await?;
        for message in 1..=self.sizes.len() {
            let flag = if is_flagged(message) { "(\\Flagged) " } else { "" };
            let line = format!("APPEND INBOX {flag}\"{:02}-Sep-2026 12:00:00 +0000\"", day(message));
            let answer = client.append(&line, &self.letter(message)).await?;
            if answer.code("[APPENDUID ") != Some(message as u32) {
                return Err(self.wrong(&line, &format!("UID {message}"), &answer.text));
            }
        }
        client.command("CREATE Copies").await?;
        client.command("LOGOUT").await?;
        Ok(())
    }

    /// Empties what earlier runs have copied to.
    pub async fn empty_copies(&self, port: u16) -> Result<(), Trouble> {
        let mut client = Client::login(port, &self.user, PASSWORD).await?;
        if client.command("SELECT Copies").await?.exists.unwrap_or(0) > 0 {
            client.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").await?;
        }
        client.command("CLOSE").await?;
        client.command("LOGOUT").await?;
        Ok(())
    }

    /// Connects and logs in.
    pub async fn login(&self, port: u16, tally: &mut Tally) -> Result<Client, Trouble> {
        let began = Instant::now();
        let client = Client::login(port, &self.user, PASSWORD).await?;
        tally.add(Kind::Login, began);
        Ok(client)
    }

    /// Logs out.
    pub async fn logout(&self, mut client: Client, tally: &mut Tally) -> Result<(), Trouble> {
        timed(&mut client, Kind::Logout, "LOGOUT", tally).await?;
        Ok(())
    }

    /// One round of a session that has logged in. What it changes, it changes back, this time or the next.
    pub async fn round(&mut self, client: &mut Client, tally: &mut Tally) -> Result<(), Trouble> {
        let search = SEARCHES.get(self.rounds % SEARCHES.len()).copied().unwrap_or(Kind::SearchFlag);
        self.rounds += 1;
        for kind in [Kind::Select, Kind::Headers, Kind::Bodies, Kind::Store, Kind::Append, Kind::Copy, search]
        {
            self.step(client, kind, tally).await?;
        }
        self.step(client, Kind::Expunge, tally).await
    }

    /// A command of one kind; for EXPUNGE, the STORE as well that it needs.
    pub async fn step(&mut self, client: &mut Client, kind: Kind, tally: &mut Tally) -> Result<(), Trouble> {
        match kind {
            // They are sessions, not steps of one.
            Kind::Login | Kind::Logout => Ok(()),
            Kind::Select => self.select(client, tally).await,
            Kind::Headers => self.headers(client, tally).await,
            Kind::Bodies => self.bodies(client, tally).await,
            Kind::Store => self.store(client, tally).await,
            Kind::Append => self.append(client, tally).await,
            Kind::Copy => self.copy(client, tally).await,
            Kind::Expunge => self.expunge(client, tally).await,
            Kind::SearchFlag | Kind::SearchDate | Kind::SearchHeader | Kind::SearchBody => {
                self.search(client, kind, tally).await
            }
        }
    }

    async fn select(&mut self, client: &mut Client, tally: &mut Tally) -> Result<(), Trouble> {
        let text = "SELECT INBOX";
        let answer = timed(client, Kind::Select, text, tally).await?;
        self.check(text, "messages", answer.exists.unwrap_or(0), self.sizes.len() + self.appended.len())
    }

    async fn headers(&mut self, client: &mut Client, tally: &mut Tally) -> Result<(), Trouble> {
        let count = self.sizes.len();
        let first = count.saturating_sub(NEWEST) + 1;
        let text =
            format!("UID FETCH {first}:{count} (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS ({LISTED})])");
        let answer = timed(client, Kind::Headers, &text, tally).await?;
        self.check(&text, "responses", answer.fetches, count + 1 - first)?;
        self.check(&text, "bytes", answer.literal_bytes, self.listed)
    }

    async fn bodies(&mut self, client: &mut Client, tally: &mut Tally) -> Result<(), Trouble> {
        let some = self.pick(READ);
        let text = format!("UID FETCH {} (UID BODY.PEEK[])", joined(&some));
        let answer = timed(client, Kind::Bodies, &text, tally).await?;
        self.check(&text, "responses", answer.fetches, some.len())?;
        let bytes: u64 = some.iter().filter_map(|message| self.sizes.get(message - 1)).sum();
        self.check(&text, "bytes", answer.literal_bytes, bytes)
    }

    /// Sets a flag, and takes it away again the next time.
    async fn store(&mut self, client: &mut Client, tally: &mut Tally) -> Result<(), Trouble> {
        let (sign, message) =
            (if self.stores.is_multiple_of(2) { '+' } else { '-' }, self.stores / 2 % self.sizes.len() + 1);
        self.stores += 1;
        let text = format!("UID STORE {message} {sign}FLAGS (\\Seen)");
        let answer = timed(client, Kind::Store, &text, tally).await?;
        self.check(&text, "responses", answer.fetches, 1)
    }

    async fn append(&mut self, client: &mut Client, tally: &mut Tally) -> Result<(), Trouble> {
        // A number that neither SUBJECT nor WORD is in, and that no other message has.
        self.appends += 1;
        let new = letter(&self.user, 1_000 + self.appends * 40, Sizes::SHORT);
        let text = "APPEND INBOX \"01-Sep-2026 12:00:00 +0000\"";
        let began = Instant::now();
        let answer = client.append(text, &new).await?;
        tally.add(Kind::Append, began);
        match answer.code("[APPENDUID ") {
            Some(uid) => self.appended.push(uid),
            None => return Err(self.wrong(text, "a UID", &answer.text)),
        }
        Ok(())
    }

    async fn copy(&mut self, client: &mut Client, tally: &mut Tally) -> Result<(), Trouble> {
        let text = format!("UID COPY {} Copies", joined(&self.pick(COPIED)));
        let answer = timed(client, Kind::Copy, &text, tally).await?;
        match answer.code("[COPYUID ") {
            Some(_) => Ok(()),
            None => Err(self.wrong(&text, "UIDs", &answer.text)),
        }
    }

    async fn search(&mut self, client: &mut Client, kind: Kind, tally: &mut Tally) -> Result<(), Trouble> {
        let all = 1..=self.sizes.len();
        let (criteria, hits) = match kind {
            Kind::SearchDate => (format!("SINCE {SINCE}"), all.filter(|n| day(*n) >= 15).count()),
            Kind::SearchHeader => {
                (format!("SUBJECT {SUBJECT}"), all.filter(|n| letter::has_subject(*n)).count())
            }
            Kind::SearchBody => (format!("BODY {WORD}"), all.filter(|n| letter::has_word(*n)).count()),
            _ => ("FLAGGED".to_owned(), all.filter(|n| is_flagged(*n)).count()),
        };
        let text = format!("UID SEARCH {criteria}");
        let answer = timed(client, kind, &text, tally).await?;
        self.check(&text, "hits", answer.hits, hits)
    }

    /// Removes the message that was appended last; nothing, when there is none.
    async fn expunge(&mut self, client: &mut Client, tally: &mut Tally) -> Result<(), Trouble> {
        let Some(uid) = self.appended.pop() else { return Ok(()) };
        let text = format!("UID STORE {uid} +FLAGS (\\Deleted)");
        let answer = timed(client, Kind::Store, &text, tally).await?;
        self.check(&text, "responses", answer.fetches, 1)?;
        let answer = timed(client, Kind::Expunge, "EXPUNGE", tally).await?;
        self.check("EXPUNGE", "responses", answer.expunges, 1)
    }

    /// Whether messages are left that were appended.
    pub fn has_appended(&self) -> bool {
        !self.appended.is_empty()
    }

    /// Removes all that were appended.
    pub async fn clear(&mut self, client: &mut Client) -> Result<(), Trouble> {
        if let Some(first) = self.appended.first() {
            client.command(&format!("UID STORE {first}:* +FLAGS.SILENT (\\Deleted)")).await?;
            let answer = client.command("EXPUNGE").await?;
            self.check("EXPUNGE", "responses", answer.expunges, self.appended.len())?;
        }
        self.appended.clear();
        Ok(())
    }

    /// Some different messages, in order.
    fn pick(&mut self, some: usize) -> Vec<usize> {
        let count = self.sizes.len();
        let mut picked: Vec<usize> = Vec::with_capacity(some);
        while picked.len() < some.min(count) {
            let message = self.chance.below(count) + 1;
            if !picked.contains(&message) {
                picked.push(message);
            }
        }
        picked.sort_unstable();
        picked
    }

    fn check<T: PartialEq + std::fmt::Display>(
        &self,
        command: &str,
        of: &str,
        got: T,
        wanted: T,
    ) -> Result<(), Trouble> {
        match got == wanted {
            true => Ok(()),
            false => Err(self.wrong(command, &format!("{wanted} {of}"), &got.to_string())),
        }
    }

    fn wrong(&self, command: &str, wanted: &str, got: &str) -> Trouble {
        Trouble::broken(format!("{}: {command} should have given {wanted}, and gave {got}", self.user))
    }
}

fn is_flagged(message: usize) -> bool {
    message.is_multiple_of(10)
}

/// The day of September on which a message came.
fn day(message: usize) -> usize {
    (message - 1) / 10 % 20 + 1
}

async fn timed(client: &mut Client, kind: Kind, text: &str, tally: &mut Tally) -> Result<Answer, Trouble> {
    let began = Instant::now();
    let answer = client.command(text).await?;
    tally.add(kind, began);
    Ok(answer)
}

fn joined(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}
