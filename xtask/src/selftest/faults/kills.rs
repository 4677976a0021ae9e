//! Processes that are ended or stopped, each role in each sandbox.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumos_record::{Runtime, Suite};

use super::Fault;
use super::field::{Cases, Field, Length, Started};
use super::processes::Role;

/// A moment at which a process is met.
#[derive(Debug, Clone, Copy)]
struct Moment {
    suite: Suite,
    /// So long after its case has begun.
    after: Duration,
}

const fn moment(suite: Suite, after_ms: u64) -> Moment {
    Moment { suite, after: Duration::from_millis(after_ms) }
}

/// Where workers come and go, and where one of them serves request after request.
const SERVED: [Moment; 2] = [moment(Suite::ColdStart, 330), moment(Suite::Warm, 700)];
const IN_PROCESS: Moment = moment(Suite::Call, 700);

/// Who has no sandbox.
const OUTER: [Role; 3] = [Role::Command, Role::Conductor, Role::Measuring];

/// Every fault of this kind.
pub fn all(cases: &Cases) -> Vec<Fault> {
    let served = cases.sandboxes.iter().map(|(sandbox, runtime)| {
        let is_process = sandbox == Runtime::PROCESS;
        (runtime.clone(), if is_process { Role::Worker } else { Role::Contained })
    });
    let mut faults = Vec::new();
    for (runtime, worker) in served.chain([(cases.engine.clone(), Role::Worker)]) {
        for moment in SERVED {
            for role in OUTER.into_iter().chain([worker]) {
                faults.push(kill(role, libc::SIGKILL, &runtime, moment));
            }
            faults.push(kill(Role::Command, libc::SIGTERM, &runtime, moment));
        }
        let name = format!("{runtime}: a worker hangs");
        faults.push(Fault::new(name, move |field| stop(field, worker, &runtime)));
    }
    for role in OUTER {
        faults.push(kill(role, libc::SIGKILL, &cases.in_process, IN_PROCESS));
    }
    faults.push(kill(Role::Command, libc::SIGTERM, &cases.in_process, IN_PROCESS));
    faults.push(Fault::new("the user interrupts from the terminal", interrupt));
    faults.push(Fault::new("the command is killed while samples are handed over", hand_over));
    faults.push(Fault::new("the command is killed while it reports", report));
    faults
}

fn kill(role: Role, signal: i32, runtime: &str, moment: Moment) -> Fault {
    let verb = if signal == libc::SIGKILL { "killed" } else { "asked to end" };
    let name = format!("{runtime}: the {} is {verb} in {}", role.name(), moment.suite);
    let runtime = runtime.to_owned();
    Fault::new(name, move |field| killed(field, role, signal, &runtime, moment))
}

/// Starts a long run of a runtime beside the bystander, and waits for the moment.
fn meet(field: &Field, runtime: &str, moment: Moment, more: &[&str]) -> Result<Started> {
    let bystander = field.cases.bystander()?;
    let suite = moment.suite.name();
    // In the suite's own lane it has none: it is measured in another then.
    let suites = if moment.suite == Suite::Call { vec![suite, "warm"] } else { vec![suite] };
    let mut runtimes = vec![runtime];
    if runtime != bystander {
        runtimes.push(bystander);
    }
    // The cold start of a process is over in a millisecond.
    let is_quick = [bystander, &field.cases.engine].contains(&runtime);
    let samples = match moment.suite {
        Suite::ColdStart if is_quick => "3000",
        Suite::ColdStart => "60",
        _ => "200",
    };
    let words = field.bench(Length::Long(samples), &suites, &runtimes, more);
    let mut started = field.start(&words)?;
    started.until("the case has begun", |_| field.is_under_way(runtime, moment.suite))?;
    std::thread::sleep(moment.after);
    Ok(started)
}

fn killed(field: &Field, role: Role, signal: i32, runtime: &str, moment: Moment) -> Result<()> {
    let mut started = meet(field, runtime, moment, &[])?;
    started.signal(role, signal)?;
    let bystander = field.cases.bystander()?;
    let ended = started.wait_usually()?;
    match role {
        Role::Command => ended.says(&[])?,
        Role::Conductor => ended.fails(&["signal: 9"])?,
        Role::Measuring | Role::Worker | Role::Contained => {
            ended.fails(&["1 failed"])?;
            // Of two runtimes with such a process, either is met.
            let is_bystander = field.cause(runtime, moment.suite).is_err();
            let (victim, other) =
                if is_bystander { (bystander, runtime) } else { (runtime, bystander) };
            let cause = field.cause(victim, moment.suite)?;
            let part = if role == Role::Measuring { "signal 9" } else { "worker" };
            ensure!(cause.contains(part), "the cause is: {cause}");
            if runtime != bystander {
                field.measured(&[other]).context("the other cases")?;
            }
        }
    }
    Ok(())
}

/// A worker that does not answer any more is given up in time.
fn stop(field: &Field, worker: Role, runtime: &str) -> Result<()> {
    let mut started = meet(field, runtime, SERVED[1], &["--limit", "2"])?;
    started.signal(worker, libc::SIGSTOP)?;
    let ended = started.wait_usually()?;
    ended.fails(&["1 failed"])?;
    let cause = field.cause(runtime, Suite::Warm);
    let cause = cause.or_else(|_| field.cause(field.cases.bystander()?, Suite::Warm))?;
    ensure!(cause.contains("2 s"), "the cause is: {cause}");
    Ok(())
}

fn interrupt(field: &Field) -> Result<()> {
    let runtimes = field.cases.all();
    let words = field.bench(Length::Long("60"), &["cold_start", "warm"], &runtimes, &[]);
    let mut started = field.start(&words)?;
    started.until("a case has begun", |_| !field.records().is_empty())?;
    std::thread::sleep(Duration::from_secs(1));
    started.signal_all(libc::SIGINT);
    let ended = started.wait_usually()?;
    ended.fails(&["interrupted", "cases"])?;
    ensure!(ended.status.code() == Some(130), "it ends as {ended}");
    Ok(())
}

fn hand_over(field: &Field) -> Result<()> {
    let mut started = field.handing_over()?;
    started.signal(Role::Command, libc::SIGKILL)?;
    started.wait_usually()?.says(&[])?;
    // What Criterion has of it may be half-written, and is compared with next.
    let bystander = field.cases.bystander()?;
    let words = field.bench(Length::Short, &["warm", "cold_start"], &[bystander], &[]);
    field.run(&words)?.succeeds(&["0 skipped, 0 failed"])
}

fn report(field: &Field) -> Result<()> {
    field.run(&field.small()?)?.succeeds(&[])?;
    let folder = field.layout.report();
    std::fs::remove_dir_all(&folder)?;
    let mut started = field.start(&["report"])?;
    // From its first moments on, until one of them leaves a report behind.
    let _ = started.until("it writes", |_| folder.exists());
    let _ = started.signal(Role::Command, libc::SIGKILL);
    started.wait_usually()?.says(&[])?;
    field.run(&["report"])?.succeeds(&["report.html"])?;
    for name in ["report.html", "report.md", "report.csv", "report.json"] {
        ensure!(folder.join(name).exists(), "no {name}");
    }
    Ok(())
}
