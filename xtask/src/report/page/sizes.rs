//! How large everything is that was built.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lumos_record::{Artifact, ArtifactKind, Variant};

use super::super::format;
use super::super::schema::Report;
use super::{Matrix, MatrixCell, MatrixRow, Notes, image_name};

/// A size, and in brackets the code in it where that is known.
pub fn with_code(bytes: u64, text_bytes: Option<u64>) -> String {
    let size = format::bytes(bytes as f64);
    match text_bytes {
        Some(text_bytes) => format!("{size} ({})", format::bytes(text_bytes as f64)),
        None => size,
    }
}

/// The size of every function's artifacts, for this node.
pub fn sizes(report: &Report) -> Matrix {
    type Column<'a> = (ArtifactKind, Option<&'a str>, &'a str);
    let mut found: HashMap<(Column, &str), &Artifact> = HashMap::new();
    for artifact in report.own_artifacts().filter(|artifact| artifact.image.is_none()) {
        let Some(function) = artifact.function.as_deref() else { continue };
        let column = (artifact.kind, artifact.engine.as_deref(), artifact.target.as_str());
        found.insert((column, function), artifact);
    }
    let columns: BTreeSet<Column> = found.keys().map(|(column, _)| *column).collect();
    let functions: BTreeSet<&str> = found.keys().map(|(_, function)| *function).collect();
    let mut notes = Notes::default();
    let mut cell = |column: &Column, function: &str| match found.get(&(*column, function)) {
        Some(artifact) => {
            MatrixCell::plain(with_code(artifact.bytes, artifact.text_bytes), column.2)
        }
        None => MatrixCell::absent(&missing_reason(report, column.0, function), &mut notes),
    };
    let rows = functions.into_iter().map(|function| MatrixRow {
        function: function.to_owned(),
        payload: String::new(),
        cells: columns.iter().map(|column| cell(column, function)).collect(),
    });
    let rows = rows.collect();
    let title = |(kind, engine, target): &Column| match engine {
        Some(engine) => format!("{kind} of {engine} ({target})"),
        None => format!("{kind} ({target})"),
    };
    Matrix {
        title: "sizes".into(),
        columns: columns.iter().map(title).collect(),
        rows,
        notes: notes.texts,
    }
}

/// The sizes of what was built for several targets, side by side; no rows where nothing was.
pub fn targets(report: &Report) -> Matrix {
    type Line<'a> = (&'a str, ArtifactKind, Option<&'a str>);
    let mut lines: BTreeMap<Line, BTreeMap<&str, &Artifact>> = BTreeMap::new();
    for artifact in &report.artifacts {
        let Some(function) = artifact.function.as_deref() else { continue };
        if artifact.image.is_none() && artifact.variant.is_none() {
            let line = (function, artifact.kind, artifact.engine.as_deref());
            lines.entry(line).or_default().insert(&artifact.target, artifact);
        }
    }
    // Of a kind and engine, whatever has several targets for any function.
    let several: BTreeSet<(ArtifactKind, Option<&str>)> = lines
        .iter()
        .filter(|(_, by_target)| by_target.len() > 1)
        .map(|((_, kind, engine), _)| (*kind, *engine))
        .collect();
    lines.retain(|(_, kind, engine), _| several.contains(&(*kind, *engine)));
    let columns: BTreeSet<&str> = lines.values().flat_map(|found| found.keys().copied()).collect();
    let mut notes = Notes::default();
    let mut rows = Vec::new();
    for ((function, kind, engine), found) in &lines {
        let mut cell = |target: &&str| match found.get(target) {
            Some(artifact) => MatrixCell::plain(
                with_code(artifact.bytes, artifact.text_bytes),
                format!("{} B", artifact.bytes),
            ),
            None => {
                let reason = missing_for(report, *kind, *engine, function, target);
                MatrixCell::absent(&reason, &mut notes)
            }
        };
        rows.push(MatrixRow {
            function: (*function).to_owned(),
            payload: engine
                .map_or_else(|| kind.to_string(), |engine| format!("{kind} of {engine}")),
            cells: columns.iter().map(&mut cell).collect(),
        });
    }
    Matrix {
        title: "targets".into(),
        columns: columns.into_iter().map(str::to_owned).collect(),
        rows,
        notes: notes.texts,
    }
}

