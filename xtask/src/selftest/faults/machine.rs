//! What the machine, its user and other programs do meanwhile.

#![expect(
    clippy::disallowed_methods,
    reason = "no sample is timed: what is waited for has a limit"
)]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lumos_record::{ArtifactKind, Run, Suite};

use super::Fault;
use super::field::{Cases, Field, Length, Started};
use super::files::built;
use super::mounts;
use super::processes::Role;

/// Every fault of this kind.
pub fn all(cases: &Cases) -> Vec<Fault> {
    let mut faults = vec![
        Fault::new("two runs at once", two_at_once),
        Fault::new("a report in the middle of a run", report_meanwhile),
        Fault::new("an artifact is built again in the middle of a run", rebuild),
        Fault::new("the command is killed while it builds", kill_build),
        Fault::new("a compiler is killed", kill_compiler),
        Fault::new("the clock has stepped back: the last run lies in the future", future),
        Fault::new("there is no network", no_network),
        Fault::new("there is no git", no_git),
        Fault::new("nobody reads what is printed", unread),
        Fault::new("the terminal closes, and `nohup` was said", hangup),
        Fault::new("the user has the mask 077", mask),
        Fault::new("a dead process has left a folder behind", leftovers),
        Fault::new("the lock of measurements holds garbage", lock),
        Fault::new("a module of somebody's is half-written", |field| {
            module(field, b"\0asm\x01\0\0\0\x01")
        }),
        Fault::new("a module of somebody's holds garbage", |field| module(field, b"garbage")),
    ];
    for descriptors in [12, 24, 48] {
        let name = format!("a process may open {descriptors} files");
        faults.push(Fault::new(name, move |field| few_files(field, descriptors)));
    }
    // The engine of containers is one of the test's own: nobody else's is ended.
    if Command::new("dockerd").arg("--version").output().is_ok() {
        let is_own = |(sandbox, _): &&(String, String)| sandbox == "docker";
        for (_, runtime) in cases.sandboxes.iter().filter(is_own) {
            let (killed, stopped) = (runtime.clone(), runtime.clone());
            faults.push(Fault::new("the daemon of containers is killed", move |field| {
                daemon(field, &killed, libc::SIGKILL)
            }));
            faults.push(Fault::new("the daemon of containers hangs", move |field| {
                daemon(field, &stopped, libc::SIGSTOP)
            }));
        }
    }
    faults
}

fn long(field: &Field) -> Result<Started> {
    let bystander = field.cases.bystander()?;
    let mut started =
        field.start(&field.bench(Length::Long("200"), &["warm"], &[bystander], &[]))?;
    started.until("the case has begun", |_| field.is_under_way(bystander, Suite::Warm))?;
    Ok(started)
}

/// Runs the small run's command after something was done to it.
fn altered(field: &Field, alter: impl FnOnce(&mut Command)) -> Result<super::field::Ended> {
    let mut command = field.command(&field.small()?)?;
    alter(&mut command);
    field.start_as(command)?.wait_usually()
}

fn two_at_once(field: &Field) -> Result<()> {
    let first = long(field)?;
    let second = field.run(&field.small()?)?;
    first.wait_usually()?.succeeds(&["0 failed"])?;
    second.succeeds(&["another measurement is under way", "0 failed"])
}

fn report_meanwhile(field: &Field) -> Result<()> {
    let run = long(field)?;
    field.run(&["report"])?.says(&[])?;
    run.wait_usually()?.succeeds(&["0 failed"])
}

fn rebuild(field: &Field) -> Result<()> {
    let run = long(field)?;
    // What is measured was loaded by then, and workers of later cases find what they expect.
    fs::remove_file(built(field, ArtifactKind::Wasm)?)?;
    let engine = field.cases.engine.as_str();
    let second = field.start(&field.bench(Length::Short, &["warm"], &[engine], &[]))?;
    run.wait_usually()?.succeeds(&["0 failed"])?;
    second.wait(Duration::from_secs(300))?.succeeds(&["0 failed"])
}

/// Starts a run that has to compile a function, and waits until a compiler works.
fn building(field: &Field) -> Result<Started> {
    fs::remove_file(built(field, ArtifactKind::Wasm)?)?;
    // Cargo has to have something to do, too.
    let sources = field.layout.guests().join("noop/src/lib.rs");
    let text = fs::read_to_string(&sources)?;
    fs::write(&sources, format!("{text}\n// Nothing else.\n"))?;
    let engine = field.cases.engine.as_str();
    let mut started = field.start(&field.bench(Length::Short, &["warm"], &[engine], &[]))?;
    started.until("a compiler works", |family| !family.compilers().is_empty())?;
    Ok(started)
}

