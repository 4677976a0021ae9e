//! The suite `variants`: size and speed of each way to build a function.

use std::collections::BTreeSet;

use lumos_record::{Case, Suite, Variant};
use serde::Serialize;

use super::super::break_even::absence;
use super::super::format;
use super::super::runtimes::Runtimes;
use super::super::schema::{Report, VariantEstimate, VariantMean, VariantQuantity, VariantRatio};
use super::{Matrix, MatrixCell, MatrixRow, NOTHING, Notes};

/// What a template shows of it.
#[derive(Serialize)]
pub struct View {
    /// The variant that the others are compared with.
    default: String,
    /// The geometric means: sizes and times beside the default variant's, then times beside
    /// native code's.
    means: Vec<Matrix>,
    /// Size and speed of each variant, for every function and payload.
    table: Matrix,
    /// The same with intervals, by function.
    groups: Vec<Group>,
    notes: Vec<String>,
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
    variant: String,
    runtime: String,
    median: String,
    interval: String,
    n: String,
    ratio: String,
    ratio_interval: String,
    verdict: String,
    native: String,
    native_interval: String,
    /// Footnotes of the figure and of both ratios; 0 for none.
    note: usize,
    ratio_note: usize,
    native_note: usize,
}

/// A line of the table: a function and payload, built in one way.
type Line<'r> = (&'r str, &'r str, Variant);

/// Formats what the report holds of it.
pub fn view(report: &Report) -> View {
    let lines = lines(report);
    let runtimes = runtimes(report);
    let mut notes = Notes::default();
    let mut groups: Vec<Group> = Vec::new();
    for &line in &lines {
        let of_line = runtimes.iter().map(|runtime| match find(report, line, runtime) {
            Ok(entry) => measured(entry, &mut notes),
            Err(reason) => absent(line, runtime, &reason, &mut notes),
        });
        let rows: Vec<Row> = of_line.collect();
        match groups.last_mut().filter(|group| group.function == line.0) {
            Some(group) => group.rows.extend(rows),
            None => groups.push(Group { function: line.0.to_owned(), rows }),
        }
    }
    let kinds: [(&str, &[VariantQuantity]); 2] = [
        (
            "Size and time beside the default",
            &[
                VariantQuantity::ModuleBytes,
                VariantQuantity::LoadedBytes,
                VariantQuantity::TimeToDefault,
            ],
        ),
        ("Time beside native code", &[VariantQuantity::TimeToNative]),
    ];
    View {
        default: Variant::DEFAULT.to_string(),
        means: kinds
            .into_iter()
            .filter_map(|(title, quantities)| means(report, title, quantities))
            .collect(),
        table: table(report, &lines, &runtimes),
        groups,
        notes: notes.texts,
    }
}

/// The cases of the suite with a variant, whatever became of them.
fn cases(report: &Report) -> impl Iterator<Item = &Case> {
    let absent = report.skips.iter().chain(&report.failures).map(|absence| &absence.case);
    let estimates = report.estimates.iter().map(|estimate| &estimate.case);
    let all = estimates.chain(absent).chain(&report.unrecorded);
    all.filter(|case| case.suite == Suite::Variants && case.setting.variant.is_some())
}

fn lines(report: &Report) -> Vec<Line<'_>> {
    let runtimes = Runtimes::new(&report.runtimes);
    let mut sorted: Vec<&Case> = cases(report).collect();
    sorted.sort_by_cached_key(|case| runtimes.order(case));
    let mut lines: Vec<Line> = Vec::new();
    for case in sorted {
        let Some(variant) = case.setting.variant else { continue };
        let line = (case.function.as_str(), case.payload.as_str(), variant);
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    lines
}

/// The runtimes that were measured in variants, as a reader expects them.
fn runtimes(report: &Report) -> Vec<&str> {
    let known = Runtimes::new(&report.runtimes);
    let names: BTreeSet<&str> = cases(report).map(|case| case.runtime.as_str()).collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_cached_key(|name| known.rank(Suite::Variants.lane(), name));
    names
}

