//! What a client is told of mailboxes that it has not selected (RFC 5465): messages, names, subscriptions, annotations.
//!
//! A [`Watch`] knows each mailbox that the client can see as it was last told of it. A bell says in which of them something
//! may have happened; what has, is the difference to what is known, asked of the tables at a cost that follows what
//! happened. So a bell that is lost, late or rung twice changes nothing but the time.
//!
//! What must hold: what the client has done itself is not told ([`Deed`], [`Session::made`]); the selected mailbox's messages
//! are told by [`Selected`](super::selected::Selected) alone; a session that has not used NOTIFY has none of this.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::answer::Fail;
use super::choice::Choice;
use super::cmd::enable::Extension;
use super::cmd::fetch::item::FetchAtt;
use super::cmd::list::{Shown, write_shown};
use super::cmd::notify::{Events, Group};
use super::cmd::status::{StatusItem, Told, write as write_status};
use super::place::Visible;
use super::selected::Wants;
use super::session::{Session, State};
use super::wire::code::{Code, Condition};
use super::wire::name::MailboxName;
use super::wire::reply::{Line, untagged};
use crate::mail::{AccountId, MailboxId, Rights};
use crate::net::out::Out;
use crate::store::ears::{Ear, News};
use crate::store::mailbox::Status;
use crate::store::watch::{Annotation, MailboxNews, Mark};

/// Mailboxes that one session may watch.
const WATCHED_MAX: usize = 10_000;

/// Mailboxes that are compared with what is asked for before others get their turn.
const LOOKED_AT_ONCE: usize = 64;

/// Deeds remembered between two looks.
const DEEDS_MAX: usize = 1000;

type Key = (AccountId, MailboxId);

/// What a client wants to hear of unasked.
#[derive(Debug, Default)]
pub(super) enum Listening {
    /// Of its selected mailbox, while a command runs: it has never used NOTIFY.
    #[default]
    AsEver,
    /// Nothing at all.
    Nothing,
    /// What it has named.
    Watching(Box<Watch>),
}

impl Listening {
    fn watch(&self) -> Option<&Watch> {
        match self {
            Listening::Watching(watch) => Some(watch),
            Listening::AsEver | Listening::Nothing => None,
        }
    }

    /// What it wants to be told of the selected mailbox.
    pub(super) fn wants(&self) -> Wants {
        match self {
            Listening::AsEver => Wants::All,
            Listening::Nothing => Wants::Nothing,
            Listening::Watching(watch) => match watch.selected() {
                Some(group) if group.events.has(Events::FLAGS) => Wants::All,
                Some(group) if group.events.has(Events::NEW) => Wants::NoFlags,
                _ => Wants::Nothing,
            },
        }
    }

    /// Where other mailboxes are heard of.
    pub(super) fn ear(&self) -> Option<&Ear> {
        self.watch().map(|watch| &watch.ear)
    }

    /// Whether expunges are told even while no command runs: the client does without sequence numbers.
    pub(super) fn expunges_at_once(&self) -> bool {
        let selected = self.watch().and_then(Watch::selected);
        selected.is_some_and(|group| group.choice == Choice::Selected)
    }

    /// What is shown of new messages in the selected mailbox.
    pub(super) fn items(&self) -> Option<&[FetchAtt]> {
        let items = &self.watch()?.selected()?.items;
        (!items.is_empty()).then_some(items)
    }
}

/// What a client has done to names, which it need not be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    /// CREATE, with the levels above.
    Created(MailboxName),
    /// DELETE
    Deleted(MailboxName),
    /// RENAME, with what is below.
    Renamed(MailboxName, MailboxName),
    /// SUBSCRIBE
    Subscribed(MailboxName),
    /// UNSUBSCRIBE
    Unsubscribed(MailboxName),
}

/// Messages that a client has put into a mailbox itself.
#[derive(Debug, Clone, Copy, Default)]
struct Made {
    messages: u32,
    /// By so many changes of the mailbox.
    changes: u64,
}

/// A mailbox as the client was last told of it.
#[derive(Debug, Clone)]
struct Known {
    visible: Visible,
    mark: Mark,
    /// How many messages it holds, once they have been counted.
    messages: Option<u32>,
    /// Which events are told of it while it is not selected.
    events: Events,
}

