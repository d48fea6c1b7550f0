//! IMAP URLs that lead to a message or a part of one (RFC 5092), authorized or not (RFC 5092 §6.1, RFC 4467 §3).
//!
//! A URL of another kind, to a server, a mailbox or a search, is none here: nothing that takes URLs could use it. Names are
//! decoded once, after the URL has been cut at what separates its parts, so that an encoded separator separates nothing.

use jiff::Timestamp;

use super::name::MailboxName;
use super::parser::Parser;
use super::section::{Partial, Section};
use super::unit::Unit;

/// Longer ones are refused, bytes.
const URL_MAX: usize = 8 << 10;

/// Where a message or a part of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// The server; `None` in a relative URL, which is about this one.
    pub server: Option<Server>,
    /// The mailbox; `None` in a URL relative to the one that is selected.
    pub mailbox: Option<MailboxName>,
    /// What its UIDVALIDITY must be.
    pub uid_validity: Option<u32>,
    /// The message.
    pub uid: u32,
    /// What of it; all, when empty.
    pub section: Section,
    /// Which octets of that.
    pub partial: Option<Partial>,
    /// Who may use the URL, where it carries that.
    pub auth: Option<Auth>,
}

/// The server of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The user whose mailboxes are meant.
    pub user: Option<String>,
    /// The host, as written.
    pub host: String,
}

/// What makes a URL an authorized one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Until when it can be used.
    pub expire: Option<Timestamp>,
    /// Who may use it.
    pub access: Access,
    /// The URL up to here, as written: what the token is made of (RFC 4467 §5).
    pub rump: String,
    /// What shows that it was authorized; none in a URL that shall become so.
    pub proof: Option<Proof>,
}

/// Who may use an authorized URL (RFC 4467 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// `submit+user`: whoever submits mail for this user.
    Submit(String),
    /// `user+user`: this user.
    User(String),
    /// `authuser`: everybody who has logged in by a name of his own.
    AuthUser,
    /// `anonymous`: everybody.
    Anonymous,
}

/// The end of an authorized URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// How the token was made.
    pub mechanism: String,
    /// Hexadecimal digits.
    pub token: String,
}

impl Url {
    /// Reads a URL; `None` where it does not lead to a message.
    pub fn parse(url: &str) -> Option<Url> {
        if url.len() > URL_MAX || !url.bytes().all(|b| matches!(b, b'!'..=b'~')) {
            return None;
        }
        let (server, path) = match strip_ignore_case(url, "imap://").or_else(|| url.strip_prefix("//")) {
            Some(rest) => {
                let (server, path) = rest.split_at(rest.find('/')?);
                (Some(Server::parse(server)?), path)
            }
            None => (None, url),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let (place, message) = match strip_ignore_case(path, ";UID=") {
            Some(message) => ("", message),
            None => split_ignore_case(path, "/;UID=")?,
        };
        let (mailbox, uid_validity) = place_of(place)?;
        if mailbox.is_none() && server.is_some() {
            return None;
        }
        let (message, auth) = auth_of(url, message)?;
        let (message, partial) = match split_ignore_case(message, "/;PARTIAL=") {
            Some((message, partial)) => (message, Some(partial_of(partial)?)),
            None => (message, None),
        };
        let (uid, section) = match split_ignore_case(message, "/;SECTION=") {
            Some((uid, section)) => (uid, section_of(&decoded(section)?)?),
            None => (message, Section::default()),
        };
        Some(Url { server, mailbox, uid_validity, uid: number(uid)?, section, partial, auth })
    }
}

impl Server {
    /// `[user][;AUTH=…]@host[:port]`
    fn parse(server: &str) -> Option<Server> {
        let (user, host) = match server.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, server),
        };
        let user = match user {
            Some(user) => Some(decoded(split_ignore_case(user, ";AUTH=").map_or(user, |(user, _)| user))?),
            None => None,
        };
        let host = match host.rsplit_once(':') {
            // An address of IPv6 has colons of its own, in brackets.
            Some((host, port)) if !port.ends_with(']') => {
                port.parse::<u16>().ok()?;
                host
            }
            _ => host,
        };
        let host = decoded(host)?;
        (!host.is_empty()).then_some(Server { user: user.filter(|user| !user.is_empty()), host })
    }
}

/// `mailbox[;UIDVALIDITY=n]`, or nothing.
fn place_of(place: &str) -> Option<(Option<MailboxName>, Option<u32>)> {
    if place.is_empty() {
        return Some((None, None));
    }
    let (name, validity) = match split_ignore_case(place, ";UIDVALIDITY=") {
        Some((name, validity)) => (name, Some(number(validity)?)),
        None => (place, None),
    };
    // RFC 5092 §9: what has a meaning of its own is encoded in names.
    let name = Some(name).filter(|name| !name.contains([';', '?', '#']))?;
    Some((Some(MailboxName::new(&decoded(name)?).ok()?), validity))
}

