//! Every command the server side knows, once: when it is legal, whether it wants TLS first, whether it may stand inside a
//! pipelined group, its grammar for people, and where it is written down.
//!
//! The table only says; the face runs the commands and holds the state.

/// The commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the commands' own.
pub enum Verb {
    Helo,
    Ehlo,
    Lhlo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Quit,
    Help,
    Vrfy,
    Expn,
    Etrn,
    Auth,
    StartTls,
    Xclient,
}

/// How far a session has come, as far as the order of commands depends on it (RFC 5321 §4.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Connected; no HELO or EHLO yet.
    Connected = 1,
    /// Greeted; no transaction.
    Greeted = 2,
    /// MAIL was accepted; no recipient yet.
    Sender = 4,
    /// At least one recipient was accepted.
    Recipients = 8,
    /// Some BDAT came, but not the last (RFC 3030 §2).
    Chunks = 16,
}

/// A set of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct States(u8);

impl States {
    const ANY: States = States(31);

    const fn of(states: &[State]) -> States {
        let (mut set, mut i) = (0, 0);
        while i < states.len() {
            set |= states[i] as u8;
            i += 1;
        }
        States(set)
    }

    /// Is the state one of these?
    #[must_use]
    pub const fn contains(self, state: State) -> bool {
        self.0 & state as u8 != 0
    }
}

/// What a command has to do with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Legal with TLS or without, whatever is required.
    Either,
    /// Where TLS is required, refused with 530 until it is there (RFC 3207 §4).
    Secured,
    /// Only without TLS.
    Clear,
}

/// Where a command may stand in a pipelined group (RFC 2920 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Anywhere.
    Inside,
    /// Only at the end: the client must wait for the reply. What it sent behind EHLO, DATA and others without waiting may be
    /// refused; behind STARTTLS it must be thrown away (RFC 3207 §4.2).
    Last,
}

/// One command.
#[derive(Debug)]
pub struct Row {
    /// Which.
    pub verb: Verb,
    /// As it is written, in upper case.
    pub name: &'static str,
    /// The states in which it is legal; in the others it is answered 503.
    pub legal: States,
    /// Its relation to TLS.
    pub channel: Channel,
    /// Its place in a pipelined group.
    pub group: Group,
    /// Its grammar, for 501 and HELP.
    pub syntax: &'static str,
    /// Where it is defined.
    pub rfc: &'static str,
}

use Channel::{Clear, Either, Secured};
use Group::{Inside, Last};
use State::{Chunks, Connected, Greeted, Recipients, Sender};

const GREETED: States = States::of(&[Greeted]);
const EARLY: States = States::of(&[Connected, Greeted]);
const RCPT: States = States::of(&[Sender, Recipients]);
const DATA: States = States::of(&[Recipients]);
const BDAT: States = States::of(&[Recipients, Chunks]);

