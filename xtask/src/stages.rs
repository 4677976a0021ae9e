//! What takes long, stage by stage: said before it begins, with about how long it takes, and
//! afterwards with how long it took.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::Result;
use lumos_record::Layout;
use serde::{Deserialize, Serialize};

use crate::build;

/// A part of the work.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What it is called in the record of earlier ones.
    pub key: String,
    /// What it does, as a clause without a subject.
    pub title: String,
    /// How much of it there is, such as cases.
    pub units: usize,
    /// How long a unit took where that was tried, in seconds, on two processors; none where that
    /// says nothing, and the work itself tells how much there is to do.
    pub usual_seconds: Option<f64>,
    /// Whether it is shared out among processors.
    pub is_parallel: bool,
    /// Whether it takes no time where nothing has changed.
    pub is_kept: bool,
}

/// How long a unit of a stage took on this node, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Known {
    last_seconds: f64,
    longest_seconds: f64,
}

/// The stages of a command, one after the other.
#[derive(Debug)]
pub struct Stages {
    path: PathBuf,
    known: BTreeMap<String, Known>,
    number: usize,
    of: usize,
}

impl Stages {
    /// Begins a command of so many stages.
    pub fn begin(layout: &Layout, of: usize) -> Self {
        let path = layout.lumos().join("stages.json");
        // Without a record, what is usual serves.
        let known = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path, known: known.unwrap_or_default(), number: 0, of }
    }

    /// About how long a stage takes, in seconds: as long as it did here, or as is usual.
    fn expected_seconds(&self, stage: &Stage) -> Option<f64> {
        let known = self.known.get(&stage.key).map(|known| match stage.is_kept {
            true => known.longest_seconds,
            false => known.last_seconds,
        });
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = if stage.is_parallel { 2.0 / processors as f64 } else { 1.0 };
        let usual = stage.usual_seconds?;
        Some(known.unwrap_or(usual * share) * stage.units as f64)
    }

    /// What a stage does, and about how long that takes.
    pub fn describe(&self, stage: &Stage) -> String {
        let Some(seconds) = self.expected_seconds(stage) else { return stage.title.clone() };
        let time = build::duration(seconds);
        match stage.is_kept {
            true => format!("{}, up to about {time}", stage.title),
            false => format!("{}, about {time}", stage.title),
        }
    }

    /// Says that the next stage begins, does it, and says how long it took.
    ///
    /// # Errors
    /// Those of the work.
    #[expect(
        clippy::disallowed_methods,
        reason = "tells where the time goes, and measures nothing"
    )]
    pub fn run<T>(&mut self, stage: &Stage, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.number += 1;
        let place = format!("stage {} of {}", self.number, self.of);
        eprintln!("{place}: {}", self.describe(stage));
        let start = Instant::now();
        let made = work()?;
        let seconds = start.elapsed().as_secs_f64();
        let whole = seconds.round() as u64;
        eprintln!("{place}: done in {} min {} s", whole / 60, whole % 60);
        self.note(stage, seconds);
        Ok(made)
    }

    /// Keeps how long a stage took, for the next time.
    fn note(&mut self, stage: &Stage, seconds: f64) {
        if stage.units == 0 || stage.usual_seconds.is_none() {
            return;
        }
        let last_seconds = seconds / stage.units as f64;
        let known = self.known.entry(stage.key.clone());
        let known = known.or_insert(Known { last_seconds, longest_seconds: 0.0 });
        known.last_seconds = last_seconds;
        known.longest_seconds = known.longest_seconds.max(last_seconds);
        let text = serde_json::to_vec_pretty(&self.known).unwrap_or_default();
        // What cannot be kept is only missing from the next estimate.
        let _ = build::place(&self.path, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(is_kept: bool) -> Stage {
        Stage {
            key: "measuring".into(),
            title: "measure 100 cases".into(),
            units: 100,
            usual_seconds: Some(3.0),
            is_parallel: false,
            is_kept,
        }
    }

    #[test]
    fn a_stage_takes_what_is_usual_and_then_what_it_took_here() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path().to_owned());
        fs::create_dir_all(layout.lumos()).unwrap();
        let mut stages = Stages::begin(&layout, 2);
        assert_eq!(stages.describe(&stage(false)), "measure 100 cases, about 5 min");
        stages.note(&stage(false), 600.0);
        stages.note(&stage(false), 200.0);
        let again = Stages::begin(&layout, 2);
        assert_eq!(again.describe(&stage(false)), "measure 100 cases, about 3 min");
        // What is kept may take as long as ever, or no time at all.
        assert_eq!(again.describe(&stage(true)), "measure 100 cases, up to about 10 min");
        fs::write(layout.lumos().join("stages.json"), "cut sho").unwrap();
        let broken = Stages::begin(&layout, 2);
        assert_eq!(broken.describe(&stage(false)), "measure 100 cases, about 5 min");
    }

    #[test]
    fn work_that_fails_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path().to_owned());
        let mut stages = Stages::begin(&layout, 1);
        let failed: Result<()> = stages.run(&stage(false), || anyhow::bail!("no"));
        assert!(failed.is_err() && stages.known.is_empty());
        assert_eq!(stages.run(&stage(false), || Ok(7)).unwrap(), 7);
        assert_eq!(stages.known.len(), 1);
    }
}
