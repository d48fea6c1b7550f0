//! Every command once: its states, what it may reveal, whether EXPUNGE may be sent while it runs, where it is
//! specified, and what reads it. Sorted by the chapters of RFC 3501 and then of its extensions.

use super::cmd::Command;
use super::cmd::acl::{DeleteAcl, GetAcl, SetAcl};
use super::cmd::append::{Append, Replace};
use super::cmd::authenticate::Authenticate;
use super::cmd::cancel_update::CancelUpdate;
use super::cmd::compress::Compress;
use super::cmd::copy::Copy;
use super::cmd::create::Create;
use super::cmd::delete::Delete;
use super::cmd::enable::Enable;
use super::cmd::esearch::Esearch;
use super::cmd::expunge::Expunge;
use super::cmd::fetch::Fetch;
use super::cmd::genurlauth::GenUrlAuth;
use super::cmd::get_metadata::GetMetadata;
use super::cmd::id::Id;
use super::cmd::language::Speak;
use super::cmd::list::List;
use super::cmd::login::Login;
use super::cmd::lsub::Lsub;
use super::cmd::notify::Notify;
use super::cmd::quota::{GetQuota, GetQuotaRoot, SetQuota};
use super::cmd::relocate::Move;
use super::cmd::rename::Rename;
use super::cmd::resetkey::ResetKey;
use super::cmd::rights::{ListRights, MyRights};
use super::cmd::search::Search;
use super::cmd::select::{Access, Select};
use super::cmd::set_metadata::SetMetadata;
use super::cmd::sort::Sort;
use super::cmd::status::Status;
use super::cmd::store::Store;
use super::cmd::subscribe::{Subscribe, Unsubscribe};
use super::cmd::thread::Thread;
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
/// whose answers carry sequence numbers; their UID forms are other commands. SORT and THREAD are searches.
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

impl Row {
    /// Whether this form of the command is about sequence numbers: there is another one for UIDs. EXPUNGE takes none, and
    /// its answer is VANISHED where there are to be none (RFC 9586 §3).
    pub fn by_sequence(&self) -> bool {
        self.name != "EXPUNGE" && find(self.name.as_bytes(), true).is_some()
    }
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
    row("SETACL",       AUTH,     Open,        Sent,     "RFC 4314 §3.1",    |p| SetAcl::parse(p).map(Command::SetAcl)),
    row("DELETEACL",    AUTH,     Open,        Sent,     "RFC 4314 §3.2",    |p| DeleteAcl::parse(p).map(Command::DeleteAcl)),
    row("GETACL",       AUTH,     Open,        Sent,     "RFC 4314 §3.3",    |p| GetAcl::parse(p).map(Command::GetAcl)),
    row("LISTRIGHTS",   AUTH,     Open,        Sent,     "RFC 4314 §3.4",    |p| ListRights::parse(p).map(Command::ListRights)),
    row("MYRIGHTS",     AUTH,     Open,        Sent,     "RFC 4314 §3.5",    |p| MyRights::parse(p).map(Command::MyRights)),
    row("ENABLE",       AUTH,     Open,        Sent,     "RFC 5161 §3.1",    |p| Enable::parse(p).map(Command::Enable)),
    row("GETMETADATA",  AUTH,     Open,        Sent,     "RFC 5464 §4.2",    |p| GetMetadata::parse(p).map(Command::GetMetadata)),
    row("SETMETADATA",  AUTH,     Open,        Sent,     "RFC 5464 §4.3",    |p| SetMetadata::parse(p).map(Command::SetMetadata)),
    row("MOVE",         SELECTED, Open,        Sent,     "RFC 6851 §3.1",    |p| Move::parse(p, Sequence).map(Command::Move)),
    row("UID MOVE",     SELECTED, Open,        Sent,     "RFC 6851 §3.2",    |p| Move::parse(p, Uid).map(Command::Move)),
    row("COMPRESS",     AUTH,     Open,        Sent,     "RFC 4978 §3",      |p| Compress::parse(p).map(Command::Compress)),
    row("LANGUAGE",     ANY,      Open,        Sent,     "RFC 5255 §3.2",    |p| Speak::parse(p).map(Command::Language)),
    row("UNAUTHENTICATE", AUTH,   Open,        Sent,     "RFC 8437 §3",      |_| Ok(Command::Unauthenticate)),
    row("GETQUOTA",     AUTH,     Open,        Sent,     "RFC 9208 §4.1.1",  |p| GetQuota::parse(p).map(Command::GetQuota)),
    row("GETQUOTAROOT", AUTH,     Open,        Sent,     "RFC 9208 §4.1.2",  |p| GetQuotaRoot::parse(p).map(Command::GetQuotaRoot)),
    row("SETQUOTA",     AUTH,     Open,        Sent,     "RFC 9208 §4.1.3",  |p| SetQuota::parse(p).map(Command::SetQuota)),
    row("SORT",         SELECTED, Open,        Held,     "RFC 5256 §3",      |p| Sort::parse(p, Sequence).map(Command::Sort)),
    row("UID SORT",     SELECTED, Open,        Sent,     "RFC 5256 §3",      |p| Sort::parse(p, Uid).map(Command::Sort)),
    row("THREAD",       SELECTED, Open,        Held,     "RFC 5256 §3",      |p| Thread::parse(p, Sequence).map(Command::Thread)),
    row("UID THREAD",   SELECTED, Open,        Sent,     "RFC 5256 §3",      |p| Thread::parse(p, Uid).map(Command::Thread)),
    row("CANCELUPDATE", SELECTED, Open,        Sent,     "RFC 5267 §4.3.5",  |p| CancelUpdate::parse(p).map(Command::CancelUpdate)),
    row("NOTIFY",       AUTH,     Open,        Sent,     "RFC 5465 §3.1",    |p| Notify::parse(p).map(Command::Notify)),
    row("ESEARCH",      AUTH,     Open,        Sent,     "RFC 7377 §2.1",    |p| Esearch::parse(p).map(Command::Esearch)),
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
        assert_eq!(held, ["SEARCH", "FETCH", "STORE", "SORT", "THREAD"]);
    }

    #[test]
    fn forms_by_sequence_number() {
        let sequence: Vec<_> = COMMANDS.iter().filter(|row| row.by_sequence()).map(|row| row.name).collect();
        assert_eq!(sequence, ["SEARCH", "FETCH", "STORE", "COPY", "MOVE", "SORT", "THREAD", "REPLACE"]);
    }

    #[test]
    fn what_is_open_before_login() {
        let open: Vec<_> =
            COMMANDS.iter().filter(|row| row.states.contains(NOT_AUTH)).map(|row| row.name).collect();
        assert_eq!(
            open,
            ["CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "AUTHENTICATE", "LOGIN", "ID", "LANGUAGE"]
        );
    }
}
