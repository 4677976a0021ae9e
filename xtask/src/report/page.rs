//! The report as people read it: every figure formatted, every absence footnoted.
//!
//! One page feeds both templates, so that `report.md` and `report.html` say the same.

mod breakdown;
mod chain;
mod compiling;
mod sizes;
mod sweeps;
mod variants;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use lumos_record::{ArtifactKind, Case, Phase, Runtime, Suite};
use serde::Serialize;

use super::charts::{self, Bar, Curve, Dot, DotRow, Vertical};
use super::format;
use super::grid::{Cell, Comparison, Grid};
use super::schema::{
    Absence, CaseEstimate, Claim, ClaimFigure, Figure, InstructionCount, PhaseEstimate,
    PlatformRatio, PullComparison, PullEstimate, Report, RoundWeather, Spread, Statistic,
    WorkerEstimate,
};

/// What stands where there is nothing to show.
const NOTHING: &str = "—";

/// Everything that a template shows.
#[derive(Serialize)]
pub struct Page {
    title: String,
    emulated: bool,
    facts: Vec<(String, String)>,
    warnings: Vec<String>,
    resamples: usize,
    minimal_effect: String,
    counts: Counts,
    heat: Vec<Matrix>,
    suites: Vec<SuiteView>,
    phases: PhasesView,
    platform: PlatformView,
    pull: PullView,
    compiling: compiling::View,
    variants: variants::View,
    breakdown: breakdown::View,
    serialization: sweeps::View,
    retrieval: sweeps::View,
    chain: chain::View,
    instructions: Vec<Instructions>,
    sizes: Matrix,
    targets: Matrix,
    images: Matrix,
    workers: Vec<(String, String, String)>,
    missing: Vec<(String, String)>,
    memory: Vec<MemoryRow>,
    /// Served cases that were measured, but of whose workers the run holds no record.
    memory_unrecorded: Vec<String>,
    claims: Vec<ClaimRow>,
    skips: Vec<(String, String)>,
    failures: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Counts {
    estimates: usize,
    skips: usize,
    failures: usize,
    unrecorded: usize,
}

/// A name with the colour that stands for it.
#[derive(Serialize, Clone)]
struct Key {
    name: String,
    colour: usize,
}

/// A table of short cells, with its footnotes.
#[derive(Serialize)]
struct Matrix {
    title: String,
    columns: Vec<String>,
    rows: Vec<MatrixRow>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct MatrixRow {
    function: String,
    payload: String,
    cells: Vec<MatrixCell>,
}

#[derive(Serialize)]
struct MatrixCell {
    text: String,
    /// What stands below the text, smaller; empty for nothing.
    below: String,
    /// The footnote's number; 0 for none.
    note: usize,
    title: String,
    /// `faster`, `slower` or nothing: the hue.
    hue: &'static str,
    /// How strong the hue is, in percent.
    strength: u32,
}

#[derive(Serialize)]
struct SuiteView {
    name: String,
    what: &'static str,
    lane: String,
    chart: String,
    legend: Vec<Key>,
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
    runtime: String,
    colour: usize,
    median: String,
    interval: String,
    n: String,
    p95: String,
    ratio: String,
    ratio_interval: String,
    verdict: String,
    /// Footnotes of the figure, the percentile and the ratio; 0 for none.
    note: usize,
    p95_note: usize,
    ratio_note: usize,
}

#[derive(Serialize)]
struct PhasesView {
    legend: Vec<Key>,
    columns: Vec<String>,
    charts: Vec<(String, String)>,
    rows: Vec<PhaseRow>,
    /// Cold starts that were measured, but of whose phases the run holds no record.
    unrecorded: Vec<String>,
}

#[derive(Serialize)]
struct PhaseRow {
    function: String,
    payload: String,
    runtime: String,
    cells: Vec<(String, String)>,
    n: usize,
}

#[derive(Serialize)]
struct PlatformView {
    chart: String,
    legend: Vec<Key>,
    columns: Vec<String>,
    rows: Vec<PlatformRow>,
}

#[derive(Serialize)]
struct PlatformRow {
    function: String,
    payload: String,
    runtime: String,
    cells: Vec<(String, String)>,
    negligible_from: String,
}

/// What it costs to bring an image to a node.
#[derive(Serialize)]
struct PullView {
    links: Vec<String>,
    rows: Vec<PullRow>,
    /// Why images were not unpacked.
    notes: Vec<String>,
    /// The release of the registry that the model was checked against; empty for none.
    registry: String,
    checks: Vec<PullCheckRow>,
    /// What the check had to do without; why there was none, if so.
    check_notes: Vec<String>,
}

#[derive(Serialize)]
struct PullRow {
    function: String,
    image: String,
    compressed: String,
    layers: u64,
    modelled: Vec<String>,
    unpack: String,
    unpack_interval: String,
    /// The footnote's number; 0 for none.
    unpack_note: usize,
}

#[derive(Serialize)]
struct PullCheckRow {
    image: String,
    compressed: String,
    link: String,
    modelled: String,
    measured: String,
    n: usize,
    ratio: String,
}

#[derive(Serialize)]
struct MemoryRow {
    suite: String,
    function: String,
    payload: String,
    runtime: String,
    workers: usize,
    invocations: String,
    rss: String,
    rss_interval: String,
    cpu: String,
    cpu_interval: String,
    system_share: String,
}

#[derive(Serialize)]
struct ClaimRow {
    id: String,
    source: String,
    text: String,
    figure: String,
    note: String,
    figures: Vec<ClaimFigureRow>,
    not_measured: String,
}

#[derive(Serialize)]
struct ClaimFigureRow {
    ratio: String,
    spread: String,
    of: String,
}

impl MatrixCell {
    /// A cell without colour: its text, and what a pointer that rests on it shows.
    fn plain(text: impl Into<String>, title: impl Into<String>) -> Self {
        let (text, below, title) = (text.into(), String::new(), title.into());
        Self { text, below, note: 0, title, hue: "", strength: 0 }
    }

