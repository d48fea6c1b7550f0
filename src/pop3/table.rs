//! Every command once: the states it is legal in, what follows its name, and where it is specified.

use Takes::{Nothing, Rest, Words};

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the commands' own")]
pub enum Verb {
    Apop,
    Auth,
    Capa,
    Dele,
    Lang,
    List,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
}

/// The states of a session (RFC 1939 §3); UPDATE is over before the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has logged in yet.
    Authorization,
    /// Somebody has.
    Transaction,
}

/// When a command is legal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Legal {
    /// Always.
    Both,
    /// In one state.
    In(Phase),
}

/// What follows the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// So many words, at least and at most, in printable ASCII.
    Words(usize, usize),
    /// Everything up to the end of the line; the octets above 127, too.
    Rest,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// The command.
    pub verb: Verb,
    /// Its name.
    pub name: &'static str,
    /// When it is legal.
    pub legal: Legal,
    /// What follows the name.
    pub takes: Takes,
    /// How it is written, for people.
    pub usage: &'static str,
    /// Where it is specified.
    pub source: &'static str,
}

const BOTH: Legal = Legal::Both;
const AUTHORIZATION: Legal = Legal::In(Phase::Authorization);
const TRANSACTION: Legal = Legal::In(Phase::Transaction);

const fn row(
    (verb, name): (Verb, &'static str),
    legal: Legal,
    takes: Takes,
    usage: &'static str,
    source: &'static str,
) -> Row {
    Row { verb, name, legal, takes, usage, source }
}

/// All commands.
pub const TABLE: [Row; 17] = [
    row((Verb::Capa, "CAPA"), BOTH, Nothing, "CAPA", "RFC 2449 §5"),
    row((Verb::Stls, "STLS"), AUTHORIZATION, Nothing, "STLS", "RFC 2595 §4"),
    row((Verb::Utf8, "UTF8"), AUTHORIZATION, Nothing, "UTF8", "RFC 6856 §2.1"),
    row((Verb::Lang, "LANG"), BOTH, Words(0, 1), "LANG [language]", "RFC 6856 §3"),
    row((Verb::User, "USER"), AUTHORIZATION, Rest, "USER name", "RFC 1939 §7"),
    row((Verb::Pass, "PASS"), AUTHORIZATION, Rest, "PASS password", "RFC 1939 §7"),
    row(
        (Verb::Auth, "AUTH"),
        AUTHORIZATION,
        Words(0, 2),
        "AUTH [mechanism [initial-response]]",
        "RFC 5034 §4",
    ),
    row((Verb::Apop, "APOP"), AUTHORIZATION, Words(2, 2), "APOP name digest", "RFC 1939 §7"),
    row((Verb::Stat, "STAT"), TRANSACTION, Nothing, "STAT", "RFC 1939 §5"),
    row((Verb::List, "LIST"), TRANSACTION, Words(0, 1), "LIST [message]", "RFC 1939 §5"),
    row((Verb::Uidl, "UIDL"), TRANSACTION, Words(0, 1), "UIDL [message]", "RFC 1939 §7"),
    row((Verb::Retr, "RETR"), TRANSACTION, Words(1, 1), "RETR message", "RFC 1939 §5"),
    row((Verb::Top, "TOP"), TRANSACTION, Words(2, 2), "TOP message lines", "RFC 1939 §7"),
    row((Verb::Dele, "DELE"), TRANSACTION, Words(1, 1), "DELE message", "RFC 1939 §5"),
    row((Verb::Rset, "RSET"), TRANSACTION, Nothing, "RSET", "RFC 1939 §5"),
    row((Verb::Noop, "NOOP"), TRANSACTION, Nothing, "NOOP", "RFC 1939 §5"),
    row((Verb::Quit, "QUIT"), BOTH, Nothing, "QUIT", "RFC 1939 §4, §6"),
];

/// The row of a command, by its name in any case.
pub fn find(name: &[u8]) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_names_in_any_case_and_nothing_else() {
        for name in ["", "XTND", "STATS", "STA", "UTF-8"] {
            assert!(find(name.as_bytes()).is_none(), "{name}");
        }
        for row in &TABLE {
            assert_eq!(find(row.name.to_lowercase().as_bytes()).map(|found| found.verb), Some(row.verb));
            assert!(row.usage.starts_with(row.name) && row.source.starts_with("RFC "), "{}", row.name);
        }
    }
}
