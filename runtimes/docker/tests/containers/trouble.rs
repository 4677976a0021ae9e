//! The harness is killed, and the engine stops: what is on record, and what is left behind.

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::checkout::{Outcome, outcomes, wait_until};
use lumos_bench::suites::select::Selection;
use lumos_docker::Engine;
use lumos_record::Suite;

use crate::proxy::Proxy;
use crate::{checkout, run, selection, with_engine};

const REMOVED: &str = "removed what an earlier run left behind: the container lumos-";

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        with_engine("trouble::harness_killed", harness_killed),
        with_engine("trouble::harness_interrupted", harness_interrupted),
        with_engine("trouble::engine_stopped", engine_stopped),
    ]
}

fn kill(pid: i32, signal: i32) {
    // SAFETY: integers alone; the process is one of the test's own.
    unsafe { libc::kill(pid, signal) };
}

/// How many of the project's containers run.
fn running() -> Result<usize> {
    let engine = Engine::connect().map_err(anyhow::Error::msg)?;
    let mut count = 0;
    for container in engine.containers()? {
        match engine.container(&container.id) {
            Ok((state, _)) => count += usize::from(state.running == Some(true)),
            Err(error) => ensure!(error.is_absence(), "{error}"),
        }
    }
    Ok(count)
}

/// The kernel ends the measuring process, and the next run removes the container.
fn harness_killed() -> Result<()> {
    let checkout = checkout(&["never-connects"])?;
    checkout.save_manifest()?;
    let long = Selection { invocation_timeout_ms: 60_000, ..selection(&[Suite::ColdStart]) };
    let child = checkout.start(&long, &[])?;
    wait_until("the container runs", || Ok(running()? == 1))?;
    kill(i32::try_from(child.id())?, libc::SIGKILL);
    checkout.wait(child)?;
    wait_until("the processes have ended", || Ok(checkout.processes()?.is_empty()))?;
    ensure!(running()? == 1, "there is nothing to remove: the test shows nothing");
    let ended = checkout.run(&selection(&[Suite::ColdStart]), &[])?;
    ensure!(ended.output.contains(REMOVED), "{ended}");
    ensure!(running()? == 0, "the container still runs");
    checkout.nothing_is_left()
}

/// The supervisor ends the measuring process, and removes the container itself.
fn harness_interrupted() -> Result<()> {
    let checkout = checkout(&["hangs"])?;
    checkout.save_manifest()?;
    let long = Selection { invocation_timeout_ms: 60_000, ..selection(&[Suite::Warm]) };
    let child = checkout.start(&long, &[])?;
    wait_until("the container runs", || Ok(running()? == 1))?;
    kill(i32::try_from(child.id())?, libc::SIGINT);
    let ended = checkout.wait(child)?;
    ensure!(ended.status.code() == Some(130), "{ended}");
    ensure!(running()? == 0, "the container still runs");
    checkout.nothing_is_left()
}

/// The case that the engine leaves alone fails, and those after it are skipped.
fn engine_stopped() -> Result<()> {
    let mut checkout = checkout(&["honest", "chatters", "ends-badly"])?;
    let socket = checkout.temporary().join("engine.sock");
    // At the second case's start its container is there already.
    let proxy = Proxy::start(&socket, "/start", 2)?;
    let host = format!("unix://{}", socket.display());
    checkout.variables.push(("DOCKER_HOST", host.clone().into()));
    let (_, mut found) = run(&checkout, &selection(&[Suite::ColdStart]))?;
    drop(proxy);
    // Whose turn it is first is drawn.
    found.sort_by_key(|(_, one)| match one {
        Outcome::Failed(_) => 1,
        Outcome::Skipped(_) => 2,
        _ => 0,
    });
    let [(_, Outcome::Verified), (_, Outcome::Failed(cause)), (_, Outcome::Skipped(reason))] =
        found.as_slice()
    else {
        anyhow::bail!("{found:?}")
    };
    for text in [cause, reason] {
        ensure!(text.contains(&host) && text.contains("no container engine answers"), "{text}");
    }
    // The engine itself is well, and still has the container.
    checkout.variables.clear();
    checkout.manifest.runtimes.truncate(1);
    let ended = checkout.run(&selection(&[Suite::ColdStart]), &[])?;
    ensure!(ended.output.contains(REMOVED), "{ended}");
    let outcome = outcomes(&ended.run()?)?.into_values().next().context("no outcome")?;
    ensure!(outcome == Outcome::Verified, "{outcome:?}");
    checkout.nothing_is_left()
}
