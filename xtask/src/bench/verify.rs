//! Cases that are run once, for their answers: here, or as programs of another architecture.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use lumos_build::process;
use lumos_build::runtimes::{self, RuntimeCrate};
use lumos_record::{ArtifactKind, Case, Lane, Layout, Record, Run, Runtime, Suite, Toolchain};

use super::{Arguments, Outcome, SAMPLE, measure};

/// What became of the cases of a run that only verified; it has no figures to report.
#[derive(Debug, Default)]
pub struct Verdict {
    pub verified: usize,
    /// Cases and the reasons for which they were not run.
    pub skipped: Vec<(Case, String)>,
    pub failed: usize,
}

impl Verdict {
    /// Reads it of a run's records.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(run: &Path) -> Result<Self> {
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
    pub fn print(&self) {
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

    /// 1 when a case failed.
    pub fn exit_code(&self) -> ExitCode {
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
