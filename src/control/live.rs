//! What is running on this node, as rows: the node itself and its sessions.
//!
//! Sessions cost no commit each: they are kept here in memory, and a task writes what changed at most every 500 ms, in
//! one statement. A session that came and went in between is never written. A row that somebody has deleted ends its
//! session: rows are inserted once and after that only updated, never put back. The live tables are UNLOGGED, so a
//! crash of the database empties them: then the node's own row is missing too, and everything is written again instead
//! of ended.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::db::{Db, Error};
use crate::mail::hex;
use crate::net::stop::Termination;
use crate::sql;

const REGISTER_NODE: &str = sql!("control/register_node");
const WRITE_SESSIONS: &str = sql!("control/write_sessions");
const ENDED_SESSIONS: &str = sql!("control/ended_sessions");
const TAKE_SESSION_IDS: &str = sql!("control/take_session_ids");
/// Ids taken from the sequence at a time; the sequence's increment.
const ID_BLOCK: i64 = 1_048_576;

/// The sessions of this node.
pub struct Registry {
    node: String,
    inner: Mutex<Inner>,
    next_id: AtomicI64,
}

#[derive(Default)]
struct Inner {
    sessions: HashMap<i64, Arc<Shared>>,
    /// Written rows whose sessions have ended.
    gone: Vec<i64>,
}

struct Shared {
    id: i64,
    service: &'static str,
    listener: i64,
    since: Timestamp,
    ended: Termination,
    face: Mutex<Face>,
}

/// What changes while a session lives.
struct Face {
    peer: SocketAddr,
    tls: Option<String>,
    account: Option<i64>,
    login: Option<String>,
    client: Option<String>,
    state: &'static str,
    active: Timestamp,
    dirty: bool,
    written: bool,
}

/// A session's entry; the row goes when it is dropped.
pub struct SessionHandle {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not take the registry along: its values are valid between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SessionHandle {
    /// Id of the row in `live.session`.
    pub fn id(&self) -> i64 {
        self.shared.id
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        lock(&self.shared.face).peer
    }

    /// Says that the client is another one: the one for which a trusted proxy speaks.
    pub fn speaks_for(&self, peer: SocketAddr) {
        let mut face = lock(&self.shared.face);
        face.peer = peer;
        face.dirty = true;
        tracing::Span::current().record("peer", tracing::field::display(peer));
    }

    /// Says that nobody is logged in any more.
    pub fn logout(&self) {
        let mut face = lock(&self.shared.face);
        face.account = None;
        face.login = None;
        face.dirty = true;
    }

    /// Fires when somebody has deleted the row.
    pub fn termination(&self) -> Termination {
        self.shared.ended.clone()
    }

    /// Says what the session is doing, and that it is doing something.
    pub fn state(&self, state: &'static str) {
        let mut face = lock(&self.shared.face);
        face.state = state;
        face.active = Timestamp::now();
        face.dirty = true;
    }

    /// Says what the client says it is.
    pub fn client(&self, client: &str) {
        let mut face = lock(&self.shared.face);
        face.client = Some(client.to_owned()).filter(|client| !client.is_empty());
        face.dirty = true;
    }

    /// Says that the session is encrypted, and how.
    pub fn tls(&self, tls: String) {
        let mut face = lock(&self.shared.face);
        face.tls = Some(tls);
        face.dirty = true;
    }

    /// Says who has logged in.
    pub fn login(&self, account: i64, login: &str) {
        let mut face = lock(&self.shared.face);
        face.account = Some(account);
        face.login = Some(login.to_owned());
        face.dirty = true;
        tracing::Span::current().record("login", login);
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        let written = lock(&self.shared.face).written;
        let mut inner = lock(&self.registry.inner);
        inner.sessions.remove(&self.shared.id);
        if written {
            inner.gone.push(self.shared.id);
        }
    }
}

impl Registry {
    /// The registry of the node with this name; takes its first ids.
    pub async fn open(db: &Db, node: &str) -> Result<Arc<Self>, Error> {
        let registry = Self {
            node: node.to_owned(),
            inner: Mutex::default(),
            next_id: AtomicI64::new(take_ids(db).await?),
        };
        Ok(Arc::new(registry))
    }

    /// A registry without a database, for sessions that are tried out alone.
    #[cfg(test)]
    pub(crate) fn detached() -> Arc<Self> {
        Arc::new(Self { node: "test".to_owned(), inner: Mutex::default(), next_id: AtomicI64::new(0) })
    }

