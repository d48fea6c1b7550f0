//! A certificate authority that speaks ACME: Debian's pebble, a process of its own, which finds names by the test's DNS.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::daemon::ReservedPort;
use super::{Ca, Dns, ask_until, dialogue};

/// The running authority.
pub struct Pebble {
    child: Child,
    ports: [ReservedPort; 2],
    dir: PathBuf,
}

/// What kind of authority it is.
#[derive(Default, Clone, Copy)]
pub struct Manner {
    /// Key identifier and key (base64url) without which it makes no account.
    pub external: Option<(&'static str, &'static str)>,
    /// A name that it gives no certificates for.
    pub refuses: Option<&'static str>,
    /// The port that it asks for pages on, instead of 80.
    pub http_port: Option<u16>,
}

impl Pebble {
    /// Starts one that asks for answers by TLS on this port of whatever address a name has. Its own certificate, for
    /// localhost, is of this authority.
    pub async fn start(ca: &Ca, dns: &Dns, tls_port: u16, manner: Manner) -> Pebble {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("mailwright-pebble-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let identity = ca.certificate(&["localhost"]);
        std::fs::write(dir.join("chain.pem"), &identity.chain).unwrap();
        std::fs::write(dir.join("key.pem"), &identity.key).unwrap();
        let ports = [ReservedPort::any(), ReservedPort::any()];
        let keys: serde_json::Value =
            manner.external.iter().map(|(id, key)| (id.to_string(), serde_json::Value::from(*key))).collect();
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{}", ports[0].number()),
            "managementListenAddress": format!("127.0.0.1:{}", ports[1].number()),
            "certificate": dir.join("chain.pem"),
            "privateKey": dir.join("key.pem"),
            "httpPort": manner.http_port.unwrap_or(9),
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": manner.external.is_some(),
            "externalAccountMACKeys": keys,
            "domainBlocklist": manner.refuses.iter().collect::<Vec<_>>(),
        }});
        std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let mut command = Command::new("pebble");
        command.arg("-config").arg(dir.join("config.json")).args(["-dnsserver", &dns.address().to_string()]);
        command.arg("-strict");
        // Nothing proved before is remembered, and it looks without a pause.
        command.env("PEBBLE_AUTHZREUSE", "0").env("PEBBLE_VA_NOSLEEP", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // SAFETY: prctl is a system call and nothing else; it ends the authority with its test.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let child = command.spawn().expect("pebble can be started: scripts/setup test");
        let pebble = Pebble { child, ports, dir };
        for port in &pebble.ports {
            ask_until(async || match dialogue::is_closed(port.number()).await {
                true => Err("pebble does not listen".to_owned()),
                false => Ok(()),
            })
            .await;
        }
        pebble
    }

    /// The address of its directory.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.ports[0].number())
    }

    /// The root of what it issues, PEM.
    pub fn root(&self) -> String {
        let url = format!("https://localhost:{}/roots/0", self.ports[1].number());
        let output = Command::new("curl").args(["-sSk", &url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// How many orders it has been given.
    pub fn orders(&self) -> usize {
        self.log().matches("Added order").count()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- pebble:\n{}\n---", self.log());
        }
        std::fs::remove_dir_all(&self.dir).ok();
    }
}
