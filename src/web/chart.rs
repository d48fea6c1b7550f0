//! Charts, drawn here as SVG and written into the page: lines over time, and horizontal bars.
//!
//! Guarantees: a drawing has no style, no script and no colour of its own; its shapes bear classes (`ink`, `grid`, `stroke-1`,
//! `fill-1` …) that the style sheet colours for light and dark, and lines differ by their dashes too. It has a name and a
//! description for those who do not see it, and its numbers stand below it as a table. What is drawn is bounded; what others
//! have made up is escaped. Costs: some 10 µs for each hundred points, no question to anybody.
//!
//! A chart goes into a template as it is: `{{ chart }}`.

use std::error::Error;

use askama::Template;
use jiff::Timestamp;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Lines in one chart; the style sheet has as many.
pub(super) const SERIES_MAX: usize = 6;
/// Points of a line.
const POINTS_MAX: usize = 1500;
/// Bars in one chart.
const BARS_MAX: usize = 25;
/// Letters of a bar's name in the drawing; the table has all of it.
const NAME_MAX: usize = 28;

const WIDTH: u32 = 720;
const HEIGHT: u32 = 240;
const BAR: i32 = 26;
const FONT: (&str, i32) = ("sans-serif", 20);

/// Colours that stand for classes: the drawing library knows nothing else. None of them reaches the page.
const INK: RGBColor = RGBColor(0xfe, 0xed, 0x01);
const GRID: RGBColor = RGBColor(0xfe, 0xed, 0x02);

/// What numbers of a chart are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Things that are counted.
    Count,
    /// Bytes, in powers of 1024.
    Bytes,
    /// A time in seconds.
    Seconds,
    /// How many in a second.
    PerSecond,
}

/// A line.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// What it is called.
    pub(super) label: String,
    /// One for each time of the chart; where it is not known the line has a gap.
    pub(super) values: Vec<Option<f64>>,
}

/// A chart of lines.
#[derive(Debug, Clone)]
pub(super) struct OverTime<'a> {
    /// Unique on its page, a word of letters and dashes.
    pub(super) id: &'a str,
    /// What it shows.
    pub(super) title: &'a str,
    /// What the numbers are.
    pub(super) unit: Unit,
    /// When each value was, in order.
    pub(super) times: Vec<Timestamp>,
    /// The lines, [`SERIES_MAX`] at most.
    pub(super) series: Vec<Series>,
    /// Whether the areas below the lines are tinted.
    pub(super) filled: bool,
}

/// A bar.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    /// What it is called.
    pub(super) label: String,
    /// How long it is.
    pub(super) value: f64,
    /// A page that says more.
    pub(super) link: Option<String>,
}

/// A chart of horizontal bars.
#[derive(Debug, Clone)]
pub(super) struct Bars<'a> {
    /// Unique on its page, a word of letters and dashes.
    pub(super) id: &'a str,
    /// What it shows.
    pub(super) title: &'a str,
    /// What the numbers are.
    pub(super) unit: Unit,
    /// What the bars are: the head of the table's first column.
    pub(super) named: &'a str,
    /// The bars, from the top.
    pub(super) bars: Vec<Bar>,
}

/// A chart with its table, as it goes into a page.
#[derive(Debug, Template)]
#[template(path = "part/chart.html")]
pub(super) struct Chart {
    id: String,
    title: String,
    svg: String,
    /// Number of its class, and name.
    legend: Vec<(usize, String)>,
    heads: Vec<String>,
    rows: Vec<Row>,
}

// Its template escapes what others have made up.
impl askama::filters::HtmlSafe for Chart {}

#[derive(Debug)]
struct Row {
    name: String,
    link: Option<String>,
    cells: Vec<String>,
}

impl Chart {
    /// The drawing alone.
    #[cfg(test)]
    fn svg(&self) -> &str {
        &self.svg
    }
}

