//! A worker's life: set up, connect, announce, serve, end.
//!
//! The native guest and the workers of all engines run this same code; they differ in
//! their [`Service`] alone.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::marker::PhantomData;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::wire::{self, HEADER_BYTES, Kind};
use crate::{Function, Timings, monotonic_ns};

/// What a worker is told on its command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `--connect`: the socket to connect to.
    pub connect: PathBuf,
    /// `--engine`: which of its engines a worker with several is to use.
    pub engine: String,
    /// `--artifact`: what to load.
    pub artifact: PathBuf,
    /// `--memory`: the most memory that the function may use; none when 0.
    pub memory_bytes: u64,
    /// `--stack`: the most stack that the function may use; what the process has when 0.
    pub stack_bytes: u64,
    /// `--cgroup`, once for each hierarchy: the `cgroup.procs` of a group to join.
    pub cgroups: Vec<PathBuf>,
}

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// A sentence that names the argument.
    pub fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(name) = arguments.next() {
            let value =
                arguments.next().ok_or_else(|| format!("{} has no value", name.display()))?;
            match name.to_str() {
                Some("--connect") => options.connect = value.into(),
                Some("--engine") => options.engine = value.to_string_lossy().into_owned(),
                Some("--artifact") => options.artifact = value.into(),
                Some("--cgroup") => options.cgroups.push(value.into()),
                Some(limit @ ("--memory" | "--stack")) => {
                    let number = value.to_str().and_then(|text| text.parse().ok());
                    let number = number
                        .ok_or_else(|| format!("{limit} {}: not a number", value.display()))?;
                    match limit {
                        "--memory" => options.memory_bytes = number,
                        _ => options.stack_bytes = number,
                    }
                }
                _ => return Err(format!("unknown argument {}", name.display())),
            }
        }
        if options.connect.as_os_str().is_empty() {
            return Err("--connect is missing: a worker is started by a harness, and without \
                        arguments a function reads standard input"
                .to_owned());
        }
        Ok(options)
    }
}

/// The ends of a worker's phases, by the monotonic clock.
#[derive(Debug, Clone, Default)]
pub struct Marks(String);

impl Marks {
    /// The phase of that name ends now.
    pub fn end(&mut self, phase: &str) {
        self.end_at(phase, monotonic_ns());
    }

    fn end_at(&mut self, phase: &str, ns: u64) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{phase} {ns}");
    }
}

/// Why an invocation has no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvokeError {
    /// The function refused the request; it can serve the next.
    Refused(String),
    /// The function or its engine broke; the instance is lost.
    Fault(String),
}

impl std::fmt::Display for InvokeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(message) => write!(f, "the function refused the request: {message}"),
            Self::Fault(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for InvokeError {}

/// What a worker serves.
pub trait Service {
    /// Appends the response to one request.
    ///
    /// # Errors
    /// See [`InvokeError`].
    fn invoke(&mut self, request: &[u8], response: &mut Vec<u8>) -> Result<(), InvokeError>;

    /// Does the same, and takes the time of its parts.
    ///
    /// # Errors
    /// See [`InvokeError`].
    fn invoke_timed(
        &mut self,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError>;

    /// What one reading of the function's clock takes, in picoseconds.
    ///
    /// # Errors
    /// See [`InvokeError`].
    fn clock_cost_ps(&mut self) -> Result<u64, InvokeError>;
}

/// The native guest's service: the function itself.
pub struct Native<F>(PhantomData<F>);

impl<F: Function> Native<F> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<F: Function> Service for Native<F> {
    fn invoke(&mut self, request: &[u8], response: &mut Vec<u8>) -> Result<(), InvokeError> {
        crate::invoke::<F>(request, response).map_err(|error| InvokeError::Refused(error.0))
    }

    fn invoke_timed(
        &mut self,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        crate::invoke_timed::<F>(request, response).map_err(|error| InvokeError::Refused(error.0))
    }

    fn clock_cost_ps(&mut self) -> Result<u64, InvokeError> {
        Ok(crate::clock_cost_ps())
    }
}

/// Runs a worker from its command line to its end.
///
/// `entered_ns` is [`monotonic_ns`] at the top of `main`. `set_up` makes the service and
/// marks the end of each of its phases.
pub fn run<S: Service>(
    entered_ns: u64,
    arguments: impl Iterator<Item = OsString>,
    set_up: impl FnOnce(&Options, &mut Marks) -> Result<S, String>,
) -> ExitCode {
    let mut marks = Marks(String::with_capacity(256));
    marks.end_at("start", entered_ns);
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let service = confine(&options).and_then(|()| set_up(&options, &mut marks));
    match connect_and_serve(&options, &marks, service) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the worker with its harness, joins its cgroups, and limits its stack and its memory.
///
/// The worker does this itself: a harness that did it between fork and exec could not use
/// the kernel's fast path for spawning, and would time its own size instead.
fn confine(options: &Options) -> Result<(), String> {
    // SAFETY: no memory is passed.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    for cgroup in &options.cgroups {
        // 0 is whoever writes it.
        std::fs::write(cgroup, "0").map_err(|error| format!("{}: {error}", cgroup.display()))?;
    }
    if options.stack_bytes != 0 {
        // An engine holds a function to its own limit, and needs some stack besides.
        let besides = if options.engine.is_empty() { 0 } else { STACK_OF_HOST_BYTES };
        limit_stack(options.stack_bytes + besides)?;
    }
    if options.memory_bytes == 0 {
        return Ok(());
    }
    // Private writable memory, which leaves the address space that an engine reserves
    // without using it out of the account.
    let limit = libc::rlimit { rlim_cur: options.memory_bytes, rlim_max: options.memory_bytes };
    // SAFETY: the pointer is to a live rlimit.
    match unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) } {
        0 => Ok(()),
        _ => Err(format!("cannot limit memory: {}", std::io::Error::last_os_error())),
    }
}

