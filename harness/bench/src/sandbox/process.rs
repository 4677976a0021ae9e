//! The `process` sandbox: a worker is a process with limits, nothing more.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use lumos_abi::monotonic_ns;
use lumos_record::{CpuTime, Phase};

use super::cgroup::{Cgroup, Hierarchy};
use super::complaints::Complaints;
use super::connection::{Connection, Listener};
use super::{
    LaunchError, Mark, Sandbox, SandboxContext, State, Teardown, Trouble, WorkerSpec, sequence,
};
use crate::Limits;
pub use crate::memory::peak_rss_bytes;

/// How long a worker may take to end by itself once its socket is closed.
const FAREWELL: Duration = Duration::from_secs(5);

/// Launches workers as child processes.
#[derive(Debug)]
pub struct Process {
    listener: Listener,
    null: File,
    complaints: Complaints,
    /// Where workers with limits get their cgroups, or why they cannot.
    hierarchy: Result<Hierarchy, String>,
    /// The program that runs workers of another architecture.
    emulator: Option<PathBuf>,
}

impl Process {
    /// Prepares a sandbox; a worker that is silent for longer than the context allows is ended.
    ///
    /// # Errors
    /// When the folder for sockets cannot be written.
    pub fn new(context: &SandboxContext<'_>) -> anyhow::Result<Self> {
        let process = Self::in_folder(context.sockets, context.timeout).with_context(|| {
            format!(
                "cannot make a socket in {}: a shorter path in TMPDIR may help",
                context.sockets.display()
            )
        })?;
        let emulator = context.emulator.map(|emulator| emulator.program.clone());
        Ok(Self { emulator, ..process })
    }

    /// Prepares a sandbox whose socket is in `directory`; a worker that is silent for
    /// `timeout` is ended.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn in_folder(directory: &Path, timeout: Duration) -> io::Result<Self> {
        let complaints = Complaints::in_file(&directory.join("stderr"))?;
        let listener = Listener::bind(&directory.join("process.sock"), timeout)?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        Ok(Self { listener, null, complaints, hierarchy: Hierarchy::find(), emulator: None })
    }

    fn spawn(
        &self,
        worker_spec: &WorkerSpec,
        limits: &Limits,
        cgroup: Option<&Cgroup>,
    ) -> io::Result<Child> {
        let mut command = match &self.emulator {
            None => Command::new(worker_spec.program.path()),
            Some(emulator) => {
                let mut command = Command::new(emulator);
                // The default of some architectures is a processor of twenty years ago.
                command.args(["-cpu", "max"]).arg(worker_spec.program.path());
                command
            }
        };
        command.env_clear().arg("--connect").arg(self.listener.path());
        if let Some(engine) = &worker_spec.engine {
            command.arg("--engine").arg(engine);
        }
        if let Some(artifact) = &worker_spec.artifact {
            command.arg("--artifact").arg(artifact.path());
        }
        command.args(limits.arguments());
        for file in cgroup.iter().flat_map(|cgroup| cgroup.joins()) {
            command.arg("--cgroup").arg(file);
        }
        if let Some(state) = &worker_spec.state {
            command.env(State::VARIABLE, state.seen().to_string());
        }
        command.stdin(Stdio::from(self.null.try_clone()?));
        command.stdout(Stdio::from(self.null.try_clone()?));
        command.stderr(Stdio::from(self.complaints.writer()?));
        let pid = command.spawn()?.id();
        Child::adopt(pid)
    }

    fn describe(&self, what: &str, end: &ExitStatus, cgroup: Option<&Cgroup>) -> String {
        let trouble = cgroup.and_then(Cgroup::memory_trouble);
        self.complaints.describe(what, &trouble.unwrap_or_else(|| describe_end(end)))
    }
}

/// What the kernel says of a process's end.
pub fn describe_end(status: &ExitStatus) -> String {
    let Some(signal) = status.signal() else { return status.to_string() };
    let name = match signal {
        libc::SIGABRT => "SIGABRT: the function or its allocator gave up",
        libc::SIGKILL => "SIGKILL: ended by the harness or by the kernel for its memory",
        libc::SIGSEGV => "SIGSEGV: a bad memory access or a stack overflow",
        libc::SIGILL => "SIGILL: a trap or an instruction that this processor lacks",
        libc::SIGBUS => "SIGBUS: a file was cut short while it was mapped",
        _ => return status.to_string(),
    };
    format!("signal {signal}, {name}")
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    connection: Connection,
    child: Child,
    marks: Vec<Mark>,
    /// Removed last: it must be empty by then.
    cgroup: Option<Cgroup>,
}

