//! What a cold start's ratio becomes where a platform adds a start-up time of its own.

use lumos_model::{MINIMAL_EFFECT, Samples, negligible_from};
use lumos_record::{Case, Suite};

use super::Source;
use crate::charts::{self, Curve, Vertical};
use crate::figure::Interval;
use crate::format;
use crate::table::{Block, Cell, Chart, Column, Marks, Names, Quantity, Row, Section, Table};

/// What a platform may add to a cold start, in milliseconds: from nothing to the 3 s of a
/// Knative service on a small board.
const CONSTANTS_MS: [u64; 6] = [0, 1, 10, 100, 1_000, 3_000];

/// Where two runtimes differ by less whatever is added.
const ALWAYS: &str = "always";

/// A case beside its first reference.
struct Compared<'c> {
    case: &'c Case,
    reference: &'c str,
    /// The medians of both over the rounds that they have in common.
    medians_ns: [f64; 2],
    /// For each of the constants, which are taken as exact.
    ratios: Vec<Interval>,
}

impl Compared<'_> {
    /// The time of this side and of the reference, in nanoseconds, with nothing added. The first is
    /// the ratio times the second, since a ratio is not that of the medians.
    fn times_ns(&self) -> [f64; 2] {
        let [median_ns, reference_ns] = self.medians_ns;
        let ratio = self.ratios.first().map_or(median_ns / reference_ns, |ratio| ratio.point);
        [ratio * reference_ns, reference_ns]
    }
}

/// The section.
pub fn section(source: &mut Source<'_>) -> Section {
    let found = compared(source);
    let of = |constant_ms: u64| {
        let shown = match constant_ms {
            0 => "0 ms".to_owned(),
            constant_ms => format::decade(constant_ms as f64 * 1e6),
        };
        let doc = "the ratio where a platform adds so many milliseconds to both sides";
        let key = format!("ratio_with_{constant_ms}_ms");
        Column::new(key, format!("P = {shown}"), Quantity::Ratio, doc)
    };
    let time = |key, title, doc| Column::new(key, title, Quantity::Nanoseconds, doc);
    let mut columns: Vec<Column> = CONSTANTS_MS.into_iter().map(of).collect();
    columns.extend([
        time(
            "negligible_from_ns",
            "negligible from",
            "the constant from which the two differ by no more than the minimal effect",
        ),
        time("median_ns", "", "the case's median, without a constant").hidden(),
        time("reference_median_ns", "", "the reference's").hidden(),
        Column::new("reference", "", Quantity::Text, "the runtime below the line").hidden(),
    ]);
    let row = |found: &Compared<'_>| {
        let [median_ns, reference_median_ns] = found.medians_ns;
        let [time_ns, reference_ns] = found.times_ns();
        let mut cells: Vec<Cell> = found.ratios.iter().copied().map(Cell::Interval).collect();
        cells.extend([
            match negligible_from(time_ns, reference_ns, MINIMAL_EFFECT) {
                Some(0.0) => Cell::Worded(0.0, ALWAYS.to_owned()),
                Some(constant_ns) => Cell::Number(constant_ns),
                None => Cell::Nothing("no constant makes so large a difference negligible"),
            },
            Cell::Number(median_ns),
            Cell::Number(reference_median_ns),
            Cell::Text(found.reference.to_owned()),
        ]);
        Row::of(found.case, cells)
    };
    let rows: Vec<Row> = found.iter().map(row).collect();
    let (id, title) = ("platform", "Cold start on a platform");
    let table = Table {
        list: Some("platform"),
        doc: "cold-start ratios to the first reference, on platforms with a start-up time of their \
              own",
        names: Names::FUNCTION,
        columns,
        rows,
    };
    if found.is_empty() {
        let text = "This run holds no cold starts with their reference.".to_owned();
        return Section::empty(id, title, text, table);
    }
    let effect = format!("{} %", source.report.method.minimal_effect * 100.0);
    let blocks = vec![
        Block::Text(
            "A platform adds a start-up time of its own, P, to both sides: scheduling, pulling an \
             image, a proxy. The ratio becomes (P + this) / (P + native), and whatever the runtimes \
             differ by fades as P grows."
                .to_owned(),
        ),
        chart(&found, source),
        Block::Folded {
            summary: "Table by P".to_owned(),
            open: false,
            blocks: vec![
                Block::Text(format!(
                    "The last column is the P from which the two differ by no more than {effect}."
                )),
                Block::Table(table),
            ],
        },
    ];
    Section { id, title, blocks, brief: None }
}