/// What the host of a function may use of the stack beside it.
pub const STACK_OF_HOST_BYTES: u64 = 1 << 20;

/// Sets how far the stack of this process's first thread may grow, which holds at once.
///
/// # Errors
/// A sentence where the node does not allow it.
pub fn limit_stack(bytes: u64) -> Result<(), String> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let cannot =
        || format!("cannot have {bytes} bytes of stack: {}", std::io::Error::last_os_error());
    // SAFETY: the pointer is to a live rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) } != 0 {
        return Err(cannot());
    }
    limit.rlim_cur = bytes;
    // SAFETY: as above.
    match unsafe { libc::setrlimit(libc::RLIMIT_STACK, &raw const limit) } {
        0 => Ok(()),
        _ => Err(cannot()),
    }
}

fn connect_and_serve(
    options: &Options,
    marks: &Marks,
    service: Result<impl Service, String>,
) -> Result<(), String> {
    let socket = |error: std::io::Error| format!("{}: {error}", options.connect.display());
    let mut stream = UnixStream::connect(&options.connect).map_err(socket)?;
    match service {
        Ok(service) => {
            wire::send(&mut stream, Kind::Hello, marks.0.as_bytes()).map_err(socket)?;
            serve(&mut stream, service).map_err(socket)
        }
        Err(message) => {
            wire::send(&mut stream, Kind::Fault, message.as_bytes()).map_err(socket)?;
            Err(message)
        }
    }
}

