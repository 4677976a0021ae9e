//! The instructions of one call, where they were counted.

use lumos_record::{Case, Suite};

use super::{Source, nothing};
use crate::load::Outcome;
use crate::table::{Block, Cell, Column, Names, Quantity, Row, Section, Table};

/// The section.
pub fn section(source: &Source<'_>) -> Section {
    let columns = vec![
        Column::new(
            "instructions",
            "instructions",
            Quantity::Count,
            "how many a call executes, as the counter defines them",
        ),
        Column::new("counter", "counted by", Quantity::Text, "what counted"),
    ];
    let counted = source.evidence.cases.iter().filter_map(|(case, found)| match &found.outcome {
        Outcome::Counted(counted) => {
            let instructions = Cell::Number(counted.instructions as f64);
            Some((case, vec![instructions, Cell::Text(counted.counter.clone())]))
        }
        _ => None,
    });
    let mut counted: Vec<(&Case, Vec<Cell>)> = counted.collect();
    counted.sort_by_cached_key(|(case, _)| source.runtimes.order(case));
    let rows: Vec<Row> = counted.into_iter().map(|(case, cells)| Row::of(case, cells)).collect();
    let (id, title, count) = ("instructions", "Instructions", rows.len());
    let table = Table {
        list: Some("counts"),
        doc: "the instructions of one invocation, where they were counted",
        names: Names::FUNCTION,
        columns,
        rows,
    };
    if count == 0 {
        let text = nothing("counted no instructions", &[Suite::Counts]);
        return Section::empty(id, title, text, table);
    }
    let brief = Some(format!("Instructions: {count} counts in the report."));
    let blocks = vec![
        Block::Text(
            "Of one call, counted instead of timed: the same number from run to run. Each engine \
             counts in its own way, so counts of different engines are no ratio."
                .to_owned(),
        ),
        Block::Folded {
            summary: "Table of instructions".to_owned(),
            open: false,
            blocks: vec![Block::Table(table)],
        },
    ];
    Section { id, title, blocks, brief }
}
