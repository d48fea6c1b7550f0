//! State kept right under concurrency: sessions of every kind on one mailbox, on two nodes, while SQL changes it by hand.
//!
//! Each client keeps a model of its mailbox by the rules of the protocol alone, and holds every answer against it: sequence
//! numbers, UIDs, flags, modseqs. What only one client changes (a keyword of its own) must be as that client left it. From
//! time to time a connection breaks, and what is told by QRESYNC must make the model whole. In the end all of it is what
//! the tables hold.
//!
//! MAILWRIGHT_STRESS_SECONDS says how long (20 by default), MAILWRIGHT_STRESS_SEED with which choices; the seed is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::support::dialogue::Language;
use crate::support::{Daemon, Database, Dialogue};

/// Messages to begin with, and about how many there are to be.
const MESSAGES: usize = 40;

/// Choices without a crate: splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// What a client has enabled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Plain,
    CondStore,
    QResync,
    UidOnly,
    UidOnlyQResync,
    Rev2,
}

impl Kind {
    fn enables(self) -> &'static str {
        match self {
            Kind::Plain => "X-NOTHING",
            Kind::CondStore => "CONDSTORE",
            Kind::QResync => "QRESYNC",
            Kind::UidOnly => "UIDONLY",
            Kind::UidOnlyQResync => "UIDONLY QRESYNC",
            Kind::Rev2 => "IMAP4rev2 QRESYNC",
        }
    }

    fn by_uid(self) -> bool {
        matches!(self, Kind::UidOnly | Kind::UidOnlyQResync)
    }

    fn resyncs(self) -> bool {
        matches!(self, Kind::QResync | Kind::UidOnlyQResync | Kind::Rev2)
    }

    fn vanished(self) -> bool {
        self.by_uid() || self.resyncs()
    }

    fn knows_modseq(self) -> bool {
        self == Kind::CondStore || self.resyncs()
    }
}

type Flags = BTreeSet<String>;

/// A message as a client knows it.
#[derive(Clone, Debug, Default)]
struct Message {
    uid: Option<u32>,
    flags: Option<Flags>,
    modseq: u64,
}

/// What a command in progress allows and has brought.
#[derive(Default)]
struct Progress {
    /// It is about sequence numbers: nothing may be expunged under it.
    fixed: bool,
    /// UIDs whose flags were told.
    told: BTreeSet<u32>,
    /// Messages whose own keyword is being changed: it may be told as it was or as it will be.
    changing: BTreeSet<u32>,
    /// HIGHESTMODSEQ in a response code.
    code: Option<u64>,
    /// The highest MODSEQ told.
    modseq: u64,
    /// The command was answered with NO: some of its messages are gone.
    refused: bool,
}

struct Client {
    kind: Kind,
    name: String,
    ports: [u16; 2],
    imap: Dialogue,
    chance: Chance,
    messages: Vec<Message>,
    /// The keyword that only this client sets, and where it is set; UIDs of which it isn't known are missing.
    own: BTreeMap<u32, bool>,
    uid_validity: u32,
    /// Up to this UID it knows every message.
    complete: u32,
    /// Up to where it has been told everything, by the rules of RFC 7162 §6.
    highest_modseq: u64,
    progress: Progress,
    /// What was \Recent, in each of its sessions.
    recent: Vec<BTreeSet<u32>>,
    /// The last things that were said, for when something is wrong.
    said: Vec<String>,
    commands: u64,
}

/// Numbers as a set: ranges where they touch.
fn set(numbers: impl IntoIterator<Item = u32>) -> String {
    let numbers: BTreeSet<u32> = numbers.into_iter().collect();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let ranges = ranges.iter().map(|&(a, b)| if a == b { a.to_string() } else { format!("{a}:{b}") });
    ranges.collect::<Vec<_>>().join(",")
}

fn numbers(set: &str) -> Vec<u32> {
    set.split(',')
        .filter(|range| !range.is_empty())
        .flat_map(|range| {
            let (first, last) = range.split_once(':').unwrap_or((range, range));
            first.parse::<u32>().unwrap()..=last.parse::<u32>().unwrap()
        })
        .collect()
}

/// What stands behind `start` up to `end`.
fn between<'a>(text: &'a str, start: &str, end: char) -> Option<&'a str> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(&rest[..rest.find(end)?])
}

