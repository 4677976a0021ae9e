//! wasmer in its modes: machine code compiled by Cranelift ahead of time (`wasmer-aot`) or when
//! a module loads (`wasmer-jit`), and compiled by Singlepass when it loads
//! (`wasmer-singlepass`), for those who ask for the cargo feature of that name.
//!
//! Without the feature `compiler` the crate loads precompiled code only.

#[cfg(feature = "compiler")]
mod compiler;
mod limit;
mod wasi;

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use lumos_abi::Timings;
use lumos_abi::exports::name;
use lumos_bench::engine::CommandRequest;
use lumos_bench::guest::{self, Guest, Vm as _};
use lumos_bench::state::Backend;
use lumos_bench::{Checked, Compiled, Engine, InvokeError, Limits, Target};
use lumos_wasi::{I32Exit, Streams};
use wasmer::sys::{Artifact, EngineBuilder, NativeEngineExt};
use wasmer::{
    Instance as WasmInstance, InstantiationError, Memory, RuntimeError, Store, TypedFunction,
};

use crate::limit::MemoryLimit;
pub use crate::wasi::Environment;
use crate::wasi::Imported;

/// What changes the code that Cranelift makes.
const CRANELIFT: &[&str] = &["compiler=cranelift", "opt-level=speed", "nan-canonicalization=no"];

/// What changes the code that Singlepass makes.
const SINGLEPASS: &[&str] = &["compiler=singlepass", "nan-canonicalization=no"];

/// How an engine comes by machine code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It was compiled by Cranelift before.
    Aot,
    /// Cranelift compiles it when the module loads.
    Jit,
    /// Singlepass does.
    Singlepass,
}

/// An engine in one of its modes.
pub struct Wasmer {
    mode: Mode,
    limit: MemoryLimit,
    state: Option<Backend>,
    /// Whether what it compiles counts its instructions.
    #[cfg(feature = "compiler")]
    metered: bool,
}

/// The engine of a name: `wasmer-` and `aot`, `jit` or `singlepass`.
///
/// # Errors
/// When the name is another, or its mode needs a compiler that is not linked.
pub fn engine(name: &str, limits: &Limits) -> Result<Wasmer> {
    let (mode, is_linked) = match name {
        "wasmer-aot" => (Mode::Aot, true),
        "wasmer-jit" => (Mode::Jit, cfg!(feature = "compiler")),
        "wasmer-singlepass" => (Mode::Singlepass, cfg!(feature = "singlepass")),
        _ => bail!("this crate has no engine `{name}`"),
    };
    if !is_linked {
        bail!("`{name}` compiles, and this program does not link its compiler");
    }
    let limit = MemoryLimit::new(limits.memory_bytes);
    // Of all stacks that this process makes from now on; each has so much address space.
    wasmer::sys::vm::set_stack_size(usize::try_from(limits.stack_bytes)?);
    Ok(Wasmer {
        mode,
        limit,
        state: None,
        #[cfg(feature = "compiler")]
        metered: false,
    })
}

/// What a WASI command exports.
const START: &str = "_start";

/// Machine code in memory.
pub struct Module {
    // Dropped in this order, as wasmer demands of a module and the engine that keeps its code.
    module: wasmer::Module,
    engine: wasmer::Engine,
}

/// A module whose imports are known.
pub struct Linked {
    module: wasmer::Module,
    engine: wasmer::Engine,
    imported: Imported,
}

/// What serves a request: a context and the length of the request give a status.
type Entry = TypedFunction<(u32, u32), u32>;

/// An instance in its own store.
pub struct Vm {
    // Dropped before the store, whose engine keeps the code of the instance's module.
    instance: WasmInstance,
    store: Store,
    memory: Memory,
    reserve: TypedFunction<(u32, u32), ()>,
}

impl guest::Vm for Vm {
    type Entry = Entry;

