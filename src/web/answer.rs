//! Answers that are no page of their own: a redirection, a refusal, a fault.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use crate::db::Error;

/// A page that only says something.
#[derive(Template)]
#[template(path = "admin/message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
}

/// A page as an answer.
pub(super) fn page(template: &impl Template) -> Response {
    page_with(StatusCode::OK, template)
}

/// The same with another status.
pub(super) fn page_with(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page could not be written: see the server's log.")
                .into_response()
        }
    }
}

pub(super) fn not_found() -> Response {
    say(
        StatusCode::NOT_FOUND,
        "Not found",
        "There is no such page. Perhaps what it was about has been removed.",
    )
}

pub(super) fn refused(why: &str) -> Response {
    say(StatusCode::FORBIDDEN, "Refused", why)
}

fn say(status: StatusCode, title: &str, text: &str) -> Response {
    page_with(status, &Message { title, text })
}

/// A question to the database that was not answered.
pub(super) struct Fault(Error);

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self.0 {
            Error::Refused { message, .. } if message.starts_with("there is no page") => not_found(),
            Error::Refused { message, .. } => refused(&message),
            Error::Unavailable(why) | Error::Overdue(why) | Error::Retry(why) => {
                tracing::warn!(why, "a page could not be shown");
                let text = "The database does not answer now, or took too long. Try again in a moment.";
                say(StatusCode::SERVICE_UNAVAILABLE, "Not now", text)
            }
            Error::Fault(why) => {
                tracing::error!(why, "a page failed");
                let text = "Something went wrong in the server. Its log says what.";
                say(StatusCode::INTERNAL_SERVER_ERROR, "A fault", text)
            }
        }
    }
}
