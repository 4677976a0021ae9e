//! When compiling pays: from how many calls, or loads, on a runtime that compiles more or earlier
//! costs no more than one that does less.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lumos_model::{Bootstrap, BreakEven, Estimate, MINIMAL_EFFECT, SampledCost, Samples};
use lumos_record::{Artifact, ArtifactKind, Case, Lane, Mode, Runtime, Setting, Suite};

use crate::load::CaseEvidence;
use crate::runtimes::{Runtimes, payload_rank};
use crate::schema::{Absence, Report};

/// From how many units of work on one runtime costs no more than another.
#[derive(Debug, Clone)]
pub struct BreakEvenEstimate {
    /// The function.
    pub function: String,
    /// The payload, or `-` where it does not matter.
    pub payload: String,
    /// What is counted.
    pub unit: WorkUnit,
    /// The runtime of which it is asked whether it pays: it compiles more, or earlier.
    pub runtime: String,
    /// How that one runs code.
    pub mode: Mode,
    /// The runtime that it is compared with.
    pub against: String,
    /// How that one runs code.
    pub against_mode: Mode,
    /// Whether both come from one crate.
    pub same_package: bool,
    /// What the runtime costs; none where something of it was not measured.
    pub cost: Option<CostEstimate>,
    /// What the other costs; none where something of it was not measured.
    pub against_cost: Option<CostEstimate>,
    /// What the interval says; none without an interval.
    pub verdict: Option<BreakEvenVerdict>,
    /// The number by the medians: from it on, or for `until` below it. None where there is none.
    pub units: Option<u64>,
    /// The lower end of its interval.
    pub low: Option<u64>,
    /// The upper end of its interval; none where that is beyond all numbers.
    pub high: Option<u64>,
    /// Why there is no figure, or no interval.
    pub reason: Option<String>,
}

/// What a break-even counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkUnit {
    /// Calls of one instance.
    Calls,
    /// Loads of the module, each for one call.
    Loads,
}

impl WorkUnit {
    /// The name as it stands in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Loads => "loads",
        }
    }
}

/// What the interval of a break-even says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakEvenVerdict {
    /// It costs no more from the first unit on.
    Always,
    /// It costs no more from some number of units on.
    From,
    /// It costs less below some number of units, and more from there on.
    Until,
    /// It never costs less.
    Never,
    /// The interval does not tell whether it ever does.
    Inconclusive,
}

impl BreakEvenVerdict {
    /// The name as it stands in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::From => "from",
            Self::Until => "until",
            Self::Never => "never",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// What `n` units of work cost: `fixed_ns + n * per_unit_ns`, and what each is the sum of.
#[derive(Debug, Clone, PartialEq)]
pub struct CostEstimate {
    /// The parts of what is paid once.
    pub fixed: Vec<CostPart>,
    /// The sum of their medians.
    pub fixed_ns: f64,
    /// The parts of what each unit costs.
    pub per_unit: Vec<CostPart>,
    /// The sum of their medians.
    pub per_unit_ns: f64,
}

/// A part of what work costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostPart {
    /// Compiling ahead of time, as the build recorded it.
    Compile,
    /// The suite `load`.
    Load,
    /// The suite `instantiate`.
    Instantiate,
    /// The suite `call`.
    Call,
}

type Cases = BTreeMap<Case, CaseEvidence>;

/// The times of compiling for the run's node, by function and engine.
type Compilations = HashMap<(String, String), Samples>;

/// Every comparison that the run can be asked for, each with its figures or the reason that there
/// are none; none at all of an emulated run, which ranks nothing.
///
/// A comparison that needs a suite of which the run has no case is left out: the run was not
/// asked.
pub fn estimates(
    report: &Report,
    runtimes: &Runtimes,
    cases: &Cases,
    bootstrap: &mut Bootstrap,
) -> Vec<BreakEvenEstimate> {
    if report.node.emulated {
        return Vec::new();
    }
    let compilations = compilations(report);
    let in_process = || {
        let plain =
            |case: &&Case| case.suite.lane() == Lane::InProcess && case.setting.is_default();
        cases.keys().filter(plain)
    };
    let suites: BTreeSet<Suite> = in_process().map(|case| case.suite).collect();
    let names: BTreeSet<&str> = in_process()
        .filter(|case| matches!(case.suite, Suite::Call | Suite::Load))
        .map(|case| case.runtime.as_str())
        .collect();
    let mut engines: Vec<&Runtime> =
        names.into_iter().filter_map(|name| runtimes.find(Lane::InProcess, name)).collect();
    engines.sort_by_cached_key(|engine| runtimes.rank(Lane::InProcess, &engine.name));
    let inputs = |suite: Suite| -> BTreeSet<(&str, &str)> {
        let of_suite = in_process().filter(|case| case.suite == suite);
        of_suite.map(|case| (case.function.as_str(), case.payload.as_str())).collect()
    };
    let (loads, calls) = (inputs(Suite::Load), inputs(Suite::Call));
    let mut comparer = Comparer { report, cases, compilations, bootstrap };
    let mut found = Vec::new();
    for &this in &engines {
        for &other in &engines {
            let Some(question) = Question::of(this, other) else { continue };
            let parts = [this, other].map(|runtime| question.parts(runtime)).concat();
            if !parts.iter().all(|part| part.suite().is_none_or(|suite| suites.contains(&suite))) {
                continue;
            }
            let inputs = if question.takes_payload() { &calls } else { &loads };
            for &input in inputs {
                found.push(comparer.compare(question, input, this, other));
            }
        }
    }
    // Stable: runtimes stay in their order.
    found.sort_by_cached_key(|entry| {
        (entry.function.clone(), payload_rank(&entry.payload), entry.unit)
    });
    found
}