    /// Enters a session.
    pub fn enter(self: &Arc<Self>, service: &'static str, listener: i64, peer: SocketAddr) -> SessionHandle {
        let now = Timestamp::now();
        let shared = Arc::new(Shared {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            service,
            listener,
            since: now,
            ended: Termination::new(),
            face: Mutex::new(Face {
                peer,
                tls: None,
                account: None,
                login: None,
                client: None,
                state: "connected",
                active: now,
                dirty: true,
                written: false,
            }),
        });
        lock(&self.inner).sessions.insert(shared.id, shared.clone());
        SessionHandle { shared, registry: self.clone() }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        lock(&self.inner).sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes what has changed since the last time: one statement, nothing when nothing changed.
    pub async fn write(&self, db: &Db) -> Result<(), Error> {
        // A new block in good time: ids are taken without asking the database.
        if ID_BLOCK - self.next_id.load(Ordering::Relaxed).rem_euclid(ID_BLOCK) < ID_BLOCK / 4 {
            self.next_id.store(take_ids(db).await?, Ordering::Relaxed);
        }
        let (gone, sessions) = {
            let mut inner = lock(&self.inner);
            (std::mem::take(&mut inner.gone), inner.sessions.values().cloned().collect::<Vec<_>>())
        };
        let mut rows = Rows::default();
        let mut touched = Vec::new();
        for session in &sessions {
            let mut face = lock(&session.face);
            if face.dirty {
                rows.push(session, &face);
                face.dirty = false;
                face.written = true;
                touched.push(session);
            }
        }
        if gone.is_empty() && rows.ids.is_empty() {
            return Ok(());
        }
        let result = db
            .execute(
                WRITE_SESSIONS,
                &[
                    &self.node,
                    &gone,
                    &rows.ids,
                    &rows.new,
                    &rows.services,
                    &rows.listeners,
                    &rows.peers,
                    &rows.ports,
                    &rows.tls,
                    &rows.accounts,
                    &rows.logins,
                    &rows.states,
                    &rows.since,
                    &rows.active,
                    &rows.clients,
                ],
            )
            .await;
        if let Err(error) = result {
            // Nothing was written: the same again next time. "written" stays true, so a row that did get there after
            // all is deleted in the end; a new row that did not is found missing and ends nothing (see below).
            for (session, new) in touched.iter().zip(&rows.new) {
                let mut face = lock(&session.face);
                face.dirty = true;
                if *new {
                    face.written = false;
                }
            }
            lock(&self.inner).gone.extend(gone);
            return Err(error);
        }
        Ok(())
    }

    /// Ends the sessions whose rows somebody has deleted. Where the node's own row is gone, the tables were emptied:
    /// then everything is written again.
    pub async fn obey_deletions(&self, db: &Db) -> Result<(), Error> {
        let written: Vec<Arc<Shared>> = {
            let inner = lock(&self.inner);
            inner.sessions.values().filter(|s| lock(&s.face).written).cloned().collect()
        };
        let ids: Vec<i64> = written.iter().map(|s| s.id).collect();
        let row = db.query_opt(ENDED_SESSIONS, &[&self.node, &ids]).await?;
        let Some(row) = row else { return Ok(()) };
        let (registered, missing): (bool, Vec<i64>) = (row.get(0), row.get(1));
        if !registered {
            self.write_all_again();
            return Ok(());
        }
        let missing: std::collections::HashSet<i64> = missing.into_iter().collect();
        for session in written.iter().filter(|s| missing.contains(&s.id)) {
            tracing::info!(session = session.id, peer = %lock(&session.face).peer, "session ended: its row was deleted");
            session.ended.terminate();
        }
        Ok(())
    }

    /// Marks every session as not yet written.
    pub fn write_all_again(&self) {
        for session in lock(&self.inner).sessions.values() {
            let mut face = lock(&session.face);
            face.dirty = true;
            face.written = false;
        }
    }
}

async fn take_ids(db: &Db) -> Result<i64, Error> {
    let row = db.query_opt(TAKE_SESSION_IDS, &[]).await?;
    // Blocks start at a multiple of their size, so that the place within one is the remainder.
    row.map(|row| row.get::<_, i64>(0) / ID_BLOCK * ID_BLOCK)
        .ok_or_else(|| Error::Fault("no session ids".to_owned()))
}

/// The columns of the rows to write.
#[derive(Default)]
struct Rows {
    ids: Vec<i64>,
    new: Vec<bool>,
    services: Vec<&'static str>,
    listeners: Vec<i64>,
    peers: Vec<std::net::IpAddr>,
    ports: Vec<i32>,
    tls: Vec<Option<String>>,
    accounts: Vec<Option<i64>>,
    logins: Vec<Option<String>>,
    states: Vec<&'static str>,
    since: Vec<Timestamp>,
    active: Vec<Timestamp>,
    clients: Vec<Option<String>>,
}

impl Rows {
    fn push(&mut self, session: &Shared, face: &Face) {
        self.ids.push(session.id);
        self.new.push(!face.written);
        self.services.push(session.service);
        self.listeners.push(session.listener);
        self.peers.push(face.peer.ip());
        self.ports.push(i32::from(face.peer.port()));
        self.tls.push(face.tls.clone());
        self.accounts.push(face.account);
        self.logins.push(face.login.clone());
        self.states.push(face.state);
        self.since.push(session.since);
        self.active.push(face.active);
        self.clients.push(face.client.clone());
    }
}

/// Who this node is, in `live.node`.
#[derive(Clone)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Different at every start.
    pub boot: [u8; 16],
}

impl Node {
    /// Enters the node; rows of an earlier run of the same node go.
    pub async fn register(&self, db: &Db, applied: i64) -> Result<(), Error> {
        let boot = uuid_text(&self.boot);
        db.execute(REGISTER_NODE, &[&self.name, &boot, &env!("CARGO_PKG_VERSION"), &applied]).await?;
        Ok(())
    }

    /// The boot id as text.
    pub fn boot_text(&self) -> String {
        uuid_text(&self.boot)
    }
}

/// 16 bytes in the form of a UUID.
pub fn uuid_text(bytes: &[u8; 16]) -> String {
    let hex = hex(bytes);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