    /// The cell with something smaller below its text.
    fn above(self, below: impl Into<String>) -> Self {
        Self { below: below.into(), ..self }
    }

    /// A cell without a figure, and the reason.
    fn absent(reason: &str, notes: &mut Notes) -> Self {
        Self { note: notes.number(reason), ..Self::plain(NOTHING, reason) }
    }

    /// Colours the cell by a ratio's verdict: from barely visible at 1 to full at 64 times,
    /// evenly on a scale of ratios.
    fn coloured(self, ratio: f64, verdict: Option<&str>) -> Self {
        let hue = match verdict {
            Some("faster") => "faster",
            Some("slower") => "slower",
            _ => "",
        };
        let strength = (10.0 + 60.0 * ratio.ln().abs() / 64f64.ln()).min(70.0) as u32;
        Self { hue, strength, ..self }
    }
}

/// Numbers footnotes; equal texts share a number.
#[derive(Default)]
struct Notes {
    texts: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Notes {
    fn number(&mut self, text: &str) -> usize {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), self.texts.len());
        self.texts.len()
    }
}

/// The colour of each runtime: an engine has the same one in both lanes, and a container its own.
struct Palette(BTreeMap<String, usize>);

impl Palette {
    fn new(report: &Report, grids: &[Grid]) -> Self {
        let runtimes = super::runtimes::Runtimes::new(&report.runtimes);
        let mut colours: BTreeMap<String, usize> = BTreeMap::new();
        let mut engines: Vec<String> = Vec::new();
        for grid in grids {
            for &name in &grid.runtimes {
                let engine = runtimes.find(grid.suite.lane(), name);
                let engine = engine.map_or(name, |runtime| match runtime.sandbox.as_str() {
                    Runtime::PROCESS => runtime.name.as_str(),
                    _ => name,
                });
                let known = engines.iter().position(|other| other == engine);
                let colour = known.unwrap_or_else(|| {
                    engines.push(engine.to_owned());
                    engines.len() - 1
                });
                colours.insert(name.to_owned(), colour % charts::COLOURS);
            }
        }
        Self(colours)
    }

