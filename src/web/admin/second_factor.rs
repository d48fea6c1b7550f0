//! The second factor: the page that asks for a code after the password, and the page where it is set up and switched off.
//!
//! What must hold: a login that waits for its code opens only [`show_code`] and [`take_code`]; a secret is shown to its owner alone,
//! and only until its first code has come; recovery codes are shown once, in the answer that makes them.

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Query, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};

use super::super::answer::{Fault, page, page_with, refused};
use super::super::{Origin, Site};
use super::login::{cookie, safe};
use super::value::time;
use super::{Admin, field, token};
use crate::directory::LoginError;
use crate::sasl::Secret;

/// Light squares around a QR code, as its standard asks.
const QUIET: usize = 4;

#[derive(Template)]
#[template(path = "admin/code.html")]
struct CodePage<'a> {
    login: &'a str,
    form_token: String,
    back: &'a str,
    wrong: &'a str,
}

#[derive(Template)]
#[template(path = "admin/second_factor.html")]
struct SecondFactorPage<'a> {
    login: &'a str,
    form_token: String,
    state: Stage,
    /// It is asked for by the settings.
    needed: bool,
    wrong: &'a str,
}

/// How far it is.
enum Stage {
    /// Offered: the secret in groups of four, and the picture of it.
    Offered { secret: String, picture: Picture },
    /// Just switched on, or the codes just made anew: they are seen here and never again.
    Codes(Vec<String>),
    /// On, since then, with so many recovery codes left.
    On { since: String, codes: i64 },
}

/// A QR code as the path of an SVG.
struct Picture {
    side: usize,
    path: String,
}

/// Where the code of a login is asked for.
pub(super) fn address(back: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("back", back);
    format!("/admin/code?{}", query.finish())
}

/// Words for a code that was not taken.
fn words(error: &LoginError) -> String {
    match error {
        LoginError::Wrong => {
            "this code is wrong, too old, or has been used already: wait for the next one of your app, and see that the clock \
            of its device is right"
                .to_owned()
        }
        LoginError::Locked(minutes) => format!("too many wrong codes: locked for {minutes} minutes"),
        other => other.to_string(),
    }
}

pub(super) async fn show_code(
    State(site): State<Site>,
    headers: HeaderMap,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    let back = safe(field(&fields, "back"));
    let Some(token) = token(&headers) else { return Ok(Redirect::to("/admin/log-in").into_response()) };
    let Some(who) = site.house.directory.half_login(&token).await? else {
        return Ok(Redirect::to(&super::login::address(back)).into_response());
    };
    Ok(page(&CodePage { login: &who.login, form_token: token.form_token(), back, wrong: "" }))
}

pub(super) async fn take_code(
    State(site): State<Site>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    let back = safe(field(&fields, "back"));
    let Some(token) = token(&headers) else { return Ok(Redirect::to("/admin/log-in").into_response()) };
    if !token.made(field(&fields, "form")) {
        return Ok(refused("this form is not of your session: load the page again"));
    }
    let directory = &site.house.directory;
    let Some(who) = directory.half_login(&token).await? else {
        return Ok(Redirect::to(&super::login::address(back)).into_response());
    };
    match directory.finish_login(origin.visitor, &who, &token, field(&fields, "code")).await {
        // Another cookie from here on: who has seen that of the half login has nothing.
        Ok(next) => Ok((
            StatusCode::SEE_OTHER,
            [(SET_COOKIE, cookie(next.text(), origin, "")), (LOCATION, back.to_owned())],
        )
            .into_response()),
        Err(error) => {
            let wrong = words(&error);
            let form_token = token.form_token();
            let asked = CodePage { login: &who.login, form_token, back, wrong: &wrong };
            Ok(page_with(status_of(&error), &asked))
        }
    }
}

