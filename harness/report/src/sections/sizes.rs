//! How large everything is that was built.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lumos_record::{Artifact, ArtifactKind, Variant};

use super::{Source, image_name};
use crate::format;
use crate::schema::Report;
use crate::table::{Block, Cell, Column, Item, Names, Quantity, Row, Section, Table, View};

/// The section.
pub fn section(source: &Source<'_>) -> Section {
    let report = source.report;
    let mut blocks = Vec::new();
    let sizes = sizes(report);
    blocks.push(Block::Text(match sizes.rows.is_empty() {
        true => "The artifact manifest lists no functions.".to_owned(),
        false => {
            "In brackets the code: the text section of machine code or of an engine's bytecode, the \
             code section of a module. What is beside it is data, tables and names."
                .to_owned()
        }
    }));
    blocks.push(Block::Table(sizes));
    let mut part = |title: &str, text: &str, table: Table| {
        if !table.rows.is_empty() {
            blocks.extend([Block::Heading(title.to_owned()), Block::Text(text.to_owned())]);
            blocks.push(Block::Table(table));
        }
    };
    part(
        "Artifacts by target",
        "What was built for several targets, for all of them; whatever else this report tells is of \
         this node's. A file may be padded: sections of precompiled code lie on pages of the \
         target, which are larger for some, so compare the code in brackets.",
        targets(report),
    );
    part(
        "Container images",
        "Unpacked and in brackets gzip-compressed, as a registry sends them. What a base adds is \
         the same for every function.",
        images(report),
    );
    part("Hosts", "A program that hosts an engine serves any function:", workers(report));
    let missing = report.missing_artifacts.iter();
    let missing = missing.map(|missing| Item::of(&missing.artifact, &missing.reason));
    let missing: Vec<Item> = missing.collect();
    if !missing.is_empty() {
        blocks.extend([Block::Text("Not built:".to_owned()), Block::List(missing)]);
    }
    Section { id: "sizes", title: "Sizes", blocks, brief: None }
}

fn view(
    names: &'static [&'static str],
    titles: impl IntoIterator<Item = String>,
    rows: Vec<Row>,
) -> Table {
    let column = |title: String| Column::new(title.clone(), title, Quantity::Bytes, "");
    let columns = titles.into_iter().map(column).collect();
    Table { list: None, doc: "", names: Names::Words(names), columns, rows }
}

/// A size, and in brackets the code in it where that is known.
fn with_code(bytes: u64, text_bytes: Option<u64>) -> String {
    let size = format::bytes(bytes as f64);
    match text_bytes {
        Some(text_bytes) => format!("{size} ({})", format::bytes(text_bytes as f64)),
        None => size,
    }
}

/// The size of every function's artifacts, for this node.
fn sizes(report: &Report) -> Table {
    type Key<'a> = (ArtifactKind, Option<&'a str>, &'a str);
    let mut found: HashMap<(Key<'_>, &str), &Artifact> = HashMap::new();
    for artifact in report.own_artifacts().filter(|artifact| artifact.image.is_none()) {
        let Some(function) = artifact.function.as_deref() else { continue };
        let column = (artifact.kind, artifact.engine.as_deref(), artifact.target.as_str());
        found.insert((column, function), artifact);
    }
    let columns: BTreeSet<Key<'_>> = found.keys().map(|(column, _)| *column).collect();
    let functions: BTreeSet<&str> = found.keys().map(|(_, function)| *function).collect();
    let cell = |column: &Key<'_>, function: &str| match found.get(&(*column, function)) {
        Some(artifact) => {
            Cell::View(View::new(with_code(artifact.bytes, artifact.text_bytes), column.2))
        }
        None => Cell::Absent(missing_reason(report, column.0, function)),
    };
    let row = |function: &str| {
        Row::named([function], columns.iter().map(|column| cell(column, function)).collect())
    };
    let title = |(kind, engine, target): &Key<'_>| match engine {
        Some(engine) => format!("{kind} of {engine} ({target})"),
        None => format!("{kind} ({target})"),
    };
    let rows = functions.into_iter().map(row).collect();
    view(&["function"], columns.iter().map(title), rows)
}

/// The sizes of what was built for several targets, side by side; no rows where nothing was.
fn targets(report: &Report) -> Table {
    type Line<'a> = (&'a str, ArtifactKind, Option<&'a str>);
    let mut lines: BTreeMap<Line<'_>, BTreeMap<&str, &Artifact>> = BTreeMap::new();
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
    let row = |((function, kind, engine), found): (&Line<'_>, &BTreeMap<&str, &Artifact>)| {
        let cell = |target: &&str| match found.get(target) {
            Some(artifact) => {
                let size = with_code(artifact.bytes, artifact.text_bytes);
                Cell::View(View::new(size, format!("{} B", artifact.bytes)))
            }
            None => Cell::Absent(missing_for(report, *kind, *engine, function, target)),
        };
        let artifact =
            engine.map_or_else(|| kind.to_string(), |engine| format!("{kind} of {engine}"));
        Row::named([(*function).to_owned(), artifact], columns.iter().map(cell).collect())
    };
    let rows = lines.iter().map(row).collect();
    view(&["function", "artifact"], columns.iter().map(|target| (*target).to_owned()), rows)
}

/// The size of every function's images: unpacked, and as a registry sends them.
fn images(report: &Report) -> Table {
    let mut columns: Vec<String> = Vec::new();
    let mut cells: BTreeMap<&str, HashMap<String, Cell>> = BTreeMap::new();
    for artifact in report.own_artifacts() {
        let Some(image) = &artifact.image else { continue };
        let column = image_name(artifact.engine.as_deref(), image.holds, &image.base);
        let (unpacked, packed) = (artifact.bytes as f64, image.compressed_bytes as f64);
        let cell = Cell::View(View::new(
            format!("{} ({})", format::bytes(unpacked), format::bytes(packed)),
            format!(
                "of it the base: {} ({})",
                format::bytes(image.base_bytes as f64),
                format::bytes(image.base_compressed_bytes as f64)
            ),
        ));
        if !columns.contains(&column) {
            columns.push(column.clone());
        }
        let function = artifact.function.as_deref().unwrap_or_default();
        cells.entry(function).or_default().insert(column, cell);
    }
    let row = |(function, mut found): (&str, HashMap<String, Cell>)| {
        let absent = || Cell::Absent(missing_reason(report, ArtifactKind::Image, function));
        let cell = |column: &String| found.remove(column).unwrap_or_else(absent);
        Row::named([function], columns.iter().map(cell).collect())
    };
    let rows = cells.into_iter().map(row).collect();
    view(&["function"], columns, rows)
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
fn workers(report: &Report) -> Table {
    let workers = report.own_artifacts().filter(|artifact| artifact.function.is_none());
    let row = |artifact: &Artifact| {
        let name = artifact.engine.clone().unwrap_or_else(|| artifact.kind.to_string());
        let code = artifact.text_bytes.map(|text_bytes| Cell::Number(text_bytes as f64));
        let absent = || Cell::Absent("the build has not recorded it".to_owned());
        Row::named([name], vec![Cell::Number(artifact.bytes as f64), code.unwrap_or_else(absent)])
    };
    let rows = workers.map(row).collect();
    view(&["host"], ["size", "code in it"].map(str::to_owned), rows)
}
