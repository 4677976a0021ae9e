//! The renderers of [`super::table`]: one for each format.

use std::collections::HashMap;
use std::fmt::Write as _;

use lumos_record::{Case, Lane};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use super::charts::escape;
use super::schema::{Figure, Interval};
use super::splice;
use super::table::{
    Block, Cell, Chart, Column, Item, Key, Marks, Mean, Names, Quantity, Ratio, Row, Section,
    Subject, Table, Tint,
};

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
    fn heads(&self) -> Vec<&'static str> {
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

/// A section as Markdown.
pub fn markdown(section: &Section) -> String {
    let mut text = format!("\n## {}\n", section.title);
    markdown_blocks(&section.blocks, &mut text);
    text
}

// Writing to a string cannot fail, here and below.
fn markdown_blocks(blocks: &[Block], text: &mut String) {
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
            Block::Table(table) => markdown_table(table, text),
            Block::Folded { blocks, .. } => markdown_blocks(blocks, text),
        }
    }
}

/// What something is called and what is said of it, or the one of them that there is.
fn joined(of: Option<String>, said: Option<String>) -> String {
    of.into_iter().chain(said).collect::<Vec<_>>().join(": ")
}

fn markdown_table(table: &Table, text: &mut String) {
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

/// A section of the page.
pub fn html(section: &Section) -> String {
    let mut html = format!("\n<h2 id=\"{}\">{}</h2>\n", section.id, escape(section.title));
    html_blocks(&section.blocks, &mut html);
    html
}

fn html_blocks(blocks: &[Block], html: &mut String) {
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
            Block::Chart(chart) => html_chart(chart, html),
            Block::Table(table) => html_table(table, html),
            Block::Folded { blocks, .. } if is_empty(blocks) => {}
            Block::Folded { summary, open, blocks } => {
                let open = if *open { " open" } else { "" };
                let _ = writeln!(html, "<details{open}><summary>{}</summary>", inline(summary));
                html_blocks(blocks, html);
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

fn html_chart(chart: &Chart, html: &mut String) {
    let Chart { title, legend, marks, svg, caption } = chart;
    let legend = html_legend(legend, *marks);
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

fn html_legend(keys: &[Key], marks: Marks) -> String {
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

fn html_table(table: &Table, html: &mut String) {
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
            html_cell(cell, column, class_of(column), note, html);
        }
        let _ = writeln!(html, "</tr>");
    }
    let _ = writeln!(html, "</table></div>");
    if !notes.texts.is_empty() {
        let items = notes.texts.iter().map(|note| format!("<li>{}</li>", escape(note)));
        let _ = writeln!(html, "<ol class=\"notes\">{}</ol>", items.collect::<String>());
    }
}

fn html_cell(cell: &Cell, column: &Column, class: &str, note: Option<usize>, html: &mut String) {
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

/// The lists of `report.json` that are tables of sections.
///
/// # Errors
/// Those of the serializer.
pub fn lists<S: Serializer>(sections: &[Section], serializer: S) -> Result<S::Ok, S::Error> {
    let mut lists = serializer.serialize_map(None)?;
    for table in sections.iter().flat_map(Section::tables) {
        if let Some(list) = table.list {
            lists.serialize_entry(list, &JsonTable(table))?;
        }
    }
    lists.end()
}

/// A list of `report.json`. A row without any figure is for people: it says why.
struct JsonTable<'t>(&'t Table);

impl Serialize for JsonTable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_absent = |cell: &Cell| matches!(cell, Cell::Absent(_));
        let rows = self.0.rows.iter().filter(|row| !row.cells.iter().all(is_absent));
        serializer.collect_seq(rows.map(|row| JsonRow(self.0, row)))
    }
}

struct JsonRow<'t>(&'t Table, &'t Row);

impl Serialize for JsonRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct OfCase<'c> {
            #[serde(flatten)]
            case: &'c Case,
            lane: Lane,
            #[serde(flatten)]
            cells: JsonCells<'c>,
        }
        let Self(table, row) = *self;
        let cells = JsonCells(&table.columns, &row.cells);
        match &row.subject {
            Subject::Case(case) => {
                OfCase { case, lane: case.suite.lane(), cells }.serialize(serializer)
            }
            Subject::Words(words) => {
                let mut fields = serializer.serialize_map(None)?;
                for (head, word) in table.heads().into_iter().zip(words) {
                    fields.serialize_entry(head, word)?;
                }
                for (column, cell) in table.columns.iter().zip(&row.cells) {
                    fields.serialize_entry(&column.key, &JsonCell(cell))?;
                }
                fields.end()
            }
        }
    }
}

