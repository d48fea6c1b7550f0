//! A person in front of a real browser: Debian's Chromium without a screen, driven by chromedriver.
//!
//! What is on a page is found as people find it: fields by their labels, buttons and links by their words.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::error::{CmdError, ErrorStatus};
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Daemon, PATIENCE, ask_until, root};

/// Browsers at a time: each takes a core while it starts.
static ROOM: Semaphore = Semaphore::const_new(2);

/// A browser; `close` ends it, and so does the test's end.
pub struct Browser {
    client: Client,
    driver: Child,
    profile: PathBuf,
    base: String,
    _room: SemaphorePermit<'static>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium is in the group of its driver.
        if let Ok(group) = i32::try_from(self.driver.id()) {
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

impl Browser {
    /// Opens a browser for the pages of a daemon, over HTTPS.
    pub async fn open(daemon: &Daemon<'_>) -> Browser {
        Self::with(daemon, true).await
    }

    /// The same, with or without script.
    pub async fn with(daemon: &Daemon<'_>, script: bool) -> Browser {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let room = ROOM.acquire().await.unwrap();
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let profile =
            std::env::temp_dir().join(format!("mailwright-browser-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&profile).unwrap();
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .env("TMPDIR", &profile)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver can be run (scripts/setup test installs it)");
        let said = BufReader::new(driver.stdout.take().unwrap());
        let port = tokio::task::spawn_blocking(move || {
            let mut lines = said.lines().map_while(Result::ok);
            let port = lines.find_map(|line| {
                line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
            });
            // What it says further is read and forgotten, so that it never waits for a reader.
            std::thread::spawn(move || lines.for_each(drop));
            port
        });
        let port = port.await.unwrap().expect("chromedriver says its port");
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1200,900",
        ];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.join("data").display()));
        let blocked = if script { 1 } else { 2 };
        let wanted = json!({
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {
                "args": arguments,
                "prefs": { "profile.managed_default_content_settings.javascript": blocked },
            },
        });
        let Value::Object(wanted) = wanted else { unreachable!() };
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("Chromium starts");
        let base = format!("https://127.0.0.1:{}", daemon.port("https"));
        Browser { client, driver, profile, base, _room: room }
    }

    /// Ends the browser as its user would.
    pub async fn close(self) {
        self.client.clone().close().await.unwrap();
    }

    /// Goes to a page.
    pub async fn go(&self, path: &str) {
        self.client
            .goto(&format!("{}{path}", self.base))
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// The path of the page that is shown, with its query.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.as_str().trim_start_matches(&self.base).to_owned()
    }

    /// Logs in on the page for it.
    pub async fn log_in(&self, name: &str, password: &str) {
        self.go("/admin/log-in").await;
        self.fill("Name", name).await;
        self.fill("Password", password).await;
        self.press("Log in").await;
    }

    /// What can be read on the page.
    pub async fn text(&self) -> String {
        match self.client.find(Locator::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until this can be read on the page.
    pub async fn see(&self, words: &str) {
        ask_until(async || {
            let text = self.text().await;
            if text.contains(words) { Ok(()) } else { Err(format!("{words:?} is not on the page:\n{text}")) }
        })
        .await;
    }

    async fn found(&self, what: &str, xpath: &str) -> Element {
        let wait = self.client.wait().at_most(PATIENCE).every(Duration::from_millis(20));
        match wait.for_element(Locator::XPath(xpath)).await {
            Ok(element) => element,
            Err(error) => panic!("no {what}: {error}; the page says:\n{}", self.text().await),
        }
    }

    /// The field with this label.
    pub async fn field(&self, label: &str) -> Element {
        let xpath =
            format!("//*[@id=//label[normalize-space()={0}]/@for] | //*[@aria-label={0}]", quoted(label));
        self.found(&format!("field {label:?}"), &xpath).await
    }

    /// Types into the field with this label, in the place of what was there; of a selection chooses what is called so.
    pub async fn fill(&self, label: &str, value: &str) {
        let field = self.field(label).await;
        if field.tag_name().await.unwrap() == "select" {
            return field.select_by_label(value).await.unwrap();
        }
        let kind = field.attr("type").await.unwrap().unwrap_or_default();
        if kind != "file" {
            field.clear().await.unwrap();
        }
        field.send_keys(value).await.unwrap();
    }

    /// Ticks or unticks the box with this label.
    pub async fn tick(&self, label: &str, on: bool) {
        loop {
            let field = self.field(label).await;
            let done = match field.is_selected().await {
                Ok(is) if is == on => return,
                Ok(_) => field.click().await,
                Err(error) => Err(error),
            };
            if !replaced(&done) {
                return done.unwrap();
            }
        }
    }

    /// Presses the button with these words on it.
    pub async fn press(&self, words: &str) {
        let xpath = format!("//button[normalize-space()={}]", quoted(words));
        self.leave(&format!("button {words:?}"), &xpath).await;
    }

    /// Follows the link with these words.
    pub async fn follow(&self, words: &str) {
        let xpath = format!("//a[normalize-space()={}]", quoted(words));
        self.leave(&format!("link {words:?}"), &xpath).await;
    }

    /// Opens what is folded up under these words.
    pub async fn unfold(&self, words: &str) {
        let xpath = format!("//summary[normalize-space()={}]", quoted(words));
        self.found(&format!("summary {words:?}"), &xpath).await.click().await.unwrap();
    }

    /// Clicks, and waits until another page is there.
    async fn leave(&self, what: &str, xpath: &str) {
        let before = self.client.find(Locator::Css("html")).await.unwrap();
        loop {
            let clicked = self.found(what, xpath).await.click().await;
            if !replaced(&clicked) {
                clicked.unwrap();
                break;
            }
        }
        ask_until(async || match before.tag_name().await {
            Ok(_) => Err("the page stays".to_owned()),
            Err(_) => Ok(()),
        })
        .await;
        ask_until(async || match self.client.execute("return document.readyState", vec![]).await {
            Ok(state) if state == "complete" => Ok(()),
            other => Err(format!("the page is not there yet: {other:?}")),
        })
        .await;
    }

    /// Where the links lead that a selector of CSS finds.
    pub async fn links(&self, css: &str) -> Vec<String> {
        let script =
            "return Array.from(document.querySelectorAll(arguments[0]), link => link.getAttribute('href'))";
        let found = self.client.execute(script, vec![css.into()]).await.unwrap();
        serde_json::from_value(found).unwrap()
    }

    /// Chooses the rows whose boxes are called so.
    pub async fn choose(&self, name: &str) {
        self.tick(&format!("Choose {name}"), true).await;
    }

    /// Keeps a picture of the page in target/screenshots, wide and as on a phone, by light and by dark.
    pub async fn picture(&self, name: &str) {
        let folder = root().join("target/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        for (suffix, width, height, scheme) in
            [("", 1200, 900, "light"), ("-dark", 1200, 900, "dark"), ("-phone", 400, 850, "light")]
        {
            self.client.set_window_size(width, height).await.unwrap();
            self.appear(scheme).await;
            let picture = self.client.screenshot().await.unwrap();
            std::fs::write(folder.join(format!("{name}{suffix}.png")), picture).unwrap();
        }
        self.client.set_window_size(1200, 900).await.unwrap();
    }

    async fn appear(&self, scheme: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.cdp("Emulation.setEmulatedMedia", media).await;
    }

    async fn cdp(&self, command: &'static str, parameters: Value) {
        let asked = Cdp { command, parameters };
        self.client.issue_cmd(asked).await.unwrap();
    }

    /// What axe-core finds wrong with the page, by light and by dark: nothing.
    pub async fn is_accessible(&self) {
        let axe = std::fs::read_to_string(root().join("target/axe/axe.min.js"));
        let axe = axe.expect("axe-core is there (scripts/setup test fetches it)");
        for scheme in ["light", "dark"] {
            self.appear(scheme).await;
            self.client.execute(&axe, vec![]).await.unwrap();
            let run = "const done = arguments[arguments.length - 1];
                axe.run(document).then(found => done(found), error => done({ error: String(error) }))";
            let found = self.client.execute_async(run, vec![]).await.unwrap();
            assert!(
                found["passes"].as_array().is_some_and(|passes| passes.len() > 5),
                "axe did not run: {found}"
            );
            let violations = found["violations"].as_array().unwrap();
            let said: Vec<String> = violations
                .iter()
                .map(|violation| {
                    format!("{}: {}\n  {}", violation["id"], violation["help"], violation["nodes"])
                })
                .collect();
            assert!(said.is_empty(), "{} ({scheme}):\n{}", self.path().await, said.join("\n"));
        }
        self.appear("light").await;
    }
}

/// A command of the browser's own that WebDriver does not have.
#[derive(Debug)]
struct Cdp {
    command: &'static str,
    parameters: Value,
}

impl fantoccini::wd::WebDriverCompatibleCommand for Cdp {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (hyper::Method, Option<String>) {
        let body = json!({ "cmd": self.command, "params": self.parameters });
        (hyper::Method::POST, Some(body.to_string()))
    }
}

/// Whether news of the page have put something else in the place of what was found, before it was clicked.
fn replaced(done: &Result<(), CmdError>) -> bool {
    matches!(done, Err(CmdError::Standard(error)) if error.error == ErrorStatus::StaleElementReference)
}

/// A text as XPath takes it.
fn quoted(text: &str) -> String {
    if text.contains('\'') { format!("\"{text}\"") } else { format!("'{text}'") }
}
