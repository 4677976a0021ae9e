//! wasmi: an interpreter that translates Wasm to a bytecode of its own, each function at its
//! first call (`wasmi-lazy`) or all of them while the module loads (`wasmi-eager`).

mod wasi;

use anyhow::{Context, Result, bail};
use lumos_abi::Timings;
use lumos_abi::exports::name;
use lumos_bench::engine::CommandRequest;
use lumos_bench::guest::{self, Guest, Vm as _};
use lumos_bench::state::{Backend, HostState};
use lumos_bench::{Checked, Engine, InvokeError, Limits};
use lumos_wasi::{Streams, WasiCtx};
use wasmi::{CompilationMode, Config, Linker, Memory, Module, Store, StoreLimits, TypedFunc};

/// An engine in one of its modes.
#[derive(Debug)]
pub struct Wasmi {
    engine: wasmi::Engine,
    memory_bytes: usize,
    state: Option<Backend>,
    /// Whether instances are given fuel, and use it up.
    metered: bool,
}

/// What a call takes of wasmi's stack of calls, about.
const CALL_BYTES: usize = 64;

/// The engine of a name: `wasmi-lazy` or `wasmi-eager`.
///
/// # Errors
/// When the name is another.
pub fn engine(name: &str, limits: &Limits) -> Result<Wasmi> {
    let mode = match name {
        // The name says when functions are translated. Both modes validate the whole module
        // when they load it, as the other engines do.
        "wasmi-lazy" => CompilationMode::LazyTranslation,
        "wasmi-eager" => CompilationMode::Eager,
        _ => bail!("this crate has no engine `{name}`"),
    };
    let mut config = Config::default();
    config.compilation_mode(mode);
    // Its stack is one of values, beside one of calls, of which each takes some words.
    let stack_bytes = usize::try_from(limits.stack_bytes)?;
    config.set_max_stack_height(stack_bytes).set_max_recursion_depth(stack_bytes / CALL_BYTES);
    Ok(Wasmi {
        engine: wasmi::Engine::new(&config),
        memory_bytes: usize::try_from(limits.memory_bytes)?,
        state: None,
        metered: false,
    })
}

/// A module whose imports are resolved.
pub struct Linked {
    module: Module,
    linker: Linker<Host>,
}

/// What the host keeps for an instance.
pub struct Host {
    wasi: WasiCtx,
    limits: StoreLimits,
    state: HostState,
}

/// What serves a request: a context and the length of the request give a status.
type Entry = TypedFunc<(u32, u32), u32>;

/// An instance in its own store.
pub struct Vm {
    store: Store<Host>,
    memory: Memory,
    reserve: TypedFunc<(u32, u32), ()>,
    instance: wasmi::Instance,
}

impl guest::Vm for Vm {
    type Entry = Entry;

    #[inline]
    fn memory(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    #[inline]
    fn memory_mut(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }

    fn entry(&mut self, name: &str) -> Result<Entry, InvokeError> {
        self.instance.get_typed_func(&self.store, name).map_err(|error| fault(&error))
    }

    #[inline]
    fn call(&mut self, entry: &Entry, context: u32, length: u32) -> Result<u32, InvokeError> {
        entry.call(&mut self.store, (context, length)).map_err(|error| fault(&error))
    }

    fn reserve(&mut self, context: u32, length: u32) -> Result<(), InvokeError> {
        self.reserve.call(&mut self.store, (context, length)).map_err(|error| fault(&error))
    }

    fn clock_cost_ps(&mut self) -> Result<u64, InvokeError> {
        let clock = self.instance.get_typed_func::<(), u64>(&self.store, name::CLOCK_COST);
        clock.and_then(|clock| clock.call(&mut self.store, ())).map_err(|error| fault(&error))
    }
}

impl Wasmi {
    fn store(&self, wasi: WasiCtx) -> Result<Store<Host>> {
        let limits = wasmi::StoreLimitsBuilder::new().memory_size(self.memory_bytes).build();
        let host = Host { wasi, limits, state: HostState::new(self.state.clone()) };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limits);
        if self.metered {
            store.set_fuel(u64::MAX).map_err(show)?;
        }
        Ok(store)
    }
}

/// What a WASI command exports.
const START: &str = "_start";