/// Answers requests until the other side closes.
///
/// # Errors
/// Those of the socket. A fault of the service is sent to the other side, and ends this.
pub fn serve(stream: &mut UnixStream, mut service: impl Service) -> std::io::Result<()> {
    let mut request = Vec::with_capacity(4096);
    // The frame is built in place: a header's room, then the response.
    let mut frame = Vec::with_capacity(4096);
    loop {
        let asked = match wire::receive(stream, &mut request) {
            Ok(kind @ (Kind::Request | Kind::TimedRequest | Kind::ClockCost)) => kind,
            Ok(kind) => {
                let message = format!("a worker takes requests, not {kind:?}");
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        frame.clear();
        frame.resize(HEADER_BYTES, 0);
        let outcome = match asked {
            Kind::TimedRequest => answer_timed(&mut service, &request, &mut frame),
            Kind::ClockCost => service.clock_cost_ps().map(|cost_ps| {
                frame.extend_from_slice(&cost_ps.to_le_bytes());
                Kind::ClockCost
            }),
            _ => service.invoke(&request, &mut frame).map(|()| Kind::Response),
        };
        let kind = match &outcome {
            Ok(kind) => *kind,
            Err(InvokeError::Refused(message)) => replace(&mut frame, message, Kind::Refusal),
            Err(InvokeError::Fault(message)) => replace(&mut frame, message, Kind::Fault),
        };
        let header = wire::header(kind, frame.len() - HEADER_BYTES)?;
        frame[..HEADER_BYTES].copy_from_slice(&header);
        std::io::Write::write_all(stream, &frame)?;
        if kind == Kind::Fault {
            return Ok(());
        }
    }
}

fn answer_timed(
    service: &mut impl Service,
    request: &[u8],
    frame: &mut Vec<u8>,
) -> Result<Kind, InvokeError> {
    // The timings' room, which is filled once they are known.
    frame.resize(HEADER_BYTES + Timings::SIZE, 0);
    let timings = service.invoke_timed(request, frame)?;
    frame[HEADER_BYTES..HEADER_BYTES + Timings::SIZE].copy_from_slice(&timings.to_bytes());
    Ok(Kind::TimedResponse)
}

fn replace(frame: &mut Vec<u8>, message: &str, kind: Kind) -> Kind {
    frame.truncate(HEADER_BYTES);
    frame.extend_from_slice(message.as_bytes());
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        Options::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn options_are_read() {
        let options = parse(&["--connect", "/s", "--memory", "12"]).unwrap();
        assert_eq!((options.connect.to_str(), options.memory_bytes), (Some("/s"), 12));
    }

    #[test]
    fn each_bad_argument_is_named() {
        for (arguments, part) in [
            (&["--connect"][..], "--connect has no value"),
            (&["--frobnicate", "1"], "unknown argument --frobnicate"),
            (&["--memory", "much", "--connect", "/s"], "--memory much: not a number"),
            (&[], "--connect is missing"),
        ] {
            let message = parse(arguments).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }

    struct Picky;

    impl Service for Picky {
        fn invoke(&mut self, request: &[u8], response: &mut Vec<u8>) -> Result<(), InvokeError> {
            response.extend_from_slice(b"partial");
            match request {
                b"good" => Ok(()),
                b"bad" => Err(InvokeError::Refused("no".into())),
                _ => Err(InvokeError::Fault("broken".into())),
            }
        }

        fn invoke_timed(
            &mut self,
            request: &[u8],
            response: &mut Vec<u8>,
        ) -> Result<Timings, InvokeError> {
            self.invoke(request, response)?;
            Ok(Timings { decode_ns: 1, compute_ns: 2, ..Timings::default() })
        }

        fn clock_cost_ps(&mut self) -> Result<u64, InvokeError> {
            Ok(25_000)
        }
    }

    #[test]
    fn timings_come_where_they_are_asked_for() {
        let (mut harness, mut worker) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || serve(&mut worker, Picky));
        let mut body = Vec::new();
        let mut ask = |kind, request: &[u8]| {
            wire::send(&mut harness, kind, request).unwrap();
            (wire::receive(&mut harness, &mut body).unwrap(), body.clone())
        };
        let timings = Timings { decode_ns: 1, compute_ns: 2, ..Timings::default() };
        let answer = [&timings.to_bytes()[..], b"partial"].concat();
        assert_eq!(ask(Kind::TimedRequest, b"good"), (Kind::TimedResponse, answer));
        assert_eq!(ask(Kind::TimedRequest, b"bad"), (Kind::Refusal, b"no".to_vec()));
        assert_eq!(ask(Kind::ClockCost, b""), (Kind::ClockCost, 25_000_u64.to_le_bytes().to_vec()));
        assert_eq!(ask(Kind::Request, b"good"), (Kind::Response, b"partial".to_vec()));
        drop(harness);
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn a_refusal_is_answered_and_a_fault_ends_the_worker() {
        let (mut harness, mut worker) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || serve(&mut worker, Picky));
        let mut body = Vec::new();
        for (request, kind, answer) in [
            ("bad", Kind::Refusal, "no"),
            ("good", Kind::Response, "partial"),
            ("ugly", Kind::Fault, "broken"),
        ] {
            wire::send(&mut harness, Kind::Request, request.as_bytes()).unwrap();
            assert_eq!(wire::receive(&mut harness, &mut body).unwrap(), kind);
            assert_eq!(body, answer.as_bytes());
        }
        thread.join().unwrap().unwrap();
    }
}