    fn of(&self, runtime: &str) -> usize {
        self.0.get(runtime).copied().unwrap_or(0)
    }

    fn legend<'a>(&self, runtimes: impl IntoIterator<Item = &'a str>) -> Vec<Key> {
        let key = |name: &str| Key { name: name.to_owned(), colour: self.of(name) };
        runtimes.into_iter().map(key).collect()
    }
}

impl Page {
    /// Formats a report.
    pub fn new(report: &Report, grids: &[Grid]) -> Self {
        let palette = Palette::new(report, grids);
        Self {
            title: format!("Lumos: {}", report.run.name),
            emulated: report.node.emulated,
            facts: facts(report),
            warnings: report.warnings.clone(),
            resamples: report.method.resamples,
            minimal_effect: format!("{} %", report.method.minimal_effect * 100.0),
            counts: Counts {
                estimates: report.estimates.len(),
                skips: report.skips.len(),
                failures: report.failures.len(),
                unrecorded: report.unrecorded.len(),
            },
            heat: grids.iter().filter(|grid| has_ratios(grid)).map(heat).collect(),
            suites: grids.iter().map(|grid| suite(grid, &palette)).collect(),
            phases: phases(report),
            platform: platform(report, &palette),
            pull: pull(report),
            compiling: compiling::view(report),
            variants: variants::view(report),
            breakdown: breakdown::view(report),
            serialization: sweeps::view(report, &report.serialization, &palette),
            retrieval: sweeps::view(report, &report.retrieval, &palette),
            chain: chain::view(report),
            instructions: report.counts.iter().map(instructions).collect(),
            sizes: sizes::sizes(report),
            targets: sizes::targets(report),
            images: sizes::images(report),
            workers: sizes::workers(report),
            missing: report
                .missing_artifacts
                .iter()
                .map(|missing| (missing.artifact.clone(), missing.reason.clone()))
                .collect(),
            memory: memory(report),
            memory_unrecorded: memory_unrecorded(report),
            claims: report.claims.iter().map(claim).collect(),
            skips: absences(&report.skips),
            failures: absences(&report.failures),
        }
    }
}

/// How many instructions an invocation executes.
#[derive(Serialize)]
struct Instructions {
    function: String,
    payload: String,
    runtime: String,
    count: String,
    counter: String,
}

fn instructions(entry: &InstructionCount) -> Instructions {
    Instructions {
        function: entry.case.function.clone(),
        payload: entry.case.input(),
        runtime: entry.case.runtime.clone(),
        count: format::count(entry.instructions),
        counter: entry.counter.clone(),
    }
}

fn facts(report: &Report) -> Vec<(String, String)> {
    let (run, node) = (&report.run, &report.node);
    let commit = run.revision.commit.get(..12).unwrap_or(&run.revision.commit);
    let commit = if commit.is_empty() { "unknown" } else { commit };
    let dirty = if run.revision.dirty { ", with uncommitted changes" } else { "" };
    let emulated = if node.emulated { ", emulated" } else { "" };
    let facts = [
        ("Run", format!("{}, profile {}", run.name, run.profile)),
        ("Begun", format::moment(run.started_unix_ms)),
        ("Command", format::command(&run.command_line)),
        ("Revision", format!("{commit}{dirty}")),
        ("Processor", format!("{} ({}{emulated})", node.cpu_model, node.arch)),
        ("Logical processors", node.cpus.to_string()),
        ("Memory", format::bytes(node.memory_bytes as f64)),
        ("System", format!("{}, Linux {}", node.os, node.kernel)),
        ("Governor", node.governor.clone()),
        ("Control groups", node.cgroup.clone()),
        ("Hypervisor", node.virtualization.clone()),
        (
            "Clock",
            format!(
                "steps of {}, {} to read",
                format::duration(node.timer_precision_ns as f64),
                format::duration(node.timer_cost_ns as f64)
            ),
        ),
        ("Guest compiler", run.toolchain.rustc.clone()),
        ("Engines", run.engines.join(", ")),
    ];
    let mut facts: Vec<(String, String)> =
        facts.map(|(name, value)| (name.to_owned(), value)).into();
    if let Some(rounds) = &run.rounds {
        let lost = match rounds.interrupted.len() {
            0 => String::new(),
            lost => format!(", {lost} interrupted"),
        };
        let again = match rounds.again.len() {
            0 => String::new(),
            again => format!(", {again} measured again since the node was disturbed"),
        };
        let extra = match rounds.extra.len() {
            0 => String::new(),
            extra => format!(", {extra} more of what was not known precisely enough"),
        };
        let (counted, asked) = (rounds.counted.len(), rounds.asked);
        facts.insert(1, ("Rounds".to_owned(), format!("{counted} of {asked}{lost}{again}{extra}")));
        facts
            .extend(rounds.precision.iter().map(|told| ("Precision".to_owned(), told.to_string())));
        facts.extend(weather(&rounds.weather).map(|told| ("Weather".to_owned(), told)));
    }
    facts.extend(report.sandboxes.iter().map(|(package, told)| {
        let told: Vec<String> =
            told.iter().map(|(name, value)| format!("{name} {value}")).collect();
        (format!("Sandbox of {package}"), told.join(", "))
    }));
    facts
}

