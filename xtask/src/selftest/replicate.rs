//! `cargo xtask selftest --replicate`: how far two runs of the same build lie apart, and whether
//! the interval of the one holds what the other finds.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};
use lumos_criterion::files::{self, Estimate, Estimates, NEWEST};
use lumos_criterion::{Benchmark, Said, verdicts};
use lumos_model::{Verdict, quantile};
use lumos_record::{Layout, Node, Profile, Revision, Suite, Toolchain, place};
use lumos_report::terminal::aligned;
use lumos_report::{CaseRatio, Report};
use serde::Serialize;

use crate::bench;

/// What `target/lumos/replicate.json` holds.
#[derive(Debug, Serialize)]
struct Replicate {
    schema_version: u32,
    started_unix_ms: u64,
    node: Node,
    revision: Revision,
    toolchain: Toolchain,
    profile: Profile,
    pairs: Vec<Pair>,
}

/// Two runs, one right after the other.
#[derive(Debug, Serialize)]
struct Pair {
    runs: [String; 2],
    groups: Vec<Group>,
    criterion: Criterion,
}

/// The ratios of some suites, each in both runs.
#[derive(Debug, Default, Serialize)]
struct Group {
    name: &'static str,
    ratios: usize,
    /// How far the two lie apart, as a share of 1.
    apart_median: f64,
    apart_p90: f64,
    apart_worst: f64,
    /// Of how many the interval in one run holds the ratio of the other, of twice as many.
    held: usize,
    /// `faster` in one run and `slower` in the other.
    opposite: Vec<String>,
    /// How many have the same verdict in both, one that is not `inconclusive`.
    definite: usize,
}

/// What Criterion says of the same samples.
#[derive(Debug, Default, Serialize)]
struct Criterion {
    /// The cases in both runs.
    cases: usize,
    /// Of how many its interval of the median in one run holds the median of the other, of twice
    /// as many.
    held: usize,
    /// How many it calls changed from the first run to the second.
    changed: usize,
}

/// The groups of suites; what is in none of them is in the last alone.
const GROUPS: [(&str, &[Suite]); 4] = [
    ("cold_start", &[Suite::ColdStart]),
    ("warm", &[Suite::Warm]),
    ("load, instantiate, fresh", &[Suite::Load, Suite::Instantiate, Suite::Fresh]),
    ("call", &[Suite::Call]),
];
const ALL: &str = "all";

/// Measures so many pairs of runs of a profile, and compares them cell by cell.
///
/// # Errors
/// When a run cannot be made, or its records not be read.
pub fn run(layout: &Layout, profile: Profile, pairs: usize) -> Result<()> {
    let mut found = Vec::new();
    let mut first = None;
    for number in 1..=pairs {
        eprintln!("pair {number} of {pairs}");
        let one = measure(layout, profile)?;
        let estimates = Medians::read(layout, &one)?;
        let two = measure(layout, profile)?;
        let criterion = Medians::read(layout, &two)?.beside(&estimates, layout)?;
        found.push(Pair {
            runs: [one.run.name.clone(), two.run.name.clone()],
            groups: compare(&one, &two),
            criterion,
        });
        first.get_or_insert(one);
    }
    let Some(first) = first else { return Ok(()) };
    let replicate = Replicate {
        schema_version: 1,
        started_unix_ms: first.run.started_unix_ms,
        node: first.node,
        revision: first.run.revision,
        toolchain: first.run.toolchain,
        profile,
        pairs: found,
    };
    let path = layout.lumos().join("replicate.json");
    place(&path, &serde_json::to_vec_pretty(&replicate)?)?;
    print!("{}", replicate.table());
    println!("{}", path.display());
    Ok(())
}

/// Makes a run, and works out its figures.
fn measure(layout: &Layout, profile: Profile) -> Result<Report> {
    let run = bench::measure_all(layout, profile)?;
    let report = lumos_report::read(layout, &run)?;
    ensure!(!report.ratios.is_empty(), "{}: there is nothing to compare", report.run.name);
    Ok(report)
}

