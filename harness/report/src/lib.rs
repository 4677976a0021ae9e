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
use lumos_record::{Layout, Record, Run};
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

/// Whether a case of the run was measured.
pub(crate) fn has_figures(folder: &Path) -> bool {
    Run::read(folder).is_ok_and(|run| {
        run.records.iter().any(|record| matches!(record, Record::Finished(_) | Record::Counted(_)))
    })
}

/// Finds a run's folder by its name, or the newest that has figures.
///
/// # Errors
/// When there is no such run; the message lists those that there are.
pub fn find_run(layout: &Layout, name: Option<&str>) -> Result<PathBuf> {
    let runs = layout.runs();
    let mut folders = Run::all(&runs).with_context(|| runs.display().to_string())?;
    let name_of = |folder: &PathBuf| {
        folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let Some(name) = name else {
        // A newer run that only verified, or was ended at once, would give an empty report.
        let with_figures = folders.iter().rposition(|folder| has_figures(folder));
        return with_figures.map(|at| folders.swap_remove(at)).or(folders.pop()).with_context(
            || format!("there is no run in {}: `cargo xtask bench` makes one", runs.display()),
        );
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
    let known = folders.iter().map(name_of).collect::<Vec<_>>().join(", ");
    bail!(
        "no run `{name}` in {}: there are, the newest last, {known}; `cargo xtask bench` makes \
         another",
        runs.display()
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
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
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
