//! Logins with access tokens: OAUTHBEARER and XOAUTH2 in SMTP, IMAP and POP3, with an issuer of the test's own.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::support::ca::Ca;
use crate::support::dialogue::{Dialogue, Language};
use crate::support::dns::Dns;
use crate::support::{Daemon, Database, Web};

/// An issuer of tokens, and its web server.
struct Issuer {
    url: String,
    ca: Ca,
    _dns: Dns,
    web: Web,
    key: Ed25519KeyPair,
    key_id: String,
}

fn new_key() -> Ed25519KeyPair {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()
}

impl Issuer {
    /// Starts one, and has the daemon find its host.
    async fn start(db: &Database) -> Issuer {
        let (ca, dns) = (Ca::new(), Dns::start().await);
        dns.set("id.test. 60 IN A 127.0.0.1");
        db.apply(&format!("update control.dns set servers = array['{}'], attempts = 1", dns.address())).await;
        let web = Web::start(&ca.certificate(&["id.test"])).await;
        let url = format!("https://id.test:{}", web.port());
        let mut issuer = Issuer { url, ca, _dns: dns, web, key: new_key(), key_id: String::new() };
        let configuration = json!({"issuer": issuer.url, "jwks_uri": format!("{}/keys", issuer.url)});
        issuer.page("/.well-known/openid-configuration", &configuration);
        issuer.rotate("first");
        issuer
    }

    fn page(&self, path: &str, content: &Value) {
        self.web.page(path, "application/json", &content.to_string());
    }

    /// Signs with another key from now on, and publishes that one alone.
    fn rotate(&mut self, key_id: &str) {
        self.key = new_key();
        self.key_id = key_id.to_owned();
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        self.page("/keys", &json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": key_id, "x": x}]}));
    }

    fn asked_for_keys(&self) -> usize {
        self.web.asked_for("/keys")
    }

    /// The row of this issuer.
    fn row(&self) -> String {
        format!(
            "insert into control.oidc_issuer (issuer, audience, roots) values ('{}', 'mail', '{}')",
            self.url,
            self.ca.pem()
        )
    }

    fn token(&self, user: &str, audience: &str, seconds: i64) -> String {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.key_id});
        let claims = json!({"iss": self.url, "aud": audience, "exp": now + seconds, "email": user, "email_verified": true});
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes())))
    }

    fn good(&self) -> String {
        self.token("alice@example.test", "mail", 600)
    }
}

fn bearer(user: &str, token: &str) -> String {
    let identity = if user.is_empty() { String::new() } else { format!("a={user}") };
    STANDARD.encode(format!("n,{identity},\u{1}host=mail.example.test\u{1}auth=Bearer {token}\u{1}\u{1}"))
}

fn xoauth2(user: &str, token: &str) -> String {
    STANDARD.encode(format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}"))
}

async fn submission(daemon: &Daemon<'_>) -> (Dialogue, String) {
    let mut smtp = daemon.submission().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    let offer = smtp.expect("250").await;
    (smtp, offer)
}

/// What becomes of a token, in SMTP.
async fn outcome(daemon: &Daemon<'_>, user: &str, token: &str) -> String {
    let (mut smtp, _) = submission(daemon).await;
    smtp.send(&format!("AUTH OAUTHBEARER {}", bearer(user, token))).await;
    let answer = smtp.answer().await;
    let Some(challenge) = answer.strip_prefix("334 ") else { return answer };
    let said: Value = serde_json::from_slice(&STANDARD.decode(challenge).unwrap()).unwrap();
    assert_eq!(said["status"], "invalid_token");
    assert!(said["openid-configuration"].as_str().unwrap().ends_with("/.well-known/openid-configuration"));
    // RFC 7628 §3.2.3: a dummy.
    smtp.send("AQ==").await;
    smtp.answer().await
}

