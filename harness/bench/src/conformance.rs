//! What every runtime crate has to show: that its engines answer rightly, that they are measured
//! in every suite, and that they survive whatever a function does.
//!
//! A runtime crate's test target, declared with `harness = false`, is one call of [`main`].

mod break_out;
pub mod checkout;
mod commands;
mod digests;
mod faults;
#[cfg(feature = "suites")]
pub mod images;
mod measuring;
#[cfg(feature = "suites")]
pub mod program;
mod refusals;
mod serving;
mod skips;

use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Trial};
use lumos_record::protocol::variable;
use lumos_record::{ArtifactKind, Lane, Mode, Runtime};
use lumos_workloads::{Workload, Workloads};

use crate::artifact::Artifacts;
use crate::sandbox::process::Process;
use crate::sandbox::{SandboxContext, SocketDirectory};
use crate::suites::states::States;
use crate::{Engine, Limits, Sandbox, suites};

/// The `main` of a runtime crate's conformance test; the arguments are those of
/// [`suites::main`].
///
/// The tests run the suites as a user does, in a process that a supervisor watches. That
/// process is this same program: started as a bench target is, it is one.
pub fn main<E: Engine + 'static>(
    package: &'static str,
    new_engine: fn(&str, &Limits) -> Result<E>,
) -> ExitCode {
    if is_bench_target() {
        return suites::main(package, new_engine);
    }
    run(trials(package, new_engine))
}

