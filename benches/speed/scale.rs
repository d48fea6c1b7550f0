//! What mailboxes of 1,000, 100,000 and 1,000,000 messages cost: what a client does not ask for must not be paid for.
//!
//! Mailwright alone. Cold means that no session of the node has the mailbox open and the daemon has just been started, PostgreSQL
//! too; what the system has cached of files stays. Warm means that another session has the mailbox open.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use mailwright::store::view::{EntryRow, Loader, View};
use tokio_postgres::types::ToSql;

use super::daemon::{self, Daemon, PASSWORD};
use super::imap::LIMIT;
use super::letter::{Chance, Sizes, letter};
use super::report::{Figure, Runs, number, percentile, progress};
use super::trouble::{Trouble, within};
use super::wire::Client;
use super::{Bench, machine};

const USER: &str = "u1@example.test";
/// Contents that all messages share.
const CONTENTS: usize = 1_000;
/// Messages listed, as a client does when it opens a mailbox.
const NEWEST: usize = 50;
/// What is slow is measured three times at least, and for no longer than this in a round.
const PATIENCE: Duration = Duration::from_secs(5);
/// Flags changed before each QRESYNC.
const CHANGED: usize = 10;
/// Sessions that have the largest mailbox open when its memory is looked at.
const SESSIONS: usize = 10;
const FILL: &str = include_str!("sql/fill_mailbox.sql");
const SINCE: &str = include_str!("sql/count_since.sql");
const FIND: &str = include_str!("sql/find_mailbox.sql");
const LOAD: &str = include_str!("../../sql/store/load_view.sql");
/// The goals: newest 50 of the largest beside those of the smallest; bytes of memory for a message.
const GOAL_NEWEST: f64 = 2.0;
const GOAL_BYTES: f64 = 24.0;

/// A mailbox to measure.
struct Mailbox {
    name: String,
    account: i64,
    id: i64,
    count: usize,
    /// What `SEARCH SINCE` asks, and how many messages it must find.
    since: String,
    hits: usize,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq)]
enum What {
    SelectCold,
    NewestCold,
    Select,
    Newest,
    Store,
    Search,
    Resync,
}

const ALL: [(What, &str); 7] = [
    (What::SelectCold, "SELECT, cold"),
    (What::NewestCold, "FETCH newest 50, first time"),
    (What::Select, "SELECT, warm"),
    (What::Newest, "FETCH newest 50"),
    (What::Store, "STORE of one flag"),
    (What::Search, "UID SEARCH SINCE"),
    (What::Resync, "QRESYNC select"),
];

/// For one mailbox and one kind, medians and 99th percentiles of the rounds, in milliseconds.
#[derive(Clone, Default)]
struct Times {
    median: Runs,
    most: Runs,
}

/// Of each mailbox, in their order, the times of [`ALL`].
type Table = Vec<Vec<Times>>;

/// Measures and reports.
pub async fn run(bench: &mut Bench) -> Result<(), Trouble> {
    let (counts, rounds, samples) = match bench.quick {
        true => ([1_000, 5_000, 20_000], 1, 5),
        false => ([1_000, 100_000, 1_000_000], 3, 50),
    };
    let data_dir = bench.work.join("scale");
    let daemon = Daemon::start(&data_dir).await?;
    let mailboxes = fill(&daemon, counts).await?;
    daemon.stop().await?;
    let mut table: Table = mailboxes.iter().map(|_| vec![Times::default(); ALL.len()]).collect();
    let mut has_qresync = false;
    for round in 1..=rounds {
        progress(&format!("round {round} of {rounds}"));
        let daemon = Daemon::start(&data_dir).await?;
        for (mailbox, times) in mailboxes.iter().zip(&mut table) {
            for (at, milliseconds) in mailbox.measure(samples).await?.into_iter().enumerate() {
                has_qresync |=
                    ALL.get(at).is_some_and(|what| what.0 == What::Resync) && !milliseconds.is_empty();
                if let Some(times) = times.get_mut(at) {
                    times.add(milliseconds);
                }
            }
        }
        daemon.stop().await?;
    }
    bench.report.note(&format!(
        "{rounds} rounds, up to {samples} times each, {} s at most; medians (99th percentiles), ms",
        PATIENCE.as_secs()
    ));
    bench.report.note(
        "cold: the daemon and PostgreSQL just started, once in a round; files stay cached by the system",
    );
    bench.report.note("warm: another session has the mailbox open");
    report(bench, &mailboxes, &table);
    if !has_qresync {
        bench.report.note("QRESYNC: not offered by this server");
    }
    match mailboxes.last() {
        Some(largest) => memory(bench, &data_dir, largest).await,
        None => Ok(()),
    }
}

