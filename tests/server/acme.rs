//! Certificates: from an authority by ACME (RFC 8555, RFC 8737), from files, and what is known of each.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use mailwright::tls::certificate::{acme_answer, key_digest, self_signed};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::support::dialogue::tcp;
use crate::support::pebble::{Manner, Pebble};
use crate::support::{Ca, Daemon, Database, Dns, PATIENCE};

/// Every certificate that is wanted is there, and nothing of its order is left.
const ALL_IS_WELL: &str = "select not exists (select 1 from control.acme_certificate where certificate_id is null or last_error is not null)
  and not exists (select 1 from control.acme_order) and not exists (select 1 from control.acme_answer)";

/// An authority that knows these names as ours, and a server that may order from it.
async fn authority(daemon: &Daemon<'_>, dns: &Dns, names: &[&str], manner: Manner) -> Pebble {
    for name in names {
        dns.set(&format!("{name}. 60 IN A 127.0.0.1"));
    }
    dns.set("localhost. 60 IN A 127.0.0.1");
    let ca = Ca::new();
    let pebble = Pebble::start(&ca, dns, daemon.port("imaps"), manner).await;
    let (directory, root, server) = (pebble.directory(), ca.pem(), dns.address());
    daemon
        .db()
        .apply(&format!(
            "update control.dns set servers = '{{{server}}}';
             update control.acme set directory = '{directory}', roots = '{root}', contact = 'postmaster@example.test',
               terms_agreed = true, active = true"
        ))
        .await;
    pebble
}

