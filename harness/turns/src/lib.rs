//! Turns for processes that are compared: each takes a sample, and then waits until the others
//! have taken theirs.
//!
//! A shared node is fast for a while and then slow, each of its processors for itself. Processes
//! that take their samples in turns, on one processor, meet the same weather; of those that run one
//! after the other, each meets its own.
//!
//! Only one side does anything at a time. A side has the turn from its start, or from the answer to
//! its request, until its next request or its end; a request says which sample the side is about to
//! take, and where in the order of all it stands ([`Place`]). Once every side waits, the one that
//! is furthest behind goes on. So all come to a row together, and take its samples beside each
//! other. A side that never asks has one turn for everything.
//!
//! This is both ends of it: [`take`] gives the turns, and a process has a [`Turns`] to ask for them.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where a sample stands in the order of all samples: whoever has the smallest place goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The row of what is compared.
    pub row: u64,
    /// How much of its row the side will have done in the middle of the sample, in
    /// [`Place::WHOLE`]ths: a side with fewer samples spreads them over those of the others.
    pub progress: u64,
    /// What was drawn for the side and the sample, so that none always goes first.
    pub drawn: u64,
}

impl Place {
    /// All of a row.
    pub const WHOLE: u64 = 1 << 32;

    /// The place of one of `of` samples in a row, counted from 0.
    pub fn of_sample(row: usize, number: usize, of: usize, drawn: u64) -> Self {
        let progress = (2 * number as u64 + 1) * Self::WHOLE / (2 * of.max(1) as u64);
        Self { row: row as u64, progress, drawn }
    }
}

/// What a side is about to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its place in the order.
    pub place: Place,
    /// The number of the sample, from 0.
    pub number: u64,
    /// The name of the case, without spaces.
    pub case: String,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { row, progress, drawn } = self.place;
        write!(f, "{row} {progress} {drawn} {} {}", self.number, self.case)
    }
}

impl Request {
    /// Reads what stands behind a side's number. A program of before there were places gives the
    /// number of the sample and the case alone; `rows` then tells in which order cases came up.
    fn read(words: &[&str], rows: &mut HashMap<String, u64>) -> Option<Self> {
        let number = |word: &str| word.parse().ok();
        Some(match *words {
            [row, progress, drawn, sample, case] => Self {
                place: Place {
                    row: number(row)?,
                    progress: number(progress)?,
                    drawn: number(drawn)?,
                },
                number: number(sample)?,
                case: case.to_owned(),
            },
            [sample, case] => {
                let next = rows.len() as u64;
                let row = *rows.entry(case.to_owned()).or_insert(next);
                let sample = number(sample)?;
                let place = Place { row, progress: sample, drawn: 0 };
                Self { place, number: sample, case: case.to_owned() }
            }
            _ => return None,
        })
    }
}

/// A process's part in turns.
#[derive(Debug)]
pub struct Turns {
    /// Which of the sides this process is.
    side: String,
    /// The socket of who gives the turns.
    address: SocketAddr,
}

impl Turns {
    /// The environment variable that holds a side's number and the abstract name of a socket, such
    /// as `0:turns`.
    pub const VARIABLE: &str = "LUMOS_TURNS";

    /// What the environment says; none where this process is alone.
    pub fn from_environment() -> Option<Self> {
        Self::told(&std::env::var(Self::VARIABLE).ok()?)
    }

    /// Takes part as a value of [`Turns::VARIABLE`] says; none where it is none.
    pub fn told(value: &str) -> Option<Self> {
        let (side, name) = value.split_once(':')?;
        let address = SocketAddr::from_abstract_name(name).ok()?;
        Some(Self { side: side.to_owned(), address })
    }

    /// Waits for the turn to take a sample.
    ///
    /// # Errors
    /// When nobody gives turns any more; then there is nothing to wait for.
    pub fn wait(&self, request: &Request) -> io::Result<()> {
        let mut stream = UnixStream::connect_addr(&self.address)?;
        // Written at once, so that whoever gives turns never reads half a line.
        stream.write_all(format!("{} {request}\n", self.side).as_bytes())?;
        stream.read(&mut [0]).map(drop)
    }
}

/// What came of the sides.
#[derive(Debug)]
pub struct Taken<T> {
    /// What each of them has returned.
    pub sides: Vec<T>,
    /// How many samples were taken right beside the same one of another side.
    pub pairs: usize,
}

