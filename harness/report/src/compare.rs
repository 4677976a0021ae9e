//! Two runs or Criterion baselines, benchmark by benchmark: what became faster, what slower.
//!
//! [`side`] reads what is compared, this module compares, [`show`] formats, and a [`Gate`] judges
//! for a program.

mod gate;
pub mod show;
pub mod side;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use lumos_model::{
    Bootstrap, Comparison, Estimate, Judgement, MINIMAL_EFFECT, Verdict, geometric_mean,
};
use lumos_record::Layout;
use serde::Serialize;

use crate::figure::SEED;
pub use gate::{Gate, percent};
use side::Side;

/// The comparisons of two sides.
#[derive(Debug, Serialize)]
pub struct Comparisons {
    /// The version of this file's shape.
    schema_version: u32,
    base: Side,
    new: Side,
    /// The smallest difference that matters, as a share of 1.
    minimal_effect: f64,
    /// The share of resamples inside of an interval.
    confidence: f64,
    /// Why there are no verdicts: what differs beside the code, as `what: base / new`.
    refused: Vec<String>,
    /// What somebody should know.
    warnings: Vec<String>,
    /// A benchmark each, the largest ratio first.
    comparisons: Vec<Compared>,
    /// What was counted instead of timed, the largest ratio first.
    counts: Vec<Counts>,
    /// The geometric mean of each suite's ratios.
    means: Vec<Mean>,
    /// What only the base has.
    missing: Vec<String>,
    /// What only the new side has.
    added: Vec<String>,
    /// What has too few samples.
    #[serde(skip)]
    too_few: Vec<String>,
}

/// One benchmark on both sides.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// Its id.
    pub id: String,
    base_ns: f64,
    new_ns: f64,
    /// The new median over the base's, with its interval.
    pub ratio: f64,
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    rounds: usize,
    /// How probable such a difference is by chance, alone and among all comparisons.
    p_value: Option<f64>,
    adjusted_p_value: Option<f64>,
    /// None where verdicts are refused.
    verdict: Option<&'static str>,
    more_rounds: Option<usize>,
    /// The verdict, refused or not.
    #[serde(skip)]
    pub judged: Verdict,
}

/// A benchmark's id, its medians on both sides, and what was found of them.
type Found = (String, f64, f64, Comparison);

impl Compared {
    fn new(
        (id, base_ns, new_ns, found): Found,
        judged: Judgement,
        may_judge: bool,
        runs_a_round: usize,
    ) -> Self {
        let Judgement { verdict, adjusted_p_value, more_rounds } = judged;
        Self {
            id,
            base_ns,
            new_ns,
            ratio: found.ratio.point,
            low: found.ratio.low,
            high: found.ratio.high,
            rounds: found.rounds,
            p_value: found.p_value,
            adjusted_p_value,
            verdict: may_judge.then(|| verdict.name()),
            more_rounds: more_rounds.map(|more| more.div_ceil(runs_a_round)),
            judged: verdict,
        }
    }
}

/// The instructions of one benchmark on both sides: without rounds and intervals, since they are
/// the same each time.
#[derive(Debug, Serialize)]
struct Counts {
    id: String,
    base_instructions: u64,
    new_instructions: u64,
    ratio: f64,
    /// None where verdicts are refused.
    verdict: Option<&'static str>,
}

/// The ratios of one suite.
#[derive(Debug, Serialize)]
struct Mean {
    suite: String,
    ratio: f64,
    smallest: f64,
    largest: f64,
    count: usize,
}

/// Compares two runs, each of a checkout of its own.
///
/// # Errors
/// When one cannot be read, or they have no benchmark in common.
pub fn runs(base: (&Layout, &Path), new: (&Layout, &Path)) -> Result<Vec<Compared>> {
    let [base, new] = [base, new].map(|(layout, folder)| side::run(layout, folder));
    Ok(compare(base?, new?, &[], MINIMAL_EFFECT)?.comparisons)
}

impl Comparisons {
    /// How many rounds have to be asked for.
    fn rounds_for_a_verdict(&self) -> usize {
        Comparison::FEWEST_ROUNDS.div_ceil(self.new.runs_a_round)
    }
}

