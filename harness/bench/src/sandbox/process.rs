//! The `process` sandbox: a worker is a process with limits, nothing more.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use lumos_abi::monotonic_ns;
use lumos_record::{CpuTime, Phase};

use super::connection::{Connection, Listener};
use super::{LaunchError, Mark, Sandbox, Servant, Teardown};
use crate::{InvokeError, Limits};

/// How long a worker may take to end by itself once its socket is closed.
const FAREWELL: Duration = Duration::from_secs(5);

/// Launches workers as child processes.
#[derive(Debug)]
pub struct Process {
    listener: Listener,
    null: File,
    /// Where all workers write their complaints; read only when one has failed.
    complaints: File,
}

impl Process {
    /// Prepares a sandbox whose socket is in `directory`; a worker that is silent for
    /// `time_limit` is ended.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn new(directory: &Path, time_limit: Duration) -> io::Result<Self> {
        let complaints = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(directory.join("stderr"))?;
        let listener = Listener::bind(&directory.join("process.sock"), time_limit)?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        Ok(Self { listener, null, complaints })
    }

    fn spawn(&self, servant: &Servant, limits: &Limits) -> io::Result<Child> {
        let mut command = Command::new(servant.program.path());
        command.env_clear().arg("--connect").arg(self.listener.path());
        if let Some(engine) = &servant.engine {
            command.arg("--engine").arg(engine);
        }
        if let Some(artifact) = &servant.artifact {
            command.arg("--artifact").arg(artifact.path());
        }
        command.arg("--memory").arg(limits.memory_bytes.to_string());
        command.stdin(Stdio::from(self.null.try_clone()?));
        command.stdout(Stdio::from(self.null.try_clone()?));
        command.stderr(Stdio::from(self.complaints.try_clone()?));
        let pid = command.spawn()?.id();
        Child::adopt(pid)
    }

    /// What workers have written to standard error, which is then forgotten.
    fn complaints(&self) -> String {
        let mut file = &self.complaints;
        let mut text = String::new();
        // A complaint that cannot be read is no reason to fail once more.
        let _ =
            file.seek(SeekFrom::Start(0)).and_then(|_| file.take(2000).read_to_string(&mut text));
        self.forget_complaints();
        text.trim().replace('\n', "; ")
    }

    fn forget_complaints(&self) {
        let mut file = &self.complaints;
        let _ = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
    }

    fn describe(&self, what: &str, end: &ExitStatus) -> String {
        let complaints = self.complaints();
        let separator = if complaints.is_empty() { "" } else { ": " };
        format!("{what} ({}){separator}{complaints}", describe_end(end))
    }
}

/// What the kernel says of a process's end.
pub(crate) fn describe_end(status: &ExitStatus) -> String {
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
}

impl Sandbox for Process {
    type Worker = Worker;

    fn name(&self) -> &str {
        "process"
    }

    fn launch(&self, servant: &Servant, limits: &Limits) -> Result<Worker, LaunchError> {
        let child = self.spawn(servant, limits).map_err(|error| {
            LaunchError(format!("{}: {error}", servant.program.path().display()))
        })?;
        let created = Mark { phase: Phase::Create, end_ns: monotonic_ns() };
        match self.listener.accept(child.pidfd.as_fd()) {
            Ok((connection, announced)) => {
                let mut marks = Vec::with_capacity(8);
                marks.push(created);
                marks.extend(announced);
                Ok(Worker { connection, child, marks })
            }
            Err(message) => {
                let (end, _) = child.end(Duration::from_millis(100));
                Err(LaunchError(self.describe(&message, &end)))
            }
        }
    }

    fn marks<'w>(&self, worker: &'w Worker) -> &'w [Mark] {
        &worker.marks
    }

    fn invoke(
        &self,
        worker: &mut Worker,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError> {
        worker.connection.invoke(request, response)
    }

    fn peak_rss_bytes(&self, worker: &Worker) -> Option<u64> {
        // VmHWM is the peak of this one process. The peak in the resource usage of children
        // would be the largest of all children so far.
        let status = std::fs::read_to_string(format!("/proc/{}/status", worker.child.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }

    fn teardown(&self, worker: Worker) -> Teardown {
        drop(worker.connection);
        let (end, cpu) = worker.child.end(FAREWELL);
        let trouble = (!end.success()).then(|| self.describe("the worker ended badly", &end));
        // What a worker says that served well must not be laid to the next one that fails.
        self.forget_complaints();
        Teardown { cpu, trouble }
    }

    fn autopsy(&self, worker: Worker) -> String {
        drop(worker.connection);
        let (end, _) = worker.child.end(Duration::from_millis(100));
        self.describe("the worker's end", &end)
    }
}

/// A child process that does not outlive its owner.
#[derive(Debug)]
struct Child {
    pid: i32,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Child {
    fn adopt(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        // SAFETY: the call takes two integers, and returns a descriptor that nobody else owns.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let pidfd = i32::try_from(pidfd).map_err(io::Error::other)?;
        if pidfd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok(Self { pid, pidfd, reaped: false })
    }

    /// Waits for the end, and brings it about after `patience`.
    fn end(mut self, patience: Duration) -> (ExitStatus, CpuTime) {
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
