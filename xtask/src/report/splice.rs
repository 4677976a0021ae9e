//! The results table of the README, and the data that it came from.
//!
//! Figures vary from run to run, so a check against a new run could only fail. What a README's
//! table must agree with is the run it was made from: an extract of that run's report is checked
//! in beside it, and the check renders the table from the extract again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use lumos_record::{Case, Layout, Node, Profile, Revision, Suite};
use serde::{Deserialize, Serialize};

use super::format;
use super::grid::{Cell, Comparison, grids};
use super::schema::{Report, SCHEMA_VERSION};

const BEGIN: &str = "<!-- lumos:results:begin -->";
const END: &str = "<!-- lumos:results:end -->";

/// The suites whose results the README shows.
const SUITES: [Suite; 3] = [Suite::ColdStart, Suite::Warm, Suite::Call];

/// The extract that the README's table is made from: `docs/results.json`.
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

/// Where the extract is.
fn results_path(layout: &Layout) -> PathBuf {
    layout.root.join("docs").join("results.json")
}

/// Where the table is.
fn readme_path(layout: &Layout) -> PathBuf {
    layout.root.join("README.md")
}

/// Writes the extract of a report and the README's table; gives both paths.
///
/// # Errors
/// When the README lacks its markers, or a file cannot be read or written.
pub fn splice(layout: &Layout, report: &Report) -> Result<Vec<PathBuf>> {
    let results = extract(report);
    let (readme, path) = (readme_path(layout), results_path(layout));
    let text = read(&readme)?;
    // Spliced before anything is written, so that a README without markers changes nothing.
    let spliced = replace(&text, &render(&results)).with_context(|| named(layout, &readme))?;
    let folder = layout.root.join("docs");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let json = serde_json::to_string_pretty(&results)? + "\n";
    std::fs::write(&path, json).with_context(|| path.display().to_string())?;
    std::fs::write(&readme, spliced).with_context(|| readme.display().to_string())?;
    Ok(vec![readme, path])
}

/// Checks that the README's table is the one that its extract gives.
///
/// # Errors
/// When it is not, and when a file is absent or malformed; the message names the remedy.
pub fn check(layout: &Layout) -> Result<()> {
    let (readme, path) = (readme_path(layout), results_path(layout));
    const REMEDY: &str = "`cargo xtask report --splice` writes both from a run";
    let json = read(&path).context(REMEDY)?;
    let results: Results = serde_json::from_str(&json)
        .with_context(|| format!("{}: {REMEDY}", named(layout, &path)))?;
    ensure!(
        results.schema_version == SCHEMA_VERSION,
        "{}: written with schema {}, this is schema {SCHEMA_VERSION}: {REMEDY}",
        named(layout, &path),
        results.schema_version
    );
    let text = read(&readme)?;
    let expected = replace(&text, &render(&results)).with_context(|| named(layout, &readme))?;
    let difference = text.lines().zip(expected.lines()).zip(1..).find(|((is, want), _)| is != want);
    match difference {
        Some(((is, want), line)) => bail!(
            "{}:{line}: the results table is not that of {}\n  is:        {is}\n  should be: \
             {want}\n{REMEDY}",
            named(layout, &readme),
            named(layout, &path)
        ),
        None => {
            ensure!(text == expected, "{}: its end differs: {REMEDY}", named(layout, &readme));
            Ok(())
        }
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// A path as somebody in the root of the checkout would type it.
fn named(layout: &Layout, path: &Path) -> String {
    path.strip_prefix(&layout.root).unwrap_or(path).display().to_string()
}

/// Takes from a report what the README shows: one payload per function.
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

/// The text between the markers.
fn render(results: &Results) -> String {
    let mut text = String::new();
    let node = &results.node;
    let emulated = if node.emulated { " **Emulated: nothing here is a ranking.**" } else { "" };
    let memory = format::bytes(node.memory_bytes as f64);
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        text,
        "Medians, and in brackets the 95 % interval of the ratio to native in the same lane. One \
         payload per function; run `{}` of {}, made by `{}` (profile {}) on {}, {} logical processors, {memory}.{emulated}",
        results.run,
        format::moment(results.started_unix_ms),
        results.command,
        results.profile,
        escape(&node.cpu_model),
        node.cpus
    );
    for table in &results.tables {
        render_table(table, &mut text);
    }
    text
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
    for (number, reason) in (1..).zip(&reasons) {
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

/// The README with new text between its markers.
fn replace(readme: &str, text: &str) -> Result<String> {
    let parts = readme.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else {
        bail!("lacks the markers `{BEGIN}` and `{END}`, between which the results table belongs");
    };
    Ok(format!("{before}{BEGIN}\n{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_markers_changes() {
        let readme = format!("# A\n{BEGIN}\nold\n{END}\nrest\n");
        assert_eq!(replace(&readme, "new\n").unwrap(), format!("# A\n{BEGIN}\nnew\n{END}\nrest\n"));
        assert!(replace("# A", "new").is_err());
        assert!(replace(&format!("{END} {BEGIN}"), "new").is_err());
    }

    #[test]
    fn a_cell_stays_one_cell() {
        assert_eq!(escape("a|b\nc"), "a\\|b c");
    }
}