fn flags(text: &str) -> Option<Flags> {
    let flags = between(text, "FLAGS (", ')')?;
    Some(flags.split_whitespace().filter(|flag| *flag != "\\Recent").map(str::to_owned).collect())
}

impl Client {
    async fn new(kind: Kind, number: usize, ports: [u16; 2], seed: u64) -> Client {
        let imap = connect(ports[number % 2]).await;
        let mut client = Client {
            kind,
            name: format!("$c{number}"),
            ports,
            imap,
            chance: Chance(seed ^ (number as u64 + 1).wrapping_mul(0x1234_5678_9abc_def1)),
            messages: Vec::new(),
            own: BTreeMap::new(),
            uid_validity: 0,
            complete: 0,
            highest_modseq: 0,
            progress: Progress::default(),
            recent: vec![BTreeSet::new()],
            said: Vec::new(),
            commands: 0,
        };
        client.run(&format!("ENABLE {}", kind.enables())).await;
        client.select("").await;
        client.learn_all().await;
        client
    }

    fn wrong(&self, what: &str) -> ! {
        let said = self.said[self.said.len().saturating_sub(60)..].join("\n  ");
        panic!(
            "{what}\n{:?} {} believes: {:?}\nthe dialogue:\n  {said}",
            self.kind, self.name, self.messages
        );
    }

    fn check(&self, right: bool, what: &str) {
        if !right {
            self.wrong(what);
        }
    }

    /// Runs a command and takes in all that comes; returns its own answer.
    async fn run(&mut self, command: &str) -> String {
        self.said.push(format!("C: {command}"));
        self.commands += 1;
        let sequence = ["FETCH", "STORE", "SEARCH"].iter().any(|name| command.starts_with(name));
        self.progress = Progress {
            fixed: sequence,
            changing: std::mem::take(&mut self.progress.changing),
            ..Progress::default()
        };
        self.imap.send_bytes(format!("t {command}\r\n").as_bytes()).await;
        self.until_tag().await
    }

    async fn until_tag(&mut self) -> String {
        loop {
            let answer = self.imap.answer().await;
            self.said.push(format!("S: {answer}"));
            if let Some(answer) = answer.strip_prefix("t ") {
                self.end(answer);
                return answer.to_owned();
            }
            self.take(&answer);
        }
    }

    /// A command has ended: RFC 7162 §6 says what is known to be known.
    fn end(&mut self, answer: &str) {
        if let Some(modseq) = between(answer, "[HIGHESTMODSEQ ", ']') {
            self.progress.code = Some(modseq.parse().unwrap());
        }
        self.highest_modseq = match self.progress.code {
            Some(code) => code,
            None => self.highest_modseq.max(self.progress.modseq),
        };
        self.check(!answer.starts_with("BAD"), "the command was not understood");
        if self.messages.iter().all(|message| message.uid.is_some() && message.flags.is_some()) {
            self.complete = self.messages.last().and_then(|message| message.uid).unwrap_or(self.complete);
        } else if let Some(gap) =
            self.messages.iter().position(|message| message.uid.is_some() && message.flags.is_none())
        {
            self.complete = self.complete.min(self.messages[gap].uid.unwrap_or(0) - 1);
        }
    }

    /// Holds an untagged answer against the model, and works it in.
    fn take(&mut self, answer: &str) {
        let Some(answer) = answer.strip_prefix("* ") else {
            self.check(answer.starts_with('+'), "what is this?");
            return;
        };
        if let Some(modseq) = answer.strip_prefix("OK [HIGHESTMODSEQ ") {
            self.progress.code = modseq.split(']').next().unwrap().parse().ok();
        } else if let Some(validity) = answer.strip_prefix("OK [UIDVALIDITY ") {
            self.uid_validity = validity.split(']').next().unwrap().parse().unwrap();
        } else if let Some(uids) = answer.strip_prefix("VANISHED (EARLIER) ") {
            for uid in numbers(uids) {
                let known = self.messages.iter().position(|message| message.uid == Some(uid));
                if let Some(at) = known {
                    self.messages.remove(at);
                }
                self.own.remove(&uid);
            }
        } else if let Some(uids) = answer.strip_prefix("VANISHED ") {
            self.check(self.kind.vanished(), "VANISHED for a client that knows none");
            self.check(!self.progress.fixed, "VANISHED while sequence numbers must not change");
            numbers(uids).into_iter().for_each(|uid| self.vanish(uid));
        } else if let Some((number, rest)) = answer.split_once(' ')
            && let Ok(number) = number.parse::<u32>()
        {
            self.numbered(number, rest);
        }
    }

