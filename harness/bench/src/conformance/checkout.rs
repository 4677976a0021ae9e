//! A checkout in a temporary folder, in which the suites run as they do in a real one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lumos_record::protocol::variable;
use lumos_record::{
    Artifact, ArtifactKind, ArtifactManifest, Case, Compilation, Finished, Layout, Record, Run,
    SCHEMA_VERSION,
};
use lumos_workloads::sha256_hex;
use tempfile::TempDir;

use crate::suites::select::Selection;

/// Criterion's arguments for the fewest samples in the least time.
pub const TEN_SAMPLES: [&str; 6] =
    ["--sample-size", "10", "--warm-up-time", "0.01", "--measurement-time", "0.05"];

/// A folder that the suites take for a checkout, removed with the value.
#[derive(Debug)]
pub struct Checkout {
    folder: TempDir,
    /// What the build is said to have left; written by [`Checkout::run`].
    pub manifest: ArtifactManifest,
    /// The session of the runs; without one each is its own.
    pub session: Option<String>,
    /// Further variables of the program's environment, which prevail.
    pub variables: Vec<(&'static str, OsString)>,
    /// The script of a shell that starts the program, whose name and arguments are `$0` and `$@`;
    /// none where nobody is between.
    pub shell: Option<&'static str>,
}

/// A payload of a function: what is asked, and what is to be answered.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The payload's id.
    pub payload: &'a str,
    /// The request.
    pub request: &'a str,
    /// The right response.
    pub response: &'a str,
}

/// A process that runs in the checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// The words of its command line.
    pub arguments: String,
}

/// The suites' program, after its end.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote.
    pub output: String,
    /// The folder of the newest run.
    pub directory: Option<PathBuf>,
}

impl Ended {
    /// Reads the run that was kept.
    ///
    /// # Errors
    /// When none was, or its records are not whole.
    pub fn run(&self) -> Result<Run> {
        let directory = self.directory.as_ref().with_context(|| format!("no run: {self}"))?;
        Ok(Run::read(directory)?)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.status, self.output)
    }
}

