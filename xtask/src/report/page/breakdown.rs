//! The suite `breakdown`: the terms of each invocation as bars and as a table.

use lumos_model::TOLERANCE;
use lumos_record::{Case, Suite};
use serde::Serialize;

use super::super::charts::{self, Bar};
use super::super::format;
use super::super::runtimes::Runtimes;
use super::super::schema::{BreakdownEstimate, Figure, Report};
use super::{Key, NOTHING, Notes, label, spread};

/// What a template shows of it.
#[derive(Serialize)]
pub struct View {
    legend: Vec<Key>,
    /// A chart for each function and payload, of first and of later invocations.
    charts: Vec<(String, String)>,
    rows: Vec<Row>,
    /// How many rows have terms that do not add up to the whole.
    astray: usize,
    /// How many rows have terms.
    taken: usize,
    /// How far from the whole the terms may be.
    tolerance: String,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    function: String,
    payload: String,
    runtime: String,
    invocation: &'static str,
    /// The whole, the four terms, and the parts of serialization: each with its interval.
    cells: Vec<(String, String)>,
    /// The footnote of a whole that its terms do not add up to, or of an absent case; 0 for none.
    note: usize,
}

/// How many cells a row has.
const COLUMNS: usize = 8;

/// The parts of a bar, in the order in which they happen, but for the boundary, which is on both
/// ends.
const PARTS: [&str; 6] = ["cold", "boundary", "decode", "retrieval", "compute", "encode"];

/// Formats what the report holds of it.
pub fn view(report: &Report) -> View {
    let mut notes = Notes::default();
    let mut charts: Vec<(String, Vec<Bar>)> = Vec::new();
    for entry in &report.breakdown {
        let title = label(&entry.case.function, &entry.case.input());
        let title = format!("{title}: {} invocation", entry.invocation.name());
        match charts.iter_mut().find(|(other, _)| *other == title) {
            Some((_, bars)) => bars.push(bar(entry)),
            None => charts.push((title, vec![bar(entry)])),
        }
    }
    let chart = |(title, bars): (String, Vec<Bar>)| {
        let svg = charts::bars(&format!("Where the time goes: {title}"), &bars);
        (title, svg)
    };
    View {
        legend: (0..)
            .zip(PARTS)
            .map(|(colour, name)| Key { name: name.to_owned(), colour })
            .collect(),
        charts: charts.into_iter().map(chart).collect(),
        rows: rows(report, &mut notes),
        astray: report.breakdown.iter().filter(|entry| !entry.reconciles).count(),
        taken: report.breakdown.len(),
        tolerance: format!("{} %", TOLERANCE * 100.0),
        notes: notes.texts,
    }
}

fn bar(entry: &BreakdownEstimate) -> Bar {
    let of = |figure: &Option<Figure>| figure.as_ref().map_or(0.0, |figure| figure.median);
    let medians = [
        of(&entry.cold_ns),
        entry.boundary_ns.median,
        entry.decode_ns.median,
        of(&entry.retrieval_ns),
        entry.compute_ns.median,
        entry.encode_ns.median,
    ];
    let part = |(colour, (name, median)): (usize, (&str, f64))| {
        (colour, median, format!("{name}: {}", format::duration(median)))
    };
    let parts = (0..).zip(PARTS.into_iter().zip(medians)).map(part);
    let whole = format::duration(entry.whole_ns.median);
    let astray = match entry.reconciles {
        true => String::new(),
        false => format!(", but the terms add up to {}", format::duration(entry.sum_ns.median)),
    };
    Bar { label: format!("{}: {whole}{astray}", entry.case.runtime), parts: parts.collect() }
}

/// The rows of every case of the suite: those that are absent have one, with the reason.
fn rows(report: &Report, notes: &mut Notes) -> Vec<Row> {
    let runtimes = Runtimes::new(&report.runtimes);
    let mut rows: Vec<(&Case, Result<&BreakdownEstimate, String>)> =
        report.breakdown.iter().map(|entry| (&entry.case, Ok(entry))).collect();
    let absent = [("skipped", &report.skips), ("failed", &report.failures)];
    let absent = absent.into_iter().flat_map(|(how, list)| {
        list.iter().map(move |absence| (&absence.case, format!("{how}: {}", absence.reason)))
    });
    let left_out = || "not selected: this run holds no record of it".to_owned();
    let left_out = report.unrecorded.iter().map(|case| (case, left_out()));
    let absent = absent.chain(left_out).filter(|(case, _)| case.suite == Suite::Breakdown);
    rows.extend(absent.map(|(case, reason)| (case, Err(reason))));
    // A stable sort: the first invocation of a case stays before the later ones.
    rows.sort_by_cached_key(|(case, _)| runtimes.order(case));
    rows.into_iter()
        .map(|(case, found)| match found {
            Ok(entry) => row(entry, notes),
            Err(reason) => absent_row(case, &reason, notes),
        })
        .collect()
}

fn absent_row(case: &Case, reason: &str, notes: &mut Notes) -> Row {
    Row {
        function: case.function.clone(),
        payload: case.input(),
        runtime: case.runtime.clone(),
        invocation: NOTHING,
        cells: vec![(NOTHING.to_owned(), reason.to_owned()); COLUMNS],
        note: notes.number(reason),
    }
}

fn row(entry: &BreakdownEstimate, notes: &mut Notes) -> Row {
    let cell =
        |figure: &Figure| (format::duration(figure.median), spread(figure, format::duration));
    let maybe = |figure: &Option<Figure>| {
        let none = || (NOTHING.to_owned(), "it has no such term".to_owned());
        figure.as_ref().map_or_else(none, cell)
    };
    let note = (!entry.reconciles).then(|| {
        notes.number(&format!(
            "the terms add up to {}, and the whole is {}: {:+.1} %, which is more than {} %",
            format::duration(entry.sum_ns.median),
            format::duration(entry.whole_ns.median),
            entry.difference * 100.0,
            TOLERANCE * 100.0
        ))
    });
    Row {
        function: entry.case.function.clone(),
        payload: entry.case.input(),
        runtime: entry.case.runtime.clone(),
        invocation: entry.invocation.name(),
        cells: [
            cell(&entry.whole_ns),
            maybe(&entry.cold_ns),
            maybe(&entry.retrieval_ns),
            cell(&entry.serialization_ns),
            cell(&entry.compute_ns),
            cell(&entry.decode_ns),
            cell(&entry.encode_ns),
            cell(&entry.boundary_ns),
        ]
        .into(),
        note: note.unwrap_or(0),
    }
}