/// The `main` of the test of a crate that brings a sandbox and no engine; `more` are its own tests.
///
/// `available` says whether this node can make such sandboxes. Where it cannot, the tests make
/// sure that every case is skipped with a reason.
pub fn main_of_sandbox<S: Sandbox + 'static>(
    package: &'static str,
    new_sandbox: fn(&SandboxContext<'_>) -> Result<S>,
    available: fn() -> bool,
    more: fn(&Arc<Built>) -> Vec<Trial>,
) -> ExitCode {
    if is_bench_target() {
        return suites::main_of_sandbox(package, new_sandbox);
    }
    let built = match Built::read(package) {
        Ok(built) => Arc::new(built),
        Err(error) => {
            let message = format!("{error:#}");
            return run(vec![Trial::test("artifacts", move || Err(message.into()))]);
        }
    };
    let mut trials = Vec::new();
    for runtime in built.runtimes.iter().cloned() {
        let name = runtime.name_in(Lane::Served);
        let is_built = |function: &str| {
            built.artifacts.function(&runtime, runtime.serves, function, &[]).is_ok()
        };
        let runs = available() && is_built("noop") && is_built("faulty");
        let (first, second) = (Arc::clone(&built), Arc::clone(&built));
        let (one, other) = (runtime.clone(), runtime.clone());
        if runs {
            // It asks for times within which a worker has to answer.
            trials.push(alone(format!("faults::{name}"), move || faults::check(&second, &other)));
            let (third, every) = (Arc::clone(&built), runtime.clone());
            trials.push(beside(format!("serving::{name}"), move || {
                serve(&third, &every, &[], new_sandbox)
            }));
            trials.push(beside(format!("suites::{name}"), move || measuring::check(&first, &one)));
        } else {
            trials.push(beside(format!("skips::{name}"), move || skips::check(&first, &one)));
        }
    }
    trials.extend(more(&built));
    // A container engine takes its time, in which a processor has nothing to do.
    let arguments = Arguments { test_threads: Some(2), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Has a runtime serve every function in a sandbox of its own.
fn serve<S: Sandbox>(
    built: &Built,
    runtime: &Runtime,
    settings: &[String],
    new_sandbox: fn(&SandboxContext<'_>) -> Result<S>,
) -> Result<()> {
    let (sockets, layout) = (SocketDirectory::create()?, suites::layout()?);
    let context = SandboxContext {
        sockets: sockets.path(),
        timeout: Duration::from_secs(60),
        layout: &layout,
        emulator: None,
    };
    let mut states = States::new(sockets.path());
    serving::check(built, runtime, settings, &new_sandbox(&context)?, &mut states)
}

/// Whether cargo, or a supervisor, has started this program as a bench target.
pub fn is_bench_target() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Runs tests as the arguments of `cargo test` say.
pub fn run(trials: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trials<E: Engine + 'static>(
    package: &'static str,
    new_engine: fn(&str, &Limits) -> Result<E>,
) -> Vec<Trial> {
    let built = match Built::read(package) {
        Ok(built) => Arc::new(built),
        Err(error) => {
            return vec![Trial::test("artifacts", move || Err(format!("{error:#}").into()))];
        }
    };
    let mut trials = Vec::new();
    for runtime in built.runtimes.iter().cloned() {
        let stateless = built.workloads.benchmarked().filter(|workload| !workload.keeps_state);
        for workload in stateless.cloned() {
            let (built, runtime) = (Arc::clone(&built), runtime.clone());
            let name = format!("answers::{}::{}", runtime.name, workload.function);
            trials.push(trial(name, move || {
                digests::check(&built.artifacts, &runtime, &workload, new_engine)
            }));
        }
        let (first, second) = (Arc::clone(&built), Arc::clone(&built));
        let (one, other) = (runtime.clone(), runtime.clone());
        let (third, every) = (Arc::clone(&built), runtime.clone());
        trials.push(trial(format!("serving::{}", runtime.name), move || {
            let settings = new_engine(&every.name, &Limits::default())?.settings();
            serve(&third, &every, &settings, Process::new)
        }));
        let name = &runtime.name;
        trials.push(trial(format!("suites::{name}"), move || measuring::check(&first, &one)));
        trials.push(trial(format!("faults::{name}"), move || faults::check(&second, &other)));
        if runtime.loads == Some(ArtifactKind::Wasm) {
            let (built, runtime) = (Arc::clone(&built), runtime.clone());
            trials.push(trial(format!("counts::{name}"), move || {
                measuring::check_counts(&built, &runtime)
            }));
        }
        if runtime.mode != Mode::Native {
            let (built, runtime) = (Arc::clone(&built), runtime.clone());
            trials.push(trial(format!("commands::{name}"), move || {
                commands::check(&built, &runtime, new_engine)
            }));
        }
        if runtime.loads == Some(ArtifactKind::Precompiled) {
            let (first, second) = (Arc::clone(&built), Arc::clone(&built));
            let (one, other) = (runtime.clone(), runtime.clone());
            let name = &runtime.name;
            trials.push(trial(format!("refusals::{name}"), move || refusals::check(&first, &one)));
            // Bytecode is nobody's machine code.
            if runtime.mode == Mode::Aot {
                trials.push(trial(format!("foreign::{name}"), move || {
                    refusals::check_foreign(&second, &other, new_engine)
                }));
            }
        }
    }
    trials
}

/// Held by tests of a sandbox: to read where a test looks at nothing but its own checkout, and to
/// write where it looks at the node, for what one leaves behind there is another's to find.
static NODE: RwLock<()> = RwLock::new(());

/// Makes a test of a check that may run beside others like it.
fn beside(name: impl Into<String>, check: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    trial(name, move || {
        let _others_may = NODE.read().unwrap_or_else(PoisonError::into_inner);
        check()
    })
}

/// Makes a test of a check that runs while none of the sandbox's others does.
pub fn alone(
    name: impl Into<String>,
    check: impl FnOnce() -> Result<()> + Send + 'static,
) -> Trial {
    trial(name, move || {
        let _nobody_else = NODE.write().unwrap_or_else(PoisonError::into_inner);
        check()
    })
}

/// Makes a test of a check.
pub fn trial(
    name: impl Into<String>,
    check: impl FnOnce() -> Result<()> + Send + 'static,
) -> Trial {
    Trial::test(name, move || check().map_err(|error| format!("{error:#}").into()))
}

/// What `cargo xtask build` left for a crate.
#[derive(Debug)]
pub struct Built {
    /// Every artifact.
    pub artifacts: Artifacts,
    /// What functions are asked, and what they are to answer.
    pub workloads: Workloads,
    /// The crate's own runtimes, one at least.
    pub runtimes: Vec<Runtime>,
}

impl Built {
    /// Reads it, from the checkout that the crate lies in.
    ///
    /// # Errors
    /// When nothing was built, or nothing for this crate; the message holds the remedy.
    pub fn read(package: &str) -> Result<Self> {
        let layout = suites::layout()?;
        let artifacts = Artifacts::read(&layout.artifacts())?;
        let workloads = Workloads::read(&layout.workloads())?;
        let all = &artifacts.manifest.runtimes;
        let runtimes: Vec<Runtime> =
            all.iter().filter(|runtime| runtime.package == package).cloned().collect();
        if runtimes.is_empty() {
            anyhow::bail!(
                "the build knows no runtime of {package}; `cargo xtask build` reads them from \
                 [package.metadata.lumos] in its Cargo.toml"
            );
        }
        Ok(Self { artifacts, workloads, runtimes })
    }

    /// Whether a function is tested where a sample of them may stand for all; the environment
    /// variable [`TEST_FULL`](lumos_record::protocol::variable::TEST_FULL) asks for all.
    pub fn takes(&self, workload: &Workload) -> bool {
        workload.is_sample() || std::env::var_os(variable::TEST_FULL).is_some()
    }

    /// A checkout with one runtime, and the artifacts and the workload of one function.
    ///
    /// # Errors
    /// When there is no such function, or the checkout's folder cannot be written.
    pub fn checkout(&self, runtime: &Runtime, function: &str) -> Result<checkout::Checkout> {
        let mut checkout = checkout::Checkout::new()?;
        let workload = self.workloads.function(function);
        let workload =
            workload.with_context(|| format!("there is no workloads/{function}.toml"))?;
        let copy = checkout.layout().workloads().join(format!("{function}.toml"));
        std::fs::copy(&workload.file, copy)?;
        let wanted = |name: Option<&str>| name.is_none_or(|name| name == function);
        checkout.manifest.runtimes = vec![runtime.clone()];
        checkout.manifest.missing.clone_from(&self.artifacts.manifest.missing);
        for artifact in &self.artifacts.manifest.artifacts {
            if wanted(artifact.function.as_deref()) {
                let mut artifact = artifact.clone();
                artifact.path = std::path::absolute(self.artifacts.directory.join(artifact.path))
                    .context("the artifacts' folder has no absolute path")?;
                checkout.manifest.artifacts.push(artifact);
            }
        }
        Ok(checkout)
    }
}