impl Checkout {
    /// Makes a checkout without functions and artifacts.
    ///
    /// # Errors
    /// When the folder for temporary files cannot be written.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("checkout-").tempdir()?;
        let manifest =
            ArtifactManifest { schema_version: SCHEMA_VERSION, ..ArtifactManifest::default() };
        let checkout = Self { folder, manifest, session: None, variables: Vec::new(), shell: None };
        let layout = checkout.layout();
        for folder in
            [layout.guests(), layout.workloads(), layout.artifacts(), checkout.temporary()]
        {
            fs::create_dir_all(folder)?;
        }
        Ok(checkout)
    }

    /// Where things are in it.
    pub fn layout(&self) -> Layout {
        let root = self.folder.path().to_owned();
        Layout { target: root.join("target"), root }
    }

    /// The folder for temporary files of the programs that run in it.
    pub fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// Adds a function that every profile measures with these payloads.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn add_workload(&self, function: &str, answers: &[Answer<'_>]) -> Result<()> {
        let mut text = format!("function = \"{function}\"\nsummary = \"For a test\"\n");
        for Answer { payload, request, response } in answers {
            text += &format!(
                "\n[[payload]]\nid = \"{payload}\"\nprofile = \"quick\"\nsweep = true\n\
                 request = {{ kind = \"literal\", text = \"{request}\" }}\n\
                 request_sha256 = \"{}\"\nresponse_sha256 = \"{}\"\n",
                sha256_hex(request.as_bytes()),
                sha256_hex(response.as_bytes())
            );
        }
        fs::write(self.layout().workloads().join(format!("{function}.toml")), text)?;
        Ok(())
    }

    /// Adds a file to the artifacts as what the build made of it; `engine` is the precompiled
    /// artifact's runtime or the worker's name. A path that is relative is one below the
    /// artifacts' folder.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn add_artifact(
        &mut self,
        kind: ArtifactKind,
        function: Option<&str>,
        engine: Option<(&str, &str)>,
        path: &Path,
    ) -> Result<()> {
        let bytes = fs::read(self.layout().artifacts().join(path))?;
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        self.manifest.artifacts.push(Artifact {
            function: function.map(str::to_owned),
            engine: engine.map(|(name, _)| name.to_owned()),
            engine_version: engine.map(|(_, version)| version.to_owned()),
            bytes: bytes.len() as u64,
            sha256: sha256_hex(&bytes),
            compilation: (kind == ArtifactKind::Precompiled).then(Compilation::default),
            ..Artifact::new(kind, path, target)
        });
        Ok(())
    }

    /// Writes the manifest of the artifacts.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn save_manifest(&self) -> Result<()> {
        let path = self.layout().artifacts().join(ArtifactManifest::FILE);
        Ok(fs::write(path, serde_json::to_vec(&self.manifest)?)?)
    }

    /// Starts this program as the checkout's bench target.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, selection: &Selection, criterion: &[&str]) -> Result<Child> {
        let layout = self.layout();
        let output = File::create(self.output())?;
        let program = std::env::current_exe()?;
        let mut command = match self.shell {
            None => Command::new(program),
            Some(script) => {
                let mut command = Command::new("sh");
                command.args(["-c", script]).arg(program);
                command
            }
        };
        command.arg("--bench").args(criterion).current_dir(&layout.root);
        for outer in ["CARGO_TARGET_DIR", variable::RUN, variable::SESSION, variable::EVENTS] {
            command.env_remove(outer);
        }
        command
            .env(variable::ROOT, &layout.root)
            .env(variable::ARTIFACTS_READY, "1")
            .env(variable::SELECTION, serde_json::to_string(selection)?)
            .env("CRITERION_HOME", layout.target.join("criterion"))
            .env("TMPDIR", self.temporary())
            // To name the functions of a backtrace takes longer than some invocations may.
            .env("RUST_BACKTRACE", "0")
            .envs(self.session.iter().map(|session| (variable::SESSION, session)))
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let heed_signals = || {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
                // SAFETY: a call that may be made between fork and exec.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            Ok(())
        };
        // Whoever runs the tests may ignore them, as a shell does for what is in the background.
        // SAFETY: it does no more than that.
        unsafe { command.pre_exec(heed_signals) };
        Ok(command.spawn()?)
    }

    /// Runs the suites to their end.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn run(&self, selection: &Selection, criterion: &[&str]) -> Result<Ended> {
        self.save_manifest()?;
        self.wait(self.start(selection, criterion)?)
    }

    /// Waits for the end of a program that was started.
    ///
    /// # Errors
    /// When what it left cannot be read.
    pub fn wait(&self, mut child: Child) -> Result<Ended> {
        let status = child.wait()?;
        let output = String::from_utf8_lossy(&fs::read(self.output())?).into_owned();
        Ok(Ended { status, output, directory: Run::all(&self.layout().runs())?.pop() })
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// The processes that run in the checkout: its path is in their environment, or, of
    /// workers, which have none, in their arguments.
    ///
    /// # Errors
    /// When there is no `/proc`.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let path = self.folder.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let read = |file: &str| {
                // A process that has ended in between has no such file.
                let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let arguments = read("cmdline");
            let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
            if arguments.contains(&path) || read("environ").contains(&path) {
                found.push(Process { pid, arguments });
            }
        }
        found.sort_by_key(|process| process.pid);
        Ok(found)
    }

    /// Checks that no process runs in the checkout, and no socket or temporary file is left.
    ///
    /// # Errors
    /// When one is, and stays for longer than the kernel takes to end a process.
    pub fn nothing_is_left(&self) -> Result<()> {
        wait_until("every process has ended", || Ok(self.processes()?.is_empty()))
            .with_context(|| format!("{:?}", self.processes()))?;
        let left: Vec<_> = fs::read_dir(self.temporary())?.flatten().map(|e| e.path()).collect();
        ensure!(left.is_empty(), "temporary files are left: {left:?}");
        Ok(())
    }
}

/// Waits, some seconds at most, until a condition holds.
///
/// # Errors
/// When it still does not.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..2000 {
        if holds()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("waited in vain until {what}")
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was measured.
    Finished(Finished),
    /// Its instructions were counted.
    Counted(u64),
    /// It was run once and checked.
    Verified,
    /// It was not run, for this reason.
    Skipped(String),
    /// It failed, for this cause.
    Failed(String),
}

/// The outcome of every case of a run.
///
/// # Errors
/// When a case has none, or more than one, or ends without having begun.
pub fn outcomes(run: &Run) -> Result<BTreeMap<Case, Outcome>> {
    let mut started = Vec::new();
    let mut outcomes = BTreeMap::new();
    for record in &run.records {
        let (case, outcome) = match record.clone() {
            Record::Started { case } => {
                started.push(case);
                continue;
            }
            Record::Finished(finished) => (finished.case.clone(), Outcome::Finished(finished)),
            Record::Counted(counted) => (counted.case, Outcome::Counted(counted.instructions)),
            Record::Verified { case } => (case, Outcome::Verified),
            Record::Skip(skip) => (skip.case, Outcome::Skipped(skip.reason)),
            Record::Failure(failure) => (failure.case, Outcome::Failed(failure.cause)),
            Record::Run(_)
            | Record::Process(_)
            | Record::Sandbox(_)
            | Record::Weather(_)
            | Record::Precision(_)
            | Record::Phases(_)
            | Record::Worker(_)
            | Record::Breakdown(_)
            | Record::Chain(_) => continue,
        };
        ensure!(started.contains(&case), "{case} ended without having begun");
        if let Some(first) = outcomes.insert(case.clone(), outcome) {
            bail!("{case} has a second outcome beside {first:?}");
        }
    }
    started.retain(|case| !outcomes.contains_key(case));
    ensure!(started.is_empty(), "without an outcome: {started:?}");
    Ok(outcomes)
}
