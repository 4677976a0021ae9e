//! `cargo xtask bench`: sets up, builds, runs the suites of every runtime, and reports.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, TargetKind};
use globset::Glob;
use lumos_model::Bootstrap;
use lumos_record::protocol::{Events, variable};
use lumos_record::{
    ArtifactKind, ArtifactManifest, Case, Emulator, Event, Lane, Layout, Need, Precision, Profile,
    PullCheck, Record, Round, Run, Runtime, Selection, Setting, Suite, Toolchain, parse_bytes,
    parse_cpus,
};
use lumos_workloads::{Workload, Workloads};
use serde::Deserialize;

use crate::build::{BuildRequest, Scope};
use crate::emulation::Emulation;
use crate::interrupt::{self, Interrupted};
use crate::progress::Progress;
use crate::runtimes::RuntimeCrate;
use crate::stages::{Effort, Stage, Stages};
use crate::targets::{self, Arch, CpuLevel, Platform};
use crate::{baselines, build, foreign, process, report, runtimes, setup};

/// Sets up what is missing, builds the guests, runs the suites and ends with a report.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How much to measure: quick (minutes), standard (every function, and images on every base) or
    /// full (every payload and suite)
    #[arg(long, default_value_t = Profile::default())]
    profile: Profile,
    /// Only these suites, such as `cold_start`; `pull` runs when it is named, or in the profile
    /// full [a glob; may be repeated]
    #[arg(long, value_name = "GLOB")]
    suite: Vec<String>,
    /// Only these runtimes, such as `wasmtime-*`; a name without its sandbox counts in both lanes
    /// and in every sandbox [a glob; may be repeated]
    #[arg(long, value_name = "GLOB")]
    runtime: Vec<String>,
    /// Only these functions and chains [a glob; may be repeated]
    #[arg(long, value_name = "GLOB")]
    function: Vec<String>,
    /// Only these payloads, such as `64KiB` [a glob; may be repeated]
    #[arg(long, value_name = "GLOB")]
    payload: Vec<String>,
    /// How many processors a worker may use, such as 0.5
    #[arg(long, value_name = "NUMBER", value_parser = parse_cpus)]
    cpus: Option<u32>,
    /// How much memory a worker may use, such as 128MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    memory: Option<u64>,
    /// Give workers what such a node has: cloud, edge or constrained; `--cpus` and `--memory`
    /// prevail [may be repeated, for a series each]
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
    /// A second series of cold starts, each after dropping the page cache (as root)
    #[arg(long)]
    drop_caches: bool,
    /// Run workers of this architecture: another than the host's through an emulator, for
    /// correctness alone, in the served lane: host, x86_64 or aarch64
    #[arg(long, value_name = "ARCHITECTURE", default_value = "host")]
    target: String,
    /// What of a processor native code and precompiled Wasm may use, as in `cargo xtask build`
    #[arg(long, value_name = "NAME")]
    isa: Vec<CpuLevel>,
    /// Measure everything so many times, one round after the other, so that figures hold what
    /// changes on the node by itself; each round takes a fifth of the profile's time
    #[arg(long, value_name = "NUMBER", default_value_t = Round::USUAL,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How precisely to know each ratio to native code, such as 5%: when all rounds are over, more
    /// are measured of those that are not, the widest first, for as long again; `off` measures no
    /// more. Without it, 10% in the profile quick, 5% in standard and 3% in full, for 15 % of the time
    #[arg(long, value_name = "PERCENT", value_parser = parse_precision)]
    precision: Option<Precision>,
    /// Draws the order of the runtimes for each sample
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seconds one invocation may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    limit: u64,
    /// List the cases and run nothing
    #[arg(long)]
    list: bool,
    /// Run every case once and check its answer, without timing it
    #[arg(long)]
    verify: bool,
    /// Arguments for Criterion, such as `--save-baseline main`
    #[arg(last = true, value_name = "CRITERION")]
    criterion: Vec<String>,
    #[command(flatten)]
    foreign: foreign::Module,
    /// Only the first payload of each function.
    #[arg(skip)]
    first_payload: bool,
}

impl Arguments {
    /// A quick run of two functions, as the continuous integration makes it.
    pub fn sample(functions: [&str; 2]) -> Self {
        Self {
            profile: Profile::Quick,
            function: functions.map(str::to_owned).to_vec(),
            ..Self::default()
        }
    }

    /// Every function and chain once, in both lanes: with all of its payloads, or with the first.
    pub fn verifying(all: bool) -> Self {
        let suites = [Suite::Warm, Suite::Call, Suite::Retrieval, Suite::Chain, Suite::ChainLocal];
        let suite = suites.map(|suite| suite.to_string()).to_vec();
        let first_payload = !all;
        Self { profile: Profile::Full, suite, verify: true, first_payload, ..Self::default() }
    }

    /// A quick run of the ways to build Wasm.
    pub fn variants() -> Self {
        let suite = vec![Suite::Variants.to_string()];
        Self { profile: Profile::Quick, suite, ..Self::default() }
    }

