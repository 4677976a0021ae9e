//! Where the time of an invocation goes, by the samples of the suite `breakdown`.

use lumos_model::{Bootstrap, ReadTimes, TOLERANCE, Terms, reconcile};
use lumos_record::{Breakdown, Case, Suite, TimedCalls};

use super::{Source, nothing};
use crate::charts::{self, Bar};
use crate::figure::Figure;
use crate::load::{InRounds, median_of, samples_of};
use crate::table::{Block, Cell, Chart, Column, Key, Marks, Names, Quantity, Row, Section, Table};
use crate::{format, page};

/// Which of a worker's invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Invocation {
    /// The first, with the worker's cold start before it.
    First,
    /// Any later one.
    Later,
}

impl Invocation {
    /// The name as it stands in reports.
    const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Later => "later",
        }
    }
}

/// The terms of an invocation: `whole = cold + retrieval + serialization + compute`.
struct Estimate {
    case: Case,
    invocation: Invocation,
    /// How many invocations were taken apart, in all samples together. A sample of later ones is
    /// the mean of as many as a worker served.
    calls: u64,
    /// Of a worker that was not asked for timings.
    whole: Figure,
    /// None of later invocations.
    cold: Option<Figure>,
    /// None of functions that keep no state.
    retrieval: Option<Figure>,
    serialization: Figure,
    compute: Figure,
    decode: Figure,
    encode: Figure,
    boundary: Figure,
    /// The terms together, of a worker that was asked for timings.
    sum: Figure,
    /// The sum's median over the whole's, less 1, and whether the two agree.
    difference: f64,
    reconciles: bool,
    clock_cost_ns: f64,
}

fn columns() -> Vec<Column> {
    let time = |key, title, doc| Column::new(key, title, Quantity::Nanoseconds, doc);
    vec![
        Column::new(
            "invocation",
            "invocation",
            Quantity::Text,
            "`first`, with the worker's cold start before it, or any `later` one",
        ),
        time("whole_ns", "whole", "all of it, of a worker that was not asked for timings"),
        time("cold_ns", "cold", "the cold start; null of later invocations"),
        time("retrieval_ns", "retrieval", "getting and putting state; null without state"),
        time("serialization_ns", "serialization", "decode, encode and boundary together"),
        time("compute_ns", "compute", "the work itself"),
        time("decode_ns", "decode", "from the request's bytes to the input"),
        time("encode_ns", "encode", "from the output to the response's bytes"),
        time("boundary_ns", "boundary", "copies between caller and function, and the socket"),
        time("sum_ns", "", "the terms together, of a worker that was asked for timings").hidden(),
        Column::new("calls", "", Quantity::Count, "invocations in all samples together").hidden(),
        Column::new("difference", "", Quantity::Share, "the sum over the whole, less 1").hidden(),
        Column::new("reconciles", "", Quantity::Text, "whether the two agree").hidden(),
        time(
            "clock_cost_ns",
            "",
            "one reading of the function's clock, the median; no term has it",
        )
        .hidden(),
    ]
}

/// The parts of a bar, in the order in which they happen, but for the boundary, which is on both
/// ends.
const PARTS: [&str; 6] = ["cold", "boundary", "decode", "retrieval", "compute", "encode"];

