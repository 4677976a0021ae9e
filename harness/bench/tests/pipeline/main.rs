//! The whole pipeline on a fake engine and a fake sandbox: what the suites call, in which order,
//! and what they leave on record.

mod bad_input;
mod chains;
mod fake;
mod order;
mod outcomes;
mod rounds;

use std::process::ExitCode;

use anyhow::Result;
use lumos_bench::conformance::checkout::{Answer, Checkout};
use lumos_bench::conformance::{is_bench_target, run, trial};
use lumos_bench::suites;
use lumos_bench::suites::select::Selection;
use lumos_record::{ArtifactKind, Mode, Profile, Runtime};

fn main() -> ExitCode {
    if is_bench_target() {
        return suites::main_in(fake::PACKAGE, fake::engine, fake::boxes);
    }
    let mut trials = vec![
        trial("every_case_has_one_outcome", outcomes::every_case_has_one_outcome),
        trial("engines_that_fail_or_dawdle", outcomes::engines_that_fail_or_dawdle),
        trial("processes_of_a_session_share_a_run", outcomes::processes_of_a_session_share_a_run),
        trial("what_is_not_measured_is_not_kept", outcomes::what_is_not_measured_is_not_kept),
        trial("a_suite_on_request", order::a_suite_on_request_is_measured_when_asked_for),
        trial("a_library_is_loaded_alone", order::a_library_is_loaded_when_no_other_is),
        trial("a_module_is_loaded_once", order::a_module_is_loaded_once_for_what_follows),
        trial("a_name_that_matches_nothing_runs_nothing", outcomes::nothing_matches),
    ];
    trials.extend(order::trials());
    trials.extend(chains::trials());
    trials.extend(rounds::trials());
    trials.extend(bad_input::trials());
    run(trials)
}

/// The version of the fake engines.
const VERSION: &str = "1.0";

fn runtime(name: &str, package: &str) -> Runtime {
    let plain = Runtime::plain(name, package, Mode::Aot, VERSION, ArtifactKind::Precompiled);
    Runtime { sandbox: "box".to_owned(), worker: Some("fake-worker".to_owned()), ..plain }
}

/// A checkout with these engines, in which each function does what its name says.
fn checkout(engines: &[&str], functions: &[&str]) -> Result<Checkout> {
    let mut checkout = Checkout::new()?;
    let artifacts = checkout.layout().artifacts();
    std::fs::write(artifacts.join("worker"), "a program")?;
    let worker = Some(("fake-worker", VERSION));
    checkout.add_artifact(ArtifactKind::Worker, None, worker, "worker".as_ref())?;
    for engine in engines {
        checkout.manifest.runtimes.push(runtime(engine, fake::PACKAGE));
        for function in functions {
            let file = format!("{engine}-{function}.bin");
            std::fs::write(artifacts.join(&file), function)?;
            checkout.add_artifact(
                ArtifactKind::Precompiled,
                Some(function),
                Some((engine, VERSION)),
                file.as_ref(),
            )?;
        }
    }
    for function in functions {
        checkout.add_workload(function, &[echo("small")])?;
    }
    Ok(checkout)
}

/// A payload whose right answer is the request.
fn echo(payload: &str) -> Answer<'_> {
    Answer { payload, request: payload, response: payload }
}

fn selection() -> Selection {
    let invocation_timeout_ms = fake::LIMIT.as_millis() as u64;
    Selection {
        profile: Profile::Standard,
        rounds: 1,
        invocation_timeout_ms,
        ..Selection::default()
    }
}
