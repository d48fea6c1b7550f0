//! Every command once: its states, what it may reveal, whether EXPUNGE may be sent while it runs, where it is
//! specified, and what reads it. Sorted by the chapters of RFC 3501 and then of its extensions.

use super::cmd::Command;
use super::cmd::append::{Append, Replace};
use super::cmd::authenticate::Authenticate;
use super::cmd::copy::Copy;
use super::cmd::create::Create;
use super::cmd::delete::Delete;
use super::cmd::enable::Enable;
use super::cmd::expunge::Expunge;
use super::cmd::fetch::Fetch;
use super::cmd::genurlauth::GenUrlAuth;
use super::cmd::id::Id;
use super::cmd::list::List;
use super::cmd::login::Login;
use super::cmd::lsub::Lsub;
use super::cmd::relocate::Move;
use super::cmd::rename::Rename;
use super::cmd::resetkey::ResetKey;
use super::cmd::search::Search;
use super::cmd::select::{Access, Select};
use super::cmd::status::Status;
use super::cmd::store::Store;
use super::cmd::subscribe::{Subscribe, Unsubscribe};
use super::cmd::urlfetch::UrlFetch;
use super::wire::bad::Bad;
use super::wire::parser::Parser;
use super::wire::set::Numbering::{Sequence, Uid};

/// A set of the states of RFC 3501 §3; of one state, when it says where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct States(u8);

impl States {
    /// Before login.
    pub const NOT_AUTHENTICATED: States = States(1);
    /// Logged in, no mailbox selected.
    pub const AUTHENTICATED: States = States(2);
    /// Logged in, a mailbox selected.
    pub const SELECTED: States = States(4);

    /// Whether all of `states` belong to this set.
    pub fn contains(self, states: States) -> bool {
        self.0 & states.0 == states.0
    }
}

const ANY: States = States(1 | 2 | 4);
const NOT_AUTH: States = States::NOT_AUTHENTICATED;
const AUTH: States = States(2 | 4);
const SELECTED: States = States::SELECTED;

/// Whether a command reveals a password to whoever listens, so that it needs TLS or a setting that does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// Nothing to hide.
    Open,
    /// The password travels: `NO [PRIVACYREQUIRED]` without TLS (RFC 5530 §3), and LOGINDISABLED is announced.
    Password,
    /// It depends on the SASL mechanism.
    ByMechanism,
}

/// Whether untagged EXPUNGE may be sent while a command runs. RFC 9051 §7.5.1: not during FETCH, STORE and SEARCH,
/// whose answers carry sequence numbers; their UID forms are other commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expunges {
    /// Pending expunges are announced at its end.
    Sent,
    /// They are held back for the next command.
    Held,
}

use Expunges::{Held, Sent};
use Privacy::{ByMechanism, Open, Password};

