//! What it took to compile each module ahead of time, for every target that the build made.

use lumos_model::{Bootstrap, Samples};
use lumos_record::{Artifact, ArtifactKind, Lane};

use super::Source;
use crate::figure::Figure;
use crate::runtimes::Runtimes;
use crate::schema::Report;
use crate::table::{Cell, Column, Names, Quantity, Row, Table};

const VARIANT: &str = "variant";

/// What people read of the table: what was built the default way. Variants have a section of their
/// own.
pub fn of_default(all: &Table) -> Table {
    let place = all.columns.iter().position(|column| column.key == VARIANT);
    let is_default =
        |row: &&Row| !place.is_some_and(|place| matches!(row.cells[place], Cell::Text(_)));
    let rows = all.rows.iter().filter(is_default).cloned().collect();
    Table { list: None, rows, ..all.clone() }
}

/// The table, of every variant.
pub fn table(source: &mut Source<'_>) -> Table {
    let bytes = |key, title, doc| Column::new(key, title, Quantity::Bytes, doc);
    let columns = vec![
        Column::new("mode", "mode", Quantity::Text, "how the engine runs it"),
        Column::new("engine_version", "", Quantity::Text, "the engine's version").hidden(),
        Column::new(
            VARIANT,
            "",
            Quantity::Text,
            "how the module was built, where that is not the default",
        )
        .hidden(),
        bytes("module_bytes", "module", "the size of the module"),
        Column::new(
            "compile_ns",
            "compile time",
            Quantity::Nanoseconds,
            "the time of one compilation",
        ),
        Column::new(
            "compile_ns_per_module_byte",
            "per byte",
            Quantity::Nanoseconds,
            "the same for each byte of the module",
        ),
        bytes(
            "peak_rss_bytes",
            "peak memory",
            "the most memory that was resident of the compiler's process",
        ),
        bytes("bytes", "result", "the size of what was made of the module"),
        bytes("text_bytes", "code in it", "the code in that"),
    ];
    let report = source.report;
    let artifacts = report.artifacts.iter();
    let rows = artifacts
        .filter_map(|artifact| row(report, source.runtimes, source.bootstrap, artifact))
        .collect();
    Table {
        list: Some("compilations"),
        doc: "what it took to compile each module ahead of time, for every target and in every \
              variant",
        names: Names::Words(&["function", "engine", "target"]),
        columns,
        rows,
    }
}

fn row(
    report: &Report,
    runtimes: &Runtimes<'_>,
    bootstrap: &mut Bootstrap,
    artifact: &Artifact,
) -> Option<Row> {
    let compilation = artifact.compilation.as_ref()?;
    let (function, engine) = (artifact.function.as_deref()?, artifact.engine.as_deref()?);
    let times_ns = compilation.compile_ns.iter().map(|&time_ns| time_ns as f64).collect();
    let compile_ns = Samples::raw(times_ns).ok();
    let compile_ns = compile_ns.map(|times_ns| Figure::of(bootstrap, &times_ns));
    let is_module = |other: &&Artifact| {
        other.kind == ArtifactKind::Wasm
            && other.function == artifact.function
            && other.variant == artifact.variant
    };
    let module_bytes = report.artifacts.iter().find(is_module).map(|module| module.bytes);
    let per_byte = |bytes: u64| Some(compile_ns?.median / bytes as f64).filter(|ns| ns.is_finite());
    let text_bytes = artifact.text_bytes.or(compilation.text_bytes);
    let absent = || Cell::Absent("the build has not recorded it".to_owned());
    let size = |bytes: Option<u64>| bytes.map_or_else(absent, |bytes| Cell::Number(bytes as f64));
    let word = |word: Option<String>| word.map_or(Cell::Nothing("nothing to say"), Cell::Text);
    let cells = vec![
        word(runtimes.mode_of(Lane::InProcess, engine).map(|mode| mode.to_string())),
        word(artifact.engine_version.clone()),
        word(artifact.variant.map(|variant| variant.to_string())),
        size(module_bytes),
        compile_ns.map_or_else(absent, Cell::Figure),
        module_bytes.and_then(per_byte).map_or_else(absent, Cell::Number),
        size(compilation.peak_rss_bytes),
        size(Some(artifact.bytes)),
        size(text_bytes),
    ];
    Some(Row::named([function, engine, &artifact.target], cells))
}
