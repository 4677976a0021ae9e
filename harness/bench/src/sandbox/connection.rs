//! The harness's end of a worker's socket, the same for every sandbox.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lumos_abi::Timings;
use lumos_abi::wire::{self, Kind};
use lumos_record::Phase;

use super::Mark;
use crate::InvokeError;

/// A socket that workers connect to.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    timeout: Duration,
}

impl Listener {
    /// Binds a socket; a worker that is silent for `timeout` is given up.
    ///
    /// # Errors
    /// When the path is too long, or cannot be written.
    pub fn bind(path: &Path, timeout: Duration) -> io::Result<Self> {
        // A measuring process that was ended has left its socket to the one that takes over.
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        Ok(Self { listener, path: path.to_owned(), timeout })
    }

    /// Where it is bound.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long a worker may be silent.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Waits for a worker to connect and to announce itself. `life` becomes readable when the
    /// worker ends, so that one that dies early is not waited for.
    ///
    /// # Errors
    /// A sentence that says what the worker did instead.
    pub fn accept(&self, life: BorrowedFd<'_>) -> Result<(Connection, Vec<Mark>), String> {
        if !self.wait_for_connection(life)? {
            return Err("the worker ended before it connected".to_owned());
        }
        let (stream, _) = self.listener.accept().map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(self.timeout)).map_err(|error| error.to_string())?;
        stream.set_write_timeout(Some(self.timeout)).map_err(|error| error.to_string())?;
        let mut connection = Connection { stream, timeout: self.timeout };
        let mut body = Vec::with_capacity(256);
        match wire::receive(&mut connection.stream, &mut body) {
            Ok(Kind::Hello) => Ok((connection, parse_hello(&body)?)),
            Ok(Kind::Fault) => Err(text(&body)),
            Ok(kind) => Err(format!("the worker began with a {kind:?} instead of a Hello")),
            Err(error) => Err(connection.explain(&error)),
        }
    }

    /// Returns whether a worker is connecting, rather than dead.
    fn wait_for_connection(&self, life: BorrowedFd<'_>) -> Result<bool, String> {
        let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut entries = [entry(self.listener.as_raw_fd()), entry(life.as_raw_fd())];
        let limit_ms = i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX);
        loop {
            // SAFETY: two live entries.
            match unsafe { libc::poll(entries.as_mut_ptr(), 2, limit_ms) } {
                0 => {
                    return Err(format!(
                        "the worker did not connect within {} s",
                        self.timeout.as_secs_f64()
                    ));
                }
                1.. => return Ok(entries[0].revents != 0),
                _ => {
                    let error = io::Error::last_os_error();
                    if error.kind() != ErrorKind::Interrupted {
                        return Err(error.to_string());
                    }
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The folder goes with the process; an earlier goodbye keeps it small.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A connected worker.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    timeout: Duration,
}

impl Connection {
    /// Sends a request, and replaces the contents of `response` with the answer.
    ///
    /// # Errors
    /// See [`InvokeError`].
    pub fn invoke(&mut self, request: &[u8], response: &mut Vec<u8>) -> Result<(), InvokeError> {
        self.ask(Kind::Request, Kind::Response, request, response)
    }

    /// Sends a request that asks for timings; otherwise as [`Connection::invoke`].
    ///
    /// # Errors
    /// See [`InvokeError`].
    pub fn invoke_timed(
        &mut self,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        self.ask(Kind::TimedRequest, Kind::TimedResponse, request, response)?;
        let timings = response.first_chunk().map(Timings::from_bytes);
        let timings = timings.ok_or_else(|| {
            InvokeError::Fault("the worker broke the protocol: no timings".to_owned())
        })?;
        response.drain(..Timings::SIZE);
        Ok(timings)
    }

    /// What one reading of the clock takes inside the function, in picoseconds.
    ///
    /// # Errors
    /// See [`InvokeError`].
    pub fn clock_cost_ps(&mut self) -> Result<u64, InvokeError> {
        let mut answer = Vec::with_capacity(8);
        self.ask(Kind::ClockCost, Kind::ClockCost, &[], &mut answer)?;
        answer.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or_else(|| {
            InvokeError::Fault("the worker broke the protocol: no cost of the clock".to_owned())
        })
    }

    #[inline]
    fn ask(
        &mut self,
        asked: Kind,
        answered: Kind,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError> {
        let kind = wire::send(&mut self.stream, asked, request)
            .and_then(|()| wire::receive(&mut self.stream, response));
        match kind {
            Ok(kind) if kind == answered => Ok(()),
            Ok(Kind::Refusal) => Err(InvokeError::Refused(text(response))),
            Ok(Kind::Fault) => Err(InvokeError::Fault(text(response))),
            Ok(kind) => {
                Err(InvokeError::Fault(format!("the worker answered a request with a {kind:?}")))
            }
            Err(error) => Err(InvokeError::Fault(self.explain(&error))),
        }
    }

    fn explain(&self, error: &io::Error) -> String {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("the worker was silent for {} s", self.timeout.as_secs_f64())
            }
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                format!("the worker ended without an answer ({error})")
            }
            _ => format!("the worker broke the protocol: {error}"),
        }
    }
}

/// What a worker says, as far as anybody reads.
fn text(bytes: &[u8]) -> String {
    const MOST: usize = 4096;
    String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).trim().to_owned()
}

/// Reads the marks of a hello.
fn parse_hello(body: &[u8]) -> Result<Vec<Mark>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the worker's hello is not text")?;
    let mark = |line: &str| -> Option<Mark> {
        let (phase, end_ns) = line.split_once(' ')?;
        Some(Mark { phase: phase.parse::<Phase>().ok()?, end_ns: end_ns.parse().ok()? })
    };
    text.lines()
        .map(|line| mark(line).ok_or_else(|| format!("the worker's hello has the line `{line}`")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_read_and_a_bad_one_is_named() {
        let marks = parse_hello(b"start 5\nload 9\n").unwrap();
        assert_eq!(marks[1], Mark { phase: Phase::Load, end_ns: 9 });
        assert!(parse_hello(b"lunch 5\n").unwrap_err().contains("lunch 5"));
        assert!(parse_hello(b"\xff").unwrap_err().contains("not text"));
    }
}