/// What a platform adds dwarfs what one sandbox adds over another: so it is the first reference
/// alone that a cold start is compared with.
fn compared<'s>(source: &mut Source<'s>) -> Vec<Compared<'s>> {
    let (report, cases) = (source.report, &source.evidence.cases);
    let mut found = Vec::new();
    for ratio in report.ratios.iter().filter(|ratio| ratio.case.suite == Suite::ColdStart) {
        let (case, reference) = (&ratio.case, ratio.reference.as_str());
        let is_first =
            source.runtimes.references(case).first().is_some_and(|name| name == reference);
        let below = Case { runtime: reference.to_owned(), ..case.clone() };
        let samples = |case: &Case| cases.get(case).and_then(|found| found.samples());
        let Some((above, below)) = samples(case).zip(samples(&below)).filter(|_| is_first) else {
            continue;
        };
        let mut shifted = |constant_ms: u64| {
            let constant_ns = constant_ms as f64 * 1e6;
            source.bootstrap.shifted_ratio(above, below, constant_ns).map(Interval::from)
        };
        let ratios: Option<Vec<Interval>> = CONSTANTS_MS.into_iter().map(&mut shifted).collect();
        let common = Samples::of_common_rounds(&[above, below]);
        let medians_ns = [&common[0], &common[1]].map(Samples::median);
        found.extend(ratios.map(|ratios| Compared { case, reference, medians_ns, ratios }));
    }
    found
}

/// A curve per runtime: the geometric mean over functions and payloads.
fn chart(found: &[Compared<'_>], source: &Source<'_>) -> Block {
    const STEPS: i32 = 60;
    let mut by_runtime: Vec<(&str, Vec<&Compared<'_>>)> = Vec::new();
    for found in found {
        match by_runtime.iter_mut().find(|(name, _)| *name == found.case.runtime) {
            Some((_, list)) => list.push(found),
            None => by_runtime.push((&found.case.runtime, vec![found])),
        }
    }
    let at = |list: &[&Compared<'_>], constant_ns: f64| {
        let ratio = |found: &&Compared<'_>| {
            let [time_ns, reference_ns] = found.times_ns();
            lumos_model::platform_ratio(constant_ns, time_ns, reference_ns)
        };
        let ratios: Vec<f64> = list.iter().filter_map(ratio).collect();
        Some((constant_ns, lumos_model::geometric_mean(&ratios)?.mean))
    };
    // From 0.1 ms to 10 s.
    let constants =
        (0..=STEPS).map(|step| 10f64.powf(5.0 + 5.0 * f64::from(step) / f64::from(STEPS)));
    let curve = |(name, list): &(&str, Vec<&Compared<'_>>)| Curve {
        series: source.palette.of(name),
        points: constants.clone().filter_map(|constant_ns| at(list, constant_ns)).collect(),
    };
    let curves: Vec<Curve> = by_runtime.iter().map(curve).collect();
    let label = "Cold-start ratio to native as a function of the platform's own start-up time";
    Block::Chart(Chart {
        title: String::new(),
        legend: source.palette.legend(by_runtime.iter().map(|(name, _)| *name)),
        marks: Marks::Lines,
        svg: charts::curves(label, &curves, format::decade, Vertical::Ratio),
        caption: "Geometric mean of the ratio over functions and payloads, by P.".to_owned(),
    })
}
