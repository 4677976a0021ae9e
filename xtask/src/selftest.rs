//! `cargo xtask selftest`: how often comparisons are wrong on this node.
//!
//! What is compared is known to be the same (A/A), or known to be slower (A/B): the function
//! `fibonacci`, whose work grows with its index, is asked under one name for one index and for a
//! larger one. Each side is a checkout of its own, with the artifacts of this one. The sides are
//! measured and compared as everything else is; Criterion's own verdicts on the same samples are
//! read from what it prints.

mod faults;
mod replicate;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use lumos_build::{BuildRequest, Scope};
use lumos_criterion::{Said, files, verdicts};
use lumos_model::{Comparison, Verdict};
use lumos_record::{
    Lane, Layout, Measuring, Mode, Node, Precision, Profile, Record, Revision, Round, Run,
    RunManifest, Runtime, Selection, Suite, Toolchain, place,
};
use lumos_report::compare::{self, Compared};
use lumos_report::terminal::aligned;
use lumos_workloads::sha256_hex;
use serde::Serialize;
use serde_json::json;

use crate::bench::Benches;
use crate::compare::git::RUNS_A_ROUND;

/// Measures how often comparisons are wrong here: the same code against itself, and against code
/// that is slower by a known amount.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many comparisons of the same code to make, at least
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = one_or_more())]
    comparisons: usize,
    /// How many comparisons to make with each of the slowdowns, at least
    #[arg(long, value_name = "NUMBER", default_value_t = 40, value_parser = one_or_more())]
    trials: usize,
    /// The rounds of each comparison
    #[arg(long, value_name = "NUMBER", default_value_t = Comparison::FEWEST_ROUNDS as u32,
          value_parser = clap::value_parser!(u32).range(Comparison::FEWEST_ROUNDS as i64..=100))]
    rounds: u32,
    /// Measure this profile twice instead, one run right after the other, and compare their
    /// ratios cell by cell [default: quick]
    #[arg(long, value_name = "PROFILE", num_args = 0..=1, default_missing_value = "quick")]
    replicate: Option<Profile>,
    /// How many such pairs of runs
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "replicate",
          value_parser = one_or_more())]
    pairs: usize,
    /// Provoke faults instead (kills, full disks, damaged files and the like), as root, and tell
    /// how many are survived: all, or those whose names contain one of these words
    #[arg(long, value_name = "WORD", num_args = 0.., conflicts_with = "replicate")]
    faults: Option<Vec<String>>,
}

fn one_or_more() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..)
}

/// What `target/lumos/selftest.json` holds.
#[derive(Debug, Serialize)]
struct Selftest {
    schema_version: u32,
    /// The first run of all.
    run: String,
    started_unix_ms: u64,
    node: Node,
    revision: Revision,
    toolchain: Toolchain,
    rounds: u32,
    /// The smallest difference that matters, as a share of 1.
    minimal_effect: f64,
    /// The same code against itself.
    same: Outcome,
    /// Against code with more to do, by how much, as a share of 1.
    slowed: Vec<Slowed>,
}

#[derive(Debug, Serialize)]
struct Slowed {
    slowdown: f64,
    #[serde(flatten)]
    outcome: Outcome,
    /// The geometric mean of the ratios that were found.
    ratio: f64,
}

/// How comparisons ended, by verdict.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    comparisons: usize,
    slower: usize,
    faster: usize,
    equivalent: usize,
    inconclusive: usize,
    /// The comparisons in which Lumos is in error: `faster` or `slower` of the same code, anything
    /// but `slower` of slower code.
    errors: Vec<String>,
    /// Criterion's verdicts, each on one pair of runs.
    criterion: Criterion,
}