    fn numbered(&mut self, number: u32, rest: &str) {
        if rest == "EXISTS" {
            let count = number as usize;
            self.check(count >= self.messages.len(), "EXISTS says less than was known");
            self.messages.resize_with(count, Message::default);
        } else if rest == "EXPUNGE" {
            self.check(!self.kind.vanished(), "EXPUNGE for a client that is told by UIDs");
            self.check(!self.progress.fixed, "EXPUNGE while sequence numbers must not change");
            self.check((1..=self.messages.len()).contains(&(number as usize)), "EXPUNGE of no message");
            let gone = self.messages.remove(number as usize - 1);
            gone.uid.map(|uid| self.own.remove(&uid));
        } else if let Some(items) = rest.strip_prefix("FETCH ") {
            self.check(!self.kind.by_uid(), "a sequence number, with UIDONLY");
            self.check((1..=self.messages.len()).contains(&(number as usize)), "FETCH of no message");
            self.fetched(number as usize - 1, items);
        } else if let Some(items) = rest.strip_prefix("UIDFETCH ") {
            self.check(self.kind.by_uid(), "UIDFETCH without UIDONLY");
            self.make_place(number);
            let at = self.place(number);
            self.messages[at].uid = Some(number);
            self.fetched(at, items);
        }
    }

    /// Where a message with this UID stands, or one whose UID is not known yet and could be this.
    fn place(&self, uid: u32) -> usize {
        let known = self.messages.iter().position(|message| message.uid == Some(uid));
        known.unwrap_or_else(|| {
            let after =
                self.messages.iter().rposition(|message| message.uid.is_some_and(|known| known < uid));
            let at = after.map_or(0, |at| at + 1);
            let unknown = self.messages.get(at).is_some_and(|message| message.uid.is_none());
            self.check(unknown, &format!("UID {uid} has no place among the messages"));
            at
        })
    }

    /// Without sequence numbers nobody can say which of those that are not known yet this is: it takes the place of one.
    fn make_place(&mut self, uid: u32) {
        if !self.kind.by_uid() || self.messages.iter().any(|message| message.uid == Some(uid)) {
            return;
        }
        let Some(unknown) = self.messages.iter().position(|message| message.uid.is_none()) else {
            self.wrong(&format!("UID {uid} is one more than there are messages"));
        };
        self.messages.remove(unknown);
        let after = self.messages.iter().rposition(|message| message.uid.is_some_and(|known| known < uid));
        self.messages.insert(after.map_or(0, |at| at + 1), Message::default());
    }

    fn vanish(&mut self, uid: u32) {
        self.make_place(uid);
        let at = self.place(uid);
        self.messages.remove(at);
        self.own.remove(&uid);
    }

    fn fetched(&mut self, at: usize, items: &str) {
        if let Some(uid) = between(&format!("{items} "), "UID ", ' ').map(|uid| uid.trim_end_matches(')')) {
            let uid: u32 = uid.parse().unwrap();
            let known = self.messages[at].uid;
            self.check(
                known.is_none_or(|known| known == uid),
                "a sequence number means another message than it did",
            );
            let before = self.messages[..at].iter().rev().find_map(|message| message.uid);
            let after = self.messages[at + 1..].iter().find_map(|message| message.uid);
            let ordered = before.is_none_or(|before| before < uid) && after.is_none_or(|after| uid < after);
            self.check(ordered, "UIDs do not rise");
            self.messages[at].uid = Some(uid);
        }
        if let Some(modseq) = between(items, "MODSEQ (", ')') {
            let modseq: u64 = modseq.parse().unwrap();
            self.check(modseq >= self.messages[at].modseq, "a modseq has fallen");
            self.messages[at].modseq = modseq;
            self.progress.modseq = self.progress.modseq.max(modseq);
        }
        let Some(flags) = flags(items) else { return };
        // What is told unasked begins with the UID; what was asked for must be what is known.
        let unasked = items.starts_with("(UID ") || (self.kind.by_uid() && !items.contains(" UID "));
        if unasked {
            let with_modseq = items.contains("MODSEQ (");
            self.check(
                with_modseq == self.kind.knows_modseq(),
                "MODSEQ goes with flags where it is known, and only there",
            );
        }
        if let (false, Some(known)) = (unasked, &self.messages[at].flags) {
            self.check(*known == flags, "flags are not what was told");
        }
        if let Some(uid) = self.messages[at].uid {
            self.progress.told.insert(uid);
            if items.contains("\\Recent") {
                self.check(self.kind != Kind::Rev2, "\\Recent in IMAP4rev2");
                self.recent.last_mut().unwrap().insert(uid);
            }
            let has_own = flags.contains(&self.name);
            if !self.progress.changing.contains(&uid) {
                let left = *self.own.entry(uid).or_insert(has_own);
                self.check(
                    left == has_own,
                    "a change was lost: the keyword of this client is not as it left it",
                );
            }
        }
        self.messages[at].flags = Some(flags);
    }

