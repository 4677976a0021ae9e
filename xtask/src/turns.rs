//! Two sides of a comparison that are measured in turns, a sample here, a sample there.
//!
//! Only one of them does anything at a time. A side has the turn from its start, or from the
//! answer to its request, until its next request or its end; a request names the sample that the
//! side is about to take (`harness/bench/src/suites/turns.rs`). Who is behind goes first, so that
//! both sides come to the same case, and from then on take its samples beside each other. A side
//! that never asks, such as a commit of before there were turns, has one turn for everything.

use std::cmp;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};

/// The variable of the environment by which a side learns of turns.
pub const VARIABLE: &str = "LUMOS_TURNS";

/// How often a round runs each side: A B, then B A.
///
/// Some processes are slower than others of the same program from their start to their end. Of
/// more and shorter ones, fewer are affected.
pub const A_ROUND: u32 = 2;

/// What came of both sides.
#[derive(Debug)]
pub struct Taken<T> {
    /// What each of them has returned.
    pub sides: [T; 2],
    /// How many samples were taken beside one of the other side.
    pub pairs: usize,
}

/// Runs both sides in turns, the one with the number `first` before the other. Each gets its
/// number, and its value for [`VARIABLE`].
///
/// # Errors
/// Those of the sides.
pub fn take<T: Send>(
    first: u32,
    run: impl Fn(usize, &str) -> Result<T> + Sync,
) -> Result<Taken<T>> {
    // An abstract name leaves no file behind, however this process ends.
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed);
    let name = &format!("lumos-{}-turns-{number}", std::process::id());
    let address = &SocketAddr::from_abstract_name(name)?;
    let listener = UnixListener::bind_addr(address).context("cannot make a socket")?;
    let run = |side: usize| {
        let _farewell = Farewell { side, address };
        run(side, &format!("{side}:{name}"))
    };
    std::thread::scope(|scope| {
        // Dropped before the scope waits for the sides, so that these do not wait for it.
        let (listener, mut giver) = (listener, Giver::new(first as usize));
        let mut threads = [None, None];
        while let Some(step) = giver.step() {
            match step {
                Step::Start(side) => threads[side] = Some(scope.spawn(move || run(side))),
                // A process that is no more does not wait for an answer.
                Step::Answer(mut stream) => drop(stream.write_all(b"\n")),
                Step::Listen => giver.hear(listener.accept()?.0),
            }
        }
        let [base, new] = threads.map(|thread| {
            let thread = thread.context("a side was not started")?;
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        });
        Ok(Taken { sides: [base?, new?], pairs: giver.pairs })
    })
}

/// Tells the end of a side, however it comes.
struct Farewell<'a> {
    side: usize,
    address: &'a SocketAddr,
}

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        let connected = UnixStream::connect_addr(self.address);
        // Who gives the turns may have gone before.
        let _ = connected.and_then(|mut stream| stream.write_all(&[b'0' + self.side as u8, b'\n']));
    }
}

/// What a side is about to take.
#[derive(Debug)]
struct Request {
    number: usize,
    case: String,
    answer: UnixStream,
}

#[derive(Debug)]
enum State {
    Unborn,
    /// It has the turn.
    Busy,
    Waiting(Request),
    Ended,
}

/// What is to be done next.
#[derive(Debug)]
enum Step {
    Start(usize),
    Answer(UnixStream),
    Listen,
}

/// Who gives the turns.
#[derive(Debug)]
struct Giver {
    first: usize,
    states: [State; 2],
    /// The cases that each side has come to.
    seen: [HashSet<String>; 2],
    pairs: usize,
}

impl Giver {
    fn new(first: usize) -> Self {
        Self { first, states: [State::Unborn, State::Unborn], seen: Default::default(), pairs: 0 }
    }

    /// Takes a message: the number of a side, and then that of a sample and the name of its case,
    /// unless the side has ended. Who says something else is answered by the end of the stream.
    fn hear(&mut self, answer: UnixStream) {
        let mut line = String::new();
        if BufReader::new(&answer).read_line(&mut line).is_err() {
            return;
        }
        let mut words = line.trim_end().splitn(3, ' ');
        let side = words.next().and_then(|side| side.parse::<usize>().ok());
        let sample = words.next().map(|number| (number.parse().ok(), words.next()));
        let Some(side @ (0 | 1)) = side else { return };
        self.states[side] = match sample {
            None => State::Ended,
            Some((Some(number), Some(case))) => {
                self.seen[side].insert(case.to_owned());
                State::Waiting(Request { number, case: case.to_owned(), answer })
            }
            Some(_) => return,
        };
    }

