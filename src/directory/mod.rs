//! Who is who: domains, accounts, aliases, and whether someone is who he says.
//!
//! What must hold here: a login attempt tells nothing of whether the account exists (`login` counts unknown names alike,
//! `checker` spends the same time on them); expensive work on passwords goes through the one [`gate::Gate`] of the
//! process and never runs on a thread that serves connections; what is remembered of the directory is forgotten when it
//! changes, before that change counts as obeyed.

mod administrator;
pub mod checker;
pub mod gate;
pub mod import;
mod issuer;
pub mod login;
pub mod password;
pub mod quota;
mod recent;
pub mod remembered;
pub mod resolve;
mod scheme;
mod second_factor;
mod sender;
pub mod throttle;

pub use administrator::{Administrator, Token};
pub use login::{Authentication, Login, LoginError, Progress, Visitor};
pub use resolve::{Directory, Recipient, Remote, Route};
pub use second_factor::SecondFactor;
pub use sender::Sender;
