//! What a terminal shows of a report: per function and runtime, the three figures that people
//! ask for first.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use lumos_record::{Lane, Suite};

use super::format;
use super::grid::{Cell, Comparison, Grid};
use super::runtimes::Runtimes;
use super::schema::Report;
use super::terminal::aligned;

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
    columns: Vec<Suite>,
    rows: Vec<Row>,
    /// Whether a figure is compared with another.
    compares: bool,
    /// Of what is too much for a terminal: where it is.
    briefs: Vec<String>,
}

#[derive(Debug)]
struct Row {
    function: String,
    runtime: String,
    payload: String,
    /// One for each column.
    cells: Vec<String>,
}

/// The suites that may have a column, those first that people ask for first.
const SUITES: [Suite; 6] =
    [Suite::ColdStart, Suite::Warm, Suite::Call, Suite::Fresh, Suite::Instantiate, Suite::Load];

/// A terminal has room for so many columns.
const MOST_COLUMNS: usize = 3;

impl Summary {
    /// Takes the figures of one payload per function from the report.
    pub fn new(report: &Report, grids: &[Grid], paths: Vec<PathBuf>) -> Self {
        let has_grid = |suite: &Suite| grids.iter().any(|grid| grid.suite == *suite);
        let columns: Vec<Suite> = SUITES.into_iter().filter(has_grid).take(MOST_COLUMNS).collect();
        Self {
            run: report.run.name.clone(),
            estimates: report.estimates.len(),
            skips: report.skips.len(),
            failures: report.failures.len(),
            warnings: report.warnings.clone(),
            paths,
            emulated: report.node.emulated,
            rows: rows(report, grids, &columns),
            compares: report.ratios.iter().any(|ratio| columns.contains(&ratio.case.suite)),
            columns,
            briefs: report.sections.iter().filter_map(|section| section.brief.clone()).collect(),
        }
    }
}

/// A line per function and served runtime; the call of its engine stands beside it. An engine
/// that nothing serves has a line of its own.
fn rows(report: &Report, grids: &[Grid], columns: &[Suite]) -> Vec<Row> {
    let runtimes = Runtimes::new(&report.runtimes);
    let mut rows: BTreeMap<_, Row> = BTreeMap::new();
    for (column, suite) in columns.iter().enumerate() {
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
                    let new = || Row::new(row, runtime, columns.len());
                    let line = rows.entry(key).or_insert_with(new);
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
    fn new(row: super::grid::Row, runtime: &str, columns: usize) -> Self {
        Self {
            function: row.function.to_owned(),
            runtime: runtime.to_owned(),
            payload: row.input(),
            cells: vec![String::new(); columns],
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

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["function", "payload", "runtime"];
        let cells = |row: &Row| {
            let names = [row.function.clone(), row.payload.clone(), row.runtime.clone()];
            names.into_iter().chain(row.cells.clone()).collect::<Vec<String>>()
        };
        let suites = self.columns.iter().map(|suite| suite.name().replace('_', " "));
        let header: Vec<String> = titles.into_iter().map(str::to_owned).chain(suites).collect();
        let lines = self.rows.iter().map(cells);
        let header = (!self.rows.is_empty()).then_some(header);
        let lines = header.into_iter().chain(lines);
        f.write_str(&aligned(lines, |column| column < titles.len()))?;
        if self.compares {
            writeln!(
                f,
                "\nMedians, and how many times native in the same lane: the 95 % interval where that \
                 leaves open which is faster. One payload per function."
            )?;
        } else if !self.rows.is_empty() {
            writeln!(f, "\nMedians. One payload per function.")?;
        }
        for brief in &self.briefs {
            writeln!(f, "{brief}")?;
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
