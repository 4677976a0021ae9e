//! The results in README.md and in docs/results.md, and the data that they came from.
//!
//! Figures vary from run to run, so a check against a new run could only fail. What these tables
//! must agree with is the run that they were made from: an extract of that run's report is checked
//! in beside them, and the check renders the tables from the extract again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use lumos_record::{Case, Lane, Layout, Node, Profile, Revision, Suite, place};
use serde::{Deserialize, Serialize};

use super::format;
use super::grid::{Cell, Comparison, grids};
use super::schema::Report;

/// The version of the extract's shape.
const SCHEMA_VERSION: u32 = 1;

/// Between these, README.md has its results.
const MARKERS: [&str; 2] = ["<!-- lumos:results:begin -->", "<!-- lumos:results:end -->"];

/// The suites whose results are shown.
const SUITES: [Suite; 3] = [Suite::ColdStart, Suite::Warm, Suite::Call];

/// The function whose times README.md shows, if it was measured; of the others it has the means.
const EXAMPLE: &str = "json";

/// The extract that the results are made from: `docs/results.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Results {
    schema_version: u32,
    run: String,
    started_unix_ms: u64,
    command: String,
    profile: Profile,
    revision: Revision,
    node: Node,
    tables: Vec<Table>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Table {
    suite: Suite,
    runtimes: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    function: String,
    payload: String,
    /// One per runtime.
    cells: Vec<Value>,
}

/// A figure, or the reason that there is none.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Measured {
        median_ns: f64,
        /// The ends of the median's 95 % interval.
        interval_ns: [f64; 2],
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ratio: Option<f64>,
        /// The ends of the ratio's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ratio_interval: Option<[f64; 2]>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verdict: Option<String>,
    },
    Absent {
        absent: String,
    },
}

/// A document with results: what it is, and what it should be.
struct Document {
    path: PathBuf,
    is: String,
    should_be: String,
}

/// Where the extract is.
fn results_path(layout: &Layout) -> PathBuf {
    layout.root.join("docs/results.json")
}

/// README.md with a short table, and docs/results.md with all figures.
fn documents(layout: &Layout, results: &Results) -> Result<[Document; 2]> {
    let path = layout.root.join("README.md");
    let is = read(&path)?;
    let should_be =
        replace(&is, MARKERS, &render_brief(results)).with_context(|| named(layout, &path))?;
    let readme = Document { path, is, should_be };
    let path = layout.root.join("docs/results.md");
    // Nothing but results is in it, so it can be made where it is not there.
    let is = std::fs::read_to_string(&path).unwrap_or_default();
    let all = Document { path, is, should_be: render(results) };
    Ok([readme, all])
}

/// Writes the extract of a report and the documents that show it; gives their paths.
///
/// # Errors
/// When README.md lacks its markers, or a file cannot be read or written.
pub fn splice(layout: &Layout, report: &Report) -> Result<Vec<PathBuf>> {
    let results = extract(report);
    // Made before anything is written, so that a README without markers changes nothing.
    let documents = documents(layout, &results)?;
    let json = serde_json::to_string_pretty(&results)? + "\n";
    let folder = layout.root.join("docs");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let texts = documents.into_iter().map(|document| (document.path, document.should_be));
    texts
        .chain([(results_path(layout), json)])
        .map(|(path, text)| {
            place(&path, text.as_bytes())?;
            Ok(path)
        })
        .collect()
}

