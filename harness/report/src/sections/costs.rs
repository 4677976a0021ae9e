//! What a request costs by something that grows: the bytes that it moves, or the functions of a
//! chain. One analysis over an axis, and a section for each use of it.

use std::collections::BTreeMap;

use lumos_model::{Line, SizedSamples, geometric_mean};
use lumos_record::{Case, Setting, Suite};

use super::{Source, nothing};
use crate::charts::{self, Curve, Vertical};
use crate::figure::{Figure, Interval};
use crate::format;
use crate::load::CaseEvidence;
use crate::schema::{CaseEstimate, CaseRatio, Report};
use crate::table::{
    Block, Cell, Chart, Column, Item, Marks, Mean, Names, Quantity, Row, Section, Table,
};

/// What a cost is followed over.
struct Axis {
    /// The case that stands for all points.
    whole: fn(&Case) -> Case,
    /// Where on the axis a case is.
    position: fn(&Case, &CaseEvidence) -> Option<u64>,
    /// How many steps of the axis a cost per unit is of.
    unit: f64,
}

/// The bytes that a request moves.
const SIZES: Axis = Axis {
    whole: |case| Case { payload: Case::NO_PAYLOAD.to_owned(), ..case.clone() },
    position: |_, found| Some(found.size_bytes),
    unit: 1024.0,
};

/// The functions of a chain that run, with state or without.
const STEPS: Axis = Axis {
    whole: |case| Case {
        setting: Setting { steps: None, state: None, ..case.setting },
        ..case.clone()
    },
    position: |case, _| case.setting.steps.map(u64::from),
    unit: 1.0,
};

/// A function or chain on a runtime.
struct Costs<'r> {
    /// The case that stands for all points.
    case: Case,
    /// Small first.
    points: Vec<Point<'r>>,
    /// The line through all points.
    line: Option<Line>,
    to_native: Option<ToNative>,
}

struct Point<'r> {
    position: u64,
    estimate: &'r CaseEstimate,
    /// To native code in the same lane and sandbox.
    ratio: Option<f64>,
}

/// Costs beside those of native code in the same lane and sandbox.
struct ToNative {
    reference: String,
    /// Of the ratios of all points.
    ratio: Mean,
    /// Of the costs per unit, by the lines of both.
    per_unit: Option<Interval>,
}

impl Point<'_> {
    fn figure(&self) -> Figure {
        let CaseEstimate { median, low, high, n, .. } = *self.estimate;
        Figure { median, low: Some(low), high: Some(high), n }
    }
}

/// Every function or chain on every runtime that was measured in one of the suites. Those that
/// `has_line` does not hold for have no cost per unit.
fn costs<'r>(
    suites: &[Suite],
    axis: &Axis,
    has_line: impl Fn(&Case) -> bool,
    source: &mut Source<'r>,
) -> Vec<Costs<'r>> {
    let (report, cases) = (source.report, &source.evidence.cases);
    let mut found: BTreeMap<Case, Vec<(u64, &CaseEstimate)>> = BTreeMap::new();
    for estimate in &report.estimates {
        let case = &estimate.case;
        let position = cases.get(case).and_then(|found| (axis.position)(case, found));
        if let Some(position) = position.filter(|_| suites.contains(&case.suite)) {
            found.entry((axis.whole)(case)).or_default().push((position, estimate));
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_cached_key(|(case, _)| source.runtimes.order(case));
    let of_case = |(case, mut points): (Case, Vec<(u64, &'r CaseEstimate)>)| {
        points.sort_by_key(|(position, estimate)| (*position, estimate.case.setting));
        let reference = source.runtimes.references(&case).into_iter().next();
        let points: Vec<Point<'r>> = points
            .into_iter()
            .map(|(position, estimate)| {
                let ratio = reference.as_ref().and_then(|name| ratio(report, &estimate.case, name));
                Point { position, estimate, ratio }
            })
            .collect();
        let samples = |runtime: &str| samples(&points, runtime, cases);
        let own = if has_line(&case) { samples(&case.runtime) } else { Vec::new() };
        let line = source.bootstrap.line(&own);
        let ratios: Vec<f64> = points.iter().filter_map(|point| point.ratio).collect();
        let to_native = reference.zip(geometric_mean(&ratios)).map(|(reference, ratio)| {
            let below = samples(&reference);
            let per_unit = source.bootstrap.per_byte_ratio(&own, &below).map(Interval::from);
            ToNative { ratio: ratio.into(), per_unit, reference }
        });
        Costs { case, points, line, to_native }
    };
    found.into_iter().map(of_case).collect()
}

fn ratio(report: &Report, case: &Case, reference: &str) -> Option<f64> {
    let is_of = |ratio: &&CaseRatio| ratio.case == *case && ratio.reference == reference;
    report.ratios.iter().find(is_of).map(|found| found.ratio)
}

/// The samples of each point: of its own runtime or, for the same points, of another.
fn samples<'c>(
    points: &[Point<'_>],
    runtime: &str,
    cases: &'c BTreeMap<Case, CaseEvidence>,
) -> Vec<SizedSamples<'c>> {
    let of_point = |point: &Point<'_>| {
        let case = Case { runtime: runtime.to_owned(), ..point.estimate.case.clone() };
        Some(SizedSamples { bytes: point.position, samples: cases.get(&case)?.samples()? })
    };
    points.iter().filter_map(of_point).collect()
}