    /// What larger profiles add to a quick run of everything; none for another.
    fn more(&self, layout: &Layout, cases: &[Case]) -> Result<Option<String>> {
        let globs = [&self.suite, &self.runtime, &self.function, &self.payload];
        let is_all = globs.iter().all(|globs| globs.is_empty()) && !self.foreign.is_given();
        if self.profile != Profile::Quick || !is_all {
            return Ok(None);
        }
        let workloads = Workloads::read(&layout.workloads())?;
        let measured: BTreeSet<&str> = cases.iter().map(|case| case.function.as_str()).collect();
        Ok(Some(format!(
            "This was the profile quick, with {} of {} functions. `--profile standard` adds the \
             others and images on every base, `--profile full` every payload and every suite.",
            measured.len(),
            workloads.benchmarked().count()
        )))
    }

    /// The platform that is measured, and its architecture where that has to be emulated.
    fn platform(&self) -> Result<(Platform, Option<Arch>)> {
        let arch = match targets::architectures(&self.target)?.as_slice() {
            &[arch] => arch,
            _ => bail!("--target {}: one run measures one architecture", self.target),
        };
        let platforms = Platform::all(&[arch], &self.isa)?;
        let platform = platforms.into_iter().next().context("there is no platform")?;
        Ok((platform, (!arch.is_host()).then_some(arch)))
    }
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            suite: Vec::new(),
            runtime: Vec::new(),
            function: Vec::new(),
            payload: Vec::new(),
            cpus: None,
            memory: None,
            node: Vec::new(),
            drop_caches: false,
            target: "host".to_owned(),
            isa: Vec::new(),
            rounds: Round::USUAL,
            precision: None,
            seed: 0,
            limit: 60,
            list: false,
            verify: false,
            criterion: Vec::new(),
            foreign: foreign::Module::default(),
            first_payload: false,
        }
    }
}

/// How precisely figures are to be known: a percentage, or `off`.
fn parse_precision(text: &str) -> Result<Precision, String> {
    if text == "off" {
        return Ok(Precision::Off);
    }
    let percent: Option<f64> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    match percent.map(|percent| (percent * 10.0).round()) {
        Some(permille) if (1.0..=1000.0).contains(&permille) => {
            Ok(Precision::WithinPermille(permille as u32))
        }
        _ => Err("a percentage from 0.1% to 100%, or `off`".to_owned()),
    }
}

/// Runs the command; the exit code is 1 when a case failed.
///
/// # Errors
/// When the set-up or the build fails, or a name matches nothing.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<ExitCode> {
    let (_, outcome) = measure(layout, arguments)?;
    let (measured, cases, run) = match outcome {
        Outcome::Listed => return Ok(ExitCode::SUCCESS),
        Outcome::Verified(verdict) => {
            verdict.print();
            return Ok(verdict.exit_code());
        }
        Outcome::Measured(measured, cases, run) => (measured, cases, run),
    };
    let checked = check_models(layout, &cases, &run);
    let summary = report::generate(&measured, &run, &measured.report())?;
    print!("{summary}");
    if let Some(more) = arguments.more(&measured, &cases)? {
        println!("{more}");
    }
    // What was measured is reported, whatever became of the check.
    checked.context("the check of a model failed")?;
    Ok(ExitCode::from(u8::from(summary.failures > 0)))
}

/// Measures everything in a profile, and returns the folder of the last round's run.
///
/// # Errors
/// As [`run`].
pub fn measure_all(layout: &Layout, profile: Profile) -> Result<PathBuf> {
    match measure(layout, &Arguments { profile, ..Arguments::default() })? {
        (_, Outcome::Measured(_, _, run)) => Ok(run),
        _ => bail!("nothing was measured"),
    }
}

/// Where the output of measuring processes goes.
pub fn log_of(layout: &Layout) -> PathBuf {
    layout.lumos().join("bench.log")
}

/// What came of the arguments.
enum Outcome {
    /// The cases were printed.
    Listed,
    /// They were run once.
    Verified(Verdict),
    /// They were measured in that checkout, in the run of that folder.
    Measured(Layout, Vec<Case>, PathBuf),
}

