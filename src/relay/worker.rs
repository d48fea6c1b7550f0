//! A worker of a line: a connection to the next hop, and one message after the other over it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::body::Body;
use super::client::{Connection, Plan, TlsWish, Trouble, Waits};
use super::convert::{self, Unfit};
use super::hosts::{self, NoHosts};
use super::line::{Leave, Line};
use super::mta_sts::Policy;
use super::outcome::{Attempt, Finished, Voice, down_for, judge};
use super::route::{self, Hop};
use super::tls::{opportunistic, route_tls};
use super::tls_policy::{self, Observe, Target};
use super::tls_report::{About, Fault, Finding};
use super::transaction::{self, Failed, Said};
use super::{Relay, local};
use crate::control::Config;
use crate::control::config::{RouteRow, RouteTls};
use crate::queue::{Down, Message, Work};

/// Works off a line until nothing is left to do.
pub(super) async fn run(relay: Arc<Relay>, leave: Leave) {
    let line = leave.line.clone();
    let worker = Worker {
        relay: relay.clone(),
        line: line.clone(),
        leave,
        permit: None,
        connection: None,
        opened_under: 0,
    };
    worker.run().await;
    relay.lines.tidy(&line);
}

struct Worker {
    relay: Arc<Relay>,
    line: Arc<Line>,
    leave: Leave,
    permit: Option<OwnedSemaphorePermit>,
    connection: Option<Connection>,
    /// The settings that the connection was opened by.
    opened_under: i64,
}

/// Why no connection could be had.
enum Unreachable {
    /// The destination does not exist, or takes no mail.
    Never(String),
    /// None of its servers could be reached.
    Down(String),
}

impl Worker {
    async fn run(mut self) {
        loop {
            let Some(work) = self.next().await else { break };
            if let Some(work) = self.elsewhere(work).await
                && !self.deliver(work).await
            {
                break;
            }
        }
        if let Some(connection) = self.connection.take() {
            self.leave.set_connected(false);
            connection.quit().await;
        }
    }

    /// The next work; waits a moment for it while there is a connection that could be used again.
    async fn next(&mut self) -> Option<Work> {
        loop {
            if self.line.is_stopping() {
                return None;
            }
            let mut work = match self.line.next() {
                Some(work) => work,
                None => {
                    let config = self.relay.parts.control.config();
                    let idle = Duration::from_secs(u64::from(config.relay.idle_seconds));
                    // Connections are scarce: then this one is given up rather than kept.
                    let keep = self.connection.is_some() && self.relay.connections.available_permits() > 0;
                    match keep {
                        true => self.line.wait(idle).await.or_else(|| self.leave.unless_needed())?,
                        false => self.leave.unless_needed()?,
                    }
                }
            };
            if self.relay.may_begin(&mut work) {
                return Some(work);
            }
        }
    }

    /// What has become ours, or has lost its content, needs no connection; the rest goes on.
    async fn elsewhere(&mut self, work: Work) -> Option<Work> {
        if work.message.content_size.is_none() {
            self.relay.say_all(work, &gone(), &Attempt::default(), Voice::Own);
            return None;
        }
        match local::is_here(&self.relay, &work).await {
            Ok(false) => Some(work),
            Ok(true) => {
                local::deliver(&self.relay, work).await;
                None
            }
            Err(error) => {
                local::postpone(&self.relay, work, &error);
                None
            }
        }
    }

    /// Waits until a route's pace lets the next message go; the setting may change meanwhile.
    async fn keep_pace(&self) {
        let Hop::Route(id) = self.line.hop else { return };
        loop {
            let config = self.relay.parts.control.config();
            let Some(route) = config.routes.iter().find(|route| route.id == id) else { return };
            match self.line.pause(route.max_messages_per_minute) {
                Some(pause) if !self.line.is_stopping() => {
                    tokio::time::sleep(pause.min(Duration::from_secs(1))).await;
                }
                _ => return,
            }
        }
    }