/// The columns that follow from the line and from native code; `per_unit` is what a cost is per.
fn columns(per_unit: &'static str, keys: [&'static str; 2]) -> Vec<Column> {
    let [per_unit_ns, per_unit_ratio] = keys;
    vec![
        Column::new(
            "fixed_ns",
            "fixed",
            Quantity::Nanoseconds,
            "what a request costs however large, by the line through all points; null with fewer \
             than three",
        ),
        Column::new(
            per_unit_ns,
            format!("per {per_unit}"),
            Quantity::Nanoseconds,
            "the slope of that line",
        ),
        Column::new(
            "largest_residual",
            "farthest",
            Quantity::Share,
            "how far the line is from the farthest point, as a share of that point's time",
        ),
        Column::new(
            "ratio",
            "ratio",
            Quantity::Ratio,
            "geometric mean of the ratios to native code in the same lane and sandbox over all \
             points, with the smallest and the largest",
        ),
        Column::new(
            per_unit_ratio,
            format!("ratio per {per_unit}"),
            Quantity::Ratio,
            "the slope over that of native code; null where a line is missing, or native code's \
             slope cannot be told from nothing",
        ),
        Column::new("reference", "", Quantity::Text, "the runtime below the line").hidden(),
    ]
}

impl Costs<'_> {
    /// A cell for each of [`columns`]; `no_line` is why there may be no line.
    fn cells(&self, axis: &Axis, source: &Source<'_>, no_line: &str) -> Vec<Cell> {
        let line = self.line.as_ref();
        let interval = |of: fn(&Line) -> lumos_model::Estimate, factor: f64| {
            let interval = line.map(|line| Interval::from(of(line)).times(factor));
            Cell::interval_or(interval, no_line)
        };
        let absent = |reason: &str| Cell::Absent(reason.to_owned());
        let is_reference = source.runtimes.is_reference(self.case.suite.lane(), &self.case.runtime);
        let (ratio, per_unit) = match &self.to_native {
            Some(native) => {
                let reason = "no ratio: a line is missing, or native code's cost cannot be told \
                              from nothing";
                (Cell::Mean(native.ratio), Cell::interval_or(native.per_unit, reason))
            }
            None => {
                let reason = match is_reference {
                    true => "no ratio: it is what the others are compared with",
                    false => "no ratio: native code has no figure for it",
                };
                (absent(reason), absent(reason))
            }
        };
        let reference = self.to_native.as_ref().map(|native| native.reference.clone());
        vec![
            interval(|line| line.fixed, 1.0),
            interval(|line| line.per_byte, axis.unit),
            line.map_or_else(|| absent(no_line), |line| Cell::Number(line.largest_residual)),
            ratio,
            per_unit,
            reference.map_or(Cell::Nothing("there is none"), Cell::Text),
        ]
    }
}

/// The section of what requests cost by their size.
pub fn serialization(source: &mut Source<'_>) -> Section {
    const SUITES: [Suite; 2] = [Suite::Serialization, Suite::SerializationServed];
    let head = ("serialization", "what requests cost by their size");
    let section = ("by-size", "Serialization: cost by size");
    by_size(head, section, &SUITES, &nothing("swept no sizes", &SUITES), source)
}

/// The section of what getting and putting state costs by its size.
pub fn retrieval(source: &mut Source<'_>) -> Section {
    const SUITES: [Suite; 1] = [Suite::Retrieval];
    let head = ("retrieval", "what getting and putting state costs by the size of the value");
    let section = ("state", "Retrieval: cost by size");
    by_size(head, section, &SUITES, &nothing("got and put no state", &SUITES), source)
}