/// What is watched, and how it was.
#[derive(Debug)]
pub(super) struct Watch {
    ear: Ear,
    accounts: BTreeSet<AccountId>,
    groups: Vec<Group>,
    known: HashMap<Key, Known>,
    annotations: BTreeMap<Annotation, i64>,
    deeds: Vec<Deed>,
    made: HashMap<Key, Made>,
    /// What happened could not be found out: everything must be looked at.
    missed: bool,
}

impl Watch {
    /// Begins to watch. With `status`, says how the mailboxes are whose messages are watched.
    pub(super) async fn begin(
        session: &mut Session,
        groups: Vec<Group>,
        status: bool,
        out: &mut Out<'_>,
    ) -> Result<Self, Fail> {
        let accounts = BTreeSet::from([session.login()?.account]);
        let ear = session.house.store.views.listen(accounts.iter().copied());
        let mut watch = Watch {
            ear,
            accounts,
            groups,
            known: HashMap::new(),
            annotations: BTreeMap::new(),
            deeds: Vec::new(),
            made: HashMap::new(),
            missed: false,
        };
        let visible = watch.visible(session).await?;
        if visible.len() > WATCHED_MAX {
            return Err(Fail::no(Code::NotificationOverflow, "these are too many mailboxes to watch"));
        }
        for (at, one) in visible.into_iter().enumerate() {
            if at % LOOKED_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            let events = watch.events(&one);
            let known = Known::of(one, events);
            if !known.readable() && events.has(Events::NEW) {
                let shown = Shown { accessible: false, ..Shown::mailbox(known.visible.name.as_str()) };
                write_shown(out, session.coding(), &shown);
            }
            watch.known.insert(known.visible.key(), known);
        }
        watch.annotations = watch.annotations_now(session).await?;
        if status {
            watch.tell_status(session, out).await?;
        }
        Ok(watch)
    }

    /// What is asked for of the selected mailbox.
    fn selected(&self) -> Option<&Group> {
        self.groups.iter().find(|group| matches!(group.choice, Choice::Selected | Choice::SelectedDelayed))
    }

    /// Which events are told of a mailbox that is not selected.
    fn events(&self, visible: &Visible) -> Events {
        let groups = self.groups.iter().filter(|group| group.choice.includes(visible, None));
        groups.fold(Events::default(), |events, group| events.with(group.events))
    }

    /// All that the client can see now; listens to the accounts whose it is.
    async fn visible(&mut self, session: &Session) -> Result<Vec<Visible>, Fail> {
        let mut visible = session.visible().await?;
        let owners: BTreeSet<AccountId> = visible.iter().map(|one| one.place.account).collect();
        if !owners.is_subset(&self.accounts) {
            self.accounts.extend(owners);
            self.ear = session.house.store.views.listen(self.accounts.iter().copied());
            // What happened until the ear was there was heard by nobody.
            visible = session.visible().await?;
        }
        Ok(visible)
    }

    async fn annotations_now(&self, session: &Session) -> Result<BTreeMap<Annotation, i64>, Fail> {
        let wanted = Events::METADATA.with(Events::SERVER_METADATA);
        if !self.groups.iter().any(|group| group.events.has_any(wanted)) {
            return Ok(BTreeMap::new());
        }
        let owners: Vec<AccountId> = self.accounts.iter().copied().collect();
        let account = session.login()?.account;
        Ok(session.house.store.annotation_marks(&owners, account).await?.into_iter().collect())
    }

    /// `NOTIFY SET STATUS` (RFC 5465 §3.1).
    async fn tell_status(&mut self, session: &mut Session, out: &mut Out<'_>) -> Result<(), Fail> {
        let selected = session.selected_key();
        let mut asked: Vec<Key> = self.watched(selected, self.known.keys().copied());
        asked.sort_by(|a, b| self.name_of(a).cmp(&self.name_of(b)));
        for (key, status) in self.count(session, asked).await? {
            let Some(known) = self.known.get(&key) else { continue };
            let mut items = vec![StatusItem::Messages, StatusItem::UidNext, StatusItem::UidValidity];
            if known.events.has(Events::FLAGS) {
                items.push(StatusItem::HighestModSeq);
            }
            let told = Told::new(key.1, status, session);
            write_status(out, known.visible.name.as_str(), session.coding(), &items, &told);
            out.page().await?;
        }
        Ok(())
    }

    fn name_of(&self, key: &Key) -> Option<&MailboxName> {
        self.known.get(key).map(|known| &known.visible.name)
    }

