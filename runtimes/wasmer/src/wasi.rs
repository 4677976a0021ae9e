//! What the host offers to modules: WASI, and the state that it keeps for them.

use anyhow::{Context, Result};
use lumos_bench::state::{self, Backend, HostState};
use lumos_wasi::{GuestMemory, I32Exit, MODULE, WasiCtx, for_each_function, ready};
use wasmer::{
    Extern, ExternType, Function, FunctionEnv, FunctionEnvMut, ImportType, Memory, Module,
    RuntimeError, Store,
};

use crate::limit;

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
    /// An environment in a store: with WASI, and with the function's state where it is kept.
    pub fn new(
        mut store: Store,
        imported: &Imported,
        wasi: WasiCtx,
        state: Option<&Backend>,
    ) -> Self {
        let state = HostState::new(state.cloned());
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
    let view = memory.as_ref().map(|memory| memory.view(&store));
    let bytes = match &view {
        // SAFETY: the store is borrowed, so that no code runs in it and the memory stays as it is.
        Some(view) => unsafe { view.data_unchecked_mut() },
        // SAFETY: an instance that is being made has called, and waits.
        None => unsafe { limit::in_the_making() }
            .ok_or_else(|| RuntimeError::new("missing required memory export"))?,
    };
    serve(wasi, state, bytes).map_err(|error| match error.downcast::<I32Exit>() {
        Ok(exit) => RuntimeError::user(Box::new(exit)),
        Err(error) => RuntimeError::new(format!("{error:#}")),
    })
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
                            ready(lumos_wasi::functions::$name(
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
    };
}

for_each_function!(functions);

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
}
