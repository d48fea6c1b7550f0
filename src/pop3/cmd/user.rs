//! USER and PASS (RFC 1939 §7), in UTF-8 if the client likes (RFC 6856 §2.3).

use crate::net::out::Out;
use crate::pop3::session::{Session, State};
use crate::pop3::wire::{self, Refusal};
use crate::sasl::{Secret, prepare_name};

/// Notes the name. Whether anybody has it is not told.
pub(super) fn user(session: &mut Session, rest: &[u8], out: &mut Out<'_>) -> Result<(), Refusal> {
    session.may_send_password()?;
    session.state = State::Authorization(Some(name(rest)?));
    wire::ok(out, "and the password?");
    Ok(())
}

fn name(rest: &[u8]) -> Result<String, Refusal> {
    let text = std::str::from_utf8(rest).map_err(|_| Refusal::plain("a name is UTF-8"))?;
    // RFC 6856 §2.3: SASLprep before it is compared; that refuses NUL and other control characters, too.
    prepare_name(text.trim_ascii()).ok_or_else(|| Refusal::plain("write USER name"))
}

/// Takes the password: everything behind the first space, spaces included (RFC 1939 §7).
pub(super) async fn pass(session: &mut Session, rest: &[u8], out: &mut Out<'_>) -> Result<(), Refusal> {
    session.may_send_password()?;
    let State::Authorization(Some(user)) = std::mem::replace(&mut session.state, State::Authorization(None))
    else {
        return Err(Refusal::plain("USER first"));
    };
    let password = password(rest)?;
    let login = session.house.directory.login(session.visitor(), &user, &password).await?;
    let text = session.enter(login).await?;
    wire::ok(out, &text);
    Ok(())
}

fn password(rest: &[u8]) -> Result<Secret, Refusal> {
    if rest.is_empty() || rest.iter().any(|byte| matches!(byte, 0 | b'\r')) {
        return Err(Refusal::plain("write PASS password"));
    }
    Ok(Secret::new(rest.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_and_passwords() {
        for rest in [b"".as_slice(), b" ", b"a\0b", b"a\rb", b"caf\xe9"] {
            assert!(name(rest).is_err(), "{:?}", rest.escape_ascii().to_string());
        }
        for rest in [b"".as_slice(), b"a\0b", b"a\rb"] {
            assert!(password(rest).is_err(), "{:?}", rest.escape_ascii().to_string());
        }
    }

    #[test]
    fn takes_utf8_and_spaces() {
        assert_eq!(name("alice@b\u{fc}ro.test ".as_bytes()).unwrap(), "alice@b\u{fc}ro.test");
        assert_eq!(password(b" two  words ").unwrap().expose(), b" two  words ");
        assert_eq!(password(b"caf\xe9").unwrap().expose(), b"caf\xe9");
    }
}
