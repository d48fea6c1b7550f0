//! Users from a file: it is brought, checked, and imported.
//!
//! What must hold: the file waits on the server, sealed, and never in the page; the import begins by a button of its own, after a
//! report; it is one transaction under the rights of who pressed it, whose session must still be open when the passwords are hashed. Hashing
//! goes through the one gate for passwords, on half the cores, so that logins go on; the page shows how far it is and loads
//! itself again. Costs: some 60 ms of a core for each password, and 0.3 ms for each user, in the check and again in
//! the import: 10,000 users with an alias each took 2.4 and 3.5 s.
//! A server that is stopped meanwhile drops the work, and nothing was imported.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::Multipart;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::answer::{self, Fault};
use super::{Admin, Frame, field};
use crate::db::Error;
use crate::directory::import::pending::{Pending, Stage};
use crate::directory::import::sheet::{Row, Sheet, TEMPLATE, Trouble};
use crate::directory::import::{MAX_BYTES, MAX_ROWS};
use crate::directory::{Directory, LoginError};
use crate::mail::count;
use crate::sasl::Secret;

/// Bytes of the form: the file, or its text, and little else.
pub(super) const BODY_MAX: usize = MAX_BYTES + (64 << 10);
/// Users that a report shows.
const SHOWN: usize = 20;
/// Between two words on how far it is.
const TELL: Duration = Duration::from_secs(1);
/// How often a password is tried to be hashed while the gate is full, and how long each waits.
const TRIES: (u32, Duration) = (300, Duration::from_millis(500));
/// What hashing a password takes, milliseconds: for a forecast.
const HASHING: usize = 60;

#[derive(Template)]
#[template(path = "admin/import.html")]
struct ImportPage<'a> {
    frame: &'a Frame,
    pending: Option<Pending>,
    report: Report,
    /// The users, lines and faults of the report.
    users: String,
    lines: String,
    faults: String,
    /// Minutes that the hashing of its passwords will take.
    minutes: String,
    max_rows: usize,
    max_mib: usize,
    wrong: &'a str,
}

/// What a check has found.
#[derive(Default, Serialize, Deserialize)]
struct Report {
    troubles: Vec<Trouble>,
    /// Troubles that were only counted.
    more: usize,
    good: usize,
    /// Users who will have no password.
    without: usize,
    shown: Vec<Shown>,
}

/// A user as a report shows him.
#[derive(Serialize, Deserialize)]
struct Shown {
    address: String,
    name: String,
    password: String,
    more: String,
}

impl From<&Row> for Shown {
    fn from(row: &Row) -> Self {
        let mut more = Vec::new();
        if !row.active {
            more.push("inactive".to_owned());
        }
        if !row.forward_to.is_empty() {
            more.push(format!("forwards to {}", row.forward_to.join(", ")));
        }
        if !row.aliases.is_empty() {
            let aliases: Vec<String> = row.aliases.iter().map(|(l, d)| format!("{l}@{d}")).collect();
            more.push(format!("also {}", aliases.join(", ")));
        }
        Shown {
            address: row.address(),
            name: row.display_name.clone().unwrap_or_default(),
            password: match (&row.password, &row.hash) {
                (Some(_), _) => "to be hashed",
                (_, Some(_)) => "hash",
                _ => "none",
            }
            .to_owned(),
            more: more.join("; "),
        }
    }
}

/// The cores that hash for an import: the others are for logins.
fn hashers() -> usize {
    (std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get) / 2).max(1)
}

pub(super) async fn show(admin: Admin) -> Result<Response, Fault> {
    render(&admin, StatusCode::OK, "").await
}

