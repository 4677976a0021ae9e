//! Without an engine, cases are skipped, and each reason comes with its remedy. None of these
//! tests takes an engine.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::alone;
use lumos_bench::conformance::checkout::Outcome;
use lumos_docker::Engine;
use lumos_record::Suite;

use crate::{checkout, run, selection};

/// Prints why this process has no engine.
const PROBE: &str = "--probe";

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        alone("unreachable::no_socket", no_socket),
        alone("unreachable::nobody_listens", nobody_listens),
        alone("unreachable::another_host", another_host),
        alone("unreachable::never_answers", never_answers),
        alone("unreachable::permission_denied", permission_denied),
    ]
}

/// Runs a case with an engine at `host`: it is skipped with these words.
fn is_skipped(host: &str, words: &str) -> Result<()> {
    let mut checkout = checkout(&["honest"])?;
    checkout.variables.push(("DOCKER_HOST", host.into()));
    let (_, outcomes) = run(&checkout, &selection(&[Suite::ColdStart, Suite::Warm]))?;
    for (_, outcome) in outcomes {
        let Outcome::Skipped(reason) = outcome else { anyhow::bail!("{outcome:?}") };
        ensure!(reason.contains(host) && reason.contains(words), "{reason}");
    }
    checkout.nothing_is_left()
}

fn no_socket() -> Result<()> {
    is_skipped("unix:///no/such/socket", "no container engine answers there (there is no")?;
    is_skipped("unix:///no/such/socket", "unset DOCKER_HOST")
}

/// As after an engine that was ended without a farewell.
fn nobody_listens() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("engine.sock");
    drop(UnixListener::bind(&path)?);
    is_skipped(&format!("unix://{}", path.display()), "Connection refused")
}

fn another_host() -> Result<()> {
    is_skipped("tcp://192.0.2.1:2375", "a container on another host cannot reach the socket")?;
    is_skipped("ssh://someone@192.0.2.1", "unset DOCKER_HOST")
}

/// An engine that is stuck must not hold up the run for ever.
fn never_answers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("engine.sock");
    let _listener = UnixListener::bind(&path)?;
    is_skipped(&format!("unix://{}", path.display()), "no answer within 5 s")
}

fn permission_denied() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let path = folder.path().join("engine.sock");
    let _listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o0))?;
    // By this path the program can be run by whoever may not look into its folder.
    let mut command = Command::new("/proc/self/exe");
    command.arg(PROBE).env("DOCKER_HOST", format!("unix://{}", path.display()));
    // SAFETY: the call cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        // Root may use every socket.
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text.contains("not for this user (Permission denied"), "{output:?}");
    ensure!(text.contains("usermod -aG docker"), "{output:?}");
    Ok(())
}

/// Whether this program was started to say why it has no engine.
pub fn is_probe() -> bool {
    std::env::args().nth(1).is_some_and(|argument| argument == PROBE)
}

/// Says why.
pub fn probe() -> ExitCode {
    match Engine::connect() {
        Ok(_) => println!("an engine answers"),
        Err(reason) => println!("{reason}"),
    }
    ExitCode::SUCCESS
}
