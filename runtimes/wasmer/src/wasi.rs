//! WASI, from wasmer-wasix: a function gets preview 1, no files, and streams that hold nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use lumos_bench::engine::COMMAND;
use lumos_bench::state::{self, Backend, HostState};
use wasmer::{
    ExternType, Function, FunctionEnv, FunctionEnvMut, ImportType, Imports, Memory, Module,
    RuntimeError, Store,
};
use wasmer_wasix::runtime::task_manager::TaskWasm;
use wasmer_wasix::virtual_fs::{EmptyFileSystem, FileSystem, NullFile};
use wasmer_wasix::{
    PluggableRuntime, Runtime, VirtualTaskManager, WasiEnv, WasiEnvBuilder, WasiFunctionEnv,
    WasiThreadError,
};

use crate::files::Directory;
use crate::streams::Stream;

const MODULE: &str = "wasi_snapshot_preview1";

/// The functions of preview 1. wasmer-wasix tells them only from inside a store, and an import
/// that is not among them is to be found before there is one.
const FUNCTIONS: [&str; 46] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// What a module imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Imported {
    /// Nothing at all.
    Nothing,
    /// Functions of preview 1.
    Preview1,
    /// Functions of preview 1, and state that the host keeps.
    Preview1AndState,
}

impl Imported {
    /// What `module` imports.
    ///
    /// # Errors
    /// When an import is no function of preview 1; the message names it.
    pub fn of(module: &Module) -> Result<Self> {
        let mut imported = Self::Nothing;
        for import in module.imports() {
            let offered = Self::offered(&import).with_context(|| {
                let (module, name) = (import.module(), import.name());
                format!("unknown import `{name}` of `{module}`: a function gets those of {MODULE}")
            })?;
            imported = imported.max(offered);
        }
        Ok(imported)
    }

    /// What is offered as an import; none where it is unknown.
    fn offered(import: &ImportType) -> Option<Self> {
        let is_function = matches!(import.ty(), ExternType::Function(_));
        match import.module() {
            MODULE if FUNCTIONS.contains(&import.name()) => Some(Self::Preview1),
            state::MODULE if state::name::ALL.contains(&import.name()) => {
                Some(Self::Preview1AndState)
            }
            _ => None,
        }
        .filter(|_| is_function)
    }

    /// What a module imports that is not offered, as `module.name`.
    pub fn lacking(module: &Module) -> Vec<String> {
        let lacks = |import: &ImportType| Self::offered(import).is_none();
        let show = |import: ImportType| format!("{}.{}", import.module(), import.name());
        module.imports().filter(lacks).map(show).collect()
    }
}

/// What the host holds for one instance.
pub struct Environment {
    /// The store.
    pub store: Store,
    /// The state of WASI.
    pub wasi: WasiFunctionEnv,
    /// The functions of WASI in that store.
    pub imports: Imports,
    /// What the host keeps of the function's state, where the module imports that.
    pub host: Option<FunctionEnv<Host>>,
}

/// What all instances share of WASI.
#[derive(Clone)]
pub struct Wasi {
    runtime: Arc<dyn Runtime + Send + Sync>,
    files: Arc<dyn FileSystem + Send + Sync>,
    state: Option<Backend>,
}

/// What the host keeps for an instance, behind its imports.
pub struct Host {
    state: HostState,
    /// Set once the instance is made.
    pub memory: Option<Memory>,
}

impl Wasi {
    /// Sets up what is shared.
    pub fn new() -> Self {
        Self {
            runtime: Arc::new(PluggableRuntime::new(Arc::new(NoTasks))),
            files: Arc::new(EmptyFileSystem::default()),
            state: None,
        }
    }

