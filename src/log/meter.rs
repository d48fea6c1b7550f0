//! What this daemon has counted since it was started: numbers that only grow, for those who watch it.
//!
//! Guarantees: counting costs an addition in memory and waits for nobody. What is counted is what was committed, as the rows of
//! `log.trace` and `queue.attempt` tell it; but these outlive the daemon, and the numbers here begin at 0 with each start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Step, Trace};

/// Outcomes of attempts to deliver, as `queue.attempt` calls them.
const OUTCOMES: [&str; 4] = ["delivered", "delayed", "failed", "expired"];
/// Upper bounds of the groups of attempts, seconds; what takes longer is in none.
pub const BUCKETS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

/// The numbers.
#[derive(Debug, Default)]
pub struct Meter {
    steps: [AtomicU64; Step::ALL.len()],
    messages: AtomicU64,
    bytes: AtomicU64,
    outcomes: [AtomicU64; OUTCOMES.len()],
    /// How many deliveries took as long as that, and no less than the bound before.
    buckets: [AtomicU64; BUCKETS.len()],
    delivered_micros: AtomicU64,
}

impl Meter {
    /// Counts rows of the trace.
    pub(super) fn trace(&self, rows: &[Trace]) {
        for row in rows {
            add(self.steps.get(row.step as usize), 1);
            if row.step == Step::Accepted && row.sender.is_some() {
                add(Some(&self.messages), 1);
                add(Some(&self.bytes), row.size.unwrap_or(0).unsigned_abs());
            }
        }
    }

    /// Counts an attempt to deliver that has ended so, and how long it took.
    pub fn attempt(&self, outcome: &str, took: Duration) {
        add(OUTCOMES.iter().zip(&self.outcomes).find(|(word, _)| **word == outcome).map(|(_, n)| n), 1);
        if outcome == "delivered" {
            let bound = BUCKETS.iter().position(|bound| took.as_secs_f64() <= *bound);
            add(bound.and_then(|at| self.buckets.get(at)), 1);
            add(Some(&self.delivered_micros), u64::try_from(took.as_micros()).unwrap_or(u64::MAX >> 20));
        }
    }

    /// Each step and outcome, and how often it was.
    pub fn steps(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let steps = Step::ALL.iter().map(|step| step.word()).zip(&self.steps);
        steps.chain(OUTCOMES.into_iter().zip(&self.outcomes)).map(|(word, count)| (word, get(count)))
    }

    /// Messages that were accepted, and their bytes.
    pub fn accepted(&self) -> (u64, u64) {
        (get(&self.messages), get(&self.bytes))
    }

    /// Deliveries to other servers that took no longer than each of [`BUCKETS`], and how long all of them took, in seconds. How many
    /// there were, [`Meter::steps`] says.
    pub fn deliveries(&self) -> ([u64; BUCKETS.len()], f64) {
        let mut sum = 0;
        let buckets = self.buckets.each_ref().map(|bucket| {
            sum += get(bucket);
            sum
        });
        (buckets, get(&self.delivered_micros) as f64 / 1e6)
    }
}

fn add(number: Option<&AtomicU64>, count: u64) {
    if let Some(number) = number {
        number.fetch_add(count, Ordering::Relaxed);
    }
}

fn get(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_counted() {
        let meter = Meter::default();
        let first =
            Trace { sender: Some(String::new()), size: Some(100), ..Trace::new(Step::Accepted, "1-1") };
        meter.trace(&Trace::for_each(first, ["a@x.test", "b@x.test"].map(str::to_owned)));
        meter.trace(&[Trace::new(Step::Reported, "1-1")]);
        for milliseconds in [20, 100, 101, 500_000] {
            meter.attempt("delivered", Duration::from_millis(milliseconds));
        }
        meter.attempt("delayed", Duration::from_secs(1));
        let counted: Vec<(&str, u64)> = meter.steps().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("accepted", 2), ("reported", 1), ("delivered", 4), ("delayed", 1)]);
        assert_eq!(meter.accepted(), (1, 100));
        let (buckets, seconds) = meter.deliveries();
        assert_eq!(buckets, [1, 2, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert!((seconds - 500.221).abs() < 1e-9, "{seconds}");
    }

    #[test]
    fn each_step_has_its_place() {
        for (place, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, place);
        }
    }
}
