//! The order of calls, from the log of the fake engine and the fake sandbox.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::checkout::{Checkout, Outcome, TEN_SAMPLES, outcomes};
use lumos_bench::conformance::trial;
use lumos_bench::suites::select::Selection;
use lumos_record::suite::Unit;
use lumos_record::{ArtifactKind, Case, Record, Suite, Variant};
use regex::Regex;

use crate::{checkout, fake, selection};

/// The calls of a suite, as a pattern over words in which `N` stands for how often it measures:
/// twice when it only verifies, or once where that is all there is to verify.
fn expected(suite: Suite) -> (&'static str, &'static str) {
    match suite {
        // Each worker is gone before the next is launched, and its peak is read while it lives.
        Suite::ColdStart => ("(launch invoke peak teardown gone )N", "{1}"),
        Suite::Warm | Suite::SerializationServed | Suite::Retrieval => {
            ("launch invoke (invoke )Npeak teardown gone ", "{1}")
        }
        // The module that was checked is kept for the suites that follow.
        Suite::Load => (
            "load link environment instantiate invoke drop-instance \
             (load drop-module )Ndrop-linked drop-module ",
            "{2}",
        ),
        // Before a sample it takes an instance elsewhere.
        Suite::Instantiate => (
            "load link environment instantiate invoke \
             ((?:(?:drop-instance )?environment instantiate )?\
             environment instantiate drop-instance )N\
             (?:drop-instance )+drop-linked drop-module ",
            "{2}",
        ),
        // That one answers once.
        Suite::Fresh => (
            "load link environment instantiate invoke \
             ((?:(?:drop-instance )?environment instantiate invoke )?\
             environment instantiate invoke drop-instance )N\
             (?:drop-instance )+drop-linked drop-module ",
            "{2}",
        ),
        // Each sample is two workers, of which one is asked for timings and then for its clock.
        Suite::Breakdown => (
            "launch invoke peak teardown gone (launch invoke (?:clock )?(?:invoke )+teardown gone \
             launch invoke (?:clock )?(?:invoke )+teardown gone )N",
            "{1}",
        ),
        Suite::Call | Suite::Variants | Suite::Serialization => (
            "load link environment instantiate invoke \
             ((?:(?:drop-instance )?environment instantiate invoke )?invoke )N\
             (?:drop-instance )+drop-linked drop-module ",
            "{2}",
        ),
        // No worker: what is measured is over before there could be one.
        Suite::Pull => ("(unpack )N", "{1}"),
        Suite::Chain | Suite::ChainLocal => unreachable!("chains have an order of their own"),
        Suite::Counts => unreachable!("nothing is timed"),
    }
}

/// A test per suite; the function keeps no state.
pub fn trials() -> impl Iterator<Item = Trial> {
    let of_functions = |suite: &&Suite| {
        suite.spec().functions.have(false) && suite.spec().unit == Unit::Nanoseconds
    };
    Suite::ALL.iter().filter(of_functions).flat_map(|&suite| {
        [
            trial(format!("order::measuring::{suite}"), move || measuring(suite)),
            trial(format!("order::verifying::{suite}"), move || verifying(suite)),
        ]
    })
}

/// A checkout whose runtime declares a suite, as one has to be that is measured on request.
fn declaring(suite: Suite) -> Result<Checkout> {
    let mut checkout = checkout(&[fake::ENGINE], &["steady"])?;
    checkout.manifest.runtimes.iter_mut().for_each(|runtime| runtime.suites = vec![suite]);
    Ok(checkout)
}

/// A suite on request is left out of a run that does not name it, and a runtime out of one that
/// it does not declare.
pub fn a_suite_on_request_is_measured_when_asked_for() -> Result<()> {
    let named = Selection { suites: vec![Suite::Pull.to_string()], verify: true, ..selection() };
    let silent = checkout(&[fake::ENGINE], &["steady"])?;
    ensure!(silent.run(&named, &[])?.run()?.records.iter().all(|record| !is_outcome(record)));
    let declaring = declaring(Suite::Pull)?;
    let all = Selection { verify: true, ..selection() };
    ensure!(declaring.run(&all, &[])?.run()?.records.iter().all(|record| !is_outcome(record)));
    let outcomes = outcomes(&declaring.run(&named, &[])?.run()?)?;
    let cases: Vec<String> = outcomes.keys().map(ToString::to_string).collect();
    ensure!(cases == ["pull/steady/fake-aot-box/-"], "{cases:?}");
    ensure!(outcomes.into_values().eq([Outcome::Verified]));
    let folder = declaring.layout().lumos().join("unpacking");
    ensure!(std::fs::read_dir(&folder)?.next().is_none(), "something stays in {folder:?}");
    declaring.nothing_is_left()
}

/// Never two of it at once: the dynamic linker would hand out the first again.
pub fn a_library_is_loaded_when_no_other_is() -> Result<()> {
    let mut checkout = checkout(&[fake::ENGINE], &["steady"])?;
    for runtime in &mut checkout.manifest.runtimes {
        runtime.loads = Some(ArtifactKind::NativeLib);
    }
    let file = format!("{}-steady.bin", fake::ENGINE);
    checkout.add_artifact(ArtifactKind::NativeLib, Some("steady"), None, file.as_ref())?;
    let suites = [Suite::Load, Suite::Call].map(|suite| suite.to_string()).to_vec();
    checkout.run(&Selection { suites, verify: true, ..selection() }, &[])?.run()?;
    let log = Log::read(&checkout)?;
    log.matches(
        "load link environment instantiate invoke drop-instance drop-linked drop-module \
         (load drop-module )Nload link environment instantiate invoke (invoke )N\
         drop-instance drop-linked drop-module ",
        "{2}",
    )?;
    log.check_lives()
}

