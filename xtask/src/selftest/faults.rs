//! `cargo xtask selftest --faults`: what becomes of the project when something goes wrong.
//!
//! Each fault is provoked in the middle of a real command. It is survived when the command ends as
//! it should (in a record or a message that names the cause, with the other cases measured), the
//! next run is clean, and nothing is left on the machine.

#![expect(
    clippy::disallowed_methods,
    reason = "no sample is timed: what is waited for has a limit"
)]

mod disk;
mod field;
mod files;
mod kills;
mod left;
mod machine;
mod mounts;
mod processes;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lumos_build::{BuildRequest, Scope};
use lumos_record::{ArtifactKind, Case, Lane, Layout, Measuring, Mode, Record, Runtime, Suite};

use crate::bench::LIST_BUILDS;
use field::{Cases, Disk, Field, Length};
use processes::Family;

/// The suites that faults are met in.
const SUITES: [&str; 3] = ["cold_start", "warm", "call"];

/// Has something go wrong, and fails where what comes of it is not right.
type Provoke = dyn Fn(&Field) -> Result<()>;

/// Something that goes wrong, and what has to come of it.
struct Fault {
    name: String,
    disk: Disk,
    provoke: Box<Provoke>,
}

impl Fault {
    fn new(name: impl Into<String>, provoke: impl Fn(&Field) -> Result<()> + 'static) -> Self {
        Self { name: name.into(), disk: Disk::Roomy, provoke: Box::new(provoke) }
    }

    /// Where the checkout lies on a disk of so many bytes.
    fn on_a_small_disk(self, bytes: u64) -> Self {
        Self { disk: Disk::Small(bytes), ..self }
    }
}

/// Provokes every fault whose name contains one of these words, or all.
///
/// # Errors
/// When one is not survived; the message says how many were. When faults cannot be provoked here.
pub fn run(layout: &Layout, wanted: &[String]) -> Result<()> {
    let declared = lumos_build::build(layout, &BuildRequest::host(Scope::of([]))?)?.runtimes;
    let alone = Measuring::begin(layout, "cargo xtask selftest --faults")?;
    let mut field = Field::new(layout)?;
    let absent = field.choose(&declared)?;
    let mut faults = kills::all(&field.cases);
    faults.extend(files::all());
    faults.extend(disk::all(&field.cases));
    faults.extend(machine::all(&field.cases));
    faults.retain(|fault| wanted.is_empty() || wanted.iter().any(|part| fault.name.contains(part)));
    ensure!(!faults.is_empty(), "no fault has a name that contains one of {wanted:?}");
    let mut failed = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        let begun = Instant::now();
        let outcome = field.survive(fault);
        let said = match &outcome {
            Ok(()) => "survived".to_owned(),
            Err(error) => format!("NOT SURVIVED: {error:#}"),
        };
        let (time, all) = (begun.elapsed().as_secs_f64(), faults.len());
        println!("{:3}/{all}  {time:5.1} s  {}: {said}", number + 1, fault.name);
        if outcome.is_err() {
            failed.push(fault.name.as_str());
        }
    }
    drop(alone);
    for (sandbox, reason) in absent {
        println!("not tried in {sandbox}: {reason}");
    }
    println!("survived {} of {} faults", faults.len() - failed.len(), faults.len());
    if !failed.is_empty() {
        bail!("not survived: {}", failed.join("; "));
    }
    Ok(())
}