/// How quiet the node was; nothing where no round tells.
fn weather(rounds: &[RoundWeather]) -> Option<String> {
    let of_rounds = || rounds.iter().map(|round| round.calibration_ns as f64);
    let (least, most) = (of_rounds().reduce(f64::min)?, of_rounds().reduce(f64::max)?);
    let within = rounds.iter().map(|round| round.calibration_p95_ns / round.calibration_ns as f64);
    let stolen = rounds.iter().filter_map(|round| round.stolen).reduce(f64::max);
    let stolen =
        stolen.map(|share| format!("; at most {:.1} % of a processor was stolen", share * 100.0));
    Some(format!(
        "the same work took {} from round to round (medians), and in one row of twenty up to {} \
         as long as the round's median{}",
        format::interval(least, most, format::duration),
        format::ratio(within.fold(1.0, f64::max)),
        stolen.unwrap_or_default()
    ))
}

/// Whether a suite has anything to compare: images are unpacked for containers alone.
fn has_ratios(grid: &Grid) -> bool {
    grid.runtimes.len() > 1 && grid.suite.spec().shown == Shown::WithRatios
}

/// The ratios of a suite, coloured by how far from 1 they are.
fn heat(grid: &Grid) -> Matrix {
    let mut notes = Notes::default();
    let mut rows = Vec::new();
    for &row in &grid.rows {
        let cells =
            grid.runtimes.iter().map(|runtime| heat_cell(grid.cell(row, runtime), &mut notes));
        rows.push(MatrixRow {
            function: row.function.to_owned(),
            payload: row.input(),
            cells: cells.collect(),
        });
    }
    Matrix {
        title: grid.suite.to_string(),
        columns: grid.runtimes.iter().map(|&name| name.to_owned()).collect(),
        rows,
        notes: notes.texts,
    }
}

fn heat_cell(cell: &Cell, notes: &mut Notes) -> MatrixCell {
    match cell {
        Cell::Absent(reason) => MatrixCell::absent(reason, notes),
        Cell::Measured(estimate, Comparison::Reference) => {
            MatrixCell::plain(format::estimate(estimate), "the reference")
        }
        Cell::Measured(estimate, Comparison::None(reason)) => {
            let text = format::estimate(estimate);
            MatrixCell { note: notes.number(reason), ..MatrixCell::plain(text, reason) }
        }
        Cell::Measured(estimate, Comparison::Ratio(ratio)) => {
            let verdict = ratio.verdict.as_deref();
            let title = format!(
                "{} ({}), {}",
                format::estimate(estimate),
                format::ends_of_ratio([ratio.low, ratio.high]),
                verdict.unwrap_or("not ranked")
            );
            MatrixCell::plain(format::case_ratio(ratio), title).coloured(ratio.ratio, verdict)
        }
    }
}

