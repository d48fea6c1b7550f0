//! CAPABILITY: what this server announces, and when (RFC 3501 §6.1.1, §7.2.1); and what an administrator hides from whom.

use crate::control::config::HiddenCapability;

use std::borrow::Cow;

/// When a capability is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// Always.
    Always,
    /// Before login only: it is of no use later.
    BeforeLogin,
    /// Before login on a connection that can still be secured.
    BeforeTls,
    /// Before login, where a password may travel: under TLS, or where plain text is allowed.
    PasswordAllowed,
    /// Before login, where it may not.
    PasswordRefused,
    /// Before login, under TLS whose channel can be bound to (RFC 5802 §6).
    ChannelBinding,
    /// Before login, under TLS, where somebody's access tokens are accepted.
    TokensAccepted,
    /// After login.
    AfterLogin,
}

/// One capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// As it is announced.
    pub name: &'static str,
    /// Where it is specified.
    pub rfc: &'static str,
    /// When it is announced.
    pub announced: Announced,
}

const fn capability(name: &'static str, rfc: &'static str, announced: Announced) -> Capability {
    Capability { name, rfc, announced }
}

/// Announced with the number that [`Link::LoggedIn`] has.
const APPENDLIMIT: &str = "APPENDLIMIT";

/// All capabilities, in the order in which they are announced. What clients look for before they log in stands in
/// the greeting too: IDLE is wanted there by old ones.
#[rustfmt::skip]
pub const CAPABILITIES: &[Capability] = &[
    capability("IMAP4rev1",               "RFC 3501",       Announced::Always),
    capability("IMAP4rev2",               "RFC 9051",       Announced::Always),
    capability("LITERAL+",                "RFC 7888",       Announced::Always),
    capability("SASL-IR",                 "RFC 4959",       Announced::BeforeLogin),
    capability("ID",                      "RFC 2971",       Announced::Always),
    capability("ENABLE",                  "RFC 5161",       Announced::Always),
    capability("IDLE",                    "RFC 2177",       Announced::Always),
    capability("STARTTLS",                "RFC 3501",       Announced::BeforeTls),
    capability("LOGINDISABLED",           "RFC 3501",       Announced::PasswordRefused),
    capability("AUTH=PLAIN",              "RFC 4616",       Announced::PasswordAllowed),
    capability("AUTH=LOGIN",              "draft-murchison-sasl-login", Announced::PasswordAllowed),
    capability("AUTH=SCRAM-SHA-256",      "RFC 7677",       Announced::BeforeLogin),
    capability("AUTH=SCRAM-SHA-256-PLUS", "RFC 7677",       Announced::ChannelBinding),
    capability("AUTH=OAUTHBEARER",        "RFC 7628",       Announced::TokensAccepted),
    capability("AUTH=XOAUTH2",            "Google",         Announced::TokensAccepted),
    capability("NAMESPACE",               "RFC 2342",       Announced::AfterLogin),
    capability("CHILDREN",                "RFC 3348",       Announced::AfterLogin),
    capability("UIDPLUS",                 "RFC 4315",       Announced::AfterLogin),
    capability("UNSELECT",                "RFC 3691",       Announced::AfterLogin),
    capability("MOVE",                    "RFC 6851",       Announced::AfterLogin),
    capability("SPECIAL-USE",             "RFC 6154",       Announced::AfterLogin),
    capability("CREATE-SPECIAL-USE",      "RFC 6154",       Announced::AfterLogin),
    capability("CONDSTORE",               "RFC 7162",       Announced::AfterLogin),
    capability("QRESYNC",                 "RFC 7162",       Announced::AfterLogin),
    capability("ESEARCH",                 "RFC 4731",       Announced::AfterLogin),
    capability("WITHIN",                  "RFC 5032",       Announced::AfterLogin),
    capability("PARTIAL",                 "RFC 9394",       Announced::AfterLogin),
    capability("SEARCHRES",               "RFC 5182",       Announced::AfterLogin),
    capability("SORT",                    "RFC 5256",       Announced::AfterLogin),
    capability("SORT=DISPLAY",            "RFC 5957",       Announced::AfterLogin),
    capability("ESORT",                   "RFC 5267",       Announced::AfterLogin),
    capability("THREAD=ORDEREDSUBJECT",   "RFC 5256",       Announced::AfterLogin),
    capability("THREAD=REFERENCES",       "RFC 5256",       Announced::AfterLogin),
    capability("THREAD=REFS",             "draft-ietf-morg-inthread", Announced::AfterLogin),
    capability("MULTISEARCH",             "RFC 7377",       Announced::AfterLogin),
    capability("SEARCH=FUZZY",            "RFC 6203",       Announced::AfterLogin),
    capability("CONTEXT=SEARCH",          "RFC 5267",       Announced::AfterLogin),
    capability("CONTEXT=SORT",            "RFC 5267",       Announced::AfterLogin),
    capability("FILTERS",                 "RFC 5466",       Announced::AfterLogin),
    capability("LIST-EXTENDED",           "RFC 5258",       Announced::AfterLogin),
    capability("LIST-STATUS",             "RFC 5819",       Announced::AfterLogin),
    capability("ACL",                     "RFC 4314",       Announced::AfterLogin),
    // RFC 4314 §2.2 wants the rights named that RFC 2086 had not; n is of RFC 5257 §3.4.
    capability("RIGHTS=kxten",            "RFC 4314",       Announced::AfterLogin),
    capability("LIST-MYRIGHTS",           "RFC 8440",       Announced::AfterLogin),
    capability("METADATA",                "RFC 5464",       Announced::AfterLogin),
    capability("METADATA-SERVER",         "RFC 5464",       Announced::AfterLogin),
    capability("LIST-METADATA",           "RFC 9590",       Announced::AfterLogin),
    capability("STATUS=SIZE",             "RFC 8438",       Announced::AfterLogin),
    capability("COMPRESS=DEFLATE",        "RFC 4978",       Announced::AfterLogin),
    capability("UTF8=ACCEPT",             "RFC 6855",       Announced::AfterLogin),
    capability("LANGUAGE",                "RFC 5255",       Announced::Always),
    capability("I18NLEVEL=1",             "RFC 5255",       Announced::AfterLogin),
    capability("QUOTA",                   "RFC 9208",       Announced::AfterLogin),
    capability("QUOTASET",                "RFC 9208",       Announced::AfterLogin),
    capability("QUOTA=RES-STORAGE",       "RFC 9208",       Announced::AfterLogin),
    capability("QUOTA=RES-MESSAGE",       "RFC 9208",       Announced::AfterLogin),
    capability("QUOTA=RES-MAILBOX",       "RFC 9208",       Announced::AfterLogin),
    capability("INPROGRESS",              "RFC 9585",       Announced::AfterLogin),
    capability("UNAUTHENTICATE",          "RFC 8437",       Announced::AfterLogin),
    capability("OBJECTID",                "RFC 8474",       Announced::AfterLogin),
    capability("SAVEDATE",                "RFC 8514",       Announced::AfterLogin),
    capability("PREVIEW",                 "RFC 8970",       Announced::AfterLogin),
    capability("BINARY",                  "RFC 3516",       Announced::AfterLogin),
    capability("MULTIAPPEND",             "RFC 3502",       Announced::AfterLogin),
    capability("CATENATE",                "RFC 4469",       Announced::AfterLogin),
    capability("REPLACE",                 "RFC 8508",       Announced::AfterLogin),
    capability(APPENDLIMIT,               "RFC 7889",       Announced::AfterLogin),
    capability("URLAUTH",                 "RFC 4467",       Announced::AfterLogin),
    capability("URLAUTH=BINARY",          "RFC 5524",       Announced::AfterLogin),
    capability("URL-PARTIAL",             "RFC 5550",       Announced::AfterLogin),
    capability("UIDONLY",                 "RFC 9586",       Announced::AfterLogin),
    capability("NOTIFY",                  "RFC 5465",       Announced::AfterLogin),
];

