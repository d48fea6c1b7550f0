//! The commands, a file each: reading the arguments and carrying it out, side by side.

pub mod auth;
mod capa;
mod dele;
mod lang;
mod list;
mod quit;
mod retr;
mod stls;
mod top;
mod uidl;
mod user;

use super::session::{Session, State};
use super::table::{self, Legal, Phase, Row, Takes, Verb};
use super::wire::{self, Refusal};
use crate::net::out::Out;
use crate::net::talk::Next;

/// Carries out a command line.
pub async fn run(session: &mut Session, line: &[u8], out: &mut Out<'_>) -> Result<Next, Refusal> {
    let (name, rest) = wire::split(line);
    let row =
        table::find(name).ok_or_else(|| Refusal::plain("there is no such command; CAPA lists what is"))?;
    match (row.legal, session.phase()) {
        (Legal::In(Phase::Transaction), Phase::Authorization) => {
            return Err(Refusal::plain(format!("log in before {}", row.name)));
        }
        (Legal::In(Phase::Authorization), Phase::Transaction) => {
            return Err(Refusal::plain(format!("you are logged in: it is too late for {}", row.name)));
        }
        _ => {}
    }
    let words = words(row, rest.unwrap_or_default())?;
    let rest = rest.unwrap_or_default();
    let [first, second] = [words.first().copied(), words.get(1).copied()];
    let house = session.house.clone();
    match (row.verb, &mut session.state) {
        (Verb::Capa, _) => capa::run(session, out),
        (Verb::Lang, _) => lang::run(first, out)?,
        (Verb::Quit, state) => return quit::run(state, &house.store, out).await,
        (Verb::User, _) => user::user(session, rest, out)?,
        (Verb::Pass, _) => user::pass(session, rest, out).await?,
        (Verb::Auth, _) => return auth::run(session, first, second, out).await,
        (Verb::Stls, _) => return stls::run(session, out),
        // RFC 6856 §2.1. Messages go out as they are stored either way, so there is nothing to remember.
        (Verb::Utf8, _) => wire::ok(out, "UTF-8 it is"),
        (Verb::Apop, _) => {
            return Err(Refusal::plain("APOP is not offered: use AUTH, or USER and PASS"));
        }
        (Verb::Stat, State::Transaction(maildrop)) => {
            let (count, bytes) = maildrop.total();
            wire::ok(out, &format!("{count} {bytes}"));
        }
        (Verb::List, State::Transaction(maildrop)) => return list::run(maildrop, first, out).await,
        (Verb::Uidl, State::Transaction(maildrop)) => return uidl::run(maildrop, first, out).await,
        (Verb::Dele, State::Transaction(maildrop)) => dele::run(maildrop, first, out)?,
        (Verb::Rset, State::Transaction(maildrop)) => {
            maildrop.reset();
            let (count, bytes) = maildrop.total();
            wire::ok(out, &format!("the maildrop has {count} messages ({bytes} octets)"));
        }
        (Verb::Noop, State::Transaction(_)) => wire::ok(out, "still here"),
        (Verb::Retr, State::Transaction(_)) => return retr::run(session, first, out).await,
        (Verb::Top, State::Transaction(_)) => return top::run(session, first, second, out).await,
        (_, State::Authorization(_) | State::Authenticating(_)) => {
            return Err(Refusal::plain(format!("log in before {}", row.name)));
        }
    }
    Ok(Next::Continue)
}

/// The words behind a command's name, as many as it takes. Spaces at the end are forgiven: some clients send them.
fn words<'a>(row: &Row, rest: &'a [u8]) -> Result<Vec<&'a [u8]>, Refusal> {
    let (least, most) = match row.takes {
        // RFC 6856 §2.3 allows more than ASCII here; which octets, `user` says.
        Takes::Rest => return Ok(Vec::new()),
        Takes::Nothing => (0, 0),
        Takes::Words(least, most) => (least, most),
    };
    // RFC 1939 §3: printable ASCII, each word after one space.
    if !rest.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Refusal::plain("only printable ASCII may stand here"));
    }
    let rest = rest.trim_ascii_end();
    let mut words = Vec::new();
    if !rest.is_empty() {
        words.extend(rest.split(|byte| *byte == b' ').take(most + 1));
    }
    if words.len() < least || words.len() > most || words.iter().any(|word| word.is_empty()) {
        return Err(Refusal::plain(format!("write {}", row.usage)));
    }
    Ok(words)
}

/// The message number that the table has made sure of.
fn message(word: Option<&[u8]>) -> Result<u32, Refusal> {
    wire::number(word.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(line: &[u8]) -> Option<usize> {
        let (name, rest) = wire::split(line);
        words(table::find(name).unwrap(), rest.unwrap_or_default()).ok().map(|words| words.len())
    }

    #[test]
    fn refuses_words() {
        let lines: [&[u8]; 12] = [
            b"STAT 1",
            b"LIST 1 2",
            b"LIST  1",
            b"RETR",
            b"RETR ",
            b"RETR \x001",
            b"RETR 1\t",
            b"TOP 1",
            b"TOP 1  2",
            b"TOP 1 2 3",
            b"UIDL \xc3\xa9",
            b"AUTH PLAIN AA== x",
        ];
        for line in lines {
            assert_eq!(count(line), None, "{:?}", line.escape_ascii().to_string());
        }
    }

    #[test]
    fn takes_words() {
        let lines: [(&[u8], usize); 6] = [
            (b"STAT", 0),
            (b"STAT ", 0),
            (b"LIST", 0),
            (b"LIST 1 ", 1),
            (b"TOP 1 2", 2),
            (b"AUTH PLAIN =", 2),
        ];
        for (line, expected) in lines {
            assert_eq!(count(line), Some(expected), "{:?}", line.escape_ascii().to_string());
        }
    }
}