/// The section.
pub fn section(source: &mut Source<'_>) -> Section {
    let estimates = estimates(source);
    let (taken, astray) =
        (estimates.len(), estimates.iter().filter(|entry| !entry.reconciles).count());
    let rows = estimates.iter().map(row).collect();
    let mut table = Table {
        list: Some("breakdown"),
        doc: "the terms of first and later invocations",
        names: Names::FUNCTION,
        columns: columns(),
        rows,
    };
    source.complete(&mut table, Suite::Breakdown);
    let (id, title) = ("where-the-time-goes", "Where the time goes");
    if table.rows.is_empty() {
        let text = nothing("took no invocation apart", &[Suite::Breakdown]);
        return Section::empty(id, title, text, table);
    }
    let mut blocks = vec![Block::Text(
        "What the suite `breakdown` took apart: T = T_cold + T_retrieval + T_serialization + \
         T_compute, for the first invocation of a fresh worker and for later ones. Serialization \
         is decode, encode and boundary: copies in and out, and the socket. Later invocations have \
         no cold start, and functions without state retrieve none."
            .to_owned(),
    )];
    let tolerance = format!("{} %", TOLERANCE * 100.0);
    let agree = match (taken, astray) {
        (0, _) => String::new(),
        (_, 0) => format!(" In every row of the table they add up to it within {tolerance}."),
        _ => format!(
            " In {astray} of {taken} rows they do not add up to it within {tolerance}; each has a \
             footnote."
        ),
    };
    blocks.push(Block::Text(format!(
        "The whole is of a worker that took no timings, and the terms are of another that took \
         them.{agree}"
    )));
    let text = "The time beside a bar is that of the whole, and every bar is as wide as the next. \
                Point at a figure of the table to see its interval.";
    blocks.push(Block::OfPage(text.to_owned()));
    blocks.extend(charts(&estimates));
    blocks.push(Block::Folded {
        summary: "Table of terms".to_owned(),
        open: false,
        blocks: vec![Block::Table(table)],
    });
    let brief = match (taken, astray) {
        (0, _) => None,
        (_, 0) => Some(format!("Where the time goes: {taken} rows in the report.")),
        _ => Some(format!(
            "Where the time goes: {taken} rows in the report; the terms of {astray} do not add up \
             to the whole."
        )),
    };
    Section { id, title, blocks, brief }
}

fn row(entry: &Estimate) -> Row {
    let whole = Cell::Figure(entry.whole);
    let whole = match entry.reconciles {
        true => whole,
        false => Cell::Noted(
            Box::new(whole),
            format!(
                "the terms add up to {}, and the whole is {}: {:+.1} %, which is more than {} %",
                format::duration(entry.sum.median),
                format::duration(entry.whole.median),
                entry.difference * 100.0,
                TOLERANCE * 100.0
            ),
        ),
    };
    let cells = vec![
        Cell::Text(entry.invocation.name().to_owned()),
        whole,
        Cell::figure_or(entry.cold, "later invocations have no cold start"),
        Cell::figure_or(entry.retrieval, "the function keeps no state"),
        Cell::Figure(entry.serialization),
        Cell::Figure(entry.compute),
        Cell::Figure(entry.decode),
        Cell::Figure(entry.encode),
        Cell::Figure(entry.boundary),
        Cell::Figure(entry.sum),
        Cell::Number(entry.calls as f64),
        Cell::Number(entry.difference),
        Cell::Flag(entry.reconciles),
        Cell::Number(entry.clock_cost_ns),
    ];
    Row::of(&entry.case, cells)
}

/// A chart for each function and payload, of first and of later invocations.
fn charts(estimates: &[Estimate]) -> Vec<Block> {
    let mut charts: Vec<(String, Vec<Bar>)> = Vec::new();
    for entry in estimates {
        let title = page::label(&entry.case.function, &entry.case.input());
        let title = format!("{title}: {} invocation", entry.invocation.name());
        match charts.iter_mut().find(|(other, _)| *other == title) {
            Some((_, bars)) => bars.push(bar(entry)),
            None => charts.push((title, vec![bar(entry)])),
        }
    }
    if charts.is_empty() {
        return Vec::new();
    }
    let (few, plain) = (charts.len() <= 4, |legend, svg| Chart {
        title: String::new(),
        legend,
        marks: Marks::Parts,
        svg,
        caption: String::new(),
    });
    let key = |(colour, name): (usize, &str)| Key { name: name.to_owned(), colour };
    let legend = (0..).zip(PARTS).map(key).collect();
    let chart = |(title, bars): (String, Vec<Bar>)| {
        let svg = charts::bars(&format!("Where the time goes: {title}"), &bars);
        let blocks = vec![Block::Chart(plain(Vec::new(), svg))];
        Block::Folded { summary: title, open: few, blocks }
    };
    let legend = Block::Chart(plain(legend, String::new()));
    std::iter::once(legend).chain(charts.into_iter().map(chart)).collect()
}

fn bar(entry: &Estimate) -> Bar {
    let of = |figure: &Option<Figure>| figure.as_ref().map_or(0.0, |figure| figure.median);
    let medians = [
        of(&entry.cold),
        entry.boundary.median,
        entry.decode.median,
        of(&entry.retrieval),
        entry.compute.median,
        entry.encode.median,
    ];
    let part = |(colour, (name, median)): (usize, (&str, f64))| {
        (colour, median, format!("{name}: {}", format::duration(median)))
    };
    let parts = (0..).zip(PARTS.into_iter().zip(medians)).map(part);
    let whole = format::duration(entry.whole.median);
    let astray = match entry.reconciles {
        true => String::new(),
        false => format!(", but the terms add up to {}", format::duration(entry.sum.median)),
    };
    Bar { label: format!("{}: {whole}{astray}", entry.case.runtime), parts: parts.collect() }
}

