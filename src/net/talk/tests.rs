//! The loop under a toy protocol of lines, over real sockets.

use super::*;
use crate::net::accept::{Address, Listener, bind};
use crate::net::stop::Stopper;
use crate::tls::acceptor::{Oldest, server_config};
use crate::tls::certificate::{Certified, self_signed};
use crate::tls::resolver::Certificates;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use std::net::Ipv4Addr;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

struct Toy {
    patience: Duration,
    bells: mpsc::Receiver<&'static str>,
    /// What `NAME` said; a handshake forgets it.
    name: Option<Vec<u8>>,
    tls: Option<TlsInfo>,
    /// Bytes of the message that is coming in.
    message: Option<usize>,
    /// Told when `HANG` has begun.
    hanging: Option<oneshot::Sender<()>>,
}

impl Session for Toy {
    type Unit = Vec<u8>;
    type Bell = &'static str;

    async fn greet(&mut self, out: &mut Out<'_>) -> Next {
        out.put(if self.tls.is_some() { b"hello in private\n" } else { b"hello\n" });
        Next::Continue
    }

    fn frame(&mut self, input: &mut BytesMut) -> Option<Vec<u8>> {
        let end = memchr::memchr(b'\n', input)?;
        let mut line = input.split_to(end + 1).to_vec();
        line.pop();
        Some(line)
    }

    async fn handle(&mut self, line: Vec<u8>, out: &mut Out<'_>) -> Next {
        if let Some(size) = &mut self.message {
            if line == b"." {
                out.put(format!("got {size}\n").as_bytes());
                self.message = None;
            } else {
                *size += line.len();
            }
            return Next::Continue;
        }
        let space = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let rest = line.get(space + 1..).unwrap_or_default();
        match &line[..space] {
            b"ECHO" => out.put(rest),
            b"NAME" => self.name = Some(rest.to_vec()),
            b"WHO" => {
                let secret = if self.tls.is_some() { "private" } else { "plain" };
                out.put(format!("{:?} {secret}", self.name).as_bytes());
            }
            b"DATA" => {
                self.message = Some(0);
                out.put(b"go on");
            }
            b"BIG" => {
                let mut left: usize = std::str::from_utf8(rest).unwrap().parse().unwrap();
                while left > 0 {
                    let part = left.min(10_000);
                    out.put(&vec![b'x'; part]);
                    left -= part;
                    if out.page().await.is_err() {
                        return Next::Close;
                    }
                    assert!(out.waiting() < PAGE, "page() keeps what waits below a page");
                }
            }
            b"HANG" => {
                out.put(b"half an answer");
                self.hanging.take().unwrap().send(()).unwrap();
                std::future::pending::<()>().await;
            }
            b"PANIC" => panic!("as the client wished"),
            b"STARTTLS" => {
                out.put(b"go\n");
                return Next::StartTls;
            }
            b"QUIT" => {
                out.put(b"bye\n");
                return Next::Close;
            }
            other => panic!("not in the toy protocol: {other:?}"),
        }
        out.put(b"\n");
        Next::Continue
    }

    async fn bell(&mut self) -> &'static str {
        match self.bells.recv().await {
            Some(bell) => bell,
            None => std::future::pending().await,
        }
    }

    async fn notice(&mut self, bell: &'static str, out: &mut Out<'_>) -> Next {
        out.put(format!("* {bell}\n").as_bytes());
        Next::Continue
    }

    fn secured(&mut self, tls: &TlsInfo) {
        self.name = None;
        self.tls = Some(tls.clone());
    }

    fn farewell(&mut self, why: Farewell, out: &mut Out<'_>) {
        out.put(format!("go away: {why:?}\n").as_bytes());
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn busy(&self) -> bool {
        self.message.is_some()
    }
}

/// A session that runs, and all the strings attached to it.
struct Scene {
    client: TcpStream,
    session: JoinHandle<(Report, Toy)>,
    stopper: Stopper,
    termination: Termination,
    bells: mpsc::Sender<&'static str>,
    hanging: oneshot::Receiver<()>,
}