fn by_size(
    (list, doc): (&'static str, &'static str),
    (id, title): (&'static str, &'static str),
    suites: &[Suite],
    nothing: &str,
    source: &mut Source<'_>,
) -> Section {
    let found = costs(suites, &SIZES, |_| true, source);
    let of_size = |key, title, doc| Column::new(key, title, Quantity::Nanoseconds, doc);
    let mut all = vec![
        Column::new("sizes", "sizes", Quantity::Count, "how many sizes were measured"),
        of_size("smallest_ns", "smallest", "what a request of the smallest size takes"),
        of_size("largest_ns", "largest", "what a request of the largest size takes"),
    ];
    all.extend(columns("KiB", ["per_kib_ns", "per_kib_ratio"]));
    let row = |costs: &Costs<'_>| {
        let at = |point: Option<&Point<'_>>| {
            let named = |point: &Point<'_>| (point.estimate.case.payload.clone(), point.figure());
            Cell::Named(point.map(named).into_iter().collect())
        };
        let points = &costs.points;
        let mut cells =
            vec![Cell::Number(points.len() as f64), at(points.first()), at(points.last())];
        cells.extend(costs.cells(&SIZES, source, "no line: it takes three sizes or more"));
        Row::of(&costs.case, cells)
    };
    let rows: Vec<Row> = found.iter().map(row).collect();
    let brief = Some(format!("{title}: {} rows in the report.", rows.len()));
    let names = Names::Case { suite: true, function: "function", payload: false };
    let table = Table { list: Some(list), doc, names, columns: all, rows };
    if found.is_empty() {
        return Section::empty(id, title, nothing.to_owned(), table);
    }
    let mut blocks = vec![Block::Text(
        "What a request costs is fitted by a line through all sizes: a *fixed* cost, and one *per \
         KiB*. *Farthest* is how far the line is from the size that it misses most, as a share of \
         its time: where that is large, the cost is not of this form. The *ratio* is the geometric \
         mean of the ratios to native over all sizes, with the smallest and the largest; the last \
         column compares the costs per KiB. Why a size is missing stands in the tables of the \
         suite."
            .to_owned(),
    )];
    blocks.extend(charts(&found, source));
    blocks.push(Block::Folded {
        summary: "Table of costs".to_owned(),
        open: false,
        blocks: vec![Block::Table(table)],
    });
    Section { id, title, blocks, brief }
}

/// A chart of times and one of ratios for each function and suite.
fn charts(found: &[Costs<'_>], source: &Source<'_>) -> Vec<Block> {
    let mut by_title: Vec<(String, Vec<&Costs<'_>>)> = Vec::new();
    for costs in found {
        let Case { suite, function, setting, .. } = &costs.case;
        let title = match setting.is_default() {
            true => format!("{suite}: {function}"),
            false => format!("{suite}: {function}, {setting}"),
        };
        match by_title.iter_mut().find(|(other, _)| *other == title) {
            Some((_, list)) => list.push(costs),
            None => by_title.push((title, vec![costs])),
        }
    }
    let open = by_title.len() <= 4;
    let folded = |(title, list): (String, Vec<&Costs<'_>>)| {
        let curves = |figure: fn(&Point<'_>) -> Option<f64>| -> Vec<Curve> {
            // A logarithmic scale has no place for nothing.
            let points = |costs: &&Costs<'_>| {
                let points = costs.points.iter().filter(|point| point.position > 0);
                points.filter_map(|point| Some((point.position as f64, figure(point)?))).collect()
            };
            let curve = |costs: &Costs<'_>| {
                let series = source.palette.of(&costs.case.runtime);
                Curve { series, points: points(&costs) }
            };
            list.iter().copied().map(curve).collect()
        };
        let draw = |what: &str, curves: Vec<Curve>, vertical| {
            let label = format!("{what} by size, {title}");
            charts::curves(&label, &curves, format::byte_decade, vertical)
        };
        let names = list.iter().map(|costs| costs.case.runtime.as_str());
        let chart = |legend, svg, caption: &str| {
            let (title, caption) = (String::new(), caption.to_owned());
            Block::Chart(Chart { title, legend, marks: Marks::Lines, svg, caption })
        };
        let times = draw("Time", curves(|point| Some(point.estimate.median)), Vertical::Time);
        let ratios = draw("Ratio to native", curves(|point| point.ratio), Vertical::Ratio);
        let mut blocks = vec![chart(
            source.palette.legend(names),
            times,
            "Median time by size, both on logarithmic scales.",
        )];
        if !ratios.is_empty() {
            blocks.push(chart(Vec::new(), ratios, "Ratio to native by size."));
        }
        Block::Folded { summary: title, open, blocks }
    };
    by_title.into_iter().map(folded).collect()
}

