//! The suite `variants`: size and speed of the same functions, with their Wasm built in different
//! ways.

mod estimates;

use std::collections::BTreeSet;

use lumos_record::{Case, Suite, Variant};

use super::Source;
use super::break_even::absence;
use crate::runtimes::Runtimes;
use crate::schema::Report;
use crate::table::{
    Block, Cell, Column, Mean, NOTHING, Names, Quantity, Ratio, Row, Section, Table, Tint, View,
};
use crate::{format, page};
use estimates::{VariantEstimate, VariantMean, VariantQuantity, estimates, means};

/// A line of the table: a function and payload, built in one way.
type Line<'r> = (&'r str, &'r str, Variant);

/// The section.
pub fn section(source: &mut Source<'_>) -> Section {
    let report = source.report;
    let entries = estimates(report, source.runtimes, &source.evidence.cases, source.bootstrap);
    let means = means(&entries);
    let (lines, names) = (lines(report), runtimes(report));
    let default = Variant::DEFAULT;
    let mut blocks = Vec::new();
    if lines.is_empty() {
        blocks.push(Block::Text(format!(
            "This run did not compare ways to build the Wasm: `cargo xtask bench --suite variants` \
             does. All of it is built as `{default}`."
        )));
    } else {
        blocks.push(Block::Text(format!(
            "The same functions, compiled for speed (`O3`) or size (`Os`), with and without SIMD, \
             with and without Binaryen's wasm-opt. Times are of one call, in this suite alone; \
             everywhere else the Wasm is built as `{default}`, the default. In brackets behind a \
             size is the code in it, behind a time its ratio to the default on the same runtime."
        )));
        blocks.extend(people(&entries, &means, (&lines, &names), report));
    }
    blocks.extend([Block::Data(data(&entries)), Block::Data(data_of_means(&means))]);
    Section { id: "variants", title: "Variants: how the Wasm is built", blocks, brief: None }
}

/// Every case with a variant, for programs.
fn data(entries: &[VariantEstimate]) -> Table {
    let bytes = |key, doc| Column::new(key, "", Quantity::Bytes, doc);
    let ratio = |key, doc| Column::new(key, "", Quantity::Ratio, doc);
    let columns = vec![
        Column::new("variant", "", Quantity::Text, "how its Wasm was built"),
        bytes("module_bytes", "the size of the module"),
        bytes("module_text_bytes", "the code in the module"),
        bytes(
            "loaded_bytes",
            "the size of what the runtime loads: the module, or what was compiled of it",
        ),
        bytes("loaded_text_bytes", "the code in that"),
        Column::new("call_ns", "", Quantity::Nanoseconds, "the time of one call"),
        ratio(
            "to_default",
            "the time over that of the default variant on the same runtime: `reference`, `ratio`, `low`, `high`, `verdict`",
        ),
        ratio("to_native", "the time over that of native code, likewise"),
    ];
    let row = |entry: &VariantEstimate| {
        let none = Cell::Nothing("there is none");
        let size =
            |bytes: Option<u64>| bytes.map_or(none.clone(), |bytes| Cell::Number(bytes as f64));
        let ratio = |ratio: &Option<Ratio>| ratio.clone().map_or(none.clone(), Cell::Ratio);
        let cells = vec![
            Cell::Text(entry.variant.to_string()),
            size(entry.module_bytes),
            size(entry.module_text_bytes),
            size(entry.loaded_bytes),
            size(entry.loaded_text_bytes),
            Cell::Figure(entry.figure()),
            ratio(&entry.to_default),
            ratio(&entry.to_native),
        ];
        Row::of(&entry.case, cells)
    };
    Table {
        list: Some("variants"),
        doc: "size and speed of every measured case of the suite `variants` whose Wasm was built \
              in one of the ways",
        names: Names::FUNCTION,
        columns,
        rows: entries.iter().map(row).collect(),
    }
}

fn data_of_means(means: &[VariantMean]) -> Table {
    let doc = "the mean of ratios, with the smallest and the largest";
    let row = |mean: &VariantMean| {
        let VariantMean { mean: point, smallest, largest, cells, .. } = *mean;
        let cell = Cell::Mean(Mean { mean: point, smallest, largest, cells });
        let runtime = mean.runtime.clone().unwrap_or_default();
        Row::named([mean.variant.to_string(), runtime, mean.quantity.name().to_owned()], vec![cell])
    };
    Table {
        list: Some("variant_means"),
        doc: "geometric means of `variants[]` over functions and payloads; of modules without a \
              runtime",
        names: Names::Words(&["variant", "runtime", "quantity"]),
        columns: vec![Column::new("ratio", "", Quantity::Ratio, doc)],
        rows: means.iter().map(row).collect(),
    }
}