struct JsonCells<'t>(&'t [Column], &'t [Cell]);

impl Serialize for JsonCells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys = self.0.iter().map(|column| &column.key);
        serializer.collect_map(keys.zip(self.1.iter().map(JsonCell)))
    }
}

struct JsonCell<'c>(&'c Cell);

impl Serialize for JsonCell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Cell::Text(text) => text.serialize(serializer),
            Cell::List(words) => words.serialize(serializer),
            Cell::Flag(is_so) => is_so.serialize(serializer),
            // A whole number has no point in it.
            Cell::Number(value) | Cell::Worded(value, _)
                if value.fract() == 0.0 && value.abs() < 2f64.powi(53) =>
            {
                (*value as i64).serialize(serializer)
            }
            Cell::Number(value) | Cell::Worded(value, _) => value.serialize(serializer),
            Cell::Figure(figure) => figure.serialize(serializer),
            Cell::Interval(interval) => interval.serialize(serializer),
            Cell::Mean(mean) => mean.serialize(serializer),
            Cell::Named(figures) => {
                serializer.collect_map(figures.iter().map(|(name, figure)| (name, figure)))
            }
            Cell::Ratio(ratio) => ratio.serialize(serializer),
            Cell::View(view) => view.text.serialize(serializer),
            Cell::Nothing(_) | Cell::Absent(_) => serializer.serialize_none(),
            Cell::Noted(cell, _) => JsonCell(cell).serialize(serializer),
        }
    }
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
    aligned(&lines, names)
}

/// Lines of cells below each other: so many of them to the left, the others to the right.
pub fn aligned(lines: &[Vec<String>], left: usize) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut padded = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = match column < left {
                true => write!(padded, "{cell:<width$}  "),
                false => write!(padded, "{cell:>width$}  "),
            };
        }
        let _ = writeln!(text, "{}", padded.trim_end());
    }
    text
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

/// A line of `report.csv`.
pub struct CsvLine<'t> {
    /// The list.
    pub list: &'static str,
    /// The case that it is of, if it is of one.
    pub case: Option<&'t Case>,
    /// Of other rows, the function; empty for none, here and below.
    pub function: &'t str,
    /// The payload.
    pub payload: &'t str,
    /// The runtime, or an engine.
    pub runtime: &'t str,
    /// The column's key, and which of several figures of a cell it is.
    pub name: String,
    /// The unit; empty for none.
    pub unit: &'static str,
    /// The figure; none of a row that has none, whose note says why.
    pub value: Option<f64>,
    /// The ends of its interval, or of its range.
    pub ends: Option<[f64; 2]>,
    /// How many samples or cells it is of.
    pub n: Option<usize>,
    /// The runtime below the line of a ratio; empty for none.
    pub reference: String,
    /// The words of the row, and what has to be known of the figure.
    pub note: String,
}

/// The figures of a table, one by one, and rows without any.
pub fn csv(table: &Table) -> Vec<CsvLine<'_>> {
    let Some(list) = table.list else { return Vec::new() };
    table.rows.iter().flat_map(|row| csv_row(list, table, row)).collect()
}

