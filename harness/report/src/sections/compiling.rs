//! What compiling ahead of time takes, and when compiling pays.

use lumos_record::{Case, Mode};

use super::break_even::{
    self, BreakEvenEstimate, BreakEvenVerdict, CostEstimate, CostPart, WorkUnit,
};
use super::{Source, compilations};
use crate::format;
use crate::table::{Block, Cell, Column, NOTHING, Names, Quantity, Row, Section, Table, View};

/// The section.
pub fn section(source: &mut Source<'_>) -> Section {
    let compilations = compilations::table(source);
    let entries = break_even::estimates(
        source.report,
        source.runtimes,
        &source.evidence.cases,
        source.bootstrap,
    );
    let mut blocks = vec![Block::Heading("Compiling ahead of time".to_owned())];
    blocks.push(Block::Text(match compilations.rows.is_empty() {
        true => "The artifact manifest holds no record of a compilation.".to_owned(),
        false => {
            "What the build took to turn each module into an engine's own format: the compiler \
             alone, on one thread, without starting it and without reading and writing files. The \
             memory is that of the compiler's whole process; \"per byte\" is per byte of the module."
                .to_owned()
        }
    }));
    blocks.push(Block::Folded {
        summary: "Table of compilations".to_owned(),
        open: false,
        blocks: vec![Block::Table(compilations::of_default(&compilations))],
    });
    blocks.push(Block::Data(compilations));
    blocks.push(Block::Heading("When it pays".to_owned()));
    blocks.push(Block::Data(data(&entries)));
    let emulated = source.report.node.emulated;
    match (entries.is_empty(), emulated) {
        (false, _) => blocks.extend(when_it_pays(&entries, source)),
        (true, true) => blocks.push(Block::Text(
            "This run was emulated, and emulated figures are not ranked.".to_owned(),
        )),
        (true, false) => blocks.push(Block::Text(
            "This run cannot tell: it takes the suites `load`, `instantiate` and `call`, on \
             runtimes that differ in how much they compile."
                .to_owned(),
        )),
    }
    Section { id: "compiling", title: "Compiling, and when it pays", blocks, brief: None }
}

/// Every comparison, for programs.
fn data(entries: &[BreakEvenEstimate]) -> Table {
    let text = |key, doc| Column::new(key, "", Quantity::Text, doc);
    let count = |key, doc| Column::new(key, "", Quantity::Count, doc);
    let time = |key, doc| Column::new(key, "", Quantity::Nanoseconds, doc);
    let parts = "the parts of what is paid once, and of what each unit costs";
    let fixed = "the sum of the medians of what is paid once";
    let each = "the sum of the medians of what each unit costs";
    let columns = vec![
        text("unit", "what is counted: `calls` of one instance, or `loads`, each for one call"),
        text("mode", "how the runtime runs code"),
        text("against_mode", "how the other does"),
        text("same_package", "whether both come from one crate"),
        text("verdict", "what the interval says; null without one"),
        count(
            "units",
            "from this number on it pays, or for `until` below it; null where the medians never meet",
        ),
        count("low", "the lower end of its interval"),
        count("high", "the upper end of its interval; null where that is beyond all numbers"),
        text("cost_fixed", parts),
        text("cost_per_unit", parts),
        text("against_cost_fixed", parts),
        text("against_cost_per_unit", parts),
        time("cost_fixed_ns", fixed),
        time("against_cost_fixed_ns", fixed),
        time("cost_per_unit_ns", each),
        time("against_cost_per_unit_ns", each),
        text("reason", "why there is no figure, or no interval"),
    ];
    Table {
        list: Some("break_even"),
        doc: "from how much work on a runtime costs no more than another; empty for an emulated run",
        names: Names::Words(&["function", "payload", "runtime", "against"]),
        columns,
        rows: entries.iter().map(data_row).collect(),
    }
}

