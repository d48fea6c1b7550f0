//! Names of mailboxes that are not one's own (RFC 2342): `Other Users/bob@example.test/INBOX` of people, `Shared/team/INBOX`
//! of public accounts. Pure.
//!
//! What must hold: [`Foreign::parse`] gives back what [`name`] was made of. A level of a name cannot hold everything that
//! stands before an `@`: what it cannot is written as `=` and two hexadecimal digits.

use super::wire::name::SEPARATOR;
use crate::store::sharing::Owner;

/// In front of the mailboxes of other people.
pub const OTHER_USERS: &str = "Other Users/";
/// In front of the mailboxes of public accounts.
pub const SHARED: &str = "Shared/";

/// A mailbox in the namespaces of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign<'a> {
    /// Whose.
    pub owner: Owner,
    /// Its name with the owner.
    pub mailbox: &'a str,
}

impl<'a> Foreign<'a> {
    /// Takes a name apart; `None` when it is in no namespace of others, or names no mailbox there.
    pub fn parse(name: &'a str) -> Option<Self> {
        let (public, rest) = match name.strip_prefix(SHARED) {
            Some(rest) => (true, rest),
            None => (false, name.strip_prefix(OTHER_USERS)?),
        };
        let (label, mailbox) = rest.split_once(SEPARATOR)?;
        let (local, domain) = match label.rsplit_once('@') {
            Some((local, domain)) => (local, Some(domain.to_ascii_lowercase())),
            // Only public accounts of one's own domain go without theirs.
            None if public => (label, None),
            None => return None,
        };
        let owner = Owner { local_part: unescaped(local)?.to_lowercase(), domain, public };
        Some(Foreign { owner, mailbox })
    }
}

/// Whether a name is in a namespace of others, whether it names a mailbox there or not.
pub fn is_foreign(name: &str) -> bool {
    name.starts_with(SHARED) || name.starts_with(OTHER_USERS)
}

/// The whole name of a mailbox of this owner.
pub fn name(owner: &Owner, mailbox: &str) -> String {
    let prefix = if owner.public { SHARED } else { OTHER_USERS };
    let local = escaped(&owner.local_part);
    match &owner.domain {
        Some(domain) => format!("{prefix}{local}@{domain}{SEPARATOR}{mailbox}"),
        None => format!("{prefix}{local}{SEPARATOR}{mailbox}"),
    }
}

fn escaped(local: &str) -> String {
    let mut label = String::with_capacity(local.len());
    for c in local.chars() {
        match c {
            SEPARATOR => label.push_str("=2F"),
            // A client could not ask for it in LIST.
            '*' => label.push_str("=2A"),
            '%' => label.push_str("=25"),
            '=' => label.push_str("=3D"),
            c => label.push(c),
        }
    }
    label
}

fn unescaped(label: &str) -> Option<String> {
    let mut parts = label.split('=');
    let mut local = parts.next()?.to_owned();
    for part in parts {
        local.push(match part.get(..2)? {
            "2F" => SEPARATOR,
            "2A" => '*',
            "25" => '%',
            "3D" => '=',
            _ => return None,
        });
        local.push_str(part.get(2..)?);
    }
    Some(local)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner(local: &str, domain: Option<&str>, public: bool) -> Owner {
        Owner { local_part: local.into(), domain: domain.map(Into::into), public }
    }

    #[test]
    fn names() {
        for (written, local, domain, public, mailbox) in [
            ("Other Users/bob@example.test/INBOX", "bob", Some("example.test"), false, "INBOX"),
            ("Other Users/Bob@Example.test/a/b", "bob", Some("example.test"), false, "a/b"),
            ("Other Users/a=2Fb@example.test/x", "a/b", Some("example.test"), false, "x"),
            ("Shared/team/News", "team", None, true, "News"),
            ("Shared/team@example.org/News", "team", Some("example.org"), true, "News"),
        ] {
            let expected = Foreign { owner: owner(local, domain, public), mailbox };
            assert_eq!(Foreign::parse(written), Some(expected), "{written}");
        }
        for other in [
            "INBOX",
            "Shared",
            "Shared/team",
            "shared/team/News",
            "Other Users/bob/INBOX",
            "Other Users/bob@example.test",
            "Shared/a=2/b",
            "Shared/a=2f/b",
            "Sharedteam/b",
        ] {
            assert_eq!(Foreign::parse(other), None, "{other}");
        }
        assert!(is_foreign("Shared/x") && is_foreign("Other Users/x") && !is_foreign("Shared"));
    }

    proptest! {
        #[test]
        fn there_and_back(local in "[a-z=/*%.é]{1,20}", other in any::<bool>(), public in any::<bool>()) {
            let domain = (other || !public).then_some("example.test");
            let owner = owner(&local, domain, public);
            let written = name(&owner, "a/b");
            prop_assert_eq!(Foreign::parse(&written), Some(Foreign { owner, mailbox: "a/b" }));
        }

        #[test]
        fn anything_is_taken_apart(name in "(Shared/|Other Users/)?\\PC{0,40}") {
            if let Some(foreign) = Foreign::parse(&name) {
                prop_assert!(name.ends_with(foreign.mailbox));
            }
        }
    }
}
