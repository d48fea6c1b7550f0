//! The message: DATA (RFC 5321 §4.1.1.4), BDAT (RFC 3030), and what becomes of it after its last byte.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::authenticity::{Authenticity, Passing, Watch};
use super::crlf::LineEnds;
use super::session::{Answer, Hello, Session, State, temporary};
use crate::control::Control;
use crate::control::config::{Config, ListenerMode, NewlinePolicy};
use crate::db;
use crate::directory::Route;
use crate::intake::forward;
use crate::intake::place::{Arrival, Plan};
use crate::intake::submission::{Gathered, Head};
use crate::intake::trace::Received;
use crate::intake::{Addressee, Delivery, Envelope, Story};
use crate::mail::{AccountId, DateTime};
use crate::mime::header::fields;
use crate::net::out::Out;
use crate::net::talk::Next;
use crate::smtp::command::{Chunk, Place};
use crate::smtp::framer::DataEnd;
use crate::smtp::mail::Body;
use crate::smtp::{Bare, Reply};
use crate::store::{Draft, Spool};
use crate::verify::{Copy, Seen};

/// How long all of a message may take: who sends slower than this is holding on to a session, not sending mail.
const MESSAGE_TIME: Duration = Duration::from_secs(3600);
/// How long a client waits for memory at most. It is told before its own patience ends (two minutes for DATA, RFC 5321
/// §4.5.3.2.4).
const MEMORY_WAIT: Duration = Duration::from_secs(90);
/// How much of a message that is refused already is still read, so that its client hears why; bytes.
const SWALLOWED: u64 = 1 << 30;

/// A message that is coming in.
pub(super) struct Incoming {
    /// What we call it.
    id: String,
    sink: Sink,
    /// The header of a message that is looked at, until it is whole.
    head: Option<Head>,
    /// What may be missing in that header is added.
    submitted: bool,
    /// What is done about its authenticity.
    watch: Watch,
    passing: Option<Passing>,
    /// A copy for who reads reports.
    copy: Option<Copy>,
    /// Header fields that are added.
    added: Vec<u8>,
    /// Largest size, for all of its recipients.
    limit: u64,
    size: u64,
    bare: Bare,
    /// Watches the line ends of chunks; those of DATA are the framer's.
    line_ends: Option<LineEnds>,
    /// The chunk that is coming in.
    chunk: Place,
    deadline: Instant,
}

/// Where its bytes go.
enum Sink {
    Spool(Box<Spool>),
    /// Nowhere; this will be said at the end.
    Refused(Reply),
}

impl Incoming {
    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn refuse(&mut self, reply: Reply) {
        // The memory goes back at once.
        self.sink = Sink::Refused(reply);
        self.head = None;
        self.passing = None;
        self.copy = None;
    }

    /// Takes the next bytes.
    async fn take(&mut self, bytes: &[u8], control: &Control) {
        self.size += bytes.len() as u64;
        if matches!(self.sink, Sink::Refused(_)) {
            return;
        }
        if self.size > self.limit {
            return self.refuse(Reply::message_too_large());
        }
        let bytes = match &mut self.line_ends {
            Some(line_ends) => line_ends.pass(bytes, self.bare),
            None => bytes.into(),
        };
        let Some(head) = &mut self.head else { return self.store(&bytes).await };
        match head.push(&bytes) {
            Gathered::More => {}
            Gathered::TooLong => self.refuse(header_too_large()),
            Gathered::Whole => self.pass_head(control).await,
        }
    }

    /// Lets the header go on, as far as there is one.
    async fn pass_head(&mut self, control: &Control) {
        if let Some(head) = self.head.take() {
            let config = control.config();
            let content = if self.submitted {
                let fixed = head.fix(&self.id, config.hostname(), now());
                self.added = fixed.added;
                fixed.content
            } else {
                head.into_bytes()
            };
            let (content, passing) = self.watch.begin(content, config.hostname());
            self.store(&content).await;
            // What has come of the body so far is seen already.
            self.passing = passing;
        }
    }

    async fn store(&mut self, bytes: &[u8]) {
        let Sink::Spool(spool) = &mut self.sink else { return };
        if let Some(passing) = &mut self.passing {
            passing.body(bytes);
        }
        Copy::push(&mut self.copy, bytes);
        if let Err(error) = spool.write(bytes).await {
            self.refuse(temporary(&error));
        }
    }

    /// The message is whole.
    async fn close(mut self, control: &Control) -> Result<Whole, Reply> {
        if let Some(mut line_ends) = self.line_ends.take() {
            let rest = line_ends.finish(self.bare);
            if self.bare == Bare::Refuse && line_ends.bare_seen() {
                self.refuse(Reply::bare_in_message());
            }
            match &mut self.head {
                Some(head) => drop(head.push(rest)),
                None => self.store(rest).await,
            }
        }
        self.pass_head(control).await;
        match self.sink {
            Sink::Spool(spool) => Ok(Whole {
                draft: spool.finish(),
                id: self.id,
                added: self.added,
                seen: self.passing.map(Passing::finish),
                copy: self.copy,
            }),
            Sink::Refused(reply) => Err(reply),
        }
    }
}