    /// Of these mailboxes, those whose messages are watched.
    fn watched(&self, selected: Option<Key>, keys: impl Iterator<Item = Key>) -> Vec<Key> {
        let is_watched = |key: &Key| {
            Some(*key) != selected
                && self.known.get(key).is_some_and(|known| known.readable() && known.events.has(Events::NEW))
        };
        keys.filter(is_watched).collect()
    }

    /// Counts the messages of mailboxes; they are known as they are then.
    async fn count(&mut self, session: &Session, keys: Vec<Key>) -> Result<Vec<(Key, Status)>, Fail> {
        let statuses = session.house.store.statuses(&keys).await?;
        let counted: Vec<(Key, Status)> =
            keys.into_iter().filter_map(|key| Some((key, *statuses.get(&key.1)?))).collect();
        for (key, status) in &counted {
            if let Some(known) = self.known.get_mut(key) {
                known.mark.highest_modseq = status.highest_modseq;
                known.mark.uid_next = status.uid_next;
                known.messages = Some(status.messages);
            }
        }
        Ok(counted)
    }

    /// Tells what has happened.
    async fn tell(&mut self, news: News, session: &mut Session, out: &mut Out<'_>) -> Result<(), Fail> {
        let heard: Vec<Key> = if news.everything {
            self.tell_names(session, out).await?;
            self.tell_annotations(session, out).await?;
            self.known.keys().copied().collect()
        } else {
            news.mailboxes.into_iter().filter(|key| self.known.contains_key(key)).collect()
        };
        let selected = session.selected_key();
        if let (Some(key), State::Selected(_, selected)) = (selected, &session.state)
            && let Some(known) = self.known.get_mut(&key)
        {
            // The client knows it better than we do here.
            let view = selected.view();
            known.mark.highest_modseq = view.highest_modseq();
            known.mark.uid_next = view.uid_next();
            known.messages = Some(view.len());
        }
        let watched = self.watched(selected, heard.into_iter());
        self.tell_messages(watched, session, out).await
    }

    async fn tell_messages(
        &mut self,
        keys: Vec<Key>,
        session: &mut Session,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        let made: HashMap<Key, Made> =
            keys.iter().filter_map(|key| Some((*key, self.made.remove(key)?))).collect();
        let marks: Vec<Mark> =
            keys.iter().filter_map(|key| self.known.get(key)).map(|known| known.mark).collect();
        if marks.is_empty() {
            return Ok(());
        }
        let news = session.house.store.mailbox_news(&marks).await?;
        let knows_modseq = session.enabled.has(Extension::CondStore);
        let (mut told, mut to_count) = (Vec::new(), Vec::new());
        for news in news {
            let key = (news.now.account, news.now.mailbox);
            let Some(known) = self.known.get(&key) else { continue };
            let (events, before) = (known.events, known.mark);
            let messages = known.counted(&news);
            let own = made.get(&key).is_some_and(|made| made.explains(&before, &news));
            let counts = (news.arrived > 0 || news.left > 0 || news.forgotten) && !own;
            let flags = news.flags && !own && events.has(Events::FLAGS);
            if let Some(known) = self.known.get_mut(&key) {
                known.mark = news.now;
                known.messages = messages;
            }
            if !counts && !flags {
                continue;
            }
            if (counts && messages.is_none()) || (flags && !knows_modseq) {
                to_count.push(key);
            }
            let status = Status {
                uid_next: news.now.uid_next,
                uid_validity: news.uid_validity,
                highest_modseq: news.now.highest_modseq,
                messages: messages.unwrap_or_default(),
                ..Status::default()
            };
            told.push((key, status_items(counts, flags, knows_modseq), status));
        }
        let counted: HashMap<Key, Status> = self.count(session, to_count).await?.into_iter().collect();
        for (key, items, status) in told {
            let Some(name) = self.name_of(&key) else { continue };
            let told = Told::new(key.1, counted.get(&key).copied().unwrap_or(status), session);
            write_status(out, name.as_str(), session.coding(), &items, &told);
            out.page().await?;
        }
        Ok(())
    }

