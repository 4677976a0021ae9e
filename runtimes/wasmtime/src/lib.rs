//! wasmtime in four modes: machine code compiled ahead of time (`wasmtime-aot`) or when a
//! module loads, by Cranelift (`wasmtime-jit`) or Winch (`wasmtime-winch`), and bytecode for
//! its interpreter, compiled ahead of time (`wasmtime-pulley`).
//!
//! Without the feature `compiler` the crate loads precompiled code only.

mod wasi;

use std::path::Path;

use anyhow::{Context, Result, bail};
use lumos_abi::Timings;
use lumos_abi::exports::name;
use lumos_bench::engine::CommandRequest;
use lumos_bench::guest::{self, Guest, Vm as _};
use lumos_bench::state::{Backend, HostState};
use lumos_bench::{Checked, Engine, InvokeError, Limits};
#[cfg(feature = "compiler")]
use lumos_bench::{Compiled, Target};
use lumos_wasi::{I32Exit, Streams, WasiCtx};
use wasmtime::{
    Config, InstancePre, Linker, Memory, Module, Precompiled, Store, StoreLimits, TypedFunc,
};

/// An engine in one of its modes.
pub struct Wasmtime {
    engine: wasmtime::Engine,
    name: &'static str,
    loads_precompiled: bool,
    memory_bytes: usize,
    stack_bytes: usize,
    state: Option<Backend>,
    /// Whether instances are given fuel, and use it up.
    metered: bool,
}

/// The engine of a name: `wasmtime-` and `aot`, `pulley`, `jit` or `winch`.
///
/// # Errors
/// When the name is another, or its mode needs a compiler that is not linked.
pub fn engine(name: &str, limits: &Limits) -> Result<Wasmtime> {
    let known = ["wasmtime-aot", "wasmtime-jit", "wasmtime-winch", "wasmtime-pulley"];
    let Some(name) = known.into_iter().find(|&known| known == name) else {
        bail!("this crate has no engine `{name}`");
    };
    let loads_precompiled = matches!(name, "wasmtime-aot" | "wasmtime-pulley");
    if !loads_precompiled && !cfg!(feature = "compiler") {
        bail!("`{name}` compiles, and this program links no compiler");
    }
    let stack_bytes = usize::try_from(limits.stack_bytes)?;
    Ok(Wasmtime {
        engine: wasmtime::Engine::new(&limited(name, stack_bytes)?).map_err(show)?,
        name,
        loads_precompiled,
        memory_bytes: usize::try_from(limits.memory_bytes)?,
        stack_bytes,
        state: None,
        metered: false,
    })
}

/// The settings of a mode: the same when code is compiled and when it is loaded.
///
/// # Errors
/// When wasmtime has no such target.
pub fn config(name: &str) -> Result<Config> {
    let mut config = Config::new();
    // What maps machine code back to Wasm serves backtraces alone. Native functions are
    // stripped as well.
    config.generate_address_map(false).wasm_backtrace_max_frames(None);
    match name {
        "wasmtime-pulley" => {
            config.target(PULLEY).map_err(show)?;
        }
        #[cfg(feature = "compiler")]
        "wasmtime-winch" => {
            config.strategy(wasmtime::Strategy::Winch);
        }
        // The target stays unset: naming it, even the host's, turns the detection of the
        // processor's features off.
        _ => {}
    }
    Ok(config)
}

/// The settings of a mode whose functions have so much stack, which changes no code.
fn limited(name: &str, stack_bytes: usize) -> Result<Config> {
    let mut config = config(name)?;
    // The second is of stacks for what nobody does here, and holds the first to it.
    config.max_wasm_stack(stack_bytes).async_stack_size(stack_bytes);
    Ok(config)
}

/// The target whose machine code is bytecode.
const PULLEY: &str = "pulley64";

/// The settings of a mode for a processor that is named.
///
/// # Errors
/// When wasmtime does not know the target.
#[cfg(feature = "compiler")]
fn config_for(name: &str, triple: &str, features: &[String]) -> Result<Config> {
    let mut config = config(name)?;
    config.target(triple).map_err(show)?;
    for flag in features.iter().filter_map(|feature| cranelift_flag(feature)) {
        // SAFETY: the flag promises that the processor has the feature, which is compared with
        // the processor before the code is loaded.
        unsafe { config.cranelift_flag_enable(flag) };
    }
    Ok(config)
}

