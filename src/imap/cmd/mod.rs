//! One file per command: its type, what reads it, and the test of its grammar.
//!
//! [`parse`] is the way in: a unit becomes a [`Request`] or a refusal that carries its answer. Legality is decided
//! by the table before the arguments are looked at, so that nobody reaches SEARCH's parser without logging in.

pub mod acl;
pub mod append;
pub mod authenticate;
pub mod cancel_update;
pub mod capability;
pub mod compress;
pub mod copy;
pub mod create;
pub mod delete;
pub mod enable;
pub mod esearch;
pub mod expunge;
pub mod fetch;
pub mod genurlauth;
pub mod get_metadata;
pub mod id;
pub mod language;
pub mod list;
pub mod login;
pub mod lsub;
pub mod notify;
pub mod quota;
pub mod relocate;
pub mod rename;
pub mod resetkey;
pub mod rights;
pub mod search;
pub mod select;
pub mod set_metadata;
pub mod sort;
pub mod status;
pub mod store;
pub mod subscribe;
pub mod thread;
pub mod unauthenticate;
pub mod urlfetch;

use super::table::{Row, States, find};
use super::wire::bad::{Bad, Rejected};
use super::wire::name::NameCoding;
use super::wire::parser::{Charsets, Parser};
use super::wire::unit::{Tag, Unit};

/// A command with its arguments. SELECT and EXAMINE, and a command and its UID form, are told apart inside.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// RFC 3501 §6.1.1
    Capability,
    /// RFC 3501 §6.1.2
    Noop,
    /// RFC 3501 §6.1.3
    Logout,
    /// RFC 3501 §6.2.1
    StartTls,
    /// RFC 3501 §6.2.2
    Authenticate(authenticate::Authenticate),
    /// RFC 3501 §6.2.3
    Login(login::Login),
    /// RFC 3501 §6.3.1, §6.3.2
    Select(select::Select),
    /// RFC 3501 §6.3.3
    Create(create::Create),
    /// RFC 3501 §6.3.4
    Delete(delete::Delete),
    /// RFC 3501 §6.3.5
    Rename(rename::Rename),
    /// RFC 3501 §6.3.6
    Subscribe(subscribe::Subscribe),
    /// RFC 3501 §6.3.7
    Unsubscribe(subscribe::Unsubscribe),
    /// RFC 5258
    List(list::List),
    /// RFC 3501 §6.3.9
    Lsub(lsub::Lsub),
    /// RFC 3501 §6.3.10
    Status(status::Status),
    /// RFC 3501 §6.3.11
    Append(append::Append),
    /// RFC 3501 §6.4.1
    Check,
    /// RFC 3501 §6.4.2
    Close,
    /// RFC 3501 §6.4.3
    Expunge(expunge::Expunge),
    /// RFC 3501 §6.4.4
    Search(search::Search),
    /// RFC 3501 §6.4.5
    Fetch(fetch::Fetch),
    /// RFC 3501 §6.4.6
    Store(store::Store),
    /// RFC 3501 §6.4.7
    Copy(copy::Copy),
    /// RFC 2177
    Idle,
    /// RFC 2342
    Namespace,
    /// RFC 2971
    Id(id::Id),
    /// RFC 3691
    Unselect,
    /// RFC 4314 §3.1
    SetAcl(acl::SetAcl),
    /// RFC 4314 §3.2
    DeleteAcl(acl::DeleteAcl),
    /// RFC 4314 §3.3
    GetAcl(acl::GetAcl),
    /// RFC 4314 §3.4
    ListRights(rights::ListRights),
    /// RFC 4314 §3.5
    MyRights(rights::MyRights),
    /// RFC 5161
    Enable(enable::Enable),
    /// RFC 5464 §4.2
    GetMetadata(get_metadata::GetMetadata),
    /// RFC 5464 §4.3
    SetMetadata(set_metadata::SetMetadata),
    /// RFC 6851
    Move(relocate::Move),
    /// RFC 4978
    Compress(compress::Compress),
    /// RFC 5255
    Language(language::Speak),
    /// RFC 8437
    Unauthenticate,
    /// RFC 9208
    GetQuota(quota::GetQuota),
    /// RFC 9208
    GetQuotaRoot(quota::GetQuotaRoot),
    /// RFC 9208
    SetQuota(quota::SetQuota),
    /// RFC 5256 §3
    Sort(sort::Sort),
    /// RFC 5256 §3
    Thread(thread::Thread),
    /// RFC 5267 §4.3.5
    CancelUpdate(cancel_update::CancelUpdate),
    /// RFC 5465
    Notify(notify::Notify),
    /// RFC 7377
    Esearch(esearch::Esearch),
    /// RFC 8508
    Replace(append::Replace),
    /// RFC 4467 §7
    GenUrlAuth(genurlauth::GenUrlAuth),
    /// RFC 4467 §7
    UrlFetch(urlfetch::UrlFetch),
    /// RFC 4467 §7
    ResetKey(resetkey::ResetKey),
}