/// A figure of the suite, or the reason that there is none.
fn find<'r>(
    report: &'r Report,
    (function, payload, variant): Line,
    runtime: &str,
) -> Result<&'r VariantEstimate, String> {
    let is_meant = |case: &Case| {
        case.suite == Suite::Variants
            && case.setting.variant == Some(variant)
            && (case.function.as_str(), case.payload.as_str()) == (function, payload)
            && case.runtime == runtime
    };
    let found = report.variants.iter().find(|entry| is_meant(&entry.case));
    found.ok_or_else(|| {
        let case = cases(report).find(|case| is_meant(case));
        case.map_or_else(
            || "not selected: this run holds no record of it".into(),
            |case| absence(report, case),
        )
    })
}

fn table(report: &Report, lines: &[Line], runtimes: &[&str]) -> Matrix {
    // Whose artifact is not the module itself has a size of its own.
    let compiles = |runtime: &&&str| {
        let mut of_runtime =
            report.variants.iter().filter(|entry| entry.case.runtime == ***runtime);
        of_runtime
            .any(|entry| entry.loaded_bytes.is_some() && entry.loaded_bytes != entry.module_bytes)
    };
    let compiled: Vec<&str> = runtimes.iter().filter(compiles).copied().collect();
    let mut notes = Notes::default();
    let mut rows = Vec::new();
    for &line in lines {
        let of_line: Vec<Result<&VariantEstimate, String>> =
            runtimes.iter().map(|runtime| find(report, line, runtime)).collect();
        let module = of_line.iter().flatten().find_map(|entry| Some((entry.module_bytes?, *entry)));
        let size = |found: Option<(u64, Option<u64>)>, notes: &mut Notes| match found {
            Some((bytes, text_bytes)) => {
                let code = text_bytes.map(|text_bytes| format::bytes(text_bytes as f64));
                let size = MatrixCell::plain(format::bytes(bytes as f64), format!("{bytes} B"));
                size.above(code.unwrap_or_default())
            }
            None => MatrixCell::absent("the artifact manifest does not list it", notes),
        };
        let module = module.map(|(bytes, entry)| (bytes, entry.module_text_bytes));
        let mut cells = vec![size(module, &mut notes)];
        for runtime in &compiled {
            let entry = of_line.iter().flatten().find(|entry| entry.case.runtime == *runtime);
            let loaded =
                entry.and_then(|entry| Some((entry.loaded_bytes?, entry.loaded_text_bytes)));
            cells.push(size(loaded, &mut notes));
        }
        cells.extend(of_line.iter().map(|found| match found {
            Ok(entry) => time_cell(entry),
            Err(reason) => MatrixCell::absent(reason, &mut notes),
        }));
        let (function, payload, variant) = line;
        rows.push(MatrixRow {
            function: super::label(function, payload),
            payload: variant.to_string(),
            cells,
        });
    }
    let sizes = compiled.iter().map(|runtime| format!("{runtime}, size"));
    let times = runtimes.iter().map(|runtime| format!("{runtime}, call"));
    let columns = std::iter::once("module, size".to_owned()).chain(sizes).chain(times);
    Matrix { title: "variants".into(), columns: columns.collect(), rows, notes: notes.texts }
}

fn time_cell(entry: &VariantEstimate) -> MatrixCell {
    let time = format::duration(entry.median);
    let interval = format::interval(entry.low, entry.high, format::duration);
    let Some(ratio) = &entry.to_default else {
        return MatrixCell::plain(time, interval);
    };
    let verdict = ratio.verdict.as_deref();
    let title = format!(
        "{interval}; {}, {}",
        format::ratio_interval(ratio.low, ratio.high),
        verdict.unwrap_or("not ranked")
    );
    let below = format::ratio(ratio.ratio);
    MatrixCell::plain(time, title).above(below).coloured(ratio.ratio, verdict)
}