async fn render(admin: &Admin, status: StatusCode, wrong: &str) -> Result<Response, Fault> {
    let frame = admin.frame("import").await?;
    let pending = admin.directory().pending_import(&admin.token).await?;
    let report: Report = pending
        .as_ref()
        .and_then(|pending| serde_json::from_value(pending.report.clone()).ok())
        .unwrap_or_default();
    let passwords = pending.as_ref().map_or(0, |pending| usize::try_from(pending.total).unwrap_or(0));
    let minutes = (passwords * HASHING / hashers()).div_ceil(60_000);
    let page = ImportPage {
        frame: &frame,
        users: count(report.good as u64, "user"),
        lines: count(report.good as u64, "line"),
        faults: count((report.troubles.len() + report.more) as u64, "fault"),
        minutes: count(minutes as u64, "minute"),
        pending,
        report,
        max_rows: MAX_ROWS,
        max_mib: MAX_BYTES >> 20,
        wrong,
    };
    Ok(answer::page_with(status, &page))
}

/// A file to begin with.
pub(super) async fn template(_admin: Admin) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"users.csv\""),
    ];
    (headers, TEMPLATE).into_response()
}

/// Takes a file, or its text, and checks it.
pub(super) async fn bring(admin: Admin, mut form: Multipart) -> Result<Response, Fault> {
    admin.frame("import").await?;
    let mut bytes: Vec<u8> = Vec::new();
    let mut known = false;
    loop {
        let part = match form.next_field().await {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(error) => return too_much(&admin, &error.body_text()).await,
        };
        let name = part.name().unwrap_or_default().to_owned();
        let content = match part.bytes().await {
            Ok(content) => content,
            Err(error) => return too_much(&admin, &error.body_text()).await,
        };
        match name.as_str() {
            "form" => known = admin.knows(std::str::from_utf8(&content).unwrap_or_default()),
            "file" | "text" if bytes.is_empty() => bytes = content.to_vec(),
            _ => {}
        }
    }
    if !known {
        return Ok(answer::refused("this form is not of your session: load the page again"));
    }
    if bytes.is_empty() {
        let wrong = "choose a file, or paste its text";
        return render(&admin, StatusCode::UNPROCESSABLE_ENTITY, wrong).await;
    }
    let shortest = admin.site.house.control.config().directory.min_password_length;
    let sheet = tokio::task::spawn_blocking(move || Sheet::read(&bytes, shortest)).await;
    let mut sheet = sheet.map_err(|error| Fault::from(Error::Fault(error.to_string())))?;
    if !sheet.rows.is_empty() {
        let found = admin.site.tables.check_users(&admin.who, &bare(&sheet.rows)?).await?;
        let found: Vec<Trouble> =
            serde_json::from_value(found).map_err(|error| Fault::from(Error::Fault(error.to_string())))?;
        sheet.add(found);
    }
    let passwords = sheet.rows.iter().filter(|row| row.password.is_some()).count();
    let report = Report {
        good: sheet.rows.len(),
        without: sheet.rows.iter().filter(|row| row.password.is_none() && row.hash.is_none()).count(),
        shown: sheet.rows.iter().take(SHOWN).map(Shown::from).collect(),
        troubles: sheet.troubles,
        more: sheet.more,
    };
    // All or nothing: what has a bad line is not kept to be imported.
    let rows = if report.troubles.is_empty() { sheet.rows } else { Vec::new() };
    let report =
        serde_json::to_value(report).map_err(|error| Fault::from(Error::Fault(error.to_string())))?;
    let passwords = i32::try_from(passwords).unwrap_or(i32::MAX);
    if !admin.directory().keep_import(&admin.token, &rows, &report, passwords).await? {
        let wrong = "your last file is being imported: wait until it is done";
        return render(&admin, StatusCode::CONFLICT, wrong).await;
    }
    Ok(Redirect::to("/admin/import").into_response())
}

async fn too_much(admin: &Admin, why: &str) -> Result<Response, Fault> {
    let wrong = format!("the file did not arrive whole ({why}); it may have {} MiB at most", MAX_BYTES >> 20);
    render(admin, StatusCode::PAYLOAD_TOO_LARGE, &wrong).await
}

/// Users as the database takes them, but for the passwords that are still to be hashed: it has no use for those.
fn bare(rows: &[Row]) -> Result<Value, Fault> {
    let rows: Vec<Row> = rows.iter().map(|row| Row { password: None, ..row.clone() }).collect();
    serde_json::to_value(rows).map_err(|error| Fault::from(Error::Fault(error.to_string())))
}