impl Sandbox for Process {
    type Worker = Worker;

    fn launch(&self, worker_spec: &WorkerSpec, limits: &Limits) -> Result<Worker, LaunchError> {
        let cgroup = match limits.cgroup {
            true => {
                let hierarchy = self.hierarchy.as_ref().map_err(|e| LaunchError(e.clone()))?;
                Some(Cgroup::create(hierarchy, limits).map_err(LaunchError)?)
            }
            false => None,
        };
        let child = self.spawn(worker_spec, limits, cgroup.as_ref()).map_err(|error| {
            LaunchError(format!("{}: {error}", worker_spec.program.path().display()))
        })?;
        let created = Mark { phase: Phase::Create, end_ns: monotonic_ns() };
        match self.listener.accept(child.life()) {
            Ok((connection, announced)) => {
                let marks = sequence(vec![created], &announced);
                Ok(Worker { connection, child, marks, cgroup })
            }
            Err(message) => {
                let (end, _) = child.end(Duration::from_millis(100));
                Err(LaunchError(self.describe(&message, &end, cgroup.as_ref())))
            }
        }
    }

    fn check_limits(&self, limits: &Limits) -> Result<(), Trouble> {
        if limits.cgroup {
            let hierarchy = self.hierarchy.as_ref().map_err(|e| Trouble::Skip(e.clone()))?;
            Cgroup::create(hierarchy, limits).map_err(Trouble::Skip)?;
        }
        Ok(())
    }

    fn marks<'w>(&self, worker: &'w Worker) -> &'w [Mark] {
        &worker.marks
    }

    fn connection<'w>(&self, worker: &'w mut Worker) -> &'w mut Connection {
        &mut worker.connection
    }

    fn peak_rss_bytes(&self, worker: &Worker) -> Option<u64> {
        peak_rss_bytes(worker.child.pid)
    }

    fn teardown(&self, worker: Worker) -> Teardown {
        drop(worker.connection);
        let (end, cpu) = worker.child.end(FAREWELL);
        let cgroup = worker.cgroup.as_ref();
        let trouble =
            (!end.success()).then(|| self.describe("the worker ended badly", &end, cgroup));
        // What a worker says that served well must not be laid to the next one that fails.
        self.complaints.forget();
        Teardown { cpu, trouble }
    }

    fn autopsy(&self, worker: Worker) -> String {
        drop(worker.connection);
        let (end, _) = worker.child.end(Duration::from_millis(100));
        self.describe("the worker's end", &end, worker.cgroup.as_ref())
    }
}

/// A descriptor that is readable once the process has ended.
///
/// # Errors
/// When there is no such process.
pub fn life_of(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers, and returns a descriptor that nobody else owns.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let pidfd = i32::try_from(pidfd).map_err(io::Error::other)?;
    if pidfd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

/// A child process that does not outlive its owner.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Child {
    /// Takes charge of a child of this process that nobody waits for.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn adopt(pid: u32) -> io::Result<Self> {
        let pidfd = life_of(pid)?;
        Ok(Self { pid: i32::try_from(pid).map_err(io::Error::other)?, pidfd, reaped: false })
    }

    /// Its id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Readable once the child has ended.
    pub fn life(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for the end, and brings it about after `patience`.
    pub fn end(mut self, patience: Duration) -> (ExitStatus, CpuTime) {
        let mut entry =
            libc::pollfd { fd: self.pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let patience_ms = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one live entry.
        if unsafe { libc::poll(&raw mut entry, 1, patience_ms) } != 1 {
            self.kill();
        }
        self.reap()
    }

    fn kill(&self) {
        // SAFETY: integers alone; the child is not reaped, so the id is still its own.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }

    fn reap(&mut self) -> (ExitStatus, CpuTime) {
        let mut status = 0;
        // SAFETY: zero is a valid rusage.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live values. The usage is that of this one child.
        while unsafe { libc::wait4(self.pid, &raw mut status, 0, &raw mut usage) } < 0
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
        self.reaped = true;
        let ns = |time: libc::timeval| {
            time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_usec.unsigned_abs() * 1000
        };
        let cpu = CpuTime { user_ns: ns(usage.ru_utime), system_ns: ns(usage.ru_stime) };
        (ExitStatus::from_raw(status), cpu)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            self.reap();
        }
    }
}