fn kill_build(field: &Field) -> Result<()> {
    let mut started = building(field)?;
    started.signal(Role::Command, libc::SIGKILL)?;
    started.wait_usually()?.says(&[])
}

fn kill_compiler(field: &Field) -> Result<()> {
    let started = building(field)?;
    for compiler in started.family.compilers() {
        compiler.signal(libc::SIGKILL);
    }
    started.wait(Duration::from_secs(300))?.fails(&["noop"])
}

fn future(field: &Field) -> Result<()> {
    field.run(&field.small()?)?.succeeds(&[])?;
    let last = field.newest_run()?;
    let name = last.file_name().context("a run has a name")?.to_string_lossy().into_owned();
    let later = name.replacen("20", "29", 1);
    let records = last.join(Run::RECORDS);
    let text = fs::read_to_string(&records)?.replace(&name, &later);
    fs::write(&records, text)?;
    fs::rename(&last, field.layout.runs().join(&later))?;
    field.run(&field.small()?)?.succeeds(&["0 failed"])?;
    let newest = field.newest_run()?;
    ensure!(!newest.ends_with(&later), "the run of the future is taken for the newest");
    let shown = newest.file_name().context("a run has a name")?.to_string_lossy().into_owned();
    field.run(&["report"])?.succeeds(&[&shown])
}

fn no_network(field: &Field) -> Result<()> {
    let mut command = field.command(&field.all())?;
    // SAFETY: one system call, between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::unshare(libc::CLONE_NEWNET) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    };
    field.start_as(command)?.wait_usually()?.succeeds(&["0 skipped, 0 failed"])
}

fn no_git(field: &Field) -> Result<()> {
    // Everything but git, by links.
    let folder = field.temporary().join("path");
    fs::create_dir(&folder)?;
    for entry in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        for program in fs::read_dir(entry).into_iter().flatten().flatten() {
            let name = program.file_name();
            if name != "git" {
                // The first of a name counts.
                let _ = std::os::unix::fs::symlink(program.path(), folder.join(&name));
            }
        }
    }
    let ended = altered(field, |command| {
        command.env("PATH", &folder);
    })?;
    fs::remove_dir_all(&folder)?;
    ended.succeeds(&["git does not tell the commit", "0 failed"])
}

fn unread(field: &Field) -> Result<()> {
    let mut command = field.command(&field.small()?)?;
    let errors = field.temporary().join("errors");
    let mut child = command.stdout(Stdio::piped()).stderr(fs::File::create(&errors)?).spawn()?;
    drop(child.stdout.take());
    let status = child.wait()?;
    let said = fs::read_to_string(&errors)?;
    fs::remove_file(&errors)?;
    ensure!(!said.contains("panicked"), "{said}");
    ensure!(status.code().is_some(), "it ends as {status}: {said}");
    field.measured(&[field.cases.bystander()?])
}

fn hangup(field: &Field) -> Result<()> {
    let bystander = field.cases.bystander()?;
    let mut command =
        field.command(&field.bench(Length::Long("200"), &["warm"], &[bystander], &[]))?;
    // SAFETY: one system call, between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        })
    };
    let mut started = field.start_as(command)?;
    started.until("the case has begun", |_| field.is_under_way(bystander, Suite::Warm))?;
    started.signal_all(libc::SIGHUP);
    started.wait_usually()?.succeeds(&["0 failed"])
}

fn mask(field: &Field) -> Result<()> {
    field.forget_images()?;
    let mut command = field.command(&field.all())?;
    // SAFETY: one system call, between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::umask(0o077);
            Ok(())
        })
    };
    field.start_as(command)?.wait_usually()?.succeeds(&["0 skipped, 0 failed"])
}

fn leftovers(field: &Field) -> Result<()> {
    // No process has such an id.
    let folder = field.temporary().join("lumos-4294967295-left");
    fs::create_dir(&folder)?;
    field.run(&field.small()?)?.succeeds(&["0 failed"])?;
    ensure!(!folder.exists(), "it is still there");
    Ok(())
}

fn lock(field: &Field) -> Result<()> {
    let path = field.layout.lumos().join("measuring.lock");
    fs::write(&path, [0xff; 4096])?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    field.run(&field.small()?)?.succeeds(&["0 failed"])
}