    // Getting to know ---------------------------------------------------------------------------------------------

    async fn select(&mut self, arguments: &str) {
        self.messages.clear();
        let answer = self.run(&format!("SELECT INBOX{arguments}")).await;
        self.check(answer.starts_with("OK [READ-WRITE]"), "INBOX cannot be selected");
    }

    /// Fetches what is not known yet.
    async fn learn(&mut self) {
        if !self.messages.iter().any(|message| message.uid.is_none() || message.flags.is_none()) {
            return;
        }
        if self.kind.by_uid() {
            self.run("UID FETCH 1:* (FLAGS)").await;
            return;
        }
        let unknown = (1u32..).zip(&self.messages).filter(|(_, m)| m.uid.is_none() || m.flags.is_none());
        let unknown = set(unknown.map(|(number, _)| number));
        self.run(&format!("FETCH {unknown} (FLAGS UID)")).await;
    }

    async fn learn_all(&mut self) {
        let command = if self.kind.by_uid() { "UID FETCH 1:* (FLAGS)" } else { "FETCH 1:* (FLAGS UID)" };
        if !self.messages.is_empty() {
            self.run(command).await;
        }
    }

    fn uids(&self) -> Vec<u32> {
        self.messages.iter().filter_map(|message| message.uid).collect()
    }

    // Doing -------------------------------------------------------------------------------------------------------

    async fn step(&mut self) {
        let uids = self.uids();
        let many = uids.len() > MESSAGES + 20;
        match self.chance.below(20) {
            0 | 1 if !many => self.append().await,
            2 if !many => self.copy("INBOX").await,
            3 => self.copy("Archive").await,
            4 if uids.len() > MESSAGES / 2 => self.relocate().await,
            5 | 6 if uids.len() > MESSAGES / 2 => self.expunge().await,
            7..=10 => self.store_own().await,
            11 | 12 => self.store_shared().await,
            13 => self.look_at_all().await,
            14 => self.idle().await,
            15 if self.kind.resyncs() => self.break_off().await,
            16 => self.search().await,
            17 => _ = self.run("NOOP").await,
            _ => self.learn().await,
        }
    }

    /// Some messages: the set for a command, its prefix, and their UIDs.
    fn some(&mut self) -> Option<(&'static str, String, Vec<u32>)> {
        let count = 1 + self.chance.below(4);
        let known: Vec<usize> =
            (0..self.messages.len()).filter(|&at| self.messages[at].uid.is_some()).collect();
        if known.is_empty() {
            return None;
        }
        let chosen: BTreeSet<usize> = (0..count).map(|_| *self.chance.of(&known)).collect();
        let uids: Vec<u32> = chosen.iter().filter_map(|&at| self.messages[at].uid).collect();
        if self.kind.by_uid() || self.chance.one_in(2) {
            return Some(("UID ", set(uids.iter().copied()), uids));
        }
        Some(("", set(chosen.iter().map(|&at| at as u32 + 1)), uids))
    }

    async fn append(&mut self) {
        let flags = *self.chance.of(&["", "(\\Seen) ", "(\\Flagged $shared) "]);
        let message = "Subject: stress\r\n\r\nhello\r\n";
        let answer = self.run(&format!("APPEND INBOX {flags}{{{}+}}\r\n{message}", message.len())).await;
        self.check(answer.starts_with("OK"), "APPEND failed");
    }

