//! The timed regions of invocations; those of starts are in `served.rs`, `breakdown.rs` and
//! `pull.rs`.

use std::fmt::Display;
use std::time::{Duration, Instant};

use super::watch::Watch;

/// Times invocations in batches, and checks every response while the clock stands still.
#[derive(Debug)]
pub struct Invocations {
    /// The responses of one batch. Reading the clock costs as much as a small invocation, so
    /// it is read once a batch; the responses of a batch fit into the innermost cache.
    slots: Vec<Vec<u8>>,
    expected: Vec<u8>,
    /// How many responses were checked.
    pub verified: u64,
}

impl Invocations {
    /// The most invocations between two readings of the clock.
    const LARGEST_BATCH: usize = 64;
    /// The most bytes of responses between two readings of the clock.
    const BATCH_BYTES: usize = 16 << 10;

    /// Prepares for a function whose every response is `expected`, which was verified.
    pub fn new(expected: Vec<u8>) -> Self {
        let count = Self::BATCH_BYTES / expected.len().max(1);
        // Room for a frame's header and a little more: nothing grows on the hot path.
        let slot = || Vec::with_capacity(expected.len() + 64);
        let slots =
            std::iter::repeat_with(slot).take(count.clamp(1, Self::LARGEST_BATCH)).collect();
        Self { slots, expected, verified: 0 }
    }

    /// Runs `invoke` for `iterations` times, and returns the time that it took.
    ///
    /// # Errors
    /// When an invocation fails, or a response is wrong.
    pub fn time<Error: Display>(
        &mut self,
        iterations: u64,
        watch: &Watch,
        mut invoke: impl FnMut(&mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<Duration, String> {
        let mut total = Duration::ZERO;
        let mut left = iterations;
        while left > 0 {
            let batch = usize::try_from(left).unwrap_or(usize::MAX).min(self.slots.len());
            let slots = &mut self.slots[..batch];
            watch.arm();
            let start = Instant::now();
            for slot in slots.iter_mut() {
                slot.clear();
                invoke(slot).map_err(|error| error.to_string())?;
            }
            total += start.elapsed();
            watch.disarm();
            for slot in slots.iter() {
                check(slot, &self.expected)?;
            }
            self.verified += batch as u64;
            left -= batch as u64;
        }
        Ok(total)
    }

    /// Runs `step` once, and returns the time that it took and what it made.
    ///
    /// # Errors
    /// When the step fails, or its response is wrong.
    pub fn time_one<T>(
        &mut self,
        watch: &Watch,
        step: impl FnOnce(&mut Vec<u8>) -> Result<T, String>,
    ) -> Result<(Duration, T), String> {
        let slot = &mut self.slots[0];
        slot.clear();
        let timed = time_step(watch, || step(slot))?;
        check(slot, &self.expected)?;
        self.verified += 1;
        Ok(timed)
    }
}

/// Times one step; what it made is returned, so that it is dropped after the clock has stopped.
///
/// # Errors
/// Those of the step.
pub fn time_step<T>(
    watch: &Watch,
    step: impl FnOnce() -> Result<T, String>,
) -> Result<(Duration, T), String> {
    watch.arm();
    let start = Instant::now();
    let made = step();
    let elapsed = start.elapsed();
    watch.disarm();
    Ok((elapsed, made?))
}

/// Compares a response with the expected one.
///
/// # Errors
/// A sentence that shows where they differ.
pub fn check(response: &[u8], expected: &[u8]) -> Result<(), String> {
    if response == expected {
        return Ok(());
    }
    let at = response.iter().zip(expected).position(|(a, b)| a != b);
    Err(match at {
        Some(at) => format!(
            "wrong answer: byte {at} of {} is {:#04x} instead of {:#04x}",
            response.len(),
            response[at],
            expected[at]
        ),
        None => format!("wrong answer: {} bytes instead of {}", response.len(), expected.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        Watch::alone(Duration::from_secs(60))
    }

    #[test]
    fn every_response_is_checked() {
        let mut invocations = Invocations::new(b"right".to_vec());
        let mut calls = 0;
        let stop = invocations
            .time::<String>(1000, &watch(), |response| {
                calls += 1;
                response.extend_from_slice(if calls == 700 { b"wrong" } else { b"right" });
                Ok(())
            })
            .unwrap_err();
        assert!(stop.contains("byte 0 of 5 is 0x77"), "{stop}");
        assert!((700..700 + 64).contains(&calls), "{calls}");
        assert!((640..700).contains(&invocations.verified));
    }

    #[test]
    fn a_step_makes_what_the_caller_drops() {
        let (_, made) = time_step(&watch(), || Ok(7)).unwrap();
        assert_eq!(made, 7);
        assert_eq!(time_step(&watch(), || Err::<(), _>("no".to_owned())).unwrap_err(), "no");
    }

    #[test]
    fn differences_are_shown() {
        assert!(check(b"abc", b"abd").unwrap_err().contains("byte 2"));
        assert!(check(b"ab", b"abc").unwrap_err().contains("2 bytes instead of 3"));
    }
}