    /// Says where functions find their state.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn keep_state(&mut self, backend: Backend) -> Result<()> {
        if let Backend::Directory(path) = &backend {
            let files = Directory::open(path).with_context(|| path.display().to_string())?;
            self.files = Arc::new(files);
        }
        self.state = Some(backend);
        Ok(())
    }

    /// An environment in a store of its own.
    ///
    /// # Errors
    /// Those of wasmer-wasix.
    pub fn environment(
        &self,
        store: Store,
        module: &Module,
        imported: Imported,
    ) -> Result<Environment> {
        let builder = WasiEnv::builder("function")
            .runtime(Arc::clone(&self.runtime))
            .fs(Arc::clone(&self.files))
            .stdin(Box::new(NullFile::default()))
            .stdout(Box::new(NullFile::default()))
            .stderr(Box::new(NullFile::default()));
        self.build(builder, store, module, imported)
    }

    /// The environment of a command, with its standard input, output and error.
    ///
    /// # Errors
    /// Those of wasmer-wasix.
    pub fn of_command(
        &self,
        store: Store,
        module: &Module,
        imported: Imported,
        [input, output, errors]: [&Stream; 3],
    ) -> Result<Environment> {
        let builder = WasiEnv::builder(COMMAND)
            .runtime(Arc::clone(&self.runtime))
            .fs(Arc::clone(&self.files))
            .stdin(Box::new(input.clone()))
            .stdout(Box::new(output.clone()))
            .stderr(Box::new(errors.clone()));
        self.build(builder, store, module, imported)
    }

    fn build(
        &self,
        mut builder: WasiEnvBuilder,
        mut store: Store,
        module: &Module,
        imported: Imported,
    ) -> Result<Environment> {
        if let Some(hash) = module.info().hash {
            builder.set_module_hash(hash);
        }
        if let Some(backend) = &self.state {
            builder.add_env(state::VARIABLE, state::told(backend, STATE_DIRECTORY));
            if let Backend::Directory(_) = backend {
                // The root of the files that it has is the directory itself.
                builder.add_map_dir(STATE_DIRECTORY, "/")?;
            }
        }
        let wasi = WasiFunctionEnv::new(&mut store, builder.build()?);
        let mut imports = match imported {
            Imported::Nothing => Imports::new(),
            Imported::Preview1 | Imported::Preview1AndState => {
                wasi.import_object(&mut store, module)?
            }
        };
        let host = (imported == Imported::Preview1AndState).then(|| {
            let host = Host { state: HostState::new(self.state.clone()), memory: None };
            let host = FunctionEnv::new(&mut store, host);
            define_state(&mut imports, &mut store, &host);
            host
        });
        Ok(Environment { store, wasi, imports, host })
    }
}

/// Where a directory of values is opened for a function.
const STATE_DIRECTORY: &str = "/state";

/// Defines the state that the host keeps.
fn define_state(imports: &mut Imports, store: &mut Store, host: &FunctionEnv<Host>) {
    let get = |mut host: FunctionEnvMut<'_, Host>, key: u32, key_bytes: u32| {
        with_memory(&mut host, |state, memory| Ok(state.get(state::slice(memory, key, key_bytes)?)))
    };
    let put = |mut host: FunctionEnvMut<'_, Host>,
               key: u32,
               key_bytes: u32,
               value: u32,
               value_bytes: u32| {
        with_memory(&mut host, |state, memory| {
            let key = state::slice(memory, key, key_bytes)?;
            Ok(state.put(key, state::slice(memory, value, value_bytes)?))
        })
    };
    let read = |mut host: FunctionEnvMut<'_, Host>, into: u32| {
        with_memory(&mut host, |state, memory| state::copy_last(state, memory, into))
    };
    let functions = [
        (state::name::GET, Function::new_typed_with_env(store, host, get)),
        (state::name::PUT, Function::new_typed_with_env(store, host, put)),
        (state::name::READ, Function::new_typed_with_env(store, host, read)),
    ];
    for (name, function) in functions {
        imports.define(state::MODULE, name, function);
    }
}

