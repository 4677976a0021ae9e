//! What compiling ahead of time takes, and when compiling pays.

use lumos_record::{Case, Mode};
use serde::Serialize;

use super::super::format;
use super::super::schema::{
    BreakEvenEstimate, BreakEvenVerdict, CompilationEstimate, CostEstimate, Report, WorkUnit,
};
use super::{Matrix, MatrixCell, MatrixRow, NOTHING, Notes, spread};

/// What a template shows of it.
#[derive(Serialize)]
pub struct View {
    compilations: Vec<CompilationRow>,
    /// Of calls, then of loads: for each function, payload and runtime, against all of a mode.
    matrices: Vec<Matrix>,
    /// The same with intervals, by function.
    groups: Vec<Group>,
    notes: Vec<String>,
    /// Why there is no break-even, if so.
    absent: String,
}

#[derive(Serialize)]
struct CompilationRow {
    function: String,
    /// With its mode.
    engine: String,
    arch: String,
    target: String,
    module: String,
    time: String,
    interval: String,
    n: String,
    per_byte: String,
    memory: String,
    size: String,
    code: String,
}

/// The lines of one function.
#[derive(Serialize)]
struct Group {
    function: String,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    payload: String,
    runtime: String,
    against: String,
    unit: String,
    pays: String,
    interval: String,
    more_at_first: String,
    saved_each: String,
    /// The footnote's number; 0 for none.
    note: usize,
}

/// Formats what the report holds of it.
pub fn view(report: &Report) -> View {
    let mut notes = Notes::default();
    let shown = shown(report);
    let mut groups: Vec<Group> = Vec::new();
    let mut listed: Vec<&BreakEvenEstimate> = Vec::new();
    for entry in shown.iter().map(|shown| shown.hardest) {
        // What does not depend on the payload stands in the tables of every one, and here once.
        if listed.iter().any(|other| std::ptr::eq(*other, entry)) {
            continue;
        }
        listed.push(entry);
        let row = row(entry, &mut notes);
        match groups.last_mut().filter(|group| group.function == entry.function) {
            Some(group) => group.rows.push(row),
            None => groups.push(Group { function: entry.function.clone(), rows: vec![row] }),
        }
    }
    let units = [WorkUnit::Calls, WorkUnit::Loads];
    let absent = match (report.break_even.is_empty(), report.node.emulated) {
        (false, _) => "",
        (true, true) => "This run was emulated, and emulated figures are not ranked.",
        (true, false) => {
            "This run cannot tell: it takes the suites `load`, `instantiate` and `call`, on \
             runtimes that differ in how much they compile."
        }
    };
    View {
        compilations: report
            .compilations
            .iter()
            .filter(|entry| entry.variant.is_none())
            .map(compilation)
            .collect(),
        matrices: units.into_iter().filter_map(|unit| matrix(&shown, unit)).collect(),
        groups,
        notes: notes.texts,
        absent: absent.into(),
    }
}

fn compilation(entry: &CompilationEstimate) -> CompilationRow {
    let size = |bytes: Option<u64>| {
        bytes.map_or_else(|| "not recorded".into(), |bytes| format::bytes(bytes as f64))
    };
    let time = entry.compile_ns.as_ref();
    CompilationRow {
        function: entry.function.clone(),
        engine: match entry.mode {
            Some(mode) => format!("{} ({mode})", entry.engine),
            None => entry.engine.clone(),
        },
        arch: entry.target.split('-').next().unwrap_or_default().to_owned(),
        target: entry.target.clone(),
        module: size(entry.module_bytes),
        time: time.map_or_else(|| "not recorded".into(), |time| format::duration(time.median)),
        interval: time.map_or_else(|| NOTHING.into(), |time| spread(time, format::duration)),
        n: time.map_or_else(|| "0".into(), |time| time.n.to_string()),
        per_byte: entry
            .compile_ns_per_module_byte
            .map_or_else(|| "not recorded".into(), format::duration),
        memory: size(entry.peak_rss_bytes),
        size: size(Some(entry.bytes)),
        code: size(entry.text_bytes),
    }
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
fn shown(report: &Report) -> Vec<Shown<'_>> {
    let mut inputs: Vec<(&str, &str)> = Vec::new();
    for entry in &report.break_even {
        let input = (entry.function.as_str(), entry.payload.as_str());
        let has_payload = report
            .break_even
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
        let entries: Vec<&BreakEvenEstimate> = report.break_even.iter().filter(of_input).collect();
        let mut columns = Vec::new();
        for entry in &entries {
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
            let rivals = || entries.iter().copied().filter(|entry| of_column(&entry));
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

/// The table of a unit of work; none without cells.
fn matrix(shown: &[Shown], unit: WorkUnit) -> Option<Matrix> {
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
    let mut notes = Notes::default();
    let mut rows = Vec::new();
    for (function, payload) in inputs {
        let mut cell = |column: &(WorkUnit, &str, Mode)| {
            let is_meant = |shown: &&Shown| {
                (shown.function, shown.payload) == (function, payload) && shown.column() == *column
            };
            match of_unit().find(is_meant) {
                Some(found) => matrix_cell(found, &mut notes),
                None => MatrixCell::absent("not compared: this run has no such pair", &mut notes),
            }
        };
        rows.push(MatrixRow {
            function: function.to_owned(),
            payload: payload.to_owned(),
            cells: columns.iter().map(&mut cell).collect(),
        });
    }
    let title = match unit {
        WorkUnit::Calls => "Calls of one instance from which it costs no more",
        WorkUnit::Loads => "Loads from which compiling ahead of time costs no more",
    };
    (!rows.is_empty()).then(|| Matrix {
        title: title.into(),
        columns: columns
            .iter()
            .map(|(_, runtime, mode)| format!("{runtime} against {mode}"))
            .collect(),
        rows,
        notes: notes.texts,
    })
}

fn matrix_cell(shown: &Shown, notes: &mut Notes) -> MatrixCell {
    let entry = shown.hardest;
    let title = match (entry.verdict, &entry.reason) {
        (None, Some(reason)) => reason.clone(),
        _ => format!("against {}: {}", entry.against, interval(entry)),
    };
    let note = entry.reason.as_deref().or(shown.without.as_deref());
    let note = note.map_or(0, |reason| notes.number(reason));
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
    MatrixCell { note, ..MatrixCell::plain(pays(entry), title).above(below) }
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

fn row(entry: &BreakEvenEstimate, notes: &mut Notes) -> Row {
    let difference = |of: fn(&CostEstimate) -> f64, sign: f64| {
        let costs = entry.cost.as_ref().zip(entry.against_cost.as_ref());
        costs.map_or_else(
            || NOTHING.into(),
            |(this, other)| format::duration(sign * (of(this) - of(other))),
        )
    };
    Row {
        payload: match entry.payload.as_str() {
            Case::NO_PAYLOAD => "any".into(),
            payload => payload.to_owned(),
        },
        runtime: entry.runtime.clone(),
        against: format!("{} ({})", entry.against, entry.against_mode),
        unit: entry.unit.name().into(),
        pays: pays(entry),
        interval: interval(entry),
        more_at_first: difference(|cost| cost.fixed_ns, 1.0),
        saved_each: difference(|cost| cost.per_unit_ns, -1.0),
        note: entry.reason.as_deref().map_or(0, |reason| notes.number(reason)),
    }
}
