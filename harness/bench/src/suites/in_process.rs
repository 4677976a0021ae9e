//! The in-process lane: what an engine costs by itself.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use lumos_record::{ArtifactKind, Case, Suite};

use super::chain;
use super::command;
use super::counts;
use super::harness::{Details, Harness, Measured, Trouble, verify_digest};
use super::plan::Planned;
use super::timing::{Invocations, Stop, time_step};
use super::turns::Random;
use super::watch::Watch;
use crate::{Checked, Engine};

/// From here on, a step that was timed once has told what it costs.
const SLOW: Duration = Duration::from_millis(20);

/// A function in an engine, which has answered once, and rightly.
struct Prepared<'e, E: Engine> {
    engine: &'e E,
    artifact: Checked,
    /// None while loading is measured.
    loaded: Option<Loaded<E>>,
    request: Vec<u8>,
    invocations: Invocations,
}

/// What an engine made of an artifact, up to what instances are made from. Fields drop in this
/// order.
pub(super) struct Ready<E: Engine> {
    linked: E::Linked,
    _module: E::Module,
}

impl<E: Engine> Ready<E> {
    fn new(engine: &E, module: E::Module) -> Result<Rc<Self>, Stop> {
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
    /// What is kept of an artifact, or is made of it now; with the time that its loading took then.
    fn get(
        &mut self,
        engine: &E,
        artifact: &Checked,
        watch: &Watch,
    ) -> Result<(Rc<Ready<E>>, Option<Duration>), Stop> {
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
    ready: Rc<Ready<E>>,
}

impl<E: Engine> Loaded<E> {
    pub(super) fn new(engine: &E, artifact: &Checked) -> Result<Self, Stop> {
        let module = engine.load(artifact).map_err(show)?;
        Self::of(engine, Ready::new(engine, module)?)
    }

    fn of(engine: &E, ready: Rc<Ready<E>>) -> Result<Self, Stop> {
        let instance = engine.new_instance(&ready.linked).map_err(show)?;
        Ok(Self { instance, left: Vec::new(), ready })
    }

    /// Takes another instance, somewhere else in memory; `random` says where.
    ///
    /// How fast a loop is may depend on how its data lie towards each other. Where an allocator
    /// puts them follows from all that it was asked for before, down to the length of a name in
    /// the environment: a process has one placement for all of its samples, and two processes
    /// that differ in nothing else may have two.
    fn move_elsewhere(&mut self, engine: &E, random: u64) -> Result<(), Stop> {
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

impl<'e, E: Engine> Prepared<'e, E> {
    /// With what loading it has cost, where that was seen.
    fn new(
        engine: &'e E,
        new_engine: &(dyn Fn() -> Result<E, Stop> + Sync),
        kept: &mut Kept<E>,
        artifact: Checked,
        planned: &Planned<'_>,
        watch: &Watch,
    ) -> Result<(Self, Option<Duration>), Stop> {
        let request = planned.payload.generate();
        let is_library = planned.runtime.loads == Some(ArtifactKind::NativeLib);
        let (loaded, response, cost) = if is_library && planned.suite == Suite::Load {
            // The dynamic linker does not load a library twice. What a call leaves to its thread,
            // such as destructors of the thread's variables, holds a library in memory until the
            // thread ends: then each later load would find it there. So the call that checks the
            // artifact has a thread, and an engine, of its own.
            kept.0.clear();
            let check = || {
                let engine = new_engine()?;
                let mut loaded = time_step(watch, || Loaded::new(&engine, &artifact))?.1;
                answer(&engine, &mut loaded, planned, &request, watch)
            };
            let checked = std::thread::scope(|scope| scope.spawn(check).join());
            (None, checked.unwrap_or_else(|panic| resume_unwind(panic))?, None)
        } else {
            let (ready, cost) = kept.get(engine, &artifact, watch)?;
            let mut loaded = time_step(watch, || Loaded::of(engine, ready))?.1;
            let response = answer(engine, &mut loaded, planned, &request, watch)?;
            if planned.setting.variant.is_some() {
                // Nothing else measures it.
                kept.0.remove(artifact.path());
            }
            match planned.suite {
                Suite::Load => (None, response, cost),
                _ => (Some(loaded), response, None),
            }
        };
        let invocations = Invocations::new(response);
        Ok((Self { engine, artifact, loaded, request, invocations }, cost))
    }

    /// What one iteration costs.
    fn cost(&mut self, suite: Suite, watch: &Watch) -> Result<Duration, Stop> {
        let first = self.run(suite, 1, watch)?;
        Ok(if first > SLOW { first } else { first.min(self.run(suite, 1, watch)?) })
    }

    /// Takes an instance somewhere else in memory, and has it answer once, where instances are what
    /// is measured.
    fn move_elsewhere(&mut self, suite: Suite, random: u64, watch: &Watch) -> Result<(), Stop> {
        let Some(loaded) = &mut self.loaded else { return Ok(()) };
        loaded.move_elsewhere(self.engine, random)?;
        if suite == Suite::Instantiate {
            return Ok(());
        }
        let (engine, request) = (self.engine, &self.request);
        let answered = self
            .invocations
            .time(1, watch, |response| engine.invoke(&mut loaded.instance, request, response));
        answered.map(drop)
    }

    /// One sample's iterations of a suite.
    fn run(&mut self, suite: Suite, iterations: u64, watch: &Watch) -> Result<Duration, Stop> {
        let Self { engine, artifact, loaded, request, invocations } = self;
        let Some(Loaded { instance, ready, .. }) = loaded else {
            return repeat(iterations, || time_step(watch, || engine.load(artifact).map_err(show)));
        };
        match suite {
            Suite::Call | Suite::Variants | Suite::Serialization => {
                invocations
                    .time(iterations, watch, |response| engine.invoke(instance, request, response))
            }
            Suite::Instantiate => repeat(iterations, || {
                time_step(watch, || engine.new_instance(&ready.linked).map_err(show))
            }),
            _ => repeat(iterations, || {
                invocations.time_one(watch, |response| {
                    let mut instance = engine.new_instance(&ready.linked).map_err(show)?;
                    engine.invoke(&mut instance, request, response).map_err(|e| e.to_string())?;
                    Ok(instance)
                })
            }),
        }
    }
}

/// Has an instance answer, rightly.
fn answer<E: Engine>(
    engine: &E,
    loaded: &mut Loaded<E>,
    planned: &Planned<'_>,
    request: &[u8],
    watch: &Watch,
) -> Result<Vec<u8>, Stop> {
    let mut response = Vec::new();
    time_step(watch, || {
        let instance = &mut loaded.instance;
        engine.invoke(instance, request, &mut response).map_err(|error| error.to_string())
    })?;
    verify_digest(&response, planned.payload)?;
    Ok(response)
}

/// Adds up the times of a step, and drops what each made before the next begins.
fn repeat<T>(
    iterations: u64,
    mut step: impl FnMut() -> Result<(Duration, T), Stop>,
) -> Result<Duration, Stop> {
    (0..iterations).try_fold(Duration::ZERO, |total, _| Ok(total + step()?.0))
}

fn show(error: anyhow::Error) -> Stop {
    format!("{error:#}")
}

/// Measures one case of the in-process lane; `new_engine` makes another engine like `engine`, of
/// which `kept` holds what it has made.
pub(super) fn run<E: Engine>(
    harness: &mut Harness,
    engine: &E,
    kept: &mut Kept<E>,
    new_engine: &(dyn Fn() -> Result<E, Stop> + Sync),
    planned: &Planned<'_>,
    case: &Case,
) -> Result<Measured, Trouble> {
    let loads = planned.runtime.loads.ok_or_else(|| {
        Trouble::Skip(format!("{} has no part in the in-process lane", planned.runtime.name))
    })?;
    if planned.workload.is_command {
        return command::fresh(harness, engine, planned, case, loads);
    }
    match planned.suite {
        Suite::ChainLocal => return chain::local(harness, engine, planned, case, loads),
        Suite::Counts => return counts::run(harness, engine, planned, case, loads),
        _ => {}
    }
    let (function, settings) = (&planned.workload.function, engine.settings());
    let artifacts = match planned.setting.variant {
        Some(variant) => &harness.artifacts.of_variant(variant),
        None => &harness.artifacts,
    };
    let artifact = artifacts.function(planned.runtime, loads, function, &settings)?;
    let watch = harness.watch;
    let (mut prepared, cost) = Prepared::new(engine, new_engine, kept, artifact, planned, &watch)?;
    let cost = match harness.known_cost(case).or(cost.filter(|&cost| cost > SLOW)) {
        Some(cost) => cost,
        None => prepared.cost(planned.suite, &watch)?,
    };
    let request_bytes = prepared.request.len();
    if !harness.selection.verify {
        let mut places = Random::new();
        harness.measure_steady(case, cost, |iterations| {
            prepared.move_elsewhere(planned.suite, places.draw(), &watch)?;
            prepared.run(planned.suite, iterations, &watch)
        })?;
    }
    let size_bytes = if planned.suite.takes_payload() { request_bytes as u64 } else { 0 };
    let verified = prepared.invocations.verified + 1;
    Ok(Measured { verified, size_bytes, details: Details::None })
}
