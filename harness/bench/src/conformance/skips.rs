//! Where a sandbox cannot be had, every case of it is a skip that says what would change that.

use anyhow::{Result, ensure};
use lumos_record::{Profile, Runtime};

use super::Built;
use super::checkout::{Outcome, outcomes};
use crate::suites::select::Selection;

/// Runs the function that does nothing.
pub(super) fn check(built: &Built, runtime: &Runtime) -> Result<()> {
    let checkout = built.checkout(runtime, "noop")?;
    let ended = checkout.run(
        &Selection { profile: Profile::Standard, verify: true, ..Selection::default() },
        &[],
    )?;
    let outcomes = outcomes(&ended.run()?)?;
    ensure!(!outcomes.is_empty(), "no case has an outcome: {ended}");
    for (case, outcome) in outcomes {
        let Outcome::Skipped(reason) = outcome else {
            anyhow::bail!("{case} is not skipped, but {outcome:?}")
        };
        ensure!(reason.len() > 20, "{case} is skipped without a reason: {reason:?}");
    }
    ensure!(ended.status.success(), "a skipped case failed the run: {ended}");
    checkout.nothing_is_left()
}
