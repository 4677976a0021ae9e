//! The run that this process belongs to, and its records.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use lumos_criterion::Samples;
use lumos_record::protocol::{read_variable, variable};
use lumos_record::{
    ArtifactManifest, Case, Finished, Lane, Layout, Process, Record, Revision, Run, RunManifest,
    RunWriter, SCHEMA_VERSION,
};
use lumos_workloads::sha256_hex;
use serde::{Deserialize, Serialize};

use super::select::Selection;
use crate::artifact::Artifacts;
use crate::node;

/// What the conductor tells the processes of a round, beside what the user has asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Brief {
    /// The cases that alone are measured; none where all are.
    pub only: Option<HashSet<Case>>,
    /// What an iteration of a case costs, by the case's name, where an earlier round has shown it.
    pub costs: HashMap<String, Duration>,
}

impl Brief {
    /// Whether a case is measured.
    pub fn takes(&self, case: &Case) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(case))
    }
}

/// Writes the records of this process to its run.
#[derive(Debug)]
pub struct Session {
    writer: RunWriter,
}

impl Session {
    /// Joins the run of that session, or begins it; its samples are also saved as that baseline.
    ///
    /// # Errors
    /// When the folder of runs cannot be read or written.
    pub fn begin(
        layout: &Layout,
        session: String,
        selection: &Selection,
        artifacts: &Artifacts,
        save_baseline: Option<&str>,
    ) -> Result<Self> {
        let runs = layout.runs();
        for directory in Run::all(&runs)?.iter().rev() {
            if Run::read_manifest(directory).is_ok_and(|manifest| manifest.session == session) {
                return Self::join(directory);
            }
        }
        let baseline = save_baseline.map(str::to_owned);
        let manifest = RunManifest { baseline, ..manifest(layout, selection, artifacts, session)? };
        let writer = RunWriter::create(&runs, manifest)
            .with_context(|| format!("cannot begin a run in {}", runs.display()))?;
        // A later build replaces the manifest, and with it the sizes that belong to this run.
        let file = ArtifactManifest::FILE;
        fs::copy(artifacts.directory.join(file), writer.directory().join(file))?;
        Ok(Self { writer })
    }

    /// Joins the run in `directory`.
    ///
    /// # Errors
    /// When its records cannot be opened.
    pub fn join(directory: &Path) -> Result<Self> {
        let writer = RunWriter::append(directory)
            .with_context(|| format!("cannot append to the run in {}", directory.display()))?;
        Ok(Self { writer })
    }

    /// The run's folder.
    pub fn directory(&self) -> &Path {
        self.writer.directory()
    }

