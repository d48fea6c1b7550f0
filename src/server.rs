//! Assembles the daemon: database, migrations, settings, faces, listeners; and takes it down again in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::certificates::Certificates;
use crate::control::config::{ListenerMode, TlsMode};
use crate::control::{Control, Face, Node, Registry, Supervisor, follow};
use crate::db::cluster::{Cluster, DATABASE, Options as ClusterOptions};
use crate::db::listen::Bells;
use crate::db::{self, Db, Target};
use crate::directory::{Directory, password};
use crate::dns::{self, Dns};
use crate::intake::{Committer, Delivery, House, Outbound, OutboundRecipient, Story};
use crate::log::{self, Log, Notes, Step, Trace, Writer};
use crate::mail::Address;
use crate::net::files::raise_open_files;
use crate::net::stop::Stopper;
use crate::queue::{self, Inlet};
use crate::relay::{self, Relay};
use crate::sasl::Secret;
use crate::screen::Screen;
use crate::smtp::mail::Body;
use crate::smtp::rcpt::Notify;
use crate::store::Store;
use crate::verify::zone::Zones;
use crate::verify::{Verify, report};
use crate::{imap, pop3, smtpd, sql, tls, web};

const FIRST_START: &str = sql!("control/first_start");
const SET_PASSWORD: &str = sql!("control/set_administrator_password");
const LEAVE: &str = sql!("control/leave");
const DEMO_DOMAIN: &str = sql!("cli/demo_domain");
const DEMO_ACCOUNT: &str = sql!("cli/demo_account");

/// Connections in the common pool: 64 clients commit less than 16 do on a small machine.
const POOL: usize = 12;
/// How long a start waits for a database that does not answer yet.
const DATABASE_WAIT: Duration = Duration::from_secs(120);
/// The domain, users and password of the demonstration.
const DEMO: (&str, [&str; 2], &str) = ("example.test", ["alice", "bob"], "mailwright");

