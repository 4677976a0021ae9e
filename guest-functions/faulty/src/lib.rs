//! Misbehaves as its request tells it to, so that tests can see what becomes of the worker,
//! the sandbox and the records. It is never benchmarked.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use lumos_abi::{Error, Function};

/// The function. It takes the name of a [`Fault`] and, where it comes to a response, gives a
/// line of text.
#[derive(Debug)]
pub struct Faulty;

lumos_abi::export!(crate::Faulty);

/// A way to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers `ok`: the case that all others are compared with.
    Ok,
    /// Computes for ever.
    Loop,
    /// Takes memory until there is no more, and aborts.
    Grow,
    /// Panics.
    Panic,
    /// Calls itself until the stack is exhausted.
    Recurse,
    /// Refuses the request, as a function does with one that is malformed.
    Refuse,
    /// Ends the process with status 3.
    Exit,
    /// Gives another answer to every request.
    Differ,
}

impl Fault {
    /// Every fault with the request that selects it.
    pub const ALL: [(&str, Self); 8] = [
        ("ok", Self::Ok),
        ("loop", Self::Loop),
        ("grow", Self::Grow),
        ("panic", Self::Panic),
        ("recurse", Self::Recurse),
        ("refuse", Self::Refuse),
        ("exit", Self::Exit),
        ("differ", Self::Differ),
    ];
}

impl Function for Faulty {
    type Input<'r> = Fault;
    type Output<'r> = String;

    fn decode(request: &[u8]) -> Result<Fault, Error> {
        let request = request.trim_ascii();
        let found = Fault::ALL.iter().find(|(name, _)| name.as_bytes() == request);
        found.map(|(_, fault)| *fault).ok_or_else(|| {
            let names: Vec<&str> = Fault::ALL.iter().map(|(name, _)| *name).collect();
            Error(format!("no such fault: known are {}", names.join(", ")))
        })
    }

    fn compute(fault: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        match fault {
            Fault::Ok => Ok("ok".to_owned()),
            Fault::Loop => spin(),
            Fault::Grow => grow(),
            Fault::Panic => panic!("the request asked for a panic"),
            Fault::Recurse => Ok(recurse(0).to_string()),
            Fault::Refuse => Err(Error::new("the request asked to be refused")),
            Fault::Exit => std::process::exit(3),
            Fault::Differ => Ok(differ()),
        }
    }

    fn encode(output: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        response.extend_from_slice(output.as_bytes());
        Ok(())
    }
}

/// Never returns, and keeps the processor busy.
fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// What [`grow`] takes at most. A module with 32-bit addresses cannot have more; native code
/// could, and would take the node down with it where no limit is set.
const LARGEST_GROWTH_BYTES: u64 = 4 << 30;
const BLOCK_BYTES: u32 = 16 << 20;
/// No target has smaller pages, so a write per step reaches all of them.
const PAGE_BYTES: u32 = 4096;

/// Takes memory, block by block, until the allocator refuses; then aborts.
fn grow() -> ! {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut taken_bytes = 0;
    while taken_bytes < LARGEST_GROWTH_BYTES {
        let mut block: Vec<u8> = Vec::new();
        if block.try_reserve_exact(BLOCK_BYTES as usize).is_err() {
            break;
        }
        // Memory that nobody has written to is only promised, and counts against no limit.
        let spare = block.spare_capacity_mut();
        for page in spare.chunks_mut(PAGE_BYTES as usize) {
            page[0].write(1);
        }
        blocks.push(black_box(block));
        taken_bytes += u64::from(BLOCK_BYTES);
    }
    black_box(&blocks);
    std::process::abort()
}

/// Calls itself without an end that could be reached.
fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return depth;
    }
    // What happens to the value after the call keeps the call from becoming a jump.
    black_box(recurse(black_box(depth + 1)))
}

/// Counts its own calls, as a function does that keeps state from one request to the next.
fn differ() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    format!("answer {}", CALLS.fetch_add(1, Ordering::Relaxed) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8]) -> Result<String, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<Faulty>(request, &mut response).map_err(|error| error.0)?;
        Ok(String::from_utf8(response).unwrap())
    }

    #[test]
    fn ok_answers() {
        assert_eq!(answer(b"ok"), Ok("ok".to_owned()));
        assert_eq!(answer(b"ok\n"), Ok("ok".to_owned()));
    }

    #[test]
    fn refuse_is_an_error() {
        assert_eq!(answer(b"refuse").unwrap_err(), "the request asked to be refused");
    }

    #[test]
    #[should_panic(expected = "the request asked for a panic")]
    fn panic_panics() {
        let _ = answer(b"panic");
    }

    #[test]
    fn no_two_answers_of_differ_are_the_same() {
        assert_ne!(answer(b"differ").unwrap(), answer(b"differ").unwrap());
    }

    #[test]
    fn the_end_of_the_recursion_is_out_of_reach() {
        assert_eq!(recurse(u64::MAX - 10), u64::MAX);
    }

    #[test]
    fn another_request_is_refused_with_the_names() {
        for request in [&b""[..], b"explode", b"\xff", b"OK"] {
            let message = answer(request).unwrap_err();
            assert!(message.starts_with("no such fault: known are ok, loop,"), "{message}");
        }
    }
}