impl Command {
    /// Whether sequence numbers are among the arguments of a form that otherwise has UIDs.
    pub fn names_sequence_numbers(&self) -> bool {
        match self {
            Command::Search(search::Search { key, .. })
            | Command::Sort(sort::Sort { key, .. })
            | Command::Thread(thread::Thread { key, .. })
            | Command::Esearch(esearch::Esearch { key, .. }) => key.names_sequence_numbers(),
            Command::Select(select) => select.resync.as_ref().is_some_and(|resync| resync.matched.is_some()),
            _ => false,
        }
    }
}

/// A command that may run.
#[derive(Debug)]
pub struct Request {
    /// What its answer begins with.
    pub tag: Tag,
    /// What the table says of it.
    pub row: &'static Row,
    /// The command.
    pub command: Command,
}

/// What a command's meaning depends on besides its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Where the connection is: one state.
    pub state: States,
    /// How it writes mailbox names.
    pub coding: NameCoding,
    /// Which charsets it may name.
    pub charsets: Charsets,
}

/// Reads a unit: a complete command, or APPEND and REPLACE up to their first literal.
pub fn parse(unit: &Unit, context: Context) -> Result<Request, Rejected> {
    let mut parser = Parser::new(unit, context.coding).with_charsets(context.charsets);
    let tag = parser.tag().map_err(|bad| Rejected { tag: unit.leading_tag(), bad })?;
    match parse_command(&mut parser, context.state) {
        Ok((row, command)) => Ok(Request { tag, row, command }),
        Err(bad) => Err(Rejected { tag: Some(tag), bad }),
    }
}

fn parse_command(parser: &mut Parser<'_>, state: States) -> Result<(&'static Row, Command), Bad> {
    let at = parser.at();
    let uid = parser.skip_word("UID");
    if uid {
        parser.space()?;
    }
    let row = find(parser.atom()?, uid).ok_or(Bad::new("unknown command", at))?;
    if !row.states.contains(state) {
        return Err(Bad::new("command is not legal in this state", at));
    }
    let command = (row.parse)(parser)?;
    parser.finish()?;
    Ok((row, command))
}

