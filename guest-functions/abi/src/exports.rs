//! The exports that the shared library and the reactor have in common.
//!
//! A caller opens a context, writes a request where [`Exchange`] says (after making room
//! with `lumos_reserve` if need be), calls `lumos_invoke`, and reads the response where
//! [`Exchange`] says. So an invocation crosses the boundary once. A caller that wants to know
//! where the time goes calls `lumos_invoke_timed` instead, and finds [`Timings`] behind the
//! exchange. All fields are 64 bits wide on every target, so that the host reads one layout.

use crate::{Error, Function, Timings, invoke, invoke_timed};

/// The status that `lumos_invoke` returns when the response is the answer.
pub const STATUS_OK: u32 = 0;
/// The status that `lumos_invoke` returns when the response is an error's message.
pub const STATUS_ERROR: u32 = 1;

/// The names of the exports.
pub mod name {
    /// `fn() -> context`: makes a context.
    pub const OPEN: &str = "lumos_open";
    /// `fn(context, length: u32)`: makes room for a request of that length.
    pub const RESERVE: &str = "lumos_reserve";
    /// `fn(context, length: u32) -> status: u32`: serves the request.
    pub const INVOKE: &str = "lumos_invoke";
    /// `fn(context, length: u32) -> status: u32`: serves the request, and takes the time.
    pub const INVOKE_TIMED: &str = "lumos_invoke_timed";
    /// `fn() -> u64`: what one reading of the clock takes, in picoseconds.
    pub const CLOCK_COST: &str = "lumos_clock_cost";
    /// `fn(context)`: frees a context.
    pub const CLOSE: &str = "lumos_close";
}

/// What lies at the address of a context: where the buffers are.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The address of the request buffer.
    pub request_address: u64,
    /// How many bytes fit into it.
    pub request_capacity: u64,
    /// The address of the response of the last invocation.
    pub response_address: u64,
    /// Its length in bytes.
    pub response_length: u64,
}

impl Exchange {
    /// The size of the layout in bytes.
    pub const SIZE: usize = 32;

    /// Reads the layout from memory; Wasm and every supported host are little-endian.
    #[inline]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let field = |index: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
            u64::from_le_bytes(word)
        };
        Self {
            request_address: field(0),
            request_capacity: field(1),
            response_address: field(2),
            response_length: field(3),
        }
    }
}

/// A context: the layout above, the timings of the last invocation that took them, and the
/// buffers that the layout speaks of.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Context {
    exchange: Exchange,
    timings: Timings,
    request: Vec<u8>,
    response: Vec<u8>,
}

impl Context {
    /// Makes a context with room for a small request.
    pub fn open() -> *mut Self {
        let mut context = Box::new(Self::default());
        context.reserve(1024);
        Box::into_raw(context)
    }

    /// Makes room for a request of `length` bytes.
    pub fn reserve(&mut self, length: u32) {
        let length = length as usize;
        if self.request.len() < length {
            self.request.resize(length, 0);
        }
        // Hosts write through it.
        self.exchange.request_address = self.request.as_mut_ptr() as u64;
        self.exchange.request_capacity = self.request.len() as u64;
    }

    /// Where the timings lie, in bytes from the context's address.
    pub const TIMINGS_OFFSET: usize = Exchange::SIZE;

    /// Serves the request in the buffer's first `length` bytes, and returns the status.
    pub fn invoke<F: Function>(&mut self, length: u32) -> u32 {
        self.respond(length, invoke::<F>)
    }

    /// Does the same, and takes the time of its parts.
    pub fn invoke_timed<F: Function>(&mut self, length: u32) -> u32 {
        let mut timings = Timings::default();
        let status = self.respond(length, |request, response| {
            timings = invoke_timed::<F>(request, response)?;
            Ok(())
        });
        self.timings = timings;
        status
    }

    #[inline]
    fn respond(
        &mut self,
        length: u32,
        serve: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), Error>,
    ) -> u32 {
        self.response.clear();
        let outcome = match self.request.get(..length as usize) {
            Some(request) => serve(request, &mut self.response),
            None => Err(Error::new("the request is longer than its buffer")),
        };
        let status = match outcome {
            Ok(()) => STATUS_OK,
            Err(error) => {
                self.response.clear();
                self.response.extend_from_slice(error.0.as_bytes());
                STATUS_ERROR
            }
        };
        self.exchange.response_address = self.response.as_ptr() as u64;
        self.exchange.response_length = self.response.len() as u64;
        status
    }
}

/// Exports a [`Function`] from a `cdylib`: a shared library, or a WASI reactor.
#[macro_export]
macro_rules! export {
    ($function:ty) => {
        #[doc(hidden)]
        mod lumos_exports {
            use $crate::exports::Context;

            #[unsafe(no_mangle)]
            extern "C" fn lumos_open() -> *mut Context {
                Context::open()
            }

            /// The caller passes a context that `lumos_open` returned and nobody has closed.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn lumos_reserve(context: *mut Context, length: u32) {
                // SAFETY: the caller promises that the context is open, and uses it on one thread.
                unsafe { (*context).reserve(length) }
            }

            /// The caller passes a context that `lumos_open` returned and nobody has closed.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn lumos_invoke(context: *mut Context, length: u32) -> u32 {
                // SAFETY: as above.
                unsafe { (*context).invoke::<$function>(length) }
            }

            /// The caller passes a context that `lumos_open` returned and nobody has closed.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn lumos_invoke_timed(context: *mut Context, length: u32) -> u32 {
                // SAFETY: as above.
                unsafe { (*context).invoke_timed::<$function>(length) }
            }

            #[unsafe(no_mangle)]
            extern "C" fn lumos_clock_cost() -> u64 {
                $crate::clock_cost_ps()
            }

            /// The caller passes a context that `lumos_open` returned and nobody has closed.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn lumos_close(context: *mut Context) {
                // SAFETY: `lumos_open` has made it of a box, and nobody uses it after this.
                drop(unsafe { Box::from_raw(context) });
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_reads_back() {
        let exchange = Exchange {
            request_address: 1,
            request_capacity: u64::MAX,
            response_address: 3 << 40,
            response_length: 4,
        };
        assert_eq!(size_of::<Exchange>(), Exchange::SIZE);
        // SAFETY: plain integers without padding.
        let bytes: [u8; Exchange::SIZE] = unsafe { std::mem::transmute(exchange) };
        assert_eq!(Exchange::from_bytes(&bytes), exchange);
        assert_eq!(std::mem::offset_of!(Context, timings), Context::TIMINGS_OFFSET);
    }
}
