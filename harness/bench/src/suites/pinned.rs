//! One processor for two processes that take turns.

use std::io;

use anyhow::{Context, Result};

/// Keeps this thread, and what it starts, on one processor.
///
/// Two processes that take turns are four times as slow when the scheduler happens to put them
/// on two processors, since the one that sleeps is then woken from afar. On one processor
/// there is nothing to happen.
#[derive(Debug)]
pub struct Pinned {
    before: libc::cpu_set_t,
    processor: u32,
}

impl Pinned {
    /// Pins to the processor where the thread runs now, until the value is dropped.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn here() -> Result<Self> {
        // SAFETY: the call takes nothing.
        let cpu = unsafe { libc::sched_getcpu() };
        Self::to(usize::try_from(cpu).context("the processor of this thread")?, allowed()?)
    }

    /// Pins to the last of the processors that the thread may use, until the value is dropped:
    /// every process that may use the same ones gets the same one. Interrupts come to the first
    /// more often.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn last() -> Result<Self> {
        let allowed = allowed()?;
        let mut all = (0..libc::CPU_SETSIZE as usize).rev();
        // SAFETY: the set is live, and names every one of these.
        let last = all.find(|&cpu| unsafe { libc::CPU_ISSET(cpu, &allowed) });
        Self::to(last.context("this thread may use no processor")?, allowed)
    }

    fn to(cpu: usize, before: libc::cpu_set_t) -> Result<Self> {
        let mut one = none();
        // SAFETY: the set is live, and has room for every processor that it can name.
        unsafe { libc::CPU_SET(cpu, &mut one) };
        set(&one)?;
        Ok(Self { before, processor: u32::try_from(cpu)? })
    }

    /// The number of the processor.
    pub fn processor(&self) -> u32 {
        self.processor
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // What was allowed before is allowed still.
        let _ = set(&self.before);
    }
}

const SET_BYTES: usize = size_of::<libc::cpu_set_t>();

fn none() -> libc::cpu_set_t {
    // SAFETY: zero is a valid, empty set.
    unsafe { std::mem::zeroed() }
}

fn allowed() -> Result<libc::cpu_set_t> {
    let mut allowed = none();
    // SAFETY: the pointer is to a live set of the size that is passed; 0 is this thread.
    succeed(unsafe { libc::sched_getaffinity(0, SET_BYTES, &raw mut allowed) })?;
    Ok(allowed)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn count() -> i32 {
        // SAFETY: the set is live.
        unsafe { libc::CPU_COUNT(&allowed().unwrap()) }
    }

    #[test]
    fn a_thread_stays_on_one_processor_until_it_may_leave() {
        let before = count();
        let pinned = Pinned::last().unwrap();
        assert_eq!(count(), 1);
        let again = Pinned::here().unwrap();
        assert_eq!(count(), 1);
        drop((again, pinned));
        assert_eq!(count(), before);
    }
}
