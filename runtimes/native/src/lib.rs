//! The native control: a function's shared library behind the interface of the Wasm engines.
//!
//! It copies requests in and responses out as a Wasm engine does, so that what differs is the
//! code alone. It offers no isolation: a function that breaks takes the process with it.

use std::ptr::NonNull;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use lumos_abi::Timings;
use lumos_abi::exports::{Context, Exchange, STATUS_OK, name};
use lumos_bench::{Checked, Engine, InvokeError, Limits};

/// The engine that is none: the dynamic linker.
#[derive(Debug)]
pub struct Native;

/// The engine of a name; there is one, `native`.
///
/// Memory is limited by the resource limits of the process alone.
///
/// # Errors
/// When the name is another.
pub fn engine(name: &str, _limits: &Limits) -> Result<Native> {
    match name {
        "native" => Ok(Native),
        _ => bail!("this crate has no engine `{name}`"),
    }
}

/// The exports of a loaded library.
#[derive(Debug, Clone, Copy)]
struct Exports {
    open: unsafe extern "C" fn() -> *mut Context,
    reserve: unsafe extern "C" fn(*mut Context, u32),
    invoke: unsafe extern "C" fn(*mut Context, u32) -> u32,
    invoke_timed: unsafe extern "C" fn(*mut Context, u32) -> u32,
    clock_cost: unsafe extern "C" fn() -> u64,
    close: unsafe extern "C" fn(*mut Context),
}

/// A library whose exports are resolved. It keeps the library loaded.
#[derive(Debug)]
pub struct Linked {
    exports: Exports,
    library: Arc<Library>,
}

/// A context of the function, and the library that its code is in.
#[derive(Debug)]
pub struct Instance {
    exports: Exports,
    context: NonNull<Context>,
    _library: Arc<Library>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: `open` returned the context, and the library is still loaded.
        unsafe { (self.exports.close)(self.context.as_ptr()) };
    }
}

impl Instance {
    fn exchange(&self) -> Exchange {
        // SAFETY: a context begins with its exchange, which only calls of its exports change.
        unsafe { self.context.cast::<Exchange>().read() }
    }

    #[inline]
    fn serve(
        &mut self,
        entry: unsafe extern "C" fn(*mut Context, u32) -> u32,
        [head, body]: [&[u8]; 2],
    ) -> Result<&[u8], InvokeError> {
        let length = u32::try_from(head.len() + body.len())
            .map_err(|_| InvokeError::Fault("the request is longer than 4 GiB".to_owned()))?;
        let context = self.context.as_ptr();
        if self.exchange().request_capacity < u64::from(length) {
            // SAFETY: the context is open.
            unsafe { (self.exports.reserve)(context, length) };
        }
        let buffer = self.exchange().request_address as *mut u8;
        // SAFETY: the context has room for the request, which `reserve` made sure of; the
        // response lies where the exchange says until the next call.
        let (status, bytes) = unsafe {
            buffer.copy_from_nonoverlapping(head.as_ptr(), head.len());
            buffer.add(head.len()).copy_from_nonoverlapping(body.as_ptr(), body.len());
            let status = entry(context, length);
            let exchange = self.exchange();
            let start = exchange.response_address as *const u8;
            (status, std::slice::from_raw_parts(start, exchange.response_length as usize))
        };
        if status != STATUS_OK {
            return Err(InvokeError::Refused(String::from_utf8_lossy(bytes).into_owned()));
        }
        Ok(bytes)
    }
}

impl Engine for Native {
    type Module = Arc<Library>;
    type Linked = Linked;
    type Environment = ();
    type Instance = Instance;

    fn load(&self, artifact: &Checked) -> Result<Self::Module> {
        let path = artifact.path();
        // All symbols are bound now: lazy binding would be timed as a part of the first call.
        // SAFETY: the artifact is what the build made of the function's source.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
        Ok(Arc::new(library.with_context(|| path.display().to_string())?))
    }

    fn link(&self, library: &Self::Module) -> Result<Linked> {
        // SAFETY: these are the signatures that `lumos_abi::export!` gives the symbols.
        let exports = unsafe {
            Exports {
                open: *library.get(name::OPEN.as_bytes())?,
                reserve: *library.get(name::RESERVE.as_bytes())?,
                invoke: *library.get(name::INVOKE.as_bytes())?,
                invoke_timed: *library.get(name::INVOKE_TIMED.as_bytes())?,
                clock_cost: *library.get(name::CLOCK_COST.as_bytes())?,
                close: *library.get(name::CLOSE.as_bytes())?,
            }
        };
        Ok(Linked { exports, library: Arc::clone(library) })
    }

    fn environment(&self, _linked: &Linked) -> Result<()> {
        Ok(())
    }

    fn instantiate(&self, linked: &Linked, (): ()) -> Result<Instance> {
        let exports = linked.exports;
        // SAFETY: the export takes nothing, and its library is loaded.
        let context = NonNull::new(unsafe { (exports.open)() })
            .context("the function did not open a context")?;
        Ok(Instance { exports, context, _library: Arc::clone(&linked.library) })
    }

    #[inline]
    fn answer<'i>(
        &self,
        instance: &'i mut Instance,
        request: [&[u8]; 2],
    ) -> Result<&'i [u8], InvokeError> {
        instance.serve(instance.exports.invoke, request)
    }

    fn invoke_timed(
        &self,
        instance: &mut Instance,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        let timed = instance.exports.invoke_timed;
        response.extend_from_slice(instance.serve(timed, [&[], request])?);
        // SAFETY: the timings lie in the context, which is open, and only its calls change them.
        Ok(unsafe { instance.context.byte_add(Context::TIMINGS_OFFSET).cast::<Timings>().read() })
    }

    fn clock_cost_ps(&self, instance: &mut Instance) -> Result<u64, InvokeError> {
        // SAFETY: the export takes nothing, and its library is loaded.
        Ok(unsafe { (instance.exports.clock_cost)() })
    }
}
