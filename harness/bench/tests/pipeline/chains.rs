//! Chains of functions: the order of the calls, and what is said when a step goes wrong.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::checkout::{Checkout, Outcome, TEN_SAMPLES, outcomes};
use lumos_bench::conformance::trial;
use lumos_bench::suites::select::Selection;
use lumos_record::{Record, Suite};
use lumos_workloads::sha256_hex;

use crate::order::Log;
use crate::{checkout, fake, selection};

/// A test for each suite and each way to run it, and those of the steps that go wrong.
pub fn trials() -> impl Iterator<Item = Trial> {
    let suites = Suite::ALL.iter().copied().filter(|suite| suite.is_chain());
    suites.flat_map(|suite| {
        [
            trial(format!("chains::measuring::{suite}"), move || measuring(suite)),
            trial(format!("chains::verifying::{suite}"), move || verifying(suite)),
            trial(format!("chains::trouble::{suite}"), move || trouble(suite)),
        ]
    })
}

/// A checkout with the chain `pair`: `steady`, and then a function that does what its name says.
fn pair(suite: Suite, second: &str) -> Result<Checkout> {
    let mut checkout = checkout(&[fake::ENGINE], &["steady", second])?;
    checkout.manifest.runtimes.iter_mut().for_each(|runtime| runtime.suites = vec![suite]);
    let folder = checkout.layout().workloads().join("chains");
    std::fs::create_dir(&folder)?;
    let [request, answer] = ["small", "more small"].map(|text| sha256_hex(text.as_bytes()));
    let text = format!(
        "chain = \"pair\"\nsummary = \"For a test\"\nfirst = \"one\"\n\
         [step.one]\nfunction = \"steady\"\nthen = \"two\"\n\
         [step.two]\nfunction = \"{second}\"\n\
         header = {{ kind = \"literal\", text = \"more \" }}\n\
         [[payload]]\nid = \"small\"\nprofile = \"quick\"\n\
         request = {{ kind = \"literal\", text = \"small\" }}\n\
         request_sha256 = \"{request}\"\nresponse_sha256 = [\"{request}\", \"{answer}\"]\n"
    );
    std::fs::write(folder.join("pair.toml"), text)?;
    Ok(checkout)
}

fn of(suite: Suite, verify: bool) -> Selection {
    Selection { suites: vec![suite.to_string()], verify, ..selection() }
}

/// The calls of a chain of one step, and then of one of two, of which `N` stands for how often
/// they are repeated.
fn expected(suite: Suite) -> &'static str {
    match suite {
        Suite::Chain => {
            "launch invoke (invoke )Npeak teardown gone \
             launch launch invoke invoke (invoke invoke )N\
             peak teardown gone peak teardown gone "
        }
        // Made one after the other, and gone in the order in which they were made.
        _ => {
            "load link environment instantiate invoke (invoke )N\
             drop-instance drop-linked drop-module \
             load link environment instantiate load link environment instantiate \
             invoke invoke (invoke invoke )N\
             drop-instance drop-linked drop-module drop-instance drop-linked drop-module "
        }
    }
}

fn measuring(suite: Suite) -> Result<()> {
    let checkout = pair(suite, "steady")?;
    let run = checkout.run(&of(suite, false), &TEN_SAMPLES)?.run()?;
    let log = Log::read(&checkout)?;
    log.matches(expected(suite), "{11,}")?;
    log.check_lives()?;
    let outcomes = outcomes(&run)?;
    let ids: Vec<String> = outcomes.keys().map(ToString::to_string).collect();
    let runtime = if suite == Suite::Chain { "fake-aot-box" } else { "fake-aot" };
    let id = |steps: u8| format!("{suite}/pair/{runtime}/small@steps={steps}");
    ensure!(ids == [id(1), id(2)], "{ids:?}");
    ensure!(outcomes.values().all(|outcome| matches!(outcome, Outcome::Finished(_))));
    let told = run.records.iter().filter_map(|record| match record {
        Record::Chain(told) => Some(told.functions.join(" ")),
        _ => None,
    });
    ensure!(told.eq(["steady steady"]));
    checkout.nothing_is_left()
}

fn verifying(suite: Suite) -> Result<()> {
    let checkout = pair(suite, "steady")?;
    let run = checkout.run(&of(suite, true), &[])?.run()?;
    ensure!(outcomes(&run)?.into_values().eq([Outcome::Verified, Outcome::Verified]));
    let log = Log::read(&checkout)?;
    log.matches(expected(suite), "{1}")?;
    log.check_lives()
}

/// A step that goes wrong is named, and what belongs to the other step ends as it should.
fn trouble(suite: Suite) -> Result<()> {
    for (second, words) in [
        ("wrong", "wrong answer of the step `two` (wrong): 8 bytes"),
        ("refusing", "the step `two` (refusing): the function refused the request: not today"),
        ("faulting", "the step `two` (faulting): the function broke"),
        ("refusing-later", "the step `two` (refusing-later)"),
        ("unloadable", "not a module"),
    ] {
        let checkout = pair(suite, second)?;
        let run = checkout.run(&of(suite, false), &TEN_SAMPLES)?.run()?;
        let outcomes: Vec<Outcome> = outcomes(&run)?.into_values().collect();
        let [Outcome::Finished(_), Outcome::Failed(cause)] = outcomes.as_slice() else {
            anyhow::bail!("{second}: {outcomes:?}");
        };
        ensure!(cause.contains(words), "{second}: {cause}");
        Log::read(&checkout)?.check_lives()?;
        checkout.nothing_is_left()?;
    }
    Ok(())
}