fn suite(grid: &Grid, palette: &Palette) -> SuiteView {
    let mut notes = Notes::default();
    let mut groups: Vec<Group> = Vec::new();
    for &row in &grid.rows {
        if groups.last().is_none_or(|group| group.function != row.function) {
            groups.push(Group { function: row.function.to_owned(), rows: Vec::new() });
        }
        let Some(group) = groups.last_mut() else { continue };
        for runtime in &grid.runtimes {
            let cell = grid.cell(row, runtime);
            group.rows.push(line(&row.input(), runtime, palette.of(runtime), cell, &mut notes));
        }
    }
    SuiteView {
        name: grid.suite.to_string(),
        what: what(grid.suite),
        lane: grid.suite.lane().to_string(),
        chart: suite_chart(grid, palette),
        legend: palette.legend(grid.runtimes.iter().copied()),
        groups,
        notes: notes.texts,
    }
}

fn line(payload: &str, runtime: &str, colour: usize, cell: &Cell, notes: &mut Notes) -> Row {
    let mut row = Row {
        payload: payload.to_owned(),
        runtime: runtime.to_owned(),
        colour,
        median: NOTHING.into(),
        interval: NOTHING.into(),
        n: NOTHING.into(),
        p95: NOTHING.into(),
        ratio: NOTHING.into(),
        ratio_interval: NOTHING.into(),
        verdict: NOTHING.into(),
        note: 0,
        p95_note: 0,
        ratio_note: 0,
    };
    match cell {
        Cell::Absent(reason) => row.note = notes.number(reason),
        Cell::Measured(estimate, comparison) => {
            row.fill(estimate, notes);
            row.compare(comparison, notes);
        }
    }
    row
}

impl Row {
    fn fill(&mut self, estimate: &CaseEstimate, notes: &mut Notes) {
        self.median = format::estimate(estimate);
        self.interval = format::interval(estimate.low, estimate.high, format::duration);
        self.n = estimate.n.to_string();
        match estimate.p95 {
            Some(p95) => self.p95 = format::duration(p95),
            None if estimate.raw => {
                self.p95_note = notes.number("no percentile: it needs 20 samples or more");
            }
            None => {
                self.p95_note =
                    notes.number("no percentile: each sample is the mean of several iterations");
            }
        }
    }

    fn compare(&mut self, comparison: &Comparison, notes: &mut Notes) {
        match comparison {
            Comparison::Reference => self.ratio = "reference".into(),
            Comparison::None(reason) => self.ratio_note = notes.number(reason),
            Comparison::Ratio(ratio) => {
                self.ratio = format::case_ratio(ratio);
                self.ratio_interval = format::ends_of_ratio([ratio.low, ratio.high]);
                self.verdict = ratio.verdict.clone().unwrap_or_else(|| "not ranked".into());
            }
        }
    }
}

fn suite_chart(grid: &Grid, palette: &Palette) -> String {
    let row = |&row: &super::grid::Row| {
        let dot = |&runtime: &&str| match grid.cell(row, runtime) {
            Cell::Absent(_) => None,
            Cell::Measured(estimate, _) => Some(Dot {
                series: palette.of(runtime),
                value: estimate.median,
                low: estimate.low,
                high: estimate.high,
                title: format!("{runtime}: {}", format::estimate(estimate)),
            }),
        };
        let dots: Vec<Dot> = grid.runtimes.iter().filter_map(dot).collect();
        let absent = if dots.is_empty() { ": no figure" } else { "" };
        DotRow { label: format!("{}{absent}", label(row.function, &row.input())), dots }
    };
    let rows: Vec<DotRow> = grid.rows.iter().map(row).collect();
    charts::dots(&format!("{} by function and runtime", grid.suite), &rows, format::decade)
}

/// A function with its payload, if there is one.
fn label(function: &str, payload: &str) -> String {
    match payload {
        Case::NO_PAYLOAD => function.to_owned(),
        payload => format!("{function}, {payload}"),
    }
}

