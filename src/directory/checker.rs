//! Checking a password, as the rest of the server does it: memory, gate and hash in the right order.

use std::time::Instant;

use super::{
    gate::{Busy, Gate},
    password::{Stored, Unstorable, Verdict, hash, verify, verify_nothing},
    remembered::Remembered,
};
use crate::sasl::Secret;

/// Where a login's stored hash comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate<'a> {
    /// A row with a hash.
    Known {
        /// Its id: what the memory goes by.
        id: i64,
        /// The stored hash.
        stored: &'a str,
    },
    /// No such account, or none that has a password. Answered as slowly as a wrong password.
    Unknown,
}

/// Checks and hashes passwords for the whole process.
#[derive(Debug)]
pub struct Checker {
    gate: Gate,
    remembered: Remembered,
}

impl Checker {
    /// A checker with its gate and its memory.
    pub fn new(gate: Gate, remembered: Remembered) -> Self {
        Self { gate, remembered }
    }

    /// Whether the password is right. After [`Verdict::RightUpgrade`] the caller stores [`Checker::hash`] of
    /// it.
    ///
    /// # Errors
    /// [`Busy`] when there was no time to find out.
    pub async fn check(&self, candidate: Candidate<'_>, password: &Secret) -> Result<Verdict, Busy> {
        let given = password.clone();
        let Candidate::Known { id, stored } = candidate else {
            self.gate.run(move || verify_nothing(&given)).await?;
            return Ok(Verdict::Wrong);
        };
        if self.remembered.recalls(id, stored, password, Instant::now()) {
            return Ok(Verdict::Right);
        }
        let kept = stored.to_owned();
        let verdict = self.gate.run(move || verify(&kept, &given)).await?;
        // What is about to be replaced is not worth remembering, and remembered it would not be replaced.
        if verdict == Verdict::Right {
            self.remembered.remember(id, stored, password, Instant::now());
        }
        Ok(verdict)
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`Busy`] outside, [`Unstorable`] inside.
    pub async fn hash(&self, password: &Secret) -> Result<Result<Stored, Unstorable>, Busy> {
        let given = password.clone();
        self.gate.run(move || hash(&given)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn checks_once_and_remembers() {
        let gate = Gate::with(1, 0, Duration::from_secs(60));
        let checker = Checker::new(gate.clone(), Remembered::new().unwrap());
        let password = Secret::from("pw");
        let stored = checker.hash(&password).await.unwrap().unwrap().hash;
        let known = Candidate::Known { id: 1, stored: &stored };
        assert_eq!(checker.check(known, &"other".into()).await, Ok(Verdict::Wrong));
        assert_eq!(checker.check(Candidate::Unknown, &password).await, Ok(Verdict::Wrong));
        assert_eq!(checker.check(known, &password).await, Ok(Verdict::Right));

        // With the gate shut, only the memory can answer.
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let shut = tokio::spawn(async move {
            gate.run(move || {
                begin.send(()).unwrap();
                let _ = ended.recv();
            })
            .await
        });
        begun.await.unwrap();
        assert_eq!(checker.check(known, &password).await, Ok(Verdict::Right));
        assert_eq!(checker.check(known, &"other".into()).await, Err(Busy::QueueFull));
        assert_eq!(checker.check(Candidate::Unknown, &password).await, Err(Busy::QueueFull));
        drop(end);
        shut.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_upgrade_is_asked_for_until_it_is_made() {
        let checker = Checker::new(Gate::with(1, 0, Duration::from_secs(60)), Remembered::new().unwrap());
        let old = Candidate::Known { id: 1, stored: "{PLAIN}pw" };
        for _ in 0..2 {
            assert_eq!(checker.check(old, &"pw".into()).await, Ok(Verdict::RightUpgrade));
        }
    }
}