/// How often something is measured: some times, or until it has taken a while.
struct Samples {
    left: usize,
    /// However long they take.
    least: usize,
    until: Instant,
}

impl Samples {
    fn of(count: usize) -> Self {
        Self { left: count, least: count.saturating_sub(3), until: Instant::now() + PATIENCE }
    }

    /// Whether to go on.
    fn more(&mut self) -> bool {
        if self.left == 0 || (self.left <= self.least && Instant::now() > self.until) {
            return false;
        }
        self.left -= 1;
        true
    }
}

impl Times {
    fn add(&mut self, mut milliseconds: Vec<f64>) {
        if milliseconds.is_empty() {
            return;
        }
        milliseconds.sort_by(f64::total_cmp);
        self.median.0.push(percentile(&milliseconds, 0.5));
        self.most.0.push(percentile(&milliseconds, 0.99));
    }
}

/// Makes the mailboxes: real messages come in by APPEND, and SQL puts them into the mailboxes again and again.
async fn fill(daemon: &Daemon, counts: [usize; 3]) -> Result<Vec<Mailbox>, Trouble> {
    daemon.make_accounts(1).await?;
    daemon.obey(&["update control.imap set require_tls_for_login = false"]).await?;
    progress("filling");
    let mut client = Client::login(daemon::IMAP, USER, PASSWORD).await?;
    for message in 1..=CONTENTS {
        client.append("APPEND INBOX", &letter(USER, message, Sizes::small(message))).await?;
    }
    // As the daemon itself: the triggers for what people change are not for it.
    within(LIMIT, "setting up", daemon.sql.batch_execute("set mailwright.daemon = 'on'")).await?;
    let mut mailboxes = Vec::new();
    for count in counts {
        let name = format!("of-{count}");
        client.command(&format!("CREATE {name}")).await?;
        let row = within(LIMIT, "finding a mailbox", daemon.sql.query_one(FIND, &[&name])).await?;
        let (account, id): (i64, i64) = (row.get(0), row.get(1));
        let values: [&(dyn ToSql + Sync); 3] = [&account, &id, &(count as i64)];
        within(LIMIT, "filling a mailbox", daemon.sql.execute(FILL, &values)).await?;
        let since = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48);
        let values: [&(dyn ToSql + Sync); 3] = [&account, &id, &since.strftime("%Y-%m-%d").to_string()];
        let row = within(LIMIT, "counting messages", daemon.sql.query_one(SINCE, &values)).await?;
        let hits = row.get::<_, i64>(0) as usize;
        let since = since.strftime("%-d-%b-%Y").to_string();
        mailboxes.push(Mailbox { name, account, id, count, since, hits });
    }
    within(LIMIT, "vacuuming", daemon.sql.batch_execute("vacuum analyze")).await?;
    Ok(mailboxes)
}