/// Some engines take a second to load one.
pub fn a_module_is_loaded_once_for_what_follows() -> Result<()> {
    let checkout = checkout(&[fake::ENGINE], &["steady"])?;
    let suites = [Suite::Load, Suite::Instantiate, Suite::Fresh, Suite::Call];
    let suites = suites.map(|suite| suite.to_string()).to_vec();
    checkout.run(&Selection { suites, verify: true, ..selection() }, &[])?.run()?;
    let log = Log::read(&checkout)?;
    ensure!(log.count("link") == 1, "{} times", log.count("link"));
    // What the suite `load` itself loads, twice where it verifies, and what is kept.
    ensure!(log.count("load") == 3, "{} times", log.count("load"));
    log.check_lives()
}

fn is_outcome(record: &Record) -> bool {
    !matches!(record, Record::Run(_) | Record::Process(_))
}

fn measuring(suite: Suite) -> Result<()> {
    let checkout = declaring(suite)?;
    let selection = Selection { suites: vec![suite.to_string()], ..selection() };
    let run = checkout.run(&selection, &TEN_SAMPLES)?.run()?;
    let log = Log::read(&checkout)?;
    // Ten samples at least, and the warm-up.
    log.matches(expected(suite).0, "{11,}")?;
    log.check_lives()?;
    let outcomes = outcomes(&run)?;
    let Some(Outcome::Finished(finished)) = built(outcomes.clone()).next() else {
        anyhow::bail!("{outcomes:?}");
    };
    // The one call that checks an instance before it is measured is counted, and all others.
    let invocations = log.count("invoke") + log.count("unpack");
    ensure!(finished.verified == invocations, "{} of {invocations}", finished.verified);
    Ok(())
}

fn verifying(suite: Suite) -> Result<()> {
    let checkout = declaring(suite)?;
    let suites = vec![suite.to_string()];
    let run = checkout.run(&Selection { suites, verify: true, ..selection() }, &[])?.run()?;
    ensure!(built(outcomes(&run)?).eq([Outcome::Verified]), "{:?}", run.records);
    let log = Log::read(&checkout)?;
    let (pattern, count) = expected(suite);
    log.matches(pattern, count)?;
    log.check_lives()
}

/// The outcomes of what is there: of the ways to build Wasm, the checkout has the default alone.
fn built(outcomes: BTreeMap<Case, Outcome>) -> impl Iterator<Item = Outcome> {
    let is_built = |case: &Case| case.setting.variant.is_none_or(|way| way == Variant::DEFAULT);
    outcomes.into_iter().filter_map(move |(case, outcome)| is_built(&case).then_some(outcome))
}

/// The calls, as `(call, what, of what)`.
pub struct Log(Vec<(String, u64, u64)>);

impl Log {
    /// Reads the log of the last run in a checkout.
    pub fn read(checkout: &Checkout) -> Result<Self> {
        let text = std::fs::read_to_string(checkout.layout().root.join("log"))?;
        let call = |line: &str| {
            let mut words = line.split(' ');
            let call = words.next()?.to_owned();
            Some((call, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        };
        let calls = text.lines().map(|line| call(line).context(line.to_owned()));
        Ok(Self(calls.collect::<Result<_>>()?))
    }

    fn count(&self, name: &str) -> u64 {
        self.0.iter().filter(|(call, ..)| call == name).count() as u64
    }

    /// Checks that the calls are those of a pattern, whose `N` is replaced by `count`.
    pub fn matches(&self, pattern: &str, count: &str) -> Result<()> {
        let pattern = Regex::new(&format!("^{}$", pattern.replace('N', count)))?;
        let words: String = self.0.iter().map(|(call, ..)| format!("{call} ")).collect();
        let beginning: String = words.chars().take(1000).collect();
        ensure!(pattern.is_match(&words), "{pattern} is not the order of: {beginning}");
        Ok(())
    }

    /// Checks that nothing is used after its end or ends before what was made from it, and that
    /// in the end nothing lives.
    pub fn check_lives(&self) -> Result<()> {
        // What lives, and what it was made from.
        let mut lives: HashMap<u64, u64> = HashMap::new();
        for (call, what, of) in &self.0 {
            match call.as_str() {
                "load" | "link" | "instantiate" | "launch" => {
                    ensure!(*of == 0 || lives.contains_key(of), "{call} {what} of the dead {of}");
                    lives.insert(*what, *of);
                }
                "drop-module" | "drop-linked" | "drop-instance" | "gone" => {
                    ensure!(lives.remove(what).is_some(), "{call} {what} a second time");
                    ensure!(lives.values().all(|of| of != what), "{call} {what} too early");
                }
                "unpack" => {}
                _ => ensure!(lives.contains_key(what), "{call} of the dead {what}"),
            }
        }
        ensure!(lives.is_empty(), "left alive: {lives:?}");
        Ok(())
    }
}