/// Sets up, builds, and runs the cases that the arguments ask for.
fn measure(layout: &Layout, arguments: &Arguments) -> Result<(ArtifactManifest, Outcome)> {
    let (platform, emulated) = arguments.platform()?;
    if let Some(arch) = emulated {
        setup::emulator(arch)?;
    }
    let build = |needs: BTreeSet<Need>| {
        let scope = Scope::of(needs);
        build::build(layout, &BuildRequest { force: false, platforms: vec![platform], scope })
    };
    // What there can be is known before anything is built.
    let declared = build(BTreeSet::new())?;
    let foreign = match arguments.foreign.is_given() {
        true => {
            let chosen = chosen_runtimes(&arguments.runtime, &declared.runtimes)?;
            let manifest = build(arguments.foreign.needs(layout, &chosen)?)?;
            Some(arguments.foreign.checkout(layout, &manifest, chosen)?)
        }
        false => None,
    };
    let (measured, declared) = match &foreign {
        Some((own, manifest)) => (own.clone(), manifest.clone()),
        None => (layout.clone(), declared),
    };
    let mut selection = select(&measured, arguments, &declared)?;
    // Containers are started by others, whom the kernel has to help.
    let emulation = emulated.map(Emulation::begin).transpose();
    if let Some(arch) = emulated {
        let features = platform.features().iter().map(|&feature| feature.to_owned());
        selection.emulator = Some(Emulator {
            arch: arch.name().to_owned(),
            program: targets::emulator(arch)?,
            features: features.collect(),
            lacks: emulation.as_ref().err().map(|reason| format!("{reason:#}")),
        });
    }
    let packages = packages(&selection, &declared.runtimes)?;
    if packages.is_empty() {
        bail!(no_case(arguments.profile));
    }
    let mut stages = Stages::begin(layout, 3);
    let compiling = compiling(packages.len());
    eprintln!(
        "To come: {}; build what their cases take; measure. The first build takes the longest.",
        stages.describe(&compiling)
    );
    let benches = stages.run(&compiling, || Benches::build(layout, measured, &packages))?;
    let cases = benches.list(&selection)?;
    let needed = needs(&benches.measured, &cases, &declared.runtimes)?;
    if arguments.list {
        if std::env::var_os(LIST_BUILDS).is_some() && foreign.is_none() {
            build(needed)?;
        }
        for case in &cases {
            println!("{case}");
        }
        eprintln!("{} cases", cases.len());
        return Ok((declared, Outcome::Listed));
    }
    if cases.is_empty() {
        bail!(no_case(arguments.profile));
    }
    let manifest = stages.run(&building(needed.len()), || match foreign {
        Some(_) => Ok(declared),
        None => build(needed.clone()),
    })?;
    let measuring = measuring(arguments, cases.len(), selection.rounds as usize);
    let run = stages
        .run(&measuring, || benches.measure(&selection, cases.len(), &arguments.criterion))?;
    drop(emulation);
    let outcome = match arguments.verify {
        true => Outcome::Verified(Verdict::read(&run)?),
        false => Outcome::Measured(benches.measured, cases, run),
    };
    Ok((manifest, outcome))
}

/// The environment variable with which `--list` builds what the cases take, for who runs them
/// later.
pub const LIST_BUILDS: &str = "LUMOS_LIST_BUILDS";

fn no_case(profile: Profile) -> String {
    format!(
        "no case matches all of what was asked for; `--profile {profile}` may leave it out: see \
         `cargo xtask bench --profile full --list`"
    )
}

fn compiling(packages: usize) -> Stage {
    let effort = Effort {
        key: "bench targets".to_owned(),
        units: packages,
        usual_seconds: 90.0,
        is_parallel: true,
        is_kept: true,
    };
    let title = format!("compile the bench targets of {packages} crates");
    Stage { title, effort: Some(effort) }
}

fn building(artifacts: usize) -> Stage {
    let title = format!("build what is missing or stale of {artifacts} artifacts");
    // The build finds out what there is to do, and tells.
    Stage { title, effort: None }
}

fn measuring(arguments: &Arguments, cases: usize, rounds: usize) -> Stage {
    let (verb, usual_seconds) = match (arguments.verify, arguments.profile) {
        (true, _) => ("verify", 0.4),
        (false, Profile::Quick) => ("measure", 0.16),
        (false, Profile::Standard) => ("measure", 0.26),
        (false, Profile::Full) => ("measure", 1.6),
    };
    let precision = match arguments.precision {
        Some(Precision::WithinPermille(permille)) => format!(" within {permille} permille"),
        _ => String::new(),
    };
    let effort = Effort {
        key: format!("{verb} {}{precision}", arguments.profile),
        units: cases * rounds,
        usual_seconds,
        is_parallel: false,
        is_kept: false,
    };
    let title = match rounds {
        1 => format!("{verb} {cases} cases"),
        _ => format!("{verb} {cases} cases in {rounds} rounds"),
    };
    Stage { title, effort: Some(effort) }
}

/// What cases take, each of one of these runtimes.
fn needs(layout: &Layout, cases: &[Case], runtimes: &[Runtime]) -> Result<BTreeSet<Need>> {
    let workloads = Workloads::read(&layout.workloads())?;
    let of_case = |case: &Case| {
        let is_own = |runtime: &&Runtime| runtime.is_called(case.suite.lane(), &case.runtime);
        runtimes.iter().find(is_own).map(|runtime| workloads.needs(case, runtime))
    };
    Ok(cases.iter().filter_map(of_case).flatten().collect())
}

/// The packages that may have cases of a selection: bench targets of others need not be compiled.
fn packages(selection: &Selection, runtimes: &[Runtime]) -> Result<BTreeSet<String>> {
    let globs: Result<Vec<_>, _> = selection.suites.iter().map(|glob| Glob::new(glob)).collect();
    let globs: Vec<_> = globs?.iter().map(Glob::compile_matcher).collect();
    let is_chosen = |runtime: &&Runtime| {
        Suite::ALL.iter().any(|&suite| {
            let name = runtime.name_in(suite.lane());
            (globs.is_empty() || globs.iter().any(|glob| glob.is_match(suite.name())))
                && (selection.runtimes.is_empty() || selection.runtimes.contains(&name))
                && runtime.takes_part(suite, selection.profile)
        })
    };
    Ok(runtimes.iter().filter(is_chosen).map(|runtime| runtime.package.clone()).collect())
}

