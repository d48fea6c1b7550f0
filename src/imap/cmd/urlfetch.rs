//! URLFETCH (RFC 4467 §7): what authorized URLs lead to, as it is or decoded and described (RFC 5524).
//!
//! A URL that is not valid, for whatever reason, is answered with NIL: why, nobody learns who might be guessing.

use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::cite::Cited;
use crate::imap::cmd::fetch::binary;
use crate::imap::cmd::fetch::slice::Coded;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::intake::House;
use crate::mime::bodystructure::{Form, write_bodystructure};
use crate::net::out::Out;

/// `url-fetch-param` (RFC 5524 §3.1)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param {
    /// The bytes as they are.
    Body,
    /// The bytes of a part, decoded.
    Binary,
    /// What BODYSTRUCTURE says of the part.
    BodyPartStructure,
}

/// A URL, and what of it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The URL.
    pub url: String,
    /// What of it, each once; just the bytes, when absent.
    pub params: Option<Vec<Param>>,
}

/// `URLFETCH url …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlFetch {
    /// At least one.
    pub urls: Vec<Wanted>,
}

impl UrlFetch {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        let mut urls = Vec::new();
        while urls.is_empty() || parser.peek().is_some() {
            parser.space()?;
            urls.push(wanted(parser)?);
        }
        Ok(UrlFetch { urls })
    }

    /// Answers each URL.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let house = session.house.clone();
        for wanted in &self.urls {
            let cited = match Cited::find(session, &wanted.url).await? {
                // RFC 4467 §6: only what was authorized; one's own mailboxes are there for FETCH.
                Ok(cited) => Some(cited).filter(|cited| cited.url.auth.is_some()),
                Err(_) => None,
            };
            let mut line = Line::untagged(out.buffer());
            line.raw("URLFETCH ").string(wanted.url.as_bytes());
            line.pause();
            match (cited, &wanted.params) {
                (None, _) => {
                    let mut line = Line::resume(out.buffer());
                    line.raw(" NIL");
                    line.pause();
                }
                (Some(cited), None) => {
                    let mut line = Line::resume(out.buffer());
                    line.raw(" ");
                    line.pause();
                    body(&house, &cited, out).await.map_err(broken_off)?;
                }
                (Some(cited), Some(params)) => {
                    for param in params {
                        element(&house, &cited, *param, out).await.map_err(broken_off)?;
                    }
                }
            }
            Line::resume(out.buffer()).raw("");
            out.page().await?;
        }
        Ok(Done::ok("fetched"))
    }
}

/// What was begun can't be taken back, so that the connection must end.
fn broken_off(fail: Fail) -> Fail {
    if let Fail::Database(error) = fail {
        tracing::warn!(%error, "a message could not be read to its end; the connection that asked is closed");
    }
    Fail::Gone
}

fn wanted(parser: &mut Parser<'_>) -> Result<Wanted, Bad> {
    if !parser.skip(b'(') {
        return Ok(Wanted { url: parser.text()?, params: None });
    }
    let url = parser.text()?;
    let mut params = Vec::new();
    while !parser.skip(b')') {
        parser.space()?;
        let param = if parser.skip_word("BODY") {
            Param::Body
        } else if parser.skip_word("BINARY") {
            Param::Binary
        } else if parser.skip_word("BODYPARTSTRUCTURE") {
            Param::BodyPartStructure
        } else {
            return Err(parser.bad("unknown URLFETCH parameter"));
        };
        if params.contains(&param) {
            return Err(parser.bad("a URLFETCH parameter stands twice"));
        }
        params.push(param);
    }
    // RFC 5524 §3.1: both would be the same bytes in two forms.
    if params.is_empty() || params.contains(&Param::Body) && params.contains(&Param::Binary) {
        return Err(parser.bad("expected BODY or BINARY, or BODYPARTSTRUCTURE"));
    }
    Ok(Wanted { url, params: Some(params) })
}

/// ` (NAME value)` (RFC 5524 §3.2)
async fn element(house: &House, cited: &Cited, param: Param, out: &mut Out<'_>) -> Result<(), Fail> {
    let mut line = Line::resume(out.buffer());
    line.raw(match param {
        Param::Body => " (BODY ",
        Param::Binary => " (BINARY ",
        Param::BodyPartStructure => " (BODYPARTSTRUCTURE ",
    });
    line.pause();
    match param {
        Param::Body => body(house, cited, out).await?,
        Param::Binary => decoded(house, cited, out).await?,
        Param::BodyPartStructure => structure(cited, out),
    }
    let mut line = Line::resume(out.buffer());
    line.raw(")");
    line.pause();
    Ok(())
}

async fn body(house: &House, cited: &Cited, out: &mut Out<'_>) -> Result<(), Fail> {
    let mut source = cited.source(&house.store);
    let found = cited.bytes(&mut source).await?;
    let mut line = Line::resume(out.buffer());
    let (size, mut pieces) = match found {
        None => {
            line.raw("NIL");
            line.pause();
            return Ok(());
        }
        Some((0, _)) => {
            line.raw("\"\"");
            line.pause();
            return Ok(());
        }
        Some(found) => found,
    };
    line.literal_header(size);
    line.pause();
    let mut sent = 0;
    while let Some(piece) = pieces.next().await? {
        sent += piece.len() as u64;
        out.put_large(piece).await?;
    }
    if sent == size { Ok(()) } else { Err(Fail::Gone) }
}

async fn decoded(house: &House, cited: &Cited, out: &mut Out<'_>) -> Result<(), Fail> {
    match cited.shape().coded(&cited.url.section) {
        Coded::Bytes(range, encoding) => {
            let mut source = cited.source(&house.store);
            binary::send(&mut source, range, encoding, cited.url.partial, out).await
        }
        Coded::Missing | Coded::Unknown => {
            let mut line = Line::resume(out.buffer());
            line.raw("NIL");
            line.pause();
            Ok(())
        }
    }
}

/// BODYSTRUCTURE of the part; a header has none.
fn structure(cited: &Cited, out: &mut Out<'_>) {
    let section = &cited.url.section;
    let part = if section.text.is_none() { cited.root().find(&section.part) } else { None };
    let mut written = Vec::new();
    match part {
        // What the mime module writes is in IMAP form already, literals included.
        Some(part) => write_bodystructure(part, Form::BodyStructure, &mut written),
        None => written.extend_from_slice(b"NIL"),
    }
    let mut line = Line::resume(out.buffer());
    line.literal_bytes(&written);
    line.pause();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in [
            "URLFETCH",
            "URLFETCH ",
            "URLFETCH a ",
            "URLFETCH (a)",
            "URLFETCH (a FOO)",
            "URLFETCH (a BODY BODY)",
            "URLFETCH (a BODY BINARY)",
            "URLFETCH (a BODY",
            "URLFETCH (a BODY )",
            "URLFETCH ()",
        ] {
            refusal(input);
        }
        let wanted = |url: &str, params: Option<&[Param]>| Wanted {
            url: url.to_owned(),
            params: params.map(<[Param]>::to_vec),
        };
        assert_eq!(command("URLFETCH a"), Command::UrlFetch(UrlFetch { urls: vec![wanted("a", None)] }));
        assert_eq!(
            command("URLFETCH (\"a\" BODYPARTSTRUCTURE binary) {1}\r\nb"),
            Command::UrlFetch(UrlFetch {
                urls: vec![wanted("a", Some(&[Param::BodyPartStructure, Param::Binary])), wanted("b", None)]
            })
        );
    }
}
