//! Where the time of a cold start goes, by the marks of its worker.

use std::collections::{BTreeSet, HashSet};

use lumos_model::Bootstrap;
use lumos_record::{Case, Ledger, Phase, Suite};

use super::Source;
use crate::charts::{self, Bar};
use crate::figure::Figure;
use crate::load::samples_of;
use crate::table::{Block, Cell, Chart, Column, Key, Marks, Names, Quantity, Row, Section, Table};
use crate::{format, page};

/// The phases of a case's cold starts.
struct Phases<'c> {
    case: &'c Case,
    figures: Vec<(Phase, Figure)>,
}

/// The section.
pub fn section(source: &mut Source<'_>) -> Section {
    let mut found: Vec<Phases<'_>> = Vec::new();
    for case in source.report.estimates.iter().map(|estimate| &estimate.case) {
        let ledgers = source.evidence.cases.get(case).map_or(&[][..], |found| &found.ledgers);
        if !ledgers.is_empty() {
            found.push(Phases { case, figures: figures(ledgers, source.bootstrap) });
        }
    }
    let phases: BTreeSet<Phase> =
        found.iter().flat_map(|found| found.figures.iter().map(|(phase, _)| *phase)).collect();
    let column = |phase: &Phase| {
        let key = format!("{}_ns", phase.name().replace('-', "_"));
        let doc = "what the phase takes: a field for each phase that any case of the run has; null of a runtime that has none";
        Column::new(key, phase.name(), Quantity::Nanoseconds, doc).one_of("<phase>_ns")
    };
    let mut columns: Vec<Column> = phases.iter().map(column).collect();
    columns.push(Column::new("n", "n", Quantity::Count, "how many cold starts there are"));
    let row = |found: &Phases<'_>| {
        let of = |phase: &Phase| found.figures.iter().find(|(known, _)| known == phase);
        let cell = |phase| {
            let figure = of(phase).map(|(_, figure)| *figure);
            Cell::figure_or(figure, "this runtime has no such phase")
        };
        let mut cells: Vec<Cell> = phases.iter().map(cell).collect();
        let counts = found.figures.iter().map(|(_, figure)| figure.n);
        cells.push(Cell::Number(counts.max().unwrap_or(0) as f64));
        Row::of(found.case, cells)
    };
    let rows: Vec<Row> = found.iter().map(row).collect();
    let recorded: HashSet<&Case> = found.iter().map(|found| found.case).collect();
    let lacking =
        source.measured(|case| case.suite == Suite::ColdStart && !recorded.contains(case));
    let text = match rows.is_empty() {
        true => "This run holds no phases.",
        false => {
            "Medians of each phase. They need not add up to the median of the whole. `teardown` \
             comes after the cold start and is no part of it; a dash means that the runtime has no \
             such phase."
        }
    };
    let table = Table {
        list: Some("phases"),
        doc: "the median of each phase of each cold start",
        names: Names::FUNCTION,
        columns,
        rows,
    };
    let mut blocks = vec![Block::Text(text.to_owned())];
    if !found.is_empty() {
        let text = "The time beside a bar is the sum of the medians, and every bar is as wide as \
                    the next. Item at a figure of the table to see its interval.";
        blocks.push(Block::OfPage(text.to_owned()));
    }
    blocks.extend(charts(&found, &phases));
    blocks.push(Block::Folded {
        summary: "Table of phases".to_owned(),
        open: false,
        blocks: vec![Block::Table(table)],
    });
    if !lacking.is_empty() {
        let text = "Measured, but the run holds no phases of:";
        blocks.extend([Block::Text(text.to_owned()), Block::List(lacking)]);
    }
    Section { id: "phases", title: "Phases of a cold start", blocks, brief: None }
}

/// The median of each phase that any of the cold starts had, and of what came after it.
fn figures(ledgers: &[(u32, Ledger)], bootstrap: &mut Bootstrap) -> Vec<(Phase, Figure)> {
    let spans = ledgers.iter().flat_map(|(_, ledger)| &ledger.phases);
    let phases: BTreeSet<Phase> = spans.map(|span| span.phase).chain([Phase::Teardown]).collect();
    let figure = |phase: Phase| {
        let time_ns = |ledger: &Ledger| match phase {
            Phase::Teardown => Some(ledger.teardown_ns as f64),
            _ => {
                let mut spans = ledger.phases.iter();
                spans.find(|span| span.phase == phase).map(|span| span.wall_ns as f64)
            }
        };
        Some((phase, Figure::of(bootstrap, &samples_of(ledgers, time_ns)?)))
    };
    phases.into_iter().filter_map(figure).collect()
}

/// A chart for each function and payload, a bar for each runtime.
fn charts(found: &[Phases<'_>], phases: &BTreeSet<Phase>) -> Vec<Block> {
    let mut charts: Vec<(String, Vec<Bar>)> = Vec::new();
    for found in found {
        let title = page::label(&found.case.function, &found.case.input());
        match charts.last_mut() {
            Some((last, bars)) if *last == title => bars.push(bar(found)),
            _ => charts.push((title, vec![bar(found)])),
        }
    }
    if charts.is_empty() {
        return Vec::new();
    }
    let chart = |title: String, legend, svg| {
        let (marks, caption) = (Marks::Parts, String::new());
        Block::Chart(Chart { title, legend, marks, svg, caption })
    };
    let key = |phase: &Phase| Key { name: phase.to_string(), colour: *phase as usize };
    let inside = phases.iter().filter(|phase| **phase != Phase::Teardown);
    let legend = chart(String::new(), inside.map(key).collect(), String::new());
    let drawn = charts.into_iter().map(|(title, bars)| {
        let svg = charts::bars(&format!("Phases of a cold start: {title}"), &bars);
        chart(title, Vec::new(), svg)
    });
    std::iter::once(legend).chain(drawn).collect()
}

fn bar(found: &Phases<'_>) -> Bar {
    let inside = found.figures.iter().filter(|(phase, _)| *phase != Phase::Teardown);
    let part = |(phase, figure): &(Phase, Figure)| {
        let time = format::duration(figure.median);
        (*phase as usize, figure.median, format!("{phase}: {time}"))
    };
    let parts: Vec<(usize, f64, String)> = inside.map(part).collect();
    let total = format::duration(parts.iter().map(|(_, median, _)| median).sum());
    Bar { label: format!("{}: {total}", found.case.runtime), parts }
}