    /// Delivers; false when the line's hop cannot be reached and the worker should end.
    async fn deliver(&mut self, mut work: Work) -> bool {
        self.keep_pace().await;
        if self.line.is_stopping() {
            // Its lease is given back at the next start, or ends.
            return false;
        }
        let config = self.relay.parts.control.config();
        let started = Instant::now();
        let mut reused = self.connection.is_some();
        // What was opened by other settings is not what they ask for now, and what was opened for other mail may be too
        // little for this one.
        let outdated = self.opened_under != config.config_generation;
        let unfit = |connection: &mut Connection| {
            outdated
                || connection.is_stale()
                || work.message.envelope.require_tls && !connection.may_carry_require_tls()
        };
        if self.connection.as_mut().is_some_and(unfit) {
            self.hang_up();
            reused = false;
        }
        loop {
            if self.connection.is_none()
                && let Err(unreachable) = self.connect(&config, &work).await
            {
                self.unreachable(unreachable, work, started);
                return false;
            }
            let Some(connection) = &mut self.connection else { return false };
            if work.message.envelope.require_tls
                && connection.passed_over
                && !connection.may_carry_require_tls()
            {
                let why = "451 4.7.30 the sender requires TLS (RFC 8689), and servers that might offer it can't be reached";
                let attempt = Attempt { took: started.elapsed(), ..Attempt::default() };
                self.relay.say_all(work, &Said::Later(why.to_owned()), &attempt, Voice::Own);
                return true;
            }
            let store = &self.relay.parts.store;
            let Some(body) = Body::new(store, &work.message) else {
                self.relay.say_all(work, &gone(), &Attempt::default(), Voice::Own);
                return true;
            };
            let mut attempt = Attempt {
                host: Some(connection.host.clone()),
                address: Some(connection.peer.ip()),
                tls: connection.tls.clone(),
                ..Attempt::default()
            };
            let mut body = match convert::fit(&self.relay, connection, &work.message, body).await {
                Ok(body) => body,
                Err(unfit) => {
                    attempt.took = started.elapsed();
                    let said = match unfit {
                        Unfit::Said(said) => said,
                        Unfit::Store(error) => unreadable(&error),
                    };
                    self.relay.say_all(work, &said, &attempt, Voice::Own);
                    return true;
                }
            };
            match transaction::send(connection, &work, &mut body).await {
                Ok(done) => {
                    attempt.took = started.elapsed();
                    attempt.reports = done.reports;
                    let spent = connection.sent >= config.relay.max_messages_per_connection;
                    let mut again = Vec::new();
                    let works = std::mem::take(&mut work.recipients);
                    for (recipient, said) in works.into_iter().zip(done.said) {
                        match said {
                            Said::Again(_) => again.push(recipient),
                            said => self.relay.say(&work, recipient, said, &attempt, Voice::Remote),
                        }
                    }
                    if spent && let Some(connection) = self.connection.take() {
                        self.leave.set_connected(false);
                        tokio::spawn(connection.quit());
                    }
                    if !again.is_empty() {
                        work.recipients = again;
                        self.line.put_back(work);
                    }
                    return true;
                }
                // The server gave up a connection that had been kept: no fault of this message.
                Err(Failed::Before(_)) if reused => {
                    self.hang_up();
                    reused = false;
                }
                Err(Failed::Before(trouble) | Failed::Within(trouble)) => {
                    self.hang_up();
                    attempt.took = started.elapsed();
                    let why = Said::Later(format!("451 4.4.2 {trouble}"));
                    self.relay.say_all(work, &why, &attempt, Voice::Own);
                    return true;
                }
                Err(Failed::Store(error)) => {
                    // A message that was begun with cannot be taken back but by hanging up.
                    self.hang_up();
                    self.relay.say_all(work, &unreadable(&error), &attempt, Voice::Own);
                    return true;
                }
            }
        }
    }

    fn hang_up(&mut self) {
        self.connection = None;
        self.leave.set_connected(false);
    }

