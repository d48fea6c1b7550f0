//! The certificates that are served: what is inside them, and new ones from an authority (ACME, RFC 8555).
//!
//! `order` takes one order to its end, `account` finds or makes the account that orders, `client` carries their requests,
//! `trouble` says what went wrong. The rows of `control.acme_certificate` say which certificates are wanted; everything
//! about an order that is under way is in tables too, so that another node can go on with it.
//!
//! What must hold: one node works at a time, for as long as it renews its lease. The authority is told to look only when
//! all nodes show the answer, for it may come to any of them. A certificate is put in force only when key, names and
//! validity are right; the former one is served until then. An order that failed is not tried again at once: authorities
//! count failures, and shut out who makes too many.

mod account;
mod client;
mod order;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::control::{Control, lease};
use crate::db::Error;
use crate::dns::Dns;
use crate::net::stop::Stop;
use crate::sql;
use crate::tls::certificate::Certified;
use order::{Issued, Wanted};
use trouble::Trouble;

const AGENDA: &str = sql!("certificates/agenda");
const UNREAD: &str = sql!("certificates/unread");
const NOTE_INSIDE: &str = sql!("certificates/note_inside");
const DUE_ORDERS: &str = sql!("certificates/due_orders");
const FINISH_ORDER: &str = sql!("certificates/finish_order");
const NOTE_FAILURE: &str = sql!("certificates/note_failure");

/// How often the task looks when nothing calls it.
const PERIOD: Duration = Duration::from_secs(60);
/// How long a node that has fallen keeps the others from the work.
const LEASE: Duration = Duration::from_secs(90);
/// How long one order may take, with everything the authority does meanwhile.
const ORDER: Duration = Duration::from_secs(600);

/// Looks after certificates.
pub struct Certificates {
    control: Arc<Control>,
    dns: Dns,
    changed: Notify,
}

impl Certificates {
    /// Ready to work; see [`Certificates::keep`].
    pub fn new(control: Arc<Control>, dns: Dns) -> Arc<Self> {
        let certificates = Arc::new(Self { control: control.clone(), dns, changed: Notify::new() });
        let weak = Arc::downgrade(&certificates);
        control.on_change(move || {
            if let Some(certificates) = weak.upgrade() {
                certificates.changed.notify_one();
            }
        });
        certificates
    }

    /// Reads new certificates, and orders and renews those that are wanted; runs until told to stop.
    pub async fn keep(self: Arc<Self>, mut stop: Stop) {
        loop {
            let pause = tokio::select! {
                _ = stop.wait() => return,
                pause = self.look() => pause,
            };
            let pause = pause.unwrap_or_else(|error| {
                match error.is_unavailable() {
                    true => tracing::debug!(%error, "certificates are looked after later"),
                    false => tracing::error!(%error, "certificates are looked after later"),
                }
                PERIOD
            });
            tokio::select! {
                _ = stop.wait() => return,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Does what is to be done, if it is this node's; says how long there is nothing.
    async fn look(&self) -> Result<Duration, Error> {
        let db = &self.control.db;
        let Some(agenda) = db.query_opt(AGENDA, &[]).await? else { return Ok(PERIOD) };
        let unread: i64 = agenda.get("unread");
        let due_in = agenda.get::<_, Option<f64>>("due_in").unwrap_or(f64::INFINITY);
        if unread == 0 && due_in > 0.0 {
            // An instant that far away is not reached, and cannot be written as a duration.
            return Ok(Duration::from_secs_f64(due_in.min(PERIOD.as_secs_f64())));
        }
        if !self.take_lease().await? {
            return Ok(PERIOD);
        }
        self.read_new().await?;
        let config = self.control.config();
        let due = match config.acme.active {
            true => db.query(DUE_ORDERS, &[&config.acme.directory, &config.config_generation]).await?,
            false => Vec::new(),
        };
        for row in due {
            let wanted = Wanted {
                id: row.get(0),
                names: row.get(1),
                under_way: row.get::<_, Option<String>>(2).zip(row.get(3)),
                key: row.get(4),
            };
            if !self.under_lease(self.have(&wanted)).await? {
                return Ok(PERIOD);
            }
        }
        // Not zero, in case that another snapshot of the settings is on its way.
        Ok(Duration::from_millis(500))
    }

    async fn take_lease(&self) -> Result<bool, Error> {
        lease::take(&self.control.db, "certificates", &self.control.node.name, LEASE).await
    }

    /// Works while the lease is this node's; false when it has lost it, and the work is broken off.
    async fn under_lease(&self, work: impl Future<Output = Result<(), Error>>) -> Result<bool, Error> {
        let keep = async {
            loop {
                tokio::time::sleep(LEASE / 3).await;
                if !self.take_lease().await? {
                    return Ok::<(), Error>(());
                }
            }
        };
        tokio::select! {
            done = work => done.map(|()| true),
            lost = keep => lost.map(|()| false),
        }
    }

    /// Notes what is inside certificates that somebody has put there.
    async fn read_new(&self) -> Result<(), Error> {
        let db = &self.control.db;
        for row in db.query(UNREAD, &[]).await? {
            let (id, chain, key): (i64, String, String) = (row.get(0), row.get(1), row.get(2));
            let names: Vec<String> = row.get(3);
            let (inside, error) = match Certified::from_pem(chain.as_bytes(), key.as_bytes(), &names) {
                Ok(read) => (Some(read), None),
                Err(error) => (None, Some(error.to_string())),
            };
            let own_names = inside.as_ref().map(|read| read.own_names.clone());
            let (from, to) =
                (inside.as_ref().map(|read| read.not_before), inside.as_ref().map(|read| read.not_after));
            db.execute(NOTE_INSIDE, &[&id, &own_names, &from, &to, &error, &chain, &key]).await?;
        }
        Ok(())
    }

    /// Orders one certificate and puts it in force, or notes why that can't be.
    async fn have(&self, wanted: &Wanted) -> Result<(), Error> {
        let outcome = match tokio::time::timeout(ORDER, self.order(wanted)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(Trouble::told(format!("the order was not done within {} minutes", ORDER.as_secs() / 60)))
            }
        };
        match outcome {
            Ok(issued) => self.put_in_force(wanted, issued).await,
            Err(Trouble::Database(error)) if error.is_unavailable() || error.is_retry() => Err(error),
            Err(trouble) => {
                let (text, wait) = (trouble.to_string(), trouble.wait());
                tracing::warn!(names = ?wanted.names, error = text, "a certificate could not be had");
                self.control.db.execute(NOTE_FAILURE, &[&wanted.id, &text, &wait.as_secs_f64()]).await?;
                Ok(())
            }
        }
    }

    async fn put_in_force(&self, wanted: &Wanted, issued: Issued) -> Result<(), Error> {
        let Issued { chain, key, read } = issued;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&wanted.id, &chain, &key, &wanted.names, &read.own_names, &read.not_before, &read.not_after];
        self.control.db.execute(FINISH_ORDER, &values).await?;
        tracing::info!(names = ?wanted.names, until = %read.not_after, "a certificate has been issued and is served");
        Ok(())
    }
}

/// A certificate that may be put in force for these names.
fn checked(chain: String, key: String, names: &[String]) -> Result<Issued, Trouble> {
    let read = Certified::from_pem(chain.as_bytes(), key.as_bytes(), names)
        .and_then(|read| read.check(Timestamp::now()).map(|()| read))
        .map_err(|error| {
            Trouble::told(format!("the authority gave a certificate that can't be used: {error}"))
        })?;
    Ok(Issued { chain, key, read })
}
