//! This process's turns among those of the other runtimes, and what makes each sample meet the
//! processor alike. `lumos-turns` says what turns are for.

use std::hint::black_box;

use lumos_abi::monotonic_ns;
use lumos_model::SplitMix64;
use lumos_record::{Case, Event};
use lumos_turns::{Place, Request};
use lumos_workloads::sha256_hex;

use super::pinned::Pinned;
use super::select::Selection;

/// This process's part in turns.
#[derive(Debug)]
pub struct Turns {
    turns: lumos_turns::Turns,
    /// What an order is drawn from, besides the sample and its runtime.
    seed: String,
    /// The processor that all sides share; where that is forbidden, the samples are noisier.
    pinned: Option<Pinned>,
    random: SplitMix64,
}

impl Turns {
    /// What the environment says; none where this process is alone. With others, it moves to the
    /// processor that all share, and so will its workers.
    pub fn from_environment(selection: &Selection) -> Option<Self> {
        let round = selection.round.as_ref().map_or(0, |round| round.number);
        let turns = lumos_turns::Turns::from_environment()?;
        let pinned = Pinned::last();
        if let Err(error) = &pinned {
            let text =
                format!("{error:#}: short times vary with where the scheduler puts this process");
            Event::Notice { text }.tell();
        }
        let (seed, random) = (format!("{} {round}", selection.seed), unforeseen());
        Some(Self { turns, seed, pinned: pinned.ok(), random })
    }

    /// The processor that all sides share; none where the node does not let this process choose.
    pub fn processor(&self) -> Option<u32> {
        self.pinned.as_ref().map(Pinned::processor)
    }

    /// Waits for the turn to take one of `of` samples of a case, counted from 0.
    pub fn wait(&self, row: usize, number: usize, of: usize, case: &Case) {
        let place = Place::of_sample(row, number, of, self.draw(number, case));
        let request = Request { place, number: number as u64, case: case.to_string() };
        // When nobody gives turns any more, there is nothing to wait for.
        let _ = self.turns.wait(&request);
    }

    /// Makes the processor's branch predictor forget what it has learnt of a loop.
    pub fn confuse(&mut self) {
        confuse(&mut self.random);
    }

    /// A number for each sample of each case, so that the runtimes of a row follow each other in
    /// an order of its own in each pass. It is the same in another process with the same seed.
    fn draw(&self, number: usize, case: &Case) -> u64 {
        let digest = sha256_hex(format!("{} {number} {case}", self.seed).as_bytes());
        u64::from_str_radix(&digest[..16], 16).unwrap_or_default()
    }
}

/// Numbers that nobody can foresee, other ones in every process: they begin with the clock.
pub fn unforeseen() -> SplitMix64 {
    SplitMix64::new(monotonic_ns())
}

/// Takes branches that nobody can foresee, so that each sample finds the processor's predictor
/// alike.
///
/// A loop that runs undisturbed trains it. How well depends on where its code lies in memory, and
/// on chance: of several processes with the same interpreter, some are faster than the others by
/// half, for seconds.
fn confuse(random: &mut SplitMix64) {
    const BRANCHES: u32 = 50_000;
    const STEPS: [fn(u64) -> u64; 8] = [
        |x| x.rotate_left(1),
        |x| x.wrapping_add(3),
        |x| x ^ 0x55,
        |x| !x,
        |x| x.rotate_right(5),
        |x| x.wrapping_sub(7),
        |x| x.swap_bytes(),
        |x| x.wrapping_mul(9),
    ];
    let mut result = 0;
    for _ in 0..BRANCHES {
        let random = random.next_u64();
        result = black_box(STEPS[(random >> 61) as usize])(result);
        if random & 1 == 0 {
            result = black_box(result.wrapping_add(1));
        }
    }
    black_box(result);
}
