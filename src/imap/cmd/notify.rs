//! NOTIFY (RFC 5465): which events the client wants to hear of, in which mailboxes.

use super::fetch::item::FetchAtt;
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::choice::Choice;
use crate::imap::selected::{Look, Mode, Wants};
use crate::imap::session::{Session, State};
use crate::imap::table::Expunges;
use crate::imap::watch::{Listening, Watch};
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::parser::Parser;
use crate::net::out::Out;

/// Event groups in one command. Each is asked of every mailbox in which something happens.
const GROUPS_MAX: usize = 32;

/// What BADEVENT lists: all but the annotations of messages, which nobody can make here.
const EVENTS: &str = "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange";

/// `NOTIFY NONE` or `NOTIFY SET [STATUS] group …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notify {
    /// Nothing, from now on.
    None,
    /// These events.
    Set {
        /// STATUS is wanted of every mailbox whose messages are watched.
        status: bool,
        /// The events, as they are grouped.
        groups: Vec<Group>,
        /// Whether an event was named that is not known here.
        unknown: bool,
    },
}

/// `(filter-mailboxes events)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// In which mailboxes.
    pub choice: Choice,
    /// Which events.
    pub events: Events,
    /// What to show of new messages; in the selected mailbox only.
    pub items: Vec<FetchAtt>,
}

/// A set of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Events(u8);

impl Events {
    /// `MessageNew`
    pub const NEW: Events = Events(1);
    /// `MessageExpunge`
    pub const EXPUNGE: Events = Events(2);
    /// `FlagChange`
    pub const FLAGS: Events = Events(4);
    /// `MailboxName`
    pub const NAMES: Events = Events(8);
    /// `SubscriptionChange`
    pub const SUBSCRIPTIONS: Events = Events(16);
    /// `MailboxMetadataChange`
    pub const METADATA: Events = Events(32);
    /// `ServerMetadataChange`
    pub const SERVER_METADATA: Events = Events(64);
    /// Those of messages.
    const MESSAGES: Events = Events(1 | 2 | 4);

    /// Whether all of `events` belong to this set.
    pub fn has(self, events: Events) -> bool {
        self.0 & events.0 == events.0
    }

    /// Whether any of `events` does.
    pub fn has_any(self, events: Events) -> bool {
        self.0 & events.0 != 0
    }

    /// The events of either set.
    pub fn with(self, events: Events) -> Events {
        Events(self.0 | events.0)
    }
}

impl Notify {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        if parser.skip_word("NONE") {
            return Ok(Notify::None);
        }
        if !parser.skip_word("SET") {
            return Err(parser.bad("expected SET or NONE"));
        }
        parser.space()?;
        let status = parser.skip_word("STATUS");
        if status {
            parser.space()?;
        }
        let (mut groups, mut unknown) = (Vec::new(), false);
        loop {
            let at = parser.at();
            if groups.len() == GROUPS_MAX {
                return Err(Bad::new("too many event groups", at));
            }
            let group = group(parser, &mut unknown)?;
            // RFC 5465 §6.1: one of them at most.
            if is_selected(&group.choice) && groups.iter().any(|g: &Group| is_selected(&g.choice)) {
                return Err(Bad::new("the selected mailbox is named twice", at));
            }
            groups.push(group);
            if !parser.skip(b' ') {
                return Ok(Notify::Set { status, groups, unknown });
            }
        }
    }
}

fn is_selected(choice: &Choice) -> bool {
    matches!(choice, Choice::Selected | Choice::SelectedDelayed)
}

fn group(parser: &mut Parser<'_>, unknown: &mut bool) -> Result<Group, Bad> {
    let at = parser.at();
    parser.expect(b'(', "expected an event group")?;
    let choice = Choice::parse(parser)?;
    // RFC 7377 has it for ESEARCH alone.
    if matches!(choice, Choice::SubtreeOne(_)) {
        return Err(Bad::new("unknown choice of mailboxes", at));
    }
    parser.space()?;
    let mut group = Group { choice, events: Events::default(), items: Vec::new() };
    let mut annotations = false;
    if !parser.skip_word("NONE") {
        let at = parser.at();
        let named = parser.list_of(|parser| match event(parser, &mut group)? {
            Some(event) => {
                group.events = group.events.with(event);
                Ok(())
            }
            None => {
                annotations = true;
                Ok(())
            }
        })?;
        if named.is_empty() {
            return Err(Bad::new("expected an event", at));
        }
    }
    *unknown |= annotations;
    parser.expect(b')', "expected the end of the event group")?;
    // RFC 5465 §5: one of them is no use without the other, and flags none without both.
    if group.events.has_any(Events::MESSAGES) && !group.events.has(Events::NEW.with(Events::EXPUNGE)) {
        return Err(Bad::new("MessageNew and MessageExpunge go together, and FlagChange with them", at));
    }
    let others =
        Events::NAMES.with(Events::SUBSCRIPTIONS).with(Events::METADATA).with(Events::SERVER_METADATA);
    if is_selected(&group.choice) && group.events.has_any(others) {
        return Err(Bad::new("this event does not happen in a mailbox that is selected", at));
    }
    if !is_selected(&group.choice) && !group.items.is_empty() {
        return Err(Bad::new("only messages of the selected mailbox can be shown", at));
    }
    Ok(group)
}

