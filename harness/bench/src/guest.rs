//! A function in linear memory: the part of an invocation that all Wasm engines share.

use anyhow::{Context, Result};
use lumos_abi::Timings;
use lumos_abi::exports::{Context as Exported, Exchange, STATUS_OK, name};
use lumos_abi::worker::InvokeError;

/// An instance of a function, as an engine gives access to it. What all engines do with a request
/// stands in [`Guest`].
pub trait Vm {
    /// An export that serves requests.
    type Entry;

    /// The linear memory as it is now: the function may have grown it.
    fn memory(&self) -> &[u8];

    /// The same, to be written to.
    fn memory_mut(&mut self) -> &mut [u8];

    /// Looks up an export that serves requests.
    ///
    /// # Errors
    /// When there is none of that name and type.
    fn entry(&mut self, name: &str) -> Result<Self::Entry, InvokeError>;

    /// Calls it with a context and the length of a request, and gives its status.
    ///
    /// # Errors
    /// When the function traps.
    fn call(&mut self, entry: &Self::Entry, context: u32, length: u32) -> Result<u32, InvokeError>;

    /// Calls `lumos_reserve` with a context and the length of a request.
    ///
    /// # Errors
    /// When the function traps.
    fn reserve(&mut self, context: u32, length: u32) -> Result<(), InvokeError>;

    /// Calls `lumos_clock_cost`.
    ///
    /// # Errors
    /// When the function traps, or exports nothing of that name and type.
    fn clock_cost_ps(&mut self) -> Result<u64, InvokeError>;
}

/// An instance that serves requests.
pub struct Guest<V: Vm> {
    /// The instance.
    pub vm: V,
    buffer: GuestBuffer,
    invoke: V::Entry,
    /// What a request for timings calls, from the first such request on.
    timed: Option<V::Entry>,
}

impl<V: Vm> Guest<V> {
    /// Makes an instance ready whose `lumos_open` has given a context.
    ///
    /// # Errors
    /// When the context lies outside of the memory, or nothing serves requests.
    pub fn new(mut vm: V, context: u32) -> Result<Self> {
        let buffer = GuestBuffer::open(vm.memory(), context)?;
        let invoke = vm.entry(name::INVOKE)?;
        Ok(Self { vm, buffer, invoke, timed: None })
    }

    /// Serves a request of two parts, and gives the response where it lies.
    ///
    /// # Errors
    /// See [`InvokeError`].
    #[inline]
    pub fn answer(&mut self, request: [&[u8]; 2]) -> Result<&[u8], InvokeError> {
        let Self { vm, buffer, invoke, .. } = self;
        serve(vm, buffer, invoke, request)
    }

    /// Serves a request, and has the function take the time of its parts. What is called is looked
    /// up once, and never for a request without.
    ///
    /// # Errors
    /// As [`Guest::answer`].
    pub fn invoke_timed(
        &mut self,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        let Self { vm, buffer, timed, .. } = self;
        let entry = match timed {
            Some(entry) => entry,
            None => timed.insert(vm.entry(name::INVOKE_TIMED)?),
        };
        response.extend_from_slice(serve(vm, buffer, entry, [&[], request])?);
        buffer.timings(vm.memory())
    }
}

#[inline]
fn serve<'v, V: Vm>(
    vm: &'v mut V,
    buffer: &mut GuestBuffer,
    entry: &V::Entry,
    request: [&[u8]; 2],
) -> Result<&'v [u8], InvokeError> {
    let request_bytes = request[0].len() + request[1].len();
    if buffer.is_too_small(request_bytes) {
        make_room(vm, buffer, request_bytes)?;
    }
    // An empty request is nowhere: to look the memory up would take a tenth of a call of wasmtime.
    let length = match request_bytes {
        0 => 0,
        _ => buffer.place(vm.memory_mut(), request)?,
    };
    let status = vm.call(entry, buffer.context, length)?;
    buffer.response(vm.memory(), status)
}

fn make_room(vm: &mut impl Vm, buffer: &mut GuestBuffer, bytes: usize) -> Result<(), InvokeError> {
    let length = u32::try_from(bytes).map_err(|_| fault(TOO_LONG))?;
    vm.reserve(buffer.context, length)?;
    *buffer = GuestBuffer::open(vm.memory(), buffer.context)
        .map_err(|error| fault(&format!("{error:#}")))?;
    Ok(())
}

const TOO_LONG: &str = "the request is longer than linear memory";

/// Where a context's buffers lie in linear memory.
#[derive(Debug, Clone, Copy)]
struct GuestBuffer {
    /// The address of the context, to be passed to every export.
    context: u32,
    exchange: Exchange,
}

impl GuestBuffer {
    /// Reads the layout of the context that `lumos_open` returned.
    ///
    /// # Errors
    /// When the address is not inside `memory`.
    fn open(memory: &[u8], context: u32) -> Result<Self> {
        let exchange = read_exchange(memory, context)
            .context("the function's context lies outside its memory")?;
        Ok(Self { context, exchange })
    }