    #[inline]
    fn memory(&self) -> &[u8] {
        let view = self.memory.view(&self.store);
        // SAFETY: only code that borrows the store for itself writes to its memory or grows it.
        unsafe { std::slice::from_raw_parts(view.data_ptr(), view.data_size() as usize) }
    }

    #[inline]
    fn memory_mut(&mut self) -> &mut [u8] {
        let view = self.memory.view(&self.store);
        let (start, length) = (view.data_ptr(), view.data_size() as usize);
        // SAFETY: the store is borrowed for these bytes alone, so that no code runs in it.
        unsafe { std::slice::from_raw_parts_mut(start, length) }
    }

    fn entry(&mut self, name: &str) -> Result<Entry, InvokeError> {
        let entry = self.instance.exports.get_typed_function(&self.store, name);
        entry.map_err(|error| fault(&error))
    }

    #[inline]
    fn call(&mut self, entry: &Entry, context: u32, length: u32) -> Result<u32, InvokeError> {
        entry.call(&mut self.store, context, length).map_err(|error| trap(&error))
    }

    fn reserve(&mut self, context: u32, length: u32) -> Result<(), InvokeError> {
        self.reserve.call(&mut self.store, context, length).map_err(|error| trap(&error))
    }

    fn clock_cost_ps(&mut self) -> Result<u64, InvokeError> {
        let clock = self.instance.exports.get_typed_function(&self.store, name::CLOCK_COST);
        let clock: TypedFunction<(), u64> = clock.map_err(|error| fault(&error))?;
        clock.call(&mut self.store).map_err(|error| trap(&error))
    }
}

impl Wasmer {
    /// An engine of wasmer's for one module: such an engine keeps the code of all modules that
    /// it ever loaded for as long as it lives.
    fn engine_of_module(&self, builder: EngineBuilder) -> wasmer::Engine {
        let mut engine = wasmer::Engine::from(builder);
        engine.set_tunables(self.limit.clone());
        engine
    }

    /// Makes an instance, whose memory the functions of the host then know, if it exports one.
    fn instance(
        linked: &Linked,
        environment: Environment,
    ) -> Result<(Store, WasmInstance, Option<Memory>)> {
        let Environment { mut store, host, imports } = environment;
        let make = || anyhow::Ok(WasmInstance::new_by_index(&mut store, &linked.module, &imports)?);
        let instance = limit::making(make)?;
        let memory = instance.exports.get_memory("memory").ok().cloned();
        host.as_mut(&mut store).memory.clone_from(&memory);
        Ok((store, instance, memory))
    }

    /// Runs a command to its end.
    fn start(linked: &Linked, input: &[u8], streams: &Streams) -> Result<()> {
        let store = Store::new(linked.engine.clone());
        let wasi = streams.of_command(input)?;
        let environment = Environment::new(store, &linked.imported, wasi, None);
        let (mut store, instance, _) = Self::instance(linked, environment)?;
        let start = instance.exports.get_typed_function::<(), ()>(&store, START)?;
        Ok(start.call(&mut store)?)
    }

    fn load_precompiled(&self, path: &Path) -> Result<Module> {
        let engine = self.engine_of_module(EngineBuilder::headless());
        // SAFETY: the artifact was checked: it is what this engine's version compiled for this
        // architecture. wasmer compares the processor's features itself, and the artifact's
        // layout, which takes a sixth of the time.
        let module = unsafe { wasmer::Module::deserialize_from_file(&engine, path) };
        let module = module.map_err(|error| match std::fs::read(path) {
            Ok(bytes) if !Artifact::is_deserializable(&bytes) => {
                anyhow!("not a precompiled module")
            }
            _ => error.into(),
        });
        Ok(Module { module: module.with_context(|| path.display().to_string())?, engine })
    }

