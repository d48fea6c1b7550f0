//! Logging in and out, and the password of one's own.

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Query, State};
use axum::http::header::{LOCATION, SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::super::answer::{Fault, page, page_with, refused};
use super::super::{Origin, Site};
use super::{Admin, COOKIE_NAME, field, second_factor};
use crate::directory::LoginError;
use crate::sasl::Secret;

#[derive(Template)]
#[template(path = "admin/login.html")]
struct LoginPage<'a> {
    name: &'a str,
    back: &'a str,
    wrong: &'a str,
}

#[derive(Template)]
#[template(path = "admin/password.html")]
struct PasswordPage<'a> {
    login: &'a str,
    form_token: &'a str,
    shortest: usize,
    wrong: &'a str,
}

/// Where to log in for a page.
pub(super) fn address(back: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("back", back);
    format!("/admin/log-in?{}", query.finish())
}

/// Only ways within the administration: a link may not lead from the login to another site.
pub(super) fn safe(back: &str) -> &str {
    let within = (back == "/admin" || back.starts_with("/admin/"))
        && !back.contains(['\\', '\r', '\n'])
        && !["/admin/log", "/admin/code"].iter().any(|own| back.starts_with(own));
    if within { back } else { "/admin" }
}

pub(super) async fn show(Query(fields): Query<Vec<(String, String)>>) -> Response {
    page(&LoginPage { name: "", back: safe(field(&fields, "back")), wrong: "" })
}

pub(super) async fn log_in(
    State(site): State<Site>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let (name, back) = (field(&fields, "name").trim(), safe(field(&fields, "back")));
    let again = |status, wrong: &str| page_with(status, &LoginPage { name, back, wrong });
    if site.house.control.config().web.require_tls && !origin.secure && !origin.visitor.peer.is_loopback() {
        return again(
            StatusCode::FORBIDDEN,
            "passwords are taken over HTTPS only: use https:// in the address",
        );
    }
    let password = Secret::from(field(&fields, "password"));
    let directory = &site.house.directory;
    let administrator = match directory.administrator(origin.visitor, name, &password).await {
        Ok(administrator) => administrator,
        Err(error @ LoginError::Temporary(_)) => {
            return again(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
        }
        Err(error) => return again(StatusCode::FORBIDDEN, &error.to_string()),
    };
    let waits = administrator.second_factor;
    let browser = headers.get(USER_AGENT).and_then(|text| text.to_str().ok()).unwrap_or_default();
    let token = match directory.open_web_session(origin.visitor, &administrator, browser).await {
        Ok(token) => token,
        Err(error) => return again(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    // A new cookie at each login: one that somebody has planted before is worth nothing.
    let next = if waits { second_factor::address(back) } else { back.to_owned() };
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie(token.text(), origin, "")), (LOCATION, next)])
        .into_response()
}

pub(super) fn cookie(value: &str, origin: Origin, more: &str) -> String {
    let secure = if origin.secure { "; Secure" } else { "" };
    format!("{COOKIE_NAME}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}")
}

pub(super) async fn log_out(
    admin: Admin,
    Extension(origin): Extension<Origin>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    if !admin.knows(field(&fields, "form")) {
        return Ok(refused("this form is not of your session"));
    }
    admin.directory().close_web_session(&admin.token).await?;
    let gone = cookie("", origin, "; Max-Age=0");
    Ok((StatusCode::SEE_OTHER, [(SET_COOKIE, gone), (LOCATION, "/admin/log-in".to_owned())]).into_response())
}

pub(super) async fn show_password(admin: Admin) -> Response {
    password_page(&admin, StatusCode::OK, "")
}

fn password_page(admin: &Admin, status: StatusCode, wrong: &str) -> Response {
    let shortest = admin.site.house.control.config().directory.min_password_length;
    let form_token = &admin.token.form_token();
    page_with(status, &PasswordPage { login: &admin.who.login, form_token, shortest, wrong })
}

pub(super) async fn set_password(
    admin: Admin,
    Extension(origin): Extension<Origin>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    if !admin.knows(field(&fields, "form")) {
        return refused("this form is not of your session");
    }
    let (old, new) = (field(&fields, "old"), field(&fields, "new"));
    let again = |wrong: &str| password_page(&admin, StatusCode::UNPROCESSABLE_ENTITY, wrong);
    let shortest = admin.site.house.control.config().directory.min_password_length;
    if new != field(&fields, "repeated") {
        return again("the two new passwords differ");
    }
    if new.chars().count() < shortest {
        return again(&format!("the new password needs at least {shortest} characters"));
    }
    if new == old {
        return again("the new password is the old one");
    }
    let directory = admin.directory();
    let checked = directory.administrator(origin.visitor, &admin.who.login, &Secret::from(old)).await;
    if let Err(error) = checked {
        return again(&format!("the old password: {error}"));
    }
    let new = Secret::from(new);
    match directory.set_own_password(origin.visitor, &admin.person(), &admin.token, &new).await {
        Ok(()) => Redirect::to("/admin").into_response(),
        Err(error) => again(&error.to_string()),
    }
}