/// Checks that the documents show what the extract gives.
///
/// # Errors
/// When they do not, and when a file is absent or malformed; the message names the remedy.
pub fn check(layout: &Layout) -> Result<()> {
    let path = results_path(layout);
    const REMEDY: &str = "`cargo xtask report --splice` writes all of them from a run";
    let json = read(&path).context(REMEDY)?;
    let results: Results = serde_json::from_str(&json)
        .with_context(|| format!("{}: {REMEDY}", named(layout, &path)))?;
    ensure!(
        results.schema_version == SCHEMA_VERSION,
        "{}: written with schema {}, this is schema {SCHEMA_VERSION}: {REMEDY}",
        named(layout, &path),
        results.schema_version
    );
    for Document { path: document, is, should_be } in documents(layout, &results)? {
        let name = named(layout, &document);
        let lines = is.lines().zip(should_be.lines()).zip(1..);
        if let Some(((is, want), line)) = lines.into_iter().find(|((is, want), _)| is != want) {
            bail!(
                "{name}:{line}: the results are not those of {}\n  is:        {is}\n  should be: \
                 {want}\n{REMEDY}",
                named(layout, &path)
            );
        }
        ensure!(is == should_be, "{name}: its end differs: {REMEDY}");
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// A path as somebody in the root of the checkout would type it.
fn named(layout: &Layout, path: &Path) -> String {
    path.strip_prefix(&layout.root).unwrap_or(path).display().to_string()
}

/// Takes from a report what is shown: one payload per function.
fn extract(report: &Report) -> Results {
    let shown = grids(report).into_iter().filter(|grid| SUITES.contains(&grid.suite));
    let tables = shown.map(|grid| Table {
        suite: grid.suite,
        runtimes: grid.runtimes.iter().map(|&runtime| runtime.to_owned()).collect(),
        rows: grid
            .representatives()
            .into_iter()
            .map(|row| Row {
                function: row.function.to_owned(),
                payload: row.input(),
                cells: grid.runtimes.iter().map(|runtime| value(grid.cell(row, runtime))).collect(),
            })
            .collect(),
    });
    Results {
        schema_version: SCHEMA_VERSION,
        run: report.run.name.clone(),
        started_unix_ms: report.run.started_unix_ms,
        command: format::command(&report.run.command_line),
        profile: report.run.profile,
        revision: report.run.revision.clone(),
        node: report.node.clone(),
        tables: tables.collect(),
    }
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Absent(reason) => Value::Absent { absent: reason.clone() },
        Cell::Measured(estimate, comparison) => {
            let ratio = match comparison {
                Comparison::Ratio(ratio) => Some(ratio),
                Comparison::Reference | Comparison::None(_) => None,
            };
            Value::Measured {
                median_ns: estimate.median,
                interval_ns: [estimate.low, estimate.high],
                ratio: ratio.map(|found| found.ratio),
                ratio_interval: ratio.map(|found| [found.low, found.high]),
                verdict: ratio.and_then(|found| found.verdict.clone()),
            }
        }
    }
}

/// Which run the results are of.
fn provenance(results: &Results) -> String {
    let node = &results.node;
    let emulated = if node.emulated { " **Emulated: nothing here is a ranking.**" } else { "" };
    format!(
        "Run `{}` of {}, made by `{}` (profile {}) on {}, {} logical processors, {}.{emulated}",
        results.run,
        format::moment(results.started_unix_ms),
        results.command,
        results.profile,
        escape(&node.cpu_model),
        node.cpus,
        format::bytes(node.memory_bytes as f64)
    )
}

/// All results, as a document.
fn render(results: &Results) -> String {
    let mut text = format!(
        "# Results\n\n`cargo xtask report --splice` writes this document from a run, beside \
         [README.md](../README.md#results), and `results.json`, the extract that both come from. \
         `cargo xtask report --check` tells whether the three agree.\n\nMedians, and in brackets \
         the 95 % interval of the ratio to native code in the same lane. One payload per \
         function. {}\n",
        provenance(results)
    );
    for table in &results.tables {
        render_table(table, &mut text);
    }
    text
}

/// What README.md shows: a line per runtime.
fn render_brief(results: &Results) -> String {
    let mut text = format!(
        "Of one function the median, and in brackets the 95 % interval of its ratio to native code \
         in the same lane; of all the geometric mean of these ratios, with the smallest and the \
         largest. [Every function](docs/results.md). {}\n",
        provenance(results)
    );
    for lane in [Lane::Served, Lane::InProcess] {
        let of_lane = |table: &&Table| table.suite.lane() == lane;
        render_brief_table(&results.tables.iter().filter(of_lane).collect::<Vec<_>>(), &mut text);
    }
    text
}

/// The suites of one lane beside each other.
fn render_brief_table(tables: &[&Table], text: &mut String) {
    let mut runtimes: Vec<&str> = Vec::new();
    for runtime in tables.iter().flat_map(|table| &table.runtimes) {
        if !runtimes.contains(&runtime.as_str()) {
            runtimes.push(runtime);
        }
    }
    if runtimes.is_empty() {
        return;
    }
    let heads = tables.iter().map(|table| {
        let example = table.example().map_or("-", |row| row.function.as_str());
        let all = table.rows.len();
        format!("`{0}` of `{example}` | `{0}` of all {all}", table.suite)
    });
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "\n| runtime | {} |", heads.collect::<Vec<_>>().join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(2 * tables.len()));
    let mut reasons: Vec<&str> = Vec::new();
    for runtime in runtimes {
        let _ = write!(text, "| `{runtime}` |");
        for table in tables {
            let column = table.runtimes.iter().position(|known| known == runtime);
            // Nothing stands where a suite does not measure the runtime, or for native code itself.
            let example = column.and_then(|column| table.example()?.cells.get(column));
            let example = example.map(|cell| cell_text(cell, &mut reasons)).unwrap_or_default();
            let mean = column.and_then(|column| table.mean(column)).unwrap_or_default();
            let _ = write!(text, " {example} | {mean} |");
        }
        let _ = writeln!(text);
    }
    footnotes(&reasons, text);
}