    /// What to do next; nothing when both sides have ended.
    fn step(&mut self) -> Option<Step> {
        if self.states.iter().any(|state| matches!(state, State::Busy)) {
            return Some(Step::Listen);
        }
        let order = [self.first, 1 - self.first];
        let unborn = order.into_iter().find(|&side| matches!(self.states[side], State::Unborn));
        if let Some(side) = unborn {
            self.states[side] = State::Busy;
            return Some(Step::Start(side));
        }
        let side = match &self.states {
            [State::Waiting(base), State::Waiting(new)] => {
                self.pairs += usize::from((base.number, &base.case) == (new.number, &new.case));
                self.behind(base, new)
            }
            [State::Waiting(_), _] => 0,
            _ => 1,
        };
        match std::mem::replace(&mut self.states[side], State::Busy) {
            State::Waiting(request) => Some(Step::Answer(request.answer)),
            ended => {
                self.states[side] = ended;
                None
            }
        }
    }

    /// Whose turn it is.
    fn behind(&self, base: &Request, new: &Request) -> usize {
        let [base_seen, new_seen] = &self.seen;
        if base.case == new.case {
            // Side by side, they go in one order and then in the other, A B B A.
            let (one, other) = (self.first, 1 - self.first);
            return match base.number.cmp(&new.number) {
                cmp::Ordering::Less => 0,
                cmp::Ordering::Greater => 1,
                cmp::Ordering::Equal if base.number.is_multiple_of(2) => one,
                cmp::Ordering::Equal => other,
            };
        }
        match (new_seen.contains(&base.case), base_seen.contains(&new.case)) {
            (true, _) => 0,
            (_, true) => 1,
            // Each is at a case that the other may not have.
            _ => usize::from(base_seen.len() > new_seen.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Mutex;

    use super::*;

    /// A side as the harness makes one: it takes its samples of each case in turn.
    fn side(told: &str, cases: &[(&str, usize)], taken: &Mutex<Vec<String>>) {
        let (side, name) = told.split_once(':').unwrap();
        let address = SocketAddr::from_abstract_name(name).unwrap();
        for &(case, samples) in cases {
            for number in 0..samples {
                let mut stream = UnixStream::connect_addr(&address).unwrap();
                stream.write_all(format!("{side} {number} {case}\n").as_bytes()).unwrap();
                assert_eq!(stream.read(&mut [0]).unwrap(), 1);
                taken.lock().unwrap().push(format!("{side}{case}{number}"));
            }
        }
    }

    fn taken(first: u32, cases: [&[(&str, usize)]; 2]) -> (String, usize) {
        let list = Mutex::new(Vec::new());
        let took = take(first, |number, told| {
            side(told, cases[number], &list);
            Ok(number)
        });
        let took = took.unwrap();
        assert_eq!(took.sides, [0, 1]);
        (list.into_inner().unwrap().join(" "), took.pairs)
    }

    #[test]
    fn samples_of_a_case_are_taken_beside_each_other() {
        let cases: &[(&str, usize)] = &[("c", 3), ("d", 2)];
        let (order, pairs) = taken(0, [cases, cases]);
        assert_eq!(order, "0c0 1c0 1c1 0c1 0c2 1c2 0d0 1d0 1d1 0d1");
        assert_eq!(pairs, 5);
        assert!(taken(1, [cases, cases]).0.starts_with("1c0 0c0 0c1 1c1"));
    }

    #[test]
    fn a_side_that_is_ahead_waits() {
        // Fewer samples, and a case that the other has not.
        let (order, pairs) = taken(0, [&[("c", 1), ("x", 1), ("d", 1)], &[("c", 3), ("d", 1)]]);
        assert_eq!(order, "0c0 1c0 1c1 1c2 0x0 0d0 1d0");
        assert_eq!(pairs, 2);
        assert_eq!(taken(0, [&[], &[("c", 2)]]), ("1c0 1c1".into(), 0));
    }

    #[test]
    fn the_error_of_a_side_ends_no_other() {
        let list = Mutex::new(Vec::new());
        let error = take(0, |number, told| {
            anyhow::ensure!(number == 1, "it broke");
            side(told, &[("c", 2)], &list);
            Ok(())
        });
        assert_eq!(error.unwrap_err().to_string(), "it broke");
        assert_eq!(list.into_inner().unwrap(), ["1c0", "1c1"]);
    }
}