/// Compares what both sides have; a filter keeps the benchmarks whose id contains one of its words.
///
/// # Errors
/// When both have no benchmark in common that the filter leaves.
pub fn compare(
    mut base: Side,
    mut new: Side,
    filter: &[String],
    minimal_effect: f64,
) -> Result<Comparisons> {
    for side in [&mut base, &mut new] {
        let is_wanted = |id: &str| filter.is_empty() || filter.iter().any(|part| id.contains(part));
        side.samples.retain(|id, _| is_wanted(id));
        side.counts.retain(|id, _| is_wanted(id));
    }
    let missing = only_in(&base, &new);
    let added = only_in(&new, &base);
    let mut bootstrap = Bootstrap::new(SEED);
    let (mut warnings, mut too_few) = (Vec::new(), Vec::new());
    let mut compared: Vec<Found> = Vec::new();
    for (id, below) in &base.samples {
        let Some(above) = new.samples.get(id) else { continue };
        match Comparison::new(above, below, &mut bootstrap) {
            Some(found) => compared.push((id.clone(), below.median(), above.median(), found)),
            None => {
                too_few.push(id.clone());
                warnings.push(format!(
                    "{id}: {} and {} samples are too few: an interval needs {} on each side.",
                    below.count(),
                    above.count(),
                    Bootstrap::FEWEST
                ));
            }
        }
    }
    for side in [&base, &new] {
        warnings.extend(side.problems.iter().map(|problem| format!("{}: {problem}", side.name)));
    }
    if compared.is_empty() && !base.counts.keys().any(|id| new.counts.contains_key(id)) {
        bail!(
            "{} and {} have no benchmark in common{}{}",
            base.title(),
            new.title(),
            if filter.is_empty() { "" } else { " that the filter leaves" },
            // Why, if something that they had could not be read.
            warnings.iter().map(|warning| format!("\n  {warning}")).collect::<String>()
        );
    }
    let comparisons: Vec<Comparison> = compared.iter().map(|entry| entry.3.clone()).collect();
    let judged = Comparison::judge(&comparisons, minimal_effect);
    let refused = base.differences(&new);
    let rows = compared.into_iter().zip(judged);
    let row = |(found, judged)| Compared::new(found, judged, refused.is_empty(), new.runs_a_round);
    let mut comparisons: Vec<Compared> = rows.map(row).collect();
    comparisons.sort_by(|a, b| b.ratio.total_cmp(&a.ratio).then_with(|| a.id.cmp(&b.id)));
    let counts = counts(&base, &new, minimal_effect, refused.is_empty());
    let means = means(&comparisons);
    if base.provenance.is_none() || new.provenance.is_none() {
        warnings.push(
            "No run of Lumos on record has saved one of the two, so nothing tells whether node, \
             toolchain and flags are the same."
                .into(),
        );
    }
    Ok(Comparisons {
        schema_version: 2,
        base,
        new,
        minimal_effect,
        confidence: Bootstrap::CONFIDENCE,
        refused,
        warnings,
        comparisons,
        counts,
        means,
        missing,
        added,
        too_few,
    })
}

fn only_in(side: &Side, other: &Side) -> Vec<String> {
    let samples = side.samples.keys().filter(|id| !other.samples.contains_key(*id));
    let counts = side.counts.keys().filter(|id| !other.counts.contains_key(*id));
    samples.chain(counts).cloned().collect()
}

/// Compares what was counted on both sides.
fn counts(base: &Side, new: &Side, minimal_effect: f64, may_judge: bool) -> Vec<Counts> {
    let mut counts: Vec<Counts> = base
        .counts
        .iter()
        .filter_map(|(id, &base_instructions)| {
            let new_instructions = *new.counts.get(id)?;
            // Nobody executes nothing.
            let ratio = new_instructions as f64 / base_instructions.max(1) as f64;
            let exact = Estimate { point: ratio, low: ratio, high: ratio };
            let verdict = may_judge.then(|| Verdict::of(&exact, minimal_effect).name());
            let id = id.clone();
            Some(Counts { id, base_instructions, new_instructions, ratio, verdict })
        })
        .collect();
    counts.sort_by(|a, b| b.ratio.total_cmp(&a.ratio).then_with(|| a.id.cmp(&b.id)));
    counts
}

/// A mean for each suite, which is what an id begins with.
fn means(comparisons: &[Compared]) -> Vec<Mean> {
    let mut ratios: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for found in comparisons {
        let suite = found.id.split('/').next().unwrap_or_default();
        ratios.entry(suite).or_default().push(found.ratio);
    }
    let mean = |(suite, ratios): (&str, Vec<f64>)| {
        let mean = geometric_mean(&ratios)?;
        Some(Mean {
            suite: suite.to_owned(),
            ratio: mean.mean,
            smallest: mean.smallest,
            largest: mean.largest,
            count: mean.count,
        })
    };
    ratios.into_iter().filter_map(mean).collect()
}
