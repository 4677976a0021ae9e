//! Turns one handler into every artifact of a function, and speaks the worker protocol.
//!
//! A function implements [`Function`] and calls [`export!`], with the full path of its type
//! (`export!(crate::Echo)`), in its library and [`main`] in its binary. From these two come a static executable that serves
//! requests over a socket, a shared library, a WASI reactor with the same exports,
//! and a WASI command.

mod clock;
pub mod exports;
pub mod preview_1;
mod timings;
#[cfg(unix)]
pub mod wire;
#[cfg(unix)]
pub mod worker;

pub use clock::{clock_cost_ps, monotonic_ns};
pub use timings::{Timings, retrieval};

use std::fmt;
use std::hint::black_box;
use std::io::{Read, Write};
use std::process::ExitCode;

/// Why a function refuses a request: a sentence for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(pub String);

impl Error {
    /// An error from anything that can be shown.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// A serverless function, in three parts so that serialization and computation can be told
/// apart.
///
/// Arithmetic must be of fixed width (`u32`, `u64`, `f64`; `usize` only to index): native
/// code has 64-bit pointers and Wasm 32-bit ones, and both must do the same work. A
/// function uses one thread, reads no clock and draws no random numbers.
pub trait Function {
    /// What a request means.
    type Input<'r>;
    /// What is computed from it.
    type Output<'r>;

    /// Reads a request.
    ///
    /// # Errors
    /// When the request is malformed; the worker answers with the error and lives on.
    fn decode(request: &[u8]) -> Result<Self::Input<'_>, Error>;

    /// Does the work.
    ///
    /// # Errors
    /// When the request asks for something that cannot be done.
    fn compute(input: Self::Input<'_>) -> Result<Self::Output<'_>, Error>;

    /// Appends the response.
    ///
    /// # Errors
    /// When the output has no encoding.
    fn encode(output: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error>;
}

/// Runs the three parts of a function; `response` is appended to.
///
/// # Errors
/// Those of the parts; `response` may then hold a part of an answer.
pub fn invoke<F: Function>(request: &[u8], response: &mut Vec<u8>) -> Result<(), Error> {
    F::encode(F::compute(F::decode(request)?)?, response)
}

/// Runs the three parts of a function, and reads the clock before, between and after them.
///
/// # Errors
/// Those of the parts, as [`invoke`].
pub fn invoke_timed<F: Function>(request: &[u8], response: &mut Vec<u8>) -> Result<Timings, Error> {
    timings::with_retrievals(|| time_parts::<F>(request, response))
}

fn time_parts<F: Function>(request: &[u8], response: &mut Vec<u8>) -> Result<Timings, Error> {
    // What a part makes is out of the compiler's sight, or it could move work past a reading.
    let start_ns = monotonic_ns();
    let input = black_box(F::decode(black_box(request))?);
    let decoded_ns = monotonic_ns();
    let output = black_box(F::compute(input)?);
    let computed_ns = monotonic_ns();
    F::encode(output, response)?;
    black_box(&*response);
    let encoded_ns = monotonic_ns();
    Ok(Timings {
        decode_ns: decoded_ns.saturating_sub(start_ns),
        compute_ns: computed_ns.saturating_sub(decoded_ns),
        encode_ns: encoded_ns.saturating_sub(computed_ns),
        ..Timings::default()
    })
}

/// The binary's `main`: a worker when told to connect (native only), else a command that
/// reads one request from standard input and writes the response to standard output.
pub fn main<F: Function>() -> ExitCode {
    #[cfg(unix)]
    {
        let entered_ns = monotonic_ns();
        let mut arguments = std::env::args_os().skip(1).peekable();
        if arguments.peek().is_some() {
            return worker::run(entered_ns, arguments, |_, _| Ok(worker::Native::<F>::new()));
        }
    }
    match command::<F>() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Standard input to standard output.
fn command<F: Function>() -> Result<(), Error> {
    let mut request = Vec::new();
    std::io::stdin().lock().read_to_end(&mut request).map_err(Error::new)?;
    let mut response = Vec::new();
    invoke::<F>(&request, &mut response)?;
    let mut output = std::io::stdout().lock();
    output.write_all(&response).and_then(|()| output.flush()).map_err(Error::new)
}