/// The section of what chains of functions cost by their length.
pub fn chains(source: &mut Source<'_>) -> Section {
    const SUITES: [Suite; 2] = [Suite::Chain, Suite::ChainLocal];
    let functions = &source.evidence.chains;
    let steps = |case: &Case| functions.get(&case.function).map_or(&[][..], Vec::as_slice);
    // Functions that differ have no cost in common.
    let is_uniform = |case: &Case| {
        steps(case).first().is_some_and(|first| steps(case).iter().all(|f| f == first))
    };
    let found = costs(&SUITES, &STEPS, is_uniform, source);
    let (id, title) = ("chains", "Chains of functions");
    let most = found.iter().flat_map(|costs| &costs.points).map(|point| point.position).max();
    let lengths = 1..=most.unwrap_or(0);
    let of_length = |length: u64| {
        let title = format!("{length} step{}", if length == 1 { "" } else { "s" });
        let key = format!("steps_{length}_ns");
        let doc = "what a request through so many functions takes, with state in each place: a field for each length up to the run's longest";
        Column::new(key, title, Quantity::Nanoseconds, doc).one_of("steps_<n>_ns")
    };
    let mut all: Vec<Column> = lengths.clone().map(of_length).collect();
    all.extend(columns("step", ["per_step_ns", "per_step_ratio"]));
    all.push(Column::new("functions", "", Quantity::Text, "the chain, step by step").hidden());
    let row = |costs: &Costs<'_>| {
        let mut cells: Vec<Cell> = lengths.clone().map(|length| costs.at_length(length)).collect();
        let no_line =
            "no cost per step: it takes three lengths or more, of one function throughout";
        cells.extend(costs.cells(&STEPS, source, no_line));
        cells.push(Cell::List(steps(&costs.case).to_vec()));
        Row::of(&costs.case, cells)
    };
    let rows: Vec<Row> = found.iter().map(row).collect();
    let brief = Some(format!("{title}: {} rows in the report.", rows.len()));
    let names = Names::Case { suite: true, function: "chain", payload: true };
    let doc = "what requests through chains of functions cost, by the number of functions";
    let table = Table { list: Some("chain"), doc, names, columns: all, rows };
    if found.is_empty() {
        return Section::empty(id, title, nothing("measured no chains", &SUITES), table);
    }
    let mut told: Vec<Item> = Vec::new();
    for case in found.iter().map(|costs| &costs.case) {
        let point = Item::of(&case.function, &steps(case).join(", "));
        if !steps(case).is_empty() && !told.contains(&point) {
            told.push(point);
        }
    }
    let text = "One request through several functions, each of which works on what the one before \
                it answered. In the suite `chain` each is a worker, and the bytes go from socket \
                to socket; in `chain_local` each is an instance, and they are copied from memory to \
                memory. *Per step* is the slope of a line through all lengths, where all functions \
                are the same. The *ratio* is the geometric mean of the ratios to native over all \
                lengths, with the smallest and the largest; lanes are never compared.";
    let mut blocks = vec![Block::Text(text.to_owned())];
    if !told.is_empty() {
        blocks.push(Block::List(told));
    }
    blocks.push(Block::Table(table));
    Section { id, title, blocks, brief }
}

impl Costs<'_> {
    /// What a length of a chain takes, with state in each place where it was measured.
    fn at_length(&self, length: u64) -> Cell {
        let points = self.points.iter().filter(|point| point.position == length);
        let named = points.map(|point| {
            let state = point.estimate.case.setting.state;
            (state.map(|state| state.to_string()).unwrap_or_default(), point.figure())
        });
        let named: Vec<(String, Figure)> = named.collect();
        match named.as_slice() {
            [] => Cell::Absent("this length was not measured".to_owned()),
            [(name, figure)] if name.is_empty() => Cell::Figure(*figure),
            _ => Cell::Named(named),
        }
    }
}
