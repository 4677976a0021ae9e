//! WASI preview 1, from wasi-common, which wasmi's is made of too: what differs between the two
//! is then the engine. A function gets no files, and streams that hold nothing.

use std::pin::pin;
use std::task::{Context as Task, Poll, Waker};

use anyhow::{Context, Result};
use lumos_bench::engine::{COMMAND, Output};
use lumos_bench::state::{self, Backend, HostState};
use wasi_common::pipe::{ReadPipe, WritePipe};
use wasi_common::snapshots::preview_1::wasi_snapshot_preview1;
use wasi_common::sync::{Dir, WasiCtxBuilder, ambient_authority};
use wasi_common::{I32Exit, WasiCtx};
use wasmer::{
    Extern, ExternType, Function, FunctionEnv, FunctionEnvMut, ImportType, Memory, Module,
    RuntimeError, Store,
};
use wiggle::GuestMemory;

const MODULE: &str = "wasi_snapshot_preview1";

/// Where a directory of values is opened for a function.
const STATE_DIRECTORY: &str = "/state";

/// Makes a function of the host in a store.
type Define = fn(&mut Store, &FunctionEnv<Host>) -> Function;

/// What a module imports, in its order.
#[derive(Clone)]
pub struct Imported(Vec<Define>);

impl Imported {
    /// What `module` imports.
    ///
    /// # Errors
    /// When an import is no function that is offered; the message names it.
    pub fn of(module: &Module) -> Result<Self> {
        let defines = module.imports().map(|import| {
            offered(&import).with_context(|| {
                let (module, name) = (import.module(), import.name());
                format!("unknown import `{name}` of `{module}`: a function gets those of {MODULE}")
            })
        });
        defines.collect::<Result<_>>().map(Self)
    }

    /// What a module imports that is not offered, as `module.name`.
    pub fn lacking(module: &Module) -> Vec<String> {
        let show = |import: ImportType| format!("{}.{}", import.module(), import.name());
        module.imports().filter(|import| offered(import).is_none()).map(show).collect()
    }

    /// The functions in a store.
    fn define(&self, store: &mut Store, host: &FunctionEnv<Host>) -> Vec<Extern> {
        self.0.iter().map(|define| define(store, host).into()).collect()
    }
}

/// What makes an import; none where it is unknown.
fn offered(import: &ImportType) -> Option<Define> {
    let is_function = matches!(import.ty(), ExternType::Function(_));
    match import.module() {
        MODULE => preview_1(import.name()),
        state::MODULE => kept_state(import.name()),
        _ => None,
    }
    .filter(|_| is_function)
}

/// What the host holds for one instance.
pub struct Environment {
    /// The store.
    pub store: Store,
    /// What is behind the functions of the host.
    pub host: FunctionEnv<Host>,
    /// What the module imports, in its order.
    pub imports: Vec<Extern>,
}

/// What the host keeps for an instance, behind its imports.
pub struct Host {
    wasi: WasiCtx,
    state: HostState,
    /// Set once the instance is made, if it exports one.
    pub memory: Option<Memory>,
}

impl Environment {
    /// An environment in a store of its own, with the function's state where it is kept.
    ///
    /// # Errors
    /// When the directory of a function's state cannot be opened.
    pub fn of_function(
        store: Store,
        imported: &Imported,
        backend: Option<&Backend>,
    ) -> Result<Self> {
        let mut wasi = WasiCtxBuilder::new();
        if let Some(backend) = backend {
            wasi.env(state::VARIABLE, &state::told(backend, STATE_DIRECTORY))?;
            if let Backend::Directory(path) = backend {
                let directory = Dir::open_ambient_dir(path, ambient_authority())
                    .with_context(|| path.display().to_string())?;
                wasi.preopened_dir(directory, STATE_DIRECTORY)?;
            }
        }
        Ok(Self::new(store, imported, wasi.build(), HostState::new(backend.cloned())))
    }

