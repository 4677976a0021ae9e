//! A function in linear memory: the part of an invocation that all Wasm engines share.

use anyhow::{Context, Result};
use lumos_abi::Timings;
use lumos_abi::exports::{Context as Exported, Exchange, STATUS_OK};
use lumos_abi::worker::InvokeError;

/// Where a context's buffers lie in linear memory.
#[derive(Debug, Clone, Copy)]
pub struct GuestBuffer {
    /// The address of the context, to be passed to every export.
    pub context: u32,
    exchange: Exchange,
}

impl GuestBuffer {
    /// Reads the layout of the context that `lumos_open` returned.
    ///
    /// # Errors
    /// When the address is not inside `memory`.
    pub fn open(memory: &[u8], context: u32) -> Result<Self> {
        let exchange = read_exchange(memory, context)
            .context("the function's context lies outside its memory")?;
        Ok(Self { context, exchange })
    }

    // The methods of the hot path are inlined into an engine's crate: calling them would cost
    // more than what they do for a small request.

    /// Whether a request of that length needs `lumos_reserve` before it can be placed.
    #[inline]
    pub fn is_too_small(&self, request_bytes: usize) -> bool {
        self.exchange.request_capacity < request_bytes as u64
    }

    /// Copies a request of two parts to where the function expects it, and returns its length.
    ///
    /// # Errors
    /// When the buffer is too small, or the function says that it lies outside of `memory`.
    #[inline]
    pub fn place(&self, memory: &mut [u8], [head, body]: [&[u8]; 2]) -> Result<u32, InvokeError> {
        let bytes = head.len() + body.len();
        let length =
            u32::try_from(bytes).map_err(|_| fault("the request is longer than linear memory"))?;
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
    pub fn response<'m>(&self, memory: &'m [u8], status: u32) -> Result<&'m [u8], InvokeError> {
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
    pub fn timings(&self, memory: &[u8]) -> Result<Timings, InvokeError> {
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
