//! The report as one long table: a figure or an absence per line.

use std::borrow::Cow;

use ::csv::WriterBuilder;
use anyhow::Result;
use lumos_record::{Case, Lane, Suite};
use serde::{Serialize, Serializer};

use super::figure::{Figure, Interval};
use super::schema::Report;
use super::table::{Cell, Mean, Ratio, Row, Section, Subject, Table};

/// The columns: the fields of a [`Line`].
const HEADER: [&str; 17] = [
    "kind",
    "suite",
    "function",
    "payload",
    "runtime",
    "lane",
    "name",
    "unit",
    "value",
    "low",
    "high",
    "n",
    "p90",
    "p95",
    "p99",
    "reference",
    "note",
];

/// A line. What it has no use for is empty.
#[derive(Debug, Default, Serialize)]
pub struct Line<'t> {
    /// The list that it is of.
    pub kind: &'t str,
    suite: Option<Suite>,
    function: &'t str,
    payload: Cow<'t, str>,
    /// The runtime, or an engine.
    runtime: &'t str,
    lane: Option<Lane>,
    /// Which figure it is.
    pub name: Cow<'t, str>,
    /// Its unit.
    pub unit: &'t str,
    /// The figure; none of a line whose note says why there is none.
    #[serde(serialize_with = "number")]
    pub value: Option<f64>,
    /// The ends of its interval, or of its range.
    #[serde(serialize_with = "number")]
    pub low: Option<f64>,
    /// As above.
    #[serde(serialize_with = "number")]
    pub high: Option<f64>,
    /// How many samples or cells it is of.
    pub n: Option<usize>,
    #[serde(serialize_with = "number")]
    p90: Option<f64>,
    #[serde(serialize_with = "number")]
    p95: Option<f64>,
    #[serde(serialize_with = "number")]
    p99: Option<f64>,
    /// The runtime below the line of a ratio.
    pub reference: Cow<'t, str>,
    /// What has to be known of the figure.
    pub note: String,
}

/// Writes a number as it is everywhere else: 100, not 100.0.
fn number<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        // The sum of nothing is -0.
        Some(value) => serializer.collect_str(&(value + 0.0)),
        None => serializer.serialize_none(),
    }
}

impl<'t> Line<'t> {
    fn of(kind: &'t str, case: &'t Case) -> Self {
        Self {
            kind,
            suite: Some(case.suite),
            function: &case.function,
            payload: case.input().into(),
            runtime: &case.runtime,
            lane: Some(case.suite.lane()),
            ..Self::default()
        }
    }
}

/// The whole table.
///
/// # Errors
/// None that a report could cause.
pub fn render(report: &Report) -> Result<String> {
    let absent = [("skip", &report.skips), ("failure", &report.failures)];
    let absent = absent.into_iter().flat_map(|(kind, list)| {
        list.iter().map(move |absence| Line {
            note: absence.reason.clone(),
            ..Line::of(kind, &absence.case)
        })
    });
    let tables = report.sections.iter().flat_map(Section::tables).flat_map(lines);
    // A report without any line has a header too.
    let mut csv = WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    csv.write_record(HEADER)?;
    for line in
        estimates(report).chain(ratios(report)).chain(sizes(report)).chain(tables).chain(absent)
    {
        csv.serialize(line)?;
    }
    Ok(String::from_utf8(csv.into_inner()?)?)
}

fn estimates(report: &Report) -> impl Iterator<Item = Line<'_>> {
    report.estimates.iter().map(|entry| Line {
        name: "median".into(),
        unit: &entry.unit,
        value: Some(entry.median),
        low: Some(entry.low),
        high: Some(entry.high),
        n: Some(entry.n),
        p90: entry.p90,
        p95: entry.p95,
        p99: entry.p99,
        ..Line::of("estimate", &entry.case)
    })
}

fn ratios(report: &Report) -> impl Iterator<Item = Line<'_>> {
    report.ratios.iter().map(|entry| Line {
        name: "ratio".into(),
        value: Some(entry.ratio),
        low: Some(entry.low),
        high: Some(entry.high),
        reference: entry.reference.as_str().into(),
        note: entry.verdict.clone().unwrap_or_else(|| NOT_RANKED.to_owned()),
        ..Line::of("ratio", &entry.case)
    })
}

/// What stands in the place of a verdict where there is none.
const NOT_RANKED: &str = "not ranked";

