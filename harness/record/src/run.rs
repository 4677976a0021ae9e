//! A run's folder: `records.jsonl`, and copies of the samples that Criterion took.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Node, Profile, Record, Toolchain};

/// The commit that was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The commit's hash; empty outside a git checkout.
    pub commit: String,
    /// Whether the checkout held changes that are not in the commit.
    pub dirty: bool,
}

/// What a run is: the first of its records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunManifest {
    /// [`crate::SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The run's name, which is also its folder's.
    pub run: String,
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
}

/// Appends to a run's records, a line at a time.
#[derive(Debug)]
pub struct RunWriter {
    directory: PathBuf,
    file: File,
}

impl RunWriter {
    /// Begins a run in a new folder below `runs`; the manifest is its first record.
    ///
    /// # Errors
    /// When the folder exists, or cannot be written.
    pub fn create(runs: &Path, manifest: RunManifest) -> io::Result<Self> {
        let directory = runs.join(&manifest.run);
        std::fs::create_dir_all(runs)?;
        std::fs::create_dir(&directory)?;
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
        let file = OpenOptions::new().create(true).append(true).open(path)?;
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
            match serde_json::from_slice(&line) {
                Ok(record) => records.push(record),
                Err(_) if line.last() != Some(&b'\n') => truncated = true,
                Err(error) => return Err(ReadRunError::Line(path, number, error)),
            }
        }
        if records.is_empty() || !matches!(records[0], Record::Run(_)) {
            return Err(ReadRunError::NoManifest(path));
        }
        let Record::Run(manifest) = records.remove(0) else { unreachable!("checked above") };
        if manifest.schema_version != crate::SCHEMA_VERSION {
            return Err(ReadRunError::Schema(path, manifest.schema_version));
        }
        Ok(Self { directory: directory.to_owned(), manifest: *manifest, records, truncated })
    }

    /// The folders of all runs, the newest last.
    ///
    /// # Errors
    /// When the folder of runs exists but cannot be read.
    pub fn all(runs: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(runs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.join(Self::RECORDS).is_file() {
                found.push(path);
            }
        }
        // A run's name begins with its date and time, so names sort by age.
        found.sort();
        Ok(found)
    }
}
