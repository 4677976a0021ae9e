//! What it costs to bring an image to a node: the model of a pull for some links, the measured
//! time to unpack, and the model beside pulls from a registry.

use lumos_model::{median, pull_ns};
use lumos_record::{Artifact, ArtifactKind, Image, Pull, PullCheck, Suite};

use super::{Source, image_name};
use crate::figure::Figure;
use crate::schema::{CaseEstimate, Report};
use crate::table::{Block, Cell, Column, Item, Names, Quantity, Row, Section, Table};
use crate::{format, render};

/// A link to a registry.
struct Link {
    /// What it is called, such as `100 Mbit/s, 10 ms`.
    name: String,
    key: &'static str,
    bandwidth_bytes_per_s: f64,
    round_trip_ns: f64,
}

/// The links that pulls are modelled for: a data centre, a good line, and a poor one at the edge.
fn links() -> [Link; 3] {
    [(1000, 500, "fast"), (100, 10_000, "good"), (10, 50_000, "poor")].map(
        |(mbit_per_s, round_trip_us, key): (u64, u64, _)| {
            let bandwidth = match mbit_per_s {
                1000.. => format!("{} Gbit/s", mbit_per_s / 1000),
                _ => format!("{mbit_per_s} Mbit/s"),
            };
            Link {
                name: format!("{bandwidth}, {} ms", round_trip_us as f64 / 1000.0),
                key,
                bandwidth_bytes_per_s: (mbit_per_s * 1_000_000 / 8) as f64,
                round_trip_ns: (round_trip_us * 1000) as f64,
            }
        },
    )
}

/// The section.
pub fn section(source: &Source<'_>) -> Section {
    let mut blocks = Vec::new();
    let images = images(source.report);
    blocks.push(Block::Text(match images.rows.is_empty() {
        true => "The artifact manifest lists no images.".to_owned(),
        false => {
            "What it costs to bring an image to a node. The time to pull is modelled, for links of \
             some bandwidth and round trip: (3 + layers) round trips, and the compressed bytes at \
             the bandwidth. It leaves out TLS, tokens, redirects and TCP's slow start, so it is a \
             lower bound. The time to unpack the layers into an empty folder is measured."
                .to_owned()
        }
    }));
    blocks.push(Block::Table(images));
    let check = source.evidence.pull_check.as_ref();
    let checks = checks(check);
    let mut brief = None;
    match check {
        Some(check) => {
            if !checks.rows.is_empty() {
                blocks.push(Block::Text(format!(
                    "The model beside pulls from a registry ({}) over a link of known bandwidth:",
                    check.registry
                )));
            }
            let notes = check.notes.iter().map(|note| format!("note: {note}\n"));
            brief = Some(render::terminal(&checks) + notes.collect::<String>().trim_end());
            blocks.push(Block::Table(checks));
            if !check.notes.is_empty() {
                blocks.push(Item::list(check.notes.clone()));
            }
        }
        None => {
            blocks.push(Block::Table(checks));
            blocks.push(Block::Text(
                "This run did not check the model: `cargo xtask bench --suite pull` does."
                    .to_owned(),
            ));
        }
    }
    Section { id: "pulling", title: "Pulling images", blocks, brief }
}

/// The images of the functions that the run concerns.
fn images(report: &Report) -> Table {
    let text = |key, doc| Column::new(key, "", Quantity::Text, doc).hidden();
    let mut columns = vec![
        text("base", "what the image is built upon"),
        text("holds", "the kind of artifact that it adds to its base"),
        Column::new("compressed_bytes", "compressed", Quantity::Bytes, "the bytes of all layers"),
        Column::new("layers", "layers", Quantity::Count, "how many layers it has"),
    ];
    columns.extend(links().map(|Link { name, key, .. }| {
        let doc = "the modelled time to pull it over a link of 1 Gbit/s and 0.5 ms, 100 Mbit/s \
                   and 10 ms, 10 Mbit/s and 50 ms";
        let key = format!("pull_over_{key}_link_ns");
        Column::new(key, format!("pull at {name}"), Quantity::Nanoseconds, doc)
    }));
    columns.push(Column::new(
        "unpack_ns",
        "unpack",
        Quantity::Nanoseconds,
        "the measured time to unpack it; null where the run has no such figure",
    ));
    let artifacts = report.own_artifacts();
    let images = artifacts.filter_map(|artifact| Some((artifact, artifact.image.as_ref()?)));
    let mut images: Vec<(&Artifact, &Image)> = images.collect();
    images.sort_by_cached_key(|(artifact, image)| {
        let (function, engine) = (artifact.function.clone(), artifact.engine.clone());
        (function, image.holds, image.compressed_bytes, engine)
    });
    let rows = images.into_iter().map(|(artifact, image)| {
        let function = artifact.function.as_deref().unwrap_or_default();
        let name = image_name(artifact.engine.as_deref(), image.holds, &image.base);
        let mut cells = vec![
            Cell::Text(image.base.clone()),
            Cell::Text(image.holds.to_string()),
            Cell::Number(image.compressed_bytes as f64),
            Cell::Number(image.layers() as f64),
        ];
        cells.extend(links().map(|link| {
            let (bandwidth, round_trip_ns) = (link.bandwidth_bytes_per_s, link.round_trip_ns);
            let time_ns = pull_ns(image.compressed_bytes, image.layers(), bandwidth, round_trip_ns);
            time_ns.map_or(Cell::Nothing("the model has no figure for it"), Cell::Number)
        }));
        cells.push(unpacking(report, function, image));
        Row::named([function, &name], cells)
    });
    Table {
        list: Some("pulls"),
        doc: "what it costs to bring an image to a node",
        names: Names::Words(&["function", "image"]),
        columns,
        rows: rows.collect(),
    }
}

