//! Who is who: domains, accounts, aliases, and whether someone is who he says.
//!
//! What must hold here: a login attempt tells nothing of whether the account exists (`throttle` counts
//! unknown names alike, `checker` spends the same time on them); expensive work on passwords goes through the
//! one [`gate::Gate`] of the process and never runs on a thread that serves connections.

pub mod checker;
pub mod gate;
pub mod password;
mod recent;
pub mod remembered;
mod scheme;
pub mod throttle;
