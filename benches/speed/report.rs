//! The figures: printed as they come, written as text and JSON at the end.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::trouble::{Told as _, Trouble};

/// Several runs of one measurement.
#[derive(Clone, Default, Serialize)]
pub struct Runs(pub Vec<f64>);

impl Runs {
    /// The middle one; of an even number, the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
        match (sorted.get(low), sorted.get(high)) {
            (Some(low), Some(high)) => (low + high) / 2.0,
            _ => f64::NAN,
        }
    }
}

impl From<f64> for Runs {
    fn from(value: f64) -> Self {
        Self(vec![value])
    }
}

/// A figure, beside a peer or a bound.
#[derive(Serialize)]
pub struct Figure {
    part: String,
    name: String,
    unit: &'static str,
    value: f64,
    runs: Runs,
    beside: Option<Beside>,
    goal: Option<Goal>,
}

#[derive(Serialize)]
struct Beside {
    name: String,
    value: f64,
    runs: Runs,
    /// Ours divided by theirs.
    ratio: f64,
}

#[derive(Serialize)]
struct Goal {
    text: String,
    met: bool,
}

impl Figure {
    /// The median of some runs.
    pub fn new(name: impl Into<String>, runs: impl Into<Runs>, unit: &'static str) -> Self {
        let runs = runs.into();
        let (name, value) = (name.into(), runs.median());
        Self { part: String::new(), name, unit, value, runs, beside: None, goal: None }
    }

    /// The highest of some runs.
    pub fn most(name: impl Into<String>, runs: Vec<f64>, unit: &'static str) -> Self {
        let value = runs.iter().copied().fold(f64::NAN, f64::max);
        Self { value, ..Self::new(name, Runs(runs), unit) }
    }

    /// The same of a peer, or what would be possible at best.
    pub fn beside(mut self, name: impl Into<String>, runs: impl Into<Runs>) -> Self {
        let runs = runs.into();
        let value = runs.median();
        self.beside = Some(Beside { name: name.into(), value, ratio: self.value / value, runs });
        self
    }

    /// The ratio should be at least this.
    pub fn ratio_goal(mut self, least: f64) -> Self {
        if let Some(beside) = &self.beside {
            self.goal = Some(Goal { text: format!("at least {least} times"), met: beside.ratio >= least });
        }
        self
    }

    /// The value should not be above this.
    pub fn limit_goal(mut self, most: f64) -> Self {
        let text = format!("at most {} {}", number(most), self.unit);
        self.goal = Some(Goal { text, met: self.value <= most });
        self
    }

    /// Ratio and goal in a word each, for a table.
    pub fn verdict(&self) -> Vec<String> {
        let ratio = self.beside.as_ref().map(|beside| format!("{:.2}", beside.ratio));
        let met = self.goal.as_ref().map(|goal| if goal.met { "met" } else { "NOT MET" }.to_owned());
        ratio.into_iter().chain(met).collect()
    }

    fn text(&self) -> String {
        let mut text = format!("  {:<58} {:>10} {}", self.name, number(self.value), self.unit);
        if self.runs.0.len() > 1 {
            write!(text, " (runs: {})", all(&self.runs)).ok();
        }
        if let Some(beside) = &self.beside {
            write!(text, "\n    {:<56} {:>10} {}", beside.name, number(beside.value), self.unit).ok();
            if beside.runs.0.len() > 1 {
                write!(text, " (runs: {})", all(&beside.runs)).ok();
            }
            write!(text, "\n    {:<56} {:>10}", "ratio", format!("{:.2}", beside.ratio)).ok();
        }
        if let Some(goal) = &self.goal {
            let met = if goal.met { "met" } else { "NOT MET" };
            write!(text, "\n    goal: {}: {met}", goal.text).ok();
        }
        text
    }
}

/// All that a run has to say.
#[derive(Serialize)]
pub struct Report {
    machine: Vec<String>,
    figures: Vec<Figure>,
    notes: Vec<String>,
    #[serde(skip)]
    part: String,
    #[serde(skip)]
    text: String,
}

impl Report {
    /// Begins with what the machine is.
    pub fn new(machine: Vec<String>) -> Self {
        let mut report = Self {
            machine: machine.clone(),
            figures: vec![],
            notes: vec![],
            part: String::new(),
            text: String::new(),
        };
        for line in machine {
            report.line(&line);
        }
        report
    }

    /// A new part begins.
    pub fn part(&mut self, name: &str) {
        name.clone_into(&mut self.part);
        self.line("");
        self.line(name);
    }

    /// A figure.
    pub fn figure(&mut self, mut figure: Figure) {
        figure.part.clone_from(&self.part);
        self.line(&figure.text());
        self.figures.push(figure);
    }

    /// Something to know when reading the figures.
    pub fn note(&mut self, text: &str) {
        self.line(&format!("  {text}"));
        self.notes.push(if self.part.is_empty() {
            text.to_owned()
        } else {
            format!("{}: {text}", self.part)
        });
    }

    /// A table, its first row the heads. The figures in it should be figures as well.
    pub fn table(&mut self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in rows {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(n, (cell, width))| match n {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            self.line(&format!("  {}", cells.collect::<Vec<_>>().join("  ")));
        }
    }

    /// A figure that is in a table already: kept, not printed.
    pub fn keep(&mut self, mut figure: Figure) {
        figure.part.clone_from(&self.part);
        self.figures.push(figure);
    }

    /// Writes NAME.txt and NAME.json.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(), Trouble> {
        std::fs::create_dir_all(folder).told("make the folder bench-results")?;
        let text = folder.join(format!("{name}.txt"));
        std::fs::write(&text, &self.text).told(&format!("write {}", text.display()))?;
        let json = folder.join(format!("{name}.json"));
        let value = serde_json::to_string_pretty(self).told("write the figures as JSON")?;
        std::fs::write(&json, value + "\n").told(&format!("write {}", json.display()))?;
        println!("\nwritten to {} and {}", text.display(), json.display());
        Ok(())
    }

    fn line(&mut self, text: &str) {
        println!("{text}");
        self.text.push_str(text);
        self.text.push('\n');
    }
}

/// What is going on, for the person who waits; not part of the report.
pub fn progress(text: &str) {
    eprintln!("    … {text}");
}

fn all(runs: &Runs) -> String {
    runs.0.iter().map(|value| number(*value)).collect::<Vec<_>>().join(", ")
}

/// A number as people read it: three figures at least, thousands parted.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut parted = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = whole.len() - place;
        if place > 0 && left % 3 == 0 && !parted.ends_with('-') {
            parted.push(',');
        }
        parted.push(digit);
    }
    match rest {
        Some(rest) => format!("{parted}.{rest}"),
        None => parted,
    }
}

/// The value below which `share` of the sorted values lie.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(place - 1).copied().unwrap_or(f64::NAN)
}
