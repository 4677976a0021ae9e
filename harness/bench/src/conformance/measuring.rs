//! Every runtime is measured in every suite.

use anyhow::{Result, ensure};
use lumos_record::{Profile, Record, Runtime, Suite};

use super::Built;
use super::checkout::{Outcome, TEN_SAMPLES, outcomes};
use crate::suites::select::Selection;

/// What has every runtime, on every base, in the suites that nobody has to ask for.
fn standard() -> Selection {
    Selection { profile: Profile::Standard, rounds: 1, ..Selection::default() }
}

/// Measures the function that does nothing, with the fewest samples.
pub(super) fn check(built: &Built, runtime: &Runtime) -> Result<()> {
    let checkout = built.checkout(runtime, "noop")?;
    let ended = checkout.run(&standard(), &TEN_SAMPLES)?;
    let run = ended.run()?;
    let outcomes = outcomes(&run)?;
    let selection = standard();
    let is_due = |suite| runtime.takes_part(suite, selection.profile) && selection.asks_for(suite);
    for suite in Suite::ALL.iter().filter(|&&suite| is_due(suite)) {
        let outcome = outcomes.iter().find(|(case, _)| case.suite == *suite);
        let is_finished = matches!(outcome, Some((_, Outcome::Finished(_))));
        ensure!(is_finished, "{suite} is not measured: {outcome:?}");
    }
    let cold = run.records.iter().filter(|record| matches!(record, Record::Phases(_))).count();
    ensure!(cold == 10, "{cold} ledgers instead of one for each of ten cold starts");
    checkout.nothing_is_left()
}

/// Counts the instructions of a function, which are the same in every run; an engine that counts
/// none says so.
pub(super) fn check_counts(built: &Built, runtime: &Runtime) -> Result<()> {
    let checkout = built.checkout(runtime, "json")?;
    let suites = vec![Suite::Counts.to_string()];
    let selection =
        Selection { suites, profile: Profile::Quick, rounds: 1, ..Selection::default() };
    let count = || outcomes(&checkout.run(&selection, &[])?.run()?);
    let (first, second) = (count()?, count()?);
    ensure!(!first.is_empty() && first == second, "{first:?}, and then {second:?}");
    for (case, outcome) in first {
        match outcome {
            Outcome::Counted(instructions) => {
                ensure!(instructions > 1_000, "{case}: {instructions}")
            }
            Outcome::Skipped(reason) => ensure!(reason.contains("does not count"), "{reason}"),
            other => anyhow::bail!("{case}: {other:?}"),
        }
    }
    Ok(())
}
