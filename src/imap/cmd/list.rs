//! LIST (RFC 3501 §6.3.8), extended (RFC 5258), with special uses (RFC 6154), STATUS (RFC 5819), MYRIGHTS (RFC 8440) and
//! METADATA (RFC 9590).

use std::collections::HashMap;

use super::get_metadata::{self, Entries, Valued, entries_to_return};
use super::rights;
use super::status::{self, StatusItem, status_items};
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::listing::{Criteria, Listed, Node, Tree};
use crate::imap::namespace::{OTHER_USERS, SHARED};
use crate::imap::pattern::Pattern;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::name::NameCoding;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::mail::{AccountId, MailboxId, Rights};
use crate::net::out::Out;
use crate::store::mailbox::Mailbox;

/// Patterns in one command. Each is matched with every mailbox of the account.
const PATTERNS_MAX: usize = 32;

/// `LIST [(selection …)] reference patterns [RETURN (…)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Which mailboxes, besides the patterns; each option once.
    pub select: Vec<Selection>,
    /// What is asked for.
    pub asked: Asked,
    /// What to say of each; each option once.
    pub returns: Vec<Return>,
}

/// What LIST is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A basic LIST with an empty pattern: the separator, and the root of this reference.
    Separator(String),
    /// The mailboxes that match any of these. In the extended form an empty pattern matches nothing.
    Mailboxes(Vec<Pattern>),
}

/// `list-select-option`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Subscribed names instead of existing mailboxes.
    Subscribed,
    /// Remote mailboxes too; there are none.
    Remote,
    /// Also parents whose children are selected and which are not matched themselves.
    RecursiveMatch,
    /// Mailboxes with a special use.
    SpecialUse,
}

/// `return-option`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Return {
    /// `\Subscribed`
    Subscribed,
    /// `\HasChildren` or `\HasNoChildren`
    Children,
    /// The special uses.
    SpecialUse,
    /// A STATUS response after each LIST response.
    Status(Vec<StatusItem>),
    /// A MYRIGHTS response after each.
    MyRights,
    /// A METADATA response after each.
    Metadata(Entries),
}

impl List {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mut extended = parser.peek() == Some(b'(');
        let select = if extended { selection(parser)? } else { Vec::new() };
        let reference = parser.mailbox_prefix()?;
        parser.space()?;
        let many = parser.peek() == Some(b'(');
        let at = parser.at();
        let patterns =
            if many { parser.list_of(Parser::list_mailbox)? } else { vec![parser.list_mailbox()?] };
        if patterns.is_empty() || patterns.len() > PATTERNS_MAX {
            return Err(Bad::new("too few or too many patterns", at));
        }
        let mut returns = Vec::new();
        let has_returns = parser.skip(b' ');
        if has_returns {
            returns = return_options(parser)?;
        }
        extended |= many || has_returns;
        let asked = match patterns.as_slice() {
            [pattern] if pattern.is_empty() && !extended => Asked::Separator(reference),
            // RFC 5258 §3: there, an empty pattern is just a pattern that no mailbox matches.
            _ => Asked::Mailboxes(
                patterns.iter().filter(|p| !p.is_empty()).map(|p| Pattern::new(&reference, p)).collect(),
            ),
        };
        Ok(List { select, asked, returns })
    }
}

fn selection(parser: &mut Parser<'_>) -> Result<Vec<Selection>, Bad> {
    let at = parser.at();
    let mut select = Vec::new();
    for option in parser.list_of(selection_option)? {
        if !select.contains(&option) {
            select.push(option);
        }
    }
    // RFC 5258 §3.1: RECURSIVEMATCH needs a selection to be recursive about, and REMOTE is none.
    let selects = select.iter().any(|s| matches!(s, Selection::Subscribed | Selection::SpecialUse));
    if select.contains(&Selection::RecursiveMatch) && !selects {
        return Err(Bad::new("RECURSIVEMATCH needs another selection option", at));
    }
    parser.space()?;
    Ok(select)
}

fn selection_option(parser: &mut Parser<'_>) -> Result<Selection, Bad> {
    let at = parser.at();
    match parser.atom()?.to_ascii_uppercase().as_slice() {
        b"SUBSCRIBED" => Ok(Selection::Subscribed),
        b"REMOTE" => Ok(Selection::Remote),
        b"RECURSIVEMATCH" => Ok(Selection::RecursiveMatch),
        b"SPECIAL-USE" => Ok(Selection::SpecialUse),
        _ => Err(Bad::new("unknown LIST selection option", at)),
    }
}

