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

/// An instance in its engine. The module and what it was linked with live as long.
struct Hosted<E: Engine> {
    instance: E::Instance,
    _linked: E::Linked,
    _module: E::Module,
    engine: E,
}

impl<E: Engine> Hosted<E> {
    fn set_up(
        options: &Options,
        marks: &mut Marks,
        new: impl FnOnce(&str, &Limits) -> Result<E>,
    ) -> Result<Self> {
        let limits = Limits::of_memory(options.memory_bytes);
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
        let environment = engine.environment(&linked)?;
        marks.end("environment");
        let instance = engine.instantiate(&linked, environment)?;
        marks.end("instantiate");
        Ok(Self { instance, _linked: linked, _module: module, engine })
    }
}

impl<E: Engine> Service for Hosted<E> {
    fn invoke(&mut self, request: &[u8], response: &mut Vec<u8>) -> Result<(), InvokeError> {
        self.engine.invoke(&mut self.instance, request, response)
    }

    fn invoke_timed(
        &mut self,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        self.engine.invoke_timed(&mut self.instance, request, response)
    }

    fn clock_cost_ps(&mut self) -> Result<u64, InvokeError> {
        self.engine.clock_cost_ps(&mut self.instance)
    }
}
