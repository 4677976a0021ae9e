//! The in-process lane: what an engine costs by itself.

use std::time::Duration;

use lumos_record::{Case, Suite};

use super::harness::{Harness, Measured, Trouble, verify_digest};
use super::plan::Planned;
use super::timing::{Invocations, Stop, time_step};
use super::watch::Watch;
use crate::{Checked, Engine};

/// A function in an engine, which has answered once, and rightly.
struct Prepared<'e, E: Engine> {
    engine: &'e E,
    artifact: Checked,
    /// None while loading is measured: the dynamic linker does not load a library twice.
    loaded: Option<Loaded<E>>,
    request: Vec<u8>,
    invocations: Invocations,
}

/// What an engine made of an artifact. Fields drop in this order: an instance goes before what
/// it was made from.
struct Loaded<E: Engine> {
    instance: E::Instance,
    linked: E::Linked,
    _module: E::Module,
}

impl<E: Engine> Loaded<E> {
    fn new(engine: &E, artifact: &Checked) -> Result<Self, Stop> {
        let module = engine.load(artifact).map_err(show)?;
        let linked = engine.link(&module).map_err(show)?;
        let instance = engine.new_instance(&linked).map_err(show)?;
        Ok(Self { instance, linked, _module: module })
    }
}

impl<'e, E: Engine> Prepared<'e, E> {
    fn new(
        engine: &'e E,
        artifact: Checked,
        planned: &Planned<'_>,
        watch: &Watch,
    ) -> Result<Self, Stop> {
        let request = planned.payload.generate();
        let mut response = Vec::new();
        let (_, mut loaded) = time_step(watch, || Loaded::new(engine, &artifact))?;
        time_step(watch, || {
            let instance = &mut loaded.instance;
            engine.invoke(instance, &request, &mut response).map_err(|error| error.to_string())
        })?;
        verify_digest(&response, planned.payload)?;
        let loaded = (planned.suite != Suite::Load).then_some(loaded);
        let invocations = Invocations::new(response);
        Ok(Self { engine, artifact, loaded, request, invocations })
    }

    /// One sample's iterations of a suite.
    fn run(&mut self, suite: Suite, iterations: u64, watch: &Watch) -> Result<Duration, Stop> {
        let Self { engine, artifact, loaded, request, invocations } = self;
        let Some(Loaded { instance, linked, .. }) = loaded else {
            return repeat(iterations, || time_step(watch, || engine.load(artifact).map_err(show)));
        };
        match suite {
            Suite::Call | Suite::Variants => invocations
                .time(iterations, watch, |response| engine.invoke(instance, request, response)),
            Suite::Instantiate => repeat(iterations, || {
                time_step(watch, || engine.new_instance(linked).map_err(show))
            }),
            _ => repeat(iterations, || {
                invocations.time_one(watch, |response| {
                    let mut instance = engine.new_instance(linked).map_err(show)?;
                    engine.invoke(&mut instance, request, response).map_err(|e| e.to_string())?;
                    Ok(instance)
                })
            }),
        }
    }
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

/// Measures one case of the in-process lane.
pub(super) fn run<E: Engine>(
    harness: &mut Harness,
    engine: &E,
    planned: &Planned<'_>,
    case: &Case,
) -> Result<Measured, Trouble> {
    let loads = planned.runtime.loads.ok_or_else(|| {
        Trouble::Skip(format!("{} has no part in the in-process lane", planned.runtime.name))
    })?;
    let (function, settings) = (&planned.workload.function, engine.settings());
    let artifacts = match planned.setting.variant {
        Some(variant) => &harness.artifacts.of_variant(variant),
        None => &harness.artifacts,
    };
    let artifact = artifacts
        .function(planned.runtime, loads, function, &settings)
        .map_err(|refusal| Trouble::Skip(refusal.to_string()))?;
    let watch = harness.watch;
    let mut prepared = Prepared::new(engine, artifact, planned, &watch)?;
    let cost =
        prepared.run(planned.suite, 1, &watch)?.min(prepared.run(planned.suite, 1, &watch)?);
    let request_bytes = prepared.request.len();
    if !harness.selection.verify {
        harness.measure_steady(case, cost, request_bytes, |iterations| {
            prepared.run(planned.suite, iterations, &watch)
        })?;
    }
    Ok(Measured { verified: prepared.invocations.verified + 1, cold: None })
}
