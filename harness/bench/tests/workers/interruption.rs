//! A run can be interrupted at any moment: what was recorded stays readable, and no process,
//! socket or folder stays behind.

use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::checkout::{Checkout, Ended, Outcome, Process, outcomes, wait_until};
use lumos_bench::conformance::trial;
use lumos_record::{Record, Run, Suite};

use crate::{checkout, selection};

/// Nothing in these tests may end because of its limit.
const LIMIT_MS: u64 = 60_000;

/// Does well, and is measured first.
const HONEST: &str = "is-honest";
/// Never answers.
const HANGS: &str = "hangs";

/// Whom a signal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The supervisor, as from `kill`.
    Supervisor,
    /// Every process, as from a terminal.
    All,
}

/// The tests.
pub fn trials() -> impl Iterator<Item = Trial> {
    let signals = [("int", libc::SIGINT), ("term", libc::SIGTERM), ("hup", libc::SIGHUP)];
    let lanes = [("served", Suite::Warm), ("in_process", Suite::Call)];
    let reaches = [("supervisor", Reach::Supervisor), ("all", Reach::All)];
    let interrupted = signals.into_iter().flat_map(move |(name, signal)| {
        lanes.into_iter().flat_map(move |(lane, suite)| {
            reaches.into_iter().map(move |(whom, reach)| {
                let name = format!("interruption::sig{name}::{lane}::{whom}");
                trial(name, move || interrupted(suite, signal, reach))
            })
        })
    });
    interrupted.chain([
        trial("interruption::supervisor_killed::served", || supervisor_killed(Suite::Warm)),
        trial("interruption::supervisor_killed::in_process", || supervisor_killed(Suite::Call)),
        trial("interruption::measuring_process_killed", measuring_process_killed),
        trial("interruption::parent_killed", parent_killed),
        trial("interruption::hangup_is_ignored", hangup_is_ignored),
    ])
}

/// Starts a run, and waits until it is stuck in its second case: in the served lane in a worker,
/// else in the measuring process.
fn stuck(suite: Suite) -> Result<(Checkout, Child)> {
    stuck_in(None, suite)
}

/// The same, started by a shell.
fn stuck_in(shell: Option<&'static str>, suite: Suite) -> Result<(Checkout, Child)> {
    let mut checkout = checkout(&[HONEST, HANGS])?;
    checkout.shell = shell;
    checkout.save_manifest()?;
    let suites = match suite {
        Suite::Warm => vec![Suite::Warm],
        // In this lane every case is stuck: a case of the other goes first.
        other => vec![Suite::Warm, other],
    };
    let mut selection = selection(&suites, LIMIT_MS);
    if suite != Suite::Warm {
        selection.runtimes = vec![format!("{HONEST}*")];
    }
    let child = checkout.start(&selection, &[])?;
    let is_stuck = || match suite {
        Suite::Warm => Ok(worker(&checkout)?.is_some()),
        _ => Ok(started(&checkout)? == 2),
    };
    let outcome = wait_until("the run is stuck", is_stuck);
    outcome.with_context(|| format!("{:?}", checkout.processes()))?;
    Ok((checkout, child))
}

/// The worker that hangs.
fn worker(checkout: &Checkout) -> Result<Option<Process>> {
    let is_worker = |process: &Process| process.arguments.contains(&format!("--engine {HANGS}"));
    Ok(checkout.processes()?.into_iter().find(is_worker))
}

/// How many cases have begun.
fn started(checkout: &Checkout) -> Result<usize> {
    let Some(directory) = Run::all(&checkout.layout().runs())?.pop() else { return Ok(0) };
    let Ok(run) = Run::read(&directory) else { return Ok(0) };
    Ok(run.records.iter().filter(|record| matches!(record, Record::Started { .. })).count())
}

fn kill(pid: i32, signal: i32) {
    // SAFETY: integers alone; the process is one of the test's own.
    unsafe { libc::kill(pid, signal) };
}