/// The commands in the order of their chapters.
#[rustfmt::skip]
pub static COMMANDS: &[Row] = &[
    row(Verb::Ehlo,     "EHLO",     States::ANY, Either,  Last,   "EHLO domain",                          "RFC 5321 §4.1.1.1"),
    row(Verb::Helo,     "HELO",     States::ANY, Either,  Last,   "HELO domain",                          "RFC 5321 §4.1.1.1"),
    row(Verb::Mail,     "MAIL",     GREETED,     Secured, Inside, "MAIL FROM:<address> [parameters]",     "RFC 5321 §4.1.1.2"),
    row(Verb::Rcpt,     "RCPT",     RCPT,        Secured, Inside, "RCPT TO:<address> [parameters]",       "RFC 5321 §4.1.1.3"),
    row(Verb::Data,     "DATA",     DATA,        Secured, Last,   "DATA",                                 "RFC 5321 §4.1.1.4"),
    row(Verb::Rset,     "RSET",     States::ANY, Secured, Inside, "RSET",                                 "RFC 5321 §4.1.1.5"),
    row(Verb::Vrfy,     "VRFY",     States::ANY, Secured, Last,   "VRFY string [SMTPUTF8]",               "RFC 5321 §4.1.1.6"),
    row(Verb::Expn,     "EXPN",     States::ANY, Secured, Last,   "EXPN string [SMTPUTF8]",               "RFC 5321 §4.1.1.7"),
    row(Verb::Help,     "HELP",     States::ANY, Secured, Inside, "HELP [command]",                       "RFC 5321 §4.1.1.8"),
    row(Verb::Noop,     "NOOP",     States::ANY, Either,  Last,   "NOOP [string]",                        "RFC 5321 §4.1.1.9"),
    row(Verb::Quit,     "QUIT",     States::ANY, Either,  Last,   "QUIT",                                 "RFC 5321 §4.1.1.10"),
    row(Verb::Bdat,     "BDAT",     BDAT,        Secured, Inside, "BDAT octets [LAST]",                   "RFC 3030 §2"),
    row(Verb::StartTls, "STARTTLS", GREETED,     Clear,   Last,   "STARTTLS",                             "RFC 3207 §4"),
    row(Verb::Auth,     "AUTH",     GREETED,     Secured, Last,   "AUTH mechanism [initial-response]",    "RFC 4954 §4"),
    row(Verb::Etrn,     "ETRN",     GREETED,     Secured, Inside, "ETRN [@|#]name",                       "RFC 1985 §5"),
    row(Verb::Lhlo,     "LHLO",     States::ANY, Either,  Last,   "LHLO domain",                          "RFC 2033 §4.1"),
    row(Verb::Xclient,  "XCLIENT",  EARLY,       Secured, Last,   "XCLIENT attribute=value...",           "Postfix XCLIENT"),
];

#[rustfmt::skip]
const fn row(
    verb: Verb, name: &'static str, legal: States, channel: Channel, group: Group, syntax: &'static str, rfc: &'static str,
) -> Row {
    Row { verb, name, legal, channel, group, syntax, rfc }
}

/// The row of a command by the word that the client wrote, in any case.
#[must_use]
pub fn find(word: &str) -> Option<&'static Row> {
    COMMANDS.iter().find(|row| row.name.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once() {
        for (i, row) in COMMANDS.iter().enumerate() {
            assert_eq!(COMMANDS.iter().position(|r| r.verb == row.verb), Some(i), "{}", row.name);
            assert_eq!(find(&row.name.to_lowercase()).map(|r| r.verb), Some(row.verb));
            assert!(row.syntax.starts_with(row.name));
        }
        assert!(find("DAT").is_none() && find("").is_none());
    }

    #[test]
    fn ends_of_groups() {
        // RFC 2920 §3.1 names EHLO, DATA, VRFY, EXPN, TURN, QUIT and NOOP; HELO, LHLO, AUTH and STARTTLS came by their own
        // documents, XCLIENT resets the session like them.
        let last: Vec<_> = COMMANDS.iter().filter(|r| r.group == Last).map(|r| r.name).collect();
        let expected =
            ["EHLO", "HELO", "DATA", "VRFY", "EXPN", "NOOP", "QUIT", "STARTTLS", "AUTH", "LHLO", "XCLIENT"];
        assert_eq!(last, expected);
    }

    #[test]
    fn order_of_a_transaction() {
        let legal = |state| {
            let names =
                COMMANDS.iter().filter(|r| r.legal.contains(state) && r.legal != States::ANY).map(|r| r.name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(legal(Connected), ["XCLIENT"]);
        assert_eq!(legal(Greeted), ["MAIL", "STARTTLS", "AUTH", "ETRN", "XCLIENT"]);
        assert_eq!(legal(Sender), ["RCPT"]);
        assert_eq!(legal(Recipients), ["RCPT", "DATA", "BDAT"]);
        assert_eq!(legal(Chunks), ["BDAT"]);
    }

    #[test]
    fn without_required_tls() {
        // RFC 3207 §4: NOOP, EHLO, STARTTLS and QUIT; and the greetings of the other dialects.
        let open: Vec<_> = COMMANDS.iter().filter(|r| r.channel != Secured).map(|r| r.name).collect();
        assert_eq!(open, ["EHLO", "HELO", "NOOP", "QUIT", "STARTTLS", "LHLO"]);
    }
}