fn spread(figure: &Figure, format: fn(f64) -> String) -> String {
    match (figure.low, figure.high) {
        (Some(low), Some(high)) => format::interval(low, high, format),
        _ => format!("no interval: n = {}", figure.n),
    }
}

/// The phases of each cold start as bars and as a table.
fn phases(report: &Report) -> PhasesView {
    let columns: BTreeSet<Phase> = report.phases.iter().map(|entry| entry.phase).collect();
    let mut rows = Vec::new();
    let mut bars: Vec<(String, Vec<Bar>)> = Vec::new();
    for entries in report.phases.chunk_by(|a, b| a.case == b.case) {
        rows.push(phase_row(entries, &columns));
        let title = label(&entries[0].case.function, &entries[0].case.input());
        match bars.last_mut() {
            Some((last, list)) if *last == title => list.push(phase_bar(entries)),
            _ => bars.push((title, vec![phase_bar(entries)])),
        }
    }
    let chart = |(title, list): (String, Vec<Bar>)| {
        let svg = charts::bars(&format!("Phases of a cold start: {title}"), &list);
        (title, svg)
    };
    let key = |phase: &Phase| Key { name: phase.to_string(), colour: *phase as usize };
    let recorded: HashSet<&Case> = report.phases.iter().map(|entry| &entry.case).collect();
    let lacks = |case: &Case| case.suite == Suite::ColdStart && !recorded.contains(case);
    PhasesView {
        legend: columns.iter().filter(|phase| **phase != Phase::Teardown).map(key).collect(),
        columns: columns.iter().map(Phase::to_string).collect(),
        charts: bars.into_iter().map(chart).collect(),
        rows,
        unrecorded: measured(report, lacks),
    }
}

fn phase_row(entries: &[PhaseEstimate], columns: &BTreeSet<Phase>) -> PhaseRow {
    let case = &entries[0].case;
    let cell = |phase: &Phase| match entries.iter().find(|entry| entry.phase == *phase) {
        // A phase that a runtime does not have is no hole: the text above the table says so.
        None => (NOTHING.to_owned(), "this runtime has no such phase".to_owned()),
        Some(entry) => {
            let interval = spread(&entry.figure, format::duration);
            (format::duration(entry.figure.median), interval)
        }
    };
    PhaseRow {
        function: case.function.clone(),
        payload: case.input(),
        runtime: case.runtime.clone(),
        cells: columns.iter().map(cell).collect(),
        n: entries.iter().map(|entry| entry.figure.n).max().unwrap_or(0),
    }
}

fn phase_bar(entries: &[PhaseEstimate]) -> Bar {
    let inside = entries.iter().filter(|entry| entry.phase != Phase::Teardown);
    let part = |entry: &PhaseEstimate| {
        let (phase, median) = (entry.phase, entry.figure.median);
        (phase as usize, median, format!("{phase}: {}", format::duration(median)))
    };
    let parts: Vec<(usize, f64, String)> = inside.map(part).collect();
    let total = format::duration(parts.iter().map(|(_, median, _)| median).sum());
    Bar { label: format!("{}: {total}", entries[0].case.runtime), parts }
}

/// The ids of the measured cases that `lacks` holds for.
fn measured(report: &Report, lacks: impl Fn(&Case) -> bool) -> Vec<String> {
    let cases = report.estimates.iter().map(|estimate| &estimate.case);
    cases.filter(|case| lacks(case)).map(Case::to_string).collect()
}

/// Cold-start ratios against what a platform adds.
fn platform(report: &Report, palette: &Palette) -> PlatformView {
    let row = |entry: &PlatformRatio| PlatformRow {
        function: entry.case.function.clone(),
        payload: entry.case.input(),
        runtime: entry.case.runtime.clone(),
        cells: entry
            .points
            .iter()
            .map(|point| {
                (format::ratio(point.ratio), format::ratio_interval(point.low, point.high))
            })
            .collect(),
        negligible_from: entry.negligible_from_ns.map_or_else(
            || NOTHING.into(),
            |constant_ns| {
                if constant_ns == 0.0 { "always".into() } else { format::duration(constant_ns) }
            },
        ),
    };
    let constants = report.platform.first().map(|entry| entry.points.as_slice()).unwrap_or(&[]);
    let constant = |ns: u64| if ns == 0 { "0 ms".into() } else { format::decade(ns as f64) };
    let (chart, legend) = platform_chart(report, palette);
    PlatformView {
        chart,
        legend,
        columns: constants.iter().map(|point| constant(point.constant_ns)).collect(),
        rows: report.platform.iter().map(row).collect(),
    }
}