/// What a connection is, as far as capabilities depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Logged in.
    LoggedIn {
        /// Octets of the largest message that is taken (RFC 7889 §3).
        append_limit: u64,
    },
    /// In the clear.
    Clear {
        /// Whether STARTTLS can be carried out: there is a certificate.
        starttls: bool,
        /// Whether the service takes passwords in the clear.
        passwords: bool,
    },
    /// Under TLS, before login.
    Tls {
        /// Whether the session offers a channel binding.
        channel_binding: bool,
        /// Whether access tokens are accepted.
        tokens: bool,
    },
}

impl Announced {
    fn on(self, link: Link) -> bool {
        let logged_in = matches!(link, Link::LoggedIn { .. });
        let passwords = matches!(link, Link::Tls { .. } | Link::Clear { passwords: true, .. });
        match self {
            Announced::Always => true,
            Announced::BeforeLogin => !logged_in,
            Announced::BeforeTls => matches!(link, Link::Clear { starttls: true, .. }),
            Announced::PasswordAllowed => passwords,
            Announced::PasswordRefused => !logged_in && !passwords,
            Announced::ChannelBinding => matches!(link, Link::Tls { channel_binding: true, .. }),
            Announced::TokensAccepted => matches!(link, Link::Tls { tokens: true, .. }),
            Announced::AfterLogin => logged_in,
        }
    }
}