/// Compares the ratios of two runs.
fn compare(one: &Report, two: &Report) -> Vec<Group> {
    let key = |ratio: &CaseRatio| (ratio.case.to_string(), ratio.reference.clone());
    let second: HashMap<_, _> = two.ratios.iter().map(|ratio| (key(ratio), ratio)).collect();
    let mut apart: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    let mut groups: Vec<Group> = GROUPS
        .iter()
        .map(|(name, _)| *name)
        .chain([ALL])
        .map(|name| Group { name, ..Group::default() })
        .collect();
    for first in &one.ratios {
        let Some(second) = second.get(&key(first)) else { continue };
        let own = GROUPS.iter().position(|(_, suites)| suites.contains(&first.case.suite));
        for place in own.into_iter().chain([GROUPS.len()]) {
            groups[place].count(first, second);
            let distance = (first.ratio / second.ratio).ln().abs().exp_m1();
            apart.entry(place).or_default().push(distance);
        }
    }
    for (place, distances) in apart {
        let at = |share: f64| quantile(&distances, share).unwrap_or(f64::NAN);
        let group = &mut groups[place];
        [group.apart_median, group.apart_p90, group.apart_worst] = [at(0.5), at(0.9), at(1.0)];
    }
    groups
}

impl Group {
    fn count(&mut self, first: &CaseRatio, second: &CaseRatio) {
        let holds = |one: &CaseRatio, other: &CaseRatio| {
            usize::from(one.low <= other.ratio && other.ratio <= one.high)
        };
        self.ratios += 1;
        self.held += holds(first, second) + holds(second, first);
        let verdicts = [&first.verdict, &second.verdict].map(Option::as_deref);
        let [faster, slower] =
            [Verdict::Faster, Verdict::Slower].map(|verdict| Some(verdict.name()));
        if verdicts == [faster, slower] || verdicts == [slower, faster] {
            self.opposite.push(format!(
                "{} over {}: {:.3} and {:.3}",
                first.case, first.reference, first.ratio, second.ratio
            ));
        }
        let is_open = verdicts[0].is_none_or(|verdict| verdict == Verdict::Inconclusive.name());
        self.definite += usize::from(!is_open && verdicts[0] == verdicts[1]);
    }
}

/// Criterion's medians by case, each with its interval.
struct Medians(BTreeMap<String, Estimate>);

impl Medians {
    /// Reads what Criterion has filed of the newest run.
    fn read(layout: &Layout, report: &Report) -> Result<Self> {
        let cases: Vec<String> =
            report.estimates.iter().map(|estimate| estimate.case.to_string()).collect();
        let found = files::find(&layout.criterion())?;
        let mut medians = BTreeMap::new();
        for folder in found.get(NEWEST).into_iter().flatten() {
            let root = Path::new("");
            let benchmark: Benchmark = files::read_json(root, folder, files::BENCHMARK)?;
            // What an earlier run has left is of no concern.
            if cases.contains(&benchmark.full_id) {
                let filed: Estimates = files::read_json(root, folder, files::ESTIMATES)?;
                medians.insert(benchmark.full_id, filed.median);
            }
        }
        Ok(Self(medians))
    }

    /// What Criterion says of this run and of the one before it.
    fn beside(&self, before: &Self, layout: &Layout) -> Result<Criterion> {
        let log = std::fs::read_to_string(bench::log_of(layout))?;
        let said = verdicts(&log, self.0.keys());
        let changed = said.values().filter(|said| **said != Said::Nothing).count();
        let both = self.0.iter().filter_map(|(id, one)| Some((one, before.0.get(id)?)));
        let mut criterion = Criterion { changed, ..Criterion::default() };
        for (one, other) in both {
            criterion.cases += 1;
            criterion.held += usize::from(one.holds(other)) + usize::from(other.holds(one));
        }
        Ok(criterion)
    }
}

impl Replicate {
    /// The figures for a terminal.
    fn table(&self) -> String {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let share = |part: usize, of: usize| percent(part as f64 / of.max(1) as f64);
        let titles = ["ratios", "median", "p90", "worst", "held", "opposite", "definite"];
        let mut text = String::new();
        for pair in &self.pairs {
            let head = [vec![pair.runs[0].clone()], titles.map(str::to_owned).to_vec()].concat();
            let groups = pair.groups.iter().map(|group| {
                vec![
                    group.name.to_owned(),
                    group.ratios.to_string(),
                    percent(group.apart_median),
                    percent(group.apart_p90),
                    percent(group.apart_worst),
                    share(group.held, 2 * group.ratios),
                    group.opposite.len().to_string(),
                    share(group.definite, group.ratios),
                ]
            });
            text += &aligned([head].into_iter().chain(groups), |column| column == 0);
            let Criterion { cases, held, changed } = &pair.criterion;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "Criterion's intervals of medians hold the other run's in {} of {cases} cases; it \
                 calls {} of them changed.\n",
                share(*held, 2 * cases),
                share(*changed, *cases)
            );
        }
        text += "How far the ratios of two runs lie apart, how often the interval of one holds the \
                 ratio of the other, verdicts that contradict each other, and ratios with the same \
                 verdict in both.\n";
        text
    }
}