/// A message that has come in.
struct Whole {
    draft: Draft,
    id: String,
    /// Header fields that we have added.
    added: Vec<u8>,
    /// What is known of it for checks and signatures.
    seen: Option<Seen>,
    copy: Option<Copy>,
}

impl Session {
    pub(super) async fn data(&mut self) -> Reply {
        if let State::Open(_, envelope) = &self.state
            && envelope.params.body == Some(Body::BinaryMime)
        {
            // RFC 3030 §3.
            return Reply::bad_sequence("BINARYMIME needs BDAT");
        }
        match self.begin(None).await {
            Ok(bare) => {
                self.framer.expect_data(bare);
                Reply::start_data()
            }
            Err(reply) => {
                self.note_not_begun(&reply);
                reply
            }
        }
    }

    /// Notes that a message was refused before its first byte.
    fn note_not_begun(&self, reply: &Reply) {
        if let State::Open(_, envelope) = &self.state {
            let recipients = envelope.recipients.iter().map(|recipient| &recipient.address);
            self.note_refused_message(envelope.sender.as_ref(), recipients, envelope.params.size, reply);
        }
    }

    /// Begins to take in a message.
    async fn begin(&mut self, line_ends: Option<LineEnds>) -> Result<Bare, Reply> {
        let State::Open(_, envelope) = &self.state else {
            return Err(Reply::bad_sequence("MAIL comes first"));
        };
        let spool = match tokio::time::timeout(MEMORY_WAIT, self.house.store.spool()).await {
            Ok(Ok(spool)) => Box::new(spool),
            Ok(Err(error)) => return Err(temporary(&error)),
            Err(_) => return Err(Reply::no_room()),
        };
        let config = self.config();
        let most = self.max_message(&config);
        // LMTP can tell each recipient of its own, SMTP has only one answer for all.
        let limit = match self.is_lmtp() {
            true => most,
            false => envelope.recipients.iter().map(|r| r.max_message).fold(most, u64::min),
        };
        let bare = match config.smtp.bare_newline {
            NewlinePolicy::Refuse => Bare::Refuse,
            NewlinePolicy::Normalise => Bare::Normalise,
        };
        let submitted = self.listener.mode == ListenerMode::Submission;
        let watch = self.watch(envelope);
        let copy = self.house.verify.copy(envelope.recipients.iter().map(|r| &r.address));
        let incoming = Box::new(Incoming {
            id: self.message_name(),
            sink: Sink::Spool(spool),
            head: (submitted || watch != Watch::Off).then(|| Head::new(config.smtp.max_header_bytes)),
            submitted,
            watch,
            passing: None,
            copy,
            added: Vec::new(),
            limit,
            size: 0,
            bare,
            line_ends,
            chunk: Place::Last,
            deadline: Instant::now() + MESSAGE_TIME,
        });
        self.state = match std::mem::take(&mut self.state) {
            State::Open(hello, envelope) => State::Receiving(hello, envelope, incoming),
            other => other,
        };
        self.show("receiving");
        Ok(bare)
    }