    async fn copy(&mut self, to: &str) {
        let Some((uid, set, _)) = self.some() else { return };
        self.run(&format!("{uid}COPY {set} {to}")).await;
    }

    async fn relocate(&mut self) {
        let Some((uid, set, _)) = self.some() else { return };
        let answer = self.run(&format!("{uid}MOVE {set} Archive")).await;
        if answer.starts_with("OK") {
            self.run("NOOP").await;
        }
    }

    async fn expunge(&mut self) {
        let Some((uid, set, uids)) = self.some() else { return };
        self.store(uid, &set, &uids, "+FLAGS.SILENT", "\\Deleted", None).await;
        if self.chance.one_in(3) {
            self.run("EXPUNGE").await;
        } else {
            self.run(&format!("UID EXPUNGE {}", crate::imap_stress::set(uids))).await;
        }
    }

    async fn store_own(&mut self) {
        let Some((uid, set, uids)) = self.some() else { return };
        let what = *self.chance.of(&["+FLAGS", "-FLAGS", "+FLAGS.SILENT", "-FLAGS.SILENT"]);
        let limit = (self.kind.knows_modseq() && self.chance.one_in(3)).then_some(self.highest_modseq);
        let name = self.name.clone();
        self.progress.changing = uids.iter().copied().collect();
        let untouched = self.store(uid, &set, &uids, what, &name, limit).await;
        self.progress.changing.clear();
        if self.progress.refused {
            // Some are gone, and stay as they were as long as they are seen; the others have been changed.
            uids.iter().for_each(|uid| _ = self.own.remove(uid));
            return;
        }
        for uid in uids {
            let there = self.messages.iter().find(|message| message.uid == Some(uid));
            if there.is_none() {
                continue;
            }
            if !untouched.contains(&uid) {
                self.own.insert(uid, what.starts_with('+'));
            }
            let known = there.and_then(|message| message.flags.as_ref());
            if let (Some(flags), Some(&left)) = (known, self.own.get(&uid)) {
                self.check(
                    flags.contains(&self.name) == left,
                    "what this client has stored is not what it is told",
                );
            }
        }
    }

    async fn store_shared(&mut self) {
        let Some((uid, set, uids)) = self.some() else { return };
        let what = *self.chance.of(&["+FLAGS", "-FLAGS", "+FLAGS.SILENT", "-FLAGS.SILENT"]);
        let flag = *self.chance.of(&["\\Seen", "\\Answered", "\\Flagged", "$shared"]);
        let limit = (self.kind.knows_modseq() && self.chance.one_in(3)).then_some(self.highest_modseq);
        self.store(uid, &set, &uids, what, flag, limit).await;
    }

    /// Stores one flag, and works into the model what is not told; returns the UIDs that were left alone.
    async fn store(
        &mut self,
        uid: &str,
        set: &str,
        uids: &[u32],
        what: &str,
        flag: &str,
        limit: Option<u64>,
    ) -> BTreeSet<u32> {
        let modifier = limit.map_or(String::new(), |limit| format!(" (UNCHANGEDSINCE {limit})"));
        let by_number: BTreeMap<u32, u32> =
            (1u32..).zip(&self.messages).filter_map(|(number, m)| Some((number, m.uid?))).collect();
        let answer = self.run(&format!("{uid}STORE {set}{modifier} {what} ({flag})")).await;
        let modified = between(&answer, "[MODIFIED ", ']').map(numbers).unwrap_or_default();
        let modified: BTreeSet<u32> = modified
            .into_iter()
            .filter_map(|number| if uid.is_empty() { by_number.get(&number).copied() } else { Some(number) })
            .collect();
        self.check(limit.is_some() || modified.is_empty(), "MODIFIED without UNCHANGEDSINCE");
        self.progress.refused = answer.starts_with("NO");
        let refused = self.progress.refused;
        for message in &mut self.messages {
            let Some(uid) = message.uid.filter(|uid| uids.contains(uid)) else { continue };
            if modified.contains(&uid) || self.progress.told.contains(&uid) {
                continue;
            }
            if refused {
                message.flags = None;
            } else if let Some(flags) = &mut message.flags {
                if what.starts_with('+') {
                    flags.insert(flag.to_owned());
                } else {
                    flags.remove(flag);
                }
            }
        }
        modified
    }

