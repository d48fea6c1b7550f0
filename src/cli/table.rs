//! Tables on a terminal: columns aligned by the width that characters take there, numbers to the right.
//!
//! What stands in a cell came from strangers as often as not: control characters are shown, never sent to the terminal.

use std::io::Write;

use unicode_width::UnicodeWidthStr;

/// Rows under a heading.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no row.
    pub fn new<S: AsRef<str>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { head: head.into_iter().map(|name| visible(name.as_ref())).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| visible(cell.as_ref())).collect());
    }

    /// The table as text.
    pub fn text(&self) -> String {
        let columns = self.head.len();
        let column = |at: usize| self.rows.iter().filter_map(move |row| row.get(at));
        let width = |at: usize| {
            let cells = column(at).chain(self.head.get(at));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let right: Vec<bool> = (0..columns).map(|at| is_numeric(column(at))).collect();
        let mut text = String::new();
        let mut line = |cells: &[String]| {
            let mut padded = Vec::with_capacity(columns);
            for (at, cell) in cells.iter().enumerate() {
                let pad = " ".repeat(widths.get(at).map_or(0, |w| w - cell.width().min(*w)));
                let to_the_right = right.get(at) == Some(&true);
                padded.push(if to_the_right { format!("{pad}{cell}") } else { format!("{cell}{pad}") });
            }
            text.push_str(format!(" {}", padded.join(" | ")).trim_end());
            text.push('\n');
        };
        line(&self.head);
        let rule: Vec<String> = widths.iter().map(|w| "-".repeat(w + 2)).collect();
        let rule = rule.join("+");
        let mut out = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            line(row);
        }
        // The rule stands below the heading.
        let end = text.find('\n').map_or(text.len(), |at| at + 1);
        let (head, body) = text.split_at_checked(end).unwrap_or((&text, ""));
        out.extend([head, &rule, "\n", body]);
        out.concat()
    }
}

fn is_numeric<'a>(cells: impl Iterator<Item = &'a String>) -> bool {
    let mut some = false;
    for cell in cells.filter(|cell| !cell.is_empty()) {
        let digits = cell.strip_prefix('-').unwrap_or(cell);
        if !digits.starts_with(|c: char| c.is_ascii_digit()) || digits.parse::<f64>().is_err() {
            return false;
        }
        some = true;
    }
    some
}

/// The text with control characters written out.
pub fn visible(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Writes to standard output. Whoever reads it may stop reading, as `head` does: then nothing is left to do.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            eprintln!("mailwright: could not write to standard output: {error}");
            std::process::exit(1);
        }
        std::process::exit(0);
    }
}

/// The same, with a line end.
pub fn say_line(text: impl AsRef<str>) {
    say(&format!("{}\n", text.as_ref()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["name", "n"]);
        table.row(["bücher", "7"]);
        table.row(["世界", "-12.5"]);
        assert_eq!(table.text(), " name   |     n\n--------+-------\n bücher |     7\n 世界   | -12.5\n");
    }

    #[test]
    fn terminals_are_not_commanded() {
        let mut table = Table::new(["a"]);
        table.row(["x\u{1b}[2J\ny"]);
        assert_eq!(
            table.text(),
            " a\n------------------\n x\\u{1b}[2J\\ny\n".replace("------------------", "---------------")
        );
    }

    #[test]
    fn empty() {
        assert_eq!(Table::new(["a", "b"]).text(), " a | b\n---+---\n");
    }
}
