//! Numbers of things as people write them: `1 message`, `2 aliases`.

/// So many of a thing, which is named in the singular.
pub fn count(number: impl Into<i128>, thing: &str) -> String {
    let number = number.into();
    let ending = match number {
        1 => "",
        _ if thing.ends_with(['s', 'x']) => "es",
        _ => "s",
    };
    format!("{number} {thing}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_many() {
        for (number, thing, text) in [
            (0, "message", "0 messages"),
            (1, "message", "1 message"),
            (2, "message", "2 messages"),
            (1, "alias", "1 alias"),
            (0, "alias", "0 aliases"),
            (11, "mailbox", "11 mailboxes"),
            (-1, "change", "-1 changes"),
        ] {
            assert_eq!(count(number, thing), text);
        }
    }
}