/// A curve per runtime: the geometric mean over functions and payloads.
fn platform_chart(report: &Report, palette: &Palette) -> (String, Vec<Key>) {
    const STEPS: i32 = 60;
    let mut by_runtime: Vec<(&str, Vec<&PlatformRatio>)> = Vec::new();
    for entry in &report.platform {
        match by_runtime.iter_mut().find(|(name, _)| *name == entry.case.runtime) {
            Some((_, list)) => list.push(entry),
            None => by_runtime.push((&entry.case.runtime, vec![entry])),
        }
    }
    let at = |list: &[&PlatformRatio], constant_ns: f64| {
        let ratio = |entry: &&PlatformRatio| {
            lumos_model::platform_ratio(constant_ns, entry.median_ns, entry.reference_median_ns)
        };
        let ratios: Vec<f64> = list.iter().filter_map(ratio).collect();
        Some((constant_ns, lumos_model::geometric_mean(&ratios)?.mean))
    };
    let curves: Vec<Curve> = by_runtime
        .iter()
        .map(|(name, list)| Curve {
            series: palette.of(name),
            // From 0.1 ms to 10 s.
            points: (0..=STEPS)
                .filter_map(|step| {
                    at(list, 10f64.powf(5.0 + 5.0 * f64::from(step) / f64::from(STEPS)))
                })
                .collect(),
        })
        .collect();
    let title = "Cold-start ratio to native as a function of the platform's own start-up time";
    let legend = palette.legend(by_runtime.iter().map(|(name, _)| *name));
    (charts::curves(title, &curves, format::decade, Vertical::Ratio), legend)
}

/// What it costs to bring each image to a node, and how far the model of it can be trusted.
fn pull(report: &Report) -> PullView {
    let mut notes = Notes::default();
    let rows = report.pull.images.iter().map(|image| pull_row(image, &mut notes)).collect();
    let (mut registry, mut checks, mut check_notes) = (String::new(), Vec::new(), Vec::new());
    match &report.pull.check {
        Some(check) => {
            registry.clone_from(&check.registry);
            checks.extend(check.pulls.iter().map(pull_check_row));
            check_notes.clone_from(&check.notes);
        }
        None => check_notes.push(
            "This run did not check the model: `cargo xtask bench --suite pull` does.".to_owned(),
        ),
    }
    let links = report.pull.links.iter().map(|link| link.name.clone()).collect();
    PullView { links, rows, notes: notes.texts, registry, checks, check_notes }
}

fn pull_row(image: &PullEstimate, notes: &mut Notes) -> PullRow {
    let note = match &image.unpack_ns {
        Some(_) => 0,
        None if ArtifactKind::NATIVE_EXECUTABLES.contains(&image.holds) => notes.number(
            "not unpacked in this run: `--suite pull` measures it, as does `--profile full`",
        ),
        None => notes.number("not unpacked: no runtime here starts Wasm from an image"),
    };
    let figure = image.unpack_ns.as_ref();
    let duration = |figure: &Figure| format::duration(figure.median);
    PullRow {
        function: image.function.clone(),
        image: image_name(image.engine.as_deref(), image.holds, &image.base),
        compressed: format::bytes(image.compressed_bytes as f64),
        layers: image.layers,
        modelled: image.modelled_ns.iter().map(|&time_ns| format::duration(time_ns)).collect(),
        unpack: figure.map_or_else(|| NOTHING.into(), duration),
        unpack_interval: figure
            .map_or_else(|| NOTHING.into(), |figure| spread(figure, format::duration)),
        unpack_note: note,
    }
}