impl Field {
    /// Chooses what is measured, makes sure that it is built and can be measured here, and gives
    /// the sandboxes that have no cases with the reason.
    fn choose(&mut self, declared: &[Runtime]) -> Result<Vec<(String, String)>> {
        let is_plain =
            |runtime: &&Runtime| runtime.base.as_deref().is_none_or(|base| base == "scratch");
        let native = declared.iter().filter(|runtime| runtime.mode == Mode::Native);
        let sandboxes =
            native.filter(is_plain).map(|run| (run.sandbox.clone(), run.name_in(Lane::Served)));
        // What loads the module itself has no other artifact that could be in the way.
        let is_engine =
            |run: &&Runtime| run.mode == Mode::Interpreted && run.loads == Some(ArtifactKind::Wasm);
        let engine = declared.iter().find(is_engine);
        let engine = engine.context("no runtime interprets Wasm")?;
        let cases = Cases {
            sandboxes: sandboxes.collect(),
            in_process: engine.name_in(Lane::InProcess),
            engine: engine.name_in(Lane::Served),
        };
        let all = cases.all();
        self.cases = cases.clone();
        // What is missing is built now, before the checkout is covered.
        let words = self.bench(Length::Short, &SUITES, &all, &["--list"]);
        let mut command = self.command(&words)?;
        command.env(LIST_BUILDS, "1");
        self.start_as(command)?.wait(Duration::from_secs(1800))?.succeeds(&[])?;
        self.cover(Disk::Roomy)?;
        self.run(&self.bench(Length::Short, &SUITES, &all, &[]))?.succeeds(&[])?;
        let mut absent = Vec::new();
        let records = self.records();
        self.cases.sandboxes.retain(|(sandbox, runtime)| {
            let reason = records.iter().find_map(|record| match record {
                Record::Skip(skip) if skip.case.runtime == *runtime => Some(skip.reason.clone()),
                _ => None,
            });
            absent.extend(reason.iter().map(|reason| (sandbox.clone(), reason.clone())));
            reason.is_none()
        });
        Ok(absent)
    }

    /// Provokes a fault, and then sees whether everything is as before.
    fn survive(&mut self, fault: &Fault) -> Result<()> {
        self.cover(fault.disk)?;
        let family = Family::expected();
        let provoked = (fault.provoke)(self);
        if fault.disk != Disk::Roomy {
            // What has been written to a full disk is no part of what is clean.
            self.cover(Disk::Roomy)?;
        }
        let settled = self.settle(&family);
        provoked?;
        settled
    }

    /// Runs every kind of case once more, after which nothing may be left.
    fn settle(&self, family: &Family) -> Result<()> {
        self.run(&self.all())?.succeeds(&["0 skipped, 0 failed"]).context("the next run")?;
        self.measured(&self.cases.all()).context("the next run")?;
        self.nothing_is_left(family)
    }

    /// Makes sure that the newest run has samples of each of these runtimes.
    fn measured(&self, runtimes: &[&str]) -> Result<()> {
        let records = self.records();
        let has_samples = |runtime: &str| {
            let is_own = |case: &Case| case.runtime == runtime;
            records.iter().any(|record| match record {
                Record::Finished(finished) => is_own(&finished.case),
                _ => false,
            })
        };
        match runtimes.iter().find(|runtime| !has_samples(runtime)) {
            Some(runtime) => bail!("{runtime} has no samples in {}", self.newest_run()?.display()),
            None => Ok(()),
        }
    }

    /// Why a case of a runtime has failed in the newest run.
    fn cause(&self, runtime: &str, suite: Suite) -> Result<String> {
        let records = self.records();
        let cause = records.iter().find_map(|record| match record {
            Record::Failure(failure)
                if failure.case.runtime == runtime && failure.case.suite == suite =>
            {
                Some(failure.cause.clone())
            }
            _ => None,
        });
        cause.with_context(|| format!("{suite} of {runtime} has not failed"))
    }

    /// Whether a case of a runtime has begun in the newest run, and has not ended.
    fn is_under_way(&self, runtime: &str, suite: Suite) -> bool {
        let is_own = |case: &Case| case.runtime == runtime && case.suite == suite;
        let mut is_under_way = false;
        for record in self.records() {
            match record {
                Record::Started { case } if is_own(&case) => is_under_way = true,
                Record::Finished(finished) if is_own(&finished.case) => is_under_way = false,
                _ => {}
            }
        }
        is_under_way
    }
}

impl Cases {
    /// Every runtime.
    fn all(&self) -> Vec<&str> {
        let served = self.sandboxes.iter().map(|(_, runtime)| runtime.as_str());
        served.chain([self.in_process.as_str(), &self.engine]).collect()
    }

    /// What is measured beside a case that goes wrong: native code in a process.
    fn bystander(&self) -> Result<&str> {
        let found = self.sandboxes.iter().find(|(sandbox, _)| sandbox == Runtime::PROCESS);
        found.map(|(_, runtime)| runtime.as_str()).context("no native code in a process")
    }
}
