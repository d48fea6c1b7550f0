//! The administration. Five handlers serve every page: what a page is, the catalog says (`tables`).

mod certificate_upload;
mod filter;
mod find;
mod form;
mod import;
mod list;
mod login;
mod mailbox;
mod overview;
mod queue;
mod reports;
mod second_factor;
mod services;
mod story;
mod value;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde_json::Value;

use super::answer::{self, Fault};
use super::{Origin, Site};
use crate::control::config::SecondFactorRule;
use crate::db::Error;
use crate::directory::{Administrator, Directory, Token};
use crate::tables::{Kind, Who};

/// The cookie of a session.
const COOKIE_NAME: &str = "mailwright_admin";

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/admin", get(first))
        .route("/admin/log-in", get(login::show).post(login::log_in))
        .route("/admin/log-out", post(login::log_out))
        .route("/admin/code", get(second_factor::show_code).post(second_factor::take_code))
        .route("/admin/second-factor", get(second_factor::show).post(second_factor::change))
        .route("/admin/password", get(login::show_password).post(login::set_password))
        .route("/admin/overview", get(overview::show))
        .route("/admin/services", get(services::show))
        .route("/admin/services/events", get(services::events))
        .route("/admin/reports", get(reports::show))
        .route("/admin/reports/csv", get(reports::csv))
        .route("/admin/reports/json", get(reports::json))
        .route(
            "/admin/import",
            get(import::show).post(import::bring).layer(DefaultBodyLimit::max(import::BODY_MAX)),
        )
        .route("/admin/mailbox/{account}", get(mailbox::show).post(mailbox::change))
        .route("/admin/mailbox/{account}/{mailbox}", get(mailbox::list))
        .route("/admin/mailbox/{account}/{mailbox}/{uid}", get(mailbox::message))
        .route("/admin/import/go", post(import::go))
        .route("/admin/import/template", get(import::template))
        .route("/admin/find", get(find::show))
        .route("/admin/message/{message}", get(story::show))
        .route("/admin/certificate-upload", get(certificate_upload::show).post(certificate_upload::store))
        .route("/admin/queue", get(queue::show).post(queue::act))
        .route("/admin/page/{page}", get(list::show))
        .route("/admin/page/{page}/csv", get(list::csv))
        .route("/admin/page/{page}/act", post(list::act))
        .route("/admin/page/{page}/new", get(form::show_new).post(form::save))
        .route("/admin/page/{page}/row", get(form::show).post(form::save))
}

/// Where an administrator begins: the first page of his menu.
async fn first(visitor: Admin) -> Response {
    let address = match (visitor.who.kind, visitor.who.account) {
        (Kind::User, Some(account)) => {
            list::row_address("my_account", &serde_json::json!({ "id": account.0 }).to_string())
        }
        _ => "/admin/overview".to_owned(),
    };
    Redirect::to(&address).into_response()
}

/// Somebody who has logged in, in a request: an administrator, or a user who sees his own account.
pub(super) struct Admin {
    who: Who,
    token: Token,
    site: Site,
    /// A second factor is asked for at his login.
    second_factor: bool,
    /// One has to be, as the settings say.
    needs_second_factor: bool,
}

/// A link of the menu.
struct Link {
    title: String,
    address: String,
    here: bool,
}

/// A part of the menu.
struct Menu {
    title: String,
    links: Vec<Link>,
}

/// What stands around every page.
pub(super) struct Frame {
    menus: Vec<Menu>,
    login: String,
    kind: &'static str,
    form_token: String,
}

impl Admin {
    /// What stands around a page that has its own way to ask for its contents. A page that is not in the menu of who asks is not
    /// for him, and is refused here, once for all of them.
    async fn frame(&self, here: &str) -> Result<Frame, Fault> {
        let pages = self.site.tables.pages(&self.who).await?;
        let frame = self.framed(&pages, here);
        if frame.menus.iter().flat_map(|menu| &menu.links).any(|link| link.here) {
            return Ok(frame);
        }
        Err(Fault::from(Error::Refused {
            message: format!("you may not see the page {here}"),
            constraint: None,
        }))
    }

    /// The same for a menu that is known, with the page that is shown marked in it.
    fn framed(&self, pages: &Value, here: &str) -> Frame {
        let mut menus: Vec<Menu> = Vec::new();
        for page in pages.as_array().into_iter().flatten() {
            let text = |name: &str| page.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let link = Link { here: text("name") == here, title: text("title"), address: text("address") };
            match menus.iter_mut().find(|menu| menu.title == text("menu")) {
                Some(menu) => menu.links.push(link),
                None => menus.push(Menu { title: text("menu"), links: vec![link] }),
            }
        }
        Frame {
            menus,
            login: self.who.login.clone(),
            kind: self.who.kind.name(),
            form_token: self.token.form_token(),
        }
    }

    /// Whether a form was made for this session.
    fn knows(&self, form_token: &str) -> bool {
        self.token.made(form_token)
    }

    fn directory(&self) -> &Arc<Directory> {
        &self.site.house.directory
    }

    /// Himself, as the directory knows him.
    fn person(&self) -> Administrator {
        Administrator {
            kind: self.who.kind.name().to_owned(),
            login: self.who.login.clone(),
            account: self.who.account,
            must_change_password: false,
            second_factor: self.second_factor,
        }
    }
}

/// The cookie of a request.
fn token(headers: &HeaderMap) -> Option<Token> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).and_then(|(_, value)| Token::read(value))
}

impl FromRequestParts<Site> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Response> {
        let Extension(origin) = Extension::<Origin>::from_request_parts(parts, site)
            .await
            .map_err(IntoResponse::into_response)?;
        let path = parts.uri.path_and_query().map_or("/admin", |path| path.as_str());
        // Where he wanted to go he is taken after the login; what a form was to do is lost by then.
        let back = if parts.method.is_safe() { path } else { "/admin" };
        let to_login = || Redirect::to(&login::address(back)).into_response();
        let Some(token) = token(&parts.headers) else { return Err(to_login()) };
        let found = site.house.directory.web_session(&token).await;
        let found = found.map_err(|error| Fault::from(error).into_response())?;
        let Some(Administrator { kind, login, account, must_change_password, second_factor }) = found else {
            return Err(to_login());
        };
        let Some(kind) = Kind::named(&kind) else {
            return Err(answer::refused("this login is of no known kind"));
        };
        if must_change_password && !matches!(parts.uri.path(), "/admin/password" | "/admin/log-out") {
            return Err(Redirect::to("/admin/password").into_response());
        }
        let needs_second_factor = match site.house.control.config().web.require_second_factor {
            SecondFactorRule::None => false,
            SecondFactorRule::System => kind == Kind::System,
            SecondFactorRule::Everybody => true,
        };
        if needs_second_factor
            && !second_factor
            && !matches!(parts.uri.path(), "/admin/second-factor" | "/admin/password" | "/admin/log-out")
        {
            return Err(Redirect::to("/admin/second-factor").into_response());
        }
        let who = Who { kind, login, account, peer: origin.visitor.peer };
        Ok(Admin { who, token, site: site.clone(), second_factor, needs_second_factor })
    }
}

/// The value of a field of a form.
fn field<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}
