//! LOGIN-DELAY (RFC 2449 §6.7): the shortest time between two logins of one account.
//!
//! Kept in the memory of each node, so an account may log in once on each of them: it is there to spare the server, and
//! a round trip to the database would cost more than it saves. Nothing is kept while the setting is 0.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::mail::AccountId;

/// Below so many entries nothing is thrown away.
const FEW: usize = 1024;

/// When accounts have logged in.
#[derive(Debug, Default)]
pub struct LoginTimes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: HashMap<AccountId, Instant>,
    /// At how many entries those that are over are thrown away.
    sweep_at: usize,
}

impl LoginTimes {
    /// Notes a login at `now`, unless it comes too early.
    ///
    /// # Errors
    /// How long there is still to wait; nothing is noted then.
    pub fn admit(&self, account: AccountId, delay: Duration, now: Instant) -> Result<(), Duration> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if delay.is_zero() {
            *inner = Inner::default();
            return Ok(());
        }
        let left = inner.last.get(&account).map_or(Duration::ZERO, |at| delay.saturating_sub(now - *at));
        if !left.is_zero() {
            return Err(left);
        }
        if inner.last.len() >= inner.sweep_at.max(FEW) {
            inner.last.retain(|_, at| now - *at < delay);
            inner.sweep_at = inner.last.len() * 2;
        }
        inner.last.insert(account, now);
        Ok(())
    }

    /// Forgets a login that came to nothing.
    pub fn forget(&self, account: AccountId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last.remove(&account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(60);

    #[test]
    fn too_early_is_refused_per_account() {
        let times = LoginTimes::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        times.admit(AccountId(1), DELAY, start).unwrap();
        assert_eq!(times.admit(AccountId(1), DELAY, at(20)), Err(Duration::from_secs(40)));
        times.admit(AccountId(2), DELAY, at(20)).unwrap();
        times.forget(AccountId(2));
        times.admit(AccountId(2), DELAY, at(20)).unwrap();
        // A shorter setting counts at once.
        times.admit(AccountId(1), Duration::from_secs(20), at(20)).unwrap();
        times.admit(AccountId(1), DELAY, at(80)).unwrap();
    }

    #[test]
    fn what_is_over_is_thrown_away() {
        let times = LoginTimes::default();
        let start = Instant::now();
        for account in 0..10 * FEW as i64 {
            let now = start + Duration::from_millis(600) * account as u32;
            times.admit(AccountId(account), DELAY, now).unwrap();
        }
        assert!(times.0.lock().unwrap().last.len() <= FEW);
        times.admit(AccountId(1), Duration::ZERO, start).unwrap();
        assert!(times.0.lock().unwrap().last.is_empty());
    }
}