impl OverTime<'_> {
    /// Draws it.
    pub(super) fn draw(mut self) -> Chart {
        self.times.truncate(POINTS_MAX);
        self.series.truncate(SERIES_MAX);
        for series in &mut self.series {
            series.values.resize(self.times.len(), None);
            series.values.iter_mut().for_each(|value| *value = value.filter(|value| value.is_finite()));
        }
        let short = span(&self.times) <= 2 * 86_400;
        let name =
            |time: &Timestamp| time.strftime(if short { "%m-%d %H:%M" } else { "%Y-%m-%d" }).to_string();
        let text = |value: &Option<f64>| value.map_or("–".to_owned(), |value| self.unit.text(value));
        let rows = self.times.iter().enumerate().rev().map(|(at, time)| Row {
            name: name(time),
            link: None,
            cells: self
                .series
                .iter()
                .map(|series| series.values.get(at).map_or(String::new(), text))
                .collect(),
        });
        let heads = std::iter::once("Time (UTC)".to_owned());
        Chart {
            id: self.id.to_owned(),
            title: self.title.to_owned(),
            svg: finished(self.id, self.title, &self.described(&name), (WIDTH, HEIGHT), |svg| {
                self.paint(svg)
            }),
            legend: self
                .series
                .iter()
                .enumerate()
                .map(|(at, series)| (at + 1, series.label.clone()))
                .collect(),
            heads: heads.chain(self.series.iter().map(|series| series.label.clone())).collect(),
            rows: rows.collect(),
        }
    }

    /// In words, what the lines show.
    fn described(&self, name: &dyn Fn(&Timestamp) -> String) -> String {
        let (Some(first), Some(last)) = (self.times.first(), self.times.last()) else {
            return "There is nothing to show.".to_owned();
        };
        let line = |series: &Series| {
            let known = || series.values.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?)));
            let most = known().max_by(|one, other| one.1.total_cmp(&other.1));
            let when = |at: usize| self.times.get(at).map(name).unwrap_or_default();
            match (most, known().next_back()) {
                (Some((at, most)), Some((_, last))) => {
                    let (most, last) = (self.unit.text(most), self.unit.text(last));
                    format!("{}: at most {most} ({}), last {last}.", series.label, when(at))
                }
                _ => format!("{}: nothing known.", series.label),
            }
        };
        let lines: Vec<String> = self.series.iter().map(line).collect();
        format!("Lines from {} to {}. {}", name(first), name(last), lines.join(" "))
    }

    fn paint(&self, svg: &mut String) -> Result<(), Box<dyn Error>> {
        let (Some(first), Some(last)) = (self.times.first(), self.times.last()) else { return Ok(()) };
        let (from, to) = (first.as_second(), last.as_second().max(first.as_second() + 1));
        let values = self.series.iter().flat_map(|series| &series.values).flatten();
        let marks = self.unit.marks(values.copied().fold(0.0, f64::max));
        let top = marks.last().copied().unwrap_or(1.0);
        let area = SVGBackend::with_string(svg, (WIDTH, HEIGHT)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin_top(12)
            .margin_right(24)
            .x_label_area_size(30)
            .y_label_area_size(84)
            .build_cartesian_2d(
                Axis { range: from as f64..to as f64, marks: times(from, to) },
                Axis { range: 0.0..top, marks },
            )?;
        let words = TextStyle::from(FONT.into_font()).color(&INK);
        let short = to - from <= 2 * 86_400;
        let when = |second: &f64| {
            let time = Timestamp::from_second(*second as i64).unwrap_or_default();
            time.strftime(if short { "%H:%M" } else { "%m-%d" }).to_string()
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(words)
            .x_labels(12)
            .y_labels(12)
            .x_label_formatter(&when)
            .y_label_formatter(&|value| self.unit.text(*value))
            .draw()?;
        for (at, series) in self.series.iter().enumerate() {
            let colour = marker(at);
            let points = self.times.iter().map(|time| time.as_second() as f64).zip(&series.values);
            let points: Vec<(f64, Option<f64>)> = points.map(|(time, value)| (time, *value)).collect();
            for piece in points.split(|(_, value)| value.is_none()).filter(|piece| !piece.is_empty()) {
                let piece: Vec<(f64, f64)> =
                    piece.iter().filter_map(|(time, value)| Some((*time, (*value)?))).collect();
                if let [alone] = piece.as_slice() {
                    chart.draw_series(std::iter::once(Circle::new(*alone, 2, colour.filled())))?;
                    continue;
                }
                if self.filled {
                    let border = TRANSPARENT;
                    chart.draw_series(
                        AreaSeries::new(piece.iter().copied(), 0.0, colour.mix(0.15)).border_style(border),
                    )?;
                }
                chart.draw_series(LineSeries::new(piece, colour.stroke_width(2)))?;
            }
        }
        area.present()?;
        Ok(())
    }
}

impl Bars<'_> {
    /// Draws them.
    pub(super) fn draw(mut self) -> Chart {
        self.bars.retain(|bar| bar.value.is_finite());
        self.bars.truncate(BARS_MAX);
        let rows = self.bars.iter().map(|bar| Row {
            name: bar.label.clone(),
            link: bar.link.clone(),
            cells: vec![self.unit.text(bar.value)],
        });
        let most = self.bars.iter().max_by(|one, other| one.value.total_cmp(&other.value));
        let described = most.map_or("There is nothing to show.".to_owned(), |most| {
            let count = self.bars.len();
            let bars = if count == 1 { "bar" } else { "bars" };
            format!("{count} horizontal {bars}; the longest: {}, {}.", most.label, self.unit.text(most.value))
        });
        let size = (WIDTH, self.bars.len() as u32 * BAR as u32 + 8);
        Chart {
            id: self.id.to_owned(),
            title: self.title.to_owned(),
            svg: finished(self.id, self.title, &described, size, |svg| self.paint(svg, size)),
            legend: Vec::new(),
            heads: vec![self.named.to_owned(), self.title.to_owned()],
            rows: rows.collect(),
        }
    }

    fn paint(&self, svg: &mut String, size: (u32, u32)) -> Result<(), Box<dyn Error>> {
        const LEFT: i32 = 240;
        const RIGHT: i32 = 110;
        if self.bars.is_empty() {
            return Ok(());
        }
        let most = self.bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        let area = SVGBackend::with_string(svg, size).into_drawing_area();
        let words =
            |side: HPos| TextStyle::from(FONT.into_font()).color(&INK).pos(Pos::new(side, VPos::Center));
        for (bar, at) in self.bars.iter().zip(0i32..) {
            let (top, middle) = (4 + at * BAR, 4 + at * BAR + BAR / 2);
            let room = f64::from(WIDTH as i32 - LEFT - RIGHT);
            // Who is there has something to see.
            let length = ((bar.value.max(0.0) / most * room) as i32).max(i32::from(bar.value > 0.0));
            area.draw(&Text::new(shortened(&bar.label), (LEFT - 8, middle), words(HPos::Right)))?;
            area.draw(&Rectangle::new(
                [(LEFT, top + 3), (LEFT + length, top + BAR - 3)],
                marker(0).filled(),
            ))?;
            area.draw(&Text::new(self.unit.text(bar.value), (LEFT + length + 8, middle), words(HPos::Left)))?;
        }
        area.present()?;
        Ok(())
    }
}