/// One event; `None` for one that does not happen here.
fn event(parser: &mut Parser<'_>, group: &mut Group) -> Result<Option<Events>, Bad> {
    Ok(Some(match parser.atom()?.to_ascii_uppercase().as_slice() {
        b"MESSAGENEW" => {
            if parser.skip_to_list() {
                group.items = super::fetch::items(parser)?;
            }
            Events::NEW
        }
        b"MESSAGEEXPUNGE" => Events::EXPUNGE,
        b"FLAGCHANGE" => Events::FLAGS,
        b"MAILBOXNAME" => Events::NAMES,
        b"SUBSCRIPTIONCHANGE" => Events::SUBSCRIPTIONS,
        b"MAILBOXMETADATACHANGE" => Events::METADATA,
        b"SERVERMETADATACHANGE" => Events::SERVER_METADATA,
        _ => return Ok(None),
    }))
}

impl Notify {
    /// Tells what has happened so far, and from then on what is asked for.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let (status, groups) = match self {
            Notify::None => {
                listen(session, Listening::Nothing);
                return Ok(Done::ok("nothing will be told"));
            }
            Notify::Set { unknown: true, .. } => {
                return Err(Fail::no(Code::BadEvent(EVENTS), "this event is not known here"));
            }
            Notify::Set { status, groups, unknown: false } => (status, groups),
        };
        let watch = Watch::begin(session, groups, status, out).await?;
        // RFC 5465 §3.1: all that has happened in the selected mailbox until now, whatever is wanted later.
        let (house, mode) = (session.house.clone(), Mode { modseq: session.modseq(), known: None });
        if let State::Selected(_, selected) = &mut session.state {
            selected.wants = Wants::All;
            selected.look(&house, Look::Always).await?;
            selected.announce(&house, out, Expunges::Sent, mode).await?;
            selected.take_arrived();
        }
        listen(session, Listening::Watching(Box::new(watch)));
        Ok(Done::ok("done"))
    }
}

fn listen(session: &mut Session, listening: Listening) {
    session.listening = listening;
    let wants = session.listening.wants();
    if let State::Selected(_, selected) = &mut session.state {
        selected.wants = wants;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};
    use crate::imap::wire::name::MailboxName;

    #[test]
    fn refusals() {
        let many = format!("NOTIFY SET{}", " (personal NONE)".repeat(GROUPS_MAX + 1));
        for input in [
            "NOTIFY",
            "NOTIFY ",
            "NOTIFY ALL",
            "NOTIFY NONE x",
            "NOTIFY SET",
            "NOTIFY SET STATUS",
            "NOTIFY SET ()",
            "NOTIFY SET (selected)",
            "NOTIFY SET (selected ())",
            "NOTIFY SET (selected (MessageNew))",
            "NOTIFY SET (selected (MessageExpunge))",
            "NOTIFY SET (selected (FlagChange))",
            "NOTIFY SET (selected (MessageNew FlagChange))",
            "NOTIFY SET (selected (MailboxName))",
            "NOTIFY SET (selected (MessageNew () MessageExpunge))",
            "NOTIFY SET (selected (MessageNew (uid) MessageExpunge)) (selected-delayed NONE)",
            "NOTIFY SET (personal (MessageNew (uid) MessageExpunge))",
            "NOTIFY SET (subtree-one a (MailboxName))",
            "NOTIFY SET (everything (MailboxName))",
            "NOTIFY SET (personal (MailboxName)",
            "NOTIFY SET (personal (MailboxName))(subscribed NONE)",
            &many,
        ] {
            refusal(input);
        }
    }

    #[test]
    fn grammar() {
        let messages = Events::NEW.with(Events::EXPUNGE);
        let group = |choice, events, items: &[FetchAtt]| Group { choice, events, items: items.to_vec() };
        let set = |status, groups: &[Group], unknown| {
            Command::Notify(Notify::Set { status, groups: groups.to_vec(), unknown })
        };
        assert_eq!(command("notify none"), Command::Notify(Notify::None));
        assert_eq!(
            command(
                "NOTIFY SET STATUS (selected (MessageNew (UID flags) messageexpunge)) (subtree Lists (MessageNew MessageExpunge FlagChange))"
            ),
            set(
                true,
                &[
                    group(Choice::Selected, messages, &[FetchAtt::Uid, FetchAtt::Flags]),
                    group(
                        Choice::Subtree([MailboxName::new("Lists").unwrap()].into()),
                        messages.with(Events::FLAGS),
                        &[]
                    ),
                ],
                false
            )
        );
        assert_eq!(
            command("NOTIFY SET (selected-delayed NONE) (personal (MailboxName SubscriptionChange))"),
            set(
                false,
                &[
                    group(Choice::SelectedDelayed, Events::default(), &[]),
                    group(Choice::Personal, Events::NAMES.with(Events::SUBSCRIPTIONS), &[]),
                ],
                false
            )
        );
        let unknown = command("NOTIFY SET (personal (MessageNew MessageExpunge AnnotationChange X-Rays))");
        assert_eq!(unknown, set(false, &[group(Choice::Personal, messages, &[])], true));
    }
}