/// What can be said on the command line or in the environment; everything else is in tables.
pub struct Options {
    /// Where the private cluster lives, when there is no database URL.
    pub data_dir: PathBuf,
    /// Added to every port.
    pub port_offset: u16,
    /// The node's name.
    pub node: String,
    /// The database; none = the private cluster.
    pub database_url: Option<String>,
    /// Whether the demonstration's domain and users are made.
    pub demo: bool,
    /// Whether changes are heard by LISTEN; without, the clocks find them.
    pub notify: bool,
    /// Obeys `control.server.log_level`.
    pub set_log_level: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The private cluster.
    #[error(transparent)]
    Cluster(#[from] db::cluster::Error),
    /// The database.
    #[error("{0}")]
    Database(#[from] db::Error),
    /// TLS.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The system.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Runs the daemon until it is told to stop (SIGTERM, SIGINT). What is noted in `log` comes out of `notes`.
pub async fn serve(options: Options, log: Log, notes: Notes) -> Result<(), StartError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let asked_to_stop = async {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    };
    give_large_memory_back();
    let files = raise_open_files();
    tracing::debug!(?files, "open files");
    let mut cluster = None;
    let target = match &options.database_url {
        Some(url) => Target::parse(url)?,
        None => {
            let opened = Cluster::open(&options.data_dir, ClusterOptions::default()).await?;
            let target = Target::local(opened.connect_config(DATABASE))?;
            cluster = Some(opened);
            target
        }
    };
    let outcome = {
        let daemon = async {
            let daemon = Daemon::start(&options, target, log, notes).await?;
            asked_to_stop.await;
            tracing::info!("stopping");
            daemon.stop().await;
            Ok(())
        };
        // The private cluster is watched over for as long as the daemon runs.
        let keep = async {
            match &mut cluster {
                Some(cluster) => cluster.keep().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { outcome = daemon => outcome, () = keep => Ok(()) }
    };
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    tracing::info!("stopped");
    outcome
}

/// Sees to it that large pieces of memory go back to the system when they are freed. glibc raises its limit for that to
/// the largest piece freed so far, and a password check frees 19 MiB: after the first logins of 200 accounts the daemon
/// kept 250 MiB resident, and keeps 22 MiB with a fixed limit (`cargo bench -- idle`).
fn give_large_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt sets a number of the allocator, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
    }
}

struct Daemon {
    control: Arc<Control>,
    supervisor: Arc<Supervisor>,
    verify: Arc<Verify>,
    screen: Arc<Screen>,
    stopper: Stopper,
    relay: tokio::task::JoinHandle<()>,
    writer: Writer,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Daemon {
    async fn start(options: &Options, target: Target, log: Log, notes: Notes) -> Result<Self, StartError> {
        tracing::info!(database = target.describe(), node = options.node, "starting");
        migrate(&target).await?;
        let db = Db::new(target.clone(), POOL)?;
        let first_password = first_start(&db, &target, options).await?;
        let node = Node { name: options.node.clone(), boot: random_boot() };
        let registry = Registry::open(&db, &node.name).await?;
        let config = follow::load(&db).await?;
        let bells = Bells::default();
        let control = Control::start(db, node, registry, bells.clone(), config);
        obey_log_level(&control, options.set_log_level.clone());
        let writer = Writer::start(&log, notes, &control);
        let store = Store::start(control.clone());
        let dns = names(&control)?;
        let directory = Directory::start(control.clone(), dns.clone())?;
        let (inlet, handed_over) = Inlet::new();
        let committer = Committer::start(&store, inlet.clone(), log.clone());
        let screen = Screen::start(control.clone(), dns.clone());
        let verify = Verify::start(control.clone(), dns.clone());
        let certificates = Certificates::new(control.clone(), dns.clone());
        let zones = Zones::new(control.clone());
        let send = reports_into_queue(&store, &committer);
        let parts = relay::Parts {
            control: control.clone(),
            store: store.clone(),
            directory: directory.clone(),
            committer: committer.clone(),
            dns: dns.clone(),
            verify: verify.clone(),
            send: send.clone(),
        };
        let house = Arc::new(House {
            control: control.clone(),
            store: store.clone(),
            directory,
            dns,
            verify: verify.clone(),
            committer,
            screen: screen.clone(),
            log: log.clone(),
        });
        let faces: Vec<Arc<dyn Face>> = vec![
            smtpd::Smtp::new(house.clone()),
            imap::Imap::new(house.clone()),
            pop3::Pop3::new(house.clone()),
            web::Web::new(house.clone()),
        ];
        let supervisor = Supervisor::new(faces, &control, options.port_offset)
            .map_err(|e| StartError::Tls(e.to_string()))?;
        supervisor.reconcile(&control).await;
        let (stopper, stop) = Stopper::new();
        let relay = Relay::start(parts, inlet, handed_over, stop.clone());
        let mut tasks = vec![
            tokio::spawn(follow::follow(control.clone(), supervisor.clone(), stop.clone())),
            tokio::spawn(store.clone().upkeep(stop.clone())),
            tokio::spawn(store.clone().index_text(stop.clone())),
            tokio::spawn(verify.clone().keep_keys(stop.clone())),
            tokio::spawn(certificates.keep(stop.clone())),
            tokio::spawn(verify.clone().report(send, stop.clone())),
            tokio::spawn(log::upkeep(control.clone(), stop.clone())),
            tokio::spawn(log::sample(control.clone(), stop.clone())),
            tokio::spawn(zones.keep(stop)),
        ];
        if options.notify {
            tasks.push(tokio::spawn(bells.follow(target)));
        }
        let daemon = Self { control, supervisor, verify, screen, stopper, relay, writer, tasks };
        daemon.announce(options, first_password).await;
        Ok(daemon)
    }

    /// Tells the person who started it what listens where, and what to do next.
    async fn announce(&self, options: &Options, first_password: Option<String>) {
        let mut lines = vec![
            format!("Mailwright {} is running as node \"{}\".", env!("CARGO_PKG_VERSION"), options.node),
            String::new(),
        ];
        for (row, port) in self.supervisor.listening().await {
            let what = match (row.service.as_str(), row.mode) {
                ("smtp", ListenerMode::Submission) => "smtp (submission)".to_owned(),
                ("smtp", ListenerMode::Lmtp) => "smtp (lmtp)".to_owned(),
                (service, _) => service.to_owned(),
            };
            let tls = match row.tls {
                TlsMode::None => "no TLS",
                TlsMode::Starttls => "STARTTLS",
                TlsMode::Implicit => "TLS",
            };
            lines.push(format!("  {what:<18} {}:{port}  {tls}", row.address));
        }
        for failure in self.supervisor.failures().await {
            lines.push(format!("  NOT LISTENING: {failure}"));
        }
        if let Some(password) = first_password {
            lines.push(String::new());
            lines.push(format!("The administrator \"system\" has been made, with the password {password}"));
            lines
                .push("Note it: it is shown only now. Change it with: mailwright password system".to_owned());
        }
        if options.demo {
            lines.push(String::new());
            lines.extend(demo_hints(options));
        }
        println!("{}\n", lines.join("\n"));
    }

    async fn stop(self) {
        let grace = self.control.config().stop_grace();
        self.supervisor.stop(&self.control, grace).await;
        self.stopper.stop(Duration::ZERO);
        // It finishes what is just going out, and has all that became of mail committed.
        if let Err(error) = self.relay.await {
            tracing::error!(%error, "the relay ended badly");
        }
        for task in &self.tasks {
            task.abort();
        }
        self.screen.finish().await;
        if let Err(error) = self.verify.write_counts().await {
            tracing::debug!(%error, "results for DMARC reports are lost");
        }
        let node = &self.control.node;
        // The database may be the reason why we stop: then the rows are taken for dead by their age.
        if let Err(error) = self.control.db.execute(LEAVE, &[&node.name, &node.boot_text()]).await {
            tracing::debug!(%error, "could not sign off");
        }
        self.writer.finish().await;
    }
}

/// The way to the DNS, which follows `control.dns`. A host whose own settings can't be read has none until a name server is
/// named there; mail for elsewhere waits then.
fn names(control: &Arc<Control>) -> Result<Dns, StartError> {
    let settings = control.config().dns.settings();
    let dns = Dns::new(&settings).or_else(|error| {
        tracing::error!(%error, "asking a name server on this host instead");
        Dns::new(&dns::Settings { servers: vec![([127, 0, 0, 1], 53).into()], ..settings })
    });
    let dns = dns.map_err(|error| StartError::System(std::io::Error::other(error)))?;
    let weak = Arc::downgrade(control);
    let follower = dns.clone();
    control.on_change(move || {
        let Some(control) = weak.upgrade() else { return };
        if let Err(error) = follower.configure(&control.config().dns.settings()) {
            tracing::error!(%error, "the former name servers are asked on");
        }
    });
    Ok(dns)
}

/// Puts reports to other domains into the queue, as mail that the server itself sends.
fn reports_into_queue(store: &Arc<Store>, committer: &Committer) -> report::Send {
    let (store, committer) = (store.clone(), committer.clone());
    Arc::new(move |reports| {
        let (store, committer) = (store.clone(), committer.clone());
        Box::pin(async move {
            for report in reports {
                let Ok(recipient) = report.recipient.parse::<Address>() else { continue };
                let mut spool = store.spool().await?;
                spool.write(&report.message).await?;
                // Nobody waits for a bounce of it.
                let recipient = OutboundRecipient::elsewhere(&recipient, Some(Notify::Never), None);
                let envelope = queue::Envelope::new(report.sender, Body::EightBitMime);
                let sender = Some(envelope.sender.clone());
                let first = Trace { sender, ..Trace::new(Step::Accepted, &log::own_name()) };
                let story = Some(Box::new(Story::begins(first, vec![recipient.address.clone()])));
                let outbound = Outbound::new(envelope, vec![recipient]);
                let delivery = Delivery::new(spool.finish(), Vec::new(), vec![outbound]);
                committer.deliver(Delivery { story, ..delivery }).await?;
            }
            Ok(())
        })
    })
}

/// Logs as much as `control.server.log_level` says, now and whenever it changes.
fn obey_log_level(control: &Arc<Control>, set: Arc<dyn Fn(&str) + Send + Sync>) {
    let weak = Arc::downgrade(control);
    let obeyed = std::sync::Mutex::new(String::new());
    let obey = move || {
        let Some(control) = weak.upgrade() else { return };
        let config = control.config();
        let mut obeyed = obeyed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *obeyed != config.server.log_level {
            set(&config.server.log_level);
            obeyed.clone_from(&config.server.log_level);
        }
    };
    obey();
    control.on_change(obey);
}

/// Migrates; waits for a database that is just starting.
async fn migrate(target: &Target) -> Result<(), db::Error> {
    let deadline = tokio::time::Instant::now() + DATABASE_WAIT;
    loop {
        match db::migrate(target).await {
            Err(error) if error.is_unavailable() && tokio::time::Instant::now() < deadline => {
                tracing::warn!(%error, database = target.describe(), "waiting for the database");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            other => return other,
        }
    }
}

fn random_boot() -> [u8; 16] {
    let mut boot = [0; 16];
    // Only to tell two runs of a node apart; the start of the process would nearly do.
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut boot).ok();
    boot
}

/// Makes what a new installation needs; returns the password of `system` if it was made now.
async fn first_start(db: &Db, target: &Target, options: &Options) -> Result<Option<String>, StartError> {
    // By hand as it were, so that it is audited.
    let client = target.connect().await?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_lowercase();
    let mut names: Vec<String> = vec!["localhost".to_owned()];
    if !host.is_empty() && host != "localhost" {
        names.insert(0, host);
    }
    let (chain, key) = tls::certificate::self_signed(&names).map_err(|e| StartError::Tls(e.to_string()))?;
    let row = client.query_one(FIRST_START, &[&chain, &key, &names]).await.map_err(db::Error::from)?;
    let mut shown = None;
    if row.get::<_, bool>(0) {
        let password = random_password();
        let stored = hash(&password)?;
        client.execute(SET_PASSWORD, &[&"system", &stored.hash, &true]).await.map_err(db::Error::from)?;
        shown = Some(password);
    }
    if options.demo {
        let (domain, users, password) = DEMO;
        let stored = hash(password)?;
        client.execute(DEMO_DOMAIN, &[&domain]).await.map_err(db::Error::from)?;
        for user in users {
            client
                .execute(DEMO_ACCOUNT, &[&domain, &user, &stored.hash, &stored.scram])
                .await
                .map_err(db::Error::from)?;
        }
    }
    // That the pool works is found out here, not at the first message.
    db.client().await?;
    Ok(shown)
}

fn hash(text: &str) -> Result<password::Stored, StartError> {
    password::hash(&Secret::from(text)).map_err(|e| StartError::Database(db::Error::Fault(e.to_string())))
}

/// 20 characters that nobody mistakes for one another: 100 bits.
fn random_password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0u8; 20];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).ok();
    let letter = |byte: &u8| LETTERS.get(usize::from(byte % 32)).copied().map_or('a', char::from);
    let groups: Vec<String> = bytes.chunks(5).map(|group| group.iter().map(letter).collect()).collect();
    groups.join("-")
}

