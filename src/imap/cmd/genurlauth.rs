//! GENURLAUTH (RFC 4467 §7): authorizes URLs, so that others can fetch what they lead to.

use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::cite::{INTERNAL, is_here, is_own};
use crate::imap::session::Session;
use crate::imap::token;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::imap::wire::url::{Auth, Server, Url};
use crate::mail::Rights;
use crate::net::out::Out;

/// `GENURLAUTH url mechanism …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenUrlAuth {
    /// URLs up to their access identifiers, each with the mechanism for it.
    pub urls: Vec<(String, String)>,
}

impl GenUrlAuth {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        let mut urls = Vec::new();
        while urls.is_empty() || parser.peek().is_some() {
            parser.space()?;
            let url = parser.text()?;
            parser.space()?;
            let mechanism = String::from_utf8_lossy(parser.atom()?).to_ascii_uppercase();
            urls.push((url, mechanism));
        }
        Ok(GenUrlAuth { urls })
    }

    /// Answers with the URLs, their tokens added; all of them, or none.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let mut authorized = Vec::with_capacity(self.urls.len());
        for (url, mechanism) in &self.urls {
            if mechanism != INTERNAL {
                return Err(Fail::No(None, "INTERNAL is the only mechanism there is".into()));
            }
            authorized.push(authorize(session, url).await?);
        }
        let mut buffer = out.buffer();
        let mut line = Line::untagged(&mut buffer);
        line.raw("GENURLAUTH");
        for url in &authorized {
            line.raw(" ").string(url.as_bytes());
        }
        Ok(Done::ok("authorized"))
    }
}

/// RFC 4467 §7: the URL must be of this server and of a mailbox that this user may read under his own name.
async fn authorize(session: &Session, text: &str) -> Result<String, Fail> {
    let url = Url::parse(text).ok_or(Fail::bad("this is not the URL of a message"))?;
    let Some(Auth { rump, proof: None, .. }) = &url.auth else {
        return Err(Fail::bad("the URL must end with whom it is for, and with nothing else"));
    };
    let (Some(server @ Server { user: Some(_), .. }), Some(name)) = (&url.server, &url.mailbox) else {
        return Err(Fail::bad("the URL must name user, server and mailbox"));
    };
    if !is_here(session, server) || !is_own(session, Some(server)).await? {
        return Err(Fail::bad("the URL must be of this server and of your own name"));
    }
    let Some(place) = session.find(name).await?.filter(|place| place.rights.contains(Rights::READ)) else {
        return Err(Fail::bad("there is no mailbox of that name"));
    };
    if url.uid_validity.is_some_and(|validity| validity != place.mailbox.uid_validity) {
        return Err(Fail::bad("the UIDVALIDITY is not the mailbox's"));
    }
    let key = session.house.store.make_url_key(session.login()?.account, place.mailbox.id).await?;
    Ok(format!("{rump}:internal:{}", token::make(&key, rump)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["GENURLAUTH", "GENURLAUTH ", "GENURLAUTH x", "GENURLAUTH x ", "GENURLAUTH x INTERNAL x"]
        {
            refusal(input);
        }
        let expected = |urls: &[(&str, &str)]| {
            let urls = urls.iter().map(|(url, mechanism)| ((*url).to_owned(), (*mechanism).to_owned()));
            Command::GenUrlAuth(GenUrlAuth { urls: urls.collect() })
        };
        assert_eq!(command("GENURLAUTH \"imap://x\" internal"), expected(&[("imap://x", "INTERNAL")]));
        assert_eq!(
            command("GENURLAUTH {1}\r\na INTERNAL b XSAMPLE"),
            expected(&[("a", "INTERNAL"), ("b", "XSAMPLE")])
        );
    }
}
