//! A message comes in, from anywhere: SMTP, LMTP, APPEND, import.
//!
//! `facts` is what is known of it besides its bytes, `submission` what we may change in the mail of our users, `trace`
//! writes where it came from, `place` plans where it goes, `delivery` is what comes of that, and `commit` is the only way into
//! the tables (`enqueue` and `settle` write its rows of the queue, `replace` removes what others take the place of, `story` what the trace is told of it). [`House`] is what every face is given: settings and
//! sessions, the message store, the directory and the committer.

mod commit;
mod delivery;
mod enqueue;
pub mod facts;
pub mod forward;
pub mod place;
mod replace;
mod settle;
mod story;
pub mod submission;
pub mod trace;

use std::sync::Arc;

pub use commit::{Committer, HandedOver};
pub use delivery::{Content, Delivery, Outbound, OutboundRecipient, Place, Placed, Receipt, Replaced};
pub use facts::{Addressee, Envelope};
pub use story::Story;

use crate::control::Control;
use crate::directory::Directory;
use crate::dns::Dns;
use crate::log::Log;
use crate::screen::Screen;
use crate::store::Store;
use crate::verify::Verify;

/// What a face stands on.
pub struct House {
    /// Settings, sessions, limits, the database.
    pub control: Arc<Control>,
    /// Messages and mailboxes.
    pub store: Arc<Store>,
    /// Addresses and logins.
    pub directory: Arc<Directory>,
    /// Names.
    pub dns: Dns,
    /// Checks and signs mail.
    pub verify: Arc<Verify>,
    /// Takes messages in.
    pub committer: Committer,
    /// Screens strangers, and limits how much is sent.
    pub screen: Arc<Screen>,
    /// Keeps what happens.
    pub log: Log,
}