/// Gives a function of the host its state and the caller's memory.
fn with_memory<T>(
    host: &mut FunctionEnvMut<'_, Host>,
    serve: impl FnOnce(&mut HostState, &mut [u8]) -> Result<T>,
) -> Result<T, RuntimeError> {
    let (host, store) = host.data_and_store_mut();
    let Host { state, memory } = host;
    let Some(memory) = memory else { return Err(RuntimeError::new("no memory yet")) };
    let view = memory.view(&store);
    // SAFETY: the store is borrowed, so that no code runs in it and the memory stays as it is.
    let bytes = unsafe { view.data_unchecked_mut() };
    serve(state, bytes).map_err(|error| RuntimeError::new(format!("{error:#}")))
}

/// Runs nothing beside a function: it has one thread, and cannot start another.
///
/// With wasmer-wasix's own way to run tasks, a process would hold the threads of a tokio
/// runtime for what no function does.
#[derive(Debug)]
struct NoTasks;

impl VirtualTaskManager for NoTasks {
    fn sleep_now(
        &self,
        time: Duration,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync + 'static>> {
        Box::pin(async move { std::thread::sleep(time) })
    }

    fn task_shared(
        &self,
        _task: Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>,
    ) -> Result<(), WasiThreadError> {
        Err(WasiThreadError::Unsupported)
    }

    fn task_wasm(&self, _task: TaskWasm) -> Result<(), WasiThreadError> {
        Err(WasiThreadError::Unsupported)
    }

    fn task_dedicated(
        &self,
        _task: Box<dyn FnOnce() + Send + 'static>,
    ) -> Result<(), WasiThreadError> {
        Err(WasiThreadError::Unsupported)
    }

    fn thread_parallelism(&self) -> Result<usize, WasiThreadError> {
        Ok(1)
    }
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use std::collections::BTreeSet;

    use lumos_bench::{Engine as _, Limits};

    use super::*;
    use crate::{Linked, Mode, Wasmer, compiler};

    /// A module that imports functions of two parameters and one result, by name, from WASI.
    fn importing(names: &[&str]) -> Vec<u8> {
        let named = |name: &str| [&[name.len() as u8], name.as_bytes()].concat();
        let import = |name: &&str| [named(MODULE), named(name), vec![0, 0]].concat();
        let imports: Vec<u8> = names.iter().flat_map(import).collect();
        let head = b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x02";
        let size = [imports.len() as u8 + 1, names.len() as u8];
        [&head[..], &size, &imports].concat()
    }

    fn link(names: &[&str]) -> Result<(Wasmer, Linked)> {
        let wasmer = crate::engine("wasmer-jit", &Limits::default())?;
        let engine = wasmer.engine_of_module(compiler::builder(Mode::Jit, false));
        let module = compiler::compile(&engine, &importing(names))?;
        let linked = wasmer.link(&crate::Module { module, engine })?;
        Ok((wasmer, linked))
    }

    #[test]
    fn an_import_that_wasi_does_not_have_is_named() {
        let message = link(&["environ_get", "environ_borrow"]).err().unwrap().to_string();
        assert!(message.contains("environ_borrow"), "{message}");
    }

    #[test]
    fn the_functions_are_those_of_the_library() {
        let (wasmer, linked) = link(&["environ_get"]).unwrap();
        let environment = wasmer.environment(&linked).unwrap();
        let defined: BTreeSet<String> = environment
            .imports
            .into_iter()
            .filter(|((module, _), _)| module == MODULE)
            .map(|((_, name), _)| name)
            // An extension, which needs a memory that threads share.
            .filter(|name| name != "thread-spawn")
            .collect();
        assert_eq!(defined, FUNCTIONS.map(str::to_owned).into());
    }

    #[test]
    fn a_module_without_imports_gets_none() {
        let (wasmer, linked) = link(&[]).unwrap();
        assert!(wasmer.environment(&linked).unwrap().imports.into_iter().next().is_none());
    }
}
