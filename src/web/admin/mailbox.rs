//! A user's mailbox as an administrator sees it who has given a reason: folders, messages, one message as text.
//!
//! What must hold: each page asks the database first, in the administrator's own name, whether he has a view of this very account open
//! (`sql/logic/mailbox_view.sql`); only then is anything read. The store knows no roles: it reads what it is asked for by account and
//! mailbox, and it is asked here for mailboxes of that one account only, so that nothing shared with it, and nothing of anybody else's, can
//! be reached by other numbers in the address. Nothing is written: no flag is set, nothing is taken as seen or recent. Each view opened
//! and each message shown leaves a row in `log.audit`. Whatever a message says is text: HTML is reduced to its words, and the page's
//! policy lets nothing be loaded or run.
//! Costs: one page of a folder reads its view (16 bytes a message, kept as for IMAP) and 50 headers; a message at most 1 MiB of text.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::Value;

use super::super::answer::{self, Fault};
use super::value::{bytes, plain, time};
use super::{Admin, Frame, field};
use crate::mail::{AccountId, MailboxId};
use crate::mime::decode::{decode_header, filename};
use crate::mime::header::first;
use crate::mime::part::{Body, Part};
use crate::mime::text::{decode_part, decoded_header_text, html_text};
use crate::store::fetch::{Facts, Want};
use crate::store::source::Source;
use crate::store::view::{FLAGGED, SEEN};

/// Messages on one page.
const AT_ONCE: u32 = 50;
/// Bytes of a header that are shown.
const HEADER_MAX: u64 = 64 << 10;
/// Bytes of one part of text that are read, and of all of them.
const PART_MAX: u64 = 256 << 10;
const TEXT_MAX: u64 = 1 << 20;
/// Parts that are listed.
const PARTS_MAX: usize = 200;

/// An open view.
struct View {
    account: AccountId,
    address: String,
    reason: String,
    until: String,
}

#[derive(Template)]
#[template(path = "admin/mailbox_reason.html")]
struct ReasonPage<'a> {
    frame: &'a Frame,
    account: i64,
    address: String,
    minutes: String,
    wrong: &'a str,
}

#[derive(Template)]
#[template(path = "admin/mailbox.html")]
struct FoldersPage<'a> {
    frame: &'a Frame,
    view: View,
    folders: Vec<Folder>,
}

struct Folder {
    id: i64,
    name: String,
    messages: u32,
    unseen: u32,
    size: String,
}

#[derive(Template)]
#[template(path = "admin/mailbox_list.html")]
struct MessagesPage<'a> {
    frame: &'a Frame,
    view: View,
    mailbox: i64,
    name: String,
    count: u32,
    messages: Vec<Line>,
    older: Option<u32>,
}

struct Line {
    uid: u32,
    date: String,
    from: String,
    subject: String,
    size: String,
    flags: &'static str,
}

#[derive(Template)]
#[template(path = "admin/mailbox_message.html")]
struct MessagePage<'a> {
    frame: &'a Frame,
    view: View,
    mailbox: i64,
    name: String,
    subject: String,
    header: String,
    texts: Vec<Text>,
    parts: Vec<Listed>,
}

/// A part that is text.
struct Text {
    title: String,
    text: String,
    cut: bool,
}

/// A part that is only named.
struct Listed {
    name: String,
    kind: String,
    size: String,
}

/// What the database says of a view.
fn open_view(account: AccountId, said: &Value) -> Option<View> {
    let text = |name: &str| plain(said.get(name));
    said.get("until").filter(|until| !until.is_null())?;
    Some(View { account, address: text("address"), reason: text("reason"), until: time(&text("until")) })
}

/// The view of this account; where none is open, the page that asks for a reason.
async fn view_of(admin: &Admin, account: i64) -> Result<Result<View, Response>, Fault> {
    let account = AccountId(account);
    let said = admin.site.tables.mailbox_view(&admin.who, &admin.token.hash(), account).await?;
    match open_view(account, &said) {
        Some(view) => Ok(Ok(view)),
        None => Ok(Err(ask_reason(admin, account, &said, "").await?)),
    }
}

