//! The suite `variants`: size and speed of the same functions, with their Wasm built in different
//! ways.

use std::collections::{BTreeMap, BTreeSet};

use lumos_model::{Bootstrap, Comparison, Estimate, Samples, geometric_mean};
use lumos_record::{Artifact, ArtifactKind, Case, Setting, Suite, Variant};

use super::super::analysis::verdicts;
use super::super::load::CaseEvidence;
use super::super::runtimes::{Runtimes, payload_rank};
use super::super::schema::{CaseEstimate, Figure, Report};
use super::super::table::{
    Block, Cell, Column, Mean, NOTHING, Names, Quantity, Ratio, Row, Section, Table, Tint, View,
};
use super::super::{format, page};
use super::Source;
use super::break_even::absence;

/// A function with its Wasm built in one way, on one runtime.
#[derive(Debug, Clone)]
pub struct VariantEstimate {
    /// The case, as `suite`, `function`, `runtime`, `payload` and `setting`.
    pub case: Case,
    /// How its Wasm was built.
    pub variant: Variant,
    /// The size of the module; none if the artifact manifest does not say.
    pub module_bytes: Option<u64>,
    /// The code in the module.
    pub module_text_bytes: Option<u64>,
    /// The size of what the runtime loads: the module, or what was compiled of it.
    pub loaded_bytes: Option<u64>,
    /// The code in that.
    pub loaded_text_bytes: Option<u64>,
    /// The median time of one call.
    pub median: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end of its interval.
    pub high: f64,
    /// How many samples there are.
    pub n: usize,
    /// The time over that of the default variant on the same runtime; none for itself, and where
    /// that was not measured.
    pub to_default: Option<Ratio>,
    /// The time over that of native code; none where that was not measured.
    pub to_native: Option<Ratio>,
}

/// A geometric mean over functions and payloads, with its range.
#[derive(Debug, Clone)]
pub struct VariantMean {
    /// The variant.
    pub variant: Variant,
    /// The runtime; none for the sizes of modules.
    pub runtime: Option<String>,
    /// What the ratios are of.
    pub quantity: VariantQuantity,
    /// Their geometric mean.
    pub mean: f64,
    /// The smallest of them.
    pub smallest: f64,
    /// The largest of them.
    pub largest: f64,
    /// How many there are.
    pub cells: usize,
}

/// What a mean over variants is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariantQuantity {
    /// The time over the default variant's.
    TimeToDefault,
    /// The time over native code's.
    TimeToNative,
    /// The size of the module over the default variant's.
    ModuleBytes,
    /// The size of what the runtime loads over the default variant's.
    LoadedBytes,
}

impl VariantQuantity {
    /// The name as it stands in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TimeToDefault => "time-to-default",
            Self::TimeToNative => "time-to-native",
            Self::ModuleBytes => "module-bytes",
            Self::LoadedBytes => "loaded-bytes",
        }
    }
}

/// Every measured case of the suite whose Wasm was built in a particular way.
pub fn estimates(
    report: &Report,
    runtimes: &Runtimes,
    cases: &BTreeMap<Case, CaseEvidence>,
    bootstrap: &mut Bootstrap,
) -> Vec<VariantEstimate> {
    let samples = |case: &Case| cases.get(case).and_then(CaseEvidence::samples);
    let native: BTreeSet<&str> = cases
        .keys()
        .filter(|case| case.suite == Suite::Variants && case.setting.variant.is_none())
        .map(|case| case.runtime.as_str())
        .filter(|name| runtimes.is_reference(Suite::Variants.lane(), name))
        .collect();
    let mut compared = Vec::new();
    let mut ratio = |above: &Samples, reference: &str, below: &Case| -> Option<Ratio> {
        let found = Comparison::new(above, samples(below)?, bootstrap)?;
        let Estimate { point, low, high } = found.ratio;
        compared.push(found);
        let reference = reference.to_owned();
        Some(Ratio { reference, ratio: point, low, high, verdict: None })
    };
    let mut found = Vec::new();
    for estimate in report.estimates.iter().filter(|entry| entry.case.suite == Suite::Variants) {
        let case = &estimate.case;
        let (Some(variant), Some(above)) = (case.setting.variant, samples(case)) else { continue };
        let with = |variant| Setting { variant, ..case.setting };
        let default = Case { setting: with(Some(Variant::DEFAULT)), ..case.clone() };
        let to_default = match variant {
            Variant::DEFAULT => None,
            _ => ratio(above, &Variant::DEFAULT.to_string(), &default),
        };
        let to_native = native.iter().find_map(|&name| {
            let below = Case { runtime: name.to_owned(), setting: with(None), ..case.clone() };
            ratio(above, name, &below)
        });
        found.push(described(report, runtimes, estimate, variant, [to_default, to_native]));
    }
    if !report.node.emulated {
        let ratios = found.iter_mut().flat_map(|entry: &mut VariantEstimate| {
            entry.to_default.iter_mut().chain(&mut entry.to_native)
        });
        for (ratio, verdict) in ratios.zip(verdicts(&compared)) {
            ratio.verdict = Some(verdict);
        }
    }
    found.sort_by_cached_key(|entry| {
        let case = &entry.case;
        let runtime = runtimes.rank(case.suite.lane(), &case.runtime);
        (case.function.clone(), payload_rank(&case.payload), entry.variant, runtime)
    });
    found
}