/// The capabilities announced on `link`, as far as they are `shown` to this client, a space between, for CAPABILITY's answer
/// and the response code.
pub fn announce(link: Link, shown: impl Fn(&str) -> bool) -> String {
    let written = |capability: &Capability| match (capability.name, link) {
        (APPENDLIMIT, Link::LoggedIn { append_limit }) => Cow::Owned(format!("{APPENDLIMIT}={append_limit}")),
        (name, _) => Cow::Borrowed(name),
    };
    let on_link = CAPABILITIES.iter().filter(|c| c.announced.on(link) && shown(c.name));
    let names: Vec<_> = on_link.map(written).collect();
    names.join(" ")
}

/// Whether an administrator hides a capability from a client that says it is `client`, and from this account.
pub fn is_hidden(hidden: &[HiddenCapability], name: &str, client: &str, account: Option<i64>) -> bool {
    hidden.iter().any(|row| {
        row.capability.eq_ignore_ascii_case(name)
            && (row.account_id.is_none() || row.account_id == account)
            && matches(&row.client, client)
    })
}

/// Whether a text is as the pattern says, in any case; `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place for each piece leaves the most for those behind it.
    for piece in between.split('*') {
        match text.split_once(piece) {
            Some((_, behind)) => text = behind,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(link: Link) -> String {
        announce(link, |_| true)
    }

    #[test]
    fn clients_are_told_apart() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything 1", true),
            ("", "", true),
            ("Outlook*", "outlook 16.0", true),
            ("Outlook*", "Microsoft Outlook", false),
            ("*outlook*", "Microsoft Outlook 16", true),
            ("*outlook", "Microsoft Outlook 16", false),
            ("iPhone Mail 17*", "iPhone Mail 17A577", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c-c", true),
            ("a*bc*c", "abc", false),
            ("*a*", "b", false),
            ("aba*ba", "aba", false),
            ("É*", "é", true),
            ("x", "xy", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        let slow = format!("{}b", "a".repeat(1000));
        assert!(!matches(&"*a".repeat(100), &slow));
    }

    #[test]
    fn hidden_from_some() {
        let row = |client: &str, account_id| HiddenCapability {
            capability: "compress=deflate".into(),
            client: client.into(),
            account_id,
        };
        let hides = |row: HiddenCapability, name| is_hidden(&[row], name, "Mutt 2.2", Some(7));
        assert!(hides(row("*", None), "COMPRESS=DEFLATE"));
        assert!(hides(row("mutt*", Some(7)), "COMPRESS=DEFLATE"));
        assert!(!hides(row("*", Some(8)), "COMPRESS=DEFLATE"));
        assert!(!hides(row("pine*", None), "COMPRESS=DEFLATE"));
        assert!(!hides(row("*", None), "COMPRESS"));
        assert_eq!(announce(Link::LoggedIn { append_limit: 70 }, |name| name == "ID"), "ID");
    }

    #[test]
    fn before_login() {
        assert_eq!(
            all(Link::Clear { starttls: true, passwords: false }),
            "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE STARTTLS LOGINDISABLED AUTH=SCRAM-SHA-256 LANGUAGE"
        );
        assert_eq!(
            all(Link::Clear { starttls: false, passwords: true }),
            "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256 LANGUAGE"
        );
        assert_eq!(
            all(Link::Tls { channel_binding: true, tokens: false }),
            "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS LANGUAGE"
        );
    }

    #[test]
    fn after_login_nothing_about_logging_in() {
        let list = all(Link::LoggedIn { append_limit: 70 });
        assert!(list.starts_with("IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE NAMESPACE "), "{list}");
        assert!(list.contains(" APPENDLIMIT=70 "), "{list}");
        assert!(
            !list.replace("URLAUTH=", "").contains("AUTH=")
                && !list.contains("SASL-IR")
                && !list.contains("TLS")
        );
    }
}