/// Both rows of every case of the suite that has samples.
fn estimates(source: &mut Source<'_>) -> Vec<Estimate> {
    let cases = source.evidence.cases.iter();
    let taken =
        cases.filter(|(_, found)| found.samples().is_some() && !found.breakdowns.is_empty());
    let mut taken: Vec<(&Case, &[(u32, Breakdown)])> =
        taken.map(|(case, found)| (case, found.breakdowns.as_slice())).collect();
    taken.sort_by_cached_key(|(case, _)| source.runtimes.order(case));
    let mut estimates = Vec::new();
    for (case, samples) in taken {
        for invocation in [Invocation::First, Invocation::Later] {
            estimates.extend(estimate(case, samples, invocation, source.bootstrap));
        }
    }
    estimates
}

/// What one sample tells of an invocation, in nanoseconds.
struct Parts {
    /// Of the worker that was not asked for timings.
    whole: f64,
    /// Of the other, as the terms are.
    cold: f64,
    terms: Terms,
}

fn parts(sample: &Breakdown, invocation: Invocation) -> Option<Parts> {
    let clock_ns = sample.clock_cost_ps as f64 / 1000.0;
    let calls = f64::from(sample.warm_calls);
    Some(match invocation {
        Invocation::First => Parts {
            whole: sample.cold_ns as f64,
            cold: sample.launch_ns as f64,
            terms: Terms::of(&read(&sample.first, 1.0), clock_ns)?,
        },
        Invocation::Later => Parts {
            whole: sample.warm_ns as f64 / calls,
            cold: 0.0,
            terms: Terms::of(&read(&sample.warm, calls), clock_ns)?,
        },
    })
}

fn read(sums: &TimedCalls, calls: f64) -> ReadTimes {
    ReadTimes {
        outer_ns: sums.outer_ns as f64,
        decode_ns: sums.decode_ns as f64,
        compute_ns: sums.compute_ns as f64,
        encode_ns: sums.encode_ns as f64,
        retrieval_ns: sums.retrieval_ns as f64,
        retrievals: sums.retrievals as f64,
        calls,
    }
}

fn estimate(
    case: &Case,
    samples: &[(u32, Breakdown)],
    invocation: Invocation,
    bootstrap: &mut Bootstrap,
) -> Option<Estimate> {
    let found: InRounds<Parts> = samples
        .iter()
        .map(|(round, sample)| Some((*round, parts(sample, invocation)?)))
        .collect::<Option<_>>()?;
    let mut figure = |of: fn(&Parts) -> f64| -> Option<Figure> {
        let samples = samples_of(&found, |parts| Some(of(parts)))?;
        Some(Figure::of(bootstrap, &samples))
    };
    let whole = figure(|parts| parts.whole)?;
    let sum = figure(|parts| parts.cold + parts.terms.sum_ns())?;
    let (difference, reconciles) = reconcile(sum.median, whole.median)?;
    let gets_state = samples.iter().any(|(_, sample)| sample.first.retrievals > 0);
    let calls: u64 = match invocation {
        Invocation::First => samples.len() as u64,
        Invocation::Later => samples.iter().map(|(_, sample)| u64::from(sample.warm_calls)).sum(),
    };
    let clock_cost_ps = median_of(samples.iter().map(|(_, sample)| sample.clock_cost_ps));
    Some(Estimate {
        case: case.clone(),
        invocation,
        calls,
        whole,
        cold: match invocation {
            Invocation::First => figure(|parts| parts.cold),
            Invocation::Later => None,
        },
        retrieval: if gets_state { figure(|parts| parts.terms.retrieval_ns) } else { None },
        serialization: figure(|parts| parts.terms.serialization_ns())?,
        compute: figure(|parts| parts.terms.compute_ns)?,
        decode: figure(|parts| parts.terms.decode_ns)?,
        encode: figure(|parts| parts.terms.encode_ns)?,
        boundary: figure(|parts| parts.terms.boundary_ns)?,
        sum,
        difference,
        reconciles,
        clock_cost_ns: clock_cost_ps / 1000.0,
    })
}
