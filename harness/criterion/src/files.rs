//! What Criterion keeps: a folder per benchmark, and in it one per baseline with three files.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result, anyhow, ensure};
use lumos_record::{Case, Layout, Round, from_json};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What Criterion calls the samples that were taken last.
pub const NEWEST: &str = "new";
/// What a benchmark is called.
pub const BENCHMARK: &str = "benchmark.json";
/// Iterations and times of each sample.
pub const SAMPLE: &str = "sample.json";
/// What Criterion makes of them.
pub const ESTIMATES: &str = "estimates.json";

/// What Lumos needs of Criterion's `benchmark.json`.
#[derive(Debug, Deserialize)]
pub struct Benchmark {
    /// The group.
    pub group_id: String,
    /// The whole name, the group's at its beginning.
    pub full_id: String,
}

/// What Lumos needs of Criterion's `estimates.json`.
#[derive(Debug, Deserialize)]
pub struct Estimates {
    /// The median of the times of one iteration.
    pub median: Estimate,
}

/// What Criterion makes of the samples of a benchmark, in nanoseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Estimate {
    /// The figure.
    pub point_estimate: f64,
    /// What it lies in, at Criterion's own level.
    pub confidence_interval: Ends,
}

/// The ends of an interval of Criterion's.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Ends {
    /// The lower one.
    pub lower_bound: f64,
    /// The upper one.
    pub upper_bound: f64,
}

impl Estimate {
    /// Whether its interval holds another's figure.
    pub fn holds(&self, other: &Self) -> bool {
        let Ends { lower_bound, upper_bound } = self.confidence_interval;
        (lower_bound..=upper_bound).contains(&other.point_estimate)
    }
}

/// The samples of a case in one round, in the order in which they were taken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// How many iterations each had.
    pub iters: Vec<f64>,
    /// How long all of its iterations took, in nanoseconds.
    pub times: Vec<f64>,
}

impl Samples {
    /// Adds a sample.
    pub fn push(&mut self, iterations: u64, time: Duration) {
        self.iters.push(iterations as f64);
        // No time at all is no time that could be compared.
        self.times.push(time.as_nanos().max(1) as f64);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.times.len()
    }

    /// The times of one iteration, in nanoseconds.
    pub fn per_iteration(&self) -> impl Iterator<Item = f64> + '_ {
        self.times.iter().zip(&self.iters).map(|(time, iterations)| time / iterations)
    }

    /// Whether each had one iteration, so that none is an average.
    pub fn is_raw(&self) -> bool {
        self.iters.iter().all(|&iterations| iterations == 1.0)
    }

    /// Writes them to a folder as Criterion does, with the names that it files them under.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path, case: &Case) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let benchmark = json!({
            "group_id": case.group(),
            "function_id": case.runtime,
            "value_str": case.input(),
            "full_id": case.to_string(),
        });
        let sample = json!({ "sampling_mode": "Flat", "iters": self.iters, "times": self.times });
        fs::write(folder.join(BENCHMARK), serde_json::to_vec(&benchmark)?)?;
        fs::write(folder.join(SAMPLE), serde_json::to_vec(&sample)?)
    }

    /// Reads what [`Samples::write`] has written.
    ///
    /// # Errors
    /// When there are none.
    pub fn read(folder: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(folder.join(SAMPLE))?)?)
    }
}

/// Reads the nanoseconds of one iteration, for each sample, from a baseline's folder below `root`.
///
/// # Errors
/// When the file is absent or damaged, or a sample is not possible; the message names the file
/// without `root`.
pub fn read_samples(root: &Path, folder: &Path) -> Result<lumos_model::Samples> {
    let read: Samples = read_json(root, folder, SAMPLE)?;
    let Samples { iters, times } = &read;
    let check = || {
        ensure!(
            iters.len() == times.len(),
            "{} iteration counts, but {} times",
            iters.len(),
            times.len()
        );
        if let Some(bad) = iters.iter().position(|&iterations| iterations < 1.0) {
            return Err(anyhow!("sample {bad} has no iteration"));
        }
        if let Some(bad) = times.iter().position(|&time_ns| time_ns <= 0.0) {
            return Err(anyhow!("sample {bad} took no time"));
        }
        let values = read.per_iteration().collect();
        Ok(match read.is_raw() {
            true => lumos_model::Samples::raw(values),
            false => lumos_model::Samples::averaged(values),
        }?)
    };
    check().with_context(|| folder.join(SAMPLE).display().to_string())
}

/// Reads a JSON file of a baseline's folder below `root`; what it holds beside what is asked for
/// is ignored.
///
/// # Errors
/// When it is absent or damaged; the message names the file without `root`.
pub fn read_json<T: DeserializeOwned>(root: &Path, folder: &Path, name: &str) -> Result<T> {
    let path = folder.join(name);
    let read = || -> Result<T> { Ok(from_json(&fs::read(root.join(&path))?)?) };
    read().with_context(|| path.display().to_string())
}

/// Where Criterion keeps the files of a case: it replaces characters and cuts long names.
pub fn directory(layout: &Layout, case: &Case) -> PathBuf {
    let group = file_name(&case.group());
    layout.criterion().join(group).join(file_name(&case.runtime)).join(file_name(&case.input()))
}

