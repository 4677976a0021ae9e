//! The WASI functions that a module imports, and no others.
//!
//! wasmtime-wasi defines all of preview 1 at once, which takes a fresh process as long as
//! loading a small module. A function's module imports a handful, and so those are defined one
//! by one, from the same implementation; a module that imports more gets everything.

use lumos_bench::state;
use wasmtime::{AsContextMut, Caller, Extern, Linker, Module, Result};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as preview1, WasiSnapshotPreview1};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::runtime::in_tokio;
use wiggle::GuestMemory;

use crate::Host;

const MODULE: &str = "wasi_snapshot_preview1";

/// Defines what `module` imports.
///
/// # Errors
/// Those of wasmtime; an import that WASI does not have is found when the module is linked.
pub fn define_imports(linker: &mut Linker<Host>, module: &Module) -> Result<()> {
    for import in module.imports() {
        if import.module() == state::MODULE && define_state(linker, import.name())? {
            continue;
        }
        if import.module() != MODULE || !define(linker, import.name())? {
            // Those that are defined already are defined once more.
            linker.allow_shadowing(true);
            p1::add_to_linker_sync(linker, |host: &mut Host| &mut host.wasi)?;
            return module
                .imports()
                .filter(|import| import.module() == state::MODULE)
                .try_for_each(|import| define_state(linker, import.name()).map(drop));
        }
    }
    Ok(())
}

/// Defines one function of the state that the host keeps, if it is one.
fn define_state(linker: &mut Linker<Host>, name: &str) -> Result<bool> {
    match name {
        state::name::GET => linker.func_wrap(
            state::MODULE,
            name,
            |mut caller: Caller<'_, Host>, key: u32, key_bytes: u32| -> Result<i64> {
                let (memory, host) = memory_and_host(&mut caller)?;
                let key = state::slice(memory, key, key_bytes).map_err(wrong)?;
                Ok(host.state.get(key))
            },
        ),
        state::name::PUT => linker.func_wrap(
            state::MODULE,
            name,
            |mut caller: Caller<'_, Host>,
             key: u32,
             key_bytes: u32,
             value: u32,
             value_bytes: u32|
             -> Result<i64> {
                let (memory, host) = memory_and_host(&mut caller)?;
                let key = state::slice(memory, key, key_bytes).map_err(wrong)?;
                let value = state::slice(memory, value, value_bytes).map_err(wrong)?;
                Ok(host.state.put(key, value))
            },
        ),
        state::name::READ => linker.func_wrap(
            state::MODULE,
            name,
            |mut caller: Caller<'_, Host>, into: u32| -> Result<()> {
                let (memory, host) = memory_and_host(&mut caller)?;
                state::copy_last(&host.state, memory, into).map_err(wrong)
            },
        ),
        _ => return Ok(false),
    }?;
    Ok(true)
}

/// The caller's memory, and what the host keeps for it.
fn memory_and_host<'c>(caller: &'c mut Caller<'_, Host>) -> Result<(&'c mut [u8], &'c mut Host)> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        wasmtime::bail!("missing required memory export");
    };
    Ok(memory.data_and_store_mut(caller))
}

fn wrong(error: anyhow::Error) -> wasmtime::Error {
    wasmtime::format_err!("{error:#}")
}

/// Defines one function, if it is among those that Rust's standard library imports for a
/// program without files.
fn define(linker: &mut Linker<Host>, name: &str) -> Result<bool> {
    match name {
        "clock_time_get" => linker.func_wrap(
            MODULE,
            name,
            |mut caller: Caller<'_, Host>, clock: i32, precision: i64, time: i32| {
                call(&mut caller, |wasi, memory| {
                    preview1::clock_time_get(wasi, memory, clock, precision, time)
                })
            },
        ),
        "environ_get" => {
            linker.func_wrap(MODULE, name, |mut caller: Caller<'_, Host>, list: i32, text: i32| {
                call(&mut caller, |wasi, memory| preview1::environ_get(wasi, memory, list, text))
            })
        }
        "environ_sizes_get" => {
            linker.func_wrap(MODULE, name, |mut caller: Caller<'_, Host>, count: i32, size: i32| {
                call(&mut caller, |wasi, memory| {
                    preview1::environ_sizes_get(wasi, memory, count, size)
                })
            })
        }
        "fd_write" => linker.func_wrap(
            MODULE,
            name,
            |mut caller: Caller<'_, Host>, fd: i32, parts: i32, count: i32, written: i32| {
                call(&mut caller, |wasi, memory| {
                    in_tokio(preview1::fd_write(wasi, memory, fd, parts, count, written))
                })
            },
        ),
        "proc_exit" => linker.func_wrap(
            MODULE,
            name,
            |mut caller: Caller<'_, Host>, status: i32| -> Result<()> {
                call(&mut caller, |wasi, memory| preview1::proc_exit(wasi, memory, status))
            },
        ),
        "random_get" => {
            linker.func_wrap(MODULE, name, |mut caller: Caller<'_, Host>, at: i32, size: i32| {
                call(&mut caller, |wasi, memory| preview1::random_get(wasi, memory, at, size))
            })
        }
        _ => return Ok(false),
    }?;
    Ok(true)
}

/// Gives a function of WASI the caller's memory, as the code does that wasmtime-wasi generates.
fn call<T>(
    caller: &mut Caller<'_, Host>,
    function: impl FnOnce(&mut WasiP1Ctx, &mut GuestMemory<'_>) -> Result<T>,
) -> Result<T> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        wasmtime::bail!("missing required memory export");
    };
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (bytes, host) = memory.data_and_store_mut(caller);
    host.wasi.set_hostcall_fuel(fuel);
    function(&mut host.wasi, &mut GuestMemory::Unshared(bytes))
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use lumos_bench::{Engine as _, Limits};

    use super::*;

    /// A module that imports functions of two parameters and one result, by name, from WASI.
    fn importing(names: &[&str]) -> Vec<u8> {
        let named = |name: &str| [&[name.len() as u8], name.as_bytes()].concat();
        let import = |name: &&str| [named(MODULE), named(name), vec![0, 0]].concat();
        let imports: Vec<u8> = names.iter().flat_map(import).collect();
        let head = b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x02";
        let size = [imports.len() as u8 + 1, names.len() as u8];
        [&head[..], &size, &imports].concat()
    }

    fn link(names: &[&str]) -> anyhow::Result<()> {
        let engine = crate::engine("wasmtime-jit", &Limits::default())?;
        let module = Module::new(&engine.engine, importing(names)).map_err(crate::show)?;
        engine.link(&module).map(drop)
    }

    #[test]
    fn a_module_that_imports_more_gets_everything() {
        link(&["environ_get", "random_get"]).unwrap();
        link(&["environ_get", "args_sizes_get", "environ_sizes_get"]).unwrap();
    }

    #[test]
    fn an_import_that_wasi_does_not_have_is_named() {
        let message = link(&["environ_get", "environ_borrow"]).unwrap_err().to_string();
        assert!(message.contains("environ_borrow"), "{message}");
    }
}