/// Runs the programs that check what a report models, where the run holds their suite, and keeps
/// what they found in the run's folder.
fn check_models(layout: &Layout, cases: &[Case], run: &Path) -> Result<()> {
    let crates = runtimes::read(layout, &Toolchain::default())?;
    for (package, check) in
        crates.iter().filter_map(|found| Some((&found.package, found.check.as_ref()?)))
    {
        if !cases.iter().any(|case| case.suite == check.suite) {
            continue;
        }
        let mut command = process::cargo();
        command.current_dir(&layout.root).args(["run", "--quiet", "--release", "--locked"]);
        process::run(command.args(["--package", package, "--bin", &check.program]))?;
        let found = layout.lumos().join(PullCheck::FILE);
        fs::copy(&found, run.join(PullCheck::FILE)).with_context(|| found.display().to_string())?;
    }
    Ok(())
}

/// What became of the cases of a run that only verified; it has no figures to report.
#[derive(Debug, Default)]
struct Verdict {
    verified: usize,
    /// Cases and the reasons for which they were not run.
    skipped: Vec<(Case, String)>,
    failed: usize,
}

impl Verdict {
    fn read(run: &Path) -> Result<Self> {
        let mut verdict = Self::default();
        for record in Run::read(run)?.records {
            match record {
                Record::Verified { .. } => verdict.verified += 1,
                Record::Skip(skip) => verdict.skipped.push((skip.case, skip.reason)),
                Record::Failure(_) => verdict.failed += 1,
                _ => {}
            }
        }
        Ok(verdict)
    }

    /// Prints it, each skip's reason once.
    fn print(&self) {
        let mut reasons: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
        for (case, reason) in &self.skipped {
            reasons.entry(reason).or_default().push(case);
        }
        for (reason, cases) in reasons {
            println!("skipped {} cases, such as {}: {reason}", cases.len(), cases[0]);
        }
        let skipped = self.skipped.len();
        println!(
            "{} cases answered rightly, {skipped} skipped, {} failed",
            self.verified, self.failed
        );
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::from(u8::from(self.failed > 0))
    }
}

/// What runs as programs of another architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emulated {
    /// Every function on every runtime that serves, with its first payload.
    Every,
    /// Two functions as native code and precompiled for one engine, in processes.
    Sample,
}

/// Runs functions as another architecture's programs in an emulator, and checks the answers.
///
/// # Errors
/// When an answer is wrong or missing; a missing container engine excuses its runtimes, and where
/// the kernel cannot be told of the emulator, all containers are excused.
pub fn verify_emulated(layout: &Layout, target: &str, what: Emulated) -> Result<()> {
    // What runs inside this process is of its own architecture, and has no part in it.
    let arguments = match what {
        // A chain there shows nothing that its functions do not show by themselves.
        Emulated::Every => {
            let suite = [Suite::Warm, Suite::Retrieval].map(|suite| suite.to_string()).to_vec();
            Arguments { suite, ..Arguments::verifying(false) }
        }
        Emulated::Sample => {
            let crates = runtimes::read(layout, &Toolchain::default())?;
            Arguments {
                suite: vec![Suite::Warm.to_string()],
                runtime: crates.iter().filter_map(sample_elsewhere).collect(),
                verify: true,
                ..Arguments::sample(SAMPLE)
            }
        }
    };
    let arguments = Arguments { target: target.to_owned(), ..arguments };
    let (manifest, Outcome::Verified(verdict)) = measure(layout, &arguments)? else {
        bail!("there is nothing to verify for {target}");
    };
    verdict.print();
    let takes_an_engine = |case: &Case| {
        manifest.runtimes.iter().any(|runtime| {
            runtime.serves == ArtifactKind::Image && runtime.name_in(Lane::Served) == case.runtime
        })
    };
    // Without root, nobody can tell the kernel what runs such programs.
    let engine_answers = process::is_root() && process::container_engine_answers();
    let unexcused: Vec<String> = verdict
        .skipped
        .iter()
        .filter(|(case, _)| engine_answers || !takes_an_engine(case))
        .map(|(case, reason)| format!("{case}: {reason}"))
        .collect();
    if verdict.failed > 0 {
        bail!("{} of the cases on {target} failed: see above", verdict.failed);
    }
    if !unexcused.is_empty() {
        bail!("these cases on {target} were skipped without need:\n  {}", unexcused.join("\n  "));
    }
    if verdict.verified == 0 {
        bail!("no case on {target} was run");
    }
    Ok(())
}

/// The runtime of a crate that shows whether programs of another architecture are right: native
/// code in a process, and one engine's precompiled code. Of engines it is that whose compiler for
/// the host compiles for all: another one would have to be built.
fn sample_elsewhere(found: &RuntimeCrate) -> Option<String> {
    let is_meant = |runtime: &&Runtime| {
        let compiler = found.compiler(&runtime.name, false);
        let is_compiled = compiler.is_some_and(|worker| worker.precompiles_for.covers(true));
        let in_process = runtime.sandbox == Runtime::PROCESS;
        in_process && (runtime.serves == ArtifactKind::NativeExe || is_compiled)
    };
    found.runtimes.iter().find(is_meant).map(|runtime| runtime.name_in(Lane::Served))
}

/// The functions of a small run.
pub const SAMPLE: [&str; 2] = ["noop", "json"];