/// Runs `count` sides in turns, each of them with its number and its value for
/// [`Turns::VARIABLE`]. The side with the number `first` is started before the others; of two that
/// are about to take the same sample, it goes first and then the other. `before` sees each request
/// before it is answered.
///
/// # Errors
/// When there can be no socket.
pub fn take<T: Send>(
    count: usize,
    first: usize,
    mut before: impl FnMut(&Request),
    run: impl Fn(usize, &str) -> T + Sync,
) -> io::Result<Taken<T>> {
    // An abstract name leaves no file behind, however this process ends.
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed);
    let name = &format!("lumos-{}-turns-{number}", std::process::id());
    let address = &SocketAddr::from_abstract_name(name)?;
    let listener = UnixListener::bind_addr(address)?;
    let run = &|side: usize| {
        let _farewell = Farewell { side, address };
        run(side, &format!("{side}:{name}"))
    };
    std::thread::scope(|scope| {
        // Dropped before the scope waits for the sides, so that these do not wait for it.
        let (listener, mut giver) = (listener, Giver::new(count, first));
        let mut threads: Vec<_> = (0..count).map(|_| None).collect();
        while let Some(step) = giver.step() {
            match step {
                Step::Start(side) => threads[side] = Some(scope.spawn(move || run(side))),
                Step::Answer(request, mut stream) => {
                    before(&request);
                    // A process that is no more does not wait for an answer.
                    drop(stream.write_all(b"\n"));
                }
                Step::Listen => giver.hear(listener.accept()?.0),
            }
        }
        let sides = threads.into_iter().flatten();
        let sides = sides.map(|side| side.join().unwrap_or_else(|panic| resume_unwind(panic)));
        Ok(Taken { sides: sides.collect(), pairs: giver.pairs })
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
        let _ = connected
            .and_then(|mut stream| stream.write_all(format!("{}\n", self.side).as_bytes()));
    }
}

#[derive(Debug)]
enum State {
    Unborn,
    /// It has the turn.
    Busy,
    Waiting(Request, UnixStream),
    Ended,
}

/// What is to be done next.
#[derive(Debug)]
enum Step {
    Start(usize),
    Answer(Request, UnixStream),
    Listen,
}

/// Who gives the turns.
#[derive(Debug)]
struct Giver {
    first: usize,
    states: Vec<State>,
    /// The rows of cases of programs that name none.
    rows: HashMap<String, u64>,
    /// What was taken last.
    last: Option<(Place, u64, String)>,
    pairs: usize,
}

impl Giver {
    fn new(count: usize, first: usize) -> Self {
        let states = (0..count).map(|_| State::Unborn).collect();
        Self { first, states, rows: HashMap::new(), last: None, pairs: 0 }
    }