/// Cuts `[;EXPIRE=…];URLAUTH=access[:mechanism:token]` off the end.
fn auth_of<'u>(url: &str, message: &'u str) -> Option<(&'u str, Option<Auth>)> {
    let Some((message, auth)) = split_ignore_case(message, ";URLAUTH=") else {
        return Some((message, None));
    };
    let mut pieces = auth.split(':');
    let access = pieces.next()?;
    let proof = match (pieces.next(), pieces.next(), pieces.next()) {
        (None, ..) => None,
        (Some(mechanism), Some(token), None) => {
            let is_token = token.len() >= 32 && token.bytes().all(|b| b.is_ascii_hexdigit());
            let proof = Proof { mechanism: mechanism.to_ascii_uppercase(), token: token.to_owned() };
            Some(is_token.then_some(proof)?)
        }
        _ => return None,
    };
    let rump_len = url.len() - auth.len() + access.len();
    let (message, expire) = match split_ignore_case(message, ";EXPIRE=") {
        Some((message, expire)) => (message, Some(decoded(expire)?.parse::<Timestamp>().ok()?)),
        None => (message, None),
    };
    let access = match strip_ignore_case(access, "submit+").map(decoded) {
        Some(user) => Access::Submit(user?),
        None => match strip_ignore_case(access, "user+").map(decoded) {
            Some(user) => Access::User(user?),
            None if access.eq_ignore_ascii_case("authuser") => Access::AuthUser,
            None if access.eq_ignore_ascii_case("anonymous") => Access::Anonymous,
            None => return None,
        },
    };
    let rump = url.get(..rump_len)?.to_owned();
    Some((message, Some(Auth { expire, access, rump, proof })))
}

/// `offset[.count]`
fn partial_of(partial: &str) -> Option<Partial> {
    let (offset, count) = match partial.split_once('.') {
        Some((offset, count)) => (offset, digits(count).filter(|count| *count > 0)?),
        None => (partial, u64::MAX),
    };
    Some(Partial { offset: digits(offset)?, count })
}

fn section_of(section: &str) -> Option<Section> {
    let unit = Unit { bytes: format!("[{section}]").into_bytes(), ..Unit::default() };
    let mut parser = Parser::new(&unit, super::name::NameCoding::default());
    let section = parser.section().ok()?;
    parser.finish().ok()?;
    Some(section)
}

/// `nz-number`
fn number(text: &str) -> Option<u32> {
    digits(text).and_then(|number| number.try_into().ok()).filter(|number| *number > 0)
}

fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// What percent signs stand for; `None` where that is no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

