//! A database for each test, cloned from a migrated template.
//!
//! The server is the one that `TEST_DATABASE_URL` names (its user may create databases), or else a cluster of our own
//! that all tests of a run share. The template carries the hash of migrations and logic in its name, so an unchanged
//! schema is used again and a changed one never confused with it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mailwright::db::Target;
use tokio::sync::{Mutex, OnceCell};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::FromSqlOwned;
use tokio_postgres::{Client, Row};

use super::cluster::{Cluster, Durability};
use super::{PATIENCE, ask_until, root};

/// Between two looks at something that takes a moment.
const LOOK: Duration = Duration::from_millis(10);

/// A database of the test's own; dropped with this value.
pub struct Database {
    server: Server,
    name: String,
    client: Mutex<Arc<Client>>,
}

/// Where databases are made.
#[derive(Clone)]
enum Server {
    /// `TEST_DATABASE_URL`.
    Named(String),
    /// The cluster of this run.
    Shared(Arc<Cluster>),
    /// The test's own.
    Own(Arc<Cluster>),
}

impl Server {
    fn shared() -> Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        let start = || match std::env::var("TEST_DATABASE_URL") {
            Ok(url) => Server::Named(url),
            Err(_) => Server::Shared(Arc::new(Cluster::start_new(Durability::None))),
        };
        SHARED.get_or_init(start).clone()
    }

    fn url(&self, database: &str) -> String {
        match self {
            Server::Named(url) => with_database(url, database),
            Server::Shared(cluster) | Server::Own(cluster) => cluster.url(database),
        }
    }

    /// A connection from which databases are made and dropped.
    async fn maintenance(&self) -> Client {
        connect(&self.url("postgres")).await
    }
}

/// A connection string for another database of the same server.
fn with_database(url: &str, database: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // Of keywords the last one counts.
        return format!("{url} dbname={database}");
    };
    let (path, options) = rest.split_once('?').map_or((rest, ""), |(path, options)| (path, options));
    let host = path.split_once('/').map_or(path, |(host, _)| host);
    let question = if options.is_empty() { "" } else { "?" };
    format!("{scheme}://{host}/{database}{question}{options}")
}

async fn connect(url: &str) -> Client {
    Target::parse(url).unwrap().connect().await.unwrap_or_else(|e| panic!("cannot connect to {url}: {e}"))
}

/// A name that no other test uses, and that tells whether its process still lives.
fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("mailwright_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Database {
    /// A migrated database with the settings of a new installation.
    pub async fn new() -> Database {
        let server = Server::shared();
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let template = TEMPLATE.get_or_init(|| make_template(&server)).await;
        let name = fresh_name();
        let clone = format!("create database {name} template {template}");
        patiently(&server.maintenance().await, &clone).await;
        Self::open(server, name).await
    }

    /// A migrated database in a cluster of the test's own, which it may kill.
    pub async fn on(cluster: &Arc<Cluster>) -> Database {
        let server = Server::Own(cluster.clone());
        let name = fresh_name();
        server.maintenance().await.batch_execute(&format!("create database {name}")).await.unwrap();
        mailwright::db::migrate(&Target::parse(&server.url(&name)).unwrap()).await.unwrap();
        Self::open(server, name).await
    }

    async fn open(server: Server, name: String) -> Database {
        let client = connect(&server.url(&name)).await;
        Database { server, name, client: Mutex::new(Arc::new(client)) }
    }

    /// How the daemon is told of it.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// A new connection, as a person with SQL has it.
    pub async fn connect(&self) -> Client {
        connect(&self.url()).await
    }

    /// The test's connection.
    pub async fn client(&self) -> Arc<Client> {
        self.client.lock().await.clone()
    }

    /// Makes the test's connection anew, after PostgreSQL has been stopped.
    pub async fn reconnect(&self) {
        *self.client.lock().await = Arc::new(self.connect().await);
    }

    /// Runs statements that must succeed; several ones are one transaction.
    pub async fn sql(&self, statements: &str) {
        if let Err(error) = self.client().await.batch_execute(statements).await {
            panic!("{statements}\n{}", describe(&error));
        }
    }

    /// The rows of a query.
    pub async fn rows(&self, query: &str) -> Vec<Row> {
        self.client().await.query(query, &[]).await.unwrap_or_else(|e| panic!("{query}\n{}", describe(&e)))
    }

    /// The one value of a query.
    pub async fn value<T: FromSqlOwned>(&self, query: &str) -> T {
        let rows = self.rows(query).await;
        assert_eq!(rows.len(), 1, "{query}\nshould give one row");
        rows[0].try_get(0).unwrap_or_else(|e| panic!("{query}\n{e}"))
    }

    /// Runs statements that must be refused, and returns all that PostgreSQL says: message, detail, hint, constraint.
    pub async fn refusal(&self, statements: &str) -> String {
        match self.client().await.batch_execute(statements).await {
            Ok(()) => panic!("this was not refused: {statements}"),
            Err(error) => describe(&error),
        }
    }

    /// Waits until a query says `true`; no row, or null, says it isn't so yet.
    pub async fn until(&self, question: &str) {
        ask_until(async || {
            let rows = self.rows(question).await;
            let is_so = rows.first().and_then(|row| row.get::<_, Option<bool>>(0)).unwrap_or(false);
            if is_so { Ok(()) } else { Err(format!("this did not come true:\n{question}")) }
        })
        .await;
    }

    /// Waits until all nodes obey what has been committed so far.
    pub async fn wait_applied(&self) {
        self.sql(&format!("select control.wait_applied(null, '{} seconds')", PATIENCE.as_secs())).await;
    }

    /// Commits a change and waits until all nodes obey it.
    pub async fn apply(&self, statements: &str) {
        self.sql(statements).await;
        self.wait_applied().await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A cluster of the test's own goes as a whole, and may be down.
        if matches!(self.server, Server::Own(_)) {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        // Drop is not async, and the test's runtime may be going: a thread with a runtime of its own.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let drop = format!("drop database if exists {name} with (force)");
                server.maintenance().await.batch_execute(&drop).await.unwrap();
            });
        });
        if dropped.join().is_err() && !std::thread::panicking() {
            panic!("the test's database could not be dropped");
        }
    }
}