    /// Takes a message: the number of a side, and then what it asks for, unless the side has
    /// ended. Who says something else is answered by the end of the stream.
    fn hear(&mut self, stream: UnixStream) {
        let mut line = String::new();
        if BufReader::new(&stream).read_line(&mut line).is_err() {
            return;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((side, words)) = words.split_first() else { return };
        let side = side.parse().ok().filter(|&side: &usize| side < self.states.len());
        let Some(side) = side else { return };
        self.states[side] = match (words, Request::read(words, &mut self.rows)) {
            ([], _) => State::Ended,
            (_, Some(request)) => State::Waiting(request, stream),
            (_, None) => return,
        };
    }

    /// What to do next; nothing when all sides have ended.
    fn step(&mut self) -> Option<Step> {
        if self.states.iter().any(|state| matches!(state, State::Busy)) {
            return Some(Step::Listen);
        }
        let count = self.states.len();
        let mut in_order = (0..count).map(|side| (self.first + side) % count);
        if let Some(side) = in_order.find(|&side| matches!(self.states[side], State::Unborn)) {
            self.states[side] = State::Busy;
            return Some(Step::Start(side));
        }
        let side = self.furthest_behind()?;
        match std::mem::replace(&mut self.states[side], State::Busy) {
            State::Waiting(request, stream) => {
                let taken = (request.place, request.number, request.case.clone());
                self.pairs += usize::from(self.last.as_ref() == Some(&taken));
                self.last = Some(taken);
                Some(Step::Answer(request, stream))
            }
            ended => {
                self.states[side] = ended;
                None
            }
        }
    }

    /// The waiting side that is furthest behind. Those at the same sample of the same case go in
    /// one order and then in the other, A B B A.
    fn furthest_behind(&self) -> Option<usize> {
        let count = self.states.len();
        let waiting = self.states.iter().enumerate().filter_map(|(side, state)| match state {
            State::Waiting(request, _) => {
                let after_first = (side + count - self.first) % count;
                let rank = match request.number.is_multiple_of(2) {
                    true => after_first,
                    false => count - after_first,
                };
                Some(((request.place, &request.case, rank), side))
            }
            _ => None,
        });
        waiting.min().map(|(_, side)| side)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A case in its row, and how many samples a side takes of it.
    type Case = (usize, &'static str, usize);

    /// A side as the harness makes one: it takes its samples of each case in turn.
    fn side(told: &str, cases: &[Case], taken: &Mutex<Vec<String>>) {
        let turns = Turns::told(told).unwrap();
        for &(row, case, of) in cases {
            for number in 0..of {
                let place = Place::of_sample(row, number, of, 0);
                let request = Request { place, number: number as u64, case: case.to_owned() };
                turns.wait(&request).unwrap();
                taken.lock().unwrap().push(format!("{}{case}{number}", turns.side));
            }
        }
    }

    fn taken(first: usize, sides: &[&[Case]]) -> (String, usize) {
        let list = Mutex::new(Vec::new());
        let took = take(
            sides.len(),
            first,
            |_| {},
            |number, told| {
                side(told, sides[number], &list);
                number
            },
        );
        let took = took.unwrap();
        assert!(took.sides.into_iter().eq(0..sides.len()));
        (list.into_inner().unwrap().join(" "), took.pairs)
    }

    #[test]
    fn samples_of_a_case_are_taken_beside_each_other() {
        let cases: &[Case] = &[(0, "c", 3), (1, "d", 2)];
        let (order, pairs) = taken(0, &[cases, cases]);
        assert_eq!(order, "0c0 1c0 1c1 0c1 0c2 1c2 0d0 1d0 1d1 0d1");
        assert_eq!(pairs, 5);
        assert!(taken(1, &[cases, cases]).0.starts_with("1c0 0c0 0c1 1c1"));
    }

    #[test]
    fn a_side_that_is_ahead_waits() {
        let (order, pairs) = taken(0, &[&[(0, "c", 1), (2, "d", 1)], &[(1, "x", 1), (2, "d", 1)]]);
        assert_eq!((order.as_str(), pairs), ("0c0 1x0 0d0 1d0", 1));
        assert_eq!(taken(0, &[&[], &[(0, "c", 2)]]), ("1c0 1c1".into(), 0));
    }

    #[test]
    fn many_sides_share_a_row_and_few_samples_are_spread_over_it() {
        let sides: [&[Case]; 3] = [&[(0, "a", 6)], &[(0, "b", 2)], &[(0, "c", 6)]];
        let (order, _) = taken(0, &sides);
        // The slow one stands in the middle of each half of what the others do.
        assert_eq!(order, "0a0 2c0 0a1 1b0 2c1 0a2 2c2 0a3 2c3 0a4 1b1 2c4 0a5 2c5");
    }

    #[test]
    fn programs_without_places_take_turns_too() {
        let old = |told: &str, cases: &[(&str, usize)], taken: &Mutex<Vec<String>>| {
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
        };
        let list = Mutex::new(Vec::new());
        let cases: [&[(&str, usize)]; 2] = [&[("c", 1), ("x", 1), ("d", 1)], &[("c", 3), ("d", 1)]];
        let took = take(2, 0, |_| {}, |side, told| old(told, cases[side], &list)).unwrap();
        assert_eq!(took.pairs, 2);
        let order = list.into_inner().unwrap().join(" ");
        assert_eq!(order, "0c0 1c0 1c1 1c2 0x0 0d0 1d0");
    }

    #[test]
    fn whoever_gives_turns_sees_each_sample_before_it_is_taken() {
        let mut seen = Vec::new();
        let list = Mutex::new(Vec::new());
        let note = |request: &Request| seen.push(format!("{}{}", request.case, request.number));
        take(2, 0, note, |number, told| side(told, &[(0, "c", 2)][number..], &list)).unwrap();
        assert_eq!(seen, ["c0", "c1"]);
    }

    #[test]
    fn the_end_of_a_side_ends_no_other() {
        let list = Mutex::new(Vec::new());
        let took = take(
            2,
            0,
            |_| {},
            |number, told| {
                if number == 0 {
                    return Err("it broke");
                }
                side(told, &[(0, "c", 2)], &list);
                Ok(())
            },
        );
        assert_eq!(took.unwrap().sides, [Err("it broke"), Ok(())]);
        assert_eq!(list.into_inner().unwrap(), ["1c0", "1c1"]);
    }
}
