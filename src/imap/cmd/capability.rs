//! CAPABILITY: what this server announces, and when (RFC 3501 §6.1.1, §7.2.1).

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
    capability("STATUS=SIZE",             "RFC 8438",       Announced::AfterLogin),
    capability("UIDONLY",                 "RFC 9586",       Announced::AfterLogin),
    capability("NOTIFY",                  "RFC 5465",       Announced::AfterLogin),
];

/// What a connection is, as far as capabilities depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Logged in.
    LoggedIn,
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
        let logged_in = link == Link::LoggedIn;
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

/// The capabilities announced on `link`, a space between, for CAPABILITY's answer and the response code.
pub fn announce(link: Link) -> String {
    let names: Vec<_> = CAPABILITIES.iter().filter(|c| c.announced.on(link)).map(|c| c.name).collect();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_login() {
        assert_eq!(
            announce(Link::Clear { starttls: true, passwords: false }),
            "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE STARTTLS LOGINDISABLED AUTH=SCRAM-SHA-256"
        );
        assert_eq!(
            announce(Link::Clear { starttls: false, passwords: true }),
            "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256"
        );
        assert_eq!(
            announce(Link::Tls { channel_binding: true, tokens: false }),
            "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS"
        );
    }

    #[test]
    fn after_login_nothing_about_logging_in() {
        let list = announce(Link::LoggedIn);
        assert!(list.starts_with("IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE NAMESPACE "), "{list}");
        assert!(!list.contains("AUTH=") && !list.contains("SASL-IR") && !list.contains("TLS"));
    }
}