    /// Announces this process, and the processor that it keeps to.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn announce(&mut self, package: &str, processor: Option<u32>) -> Result<()> {
        self.write(&Record::Process(Process {
            package: package.to_owned(),
            pid: std::process::id(),
            command_line: std::env::args().collect(),
            processor,
        }))
    }

    /// Writes a record.
    ///
    /// # Errors
    /// When the disk is full, for example. A run that cannot be recorded should end.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        self.writer
            .write(record)
            .with_context(|| format!("cannot write to {}", self.directory().display()))
    }

    /// The cases that have an outcome in this run already.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn ended(&self) -> Result<HashSet<Case>> {
        let run = Run::read(self.directory())?;
        Ok(run.ended().into_iter().cloned().collect())
    }

    /// The file of a run's brief.
    const BRIEF: &str = "brief.json";

    /// Tells the processes that will join the run what the environment does not.
    ///
    /// # Errors
    /// When the run's folder cannot be written.
    pub fn instruct(&self, brief: &Brief) -> Result<()> {
        // Not in the environment, which takes no more than 128 KiB in one variable.
        Ok(fs::write(self.directory().join(Self::BRIEF), serde_json::to_vec(brief)?)?)
    }

    /// What this process was told; nothing where nobody told it anything.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn brief(&self) -> Result<Brief> {
        match fs::read(self.directory().join(Self::BRIEF)) {
            Ok(json) => Ok(serde_json::from_slice(&json)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Brief::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes the digest of an answer that nobody knew beforehand. Of a later one that differs it
    /// gives the first digest, and the runtime that it came from.
    ///
    /// # Errors
    /// When the note cannot be written or read.
    pub fn agreed(
        &self,
        name: &str,
        digest: &str,
        runtime: &str,
    ) -> io::Result<Option<(String, String)>> {
        let file = self.directory().join(format!("{name}.answer"));
        match fs::read_to_string(&file) {
            Ok(text) => {
                let (first, from) = text.split_once(' ').unwrap_or((&text, "another"));
                Ok((first != digest).then(|| (first.to_owned(), from.to_owned())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::write(file, format!("{digest} {runtime}")).map(|()| None)
            }
            Err(error) => Err(error),
        }
    }

    /// The one of `cases` that has begun and has no outcome: whoever measures them was at it.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn in_progress(&self, cases: &HashSet<Case>) -> Result<Option<Case>> {
        let mut current = None;
        for record in Run::read(self.directory())?.records {
            match record {
                Record::Started { case } if cases.contains(&case) => current = Some(case),
                record
                    if record.outcome_of().is_some_and(|case| Some(case) == current.as_ref()) =>
                {
                    current = None;
                }
                _ => {}
            }
        }
        Ok(current)
    }

    /// Writes the samples of a case into the run's folder.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep_samples(
        &self,
        case: &Case,
        samples: &Samples,
        verified: u64,
        size_bytes: u64,
    ) -> Result<Finished> {
        let relative = samples_of(case);
        let folder = self.directory().join(&relative);
        samples.write(&folder, case).with_context(|| folder.display().to_string())?;
        Ok(Finished { case: case.clone(), criterion: relative, verified, size_bytes })
    }
}

/// The folder of a case's samples in that of a run.
pub fn samples_of(case: &Case) -> PathBuf {
    // Criterion's own names are cut; two cases must not share a folder here.
    PathBuf::from("samples").join(case.to_string().replace('/', "__"))
}

/// The session: given by `cargo xtask bench`, else the `cargo bench` that started this
/// process, else this process alone.
pub fn session_name() -> String {
    if let Ok(session) = std::env::var(variable::SESSION) {
        return session;
    }
    // SAFETY: the call cannot fail.
    let parent = unsafe { libc::getppid() }.unsigned_abs();
    let process = match fs::read_to_string(format!("/proc/{parent}/comm")) {
        Ok(name) if name.trim().starts_with("cargo") => parent,
        _ => std::process::id(),
    };
    // Process ids come again; together with its start a process is unique until a reboot.
    format!("{process}@{}", start_ticks(process))
}

/// When a process started, in clock ticks since the node did; empty if it is no more.
fn start_ticks(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is a name in parentheses, which may hold spaces.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(19).unwrap_or_default().to_owned()
}

fn manifest(
    layout: &Layout,
    selection: &Selection,
    artifacts: &Artifacts,
    session: String,
) -> Result<RunManifest> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let day = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let artifact_manifest = fs::read(artifacts.directory.join(ArtifactManifest::FILE))?;
    let mut engines: Vec<String> = artifacts
        .manifest
        .runtimes
        .iter()
        .map(|runtime| {
            let lane = if runtime.loads.is_some() { Lane::InProcess } else { Lane::Served };
            format!("{} {}", runtime.name_in(lane), runtime.engine_version)
        })
        .collect();
    engines.sort();
    Ok(RunManifest {
        schema_version: SCHEMA_VERSION,
        run: match &selection.round {
            // A round may take less than a second.
            Some(round) => format!("{day}-{}-{}", std::process::id(), round.number),
            None => format!("{day}-{}", std::process::id()),
        },
        // Whoever files it knows.
        number: 0,
        started_unix_ms: now.as_millis() as u64,
        session,
        node: match &selection.emulator {
            Some(emulator) => node::emulated(&emulator.arch),
            None => node::fingerprint(),
        },
        revision: revision(&layout.root),
        toolchain: artifacts.manifest.toolchain.clone(),
        engines,
        artifacts_sha256: sha256_hex(&artifact_manifest),
        seed: selection.seed,
        profile: selection.profile,
        command_line: command_line()?,
        round: selection.round.clone(),
        baseline: None,
    })
}

/// What the user typed, if `cargo xtask bench` passed it on.
///
/// # Errors
/// When what was passed on is malformed.
pub fn command_line() -> Result<Vec<String>> {
    let given = read_variable(variable::COMMAND_LINE)?;
    Ok(given.unwrap_or_else(|| std::env::args().collect()))
}

/// The commit of the checkout at `root`; empty where git or its data is absent.
pub fn revision(root: &Path) -> Revision {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    Revision {
        commit: git(&["rev-parse", "HEAD"]).unwrap_or_default(),
        dirty: git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumos_record::{Failure, Suite};

    fn case(function: &str) -> Case {
        Case {
            suite: Suite::Call,
            function: function.into(),
            runtime: "fake".into(),
            payload: "1".into(),
            setting: Default::default(),
        }
    }

    fn session(directory: &Path) -> Session {
        let manifest =
            RunManifest { schema_version: SCHEMA_VERSION, run: "r".into(), ..Default::default() };
        Session { writer: RunWriter::create(directory, manifest).unwrap() }
    }

    #[test]
    fn the_case_in_progress_is_the_one_without_outcome() {
        let directory = tempfile::tempdir().unwrap();
        let mut session = session(directory.path());
        let own = HashSet::from([case("one"), case("two")]);
        let in_progress = |session: &Session| session.in_progress(&own).unwrap();
        session.write(&Record::Started { case: case("one") }).unwrap();
        assert_eq!(in_progress(&session), Some(case("one")));
        // Another process goes on meanwhile.
        session.write(&Record::Started { case: case("others") }).unwrap();
        assert_eq!(in_progress(&session), Some(case("one")));
        let failure = Failure { case: case("one"), cause: "broke".into() };
        session.write(&Record::Failure(failure)).unwrap();
        assert_eq!(in_progress(&session), None);
        session.write(&Record::Started { case: case("two") }).unwrap();
        assert_eq!(in_progress(&session), Some(case("two")));
        assert_eq!(session.ended().unwrap(), HashSet::from([case("one")]));
    }

    #[test]
    fn a_process_knows_when_it_started() {
        let ticks = start_ticks(std::process::id());
        assert!(ticks.parse::<u64>().is_ok_and(|ticks| ticks > 0), "{ticks}");
    }
}
