//! What the host offers to modules: WASI, and the state that it keeps for them. A module imports a
//! handful of functions, and those alone are defined for it.

use lumos_bench::state::{self, HostState};
use lumos_wasi::{GuestMemory, I32Exit, MODULE, WasiCtx, for_each_function, ready};
use wasmi::errors::LinkerError;
use wasmi::{Caller, Error, Extern, Linker, Module};

use crate::Host;

/// Defines what `module` imports.
///
/// # Errors
/// Those of wasmi; an import that the host does not have is found when the module is linked.
pub fn define_imports(linker: &mut Linker<Host>, module: &Module) -> Result<(), LinkerError> {
    // A module may import the same function twice.
    linker.allow_shadowing(true);
    module.imports().try_for_each(|import| match import.module() {
        MODULE => define_preview_1(linker, import.name()),
        state::MODULE => define_state(linker, import.name()),
        _ => Ok(()),
    })
}

/// Calls a function of the host with what the host keeps and the caller's memory.
fn with_memory<T>(
    caller: &mut Caller<'_, Host>,
    serve: impl FnOnce(&mut WasiCtx, &mut HostState, &mut [u8]) -> anyhow::Result<T>,
) -> Result<T, Error> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(Error::new("missing required memory export"));
    };
    let (memory, host) = memory.data_and_store_mut(caller);
    serve(&mut host.wasi, &mut host.state, memory).map_err(|error| {
        match error.downcast::<I32Exit>() {
            Ok(exit) => Error::i32_exit(exit.0),
            Err(error) => Error::new(format!("{error:#}")),
        }
    })
}

/// The functions of preview 1, by the name and the parameters that a module imports them with.
macro_rules! functions {
    ($($name:ident($($parameter:ident: $type:ty),*) -> $result:ty;)*) => {
        /// Defines the function of a name, if there is one.
        fn define_preview_1(
            linker: &mut Linker<Host>,
            name: &str,
        ) -> Result<(), LinkerError> {
            match name {
                $(stringify!($name) => {
                    let function = |
                        mut caller: Caller<'_, Host>,
                        $($parameter: $type),*
                    | -> Result<$result, Error> {
                        with_memory(&mut caller, |wasi, _, memory| {
                            let mut memory = GuestMemory::Unshared(memory);
                            ready(lumos_wasi::functions::$name(
                                wasi,
                                &mut memory,
                                $($parameter),*
                            ))
                        })
                    };
                    linker.func_wrap(MODULE, name, function).map(drop)
                })*
                _ => Ok(()),
            }
        }
    };
}

for_each_function!(functions);

/// Defines one function of the state that the host keeps, if it is one.
fn define_state(linker: &mut Linker<Host>, name: &str) -> Result<(), LinkerError> {
    match name {
        state::name::GET => {
            let get = |mut caller: Caller<'_, Host>, key: u32, key_bytes: u32| {
                with_memory(&mut caller, |_, state, memory| {
                    Ok(state.get(state::slice(memory, key, key_bytes)?))
                })
            };
            linker.func_wrap(state::MODULE, name, get)
        }
        state::name::PUT => {
            let put = |mut caller: Caller<'_, Host>,
                       key: u32,
                       key_bytes: u32,
                       value: u32,
                       value_bytes: u32| {
                with_memory(&mut caller, |_, state, memory| {
                    let key = state::slice(memory, key, key_bytes)?;
                    Ok(state.put(key, state::slice(memory, value, value_bytes)?))
                })
            };
            linker.func_wrap(state::MODULE, name, put)
        }
        state::name::READ => {
            let read = |mut caller: Caller<'_, Host>, into: u32| {
                with_memory(&mut caller, |_, state, memory| state::copy_last(state, memory, into))
            };
            linker.func_wrap(state::MODULE, name, read)
        }
        _ => return Ok(()),
    }
    .map(drop)
}

#[cfg(test)]
mod tests {
    use lumos_bench::{Engine as _, Limits};

    use super::*;

    #[test]
    fn a_module_gets_what_it_imports_also_twice() {
        // Each function has two parameters and a result.
        let named = |name: &str| [&[name.len() as u8], name.as_bytes()].concat();
        let import = |name: &&str| [named(MODULE), named(name), vec![0, 0]].concat();
        let module = |names: &[&str]| {
            let imports: Vec<u8> = names.iter().flat_map(import).collect();
            let head = b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x02";
            [&head[..], &[imports.len() as u8 + 1, names.len() as u8], &imports].concat()
        };
        let engine = crate::engine("wasmi-eager", &Limits::default()).unwrap();
        let parse = |names: &[&str]| Module::new(&engine.engine, module(names)).unwrap();
        let twice = parse(&["environ_get", "environ_get"]);
        assert!(engine.link(&twice).is_ok());
    }
}
