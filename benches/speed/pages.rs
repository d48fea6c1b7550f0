//! The administration's pages, as a browser asks for them: how long the server takes for each, with many users and a long
//! log. The bound is what a person takes for at once.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

use super::Bench;
use super::daemon::{Daemon, HTTP};
use super::report::{Figure, Runs, number, percentile, progress};
use super::trouble::{Told as _, Trouble, within};

/// What a page may take, milliseconds.
const GOAL: f64 = 50.0;
const LIMIT: Duration = Duration::from_secs(600);
const FILL_LOG: &str = include_str!("sql/fill_log.sql");
const FILL_QUEUE: &str = include_str!("sql/fill_queue.sql");
const PASSWORD: &str = "bench-password";

/// Measures and reports.
pub async fn run(bench: &mut Bench) -> Result<(), Trouble> {
    let (users, rows, waiting, times) =
        if bench.quick { (1_000, 10_000_i64, 100_i64, 3) } else { (100_000, 1_000_000, 10_000, 21) };
    let daemon = Daemon::start(&bench.work.join("pages")).await?;
    daemon.obey(&["update control.relay set enabled = false"]).await?;
    progress(&format!("{users} users, {rows} rows of the log"));
    daemon.make_accounts(users).await?;
    within(LIMIT, "filling the log", daemon.sql.execute(FILL_LOG, &[&rows])).await?;
    within(LIMIT, "setting up", daemon.sql.batch_execute("set mailwright.daemon = 'on'")).await?;
    within(LIMIT, "filling the queue", daemon.sql.execute(FILL_QUEUE, &[&1_i64, &waiting])).await?;
    within(LIMIT, "setting up", daemon.sql.batch_execute("reset mailwright.daemon")).await?;
    within(LIMIT, "analysing", daemon.sql.batch_execute("vacuum analyze")).await?;
    let set = format!(
        "update control.administrator set password_hash = '{{PLAIN}}{PASSWORD}', must_change_password = false
         where name = 'system'"
    );
    daemon.obey(&[&set]).await?;
    let mut browser = Browser::log_in().await?;
    let first = browser.get("/admin/page/service").await?;
    let menu: Vec<String> = first
        .split("<li><a href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect();
    if menu.len() < 40 {
        return Err(Trouble::broken(format!("the menu has only {} pages", menu.len())));
    }
    let user = "/admin/page/account/row?k=%7B%22id%22%3A50000%7D".replace("50000", &(users / 2).to_string());
    let more = [
        user.as_str(),
        "/admin/page/account/new",
        "/admin/page/account?q=u777",
        "/admin/page/account?q=u777%40example",
        "/admin/page/account?by=local_part",
        "/admin/page/event?is.level=error",
        "/admin/page/event?is.service=relay",
        "/admin/page/event?by=at&way=down",
        "/admin/page/event?q=logged+in",
        "/admin/page/trace?is.message=m777",
        "/admin/find?recipient=u777%40example.test",
        "/admin/message/m777",
    ];
    // What has to read all rows, however it is done.
    let thorough = [
        "/admin/page/account?by=used_bytes&way=down",
        "/admin/page/event?q=nothing-of-that-kind",
        "/admin/page/trace?q=nothing-of-that-kind",
    ];
    let mut slowest = Vec::new();
    for path in menu.iter().map(String::as_str).chain(more) {
        slowest.push(browser.measured(path, times).await?);
    }
    slowest.sort_by(|one, other| other.0.total_cmp(&one.0));
    bench.report.note(&format!("{} pages, {times} times each, one after the other", slowest.len()));
    let worst = Runs(slowest.iter().take(1).map(|page| page.0).collect());
    bench.report.figure(Figure::new("the slowest page (median)", worst, "ms").limit_goal(GOAL));
    let medians = Runs(slowest.iter().map(|page| page.0).collect());
    bench.report.keep(Figure::new("all pages", medians, "ms"));
    let mut table = vec![vec!["page".to_owned(), "median ms".to_owned(), "95 of 100 ms".to_owned()]];
    for (median, most, path) in slowest.iter().take(if bench.quick { 5 } else { 15 }) {
        table.push(vec![path.clone(), number(*median), number(*most)]);
    }
    bench.report.table(&table);
    let mut table =
        vec![vec!["what reads all rows".to_owned(), "median ms".to_owned(), "95 of 100 ms".to_owned()]];
    for path in thorough {
        let (median, most, path) = browser.measured(path, times).await?;
        table.push(vec![path, number(median), number(most)]);
    }
    bench.report.table(&table);
    daemon.stop().await
}

/// One connection that stays, with the cookie of a login.
struct Browser {
    stream: BufStream<TcpStream>,
    cookie: String,
}

impl Browser {
    async fn log_in() -> Result<Browser, Trouble> {
        let stream = TcpStream::connect(("127.0.0.1", HTTP)).await.told("reach the pages")?;
        let mut browser = Browser { stream: BufStream::new(stream), cookie: String::new() };
        let form = format!("name=system&password={PASSWORD}");
        let request = format!(
            "POST /admin/log-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let (head, _) = browser.ask(&request).await?;
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
        browser.cookie = cookie.ok_or_else(|| Trouble::broken(format!("no login: {head}")))?.to_owned();
        Ok(browser)
    }

    /// Milliseconds that a page takes: the median, what 95 of 100 take, and which page it is.
    async fn measured(&mut self, path: &str, times: usize) -> Result<(f64, f64, String), Trouble> {
        let mut runs = Runs::default();
        // The first readers fill caches, which a server that has run for a while has full.
        for turn in 0..times + 2 {
            let began = Instant::now();
            self.get(path).await?;
            if turn >= 2 {
                runs.0.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
        let mut sorted = runs.0.clone();
        sorted.sort_by(f64::total_cmp);
        Ok((runs.median(), percentile(&sorted, 0.95), path.to_owned()))
    }

    async fn get(&mut self, path: &str) -> Result<String, Trouble> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {}\r\n\r\n", self.cookie);
        let (head, body) = self.ask(&request).await?;
        // Settings have one row, to which their address leads.
        if let Some(to) = head.lines().find_map(|line| line.strip_prefix("location: ")) {
            return Box::pin(self.get(to)).await;
        }
        match head.starts_with("HTTP/1.1 200") {
            true => Ok(body),
            false => Err(Trouble::broken(format!("{path}: {head}\n{body}"))),
        }
    }

    async fn ask(&mut self, request: &str) -> Result<(String, String), Trouble> {
        let answer = async {
            self.stream.write_all(request.as_bytes()).await?;
            self.stream.flush().await?;
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if self.stream.read_line(&mut head).await? == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
                }
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            self.stream.read_exact(&mut body).await?;
            Ok((head, String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::time::timeout(LIMIT, answer).await.told("wait for a page")?.told("ask for a page")
    }
}
