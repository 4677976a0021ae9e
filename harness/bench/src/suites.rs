//! The Criterion suites, the same for every runtime.
//!
//! A runtime crate's bench target is one call of [`main`]. The process that cargo starts builds
//! what is missing, and conducts others that measure: one for each runtime, in rounds. Under
//! `cargo xtask bench` one of these programs conducts those of all crates.

mod backing;
mod breakdown;
mod chain;
mod command;
mod conductor;
mod counts;
mod harness;
mod in_process;
mod loaded;
mod page_cache;
pub mod pinned;
pub mod plan;
mod precision;
pub mod pull;
mod running;
pub mod sampling;
pub mod select;
pub mod served;
pub mod session;
pub mod states;
mod strays;
mod supervise;
pub mod timing;
mod turns;
pub mod watch;
mod weather;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lumos_abi::worker::{STACK_OF_HOST_BYTES, limit_stack};
use lumos_criterion::{Asked, Purpose, Samples};
use lumos_record::protocol::variable;
use lumos_record::{
    ChainFacts, Event, Layout, Need, Record, Runtime, SandboxFacts, Setting, Suite,
    while_somebody_reads,
};
use lumos_workloads::{Chain, Workloads};

use crate::artifact::Artifacts;
use crate::sandbox::process::Process;
use crate::sandbox::{SandboxContext, SocketDirectory};
use crate::{Engine, Limits, NoEngine, Sandbox};
use conductor::Conductor;
use counts::Order;
use harness::Harness;
use harness::Measured;
pub(crate) use harness::Trouble;
pub use harness::verify_digest;
use plan::Plan;
use running::{Engines, Running};
use select::{Filter, Selection};
use session::{Brief, Session};
use states::States;
use supervise::Part;
use turns::Turns;
use watch::Watch;

/// The `main` of a runtime crate's bench target.
///
/// `package` is the crate; `new_engine` makes one of its engines by name. The crate's runtimes
/// are those that it declares in its `Cargo.toml`, and its workers are processes.
pub fn main<E: Engine>(package: &str, new_engine: fn(&str, &Limits) -> Result<E>) -> ExitCode {
    main_in(package, new_engine, Process::new)
}