    #[cfg(feature = "compiler")]
    fn load_wasm(&self, path: &Path) -> Result<Module> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let engine = self.engine_of_module(compiler::builder(self.mode, self.metered));
        let module =
            compiler::compile(&engine, &bytes).with_context(|| path.display().to_string())?;
        Ok(Module { module, engine })
    }

    #[cfg(not(feature = "compiler"))]
    fn load_wasm(&self, path: &Path) -> Result<Module> {
        bail!("{}: this program links no compiler", path.display())
    }
}

impl Engine for Wasmer {
    type Module = Module;
    type Linked = Linked;
    type Environment = Environment;
    type Instance = Guest<Vm>;

    fn keep_state(&mut self, backend: Backend) -> Result<()> {
        self.state = Some(backend);
        Ok(())
    }

    fn settings(&self) -> Vec<String> {
        let settings = match self.mode {
            Mode::Aot | Mode::Jit => CRANELIFT,
            Mode::Singlepass => SINGLEPASS,
        };
        let version = format!("version={}", wasmer_compiler::VERSION);
        [version].into_iter().chain(settings.iter().map(|&setting| setting.to_owned())).collect()
    }

    #[cfg(feature = "compiler")]
    fn compile(&self, module: &[u8], target: &Target) -> Result<Compiled> {
        self.compile_for(module, target)
    }

    #[cfg(not(feature = "compiler"))]
    fn compile(&self, _module: &[u8], _target: &Target) -> Result<Compiled> {
        bail!("this program links no compiler")
    }

    fn load(&self, artifact: &Checked) -> Result<Module> {
        match self.mode {
            Mode::Aot => self.load_precompiled(artifact.path()),
            Mode::Jit | Mode::Singlepass => self.load_wasm(artifact.path()),
        }
    }

    fn link(&self, module: &Module) -> Result<Linked> {
        let Module { module, engine } = module;
        let imported = Imported::of(module)?;
        Ok(Linked { module: module.clone(), engine: engine.clone(), imported })
    }

    fn environment(&self, linked: &Linked) -> Result<Environment> {
        let store = Store::new(linked.engine.clone());
        let state = self.state.as_ref();
        let wasi = lumos_wasi::of_function(state)?;
        Ok(Environment::new(store, &linked.imported, wasi, state))
    }

    fn instantiate(&self, linked: &Linked, environment: Environment) -> Result<Guest<Vm>> {
        let (mut store, instance, memory) = Self::instance(linked, environment)?;
        let memory = memory.context("the module exports no memory")?;
        let exports = &instance.exports;
        let initialize = exports.get_typed_function::<(), ()>(&store, "_initialize")?;
        initialize.call(&mut store)?;
        let open = exports.get_typed_function::<(), u32>(&store, name::OPEN)?;
        let context = open.call(&mut store)?;
        let reserve = exports.get_typed_function(&store, name::RESERVE)?;
        Guest::new(Vm { instance, store, memory, reserve }, context)
    }

    fn is_command(&self, module: &Module) -> bool {
        let exports = |name: &str| module.module.exports().any(|export| export.name() == name);
        exports(START) && !exports(name::INVOKE)
    }