    /// The environment of a command, with its standard input, output and error.
    ///
    /// # Errors
    /// None that a command can cause.
    pub fn of_command(
        store: Store,
        imported: &Imported,
        input: &[u8],
        [output, errors]: [&WritePipe<Output>; 2],
    ) -> Result<Self> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.arg(COMMAND)?.stdin(Box::new(ReadPipe::from(input)));
        wasi.stdout(Box::new(output.clone())).stderr(Box::new(errors.clone()));
        Ok(Self::new(store, imported, wasi.build(), HostState::new(None)))
    }

    fn new(mut store: Store, imported: &Imported, wasi: WasiCtx, state: HostState) -> Self {
        let host = FunctionEnv::new(&mut store, Host { wasi, state, memory: None });
        let imports = imported.define(&mut store, &host);
        Self { store, host, imports }
    }
}

/// Calls a function of the host with what the host keeps and the caller's memory.
fn with_memory<T>(
    host: &mut FunctionEnvMut<'_, Host>,
    serve: impl FnOnce(&mut WasiCtx, &mut HostState, &mut [u8]) -> Result<T>,
) -> Result<T, RuntimeError> {
    let (host, store) = host.data_and_store_mut();
    let Host { wasi, state, memory } = host;
    let Some(memory) = memory else {
        return Err(RuntimeError::new("no memory is exported, or its module has yet to start"));
    };
    let view = memory.view(&store);
    // SAFETY: the store is borrowed, so that no code runs in it and the memory stays as it is.
    let bytes = unsafe { view.data_unchecked_mut() };
    serve(wasi, state, bytes).map_err(|error| match error.downcast::<I32Exit>() {
        Ok(exit) => RuntimeError::user(Box::new(exit)),
        Err(error) => RuntimeError::new(format!("{error:#}")),
    })
}

/// The outcome of a function of wasi-common's. Of those that do not run beside others, each is
/// ready when it is first asked.
fn ready<T>(outcome: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(outcome).poll(&mut Task::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => anyhow::bail!("a function of WASI waits for something"),
    }
}

/// The functions of preview 1, by the name and the parameters that a module imports them with.
macro_rules! functions {
    ($($name:ident($($parameter:ident: $type:ty),*) -> $result:ty;)*) => {
        /// What makes the function of a name.
        fn preview_1(name: &str) -> Option<Define> {
            match name {
                $(stringify!($name) => Some(|store, host| {
                    let function = |
                        mut host: FunctionEnvMut<'_, Host>,
                        $($parameter: $type),*
                    | -> Result<$result, RuntimeError> {
                        with_memory(&mut host, |wasi, _, memory| {
                            let mut memory = GuestMemory::Unshared(memory);
                            ready(wasi_snapshot_preview1::$name(
                                wasi,
                                &mut memory,
                                $($parameter),*
                            ))
                        })
                    };
                    Function::new_typed_with_env(store, host, function)
                }),)*
                _ => None,
            }
        }

        #[cfg(test)]
        const PREVIEW_1: &[&str] = &[$(stringify!($name)),*];
    };
}