impl Mailbox {
    /// Milliseconds of each time, for each of [`ALL`].
    async fn measure(&self, samples: usize) -> Result<[Vec<f64>; ALL.len()], Trouble> {
        let mut holder = Client::login(daemon::IMAP, USER, PASSWORD).await?;
        let select_cold = vec![self.select(&mut holder).await?];
        let newest_cold = vec![self.newest(&mut holder).await?];
        let mut client = Client::login(daemon::IMAP, USER, PASSWORD).await?;
        let (mut select, mut newest, mut store, mut search) = (vec![], vec![], vec![], vec![]);
        let mut turn = Samples::of(samples);
        while turn.more() {
            select.push(self.select(&mut client).await?);
        }
        let mut turn = Samples::of(samples);
        while turn.more() {
            newest.push(self.newest(&mut client).await?);
        }
        let mut chance = Chance::new(self.count as u64);
        let mut turn = Samples::of(samples);
        while turn.more() {
            let uid = chance.below(self.count) + 1;
            store.push(self.store(&mut client, uid, '+').await?);
            // Back again, so that each round finds what the one before has found.
            self.store(&mut client, uid, '-').await?;
        }
        let mut turn = Samples::of(samples);
        while turn.more() {
            search.push(self.search(&mut client).await?);
        }
        let resync = self.resync(&mut client, samples).await?;
        client.command("LOGOUT").await?;
        holder.command("LOGOUT").await?;
        Ok([select_cold, newest_cold, select, newest, store, search, resync])
    }

    async fn select(&self, client: &mut Client) -> Result<f64, Trouble> {
        let began = Instant::now();
        let answer = client.command(&format!("SELECT {}", self.name)).await?;
        let took = milliseconds(began);
        self.check("SELECT", answer.exists.unwrap_or(0), self.count)?;
        Ok(took)
    }

    async fn newest(&self, client: &mut Client) -> Result<f64, Trouble> {
        let first = self.count - NEWEST + 1;
        let began = Instant::now();
        let answer = client.command(&format!("FETCH {first}:* (UID FLAGS INTERNALDATE ENVELOPE)")).await?;
        let took = milliseconds(began);
        self.check("FETCH", answer.fetches, NEWEST)?;
        Ok(took)
    }

    async fn store(&self, client: &mut Client, uid: usize, sign: char) -> Result<f64, Trouble> {
        let began = Instant::now();
        let answer = client.command(&format!("UID STORE {uid} {sign}FLAGS (\\Flagged)")).await?;
        let took = milliseconds(began);
        self.check("STORE", answer.fetches, 1)?;
        Ok(took)
    }

    async fn search(&self, client: &mut Client) -> Result<f64, Trouble> {
        let began = Instant::now();
        let answer = client.command(&format!("UID SEARCH SINCE {}", self.since)).await?;
        let took = milliseconds(began);
        self.check("SEARCH", answer.hits, self.hits)?;
        Ok(took)
    }

    /// A client that was here before some flags were changed comes back (RFC 7162 §3.2.5.2). Nothing, when that is not offered.
    async fn resync(&self, changer: &mut Client, samples: usize) -> Result<Vec<f64>, Trouble> {
        let mut client = Client::login(daemon::IMAP, USER, PASSWORD).await?;
        let offered = client.command("CAPABILITY").await?.capabilities;
        if !offered.split_ascii_whitespace().any(|word| word == "QRESYNC") {
            return Ok(Vec::new());
        }
        client.command("ENABLE QRESYNC").await?;
        let before = client.command(&format!("SELECT {}", self.name)).await?;
        for sign in ['+', '-'] {
            for message in 1..=CHANGED {
                self.store(changer, message * (self.count / CHANGED), sign).await?;
            }
        }
        let text = format!("SELECT {} (QRESYNC ({} {}))", self.name, before.uid_validity, before.modseq);
        let mut times = Vec::with_capacity(samples);
        let mut turn = Samples::of(samples);
        while turn.more() {
            client.command("UNSELECT").await?;
            let began = Instant::now();
            let answer = client.command(&text).await?;
            times.push(milliseconds(began));
            self.check("SELECT with QRESYNC", answer.exists.unwrap_or(0), self.count)?;
            self.check("SELECT with QRESYNC: changes", answer.fetches, CHANGED)?;
        }
        client.command("LOGOUT").await?;
        Ok(times)
    }