    /// MailboxName and SubscriptionChange (RFC 5465 §5.4, §5.5).
    async fn tell_names(&mut self, session: &mut Session, out: &mut Out<'_>) -> Result<(), Fail> {
        let visible = self.visible(session).await?;
        let deeds = std::mem::take(&mut self.deeds);
        let mut before = std::mem::take(&mut self.known);
        let mut lines: BTreeMap<MailboxName, Said> = BTreeMap::new();
        let mut renamed: Vec<(MailboxName, MailboxName)> = Vec::new();
        for (at, one) in visible.into_iter().enumerate() {
            if at % LOOKED_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            let key = one.key();
            let old = before.remove(&key);
            let events = match &old {
                Some(old) if old.visible.name == one.name && old.visible.subscribed == one.subscribed => {
                    old.events
                }
                _ => self.events(&one),
            };
            match &old {
                None => {
                    if events.has(Events::NAMES) && !deeds.iter().any(|deed| deed.created(&one.name)) {
                        lines.entry(one.name.clone()).or_default();
                        self.parent_line(&one, &mut lines);
                    }
                }
                Some(old) if old.visible.name != one.name => {
                    let (from, to) = (&old.visible.name, &one.name);
                    let told = events.with(old.events).has(Events::NAMES);
                    if told && !deeds.iter().any(|deed| deed.renamed(from, to)) {
                        renamed.push((from.clone(), to.clone()));
                    }
                }
                Some(old) if old.visible.subscribed != one.subscribed => {
                    let told = events.with(old.events).has(Events::SUBSCRIPTIONS);
                    if told && !deeds.iter().any(|deed| deed.subscribed(&one.name, one.subscribed)) {
                        lines.entry(one.name.clone()).or_default();
                    }
                }
                Some(_) => {}
            }
            let known = match old {
                // What was in it before it came to be watched is no news.
                Some(old) if events.has(Events::NEW) && !old.events.has(Events::NEW) => {
                    Known::of(one, events)
                }
                Some(old) => Known { visible: one, events, ..old },
                None => Known::unseen(one, events),
            };
            self.known.insert(key, known);
        }
        // RFC 5465 §5.4: what is below a renamed mailbox goes along without a word.
        for (from, to) in &renamed {
            if !renamed.iter().any(|(above, to_above)| is_moved_along((above, to_above), (from, to))) {
                lines.entry(to.clone()).or_default().old_name = Some(from.clone());
            }
        }
        for Known { visible: gone, events, .. } in before.into_values() {
            let told = events.has(Events::NAMES);
            if told && !deeds.contains(&Deed::Deleted(gone.name.clone())) {
                self.parent_line(&gone, &mut lines);
                lines.entry(gone.name).or_default();
            }
        }
        if self.known.len() > WATCHED_MAX {
            return Err(Fail::no(Code::NotificationOverflow, "these are too many mailboxes to watch"));
        }
        self.write_names(&lines, session, out).await
    }

    /// A mailbox that comes or goes changes what is to be said of the level above it, whether that exists or not.
    fn parent_line(&self, child: &Visible, lines: &mut BTreeMap<MailboxName, Said>) {
        let Some(name) = child.name.ancestors().next().and_then(|name| MailboxName::new(name).ok()) else {
            return;
        };
        let known = self.known.values().find(|known| known.visible.name == name);
        let parent = match known {
            Some(known) => known.visible.clone(),
            None => Visible { name, subscribed: false, inbox: false, ..child.clone() },
        };
        if self.events(&parent).has(Events::NAMES) {
            lines.entry(parent.name).or_default();
        }
    }

    async fn write_names(
        &self,
        lines: &BTreeMap<MailboxName, Said>,
        session: &Session,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        if lines.is_empty() {
            return Ok(());
        }
        let by_name: BTreeMap<&str, &Known> =
            self.known.values().map(|known| (known.visible.name.as_str(), known)).collect();
        for (name, line) in lines {
            let name = name.as_str();
            let known = by_name.get(name);
            let below = format!("{name}/");
            let next = by_name.range(below.as_str()..).next();
            let shown = Shown {
                exists: known.is_some(),
                subscribed: known.is_some_and(|known| known.visible.subscribed),
                has_children: Some(next.is_some_and(|(next, _)| next.starts_with(&below))),
                special_use: known.and_then(|known| known.visible.place.mailbox.special_use.as_deref()),
                old_name: line.old_name.as_ref().map(MailboxName::as_str),
                ..Shown::mailbox(name)
            };
            write_shown(out, session.coding(), &shown);
            out.page().await?;
        }
        Ok(())
    }