impl Engine for Wasmi {
    type Module = Module;
    type Linked = Linked;
    type Environment = Store<Host>;
    type Instance = Guest<Vm>;

    fn keep_state(&mut self, backend: Backend) -> Result<()> {
        self.state = Some(backend);
        Ok(())
    }

    fn load(&self, artifact: &Checked) -> Result<Module> {
        let bytes = std::fs::read(artifact.path())
            .with_context(|| artifact.path().display().to_string())?;
        Module::new(&self.engine, bytes).map_err(show)
    }

    fn link(&self, module: &Module) -> Result<Linked> {
        let mut linker = Linker::new(&self.engine);
        let defined = wasi::define_imports(&mut linker, module);
        defined.map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Linked { module: module.clone(), linker })
    }

    fn environment(&self, _linked: &Linked) -> Result<Store<Host>> {
        self.store(lumos_wasi::of_function(self.state.as_ref())?)
    }

    fn instantiate(&self, linked: &Linked, mut store: Store<Host>) -> Result<Guest<Vm>> {
        let instance =
            linked.linker.instantiate_and_start(&mut store, &linked.module).map_err(show)?;
        let initialize = instance.get_typed_func::<(), ()>(&store, "_initialize").map_err(show)?;
        initialize.call(&mut store, ()).map_err(show)?;
        let open = instance.get_typed_func::<(), u32>(&store, name::OPEN).map_err(show)?;
        let context = open.call(&mut store, ()).map_err(show)?;
        let memory =
            instance.get_memory(&store, "memory").context("the module exports no memory")?;
        let reserve = instance.get_typed_func(&store, name::RESERVE).map_err(show)?;
        Guest::new(Vm { store, memory, reserve, instance }, context)
    }

    fn is_command(&self, module: &Module) -> bool {
        module.get_export(START).is_some() && module.get_export(name::INVOKE).is_none()
    }

    fn run(
        &self,
        linked: &Linked,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError> {
        let command = CommandRequest::read(request)?;
        let streams = Streams::default();
        let wasi = streams.of_command(command.stdin).map_err(|error| fault(&error))?;
        let mut store = self.store(wasi).map_err(|error| fault(&error))?;
        let outcome = linked
            .linker
            .instantiate_and_start(&mut store, &linked.module)
            .and_then(|instance| instance.get_typed_func::<(), ()>(&store, START))
            .and_then(|start| start.call(&mut store, ()));
        // The other owner of what was written.
        drop(store);
        let [output, errors] = streams.into_bytes();
        let exit = match &outcome {
            Ok(()) => Some(0),
            Err(error) => error.i32_exit_status(),
        };
        let message = outcome.err().map(|error| error.to_string()).unwrap_or_default();
        command.end(exit, &message, &errors)?;
        response.extend_from_slice(&output);
        Ok(())
    }

    #[inline]
    fn answer<'i>(
        &self,
        instance: &'i mut Guest<Vm>,
        request: [&[u8]; 2],
    ) -> Result<&'i [u8], InvokeError> {
        instance.answer(request)
    }

    fn invoke_timed(
        &self,
        instance: &mut Guest<Vm>,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        instance.invoke_timed(request, response)
    }

    fn metered(&self) -> Result<Option<Self>> {
        let mut config = self.engine.config().clone();
        config.consume_fuel(true);
        let engine = wasmi::Engine::new(&config);
        let Self { memory_bytes, state, .. } = self;
        let (memory_bytes, state) = (*memory_bytes, state.clone());
        Ok(Some(Self { engine, memory_bytes, state, metered: true }))
    }

    fn executed(&self, instance: &mut Guest<Vm>) -> Result<u64, InvokeError> {
        let left = instance.vm.store.get_fuel().map_err(|error| fault(&error))?;
        Ok(u64::MAX - left)
    }

    fn clock_cost_ps(&self, instance: &mut Guest<Vm>) -> Result<u64, InvokeError> {
        instance.vm.clock_cost_ps()
    }
}

fn show(error: wasmi::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

fn fault(error: &impl std::fmt::Display) -> InvokeError {
    // The message of an exit ends its line.
    InvokeError::Fault(error.to_string().trim_end().to_owned())
}
