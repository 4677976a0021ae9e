//! `cargo xtask compare`: what became faster or slower between two runs or Criterion baselines.
//!
//! The steps, a module each: [`side`] reads what is compared, which [`git`] may have measured
//! before, this one compares, and [`show`] formats.

pub mod git;
mod show;
mod side;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use lumos_model::{
    Bootstrap, Comparison, Estimate, Judgement, MINIMAL_EFFECT, Verdict, geometric_mean,
};
use lumos_record::Layout;
use serde::Serialize;

use side::{Side, Sides};

use crate::report::analysis::SEED;

/// Compares runs, or Criterion baselines: what became faster, what slower.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to compare with: a Criterion baseline, or a run by the name of its folder
    base: String,
    /// What to compare [default: the newest run, or Criterion's `new` where there is no run]
    new: Option<String>,
    /// Take both for revisions: build them in worktrees, and measure them in turns; NEW defaults
    /// to HEAD
    #[arg(long)]
    git: bool,
    /// The rounds in which revisions are measured
    #[arg(long, value_name = "NUMBER", requires = "git",
          default_value_t = Comparison::FEWEST_ROUNDS as u32,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Of revisions, arguments for `cargo xtask bench`, such as `--profile quick --suite call`
    #[arg(last = true, value_name = "BENCH", requires = "git")]
    bench: Vec<String>,
    /// Only benchmarks whose id contains this [may be repeated]
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// The smallest difference that matters, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = MINIMAL_EFFECT * 100.0,
          value_parser = percent)]
    minimal_effect: f64,
    /// How to print the comparisons
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Write to a file instead of the terminal
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit with 3 if something became slower, with its whole interval beyond that many percent, or
    /// beyond the minimal effect: `slower` or `slower:10`; with 1 where it cannot be judged
    #[arg(long, value_name = "slower[:PERCENT]", value_parser = Gate::from_str)]
    fail_on: Option<Gate>,
}

/// How comparisons are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For a terminal: what changed, and what may have.
    Table,
    /// For a pull request: the same.
    Markdown,
    /// Everything.
    Json,
}

/// What makes the command fail.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Gate {
    /// The slowdown from which it does, as a share of 1; none means the minimal effect.
    slowdown: Option<f64>,
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "slower" => Ok(Self { slowdown: None }),
            Some(("slower", slowdown)) => Ok(Self { slowdown: Some(percent(slowdown)? / 100.0) }),
            _ => Err("`slower` or `slower:PERCENT`, such as `slower:10`".into()),
        }
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim_end_matches('%').parse().map_err(|_| "not a number".to_owned())?;
    match (0.0..=1000.0).contains(&number) {
        true => Ok(number),
        false => Err("not from 0 to 1000".into()),
    }
}

/// The exit code when the gate is closed.
const GATE_CLOSED: u8 = 3;

/// The comparisons of two sides.
#[derive(Debug, Serialize)]
struct Comparisons {
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

/// Runs the command; the exit code is 3 when the gate is closed.
///
/// # Errors
/// When a side cannot be found or read, both have no benchmark in common, or a gate is asked for
/// where there can be no verdict.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<ExitCode> {
    let new = arguments.new.as_deref();
    // Commits take long to measure.
    let folder = arguments.output.as_deref().and_then(Path::parent);
    if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty())
        && !folder.is_dir()
    {
        bail!("{}: there is no such folder to write to", folder.display());
    }
    let Sides { base, new } = match arguments.git {
        true => {
            let revisions = [arguments.base.as_str(), new.unwrap_or("HEAD")];
            git::measure(layout, revisions, arguments.rounds, &arguments.bench)?
        }
        false => side::read(layout, &arguments.base, new)?,
    };
    let found = compare(base, new, &arguments.filter, arguments.minimal_effect / 100.0)?;
    let text = match arguments.format {
        Format::Table => show::table(&found),
        Format::Markdown => show::markdown(&found),
        Format::Json => serde_json::to_string_pretty(&found)? + "\n",
    };
    match &arguments.output {
        Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string())?,
        // A reader that has seen enough, such as `head`, is no error.
        None => drop(std::io::stdout().write_all(text.as_bytes())),
    }
    arguments.fail_on.map_or(Ok(ExitCode::SUCCESS), |gate| gate.check(&found))
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

/// Compares what both sides have.
fn compare(
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
    let mut compared = Vec::new();
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
    if compared.is_empty() && !base.counts.keys().any(|id| new.counts.contains_key(id)) {
        bail!(
            "{} and {} have no benchmark in common{}",
            base.title(),
            new.title(),
            if filter.is_empty() { "" } else { " that the filter leaves" }
        );
    }
    let comparisons: Vec<Comparison> = compared.iter().map(|entry| entry.3.clone()).collect();
    let judged = Comparison::judge(&comparisons, minimal_effect);
    let refused = base.differences(&new);
    let mut comparisons: Vec<Compared> = compared
        .into_iter()
        .zip(judged)
        .map(|((id, base_ns, new_ns, found), judged)| {
            let Judgement { verdict, adjusted_p_value, more_rounds } = judged;
            Compared {
                id,
                base_ns,
                new_ns,
                ratio: found.ratio.point,
                low: found.ratio.low,
                high: found.ratio.high,
                rounds: found.rounds,
                p_value: found.p_value,
                adjusted_p_value,
                verdict: refused.is_empty().then(|| verdict.name()),
                more_rounds: more_rounds.map(|more| more.div_ceil(new.runs_a_round)),
                judged: verdict,
            }
        })
        .collect();
    comparisons.sort_by(|a, b| b.ratio.total_cmp(&a.ratio).then_with(|| a.id.cmp(&b.id)));
    let counts = counts(&base, &new, minimal_effect, refused.is_empty());
    let means = means(&comparisons);
    for side in [&base, &new] {
        warnings.extend(side.problems.iter().map(|problem| format!("{}: {problem}", side.name)));
    }
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

impl Gate {
    /// The exit code for what was found: that something became slower is known whatever else is
    /// not, that nothing did is only known of what was judged.
    fn check(self, found: &Comparisons) -> Result<ExitCode> {
        if !found.refused.is_empty() {
            bail!("the gate cannot judge: {}", found.refused.join("; "));
        }
        let least = 1.0 + self.slowdown.unwrap_or(found.minimal_effect);
        let slower = found
            .comparisons
            .iter()
            .filter(|entry| entry.judged == Verdict::Slower && entry.low > least);
        // Counts are exact: however small a difference is, it is one.
        let more = found.counts.iter().filter(|entry| entry.ratio > least);
        let count = slower.count() + more.count();
        if count > 0 {
            eprintln!("slower by more than {:.1} %: {count}", (least - 1.0) * 100.0);
            return Ok(ExitCode::from(GATE_CLOSED));
        }
        let (fewest, rounds) = (Comparison::FEWEST_ROUNDS, found.rounds_for_a_verdict());
        let few_rounds = format!("it takes {fewest} rounds on both sides: `--rounds {rounds}`");
        let thin = found.comparisons.iter().filter(|entry| entry.rounds < fewest);
        let thin: Vec<&String> = thin.map(|entry| &entry.id).collect();
        for (ids, why) in [
            (thin, few_rounds.as_str()),
            (found.too_few.iter().collect(), "there are too few samples"),
            (found.missing.iter().collect(), "only the base has it"),
        ] {
            if let Some(first) = ids.first() {
                bail!(
                    "the gate cannot judge {first}{}: {why}. `--filter` chooses what is compared",
                    match ids.len() - 1 {
                        0 => String::new(),
                        others => format!(" and {others} more"),
                    }
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