    fn check(&self, command: &str, got: usize, wanted: usize) -> Result<(), Trouble> {
        match got == wanted {
            true => Ok(()),
            false => Err(Trouble::broken(format!("{command} in {} gave {got}, not {wanted}", self.name))),
        }
    }
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn report(bench: &mut Bench, mailboxes: &[Mailbox], table: &Table) {
    let report = &mut bench.report;
    let heads = mailboxes.iter().map(|mailbox| format!("{} messages", number(mailbox.count as f64)));
    let mut rows = vec![std::iter::once("times in ms".to_owned()).chain(heads).collect::<Vec<_>>()];
    for (at, (_, name)) in ALL.iter().enumerate() {
        let mut row = vec![(*name).to_owned()];
        for (mailbox, times) in mailboxes.iter().zip(table) {
            let Some(times) = times.get(at).filter(|times| !times.median.0.is_empty()) else {
                row.push("not offered".to_owned());
                continue;
            };
            row.push(format!("{} ({})", number(times.median.median()), number(times.most.median())));
            let name = format!("{name} of {} messages", mailbox.count);
            report.keep(Figure::new(name.clone(), times.median.clone(), "ms"));
            report.keep(Figure::new(format!("{name}, p99"), times.most.clone(), "ms"));
        }
        rows.push(row);
    }
    report.table(&rows);
    let newest = ALL.iter().position(|what| what.0 == What::Newest).unwrap_or_default();
    let newest = |times: Option<&Vec<Times>>| {
        times.and_then(|times| times.get(newest)).map(|times| times.median.clone())
    };
    if let (Some(smallest), Some(largest)) = (newest(table.first()), newest(table.last())) {
        let name = |mailbox: Option<&Mailbox>| {
            format!("FETCH newest 50 of {}, warm", number(mailbox.map_or(0, |mailbox| mailbox.count) as f64))
        };
        let limit = GOAL_NEWEST * smallest.median();
        report.figure(
            Figure::new(name(mailboxes.last()), largest, "ms")
                .beside(name(mailboxes.first()), smallest)
                .limit_goal(limit),
        );
    }
}

/// What a view of the largest mailbox takes: as the daemon grows, and as it counts itself.
async fn memory(bench: &mut Bench, data_dir: &Path, mailbox: &Mailbox) -> Result<(), Trouble> {
    progress("memory of a view");
    let daemon = Daemon::start(data_dir).await?;
    let mut clients = Vec::new();
    for _ in 0..SESSIONS {
        clients.push(Client::login(daemon::IMAP, USER, PASSWORD).await?);
    }
    let resident = || machine::memory(daemon.pid()).map(|memory| memory.now as f64);
    let before = resident()?;
    let mut grown = Vec::new();
    for client in &mut clients {
        mailbox.select(client).await?;
        mailbox.newest(client).await?;
        grown.push(resident()? - before);
    }
    let view = view(&daemon, mailbox).await?;
    let count = mailbox.count as f64;
    let (one, all) = (grown.first().copied().unwrap_or(f64::NAN), grown.last().copied().unwrap_or(f64::NAN));
    let report = &mut bench.report;
    report.note(&format!(
        "the view of {} messages: the daemon grew by {} MiB with the first session, by {} MiB with {SESSIONS}",
        number(count),
        number(one / 1024.0 / 1024.0),
        number(all / 1024.0 / 1024.0)
    ));
    report.figure(
        Figure::new(format!("memory for each message, {SESSIONS} sessions, resident"), all / count, "bytes")
            .limit_goal(GOAL_BYTES),
    );
    report.figure(
        Figure::new(
            "memory for each message, the view by its own count",
            view.footprint() as f64 / count,
            "bytes",
        )
        .limit_goal(GOAL_BYTES),
    );
    drop(clients);
    daemon.stop().await
}

/// The view as the daemon makes it.
async fn view(daemon: &Daemon, mailbox: &Mailbox) -> Result<View, Trouble> {
    let mut loader = Loader::new(1, mailbox.count as u32 + 1, mailbox.count as u64 + 1);
    let rows =
        within(LIMIT, "loading a view", daemon.sql.query_raw(LOAD, [mailbox.account, mailbox.id])).await?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await? {
        let entry = EntryRow {
            uid: row.get::<_, i64>(0) as u32,
            modseq: row.get::<_, i64>(1) as u64,
            flags: row.get::<_, i32>(2) as u32,
            keywords: row.get::<_, Option<Vec<String>>>(3).unwrap_or_default(),
        };
        loader.push(&entry).map_err(|error| Trouble::broken(error.to_string()))?;
    }
    Ok(loader.finish())
}
