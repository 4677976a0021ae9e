//! One model for every table of the report. A section says once what its figures are; `render`
//! shows them in every format, and documents them.

mod text;

use std::borrow::Cow;

use lumos_record::Case;

use super::figure::{Figure, Interval};

/// What stands where there is nothing to show.
pub const NOTHING: &str = "—";

/// A part of the report with a heading.
#[derive(Debug, Clone)]
pub struct Section {
    /// What a link to it ends in.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What is in it.
    pub blocks: Vec<Block>,
    /// A line for terminals, which have no room for tables; none where there is nothing to tell.
    pub brief: Option<String>,
}

/// A part of a section. Texts are Markdown with nothing in it but `code` and *emphasis*.
#[derive(Debug, Clone)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A paragraph about what only a page shows.
    OfPage(String),
    /// A heading below the section's.
    Heading(String),
    /// Points.
    List(Vec<Item>),
    /// A picture, which only a page shows.
    Chart(Chart),
    /// Figures.
    Table(Table),
    /// Figures that people see in another form.
    Data(Table),
    /// What a page shows when it is asked to; other formats show it without more ado.
    Folded {
        /// What is in it.
        summary: String,
        /// Whether a page shows it from the beginning.
        open: bool,
        /// Its parts.
        blocks: Vec<Block>,
    },
}

/// One of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is of, as a name; none where the text says all.
    pub of: Option<String>,
    /// A text of anyone's, which is shown as it is: nothing in it is marked up. Empty where the name
    /// says all.
    pub text: String,
}

impl Item {
    /// What is said of something with a name.
    pub fn of(name: &(impl ToString + ?Sized), text: &str) -> Self {
        Self { of: Some(name.to_string()), text: text.to_owned() }
    }

    /// Texts that say all.
    pub fn list(texts: Vec<String>) -> Block {
        Block::List(texts.into_iter().map(|text| Self { of: None, text }).collect())
    }
}

/// A picture.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What stands above it; empty for nothing.
    pub title: String,
    /// Which colour stands for what; empty where it stands elsewhere.
    pub legend: Vec<Key>,
    /// What is coloured.
    pub marks: Marks,
    /// The picture, as SVG; empty for a legend alone.
    pub svg: String,
    /// What stands below it; empty for nothing.
    pub caption: String,
}

/// What the colours of a chart are given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// Lines and dots.
    Lines,
    /// Parts of bars.
    Parts,
}

/// A name with the colour that stands for it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Key {
    /// The name.
    pub name: String,
    /// The colour, counted from 0.
    pub colour: usize,
}

/// Figures, a row for each thing that they are of.
#[derive(Debug, Clone)]
pub struct Table {
    /// What the list is called in `report.json`, and the column `kind` of `report.csv`; none where
    /// all of it stands elsewhere already.
    pub list: Option<&'static str>,
    /// What a row is, for the documentation.
    pub doc: &'static str,
    /// What a row is called by.
    pub names: Names,
    /// What is known of it.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// What the rows of a table are called by.
#[derive(Debug, Clone, Copy)]
pub enum Names {
    /// A case, with its runtime last.
    Case {
        /// Whether the suite is shown: where the table is of several.
        suite: bool,
        /// What the function is called.
        function: &'static str,
        /// Whether the payload is shown.
        payload: bool,
    },
    /// So many words, which are called so.
    Words(&'static [&'static str]),
}

/// What is known of a case.
#[derive(Debug, Clone)]
pub struct Column {
    /// The field in `report.json`, with its unit as the last word; the column `name` of
    /// `report.csv`.
    pub key: Cow<'static, str>,
    /// What stands above it.
    pub title: Cow<'static, str>,
    /// What its figures are.
    pub quantity: Quantity,
    /// What it says, for the documentation.
    pub doc: &'static str,
    /// Whether people see it; programs see every one.
    pub is_shown: bool,
    /// What the documentation calls it, where the run decides which columns there are.
    pub pattern: Option<&'static str>,
}

/// What figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Words.
    Text,
    /// Sentences, which take several lines.
    Prose,
    /// Times in nanoseconds.
    Nanoseconds,
    /// Sizes in bytes.
    Bytes,
    /// How many times something else.
    Ratio,
    /// Numbers of things.
    Count,
    /// Shares of 1.
    Share,
}

/// A thing, and what is known of it: a cell for each column.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it is.
    pub subject: Subject,
    /// The colour that stands for it in a chart, counted from 0.
    pub colour: Option<usize>,
    /// What is known of it.
    pub cells: Vec<Cell>,
}

/// What a row is of.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A case.
    Case(Case),
    /// Something else, with a word for each name of its table.
    Words(Vec<String>),
}

impl Row {
    /// What is known of a case.
    pub fn of(case: &Case, cells: Vec<Cell>) -> Self {
        Self { subject: Subject::Case(case.clone()), colour: None, cells }
    }

    /// What is known of something else.
    pub fn named(words: impl IntoIterator<Item = impl Into<String>>, cells: Vec<Cell>) -> Self {
        let words = words.into_iter().map(Into::into).collect();
        Self { subject: Subject::Words(words), colour: None, cells }
    }