impl Unit {
    /// A number as people read it.
    pub(super) fn text(self, value: f64) -> String {
        // The sum of nothing is -0.
        let value = value + 0.0;
        match self {
            Unit::Count if value.fract() == 0.0 => thousands(value),
            Unit::Count | Unit::PerSecond if value >= 100.0 => thousands(value.round()),
            Unit::Count | Unit::PerSecond => trimmed(value),
            Unit::Bytes => {
                let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
                let power = (value.max(1.0).log2() / 10.0).floor().clamp(0.0, 5.0);
                let scaled = value / 1024f64.powf(power);
                let unit = units.get(power as usize).copied().unwrap_or("B");
                format!("{} {unit}", if scaled >= 100.0 { format!("{scaled:.0}") } else { trimmed(scaled) })
            }
            Unit::Seconds => {
                let whole = value.round() as i64;
                match whole {
                    ..60 => format!("{} s", trimmed(value)),
                    60..3600 => format!("{} min", trimmed(value / 60.0)),
                    3600..172_800 => format!("{} h", trimmed(value / 3600.0)),
                    _ => format!("{} d", trimmed(value / 86_400.0)),
                }
            }
        }
    }

    /// Heights that get a line: round numbers from 0 to what is not below the highest value.
    fn marks(self, most: f64) -> Vec<f64> {
        let rough = most.max(f64::MIN_POSITIVE) / 4.0;
        let step = match self {
            Unit::Bytes => 2f64.powf(rough.log2().ceil()).max(1.0),
            Unit::Seconds => {
                let steps = [0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0, 604_800.0];
                steps
                    .into_iter()
                    .find(|step| *step >= rough)
                    .unwrap_or_else(|| (rough / 604_800.0).ceil() * 604_800.0)
            }
            Unit::Count | Unit::PerSecond => {
                let ten = 10f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|by| by * ten).find(|step| *step >= rough);
                let step = step.unwrap_or(ten * 10.0);
                if self == Unit::Count { step.max(1.0) } else { step.max(0.01) }
            }
        };
        let steps = (most / step).ceil().clamp(1.0, 8.0) as i32;
        (0..=steps).map(|at| f64::from(at) * step).collect()
    }
}