/// The size of every function's images: unpacked, and as a registry sends them.
pub fn images(report: &Report) -> Matrix {
    let mut columns: Vec<String> = Vec::new();
    let mut cells: BTreeMap<&str, HashMap<String, MatrixCell>> = BTreeMap::new();
    for artifact in report.own_artifacts() {
        let Some(image) = &artifact.image else { continue };
        let column = image_name(artifact.engine.as_deref(), image.holds, &image.base);
        let (unpacked, packed) = (artifact.bytes as f64, image.compressed_bytes as f64);
        let cell = MatrixCell::plain(
            format!("{} ({})", format::bytes(unpacked), format::bytes(packed)),
            format!(
                "of it the base: {} ({})",
                format::bytes(image.base_bytes as f64),
                format::bytes(image.base_compressed_bytes as f64)
            ),
        );
        if !columns.contains(&column) {
            columns.push(column.clone());
        }
        let function = artifact.function.as_deref().unwrap_or_default();
        cells.entry(function).or_default().insert(column, cell);
    }
    let mut notes = Notes::default();
    let mut rows = Vec::new();
    for (function, mut found) in cells {
        let mut cell = |column: &String| {
            found.remove(column).unwrap_or_else(|| {
                let reason = missing_reason(report, ArtifactKind::Image, function);
                MatrixCell::absent(&reason, &mut notes)
            })
        };
        let cells = columns.iter().map(&mut cell).collect();
        rows.push(MatrixRow { function: function.to_owned(), payload: String::new(), cells });
    }
    Matrix { title: "images".into(), columns, rows, notes: notes.texts }
}

/// Why an artifact for this node is absent, if the build said so.
fn missing_reason(report: &Report, kind: ArtifactKind, function: &str) -> String {
    missing(report, kind, &[function], &report.node.arch)
}

/// Why an artifact for a target is absent, if the build said so.
fn missing_for(
    report: &Report,
    kind: ArtifactKind,
    engine: Option<&str>,
    function: &str,
    target: &str,
) -> String {
    let arch = target.split('-').next().unwrap_or(target);
    let words: Vec<&str> = std::iter::once(function).chain(engine).collect();
    missing(report, kind, &words, arch)
}

/// The build names what it could not make by its kind, then by words such as the function and the
/// engine, and at the end for which architecture, where that is not the host's.
fn missing(report: &Report, kind: ArtifactKind, named: &[&str], arch: &str) -> String {
    let is_meant = |artifact: &str| {
        let (what, of_arch) = artifact.split_once(" for ").unwrap_or((artifact, &report.node.arch));
        let words: Vec<&str> = what.split_whitespace().collect();
        words.first() == Some(&kind.name())
            && of_arch == arch
            && named.iter().all(|name| words.contains(name))
            // A variant is no part of these tables.
            && !words.iter().any(|word| word.parse::<Variant>().is_ok())
    };
    let found = report.missing_artifacts.iter().find(|missing| is_meant(&missing.artifact));
    match found {
        Some(missing) => format!("not built: {}", missing.reason),
        None if report.partial_build => {
            "not built, since nothing in this run takes it: `cargo xtask build` builds all".into()
        }
        None => "not built: the artifact manifest does not list it".into(),
    }
}

/// The size of every host, and of the code in it.
pub fn workers(report: &Report) -> Vec<(String, String, String)> {
    let workers = report.own_artifacts().filter(|artifact| artifact.function.is_none());
    let line = |artifact: &Artifact| {
        let name = artifact.engine.clone().unwrap_or_else(|| artifact.kind.to_string());
        let code = artifact.text_bytes.map(|text_bytes| format::bytes(text_bytes as f64));
        (name, format::bytes(artifact.bytes as f64), code.unwrap_or_else(|| "not recorded".into()))
    };
    workers.map(line).collect()
}