impl Table {
    /// The function that stands for all.
    fn example(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.function == EXAMPLE).or(self.rows.first())
    }

    /// The geometric mean of a runtime's ratios, and their range, each with as many digits as the
    /// intervals support. Of the mean these are taken to be off in the same direction.
    fn mean(&self, column: usize) -> Option<String> {
        let ratio = |row: &Row| match row.cells.get(column)? {
            Value::Measured { ratio, ratio_interval, .. } => (*ratio).zip(*ratio_interval),
            Value::Absent { .. } => None,
        };
        let mut ratios: Vec<(f64, [f64; 2])> = self.rows.iter().filter_map(ratio).collect();
        ratios.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let mean = |pick: fn(&(f64, [f64; 2])) -> f64| {
            let picked: Vec<f64> = ratios.iter().map(pick).collect();
            Some(lumos_model::geometric_mean(&picked)?.mean)
        };
        let ends = [mean(|(_, ends)| ends[0])?, mean(|(_, ends)| ends[1])?];
        let known = |&(ratio, ends): &(f64, [f64; 2])| format::known_ratio(ratio, ends);
        // Means over different functions are not of one kind.
        let of = match ratios.len() {
            all if all == self.rows.len() => String::new(),
            fewer => format!(", of {fewer} alone"),
        };
        Some(format!(
            "{} ({} to {}{of})",
            format::known_ratio(mean(|(ratio, _)| *ratio)?, ends),
            ratios.first().map(known)?,
            ratios.last().map(known)?
        ))
    }
}

fn render_table(table: &Table, text: &mut String) {
    let lane = table.suite.lane();
    let _ = writeln!(text, "\n**`{}`** ({lane})\n", table.suite);
    let _ = writeln!(text, "| function | payload | {} |", table.runtimes.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---:|".repeat(table.runtimes.len()));
    let mut reasons: Vec<&str> = Vec::new();
    for row in &table.rows {
        let payload = if row.payload == Case::NO_PAYLOAD { "" } else { &row.payload };
        let _ = write!(text, "| {} | {payload} |", escape(&row.function));
        for cell in &row.cells {
            let _ = write!(text, " {} |", cell_text(cell, &mut reasons));
        }
        let _ = writeln!(text);
    }
    footnotes(&reasons, text);
}

fn footnotes(reasons: &[&str], text: &mut String) {
    for (number, reason) in (1..).zip(reasons) {
        let _ = writeln!(text, "\n[{number}] {}", escape(reason));
    }
}

fn cell_text<'a>(cell: &'a Value, reasons: &mut Vec<&'a str>) -> String {
    match cell {
        Value::Measured { median_ns, interval_ns, ratio_interval, .. } => {
            let time = format::known_duration(*median_ns, *interval_ns);
            match ratio_interval {
                Some(ends) => format!("{time} ({})", format::ends_of_ratio(*ends)),
                None => time,
            }
        }
        Value::Absent { absent } => {
            let known = reasons.iter().position(|reason| reason == absent);
            let index = known.unwrap_or_else(|| {
                reasons.push(absent);
                reasons.len() - 1
            });
            format!("— [{}]", index + 1)
        }
    }
}

/// Text for a cell of a Markdown table: on one line, without its separator.
pub fn escape(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A document with new text between its markers.
///
/// # Errors
/// When it lacks them.
pub fn replace(document: &str, markers: [&str; 2], text: &str) -> Result<String> {
    let [begin, end] = markers;
    let parts = document.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else {
        bail!("lacks the markers `{begin}` and `{end}`, between which generated text belongs");
    };
    Ok(format!("{before}{begin}\n{text}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_markers_changes() {
        let [begin, end] = MARKERS;
        let readme = format!("# A\n{begin}\nold\n{end}\nrest\n");
        let expected = format!("# A\n{begin}\nnew\n{end}\nrest\n");
        assert_eq!(replace(&readme, MARKERS, "new\n").unwrap(), expected);
        assert!(replace("# A", MARKERS, "new").is_err());
        assert!(replace(&format!("{end} {begin}"), MARKERS, "new").is_err());
    }

    #[test]
    fn a_cell_stays_one_cell() {
        assert_eq!(escape("a|b\nc"), "a\\|b c");
    }
}