    /// Nobody could be reached: what waits for it has to wait on.
    fn unreachable(&mut self, why: Unreachable, work: Work, started: Instant) {
        let attempt = Attempt { took: started.elapsed(), ..Attempt::default() };
        match why {
            // All of the line's mail, if it is for one domain.
            Unreachable::Never(why) => {
                let said = Said::Never(why);
                self.relay.say_all(work, &said, &attempt, Voice::Own);
                for other in self.line.drain() {
                    self.relay.say_all(other, &said, &attempt, Voice::Own);
                }
            }
            Unreachable::Down(_) if self.line.is_reached_by_others() => self.line.put_back(work),
            Unreachable::Down(why) => {
                let wait = down_for(work.failures);
                let mut all = self.line.drain();
                all.insert(0, work);
                for work in all {
                    self.relay.inlet.down(work.domain.clone(), wait);
                    let down = Down { domain: work.domain.clone(), reason: why.clone(), wait };
                    self.relay.finished.send(Finished::Destination(down)).ok();
                    self.relay.say_all(work, &Said::Later(why.clone()), &attempt, Voice::Own);
                }
            }
        }
    }

    /// Opens a connection to the first of the hop's servers that can be reached.
    async fn connect(&mut self, config: &Config, work: &Work) -> Result<(), Unreachable> {
        if self.permit.is_none() {
            // The semaphore is never closed.
            self.permit = self.relay.connections.clone().acquire_owned().await.ok();
        }
        let settings = &config.relay;
        let waits = Waits {
            connect: seconds(settings.connect_timeout_seconds),
            reply: seconds(settings.reply_timeout_seconds),
            data: seconds(settings.data_timeout_seconds),
            end: seconds(settings.end_timeout_seconds),
        };
        let connected = match &self.line.hop {
            Hop::Mx(domain) => self.by_mx(config, domain, &work.message, waits).await,
            Hop::Route(id) => match config.routes.iter().find(|route| route.id == *id) {
                Some(route) => self.by_route(config, route, waits).await,
                None => Err(Unreachable::Down("451 4.3.5 the route has been removed".to_owned())),
            },
            Hop::Host(host, port) => {
                let tls = opportunistic(host);
                let named = Named { host, port: *port, tls, implicit: false, login: None };
                self.by_name(config, named, waits).await
            }
        };
        match connected {
            Ok(connection) => {
                self.connection = Some(connection);
                self.opened_under = config.config_generation;
                self.leave.set_connected(true);
                self.relay.inlet.up(&work.domain);
                if work.failures > 0 {
                    let up =
                        Down { domain: work.domain.clone(), reason: String::new(), wait: Duration::ZERO };
                    self.relay.finished.send(Finished::Destination(up)).ok();
                }
                Ok(())
            }
            Err(why) => {
                self.permit = None;
                Err(why)
            }
        }
    }

