//! Listening: binding with errors that a person can act on, and the task that accepts.
//!
//! `*` means every address of both families: one IPv6 socket that takes IPv4 too, or IPv4 alone where the host has no
//! IPv6. `::` means IPv6 only. Peers that come as IPv4-mapped IPv6 are IPv4 to everyone above.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::holder::{Holder, holder};
use super::stream::Stream;

/// Connections that wait for us to accept them; the kernel takes its own maximum when that is lower.
const BACKLOG: i32 = 4096;

/// How long to wait when the process or the system is out of files.
const PAUSE: Duration = Duration::from_millis(100);

/// How often the same trouble is logged.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `*`: everywhere.
    Any,
    /// One address; `0.0.0.0` and `::` are all of their own family.
    One(IpAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("*"),
            Self::One(ip) => ip.fmt(formatter),
        }
    }
}

/// Why a listener can't be bound, in words for an administrator.
#[derive(Debug, thiserror::Error)]
pub struct BindError {
    /// The address wanted.
    pub address: Address,
    /// The port wanted.
    pub port: u16,
    /// What the system said.
    #[source]
    pub reason: io::Error,
    /// Who holds the port, where that can be found out.
    pub holder: Option<Holder>,
}

impl fmt::Display for BindError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, port, reason, holder } = self;
        match (reason.kind(), holder) {
            (io::ErrorKind::AddrInUse, Some(Holder { pid, program })) => write!(
                formatter,
                "port {port} on {address} is in use by {program} (process {pid}); stop it, or give this listener another port"
            ),
            (io::ErrorKind::AddrInUse, None) => write!(
                formatter,
                "port {port} on {address} is in use by another program; stop it, or give this listener another port"
            ),
            (io::ErrorKind::PermissionDenied, _) => write!(
                formatter,
                "port {port} on {address} is not allowed to this user; grant CAP_NET_BIND_SERVICE, or use --port-offset 10000"
            ),
            (io::ErrorKind::AddrNotAvailable, _) => write!(
                formatter,
                "{address} is not an address of this host, so nothing can listen on its port {port}; use one of the host's own, or *"
            ),
            _ => write!(formatter, "can't listen on port {port} of {address}: {reason}"),
        }
    }
}

/// A bound socket that nobody accepts from yet. Clients may connect already, and wait.
#[derive(Debug)]
pub struct Bound(TcpListener);

impl Bound {
    /// Where it is bound; tells the port when port 0 was asked for.
    ///
    /// # Errors
    /// What the system says.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Binds a listener. Must be called within the runtime; on an error it reads `/proc` for the holder.
///
/// # Errors
/// See [`BindError`].
pub fn bind(address: Address, port: u16) -> Result<Bound, BindError> {
    let bound = match address {
        Address::One(ip) => listen(SocketAddr::new(ip, port), Family::Own),
        Address::Any => match listen((Ipv6Addr::UNSPECIFIED, port).into(), Family::Both) {
            Err(error) if lacks_ipv6(&error) => listen((Ipv4Addr::UNSPECIFIED, port).into(), Family::Own),
            other => other,
        },
    };
    bound.map(Bound).map_err(|reason| {
        let wanted = match address {
            Address::Any => None,
            Address::One(ip) => Some(ip),
        };
        let in_use = reason.kind() == io::ErrorKind::AddrInUse;
        BindError { address, port, holder: in_use.then(|| holder(wanted, port)).flatten(), reason }
    })
}

/// What an IPv6 socket takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Own,
    Both,
}

fn listen(address: SocketAddr, family: Family) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(family == Family::Own)?;
    }
    // Without it, connections in TIME_WAIT would keep the port for a minute after a restart.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT))
}

/// A running listener. Dropped or stopped, it closes its socket.
#[derive(Debug)]
pub struct Listener {
    task: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
    local: Option<SocketAddr>,
}

impl Listener {
    /// Accepts from now on and hands each connection to `arrived`, which must not wait: it spawns the session. A panic
    /// in it costs that connection only.
    pub fn start(bound: Bound, arrived: impl FnMut(Stream) + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let local = bound.local().ok();
        let task = tokio::spawn(async move {
            tokio::select! {
                biased;
                // An error says that the owner is gone, which means the same.
                _ = stopped => {}
                () = accept(bound.0, arrived) => {}
            }
        });
        Self { task: Some(task), stop: Some(stop), local }
    }

