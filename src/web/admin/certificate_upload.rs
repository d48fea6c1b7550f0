//! A certificate is brought from files, or made here; what is inside is shown before it is stored, and after.
//!
//! The key goes into its column and nowhere else: it is never sent back.

use askama::Template;
use axum::extract::Multipart;
use axum::extract::multipart::MultipartError;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::answer::{self, Fault};
use super::list::row_address;
use super::{Admin, Frame};
use crate::tables::{Kept, Kind};
use crate::tls::certificate::{Certified, self_signed};
use crate::tls::import::{self, Inside};

/// Names of one certificate at most.
const MAX_NAMES: usize = 100;

#[derive(Template)]
#[template(path = "admin/certificate_upload.html")]
struct UploadPage<'a> {
    frame: &'a Frame,
    names: String,
    own: String,
    facts: Vec<(&'static str, String)>,
    /// What else should be known of it.
    hint: &'static str,
    said: String,
    /// Where the stored row is.
    row: String,
    wrong: String,
}

impl<'a> UploadPage<'a> {
    fn new(frame: &'a Frame, form: &Form) -> Self {
        let text = String::new;
        let (names, own) = (form.names.clone(), form.own.clone());
        Self { frame, names, own, facts: Vec::new(), hint: "", said: text(), row: text(), wrong: text() }
    }
}

/// What was sent.
#[derive(Default)]
struct Form {
    token: String,
    action: String,
    file: Vec<u8>,
    key: Vec<u8>,
    password: String,
    /// Names to serve an uploaded one for.
    names: String,
    /// Names to make one for.
    own: String,
}

impl Form {
    async fn read(mut sent: Multipart) -> Result<Form, MultipartError> {
        let mut form = Form::default();
        while let Some(field) = sent.next_field().await? {
            let name = field.name().unwrap_or_default().to_owned();
            let bytes = field.bytes().await?;
            let text = || String::from_utf8_lossy(&bytes).into_owned();
            match name.as_str() {
                "form" => form.token = text(),
                "do" => form.action = text(),
                "file" => form.file = bytes.to_vec(),
                "key" => form.key = bytes.to_vec(),
                "password" => form.password = text(),
                "names" => form.names = text(),
                "own" => form.own = text(),
                _ => {}
            }
        }
        Ok(form)
    }
}

/// A certificate that may be stored.
struct Ready {
    chain: String,
    key: String,
    names: Vec<String>,
    read: Certified,
    inside: Inside,
    source: &'static str,
}

pub(super) async fn show(admin: Admin) -> Result<Response, Fault> {
    if admin.who.kind != Kind::System {
        return Ok(refused());
    }
    let frame = admin.frame("certificate-upload").await?;
    Ok(answer::page(&UploadPage::new(&frame, &Form::default())))
}

fn refused() -> Response {
    answer::refused("only a system administrator may bring certificates")
}

pub(super) async fn store(admin: Admin, sent: Multipart) -> Result<Response, Fault> {
    let form = match Form::read(sent).await {
        Ok(form) => form,
        Err(error) => return Ok(error.into_response()),
    };
    if !admin.knows(&form.token) {
        return Ok(answer::refused("this form is not of your session: load the page again"));
    }
    // The database says the same: its rows are the system administrators' alone.
    if admin.who.kind != Kind::System {
        return Ok(refused());
    }
    let frame = admin.frame("certificate-upload").await?;
    let mut page = UploadPage::new(&frame, &form);
    let ready = match form.action.as_str() {
        "make" => made(&form),
        _ => brought(&form),
    };
    let ready = match ready {
        Ok(ready) => ready,
        Err(wrong) => {
            page.wrong = format!("{wrong}. Nothing has been stored.");
            return Ok(answer::page_with(StatusCode::UNPROCESSABLE_ENTITY, &page));
        }
    };
    page.facts = facts(&ready);
    page.hint = hint(&ready.inside);
    if form.action == "look" {
        page.said = "This is in it; the key belongs to it. It is not stored yet: choose the file again, and store it.".to_owned();
        return Ok(answer::page(&page));
    }
    let Ready { chain, key, names, read, source, .. } = &ready;
    let kept = Kept { chain, key, names, read, source };
    let kept = admin.site.tables.keep_certificate(&admin.who, kept).await?;
    let is_new = kept.get("is_new").and_then(Value::as_bool).unwrap_or(true);
    page.said = format!(
        "{} It is served from now on for {}.",
        if is_new { "Stored." } else { "Stored in place of the one for the same names." },
        read.names.join(", ")
    );
    page.row = row_address("certificate", &json!({ "id": kept.get("id") }).to_string());
    Ok(answer::page(&page))
}

