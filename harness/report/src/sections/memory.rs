//! What workers used: memory and processor time, each over a worker's whole life.

use std::collections::HashSet;

use lumos_model::Bootstrap;
use lumos_record::suite::Workers;
use lumos_record::{Case, WorkerUse};

use super::Source;
use crate::figure::Figure;
use crate::load::{median_of, samples_of};
use crate::table::{Block, Cell, Column, Names, Quantity, Row, Section, Table};

fn columns() -> Vec<Column> {
    vec![
        Column::new(
            "peak_rss_bytes",
            "peak memory",
            Quantity::Bytes,
            "the most memory that was resident",
        ),
        Column::new(
            "cpu_ns",
            "processor time",
            Quantity::Nanoseconds,
            "processor time, in user mode and in the kernel together",
        ),
        Column::new("cpu_user_ns", "", Quantity::Nanoseconds, "the part of it in user mode")
            .hidden(),
        Column::new("cpu_system_ns", "", Quantity::Nanoseconds, "the part of it in the kernel")
            .hidden(),
        Column::new(
            "cpu_system_share",
            "in the kernel",
            Quantity::Share,
            "the kernel's share of it, by the medians",
        ),
        Column::new(
            "invocations",
            "requests",
            Quantity::Count,
            "requests to each worker, the median",
        ),
        Column::new("workers", "workers", Quantity::Count, "how many workers there were"),
    ]
}

/// The section.
pub fn section(source: &mut Source<'_>) -> Section {
    let mut rows = Vec::new();
    for case in source.report.estimates.iter().map(|estimate| &estimate.case) {
        let uses = source.evidence.cases.get(case).map_or(&[][..], |found| &found.uses);
        rows.extend(row(case, uses, source.bootstrap));
    }
    let recorded: HashSet<Case> = rows.iter().filter_map(Row::case).cloned().collect();
    let lacking = source.measured(|case| {
        case.suite.spec().workers == Workers::Recorded && !recorded.contains(case)
    });
    let text = match rows.is_empty() {
        true => "This run holds no record of its workers.",
        false => {
            "Of a worker's whole life: the most memory that was resident, and processor time in \
             user mode and in the kernel."
        }
    };
    let table = Table {
        list: Some("memory"),
        doc: "what the workers of each case used",
        names: Names::SUITE,
        columns: columns(),
        rows,
    };
    let mut blocks = vec![
        Block::Text(text.to_owned()),
        Block::Folded {
            summary: "Table of workers".to_owned(),
            open: false,
            blocks: vec![Block::Table(table)],
        },
    ];
    if !lacking.is_empty() {
        let text = "Measured, but the run holds no record of the workers of:";
        blocks.extend([Block::Text(text.to_owned()), Block::List(lacking)]);
    }
    let title = "Memory and processor time per worker";
    Section { id: "memory", title, blocks, brief: None }
}

/// What a case's workers used; none when the run holds no record of them.
fn row(case: &Case, uses: &[(u32, WorkerUse)], bootstrap: &mut Bootstrap) -> Option<Row> {
    let mut figure = |value: fn(&WorkerUse) -> Option<u64>| -> Option<Figure> {
        let samples = samples_of(uses, |used| value(used).map(|value| value as f64))?;
        Some(Figure::of(bootstrap, &samples))
    };
    let peak = figure(|used| used.peak_rss_bytes);
    let cpu = figure(|used| Some(used.cpu.user_ns.saturating_add(used.cpu.system_ns)))?;
    let user = figure(|used| Some(used.cpu.user_ns))?;
    let system = figure(|used| Some(used.cpu.system_ns))?;
    let share = system.median / cpu.median;
    let cells = vec![
        peak.map_or_else(|| Cell::Absent("it could not be read".to_owned()), Cell::Figure),
        Cell::Figure(cpu),
        Cell::Figure(user),
        Cell::Figure(system),
        match share.is_finite() {
            true => Cell::Number(share),
            false => Cell::Nothing("it took no processor time that the kernel counts"),
        },
        Cell::Number(median_of(uses.iter().map(|(_, used)| used.invocations))),
        Cell::Number(uses.len() as f64),
    ];
    Some(Row::of(case, cells))
}