/// A case's figures, with the sizes of its artifacts.
fn described(
    report: &Report,
    runtimes: &Runtimes,
    estimate: &CaseEstimate,
    variant: Variant,
    [to_default, to_native]: [Option<Ratio>; 2],
) -> VariantEstimate {
    let case = estimate.case.clone();
    let module = artifact(report, variant, ArtifactKind::Wasm, &case.function, None);
    let loads = runtimes.find(case.suite.lane(), &case.runtime).and_then(|runtime| runtime.loads);
    let loaded = match loads {
        Some(ArtifactKind::Precompiled) => {
            let engine = Some(case.runtime.as_str());
            artifact(report, variant, ArtifactKind::Precompiled, &case.function, engine)
        }
        Some(ArtifactKind::Wasm) => module,
        _ => None,
    };
    VariantEstimate {
        case,
        variant,
        module_bytes: module.map(|artifact| artifact.bytes),
        module_text_bytes: module.and_then(|artifact| artifact.text_bytes),
        loaded_bytes: loaded.map(|artifact| artifact.bytes),
        loaded_text_bytes: loaded.and_then(|artifact| artifact.text_bytes),
        median: estimate.median,
        low: estimate.low,
        high: estimate.high,
        n: estimate.n,
        to_default,
        to_native,
    }
}

fn artifact<'r>(
    report: &'r Report,
    variant: Variant,
    kind: ArtifactKind,
    function: &str,
    engine: Option<&str>,
) -> Option<&'r Artifact> {
    report.artifacts_of(Some(variant)).find(|artifact| {
        artifact.kind == kind
            && artifact.function.as_deref() == Some(function)
            && artifact.engine.as_deref() == engine
    })
}

/// The geometric means over functions and payloads of the report's variants: of times for each
/// variant and runtime, of sizes over functions alone.
fn means(entries: &[VariantEstimate]) -> Vec<VariantMean> {
    let variants: BTreeSet<Variant> = entries.iter().map(|entry| entry.variant).collect();
    // In the order in which they appear, which is a reader's.
    let mut runtimes: Vec<&str> = Vec::new();
    for entry in entries {
        if !runtimes.contains(&entry.case.runtime.as_str()) {
            runtimes.push(&entry.case.runtime);
        }
    }
    let mut means = Vec::new();
    for variant in variants {
        let mut push = |runtime: Option<&str>, quantity, ratios: Vec<f64>| {
            let Some(mean) = geometric_mean(&ratios) else { return };
            means.push(VariantMean {
                variant,
                runtime: runtime.map(str::to_owned),
                quantity,
                mean: mean.mean,
                smallest: mean.smallest,
                largest: mean.largest,
                cells: mean.count,
            });
        };
        let is_default = variant == Variant::DEFAULT;
        if !is_default {
            let sizes = size_ratios(entries, variant, |entry| entry.module_bytes);
            push(None, VariantQuantity::ModuleBytes, sizes);
        }
        for runtime in &runtimes {
            let of_runtime = |entry: &&VariantEstimate| {
                entry.variant == variant && entry.case.runtime == *runtime
            };
            let times = |of: fn(&VariantEstimate) -> &Option<Ratio>| {
                let ratio = |entry| of(entry).as_ref().map(|ratio| ratio.ratio);
                entries.iter().filter(of_runtime).filter_map(ratio).collect::<Vec<f64>>()
            };
            let (to_default, to_native) =
                (times(|entry| &entry.to_default), times(|entry| &entry.to_native));
            push(Some(runtime), VariantQuantity::TimeToDefault, to_default);
            push(Some(runtime), VariantQuantity::TimeToNative, to_native);
            if !is_default {
                let sizes = size_ratios(entries, variant, |entry| {
                    entry.loaded_bytes.filter(|_| entry.case.runtime == *runtime)
                });
                push(Some(runtime), VariantQuantity::LoadedBytes, sizes);
            }
        }
    }
    means
}

/// The size of each function in a variant over that in the default one: sizes depend on no
/// payload, so each function counts once.
fn size_ratios(
    entries: &[VariantEstimate],
    variant: Variant,
    bytes: impl Fn(&VariantEstimate) -> Option<u64>,
) -> Vec<f64> {
    let of_variant = |variant| -> BTreeMap<&str, u64> {
        let entries = entries.iter().filter(|entry| entry.variant == variant);
        entries.filter_map(|entry| Some((entry.case.function.as_str(), bytes(entry)?))).collect()
    };
    let (above, below) = (of_variant(variant), of_variant(Variant::DEFAULT));
    let ratio = |(function, bytes): (&&str, &u64)| {
        below.get(function).map(|&default| *bytes as f64 / default as f64)
    };
    above.iter().filter_map(ratio).collect()
}

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

impl VariantEstimate {
    fn figure(&self) -> Figure {
        Figure { median: self.median, low: Some(self.low), high: Some(self.high), n: self.n }
    }
}