/// The [`main`] of a crate that brings a sandbox and no engine.
pub fn main_of_sandbox<S: Sandbox>(
    package: &str,
    new_sandbox: fn(&SandboxContext<'_>) -> Result<S>,
) -> ExitCode {
    let no_engine =
        |name: &str, _: &Limits| -> Result<NoEngine> { bail!("this crate has no engine `{name}`") };
    main_in(package, no_engine, new_sandbox)
}

/// The [`main`] of a crate whose workers live in a sandbox of its own.
pub fn main_in<E: Engine, S: Sandbox>(
    package: &str,
    new_engine: fn(&str, &Limits) -> Result<E>,
    new_sandbox: fn(&SandboxContext<'_>) -> Result<S>,
) -> ExitCode {
    while_somebody_reads(|| match try_main(package, new_engine, new_sandbox) {
        Ok(code) => code,
        Err(error) => {
            Event::Error { message: format!("{error:#}") }.tell();
            ExitCode::FAILURE
        }
    })
}

fn try_main<E: Engine, S: Sandbox>(
    package: &str,
    new_engine: fn(&str, &Limits) -> Result<E>,
    new_sandbox: fn(&SandboxContext<'_>) -> Result<S>,
) -> Result<ExitCode> {
    end_with_parent();
    if let Some(order) = Order::from_environment()? {
        return order.obey(new_engine);
    }
    let layout = layout()?;
    if std::env::var_os(variable::TIDY).is_some() {
        for leftover in S::remove_leftovers(&layout) {
            eprintln!("removed what an earlier run left behind: {leftover}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let lumos_criterion::Arguments { filter, save_baseline, baseline, asked, purpose } =
        lumos_criterion::Arguments::parse(&words)?;
    let selection = Selection::from_environment()?;
    let filter = Filter::new(&selection, &filter)?;
    let run = std::env::var_os(variable::RUN);
    let workloads = Workloads::read(&layout.workloads())?;
    if run.is_none() && std::env::var_os(variable::ARTIFACTS_READY).is_none() {
        // What there can be is known before anything is built.
        build_artifacts(&layout, &BTreeSet::new())?;
        if purpose != Purpose::Look && !selection.list {
            build_artifacts(&layout, &needs(package, &layout, &workloads, &selection, &filter)?)?;
        }
    }
    let artifacts = match &selection.emulator {
        Some(emulator) => {
            Artifacts::read_for(&layout.artifacts(), &emulator.arch, emulator.features.clone())?
        }
        None => Artifacts::read(&layout.artifacts())?,
    };
    let keeps = purpose == Purpose::Measure && !selection.list;
    if keeps && run.is_none() {
        let conductor = Conductor {
            package,
            layout: &layout,
            artifacts: &artifacts,
            workloads: &workloads,
            selection: &selection,
            filter: &filter,
            save_baseline: save_baseline.as_deref(),
            baseline: baseline.as_deref(),
        };
        return conductor.run();
    }
    // Engines hold functions to a limit of their own, which the stack of this thread has to hold.
    let stack_bytes = Limits::default().stack_bytes + STACK_OF_HOST_BYTES;
    limit_stack(stack_bytes).map_err(anyhow::Error::msg)?;
    let turns = Turns::from_environment(&selection);
    let session = match run {
        Some(run) => {
            let mut session = Session::join(Path::new(&run))?;
            session.announce(package, turns.as_ref().and_then(Turns::processor))?;
            Some(session)
        }
        None => None,
    };
    let process = Measuring {
        package,
        new_engine,
        new_sandbox,
        layout,
        artifacts,
        workloads,
        selection,
        filter,
        purpose,
        asked,
        part: Part::from_environment()?,
    };
    process.run(session, turns)
}

/// Has this process be asked to end when the one that started it is no more: then nobody could ask.
fn end_with_parent() {
    // SAFETY: no memory is passed.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
}

/// What the chosen cases of a crate's runtimes take.
fn needs(
    package: &str,
    layout: &Layout,
    workloads: &Workloads,
    selection: &Selection,
    filter: &Filter,
) -> Result<BTreeSet<Need>> {
    let declared = Artifacts::read(&layout.artifacts())?.manifest;
    let plan = Plan::new(workloads, &declared, selection);
    let own = plan.cases.iter().filter(|planned| planned.runtime.package == package);
    let cases = own.map(|planned| (planned.case(), planned.runtime));
    let chosen = cases.filter(|(case, _)| filter.accepts(case));
    Ok(chosen.flat_map(|(case, runtime)| workloads.needs(&case, runtime)).collect())
}

/// The checkout that is measured.
///
/// # Errors
/// When this program was not built in one, and none is named.
pub fn layout() -> Result<Layout> {
    Ok(Layout::of_process(env!("CARGO_MANIFEST_DIR"))?)
}

/// Builds what is needed and missing or stale, by the code that `cargo xtask build` runs.
fn build_artifacts(layout: &Layout, needs: &BTreeSet<Need>) -> Result<()> {
    let needs = serde_json::to_string(needs)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
        .args(["build", "--needs", &needs])
        .current_dir(&layout.root)
        // A path that is no whole one would begin in that folder.
        .env("CARGO_TARGET_DIR", &layout.target)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("`cargo xtask build` failed: its message is above");
    }
    Ok(())
}

/// Measures a case.
type Driver<E, S> = fn(&mut Running<'_, E, S>) -> Result<Measured, Trouble>;

/// What measures a suite's cases.
fn driver<E: Engine, S: Sandbox>(suite: Suite) -> Driver<E, S> {
    match suite {
        Suite::ColdStart => served::cold_start,
        Suite::Warm | Suite::SerializationServed | Suite::Retrieval => served::warm,
        Suite::Load => in_process::load,
        Suite::Instantiate => in_process::instantiate,
        Suite::Fresh => in_process::fresh,
        Suite::Call | Suite::Variants | Suite::Serialization => in_process::call,
        Suite::Pull => pull::run,
        Suite::Breakdown => breakdown::run,
        Suite::Chain => chain::served,
        Suite::ChainLocal => chain::local,
        Suite::Counts => counts::run,
    }
}

/// The process that measures a runtime, or tries all of a crate.
struct Measuring<'m, E, S> {
    package: &'m str,
    new_engine: fn(&str, &Limits) -> Result<E>,
    new_sandbox: fn(&SandboxContext<'_>) -> Result<S>,
    layout: Layout,
    artifacts: Artifacts,
    workloads: Workloads,
    selection: Selection,
    filter: Filter,
    purpose: Purpose,
    asked: Asked,
    part: Option<Part>,
}

impl<E: Engine, S: Sandbox> Measuring<'_, E, S> {
    fn run(self, session: Option<Session>, turns: Option<Turns>) -> Result<ExitCode> {
        let limits = select::limits(&self.selection, &Setting::default());
        confine(&limits);
        let manifest = self.artifacts.manifest.clone();
        let plan = Plan::new(&self.workloads, &manifest, &self.selection);
        let ended = session.as_ref().map_or(Ok(HashSet::new()), Session::ended)?;
        let brief = session.as_ref().map_or(Ok(Brief::default()), Session::brief)?;
        let (sockets, _own) = sockets()?;
        let limit = self.selection.invocation_timeout();
        let emulator = self.selection.emulator.clone();
        let context = SandboxContext {
            sockets: &sockets,
            timeout: limit,
            layout: &self.layout,
            emulator: emulator.as_ref(),
        };
        let sandbox = (self.new_sandbox)(&context)?;
        let mut harness = Harness {
            layout: self.layout,
            artifacts: self.artifacts,
            watch: new_watch(limit)?,
            unwatched: Watch::alone(limit),
            worker_uses: Vec::new(),
            trying: session.is_none().then(lumos_criterion::criterion),
            asked: self.asked,
            selection: self.selection,
            time_per_case: plan.time_per_case,
            session,
            failures: 0,
            states: States::new(&sockets),
            turns,
            row: 0,
            samples: Samples::default(),
            brief,
        };
        let facts = sandbox.facts();
        if let Some(session) = harness.session.as_mut().filter(|_| !facts.is_empty()) {
            let package = self.package.to_owned();
            session.write(&Record::Sandbox(SandboxFacts { package, facts }))?;
        }
        let mut engines = Engines::new(self.new_engine, limits);
        let mut told_chains = HashSet::new();
        let is_own = |runtime: &Runtime| {
            runtime.package == self.package
                && self.part.as_ref().is_none_or(|part| *part == Part::of(runtime))
        };
        for planned in &plan.cases {
            let case = planned.case();
            let is_chosen = self.filter.accepts(&case) && harness.brief.takes(&case);
            if !is_own(planned.runtime) || !is_chosen || ended.contains(&case) {
                continue;
            }
            if harness.selection.list {
                println!("{}", serde_json::to_string(&case)?);
                continue;
            }
            if self.purpose == Purpose::Look {
                harness.register(&case);
                continue;
            }
            if let (Some(session), Some(chain)) = (&mut harness.session, planned.chain)
                && told_chains.insert(&chain.workload.function)
            {
                session.write(&Record::Chain(facts_of(chain)))?;
            }
            if let Some(reason) = plan.omission(planned) {
                harness.skip(&case, reason)?;
                continue;
            }
            harness.row = planned.row;
            harness.case(&case, |harness| {
                let (sandbox, engines) = (&sandbox, &mut engines);
                driver(case.suite)(&mut Running { harness, sandbox, engines, planned, case: &case })
            })?;
        }
        harness.end();
        Ok(ExitCode::SUCCESS)
    }
}

/// What a run records of a chain.
fn facts_of(chain: &Chain) -> ChainFacts {
    ChainFacts {
        chain: chain.workload.function.clone(),
        functions: chain.steps.iter().map(|step| step.function.clone()).collect(),
    }
}

/// The watch over what hangs: the supervisor's where there is one.
fn new_watch(timeout: Duration) -> Result<Watch> {
    match std::env::var_os(variable::WATCH) {
        Some(path) => Ok(Watch::shared(Path::new(&path), timeout)?),
        None => Ok(Watch::alone(timeout)),
    }
}

/// The supervisor's folder for sockets, or one of this process alone.
fn sockets() -> Result<(PathBuf, Option<SocketDirectory>)> {
    if let Some(path) = std::env::var_os(variable::SOCKETS) {
        return Ok((path.into(), None));
    }
    let own = SocketDirectory::create().context("cannot make a folder for sockets")?;
    Ok((own.path().to_owned(), Some(own)))
}

/// A measuring process does not outlive its supervisor, and a function that eats memory inside
/// it ends that process instead of the node.
fn confine(limits: &Limits) {
    // An engine that moves a memory to grow it holds it twice; the rest is the harness's own.
    let most_bytes = limits.memory_bytes.saturating_mul(4);
    let limit = libc::rlimit { rlim_cur: most_bytes, rlim_max: most_bytes };
    // SAFETY: an integer, and a pointer to a live value. A limit that is lower already stays.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::setrlimit(libc::RLIMIT_DATA, &raw const limit);
    }
}