/// Commands to try, as they work when pasted into another terminal.
fn demo_hints(options: &Options) -> Vec<String> {
    let port = |port: u16| u32::from(port) + u32::from(options.port_offset);
    let program =
        std::env::current_exe().map_or_else(|_| "mailwright".to_owned(), |path| path.display().to_string());
    let data = match &options.database_url {
        Some(_) => String::new(),
        None => format!(" --data-dir {}", options.data_dir.display()),
    };
    vec![
        "To try it, in another terminal (users alice and bob, password mailwright):".to_owned(),
        String::new(),
        "  # send a mail".to_owned(),
        format!(
            "  swaks --server 127.0.0.1:{} --from bob@example.test --to alice@example.test --header 'Subject: Hello'",
            port(25)
        ),
        "  # read it (the certificate is self-signed: press o to accept it once)".to_owned(),
        format!("  mutt -f imaps://alice%40example.test:mailwright@127.0.0.1:{}/INBOX", port(993)),
        format!(
            "  curl -sk 'imaps://127.0.0.1:{}/INBOX;MAILINDEX=1' -u alice@example.test:mailwright",
            port(993)
        ),
        format!("  # the administration: https://127.0.0.1:{}/admin, as system", port(443)),
        "  # turn POP3 off, and on again".to_owned(),
        format!(
            "  {program} sql{data} -c \"update control.service set enabled = false where name = 'pop3'\""
        ),
        format!("  {program} sql{data} -c \"update control.service set enabled = true where name = 'pop3'\""),
        format!("  {program} status{data}"),
    ]
}