    fn run(
        &self,
        linked: &Linked,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError> {
        let command = CommandRequest::read(request)?;
        let streams = Streams::default();
        let outcome = Self::start(linked, command.stdin, &streams);
        let exit = match &outcome {
            Ok(()) => Some(0),
            Err(error) => trap_of(error).and_then(|trap| Some(trap.downcast_ref::<I32Exit>()?.0)),
        };
        // What wasmer says when it is shown goes on with a trace, which names addresses alone.
        let message = outcome.err().map(|error| match trap_of(&error) {
            Some(trap) => trap.message(),
            None => format!("{error:#}"),
        });
        // The store has gone, and with it the other owner of what was written.
        let [output, errors] = streams.into_bytes();
        command.end(exit, &message.unwrap_or_default(), &errors)?;
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

    #[cfg(feature = "compiler")]
    fn metered(&self) -> Result<Option<Self>> {
        let Self { mode, limit, state, .. } = self;
        Ok(Some(Self { mode: *mode, limit: limit.clone(), state: state.clone(), metered: true }))
    }

    #[cfg(feature = "compiler")]
    fn executed(&self, instance: &mut Guest<Vm>) -> Result<u64, InvokeError> {
        match self.metered {
            true => compiler::executed(&mut instance.vm.store, &instance.vm.instance),
            false => Err(fault(&"this engine counts no instructions")),
        }
    }

    fn clock_cost_ps(&self, instance: &mut Guest<Vm>) -> Result<u64, InvokeError> {
        instance.vm.clock_cost_ps()
    }
}

/// The trap that an error is of, in a start section or behind it.
fn trap_of(error: &anyhow::Error) -> Option<&RuntimeError> {
    error.downcast_ref().or_else(|| match error.downcast_ref()? {
        InstantiationError::Start(trap) => Some(trap),
        _ => None,
    })
}

#[cold]
fn fault(error: &impl std::fmt::Display) -> InvokeError {
    InvokeError::Fault(format!("{error:#}"))
}

/// What wasmer says when it is shown goes on with a trace, which names addresses alone.
#[cold]
fn trap(error: &RuntimeError) -> InvokeError {
    InvokeError::Fault(error.message())
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use super::*;

    /// A module that exports a memory of one page.
    pub const MEMORY: &[u8] = b"\0asm\x01\0\0\0\x05\x03\x01\0\x01\x07\x0a\x01\x06memory\x02\0";

    fn load_as_precompiled(bytes: &[u8]) -> Result<Module> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("precompiled");
        std::fs::write(&path, bytes)?;
        // SAFETY: nobody else knows of the file, and what is no artifact is refused unread.
        let artifact = unsafe { Checked::assume(path) };
        engine("wasmer-aot", &Limits::default())?.load(&artifact)
    }

    fn compile(target: &str) -> Result<Compiled> {
        let Ok(target) = target.parse();
        engine("wasmer-aot", &Limits::default())?.compile(MEMORY, &target)
    }

    #[test]
    fn what_was_compiled_for_this_processor_loads() {
        let compiled = compile("host").unwrap();
        assert!(load_as_precompiled(&compiled.bytes).is_ok());
        assert!(compiled.text_bytes < Some(compiled.bytes.len() as u64));
        assert_eq!(compile("host").unwrap(), compiled);
    }

    #[test]
    fn what_was_compiled_for_another_architecture_is_refused() {
        let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
        let compiled = compile(&format!("{other}-unknown-linux-gnu")).unwrap();
        let message = format!("{:#}", load_as_precompiled(&compiled.bytes).err().unwrap());
        assert!(message.contains("CPU Features needed for the artifact are missing"), "{message}");
    }

    #[test]
    fn garbage_is_refused() {
        let compiled = compile("host").unwrap().bytes;
        let cut = &compiled[..compiled.len() / 2];
        let hollow = [&compiled[..32], &vec![0xff; compiled.len() - 32]].concat();
        let garbage = [
            (&b""[..], "not a precompiled module"),
            (&b"garbage"[..], "not a precompiled module"),
            (MEMORY, "not a precompiled module"),
            (&b"\x7fELF and no more"[..], "not a precompiled module"),
            (cut, "invalid input bytes"),
            (&hollow, "corrupted binary"),
        ];
        for (bytes, words) in garbage {
            let message = format!("{:#}", load_as_precompiled(bytes).err().unwrap());
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn an_engine_needs_its_compiler() {
        for name in ["wasmer-aot", "wasmer-jit"] {
            assert!(engine(name, &Limits::default()).is_ok());
        }
        let singlepass = engine("wasmer-singlepass", &Limits::default());
        assert_eq!(singlepass.is_ok(), cfg!(feature = "singlepass"));
        let message = engine("wasmer-llvm", &Limits::default()).err().unwrap().to_string();
        assert!(message.contains("wasmer-llvm"), "{message}");
    }
}