/// A table of means, a column per variant; none without any.
fn means(report: &Report, title: &str, quantities: &[VariantQuantity]) -> Option<Matrix> {
    let order = |mean: &VariantMean| quantities.iter().position(|known| *known == mean.quantity);
    let mut of_table: Vec<&VariantMean> =
        report.variant_means.iter().filter(|mean| order(mean).is_some()).collect();
    // Stable: runtimes stay in their order.
    of_table.sort_by_key(|mean| order(mean));
    // What is loaded as it is has the module's size, which has a line.
    let repeats = |runtime: Option<&str>| {
        let entries = report.variants.iter();
        let mut of_runtime = entries.filter(|entry| Some(entry.case.runtime.as_str()) == runtime);
        of_runtime.all(|entry| entry.loaded_bytes == entry.module_bytes)
    };
    let mut lines: Vec<(VariantQuantity, Option<&str>)> = Vec::new();
    for mean in &of_table {
        let line = (mean.quantity, mean.runtime.as_deref());
        let is_repeated = line.0 == VariantQuantity::LoadedBytes && repeats(line.1);
        if !lines.contains(&line) && !is_repeated {
            lines.push(line);
        }
    }
    let variants: BTreeSet<Variant> = of_table.iter().map(|mean| mean.variant).collect();
    let mut notes = Notes::default();
    let mut cell = |(quantity, runtime): (VariantQuantity, Option<&str>), variant: Variant| {
        let is_meant = |mean: &&&VariantMean| {
            (mean.variant, mean.quantity, mean.runtime.as_deref()) == (variant, quantity, runtime)
        };
        match of_table.iter().find(is_meant) {
            Some(mean) => MatrixCell::plain(format::ratio(mean.mean), super::cells(mean.cells))
                .above(format::ratio_interval(mean.smallest, mean.largest)),
            None => MatrixCell::absent("no mean: nothing of it was measured", &mut notes),
        }
    };
    let mut rows = Vec::new();
    for line in lines {
        let what = match line.0 {
            VariantQuantity::ModuleBytes | VariantQuantity::LoadedBytes => "size",
            VariantQuantity::TimeToDefault | VariantQuantity::TimeToNative => "call",
        };
        rows.push(MatrixRow {
            function: line.1.unwrap_or("module").to_owned(),
            payload: what.to_owned(),
            cells: variants.iter().map(|&variant| cell(line, variant)).collect(),
        });
    }
    let columns = variants.iter().map(Variant::to_string).collect();
    (!rows.is_empty()).then(|| Matrix { title: title.into(), columns, rows, notes: notes.texts })
}

fn measured(entry: &VariantEstimate, notes: &mut Notes) -> Row {
    let ratio = |ratio: &Option<VariantRatio>| match ratio {
        Some(found) => (
            format::ratio(found.ratio),
            format::ratio_interval(found.low, found.high),
            found.verdict.clone().unwrap_or_else(|| "not ranked".into()),
        ),
        None => (NOTHING.into(), NOTHING.into(), NOTHING.into()),
    };
    let (mut to_default, interval, verdict) = ratio(&entry.to_default);
    let (native, native_interval, _) = ratio(&entry.to_native);
    let mut note_without = |ratio: &Option<VariantRatio>, reason: &str| match ratio {
        Some(_) => 0,
        None => notes.number(reason),
    };
    let ratio_note = match entry.variant {
        Variant::DEFAULT => {
            to_default = "the default".into();
            0
        }
        _ => note_without(&entry.to_default, "no ratio: the default variant has no figure for it"),
    };
    let native_note =
        note_without(&entry.to_native, "no ratio: native code has no figure for it in this suite");
    Row {
        payload: entry.case.payload.clone(),
        variant: entry.variant.to_string(),
        runtime: entry.case.runtime.clone(),
        median: format::duration(entry.median),
        interval: format::interval(entry.low, entry.high, format::duration),
        n: entry.n.to_string(),
        ratio: to_default,
        ratio_interval: interval,
        verdict,
        native,
        native_interval,
        note: 0,
        ratio_note,
        native_note,
    }
}

fn absent(line: Line, runtime: &str, reason: &str, notes: &mut Notes) -> Row {
    let nothing = || NOTHING.to_owned();
    Row {
        payload: line.1.to_owned(),
        variant: line.2.to_string(),
        runtime: runtime.to_owned(),
        median: nothing(),
        interval: nothing(),
        n: nothing(),
        ratio: nothing(),
        ratio_interval: nothing(),
        verdict: nothing(),
        native: nothing(),
        native_interval: nothing(),
        note: notes.number(reason),
        ratio_note: 0,
        native_note: 0,
    }
}