/// What PostgreSQL says of an error, in one text.
pub fn describe(error: &tokio_postgres::Error) -> String {
    let Some(error) = error.as_db_error() else { return error.to_string() };
    let parts = [Some(error.message()), error.detail(), error.hint(), error.constraint(), error.where_()];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// Runs a statement that waits for a database to be left by everybody.
async fn patiently(client: &Client, statement: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match client.batch_execute(statement).await {
            Err(error)
                if error.code() == Some(&SqlState::OBJECT_IN_USE)
                    && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(LOOK).await;
            }
            other => return other.unwrap_or_else(|e| panic!("{statement}: {}", describe(&e))),
        }
    }
}

/// Makes the template if there is none for this schema, and returns its name.
async fn make_template(server: &Server) -> String {
    let client = server.maintenance().await;
    let name = format!("mailwright_template_{}", schema_hash());
    // One after the other, should several runs begin at once. ("mailtest" in bytes)
    client.batch_execute("select pg_advisory_lock(7881696646069548916)").await.unwrap();
    sweep(&client).await;
    let there: bool = client
        .query_one("select exists (select 1 from pg_database where datname = $1)", &[&name])
        .await
        .unwrap()
        .get(0);
    if !there {
        // Under another name until it is complete.
        let unfinished = format!("{name}_unfinished");
        client.batch_execute(&format!("drop database if exists {unfinished} with (force)")).await.unwrap();
        client.batch_execute(&format!("create database {unfinished}")).await.unwrap();
        mailwright::db::migrate(&Target::parse(&server.url(&unfinished)).unwrap()).await.unwrap();
        patiently(&client, &format!("alter database {unfinished} rename to {name}")).await;
    }
    client.batch_execute("select pg_advisory_unlock(7881696646069548916)").await.unwrap();
    name
}

/// Drops what runs that crashed have left on a server that outlives them.
async fn sweep(client: &Client) {
    let names = client
        .query(
            "select datname from pg_database d where datname ~ '^mailwright_test_[0-9]+_[0-9]+$'
                and not exists (select 1 from pg_stat_activity a where a.datid = d.oid)",
            &[],
        )
        .await
        .unwrap();
    for row in names {
        let name: String = row.get(0);
        let process = name.split('_').nth(2).unwrap_or_default().to_owned();
        if !std::path::Path::new("/proc").join(process).exists() {
            client.batch_execute(&format!("drop database if exists {name}")).await.ok();
        }
    }
}

/// Of everything that the schema is made of.
fn schema_hash() -> String {
    let mut files: Vec<_> = ["migrations", "sql/logic"]
        .iter()
        .flat_map(|dir| std::fs::read_dir(root().join(dir)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(&std::fs::read(file).unwrap()).update(&[0]);
    }
    hasher.finalize().to_hex().chars().take(16).collect()
}
