//! What a terminal shows of a report: per function and runtime, the three figures that people
//! ask for first.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use lumos_record::{Lane, Suite};

use super::format;
use super::grid::{Cell, Comparison, Grid};
use super::runtimes::Runtimes;
use super::schema::{PullCheckReport, Report};

/// A report in short. Its `Display` is the text for the terminal.
#[derive(Debug)]
pub struct Summary {
    /// The run's name.
    pub run: String,
    /// How many cases have a figure.
    pub estimates: usize,
    /// How many were skipped.
    pub skips: usize,
    /// How many failed, interrupted ones included.
    pub failures: usize,
    /// What somebody should know before trusting the figures.
    pub warnings: Vec<String>,
    /// The files that were written.
    pub paths: Vec<PathBuf>,
    emulated: bool,
    rows: Vec<Row>,
    /// The model of a pull beside pulls from a registry, if there were any.
    pulls: Option<PullCheckReport>,
    /// Invocations that were taken apart, and those of them whose terms do not add up.
    apart: (usize, usize),
    /// Lines through sizes.
    sweeps: usize,
    chains: usize,
    counts: usize,
}

#[derive(Debug)]
struct Row {
    function: String,
    runtime: String,
    payload: String,
    cells: [String; COLUMNS.len()],
}

/// The suites of the columns, with their titles.
const COLUMNS: [(Suite, &str); 3] =
    [(Suite::ColdStart, "cold start"), (Suite::Warm, "warm"), (Suite::Call, "call")];

impl Summary {
    /// Takes the figures of one payload per function from the report.
    pub fn new(report: &Report, grids: &[Grid], paths: Vec<PathBuf>) -> Self {
        Self {
            run: report.run.name.clone(),
            estimates: report.estimates.len(),
            skips: report.skips.len(),
            failures: report.failures.len(),
            warnings: report.warnings.clone(),
            paths,
            emulated: report.node.emulated,
            rows: rows(report, grids),
            pulls: report.pull.check.clone(),
            apart: (
                report.breakdown.len(),
                report.breakdown.iter().filter(|entry| !entry.reconciles).count(),
            ),
            sweeps: report.serialization.len() + report.retrieval.len(),
            chains: report.chain.len(),
            counts: report.counts.len(),
        }
    }
}

/// A line per function and served runtime; the call of its engine stands beside it. An engine
/// that nothing serves has a line of its own.
fn rows(report: &Report, grids: &[Grid]) -> Vec<Row> {
    let runtimes = Runtimes::new(&report.runtimes);
    let mut rows: BTreeMap<_, Row> = BTreeMap::new();
    for (column, (suite, _)) in COLUMNS.iter().enumerate() {
        let Some(grid) = grids.iter().find(|grid| grid.suite == *suite) else { continue };
        for row in grid.representatives() {
            for &runtime in &grid.runtimes {
                let text = text(grid.cell(row, runtime));
                let served = match suite.lane() {
                    Lane::Served => false,
                    Lane::InProcess => {
                        fill_served(&runtimes, &mut rows, (row.function, runtime), |line| {
                            line.cells[column].clone_from(&text);
                        })
                    }
                };
                if !served {
                    let key = (row.function, runtimes.rank(suite.lane(), runtime));
                    let line = rows.entry(key).or_insert_with(|| Row::new(row, runtime));
                    line.cells[column] = text;
                }
            }
        }
    }
    rows.into_values().collect()
}

/// Visits the lines of a function whose served runtime is this engine; says whether there are any.
fn fill_served<K: Ord>(
    runtimes: &Runtimes,
    rows: &mut BTreeMap<K, Row>,
    (function, engine): (&str, &str),
    mut visit: impl FnMut(&mut Row),
) -> bool {
    let mut any = false;
    for line in rows.values_mut().filter(|line| line.function == function) {
        let serves = runtimes.find(Lane::Served, &line.runtime);
        if serves.is_some_and(|runtime| runtime.name == engine && runtime.loads.is_some()) {
            visit(line);
            any = true;
        }
    }
    any
}