#[derive(Debug, Default, Serialize)]
struct Criterion {
    verdicts: usize,
    /// Of the same code: that performance has changed. Of slower code: that it has not, or not in
    /// that direction.
    errors: usize,
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Side {
    name: &'static str,
    /// How much more it has to do, as a share of 1.
    slowdown: f64,
}

/// What all others are compared with.
const BASE: Side = Side { name: "base", slowdown: 0.0 };
const SAME: Side = Side { name: "same", slowdown: 0.0 };
const SLOWED: [Side; 3] = [
    Side { name: "slower-5", slowdown: 0.05 },
    Side { name: "slower-10", slowdown: 0.10 },
    Side { name: "slower-25", slowdown: 0.25 },
];

/// The function: of all, the one whose work is strictly proportional to what it is asked for.
const FUNCTION: &str = "fibonacci";

/// Payloads by name, with the index of the base: some 20 us and some 200 us of native code.
const PAYLOADS: [(&str, u32); 2] = [("short", 60_000), ("long", 600_000)];

/// Where the same code must not seem to have changed.
const SUITES_OF_SAME: [Suite; 3] = [Suite::Call, Suite::Warm, Suite::ColdStart];

/// Where all of the time is the function's, so that it slows down as the function does.
const SUITES_OF_SLOWED: [Suite; 1] = [Suite::Call];

/// Native code, and the ways to run Wasm that take nothing but time: compilation when a module is
/// loaded would make cold starts take most of the test.
const MODES: [Mode; 3] = [Mode::Native, Mode::Aot, Mode::Interpreted];

/// Short samples: what is tested is the comparison of many.
const CRITERION: [&str; 6] =
    ["--measurement-time", "0.1", "--warm-up-time", "0.03", "--sample-size", "40"];

/// At most that share of comparisons of the same code may end in a change.
const MOST_FALSE: f64 = 0.05;

/// The least share of comparisons in which a slowdown has to be found, by its size.
const LEAST_FOUND: [(f64, f64); 2] = [(0.10, 0.90), (0.25, 1.0)];

/// Runs the command.
///
/// # Errors
/// When something cannot be built or run, or a target is missed; the message says which.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    if let Some(profile) = arguments.replicate {
        return replicate::run(layout, profile, arguments.pairs);
    }
    if let Some(wanted) = &arguments.faults {
        return faults::run(layout, wanted);
    }
    let declared = lumos_build::build(layout, &BuildRequest::host(Scope::of([]))?)?.runtimes;
    let is_chosen =
        |runtime: &&Runtime| runtime.sandbox == Runtime::PROCESS && MODES.contains(&runtime.mode);
    let chosen: Vec<&Runtime> = declared.iter().filter(is_chosen).collect();
    let lanes = [Lane::InProcess, Lane::Served];
    let needs = chosen.iter().flat_map(|run| lanes.map(|lane| run.needs(lane, FUNCTION, None)));
    lumos_build::build(layout, &BuildRequest::host(Scope::of(needs.flatten()))?)?;
    let packages = chosen.iter().map(|runtime| runtime.package.clone()).collect();
    // What an earlier one has left is some hundred runs.
    let folder = layout.lumos().join("selftest");
    if folder.is_dir() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let benches = Benches::build(layout, layout.clone(), &packages)?;
    let _alone = Measuring::begin(layout, "cargo xtask selftest")?;
    let field = Field { layout, folder, benches, rounds: arguments.rounds };
    let names = |runtime: &&Runtime| lanes.map(|lane| runtime.name_in(lane));
    let runtimes: Vec<String> = chosen.iter().flat_map(names).collect();
    let selection = |suites: &[Suite]| Selection {
        profile: Profile::Quick,
        rounds: 1,
        precision: Precision::Off,
        suites: suites.iter().map(|suite| suite.name().to_owned()).collect(),
        runtimes: runtimes.clone(),
        ..Selection::default()
    };
    let (same, first) = of_same(&field, &selection(&SUITES_OF_SAME), arguments.comparisons)?;
    let slowed = of_slowed(&field, &selection(&SUITES_OF_SLOWED), arguments.trials)?;
    let selftest = Selftest {
        schema_version: 1,
        run: first.run,
        started_unix_ms: first.started_unix_ms,
        node: first.node,
        revision: first.revision,
        toolchain: first.toolchain,
        rounds: arguments.rounds,
        minimal_effect: lumos_model::MINIMAL_EFFECT,
        same,
        slowed,
    };
    let path = layout.lumos().join("selftest.json");
    place(&path, &serde_json::to_vec_pretty(&selftest)?)?;
    print!("{}", selftest.table());
    println!("{}", path.display());
    selftest.check()
}

/// Compares the same code with itself, at least so many times; with the manifest of the first run.
fn of_same(
    field: &Field<'_>,
    selection: &Selection,
    at_least: usize,
) -> Result<(Outcome, RunManifest)> {
    let mut same = Outcome::default();
    let mut first = None;
    for set in 1.. {
        if same.comparisons >= at_least {
            break;
        }
        eprintln!("the same code: set {set}, {} comparisons so far", same.comparisons);
        let found = field.measure(&format!("same-{set}"), SAME, selection)?;
        same.count(&found.compared, |verdict| {
            !matches!(verdict, Verdict::Slower | Verdict::Faster)
        });
        same.criterion.count(&found.criterion, |_, said| said == Said::Nothing);
        first.get_or_insert(found.manifest);
    }
    Ok((same, first.context("no comparison was asked for")?))
}

