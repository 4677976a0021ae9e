//! Every runtime serves every function: it answers rightly, refuses what is malformed in the same
//! words everywhere, and serves the next request. What becomes of state that is not there is shown
//! too.

use anyhow::{Context, Result, anyhow, bail, ensure};
use lumos_record::{Image, Runtime, Setting, StateBackend, Suite};
use lumos_workloads::{Payload, Workload};

use super::Built;
use crate::sandbox::{State, Trouble};
use crate::suites::plan::Planned;
use crate::suites::served::worker_spec;
use crate::suites::states::{self, States};
use crate::suites::verify_digest;
use crate::{InvokeError, Limits, Sandbox};

/// Serves every function in a sandbox, state in every place that this node has. What holds a
/// function's program upon a base is linked in another way, and a sample of functions shows that.
///
/// # Errors
/// When an answer or a refusal is not the right one.
pub(super) fn check<S: Sandbox>(
    built: &Built,
    runtime: &Runtime,
    settings: &[String],
    sandbox: &S,
    states: &mut States,
) -> Result<()> {
    let is_upon_base = runtime.base.as_deref().is_some_and(|base| base != Image::SCRATCH);
    let is_taken = |workload: &&Workload| !is_upon_base || built.takes(workload);
    for workload in built.workloads.benchmarked().filter(is_taken) {
        let backends = StateBackend::ALL.iter().map(|&backend| Some(backend));
        let backends: Vec<Option<StateBackend>> = match workload.keeps_state {
            true => backends.collect(),
            false => vec![None],
        };
        for backend in backends {
            let served = Serving { built, runtime, settings, sandbox, workload, backend };
            let name =
                backend.map_or_else(String::new, |backend| format!(" with state in {backend}"));
            served.check(states).with_context(|| format!("{}{name}", workload.function))?;
        }
    }
    Ok(())
}

struct Serving<'s, S> {
    built: &'s Built,
    runtime: &'s Runtime,
    settings: &'s [String],
    sandbox: &'s S,
    workload: &'s Workload,
    backend: Option<StateBackend>,
}

impl<S: Sandbox> Serving<'_, S> {
    fn check(&self, states: &mut States) -> Result<()> {
        let payload = self.workload.payloads.first().context("no payload")?;
        let setting = Setting { state: self.backend, ..Setting::default() };
        let (workload, runtime) = (self.workload, self.runtime);
        let (suite, chain, row) = (Suite::Warm, None, 0);
        let planned = Planned { suite, workload, chain, payload, runtime, setting, row };
        let mut worker_spec = worker_spec(
            &self.built.artifacts,
            planned.runtime,
            &planned.workload.function,
            self.settings,
        )
        .map_err(|refusal| anyhow!("{refusal}"))?;
        if let Some((backend, value)) = self.backend.zip(payload.value.as_ref()) {
            match states.prepare(backend, value) {
                Ok(state) => worker_spec.state = Some(state),
                // Without a Redis on this node there is nothing to show.
                Err(Trouble::Skip(_)) => return Ok(()),
                Err(Trouble::Failure(cause)) => bail!(cause),
            }
        }
        match self.sandbox.prepare(&worker_spec) {
            Ok(()) => {}
            Err(Trouble::Skip(reason) | Trouble::Failure(reason)) => bail!(reason),
        }
        let mut worker = self.sandbox.launch(&worker_spec, &Limits::default())?;
        let served = self.serve(&mut worker, payload, worker_spec.state.as_ref(), states);
        match served {
            Ok(()) => {
                let trouble = self.sandbox.teardown(worker).trouble;
                trouble.map_or(Ok(()), |trouble| Err(anyhow!(trouble)))
            }
            Err(error) => Err(error.context(self.sandbox.autopsy(worker))),
        }
    }

    fn serve(
        &self,
        worker: &mut S::Worker,
        payload: &Payload,
        state: Option<&State>,
        states: &mut States,
    ) -> Result<()> {
        if let Some(malformed) = &self.workload.malformed {
            self.refuse(worker, &malformed.request.generate(), &malformed.message)?;
        }
        self.answer(worker, payload)?;
        if let Some((state, value)) = state.zip(payload.value.as_ref()) {
            states::check(state, value).map_err(|stop| anyhow!(stop))?;
            self.lose(worker, payload, state, states)?;
        }
        Ok(())
    }

    /// Takes the state away, and gives it back.
    fn lose(
        &self,
        worker: &mut S::Worker,
        payload: &Payload,
        state: &State,
        states: &mut States,
    ) -> Result<()> {
        let value = payload.value.as_ref().context("no value")?;
        let request = payload.generate();
        // A folder is where the value should be, so that it can be neither read nor replaced.
        let place = state.folder.join(State::VALUES).join(&value.key);
        let message = match state.backend {
            StateBackend::Redis => {
                states.stop_redis();
                "the state's Redis is gone"
            }
            StateBackend::Directory => {
                std::fs::remove_file(&place)?;
                std::fs::create_dir(&place)?;
                "the state's directory cannot be"
            }
        };
        self.refuse(worker, &request, message)?;
        self.refuse(worker, &request, message)?;
        if state.backend == StateBackend::Directory {
            std::fs::remove_dir(&place)?;
        }
        if let Err(Trouble::Skip(cause) | Trouble::Failure(cause)) =
            states.prepare(state.backend, value)
        {
            bail!(cause);
        }
        self.answer(worker, payload)
    }

    fn answer(&self, worker: &mut S::Worker, payload: &Payload) -> Result<()> {
        let mut response = Vec::new();
        self.sandbox.invoke(worker, &payload.generate(), &mut response)?;
        verify_digest(&response, payload).map_err(|stop| anyhow!(stop))?;
        // With timings, the answer is the same.
        self.sandbox.invoke_timed(worker, &payload.generate(), &mut response)?;
        verify_digest(&response, payload).map_err(|stop| anyhow!(stop))?;
        ensure!(self.sandbox.clock_cost_ps(worker)? > 0, "the function's clock costs nothing");
        Ok(())
    }

    fn refuse(&self, worker: &mut S::Worker, request: &[u8], message: &str) -> Result<()> {
        match self.sandbox.invoke(worker, request, &mut Vec::new()) {
            Err(InvokeError::Refused(told)) if told.starts_with(message) => Ok(()),
            other => bail!("{other:?} instead of a refusal with `{message}`"),
        }
    }
}
