//! Numbers as Prometheus reads them (text format 0.0.4): a family of samples after its HELP and TYPE lines, each once.

use std::fmt::Write as _;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows, until the daemon starts anew.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counters by upper bound.
    Histogram,
}

/// The text.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// A family that is being written.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Text {
    /// Begins a family. Its name says the unit, and ends in `_total` where it is a counter.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
        Family { text: &mut self.0, name }
    }

    /// All of it.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// A sample with these labels.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.line("", labels, value)
    }

    /// A sample without labels.
    pub(super) fn value(&mut self, value: f64) {
        self.line("", &[], value);
    }

    /// The samples of a histogram: upper bounds and how many were not above, how many there were, their sum.
    pub(super) fn histogram(&mut self, bounds: &[f64], counts: &[u64], count: u64, sum: f64) {
        for (bound, below) in bounds.iter().zip(counts) {
            self.line("_bucket", &[("le", &bound.to_string())], *below as f64);
        }
        self.line("_bucket", &[("le", "+Inf")], count as f64);
        self.line("_sum", &[], sum);
        self.line("_count", &[], count as f64);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (at, (name, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let before = if at == 0 { '{' } else { ',' };
            write!(self.text, "{before}{name}=\"{text}\"").ok();
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        writeln!(self.text, " {value}").ok();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written() {
        let mut text = Text::default();
        text.family("mail_total", Kind::Counter, "All \\ of it\nand more")
            .sample(&[("step", "a\"b\\c\nd"), ("node", "one")], 3.0)
            .sample(&[], 1.5);
        text.family("took_seconds", Kind::Histogram, "Time").histogram(&[0.5, 1.0], &[1, 2], 4, 9.25);
        let expected = "# HELP mail_total All \\\\ of it\\nand more\n# TYPE mail_total counter\n\
            mail_total{step=\"a\\\"b\\\\c\\nd\",node=\"one\"} 3\nmail_total 1.5\n\
            # HELP took_seconds Time\n# TYPE took_seconds histogram\n\
            took_seconds_bucket{le=\"0.5\"} 1\ntook_seconds_bucket{le=\"1\"} 2\ntook_seconds_bucket{le=\"+Inf\"} 4\n\
            took_seconds_sum 9.25\ntook_seconds_count 4\n";
        assert_eq!(text.finish(), expected);
    }
}