impl Scene {
    async fn open(tls: Tls, patience: Duration) -> Self {
        let (stopper, stop) = Stopper::new();
        let termination = Termination::new();
        let terms = Terms { tls, handshake: SHORT, write: SHORT, stop, termination: termination.clone() };
        let (bells, ringing) = mpsc::channel(8);
        let (started, hanging) = oneshot::channel();
        let mut toy =
            Toy { patience, bells: ringing, name: None, tls: None, message: None, hanging: Some(started) };
        let bound = bind(Address::One(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
        let address = bound.local().unwrap();
        let (sender, mut arrivals) = mpsc::unbounded_channel();
        let _listener = Listener::start(bound, move |stream| sender.send(stream).unwrap());
        let client = TcpStream::connect(address).await.unwrap();
        let stream = arrivals.recv().await.unwrap();
        let session = tokio::spawn(async move { (talk(&mut toy, stream, terms).await, toy) });
        Self { client, session, stopper, termination, bells, hanging }
    }

    async fn plain() -> Self {
        Self::open(Tls::Off, LIMIT).await
    }

    async fn report(self) -> Report {
        drop(self.client);
        limited(self.session).await.unwrap().0
    }

    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    async fn expect(&mut self, wanted: &str) {
        expect(&mut self.client, wanted).await;
    }

    /// Reads to the end; the answer must be exactly this.
    async fn expect_last(&mut self, wanted: &str) {
        let mut got = String::new();
        limited(self.client.read_to_string(&mut got)).await.unwrap();
        assert_eq!(got, wanted);
    }
}

async fn limited<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("in time")
}

async fn expect(stream: &mut (impl AsyncRead + Unpin), wanted: &str) {
    let mut got = vec![0; wanted.len()];
    limited(stream.read_exact(&mut got)).await.unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), wanted);
}

/// A certificate row, and a client's trust in it.
fn certified(name: &str) -> (Certified, CertificateDer<'static>) {
    let (chain, key) = self_signed(&[name.to_owned()]).unwrap();
    let row = Certified::from_pem(chain.as_bytes(), key.as_bytes(), &[]).unwrap();
    (row, CertificateDer::from_pem_slice(chain.as_bytes()).unwrap())
}

fn server(rows: &[Certified]) -> Arc<ServerConfig> {
    server_config(Arc::new(Certificates::new(rows)), Oldest::Tls12, &[]).unwrap()
}