    async fn look_at_all(&mut self) {
        self.run("NOOP").await;
        self.learn_all().await;
    }

    async fn search(&mut self) {
        let command =
            if self.kind.by_uid() || self.chance.one_in(2) { "UID SEARCH SEEN" } else { "SEARCH SEEN" };
        self.run(command).await;
    }

    /// Waits in IDLE until something is told, or a moment.
    async fn idle(&mut self) {
        self.said.push("C: IDLE".to_owned());
        self.progress = Progress::default();
        self.imap.send("t IDLE").await;
        loop {
            let answer = self.imap.answer().await;
            self.said.push(format!("S: {answer}"));
            if answer.starts_with('+') {
                break;
            }
            self.take(&answer);
        }
        if let Ok(answer) = timeout(Duration::from_millis(100), self.imap.answer()).await {
            self.said.push(format!("S: {answer}"));
            self.take(&answer);
        }
        self.imap.send_bytes(b"DONE\r\n").await;
        self.until_tag().await;
    }

    /// The connection breaks, and the client comes back, on either node.
    async fn break_off(&mut self) {
        let port = *self.chance.of(&self.ports.clone());
        self.said.push("-- a new connection --".to_owned());
        self.imap = connect(port).await;
        self.recent.push(BTreeSet::new());
        self.run(&format!("ENABLE {}", self.kind.enables())).await;
        // What stands behind a message that isn't known may be known by chance: as good as unknown.
        let mut cache: Vec<Message> = std::mem::take(&mut self.messages);
        cache.retain(|message| message.uid.is_some_and(|uid| uid <= self.complete));
        let known = if self.chance.one_in(2) && !cache.is_empty() {
            format!(" {}", set(cache.iter().filter_map(|message| message.uid)))
        } else {
            String::new()
        };
        let since = (self.uid_validity, self.highest_modseq);
        self.come_back(since, &known, cache).await;
    }

    /// Makes an old model whole by QRESYNC, and sees whether it is.
    async fn come_back(&mut self, (validity, modseq): (u32, u64), known: &str, cache: Vec<Message>) {
        let highest = cache.iter().filter_map(|message| message.uid).max().unwrap_or(0);
        self.said.push(format!("C: SELECT INBOX (QRESYNC ({validity} {modseq}{known}))"));
        self.progress = Progress::default();
        self.imap.send(&format!("t SELECT INBOX (QRESYNC ({validity} {modseq}{known}))")).await;
        let mut cache: BTreeMap<u32, Message> =
            cache.into_iter().filter_map(|message| Some((message.uid?, message))).collect();
        let mut exists = 0;
        loop {
            let answer = self.imap.answer().await;
            self.said.push(format!("S: {answer}"));
            if let Some(answer) = answer.strip_prefix("t ") {
                self.end(answer);
                break;
            }
            if let Some(count) = answer.strip_suffix(" EXISTS") {
                exists = count.trim_start_matches("* ").parse().unwrap();
            } else if let Some(uids) = answer.strip_prefix("* VANISHED (EARLIER) ") {
                for uid in numbers(uids) {
                    cache.remove(&uid);
                    self.own.remove(&uid);
                }
            } else if answer.contains("FETCH (") {
                let uid = match answer.split_once(" UIDFETCH (") {
                    Some((uid, _)) => uid.trim_start_matches("* ").parse().unwrap(),
                    None => between(&answer, "(UID ", ' ').unwrap().parse().unwrap(),
                };
                let modseq = between(&answer, "MODSEQ (", ')').unwrap().parse().unwrap();
                let message = Message { uid: Some(uid), flags: flags(&answer), modseq };
                if uid <= highest {
                    cache.insert(uid, message);
                }
            } else if let Some(modseq) = answer.strip_prefix("* OK [HIGHESTMODSEQ ") {
                self.progress.code = modseq.split(']').next().unwrap().parse().ok();
            }
        }
        self.highest_modseq = self.progress.code.unwrap();
        // What has come since is fetched; what is cached must be there, all of it, and as it is.
        self.messages = cache.into_values().collect();
        self.check(self.messages.len() <= exists, "more is known than there is");
        self.messages.resize_with(exists, Message::default);
        let known: Vec<Message> = self.messages.clone();
        self.learn_all().await;
        let lost = known.iter().filter_map(|message| message.uid).filter(|uid| *uid > highest).count();
        self.check(lost == 0, "a message was told that was not asked for");
        let unknown = self.messages.iter().filter(|message| message.uid.is_some_and(|uid| uid <= highest));
        let before = known.iter().filter(|message| message.uid.is_some()).count();
        self.check(unknown.count() <= before, "a message is there of which nothing was told");
    }