    /// MailboxMetadataChange and ServerMetadataChange (RFC 5465 §5.6, §5.7): which entries, not what they are now.
    async fn tell_annotations(&mut self, session: &mut Session, out: &mut Out<'_>) -> Result<(), Fail> {
        let now = self.annotations_now(session).await?;
        let before = std::mem::replace(&mut self.annotations, now);
        let gone = before.iter().filter(|(annotation, _)| !self.annotations.contains_key(annotation));
        let set = self.annotations.iter().filter(|(annotation, mark)| before.get(annotation) != Some(mark));
        let mut changed: BTreeMap<Key, BTreeSet<&str>> = BTreeMap::new();
        for (annotation, _) in gone.chain(set) {
            let key = (annotation.account, annotation.mailbox);
            changed.entry(key).or_default().insert(&annotation.entry);
        }
        for (key, entries) in changed {
            let name = if key.1 == MailboxId(0) {
                let wanted = self.groups.iter().any(|group| group.events.has(Events::SERVER_METADATA));
                wanted.then_some("")
            } else {
                let known = self.known.get(&key);
                known
                    .filter(|known| known.readable() && known.events.has(Events::METADATA))
                    .map(|known| known.visible.name.as_str())
            };
            let Some(name) = name else { continue };
            let mut buffer = out.buffer();
            let mut line = Line::untagged(&mut buffer);
            line.raw("METADATA ").mailbox(name, session.coding());
            for entry in entries {
                line.raw(" ").astring(entry.as_bytes());
            }
        }
        Ok(())
    }
}

/// What is said of a name besides what it is now.
#[derive(Debug, Default)]
struct Said {
    old_name: Option<MailboxName>,
}

impl Known {
    fn of(visible: Visible, events: Events) -> Self {
        let mailbox = &visible.place.mailbox;
        let mark = Mark {
            account: visible.place.account,
            mailbox: mailbox.id,
            highest_modseq: mailbox.highest_modseq,
            uid_next: mailbox.uid_next,
        };
        Known { visible, mark, messages: None, events }
    }

    /// One that has just come to be seen: whatever is in it is new.
    fn unseen(visible: Visible, events: Events) -> Self {
        let mut known = Known::of(visible, events);
        (known.mark.highest_modseq, known.mark.uid_next) = (0, 1);
        known.messages = Some(0);
        known
    }

    /// RFC 5465 §5: events of messages need the rights to look and to read.
    fn readable(&self) -> bool {
        self.visible.place.rights.contains(Rights::READ)
    }

    /// How many messages there are now, if that can be told without counting.
    fn counted(&self, news: &MailboxNews) -> Option<u32> {
        let messages = self.messages.filter(|_| !news.forgotten)?;
        messages.checked_sub(news.left).map(|messages| messages.saturating_add(news.arrived))
    }
}

impl Made {
    /// Whether what has happened is what the client has done, and nothing else.
    fn explains(&self, before: &Mark, news: &MailboxNews) -> bool {
        news.left == 0
            && !news.flags
            && news.now.uid_next.checked_sub(before.uid_next) == Some(self.messages)
            && news.now.highest_modseq.saturating_sub(before.highest_modseq) <= self.changes
    }
}

impl Deed {
    fn created(&self, name: &MailboxName) -> bool {
        match self {
            Deed::Created(created) | Deed::Renamed(_, created) => {
                created == name || created.ancestors().any(|above| above == name.as_str())
            }
            _ => false,
        }
    }

    fn renamed(&self, from: &MailboxName, to: &MailboxName) -> bool {
        match self {
            Deed::Renamed(own_from, own_to) => {
                (own_from, own_to) == (from, to) || is_moved_along((own_from, own_to), (from, to))
            }
            _ => false,
        }
    }

    fn subscribed(&self, name: &MailboxName, is_subscribed: bool) -> bool {
        match self {
            Deed::Subscribed(own) => is_subscribed && own == name,
            Deed::Unsubscribed(own) => !is_subscribed && own == name,
            _ => false,
        }
    }
}

/// Whether a mailbox got its name because one above it got another.
fn is_moved_along(
    (above, to_above): (&MailboxName, &MailboxName),
    (from, to): (&MailboxName, &MailboxName),
) -> bool {
    let rest = |name: &MailboxName, above: &MailboxName| {
        name.as_str().strip_prefix(above.as_str()).filter(|rest| rest.starts_with('/')).map(str::to_owned)
    };
    rest(from, above).is_some_and(|below| rest(to, to_above) == Some(below))
}

/// What STATUS says (RFC 5465 §5.1 to §5.3).
fn status_items(counts: bool, flags: bool, knows_modseq: bool) -> Vec<StatusItem> {
    let mut items = Vec::new();
    if counts {
        items.extend([StatusItem::UidNext, StatusItem::Messages]);
    }
    items.push(StatusItem::UidValidity);
    if knows_modseq {
        items.push(StatusItem::HighestModSeq);
    } else if flags {
        items.push(StatusItem::Unseen);
    }
    items
}

