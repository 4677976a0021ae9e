//! What was not measured, and why.

use super::Source;
use crate::schema::Absence;
use crate::table::{Block, Item, Section};

/// The section.
pub fn section(source: &Source<'_>) -> Section {
    let mut blocks = Vec::new();
    let lists = [
        ("Skipped", &source.report.skips, "Nothing was skipped."),
        ("Failed", &source.report.failures, "Nothing failed."),
    ];
    for (title, absences, none) in lists {
        blocks.push(Block::Heading(title.to_owned()));
        let point = |absence: &Absence| Item::of(&absence.case, &absence.reason);
        blocks.push(match absences.is_empty() {
            true => Block::Text(none.to_owned()),
            false => Block::List(absences.iter().map(point).collect()),
        });
    }
    Section { id: "absent", title: "Skipped and failed", blocks, brief: None }
}
