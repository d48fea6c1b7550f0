//! Pairs of options that say yes and no.

/// Yes, no, or nothing said. Clap refuses both at once.
pub fn switch(on: bool, off: bool) -> Option<bool> {
    match (on, off) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}
