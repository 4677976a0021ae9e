//! `cargo xtask bench`: sets up, builds, runs the suites of every runtime, and reports.

mod programs;
mod select;
mod verify;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use globset::Glob;
use lumos_build::emulation::Emulation;
use lumos_build::stages::{Effort, Stage, Stages};
use lumos_build::targets::{self, Arch, CpuLevel, Platform};
use lumos_build::{BuildRequest, Scope, process, runtimes, setup};
use lumos_record::{
    ArtifactManifest, Case, Emulator, Layout, Need, Precision, Profile, PullCheck, Round, Runtime,
    Selection, Setting, Suite, Toolchain, parse_asked, parse_bytes, parse_cpus, parse_stack,
};
use lumos_workloads::Workloads;

use crate::foreign;
use select::{chosen_runtimes, select};
use verify::Verdict;

pub use programs::{Benches, option};
pub use verify::{Emulated, verify_emulated};

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
    /// How much stack a function may use, such as 16MiB; 8 MiB by default
    #[arg(long, value_name = "SIZE", value_parser = parse_stack)]
    stack: Option<u32>,
    /// Give workers what such a node has: cloud, edge or constrained; `--cpus` and `--memory`
    /// prevail [may be repeated, for a series each]
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
    /// A second series of cold starts, each after dropping the page cache (as root)
    #[arg(long)]
    drop_caches: bool,
    /// Another series under these limits and this page cache, written as in the names of cases
    /// behind the `@`, such as `memory=64MiB,drop-caches`; what it does not say is as in the series
    /// of `--node`, `--cpus` and `--memory` [may be repeated]
    #[arg(long, value_name = "SETTING", value_parser = parse_asked)]
    with: Vec<Setting>,
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
            stack: None,
            node: Vec::new(),
            drop_caches: false,
            with: Vec::new(),
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
    let summary = lumos_report::generate(&measured, &run, &measured.report())?;
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
    // What is wrong with these is said before anything is built.
    lumos_criterion::Arguments::parse(&arguments.criterion)?;
    let (platform, emulated) = arguments.platform()?;
    if let Some(arch) = emulated {
        setup::emulator(arch)?;
    }
    let build = |needs: BTreeSet<Need>| {
        let scope = Scope::of(needs);
        lumos_build::build(layout, &BuildRequest { force: false, platforms: vec![platform], scope })
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

/// The functions of a small run.
pub const SAMPLE: [&str; 2] = ["noop", "json"];

#[cfg(test)]
mod tests {
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
}
