//! Where faults are provoked: this checkout, with everything that is written to it kept apart.
//!
//! The checkout is covered by an overlay, in a namespace of mounts that nobody else sees: what is
//! damaged, filled up or written to is thrown away after each fault.

#![expect(
    clippy::disallowed_methods,
    reason = "no sample is timed: what is waited for has a limit"
)]

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lumos_record::{Layout, Record, Run};
use tempfile::TempDir;

use super::mounts::{self, mount, unmount};
use super::processes::{Family, Role};

/// How long a command may take that has nothing to build.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long what was ended may take to be gone.
pub const GRACE: Duration = Duration::from_secs(15);
/// How often is looked.
const GLANCE: Duration = Duration::from_millis(5);

/// Where what is written to the checkout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// To a disk with room.
    Roomy,
    /// To one of so many bytes.
    Small(u64),
}

/// The checkout under its overlay.
pub struct Field {
    /// Where things are in it.
    pub layout: Layout,
    scratch: TempDir,
    /// What each small run measures.
    pub cases: Cases,
    is_covered: bool,
}

/// What is measured: one runtime for each place in which a function can run.
#[derive(Debug, Clone, Default)]
pub struct Cases {
    /// Runtimes of the served lane with their sandboxes, native code each.
    pub sandboxes: Vec<(String, String)>,
    /// A runtime of the in-process lane.
    pub in_process: String,
    /// The engine of the in-process lane in a process of its own.
    pub engine: String,
}

/// How long a run takes.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// As short as can be.
    Short,
    /// Of so many samples, so that it is met in the middle of a case.
    Long(&'static str),
}

/// A command that runs.
pub struct Started {
    child: Child,
    words: String,
    output: PathBuf,
    /// Its processes.
    pub family: Family,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it wrote to both streams.
    pub text: String,
    words: String,
}

impl Field {
    /// Keeps what this process and its children mount from everybody else.
    ///
    /// # Errors
    /// When this user may not.
    pub fn new(layout: &Layout) -> Result<Self> {
        mounts::keep_apart()?;
        // Not in `target`, which is covered, and with a short name, as sockets have to have.
        let scratch = tempfile::Builder::new().prefix("faults-").tempdir_in("/var/tmp")?;
        let cases = Cases::default();
        let field = Self { layout: layout.clone(), scratch, cases, is_covered: false };
        fs::create_dir(field.temporary())?;
        Ok(field)
    }

    /// The folder for the temporary files of every command.
    pub fn temporary(&self) -> PathBuf {
        self.scratch.path().join("tmp")
    }

    /// Where what is written to the checkout comes to lie.
    pub fn upper(&self) -> PathBuf {
        self.scratch.path().join("disk")
    }

    /// Covers the checkout anew: nothing of what was written to it is left, and it has no runs.
    ///
    /// # Errors
    /// When something cannot be mounted.
    pub fn cover(&mut self, disk: Disk) -> Result<()> {
        self.uncover()?;
        let place = self.upper();
        fs::create_dir(&place)?;
        if let Disk::Small(bytes) = disk {
            mount("tmpfs", &place, "tmpfs", 0, &format!("size={bytes},mode=755"))?;
        }
        let covered = self.covered();
        for (number, folder) in covered.iter().enumerate() {
            let (upper, work) = (place.join(format!("{number}")), place.join(format!("w{number}")));
            fs::create_dir(&upper)?;
            fs::create_dir(&work)?;
            let options = format!(
                "lowerdir={},upperdir={},workdir={}",
                folder.display(),
                upper.display(),
                work.display()
            );
            mount("overlay", folder, "overlay", 0, &options)?;
        }
        self.is_covered = true;
        // Earlier runs and reports are somebody's, and no part of this.
        for folder in [self.layout.runs(), self.layout.criterion(), self.layout.report()] {
            hide(&folder)?;
        }
        Ok(())
    }

    /// What is covered: the checkout, and its target directory where that is elsewhere.
    pub fn covered(&self) -> Vec<PathBuf> {
        let Layout { root, target } = &self.layout;
        let elsewhere = (!target.starts_with(root)).then(|| target.clone());
        [root.clone()].into_iter().chain(elsewhere).collect()
    }

    fn uncover(&mut self) -> Result<()> {
        if self.is_covered {
            for folder in self.covered().iter().rev() {
                unmount(folder)?;
            }
            self.is_covered = false;
        }
        let place = self.upper();
        if place.exists() {
            // It may be a file system of its own.
            let _ = unmount(&place);
            fs::remove_dir_all(&place)
                .with_context(|| format!("cannot remove {}", place.display()))?;
        }
        Ok(())
    }

