//! How far a long command has come: a bar on a terminal, a line every few seconds elsewhere. On standard error, so that
//! a result can go to standard output.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::mail::count;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Reasons shown; further ones are only counted.
const SHOWN: u64 = 20;

/// What the total counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of files.
    Bytes,
    /// Messages.
    Messages,
}

/// A count that grows.
pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    done: u64,
    messages: u64,
    troubles: u64,
    verb: &'static str,
    started: Instant,
    line_at: Instant,
}

impl Progress {
    /// Nothing done yet; a total of 0 is not known.
    pub fn new(verb: &'static str, total: u64, unit: Unit) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = if total > 0 { ProgressBar::new(total) } else { ProgressBar::new_spinner() };
            // The forms are right: a test reads them. A bar in its common form would do too.
            if let Ok(style) = ProgressStyle::with_template(form(total, unit)) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        Self { bar, total, done: 0, messages: 0, troubles: 0, verb, started: now, line_at: now + LINE_EVERY }
    }

    /// So much is done in all: units of the total, and messages.
    pub fn reached(&mut self, done: u64, messages: u64) {
        self.done = done;
        self.messages = messages;
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(self.text());
            }
            None if Instant::now() >= self.line_at => {
                self.line_at = Instant::now() + LINE_EVERY;
                let percent =
                    (done * 100).checked_div(self.total).map_or_else(String::new, |p| format!(", {p} %"));
                eprintln!("{} {}{percent}", self.verb, self.text());
            }
            None => {}
        }
    }

    fn text(&self) -> String {
        let rate = self.messages as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        format!("{}, {rate:.0}/s", count(self.messages, "message"))
    }

    /// Says that something did not work, without disturbing the bar; after a while such things are only counted.
    pub fn trouble(&mut self, text: &str) {
        self.troubles += 1;
        let text = match self.troubles {
            n if n < SHOWN => text.to_owned(),
            SHOWN => format!("{text}\n(more of this kind is only counted)"),
            _ => return,
        };
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// How long it took.
    pub fn finish(self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}

fn form(total: u64, unit: Unit) -> &'static str {
    match (total, unit) {
        (0, _) => "{spinner} {elapsed}  {msg}",
        (_, Unit::Bytes) => "{bar:30} {percent:>3} %  {msg}  {bytes} of {total_bytes}  {eta} left",
        (_, Unit::Messages) => "{bar:30} {percent:>3} %  {msg}  of {human_len}  {eta} left",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_right() {
        for (total, unit) in [(0, Unit::Bytes), (1, Unit::Bytes), (1, Unit::Messages)] {
            assert!(ProgressStyle::with_template(form(total, unit)).is_ok());
        }
    }
}