    /// Opens a connection to the first of a domain's servers that can be reached; for a message that requires TLS, that may
    /// have it, if there is one.
    async fn by_mx(
        &self,
        config: &Config,
        domain: &str,
        message: &Message,
        waits: Waits,
    ) -> Result<Connection, Unreachable> {
        let own = config.hostname();
        let servers = hosts::servers(&self.relay.parts.dns, domain, own).await?;
        let mut reasons = Reasons::default();
        let mut unfit = None;
        let policy = match config.relay_tls.mta_sts {
            true => {
                let parts = &self.relay.parts;
                self.relay.policies.find(&parts.control, &parts.dns, domain).await
            }
            false => None,
        };
        for host in &servers.hosts {
            let (addresses, secure) =
                match hosts::addresses(&self.relay.parts.dns, host, config.relay.ip_preference).await {
                    Ok(found) => found,
                    Err(why) => {
                        reasons.add(why);
                        continue;
                    }
                };
            let target = Target {
                domain,
                host,
                port: config.relay.port,
                secure: config.relay_tls.dane && servers.secure && secure,
                named: servers.secure,
                policy: policy.as_deref(),
                route: route::route(config, domain).map(|row| row.tls),
                observe: match (message.envelope.require_tls, config.relay_tls.report_from.is_some()) {
                    (true, _) => Observe::Always,
                    (false, true) => Observe::Tested,
                    (false, false) => Observe::Never,
                },
            };
            let wish = tls_policy::wish(&self.relay.parts.dns, &target, config.relay.extra_roots.as_deref());
            let wish = wish.await;
            let about = self.about(&target, policy.as_ref()).await;
            let tls = match wish {
                Ok(tls) => tls,
                Err(why) => {
                    if let Some(about) = &about {
                        about.refused(&why);
                    }
                    reasons.note(why);
                    continue;
                }
            };
            for address in addresses {
                let peer = SocketAddr::new(address, config.relay.port);
                let plan = Plan {
                    source: self.line.identity.source(peer),
                    helo: self.line.identity.helo.as_deref().unwrap_or(own),
                    tls: tls.clone(),
                    implicit: false,
                    login: None,
                    waits,
                };
                match open(host, peer, plan, about.as_ref()).await {
                    Ok(connection) if message.envelope.require_tls && !connection.may_carry_require_tls() => {
                        unfit.get_or_insert(connection);
                        // Its other addresses are the same server.
                        break;
                    }
                    Ok(connection) => return Ok(connection),
                    Err(trouble) => reasons.note(unopened(host, &trouble)),
                }
            }
        }
        match unfit {
            Some(mut connection) => {
                connection.passed_over = reasons.later.is_some();
                Ok(connection)
            }
            None => Err(reasons.into()),
        }
    }

    /// How connections to a server are counted, if somebody is told of it. A route of ours is nobody else's business.
    async fn about<'a>(&'a self, target: &'a Target<'_>, policy: Option<&Arc<Policy>>) -> Option<About<'a>> {
        if self.relay.parts.control.config().relay_tls.report_from.is_none() || target.route.is_some() {
            return None;
        }
        let unfetched = self.relay.policies.fault(target.domain);
        let (terms, doubt) = tls_policy::terms(&self.relay.parts.dns, target, policy, unfetched).await;
        Some(About { reports: &self.relay.reports, domain: target.domain, host: target.host, terms, doubt })
    }

    /// Opens a connection to the host that a route of ours names.
    async fn by_route(
        &self,
        config: &Config,
        row: &RouteRow,
        waits: Waits,
    ) -> Result<Connection, Unreachable> {
        let host = row.host.as_deref().unwrap_or_default();
        let tls = route_tls(host, row.tls, config.relay.extra_roots.as_deref())
            .map_err(|why| Unreachable::Down(format!("451 4.7.5 {why}")))?;
        let named = Named {
            host,
            port: route::port(row, config),
            tls,
            implicit: row.tls == RouteTls::Implicit,
            login: row.username.as_deref().zip(row.password.as_deref()),
        };
        self.by_name(config, named, waits).await
    }

    /// Opens a connection to a host that one of our tables names.
    async fn by_name(
        &self,
        config: &Config,
        named: Named<'_>,
        waits: Waits,
    ) -> Result<Connection, Unreachable> {
        let Named { host, port, tls, implicit, login } = named;
        let (addresses, _) = hosts::addresses(&self.relay.parts.dns, host, config.relay.ip_preference)
            .await
            // One that cannot be found is a mistake in our settings and no fault of the recipient.
            .map_err(|(NoHosts::Never(why) | NoHosts::Later(why))| Unreachable::Down(why))?;
        let mut reasons = Reasons::default();
        for address in addresses {
            let peer = SocketAddr::new(address, port);
            let plan = Plan {
                source: self.line.identity.source(peer),
                helo: self.line.identity.helo.as_deref().unwrap_or_else(|| config.hostname()),
                tls: tls.clone(),
                implicit,
                login,
                waits,
            };
            match open(host, peer, plan, None).await {
                Ok(connection) => return Ok(connection),
                Err(trouble) => reasons.note(unopened(host, &trouble)),
            }
        }
        Err(reasons.into())
    }
}

