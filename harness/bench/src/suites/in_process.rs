//! The in-process lane: what an engine costs by itself.

use std::panic::resume_unwind;
use std::time::Duration;

use lumos_record::ArtifactKind;

use super::command;
use super::harness::{Details, Measured, Trouble, verify_digest};
use super::loaded::{Kept, Loaded, show};
use super::plan::Planned;
use super::running::Running;
use super::timing::{Invocations, time_step};
use super::turns::unforeseen;
use super::watch::Watch;
use crate::{Checked, Engine};

/// From here on, a step that was timed once has told what it costs.
const SLOW: Duration = Duration::from_millis(20);

/// What of an engine's work is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Load,
    Instantiate,
    /// An instance and one call of it.
    Fresh,
    Call,
}

/// A function in an engine, which has answered once, and rightly.
struct Prepared<'e, E: Engine> {
    engine: &'e E,
    artifact: Checked,
    /// None while loading is measured.
    loaded: Option<Loaded<E>>,
    request: Vec<u8>,
    invocations: Invocations,
}

impl<'e, E: Engine> Prepared<'e, E> {
    /// With what loading it has cost, where that was seen.
    fn new(
        engine: &'e E,
        new_engine: &(dyn Fn() -> Result<E, String> + Sync),
        kept: &mut Kept<E>,
        artifact: Checked,
        (planned, step): (&Planned<'_>, Step),
        watch: &Watch,
    ) -> Result<(Self, Option<Duration>), String> {
        let request = planned.payload.generate();
        let is_library = planned.runtime.loads == Some(ArtifactKind::NativeLib);
        let (loaded, response, cost) = if is_library && step == Step::Load {
            // The dynamic linker does not load a library twice. What a call leaves to its thread,
            // such as destructors of the thread's variables, holds a library in memory until the
            // thread ends: then each later load would find it there. So the call that checks the
            // artifact has a thread, and an engine, of its own.
            kept.clear();
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
                kept.forget(&artifact);
            }
            match step {
                Step::Load => (None, response, cost),
                Step::Instantiate | Step::Fresh | Step::Call => (Some(loaded), response, None),
            }
        };
        let invocations = Invocations::new(response);
        Ok((Self { engine, artifact, loaded, request, invocations }, cost))
    }

    /// What one iteration costs.
    fn cost(&mut self, step: Step, watch: &Watch) -> Result<Duration, String> {
        let first = self.run(step, 1, watch)?;
        Ok(if first > SLOW { first } else { first.min(self.run(step, 1, watch)?) })
    }

    /// Takes an instance somewhere else in memory, and has it answer once, where instances are what
    /// is measured.
    fn move_elsewhere(&mut self, step: Step, random: u64, watch: &Watch) -> Result<(), String> {
        let Some(loaded) = &mut self.loaded else { return Ok(()) };
        loaded.move_elsewhere(self.engine, random)?;
        if step == Step::Instantiate {
            return Ok(());
        }
        let (engine, request) = (self.engine, &self.request);
        let answered = self
            .invocations
            .time(1, watch, |response| engine.invoke(&mut loaded.instance, request, response));
        answered.map(drop)
    }

    /// One sample's iterations of a step.
    fn run(&mut self, step: Step, iterations: u64, watch: &Watch) -> Result<Duration, String> {
        let Self { engine, artifact, loaded, request, invocations } = self;
        match (step, loaded) {
            (Step::Load, _) => {
                repeat(iterations, || time_step(watch, || engine.load(artifact).map_err(show)))
            }
            (Step::Instantiate, Some(loaded)) => repeat(iterations, || {
                time_step(watch, || engine.new_instance(&loaded.ready.linked).map_err(show))
            }),
            (Step::Fresh, Some(loaded)) => repeat(iterations, || {
                invocations.time_one(watch, |response| {
                    let mut instance = engine.new_instance(&loaded.ready.linked).map_err(show)?;
                    engine.invoke(&mut instance, request, response).map_err(|e| e.to_string())?;
                    Ok(instance)
                })
            }),
            (Step::Call, Some(Loaded { instance, .. })) => {
                invocations
                    .time(iterations, watch, |response| engine.invoke(instance, request, response))
            }
            (Step::Instantiate | Step::Fresh | Step::Call, None) => {
                Err("there is no instance to measure".to_owned())
            }
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
) -> Result<Vec<u8>, String> {
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
    mut step: impl FnMut() -> Result<(Duration, T), String>,
) -> Result<Duration, String> {
    (0..iterations).try_fold(Duration::ZERO, |total, _| Ok(total + step()?.0))
}

/// The driver of the suite `load`.
pub(super) fn load<E: Engine, S>(running: &mut Running<'_, E, S>) -> Result<Measured, Trouble> {
    run(running, Step::Load)
}

/// The driver of the suite `instantiate`.
pub(super) fn instantiate<E: Engine, S>(
    running: &mut Running<'_, E, S>,
) -> Result<Measured, Trouble> {
    run(running, Step::Instantiate)
}

/// The driver of the suite `fresh`.
pub(super) fn fresh<E: Engine, S>(running: &mut Running<'_, E, S>) -> Result<Measured, Trouble> {
    match running.planned.workload.is_command {
        true => command::fresh(running),
        false => run(running, Step::Fresh),
    }
}

/// The driver of the suites that time one call.
pub(super) fn call<E: Engine, S>(running: &mut Running<'_, E, S>) -> Result<Measured, Trouble> {
    run(running, Step::Call)
}

fn run<E: Engine, S>(running: &mut Running<'_, E, S>, step: Step) -> Result<Measured, Trouble> {
    let (loads, engine) = (running.loads()?, running.engine()?);
    let Running { harness, engines, planned, case, .. } = running;
    let (function, settings) = (&planned.workload.function, engine.settings());
    let artifacts = match planned.setting.variant {
        Some(variant) => &harness.artifacts.of_variant(variant),
        None => &harness.artifacts,
    };
    let artifact = artifacts.function(planned.runtime, loads, function, &settings)?;
    let (name, watch) = (&planned.runtime.name, harness.watch);
    let new_engine = engines.maker(name);
    let kept = engines.kept(name);
    let (mut prepared, cost) =
        Prepared::new(&*engine, &new_engine, kept, artifact, (planned, step), &watch)?;
    let cost = match harness.known_cost(case).or(cost.filter(|&cost| cost > SLOW)) {
        Some(cost) => cost,
        None => prepared.cost(step, &watch)?,
    };
    let request_bytes = prepared.request.len();
    if !harness.selection.verify {
        let mut places = unforeseen();
        harness.measure_steady(case, cost, |iterations| {
            prepared.move_elsewhere(step, places.next_u64(), &watch)?;
            prepared.run(step, iterations, &watch)
        })?;
    }
    let size_bytes = if planned.suite.takes_payload() { request_bytes as u64 } else { 0 };
    let verified = prepared.invocations.verified + 1;
    Ok(Measured { verified, size_bytes, details: Details::None })
}