/// Turns the arguments into a selection, and makes sure that every name matches something.
fn select(
    layout: &Layout,
    arguments: &Arguments,
    manifest: &ArtifactManifest,
) -> Result<Selection> {
    let workloads = Workloads::read(&layout.workloads())?;
    let chains = workloads.chains.iter().map(|chain| &chain.workload);
    let known: Vec<&Workload> = workloads.benchmarked().chain(chains).collect();
    let functions: Vec<&str> = known.iter().map(|known| known.function.as_str()).collect();
    let payloads: BTreeSet<&str> = known
        .iter()
        .flat_map(|workload| workload.payloads.iter().map(|payload| payload.id.as_str()))
        .collect();
    let suites: Vec<&str> = Suite::ALL.iter().map(|suite| suite.name()).collect();
    check_names("suite", &arguments.suite, suites)?;
    check_names("function", &arguments.function, functions)?;
    check_names("payload", &arguments.payload, payloads)?;
    let runtimes = runtime_names(&arguments.runtime, &manifest.runtimes)?;
    let carries_interval = arguments.rounds as usize >= Bootstrap::FEWEST_ROUNDS;
    if matches!(arguments.precision, Some(Precision::WithinPermille(_))) && !carries_interval {
        bail!("--precision takes three rounds at least: fewer do not tell how far they differ");
    }
    Ok(Selection {
        profile: arguments.profile,
        seed: arguments.seed,
        // What is only verified is the same in each round.
        rounds: if arguments.verify { 1 } else { arguments.rounds },
        suites: arguments.suite.clone(),
        functions: arguments.function.clone(),
        runtimes,
        payloads: arguments.payload.clone(),
        settings: settings(arguments)?,
        verify: arguments.verify,
        first_payload: arguments.first_payload,
        invocation_timeout_ms: arguments.limit.saturating_mul(1000),
        precision: arguments.precision.unwrap_or_default(),
        ..Selection::default()
    })
}

/// The names that the globs mean: an engine's stands for it in both lanes and in every sandbox.
fn runtime_names(globs: &[String], runtimes: &[Runtime]) -> Result<Vec<String>> {
    let mut known = BTreeMap::<String, BTreeSet<String>>::new();
    for runtime in runtimes {
        let served = runtime.name_in(Lane::Served);
        let both = [runtime.name_in(Lane::InProcess), served.clone()];
        known.entry(runtime.name.clone()).or_default().extend(both);
        known.entry(served.clone()).or_default().insert(served);
    }
    check_names("runtime", globs, known.keys().map(String::as_str))?;
    let mut names = BTreeSet::new();
    for glob in globs {
        let matcher = Glob::new(glob)?.compile_matcher();
        let matching = known.iter().filter(|(name, _)| matcher.is_match(name));
        names.extend(matching.flat_map(|(_, meant)| meant.clone()));
    }
    Ok(names.into_iter().collect())
}

/// The runtimes that the globs mean, in some lane; all of them where there are none.
fn chosen_runtimes(globs: &[String], runtimes: &[Runtime]) -> Result<Vec<Runtime>> {
    let names = runtime_names(globs, runtimes)?;
    let is_chosen = |runtime: &&Runtime| {
        let in_lane = |lane| names.contains(&runtime.name_in(lane));
        names.is_empty() || Lane::ALL.iter().copied().any(in_lane)
    };
    Ok(runtimes.iter().filter(is_chosen).cloned().collect())
}

/// What nodes of a kind give to a worker.
const NODES: &str = include_str!("bench/nodes.toml");

/// A kind of node.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeProfile {
    cpus: f64,
    memory: String,
}

/// The settings that the arguments ask for; none means the default.
fn settings(arguments: &Arguments) -> Result<Vec<Setting>> {
    let nodes: BTreeMap<String, NodeProfile> = toml::from_str(NODES).context("nodes.toml")?;
    let mut limits = Vec::new();
    for name in &arguments.node {
        let node = nodes.get(name).with_context(|| {
            let known: Vec<&str> = nodes.keys().map(String::as_str).collect();
            format!("unknown node `{name}`: known are {}", known.join(", "))
        })?;
        let read = || -> Result<Setting, String> {
            Ok(Setting {
                cpus_milli: Some(parse_cpus(&node.cpus.to_string())?),
                memory_bytes: Some(parse_bytes(&node.memory)?),
                ..Setting::default()
            })
        };
        limits.push(read().map_err(anyhow::Error::msg)?);
    }
    if limits.is_empty() {
        limits.push(Setting::default());
    }
    let mut settings = Vec::new();
    for mut setting in limits {
        setting.cpus_milli = arguments.cpus.or(setting.cpus_milli);
        setting.memory_bytes = arguments.memory.or(setting.memory_bytes);
        settings.push(setting);
        if arguments.drop_caches {
            settings.push(Setting { drops_caches: true, ..setting });
        }
    }
    Ok(settings)
}

fn check_names<'k>(
    what: &str,
    globs: &[String],
    known: impl IntoIterator<Item = &'k str>,
) -> Result<()> {
    let known: Vec<&str> = known.into_iter().collect();
    for glob in globs {
        let matcher = Glob::new(glob).with_context(|| format!("--{what} {glob}"))?;
        let matcher = matcher.compile_matcher();
        if !known.iter().any(|name| matcher.is_match(name)) {
            bail!("unknown {what} `{glob}`: known are {}", known.join(", "));
        }
    }
    Ok(())
}

/// The bench targets of the runtime crates, compiled.
#[derive(Debug, Clone)]
pub struct Benches {
    /// The checkout that they measure: where they were built, or another.
    measured: Layout,
    /// Where Criterion writes, if they measure another than they were built in.
    elsewhere: Option<PathBuf>,
    /// Package and program, in the order of the packages' names.
    programs: Vec<(String, PathBuf)>,
    /// What tells them that another side is measured in turns with them.
    turn: Option<String>,
}

