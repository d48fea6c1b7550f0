//! Asks a person: for a password, for consent. Without a terminal a password is one line of standard input.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;

use super::failure::{At, Failure, told};
use crate::sasl::{MAX_PASSWORD, Secret};

/// Whether a person sits at the keyboard.
pub fn at_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// A new password for `whom`: typed twice without echo, or one line of standard input when that is no terminal.
pub fn new_password(whom: &str) -> Result<Secret, Failure> {
    if !at_terminal() {
        return password_from_input();
    }
    let typed =
        |prompt: String| rpassword::prompt_password(prompt).at("read from", Path::new("the terminal"));
    let first = Secret::from(typed(format!("New password for {whom}: "))?);
    let second = Secret::from(typed("The same again: ".to_owned())?);
    if !first.same(&second) {
        return Err(told("these were two different passwords: nothing has been changed, try again"));
    }
    Ok(first)
}

/// The first line of standard input.
pub fn password_from_input() -> Result<Secret, Failure> {
    let mut line = Vec::new();
    let mut input = std::io::stdin().lock().take(MAX_PASSWORD as u64 + 3);
    input.read_until(b'\n', &mut line).at("read", Path::new("standard input"))?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.is_empty() {
        return Err(told("no password came on standard input: write one line with it"));
    }
    Ok(Secret::new(line))
}

/// Whether the person agrees. Without a terminal nobody can: then `--yes` has to be given.
pub fn consent(what_happens: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !at_terminal() {
        return Err(told(format!(
            "{what_happens}\nNothing has been changed. If that is what you want, say --yes"
        )));
    }
    eprint!("{what_happens}\nType yes to go on: ");
    std::io::stderr().flush().at("write to", Path::new("the terminal"))?;
    let mut answer = String::new();
    std::io::stdin().lock().take(100).read_line(&mut answer).at("read from", Path::new("the terminal"))?;
    if matches!(answer.trim(), "yes" | "y" | "YES" | "Yes") {
        return Ok(());
    }
    Err(told("nothing has been changed"))
}
