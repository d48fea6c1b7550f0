//! Which mailboxes a command or a notification is about: `filter-mailboxes` of RFC 5465 §6, with what RFC 7377 §2.2 adds.
//!
//! What must hold: a choice is a question put to one visible mailbox ([`Choice::includes`]), so that it can be asked of
//! all mailboxes now and of a new one later; a mailbox that the client may not see is in no choice.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::Fail;
use super::place::Visible;
use super::session::{Session, State};
use super::wire::bad::Bad;
use super::wire::name::MailboxName;
use super::wire::parser::Parser;
use crate::mail::{AccountId, MailboxId};

/// Names in one choice. A client that wants more of them means `personal` or a subtree.
const NAMES_MAX: usize = 1000;

/// Choices side by side in one command.
const CHOICES_MAX: usize = 100;

/// `filter-mailboxes`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The mailbox that is selected, whichever that is.
    Selected,
    /// The same; of NOTIFY, which then holds back what could change sequence numbers.
    SelectedDelayed,
    /// Those to which mail is delivered.
    Inboxes,
    /// All of the client's own.
    Personal,
    /// Those subscribed to.
    Subscribed,
    /// These and all below them.
    Subtree(BTreeSet<MailboxName>),
    /// These and those directly below them.
    SubtreeOne(BTreeSet<MailboxName>),
    /// These.
    Mailboxes(BTreeSet<MailboxName>),
}

impl Choice {
    /// Reads one.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        let at = parser.at();
        Ok(match parser.atom()?.to_ascii_uppercase().as_slice() {
            b"SELECTED" => Choice::Selected,
            b"SELECTED-DELAYED" => Choice::SelectedDelayed,
            b"INBOXES" => Choice::Inboxes,
            b"PERSONAL" => Choice::Personal,
            b"SUBSCRIBED" => Choice::Subscribed,
            b"SUBTREE" => Choice::Subtree(names(parser)?),
            b"SUBTREE-ONE" => Choice::SubtreeOne(names(parser)?),
            b"MAILBOXES" => Choice::Mailboxes(names(parser)?),
            _ => return Err(Bad::new("unknown choice of mailboxes", at)),
        })
    }

    /// Reads `filter-mailboxes *(SP filter-mailboxes)`, up to what is none.
    pub fn parse_many(parser: &mut Parser<'_>) -> Result<Vec<Self>, Bad> {
        let mut choices = vec![Choice::parse(parser)?];
        while parser.at_another_word() {
            if choices.len() == CHOICES_MAX {
                return Err(parser.bad("too many choices of mailboxes"));
            }
            parser.space()?;
            choices.push(Choice::parse(parser)?);
        }
        Ok(choices)
    }

    /// Whether a mailbox is chosen. `selected` is the one that the client has selected.
    pub fn includes(&self, visible: &Visible, selected: Option<(AccountId, MailboxId)>) -> bool {
        let name = &visible.name;
        match self {
            Choice::Selected | Choice::SelectedDelayed => selected == Some(visible.key()),
            Choice::Inboxes => visible.inbox,
            Choice::Personal => visible.personal,
            Choice::Subscribed => visible.subscribed,
            Choice::Mailboxes(names) => names.contains(name),
            Choice::SubtreeOne(names) => {
                names.contains(name) || parent(name).is_some_and(|parent| names.contains(&parent))
            }
            Choice::Subtree(names) => names.contains(name) || is_below(name, names),
        }
    }
}

fn parent(name: &MailboxName) -> Option<MailboxName> {
    name.ancestors().next().and_then(|parent| MailboxName::new(parent).ok())
}

fn is_below(name: &MailboxName, names: &BTreeSet<MailboxName>) -> bool {
    name.ancestors().any(|above| MailboxName::new(above).is_ok_and(|above| names.contains(&above)))
}

/// `one-or-more-mailbox`, and the space before it.
fn names(parser: &mut Parser<'_>) -> Result<BTreeSet<MailboxName>, Bad> {
    parser.space()?;
    if parser.peek() != Some(b'(') {
        return Ok(BTreeSet::from([parser.mailbox()?]));
    }
    let at = parser.at();
    let names: BTreeSet<MailboxName> = parser.list_of(Parser::mailbox)?.into_iter().collect();
    if names.is_empty() || names.len() > NAMES_MAX {
        return Err(Bad::new("expected one or more mailboxes", at));
    }
    Ok(names)
}

