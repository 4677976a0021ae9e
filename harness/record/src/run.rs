//! A run's folder: `records.jsonl`, and the samples.

use std::collections::HashSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::place::named;
use crate::{Case, Node, Profile, Record, Toolchain};

/// The commit that was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The commit's hash; empty outside a git checkout.
    pub commit: String,
    /// Whether the checkout held changes that are not in the commit.
    pub dirty: bool,
}

/// Which of several rounds a run is: they measure the same cases, one round after the other, so
/// that what changes on the node by itself shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// What the runs of all rounds have in common.
    pub series: String,
    /// Which one it is, from 1.
    pub number: u32,
    /// How many rounds were asked for.
    pub of: u32,
}

impl Round {
    /// How many rounds there are where nobody asks for another number: the fewest that carry a
    /// verdict. They share the time that a profile may take.
    pub const USUAL: u32 = 5;

    /// The name of the Criterion baseline that a round is saved as: the baseline's with the
    /// number of the round.
    pub fn baseline(&self, name: &str) -> String {
        format!("{name}@{}", self.number)
    }

    /// The baseline and the number of the round that such a name stands for; none where it is
    /// no such name.
    pub fn of_baseline(name: &str) -> Option<(&str, u32)> {
        let (name, number) = name.rsplit_once('@')?;
        Some((name, number.parse().ok().filter(|&number| number > 0)?))
    }
}

/// What a run is: the first of its records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunManifest {
    /// [`crate::SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The run's name, which is also its folder's.
    pub run: String,
    /// Which of its folder's runs it is, from 1: clocks step back. 0 of a run of before these were
    /// numbered.
    #[serde(default)]
    pub number: u64,
    /// When it began, in milliseconds since 1970 (UTC).
    pub started_unix_ms: u64,
    /// Who shares this run: the `cargo bench` or `cargo xtask bench` that started it.
    pub session: String,
    /// The node.
    pub node: Node,
    /// The revision.
    pub revision: Revision,
    /// The guests' toolchain.
    pub toolchain: Toolchain,
    /// The version of every engine, as `name version`.
    pub engines: Vec<String>,
    /// SHA-256 of the artifact manifest that the run used.
    pub artifacts_sha256: String,
    /// The seed of whatever is random in the order of the work.
    pub seed: u64,
    /// The profile.
    pub profile: Profile,
    /// The command line of the process that began the run.
    pub command_line: Vec<String>,
    /// Which round it is; none where all is measured once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Round>,
    /// The Criterion baseline that the samples are saved as, beside the run's own copies, without
    /// the number of the round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
}

/// Appends to a run's records, a line at a time.
#[derive(Debug)]
pub struct RunWriter {
    directory: PathBuf,
    file: File,
}

impl RunWriter {
    /// Begins a run in a new folder below `runs`, as the newest of them; the manifest is its first
    /// record.
    ///
    /// # Errors
    /// When the folder exists, or cannot be written.
    pub fn create(runs: &Path, manifest: RunManifest) -> io::Result<Self> {
        let directory = runs.join(&manifest.run);
        std::fs::create_dir_all(runs).map_err(|error| named(runs, &error))?;
        let newest = numbered(runs)?.last().map_or(0, |(number, _)| *number);
        let manifest = RunManifest { number: newest + 1, ..manifest };
        std::fs::create_dir(&directory).map_err(|error| named(&directory, &error))?;
        let mut writer = Self::append(&directory)?;
        writer.write(&Record::Run(Box::new(manifest)))?;
        Ok(writer)
    }

    /// Joins a run that another process began.
    ///
    /// # Errors
    /// When the records cannot be opened.
    pub fn append(directory: &Path) -> io::Result<Self> {
        let path = directory.join(Run::RECORDS);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|error| named(&path, &error))?;
        Ok(Self { directory: directory.to_owned(), file })
    }

    /// Writes one record; when this returns, it survives the end of the process.
    ///
    /// # Errors
    /// When the disk is full, for example.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record).map_err(io::Error::other)?;
        line.push(b'\n');
        // One write of an append-only file: lines of two processes never mix.
        self.file.write_all(&line)
    }

    /// The run's folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// A run that was read back.
#[derive(Debug, Clone)]
pub struct Run {
    /// The run's folder.
    pub directory: PathBuf,
    /// Its manifest.
    pub manifest: RunManifest,
    /// Every other record, in the order of writing.
    pub records: Vec<Record>,
    /// Whether the last line was cut short, as an interrupted run may leave it.
    pub truncated: bool,
}

/// Why a run cannot be read.
#[derive(Debug)]
pub enum ReadRunError {
    /// The file cannot be read.
    Io(PathBuf, io::Error),
    /// A line, counted from 1, is no record.
    Line(PathBuf, usize, serde_json::Error),
    /// The first record is not a manifest.
    NoManifest(PathBuf),
    /// The run was written by another version of the schema.
    Schema(PathBuf, u32),
}

impl fmt::Display for ReadRunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Line(path, line, error) => {
                write!(f, "{}:{line}: not a record: {error}", path.display())
            }
            Self::NoManifest(path) => {
                write!(f, "{}: the first record is not the run's manifest", path.display())
            }
            Self::Schema(path, version) => write!(
                f,
                "{}: written with schema {version}, this is schema {}: run it again",
                path.display(),
                crate::SCHEMA_VERSION
            ),
        }
    }
}