fn trusting(root: &str, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(root.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// The certificate that a client is shown who trusts this root alone and verifies the name.
pub async fn verified(port: u16, name: &'static str, root: &str) -> Result<Vec<u8>, std::io::Error> {
    let server = ServerName::try_from(name).unwrap();
    let stream = TlsConnector::from(trusting(root, &[])).connect(server, tcp(port).await).await?;
    Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
}

/// The certificate that anybody is shown who asks for this name.
pub async fn shown(port: u16, name: &'static str) -> Vec<u8> {
    let server = ServerName::try_from(name).unwrap();
    let stream = TlsConnector::from(anybody(&[])).connect(server, tcp(port).await).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn want(names: &str) -> String {
    format!("insert into control.acme_certificate (names) values ('{{{names}}}')")
}

// RFC 8555, RFC 8737 ---------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_inserted_and_its_certificate_is_served_and_renewed() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = Daemon::start(&db).await;
    let pebble = authority(&daemon, &dns, &["mail.far.test", "imap.far.test"], Manner::default()).await;
    let (root, port) = (pebble.root(), daemon.port("imaps"));
    assert!(verified(port, "mail.far.test", &root).await.is_err(), "it is there already");

    db.sql(&want("Mail.Far.Test., imap.far.test, mail.far.test")).await;
    db.until("select exists (select 1 from control.certificate where source = 'acme')").await;
    db.wait_applied().await;
    let first = verified(port, "mail.far.test", &root).await.unwrap();
    assert_eq!(verified(port, "imap.far.test", &root).await.unwrap(), first);
    db.until(ALL_IS_WELL).await;
    let row = &db.rows("select state, names, days_left > 300, renewal_at < not_after from report.certificate where source = 'acme'").await[0];
    assert_eq!(row.get::<_, String>(0), "valid");
    assert_eq!(row.get::<_, Vec<String>>(1), ["mail.far.test", "imap.far.test"]);
    assert!(row.get::<_, bool>(2) && row.get::<_, bool>(3));
    let account: String = db.value("select url || ' ' || contact from control.acme_account").await;
    assert!(account.ends_with(" postmaster@example.test") && account.starts_with("https://"), "{account}");
    let audited: String = db.value("select new ->> 'key' from log.audit where table_name = 'control.certificate' order by id desc limit 1").await;
    assert_eq!(audited, "(hidden)");
    let id: i64 = db.value("select certificate_id from control.acme_certificate").await;

    // On demand.
    db.sql("update control.acme_certificate set renew_at = now()").await;
    db.until("select renew_at is null from control.acme_certificate").await;
    db.wait_applied().await;
    let second = verified(port, "mail.far.test", &root).await.unwrap();
    assert_ne!(second, first);

    // With the same key, where that is wished.
    let digest = async || {
        let chain: String = db.value("select chain from control.certificate where source = 'acme'").await;
        key_digest(chain.as_bytes()).unwrap()
    };
    let key = digest().await;
    db.sql("update control.acme_certificate set keep_key = true, renew_at = now()").await;
    db.until("select renew_at is null from control.acme_certificate").await;
    assert_eq!(digest().await, key);
    db.sql("update control.acme_certificate set keep_key = false, renew_at = now()").await;
    db.until("select renew_at is null from control.acme_certificate").await;
    assert_ne!(digest().await, key);
    db.wait_applied().await;
    let second = verified(port, "mail.far.test", &root).await.unwrap();

    // When two thirds of its life are over, and no sooner.
    let age = |days: i32| {
        format!(
            "update control.certificate set not_before = now() - interval '{days} days', not_after = now() + interval '{} days'
             where source = 'acme'; update control.acme_certificate set next_attempt_at = null",
            90 - days
        )
    };
    for (settings, days, is_due) in [
        ("renew_days = null", 59, false),
        ("renew_days = 10", 61, false),
        ("renew_days = 80", 59, false),
        ("renew_days = 10", 81, true),
        ("renew_days = null", 61, true),
    ] {
        // Not ordered before it has been looked at.
        db.sql(&format!("begin; update control.acme set active = false, {settings}; commit")).await;
        db.wait_applied().await;
        db.sql(&age(days)).await;
        let due =
            "select a.due_at <= now() from (select (select min(due_at) from logic.acme_due) as due_at) a";
        let client = db.connect().await;
        client.batch_execute("begin; update control.acme set active = true").await.unwrap();
        let found: bool = client.query_one(due, &[]).await.unwrap().get(0);
        client.batch_execute("rollback").await.unwrap();
        assert_eq!(found, is_due, "{settings}, {days} days old");
    }
    db.sql("update control.acme set active = true").await;
    db.until("select not_after > now() + interval '300 days' from control.certificate where source = 'acme'")
        .await;
    db.wait_applied().await;
    assert_ne!(verified(port, "mail.far.test", &root).await.unwrap(), second);

    // Another set of names is another order, and the same row.
    db.sql("update control.acme_certificate set names = '{mail.far.test}'").await;
    db.until("select names = '{mail.far.test}' from control.certificate where source = 'acme'").await;
    assert_eq!(db.value::<i64>("select id from control.certificate where source = 'acme'").await, id);
    assert_eq!(pebble.orders(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_proves_a_name_as_well() {
    // RFC 8555 §8.3: to the port of HTTP, on any listener of the web.
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = Daemon::start(&db).await;
    let manner = Manner { http_port: Some(daemon.port("http")), ..Manner::default() };
    let pebble = authority(&daemon, &dns, &["mail.far.test", "imap.far.test"], manner).await;
    db.sql("update control.acme set challenge = 'http-01'").await;
    db.sql(&want("mail.far.test, imap.far.test")).await;
    db.until("select exists (select 1 from control.certificate where source = 'acme')").await;
    db.until(ALL_IS_WELL).await;
    db.wait_applied().await;
    let root = pebble.root();
    let first = verified(daemon.port("imaps"), "imap.far.test", &root).await.unwrap();
    // On demand, by the page of the certificate.
    crate::admin::administrator(&db, "root", "system").await;
    let pages = crate::support::pages::Pages::log_in(&daemon, "root", crate::support::daemon::PASSWORD).await;
    let id: i64 = db.value("select id from control.certificate where source = 'acme'").await;
    let key = format!("{{\"id\":{id}}}");
    let answer = pages.post("/admin/page/certificate/act", &[("k", &key), ("do", "renew")]).await;
    assert!(answer.location().contains("it+is+ordered+now"), "{}", answer.location());
    db.until("select renew_at is null from control.acme_certificate").await;
    db.until(ALL_IS_WELL).await;
    db.wait_applied().await;
    let second = verified(daemon.port("imaps"), "imap.far.test", &root).await.unwrap();
    assert_ne!(first, second);
    let id: i64 = db.value("select id from control.acme_certificate").await;
    let key = format!("{{\"id\":{id}}}");
    let answer = pages.post("/admin/page/acme_certificate/act", &[("k", &key), ("do", "renew")]).await;
    assert!(answer.location().contains("it+is+ordered+now"), "{}", answer.location());
    db.until("select renew_at is null from control.acme_certificate").await;
    let log = pebble.log();
    assert!(log.contains("/.well-known/acme-challenge/"), "{log}");
    assert_eq!(pebble.orders(), 3);
    // Nobody is told of an answer that nobody has asked for.
    assert_eq!(pages.get("/.well-known/acme-challenge/unasked").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_fails_says_why_and_is_tried_again() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = Daemon::start(&db).await;
    let manner = Manner { refuses: Some("refused.test"), ..Manner::default() };
    let pebble = authority(&daemon, &dns, &["mail.far.test"], manner).await;
    let failed = |says: &str| {
        format!(
            "select last_error like '%{says}%' and failures > 0 and next_attempt_at > now() + interval '4 minutes' from control.acme_certificate"
        )
    };
    // A name that the authority does not find; of two names the other one is not blamed.
    db.sql(&want("mail.far.test, away.far.test")).await;
    db.until(&failed("away.far.test: ")).await;
    let error: String = db.value("select last_error from control.acme_certificate").await;
    assert!(!error.contains("mail.far.test: "), "{error}");
    db.until("select not exists (select 1 from control.acme_order) and not exists (select 1 from control.acme_answer)").await;
    // A name that it does not want.
    db.sql("update control.acme_certificate set names = '{mail.refused.test}'").await;
    db.until(&failed("(rejectedIdentifier)")).await;
    // It is not asked again before its time.
    assert_eq!(db.value::<i32>("select failures from control.acme_certificate").await, 1);
    // An authority that is not there, one that is none, one that is not to be trusted.
    let directory = pebble.directory();
    for (change, says) in [
        ("directory = 'https://localhost:9/dir'".to_owned(), "localhost can''t be reached"),
        (format!("directory = '{directory}ectory'"), "directory answered with HTTP status 404"),
        (format!("directory = '{directory}', challenge = 'http-01', contact = null"), "mail.far.test: "),
        ("challenge = 'tls-alpn-01', roots = null".to_owned(), "TLS with localhost failed"),
    ] {
        db.sql("update control.acme_certificate set names = '{mail.far.test}', last_error = null").await;
        db.sql(&format!("update control.acme set {change}")).await;
        db.until(&failed(says)).await;
    }
    // The failures count up, and so does the pause.
    db.sql("update control.acme_certificate set failures = 3, next_attempt_at = null").await;
    db.until("select failures = 4 and next_attempt_at between now() + interval '39 minutes' and now() + interval '41 minutes' from control.acme_certificate").await;
    let listed = mailwright(&db, &["certificate", "list"], "").1;
    assert!(!listed.contains("acme"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_orders_and_both_answer() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = Daemon::start(&db).await;
    let second = daemon.second_node().await;
    let pebble = authority(&daemon, &dns, &["mail.far.test"], Manner::default()).await;
    // The second node works; the authority comes to the first one.
    db.sql("insert into control.lease (name, node, until) values ('certificates', 'two', now() + interval '1 minute')
            on conflict (name) do update set node = excluded.node, until = excluded.until").await;
    db.sql(&want("mail.far.test")).await;
    db.until(ALL_IS_WELL).await;
    db.wait_applied().await;
    let root = pebble.root();
    let served = verified(daemon.port("imaps"), "mail.far.test", &root).await.unwrap();
    assert_eq!(verified(second.port("imaps"), "mail.far.test", &root).await.unwrap(), served);
    assert!(second.log().contains("a certificate has been issued"), "{}", second.log());
    assert!(!daemon.log().contains("a certificate has been issued"));
    assert_eq!(pebble.orders(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_outlives_the_node_that_began_it() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let mut daemon = Daemon::start(&db).await;
    let pebble = authority(&daemon, &dns, &["mail.far.test"], Manner::default()).await;
    // Nobody can obey this, so the order waits between its beginning and its challenge.
    let client = db.connect().await;
    client
        .batch_execute("insert into live.node select (jsonb_populate_record(n, jsonb_build_object('name', 'dead', 'seen_at', now() + interval '1 hour', 'applied_generation', 0))).* from live.node n")
        .await
        .unwrap();
    db.sql(&want("mail.far.test")).await;
    db.until(
        "select exists (select 1 from control.acme_order) and exists (select 1 from control.acme_answer)",
    )
    .await;
    let begun: String = db.value("select url from control.acme_order").await;
    daemon.kill9().await;
    db.sql("delete from live.node where name = 'dead'").await;
    daemon.start_again().await;
    db.until(ALL_IS_WELL).await;
    assert_eq!(pebble.orders(), 1, "{begun} was not gone on with");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_may_want_to_know_its_customers() {
    // RFC 8555 §7.3.4.
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = Daemon::start(&db).await;
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let manner = Manner { external: Some(("kid-1", key)), ..Manner::default() };
    let _pebble = authority(&daemon, &dns, &["mail.far.test"], manner).await;
    db.sql(&want("mail.far.test")).await;
    db.until("select last_error like '%externalAccountRequired%' from control.acme_certificate").await;
    db.sql(&format!("update control.acme set external_key_id = 'kid-1', external_key = '{key}'")).await;
    db.until(ALL_IS_WELL).await;
    // A contact that changes is told, and an account that the authority has lost is made anew.
    db.apply("update control.acme set contact = 'hostmaster@example.test'").await;
    db.sql("update control.acme_certificate set renew_at = now()").await;
    db.until("select contact = 'hostmaster@example.test' from control.acme_account").await;
    db.until("select renew_at is null from control.acme_certificate").await;
    db.sql("update control.acme_account set url = url || '0000'; update control.acme_certificate set renew_at = now()").await;
    db.until("select renew_at is null from control.acme_certificate").await;
    db.until("select url not like '%0000' from control.acme_account").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authoritys_question_is_answered_by_the_handshake_alone() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (chain, key) = acme_answer("mail.far.test", &[7; 32]).unwrap();
    db.apply(&format!(
        "insert into control.acme_answer (token, name, challenge, key_authorization, chain, key)
         values ('t', 'mail.far.test', 'tls-alpn-01', 't.k', '{chain}', '{key}')"
    ))
    .await;
    let answer = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
    let shown: String = db.value("select chain from control.certificate").await;
    let usual = CertificateDer::from_pem_slice(shown.as_bytes()).unwrap();
    // RFC 8737 §3: the protocol alone, and the name that is asked about.
    for (name, alpn, expected) in [
        ("mail.far.test", &["acme-tls/1"][..], Some(&answer)),
        ("MAIL.far.test", &["acme-tls/1"], Some(&answer)),
        ("imap.far.test", &["acme-tls/1"], None),
        ("mail.far.test", &["acme-tls/1", "imap"], Some(&usual)),
        ("mail.far.test", &["imap"], Some(&usual)),
        ("mail.far.test", &[], Some(&usual)),
    ] {
        for service in ["imaps", "pop3s", "smtps"] {
            let config = anybody(alpn);
            let server = ServerName::try_from(name).unwrap();
            let connected = TlsConnector::from(config).connect(server, tcp(daemon.port(service)).await).await;
            let case = format!("{service} {name} {alpn:?}");
            let Some(expected) = expected else {
                assert!(connected.is_err(), "{case}");
                continue;
            };
            let mut stream = connected.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(&stream.get_ref().1.peer_certificates().unwrap()[0], expected, "{case}");
            let is_question = expected == &answer;
            let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            assert_eq!(protocol, is_question.then(|| b"acme-tls/1".to_vec()), "{case}");
            // A service greets; here nothing is said.
            let mut said = [0; 16];
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut said)).await.unwrap().unwrap_or(0);
            assert_eq!(read == 0, is_question, "{case}");
        }
    }
    db.apply("delete from control.acme_answer").await;
    let name = ServerName::try_from("mail.far.test").unwrap();
    let gone =
        TlsConnector::from(anybody(&["acme-tls/1"])).connect(name, tcp(daemon.port("imaps")).await).await;
    assert!(gone.is_err());
}

/// Looks at what is shown, and checks no signature: the identifier is critical and known to no library.
#[derive(Debug)]
struct Looker;

impl ServerCertVerifier for Looker {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn anybody(alpn: &[&str]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&trusting("", alpn));
    config.dangerous().set_certificate_verifier(Arc::new(Looker));
    Arc::new(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_authority_gives_is_refused_at_once() {
    let db = Database::new().await;
    for (statement, says) in [
        (want("*.far.test"), "is a wildcard"),
        (want("localhost"), "is no full host name"),
        (want("192.0.2.1"), "is no full host name"),
        (want("bücher.example"), "xn--"),
        (want(""), "from 1 to 100 names"),
        (want("a.test,NULL"), "a host name is missing"),
        ("update control.acme set active = true".to_owned(), "read the authority's terms"),
        ("update control.acme set directory = 'http://localhost/dir'".to_owned(), "begins with https://"),
        ("update control.acme set external_key = 'abc'".to_owned(), "come together"),
        ("update control.acme set contact = 'postmaster'".to_owned(), "contact is an email address"),
    ] {
        let said = db.refusal(&statement).await;
        assert!(said.contains(says), "{statement}: {said}");
    }
}

// What is inside -------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn what_sql_inserts_is_read_by_the_server() {
    let db = Database::new().await;
    let _daemon = Daemon::start(&db).await;
    db.until("select not_after > now() + interval '9 years' and own_names @> '{localhost}' from control.certificate").await;
    let (chain, key) = self_signed(&["a.test".to_owned()]).unwrap();
    let (other, other_key) = self_signed(&["b.test".to_owned()]).unwrap();
    db.sql(&format!("insert into control.certificate (chain, key) values ('{chain}', '{key}')")).await;
    db.until("select exists (select 1 from report.certificate where names = '{a.test}' and state = 'valid' and days_left > 3000)").await;
    db.sql(&format!("update control.certificate set chain = '{other}' where own_names = '{{a.test}}'")).await;
    db.until("select exists (select 1 from report.certificate where state = 'unusable' and error like '%does not belong%')").await;
    db.sql(&format!("update control.certificate set key = '{other_key}' where chain = '{other}'")).await;
    db.until("select exists (select 1 from report.certificate where names = '{b.test}' and state = 'valid' and error is null)").await;
}

// Files ----------------------------------------------------------------------------------------------------------------

/// Runs the program with something on its standard input; whether it went well, and what it said.
fn mailwright(db: &Database, words: &[&str], input: &str) -> (bool, String) {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_mailwright"))
        .args(words)
        .args(["--database-url", &db.url()])
        .env_remove("DATABASE_URL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have said no before it has read that.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// A folder of the test's own.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("mailwright-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// A PKCS #12 file, as the openssl command makes it.
    pub fn pkcs12(&self, name: &str, files: [&str; 2], password: &str, options: &[&str]) -> String {
        let path = self.path(name);
        let [chain, key] = files;
        let password = format!("pass:{password}");
        let output = Command::new("openssl")
            .args(["pkcs12", "-export", "-in", chain, "-inkey", key, "-out", &path, "-passout", &password])
            .args(options)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_comes_from_a_file_and_is_served_at_once() {
    let (db, folder, ca) = (Database::new().await, Folder::new("certificates"), Ca::new());
    let daemon = Daemon::start(&db).await;
    let port = daemon.port("imaps");
    let made = |name: &str| {
        let identity = ca.certificate(&["mail.far.test", "imap.far.test"]);
        let chain = folder.file(&format!("{name}.pem"), &identity.chain);
        let key = folder.file(&format!("{name}.key"), &identity.key);
        (chain, key, identity.certificate)
    };
    let import =
        |words: &[&str], input: &str| mailwright(&db, &[&["certificate", "import"], words].concat(), input);
    let serial = |der: &[u8]| X509Certificate::from_der(der).unwrap().1.raw_serial().to_vec();

    // As Windows and Java, older openssl, and newer openssl make them; and PEM, apart and in one.
    let (chain, key, first) = made("first");
    let legacy = ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"];
    let file = folder.pkcs12("legacy.pfx", [&chain, &key], "sesame", &legacy);
    let (good, said) = import(&[&file, "--password-stdin"], "sesame\n");
    assert!(
        good && said.contains("for mail.far.test, imap.far.test has been added; it expires on"),
        "{said}"
    );
    db.wait_applied().await;
    assert_eq!(serial(&verified(port, "imap.far.test", ca.pem()).await.unwrap()), serial(&first));

    let (chain, key, second) = made("second");
    let file = folder.pkcs12("new.p12", [&chain, &key], "sésame", &[]);
    let (good, said) = import(&[&file, "--password-stdin"], "sésame\n");
    assert!(good && said.contains("has been replaced"), "{said}");
    db.wait_applied().await;
    assert_eq!(serial(&verified(port, "mail.far.test", ca.pem()).await.unwrap()), serial(&second));

    let open = folder.pkcs12("open.p12", [&chain, &key], "", &[]);
    assert!(import(&[&open], "").0);
    let (chain, key, third) = made("third");
    assert!(import(&[&chain, "--key", &key], "").0);
    db.wait_applied().await;
    assert_eq!(serial(&verified(port, "mail.far.test", ca.pem()).await.unwrap()), serial(&third));
    let both = [std::fs::read_to_string(&key).unwrap(), std::fs::read_to_string(&chain).unwrap()].concat();
    let both = folder.file("both.pem", &both);
    assert!(import(&[&both], "").0);
    let kept: String = db.value("select chain from control.certificate where source = 'uploaded'").await;
    assert!(!kept.contains("PRIVATE"), "{kept}");
    assert_eq!(
        db.value::<i64>("select count(*) from control.certificate where source = 'uploaded'").await,
        1
    );

    // What can't be served changes nothing, and says why.
    let before: String =
        db.value("select md5(chain) from control.certificate where source = 'uploaded'").await;
    let expired = ca.expired(&["mail.far.test", "imap.far.test"]);
    let old = folder.file("old.pem", &[expired.chain, expired.key].concat());
    let (other, _, _) = made("other");
    for (words, input, says) in [
        (&[&file, "--password-stdin"][..], "wrong\n", "the password of the file is wrong"),
        (&[&file], "", "say --password-stdin"),
        (&[&old], "", "has expired on 2002-01-01"),
        (&[&other, "--key", &key], "", "does not belong"),
        (&[&chain], "", "there is no private key"),
        (&[&key], "", "holds no certificate"),
        (&[&both, "--name", "else.test"], "", "is not for else.test: it is for mail.far.test, imap.far.test"),
        (&[&file, "--key", &key], "", "is no PEM file"),
        (&["/nowhere"], "", "could not open /nowhere"),
        (&["/bin/sh"], "", "this is no PKCS #12 file"),
    ] {
        let words: Vec<&str> = words.iter().map(|word| &**word).collect();
        let (good, said) = import(&words, input);
        assert!(!good && said.contains(says), "{words:?} should say: {says}\n{said}");
    }
    assert_eq!(
        db.value::<String>("select md5(chain) from control.certificate where source = 'uploaded'").await,
        before
    );

    let (good, said) = mailwright(&db, &["certificate", "self-signed", "bücher.example", "*.far.test"], "");
    assert!(good && said.contains("xn--bcher-kva.example, *.far.test has been added"), "{said}");
    db.until("select not exists (select 1 from control.certificate where not_after is null)").await;
    let (_, listed) = mailwright(&db, &["certificate", "list"], "");
    for part in ["days left", "mail.far.test, imap.far.test", "uploaded", "self-signed", "valid"] {
        assert!(listed.contains(part), "{part}\n{listed}");
    }
    let (_, json) = mailwright(&db, &["certificate", "list", "--json"], "");
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert!(!json.contains("PRIVATE"));
}

#[tokio::test]
async fn where_nothing_is_wanted_nothing_is_due() {
    let db = Database::new().await;
    let agenda = include_str!("../../sql/certificates/agenda.sql");
    let row = db.connect().await.query_one(agenda, &[]).await.unwrap();
    // Not at once, or each node would look again and again.
    assert_eq!(row.get::<_, Option<f64>>("due_in"), None);
    db.sql(
        "update control.acme set active = true, terms_agreed = true;
         insert into control.acme_certificate (names) values ('{mail.example.test}')",
    )
    .await;
    let row = db.connect().await.query_one(agenda, &[]).await.unwrap();
    assert_eq!(row.get::<_, Option<f64>>("due_in"), Some(0.0));
}