/// The time to unpack an image, by the first runtime that serves it: only native functions are
/// served from images.
fn unpacking(report: &Report, function: &str, image: &Image) -> Cell {
    if !ArtifactKind::NATIVE_EXECUTABLES.contains(&image.holds) {
        return Cell::Absent("not unpacked: no runtime here starts Wasm from an image".to_owned());
    }
    let is_of_image = |estimate: &&CaseEstimate| {
        let case = &estimate.case;
        let serves = |name: &str| {
            report.runtimes.iter().any(|runtime| {
                runtime.name_in(case.suite.lane()) == name
                    && runtime.base.as_ref() == Some(&image.base)
            })
        };
        case.suite == Suite::Pull && case.function == function && serves(&case.runtime)
    };
    match report.estimates.iter().find(is_of_image) {
        Some(&CaseEstimate { median, low, high, n, .. }) => {
            Cell::Figure(Figure { median, low: Some(low), high: Some(high), n })
        }
        None => Cell::Absent(
            "not unpacked in this run: `--suite pull` measures it, as does `--profile full`"
                .to_owned(),
        ),
    }
}

/// The model beside pulls.
fn checks(check: Option<&PullCheck>) -> Table {
    let time = |key, title, doc| Column::new(key, title, Quantity::Nanoseconds, doc);
    let columns = vec![
        Column::new("compressed_bytes", "compressed", Quantity::Bytes, "the bytes of all layers"),
        Column::new("layers", "", Quantity::Count, "how many layers it has").hidden(),
        Column::new(
            "bandwidth_bytes_per_s",
            "",
            Quantity::Count,
            "what the link lets through in a second; null where nothing limits it",
        )
        .hidden(),
        time("round_trip_ns", "", "the smallest request on an open connection, the median")
            .hidden(),
        time("modelled_ns", "modelled", "what the model says; null where nothing limited the link"),
        time("measured_ns", "measured", "the median of the measured times"),
        Column::new("n", "n", Quantity::Count, "how many times it was pulled"),
        Column::new(
            "ratio",
            "measured / modelled",
            Quantity::Ratio,
            "measured over modelled: above 1, the model promises too much",
        ),
    ];
    let pulls = check.map_or(&[][..], |check| &check.pulls);
    Table {
        list: Some("pull_checks"),
        doc: "the model beside pulls from a registry, where the run was followed by any",
        names: Names::Words(&["image", "link"]),
        columns,
        rows: pulls.iter().filter_map(check_row).collect(),
    }
}

fn check_row(pull: &Pull) -> Option<Row> {
    let times_ns: Vec<f64> = pull.times_ns.iter().map(|&time_ns| time_ns as f64).collect();
    let measured_ns = median(&times_ns)?;
    let round_trip_ns = pull.round_trip_ns as f64;
    let modelled_ns = pull.bandwidth_bytes_per_s.and_then(|bytes_per_s| {
        pull_ns(pull.compressed_bytes, pull.layers, bytes_per_s as f64, round_trip_ns)
    });
    let ratio = modelled_ns.filter(|&time_ns| time_ns > 0.0).map(|time_ns| measured_ns / time_ns);
    let bandwidth = pull.bandwidth_bytes_per_s.map_or_else(
        || "loopback, no limit".to_owned(),
        |bytes_per_s| format!("{} Mbit/s", bytes_per_s as f64 * 8.0 / 1e6),
    );
    let no_model = Cell::Nothing("where nothing limits the link there is no model");
    let number = |value: Option<f64>| value.map_or(no_model.clone(), Cell::Number);
    let cells = vec![
        Cell::Number(pull.compressed_bytes as f64),
        Cell::Number(pull.layers as f64),
        number(pull.bandwidth_bytes_per_s.map(|bytes_per_s| bytes_per_s as f64)),
        Cell::Number(round_trip_ns),
        number(modelled_ns),
        Cell::Number(measured_ns),
        Cell::Number(times_ns.len() as f64),
        number(ratio),
    ];
    let link = format!("{bandwidth}, {}", format::duration(round_trip_ns));
    Some(Row::named([format!("{} on {}", pull.function, pull.base), link], cells))
}