fn module(field: &Field, bytes: &[u8]) -> Result<()> {
    let path = field.temporary().join("somebody.wasm");
    fs::write(&path, bytes)?;
    let path_text = path.display().to_string();
    let ended = field.run(&["bench", "--wasm", &path_text, "--rounds", "1"])?;
    fs::remove_file(&path)?;
    ended.fails(&["somebody.wasm"])
}

fn few_files(field: &Field, descriptors: u64) -> Result<()> {
    let ended = altered(field, |command| {
        // SAFETY: one system call, between fork and exec.
        unsafe {
            command.pre_exec(move || {
                let limit = libc::rlimit { rlim_cur: descriptors, rlim_max: descriptors };
                match libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            })
        };
    })?;
    if ended.status.success() {
        return field.measured(&[field.cases.bystander()?]);
    }
    ended.fails(&["Too many open files"])
}

/// A daemon of containers that nobody else uses.
struct Daemon {
    child: Child,
    folder: PathBuf,
}

impl Daemon {
    fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let mut command = Command::new("dockerd");
        command.arg("--data-root").arg(folder.join("data"));
        command.arg("--exec-root").arg(folder.join("exec"));
        command.arg("--pidfile").arg(folder.join("pid"));
        command.arg("--host").arg(Self::address(folder));
        command.args(["--bridge", "none", "--iptables=false", "--ip6tables=false"]);
        // One that was killed has left it, with the id of a process that nobody has waited for.
        let _ = fs::remove_file(folder.join("exec/containerd/containerd.pid"));
        let log = fs::File::create(folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn()?;
        let daemon = Self { child, folder: folder.to_owned() };
        let begun = Instant::now();
        while !daemon.answers() {
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("dockerd: {}", fs::read_to_string(folder.join("log")).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(daemon)
    }

    fn address(folder: &Path) -> String {
        format!("unix://{}", folder.join("socket").display())
    }

    fn client(&self) -> Command {
        let mut client = Command::new("docker");
        client.env("DOCKER_HOST", Self::address(&self.folder)).stdin(Stdio::null());
        client
    }

    fn answers(&self) -> bool {
        self.client().arg("info").output().is_ok_and(|output| output.status.success())
    }

    /// What it has of containers.
    fn containers(&self) -> Result<String> {
        let output = self.client().args(["ps", "--all", "--quiet"]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn signal(&self, signal: libc::c_int) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // SAFETY: integers alone; the daemon is this program's child.
            unsafe { libc::kill(pid, signal) };
        }
    }

    fn stop(&mut self) {
        self.signal(libc::SIGTERM);
        let _ = self.child.wait();
        // What one that was killed has mounted.
        mounts::unmount_below(&self.folder);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

fn daemon(field: &Field, runtime: &str, signal: libc::c_int) -> Result<()> {
    let folder = field.upper().join("daemon");
    let mut daemon = Daemon::start(&folder)?;
    let bystander = field.cases.bystander()?;
    let address = Daemon::address(&folder);
    let start = |length, runtimes: &[&str], more: &[&str]| -> Result<Started> {
        let mut command = field.command(&field.bench(length, &["cold_start"], runtimes, more))?;
        command.env("DOCKER_HOST", &address);
        field.start_as(command)
    };
    let mut started = start(Length::Long("60"), &[runtime, bystander], &["--limit", "5"])?;
    started.until("the case has begun", |_| field.is_under_way(runtime, Suite::ColdStart))?;
    std::thread::sleep(Duration::from_millis(700));
    daemon.signal(signal);
    // An engine is given a minute to answer, more than once.
    let ended = started.wait(Duration::from_secs(400));
    match signal {
        libc::SIGSTOP => daemon.signal(libc::SIGCONT),
        _ => {
            daemon.child.wait()?;
            daemon = Daemon::start(&folder)?;
        }
    }
    let ended = ended?;
    ended.fails(&["1 failed"])?;
    let cause = field.cause(runtime, Suite::ColdStart)?;
    ensure!(!cause.is_empty(), "no cause");
    field.measured(&[bystander]).context("the other cases")?;
    // The next run with that daemon finds what could not be removed.
    start(Length::Short, &[runtime], &[])?.wait_usually()?.succeeds(&["0 failed"])?;
    let left = daemon.containers()?;
    ensure!(left.is_empty(), "containers are left: {left}");
    Ok(())
}