impl Session {
    /// The mailboxes chosen, each once, in the order of their names. What is not there, or may not be seen, is passed
    /// over (RFC 7377 §2.2, RFC 5465 §6).
    pub(super) async fn chosen(&self, choices: &[Choice]) -> Result<Vec<Visible>, Fail> {
        let selected = match &self.state {
            State::Selected(_, selected) => Some((selected.account, selected.mailbox)),
            _ => None,
        };
        let visible = self.visible().await?;
        let chosen = visible.into_iter().filter(|one| choices.iter().any(|c| c.includes(one, selected)));
        let by_name: BTreeMap<MailboxName, Visible> = chosen.map(|one| (one.name.clone(), one)).collect();
        Ok(by_name.into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::place::Place;
    use crate::imap::wire::parser::tests::{refused, taken};
    use crate::mail::Rights;
    use crate::store::mailbox::Mailbox;

    fn set(names: &[&str]) -> BTreeSet<MailboxName> {
        names.iter().map(|name| MailboxName::new(name).unwrap()).collect()
    }

    #[test]
    fn grammar() {
        let many = format!("mailboxes ({}a)", "a ".repeat(1000));
        for text in ["", "all", "subtree", "subtree ()", "mailboxes", "mailboxes (a", "mailboxes a b", &many]
        {
            refused(text, Choice::parse);
        }
        for (text, choice) in [
            ("selected", Choice::Selected),
            ("Selected-Delayed", Choice::SelectedDelayed),
            ("INBOXES", Choice::Inboxes),
            ("personal", Choice::Personal),
            ("subscribed", Choice::Subscribed),
            ("subtree a", Choice::Subtree(set(&["a"]))),
            ("subtree-one (a \"b c\" a)", Choice::SubtreeOne(set(&["a", "b c"]))),
            ("mailboxes {5}\r\ninbox", Choice::Mailboxes(set(&["INBOX"]))),
        ] {
            assert_eq!(taken(text, Choice::parse), choice, "{text}");
        }
        assert_eq!(
            taken("mailboxes \"folder1\" subtree \"folder2\" personal", Choice::parse_many),
            [Choice::Mailboxes(set(&["folder1"])), Choice::Subtree(set(&["folder2"])), Choice::Personal]
        );
        assert_eq!(
            refused(format!("personal{}", " personal".repeat(CHOICES_MAX)), Choice::parse_many).what,
            "too many choices of mailboxes"
        );
    }

    fn visible(id: i64, name: &str) -> Visible {
        let mailbox = Mailbox {
            id: MailboxId(id),
            uid_validity: 1,
            uid_next: 1,
            recent_uid: 1,
            highest_modseq: 1,
            special_use: None,
        };
        Visible {
            name: MailboxName::new(name).unwrap(),
            place: Place { account: AccountId(1), mailbox, rights: Rights::ALL },
            subscribed: name.starts_with("a/"),
            personal: !name.starts_with("other"),
            inbox: name == "INBOX",
        }
    }

    #[test]
    fn what_is_chosen() {
        let names = ["INBOX", "a", "a/b", "a/b/c", "ab", "other/a"];
        let chosen = |text: &str| {
            let choices = taken(text, Choice::parse_many);
            let is_chosen = |&(at, _): &(usize, &&str)| {
                let selected = Some((AccountId(1), MailboxId(3)));
                choices.iter().any(|choice| choice.includes(&visible(at as i64, names[at]), selected))
            };
            names.iter().enumerate().filter(is_chosen).map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(chosen("selected"), "a/b/c");
        assert_eq!(chosen("inboxes"), "INBOX");
        assert_eq!(chosen("personal"), "INBOX a a/b a/b/c ab");
        assert_eq!(chosen("subscribed"), "a/b a/b/c");
        assert_eq!(chosen("subtree a"), "a a/b a/b/c");
        assert_eq!(chosen("subtree-one a"), "a a/b");
        assert_eq!(chosen("subtree-one (a a/b)"), "a a/b a/b/c");
        assert_eq!(chosen("mailboxes (a missing inbox)"), "INBOX a");
        assert_eq!(chosen("mailboxes ab selected"), "a/b/c ab");
    }
}
