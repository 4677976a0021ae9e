//! A suite's cells as a table: every function and payload on every runtime, without holes.

use std::collections::{BTreeMap, HashMap};

use lumos_record::suite::Shown;
use lumos_record::{Case, Setting, Suite};

use super::runtimes::Runtimes;
use super::schema::{CaseEstimate, CaseRatio, Report};

/// What a table shows for a case.
pub enum Cell<'a> {
    /// A figure, with its comparison.
    Measured(&'a CaseEstimate, Comparison<'a>),
    /// The reason that there is no figure.
    Absent(String),
}

/// What a figure is compared with.
pub enum Comparison<'a> {
    /// Others are compared with it.
    Reference,
    /// The ratio to its reference: to the first, if there are several.
    Ratio(&'a CaseRatio),
    /// The reason that there is no ratio.
    None(String),
}

/// A line of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row<'a> {
    /// The function.
    pub function: &'a str,
    /// The payload's id.
    pub payload: &'a str,
    /// What the workers were given, and found.
    pub setting: Setting,
}

impl<'a> Row<'a> {
    fn of(case: &'a Case) -> Self {
        Self { function: &case.function, payload: &case.payload, setting: case.setting }
    }

    /// The payload, and the setting where that is not the default.
    pub fn input(&self) -> String {
        match self.setting.is_default() {
            true => self.payload.to_owned(),
            false => format!("{} @ {}", self.payload, self.setting),
        }
    }
}

/// The cells of one suite.
pub struct Grid<'a> {
    /// The suite.
    pub suite: Suite,
    /// The columns.
    pub runtimes: Vec<&'a str>,
    /// The lines.
    pub rows: Vec<Row<'a>>,
    cells: HashMap<(Row<'a>, &'a str), Cell<'a>>,
}

impl<'a> Grid<'a> {
    /// The cell of a line and a runtime.
    pub fn cell(&self, row: Row<'a>, runtime: &'a str) -> &Cell<'a> {
        // Every combination was filled in when the report was made; a report that was altered by
        // hand may still lack one.
        static UNKNOWN: Cell = Cell::Absent(String::new());
        self.cells.get(&(row, runtime)).unwrap_or(&UNKNOWN)
    }

    /// One line per function: that under the first setting with the most figures, and of those
    /// the largest payload.
    pub fn representatives(&self) -> Vec<Row<'a>> {
        let mut best: BTreeMap<&str, (usize, Row<'a>)> = BTreeMap::new();
        let first = self.rows.iter().map(|row| row.setting).min();
        for &row in self.rows.iter().filter(|row| Some(row.setting) == first) {
            let measured =
                |runtime: &&&'a str| matches!(self.cell(row, runtime), Cell::Measured(..));
            let count = self.runtimes.iter().filter(measured).count();
            let entry = best.entry(row.function).or_insert((count, row));
            if count >= entry.0 {
                *entry = (count, row);
            }
        }
        best.into_values().map(|(_, row)| row).collect()
    }
}

/// The grids of every suite that the report holds a case of, but `variants`, in the order of the
/// vocabulary.
pub fn grids(report: &Report) -> Vec<Grid<'_>> {
    let runtimes = Runtimes::new(&report.runtimes);
    let ratios = first_ratios(report);
    let mut cells: Vec<(&Case, Cell)> = Vec::new();
    for estimate in &report.estimates {
        let case = &estimate.case;
        let comparison = match ratios.get(case) {
            _ if runtimes.is_reference(case.suite.lane(), &case.runtime) => Comparison::Reference,
            Some(ratio) => Comparison::Ratio(ratio),
            None => without_ratio(&estimate.case, &runtimes),
        };
        cells.push((&estimate.case, Cell::Measured(estimate, comparison)));
    }
    let absent = |prefix: &str, reason: &str| Cell::Absent(format!("{prefix}: {reason}"));
    cells.extend(report.skips.iter().map(|skip| (&skip.case, absent("skipped", &skip.reason))));
    let failures = report.failures.iter();
    cells.extend(failures.map(|failure| (&failure.case, absent("failed", &failure.reason))));
    let left_out = || Cell::Absent("not selected: this run holds no record of it".into());
    cells.extend(report.unrecorded.iter().map(|case| (case, left_out())));
    // Variants have native cases of another setting than what is compared with them, and what is
    // counted has no times: each has a section of its own.
    cells.retain(|(case, _)| case.suite.spec().shown != Shown::InOwnSection);
    cells.sort_by_cached_key(|(case, _)| runtimes.order(case));
    by_suite(cells, &runtimes)
}

fn first_ratios(report: &Report) -> HashMap<&Case, &CaseRatio> {
    let mut first = HashMap::new();
    for ratio in &report.ratios {
        first.entry(&ratio.case).or_insert(ratio);
    }
    first
}

fn without_ratio<'a>(case: &Case, runtimes: &Runtimes) -> Comparison<'a> {
    match runtimes.find(case.suite.lane(), &case.runtime) {
        None => Comparison::None("no ratio: the artifact manifest has no such runtime".into()),
        Some(_) => {
            if let Shown::WithoutRatios(reason) = case.suite.spec().shown {
                return Comparison::None(format!("no ratio: {reason}"));
            }
            let references = runtimes.references(case).join(" or ");
            let references = if references.is_empty() { "a native runtime" } else { &references };
            Comparison::None(format!("no ratio: {references} has no figure for it"))
        }
    }
}

fn by_suite<'a>(cells: Vec<(&'a Case, Cell<'a>)>, runtimes: &Runtimes) -> Vec<Grid<'a>> {
    let mut grids: Vec<Grid> = Vec::new();
    for (case, cell) in cells {
        if grids.last().is_none_or(|grid| grid.suite != case.suite) {
            let (suite, runtimes, rows) = (case.suite, Vec::new(), Vec::new());
            grids.push(Grid { suite, runtimes, rows, cells: HashMap::new() });
        }
        let Some(grid) = grids.last_mut() else { continue };
        let row = Row::of(case);
        if grid.rows.last() != Some(&row) {
            grid.rows.push(row);
        }
        grid.cells.insert((row, &case.runtime), cell);
    }
    for grid in &mut grids {
        let mut columns: Vec<&str> = grid.cells.keys().map(|key| key.1).collect();
        columns.sort_by_cached_key(|runtime| runtimes.rank(grid.suite.lane(), runtime));
        columns.dedup();
        grid.runtimes = columns;
    }
    grids
}