async fn ask_reason(admin: &Admin, account: AccountId, said: &Value, wrong: &str) -> Result<Response, Fault> {
    let frame = admin.frame("account").await?;
    let page = ReasonPage {
        frame: &frame,
        account: account.0,
        address: plain(said.get("address")),
        minutes: plain(said.get("minutes")),
        wrong,
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(answer::page_with(status, &page))
}

/// Opens the view for a reason (`do=open`), or ends it.
pub(super) async fn change(
    admin: Admin,
    Path(account): Path<i64>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    if !admin.knows(field(&fields, "form")) {
        return Ok(answer::refused("this form is not of your session: load the page again"));
    }
    let (tables, session) = (&admin.site.tables, admin.token.hash());
    let id = AccountId(account);
    if field(&fields, "do") != "open" {
        tables.close_mailbox_view(&admin.who, &session, id).await?;
        return Ok(Redirect::to("/admin").into_response());
    }
    let reason: String = field(&fields, "reason").chars().filter(|c| !c.is_control()).take(2000).collect();
    let opened = tables.open_mailbox_view(&admin.who, &session, id, &reason).await?;
    if let Some(wrong) = opened.get("wrong").and_then(Value::as_str) {
        let said = tables.mailbox_view(&admin.who, &session, id).await?;
        return ask_reason(&admin, id, &said, wrong).await;
    }
    tracing::warn!(login = admin.who.login, account, reason, "an administrator looks into a mailbox");
    Ok(Redirect::to(&format!("/admin/mailbox/{account}")).into_response())
}

/// The folders.
pub(super) async fn show(admin: Admin, Path(account): Path<i64>) -> Result<Response, Fault> {
    let view = match view_of(&admin, account).await? {
        Ok(view) => view,
        Err(page) => return Ok(page),
    };
    let store = &admin.site.house.store;
    let entries = store.list_mailboxes(view.account).await?;
    let ids: Vec<(AccountId, MailboxId)> =
        entries.iter().filter_map(|entry| Some((view.account, entry.mailbox.as_ref()?.id))).collect();
    let statuses = store.statuses(&ids).await?;
    let folders = entries.into_iter().filter_map(|entry| {
        let id = entry.mailbox?.id;
        let status = statuses.get(&id)?;
        Some(Folder {
            id: id.0,
            name: entry.name,
            messages: status.messages,
            unseen: status.unseen,
            size: bytes(status.size),
        })
    });
    let page = FoldersPage { frame: &admin.frame("account").await?, folders: folders.collect(), view };
    Ok(answer::page(&page))
}

/// The name of a mailbox of this account; none where it is not of this account.
async fn name_of(admin: &Admin, view: &View, mailbox: i64) -> Result<Option<String>, Fault> {
    let entries = admin.site.house.store.list_mailboxes(view.account).await?;
    let here = |entry: &crate::store::mailbox::Entry| {
        entry.mailbox.as_ref().is_some_and(|known| known.id.0 == mailbox)
    };
    Ok(entries.into_iter().find(here).map(|entry| entry.name))
}

/// The messages of a folder, newest first.
pub(super) async fn list(
    admin: Admin,
    Path((account, mailbox)): Path<(i64, i64)>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    let view = match view_of(&admin, account).await? {
        Ok(view) => view,
        Err(page) => return Ok(page),
    };
    let Some(name) = name_of(&admin, &view, mailbox).await? else { return Ok(answer::not_found()) };
    let store = &admin.site.house.store;
    let Some(open) = store.views.open(view.account, MailboxId(mailbox), None).await? else {
        return Ok(answer::not_found());
    };
    let snapshot = open.view();
    let before: Option<u32> = field(&asked, "before").parse().ok();
    let last = match before.filter(|before| *before > 1) {
        Some(before) => snapshot.range_uids(1..=before - 1).last().map_or(0, |(seq, _)| seq),
        None => snapshot.len(),
    };
    let first_seq = last.saturating_sub(AT_ONCE - 1).max(1);
    let entries: Vec<_> =
        if last == 0 { Vec::new() } else { snapshot.range_seqs(first_seq..=last).collect() };
    let uids: Vec<u32> = entries.iter().map(|(_, entry)| entry.uid()).collect();
    let want = Want { header: true, ..Want::default() };
    let facts = store.facts(view.account, MailboxId(mailbox), &uids, want).await?;
    let line = |facts: &Facts| {
        let flags = snapshot.entry(facts.uid).map_or(0, |entry| entry.flags());
        let value = |name: &str| {
            let field = first(&facts.header, name);
            field.map(|field| decode_header(field.value).trim().to_owned()).unwrap_or_default()
        };
        Line {
            uid: facts.uid,
            date: time(&facts.internal_date.at().to_string()),
            from: cut(value("From")),
            subject: Some(cut(value("Subject")))
                .filter(|s| !s.is_empty())
                .unwrap_or("(no subject)".to_owned()),
            size: bytes(facts.size),
            flags: match (flags & SEEN != 0, flags & FLAGGED != 0) {
                (true, true) => "flagged",
                (true, false) => "",
                (false, true) => "unread, flagged",
                (false, false) => "unread",
            },
        }
    };
    let messages: Vec<Line> = facts.iter().rev().map(line).collect();
    let page = MessagesPage {
        frame: &admin.frame("account").await?,
        mailbox,
        name,
        count: snapshot.len(),
        older: uids.first().copied().filter(|_| first_seq > 1),
        messages,
        view,
    };
    Ok(answer::page(&page))
}

/// A text that has room in a list.
fn cut(text: String) -> String {
    if text.chars().count() <= 200 { text } else { text.chars().take(200).chain(['…']).collect() }
}

/// One message.
pub(super) async fn message(
    admin: Admin,
    Path((account, mailbox, uid)): Path<(i64, i64, u32)>,
) -> Result<Response, Fault> {
    let (id, mailbox_id) = (AccountId(account), MailboxId(mailbox));
    let session = admin.token.hash();
    let said = admin.site.tables.view_message(&admin.who, &session, id, mailbox_id, uid).await?;
    let Some(view) = open_view(id, &said) else { return ask_reason(&admin, id, &said, "").await };
    let Some(name) = name_of(&admin, &view, mailbox).await? else { return Ok(answer::not_found()) };
    let store = &admin.site.house.store;
    let want = Want { header: true, structure: true, ..Want::default() };
    let found = store.facts(view.account, mailbox_id, &[uid], want).await?;
    let Some(facts) = found.first() else { return Ok(answer::not_found()) };
    let mut source = Source::new(store, facts, None);
    let root = match &facts.structure {
        Some(structure) => structure.0.clone(),
        None => source.rebuilt().await?,
    };
    let prefix = facts.prefix.len() as u64;
    let header = source.bytes(0..prefix + facts.header_size.min(HEADER_MAX)).await?;
    let (mut texts, mut parts, mut left) = (Vec::new(), Vec::new(), TEXT_MAX);
    for part in root.walk().filter(|part| !matches!(part.body, Body::Multipart(_))).take(PARTS_MAX) {
        let attached =
            part.disposition.as_ref().is_some_and(|it| it.kind.eq_ignore_ascii_case(b"attachment"));
        if part.is_type("text") && part.body == Body::Leaf && !attached && left > 0 {
            let length = part.octets().min(PART_MAX).min(left);
            left -= length;
            let start = prefix + part.body_start;
            let raw = source.bytes(start..start + length).await?;
            let html = part.is("text", "html");
            let text = decode_part(part, &raw).unwrap_or_default();
            texts.push(Text {
                title: if html { format!("{}, its words alone", kind(part)) } else { kind(part) },
                text: if html { without_gaps(&html_text(&text)) } else { text },
                cut: length < part.octets(),
            });
        } else {
            let name = filename(part).unwrap_or_default();
            parts.push(Listed { name, kind: kind(part), size: bytes(part.octets()) });
        }
    }
    let subject = first(&facts.header, "Subject").map(|field| decode_header(field.value)).unwrap_or_default();
    let page = MessagePage {
        frame: &admin.frame("account").await?,
        mailbox,
        name,
        subject: Some(cut(subject.trim().to_owned()))
            .filter(|s| !s.is_empty())
            .unwrap_or("(no subject)".into()),
        header: decoded_header_text(&header),
        texts,
        parts,
        view,
    };
    Ok(answer::page(&page))
}

/// The media type of a part.
fn kind(part: &Part) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
    format!("{}/{}", text(&part.media_type), text(&part.subtype))
}

/// Lines without the gaps that markup leaves.
fn without_gaps(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}