#[tokio::test]
async fn tokens_log_users_in() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let issuer = Issuer::start(&db).await;
    let (mut smtp, offer) = submission(&daemon).await;
    assert!(!offer.contains("OAUTHBEARER"), "{offer}");
    smtp.send(&format!("AUTH OAUTHBEARER {}", bearer("", &issuer.good()))).await;
    smtp.expect("504").await;
    db.apply(&issuer.row()).await;
    db.apply("update control.smtp set require_tls_for_auth = false").await;

    let (mut smtp, offer) = submission(&daemon).await;
    assert!(offer.contains(" OAUTHBEARER XOAUTH2 "), "{offer}");
    smtp.send(&format!("AUTH OAUTHBEARER {}", bearer("alice@example.test", &issuer.good()))).await;
    smtp.expect("235").await;
    db.until("select exists (select 1 from live.session where login = 'alice@example.test')").await;
    // Never in the clear, even where passwords may go so.
    let mut clear = Dialogue::plain(daemon.port("submission"), Language::Smtp).await;
    clear.expect("220").await;
    clear.send("EHLO client.example.net").await;
    let offer = clear.expect("250").await;
    assert!(offer.contains("PLAIN") && !offer.contains("OAUTH"), "{offer}");

    let (mut smtp, _) = submission(&daemon).await;
    smtp.send("AUTH XOAUTH2").await;
    smtp.expect("334").await;
    smtp.send(&xoauth2("alice@example.test", &issuer.good())).await;
    smtp.expect("235").await;

    let mut imap = daemon.imap().await;
    imap.send("c CAPABILITY").await;
    imap.expect("* CAPABILITY *AUTH=OAUTHBEARER AUTH=XOAUTH2").await;
    imap.expect("c OK").await;
    imap.send(&format!("a AUTHENTICATE OAUTHBEARER {}", bearer("", &issuer.good()))).await;
    imap.expect("a OK").await;
    imap.run("SELECT INBOX").await;
    let mut imap = daemon.imap().await;
    imap.send(&format!("a AUTHENTICATE XOAUTH2 {}", xoauth2("alice@example.test", "a.b.c"))).await;
    imap.expect("+ ").await;
    imap.send("").await;
    imap.expect("a NO [AUTHENTICATIONFAILED]").await;

    let mut pop3 = daemon.pop3().await;
    pop3.send("CAPA").await;
    pop3.expect("+OK").await;
    let capabilities = pop3.lines().await;
    assert!(capabilities.iter().any(|line| line.starts_with("SASL ") && line.contains("OAUTHBEARER")));
    pop3.send("AUTH XOAUTH2").await;
    pop3.expect("+").await;
    pop3.send(&xoauth2("alice@example.test", &issuer.good())).await;
    pop3.expect("+OK").await;
    pop3.send("STAT").await;
    pop3.expect("+OK 0").await;
    assert_eq!(issuer.asked_for_keys(), 1);

    db.apply("update control.oidc_issuer set active = false").await;
    let (_, offer) = submission(&daemon).await;
    assert!(!offer.contains("OAUTHBEARER"), "{offer}");
}

#[tokio::test]
async fn wrong_tokens_log_nobody_in() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut issuer = Issuer::start(&db).await;
    db.apply(&issuer.row()).await;
    db.apply("update directory.account set forbidden_services = '{smtp}' where local_part = 'carol'").await;
    for (user, token, answer) in [
        ("", issuer.good(), "235"),
        ("", issuer.token("alice@example.test", "shop", 600), "535"),
        ("", issuer.token("alice@example.test", "mail", -100), "535"),
        ("", issuer.token("alice@example.test", "mail", -10), "235"),
        ("", issuer.token("nobody@example.test", "mail", 600), "535"),
        ("bob@example.test", issuer.good(), "535"),
        ("", issuer.token("carol@example.test", "mail", 600), "525"),
        ("", "a.b.c".to_owned(), "535"),
        ("", format!("{}x", issuer.good()), "535"),
    ] {
        let came = outcome(&daemon, user, &token).await;
        assert!(came.starts_with(answer), "{user} {token}: expected {answer}, came {came}");
    }
    // Whom nobody knows.
    let other = Issuer::start(&db).await;
    assert!(outcome(&daemon, "", &other.good()).await.starts_with("535"));
    db.apply(&format!("update control.dns set servers = array['{}']", issuer._dns.address())).await;
    // Its keys are replaced; the old ones count no more.
    let old = issuer.good();
    issuer.rotate("second");
    assert!(outcome(&daemon, "", &issuer.good()).await.starts_with("235"));
    assert!(outcome(&daemon, "", &old).await.starts_with("535"));
    // Whatever is sent, the issuer is not asked again and again.
    for number in 0..10 {
        issuer.key_id = format!("unknown {number}");
        assert!(outcome(&daemon, "", &issuer.good()).await.starts_with("535"));
    }
    assert!(issuer.asked_for_keys() <= 4, "{}", issuer.asked_for_keys());
    // None of this locks the account.
    let (mut smtp, _) = submission(&daemon).await;
    smtp.login("alice").await;
}

#[tokio::test]
async fn without_the_issuers_keys_logins_wait() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let issuer = Issuer::start(&db).await;
    // Its certificate is of an authority that nobody trusts.
    db.apply(&format!(
        "insert into control.oidc_issuer (issuer, audience) values ('{}', 'mail')",
        issuer.url
    ))
    .await;
    assert!(outcome(&daemon, "", &issuer.good()).await.starts_with("454"));
    assert_eq!(issuer.asked_for_keys(), 0);
    db.apply(&format!("update control.oidc_issuer set roots = '{}'", issuer.ca.pem())).await;
    assert!(outcome(&daemon, "", &issuer.good()).await.starts_with("235"));
    // One that describes itself as another one.
    issuer.page(
        "/.well-known/openid-configuration",
        &json!({"issuer": "https://other.test", "jwks_uri": format!("{}/keys", issuer.url)}),
    );
    db.apply("update control.oidc_issuer set audience = 'mail2'").await;
    assert!(outcome(&daemon, "", &issuer.token("alice@example.test", "mail2", 600)).await.starts_with("454"));
    db.apply(&format!("update control.oidc_issuer set jwks_url = '{}/keys'", issuer.url)).await;
    assert!(outcome(&daemon, "", &issuer.token("alice@example.test", "mail2", 600)).await.starts_with("235"));
}
