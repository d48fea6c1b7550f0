//! Somebody who looks at the web pages, by curl: cookies are kept, redirections are shown and not followed.

use std::path::PathBuf;

use tokio::process::Command;

use super::Daemon;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status; 0 where the connection ended without an answer.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The page.
    pub body: String,
}

/// A browser that knows no script.
pub struct Pages {
    port: u16,
    cookies: PathBuf,
    /// What the forms of this session carry.
    form: String,
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.cookies);
    }
}

impl Pages {
    /// One that has not logged in.
    pub fn open(daemon: &Daemon<'_>) -> Pages {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let cookies =
            std::env::temp_dir().join(format!("mailwright-cookies-{}-{number}", std::process::id()));
        Pages { port: daemon.port("https"), cookies, form: String::new() }
    }

    /// One that has.
    pub async fn log_in(daemon: &Daemon<'_>, name: &str, password: &str) -> Pages {
        let mut pages = Pages::open(daemon);
        let answer = pages.post("/admin/log-in", &[("name", name), ("password", password)]).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        let first = pages.get("/admin").await;
        let page = pages.get(&first.location()).await;
        pages.form = page.form();
        pages
    }

    /// Asks for a page.
    pub async fn get(&self, path: &str) -> Answer {
        self.curl(path, &[]).await
    }

    /// The same, and it must be there.
    pub async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// Sends a form of this session.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut arguments = vec!["--data-urlencode".to_owned(), format!("form={}", self.form)];
        for (name, value) in fields {
            arguments.extend(["--data-urlencode".to_owned(), format!("{name}={value}")]);
        }
        self.curl(path, &arguments).await
    }

    /// Sends whatever curl is told to.
    pub async fn curl(&self, path: &str, arguments: &[String]) -> Answer {
        let output = Command::new("curl")
            .args([
                "--silent",
                "--insecure",
                "--include",
                "--http1.1",
                "--max-time",
                "60",
                "--path-as-is",
                "--globoff",
                "-H",
                "Expect:",
            ])
            .arg("--cookie")
            .arg(&self.cookies)
            .arg("--cookie-jar")
            .arg(&self.cookies)
            .args(arguments)
            .arg(format!("https://127.0.0.1:{}{path}", self.port))
            .output()
            .await
            .expect("curl can be run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // It could not send all of what it was to send, and heard nothing: 55 and 56.
        if text.is_empty() && matches!(output.status.code(), Some(55 | 56)) {
            return Answer { status: 0, head: String::new(), body: String::new() };
        }
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer to {path}: {output:?}"));
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}

impl Answer {
    /// A line of the head.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Where it leads.
    pub fn location(&self) -> String {
        self.header("location")
            .unwrap_or_else(|| panic!("leads nowhere: {} {}", self.head, self.body))
            .to_owned()
    }

    /// What the forms of the page carry.
    pub fn form(&self) -> String {
        let value = self.body.split_once("name=\"form\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
        value.map(|(value, _)| value.to_owned()).unwrap_or_default()
    }
}

/// A text as a part of an address.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
