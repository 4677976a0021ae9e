//! What containers of an engine have to show beside what every runtime has. Where no engine
//! answers, that every case says so.

mod alone;
mod cleaning;
mod misbehaviour;
mod proxy;
mod trouble;
mod unreachable;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::checkout::{Checkout, Ended, Outcome, TEN_SAMPLES, outcomes};
use lumos_bench::conformance::{Built, alone, main_of_sandbox, program};
use lumos_bench::sandbox::{Name, Phase};
use lumos_bench::suites::select::Selection;
use lumos_docker::{Docker, Engine};
use lumos_record::{Profile, Record, Runtime, Setting, Suite};

const PACKAGE: &str = env!("CARGO_PKG_NAME");

/// Long enough for a worker on a busy node, and more than one test has to wait for it.
const LIMIT_MS: u64 = 1000;

fn main() -> ExitCode {
    if program::is_rogue() {
        return program::main();
    }
    if unreachable::is_probe() {
        return unreachable::probe();
    }
    main_of_sandbox(PACKAGE, Docker::new, has_engine, trials)
}

fn has_engine() -> bool {
    Engine::connect().is_ok()
}

fn trials(built: &Arc<Built>) -> Vec<Trial> {
    let (first, second) = (Arc::clone(built), Arc::clone(built));
    let mut trials = vec![
        with_engine("answers", move || answers(&first)),
        with_engine("phases", move || phases(&second)),
        with_engine("limits", limits),
    ];
    trials.extend(misbehaviour::trials());
    trials.extend(alone::trials());
    trials.extend(trouble::trials());
    trials.extend(unreachable::trials());
    trials.extend(cleaning::trials());
    trials
}

/// Makes a test of a check that takes an engine. Without one the test is that a case which would
/// have answered is skipped, with the remedy.
fn with_engine(name: &str, check: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    alone(name, move || match Engine::connect() {
        Ok(engine) => tidily(&engine, check),
        Err(reason) => {
            let (_, outcomes) = run(&checkout(&["honest"])?, &selection(&[Suite::ColdStart]))?;
            match outcomes.as_slice() {
                [(_, Outcome::Skipped(cause))] if *cause == reason => {
                    let remedies =
                        ["setup --with-docker", "systemctl", "usermod", "unset DOCKER_HOST"];
                    let has_remedy = remedies.iter().any(|remedy| cause.contains(remedy));
                    ensure!(has_remedy, "no remedy: {cause}");
                    Ok(())
                }
                other => bail!("{other:?} instead of a skip for want of an engine: {reason}"),
            }
        }
    })
}

/// Removes the images that a check makes, and fails when it leaves a container.
fn tidily(engine: &Engine, check: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = engine.images()?;
    let outcome = check();
    let left = || -> Result<Vec<String>> {
        let own =
            |run: &str| Name::is_leftover(run) || Name::owner(run) == Some(std::process::id());
        let left = engine.containers()?.into_iter().filter(|container| own(&container.run));
        Ok(left.map(|container| container.name).collect())
    };
    let left = left()?;
    for container in &left {
        engine.remove_container(container)?;
    }
    for image in engine.images()? {
        if !before.iter().any(|known| known.id == image.id) {
            engine.remove_image(&image.id)?;
        }
    }
    outcome?;
    ensure!(left.is_empty(), "containers are left: {left:?}");
    Ok(())
}

/// A checkout with a runtime for each way to behave; this program, in an image, is the worker of
/// all.
fn checkout(ways: &[&str]) -> Result<Checkout> {
    program::checkout(PACKAGE, "docker", ways)
}

/// Each case once.
fn selection(suites: &[Suite]) -> Selection {
    Selection {
        suites: suites.iter().map(|suite| suite.to_string()).collect(),
        verify: true,
        invocation_timeout_ms: LIMIT_MS,
        profile: Profile::Standard,
        ..Selection::default()
    }
}

