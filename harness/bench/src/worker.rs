//! The worker that hosts an engine.

use std::process::ExitCode;

use anyhow::Result;
use lumos_abi::worker::{self, InvokeError, Marks, Options, Service};
use lumos_abi::{Timings, monotonic_ns};

use crate::{Checked, Engine, Limits};

/// The `main` of a worker; `new` makes the engine of a name.
pub fn main<E: Engine>(new: impl FnOnce(&str, &Limits) -> Result<E>) -> ExitCode {
    let entered_ns = monotonic_ns();
    #[cfg(feature = "precompile")]
    if std::env::args_os().nth(1).is_some_and(|verb| verb == crate::precompile::VERB) {
        let arguments: Vec<String> = std::env::args().skip(2).collect();
        return match crate::precompile::run(&arguments, new) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    worker::run(entered_ns, std::env::args_os().skip(1), |options, marks| {
        Hosted::set_up(options, marks, new).map_err(|error| format!("{error:#}"))
    })
}

/// What serves, in its engine. The module and what it was linked with live as long.
struct Hosted<E: Engine> {
    /// None for a command, of which each request gets an instance of its own.
    instance: Option<E::Instance>,
    linked: E::Linked,
    _module: E::Module,
    engine: E,
}

impl<E: Engine> Hosted<E> {
    fn set_up(
        options: &Options,
        marks: &mut Marks,
        new: impl FnOnce(&str, &Limits) -> Result<E>,
    ) -> Result<Self> {
        let limits = Limits::of(options.memory_bytes, options.stack_bytes);
        let mut engine = new(&options.engine, &limits)?;
        if let Ok(state) = std::env::var(lumos_state::VARIABLE) {
            engine.keep_state(state.parse()?)?;
        }
        marks.end("engine");
        // SAFETY: the harness checked the artifact before it launched this worker.
        let artifact = unsafe { Checked::assume(options.artifact.clone()) };
        let module = engine.load(&artifact)?;
        marks.end("load");
        let linked = engine.link(&module)?;
        marks.end("link");
        if engine.is_command(&module) {
            return Ok(Self { instance: None, linked, _module: module, engine });
        }
        let environment = engine.environment(&linked)?;
        marks.end("environment");
        let instance = Some(engine.instantiate(&linked, environment)?);
        marks.end("instantiate");
        Ok(Self { instance, linked, _module: module, engine })
    }

    /// The engine and the instance of what serves many requests.
    fn parts(&mut self) -> Result<(&E, &mut E::Instance), InvokeError> {
        let Self { instance, engine, .. } = self;
        let instance = instance.as_mut();
        instance
            .map(|instance| (&*engine, instance))
            .ok_or_else(|| InvokeError::Refused("a command takes no time of its parts".to_owned()))
    }
}

impl<E: Engine> Service for Hosted<E> {
    fn invoke(&mut self, request: &[u8], response: &mut Vec<u8>) -> Result<(), InvokeError> {
        let Self { instance, linked, engine, .. } = self;
        match instance {
            Some(instance) => engine.invoke(instance, request, response),
            None => engine.run(linked, request, response),
        }
    }

    fn invoke_timed(
        &mut self,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        let (engine, instance) = self.parts()?;
        engine.invoke_timed(instance, request, response)
    }

    fn clock_cost_ps(&mut self) -> Result<u64, InvokeError> {
        let (engine, instance) = self.parts()?;
        engine.clock_cost_ps(instance)
    }
}