/// The records hold the first case's outcome, the second case's beginning, and no more.
fn check_records(ended: &Ended) -> Result<()> {
    let run = ended.run()?;
    ensure!(!run.truncated, "the last record is cut short");
    let kinds: Vec<&str> = run
        .records
        .iter()
        .filter(|record| !matches!(record, Record::Process(_)))
        .map(|record| match record {
            Record::Started { .. } => "started",
            Record::Verified { .. } => "verified",
            Record::Failure(failure) => &failure.cause,
            _ => "another record",
        })
        .collect();
    ensure!(kinds == ["started", "verified", "started"], "{kinds:?}");
    Ok(())
}

fn interrupted(suite: Suite, signal: i32, reach: Reach) -> Result<()> {
    let (checkout, child) = stuck(suite)?;
    let supervisor = i32::try_from(child.id())?;
    match reach {
        Reach::Supervisor => kill(supervisor, signal),
        Reach::All => checkout.processes()?.iter().for_each(|process| kill(process.pid, signal)),
    }
    let ended = checkout.wait(child)?;
    ensure!(ended.status.code() == Some(130), "{ended}");
    check_records(&ended)?;
    checkout.nothing_is_left()
}

/// The supervisor cannot clean up; the kernel ends its processes, and the next run the rest.
fn supervisor_killed(suite: Suite) -> Result<()> {
    let (checkout, child) = stuck(suite)?;
    kill(i32::try_from(child.id())?, libc::SIGKILL);
    let ended = checkout.wait(child)?;
    check_records(&ended)?;
    wait_until("the processes have ended", || Ok(checkout.processes()?.is_empty()))?;
    ensure!(std::fs::read_dir(checkout.temporary())?.count() == 1, "the sockets' folder is gone");
    let mut next = selection(&[Suite::Warm], LIMIT_MS);
    next.runtimes = vec![format!("{HONEST}*")];
    let ended = checkout.run(&next, &[])?;
    ensure!(ended.output.contains("removed what an earlier run left behind: "), "{ended}");
    checkout.nothing_is_left()
}

/// Whoever started the supervisor is gone, and nobody could end it any more: it ends all by itself.
fn parent_killed() -> Result<()> {
    let (checkout, child) = stuck_in(Some("\"$0\" \"$@\"; true"), Suite::Warm)?;
    kill(i32::try_from(child.id())?, libc::SIGKILL);
    checkout.wait(child)?;
    checkout.nothing_is_left()
}

/// As under `nohup`: a terminal that closes does not end the run.
fn hangup_is_ignored() -> Result<()> {
    let (checkout, child) = stuck_in(Some("trap '' HUP; exec \"$0\" \"$@\""), Suite::Warm)?;
    let supervisor = i32::try_from(child.id())?;
    kill(supervisor, libc::SIGHUP);
    std::thread::sleep(Duration::from_millis(500));
    ensure!(worker(&checkout)?.is_some(), "the run has ended: {:?}", checkout.processes());
    kill(supervisor, libc::SIGTERM);
    let ended = checkout.wait(child)?;
    ensure!(ended.status.code() == Some(130), "{ended}");
    checkout.nothing_is_left()
}

/// As the kernel does when memory runs out: the case fails, and the next process goes on.
fn measuring_process_killed() -> Result<()> {
    let checkout = checkout(&[HANGS, HONEST])?;
    checkout.save_manifest()?;
    let child = checkout.start(&selection(&[Suite::Warm], LIMIT_MS), &[])?;
    wait_until("the worker hangs", || Ok(worker(&checkout)?.is_some()))?;
    let supervisor = i32::try_from(child.id())?;
    let is_measuring =
        |process: &&Process| process.pid != supervisor && !process.arguments.contains("--connect");
    let processes = checkout.processes()?;
    let measuring = processes.iter().find(is_measuring).context("no measuring process")?;
    kill(measuring.pid, libc::SIGKILL);
    let ended = checkout.wait(child)?;
    let outcomes: Vec<Outcome> = outcomes(&ended.run()?)?.into_values().collect();
    let [Outcome::Failed(cause), Outcome::Verified] = outcomes.as_slice() else {
        anyhow::bail!("{outcomes:?}")
    };
    ensure!(cause.contains("signal 9"), "{cause}");
    checkout.nothing_is_left()
}