fn compilations(report: &Report) -> Compilations {
    let of_artifact = |artifact: &Artifact| {
        let times_ns = &artifact.compilation.as_ref()?.compile_ns;
        let samples =
            Samples::raw(times_ns.iter().map(|&time_ns| time_ns as f64).collect()).ok()?;
        Some(((artifact.function.clone()?, artifact.engine.clone()?), samples))
    };
    report.own_artifacts().filter_map(of_artifact).collect()
}

/// What is asked of two runtimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// After how many calls of one instance have loading and instantiating paid, and compiling
    /// ahead of time where that is done?
    Calls,
    /// After how many loads has compiling ahead of time paid, if each load serves one call?
    Loads,
    /// The same, where both run what one compiler made: instances and calls are alike, and
    /// their differences would be noise.
    LoadsOfOneEngine,
}

impl Question {
    /// None where neither compiles more than the other, or the other does.
    fn of(this: &Runtime, other: &Runtime) -> Option<Self> {
        match (this.mode, other.mode) {
            (Mode::Jit | Mode::Baseline | Mode::Aot, Mode::Interpreted) => Some(Self::Calls),
            (Mode::Jit, Mode::Baseline) => Some(Self::Calls),
            (Mode::Aot, Mode::Jit) if this.package == other.package => Some(Self::LoadsOfOneEngine),
            (Mode::Aot, Mode::Jit | Mode::Baseline) => Some(Self::Loads),
            _ => None,
        }
    }

    const fn unit(self) -> WorkUnit {
        match self {
            Self::Calls => WorkUnit::Calls,
            Self::Loads | Self::LoadsOfOneEngine => WorkUnit::Loads,
        }
    }

    fn takes_payload(self) -> bool {
        self != Self::LoadsOfOneEngine
    }

    /// What a runtime pays once: whoever loads what was compiled ahead pays for that too.
    fn fixed(self, runtime: &Runtime) -> Vec<CostPart> {
        let ahead = runtime.loads == Some(ArtifactKind::Precompiled);
        let compile = ahead.then_some(CostPart::Compile);
        let others: &[CostPart] = match self {
            Self::Calls => &[CostPart::Load, CostPart::Instantiate],
            Self::Loads | Self::LoadsOfOneEngine => &[],
        };
        compile.into_iter().chain(others.iter().copied()).collect()
    }

    const fn per_unit(self) -> &'static [CostPart] {
        match self {
            Self::Calls => &[CostPart::Call],
            Self::Loads => &[CostPart::Load, CostPart::Instantiate, CostPart::Call],
            Self::LoadsOfOneEngine => &[CostPart::Load],
        }
    }

    /// Everything that a runtime pays for.
    fn parts(self, runtime: &Runtime) -> Vec<CostPart> {
        [&self.fixed(runtime), self.per_unit()].concat()
    }
}

impl CostPart {
    /// The name as it stands in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Load => "load",
            Self::Instantiate => "instantiate",
            Self::Call => "call",
        }
    }

    /// The suite that measures it; none for what the build does.
    const fn suite(self) -> Option<Suite> {
        match self {
            Self::Compile => None,
            Self::Load => Some(Suite::Load),
            Self::Instantiate => Some(Suite::Instantiate),
            Self::Call => Some(Suite::Call),
        }
    }
}

/// What every comparison needs.
struct Comparer<'a> {
    report: &'a Report,
    cases: &'a Cases,
    compilations: Compilations,
    bootstrap: &'a mut Bootstrap,
}