impl Session {
    /// Which mailbox is selected.
    pub(super) fn selected_key(&self) -> Option<Key> {
        match &self.state {
            State::Selected(_, selected) => Some((selected.account, selected.mailbox)),
            _ => None,
        }
    }

    /// The client has done something to names, which it need not be told.
    pub(super) fn did(&mut self, deed: Deed) {
        if let Listening::Watching(watch) = &mut self.listening {
            // What a client does faster than it can be forgotten, it is told.
            if watch.deeds.len() < DEEDS_MAX {
                watch.deeds.push(deed);
            }
        }
    }

    /// The client has put messages into a mailbox, by one change of it.
    pub(super) fn made(&mut self, key: Key, uids: impl IntoIterator<Item = u32>) {
        let shows = self.listening.items().is_some();
        let Listening::Watching(watch) = &mut self.listening else { return };
        let uids: Vec<u32> = uids.into_iter().collect();
        match &mut self.state {
            State::Selected(_, selected) if (selected.account, selected.mailbox) == key => {
                if shows {
                    selected.made(uids);
                }
            }
            _ => {
                let made = watch.made.entry(key).or_default();
                // As many as UIDs fit.
                made.messages = made.messages.saturating_add(uids.len() as u32);
                made.changes += 1;
            }
        }
    }

    /// Tells what has happened in mailboxes that are watched.
    pub(super) async fn tell_news(&mut self, out: &mut Out<'_>) -> Result<(), Fail> {
        let Listening::Watching(mut watch) = std::mem::take(&mut self.listening) else { return Ok(()) };
        let mut news = watch.ear.take();
        news.everything |= std::mem::take(&mut watch.missed);
        let outcome = watch.tell(news, self, out).await;
        // RFC 5465 §5.8: more than can be told ends the notifications, and the client is told so.
        if let Err(Fail::No(..)) = &outcome {
            self.listening = Listening::Nothing;
            if let State::Selected(_, selected) = &mut self.state {
                selected.wants = Wants::Nothing;
            }
            let text = "there is too much to notify of: nothing will be told any more";
            untagged(&mut out.buffer(), Condition::Ok, Some(Code::NotificationOverflow), text);
            return Ok(());
        }
        watch.missed = outcome.is_err();
        self.listening = Listening::Watching(watch);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> MailboxName {
        MailboxName::new(text).unwrap()
    }

    #[test]
    fn what_one_has_done_oneself() {
        let created = Deed::Created(name("a/b/c"));
        assert!(
            created.created(&name("a/b/c")) && created.created(&name("a/b")) && created.created(&name("a"))
        );
        assert!(!created.created(&name("a/b/c/d")) && !created.created(&name("ab")));
        let renamed = Deed::Renamed(name("a"), name("x/y"));
        assert!(renamed.renamed(&name("a"), &name("x/y")));
        assert!(renamed.renamed(&name("a/b"), &name("x/y/b")));
        assert!(!renamed.renamed(&name("a/b"), &name("x/y/c")));
        assert!(!renamed.renamed(&name("ab"), &name("x/yb")));
        assert!(renamed.created(&name("x")), "a level that was missing");
        assert!(Deed::Subscribed(name("a")).subscribed(&name("a"), true));
        assert!(!Deed::Subscribed(name("a")).subscribed(&name("a"), false));
    }

    #[test]
    fn messages_that_one_has_made_oneself() {
        let before = Mark { account: AccountId(1), mailbox: MailboxId(1), highest_modseq: 5, uid_next: 10 };
        let news = |uid_next, highest_modseq, left, flags| MailboxNews {
            now: Mark { uid_next, highest_modseq, ..before },
            uid_validity: 1,
            arrived: uid_next - 10,
            left,
            flags,
            forgotten: false,
        };
        let made = Made { messages: 2, changes: 1 };
        assert!(made.explains(&before, &news(12, 6, 0, false)));
        assert!(!made.explains(&before, &news(13, 7, 0, false)), "somebody else's message too");
        assert!(!made.explains(&before, &news(12, 7, 0, false)), "something else has happened too");
        assert!(!made.explains(&before, &news(12, 6, 1, false)));
        assert!(!made.explains(&before, &news(12, 6, 0, true)));
    }
}