    /// The truth, when nobody changes anything any more.
    async fn compare(&mut self, db: &Database) {
        self.run("NOOP").await;
        self.learn().await;
        self.learn_all().await;
        let truth = truth(db).await;
        let believed: BTreeMap<u32, Flags> =
            self.messages.iter().map(|m| (m.uid.unwrap(), m.flags.clone().unwrap())).collect();
        self.check(believed == truth, &format!("this is not what there is: {truth:?}"));
        // STATUS and SEARCH say what SQL says.
        let with = |flag: &str| {
            truth.iter().filter(|(_, flags)| flags.contains(flag)).map(|(uid, _)| *uid).collect::<Vec<_>>()
        };
        let highest: i64 =
            db.value(&format!("select highest_modseq from store.mailbox where id = {INBOX}")).await;
        self.imap.send("s STATUS INBOX (MESSAGES UNSEEN DELETED HIGHESTMODSEQ)").await;
        let status = format!(
            "* STATUS INBOX (MESSAGES {} UNSEEN {} DELETED {} HIGHESTMODSEQ {highest})",
            truth.len(),
            truth.len() - with("\\Seen").len(),
            with("\\Deleted").len()
        );
        self.imap.expect(&status).await;
        self.imap.expect("s OK").await;
        for (key, flag) in [("SEEN", "\\Seen"), ("FLAGGED", "\\Flagged"), ("KEYWORD $shared", "$shared")] {
            self.imap.send(&format!("s UID SEARCH {key}")).await;
            let answer =
                self.imap.until_tag("s").await.into_iter().find(|answer| answer.contains("SEARCH")).unwrap();
            let found: Vec<u32> = match answer.split_once("ALL ") {
                Some((_, all)) => numbers(all),
                None if answer.contains("ESEARCH") => Vec::new(),
                None => numbers(&answer.trim_start_matches("* SEARCH").trim().replace(' ', ",")),
            };
            self.check(found == with(flag), &format!("SEARCH {key} does not find what there is: {answer}"));
        }
    }
}

const INBOX: &str = "(select m.id from store.mailbox m join directory.account a on a.id = m.account_id
    where a.local_part = 'alice' and m.name = 'INBOX')";

/// What the tables hold.
async fn truth(db: &Database) -> BTreeMap<u32, Flags> {
    let rows = db
        .rows(&format!(
            "select uid, array_remove(array[case when seen then '\\Seen' end, case when answered then '\\Answered' end,
               case when flagged then '\\Flagged' end, case when deleted then '\\Deleted' end,
               case when draft then '\\Draft' end], null) || coalesce(keywords, '{{}}')
             from store.message where mailbox_id = {INBOX}"
        ))
        .await;
    let messages = rows.iter().map(|row| {
        let flags: Vec<String> = row.get(1);
        (row.get::<_, i64>(0) as u32, flags.into_iter().collect())
    });
    messages.collect()
}

async fn connect(port: u16) -> Dialogue {
    let mut imap = Dialogue::tls(port, Language::Imap).await;
    imap.expect("* OK").await;
    imap.login("alice").await;
    imap
}

