//! What takes long, stage by stage: said before it begins, with about how long it takes, and
//! afterwards with how long it took.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use lumos_record::{Layout, place};
use serde::{Deserialize, Serialize};

use crate::process;

/// A part of the work.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What it does, as a clause without a subject.
    pub title: String,
    /// What tells about how long it takes; none where the work itself tells.
    pub effort: Option<Effort>,
}

/// How much of a kind of work there is.
#[derive(Debug, Clone, PartialEq)]
pub struct Effort {
    /// What the kind is called in the record of earlier stages.
    pub key: String,
    /// How much of it there is, such as cases.
    pub units: usize,
    /// How long a unit took where that was tried, in seconds, on two processors.
    pub usual_seconds: f64,
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
    fn expected_seconds(&self, effort: &Effort) -> f64 {
        let known = self.known.get(&effort.key).map(|known| match effort.is_kept {
            true => known.longest_seconds,
            false => known.last_seconds,
        });
        let share = if effort.is_parallel { 2.0 / process::processors() as f64 } else { 1.0 };
        known.unwrap_or(effort.usual_seconds * share) * effort.units as f64
    }

    /// What a stage does, and about how long that takes.
    pub fn describe(&self, stage: &Stage) -> String {
        let Some(effort) = &stage.effort else { return stage.title.clone() };
        let most = if effort.is_kept { "up to " } else { "" };
        format!("{}, {most}about {}", stage.title, duration(self.expected_seconds(effort)))
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
        if let Some(effort) = &stage.effort {
            self.note(effort, seconds);
        }
        Ok(made)
    }

    /// Keeps how long a stage took, for the next time.
    fn note(&mut self, effort: &Effort, seconds: f64) {
        if effort.units == 0 {
            return;
        }
        let last_seconds = seconds / effort.units as f64;
        let known = self.known.entry(effort.key.clone());
        let known = known.or_insert(Known { last_seconds, longest_seconds: 0.0 });
        known.last_seconds = last_seconds;
        known.longest_seconds = known.longest_seconds.max(last_seconds);
        let text = serde_json::to_vec_pretty(&self.known).unwrap_or_default();
        // What cannot be kept is only missing from the next estimate.
        let _ = place(&self.path, &text);
    }
}

/// A time as somebody would say it.
pub fn duration(seconds: f64) -> String {
    match seconds.round() as u64 {
        seconds @ 0..=99 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(is_kept: bool) -> Stage {
        let title = "measure 100 cases".into();
        let key = "measuring".into();
        let effort = Effort { key, units: 100, usual_seconds: 3.0, is_parallel: false, is_kept };
        Stage { title, effort: Some(effort) }
    }

    #[test]
    fn a_stage_takes_what_is_usual_and_then_what_it_took_here() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path().to_owned());
        fs::create_dir_all(layout.lumos()).unwrap();
        let mut stages = Stages::begin(&layout, 2);
        assert_eq!(stages.describe(&stage(false)), "measure 100 cases, about 5 min");
        let effort = stage(false).effort.unwrap();
        stages.note(&effort, 600.0);
        stages.note(&effort, 200.0);
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

    #[test]
    fn times_are_told_as_somebody_would_say_them() {
        assert_eq!([0.4, 99.0, 100.0, 1000.0].map(duration), ["0 s", "99 s", "2 min", "17 min"]);
    }
}
