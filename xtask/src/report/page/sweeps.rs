//! The suites that sweep over sizes: fixed cost, cost per KiB and ratios to native.

use serde::Serialize;

use super::super::charts::{self, Curve, Vertical};
use super::super::format;
use super::super::runtimes::Runtimes;
use super::super::schema::{Interval, Report, SizeEstimate, SweepEstimate};
use super::{Key, NOTHING, Notes, Palette};

/// What a template shows of a list of sweeps.
#[derive(Serialize)]
pub struct View {
    charts: Vec<Chart>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// One function in one suite, by size.
#[derive(Serialize)]
struct Chart {
    title: String,
    legend: Vec<Key>,
    times: String,
    /// Empty where there is nothing to compare.
    ratios: String,
}

/// The lines of the table. A figure stands before its interval.
#[derive(Serialize)]
struct Row {
    suite: String,
    function: String,
    runtime: String,
    sizes: usize,
    smallest: String,
    largest: String,
    fixed: (String, String),
    per_kib: (String, String),
    residual: String,
    /// The footnote of a line that is missing; 0 for none.
    line_note: usize,
    /// The geometric mean, and the range.
    ratio: (String, String),
    /// The footnote of a ratio that is missing; 0 for none.
    ratio_note: usize,
    per_kib_ratio: (String, String),
    /// The footnote of a ratio of costs that is missing; 0 for none.
    per_kib_note: usize,
}

/// Formats sweeps of the report.
pub fn view(report: &Report, sweeps: &[SweepEstimate], palette: &Palette) -> View {
    let mut charts: Vec<(String, Vec<&SweepEstimate>)> = Vec::new();
    for sweep in sweeps {
        let title = format!("{}: {}", sweep.suite, function(sweep));
        match charts.iter_mut().find(|(other, _)| *other == title) {
            Some((_, list)) => list.push(sweep),
            None => charts.push((title, vec![sweep])),
        }
    }
    let mut notes = Notes::default();
    let runtimes = Runtimes::new(&report.runtimes);
    View {
        charts: charts.into_iter().map(|(title, list)| chart(title, &list, palette)).collect(),
        rows: sweeps.iter().map(|sweep| row(sweep, &runtimes, &mut notes)).collect(),
        notes: notes.texts,
    }
}

/// The function, with the setting where it has one.
fn function(sweep: &SweepEstimate) -> String {
    match sweep.setting.is_default() {
        true => sweep.function.clone(),
        false => format!("{}, {}", sweep.function, sweep.setting),
    }
}

fn chart(title: String, sweeps: &[&SweepEstimate], palette: &Palette) -> Chart {
    let curves = |figure: fn(&SizeEstimate) -> Option<f64>| -> Vec<Curve> {
        let curve = |sweep: &&SweepEstimate| Curve {
            series: palette.of(&sweep.runtime),
            points: sweep
                .sizes
                .iter()
                // A logarithmic scale has no place for nothing.
                .filter(|size| size.bytes > 0)
                .filter_map(|size| Some((size.bytes as f64, figure(size)?)))
                .collect(),
        };
        sweeps.iter().map(curve).collect()
    };
    let draw = |what: &str, figure, vertical| {
        let label = format!("{what} by size, {title}");
        charts::curves(&label, &curves(figure), format::byte_decade, vertical)
    };
    Chart {
        legend: palette.legend(sweeps.iter().map(|sweep| sweep.runtime.as_str())),
        times: draw("Time", |size| Some(size.median_ns), Vertical::Time),
        ratios: draw("Ratio to native", |size| Some(size.ratio?.point), Vertical::Ratio),
        title,
    }
}

fn row(sweep: &SweepEstimate, runtimes: &Runtimes, notes: &mut Notes) -> Row {
    let nothing = || (NOTHING.to_owned(), NOTHING.to_owned());
    let cost = |interval: Interval| {
        let Interval { point, low, high } = interval;
        (format::duration(point), format::interval(low, high, format::duration))
    };
    let at = |size: Option<&SizeEstimate>| {
        let text = |size: &SizeEstimate| {
            format!("{} at {}", format::duration(size.median_ns), size.payload)
        };
        size.map_or_else(|| NOTHING.to_owned(), text)
    };
    let mut row = Row {
        suite: sweep.suite.to_string(),
        function: function(sweep),
        runtime: sweep.runtime.clone(),
        sizes: sweep.sizes.len(),
        smallest: at(sweep.sizes.first()),
        largest: at(sweep.sizes.last()),
        fixed: sweep.fixed_ns.map_or_else(nothing, cost),
        per_kib: sweep.per_kib_ns.map_or_else(nothing, cost),
        residual: sweep
            .largest_residual
            .map_or_else(|| NOTHING.to_owned(), |share| format!("{:.0} %", share * 100.0)),
        line_note: 0,
        ratio: nothing(),
        ratio_note: 0,
        per_kib_ratio: nothing(),
        per_kib_note: 0,
    };
    if sweep.fixed_ns.is_none() {
        row.line_note = notes.number("no line: it takes three sizes or more");
    }
    match &sweep.to_native {
        Some(native) => {
            row.ratio = (
                format::ratio(native.ratio),
                format::ratio_interval(native.smallest, native.largest),
            );
            match native.per_kib_ratio {
                Some(Interval { point, low, high }) => {
                    row.per_kib_ratio = (format::ratio(point), format::ratio_interval(low, high));
                }
                None => {
                    row.per_kib_note = notes.number(
                        "no ratio: a line is missing, or native code's cost per KiB cannot be \
                         told from nothing",
                    );
                }
            }
        }
        None if runtimes.is_reference(sweep.lane, &sweep.runtime) => {
            let reference = || ("reference".to_owned(), NOTHING.to_owned());
            (row.ratio, row.per_kib_ratio) = (reference(), reference());
        }
        None => {
            row.ratio_note = notes.number("no ratio: native code has no figure for it");
            row.per_kib_note = row.ratio_note;
        }
    }
    row
}