/// Host names, by lines, blanks or commas.
fn names(text: &str) -> Result<Vec<String>, String> {
    let parts = text.split(|c: char| c.is_whitespace() || c == ',').filter(|part| !part.is_empty());
    let names = parts.take(MAX_NAMES + 1).map(import::host_name).collect::<Result<Vec<_>, _>>()?;
    if names.len() > MAX_NAMES { Err(format!("these are more than {MAX_NAMES} names")) } else { Ok(names) }
}

fn brought(form: &Form) -> Result<Ready, String> {
    if form.file.is_empty() {
        return Err("choose the file of the certificate".to_owned());
    }
    let key = Some(form.key.as_slice()).filter(|key| !key.is_empty());
    let (chain, key) = import::pair(&form.file, key, &form.password).map_err(|error| error.to_string())?;
    let ready = read(chain, key, names(&form.names)?, "uploaded")?;
    ready.read.check(Timestamp::now()).map_err(|error| error.to_string())?;
    Ok(ready)
}

fn made(form: &Form) -> Result<Ready, String> {
    let names = names(&form.own)?;
    if names.is_empty() {
        return Err("write the host names that it is for".to_owned());
    }
    let (chain, key) = self_signed(&names).map_err(|error| error.to_string())?;
    read(chain, key, Vec::new(), "self-signed")
}

fn read(chain: String, key: String, names: Vec<String>, source: &'static str) -> Result<Ready, String> {
    let read =
        Certified::from_pem(chain.as_bytes(), key.as_bytes(), &names).map_err(|error| error.to_string())?;
    let inside = import::inside(&chain, &read).map_err(|error| error.to_string())?;
    Ok(Ready { chain, key, names, read, inside, source })
}

fn facts(ready: &Ready) -> Vec<(&'static str, String)> {
    let Inside { names, subject, issuer, not_before, not_after, chain, .. } = &ready.inside;
    let day = |time: &Timestamp| time.strftime("%Y-%m-%d").to_string();
    let days = (not_after.as_second() - Timestamp::now().as_second()) / 86_400;
    vec![
        ("Names in it", names.join(", ")),
        ("Served for", ready.read.names.join(", ")),
        ("Subject", subject.clone()),
        ("Issuer", issuer.clone()),
        ("Valid from", day(not_before)),
        ("Expires", format!("{} ({days} days)", day(not_after))),
        ("Certificates in the chain", chain.to_string()),
        ("Key", "belongs to the certificate".to_owned()),
    ]
}

/// What often is forgotten.
fn hint(inside: &Inside) -> &'static str {
    match (inside.self_signed, inside.chain) {
        (true, _) => {
            "Nobody but this server vouches for it: mail programs will ask their users whether they trust it."
        }
        (false, 1) => {
            "Only the server's own certificate is in it. Most authorities have intermediate ones, without which some mail \
             programs refuse it: they belong into the same file, below it."
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        assert_eq!(names(" Mail.a.test,\r\n*.b.test ").unwrap(), ["mail.a.test", "*.b.test"]);
        assert!(names("").unwrap().is_empty());
        assert!(names("a_b@c").unwrap_err().contains("write a name like"));
        assert!(names(&"a.test ".repeat(101)).unwrap_err().contains("more than 100"));
    }
}