/// A host that one of our tables names, and how to talk to it.
struct Named<'a> {
    host: &'a str,
    port: u16,
    tls: Option<TlsWish>,
    implicit: bool,
    login: Option<(&'a str, &'a str)>,
}

/// Connects; a server whose TLS does not work, where TLS is only a wish, is tried in plain text.
async fn open(
    host: &str,
    peer: SocketAddr,
    plan: Plan<'_>,
    about: Option<&About<'_>>,
) -> Result<Connection, Trouble> {
    let outcome = Box::pin(Connection::open(host, peer, &plan)).await;
    if let Some(about) = about {
        match &outcome {
            Ok(Connection { doubt: Some(fault), .. }) | Err(Trouble::Tls(fault)) => {
                about.bad(peer.ip(), fault);
            }
            Ok(Connection { tls: Some(_), .. }) => about.good(peer.ip()),
            Ok(_) => {
                let why = "the server does not offer STARTTLS".to_owned();
                about.bad(peer.ip(), &Fault { finding: Finding::NotOffered, why });
            }
            // That says nothing about TLS.
            Err(_) => {}
        }
    }
    match outcome {
        Err(Trouble::Tls(Fault { why, .. })) if plan.tls.as_ref().is_some_and(|wish| !wish.must) => {
            tracing::info!(host, %peer, why, "TLS does not work there; sending without");
            Box::pin(Connection::open(host, peer, &Plan { tls: None, ..plan })).await
        }
        other => other,
    }
}

/// The reply that stands for a server that could not be used.
fn unopened(host: &str, trouble: &Trouble) -> String {
    let status = match trouble {
        Trouble::Tls(_) => "4.7.5",
        Trouble::Broken(_) | Trouble::Refused(_) => "4.4.1",
    };
    format!("451 {status} {host}: {trouble}")
}

/// What becomes of a message whose bytes are nowhere.
fn gone() -> Said {
    Said::Never("550 5.3.0 the message's content is not in the store any more".to_owned())
}

/// What becomes of a message whose bytes could not be read.
fn unreadable(error: &crate::db::Error) -> Said {
    match error.is_unavailable() {
        true => Said::Later(format!("451 4.3.0 {error}")),
        false => Said::Never(format!("550 5.3.0 {error}")),
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

/// What kept us from a destination, the last of it.
#[derive(Default)]
struct Reasons {
    never: Option<String>,
    later: Option<String>,
}

impl Reasons {
    fn add(&mut self, why: NoHosts) {
        match why {
            NoHosts::Never(why) => self.never = Some(why),
            NoHosts::Later(why) => self.later = Some(why),
        }
    }

    fn note(&mut self, why: String) {
        self.later = Some(why);
    }
}

impl From<Reasons> for Unreachable {
    fn from(reasons: Reasons) -> Self {
        match (reasons.later, reasons.never) {
            (Some(why), _) => Unreachable::Down(why),
            (None, Some(why)) => Unreachable::Never(why),
            (None, None) => Unreachable::Down("451 4.4.4 there is no server to talk to".to_owned()),
        }
    }
}

impl From<NoHosts> for Unreachable {
    fn from(why: NoHosts) -> Self {
        match why {
            NoHosts::Never(why) => Unreachable::Never(why),
            NoHosts::Later(why) => Unreachable::Down(why),
        }
    }
}

impl Relay {
    /// Takes note of what became of one recipient of some work.
    fn say(
        &self,
        work: &Work,
        recipient: crate::queue::Recipient,
        said: Said,
        attempt: &Attempt,
        voice: Voice,
    ) {
        let config = self.parts.control.config();
        let finished = judge(&config, &work.message, &work.domain, recipient, said, attempt, voice);
        // The other end lives as long as the relay does.
        self.finished.send(finished).ok();
    }

    /// Takes note of what became of all of them.
    pub(super) fn say_all(&self, mut work: Work, said: &Said, attempt: &Attempt, voice: Voice) {
        for recipient in std::mem::take(&mut work.recipients) {
            self.say(&work, recipient, said.clone(), attempt, voice);
        }
    }
}
