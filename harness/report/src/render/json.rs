//! Tables as lists of `report.json`.

use lumos_record::{Case, Lane};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use crate::table::{Cell, Column, Row, Section, Subject, Table};

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
pub struct JsonTable<'t>(pub &'t Table);

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