/// Compares code with code that has more to do, at least so many times each.
fn of_slowed(field: &Field<'_>, selection: &Selection, at_least: usize) -> Result<Vec<Slowed>> {
    let mut slowed: Vec<Slowed> = SLOWED
        .map(|side| Slowed { slowdown: side.slowdown, outcome: Outcome::default(), ratio: 1.0 })
        .into();
    let mut logarithms = vec![0.0; SLOWED.len()];
    for set in 1.. {
        let done = slowed[0].outcome.comparisons;
        if done >= at_least {
            break;
        }
        eprintln!("slower code: set {set}, {done} comparisons each so far");
        for (place, side) in SLOWED.into_iter().enumerate() {
            let name = format!("{}-{set}", side.name);
            let found = field.measure(&name, side, selection)?;
            logarithms[place] += found.compared.iter().map(|entry| entry.ratio.ln()).sum::<f64>();
            let outcome = &mut slowed[place].outcome;
            outcome.count(&found.compared, |verdict| verdict == Verdict::Slower);
            outcome.criterion.count(&found.criterion, |later, said| {
                // Whoever was measured later is the slower one, or the faster.
                said == if later == BASE { Said::Improved } else { Said::Regressed }
            });
        }
    }
    for (place, entry) in slowed.iter_mut().enumerate() {
        entry.ratio = (logarithms[place] / entry.outcome.comparisons.max(1) as f64).exp();
    }
    Ok(slowed)
}

/// Where sides are measured.
struct Field<'l> {
    layout: &'l Layout,
    /// Where the sides' checkouts and measurements are.
    folder: PathBuf,
    benches: Benches,
    rounds: u32,
}

/// What came of measuring a side beside the base.
struct Found {
    /// The manifest of the base's last run.
    manifest: RunManifest,
    compared: Vec<Compared>,
    /// Which side was measured later, and what Criterion said of it.
    criterion: Vec<(Side, Said)>,
}

impl Field<'_> {
    /// Measures a side beside the base, in rounds, and each round in turns.
    fn measure(&self, name: &str, side: Side, selection: &Selection) -> Result<Found> {
        let criterion_home = self.folder.join("criterion");
        // Criterion compares with what it finds there.
        let _ = fs::remove_dir_all(&criterion_home);
        let sides = [BASE, side];
        let mut checkouts = Vec::new();
        for side in sides {
            checkouts.push(self.checkout(&self.folder.join(side.name), side.slowdown)?);
        }
        let benches: Vec<Benches> = checkouts
            .iter()
            .map(|checkout| self.benches.elsewhere(checkout.clone(), criterion_home.clone()))
            .collect();
        let arguments = CRITERION.map(str::to_owned);
        let mut runs: [PathBuf; 2] = Default::default();
        let mut criterion = Vec::new();
        let cases = [benches[0].list(selection)?, benches[1].list(selection)?].map(|of| of.len());
        let runs_of_all = self.rounds * RUNS_A_ROUND as u32;
        for run in 0..runs_of_all {
            let measure = |side: usize, turn: &str| {
                let series = format!("selftest-{}-{name}-{}", std::process::id(), sides[side].name);
                let (number, of) = (run + 1, runs_of_all);
                let session = format!("{series}-{number}");
                let selection =
                    Selection { round: Some(Round { series, number, of }), ..selection.clone() };
                let benches = benches[side].in_turns(turn);
                benches.run(&selection, cases[side], &arguments, &session)
            };
            let first = run as usize % RUNS_A_ROUND;
            let taken = lumos_turns::take(2, first, |_| {}, measure)?;
            for (run, taken) in runs.iter_mut().zip(taken.sides) {
                *run = taken?;
            }
            let ends = [ends(&runs[0])?, ends(&runs[1])?];
            for (place, benches) in benches.iter().enumerate() {
                let (own, other) = (&ends[place], &ends[1 - place]);
                let log = fs::read_to_string(benches.log())?;
                // Whoever ended first was compared with the round before.
                let said = verdicts(&log, own.keys())
                    .into_iter()
                    .filter(|(id, _)| own.get(*id) > other.get(*id));
                criterion.extend(said.map(|(_, said)| (sides[place], said)));
            }
        }
        let [base, new] = [0, 1].map(|place| (&checkouts[place], runs[place].as_path()));
        let manifest = Run::read_manifest(base.1)?;
        Ok(Found { manifest, compared: compare::runs(base, new)?, criterion })
    }

    /// Makes the checkout of a side: the artifacts of this one, and one function that is asked
    /// for more.
    fn checkout(&self, root: &Path, slowdown: f64) -> Result<Layout> {
        let own = Layout::at(root.to_owned());
        for folder in [own.guests(), own.workloads(), own.lumos()] {
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        let link = own.artifacts();
        // An earlier one may lead to where nothing is any more.
        let _ = fs::remove_file(&link);
        symlink(self.layout.artifacts(), &link).with_context(|| link.display().to_string())?;
        let payloads = PAYLOADS.map(|(id, index)| {
            let index = (f64::from(index) * (1.0 + slowdown)).round() as u32;
            let request = index.to_string();
            json!({
                "id": id,
                "profile": "quick",
                "request_sha256": sha256_hex(request.as_bytes()),
                "response_sha256": sha256_hex(answer(index).as_bytes()),
                "request": { "kind": "literal", "text": request },
            })
        });
        let workload = json!({
            "function": FUNCTION,
            "summary": "What the self-test compares",
            "payload": payloads,
        });
        let path = own.workloads().join(format!("{FUNCTION}.toml"));
        place(&path, toml::to_string(&workload)?.as_bytes())?;
        Ok(own)
    }
}

