//! The sections of the report whose tables are of one model. A new one is a file here, and a line
//! in [`all`].

mod absent;
mod break_even;
mod breakdown;
mod claims;
mod compilations;
mod compiling;
mod costs;
mod counts;
mod memory;
mod phases;
mod platform;
mod pull;
mod sizes;
mod suites;
mod variants;

use lumos_model::Bootstrap;
use lumos_record::{ArtifactKind, Case, Suite};

use super::load::Evidence;
use super::page::Palette;
use super::runtimes::Runtimes;
use super::schema::Report;
use super::table::{Cell, Item, Row, Section, Table};

/// What sections are made of.
pub struct Source<'s> {
    /// The estimates and ratios, the absent cases, and all that is told of the run.
    pub report: &'s Report,
    /// What the run recorded.
    pub evidence: &'s Evidence,
    /// Which runtime is what.
    pub runtimes: &'s Runtimes<'s>,
    /// Which colour stands for a runtime.
    pub palette: &'s Palette,
    /// Where intervals come from.
    pub bootstrap: &'s mut Bootstrap,
}

/// All of them, in the order of the report.
pub fn all(source: &mut Source<'_>) -> Vec<Section> {
    let mut all = vec![suites::summary(source), claims::section(source)];
    all.extend(suites::sections(source));
    all.extend([
        phases::section(source),
        platform::section(source),
        pull::section(source),
        compiling::section(source),
        variants::section(source),
        breakdown::section(source),
        costs::serialization(source),
        costs::retrieval(source),
        costs::chains(source),
        counts::section(source),
        memory::section(source),
        sizes::section(source),
        absent::section(source),
    ]);
    all
}

/// What an image holds, and on what.
fn image_name(engine: Option<&str>, holds: ArtifactKind, base: &str) -> String {
    format!("{} on {base}", engine.unwrap_or(holds.name()))
}

/// What stands in place of a table that has no rows: the command that measures it.
fn nothing(what: &str, suites: &[Suite]) -> String {
    let suites: String = suites.iter().map(|suite| format!(" --suite {suite}")).collect();
    format!("This run {what}: `cargo xtask bench{suites}` does.")
}

impl Source<'_> {
    /// Adds a row for each case of a suite that has no figure, with the reason, and sorts all rows.
    fn complete(&self, table: &mut Table, suite: Suite) {
        let report = self.report;
        let skips =
            report.skips.iter().map(|skip| (&skip.case, format!("skipped: {}", skip.reason)));
        let failures = report.failures.iter();
        let failures =
            failures.map(|failure| (&failure.case, format!("failed: {}", failure.reason)));
        let left_out = |case| (case, "not selected: this run holds no record of it".to_owned());
        let left_out = report.unrecorded.iter().map(left_out);
        let absent = skips.chain(failures).chain(left_out);
        let of_suite = absent.filter(|(case, _): &(&Case, String)| case.suite == suite);
        let columns = table.columns.len();
        let row = |(case, reason)| Row::of(case, vec![Cell::Absent(reason); columns]);
        table.rows.extend(of_suite.map(row));
        // A stable sort: the rows of one case stay in their order.
        table.rows.sort_by_cached_key(|row| row.case().map(|case| self.runtimes.order(case)));
    }

    /// The measured cases that `lacks` holds for.
    fn measured(&self, lacks: impl Fn(&Case) -> bool) -> Vec<Item> {
        let cases = self.report.estimates.iter().map(|estimate| &estimate.case);
        cases.filter(|case| lacks(case)).map(|case| Item::of(case, "")).collect()
    }
}