/// Runs the suites; the outcome of each runtime, in the order of the manifest.
fn run(checkout: &Checkout, selection: &Selection) -> Result<(Ended, Vec<(String, Outcome)>)> {
    let ended = checkout.run(selection, &[])?;
    ensure!(ended.status.success() && !ended.output.contains("panicked"), "{ended}");
    let found = outcomes(&ended.run()?)?;
    let named = checkout.manifest.runtimes.iter().map(|runtime| {
        let name = runtime.name_in(lumos_record::Lane::Served);
        let mut own = found.iter().filter(|(case, _)| case.runtime == name);
        let (_, outcome) = own.next().with_context(|| format!("no outcome of {name}: {ended}"))?;
        Ok((runtime.name.clone(), outcome.clone()))
    });
    let named: Result<_> = named.collect();
    Ok((ended, named?))
}

/// The crate's runtime that every profile measures.
fn runtime(built: &Built) -> Result<&Runtime> {
    let mut runtimes = built.runtimes.iter();
    runtimes.find(|runtime| runtime.profile == Profile::Quick).context("no runtime")
}

/// A checkout with a function as it was built.
fn function(built: &Built, name: &str) -> Result<Checkout> {
    built.checkout(runtime(built)?, name)
}

/// Functions answer rightly in both suites.
fn answers(built: &Built) -> Result<()> {
    for name in ["noop", "json"] {
        let checkout = function(built, name)?;
        let suites = [Suite::ColdStart, Suite::Warm];
        let selection = Selection { invocation_timeout_ms: 0, ..selection(&suites) };
        let ended = checkout.run(&selection, &[])?;
        let outcomes = outcomes(&ended.run()?)?;
        ensure!(outcomes.len() >= 2, "{} outcomes: {ended}", outcomes.len());
        for (case, outcome) in outcomes {
            ensure!(outcome == Outcome::Verified, "{case}: {outcome:?}");
        }
        checkout.nothing_is_left()?;
    }
    Ok(())
}

/// The phases of a container, in order and without a hole, and what its worker used.
fn phases(built: &Built) -> Result<()> {
    let checkout = function(built, "noop")?;
    let selection =
        Selection { suites: vec![Suite::ColdStart.to_string()], rounds: 1, ..Selection::default() };
    let ended = checkout.run(&selection, &TEN_SAMPLES)?;
    let (mut ledgers, mut workers) = (0, 0);
    for record in ended.run()?.records {
        match record {
            Record::Phases(ledger) => {
                let phases: Vec<Phase> = ledger.phases.iter().map(|span| span.phase).collect();
                let expected = [Phase::Create, Phase::Start, Phase::Ready, Phase::FirstCall];
                ensure!(phases == expected, "{phases:?}");
                ensure!(ledger.teardown_ns > 0, "no teardown");
                ledgers += usize::from(ledger.reconcile().is_ok());
            }
            Record::Worker(worker) => {
                let resident = worker.peak_rss_bytes.context("nobody knows its memory")?;
                ensure!((4096..1 << 28).contains(&resident), "{resident} bytes resident");
                let cpu_ns = worker.cpu.user_ns + worker.cpu.system_ns;
                ensure!((100_000..10_000_000_000).contains(&cpu_ns), "{cpu_ns} ns of processors");
                workers += 1;
            }
            _ => {}
        }
    }
    ensure!(ledgers >= 9 && workers == 10, "{ledgers} ledgers, {workers} workers: {ended}");
    checkout.nothing_is_left()
}

/// The limits of a setting hold, and those that no engine can hold to are told.
fn limits() -> Result<()> {
    let checkout = checkout(&["reads-limits"])?;
    let setting = |text: &str| text.parse::<Setting>().map_err(anyhow::Error::msg);
    let run = |setting: Setting| -> Result<Outcome> {
        let selection = Selection { settings: vec![setting], ..selection(&[Suite::ColdStart]) };
        let (_, mut outcomes) = run(&checkout, &selection)?;
        Ok(outcomes.remove(0).1)
    };
    let outcome = run(setting("cpus=0.5,memory=64MiB")?)?;
    ensure!(outcome == Outcome::Verified, "{outcome:?}");
    let Outcome::Skipped(reason) = run(setting("cpus=4096")?)? else { bail!("not skipped") };
    ensure!(reason.contains("processors: ask for less"), "{reason}");
    let Outcome::Failed(cause) = run(setting("memory=4KiB")?)? else { bail!("no failure") };
    ensure!(cause.contains("refused to make the container"), "{cause}");
    checkout.nothing_is_left()
}
