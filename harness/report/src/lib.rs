//! From a run's records and samples to figures, tables and charts.
//!
//! The steps, a module each: `load` reads what the run left, `analysis` turns it into the typed
//! figures of `schema`, `grid` lays those out without holes, and `page`, `csv`, `summary` and
//! [`splice`] format them. Of what is in `sections`, figures and their meaning stand in one `table`,
//! which `render` and `csv` show in every format. [`compare`] sets two runs or baselines beside each
//! other. No runtime is named in code: which one is native, and which are compared with it, comes
//! from the artifact manifest.

mod analysis;
mod charts;
mod claims;
pub mod compare;
mod csv;
pub mod export;
mod figure;
mod format;
mod grid;
mod load;
mod page;
mod render;
mod runtimes;
mod schema;
mod sections;
pub mod splice;
mod summary;
mod table;
pub mod terminal;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use lumos_record::{Layout, Record, Run, place};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};

use load::{Evidence, Outcome};
use page::Page;
pub use schema::{CaseRatio, Report, SCHEMA_VERSION};
pub use summary::Summary;

/// Writes the report of the run in `run_folder` to `report.{json,csv,md,html}` in
/// `output_folder`, which it makes if need be, and gives a summary for the terminal.
///
/// # Errors
/// When the run's records cannot be read, or a file cannot be written. Whatever is wrong with a
/// single case is in the report.
pub fn generate(layout: &Layout, run_folder: &Path, output_folder: &Path) -> Result<Summary> {
    let report = read(layout, run_folder)?;
    let grids = grid::grids(&report);
    let paths = write(&report, output_folder)?;
    Ok(Summary::new(&report, &grids, paths))
}

/// What the tables of `report.json` hold, as Markdown.
pub fn fields(report: &Report) -> String {
    report.sections.iter().flat_map(table::Section::tables).map(render::fields).collect()
}

/// Reads a run and works out its figures.
///
/// # Errors
/// When the run's records cannot be read.
pub fn read(layout: &Layout, run_folder: &Path) -> Result<Report> {
    analysis::analyse(evidence(layout, run_folder)?)
}

/// Reads a run and the other rounds of it, without working out any figure.
///
/// # Errors
/// When the run's records cannot be read.
fn evidence(layout: &Layout, run_folder: &Path) -> Result<Evidence> {
    load::load(layout, &load::series(layout, run_folder)?)
}

/// The newest of some runs, the newest last, that has figures: one that only verified, or was ended
/// at once, would give an empty report.
///
/// # Errors
/// When a newer one cannot be read: nobody should take an older one's figures for those.
pub(crate) fn newest_with_figures(folders: &[PathBuf]) -> Result<Option<&PathBuf>> {
    let is_figure = |record: &Record| matches!(record, Record::Finished(_) | Record::Counted(_));
    for folder in folders.iter().rev() {
        let run = Run::read(folder).with_context(|| {
            format!("the newest run cannot be read: name another, or remove {}", folder.display())
        })?;
        if run.records.iter().any(is_figure) {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

/// The last few of some names, the newest last, and how many there are before them.
pub(crate) fn newest_few(names: &[&str]) -> String {
    const FEW: usize = 8;
    match names.len().checked_sub(FEW) {
        _ if names.is_empty() => "none".to_owned(),
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} ({more} older ones)", names[more..].join(", ")),
    }
}

/// Finds a run's folder by its name, or the newest that has figures.
///
/// # Errors
/// When there is no such run; the message lists the newest of those that there are. When the newest
/// cannot be read.
pub fn find_run(layout: &Layout, name: Option<&str>) -> Result<PathBuf> {
    let runs = layout.runs();
    let folders = Run::all(&runs)?;
    let name_of = |folder: &PathBuf| {
        folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let Some(name) = name else {
        let found = newest_with_figures(&folders)?.or(folders.last()).cloned();
        return found.with_context(|| {
            format!("there is no run in {}: `cargo xtask bench` makes one", runs.display())
        });
    };
    if let Some(folder) = folders.iter().find(|folder| name_of(folder) == name) {
        return Ok(folder.clone());
    }
    if folders.is_empty() {
        bail!(
            "no run `{name}`: there is none in {}; `cargo xtask bench` makes one",
            runs.display()
        );
    }
    let known: Vec<String> = folders.iter().map(name_of).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    bail!(
        "no run `{name}` in {}: there are, the newest last, {}; `cargo xtask bench` makes another",
        runs.display(),
        newest_few(&known)
    );
}

/// Writes the report in every format and gives the paths.
fn write(report: &Report, output: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(output).with_context(|| output.display().to_string())?;
    let page = Page::new(report);
    let files = [
        ("report.html", render("report.html.j2", &page)?),
        ("report.md", render("report.md.j2", &page)?),
        ("report.csv", csv::render(report)?),
        ("report.json", serde_json::to_string_pretty(report)? + "\n"),
    ];
    let mut paths = Vec::with_capacity(files.len());
    for (name, text) in files {
        let path = output.join(name);
        place(&path, text.as_bytes())?;
        paths.push(path);
    }
    Ok(paths)
}

/// Fills in a template. Its name decides how values are escaped.
fn render(name: &str, page: &Page) -> Result<String> {
    let mut environment = Environment::new();
    // A misspelt name in a template is an error, not an empty string.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()?,
    );
    environment.add_filter("cell", |text: &str| splice::escape(text));
    environment.add_template("report.html.j2", include_str!("report.html.j2"))?;
    environment.add_template("report.md.j2", include_str!("report.md.j2"))?;
    Ok(environment.get_template(name)?.render(Serde(page))?)
}