/// Imports what was checked, or forgets it.
pub(super) async fn go(admin: Admin, Form(fields): Form<Vec<(String, String)>>) -> Result<Response, Fault> {
    if !admin.knows(field(&fields, "form")) {
        return Ok(answer::refused("this form is not of your session: load the page again"));
    }
    let here = || Redirect::to("/admin/import").into_response();
    if field(&fields, "do") != "import" {
        admin.directory().drop_import(&admin.token).await?;
        return Ok(here());
    }
    admin.frame("import").await?;
    let pending = admin.directory().pending_import(&admin.token).await?;
    let report = pending.and_then(|pending| serde_json::from_value::<Report>(pending.report).ok());
    if !report.is_some_and(|report| report.troubles.is_empty() && report.good > 0) {
        return Ok(here());
    }
    if let Some(rows) = admin.directory().begin_import(&admin.token).await? {
        tokio::spawn(async move {
            let (done, said) = match import(&admin, rows).await {
                Ok(said) => (true, said),
                Err(said) => (false, said),
            };
            tracing::info!(login = admin.who.login, done, said, "users were imported from a file");
            if let Err(error) = admin.directory().end_import(&admin.token, done, &said).await {
                tracing::warn!(%error, "what came of an import could not be noted");
            }
        });
    }
    Ok(here())
}

/// Hashes and makes them, while the page is told how far it is.
async fn import(admin: &Admin, rows: Vec<Row>) -> Result<String, String> {
    let hashed = AtomicI32::new(0);
    let work = async {
        let hasher = |row: Row| with_hash(admin.directory(), row, &hashed);
        let rows: Vec<Result<Row, String>> =
            futures_util::stream::iter(rows).map(hasher).buffered(hashers()).collect().await;
        let rows: Vec<Row> = rows.into_iter().collect::<Result<_, _>>()?;
        // Minutes may have passed: is it still he, and may he still?
        let found = admin.directory().web_session(&admin.token).await.map_err(|error| error.to_string())?;
        if found.is_none_or(|found| found.kind != admin.who.kind.name() || found.login != admin.who.login) {
            return Err("the login that began it has ended: no user was made".to_owned());
        }
        let rows = serde_json::to_value(rows).map_err(|error| error.to_string())?;
        let answer = admin.site.tables.import_users(&admin.who, &rows).await;
        let answer = answer.map_err(|error| format!("no user was made: {error}"))?;
        match (answer.get("made").and_then(Value::as_u64), answer.get("wrong").and_then(Value::as_str)) {
            (Some(1), _) => Ok("1 user has been made".to_owned()),
            (Some(made), _) => Ok(format!("{made} users have been made")),
            (None, wrong) => {
                Err(format!("no user was made: {}", wrong.unwrap_or("the database did not say why")))
            }
        }
    };
    let mut work = std::pin::pin!(work);
    let mut tick = tokio::time::interval(TELL);
    loop {
        tokio::select! {
            outcome = work.as_mut() => return outcome,
            _ = tick.tick() => {
                let so_far = hashed.load(Ordering::Relaxed);
                if let Err(error) = admin.directory().touch_import(&admin.token, so_far).await {
                    tracing::debug!(%error, "how far an import is could not be noted");
                }
            }
        }
    }
}

/// The row with a hash in place of its password.
async fn with_hash(directory: &Directory, mut row: Row, hashed: &AtomicI32) -> Result<Row, String> {
    let Some(password) = row.password.take().map(Secret::from) else { return Ok(row) };
    let mut tries = 0;
    let stored = loop {
        match directory.hashed(&password).await {
            Ok(stored) => break stored,
            // People log in: they go first.
            Err(LoginError::Temporary(_)) if tries < TRIES.0 => {
                tries += 1;
                tokio::time::sleep(TRIES.1).await;
            }
            Err(error) => return Err(format!("line {}: the password cannot be hashed: {error}", row.line)),
        }
    };
    let text = |name: &str| stored.get(name).and_then(Value::as_str).map(str::to_owned);
    (row.hash, row.scram) = (text("hash"), text("scram"));
    hashed.fetch_add(1, Ordering::Relaxed);
    Ok(row)
}