fn pull_check_row(found: &PullComparison) -> PullCheckRow {
    let pull = &found.pull;
    let bandwidth = pull.bandwidth_bytes_per_s.map_or_else(
        || "loopback, no limit".to_owned(),
        |bytes_per_s| format!("{} Mbit/s", bytes_per_s as f64 * 8.0 / 1e6),
    );
    let round_trip = format::duration(pull.round_trip_ns as f64);
    PullCheckRow {
        image: format!("{} on {}", pull.function, pull.base),
        compressed: format::bytes(pull.compressed_bytes as f64),
        link: format!("{bandwidth}, {round_trip}"),
        modelled: found.modelled_ns.map_or_else(|| "no limit, no model".into(), format::duration),
        measured: format::duration(found.measured_ns),
        n: pull.times_ns.len(),
        ratio: found.ratio.map_or_else(|| NOTHING.into(), format::ratio),
    }
}

/// What an image holds, and on what.
fn image_name(engine: Option<&str>, holds: ArtifactKind, base: &str) -> String {
    format!("{} on {base}", engine.unwrap_or(holds.name()))
}

fn memory(report: &Report) -> Vec<MemoryRow> {
    let row = |entry: &WorkerEstimate| {
        let rss = entry.peak_rss_bytes;
        let cpu_ns = entry.cpu_ns.median;
        let share = entry.cpu_system_ns.median / cpu_ns;
        MemoryRow {
            suite: entry.case.suite.to_string(),
            function: entry.case.function.clone(),
            payload: entry.case.input(),
            runtime: entry.case.runtime.clone(),
            workers: entry.workers,
            invocations: format!("{:.0}", entry.invocations),
            rss: rss
                .map_or_else(|| "could not be read".into(), |figure| format::bytes(figure.median)),
            rss_interval: rss
                .map_or_else(|| NOTHING.into(), |figure| spread(&figure, format::bytes)),
            cpu: format::duration(cpu_ns),
            cpu_interval: spread(&entry.cpu_ns, format::duration),
            system_share: if share.is_finite() {
                format!("{:.0} %", share * 100.0)
            } else {
                NOTHING.into()
            },
        }
    };
    report.memory.iter().map(row).collect()
}

fn memory_unrecorded(report: &Report) -> Vec<String> {
    let recorded: HashSet<&Case> = report.memory.iter().map(|entry| &entry.case).collect();
    // A sample of it is two workers, of which one does more: what they use is not recorded.
    let counts = |suite: Suite| suite.spec().workers == Workers::Recorded;
    measured(report, |case| counts(case.suite) && !recorded.contains(case))
}

fn claim(claim: &Claim) -> ClaimRow {
    ClaimRow {
        id: claim.id.clone(),
        source: claim.source.clone(),
        text: claim.text.clone(),
        figure: claim.figure.clone(),
        note: claim.note.clone().unwrap_or_default(),
        figures: claim.measured.iter().map(claim_figure).collect(),
        not_measured: claim.not_measured.clone().unwrap_or_default(),
    }
}

fn claim_figure(figure: &ClaimFigure) -> ClaimFigureRow {
    let ends = format::ratio_interval(figure.low, figure.high);
    let statistic = match figure.statistic {
        Statistic::Largest => "largest",
        Statistic::Smallest => "smallest",
        Statistic::GeometricMean => "geometric mean",
    };
    ClaimFigureRow {
        ratio: format::ratio(figure.ratio),
        spread: match figure.spread {
            Spread::Interval => format!("interval {ends}"),
            Spread::Range => format!("range {ends}"),
            Spread::Exact => "exact".into(),
        },
        of: format!("{statistic} of {}: {}", cells(figure.cells), figure.of),
    }
}

fn cells(count: usize) -> String {
    if count == 1 { "1 cell".into() } else { format!("{count} cells") }
}

fn absences(list: &[Absence]) -> Vec<(String, String)> {
    list.iter().map(|absence| (absence.case.to_string(), absence.reason.clone())).collect()
}