/// What people read of it.
fn people(
    entries: &[VariantEstimate],
    all_means: &[VariantMean],
    (lines, names): (&[Line<'_>], &[&str]),
    report: &Report,
) -> Vec<Block> {
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
    let mut blocks = Vec::new();
    for (title, quantities) in kinds {
        let table = table_of_means(entries, all_means, quantities);
        if !table.rows.is_empty() {
            let text = "Geometric means over functions and payloads, in brackets the smallest and \
                        the largest.";
            blocks.extend([
                Block::Heading(title.to_owned()),
                Block::Text(text.to_owned()),
                Block::Table(table),
            ]);
        }
    }
    let found = (report, entries);
    blocks.extend([
        Block::Heading("Size and speed".to_owned()),
        Block::Table(table(found, lines, names)),
        Block::Folded {
            summary: "Intervals, and ratios to native".to_owned(),
            open: false,
            blocks: vec![Block::Table(details(found, lines, names))],
        },
    ]);
    blocks
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
fn find<'e>(
    (report, entries): (&Report, &'e [VariantEstimate]),
    (function, payload, variant): Line<'_>,
    runtime: &str,
) -> Result<&'e VariantEstimate, String> {
    let is_meant = |case: &Case| {
        case.suite == Suite::Variants
            && case.setting.variant == Some(variant)
            && (case.function.as_str(), case.payload.as_str()) == (function, payload)
            && case.runtime == runtime
    };
    let found = entries.iter().find(|entry| is_meant(&entry.case));
    found.ok_or_else(|| {
        let case = cases(report).find(|case| is_meant(case));
        case.map_or_else(
            || "not selected: this run holds no record of it".into(),
            |case| absence(report, case),
        )
    })
}

fn table(
    (report, entries): (&Report, &[VariantEstimate]),
    lines: &[Line<'_>],
    runtimes: &[&str],
) -> Table {
    // Whose artifact is not the module itself has a size of its own.
    let compiles = |runtime: &&&str| {
        let mut of_runtime = entries.iter().filter(|entry| entry.case.runtime == ***runtime);
        of_runtime
            .any(|entry| entry.loaded_bytes.is_some() && entry.loaded_bytes != entry.module_bytes)
    };
    let compiled: Vec<&str> = runtimes.iter().filter(compiles).copied().collect();
    let size = |found: Option<(u64, Option<u64>)>| match found {
        Some((bytes, text_bytes)) => {
            let code = text_bytes.map(|text_bytes| format::bytes(text_bytes as f64));
            let size = View::new(format::bytes(bytes as f64), format!("{bytes} B"));
            Cell::View(size.above(code.unwrap_or_default()))
        }
        None => Cell::Absent("the artifact manifest does not list it".to_owned()),
    };
    let row = |&line: &Line<'_>| {
        let of_line: Vec<Result<&VariantEstimate, String>> =
            runtimes.iter().map(|runtime| find((report, entries), line, runtime)).collect();
        let module = of_line.iter().flatten().find_map(|entry| Some((entry.module_bytes?, *entry)));
        let module = module.map(|(bytes, entry)| (bytes, entry.module_text_bytes));
        let mut cells = vec![size(module)];
        cells.extend(compiled.iter().map(|runtime| {
            let entry = of_line.iter().flatten().find(|entry| entry.case.runtime == *runtime);
            size(entry.and_then(|entry| Some((entry.loaded_bytes?, entry.loaded_text_bytes))))
        }));
        cells.extend(of_line.iter().map(|found| match found {
            Ok(entry) => time_cell(entry),
            Err(reason) => Cell::Absent(reason.clone()),
        }));
        let (function, payload, variant) = line;
        Row::named([page::label(function, payload), variant.to_string()], cells)
    };
    let sizes = compiled.iter().map(|runtime| format!("{runtime}, size"));
    let times = runtimes.iter().map(|runtime| format!("{runtime}, call"));
    let titles = std::iter::once("module, size".to_owned()).chain(sizes).chain(times);
    Table {
        list: None,
        doc: "",
        names: Names::Words(&["function", "variant"]),
        columns: titles
            .map(|title| Column::new(title.clone(), title, Quantity::Ratio, ""))
            .collect(),
        rows: lines.iter().map(row).collect(),
    }
}

fn time_cell(entry: &VariantEstimate) -> Cell {
    let time = format::duration(entry.median);
    let interval = format::interval(entry.low, entry.high, format::duration);
    let Some(ratio) = &entry.to_default else {
        return Cell::View(View::new(time, interval));
    };
    let verdict = ratio.verdict.as_deref();
    let hint = format!(
        "{interval}; {}, {}",
        format::ends_of_ratio([ratio.low, ratio.high]),
        verdict.unwrap_or("not ranked")
    );
    let tint = Tint::of(ratio.ratio, verdict);
    Cell::View(View { tint, ..View::new(time, hint).above(format::verdict_ratio(ratio)) })
}

/// Means, a column per variant.
fn table_of_means(
    entries: &[VariantEstimate],
    means: &[VariantMean],
    quantities: &[VariantQuantity],
) -> Table {
    let order = |mean: &VariantMean| quantities.iter().position(|known| *known == mean.quantity);
    let mut of_table: Vec<&VariantMean> =
        means.iter().filter(|mean| order(mean).is_some()).collect();
    // Stable: runtimes stay in their order.
    of_table.sort_by_key(|mean| order(mean));
    // What is loaded as it is has the module's size, which has a line.
    let repeats = |runtime: Option<&str>| {
        let mut of_runtime =
            entries.iter().filter(|entry| Some(entry.case.runtime.as_str()) == runtime);
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
    let cell = |(quantity, runtime): (VariantQuantity, Option<&str>), variant: Variant| {
        let is_meant = |mean: &&&VariantMean| {
            (mean.variant, mean.quantity, mean.runtime.as_deref()) == (variant, quantity, runtime)
        };
        match of_table.iter().find(is_meant) {
            Some(mean) => {
                let range = format::ratio_interval(mean.smallest, mean.largest);
                let cells = format!("{} cells", mean.cells);
                Cell::View(View::new(format::ratio(mean.mean), cells).above(range))
            }
            None => Cell::Absent("no mean: nothing of it was measured".to_owned()),
        }
    };
    let rows = lines.into_iter().map(|line| {
        let what = match line.0 {
            VariantQuantity::ModuleBytes | VariantQuantity::LoadedBytes => "size",
            VariantQuantity::TimeToDefault | VariantQuantity::TimeToNative => "call",
        };
        let cells = variants.iter().map(|&variant| cell(line, variant)).collect();
        Row::named([line.1.unwrap_or("module"), what], cells)
    });
    let rows = rows.collect();
    let column = |variant: &Variant| {
        Column::new(variant.to_string(), variant.to_string(), Quantity::Ratio, "")
    };
    Table {
        list: None,
        doc: "",
        names: Names::Words(&["of", "what"]),
        columns: variants.iter().map(column).collect(),
        rows,
    }
}

/// Every figure with its interval.
fn details(found: (&Report, &[VariantEstimate]), lines: &[Line<'_>], runtimes: &[&str]) -> Table {
    let column = |title: String, quantity| Column::new(title.clone(), title, quantity, "");
    let columns = vec![
        column("median".to_owned(), Quantity::Nanoseconds),
        column("interval".to_owned(), Quantity::Nanoseconds),
        column("n".to_owned(), Quantity::Count),
        column(format!("ratio to {}", Variant::DEFAULT), Quantity::Ratio),
        column("its interval".to_owned(), Quantity::Ratio),
        column("verdict".to_owned(), Quantity::Text),
        column("ratio to native".to_owned(), Quantity::Ratio),
        column("its interval to native".to_owned(), Quantity::Ratio),
    ];
    let rows = lines.iter().flat_map(|&line| {
        runtimes.iter().map(move |runtime| {
            let cells = match find(found, line, runtime) {
                Ok(entry) => measured(entry),
                Err(reason) => {
                    let nothing = || Cell::View(View::new(NOTHING, reason.clone()));
                    let rest = std::iter::repeat_with(nothing).take(7);
                    std::iter::once(Cell::Absent(reason.clone())).chain(rest).collect()
                }
            };
            let (function, payload, variant) = line;
            Row::named([function, payload, &variant.to_string(), runtime], cells)
        })
    });
    Table {
        list: None,
        doc: "",
        names: Names::Words(&["function", "payload", "variant", "runtime"]),
        columns,
        rows: rows.collect(),
    }
}

fn measured(entry: &VariantEstimate) -> Vec<Cell> {
    let view = |text: String| Cell::View(View::new(text, ""));
    let nothing = || view(NOTHING.to_owned());
    let ratio = |found: &Option<Ratio>, reason: &str| match found {
        Some(found) => [
            view(format::verdict_ratio(found)),
            view(format::ends_of_ratio([found.low, found.high])),
            view(found.verdict.clone().unwrap_or_else(|| "not ranked".into())),
        ],
        None => [Cell::Absent(reason.to_owned()), nothing(), nothing()],
    };
    let [mut to_default, ends, verdict] =
        ratio(&entry.to_default, "no ratio: the default variant has no figure for it");
    if entry.variant == Variant::DEFAULT {
        to_default = view("the default".to_owned());
    }
    let [native, native_ends, _] =
        ratio(&entry.to_native, "no ratio: native code has no figure for it in this suite");
    vec![
        view(Cell::Figure(entry.figure()).text(Quantity::Nanoseconds)),
        view(format::interval(entry.low, entry.high, format::duration)),
        Cell::Number(entry.n as f64),
        to_default,
        ends,
        verdict,
        native,
        native_ends,
    ]
}
