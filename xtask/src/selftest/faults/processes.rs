//! Which processes a run has, and what each of them is there for.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

/// What a process of a run is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The command that the user has typed.
    Command,
    /// What it has started, and what gives turns.
    Conductor,
    /// What measures the cases of a runtime.
    Measuring,
    /// What serves a function, in a process of this machine.
    Worker,
    /// What serves a function in a container.
    Contained,
}

impl Role {
    /// As it is called in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Conductor => "conductor",
            Self::Measuring => "measuring process",
            Self::Worker | Self::Contained => "worker",
        }
    }
}

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    parent: i32,
    arguments: Vec<String>,
}

impl Process {
    /// All that run; those that have ended, and that nobody waits for, do not.
    pub fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::read(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit(')').next()?.split_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments = arguments.split(|&byte| byte == 0);
        let arguments = arguments.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        (!["Z", "X"].contains(&state)).then_some(Self { pid, parent, arguments })
    }

    /// Whether it serves a function, in whatever sandbox.
    fn is_worker(&self) -> bool {
        self.arguments.iter().any(|word| word == "--connect")
    }

    /// Whether it has other mounts than this program.
    fn is_contained(&self) -> bool {
        let mounts = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
        mounts(&self.pid.to_string()).is_some_and(|own| Some(own) != mounts("self"))
    }

    fn is_bench_target(&self) -> bool {
        let name = self.arguments.first().and_then(|program| program.rsplit('/').next());
        name.is_some_and(|name| name.starts_with("suites-"))
    }

    /// Whether a variable of its environment has that value.
    fn has_variable(&self, assignment: &str) -> bool {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|held| held == assignment.as_bytes())
    }

    /// What it was called with.
    pub fn command_line(&self) -> String {
        self.arguments.join(" ")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: integers alone. The process belongs to a run that this program has started.
        unsafe { libc::kill(self.pid, signal) };
    }
}

/// The processes of one command.
#[derive(Debug)]
pub struct Family {
    command: i32,
    /// Workers that others have: of containers, nobody can tell whose they are.
    strangers: BTreeSet<i32>,
}

impl Family {
    /// Of a command that is about to start.
    pub fn expected() -> Self {
        let workers = Process::all().into_iter().filter(Process::is_worker);
        Self { command: 0, strangers: workers.map(|process| process.pid).collect() }
    }

    /// Of the command, now that it has started.
    ///
    /// # Errors
    /// When its id is none.
    pub fn of(self, command: u32) -> Result<Self> {
        let command = i32::try_from(command).context("the id of a process")?;
        Ok(Self { command, ..self })
    }

    /// The processes with a role; of bench targets, those whose work has begun.
    pub fn with(&self, role: Role) -> Vec<Process> {
        let mut all = Process::all();
        let conductors: Vec<i32> = all
            .iter()
            .filter(|process| process.parent == self.command && process.is_bench_target())
            .map(|process| process.pid)
            .collect();
        all.retain(|process| match role {
            Role::Command => process.pid == self.command,
            Role::Conductor => conductors.contains(&process.pid),
            Role::Measuring => conductors.contains(&process.parent) && process.is_bench_target(),
            Role::Worker | Role::Contained => {
                process.is_worker()
                    && !self.strangers.contains(&process.pid)
                    && process.is_contained() == (role == Role::Contained)
            }
        });
        all
    }

    /// A worker that runs now in no container; those of cold starts live for less than a look at
    /// all processes takes.
    pub fn worker(&self) -> Option<Process> {
        const LOOKS: usize = 2000;
        let measuring = self.with(Role::Measuring);
        let children = |process: &Process| {
            let tasks = fs::read_dir(format!("/proc/{}/task", process.pid));
            let tasks = tasks.into_iter().flatten().flatten();
            let read =
                tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
            let ids = read.flat_map(|text| {
                text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<i32>>()
            });
            ids.filter_map(Process::read).find(|one| one.is_worker() && !one.is_contained())
        };
        let quick = (0..LOOKS).find_map(|_| measuring.iter().find_map(children));
        quick.or_else(|| self.with(Role::Worker).into_iter().next())
    }

    /// The compilers that work for it.
    pub fn compilers(&self) -> Vec<Process> {
        let mut all = Process::all();
        let mut own = BTreeSet::from([self.command]);
        // Children come after their parents, but for ids that begin anew: a second look finds those.
        for _ in 0..2 {
            own.extend(
                all.iter()
                    .filter(|one| own.contains(&one.parent))
                    .map(|one| one.pid)
                    .collect::<Vec<_>>(),
            );
        }
        all.retain(|process| {
            let program = process.arguments.first().and_then(|program| program.rsplit('/').next());
            // Others only ask it something, as cargo does in the name of `___`.
            let is = |word: &str| process.arguments.iter().any(|held| held == word);
            let compiles = is("--crate-name") && !is("___");
            own.contains(&process.pid) && program == Some("rustc") && compiles
        });
        all
    }

    /// What runs of it, by the folder for temporary files that its processes were given, and by
    /// what all workers are called with.
    pub fn left(&self, temporary: &str) -> Vec<Process> {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let variable = format!("TMPDIR={temporary}");
        let mut all = Process::all();
        all.retain(|process| {
            process.pid != own
                && (process.has_variable(&variable)
                    || process.is_worker() && !self.strangers.contains(&process.pid))
        });
        all
    }
}