    /// Lets nothing be written to the checkout any more, or again.
    ///
    /// # Errors
    /// When it cannot be mounted so.
    pub fn write_protect(&self, is_protected: bool) -> Result<()> {
        let flags = if is_protected { libc::MS_RDONLY } else { 0 };
        self.covered()
            .iter()
            .try_for_each(|folder| mount("", folder, "", libc::MS_REMOUNT | flags, ""))
    }

    /// Takes all room of a small disk that is left, and gives the file that has it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn fill(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("balloon");
        let mut file = File::create(&path)?;
        match io::copy(&mut io::repeat(b'x'), &mut file) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(path),
            other => bail!("{} does not become full: {other:?}", folder.display()),
        }
    }

    /// A command line of Lumos.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words).current_dir(&self.layout.root).stdin(Stdio::null());
        command.env("TMPDIR", self.temporary()).env("CARGO_TARGET_DIR", &self.layout.target);
        // A signal to all of its processes, as from a terminal, is to reach no others, and is not
        // ignored, whatever this program was started to ignore.
        command.process_group(0);
        // SAFETY: system calls alone, between fork and exec.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGTERM] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                Ok(())
            })
        };
        Ok(command)
    }

    /// Starts a command.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, words: &[&str]) -> Result<Started> {
        self.start_as(self.command(words)?)
    }

    /// Starts a command that was made by [`Field::command`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_as(&self, mut command: Command) -> Result<Started> {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let words = words.join(" ");
        let output = tempfile::Builder::new().prefix("output-").tempfile_in(self.scratch.path())?;
        let (output, path) = output.keep()?;
        let family = Family::expected();
        let child = command.stdout(output.try_clone()?).stderr(output).spawn()?;
        Ok(Started { family: family.of(child.id())?, child, words, output: path })
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn run(&self, words: &[&str]) -> Result<Ended> {
        self.start(words)?.wait(PATIENCE)
    }

    /// The words of a small run of some suites and runtimes; of a long one, every case takes seconds.
    pub fn bench<'w>(
        &self,
        length: Length,
        suites: &[&'w str],
        runtimes: &[&'w str],
        more: &[&'w str],
    ) -> Vec<&'w str> {
        let mut words = vec!["bench", "--profile", "quick", "--function", "noop"];
        words.extend(["--rounds", "1", "--precision", "off"]);
        words.extend(suites.iter().flat_map(|suite| ["--suite", suite]));
        words.extend(runtimes.iter().flat_map(|runtime| ["--runtime", runtime]));
        words.extend(more);
        words.extend(["--", "--warm-up-time", "0.01"]);
        words.extend(match length {
            Length::Short => ["--sample-size", "10", "--measurement-time", "0.05"],
            Length::Long(samples) => ["--sample-size", samples, "--measurement-time", "6"],
        });
        words
    }

    /// The words of a small run of the bystander.
    ///
    /// # Errors
    /// When there is none.
    pub fn small(&self) -> Result<Vec<&str>> {
        Ok(self.bench(Length::Short, &["warm"], &[self.cases.bystander()?], &[]))
    }

    /// The words of a small run of every runtime, in both lanes.
    pub fn all(&self) -> Vec<&str> {
        self.bench(Length::Short, &["warm", "call"], &self.cases.all(), &[])
    }

    /// Removes what images were unpacked to: they are unpacked again when they are needed.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget_images(&self) -> Result<()> {
        hide(&self.images())
    }

    /// Where sandboxes that unpack images by themselves keep them.
    pub fn images(&self) -> PathBuf {
        self.layout.lumos().join("rootfs")
    }

    /// Starts a small run, and waits until Criterion is given its samples.
    ///
    /// # Errors
    /// When that does not come.
    pub fn handing_over(&self) -> Result<Started> {
        let suites = ["warm", "cold_start"];
        let words = self.bench(Length::Short, &suites, &[self.cases.bystander()?], &[]);
        let mut started = self.start(&words)?;
        let criterion = self.layout.criterion();
        let has_entries =
            |_: &Family| fs::read_dir(&criterion).is_ok_and(|mut entries| entries.next().is_some());
        started.until("Criterion writes", has_entries)?;
        Ok(started)
    }

    /// The records of the newest run, as far as they can be read.
    pub fn records(&self) -> Vec<Record> {
        let newest = Run::all(&self.layout.runs()).ok().and_then(|mut runs| runs.pop());
        let run = newest.and_then(|folder| Run::read(&folder).ok());
        run.map(|run| run.records).unwrap_or_default()
    }

    /// The folder of the newest run.
    ///
    /// # Errors
    /// When there is none.
    pub fn newest_run(&self) -> Result<PathBuf> {
        Run::all(&self.layout.runs())?.pop().context("there is no run")
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        // What is mounted goes with the namespace; the folders below are removed with the value.
        let _ = self.uncover();
    }
}