/// What Cranelift calls a feature of a processor; none for those that it has no use for.
#[cfg(feature = "compiler")]
fn cranelift_flag(feature: &str) -> Option<&'static str> {
    Some(match feature {
        "sse3" => "has_sse3",
        "ssse3" => "has_ssse3",
        "sse4.1" => "has_sse41",
        "sse4.2" => "has_sse42",
        "cmpxchg16b" => "has_cmpxchg16b",
        "popcnt" => "has_popcnt",
        "avx" => "has_avx",
        "avx2" => "has_avx2",
        "fma" => "has_fma",
        "bmi1" => "has_bmi1",
        "bmi2" => "has_bmi2",
        "lzcnt" => "has_lzcnt",
        "lse" => "has_lse",
        _ => return None,
    })
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
    instance: wasmtime::Instance,
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
        self.instance.get_typed_func(&mut self.store, name).map_err(|error| fault(&error))
    }

    #[inline]
    fn call(&mut self, entry: &Entry, context: u32, length: u32) -> Result<u32, InvokeError> {
        entry.call(&mut self.store, (context, length)).map_err(|error| fault(&error))
    }

    fn reserve(&mut self, context: u32, length: u32) -> Result<(), InvokeError> {
        self.reserve.call(&mut self.store, (context, length)).map_err(|error| fault(&error))
    }

    fn clock_cost_ps(&mut self) -> Result<u64, InvokeError> {
        let clock = self.instance.get_typed_func::<(), u64>(&mut self.store, name::CLOCK_COST);
        clock.and_then(|clock| clock.call(&mut self.store, ())).map_err(|error| fault(&error))
    }
}

/// What a WASI command exports.
const START: &str = "_start";

impl Wasmtime {
    fn store(&self, wasi: WasiCtx) -> Result<Store<Host>> {
        let limits = wasmtime::StoreLimitsBuilder::new().memory_size(self.memory_bytes).build();
        let state = HostState::new(self.state.clone());
        let host = Host { wasi, limits, state };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limits);
        if self.metered {
            store.set_fuel(u64::MAX).map_err(show)?;
        }
        Ok(store)
    }

    fn load_precompiled(&self, path: &Path) -> Result<Module> {
        // SAFETY: the artifact was checked: it is what this engine's version compiled for this
        // architecture. wasmtime compares the settings and the processor's features itself.
        unsafe { Module::deserialize_file(&self.engine, path) }.map_err(|error| {
            match wasmtime::Engine::detect_precompiled_file(path) {
                Ok(Some(Precompiled::Module)) => show(error),
                _ => anyhow::anyhow!("{}: not a precompiled module", path.display()),
            }
        })
    }

    #[cfg(feature = "compiler")]
    fn load_module(&self, path: &Path) -> Result<Module> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Module::new(&self.engine, bytes).map_err(show)
    }

    #[cfg(not(feature = "compiler"))]
    fn load_module(&self, path: &Path) -> Result<Module> {
        bail!("{}: this program links no compiler", path.display())
    }
}

impl Engine for Wasmtime {
    type Module = Module;
    type Linked = InstancePre<Host>;
    type Environment = Store<Host>;
    type Instance = Guest<Vm>;

    fn keep_state(&mut self, backend: Backend) -> Result<()> {
        self.state = Some(backend);
        Ok(())
    }

    fn settings(&self) -> Vec<String> {
        let compiler = match self.name {
            "wasmtime-winch" => "compiler=winch",
            _ => "compiler=cranelift",
        };
        let target = if self.name == "wasmtime-pulley" { "code=pulley64" } else { "code=machine" };
        // The version that is linked stands in the artifact, and wasmtime compares it itself.
        let rest = ["opt-level=speed", "address-map=off", "metering=off"];
        [compiler, target].into_iter().chain(rest).map(str::to_owned).collect()
    }