/// What the function answers.
fn answer(index: u32) -> String {
    let (mut value, mut next) = (0_u64, 1_u64);
    for _ in 0..index {
        (value, next) = (next, value.wrapping_add(next));
    }
    format!("{{\"index\":{index},\"value\":{value}}}\n")
}

/// When each benchmark of a run had its samples.
fn ends(run: &Path) -> Result<BTreeMap<String, SystemTime>> {
    let mut ends = BTreeMap::new();
    for record in Run::read(run)?.records {
        if let Record::Finished(finished) = record {
            let samples = run.join(finished.criterion).join(files::SAMPLE);
            let written = fs::metadata(&samples).and_then(|found| found.modified());
            let written = written.with_context(|| samples.display().to_string())?;
            ends.insert(finished.case.to_string(), written);
        }
    }
    Ok(ends)
}

impl Outcome {
    fn count(&mut self, compared: &[Compared], is_right: impl Fn(Verdict) -> bool) {
        for entry in compared {
            self.comparisons += 1;
            *match entry.judged {
                Verdict::Slower => &mut self.slower,
                Verdict::Faster => &mut self.faster,
                Verdict::Equivalent => &mut self.equivalent,
                Verdict::Inconclusive => &mut self.inconclusive,
            } += 1;
            if !is_right(entry.judged) {
                self.errors.push(format!(
                    "{}: {}, {:.4} ({:.4} to {:.4})",
                    entry.id,
                    entry.judged.name(),
                    entry.ratio,
                    entry.low,
                    entry.high
                ));
            }
        }
    }

    /// The share of comparisons that were in error.
    fn error_rate(&self) -> f64 {
        self.errors.len() as f64 / self.comparisons.max(1) as f64
    }
}

impl Criterion {
    fn count(&mut self, said: &[(Side, Said)], is_right: impl Fn(Side, Said) -> bool) {
        self.verdicts += said.len();
        self.errors += said.iter().filter(|(later, said)| !is_right(*later, *said)).count();
    }

    fn error_rate(&self) -> f64 {
        self.errors as f64 / self.verdicts.max(1) as f64
    }
}

impl Selftest {
    /// The figures for a terminal.
    fn table(&self) -> String {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let titles = [
            "compared",
            "comparisons",
            "slower",
            "faster",
            "equivalent",
            "inconclusive",
            "Criterion says so",
        ];
        let line = |name: String, outcome: &Outcome, criterion: f64| {
            let Outcome { comparisons, slower, faster, equivalent, inconclusive, .. } = outcome;
            let counts = [comparisons, slower, faster, equivalent, inconclusive];
            let criterion = format!("{} of {}", percent(criterion), outcome.criterion.verdicts);
            [vec![name], counts.map(usize::to_string).to_vec(), vec![criterion]].concat()
        };
        let same = line("the same code".into(), &self.same, self.same.criterion.error_rate());
        let slowed = self.slowed.iter().map(|entry| {
            let name = format!("{:.0} % more to do", entry.slowdown * 100.0);
            line(name, &entry.outcome, 1.0 - entry.outcome.criterion.error_rate())
        });
        let lines = [titles.map(str::to_owned).to_vec(), same].into_iter().chain(slowed);
        let mut text = aligned(lines, |column| column == 0);
        text += &format!(
            "\nThe same code was called faster or slower in {} of the comparisons; in {} by \
             Criterion, of one pair of runs.\n",
            percent(self.same.error_rate()),
            percent(self.same.criterion.error_rate())
        );
        text
    }

    /// Compares the figures with the targets.
    fn check(&self) -> Result<()> {
        let mut missed = Vec::new();
        if self.same.error_rate() > MOST_FALSE {
            missed.push(format!("the same code: errors in {:.3}", self.same.error_rate()));
        }
        for entry in &self.slowed {
            let found = 1.0 - entry.outcome.error_rate();
            let least = LEAST_FOUND.iter().find(|(slowdown, _)| *slowdown == entry.slowdown);
            if least.is_some_and(|(_, least)| found < *least) {
                missed.push(format!("{:.0} %: found in {found:.3}", entry.slowdown * 100.0));
            }
        }
        if !missed.is_empty() {
            bail!("targets missed: {}", missed.join("; "));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_is_known() {
        assert_eq!(answer(10), "{\"index\":10,\"value\":55}\n");
    }
}