impl Benches {
    /// Compiles what a plain `cargo bench` of these packages would run, so that both share one
    /// build.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn build(layout: &Layout, measured: Layout, packages: &BTreeSet<String>) -> Result<Self> {
        let mut command = process::cargo();
        command.current_dir(&layout.root).args(["bench", "--no-run", "--locked"]);
        command.args(packages.iter().flat_map(|package| ["--package", package]));
        command.args(runtimes::feature_arguments(layout, |package| packages.contains(package))?);
        // cargo shows on a terminal what it does, and is silent elsewhere while a crate takes long.
        let progress = match std::io::stderr().is_terminal() {
            true => Progress::hidden(),
            false => Progress::begin("compiling", 0),
        };
        progress.at("the bench targets");
        let messages =
            process::output(command.args(["--message-format", "json-render-diagnostics"]))?;
        drop(progress);
        let mut programs: Vec<(String, PathBuf)> = Message::parse_stream(messages.as_bytes())
            .filter_map(|message| match message {
                Ok(Message::CompilerArtifact(built))
                    if built.target.kind.contains(&TargetKind::Bench) =>
                {
                    let folder = built.manifest_path.parent()?.file_name()?;
                    Some((format!("lumos-{folder}"), built.executable?.into()))
                }
                _ => None,
            })
            .collect();
        programs.sort();
        let elsewhere = (measured != *layout).then(|| measured.target.join("criterion"));
        Ok(Self { elsewhere, measured, programs, turn: None })
    }

    /// The same programs, to measure another checkout, with Criterion's files in that folder.
    pub fn elsewhere(&self, measured: Layout, criterion: PathBuf) -> Self {
        Self { measured, elsewhere: Some(criterion), ..self.clone() }
    }

    /// The same, taking its samples in turns with another side; see [`lumos_turns::take`].
    pub fn in_turns(&self, turn: &str) -> Self {
        Self { turn: Some(turn.to_owned()), ..self.clone() }
    }

    /// Where Criterion writes. Each process is told: Criterion would have to ask cargo.
    fn criterion(&self) -> PathBuf {
        self.elsewhere.clone().unwrap_or_else(|| self.measured.criterion())
    }

    /// Where the output of the measuring processes goes.
    pub fn log(&self) -> PathBuf {
        log_of(&self.measured)
    }

    fn command(&self, program: &Path, selection: &Selection) -> Result<Command> {
        let mut command = Command::new(program);
        command.current_dir(&self.measured.root).arg("--bench");
        if self.elsewhere.is_some() {
            command.env(variable::ROOT, &self.measured.root);
        }
        command.env("CARGO_TARGET_DIR", &self.measured.target);
        command.env("CRITERION_HOME", self.criterion());
        command.env(variable::SELECTION, serde_json::to_string(selection)?);
        command.env(variable::ARTIFACTS_READY, "1");
        if let Some(turn) = &self.turn {
            command.env(lumos_turns::Turns::VARIABLE, turn);
        }
        Ok(command)
    }

    /// Every case of a selection, suite by suite and function by function.
    ///
    /// # Errors
    /// When a program fails.
    pub fn list(&self, selection: &Selection) -> Result<Vec<Case>> {
        let selection = Selection { list: true, ..selection.clone() };
        let mut cases = Vec::new();
        for (_, program) in &self.programs {
            let lines = process::output(&mut self.command(program, &selection)?)?;
            for line in lines.lines() {
                let case: Case = serde_json::from_str(line)
                    .with_context(|| format!("{} listed `{line}`", program.display()))?;
                cases.push(case);
            }
        }
        // A stable sort: the cases of one program stay in its own order.
        cases.sort_by_cached_key(|case| (case.suite, case.function.clone()));
        Ok(cases)
    }

    /// Measures so many cases in the rounds of a selection, and returns the folder of the last
    /// round's run.
    fn measure(
        &self,
        selection: &Selection,
        cases: usize,
        criterion: &[String],
    ) -> Result<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let session = format!("xtask-{}-{}", std::process::id(), now.as_nanos());
        // Of a baseline that is saved again, older rounds are not a part.
        if let Some(name) = saved_baseline(criterion)? {
            baselines::remove_rounds(&self.criterion(), &name)?;
        }
        self.run(selection, cases, criterion, &session)
    }

    /// Runs so many cases in the rounds of a selection, and returns the folder of the last one's
    /// run. One of the programs conducts all of them.
    ///
    /// # Errors
    /// When a measuring process fails by itself; of cases, the run tells.
    pub fn run(
        &self,
        selection: &Selection,
        cases: usize,
        criterion: &[String],
        session: &str,
    ) -> Result<PathBuf> {
        let log_path = self.log();
        let log = File::create(&log_path).with_context(|| log_path.display().to_string())?;
        let log = Mutex::new(log);
        let progress = match self.turn {
            None if selection.verify => Progress::begin("verifying", 1),
            None => Progress::begin("measuring", 1),
            // Two of them would write over each other.
            Some(_) => Progress::hidden(),
        };
        let _watched = interrupt::watch();
        let (_, conductor) = self.programs.first().context("there is no bench target")?;
        let mut command = self.command(conductor, selection)?;
        command.args(criterion).env(variable::SESSION, session);
        let programs: BTreeMap<_, _> = self.programs.iter().cloned().collect();
        command.env(variable::PROGRAMS, serde_json::to_string(&programs)?);
        command.env(variable::COMMAND_LINE, serde_json::to_string(&command_line())?);
        let ended = run_logged(&mut command, &log, &progress);
        drop(progress);
        if interrupt::is_interrupted() {
            return Err(self.interrupted(selection, session, cases).into());
        }
        ended.with_context(|| format!("its output is in {}", log_path.display()))?;
        self.find_run(session)
    }

    /// What there is of a run that somebody has interrupted.
    fn interrupted(&self, selection: &Selection, session: &str, cases: usize) -> Interrupted {
        let run = self.find_run(session).ok();
        let read = run.as_deref().and_then(|run| Run::read(run).ok());
        let ended = read.as_ref().map_or(0, |run| run.ended().len());
        let round = read.and_then(|run| Some((run.manifest.round?.number, selection.rounds)));
        let earlier = round.is_some_and(|(number, _)| number > 1);
        let remedy = run.filter(|_| ended > 0 || earlier).map(|run| {
            let name = run.file_name().unwrap_or_default().display();
            // A round that lacks cases is left out of the report of the others.
            let what = if earlier { "the rounds before it" } else { "them" };
            match (selection.verify, self.elsewhere.is_none()) {
                (true, _) => "nothing was timed that could be reported".to_owned(),
                (_, true) => format!("`cargo xtask report --run {name}` reports {what}"),
                _ => format!("their records are in {}", run.display()),
            }
        });
        Interrupted { ended, cases, round, remedy }
    }

    fn find_run(&self, session: &str) -> Result<PathBuf> {
        let runs = Run::all(&self.measured.runs())?;
        let own = |folder: &&PathBuf| {
            Run::read_manifest(folder).is_ok_and(|manifest| {
                let series = manifest.round.as_ref().map(|round| &round.series);
                manifest.session == session || series.is_some_and(|series| series == session)
            })
        };
        runs.iter().rev().find(own).cloned().context("the suites left no run")
    }
}