fn csv_row<'t>(list: &'static str, table: &'t Table, row: &'t Row) -> Vec<CsvLine<'t>> {
    /// The column of what ratios are to.
    const REFERENCE: &str = "reference";
    let (mut reference, mut words) = (String::new(), Vec::new());
    let (mut function, mut payload, mut runtime) = ("", "", "");
    if let Subject::Words(of) = &row.subject {
        for (head, word) in table.heads().into_iter().zip(of) {
            match head {
                "function" => function = word,
                "payload" => payload = word,
                "runtime" | "engine" => runtime = word,
                "against" => reference.clone_from(word),
                // It has no column of its own.
                head => words.push(format!("{head}: {word}")),
            }
        }
    }
    let case = row.case();
    for (column, cell) in table.columns.iter().zip(&row.cells) {
        match cell {
            Cell::Text(text) if column.key == REFERENCE => reference.clone_from(text),
            Cell::Text(text) => words.push(format!("{}: {text}", column.key)),
            _ => {}
        }
    }
    let mut lines = Vec::new();
    for (column, cell) in table.columns.iter().zip(&row.cells) {
        for (name, value, ends, n) in figures(cell) {
            let mut note = words.clone();
            note.extend(cell.note().map(str::to_owned));
            let mut reference = reference.clone();
            if let Cell::Ratio(ratio) = cell {
                reference.clone_from(&ratio.reference);
                note.push(ratio.verdict.clone().unwrap_or_else(|| "not ranked".to_owned()));
            }
            lines.push(CsvLine {
                list,
                case,
                function,
                payload,
                runtime,
                name: if name.is_empty() {
                    column.key.clone().into_owned()
                } else {
                    format!("{} ({name})", column.key)
                },
                unit: column.quantity.unit(),
                value: Some(value),
                ends,
                n,
                reference,
                note: note.join("; "),
            });
        }
    }
    if lines.is_empty() {
        let mut absences: Vec<&str> = Vec::new();
        for note in row.cells.iter().filter_map(Cell::note) {
            if !absences.contains(&note) {
                absences.push(note);
            }
        }
        words.extend(absences.into_iter().map(str::to_owned));
        lines.push(CsvLine {
            list,
            case,
            function,
            payload,
            runtime,
            name: String::new(),
            unit: "",
            value: None,
            ends: None,
            n: None,
            reference,
            note: words.join("; "),
        });
    }
    lines
}

type Numbers = (String, f64, Option<[f64; 2]>, Option<usize>);

/// The figures in a cell, each with its name if there are several.
fn figures(cell: &Cell) -> Vec<Numbers> {
    let of = |name: &str, figure: &Figure| -> Numbers {
        let ends = figure.low.zip(figure.high).map(|(low, high)| [low, high]);
        (name.to_owned(), figure.median, ends, Some(figure.n))
    };
    match cell {
        Cell::Number(value) | Cell::Worded(value, _) => {
            vec![(String::new(), *value, None, None)]
        }
        Cell::Figure(figure) => vec![of("", figure)],
        Cell::Interval(Interval { point, low, high }) => {
            vec![(String::new(), *point, Some([*low, *high]), None)]
        }
        Cell::Mean(Mean { mean, smallest, largest, cells }) => {
            vec![(String::new(), *mean, Some([*smallest, *largest]), Some(*cells))]
        }
        Cell::Named(figures) => figures.iter().map(|(name, figure)| of(name, figure)).collect(),
        Cell::Noted(cell, _) => figures(cell),
        Cell::Ratio(Ratio { ratio, low, high, .. }) => {
            vec![(String::new(), *ratio, Some([*low, *high]), None)]
        }
        Cell::Text(_)
        | Cell::List(_)
        | Cell::Flag(_)
        | Cell::View(_)
        | Cell::Nothing(_)
        | Cell::Absent(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use lumos_record::{Setting, Suite};
    use serde_json::json;

    use super::*;

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
        assert_eq!(serde_json::to_value(JsonTable(&table)).unwrap(), expected);
        let lines = csv(&table);
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].name.as_str(), lines[0].unit), ("time_ns", "ns"));
        assert_eq!(
            (lines[0].value, lines[0].ends, lines[0].n),
            (Some(1500.0), Some([1400.0, 1600.0]), Some(9))
        );
        assert_eq!(lines[0].reference, "native");
        assert_eq!(lines[0].note, "counter: hand; beware");
    }
}