impl Started {
    /// Waits until something is so.
    ///
    /// # Errors
    /// When the command ends before, or it takes too long; the message holds its output.
    pub fn until(&mut self, what: &str, is_so: impl Fn(&Family) -> bool) -> Result<()> {
        let begun = Instant::now();
        while !is_so(&self.family) {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended before {what} ({status}): {}", self.text());
            }
            if begun.elapsed() > PATIENCE {
                self.end()?;
                bail!("waited in vain until {what}: {}", self.text());
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// Sends a signal to a process of that role, once there is one.
    ///
    /// # Errors
    /// As [`Started::until`].
    pub fn signal(&mut self, role: Role, signal: libc::c_int) -> Result<()> {
        let begun = Instant::now();
        loop {
            let found = match role {
                Role::Worker => self.family.worker(),
                _ => self.family.with(role).into_iter().next(),
            };
            if let Some(process) = found {
                process.signal(signal);
                return Ok(());
            }
            let is_over = self.child.try_wait()?.is_some() || begun.elapsed() > PATIENCE;
            ensure!(!is_over, "no {}: {}", role.name(), self.text());
        }
    }

    /// Sends a signal to all of its processes, as a terminal does.
    pub fn signal_all(&self, signal: libc::c_int) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            // SAFETY: integers alone; the group is this command's own.
            unsafe { libc::kill(-group, signal) };
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When that does not come in time.
    pub fn wait(mut self, patience: Duration) -> Result<Ended> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let ended = Ended { status, text: self.text(), words: self.words.clone() };
                let _ = fs::remove_file(&self.output);
                return Ok(ended);
            }
            if begun.elapsed() > patience {
                self.end()?;
                bail!("`{}` does not end: {}", self.words, self.text());
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Waits for its end, as long as a command may take that has nothing to build.
    ///
    /// # Errors
    /// When that does not come in time.
    pub fn wait_usually(self) -> Result<Ended> {
        self.wait(PATIENCE)
    }

    fn end(&mut self) -> Result<()> {
        self.signal_all(libc::SIGKILL);
        self.child.wait()?;
        Ok(())
    }

    /// What it has written so far.
    pub fn text(&self) -> String {
        let bytes = fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Ended {
    /// Makes sure that it did not panic, and said each of these.
    ///
    /// # Errors
    /// What it said instead.
    pub fn says(&self, parts: &[&str]) -> Result<()> {
        let panics = ["panicked at", "RUST_BACKTRACE", "core dumped"];
        if let Some(panic) = panics.iter().find(|panic| self.text.contains(**panic)) {
            bail!("`{}` panics ({panic}): {}", self.words, self.text);
        }
        match parts.iter().find(|part| !self.text.contains(**part)) {
            Some(part) => bail!("`{}` does not say `{part}`: {}", self.words, self.text),
            None => Ok(()),
        }
    }

    /// The same of a command that must not succeed, and must end by itself.
    ///
    /// # Errors
    /// What it did instead.
    pub fn fails(&self, parts: &[&str]) -> Result<()> {
        self.says(parts)?;
        let code = self.status.code();
        ensure!(code.is_some_and(|code| code != 0), "`{}` ends as {self}", self.words);
        Ok(())
    }

    /// The same of a command that must succeed.
    ///
    /// # Errors
    /// What it did instead.
    pub fn succeeds(&self, parts: &[&str]) -> Result<()> {
        self.says(parts)?;
        ensure!(self.status.success(), "`{}` ends as {self}", self.words);
        Ok(())
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status.signal() {
            Some(signal) => write!(f, "signal {signal}: {}", self.text),
            None => write!(f, "{}: {}", self.status, self.text),
        }
    }
}

/// Empties a folder of the overlay, however much lies below it.
fn hide(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}