/// The name of a baseline to save, if there is one among the arguments for Criterion.
fn saved_baseline(criterion: &[String]) -> Result<Option<String>> {
    let mut words = criterion.iter();
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if ["-s", "--save-baseline"].contains(&option) {
            let value = value.or_else(|| words.next().cloned());
            return value
                .with_context(|| format!("{option} lacks the name of a baseline"))
                .map(Some);
        }
    }
    Ok(None)
}

/// The option of a word, without the value that may be in it.
pub fn option(word: &str) -> &str {
    word.split_once('=').map_or(word, |(option, _)| option)
}

/// What the user typed.
fn command_line() -> Vec<String> {
    let words = ["cargo", "xtask"].map(str::to_owned).into_iter();
    words.chain(std::env::args().skip(1)).collect()
}

/// How far a run is, by what its processes tell.
#[derive(Debug, Default)]
struct Reached {
    /// The round, counted from 1, and how many there are.
    round: Option<(u32, u32)>,
    /// What stays on the terminal, each once.
    told: HashSet<Event>,
}

impl Reached {
    /// Shows an event, if it is worth it.
    fn show(&mut self, event: Event, progress: &Progress) {
        match &event {
            Event::Round { number, of } => self.round = Some((*number, *of)),
            Event::Row { number, of, name } => {
                let (done, all) = self.rows(*number, *of);
                progress.reached(done, all, name);
            }
            Event::Failed { .. }
            | Event::Skipped { .. }
            | Event::Notice { .. }
            | Event::Error { .. } => {
                let line = event.to_string();
                if self.told.insert(event) {
                    progress.say(&line);
                }
            }
        }
    }

    /// How many rows of all rounds are done when this one of a round begins, and how many there are.
    fn rows(&self, number: usize, of: usize) -> (usize, usize) {
        let (round, rounds) = self.round.unwrap_or((1, 1));
        (round.saturating_sub(1) as usize * of + number.saturating_sub(1), rounds as usize * of)
    }
}

/// Runs a bench target: its output goes to the log, and what has happened to the terminal.
fn run_logged(command: &mut Command, log: &Mutex<File>, progress: &Progress) -> Result<()> {
    /// How much of what a process has said last may tell why it failed.
    const LAST_LINES: usize = 8;
    let events = Events::listen().context("cannot listen to the measuring processes")?;
    command.env(variable::EVENTS, events.name());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let _told = interrupt::pass_on_to(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let copy = |pipe: Option<Box<dyn Read + Send>>| {
        let mut last = VecDeque::new();
        let lines = pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n'));
        for line in lines.map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Ok(mut log) = log.lock() {
                // A log that cannot be written must not end the run.
                let _ = writeln!(log, "{line}");
            }
            last.push_back(line);
            if last.len() > LAST_LINES {
                last.pop_front();
            }
        }
        last
    };
    let is_over = AtomicBool::new(false);
    let (status, last, reached) = std::thread::scope(|scope| {
        let showing = scope.spawn(|| {
            let mut reached = Reached::default();
            loop {
                match events.next(Duration::from_millis(100)) {
                    Ok(Some(event)) => reached.show(event, progress),
                    Ok(None) if !is_over.load(Ordering::Relaxed) => {}
                    _ => return reached,
                }
            }
        });
        scope.spawn(|| copy(stdout.map(|pipe| Box::new(pipe) as _)));
        let last = copy(stderr.map(|pipe| Box::new(pipe) as _));
        let status = child.wait();
        is_over.store(true, Ordering::Relaxed);
        let reached = showing.join().unwrap_or_else(|panic| resume_unwind(panic));
        (status, last, reached)
    });
    let status = status?;
    if status.success() {
        return Ok(());
    }
    let has_told = reached.told.iter().any(|event| matches!(event, Event::Error { .. }));
    let said = if has_told { Vec::new() } else { Vec::from(last) };
    let said: String = said.iter().map(|line| format!("\n  {line}")).collect();
    bail!("the suite's process failed ({status}){said}");
}