fn strip_ignore_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Cuts at the first place where `separator` stands, in any case.
fn split_ignore_case<'t>(text: &'t str, separator: &str) -> Option<(&'t str, &'t str)> {
    let (bytes, wanted) = (text.as_bytes(), separator.as_bytes());
    let at = bytes.windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted))?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::imap::wire::section::SectionText;

    #[test]
    fn what_leads_to_no_message() {
        for url in [
            "",
            "/",
            "imap://host",
            "imap://host/",
            "imap://host/INBOX",
            "imap://host/INBOX?SUBJECT%20x",
            "imap://host/;UID=1",
            "imap:///INBOX/;UID=1",
            "imap://host:x/INBOX/;UID=1",
            "http://host/INBOX/;UID=1",
            "/INBOX/;UID=0",
            "/INBOX/;UID=4294967296",
            "/INBOX/;UID=+1",
            "/INBOX/;UID=",
            "/INBOX;UID=1",
            "/INBOX;UIDVALIDITY=0/;UID=1",
            "/INBOX;X=1/;UID=1",
            "/a//b/;UID=1",
            "/a%2/;UID=1",
            "/a%ff/;UID=1",
            "/a%00/;UID=1",
            "/a b/;UID=1",
            "/INBOX/;UID=1/;SECTION=1.",
            "/INBOX/;UID=1/;SECTION=FOO",
            "/INBOX/;UID=1/;SECTION=1]",
            "/INBOX/;UID=1/;PARTIAL=",
            "/INBOX/;UID=1/;PARTIAL=1.0",
            "/INBOX/;UID=1/;PARTIAL=0.1/;SECTION=1",
            "/INBOX/;UID=1/",
            "/INBOX/;UID=1;URLAUTH=",
            "/INBOX/;UID=1;URLAUTH=everybody",
            "/INBOX/;UID=1;URLAUTH=anonymous:internal",
            "/INBOX/;UID=1;URLAUTH=anonymous:internal:12",
            "/INBOX/;UID=1;URLAUTH=anonymous:internal:91354a473744909de610943775f9203g",
            "/INBOX/;UID=1;EXPIRE=2020-01-01T00:00:00Z",
            "/INBOX/;UID=1;EXPIRE=soon;URLAUTH=anonymous",
        ] {
            assert_eq!(Url::parse(url), None, "{url}");
        }
    }

    fn plain(mailbox: Option<&str>, uid: u32) -> Url {
        let mailbox = mailbox.map(|name| MailboxName::new(name).unwrap());
        let section = Section::default();
        Url { server: None, mailbox, uid_validity: None, uid, section, partial: None, auth: None }
    }

    #[test]
    fn relative_urls() {
        assert_eq!(Url::parse(";UID=7"), Some(plain(None, 7)));
        assert_eq!(Url::parse("/;uid=7"), Some(plain(None, 7)));
        assert_eq!(Url::parse("inbox/;UID=7"), Some(plain(Some("INBOX"), 7)));
        assert_eq!(Url::parse("/Entw%C3%BCrfe/a%2Fb/;UID=7"), Some(plain(Some("Entwürfe/a/b"), 7)));
        // RFC 4469, appendix A.
        assert_eq!(
            Url::parse("/Drafts;UIDVALIDITY=385759045/;UID=30/;section=1.MIME"),
            Some(Url {
                uid_validity: Some(385_759_045),
                section: Section { part: vec![1], text: Some(SectionText::Mime) },
                ..plain(Some("Drafts"), 30)
            })
        );
        let section = SectionText::HeaderFields(vec!["Subject".into(), "To".into()]);
        assert_eq!(
            Url::parse("/a/;UID=1/;SECTION=HEADER.FIELDS%20(Subject%20To)/;PARTIAL=3.9"),
            Some(Url {
                section: Section { part: vec![], text: Some(section) },
                partial: Some(Partial { offset: 3, count: 9 }),
                ..plain(Some("a"), 1)
            })
        );
        let open = Url::parse("/a/;UID=1/;PARTIAL=3").unwrap();
        assert_eq!(open.partial, Some(Partial { offset: 3, count: u64::MAX }));
    }

    #[test]
    fn servers() {
        let server = |url| Url::parse(url).unwrap().server.unwrap();
        let of =
            |user: Option<&str>, host: &str| Server { user: user.map(str::to_owned), host: host.to_owned() };
        assert_eq!(server("IMAP://Example.com/a/;UID=1"), of(None, "Example.com"));
        assert_eq!(server("//joe;AUTH=*@h:143/a/;UID=1"), of(Some("joe"), "h"));
        assert_eq!(server("imap://;AUTH=PLAIN@h/a/;UID=1"), of(None, "h"));
        assert_eq!(server("imap://a%40b.test@[::1]/a/;UID=1"), of(Some("a@b.test"), "[::1]"));
        assert_eq!(server("imap://x@[::1]:99/a/;UID=1"), of(Some("x"), "[::1]"));
    }

    #[test]
    fn authorized_urls() {
        // RFC 4467 §7.
        let rump = "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred";
        let token = "91354a473744909de610943775f92038";
        let auth = Url::parse(rump).unwrap().auth.unwrap();
        assert_eq!(auth.access, Access::Submit("fred".into()));
        assert_eq!((auth.rump.as_str(), auth.proof), (rump, None));
        let full = Url::parse(&format!("{rump}:internal:{token}")).unwrap();
        assert_eq!((full.uid, full.section.part.as_slice()), (20, &[1, 2][..]));
        let auth = full.auth.unwrap();
        assert_eq!(auth.rump, rump);
        assert_eq!(auth.proof, Some(Proof { mechanism: "INTERNAL".into(), token: token.into() }));

        let timed = "/a/;UID=1/;PARTIAL=0.5;EXPIRE=2020-01-01T01:00:00%2B01:00;URLAUTH=user+a%40b.test";
        let url = Url::parse(timed).unwrap();
        let auth = url.auth.unwrap();
        assert_eq!(auth.expire, Some("2020-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(auth.access, Access::User("a@b.test".into()));
        assert_eq!(url.partial, Some(Partial { offset: 0, count: 5 }));
        let access = |text| Url::parse(&format!("/a/;UID=1;URLAUTH={text}")).unwrap().auth.unwrap().access;
        assert_eq!(access("AuthUser"), Access::AuthUser);
        assert_eq!(access("anonymous"), Access::Anonymous);
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(url in "(imap://|//|/|)([a-c@:%/;=.+\\[\\]0-9-]|;UID=|/;SECTION=|/;PARTIAL=|;URLAUTH=|;EXPIRE=){0,20}") {
            let _ = Url::parse(&url);
        }
    }
}