fn return_options(parser: &mut Parser<'_>) -> Result<Vec<Return>, Bad> {
    if !parser.skip_word("RETURN") {
        return Err(parser.bad("expected RETURN"));
    }
    parser.space()?;
    let mut returns: Vec<Return> = Vec::new();
    for option in parser.list_of(return_option)? {
        // The last STATUS wins; of the others there is only one.
        returns.retain(|known| std::mem::discriminant(known) != std::mem::discriminant(&option));
        returns.push(option);
    }
    Ok(returns)
}

fn return_option(parser: &mut Parser<'_>) -> Result<Return, Bad> {
    let at = parser.at();
    match parser.atom()?.to_ascii_uppercase().as_slice() {
        b"SUBSCRIBED" => Ok(Return::Subscribed),
        b"CHILDREN" => Ok(Return::Children),
        b"SPECIAL-USE" => Ok(Return::SpecialUse),
        b"STATUS" => {
            parser.space()?;
            status_items(parser).map(Return::Status)
        }
        b"MYRIGHTS" => Ok(Return::MyRights),
        b"METADATA" => entries_to_return(parser).map(Return::Metadata),
        _ => Err(Bad::new("unknown LIST return option", at)),
    }
}

impl List {
    /// Shows the names.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let account = session.login()?.account;
        let patterns = match &self.asked {
            Asked::Separator(_) => {
                // No name here begins with the separator, so that all references have the same root, the empty one.
                Line::untagged(&mut out.buffer()).raw("LIST (\\Noselect) \"/\" \"\"");
                return Ok(Done::ok("done"));
            }
            Asked::Mailboxes(patterns) => patterns,
        };
        let entries = session.names().await?;
        let tree = Tree::new(&entries);
        let matched = matched(&tree, patterns).await;
        let criteria = self.criteria();
        let listed: Vec<Listed<'_, '_>> = tree.select(criteria, &matched).collect();
        let items = self.returns.iter().find_map(|asked| match asked {
            Return::Status(items) => Some(items.as_slice()),
            _ => None,
        });
        let answers = match items {
            Some(items) => {
                let shown =
                    listed.iter().filter(|listed| listed.meets && may(listed.node).contains(Rights::READ));
                status::gather(session, items, shown.filter_map(|listed| owned(listed.node, account))).await?
            }
            None => Default::default(),
        };
        let shape = Shape {
            coding: session.coding(),
            criteria,
            subscribed: criteria.subscribed || self.returns.contains(&Return::Subscribed),
        };
        let my_rights = self.returns.contains(&Return::MyRights);
        let mut annotations = self.annotations(session, account, &listed).await?;
        for listed in listed {
            shape.write(out, listed);
            // RFC 5819 §2: no STATUS for what cannot be selected; it follows the LIST response.
            let status = listed.node.mailbox.and_then(|mailbox| answers.get(&mailbox.id));
            if let (Some(items), Some(status)) = (items, status) {
                status::write(out, listed.node.name, shape.coding, items, status);
            }
            let Some(mailbox) = listed.node.mailbox.filter(|_| listed.meets) else { continue };
            if my_rights {
                rights::write(out, listed.node.name, shape.coding, may(listed.node));
            }
            if let Some(values) = annotations.remove(&mailbox.id) {
                get_metadata::write(out, listed.node.name, shape.coding, &values).await?;
            }
            out.page().await?;
        }
        Ok(Done::ok("done"))
    }

    /// The annotations of all mailboxes shown, by one query or none.
    async fn annotations(
        &self,
        session: &Session,
        account: AccountId,
        listed: &[Listed<'_, '_>],
    ) -> Result<HashMap<MailboxId, Vec<Valued>>, Fail> {
        let asked = self.returns.iter().find_map(|asked| match asked {
            Return::Metadata(asked) => Some(asked),
            _ => None,
        });
        let Some(asked) = asked else { return Ok(HashMap::new()) };
        let shown =
            listed.iter().filter(|listed| listed.meets && get_metadata::may_annotate(may(listed.node)));
        let mailboxes: Vec<(AccountId, &Mailbox)> =
            shown.filter_map(|listed| owned(listed.node, account)).collect();
        let of: Vec<_> = mailboxes.iter().map(|(account, mailbox)| (*account, mailbox.id)).collect();
        let mut values: HashMap<MailboxId, Vec<Valued>> = HashMap::new();
        for stored in session.house.store.annotations(account, &of, &asked.names, asked.depth).await? {
            values.entry(stored.mailbox).or_default().push((stored.name, Some(stored.value)));
        }
        for (_, mailbox) in mailboxes {
            let known = vec![get_metadata::special_use(mailbox.special_use.as_deref())];
            asked.complete(values.entry(mailbox.id).or_default(), known);
        }
        Ok(values)
    }

    fn criteria(&self) -> Criteria {
        Criteria {
            subscribed: self.select.contains(&Selection::Subscribed),
            special_use: self.select.contains(&Selection::SpecialUse),
            recursive: self.select.contains(&Selection::RecursiveMatch),
        }
    }
}