/// The sizes of what was built, for every target. The column `payload` holds the variant.
fn sizes(report: &Report) -> impl Iterator<Item = Line<'_>> {
    report.artifacts.iter().flat_map(|artifact| {
        let name = match &artifact.image {
            None => artifact.kind.name().to_owned(),
            Some(image) => format!("image of {} on {}", image.holds, image.base),
        };
        let compressed = artifact.image.as_ref().map(|image| image.compressed_bytes);
        let sizes = [
            (name.clone(), Some(artifact.bytes)),
            (format!("{name}, compressed"), compressed),
            (format!("{name}, code"), artifact.text_bytes),
        ];
        sizes.into_iter().filter_map(|(name, bytes)| {
            Some(Line {
                kind: "artifact",
                function: artifact.function.as_deref().unwrap_or_default(),
                payload: artifact
                    .variant
                    .map(|variant| variant.to_string().into())
                    .unwrap_or_default(),
                runtime: artifact.engine.as_deref().unwrap_or_default(),
                name: name.into(),
                unit: "bytes",
                value: Some(bytes? as f64),
                note: artifact.target.clone(),
                ..Line::default()
            })
        })
    })
}

/// The figures of a table, one by one, and rows without any.
pub fn lines(table: &Table) -> Vec<Line<'_>> {
    let Some(list) = table.list else { return Vec::new() };
    table.rows.iter().flat_map(|row| of_row(list, table, row)).collect()
}

fn of_row<'t>(list: &'static str, table: &'t Table, row: &'t Row) -> Vec<Line<'t>> {
    /// The column of what ratios are to.
    const REFERENCE: &str = "reference";
    let (mut reference, mut words) = ("", Vec::new());
    let (mut function, mut payload, mut runtime) = ("", "", "");
    if let Subject::Words(of) = &row.subject {
        for (head, word) in table.heads().into_iter().zip(of) {
            match head {
                "function" => function = word,
                "payload" => payload = word,
                "runtime" | "engine" => runtime = word,
                "against" => reference = word,
                // It has no column of its own.
                head => words.push(format!("{head}: {word}")),
            }
        }
    }
    for (column, cell) in table.columns.iter().zip(&row.cells) {
        match cell {
            Cell::Text(text) if column.key == REFERENCE => reference = text,
            Cell::Text(text) => words.push(format!("{}: {text}", column.key)),
            _ => {}
        }
    }
    let line = || match row.case() {
        Some(case) => Line { reference: reference.into(), ..Line::of(list, case) },
        None => Line {
            kind: list,
            function,
            payload: payload.into(),
            runtime,
            reference: reference.into(),
            ..Line::default()
        },
    };
    let mut lines = Vec::new();
    for (column, cell) in table.columns.iter().zip(&row.cells) {
        for (name, value, ends, n) in figures(cell) {
            let mut note = words.clone();
            note.extend(cell.note().map(str::to_owned));
            let mut line = line();
            if let Cell::Ratio(ratio) = cell {
                line.reference = ratio.reference.as_str().into();
                note.push(ratio.verdict.clone().unwrap_or_else(|| NOT_RANKED.to_owned()));
            }
            lines.push(Line {
                name: match name {
                    "" => column.key.as_ref().into(),
                    name => format!("{} ({name})", column.key).into(),
                },
                unit: column.quantity.unit(),
                value: Some(value),
                low: ends.map(|ends| ends[0]),
                high: ends.map(|ends| ends[1]),
                n,
                note: note.join("; "),
                ..line
            });
        }
    }
    if lines.is_empty() {
        for note in row.cells.iter().filter_map(Cell::note) {
            if !words.iter().any(|word| word == note) {
                words.push(note.to_owned());
            }
        }
        lines.push(Line { note: words.join("; "), ..line() });
    }
    lines
}

type Numbers<'t> = (&'t str, f64, Option<[f64; 2]>, Option<usize>);

/// The figures in a cell, each with its name if there are several.
fn figures(cell: &Cell) -> Vec<Numbers<'_>> {
    let of = |figure: &Figure| {
        let ends = figure.low.zip(figure.high).map(|(low, high)| [low, high]);
        (figure.median, ends, Some(figure.n))
    };
    let (value, ends, n) = match cell {
        Cell::Number(value) | Cell::Worded(value, _) => (*value, None, None),
        Cell::Figure(figure) => of(figure),
        Cell::Interval(Interval { point, low, high }) => (*point, Some([*low, *high]), None),
        Cell::Mean(Mean { mean, smallest, largest, cells }) => {
            (*mean, Some([*smallest, *largest]), Some(*cells))
        }
        Cell::Ratio(Ratio { ratio, low, high, .. }) => (*ratio, Some([*low, *high]), None),
        Cell::Noted(cell, _) => return figures(cell),
        Cell::Named(figures) => {
            let named = figures.iter().map(|(name, figure)| {
                let (value, ends, n) = of(figure);
                (name.as_ref(), value, ends, n)
            });
            return named.collect();
        }
        Cell::Text(_)
        | Cell::List(_)
        | Cell::Flag(_)
        | Cell::View(_)
        | Cell::Nothing(_)
        | Cell::Absent(_) => return Vec::new(),
    };
    vec![("", value, ends, n)]
}
