//! One processor for both ends of a socket.

use std::io;

use anyhow::{Context, Result};

/// Keeps this thread, and the processes that it starts, on the processor where it runs now.
///
/// Two processes that take turns are four times as slow when the scheduler happens to put them
/// on two processors, since the one that sleeps is then woken from afar. On one processor
/// there is nothing to happen.
#[derive(Debug)]
pub struct Pinned {
    before: libc::cpu_set_t,
}

impl Pinned {
    /// Pins until the value is dropped.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn here() -> Result<Self> {
        // SAFETY: zero is a valid, empty set.
        let (mut before, mut here) = unsafe { std::mem::zeroed::<[libc::cpu_set_t; 2]>() }.into();
        // SAFETY: the pointer is to a live set of the size that is passed; 0 is this thread.
        let outcome = unsafe { libc::sched_getaffinity(0, SET_BYTES, &raw mut before) };
        succeed(outcome)?;
        // SAFETY: the call takes nothing.
        let cpu = unsafe { libc::sched_getcpu() };
        let cpu = usize::try_from(cpu).context("the processor of this thread")?;
        // SAFETY: the set is live, and has room for every processor that it can name.
        unsafe { libc::CPU_SET(cpu, &mut here) };
        set(&here)?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // What was allowed before is allowed still.
        let _ = set(&self.before);
    }
}

const SET_BYTES: usize = size_of::<libc::cpu_set_t>();

fn set(cpus: &libc::cpu_set_t) -> Result<()> {
    // SAFETY: the pointer is to a live set of the size that is passed; 0 is this thread.
    succeed(unsafe { libc::sched_setaffinity(0, SET_BYTES, cpus) })
}

fn succeed(outcome: i32) -> Result<()> {
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()).context("cannot choose a processor"),
    }
}
