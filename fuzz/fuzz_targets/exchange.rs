//! What a function says of its buffers in linear memory, while it grows and rewrites it.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use lumos_abi::exports::name;
use lumos_bench::InvokeError;
use lumos_bench::guest::{Guest, Vm};

/// What a call of the function does to its memory.
#[derive(Debug, Arbitrary)]
struct Call {
    status: u32,
    traps: bool,
    grows_by: u16,
    /// Where it writes what.
    writes: Vec<(u32, u64)>,
}

#[derive(Debug, Arbitrary)]
struct Input {
    context: u32,
    memory: Vec<u8>,
    calls: Vec<Call>,
    requests: Vec<(Vec<u8>, Vec<u8>)>,
}

struct Memory {
    bytes: Vec<u8>,
    calls: std::vec::IntoIter<Call>,
}

impl Memory {
    fn next(&mut self) -> Result<u32, InvokeError> {
        let Some(call) = self.calls.next() else { return Ok(0) };
        self.bytes.resize(self.bytes.len() + usize::from(call.grows_by), 0);
        for (address, word) in call.writes {
            let at = address as usize % (self.bytes.len().max(8) - 7);
            if let Some(place) = self.bytes.get_mut(at..at + 8) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
        match call.traps {
            true => Err(InvokeError::Fault("trapped".into())),
            false => Ok(call.status),
        }
    }
}

impl Vm for Memory {
    type Entry = ();

    fn memory(&self) -> &[u8] {
        &self.bytes
    }

    fn memory_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn entry(&mut self, asked: &str) -> Result<(), InvokeError> {
        assert!([name::INVOKE, name::INVOKE_TIMED].contains(&asked));
        Ok(())
    }

    fn call(&mut self, _: &(), _: u32, _: u32) -> Result<u32, InvokeError> {
        self.next()
    }

    fn reserve(&mut self, _: u32, _: u32) -> Result<(), InvokeError> {
        self.next().map(drop)
    }

    fn clock_cost_ps(&mut self) -> Result<u64, InvokeError> {
        Ok(1)
    }
}

fuzz_target!(|input: Input| {
    let Input { context, memory, calls, requests } = input;
    // Half of all contexts lie in the memory.
    let context = match context % 2 {
        0 => context / 2 % (memory.len() as u32 + 1),
        _ => context,
    };
    let memory = Memory { bytes: memory, calls: calls.into_iter() };
    let Ok(mut guest) = Guest::new(memory, context) else { return };
    let mut response = Vec::new();
    for (head, body) in &requests {
        if let Ok(answer) = guest.answer([head, body]) {
            let (start, length) = (answer.as_ptr() as usize, answer.len());
            let memory = guest.vm.memory().as_ptr_range();
            assert!(memory.start as usize <= start && start + length <= memory.end as usize);
        }
        let _ = guest.invoke_timed(body, &mut response);
    }
});