fn data_row(entry: &BreakEvenEstimate) -> Row {
    let text = |text: &str| Cell::Text(text.to_owned());
    let none = Cell::Nothing("there is none");
    let count =
        |number: Option<u64>| number.map_or(none.clone(), |number| Cell::Number(number as f64));
    let parts = |cost: &Option<CostEstimate>, of: fn(&CostEstimate) -> &Vec<CostPart>| {
        let names = |cost| of(cost).iter().map(|part| part.name().to_owned()).collect();
        cost.as_ref().map_or(none.clone(), |cost| Cell::List(names(cost)))
    };
    let sum = |cost: &Option<CostEstimate>, of: fn(&CostEstimate) -> f64| {
        cost.as_ref().map_or(none.clone(), |cost| Cell::Number(of(cost)))
    };
    let (this, other) = (&entry.cost, &entry.against_cost);
    let cells = vec![
        text(entry.unit.name()),
        text(entry.mode.name()),
        text(entry.against_mode.name()),
        Cell::Flag(entry.same_package),
        entry.verdict.map_or(none.clone(), |verdict| text(verdict.name())),
        count(entry.units),
        count(entry.low),
        count(entry.high),
        parts(this, |cost| &cost.fixed),
        parts(this, |cost| &cost.per_unit),
        parts(other, |cost| &cost.fixed),
        parts(other, |cost| &cost.per_unit),
        sum(this, |cost| cost.fixed_ns),
        sum(other, |cost| cost.fixed_ns),
        sum(this, |cost| cost.per_unit_ns),
        sum(other, |cost| cost.per_unit_ns),
        entry.reason.as_deref().map_or(none.clone(), text),
    ];
    let names = [&entry.function, &entry.payload, &entry.runtime, &entry.against];
    Row::named(names.map(String::as_str), cells)
}

/// What people read of it.
fn when_it_pays(entries: &[BreakEvenEstimate], source: &Source<'_>) -> Vec<Block> {
    let effect = format!("{} %", source.report.method.minimal_effect * 100.0);
    let mut blocks = vec![
        Block::Text(
            "To compile costs more at first and less each time. From how much work on does a \
             runtime cost no more, all in all, than every runtime of another mode in this run? Work \
             is counted in calls of one instance, which both sides load and instantiate once \
             before; or in loads, after each of which the instance is called once. Whoever loads \
             what was compiled ahead of time pays once for that compilation too: interpreters of \
             precompiled bytecode as well."
                .to_owned(),
        ),
        Block::Text(format!(
            "\"From the first\": it is never dearer. \"Never\": it saves nothing each time, or less \
             than {effect}. \"Only below\": it is cheaper at first and dearer each time. \"Unclear\": \
             the interval reaches to never. In brackets is the interval, if that has a width."
        )),
    ];
    let shown = shown(entries);
    for unit in [WorkUnit::Calls, WorkUnit::Loads] {
        let title = match unit {
            WorkUnit::Calls => "Calls of one instance from which it costs no more",
            WorkUnit::Loads => "Loads from which compiling ahead of time costs no more",
        };
        let table = matrix(&shown, unit);
        if !table.rows.is_empty() {
            blocks.extend([Block::Heading(title.to_owned()), Block::Table(table)]);
        }
    }
    let mut listed: Vec<&BreakEvenEstimate> = Vec::new();
    for entry in shown.iter().map(|shown| shown.hardest) {
        // What does not depend on the payload stands in the tables of every one, and here once.
        if !listed.iter().any(|other| std::ptr::eq(*other, entry)) {
            listed.push(entry);
        }
    }
    let column = |title: &'static str, quantity| Column::new(title, title, quantity, "");
    let details = Table {
        list: None,
        doc: "",
        names: Names::Words(&["function", "payload", "runtime", "against", "counts"]),
        columns: vec![
            column("pays", Quantity::Count),
            column("interval", Quantity::Count),
            column("dearer at first by", Quantity::Nanoseconds),
            column("cheaper each time by", Quantity::Nanoseconds),
        ],
        rows: listed.into_iter().map(row).collect(),
    };
    blocks.push(Block::Folded {
        summary: "Intervals, and what they come from".to_owned(),
        open: false,
        blocks: vec![Block::Table(details)],
    });
    blocks
}