/// With at most two places behind the point, none of them needless.
fn trimmed(value: f64) -> String {
    let text = if value.abs() >= 10.0 { format!("{value:.1}") } else { format!("{value:.2}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A whole number in groups of three digits.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        let left = digits.len() - at;
        if at > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// The beginning of a name that is too long.
fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_MAX {
        return name.to_owned();
    }
    name.chars().take(NAME_MAX - 1).chain(['…']).collect()
}

/// An axis with marks of our choice.
struct Axis {
    range: std::ops::Range<f64>,
    marks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (f64::from(limit.1 - limit.0) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.marks.clone() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.clone()
    }
}

fn span(times: &[Timestamp]) -> i64 {
    times.last().zip(times.first()).map_or(0, |(last, first)| last.as_second() - first.as_second())
}

/// Times between two that get a mark: round ones, eight at most.
fn times(from: i64, to: i64) -> Vec<f64> {
    let steps =
        [60, 300, 600, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 2 * 86_400, 7 * 86_400];
    let fits = |step: &i64| (to - from) / step <= 8;
    let step = steps.into_iter().find(fits).unwrap_or_else(|| ((to - from) / (8 * 86_400) + 1) * 86_400);
    let marks = (1..).map(|at| (from - 1).div_euclid(step) * step + at * step);
    marks.take_while(|time| *time <= to).map(|time| time as f64).collect()
}

/// The colour that stands for the class of a line.
fn marker(at: usize) -> RGBColor {
    RGBColor(0xfe, 0xed, 0x10 + (at % SERIES_MAX) as u8)
}

/// What was drawn, as it may stand in a page: classes instead of colours, a name and a description. Where there is no drawing
/// the table remains.
fn finished(
    id: &str,
    title: &str,
    described: &str,
    (width, height): (u32, u32),
    paint: impl FnOnce(&mut String) -> Result<(), Box<dyn Error>>,
) -> String {
    let mut drawn = String::new();
    if let Err(error) = paint(&mut drawn) {
        tracing::warn!(%error, title, "a chart could not be drawn");
        return String::new();
    }
    let Some((_, shapes)) = drawn.split_once('>') else { return String::new() };
    let mut shapes = shapes.to_owned();
    let classes = [(INK, "ink".to_owned()), (GRID, "grid".to_owned())];
    let lines = (0..SERIES_MAX).map(|at| (marker(at), (at + 1).to_string()));
    for (RGBColor(r, g, b), class) in classes.into_iter().chain(lines) {
        // Text of others has no quotation marks any more: only attributes can match.
        for what in ["fill", "stroke"] {
            shapes = shapes
                .replace(&format!("{what}=\"#{r:02X}{g:02X}{b:02X}\""), &format!("class=\"{what}-{class}\""));
        }
    }
    let (title, described) = (escaped(title), escaped(described));
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\
         <title id=\"{id}-title\">{title}</title><desc id=\"{id}-desc\">{described}</desc>{shapes}"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize, values: &[Option<f64>]) -> Chart {
        let times =
            (0..values.len() as i64).map(|at| Timestamp::from_second(1_700_000_000 + at * 60).unwrap());
        let series = |at| Series { label: format!("<line> {at}"), values: values.to_vec() };
        let chart = OverTime {
            id: "tried",
            title: "Mail \"in\" & out",
            unit: Unit::Count,
            times: times.collect(),
            series: (0..count).map(series).collect(),
            filled: true,
        };
        chart.draw()
    }

    /// Whether each tag that is opened is closed in order, and what attributes there are.
    fn attributes(text: &str) -> std::collections::BTreeSet<String> {
        let mut open = Vec::new();
        let mut found = std::collections::BTreeSet::new();
        for tag in text.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap();
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name.to_owned()), "{text}"),
                None => {
                    let name = tag.split([' ', '/']).next().unwrap();
                    if !tag.ends_with('/') {
                        open.push(name.to_owned());
                    }
                    let parts: Vec<&str> = tag.split('"').collect();
                    let names = parts.iter().step_by(2).filter_map(|part| part.trim().strip_suffix('='));
                    found.extend(names.map(|part| part.split(' ').next_back().unwrap().to_owned()));
                }
            }
        }
        assert!(open.is_empty(), "{open:?}");
        found
    }

    #[test]
    fn a_drawing_has_classes_and_no_colours() {
        let chart = lines(3, &[Some(1.0), None, Some(5.0), Some(3.0), None]);
        let svg = chart.svg();
        let attributes = attributes(svg);
        assert!(!attributes.contains("style") && attributes.contains("class"), "{attributes:?}");
        assert!(!svg.contains("#F") && !svg.contains("#f") && !svg.contains("<line>"), "{svg}");
        for class in ["stroke-1", "stroke-3", "fill-1", "fill-ink", "stroke-grid"] {
            assert!(svg.contains(&format!("class=\"{class}\"")), "{class}: {svg}");
        }
        assert!(svg.starts_with(
            "<svg viewBox=\"0 0 720 240\" role=\"img\" aria-labelledby=\"tried-title tried-desc\">"
        ));
        assert!(svg.contains("<title id=\"tried-title\">Mail \"in\" &amp; out</title>"));
        assert!(svg.contains("&lt;line&gt; 0: at most 5 (11-14 22:15), last 3."), "{svg}");
        // A gap ends the line, and a point that stands alone is a dot.
        let drawn: usize =
            ["1", "2", "3"].iter().map(|n| svg.matches(&format!("class=\"stroke-{n}\"")).count()).sum();
        assert_eq!((svg.matches("<circle").count(), drawn), (3, 3), "{svg}");
    }

    #[test]
    fn the_numbers_stand_below() {
        let chart = lines(2, &[Some(1.0), None, Some(1234.5)]);
        let page = chart.render().unwrap();
        attributes(&page.replace("<br>", ""));
        assert!(page.contains("<th scope=\"col\" class=\"number\">&#60;line&#62; 1</th>"), "{page}");
        assert!(page.contains("<th scope=\"row\">11-14 22:14</th>") && page.contains(">–</td>"), "{page}");
        assert!(page.contains("1\u{202f}235") || page.contains("1\u{202f}234"), "{page}");
    }

    #[test]
    fn a_chart_stays_a_chart_in_a_page() {
        #[derive(Template)]
        #[template(source = "<p>{{ chart }}</p>", ext = "html")]
        struct Page {
            chart: Chart,
        }
        let page = Page { chart: lines(1, &[Some(1.0)]) }.render().unwrap();
        assert!(page.contains("<figure class=\"chart\"") && page.contains("&lt;line&gt; 0"), "{page}");
    }

    #[test]
    fn bars_are_as_long_as_their_numbers() {
        let bar = |label: &str, value| Bar { label: label.to_owned(), value, link: None };
        let long = "a-very-long-name-of-a-domain.example.test";
        let bars = vec![bar("<b>", 200.0), bar(long, 50.0), bar("none", 0.0), bar("broken", f64::NAN)];
        let chart = Bars { id: "b", title: "Storage", unit: Unit::Bytes, named: "Domain", bars }.draw();
        let svg = chart.svg();
        attributes(svg);
        let widths = svg.split("<rect").skip(1).map(|rect| rect.split("width=\"").nth(1).unwrap());
        let widths: Vec<i32> = widths.map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect();
        assert_eq!(widths, [370, 92, 0]);
        assert!(svg.contains("&lt;b&gt;") && svg.contains("a-very-long-name-of-a-domai…"), "{svg}");
        assert!(chart.render().unwrap().contains(long));
    }

    #[test]
    fn nothing_and_too_much_are_drawn_too() {
        assert!(
            lines(0, &[]).svg().is_empty() && lines(2, &[]).render().unwrap().contains("nothing to show")
        );
        attributes(lines(1, &[None, None]).svg());
        attributes(lines(1, &[Some(0.0)]).svg());
        attributes(lines(1, &[Some(f64::INFINITY), Some(1e300)]).svg());
        assert!(lines(9, &vec![Some(2.0); 5000]).svg().len() < 200_000);
    }

    #[test]
    fn numbers_as_people_read_them() {
        for (unit, value, expected) in [
            (Unit::Count, 0.0, "0"),
            (Unit::Count, -0.0, "0"),
            (Unit::Count, 1_234_567.0, "1\u{202f}234\u{202f}567"),
            (Unit::Count, 2.5, "2.5"),
            (Unit::Bytes, 1023.0, "1023 B"),
            (Unit::Bytes, 1536.0, "1.5 KiB"),
            (Unit::Seconds, 12.0, "12 s"),
            (Unit::Seconds, 5400.0, "1.5 h"),
            (Unit::Seconds, 259_200.0, "3 d"),
            (Unit::PerSecond, 0.25, "0.25"),
        ] {
            assert_eq!(unit.text(value), expected);
        }
        assert_eq!(Unit::Count.marks(7.0), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(Unit::Count.marks(0.0), [0.0, 1.0]);
        assert_eq!(Unit::Bytes.marks(3000.0), [0.0, 1024.0, 2048.0, 3072.0]);
        assert_eq!(times(1_700_000_000, 1_700_003_600).len(), 6);
    }
}