/// Criterion's rule for file names, as of version 0.8.
fn file_name(name: &str) -> String {
    const LONGEST: usize = 64;
    let replaced = name.replace(['?', '"', '/', '\\', '*', '<', '>', ':', '|', '^'], "_");
    replaced.chars().take(LONGEST).collect()
}

/// The folders of all baselines below Criterion's own, by the name of the baseline; the folder of
/// a round stands under its own name, such as `main@2`. Empty where Criterion left nothing.
///
/// # Errors
/// When a folder cannot be read.
pub fn find(criterion: &Path) -> io::Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut found = BTreeMap::new();
    match fs::read_dir(criterion) {
        Ok(_) => search(criterion, &mut found)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

fn search(folder: &Path, found: &mut BTreeMap<String, Vec<PathBuf>>) -> io::Result<()> {
    let mut holds_files = false;
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        } else if name == BENCHMARK || name == SAMPLE {
            holds_files = true;
        }
    }
    match folder.file_name().filter(|_| holds_files) {
        // Without one of the two it was half-written: whoever reads it says so.
        Some(name) => {
            let folders = found.entry(name.to_string_lossy().into_owned()).or_default();
            folders.push(folder.to_owned());
        }
        None => folders.iter().try_for_each(|folder| search(folder, found))?,
    }
    Ok(())
}

/// The names by which baselines can be asked for: rounds are meant by that of all.
pub fn names(found: &BTreeMap<String, Vec<PathBuf>>) -> BTreeSet<&str> {
    found
        .keys()
        .map(|name| Round::of_baseline(name).map_or(name.as_str(), |(all, _)| all))
        .collect()
}

/// Removes the rounds of a baseline that [`find`] finds below a folder, of all benchmarks or of
/// one: another run may have had more of them.
///
/// # Errors
/// When a folder cannot be read, or a round not be removed.
pub fn remove_rounds(criterion: &Path, name: &str) -> Result<()> {
    let of_name = |found: &str| Round::of_baseline(found).is_some_and(|(all, _)| all == name);
    for (_, folders) in find(criterion)?.iter().filter(|(found, _)| of_name(found)) {
        for folder in folders {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(criterion: &Path, id: &str, name: &str) {
        let folder = criterion.join(id).join(name);
        fs::create_dir_all(&folder).unwrap();
        let benchmark = format!(r#"{{"group_id":"g","full_id":"{id}","added_later":1}}"#);
        fs::write(folder.join(BENCHMARK), benchmark).unwrap();
        fs::write(folder.join(SAMPLE), r#"{"iters":[1.0,2.0],"times":[3.0,8.0]}"#).unwrap();
    }

    #[test]
    fn baselines_are_found_by_name_and_rounds_can_be_removed() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        for name in ["new", "main", "main@1", "main@2", "other@1"] {
            baseline(home, "g/a", name);
        }
        baseline(home, "g/b/c", "new");
        // Criterion's own report, and its comparison.
        fs::create_dir_all(home.join("g/a/report")).unwrap();
        fs::create_dir_all(home.join("g/a/change")).unwrap();
        fs::write(home.join("g/a/change/estimates.json"), "{}").unwrap();
        let found = find(home).unwrap();
        assert_eq!(found["new"].len(), 2);
        assert_eq!(names(&found).into_iter().collect::<Vec<_>>(), ["main", "new", "other"]);
        remove_rounds(home, "main").unwrap();
        let left: Vec<String> = find(home).unwrap().into_keys().collect();
        assert_eq!(left, ["main", "new", "other@1"]);
        assert!(find(&home.join("absent")).unwrap().is_empty());
    }

    #[test]
    fn samples_are_times_of_one_iteration() {
        let home = tempfile::tempdir().unwrap();
        baseline(home.path(), "g/a", "new");
        let (home, folder) = (home.path(), Path::new("g/a/new"));
        assert_eq!(
            read_samples(home, folder).unwrap(),
            lumos_model::Samples::averaged(vec![3.0, 4.0]).unwrap()
        );
        let benchmark: Benchmark = read_json(home, folder, BENCHMARK).unwrap();
        assert_eq!(benchmark.full_id, "g/a");
        for (text, part) in [
            (r#"{"iters":[1.0],"times":[]}"#, "1 iteration counts, but 0 times"),
            (r#"{"iters":[0.0],"times":[1.0]}"#, "sample 0 has no iteration"),
            (r#"{"iters":[1.0],"times":[0.0]}"#, "sample 0 took no time"),
            (r#"{"iters":[1.0"#, "EOF"),
        ] {
            fs::write(home.join(folder).join(SAMPLE), text).unwrap();
            let error = format!("{:#}", read_samples(home, folder).unwrap_err());
            assert!(error.contains(part) && error.starts_with("g/a/new/sample.json"), "{error}");
        }
    }

    #[test]
    fn samples_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let case = Case {
            suite: lumos_record::Suite::Call,
            function: "f".into(),
            runtime: "r".into(),
            payload: "p".into(),
            setting: Default::default(),
        };
        let mut samples = Samples::default();
        samples.push(1000, Duration::from_micros(30));
        samples.push(1000, Duration::ZERO);
        samples.write(folder.path(), &case).unwrap();
        assert_eq!(Samples::read(folder.path()).unwrap(), samples);
        assert_eq!(samples.per_iteration().collect::<Vec<_>>(), [30.0, 0.001]);
        assert!(Samples::read(&folder.path().join("absent")).is_err());
    }
}