    // The methods of the hot path are inlined into an engine's crate: calling them would cost
    // more than what they do for a small request.

    /// Whether a request of that length needs `lumos_reserve` before it can be placed.
    #[inline]
    fn is_too_small(&self, request_bytes: usize) -> bool {
        self.exchange.request_capacity < request_bytes as u64
    }

    /// Copies a request of two parts to where the function expects it, and returns its length.
    ///
    /// # Errors
    /// When the buffer is too small, or the function says that it lies outside of `memory`.
    #[inline]
    fn place(&self, memory: &mut [u8], [head, body]: [&[u8]; 2]) -> Result<u32, InvokeError> {
        let bytes = head.len() + body.len();
        let length = u32::try_from(bytes).map_err(|_| fault(TOO_LONG))?;
        let start = usize::try_from(self.exchange.request_address).unwrap_or(usize::MAX);
        let buffer = start
            .checked_add(bytes)
            .and_then(|end| memory.get_mut(start..end))
            .filter(|_| !self.is_too_small(bytes))
            .ok_or_else(|| fault("the function's request buffer lies outside its memory"))?;
        let (for_head, for_body) = buffer.split_at_mut(head.len());
        for_head.copy_from_slice(head);
        for_body.copy_from_slice(body);
        Ok(length)
    }

    /// The response of an invocation that returned `status`, in the function's memory.
    ///
    /// # Errors
    /// The function's own message, when it refused the request.
    #[inline]
    fn response<'m>(&self, memory: &'m [u8], status: u32) -> Result<&'m [u8], InvokeError> {
        let exchange = read_exchange(memory, self.context)
            .ok_or_else(|| fault("the function's context lies outside its memory"))?;
        let bytes = usize::try_from(exchange.response_address)
            .ok()
            .zip(usize::try_from(exchange.response_length).ok())
            .and_then(|(start, length)| memory.get(start..start.checked_add(length)?))
            .ok_or_else(|| fault("the function's response lies outside its memory"))?;
        if status != STATUS_OK {
            return Err(refusal(bytes));
        }
        Ok(bytes)
    }

    /// The timings of the last invocation, which took them.
    ///
    /// # Errors
    /// When the function says that they lie outside of `memory`.
    fn timings(&self, memory: &[u8]) -> Result<Timings, InvokeError> {
        let start = self.context as usize + Exported::TIMINGS_OFFSET;
        let bytes = memory.get(start..).and_then(|rest| rest.first_chunk());
        bytes
            .map(Timings::from_bytes)
            .ok_or_else(|| fault("the function's timings lie outside its memory"))
    }
}

#[cold]
fn fault(message: &str) -> InvokeError {
    InvokeError::Fault(message.to_owned())
}

#[cold]
fn refusal(message: &[u8]) -> InvokeError {
    InvokeError::Refused(String::from_utf8_lossy(message).into_owned())
}

#[inline]
fn read_exchange(memory: &[u8], context: u32) -> Option<Exchange> {
    let bytes = memory.get(context as usize..)?.first_chunk::<{ Exchange::SIZE }>()?;
    Some(Exchange::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory whose context, at address 8, has a request buffer and a response.
    fn memory(request: (u64, u64), response: (u64, u64)) -> Vec<u8> {
        let mut memory = vec![0; 256];
        for (index, field) in [request.0, request.1, response.0, response.1].iter().enumerate() {
            memory[8 + index * 8..16 + index * 8].copy_from_slice(&field.to_le_bytes());
        }
        memory
    }

    #[test]
    fn a_request_is_placed_and_a_response_is_collected() {
        let mut memory = memory((64, 16), (128, 3));
        memory[128..131].copy_from_slice(b"yes");
        let buffer = GuestBuffer::open(&memory, 8).unwrap();
        assert_eq!(buffer.place(&mut memory, [b"re", b"quest"]).unwrap(), 7);
        assert_eq!(&memory[64..71], b"request");
        assert_eq!(buffer.response(&memory, STATUS_OK).unwrap(), b"yes");
        let refused = buffer.response(&memory, 1).unwrap_err();
        assert_eq!(refused, InvokeError::Refused("yes".into()));
    }

    #[test]
    fn a_function_that_lies_about_its_buffers_is_a_fault() {
        let lies =
            [((250, 16), (0, 0)), ((u64::MAX, 16), (u64::MAX, u64::MAX)), ((0, 2), (200, 99))];
        for (request, response) in lies {
            let mut memory = memory(request, response);
            let buffer = GuestBuffer::open(&memory, 8).unwrap();
            let outcome = buffer.place(&mut memory, [b"", b"request"]);
            assert!(matches!(outcome, Err(InvokeError::Fault(_))));
            if response.1 > 0 {
                let outcome = buffer.response(&memory, STATUS_OK);
                assert!(matches!(outcome, Err(InvokeError::Fault(_))));
            }
        }
        assert!(GuestBuffer::open(&[0; 8], 4).is_err());
        assert!(GuestBuffer::open(&[0; 8], u32::MAX).is_err());
    }
}