/// For a function and payload, a runtime against that of a mode which is the hardest to beat.
struct Shown<'r> {
    function: &'r str,
    payload: &'r str,
    hardest: &'r BreakEvenEstimate,
    /// Which other of that mode is left out and why, if one is.
    without: Option<String>,
}

impl Shown<'_> {
    /// The column of a table that it belongs to: the runtime, and what it is held against.
    fn column(&self) -> (WorkUnit, &str, Mode) {
        (self.hardest.unit, &self.hardest.runtime, self.hardest.against_mode)
    }
}

/// Of the runtimes of each mode, the one that takes the longest to beat: from there on, a runtime
/// costs no more than any of them.
fn shown(entries: &[BreakEvenEstimate]) -> Vec<Shown<'_>> {
    let mut inputs: Vec<(&str, &str)> = Vec::new();
    for entry in entries {
        let input = (entry.function.as_str(), entry.payload.as_str());
        let has_payload = entries
            .iter()
            .any(|other| other.function == input.0 && other.payload != Case::NO_PAYLOAD);
        if !inputs.contains(&input) && (input.1 != Case::NO_PAYLOAD || !has_payload) {
            inputs.push(input);
        }
    }
    let mut found = Vec::new();
    for (function, payload) in inputs {
        let of_input = |entry: &&BreakEvenEstimate| {
            entry.function == function
                && (entry.payload == payload || entry.payload == Case::NO_PAYLOAD)
        };
        let of_input: Vec<&BreakEvenEstimate> = entries.iter().filter(of_input).collect();
        let mut columns = Vec::new();
        for entry in &of_input {
            let column = (entry.unit, &entry.runtime, entry.against_mode);
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns.sort_by_key(|(unit, ..)| *unit);
        for column in columns {
            let of_column = |entry: &&&BreakEvenEstimate| {
                (entry.unit, &entry.runtime, entry.against_mode) == column
            };
            let rivals = || of_input.iter().copied().filter(|entry| of_column(&entry));
            let is_known = |entry: &&BreakEvenEstimate| entry.against_cost.is_some();
            let hardest = rivals()
                .filter(|entry| entry.cost.is_some() && is_known(entry))
                .max_by(|a, b| hardness(a).total_cmp(&hardness(b)))
                .or_else(|| rivals().next());
            let without = rivals().find(|entry| !is_known(entry));
            let without = without.and_then(|entry| {
                Some(format!("without {}: {}", entry.against, entry.reason.as_deref()?))
            });
            found.extend(hardest.map(|hardest| Shown { function, payload, hardest, without }));
        }
    }
    found
}

/// A key that sorts comparisons by how much work it takes until they are won.
fn hardness(entry: &BreakEvenEstimate) -> f64 {
    match (entry.verdict, entry.units) {
        (Some(BreakEvenVerdict::Never | BreakEvenVerdict::Until), _) => f64::INFINITY,
        // Beyond all that is sure to be won, and by its earliest.
        (Some(BreakEvenVerdict::Inconclusive), _) => {
            f64::from(u32::MAX) * (1.0 + entry.low.unwrap_or(0) as f64)
        }
        (_, Some(units)) => units as f64,
        (_, None) => f64::INFINITY,
    }
}

/// The table of a unit of work.
fn matrix(shown: &[Shown<'_>], unit: WorkUnit) -> Table {
    let of_unit = || shown.iter().filter(|shown| shown.hardest.unit == unit);
    let mut columns = Vec::new();
    let mut inputs = Vec::new();
    for shown in of_unit() {
        let (column, input) = (shown.column(), (shown.function, shown.payload));
        if !columns.contains(&column) {
            columns.push(column);
        }
        if !inputs.contains(&input) {
            inputs.push(input);
        }
    }
    // By what they are held against, so that what is asked alike stands side by side.
    columns.sort_by_key(|(_, _, mode)| std::cmp::Reverse(*mode));
    let rows = inputs.into_iter().map(|(function, payload)| {
        let cell = |column: &(WorkUnit, &str, Mode)| {
            let is_meant = |shown: &&Shown<'_>| {
                (shown.function, shown.payload) == (function, payload) && shown.column() == *column
            };
            match of_unit().find(is_meant) {
                Some(found) => matrix_cell(found),
                None => Cell::Absent("not compared: this run has no such pair".to_owned()),
            }
        };
        Row::named([function, payload], columns.iter().map(cell).collect())
    });
    let rows = rows.collect();
    let title = |(_, runtime, mode): &(WorkUnit, &str, Mode)| {
        let title = format!("{runtime} against {mode}");
        Column::new(title.clone(), title, Quantity::Count, "")
    };
    Table {
        list: None,
        doc: "",
        names: Names::Words(&["function", "payload"]),
        columns: columns.iter().map(title).collect(),
        rows,
    }
}

