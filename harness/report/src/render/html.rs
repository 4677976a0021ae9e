//! Tables, text and charts as a part of the page.

use std::fmt::Write as _;

use super::{Notes, joined};
use crate::charts::escape;
use crate::table::{
    Block, Cell, Chart, Column, Item, Key, Marks, Names, Quantity, Section, Table, Tint,
};

/// A section of the page.
pub fn section(section: &Section) -> String {
    let mut html = format!("\n<h2 id=\"{}\">{}</h2>\n", section.id, escape(section.title));
    write_blocks(&section.blocks, &mut html);
    html
}

fn write_blocks(blocks: &[Block], html: &mut String) {
    for block in blocks {
        match block {
            Block::Text(paragraph) | Block::OfPage(paragraph) => {
                let _ = writeln!(html, "<p>{}</p>", inline(paragraph));
            }
            Block::Heading(heading) => _ = writeln!(html, "<h3>{}</h3>", inline(heading)),
            Block::List(points) => {
                let _ = write!(html, "<ul>");
                for Item { of, text } in points {
                    let of = of.as_ref().map(|of| format!("<code>{}</code>", escape(of)));
                    let said = (!text.is_empty()).then(|| escape(text));
                    let _ = write!(html, "<li>{}</li>", joined(of, said));
                }
                let _ = writeln!(html, "</ul>");
            }
            Block::Data(_) => {}
            Block::Chart(chart) => write_chart(chart, html),
            Block::Table(table) => write_table(table, html),
            Block::Folded { blocks, .. } if is_empty(blocks) => {}
            Block::Folded { summary, open, blocks } => {
                let open = if *open { " open" } else { "" };
                let _ = writeln!(html, "<details{open}><summary>{}</summary>", inline(summary));
                write_blocks(blocks, html);
                let _ = writeln!(html, "</details>");
            }
        }
    }
}

/// Whether there is nothing to see.
fn is_empty(blocks: &[Block]) -> bool {
    blocks.iter().all(|block| match block {
        Block::Table(table) => table.rows.is_empty(),
        Block::Data(_) => true,
        Block::Folded { blocks, .. } => is_empty(blocks),
        Block::Text(_)
        | Block::OfPage(_)
        | Block::Heading(_)
        | Block::List(_)
        | Block::Chart(_) => false,
    })
}

fn write_chart(chart: &Chart, html: &mut String) {
    let Chart { title, legend, marks, svg, caption } = chart;
    let legend = legend_of(legend, *marks);
    if svg.is_empty() {
        let _ = writeln!(html, "{legend}");
        return;
    }
    let _ = write!(html, "<figure>");
    if !title.is_empty() {
        let _ = write!(html, "<h3>{}</h3>", escape(title));
    }
    let _ = write!(html, "{legend}{svg}");
    if !caption.is_empty() {
        let _ = write!(html, "<figcaption>{}</figcaption>", inline(caption));
    }
    let _ = writeln!(html, "</figure>");
}

fn legend_of(keys: &[Key], marks: Marks) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let class = match marks {
        Marks::Lines => "c",
        Marks::Parts => "p",
    };
    let keys = keys.iter().map(|Key { name, colour }| {
        format!("<span><i class=\"{class}{colour}\"></i>{}</span>", escape(name))
    });
    format!("<p class=\"legend\">{}</p>", keys.collect::<String>())
}

fn write_table(table: &Table, html: &mut String) {
    if table.rows.is_empty() {
        return;
    }
    let (heads, mut notes) = (table.heads(), Notes::default());
    // The function stays where it is when somebody looks at what is far to the right.
    let stays = match table.names {
        Names::Case { function, .. } => function,
        Names::Words(heads) => heads.first().copied().unwrap_or_default(),
    };
    let class = |head: &str| if head == stays { "name" } else { "text" };
    let class_of = |column: &Column| match column.quantity {
        Quantity::Text => " class=\"text\"",
        Quantity::Prose => " class=\"wrap\"",
        _ => "",
    };
    let _ = write!(html, "<div class=\"scroll\"><table>\n<tr>");
    heads.iter().for_each(|head| _ = write!(html, "<th class=\"{}\">{head}</th>", class(head)));
    for column in table.columns.iter().filter(|column| column.is_shown) {
        let class = if column.quantity.is_words() { " class=\"text\"" } else { "" };
        let _ = write!(html, "<th{class}>{}</th>", inline(&column.title));
    }
    let _ = writeln!(html, "</tr>");
    for row in &table.rows {
        let _ = write!(html, "<tr>");
        let names = table.names(row);
        let last = names.len().saturating_sub(1);
        for (place, (head, name)) in heads.iter().zip(&names).enumerate() {
            // A colour is the runtime's, which is the last name.
            let dot = row.colour.filter(|_| place == last);
            let dot = dot.map(|colour| format!("<i class=\"c{colour}\"></i>"));
            let (class, dot) = (class(head), dot.unwrap_or_default());
            let _ = write!(html, "<td class=\"{class}\">{dot}{}</td>", escape(name));
        }
        for (column, cell) in table.shown(row) {
            let note = cell.note().map(|note| notes.number(note));
            write_cell(cell, column, class_of(column), note, html);
        }
        let _ = writeln!(html, "</tr>");
    }
    let _ = writeln!(html, "</table></div>");
    if !notes.texts.is_empty() {
        let items = notes.texts.iter().map(|note| format!("<li>{}</li>", escape(note)));
        let _ = writeln!(html, "<ol class=\"notes\">{}</ol>", items.collect::<String>());
    }
}

fn write_cell(cell: &Cell, column: &Column, class: &str, note: Option<usize>, html: &mut String) {
    let shown = if column.quantity == Quantity::Prose { inline } else { escape };
    let (mut attributes, mut below) = (class.to_owned(), String::new());
    if let Cell::View(view) = cell {
        if let Some(Tint { hue, strength }) = view.tint {
            attributes = format!(" class=\"{hue}\" style=\"--s:{strength}\"");
        }
        if !view.below.is_empty() {
            below = format!("<br><small>({})</small>", shown(&view.below));
        }
    }
    let hint = cell.hint(column.quantity);
    if !hint.is_empty() {
        let _ = write!(attributes, " title=\"{}\"", escape(&hint));
    }
    let note = note.map(|number| format!("<sup>{number}</sup>")).unwrap_or_default();
    let text = shown(&cell.text(column.quantity));
    let _ = write!(html, "<td{attributes}>{text}{note}{below}</td>");
}

/// Markdown's `code` and *emphasis* as HTML; everything else is text.
fn inline(text: &str) -> String {
    let mut html = String::new();
    for (number, part) in text.split('`').enumerate() {
        if number % 2 == 1 {
            let _ = write!(html, "<code>{}</code>", escape(part));
            continue;
        }
        for (number, part) in part.split('*').enumerate() {
            match number % 2 {
                0 => html.push_str(&escape(part)),
                _ => _ = write!(html, "<em>{}</em>", escape(part)),
            }
        }
    }
    html
}