/// Of each name, whether a pattern matches it. Many long patterns and many names are much work: others get their turn
/// in between.
pub(super) async fn matched(tree: &Tree<'_>, patterns: &[Pattern]) -> Vec<bool> {
    let mut matched = Vec::with_capacity(tree.nodes().len());
    for nodes in tree.nodes().chunks(64) {
        matched.extend(nodes.iter().map(|node| patterns.iter().any(|pattern| pattern.matches(node.name))));
        tokio::task::yield_now().await;
    }
    matched
}

/// What the client may do in a mailbox shown.
fn may(node: &Node<'_>) -> Rights {
    node.shared.map_or(Rights::ALL, |shared| shared.rights)
}

/// The mailbox of a name, with its owner.
fn owned<'a>(node: &Node<'a>, account: AccountId) -> Option<(AccountId, &'a Mailbox)> {
    let mailbox = node.mailbox?;
    Some((node.shared.map_or(account, |shared| shared.account), mailbox))
}

/// How the names are shown.
struct Shape {
    coding: NameCoding,
    criteria: Criteria,
    /// Whether `\Subscribed` is said.
    subscribed: bool,
}

impl Shape {
    fn write(&self, out: &mut Out<'_>, Listed { node, meets: _, meets_below }: Listed<'_, '_>) {
        // RFC 5258 §3: \NonExistent implies \Noselect; clients of RFC 3501 know only the latter.
        let missing = node.mailbox.is_none().then_some(["\\NonExistent", "\\Noselect"]);
        let subscribed = (self.subscribed && node.subscribed).then_some("\\Subscribed");
        let children = if node.has_children { "\\HasChildren" } else { "\\HasNoChildren" };
        let special = node.mailbox.and_then(|mailbox| mailbox.special_use.as_deref());
        let attributes = missing.into_iter().flatten().chain(subscribed).chain([children]).chain(special);
        let mut buffer = out.buffer();
        let mut line = Line::untagged(&mut buffer);
        line.raw("LIST ").list(attributes, |line, attribute| {
            line.text(attribute);
        });
        line.raw(" \"/\" ").mailbox(node.name, self.coding);
        if meets_below {
            let selected = [
                self.criteria.subscribed.then_some("\"SUBSCRIBED\""),
                self.criteria.special_use.then_some("\"SPECIAL-USE\""),
            ];
            line.raw(" (\"CHILDINFO\" ").list(selected.into_iter().flatten(), |line, option| {
                line.raw(option);
            });
            line.raw(")");
        }
    }
}

/// A mailbox shown unasked, or as the answer to another command than LIST.
#[derive(Debug, Clone, Copy)]
pub(in crate::imap) struct Shown<'a> {
    /// Its name.
    pub(in crate::imap) name: &'a str,
    /// Whether there is one of that name.
    pub(in crate::imap) exists: bool,
    /// Whether it may be opened.
    pub(in crate::imap) accessible: bool,
    /// Whether the client's account has subscribed to it.
    pub(in crate::imap) subscribed: bool,
    /// Whether there are others below it, where that is known.
    pub(in crate::imap) has_children: Option<bool>,
    /// Its special use.
    pub(in crate::imap) special_use: Option<&'a str>,
    /// Its name before, or as the client wrote it (RFC 9051 §6.3.9.7).
    pub(in crate::imap) old_name: Option<&'a str>,
}

impl<'a> Shown<'a> {
    /// An existing mailbox of which nothing else is said.
    pub(in crate::imap) fn mailbox(name: &'a str) -> Self {
        Shown {
            name,
            exists: true,
            accessible: true,
            subscribed: false,
            has_children: None,
            special_use: None,
            old_name: None,
        }
    }
}