/// What reads a command's arguments, from the space behind its name on.
type Parse = fn(&mut Parser<'_>) -> Result<Command, Bad>;

/// One command.
#[derive(Debug)]
pub struct Row {
    /// In capitals; a UID command with `UID ` in front.
    pub name: &'static str,
    /// Where it is legal.
    pub states: States,
    /// What it reveals.
    pub privacy: Privacy,
    /// What it may be followed by.
    pub expunges: Expunges,
    /// Where it is specified.
    pub rfc: &'static str,
    /// What reads it.
    pub parse: Parse,
}

const fn row(
    name: &'static str,
    states: States,
    privacy: Privacy,
    expunges: Expunges,
    rfc: &'static str,
    parse: Parse,
) -> Row {
    Row { name, states, privacy, expunges, rfc, parse }
}

/// All commands.
#[rustfmt::skip]
pub static COMMANDS: &[Row] = &[
    //  name            states    privacy      expunges  specified in         read by
    row("CAPABILITY",   ANY,      Open,        Sent,     "RFC 3501 §6.1.1",  |_| Ok(Command::Capability)),
    row("NOOP",         ANY,      Open,        Sent,     "RFC 3501 §6.1.2",  |_| Ok(Command::Noop)),
    row("LOGOUT",       ANY,      Open,        Sent,     "RFC 3501 §6.1.3",  |_| Ok(Command::Logout)),
    row("STARTTLS",     NOT_AUTH, Open,        Sent,     "RFC 3501 §6.2.1",  |_| Ok(Command::StartTls)),
    row("AUTHENTICATE", NOT_AUTH, ByMechanism, Sent,     "RFC 3501 §6.2.2",  |p| Authenticate::parse(p).map(Command::Authenticate)),
    row("LOGIN",        NOT_AUTH, Password,    Sent,     "RFC 3501 §6.2.3",  |p| Login::parse(p).map(Command::Login)),
    row("SELECT",       AUTH,     Open,        Sent,     "RFC 3501 §6.3.1",  |p| Select::parse(p, Access::ReadWrite).map(Command::Select)),
    row("EXAMINE",      AUTH,     Open,        Sent,     "RFC 3501 §6.3.2",  |p| Select::parse(p, Access::ReadOnly).map(Command::Select)),
    row("CREATE",       AUTH,     Open,        Sent,     "RFC 3501 §6.3.3",  |p| Create::parse(p).map(Command::Create)),
    row("DELETE",       AUTH,     Open,        Sent,     "RFC 3501 §6.3.4",  |p| Delete::parse(p).map(Command::Delete)),
    row("RENAME",       AUTH,     Open,        Sent,     "RFC 3501 §6.3.5",  |p| Rename::parse(p).map(Command::Rename)),
    row("SUBSCRIBE",    AUTH,     Open,        Sent,     "RFC 3501 §6.3.6",  |p| Subscribe::parse(p).map(Command::Subscribe)),
    row("UNSUBSCRIBE",  AUTH,     Open,        Sent,     "RFC 3501 §6.3.7",  |p| Unsubscribe::parse(p).map(Command::Unsubscribe)),
    row("LIST",         AUTH,     Open,        Sent,     "RFC 5258 §3",      |p| List::parse(p).map(Command::List)),
    row("LSUB",         AUTH,     Open,        Sent,     "RFC 3501 §6.3.9",  |p| Lsub::parse(p).map(Command::Lsub)),
    row("STATUS",       AUTH,     Open,        Sent,     "RFC 3501 §6.3.10", |p| Status::parse(p).map(Command::Status)),
    row("APPEND",       AUTH,     Open,        Sent,     "RFC 3501 §6.3.11", |p| Append::parse(p).map(Command::Append)),
    row("CHECK",        SELECTED, Open,        Sent,     "RFC 3501 §6.4.1",  |_| Ok(Command::Check)),
    row("CLOSE",        SELECTED, Open,        Sent,     "RFC 3501 §6.4.2",  |_| Ok(Command::Close)),
    row("EXPUNGE",      SELECTED, Open,        Sent,     "RFC 3501 §6.4.3",  |p| Expunge::parse(p, Sequence).map(Command::Expunge)),
    row("SEARCH",       SELECTED, Open,        Held,     "RFC 3501 §6.4.4",  |p| Search::parse(p, Sequence).map(Command::Search)),
    row("FETCH",        SELECTED, Open,        Held,     "RFC 3501 §6.4.5",  |p| Fetch::parse(p, Sequence).map(Command::Fetch)),
    row("STORE",        SELECTED, Open,        Held,     "RFC 3501 §6.4.6",  |p| Store::parse(p, Sequence).map(Command::Store)),
    row("COPY",         SELECTED, Open,        Sent,     "RFC 3501 §6.4.7",  |p| Copy::parse(p, Sequence).map(Command::Copy)),
    row("UID COPY",     SELECTED, Open,        Sent,     "RFC 3501 §6.4.8",  |p| Copy::parse(p, Uid).map(Command::Copy)),
    row("UID FETCH",    SELECTED, Open,        Sent,     "RFC 3501 §6.4.8",  |p| Fetch::parse(p, Uid).map(Command::Fetch)),
    row("UID SEARCH",   SELECTED, Open,        Sent,     "RFC 3501 §6.4.8",  |p| Search::parse(p, Uid).map(Command::Search)),
    row("UID STORE",    SELECTED, Open,        Sent,     "RFC 3501 §6.4.8",  |p| Store::parse(p, Uid).map(Command::Store)),
    row("IDLE",         AUTH,     Open,        Sent,     "RFC 2177 §3",      |_| Ok(Command::Idle)),
    row("NAMESPACE",    AUTH,     Open,        Sent,     "RFC 2342 §5",      |_| Ok(Command::Namespace)),
    row("ID",           ANY,      Open,        Sent,     "RFC 2971 §3.1",    |p| Id::parse(p).map(Command::Id)),
    row("UNSELECT",     SELECTED, Open,        Sent,     "RFC 3691 §2",      |_| Ok(Command::Unselect)),
    row("UID EXPUNGE",  SELECTED, Open,        Sent,     "RFC 4315 §2.1",    |p| Expunge::parse(p, Uid).map(Command::Expunge)),
    row("ENABLE",       AUTH,     Open,        Sent,     "RFC 5161 §3.1",    |p| Enable::parse(p).map(Command::Enable)),
    row("MOVE",         SELECTED, Open,        Sent,     "RFC 6851 §3.1",    |p| Move::parse(p, Sequence).map(Command::Move)),
    row("UID MOVE",     SELECTED, Open,        Sent,     "RFC 6851 §3.2",    |p| Move::parse(p, Uid).map(Command::Move)),
    row("REPLACE",      SELECTED, Open,        Sent,     "RFC 8508 §3.2",    |p| Replace::parse(p, Sequence).map(Command::Replace)),
    row("UID REPLACE",  SELECTED, Open,        Sent,     "RFC 8508 §3.3",    |p| Replace::parse(p, Uid).map(Command::Replace)),
    row("GENURLAUTH",   AUTH,     Open,        Sent,     "RFC 4467 §7",      |p| GenUrlAuth::parse(p).map(Command::GenUrlAuth)),
    row("URLFETCH",     AUTH,     Open,        Sent,     "RFC 4467 §7",      |p| UrlFetch::parse(p).map(Command::UrlFetch)),
    row("RESETKEY",     AUTH,     Open,        Sent,     "RFC 4467 §7",      |p| ResetKey::parse(p).map(Command::ResetKey)),
];

/// The row of a command named in any case; `uid` says whether UID stood in front.
pub fn find(name: &[u8], uid: bool) -> Option<&'static Row> {
    COMMANDS.iter().find(|row| {
        let plain = row.name.strip_prefix("UID ");
        plain.is_some() == uid && plain.unwrap_or(row.name).as_bytes().eq_ignore_ascii_case(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_once_and_found() {
        for (index, row) in COMMANDS.iter().enumerate() {
            assert_eq!(row.name, row.name.to_ascii_uppercase());
            assert!(COMMANDS[..index].iter().all(|before| before.name != row.name), "{} twice", row.name);
            let (uid, name) = row.name.strip_prefix("UID ").map_or((false, row.name), |name| (true, name));
            let found = find(name.to_ascii_lowercase().as_bytes(), uid).unwrap();
            assert!(std::ptr::eq(found, row));
        }
        assert!(find(b"LOGIN", true).is_none());
        assert!(find(b"UID FETCH", false).is_none());
        assert!(find(b"", false).is_none());
    }

    #[test]
    fn expunges_are_held_where_sequence_numbers_are_answered() {
        let held: Vec<_> = COMMANDS.iter().filter(|row| row.expunges == Held).map(|row| row.name).collect();
        assert_eq!(held, ["SEARCH", "FETCH", "STORE"]);
    }

    #[test]
    fn what_is_open_before_login() {
        let open: Vec<_> =
            COMMANDS.iter().filter(|row| row.states.contains(NOT_AUTH)).map(|row| row.name).collect();
        assert_eq!(open, ["CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "AUTHENTICATE", "LOGIN", "ID"]);
    }
}
