//! Who a message is from: checks of what other servers bring, signatures on what our users send.
//!
//! What passes through here is watched from its header on ([`Observed`]); after its last byte it is judged or signed, and what
//! comes of that are header lines of its copies and the mailbox that it goes to.

use super::session::{Session, temporary};
use crate::control::config::{AuthenticationAction, ListenerMode};
use crate::directory::Route;
use crate::intake::Envelope;
use crate::intake::place::Plan;
use crate::mail::Address;
use crate::smtp::Reply;
use crate::verify::{Client, Copy, Observed, Purpose, Seen, without_forged};

/// What the authenticity of a message adds to its delivery.
#[derive(Default)]
pub(super) struct Authenticity {
    /// Header lines for all copies.
    pub(super) fields: Vec<u8>,
    /// Header lines for copies that go to other servers, before the others.
    pub(super) outbound: Vec<u8>,
    /// Whether it goes to Junk.
    pub(super) junk: bool,
}

/// What is done about the authenticity of a message, known before its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Nothing.
    Off,
    /// It is checked; with `forward` some of its copies go elsewhere and may be sealed.
    Check {
        /// Whether copies go elsewhere.
        forward: bool,
    },
    /// It is signed.
    Sign,
}

impl Watch {
    /// Takes the header of a message, and what has come of the body: as it may go on, and what watches the rest.
    pub(super) fn begin(self, content: Vec<u8>, host: &str) -> (Vec<u8>, Option<Passing>) {
        match self {
            Watch::Off => (content, None),
            Watch::Sign => {
                let observed = Observed::new(&content, Purpose { verify: false, sign: true });
                (content, Some(Passing { observed }))
            }
            Watch::Check { forward } => {
                // What was signed is what came; only afterwards it is freed of what is forged.
                let observed = Observed::new(&content, Purpose { verify: true, sign: forward });
                (without_forged(&content, host).into_owned(), Some(Passing { observed }))
            }
        }
    }
}

/// A message that is being watched.
pub(super) struct Passing {
    observed: Observed,
}

impl Passing {
    /// Takes the next bytes of its body.
    pub(super) fn body(&mut self, bytes: &[u8]) {
        self.observed.body(bytes);
    }

    /// Its last byte has come.
    pub(super) fn finish(self) -> Seen {
        self.observed.finish()
    }
}

impl Session {
    /// What is to be done about the authenticity of the message that follows.
    pub(super) fn watch(&self, envelope: &Envelope) -> Watch {
        // Who may relay is one of ours, logged in or not.
        if self.may_relay() {
            return Watch::Sign;
        }
        let config = self.config();
        // A relay of ours is not who the mail is from.
        let trusted = config.is_listed(config.screen.rbl_settings.trusted_ip_list_id, self.peer());
        let standard = self.listener.mode == ListenerMode::Standard;
        let checked = config.authentication.check_incoming && standard && !trusted;
        if checked { Watch::Check { forward: forwarder(envelope).is_some() } } else { Watch::Off }
    }

    /// Judges a message, or signs it. `added` is what we have added to its header.
    pub(super) async fn authenticate(
        &self,
        helo: &str,
        envelope: &Envelope,
        added: &[u8],
        seen: &Seen,
    ) -> Result<Authenticity, Reply> {
        let verify = &self.house.verify;
        if self.may_relay() {
            // Without the database the message could not be taken either.
            let fields = verify.sign(added, seen).await.map_err(|error| temporary(&error))?;
            return Ok(Authenticity { fields, ..Authenticity::default() });
        }
        let client = Client { peer: self.peer(), helo, sender: envelope.sender.as_ref() };
        let verdict = verify.judge(&client, seen).await;
        if let Some(refusal) = verdict.refusal {
            tracing::info!(peer = %self.peer(), outcomes = ?verdict.outcomes, "refused by authentication policy");
            return Err(refusal);
        }
        let outbound = match forwarder(envelope) {
            Some(by) => {
                let sealed = verify.seal(by.domain(), &verdict, seen).await;
                sealed.map_err(|error| temporary(&error))?.unwrap_or_default()
            }
            None => Vec::new(),
        };
        Ok(Authenticity {
            junk: verdict.action == AuthenticationAction::Junk,
            fields: verdict.fields,
            outbound,
        })
    }

    /// Keeps the report that a message may bring. The message is delivered already, whatever it holds.
    pub(super) async fn read_report(&self, copy: Option<Copy>) {
        let Some(copy) = copy else { return };
        if let Err(error) = self.house.verify.read_report(copy).await {
            tracing::warn!(%error, "a DMARC report could not be kept");
        }
    }

    /// Sends the local copies to Junk, where an account has that mailbox.
    pub(super) async fn junk(&self, plan: &mut Plan) -> Result<(), Reply> {
        let accounts: Vec<i64> = plan.places.iter().map(|place| place.account.0).collect();
        let junk = self.house.directory.junk(&accounts).await.map_err(|error| temporary(&error))?;
        for place in &mut plan.places {
            if let Some(mailbox) = junk.get(&place.account) {
                place.mailbox = *mailbox;
            }
        }
        Ok(())
    }
}

/// The address here that sends the message on to other servers.
fn forwarder(envelope: &Envelope) -> Option<&Address> {
    let forwards = |route: &Route| matches!(route, Route::To { remotes, .. } if !remotes.is_empty());
    envelope
        .recipients
        .iter()
        .find(|addressee| forwards(&addressee.route))
        .map(|addressee| &addressee.address)
}