    /// Where it listens.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Closes the socket; when this returns, the port is free.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(local = ?self.local, %error, "a listener ended badly");
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn accept(listener: TcpListener, mut arrived: impl FnMut(Stream)) {
    let mut complaint = Complaint { last: None };
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => welcome(tcp, peer, &mut arrived),
            // The client gave up while it waited; the next one is no worse for it.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                complaint.say(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn welcome(tcp: TcpStream, peer: SocketAddr, arrived: &mut impl FnMut(Stream)) {
    let stream = match Stream::new(tcp) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%peer, %error, "a client was gone before it was served");
            return;
        }
    };
    if std::panic::catch_unwind(AssertUnwindSafe(|| arrived(stream))).is_err() {
        tracing::error!(%peer, "a connection was lost to a panic on its arrival");
    }
}

/// accept(2) reports what happened to a waiting connection as its own error.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ECONNRESET
                | libc::EINTR
                | libc::EPROTO
                | libc::EPERM
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ETIMEDOUT
        )
    )
}

/// Logs trouble that repeats ten times a second, once a minute.
struct Complaint {
    last: Option<Instant>,
}

impl Complaint {
    fn say(&mut self, error: &io::Error) {
        if self.last.is_some_and(|last| last.elapsed() < COMPLAINT_PERIOD) {
            return;
        }
        self.last = Some(Instant::now());
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => tracing::error!(
                %error,
                "out of open files, new connections wait; raise the limit (LimitNOFILE= in the systemd unit)"
            ),
            _ => tracing::error!(%error, "connections can't be accepted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    const LOOPBACK: Address = Address::One(IpAddr::V4(Ipv4Addr::LOCALHOST));

    #[tokio::test]
    async fn a_taken_port_names_its_holder() {
        let first = bind(LOOPBACK, 0).unwrap();
        let port = first.local().unwrap().port();
        for address in [LOOPBACK, Address::Any, Address::One(Ipv4Addr::UNSPECIFIED.into())] {
            let error = bind(address, port).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.holder.as_ref().map(|holder| holder.pid), Some(std::process::id()), "{text}");
            assert!(text.starts_with(&format!("port {port} on {address} is in use by ")), "{text}");
        }
    }

    #[tokio::test]
    async fn a_foreign_address_is_called_so() {
        let error = bind(Address::One("192.0.2.1".parse().unwrap()), 25000).unwrap_err();
        assert!(error.to_string().contains("192.0.2.1 is not an address of this host"), "{error}");
        let refused = BindError { reason: io::ErrorKind::PermissionDenied.into(), port: 25, ..error };
        assert!(refused.to_string().contains("CAP_NET_BIND_SERVICE"), "{refused}");
    }

    #[tokio::test]
    async fn any_takes_ipv4_and_shows_it_as_ipv4() {
        let (sender, mut arrivals) = mpsc::unbounded_channel();
        let bound = bind(Address::Any, 0).unwrap();
        let port = bound.local().unwrap().port();
        let listener = Listener::start(bound, move |stream| sender.send(stream).unwrap());
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let stream = arrivals.recv().await.unwrap();
        assert_eq!(stream.peer(), client.local_addr().unwrap());
        assert_eq!(stream.local(), client.peer_addr().unwrap());
        listener.stop().await;
    }

    #[tokio::test]
    async fn a_stopped_listener_frees_its_port_and_a_panic_does_not_stop_it() {
        let bound = bind(LOOPBACK, 0).unwrap();
        let address = bound.local().unwrap();
        let (sender, mut arrivals) = mpsc::unbounded_channel();
        let mut first = true;
        let listener = Listener::start(bound, move |stream| {
            assert!(!std::mem::take(&mut first), "the first arrival panics");
            sender.send(stream).unwrap();
        });
        let _lost = TcpStream::connect(address).await.unwrap();
        let _kept = TcpStream::connect(address).await.unwrap();
        arrivals.recv().await.unwrap();
        listener.stop().await;
        assert!(TcpStream::connect(address).await.is_err());
        bind(LOOPBACK, address.port()).unwrap();
    }
}
