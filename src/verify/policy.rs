//! From what was found to what becomes of the message: `control.authentication_policy`.
//!
//! The strongest action of all findings counts. A temporary error never refuses mail for good, whatever the table says.

use crate::control::config::{AuthenticationAction as Action, AuthenticationPolicy};
use crate::smtp::Reply;

/// One method and its result, in the words of the table.
pub type Outcome = (&'static str, &'static str);

/// The strongest action that the table asks for, and the outcome that asks for it.
pub fn strongest(table: &[AuthenticationPolicy], outcomes: &[Outcome]) -> (Action, Option<Outcome>) {
    let mut found = (Action::Accept, None);
    for outcome in outcomes {
        let row = table.iter().find(|row| row.method == outcome.0 && row.result == outcome.1);
        if let Some(action) = row.map(|row| row.action).filter(|action| *action > found.0) {
            found = (action, Some(*outcome));
        }
    }
    found
}

/// How a message is refused for an outcome (RFC 7372, RFC 8617 §10.2).
pub fn refusal((method, result): Outcome, domain: &str) -> Reply {
    let (detail, what) = match method {
        "dkim" => (20, "it has no valid DKIM signature".to_owned()),
        "spf" | "helo" if result == "permerror" => {
            (24, "the SPF record of the sender's domain cannot be used".to_owned())
        }
        "spf" => (23, "its sender's domain does not permit your server to send for it (SPF)".to_owned()),
        "helo" => (23, "your server's name does not permit its address (SPF)".to_owned()),
        "iprev" => (25, "your server has no reverse DNS name that leads back to it".to_owned()),
        "arc" => (29, "its ARC chain is broken".to_owned()),
        _ => (26, format!("its From is not authenticated, and {domain} asks to refuse such mail (DMARC)")),
    };
    if result == "temperror" {
        return Reply::new(451, (4, 7, detail), "The message could not be checked for now, try again later");
    }
    Reply::new(550, (5, 7, detail), format!("The message is refused: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_counts() {
        let row = |method: &str, result: &str, action| AuthenticationPolicy {
            method: method.to_owned(),
            result: result.to_owned(),
            action,
        };
        let table = [
            row("spf", "fail", Action::Mark),
            row("dmarc", "fail-reject", Action::Reject),
            row("arc", "fail", Action::Junk),
        ];
        let found = |outcomes: &[Outcome]| strongest(&table, outcomes).0;
        assert_eq!(found(&[("spf", "pass"), ("helo", "fail")]), Action::Accept);
        assert_eq!(found(&[("spf", "fail")]), Action::Mark);
        assert_eq!(found(&[("dmarc", "fail-reject"), ("arc", "fail"), ("spf", "fail")]), Action::Reject);
    }

    #[test]
    fn a_temporary_error_is_never_final() {
        for method in ["spf", "helo", "dkim", "dmarc", "arc", "iprev"] {
            assert_eq!(refusal((method, "temperror"), "a.test").code(), 451);
            assert_eq!(refusal((method, "fail"), "a.test").code(), 550);
        }
    }
}