functions! {
    args_get(a: i32, b: i32) -> i32;
    args_sizes_get(a: i32, b: i32) -> i32;
    clock_res_get(a: i32, b: i32) -> i32;
    clock_time_get(a: i32, b: i64, c: i32) -> i32;
    environ_get(a: i32, b: i32) -> i32;
    environ_sizes_get(a: i32, b: i32) -> i32;
    fd_advise(a: i32, b: i64, c: i64, d: i32) -> i32;
    fd_allocate(a: i32, b: i64, c: i64) -> i32;
    fd_close(a: i32) -> i32;
    fd_datasync(a: i32) -> i32;
    fd_fdstat_get(a: i32, b: i32) -> i32;
    fd_fdstat_set_flags(a: i32, b: i32) -> i32;
    fd_fdstat_set_rights(a: i32, b: i64, c: i64) -> i32;
    fd_filestat_get(a: i32, b: i32) -> i32;
    fd_filestat_set_size(a: i32, b: i64) -> i32;
    fd_filestat_set_times(a: i32, b: i64, c: i64, d: i32) -> i32;
    fd_pread(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32;
    fd_prestat_dir_name(a: i32, b: i32, c: i32) -> i32;
    fd_prestat_get(a: i32, b: i32) -> i32;
    fd_pwrite(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32;
    fd_read(a: i32, b: i32, c: i32, d: i32) -> i32;
    fd_readdir(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32;
    fd_renumber(a: i32, b: i32) -> i32;
    fd_seek(a: i32, b: i64, c: i32, d: i32) -> i32;
    fd_sync(a: i32) -> i32;
    fd_tell(a: i32, b: i32) -> i32;
    fd_write(a: i32, b: i32, c: i32, d: i32) -> i32;
    path_create_directory(a: i32, b: i32, c: i32) -> i32;
    path_filestat_get(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32;
    path_filestat_set_times(a: i32, b: i32, c: i32, d: i32, e: i64, f: i64, g: i32) -> i32;
    path_link(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32) -> i32;
    path_open(a: i32, b: i32, c: i32, d: i32, e: i32, f: i64, g: i64, h: i32, i: i32) -> i32;
    path_readlink(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32;
    path_remove_directory(a: i32, b: i32, c: i32) -> i32;
    path_rename(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32;
    path_symlink(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32;
    path_unlink_file(a: i32, b: i32, c: i32) -> i32;
    poll_oneoff(a: i32, b: i32, c: i32, d: i32) -> i32;
    proc_exit(a: i32) -> ();
    proc_raise(a: i32) -> i32;
    random_get(a: i32, b: i32) -> i32;
    sched_yield() -> i32;
    sock_accept(a: i32, b: i32, c: i32) -> i32;
    sock_recv(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32;
    sock_send(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32;
    sock_shutdown(a: i32, b: i32) -> i32;
}

/// What makes the functions for state that the host keeps.
fn kept_state(name: &str) -> Option<Define> {
    match name {
        state::name::GET => Some(|store, host| {
            let get = |mut host: FunctionEnvMut<'_, Host>, key: u32, key_bytes: u32| {
                with_memory(&mut host, |_, state, memory| {
                    Ok(state.get(state::slice(memory, key, key_bytes)?))
                })
            };
            Function::new_typed_with_env(store, host, get)
        }),
        state::name::PUT => Some(|store, host| {
            let put = |mut host: FunctionEnvMut<'_, Host>,
                       key: u32,
                       key_bytes: u32,
                       value: u32,
                       value_bytes: u32| {
                with_memory(&mut host, |_, state, memory| {
                    let key = state::slice(memory, key, key_bytes)?;
                    Ok(state.put(key, state::slice(memory, value, value_bytes)?))
                })
            };
            Function::new_typed_with_env(store, host, put)
        }),
        state::name::READ => Some(|store, host| {
            let read = |mut host: FunctionEnvMut<'_, Host>, into: u32| {
                with_memory(&mut host, |_, state, memory| state::copy_last(state, memory, into))
            };
            Function::new_typed_with_env(store, host, read)
        }),
        _ => None,
    }
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
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
    fn a_module_gets_what_it_imports_and_no_more() {
        for names in [&["fd_close", "environ_get"][..], &[]] {
            let (wasmer, linked) = link(names).unwrap();
            assert_eq!(wasmer.environment(&linked).unwrap().imports.len(), names.len());
        }
    }

    /// The list is that of the specification, which has one function for each name.
    #[test]
    fn every_function_of_preview_1_is_there_once() {
        let names: std::collections::BTreeSet<&str> = PREVIEW_1.iter().copied().collect();
        assert_eq!((names.len(), PREVIEW_1.len()), (46, 46));
        assert!(PREVIEW_1.iter().all(|name| preview_1(name).is_some()));
    }
}