/// Shakes hands as a client that trusts exactly `root`.
async fn shake<S>(
    stream: S,
    name: &'static str,
    root: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name).unwrap();
    limited(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

#[tokio::test]
async fn what_is_pipelined_is_answered_in_order() {
    let mut scene = Scene::plain().await;
    scene.send("ECHO a\nECHO b\nBIG 200000\nQUIT\n").await;
    scene.expect("hello\na\nb\n").await;
    scene.expect_last(&format!("{}\nbye\n", "x".repeat(200_000))).await;
    let report = scene.report().await;
    assert_eq!(report, Report { ended: Ended::Closed, bytes_in: 30, bytes_out: 10 + 200_001 + 4 });
}

#[tokio::test]
async fn input_may_come_byte_by_byte() {
    let mut scene = Scene::plain().await;
    for byte in "ECHO a\nQUIT\n".chars() {
        scene.send(&byte.to_string()).await;
        tokio::task::yield_now().await;
    }
    scene.expect_last("hello\na\nbye\n").await;
}

#[tokio::test]
async fn plain_text_before_the_handshake_is_forgotten() {
    let (row, root) = certified("mail.example.test");
    let mut scene = Scene::open(Tls::Offered(server(std::slice::from_ref(&row))), LIMIT).await;
    scene.send("NAME mallory\nSTARTTLS\nECHO injected\nNAME injected\n").await;
    scene.expect("hello\n\ngo\n").await;
    let Scene { client, session, .. } = scene;
    let mut client = shake(client, "mail.example.test", &root).await.unwrap();
    client.write_all(b"WHO\nQUIT\n").await.unwrap();
    let mut got = String::new();
    limited(client.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "None private\nbye\n");

    let (report, toy) = limited(session).await.unwrap();
    assert_eq!(report.ended, Ended::Closed);
    let info = toy.tls.unwrap();
    assert_eq!((info.version, info.sni.as_deref()), ("TLSv1.3", Some("mail.example.test")));
    assert!(info.cipher.starts_with("TLS_"), "{}", info.cipher);
    let label = b"EXPORTER-Channel-Binding";
    let exporter = client.get_ref().1.export_keying_material([0; 32], label, Some(&[])).unwrap();
    assert_eq!(info.exporter, Some(exporter));
    assert_eq!(info.server_end_point, row.end_point_hash);
}

#[tokio::test]
async fn a_handshake_that_never_comes_ends_the_session() {
    let (row, _) = certified("a.test");
    for tls in [Tls::Offered(server(std::slice::from_ref(&row))), Tls::Offered(server(&[])), Tls::Off] {
        let mut scene = Scene::open(tls, LIMIT).await;
        scene.send("STARTTLS\n").await;
        scene.expect("hello\ngo\n").await;
        let (report, toy) = limited(scene.session).await.unwrap();
        assert_eq!(report.ended, Ended::NoTls);
        assert!(toy.tls.is_none());
    }
}

#[tokio::test]
async fn plain_text_in_place_of_a_handshake_ends_the_session() {
    let (row, _) = certified("a.test");
    let mut scene = Scene::open(Tls::Implicit(server(&[row])), LIMIT).await;
    scene.send("ECHO nobody listens\n").await;
    assert_eq!(limited(scene.session).await.unwrap().0.ended, Ended::NoTls);
}

#[tokio::test]
async fn with_implicit_tls_the_session_knows_before_it_greets() {
    let (row, root) = certified("a.test");
    let scene = Scene::open(Tls::Implicit(server(&[row])), LIMIT).await;
    let mut client = shake(scene.client, "a.test", &root).await.unwrap();
    expect(&mut client, "hello in private\n").await;
    client.write_all(b"BIG 300000\n").await.unwrap();
    expect(&mut client, &("x".repeat(300_000) + "\n")).await;
    scene.termination.terminate();
    expect(&mut client, "go away: Terminated\n").await;
    assert_eq!(limited(client.read_u8()).await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn the_name_asked_for_chooses_the_certificate_and_a_new_one_is_live_at_once() {
    let ((one, root_one), (two, root_two), (new, root_new)) =
        (certified("one.test"), certified("*.two.test"), certified("*.two.test"));
    let certificates = Arc::new(Certificates::new(&[one.clone(), two.clone()]));
    let config = server_config(certificates.clone(), Oldest::Tls13, &[]).unwrap();
    let connect = async |name, root| {
        let scene = Scene::open(Tls::Implicit(config.clone()), LIMIT).await;
        let mut result = shake(scene.client, name, root).await;
        if let Ok(client) = &mut result {
            // The client's side is done first; the greeting says that the server's is too.
            expect(client, "hello in private\n").await;
        }
        let trusted = result.is_ok();
        // The client closes, so that nobody waits for it.
        drop(result);
        scene.termination.terminate();
        let (_, toy) = limited(scene.session).await.unwrap();
        (trusted, toy.tls.and_then(|info| info.server_end_point))
    };
    assert_eq!(connect("one.test", &root_one).await, (true, one.end_point_hash.clone()));
    assert_eq!(connect("mail.two.test", &root_two).await, (true, two.end_point_hash.clone()));
    assert!(!connect("mail.two.test", &root_new).await.0);
    certificates.replace(&[one, new.clone()]);
    assert_eq!(connect("mail.two.test", &root_new).await, (true, new.end_point_hash));
    assert!(!connect("mail.two.test", &root_two).await.0);
}

#[tokio::test]
async fn the_silent_and_the_slow_are_sent_away() {
    for (sent, answer, why) in [
        ("", "", Farewell::IdleTimeout),
        ("ECHO a\nECHO", "a\n", Farewell::TooSlow),
        ("DATA\n", "go on\n", Farewell::TooSlow),
    ] {
        let mut scene = Scene::open(Tls::Off, SHORT).await;
        scene.send(sent).await;
        scene.expect_last(&format!("hello\n{answer}go away: {why:?}\n")).await;
        assert_eq!(scene.report().await.ended, Ended::SentAway(why));
    }
}

#[tokio::test]
async fn a_byte_now_and_then_does_not_buy_time() {
    let mut scene = Scene::open(Tls::Off, SHORT).await;
    scene.expect("hello\n").await;
    let dripping = async {
        let mut tick = tokio::time::interval(SHORT / 10);
        loop {
            tick.tick().await;
            if scene.client.write_all(b"E").await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        () = dripping => {}
        ended = limited(&mut scene.session) => {
            assert_eq!(ended.unwrap().0.ended, Ended::SentAway(Farewell::TooSlow));
        }
    }
}

#[tokio::test]
async fn endless_lines_are_refused() {
    let mut scene = Scene::plain().await;
    scene.expect("hello\n").await;
    scene.send(&"E".repeat(3 * INPUT_LIMIT)).await;
    scene.expect_last("go away: TooLong\n").await;
    let report = scene.report().await;
    assert_eq!(report.ended, Ended::SentAway(Farewell::TooLong));
    assert!(report.bytes_in < (INPUT_LIMIT + BUSY_READ) as u64, "{report:?}");
}

#[tokio::test]
async fn a_stop_sends_the_idle_away_and_lets_the_busy_finish() {
    let (mut idle, mut busy) = (Scene::plain().await, Scene::plain().await);
    idle.expect("hello\n").await;
    busy.send("DATA\nabc\n").await;
    busy.expect("hello\ngo on\n").await;
    for scene in [&idle, &busy] {
        scene.stopper.stop(LIMIT);
    }
    idle.expect_last("go away: Shutdown\n").await;
    assert_eq!(idle.report().await.ended, Ended::SentAway(Farewell::Shutdown));
    busy.send("def\n.\nECHO too late\n").await;
    busy.expect_last("got 6\ngo away: Shutdown\n").await;
    assert_eq!(busy.report().await.ended, Ended::SentAway(Farewell::Shutdown));
}

#[tokio::test]
async fn the_grace_of_a_stop_ends() {
    let (mut busy, mut hung) = (Scene::plain().await, Scene::plain().await);
    busy.send("DATA\nabc\n").await;
    busy.expect("hello\ngo on\n").await;
    hung.send("ECHO a\nHANG\n").await;
    limited(&mut hung.hanging).await.unwrap();
    for scene in [&busy, &hung] {
        scene.stopper.stop(SHORT);
    }
    busy.expect_last("go away: Shutdown\n").await;
    // The half of an answer that was not sent yet is taken back.
    hung.expect_last("hello\na\ngo away: Shutdown\n").await;
    assert_eq!(hung.report().await.ended, Ended::SentAway(Farewell::Shutdown));
}

#[tokio::test]
async fn a_terminated_session_ends_even_in_the_middle() {
    let (mut idle, mut hung) = (Scene::plain().await, Scene::plain().await);
    idle.expect("hello\n").await;
    hung.send("HANG\n").await;
    limited(&mut hung.hanging).await.unwrap();
    for scene in [&idle, &hung] {
        scene.termination.terminate();
    }
    idle.expect_last("go away: Terminated\n").await;
    hung.expect_last("hello\ngo away: Terminated\n").await;
    assert_eq!(hung.report().await.ended, Ended::SentAway(Farewell::Terminated));
}

#[tokio::test]
async fn a_terminated_session_does_not_wait_for_a_slow_reader() {
    let mut scene = Scene::plain().await;
    scene.expect("hello\n").await;
    scene.send("BIG 100000000\n").await;
    scene.expect("xxx").await;
    scene.termination.terminate();
    let report = limited(&mut scene.session).await.unwrap().0;
    // Whichever came first: the end of the grace, or of the patience with a write.
    assert!(
        matches!(report.ended, Ended::SentAway(Farewell::Terminated) | Ended::WriteTimeout),
        "{report:?}"
    );
}

#[tokio::test]
async fn who_does_not_read_is_given_up() {
    let mut scene = Scene::plain().await;
    scene.send("BIG 100000000\n").await;
    let report = limited(&mut scene.session).await.unwrap().0;
    assert_eq!(report.ended, Ended::WriteTimeout);
    assert!(report.bytes_out < 100_000_000, "{report:?}");
}

#[tokio::test]
async fn a_half_closed_client_gets_its_answers() {
    let mut scene = Scene::plain().await;
    scene.send("ECHO a\nBIG 100000\nECHO unfinished").await;
    scene.client.shutdown().await.unwrap();
    scene.expect_last(&format!("hello\na\n{}\n", "x".repeat(100_000))).await;
    assert_eq!(scene.report().await.ended, Ended::PeerClosed);
}

#[tokio::test]
async fn the_last_answer_survives_what_the_client_still_sends() {
    let mut scene = Scene::plain().await;
    scene.send(&format!("QUIT\n{}", "x".repeat(500_000))).await;
    // With a reset in place of an orderly end this read fails.
    scene.expect_last("hello\nbye\n").await;
    assert_eq!(scene.report().await.ended, Ended::Closed);
}

#[tokio::test]
async fn a_bell_is_heard_and_does_not_count_as_the_clients_word() {
    let mut scene = Scene::open(Tls::Off, SHORT).await;
    scene.expect("hello\n").await;
    scene.bells.send("new mail").await.unwrap();
    scene.expect("* new mail\n").await;
    let ringing = async {
        let mut tick = tokio::time::interval(SHORT / 10);
        loop {
            tick.tick().await;
            scene.bells.send("more").await.unwrap();
        }
    };
    tokio::select! {
        () = ringing => {}
        ended = limited(&mut scene.session) => {
            assert_eq!(ended.unwrap().0.ended, Ended::SentAway(Farewell::IdleTimeout));
        }
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_session_only() {
    let (mut bad, mut good) = (Scene::plain().await, Scene::plain().await);
    bad.send("PANIC\n").await;
    assert_eq!(limited(&mut bad.session).await.unwrap().0.ended, Ended::Panicked);
    good.send("QUIT\n").await;
    good.expect_last("hello\nbye\n").await;
}

#[tokio::test]
async fn an_idle_session_is_small() {
    let bound = bind(Address::One(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let client = TcpStream::connect(bound.local().unwrap());
    let stream = Stream::new(client.await.unwrap()).unwrap();
    let (_, bells) = mpsc::channel(1);
    let mut toy = Toy { patience: LIMIT, bells, name: None, tls: None, message: None, hanging: None };
    let (stop, termination) = (Stop::never(), Termination::new());
    let terms = Terms { tls: Tls::Off, handshake: LIMIT, write: LIMIT, stop, termination };
    // The whole task; the rest of the 16 KiB is the kernel's and the session's own.
    let size = size_of_val(&talk(&mut toy, stream, terms));
    assert!(size <= 4096, "{size}");
}