#[cfg(test)]
pub(in crate::imap) mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::imap::table::COMMANDS;
    use crate::imap::wire::framer::{Frame, Framer, Limits};
    use crate::imap::wire::parser::tests::unit;

    /// The command in `input`, which is legal somewhere.
    pub(in crate::imap) fn command(input: impl AsRef<[u8]>) -> Command {
        let shown = input.as_ref().escape_ascii().to_string();
        read(input).unwrap_or_else(|bad| panic!("{shown}: {bad}"))
    }

    /// Why `input` is refused.
    pub(in crate::imap) fn refusal(input: impl AsRef<[u8]>) -> Bad {
        let shown = input.as_ref().escape_ascii().to_string();
        read(input).expect_err(&shown)
    }

    fn read(input: impl AsRef<[u8]>) -> Result<Command, Bad> {
        let line = [b"t ", input.as_ref()].concat();
        let unit = unit(line);
        let illegal = "command is not legal in this state";
        let mut result = parse(&unit, at(States::SELECTED));
        if matches!(&result, Err(Rejected { bad, .. }) if bad.what == illegal) {
            result = parse(&unit, at(States::NOT_AUTHENTICATED));
        }
        result.map(|request| request.command).map_err(|rejected| rejected.bad)
    }

    fn at(state: States) -> Context {
        Context { state, coding: NameCoding::ModifiedUtf7, charsets: Charsets::Any }
    }

    #[test]
    fn refusals_carry_the_tag() {
        for (input, tag, what) in [
            ("", None, "expected a tag"),
            ("a", Some("a"), "expected a space"),
            ("a ", Some("a"), "expected an atom"),
            ("* NOOP", None, "expected a tag"),
            (" NOOP", None, "expected a tag"),
            ("a FOO", Some("a"), "unknown command"),
            ("a  NOOP", Some("a"), "expected an atom"),
            ("a NOOP ", Some("a"), "expected the end of the command"),
            ("a UID", Some("a"), "expected a space"),
            ("a UID NOOP", Some("a"), "unknown command"),
            ("a FETCH", Some("a"), "command is not legal in this state"),
            ("a UID FETCH 1 FLAGS", Some("a"), "command is not legal in this state"),
            ("a NOOP {1}\r\nx", Some("a"), "expected the end of the command"),
        ] {
            let rejected = parse(&unit(input), at(States::NOT_AUTHENTICATED)).unwrap_err();
            assert_eq!((rejected.tag.as_ref().map(Tag::as_str), rejected.bad.what), (tag, what), "{input:?}");
        }
    }

    #[test]
    fn commands_without_arguments() {
        for (input, expected) in [
            ("CAPABILITY", Command::Capability),
            ("noop", Command::Noop),
            ("LOGOUT", Command::Logout),
            ("STARTTLS", Command::StartTls),
            ("CHECK", Command::Check),
            ("CLOSE", Command::Close),
            ("UNSELECT", Command::Unselect),
            ("NAMESPACE", Command::Namespace),
            ("Idle", Command::Idle),
            ("UNAUTHENTICATE", Command::Unauthenticate),
        ] {
            assert_eq!(command(input), expected);
            assert_eq!(refusal(format!("{input} x")).what, "expected the end of the command");
        }
    }

    #[test]
    fn the_row_comes_with_the_request() {
        let request = parse(&unit("a1 uid fetch 1:* FLAGS"), at(States::SELECTED)).unwrap();
        assert_eq!((request.tag.as_str(), request.row.name), ("a1", "UID FETCH"));
    }

    /// Words of the language in any order reach further than random bytes do.
    fn babble() -> impl Strategy<Value = Vec<u8>> {
        let words = [
            "(",
            ")",
            " ",
            "\"",
            "\\",
            "[",
            "]",
            "<",
            ">",
            "1",
            "*",
            ":",
            "0",
            "INBOX",
            "&AOk-",
            "NIL",
            "NOT",
            "OR",
            "FLAGS",
            "BODY[",
            "BODY.PEEK[",
            "HEADER.FIELDS",
            "RETURN",
            "CHARSET",
            "UTF-8",
            "STATUS",
            "SUBJECT",
            "{2+}\r\nab",
            "~{2+}\r\na\0",
            "1-Jan-2020",
            "\\Seen",
            "MODSEQ",
            "SINCE",
            "UNCHANGEDSINCE",
            "{3}\r\n",
            "é",
            "USE",
            "CATENATE (",
            "URL ",
            "TEXT ",
            "UTF8 (",
            "BINARY[",
            "PARTIAL -1:-2",
            "=",
            "FUZZY",
            "DATE",
            "REFS",
            "IN",
            "personal",
            "$",
            "PARTIAL 1:2",
        ];
        let name = proptest::sample::select(COMMANDS.iter().map(|row| row.name).collect::<Vec<_>>());
        let word = proptest::sample::select(words.to_vec());
        (name, proptest::collection::vec(word, 0..20)).prop_map(|(name, words)| {
            let spaced = words.iter().flat_map(|word| [word, ""]).collect::<Vec<_>>().concat();
            format!("a {name} {spaced}\r\n").into_bytes()
        })
    }

    fn feed(input: &[u8]) {
        let mut framer = Framer::new(Limits::default());
        let mut buffer = BytesMut::from(input);
        loop {
            match framer.next(&mut buffer) {
                Frame::NeedMore => return,
                Frame::Command(unit) | Frame::Message(unit) | Frame::Tail(unit) => {
                    for state in [States::SELECTED, States::NOT_AUTHENTICATED] {
                        for coding in [NameCoding::ModifiedUtf7, NameCoding::Utf8] {
                            if let Err(Rejected { bad, .. }) =
                                parse(&unit, Context { state, coding, charsets: Charsets::None })
                            {
                                assert!(bad.at <= unit.len());
                            }
                        }
                    }
                    let mut parser = Parser::new(&unit, NameCoding::default());
                    let mut within = append::grammar::Within::Part;
                    if let Err(bad) =
                        append::grammar::steps(&mut parser, &mut within, append::grammar::Takes::Several)
                    {
                        assert!(bad.at <= unit.len());
                    }
                    framer.stream();
                }
                _ => {}
            }
        }
    }

    proptest! {
        #[test]
        fn random_bytes_do_not_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            feed(&input);
        }

        #[test]
        fn babble_does_not_panic(input in babble()) {
            feed(&input);
        }
    }
}