    /// Takes bytes of a message. An error are last words: the client has tried our patience too far.
    pub(super) async fn take(&mut self, bytes: &[u8]) -> Result<(), Reply> {
        let State::Receiving(_, _, incoming) = &mut self.state else { return Ok(()) };
        if self.refused_chunk.is_some() {
            return Ok(());
        }
        if incoming.time_left().is_zero() {
            return Err(Reply::new(421, (4, 4, 2), "The message took too long, closing connection"));
        }
        incoming.take(bytes, &self.house.control).await;
        match &incoming.sink {
            Sink::Refused(reply) if incoming.size > incoming.limit.saturating_add(SWALLOWED) => {
                Err(reply.clone())
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn data_end(&mut self, end: DataEnd, out: &mut Out<'_>) -> Next {
        if let State::Receiving(_, _, incoming) = &mut self.state
            && end.bare_seen
            && incoming.bare == Bare::Refuse
            && matches!(incoming.sink, Sink::Spool(_))
        {
            incoming.refuse(Reply::bare_in_message());
        }
        self.complete(out).await
    }

    pub(super) async fn chunk(&mut self, chunk: Chunk) -> Answer {
        if let State::Open(_, envelope) = &self.state {
            let binary = envelope.params.body == Some(Body::BinaryMime);
            let line_ends = (!binary).then(LineEnds::default);
            if let Err(reply) = self.begin(line_ends).await {
                self.note_not_begun(&reply);
                return self.refuse_chunk(chunk.octets, reply);
            }
        }
        let State::Receiving(_, _, incoming) = &mut self.state else {
            return self.refuse_chunk(chunk.octets, Reply::bad_sequence("MAIL comes first"));
        };
        incoming.chunk = chunk.place;
        let whole = incoming.size.saturating_add(chunk.octets);
        if whole > incoming.limit.saturating_add(SWALLOWED) {
            return Answer::last(Reply::message_too_large());
        }
        if whole > incoming.limit {
            incoming.refuse(Reply::message_too_large());
        }
        self.framer.expect_chunk(chunk.octets);
        // It is answered when it has come in.
        Answer(None, Next::Continue)
    }

    /// The octets of a chunk that can't be taken come in all the same; the answer follows them.
    pub(super) fn refuse_chunk(&mut self, octets: u64, reply: Reply) -> Answer {
        if octets > SWALLOWED {
            return Answer::last(reply);
        }
        self.framer.expect_chunk(octets);
        self.refused_chunk = Some(reply);
        Answer(None, Next::Continue)
    }

    pub(super) async fn chunk_end(&mut self, out: &mut Out<'_>) -> Next {
        if let Some(reply) = self.refused_chunk.take() {
            return self.answer(reply.into(), out);
        }
        let State::Receiving(_, _, incoming) = &self.state else { return Next::Continue };
        match (&incoming.sink, incoming.chunk) {
            (_, Place::Last) => self.complete(out).await,
            (Sink::Spool(_), Place::More) => self.answer(Reply::ok().into(), out),
            // RFC 3030 §2: after a refused chunk the transaction is over; those that follow are answered 503.
            (Sink::Refused(reply), Place::More) => {
                let reply = reply.clone();
                if let State::Receiving(_, envelope, incoming) = &self.state {
                    self.note_refused(envelope, incoming.size, |_| Some(reply.clone()));
                }
                self.state.reset();
                self.show("ready");
                self.answer(reply.into(), out)
            }
        }
    }

    /// The last byte is there: delivers, and answers.
    async fn complete(&mut self, out: &mut Out<'_>) -> Next {
        let (hello, envelope, incoming) = match std::mem::take(&mut self.state) {
            State::Receiving(hello, envelope, incoming) => (hello, envelope, incoming),
            other => {
                self.state = other;
                return Next::Continue;
            }
        };
        let came = incoming.size;
        let outcome = self.deliver(&hello, &envelope, *incoming).await;
        self.state = State::Greeted(hello);
        self.show("ready");
        if !self.is_lmtp() {
            let reply = match &outcome {
                Err(reply) => reply.clone(),
                Ok(taken) if envelope.recipients.iter().any(|r| taken.reached(r)) => {
                    Reply::message_accepted(&taken.id)
                }
                Ok(_) => mailbox_gone(),
            };
            if reply.code() >= 400 {
                self.note_refused(&envelope, came, |_| Some(reply.clone()));
            }
            return self.answer(reply.into(), out);
        }
        self.note_refused(&envelope, came, |recipient| {
            Some(lmtp_reply(&outcome, recipient)).filter(|reply| reply.code() >= 400)
        });
        // RFC 2033 §4.2: one answer for each recipient, in their order.
        for recipient in &envelope.recipients {
            if self.answer(lmtp_reply(&outcome, recipient).into(), out) != Next::Continue {
                return Next::Close;
            }
        }
        Next::Continue
    }

    /// Notes for whom a message that had come in was refused, and how.
    fn note_refused(&self, envelope: &Envelope, size: u64, refusal: impl Fn(&Addressee) -> Option<Reply>) {
        let mut rest = &envelope.recipients[..];
        // Recipients who were refused alike, one after the other, are noted together.
        while let Some((first, others)) = rest.split_first() {
            let reply = refusal(first);
            let alike = 1 + others.iter().take_while(|other| refusal(other) == reply).count();
            let (these, after) = rest.split_at(alike);
            if let Some(reply) = reply {
                let addresses = these.iter().map(|recipient| &recipient.address);
                self.note_refused_message(envelope.sender.as_ref(), addresses, Some(size), &reply);
            }
            rest = after;
        }
    }

    async fn deliver(&self, hello: &Hello, envelope: &Envelope, incoming: Incoming) -> Result<Taken, Reply> {
        let config = self.config();
        let Whole { draft, id, mut added, seen, copy } = incoming.close(&self.house.control).await?;
        judge(&draft, envelope, &config)?;
        let authenticity = match seen {
            Some(seen) => Box::pin(self.authenticate(&hello.name, envelope, &added, &seen)).await?,
            None => Authenticity::default(),
        };
        added.splice(..0, authenticity.fields);
        let added = self.with_findings(added);
        let routes = envelope.recipients.iter().map(|recipient| &*recipient.route);
        let srs = forward::rewriter(&self.house.directory, &config, envelope.sender.as_ref(), routes).await;
        let srs = srs.map_err(|error| temporary(&error))?;
        let size = draft.size;
        let arrival = Arrival {
            envelope,
            received: Received {
                helo: &hello.name,
                well_formed: hello.well_formed,
                peer: self.peer(),
                reverse_name: self.reverse_name(),
                host: config.hostname(),
                protocol: hello.protocol,
                tls: self.tls.as_ref().map(|tls| (tls.version, tls.cipher.as_str())),
                authenticated: self.login.is_some(),
                utf8: envelope.params.utf8.is_some(),
                id: &id,
                at: now(),
            },
            added: &added,
            srs: srs.as_ref(),
            outbound: &authenticity.outbound,
            submitter: self.login.as_ref().map(|login| login.account),
            reports: !authenticity.junk,
        };
        let fitting = envelope.recipients.iter().filter(|r| size <= r.max_message);
        let mut plan = arrival.plan(fitting);
        if authenticity.junk {
            self.junk(&mut plan).await?;
        }
        self.screen_message(envelope, size)?;
        let fitting = envelope.recipients.iter().filter(|r| size <= r.max_message);
        let story = self.story(&id, envelope.sender.as_ref(), fitting);
        match self.commit(draft, plan, story).await {
            Ok(lost) => {
                self.read_report(copy).await;
                tracing::debug!(id, size, recipients = envelope.recipients.len(), "accepted");
                Ok(Taken { id, size, lost })
            }
            Err(error) => {
                self.take_back(envelope, size);
                Err(temporary(&error))
            }
        }
    }

    /// Commits, and returns the accounts whose mailbox has gone meanwhile.
    async fn commit(
        &self,
        draft: Draft,
        plan: Plan,
        story: Option<Box<Story>>,
    ) -> Result<HashSet<AccountId>, db::Error> {
        let mut lost = HashSet::new();
        let Plan { places, owners, outbound } = plan;
        if places.is_empty() && outbound.is_empty() {
            return Ok(lost);
        }
        let addresses = || owners.iter().map(|owner| owner.address.clone()).collect();
        let story = story.map(|story| Box::new(Story { owners: addresses(), ..*story }));
        let delivery = Delivery { story, ..Delivery::new(draft, places, outbound) };
        let receipt = self.house.committer.deliver(delivery).await?;
        for (owner, placed) in owners.iter().zip(receipt) {
            match placed {
                Some(placed) => owner.now_keeps(placed.used_bytes),
                None => {
                    tracing::error!(
                        account = owner.address,
                        "not delivered: the mailbox was deleted meanwhile"
                    );
                    lost.insert(owner.account);
                }
            }
        }
        Ok(lost)
    }
}

/// A message that was taken.
struct Taken {
    id: String,
    size: u64,
    /// Accounts that did not get it.
    lost: HashSet<AccountId>,
}

impl Taken {
    /// Whether it is on its way to this recipient.
    fn reached(&self, recipient: &Addressee) -> bool {
        match &*recipient.route {
            Route::To { accounts, remotes } => {
                !remotes.is_empty() || accounts.iter().any(|account| !self.lost.contains(&account.account))
            }
            Route::NotLocal => true,
            Route::Unknown | Route::Restricted => false,
        }
    }
}

/// What LMTP answers for a recipient.
fn lmtp_reply(outcome: &Result<Taken, Reply>, recipient: &Addressee) -> Reply {
    match outcome {
        Err(reply) => reply.clone(),
        Ok(taken) if taken.size > recipient.max_message => Reply::message_too_large(),
        Ok(taken) if taken.reached(recipient) => Reply::message_accepted(&taken.id),
        Ok(_) => mailbox_gone(),
    }
}

/// What the message's own header decides.
fn judge(draft: &Draft, envelope: &Envelope, config: &Config) -> Result<(), Reply> {
    // The store keeps no more of a header than the setting can be at most, so one that reaches it may be longer.
    if draft.header.len() >= config.smtp.max_header_bytes {
        return Err(header_too_large());
    }
    // RFC 5321 §6.3: the number of Received fields tells a loop.
    let hops = fields(&draft.header).filter(|field| field.is("Received")).count();
    if hops > config.smtp.max_received_headers
        || forward::is_back(&draft.header, envelope.recipients.iter().map(|r| &*r.route))
    {
        return Err(Reply::loop_detected());
    }
    Ok(())
}

fn header_too_large() -> Reply {
    Reply::new(552, (5, 3, 4), "The header of the message is too large")
}

fn mailbox_gone() -> Reply {
    Reply::new(451, (4, 2, 1), "The mailbox has changed, try again later")
}

fn now() -> DateTime {
    DateTime::new(jiff::Timestamp::now(), 0)
}