#[cfg(test)]
mod tests {
    use lumos_record::{ArtifactKind, Mode};

    use super::*;

    #[test]
    fn precision_is_a_percentage_or_off() {
        assert_eq!(parse_precision("5%"), Ok(Precision::WithinPermille(50)));
        assert_eq!(parse_precision("2.5"), Ok(Precision::WithinPermille(25)));
        assert_eq!(parse_precision("off"), Ok(Precision::Off));
        for bad in ["", "%", "0", "0.01%", "-5%", "101%", "NaN", "five"] {
            assert!(parse_precision(bad).unwrap_err().contains("0.1% to 100%"), "{bad}");
        }
    }

    #[test]
    fn a_name_that_matches_nothing_is_an_error_that_lists_the_known() {
        let known = ["json", "noop"];
        assert!(check_names("function", &["no*".to_owned()], known).is_ok());
        let message = check_names("function", &["jsn".to_owned()], known).unwrap_err().to_string();
        assert_eq!(message, "unknown function `jsn`: known are json, noop");
        assert!(check_names("function", &["a[".to_owned()], known).is_err());
    }

    #[test]
    fn a_baseline_is_found_among_the_arguments_for_criterion() {
        let saved =
            |line: &str| saved_baseline(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(saved("-s main --sample-size 20 call/").unwrap().as_deref(), Some("main"));
        assert_eq!(saved("--save-baseline=a b").unwrap().as_deref(), Some("a"));
        assert_eq!(saved("--baseline a").unwrap(), None);
        assert!(saved("call -s").is_err());
    }

    #[test]
    fn rows_are_counted_over_all_rounds() {
        let mut reached = Reached::default();
        let progress = Progress::hidden();
        assert_eq!(reached.rows(3, 80), (2, 80));
        reached.show(Event::Round { number: 2, of: 5 }, &progress);
        assert_eq!(reached.rows(1, 80), (80, 400));
    }

    #[test]
    fn a_process_that_fails_by_itself_has_said_why() {
        let log = Mutex::new(tempfile::tempfile().unwrap());
        let mut failing = Command::new("sh");
        failing.args(["-c", "echo result; echo 'error: no such option' >&2; exit 2"]);
        let error = run_logged(&mut failing, &log, &Progress::hidden()).unwrap_err().to_string();
        assert!(error.contains("exit status: 2)\n  error: no such option"), "{error}");
        assert!(run_logged(&mut Command::new("true"), &log, &Progress::hidden()).is_ok());
        assert!(log.into_inner().unwrap().metadata().unwrap().len() > 25);
    }

    #[test]
    fn a_runtime_is_meant_in_both_lanes_unless_its_sandbox_is_named() {
        let plain = |name| Runtime::plain(name, "fake", Mode::Native, "1", ArtifactKind::NativeExe);
        let boxed = Runtime { sandbox: "box".into(), loads: None, ..plain("metal") };
        let runtimes = [plain("metal"), boxed, plain("fast")];
        let names = |glob: &str| runtime_names(&[glob.to_owned()], &runtimes).unwrap();
        assert_eq!(names("metal"), ["metal", "metal-box", "metal-process"]);
        assert_eq!(names("metal-box"), ["metal-box"]);
        assert_eq!(names("*-process"), ["fast-process", "metal-process"]);
        let error = runtime_names(&["slow".into()], &runtimes).unwrap_err().to_string();
        assert!(error.contains("`slow`") && error.contains("metal-box"), "{error}");
    }

    #[test]
    fn nodes_limits_and_the_page_cache_become_settings() {
        let settings = |arguments: Arguments| {
            let settings = settings(&arguments)?;
            anyhow::Ok(settings.iter().map(Setting::to_string).collect::<Vec<_>>())
        };
        assert_eq!(settings(Arguments::default()).unwrap(), [""]);
        let arguments = Arguments {
            node: vec!["edge".into(), "cloud".into()],
            memory: Some(64 << 20),
            drop_caches: true,
            ..Arguments::default()
        };
        let expected = [
            "cpus=0.5,memory=64MiB",
            "cpus=0.5,memory=64MiB,drop-caches",
            "cpus=1,memory=64MiB",
            "cpus=1,memory=64MiB,drop-caches",
        ];
        assert_eq!(settings(arguments).unwrap(), expected);
        let arguments = Arguments { node: vec!["moon".into()], ..Arguments::default() };
        let error = settings(arguments).unwrap_err().to_string();
        assert!(error.contains("`moon`") && error.contains("constrained"), "{error}");
    }
}
