//! Is mail what it says it is? Checks of incoming mail (iprev, SPF, DKIM, DMARC, ARC), signatures on outgoing mail, and
//! DMARC reports in both directions.
//!
//! `observe` watches a message as it passes, `incoming` checks it, `policy` says what follows, `results` writes what was
//! found; `keys` keeps the keys and `sign` makes signatures with them; `report` counts what is reported and `received` reads
//! what others report. `zone` knows which DNS records a domain needs, and looks for them.
//!
//! What must hold: a message is never whole in memory, its body is hashed while it streams in; all checks of a message
//! together end within `control.authentication.timeout_seconds`; trouble with the DNS is a temporary error and never refuses
//! mail for good. What a message costs: no commit and no query of the database. The DNS is asked for what is not in a
//! cache (reverse name, SPF, DMARC, a key for each signature); hashing its body for each canonicalisation that its signatures use.
//! A signature costs a query for the first message of a domain, and none until settings or directory change.
//!
//! DMARC is that of RFC 9989, which has replaced RFC 7489: the organizational domain is found by walking up the DNS.

mod cache;
pub mod incoming;
pub mod keys;
pub mod observe;
pub mod policy;
pub mod received;
pub mod report;
mod results;
pub mod sign;
pub mod spf;
mod spf_record;
pub mod zone;

use std::sync::Arc;

use mail_auth::{MessageAuthenticator, Txt};

pub use incoming::{Client, Verdict};
pub use observe::{Observed, Purpose, Seen};
pub use received::Copy;
pub use results::without_forged;

use crate::control::Control;
use crate::dns::Dns;

/// Checks and signs mail.
pub struct Verify {
    control: Arc<Control>,
    dns: Dns,
    txt: cache::Cache<Txt>,
    keys: keys::Keys,
    counts: report::Counts,
    room: received::Room,
}

impl Verify {
    /// Verification on this node. What is remembered is forgotten whenever settings or directory change.
    pub fn start(control: Arc<Control>, dns: Dns) -> Arc<Self> {
        let verify = Arc::new(Self {
            control: control.clone(),
            dns,
            txt: cache::Cache::default(),
            keys: keys::Keys::default(),
            counts: report::Counts::default(),
            room: received::Room::default(),
        });
        let weak = Arc::downgrade(&verify);
        control.on_change(move || {
            if let Some(verify) = weak.upgrade() {
                verify.txt.clear();
                verify.keys.forget();
            }
        });
        verify
    }

    fn authenticator(&self) -> MessageAuthenticator {
        MessageAuthenticator(self.dns.resolver())
    }
}