    /// The case, if it is of one.
    pub fn case(&self) -> Option<&Case> {
        match &self.subject {
            Subject::Case(case) => Some(case),
            Subject::Words(_) => None,
        }
    }
}

/// What is known of one thing.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Words.
    Text(String),
    /// Several words, which are shown one after the other.
    List(Vec<String>),
    /// Whether it is so.
    Flag(bool),
    /// An exact number.
    Number(f64),
    /// An exact number for programs, and words for people.
    Worded(f64, String),
    /// A median, with its interval if there is one.
    Figure(Figure),
    /// A figure that follows from several medians, with its interval.
    Interval(Interval),
    /// A geometric mean, with its range.
    Mean(Mean),
    /// Several figures, each with a name, of which only the whole is worth a row.
    Named(Vec<(String, Figure)>),
    /// Nothing, and that is no hole; with the reason.
    Nothing(&'static str),
    /// No figure, for this reason.
    Absent(String),
    /// A figure, and what has to be known of it.
    Noted(Box<Cell>, String),
    /// A ratio with what it is to, and what its interval says.
    Ratio(Ratio),
    /// What only people see: its figures stand elsewhere.
    View(View),
}

/// A ratio with what it is to, and what its interval says.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Ratio {
    /// What is below the line.
    pub reference: String,
    /// The ratio: above 1, the row's is slower or larger.
    pub ratio: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end of its interval.
    pub high: f64,
    /// `faster`, `slower`, `equivalent` or `inconclusive`; none on an emulated node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

/// What only people see.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// What they read.
    pub text: String,
    /// What stands below it, smaller; empty for nothing.
    pub below: String,
    /// What a pointer that rests on it shows; empty for nothing.
    pub hint: String,
    /// What has to be known of it.
    pub note: Option<String>,
    /// Its colour on a page.
    pub tint: Option<Tint>,
}

/// A colour behind a cell.
#[derive(Debug, Clone, Copy)]
pub struct Tint {
    /// `faster` or `slower`.
    pub hue: &'static str,
    /// How strong it is, in percent.
    pub strength: u32,
}

impl Tint {
    /// That of a ratio by its verdict: from barely visible at 1 to full at 64 times, evenly on a
    /// scale of ratios; none where it is not told which side is faster.
    pub fn of(ratio: f64, verdict: Option<&str>) -> Option<Self> {
        let hue = match verdict? {
            "faster" => "faster",
            "slower" => "slower",
            _ => return None,
        };
        let strength = (10.0 + 60.0 * ratio.ln().abs() / 64f64.ln()).min(70.0) as u32;
        Some(Self { hue, strength })
    }
}

impl View {
    /// A text, and what a pointer that rests on it shows.
    pub fn new(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { text: text.into(), hint: hint.into(), ..Self::default() }
    }

    /// The same with something smaller below it.
    pub fn above(self, below: impl Into<String>) -> Self {
        Self { below: below.into(), ..self }
    }
}

/// A geometric mean, with its range.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// The smallest of what it is taken over.
    pub smallest: f64,
    /// The largest.
    pub largest: f64,
    /// How many there are.
    pub cells: usize,
}

impl From<lumos_model::GeometricMean> for Mean {
    fn from(mean: lumos_model::GeometricMean) -> Self {
        let lumos_model::GeometricMean { mean, smallest, largest, count } = mean;
        Self { mean, smallest, largest, cells: count }
    }
}

impl Section {
    /// One whose table has no rows, with what people are told instead; programs get the empty list.
    pub fn empty(id: &'static str, title: &'static str, text: String, table: Table) -> Self {
        Self { id, title, blocks: vec![Block::Text(text), Block::Table(table)], brief: None }
    }

    /// The tables in it.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        tables(&self.blocks).into_iter()
    }
}

fn tables(blocks: &[Block]) -> Vec<&Table> {
    let mut found = Vec::new();
    for block in blocks {
        match block {
            Block::Table(table) | Block::Data(table) => found.push(table),
            Block::Folded { blocks, .. } => found.extend(tables(blocks)),
            Block::Text(_)
            | Block::OfPage(_)
            | Block::Heading(_)
            | Block::List(_)
            | Block::Chart(_) => {}
        }
    }
    found
}

impl Names {
    /// A function with its payload.
    pub const FUNCTION: Self = Self::Case { suite: false, function: "function", payload: true };

    /// The same of several suites.
    pub const SUITE: Self = Self::Case { suite: true, function: "function", payload: true };
}

impl Column {
    /// A column that people and programs see.
    pub fn new(
        key: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
        quantity: Quantity,
        doc: &'static str,
    ) -> Self {
        let (key, title) = (key.into(), title.into());
        Self { key, title, quantity, doc, is_shown: true, pattern: None }
    }

    /// The same for programs alone.
    pub fn hidden(self) -> Self {
        Self { is_shown: false, ..self }
    }

    /// The same as one of several, of which the run decides how many there are.
    pub fn one_of(self, pattern: &'static str) -> Self {
        Self { pattern: Some(pattern), ..self }
    }

    /// What the documentation calls it.
    pub fn documented(&self) -> &str {
        self.pattern.unwrap_or(&self.key)
    }
}