    #[cfg(feature = "compiler")]
    fn compile(&self, module: &[u8], target: &Target) -> Result<Compiled> {
        let other = match target {
            Target::Host => None,
            Target::Named { triple, .. } if triple == PULLEY && self.name == "wasmtime-pulley" => {
                None
            }
            Target::Named { triple, features } => {
                let config = config_for(self.name, triple, features)?;
                Some(wasmtime::Engine::new(&config).map_err(show)?)
            }
        };
        let engine = other.as_ref().unwrap_or(&self.engine);
        let bytes = engine.precompile_module(module).map_err(show)?;
        // wasmtime's format is ELF: who keeps the file can tell how much of it is code.
        Ok(Compiled { bytes, text_bytes: None })
    }

    fn load(&self, artifact: &Checked) -> Result<Module> {
        match self.loads_precompiled {
            true => self.load_precompiled(artifact.path()),
            false => self.load_module(artifact.path()),
        }
    }

    fn link(&self, module: &Module) -> Result<InstancePre<Host>> {
        let mut linker = Linker::new(&self.engine);
        wasi::define_imports(&mut linker, module).map_err(show)?;
        linker.instantiate_pre(module).map_err(show)
    }

    fn environment(&self, _linked: &InstancePre<Host>) -> Result<Store<Host>> {
        self.store(lumos_wasi::of_function(self.state.as_ref())?)
    }

    fn instantiate(&self, linked: &InstancePre<Host>, mut store: Store<Host>) -> Result<Guest<Vm>> {
        let instance = linked.instantiate(&mut store).map_err(show)?;
        let initialize =
            instance.get_typed_func::<(), ()>(&mut store, "_initialize").map_err(show)?;
        initialize.call(&mut store, ()).map_err(show)?;
        let open = instance.get_typed_func::<(), u32>(&mut store, name::OPEN).map_err(show)?;
        let context = open.call(&mut store, ()).map_err(show)?;
        let memory =
            instance.get_memory(&mut store, "memory").context("the module exports no memory")?;
        let reserve = instance.get_typed_func(&mut store, name::RESERVE).map_err(show)?;
        Guest::new(Vm { store, memory, reserve, instance }, context)
    }

    fn is_command(&self, module: &Module) -> bool {
        module.get_export(START).is_some() && module.get_export(name::INVOKE).is_none()
    }

    fn run(
        &self,
        linked: &InstancePre<Host>,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError> {
        let command = CommandRequest::read(request)?;
        let streams = Streams::default();
        let wasi = streams.of_command(command.stdin).map_err(|error| fault(&error))?;
        let mut store = self.store(wasi).map_err(|error| fault(&error))?;
        // A start section may end the command as well.
        let outcome = match linked.instantiate(&mut store) {
            Ok(instance) => {
                let start = instance.get_typed_func::<(), ()>(&mut store, START);
                start.map_err(|error| fault(&error))?.call(&mut store, ())
            }
            Err(error) => Err(error),
        };
        // The other owner of what was written.
        drop(store);
        let [output, errors] = streams.into_bytes();
        let exit = match &outcome {
            Ok(()) => Some(0),
            Err(error) => error.downcast_ref::<I32Exit>().map(|exit| exit.0),
        };
        let message = outcome.err().map(|error| format!("{error:#}")).unwrap_or_default();
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
        let mut config = limited(self.name, self.stack_bytes)?;
        config.consume_fuel(true);
        let engine = wasmtime::Engine::new(&config).map_err(show)?;
        let state = self.state.clone();
        Ok(Some(Self { engine, state, metered: true, ..*self }))
    }

    fn executed(&self, instance: &mut Guest<Vm>) -> Result<u64, InvokeError> {
        let left = instance.vm.store.get_fuel().map_err(|error| fault(&error))?;
        Ok(u64::MAX - left)
    }

    fn clock_cost_ps(&self, instance: &mut Guest<Vm>) -> Result<u64, InvokeError> {
        instance.vm.clock_cost_ps()
    }
}

/// wasmtime's error implements no standard trait; its alternate form holds the whole chain.
fn show(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

fn fault(error: &impl std::fmt::Display) -> InvokeError {
    InvokeError::Fault(format!("{error:#}"))
}