/// A person with SQL, who changes what comes to hand.
async fn by_hand(db: &Database, mut chance: Chance, until: Instant) -> u64 {
    let client = db.connect().await;
    let some =
        format!("(select ctid from store.message where mailbox_id = {INBOX} order by random() limit 2)");
    let archive = "(select m.id from store.mailbox m join directory.account a on a.id = m.account_id
        where a.local_part = 'alice' and m.name = 'Archive')";
    let mut done = 0;
    while Instant::now() < until {
        let statement = match chance.below(8) {
            0 | 1 => format!("update store.message set flagged = not flagged where ctid in {some}"),
            2 | 3 => format!(
                "update store.message set keywords = case when '$sql' = any(keywords) then array_remove(keywords, '$sql')
                 else keywords || '$sql'::text end where ctid in {some}"
            ),
            4 => format!(
                "delete from store.message where ctid in {some} and (select count(*) from store.message where mailbox_id = {INBOX}) > {MESSAGES}"
            ),
            5 => format!(
                "update store.message set mailbox_id = {archive} where ctid in {some} and (select count(*) from store.message where mailbox_id = {INBOX}) > {MESSAGES}"
            ),
            6 => format!(
                "insert into store.message (account_id, mailbox_id, uid, content_id, modseq, size, seen)
                 select account_id, mailbox_id, 0, content_id, 0, 0, true from store.message where mailbox_id = {INBOX} limit 1"
            ),
            _ => format!("update store.message set keywords = null where ctid in {some} and keywords = '{{$sql}}'"),
        };
        match client.batch_execute(&statement).await {
            Ok(()) => done += 1,
            // Others lock the same rows in another order: the database picks one, which tries again.
            Err(error) if error.code().is_some_and(|code| code.code() == "40P01") => {}
            Err(error) => panic!("{statement}: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_at_once_on_two_nodes() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seconds = number("MAILWRIGHT_STRESS_SECONDS").unwrap_or(20);
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("MAILWRIGHT_STRESS_SEED").unwrap_or_else(now);
    println!("MAILWRIGHT_STRESS_SEED={seed} MAILWRIGHT_STRESS_SECONDS={seconds}");

    let db = Database::new().await;
    let one = Daemon::start(&db).await;
    let two = one.second_node().await;
    let ports = [one.port("imaps"), two.port("imaps")];
    let mut first = connect(ports[0]).await;
    for _ in 0..MESSAGES {
        first.send_literal("a APPEND INBOX", b"Subject: x\r\n\r\nhello\r\n").await;
        first.expect("a OK").await;
    }
    drop(first);
    let kinds = [
        Kind::Plain,
        Kind::QResync,
        Kind::UidOnly,
        Kind::Rev2,
        Kind::CondStore,
        Kind::UidOnlyQResync,
        Kind::Plain,
        Kind::QResync,
    ];
    let mut clients = Vec::new();
    for (number, kind) in kinds.into_iter().enumerate() {
        clients.push(Client::new(kind, number, ports, seed).await);
    }
    // As it was at the beginning, for whoever comes back at the end.
    let beginning: Vec<(u32, u64, Vec<Message>)> =
        clients.iter().map(|c| (c.uid_validity, c.highest_modseq, c.messages.clone())).collect();

    let until = Instant::now() + Duration::from_secs(seconds);
    let running: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                while Instant::now() < until {
                    client.step().await;
                }
                client
            })
        })
        .collect();
    let changed = by_hand(&db, Chance(seed), until).await;
    let mut clients = Vec::new();
    for client in running {
        clients.push(client.await.unwrap());
    }
    let commands: u64 = clients.iter().map(|client| client.commands).sum();
    println!("{commands} commands, {changed} changes by SQL");
    assert!(commands > 100 && changed > 10, "hardly anything has happened");

    for client in &mut clients {
        client.compare(&db).await;
    }
    // RFC 3501 §2.3.2: a message is \Recent for one session.
    let mut recent = BTreeSet::new();
    for uid in clients.iter().flat_map(|client| client.recent.iter().flatten()) {
        assert!(recent.insert(*uid), "UID {uid} was \\Recent twice");
    }
    // Whoever missed all of it gets the same.
    for (client, (validity, modseq, cache)) in clients.iter_mut().zip(beginning) {
        if client.kind.resyncs() {
            client.run("UNSELECT").await;
            client.own.clear();
            client.come_back((validity, modseq), "", cache).await;
            client.own.clear();
            client.compare(&db).await;
        }
    }
    let drift: i64 = db
        .value(&format!(
            "select count(*) from store.mailbox b where b.id = {INBOX} and b.highest_modseq < (select max(modseq) from store.message m where m.mailbox_id = b.id)"
        ))
        .await;
    assert_eq!(drift, 0);
    let usage: bool = db
        .value("select bool_and(u.messages = (select count(*) from store.message m where m.account_id = u.account_id)) from store.usage u")
        .await;
    assert!(usage, "the count of messages has drifted");
}