impl std::error::Error for ReadRunError {}

impl Run {
    /// The name of the file of records in a run's folder.
    pub const RECORDS: &str = "records.jsonl";

    /// Reads a run's folder. A last line without its end is dropped, and said in `truncated`.
    ///
    /// # Errors
    /// See [`ReadRunError`].
    pub fn read(directory: &Path) -> Result<Self, ReadRunError> {
        let path = directory.join(Self::RECORDS);
        let io = |error| ReadRunError::Io(path.clone(), error);
        let mut reader = BufReader::new(File::open(&path).map_err(io)?);
        let mut records = Vec::new();
        let mut truncated = false;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(io)? == 0 {
                break;
            }
            match crate::from_json(&line) {
                Ok(record) => records.push(record),
                Err(_) if line.last() != Some(&b'\n') => truncated = true,
                Err(error) => return Err(ReadRunError::Line(path, number, error)),
            }
        }
        let first = (!records.is_empty()).then(|| records.remove(0));
        let manifest = checked_manifest(first, path)?;
        Ok(Self { directory: directory.to_owned(), manifest, records, truncated })
    }

    /// Reads only what a run is, from its first line.
    ///
    /// # Errors
    /// See [`ReadRunError`].
    pub fn read_manifest(directory: &Path) -> Result<RunManifest, ReadRunError> {
        let path = directory.join(Self::RECORDS);
        let mut line = Vec::new();
        let file = File::open(&path).map_err(|error| ReadRunError::Io(path.clone(), error))?;
        BufReader::new(file)
            .read_until(b'\n', &mut line)
            .map_err(|error| ReadRunError::Io(path.clone(), error))?;
        match crate::from_json(&line) {
            Err(error) if line.ends_with(b"\n") => Err(ReadRunError::Line(path, 1, error)),
            // Cut short, as an interrupted run may leave it.
            record => checked_manifest(record.ok(), path),
        }
    }

    /// The folders of all runs, the newest last.
    ///
    /// # Errors
    /// When the folder of runs exists but cannot be read.
    pub fn all(runs: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(numbered(runs)?.into_iter().map(|(_, folder)| folder).collect())
    }

    /// The cases that have an outcome.
    pub fn ended(&self) -> HashSet<&Case> {
        self.records.iter().filter_map(Record::outcome_of).collect()
    }
}

/// The folders of all runs with their numbers, the newest last.
fn numbered(runs: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(named(runs, &error)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join(Run::RECORDS).is_file() {
            folders.push(path);
        }
    }
    // A name begins with the date and time, as the node took them to be.
    folders.sort();
    let mut number = 0;
    let number_of = |folder: PathBuf| {
        // A damaged run is as old as the one that its name comes after.
        number = Run::read_manifest(&folder).map_or(number, |manifest| manifest.number);
        (number, folder)
    };
    let mut numbered: Vec<(u64, PathBuf)> = folders.into_iter().map(number_of).collect();
    numbered.sort_by_key(|(number, _)| *number);
    Ok(numbered)
}

fn checked_manifest(record: Option<Record>, path: PathBuf) -> Result<RunManifest, ReadRunError> {
    match record {
        Some(Record::Run(manifest)) if manifest.schema_version == crate::SCHEMA_VERSION => {
            Ok(*manifest)
        }
        Some(Record::Run(manifest)) => Err(ReadRunError::Schema(path, manifest.schema_version)),
        _ => Err(ReadRunError::NoManifest(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_in_the_order_in_which_they_were_made_whatever_the_clock_said() {
        let runs = tempfile::tempdir().unwrap();
        let names = || -> Vec<String> {
            let folders = Run::all(runs.path()).unwrap();
            let name = |folder: &PathBuf| folder.file_name().unwrap().to_str().unwrap().to_owned();
            folders.iter().map(name).collect()
        };
        for name in ["2030-a", "2026-b", "2028-c"] {
            let schema_version = crate::SCHEMA_VERSION;
            let manifest = RunManifest { schema_version, run: name.into(), ..Default::default() };
            RunWriter::create(runs.path(), manifest).unwrap();
        }
        assert_eq!(names(), ["2030-a", "2026-b", "2028-c"]);
        // A damaged one is where its name is.
        std::fs::create_dir(runs.path().join("2029-d")).unwrap();
        std::fs::write(runs.path().join("2029-d").join(Run::RECORDS), "garbage\n").unwrap();
        assert_eq!(names(), ["2030-a", "2026-b", "2028-c", "2029-d"]);
    }

    #[test]
    fn a_round_is_told_by_the_name_of_its_baseline() {
        let round = Round { series: "s".into(), number: 3, of: 5 };
        assert_eq!(round.baseline("main"), "main@3");
        assert_eq!(Round::of_baseline("main@3"), Some(("main", 3)));
        assert_eq!(Round::of_baseline("a@b@12"), Some(("a@b", 12)));
        for plain in ["main", "main@", "main@0", "main@x", "@"] {
            assert_eq!(Round::of_baseline(plain), None, "{plain}");
        }
    }
}