impl Row {
    fn new(row: super::grid::Row, runtime: &str) -> Self {
        Self {
            function: row.function.to_owned(),
            runtime: runtime.to_owned(),
            payload: row.input(),
            cells: [const { String::new() }; COLUMNS.len()],
        }
    }
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Absent(reason) => {
            reason.split_once(':').map_or(reason.as_str(), |(kind, _)| kind).to_owned()
        }
        Cell::Measured(estimate, comparison) => {
            let time = format::estimate(estimate);
            let ratio = match comparison {
                Comparison::Ratio(ratio) => format::case_ratio(ratio),
                Comparison::Reference | Comparison::None(_) => String::new(),
            };
            format!("{time} {ratio:>10}")
        }
    }
}

/// The model of a pull beside pulls from a registry.
fn write_pulls(f: &mut fmt::Formatter<'_>, check: &PullCheckReport) -> fmt::Result {
    if !check.pulls.is_empty() {
        let titles = ["pull", "compressed", "bandwidth", "modelled", "measured", "ratio"];
        let [image, rest @ ..] = titles;
        write!(f, "\n{image:<24}")?;
        rest.iter().try_for_each(|title| write!(f, "  {title:>11}"))?;
        writeln!(f)?;
    }
    for found in &check.pulls {
        let pull = &found.pull;
        let cells = [
            format::bytes(pull.compressed_bytes as f64),
            pull.bandwidth_bytes_per_s.map_or_else(
                || "no limit".to_owned(),
                |bytes_per_s| format!("{} Mbit/s", bytes_per_s as f64 * 8.0 / 1e6),
            ),
            found.modelled_ns.map_or_else(String::new, format::duration),
            format::duration(found.measured_ns),
            found.ratio.map_or_else(String::new, format::ratio),
        ];
        let image = format!("{} on {}", pull.function, pull.base);
        let line =
            cells.iter().fold(format!("{image:<24}"), |line, cell| format!("{line}  {cell:>11}"));
        writeln!(f, "{}", line.trim_end())?;
    }
    check.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["function", "payload", "runtime"];
        let cells = |row: &Row| {
            let names = [row.function.clone(), row.payload.clone(), row.runtime.clone()];
            names.into_iter().chain(row.cells.clone()).collect::<Vec<String>>()
        };
        let header: Vec<String> =
            titles.into_iter().chain(COLUMNS.map(|column| column.1)).map(str::to_owned).collect();
        let lines: Vec<Vec<String>> = self.rows.iter().map(cells).collect();
        let width = |column: usize| {
            let all = std::iter::once(&header).chain(&lines);
            all.map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let header = (!lines.is_empty()).then_some(&header);
        for line in header.into_iter().chain(&lines) {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                let width = widths[column];
                let padded = if column < titles.len() {
                    format!("{cell:<width$}  ")
                } else {
                    format!("{cell:>width$}  ")
                };
                text.push_str(&padded);
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        writeln!(
            f,
            "\nMedians, and how many times native in the same lane: the 95 % interval where that leaves \
             open which is faster. One payload per function."
        )?;
        if let Some(check) = &self.pulls {
            write_pulls(f, check)?;
        }
        // Too much for a terminal: the report has it.
        match self.apart {
            (0, _) => {}
            (rows, 0) => writeln!(f, "Where the time goes: {rows} rows in the report.")?,
            (rows, astray) => writeln!(
                f,
                "Where the time goes: {rows} rows in the report; the terms of {astray} do not add \
                 up to the whole."
            )?,
        }
        if self.sweeps > 0 {
            writeln!(f, "Cost by size: {} rows in the report.", self.sweeps)?;
        }
        if self.chains > 0 {
            writeln!(f, "Chains of functions: {} rows in the report.", self.chains)?;
        }
        if self.counts > 0 {
            writeln!(f, "Instructions: {} counts in the report.", self.counts)?;
        }
        if self.emulated {
            writeln!(f, "Emulated: nothing here is a ranking.")?;
        }
        writeln!(
            f,
            "{}: {} estimates, {} skipped, {} failed",
            self.run, self.estimates, self.skips, self.failures
        )?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        self.paths.iter().try_for_each(|path| writeln!(f, "{}", path.display()))
    }
}
