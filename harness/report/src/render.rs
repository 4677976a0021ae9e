//! The renderers of [`super::table`]: one for each format but CSV, which is in [`super::csv`].

mod html;
pub mod json;
mod markdown;

use std::collections::HashMap;
use std::fmt::Write as _;

use super::table::{Cell, Column, Names, Row, Subject, Table};
use super::terminal::aligned;

pub use html::section as html;
pub use markdown::section as markdown;

/// Numbers footnotes; equal texts share a number.
#[derive(Default)]
struct Notes<'t> {
    texts: Vec<&'t str>,
    numbers: HashMap<&'t str, usize>,
}

impl<'t> Notes<'t> {
    fn number(&mut self, text: &'t str) -> usize {
        *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len()
        })
    }
}

impl Table {
    /// What stands above what rows are called by.
    pub fn heads(&self) -> Vec<&'static str> {
        match self.names {
            Names::Case { suite, function, payload } => {
                let (suite, payload) = (suite.then_some("suite"), payload.then_some("payload"));
                suite.into_iter().chain([function]).chain(payload).chain(["runtime"]).collect()
            }
            Names::Words(heads) => heads.to_vec(),
        }
    }

    /// What a row is called by.
    fn names(&self, row: &Row) -> Vec<String> {
        let case = match &row.subject {
            Subject::Case(case) => case,
            Subject::Words(words) => return words.clone(),
        };
        let (suite, payload) = match self.names {
            Names::Case { suite, payload, .. } => (suite, payload),
            Names::Words(_) => (true, true),
        };
        let function = match (payload, case.setting.is_default()) {
            // Nothing else would show it.
            (false, false) => format!("{}, {}", case.function, case.setting),
            _ => case.function.clone(),
        };
        let suite = suite.then(|| case.suite.to_string());
        let payload = payload.then(|| case.input());
        let names = suite.into_iter().chain([function]).chain(payload);
        names.chain([case.runtime.clone()]).collect()
    }

    fn shown<'t>(&'t self, row: &'t Row) -> impl Iterator<Item = (&'t Column, &'t Cell)> {
        self.columns.iter().zip(&row.cells).filter(|(column, _)| column.is_shown)
    }
}

/// What something is called and what is said of it, or the one of them that there is.
fn joined(of: Option<String>, said: Option<String>) -> String {
    of.into_iter().chain(said).collect::<Vec<_>>().join(": ")
}

/// A table for a terminal; nothing where it has no rows.
pub fn terminal(table: &Table) -> String {
    if table.rows.is_empty() {
        return String::new();
    }
    let shown = table.columns.iter().filter(|column| column.is_shown);
    let titles = shown.map(|column| column.title.clone().into_owned());
    let heads = table.heads().into_iter().map(str::to_owned);
    let names = table.heads().len();
    let mut lines: Vec<Vec<String>> = vec![heads.chain(titles).collect()];
    lines.extend(table.rows.iter().map(|row| {
        let cells = table.shown(row).map(|(column, cell)| cell.text(column.quantity));
        table.names(row).into_iter().chain(cells).collect()
    }));
    aligned(lines, |column| column < names)
}

/// What a list of `report.json` holds, as Markdown: its fields besides those of the case, and what
/// they say.
pub fn fields(table: &Table) -> String {
    let Some(list) = table.list else { return String::new() };
    let mut text = format!("\n**`{list}[]`**: {}.\n\n", table.doc);
    if let Names::Words(heads) = table.names {
        let heads = heads.iter().map(|head| format!("`{head}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "- {heads}: what it is of");
    }
    // Columns that say the same of one thing after the other are one line.
    for columns in table.columns.chunk_by(|one, next| one.doc == next.doc) {
        let mut keys: Vec<String> =
            columns.iter().map(|column| format!("`{}`", column.documented())).collect();
        keys.dedup();
        let keys = keys.join(", ");
        let _ = writeln!(text, "- {keys}: {}", columns[0].doc);
    }
    text
}

#[cfg(test)]
mod tests {
    use lumos_record::{Case, Setting, Suite};
    use serde_json::json;

    use super::*;
    use crate::csv::{self, Line};
    use crate::figure::Figure;
    use crate::table::{Block, Quantity, Section};

    fn table() -> Table {
        let case = Case {
            suite: Suite::Call,
            function: "a|b".to_owned(),
            runtime: "<fast>".to_owned(),
            payload: "1KiB".to_owned(),
            setting: Setting::default(),
        };
        let figure = Figure { median: 1500.0, low: Some(1400.0), high: Some(1600.0), n: 9 };
        let columns = vec![
            Column::new("time_ns", "time", Quantity::Nanoseconds, "how long it takes"),
            Column::new("counter", "counted by", Quantity::Text, "what counts"),
            Column::new("reference", "reference", Quantity::Text, "below the line").hidden(),
            Column::new("size_bytes", "size", Quantity::Bytes, "how large it is"),
        ];
        let cells = vec![
            Cell::Noted(Box::new(Cell::Figure(figure)), "beware".to_owned()),
            Cell::Text("hand".to_owned()),
            Cell::Text("native".to_owned()),
            Cell::Absent("nobody looked".to_owned()),
        ];
        let rows = vec![Row::of(&case, cells)];
        Table { list: Some("times"), doc: "times", names: Names::FUNCTION, columns, rows }
    }

    fn section() -> Section {
        let blocks = vec![
            Block::Text("*All* of `x < y`.".to_owned()),
            Block::Folded {
                summary: "Table".to_owned(),
                open: false,
                blocks: vec![Block::Table(table())],
            },
        ];
        Section { id: "times", title: "Times", blocks, brief: None }
    }

    #[test]
    fn a_table_in_markdown() {
        let expected = "\n## Times\n\n*All* of `x < y`.\n\n\
            | function | payload | runtime | time | counted by | size |\n\
            |---|---|---|---:|---|---:|\n\
            | a\\|b | 1KiB | <fast> | 1.5 µs (1.40–1.60 µs) [1] | hand | — [2] |\n\
            \n[1] beware\n\n[2] nobody looked\n";
        assert_eq!(markdown(&section()), expected);
    }

    #[test]
    fn a_table_in_html() {
        let html = html(&section());
        assert!(html.contains("<p><em>All</em> of <code>x &lt; y</code>.</p>"), "{html}");
        assert!(html.contains("<td class=\"text\">&lt;fast&gt;</td>"), "{html}");
        assert!(
            html.contains("<td title=\"1.40–1.60 µs, n = 9\">1.5 µs<sup>1</sup></td>"),
            "{html}"
        );
        assert!(!html.contains("native"), "what is hidden is for programs: {html}");
    }

    #[test]
    fn a_table_for_programs() {
        let expected = json!([{
            "suite": "call", "function": "a|b", "runtime": "<fast>", "payload": "1KiB",
            "lane": "in-process",
            "time_ns": { "median": 1500.0, "low": 1400.0, "high": 1600.0, "n": 9 },
            "counter": "hand", "reference": "native", "size_bytes": null,
        }]);
        let table = table();
        assert_eq!(serde_json::to_value(json::JsonTable(&table)).unwrap(), expected);
        let lines = csv::lines(&table);
        assert_eq!(lines.len(), 1);
        let Line { name, unit, value, low, high, n, reference, note, .. } = &lines[0];
        assert_eq!((name.as_ref(), *unit, reference.as_ref()), ("time_ns", "ns", "native"));
        assert_eq!((*value, *low, *high, *n), (Some(1500.0), Some(1400.0), Some(1600.0), Some(9)));
        assert_eq!(note, "counter: hand; beware");
    }
}
