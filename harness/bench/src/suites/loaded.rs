//! What an engine has made of an artifact: a module that is kept, and an instance of it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::timing::time_step;
use super::watch::Watch;
use crate::{Checked, Engine};

/// What an engine made of an artifact, up to what instances are made from. Fields drop in this
/// order.
pub(super) struct Ready<E: Engine> {
    pub(super) linked: E::Linked,
    _module: E::Module,
}

impl<E: Engine> Ready<E> {
    fn new(engine: &E, module: E::Module) -> Result<Rc<Self>, String> {
        let linked = engine.link(&module).map_err(show)?;
        Ok(Rc::new(Self { linked, _module: module }))
    }
}

/// What an engine has made of artifacts, by their paths. Several suites measure what follows, and
/// some engines take a second to load a module.
pub(super) struct Kept<E: Engine>(HashMap<PathBuf, Rc<Ready<E>>>);

impl<E: Engine> Default for Kept<E> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<E: Engine> Kept<E> {
    /// Drops all of it.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Drops what was made of an artifact.
    pub(super) fn forget(&mut self, artifact: &Checked) {
        self.0.remove(artifact.path());
    }

    /// What is kept of an artifact, or is made of it now; with the time that its loading took then.
    ///
    /// # Errors
    /// Why it cannot be loaded or linked.
    pub(super) fn get(
        &mut self,
        engine: &E,
        artifact: &Checked,
        watch: &Watch,
    ) -> Result<(Rc<Ready<E>>, Option<Duration>), String> {
        if let Some(ready) = self.0.get(artifact.path()) {
            return Ok((Rc::clone(ready), None));
        }
        let (time, module) = time_step(watch, || engine.load(artifact).map_err(show))?;
        let (_, ready) = time_step(watch, || Ready::new(engine, module))?;
        self.0.insert(artifact.path().to_owned(), Rc::clone(&ready));
        Ok((ready, Some(time)))
    }
}

/// An instance of what an engine made of an artifact. Fields drop in this order: an instance goes
/// before what it was made from.
pub(super) struct Loaded<E: Engine> {
    pub(super) instance: E::Instance,
    /// Instances that are not called any more, each with room that lay before its successor.
    left: Vec<(E::Instance, Vec<u8>)>,
    pub(super) ready: Rc<Ready<E>>,
}

impl<E: Engine> Loaded<E> {
    pub(super) fn new(engine: &E, artifact: &Checked) -> Result<Self, String> {
        let module = engine.load(artifact).map_err(show)?;
        Self::of(engine, Ready::new(engine, module)?)
    }

    pub(super) fn of(engine: &E, ready: Rc<Ready<E>>) -> Result<Self, String> {
        let instance = engine.new_instance(&ready.linked).map_err(show)?;
        Ok(Self { instance, left: Vec::new(), ready })
    }

    /// Takes another instance, somewhere else in memory; `random` says where.
    ///
    /// How fast a loop is may depend on how its data lie towards each other. Where an allocator
    /// puts them follows from all that it was asked for before, down to the length of a name in
    /// the environment: a process has one placement for all of its samples, and two processes
    /// that differ in nothing else may have two.
    pub(super) fn move_elsewhere(&mut self, engine: &E, random: u64) -> Result<(), String> {
        /// With fewer, an allocator gives the same places in turns.
        const MOST_LEFT: usize = 4;
        const PAGE: u64 = 4096;
        let [place, room] = [random >> 48, random % PAGE].map(|number| number as usize);
        if self.left.len() == MOST_LEFT {
            self.left.swap_remove(place % MOST_LEFT);
        }
        let room = Vec::with_capacity(room);
        let instance = engine.new_instance(&self.ready.linked).map_err(show)?;
        self.left.push((std::mem::replace(&mut self.instance, instance), room));
        Ok(())
    }
}

/// An error of an engine, as the reason of a failure.
pub(super) fn show(error: anyhow::Error) -> String {
    format!("{error:#}")
}