fn status_of(error: &LoginError) -> StatusCode {
    match error {
        LoginError::Temporary(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::FORBIDDEN,
    }
}

pub(super) async fn show(admin: Admin) -> Result<Response, Fault> {
    render(&admin, StatusCode::OK, "").await
}

async fn render(admin: &Admin, status: StatusCode, wrong: &str) -> Result<Response, Fault> {
    let stage = match admin.directory().second_factor(&admin.person()).await? {
        Some(factor) => Stage::On { since: time(&factor.since.to_string()), codes: factor.recovery_codes },
        None => match admin.directory().offered_secret(&admin.token).await {
            Ok(secret) => Stage::Offered { picture: picture(admin, &secret), secret: in_fours(&secret) },
            Err(error) => return Ok(refused(&error.to_string())),
        },
    };
    Ok(shown(admin, status, stage, wrong))
}

fn shown(admin: &Admin, status: StatusCode, state: Stage, wrong: &str) -> Response {
    let template = SecondFactorPage {
        login: &admin.who.login,
        form_token: admin.token.form_token(),
        state,
        needed: admin.needs_second_factor,
        wrong,
    };
    page_with(status, &template)
}

/// Switches it on (`do=on` and the first code), makes the recovery codes anew or switches it off (`do=renew`, `do=off`, and a code
/// or the password).
pub(super) async fn change(
    admin: Admin,
    Extension(origin): Extension<Origin>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    if !admin.knows(field(&fields, "form")) {
        return Ok(refused("this form is not of your session: load the page again"));
    }
    let (directory, person, visitor) = (admin.directory(), admin.person(), origin.visitor);
    let (code, password) = (field(&fields, "code").trim(), field(&fields, "password"));
    let done = match field(&fields, "do") {
        "on" if !admin.second_factor => {
            directory.switch_on_second_factor(visitor, &person, &admin.token, code).await.map(Some)
        }
        what @ ("off" | "renew") if admin.second_factor => {
            let proof = if code.is_empty() {
                directory.administrator(visitor, &person.login, &Secret::from(password)).await.map(drop)
            } else {
                directory.prove_by_code(visitor, &person, code).await
            };
            match (proof, what) {
                (Err(LoginError::Wrong), _) if code.is_empty() => {
                    let wrong = "the password is wrong: write it, or a code of your app";
                    return render(&admin, StatusCode::FORBIDDEN, wrong).await;
                }
                (Err(error), _) => Err(error),
                (Ok(()), "renew") => directory.renew_recovery_codes(visitor, &person).await.map(Some),
                (Ok(()), _) => directory.switch_off_second_factor(visitor, &person).await.map(|()| None),
            }
        }
        _ => return Ok(Redirect::to("/admin/second-factor").into_response()),
    };
    match done {
        Ok(Some(codes)) => Ok(shown(&admin, StatusCode::OK, Stage::Codes(codes), "")),
        Ok(None) => Ok(Redirect::to("/admin/second-factor").into_response()),
        Err(error) => render(&admin, status_of(&error), &words(&error)).await,
    }
}

/// A secret as people type it.
fn in_fours(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// What the app reads: the secret, and what it is for.
fn picture(admin: &Admin, secret: &str) -> Picture {
    let config = admin.site.house.control.config();
    let issuer = match &config.server.hostname {
        Some(name) => format!("Mailwright {name}"),
        None => "Mailwright".to_owned(),
    };
    let quoted = |text: &str| -> String {
        form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
    };
    let issuer = quoted(&issuer);
    let text =
        format!("otpauth://totp/{issuer}:{}?secret={secret}&issuer={issuer}", quoted(&admin.who.login));
    // Too long a name for any picture: the secret is there as text.
    QrCode::with_error_correction_level(text, EcLevel::M).map_or(
        Picture { side: 0, path: String::new() },
        |code| {
            let (width, colors) = (code.width(), code.to_colors());
            let dark = colors.iter().enumerate().filter(|(_, color)| **color == Color::Dark);
            let square =
                |(at, _): (usize, _)| format!("M{} {}h1v1h-1z", QUIET + at % width, QUIET + at / width);
            Picture { side: width + 2 * QUIET, path: dark.map(square).collect() }
        },
    )
}