fn matrix_cell(shown: &Shown<'_>) -> Cell {
    let entry = shown.hardest;
    let hint = match (entry.verdict, &entry.reason) {
        (None, Some(reason)) => reason.clone(),
        _ => format!("against {}: {}", entry.against, interval(entry)),
    };
    let below = match entry.verdict {
        // An interval without a width is the number itself.
        Some(BreakEvenVerdict::From | BreakEvenVerdict::Until) if entry.low != entry.high => {
            interval(entry)
        }
        Some(BreakEvenVerdict::Inconclusive) => {
            format!("{} – never", format::count(entry.low.unwrap_or(1)))
        }
        _ => String::new(),
    };
    let note = entry.reason.clone().or_else(|| shown.without.clone());
    Cell::View(View { note, ..View::new(pays(entry), hint).above(below) })
}

/// From how much work on it pays, in words.
fn pays(entry: &BreakEvenEstimate) -> String {
    let count = |number: Option<u64>| number.map_or_else(|| NOTHING.into(), format::count);
    match (entry.verdict, entry.units) {
        (Some(BreakEvenVerdict::Always), _) => "from the first".into(),
        (Some(BreakEvenVerdict::Never), _) => "never".into(),
        (Some(BreakEvenVerdict::From), units) => format!("from {}", count(units)),
        (Some(BreakEvenVerdict::Until), units) => format!("only below {}", count(units)),
        (Some(BreakEvenVerdict::Inconclusive), _) => "unclear".into(),
        (None, Some(units)) => format!("from {}", count(Some(units))),
        (None, None) if entry.cost.is_some() && entry.against_cost.is_some() => "never".into(),
        (None, None) => NOTHING.into(),
    }
}

/// The ends of the interval, in words.
fn interval(entry: &BreakEvenEstimate) -> String {
    let point = entry.units.map_or_else(|| "never".to_owned(), format::count);
    match (entry.verdict, entry.low, entry.high) {
        (Some(BreakEvenVerdict::Never), ..) => "never".into(),
        (Some(BreakEvenVerdict::Inconclusive), Some(low), _) => {
            format!("{} – never (medians: {point})", format::count(low))
        }
        (Some(_), Some(low), Some(high)) if low == high => format::count(low),
        (Some(_), Some(low), Some(high)) => {
            format!("{} – {}", format::count(low), format::count(high))
        }
        _ => NOTHING.into(),
    }
}

fn row(entry: &BreakEvenEstimate) -> Row {
    let costs = entry.cost.as_ref().zip(entry.against_cost.as_ref());
    let difference = |of: fn(&CostEstimate) -> f64, sign: f64| {
        let difference = costs.map(|(this, other)| sign * (of(this) - of(other)));
        difference.map_or(Cell::View(View::new(NOTHING, "")), Cell::Number)
    };
    let payload = match entry.payload.as_str() {
        Case::NO_PAYLOAD => "any",
        payload => payload,
    };
    let against = format!("{} ({})", entry.against, entry.against_mode);
    let names = [&entry.function, payload, &entry.runtime, &against, entry.unit.name()];
    let cells = vec![
        Cell::View(View { note: entry.reason.clone(), ..View::new(pays(entry), "") }),
        Cell::View(View::new(interval(entry), "")),
        difference(|cost| cost.fixed_ns, 1.0),
        difference(|cost| cost.per_unit_ns, -1.0),
    ];
    Row::named(names, cells)
}
