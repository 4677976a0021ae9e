//! wasmi: an interpreter that translates Wasm to a bytecode of its own, each function at its
//! first call (`wasmi-lazy`) or all of them while the module loads (`wasmi-eager`).

use anyhow::{Context, Result, bail};
use lumos_abi::exports::name;
use lumos_bench::guest::Mailbox;
use lumos_bench::{Checked, Engine, InvokeError, Limits};
use wasmi::{CompilationMode, Config, Linker, Memory, Module, Store, StoreLimits, TypedFunc};
use wasmi_wasi::{WasiCtx, WasiCtxBuilder};

/// An engine in one of its modes.
#[derive(Debug)]
pub struct Wasmi {
    engine: wasmi::Engine,
    memory_bytes: usize,
}

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
    Ok(Wasmi {
        engine: wasmi::Engine::new(&config),
        memory_bytes: usize::try_from(limits.memory_bytes)?,
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
}

/// A function in its own store.
pub struct Instance {
    store: Store<Host>,
    memory: Memory,
    reserve: TypedFunc<(u32, u32), ()>,
    invoke: TypedFunc<(u32, u32), u32>,
    mailbox: Mailbox,
}

impl Engine for Wasmi {
    type Module = Module;
    type Linked = Linked;
    type Environment = Store<Host>;
    type Instance = Instance;

    fn load(&self, artifact: &Checked) -> Result<Module> {
        let bytes = std::fs::read(artifact.path())
            .with_context(|| artifact.path().display().to_string())?;
        Module::new(&self.engine, bytes).map_err(show)
    }

    fn link(&self, module: &Module) -> Result<Linked> {
        let mut linker = Linker::new(&self.engine);
        wasmi_wasi::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Linked { module: module.clone(), linker })
    }

    fn environment(&self, _linked: &Linked) -> Result<Store<Host>> {
        let limits = wasmi::StoreLimitsBuilder::new().memory_size(self.memory_bytes).build();
        let host = Host { wasi: WasiCtxBuilder::new().build(), limits };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limits);
        Ok(store)
    }

    fn instantiate(&self, linked: &Linked, mut store: Store<Host>) -> Result<Instance> {
        let instance =
            linked.linker.instantiate_and_start(&mut store, &linked.module).map_err(show)?;
        let initialize = instance.get_typed_func::<(), ()>(&store, "_initialize").map_err(show)?;
        initialize.call(&mut store, ()).map_err(show)?;
        let open = instance.get_typed_func::<(), u32>(&store, name::OPEN).map_err(show)?;
        let context = open.call(&mut store, ()).map_err(show)?;
        let memory =
            instance.get_memory(&store, "memory").context("the module exports no memory")?;
        Ok(Instance {
            mailbox: Mailbox::open(memory.data(&store), context)?,
            reserve: instance.get_typed_func(&store, name::RESERVE).map_err(show)?,
            invoke: instance.get_typed_func(&store, name::INVOKE).map_err(show)?,
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
        let length = mailbox.place(memory.data_mut(&mut *store), request)?;
        let status =
            invoke.call(&mut *store, (mailbox.context, length)).map_err(|error| fault(&error))?;
        mailbox.collect(memory.data(&*store), status, response)
    }
}

fn show(error: wasmi::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

fn fault(error: &impl std::fmt::Display) -> InvokeError {
    // The message of an exit ends its line.
    InvokeError::Fault(error.to_string().trim_end().to_owned())
}