impl Comparer<'_> {
    fn compare(
        &mut self,
        question: Question,
        (function, payload): (&str, &str),
        this: &Runtime,
        other: &Runtime,
    ) -> BreakEvenEstimate {
        let mut entry = BreakEvenEstimate {
            function: function.to_owned(),
            payload: payload.to_owned(),
            unit: question.unit(),
            runtime: this.name.clone(),
            mode: this.mode,
            against: other.name.clone(),
            against_mode: other.mode,
            same_package: this.package == other.package,
            cost: None,
            against_cost: None,
            verdict: None,
            units: None,
            low: None,
            high: None,
            reason: None,
        };
        let sampled = [this, other]
            .map(|runtime| sample(self.cases, &self.compilations, question, &entry, runtime));
        entry.cost = sampled[0].as_ref().ok().map(|cost| described(question, this, cost));
        entry.against_cost = sampled[1].as_ref().ok().map(|cost| described(question, other, cost));
        match sampled {
            [Ok(this), Ok(other)] => entry.judge(self.bootstrap, &this, &other),
            [Err(Lack::Case(case)), _] | [_, Err(Lack::Case(case))] => {
                entry.reason = Some(format!("needs `{case}`, {}", absence(self.report, &case)));
            }
            [Err(Lack::Compilation(engine)), _] | [_, Err(Lack::Compilation(engine))] => {
                entry.reason = Some(format!(
                    "the artifact manifest does not say how long {engine} took to compile \
                     {function}"
                ));
            }
        }
        entry
    }
}

/// What a cost lacks.
enum Lack {
    Case(Case),
    Compilation(String),
}

/// The samples of a runtime's cost for the function and payload of `entry`.
fn sample<'s>(
    cases: &'s Cases,
    compilations: &'s Compilations,
    question: Question,
    entry: &BreakEvenEstimate,
    runtime: &Runtime,
) -> Result<SampledCost<'s>, Lack> {
    let samples = |part: &CostPart| {
        let Some(suite) = part.suite() else {
            let key = (entry.function.clone(), runtime.name.clone());
            return compilations.get(&key).ok_or_else(|| Lack::Compilation(runtime.name.clone()));
        };
        let payload = if suite.takes_payload() { &entry.payload } else { Case::NO_PAYLOAD };
        let case = Case {
            suite,
            function: entry.function.clone(),
            runtime: runtime.name.clone(),
            payload: payload.to_owned(),
            setting: Setting::default(),
        };
        cases.get(&case).and_then(CaseEvidence::samples).ok_or(Lack::Case(case))
    };
    Ok(SampledCost {
        fixed: question.fixed(runtime).iter().map(samples).collect::<Result<_, _>>()?,
        per_unit: question.per_unit().iter().map(samples).collect::<Result<_, _>>()?,
    })
}

fn described(question: Question, runtime: &Runtime, sampled: &SampledCost) -> CostEstimate {
    let cost = sampled.cost();
    CostEstimate {
        fixed: question.fixed(runtime),
        fixed_ns: cost.fixed,
        per_unit: question.per_unit().to_vec(),
        per_unit_ns: cost.per_unit,
    }
}

/// Why a case has no samples.
pub fn absence(report: &Report, case: &Case) -> String {
    let reason = |list: &[Absence]| {
        list.iter().find(|absence| absence.case == *case).map(|absence| absence.reason.clone())
    };
    let told = reason(&report.skips).map(|reason| format!("skipped: {reason}"));
    let told = told.or_else(|| reason(&report.failures).map(|reason| format!("failed: {reason}")));
    told.unwrap_or_else(|| "not selected: this run holds no record of it".into())
}

impl BreakEvenEstimate {
    /// Fills in the figures of two costs that were measured.
    fn judge(&mut self, bootstrap: &mut Bootstrap, this: &SampledCost, other: &SampledCost) {
        let Some(outcome) = bootstrap.break_even(this, other, MINIMAL_EFFECT) else {
            let fewest = |cost: &SampledCost| {
                let sets = cost.fixed.iter().chain(&cost.per_unit);
                sets.map(|samples| samples.count()).min()
            };
            let fewest = [this, other].into_iter().filter_map(fewest).min().unwrap_or(0);
            let point = lumos_model::break_even(this.cost(), other.cost(), MINIMAL_EFFECT);
            self.units = point.filter(|units| units.is_finite()).map(|units| units as u64);
            self.reason = Some(format!(
                "no interval: the fewest samples of a part are {fewest}, and an interval needs {}",
                Bootstrap::FEWEST
            ));
            return;
        };
        let ends = |Estimate { point, low, high }| [point, low, high].map(|end| Some(end as u64));
        let (verdict, [units, low, high]) = match outcome {
            BreakEven::Always => (BreakEvenVerdict::Always, [Some(1); 3]),
            BreakEven::From(estimate) => (BreakEvenVerdict::From, ends(estimate)),
            BreakEven::Until(estimate) => (BreakEvenVerdict::Until, ends(estimate)),
            BreakEven::Never => (BreakEvenVerdict::Never, [None; 3]),
            BreakEven::Inconclusive { point, low } => {
                let point = point.map(|units| units as u64);
                (BreakEvenVerdict::Inconclusive, [point, Some(low as u64), None])
            }
        };
        self.verdict = Some(verdict);
        (self.units, self.low, self.high) = (units, low, high);
    }
}
