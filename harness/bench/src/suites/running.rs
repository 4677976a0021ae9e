//! What a suite's driver is given: a case, and all that it may take to measure it.

use std::collections::HashMap;
use std::rc::Rc;

use lumos_record::{ArtifactKind, Case};

use super::harness::{Harness, Trouble};
use super::loaded::Kept;
use super::plan::Planned;
use crate::{Engine, Limits};

/// A case in progress.
pub(super) struct Running<'r, E: Engine, S> {
    /// What the process keeps beside the engines.
    pub harness: &'r mut Harness,
    /// Where workers live.
    pub sandbox: &'r S,
    /// The engines of this process.
    pub engines: &'r mut Engines<E>,
    /// What is measured.
    pub planned: &'r Planned<'r>,
    /// What the records are filed under.
    pub case: &'r Case,
}

impl<E: Engine, S> Running<'_, E, S> {
    /// The engine of the case's runtime.
    ///
    /// # Errors
    /// A failure when it cannot be made.
    pub fn engine(&mut self) -> Result<Rc<E>, Trouble> {
        self.engines.get(&self.planned.runtime.name).map_err(Trouble::Failure)
    }

    /// What is loaded of the case's runtime in this process.
    ///
    /// # Errors
    /// A skip when the runtime has no part in the in-process lane.
    pub fn loads(&self) -> Result<ArtifactKind, Trouble> {
        let runtime = self.planned.runtime;
        runtime.loads.ok_or_else(|| {
            Trouble::Skip(format!("{} has no part in the in-process lane", runtime.name))
        })
    }

    /// The settings of a worker's engine: it and the one of this process are of one build.
    ///
    /// # Errors
    /// A failure when the engine cannot be made.
    pub fn settings_of_worker(&mut self) -> Result<Vec<String>, Trouble> {
        match self.planned.runtime.serves {
            ArtifactKind::Precompiled => Ok(self.engine()?.settings()),
            _ => Ok(Vec::new()),
        }
    }
}

/// The engines of a process, and what they keep.
pub(super) struct Engines<E: Engine> {
    new_engine: fn(&str, &Limits) -> anyhow::Result<E>,
    limits: Limits,
    kept: HashMap<String, Kept<E>>,
    /// Made at their first case, since one that cannot be made fails its cases alone. They stand
    /// below what comes of them, which is dropped first.
    made: HashMap<String, Result<Rc<E>, String>>,
}

impl<E: Engine> Engines<E> {
    /// Makes none yet.
    pub fn new(new_engine: fn(&str, &Limits) -> anyhow::Result<E>, limits: Limits) -> Self {
        Self { new_engine, limits, kept: HashMap::new(), made: HashMap::new() }
    }

    fn get(&mut self, name: &str) -> Result<Rc<E>, String> {
        if let Some(made) = self.made.get(name) {
            return made.clone();
        }
        let made = self.maker(name)().map(Rc::new);
        self.made.insert(name.to_owned(), made.clone());
        made
    }

    /// Makes other engines of a name, which nobody keeps; the error is why one cannot be made.
    pub fn maker(&self, name: &str) -> impl Fn() -> Result<E, String> + Sync + use<E> {
        let (new_engine, limits, name) = (self.new_engine, self.limits, name.to_owned());
        move || new_engine(&name, &limits).map_err(|error| format!("{error:#}"))
    }

    /// What the engine of a name has made of artifacts.
    pub fn kept(&mut self, name: &str) -> &mut Kept<E> {
        self.kept.entry(name.to_owned()).or_default()
    }
}
