//! wasmtime in four modes: machine code compiled ahead of time (`wasmtime-aot`) or when a
//! module loads, by Cranelift (`wasmtime-jit`) or Winch (`wasmtime-winch`), and bytecode for
//! its interpreter, compiled ahead of time (`wasmtime-pulley`).
//!
//! Without the feature `compiler` the crate loads precompiled code only.

mod wasi;

use std::path::Path;

use anyhow::{Context, Result, bail};
use lumos_abi::exports::name;
use lumos_bench::guest::Mailbox;
use lumos_bench::{Checked, Engine, InvokeError, Limits};
use wasmtime::{
    Config, InstancePre, Linker, Memory, Module, Precompiled, Store, StoreLimits, TypedFunc,
};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;

/// An engine in one of its modes.
pub struct Wasmtime {
    engine: wasmtime::Engine,
    loads_precompiled: bool,
    memory_bytes: usize,
}

/// The engine of a name: `wasmtime-` and `aot`, `pulley`, `jit` or `winch`.
///
/// # Errors
/// When the name is another, or its mode needs a compiler that is not linked.
pub fn engine(name: &str, limits: &Limits) -> Result<Wasmtime> {
    let loads_precompiled = matches!(name, "wasmtime-aot" | "wasmtime-pulley");
    if !loads_precompiled && !cfg!(feature = "compiler") {
        bail!("`{name}` compiles, and this program links no compiler");
    }
    Ok(Wasmtime {
        engine: wasmtime::Engine::new(&config(name)?).map_err(show)?,
        loads_precompiled,
        memory_bytes: usize::try_from(limits.memory_bytes)?,
    })
}

/// The settings of a mode: the same when code is compiled and when it is loaded.
///
/// # Errors
/// When there is no mode of that name.
pub fn config(name: &str) -> Result<Config> {
    let mut config = Config::new();
    // What maps machine code back to Wasm serves backtraces alone. Native functions are
    // stripped as well.
    config.generate_address_map(false).wasm_backtrace_max_frames(None);
    match name {
        // The target stays unset: naming it, even the host's, turns the detection of the
        // processor's features off.
        "wasmtime-aot" | "wasmtime-jit" => {}
        "wasmtime-pulley" => {
            config.target("pulley64").map_err(show)?;
        }
        #[cfg(feature = "compiler")]
        "wasmtime-winch" => {
            config.strategy(wasmtime::Strategy::Winch);
        }
        _ => bail!("this crate has no engine `{name}`"),
    }
    Ok(config)
}

/// Compiles the module in a file for one of the modes that load precompiled code.
///
/// # Errors
/// When the module is invalid, or the output cannot be written.
#[cfg(feature = "compiler")]
pub fn precompile(engine: &str, module: &Path, output: &Path) -> Result<()> {
    let bytes = std::fs::read(module)?;
    let engine = wasmtime::Engine::new(&config(engine)?).map_err(show)?;
    let compiled = engine.precompile_module(&bytes).map_err(show)?;
    std::fs::write(output, compiled).with_context(|| output.display().to_string())
}

/// What the host keeps for an instance.
pub struct Host {
    wasi: WasiP1Ctx,
    limits: StoreLimits,
}

/// A function in its own store.
pub struct Instance {
    store: Store<Host>,
    memory: Memory,
    reserve: TypedFunc<(u32, u32), ()>,
    invoke: TypedFunc<(u32, u32), u32>,
    mailbox: Mailbox,
}

impl Wasmtime {
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
    fn compile(&self, path: &Path) -> Result<Module> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Module::new(&self.engine, bytes).map_err(show)
    }

    #[cfg(not(feature = "compiler"))]
    fn compile(&self, path: &Path) -> Result<Module> {
        bail!("{}: this program links no compiler", path.display())
    }
}

impl Engine for Wasmtime {
    type Module = Module;
    type Linked = InstancePre<Host>;
    type Instance = Instance;

    fn load(&self, artifact: &Checked) -> Result<Module> {
        match self.loads_precompiled {
            true => self.load_precompiled(artifact.path()),
            false => self.compile(artifact.path()),
        }
    }

    fn link(&self, module: &Module) -> Result<InstancePre<Host>> {
        let mut linker = Linker::new(&self.engine);
        wasi::define_imports(&mut linker, module).map_err(show)?;
        linker.instantiate_pre(module).map_err(show)
    }

    fn instantiate(&self, linked: &InstancePre<Host>) -> Result<Instance> {
        let limits = wasmtime::StoreLimitsBuilder::new().memory_size(self.memory_bytes).build();
        // No standard streams: a reactor has no use for them, and they start threads.
        let host = Host { wasi: WasiCtxBuilder::new().build_p1(), limits };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limits);
        let instance = linked.instantiate(&mut store).map_err(show)?;
        let initialize =
            instance.get_typed_func::<(), ()>(&mut store, "_initialize").map_err(show)?;
        initialize.call(&mut store, ()).map_err(show)?;
        let open = instance.get_typed_func::<(), u32>(&mut store, name::OPEN).map_err(show)?;
        let context = open.call(&mut store, ()).map_err(show)?;
        let memory =
            instance.get_memory(&mut store, "memory").context("the module exports no memory")?;
        Ok(Instance {
            mailbox: Mailbox::open(memory.data(&store), context)?,
            reserve: instance.get_typed_func(&mut store, name::RESERVE).map_err(show)?,
            invoke: instance.get_typed_func(&mut store, name::INVOKE).map_err(show)?,
            memory,
            store,
        })
    }

    fn invoke(
        &self,
        instance: &mut Instance,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError> {
        let Instance { store, memory, reserve, invoke, mailbox } = instance;
        if mailbox.is_too_small(request.len()) {
            let length = u32::try_from(request.len()).map_err(|error| fault(&error))?;
            reserve.call(&mut *store, (mailbox.context, length)).map_err(|error| fault(&error))?;
            *mailbox = Mailbox::open(memory.data(&*store), mailbox.context)
                .map_err(|error| fault(&error))?;
        }
        // Looking the memory up takes a tenth of a small call, and an empty request is nowhere.
        let length = match request {
            [] => 0,
            _ => mailbox.place(memory.data_mut(&mut *store), request)?,
        };
        let status =
            invoke.call(&mut *store, (mailbox.context, length)).map_err(|error| fault(&error))?;
        mailbox.collect(memory.data(&*store), status, response)
    }
}

/// wasmtime's error implements no standard trait; its alternate form holds the whole chain.
fn show(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

fn fault(error: &impl std::fmt::Display) -> InvokeError {
    InvokeError::Fault(format!("{error:#}"))
}