/// `* LIST (attributes) "/" name [("OLDNAME" (name))]`
pub(in crate::imap) fn write_shown(out: &mut Out<'_>, coding: NameCoding, shown: &Shown<'_>) {
    let children = shown.has_children.map(|has| if has { "\\HasChildren" } else { "\\HasNoChildren" });
    let attributes = [
        (!shown.exists).then_some("\\NonExistent"),
        (!shown.accessible).then_some("\\NoAccess"),
        shown.subscribed.then_some("\\Subscribed"),
        children,
        shown.special_use,
    ];
    let mut buffer = out.buffer();
    let mut line = Line::untagged(&mut buffer);
    line.raw("LIST ").list(attributes.into_iter().flatten(), |line, attribute| {
        line.text(attribute);
    });
    line.raw(" \"/\" ").mailbox(shown.name, coding);
    if let Some(old_name) = shown.old_name {
        line.raw(" (\"OLDNAME\" (").mailbox(old_name, coding).raw("))");
    }
}

/// NAMESPACE (RFC 2342): one's own mailboxes, those of other people, those of public accounts; levels are separated by `/`.
pub fn namespace(out: &mut Out<'_>) -> Done {
    let mut buffer = out.buffer();
    let mut line = Line::untagged(&mut buffer);
    line.raw("NAMESPACE ((\"\" \"/\"))");
    for prefix in [OTHER_USERS, SHARED] {
        line.raw(" ((").string(prefix.as_bytes()).raw(" \"/\"))");
    }
    Done::ok("done")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn refusals() {
        let many = format!("LIST \"\" ({}a)", "a ".repeat(PATTERNS_MAX));
        for input in [
            "LIST",
            "LIST \"\"",
            "LIST \"\" * *",
            "LIST \"\" ()",
            "LIST (FOO) \"\" *",
            "LIST (RECURSIVEMATCH) \"\" *",
            "LIST (RECURSIVEMATCH REMOTE) \"\" *",
            "LIST (SUBSCRIBED)\"\" *",
            "LIST \"\" * RETURN",
            "LIST \"\" * RETURN (FOO)",
            "LIST \"\" * RETURN (STATUS)",
            "LIST \"\" * RETURN (STATUS ())",
            "LIST \"\" * FOO (CHILDREN)",
            "LIST \"\" &AOk",
            "LIST * *",
            &many,
        ] {
            refusal(input);
        }
    }

    #[test]
    fn grammar() {
        let list = |select: &[Selection], reference: &str, patterns: &[&str], returns: &[Return]| {
            let patterns = patterns.iter().map(|pattern| Pattern::new(reference, pattern)).collect();
            let asked = Asked::Mailboxes(patterns);
            Command::List(List { select: select.to_vec(), asked, returns: returns.to_vec() })
        };
        let separator = |reference: &str| {
            let asked = Asked::Separator(reference.into());
            Command::List(List { select: vec![], asked, returns: vec![] })
        };
        assert_eq!(command("LIST \"\" \"\""), separator(""));
        assert_eq!(command("LIST a/b \"\""), separator("a/b"));
        assert_eq!(command("LIST () \"\" \"\""), list(&[], "", &[], &[]));
        assert_eq!(command("LIST \"\" *"), list(&[], "", &["*"], &[]));
        assert_eq!(command("list \"a/\" \"%\""), list(&[], "a/", &["%"], &[]));
        assert_eq!(command("LIST \"\" Entw&APw-rfe/%"), list(&[], "", &["Entwürfe/%"], &[]));
        assert_eq!(
            command("LIST (subscribed RECURSIVEMATCH SUBSCRIBED) \"\" (INBOX a/* \"\") RETURN (CHILDREN)"),
            list(
                &[Selection::Subscribed, Selection::RecursiveMatch],
                "",
                &["INBOX", "a/*"],
                &[Return::Children]
            )
        );
        assert_eq!(
            command("LIST (SPECIAL-USE REMOTE) \"\" % RETURN ()"),
            list(&[Selection::SpecialUse, Selection::Remote], "", &["%"], &[])
        );
        assert_eq!(
            command("LIST \"\" % RETURN (SUBSCRIBED STATUS (MESSAGES) SPECIAL-USE STATUS (UNSEEN UIDNEXT))"),
            list(
                &[],
                "",
                &["%"],
                &[
                    Return::Subscribed,
                    Return::SpecialUse,
                    Return::Status(vec![StatusItem::Unseen, StatusItem::UidNext]),
                ]
            )
        );
    }
}
