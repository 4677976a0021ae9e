//! Samples in turns with another process, which measures the other side of a comparison.
//!
//! A shared node is fast for a while and then slow, each of its processors for itself. Two
//! processes that take their samples in turns, on one processor, meet the same weather; of two that
//! run one after the other, each meets its own. `cargo xtask` gives the turns: a process has one
//! from its start, asks for the next before each sample, and does nothing while it waits.

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use lumos_record::Case;

use super::pinned::Pinned;

/// This process's part in turns.
#[derive(Debug)]
pub struct Turns {
    /// Which of the sides this process is.
    side: String,
    /// The socket of who gives the turns.
    address: SocketAddr,
    /// The processor that both sides share; where that is forbidden, the samples are noisier.
    _pinned: Option<Pinned>,
}

/// The samples of one case.
#[derive(Debug)]
pub struct Samples<'t> {
    turns: Option<&'t Turns>,
    case: String,
    /// The number of the next sample.
    number: usize,
    /// The iterations of the last one, before the first sample.
    warm_up: Option<u64>,
    random: Random,
}

/// Numbers that nobody can foresee, other ones in every process.
#[derive(Debug)]
pub struct Random(u64);

impl Turns {
    /// The environment variable that holds the side's number and the abstract name of a socket,
    /// such as `0:turns`.
    pub const VARIABLE: &str = "LUMOS_TURNS";

    /// What the environment says; none where this process is alone. With another, it moves to the
    /// processor that both share, and so will its workers.
    pub fn from_environment() -> Option<Self> {
        let text = std::env::var(Self::VARIABLE).ok()?;
        let (side, name) = text.split_once(':')?;
        let address = SocketAddr::from_abstract_name(name).ok()?;
        Some(Self { side: side.to_owned(), address, _pinned: Pinned::last().ok() })
    }

    /// Waits for the turn to take this sample of a case.
    fn wait(&self, number: usize, case: &str) -> std::io::Result<()> {
        let mut stream = UnixStream::connect_addr(&self.address)?;
        // Written at once, so that whoever gives turns never reads half a line.
        stream.write_all(format!("{} {number} {case}\n", self.side).as_bytes())?;
        stream.read(&mut [0]).map(drop)
    }
}

impl<'t> Samples<'t> {
    /// Prepares for the samples of a case.
    pub fn new(turns: Option<&'t Turns>, case: &Case) -> Self {
        let random = Random::new();
        Self { turns, case: case.to_string(), number: 0, warm_up: Some(0), random }
    }

    /// Waits for a turn, if Criterion asks for so many iterations as a sample.
    ///
    /// Its warm-up begins with one iteration, and each time doubles them; it counts the time that
    /// passes in between, so that no turn may end there.
    pub fn begin(&mut self, iterations: u64) {
        let Some(turns) = self.turns else { return };
        match self.warm_up {
            Some(0) if iterations == 1 => return self.warm_up = Some(1),
            Some(last) if last > 0 && iterations == 2 * last => {
                return self.warm_up = Some(iterations);
            }
            _ => self.warm_up = None,
        }
        // When nobody gives turns any more, there is nothing to wait for.
        let _ = turns.wait(self.number, &self.case);
        self.number += 1;
        confuse(&mut self.random);
    }
}

impl Random {
    /// Begins with what the clock shows.
    pub fn new() -> Self {
        Self(lumos_abi::monotonic_ns() | 1)
    }

    /// The next number (Marsaglia, "Xorshift RNGs", 2003).
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Takes branches that nobody can foresee, so that each sample finds the processor's predictor
/// alike.
///
/// A loop that runs undisturbed trains it. How well depends on where its code lies in memory, and
/// on chance: of several processes with the same interpreter, some are faster than the others by
/// half, for seconds.
fn confuse(random: &mut Random) {
    const BRANCHES: u32 = 200_000;
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
        let random = random.draw();
        result = black_box(STEPS[(random >> 61) as usize])(result);
        if random & 1 == 0 {
            result = black_box(result.wrapping_add(1));
        }
    }
    black_box(result);
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn every_sample_takes_a_turn_and_no_warm_up_does() {
        let name = format!("lumos-{}-test-of-turns", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let giver = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for _ in 0..3 {
                let (stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                asked.push(line);
            }
            asked
        });
        let case = Case {
            suite: lumos_record::Suite::Call,
            function: "f".into(),
            runtime: "r".into(),
            payload: "p".into(),
            setting: Default::default(),
        };
        let turns = Turns { side: "1".into(), address, _pinned: None };
        let mut samples = Samples::new(Some(&turns), &case);
        for iterations in [1, 2, 4, 3, 6, 9] {
            samples.begin(iterations);
        }
        let expected = [0, 1, 2].map(|number| format!("1 {number} call/f/r/p\n"));
        assert_eq!(giver.join().unwrap(), expected);
        // Nobody listens any more: the process goes on.
        samples.begin(12);
        Samples::new(None, &case).begin(7);
    }
}
