//! Tables and text as Markdown.

use std::fmt::Write as _;

use super::{Notes, joined};
use crate::splice;
use crate::table::{Block, Cell, Item, Section, Table};

/// A section as Markdown.
pub fn section(section: &Section) -> String {
    let mut text = format!("\n## {}\n", section.title);
    write_blocks(&section.blocks, &mut text);
    text
}

// Writing to a string cannot fail, here and below.
fn write_blocks(blocks: &[Block], text: &mut String) {
    for block in blocks {
        match block {
            Block::Text(paragraph) => _ = writeln!(text, "\n{paragraph}"),
            Block::Heading(heading) => _ = writeln!(text, "\n### {heading}"),
            Block::List(points) => {
                let _ = writeln!(text);
                for Item { of, text: said } in points {
                    let of = of.as_ref().map(|of| format!("`{of}`"));
                    let said = (!said.is_empty()).then(|| splice::escape(said));
                    let _ = writeln!(text, "- {}", joined(of, said));
                }
            }
            Block::Chart(_) | Block::OfPage(_) | Block::Data(_) => {}
            Block::Table(table) => write_table(table, text),
            Block::Folded { blocks, .. } => write_blocks(blocks, text),
        }
    }
}

fn write_table(table: &Table, text: &mut String) {
    if table.rows.is_empty() {
        return;
    }
    let (heads, mut notes) = (table.heads(), Notes::default());
    let shown = || table.columns.iter().filter(|column| column.is_shown);
    let titles = heads.iter().map(|head| (*head).to_owned());
    let titles = titles.chain(shown().map(|column| splice::escape(&column.title)));
    let _ = writeln!(text, "\n| {} |", titles.collect::<Vec<_>>().join(" | "));
    let _ = write!(text, "|{}", "---|".repeat(heads.len()));
    for column in shown() {
        text.push_str(if column.quantity.is_words() { "---|" } else { "---:|" });
    }
    let _ = writeln!(text);
    for row in &table.rows {
        let mut cells: Vec<String> =
            table.names(row).iter().map(|name| splice::escape(name)).collect();
        cells.extend(table.shown(row).map(|(column, cell)| {
            let text = match cell {
                Cell::View(view) if !view.below.is_empty() => {
                    format!("{} ({})", view.text, view.below)
                }
                _ => cell.text_with_interval(column.quantity),
            };
            let shown = splice::escape(&text);
            match cell.note() {
                Some(note) => format!("{shown} [{}]", notes.number(note)),
                None => shown,
            }
        }));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for (number, note) in (1..).zip(&notes.texts) {
        let _ = writeln!(text, "\n[{number}] {}", splice::escape(note));
    }
}
