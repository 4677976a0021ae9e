//! What an engine is to the harness: a typestate from artifact to response.

use std::fmt;
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, bail};
use lumos_abi::Timings;
use lumos_abi::worker::InvokeError;
use lumos_state::Backend;

/// An artifact whose hash, engine version and target have been compared with the manifest.
///
/// Loading precompiled code is unsafe unless it is what its engine wrote, so an engine takes
/// no bare path.
#[derive(Debug, Clone)]
pub struct Checked {
    path: PathBuf,
}

impl Checked {
    /// Declares the file at `path` checked.
    ///
    /// # Safety
    /// The caller has compared the file with the manifest, and nothing writes to it while it
    /// is loaded. In a worker the harness has done so before it launched the worker: hashing
    /// there would be timed as a part of the cold start.
    pub unsafe fn assume(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where the artifact is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What code is compiled for, ahead of time; written as `host`, or as a target triple and the
/// features beyond its architecture's least, such as `x86_64-unknown-linux-gnu+sse3+sse4.1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Target {
    /// The processor that compiles, with all that it offers.
    #[default]
    Host,
    /// Any processor of an architecture that offers certain features.
    Named {
        /// The target triple.
        triple: String,
        /// The features that code may use, by the names that rustc gives them.
        features: Vec<String>,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Named { triple, features } => {
                f.write_str(triple)?;
                features.iter().try_for_each(|feature| write!(f, "+{feature}"))
            }
        }
    }
}

impl FromStr for Target {
    type Err = std::convert::Infallible;

    /// Any other text than `host` is a triple: the compiler knows which there are.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('+').map(str::to_owned);
        Ok(match (text, parts.next()) {
            ("host", _) | (_, None) => Self::Host,
            (_, Some(triple)) => Self::Named { triple, features: parts.collect() },
        })
    }
}

/// Code that was compiled ahead of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The file to be loaded.
    pub bytes: Vec<u8>,
    /// How much of it is machine code or bytecode, in bytes; none where that cannot be told.
    pub text_bytes: Option<u64>,
}

/// What a function may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most memory in bytes: of the Wasm instance, of the worker's private memory, and of a
    /// cgroup where there is one.
    pub memory_bytes: u64,
    /// The most stack that a function may use, in bytes, whatever runs it.
    pub stack_bytes: u64,
    /// Thousandths of a processor, which a cgroup holds the worker to; none means all.
    pub cpus_milli: Option<u32>,
    /// Whether a worker that is a plain process has a cgroup too; a container always has one.
    pub cgroup: bool,
}

impl Default for Limits {
    /// 1 GiB of memory, more than any function here needs, and 8 MiB of stack, which is what Linux
    /// gives the first thread of a process.
    fn default() -> Self {
        Self { memory_bytes: 1 << 30, stack_bytes: 8 << 20, cpus_milli: None, cgroup: false }
    }
}

impl Limits {
    /// The default, with another limit of memory unless that is 0.
    pub fn of_memory(memory_bytes: u64) -> Self {
        Self::of(memory_bytes, 0)
    }

    /// What a worker is told of them, which it holds itself to.
    pub fn arguments(&self) -> [String; 4] {
        let [memory, stack] = [self.memory_bytes, self.stack_bytes].map(|bytes| bytes.to_string());
        ["--memory".to_owned(), memory, "--stack".to_owned(), stack]
    }

    /// The default, with other limits of memory and of the stack unless they are 0.
    pub fn of(memory_bytes: u64, stack_bytes: u64) -> Self {
        let default = Self::default();
        let or = |asked: u64, default: u64| if asked == 0 { default } else { asked };
        Self {
            memory_bytes: or(memory_bytes, default.memory_bytes),
            stack_bytes: or(stack_bytes, default.stack_bytes),
            ..default
        }
    }
}

/// Executes a function inside this process.
///
/// No implementation reads a clock. What a step makes is dropped after the clock has stopped.
pub trait Engine {
    /// Code in memory, ready to be linked.
    type Module;
    /// A module whose imports are resolved.
    type Linked;
    /// What the host holds for one instance: its store, and its state of WASI.
    type Environment;
    /// A function that can be called, with its state.
    type Instance;

    /// What changes the code that this engine compiles or the code that it loads, such as
    /// `compiler=cranelift`: an artifact loads where all of them agree. The version that is linked
    /// is among them, unless the engine itself compares it with an artifact's: the manifest's is
    /// that of the lock file, not of a program.
    fn settings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Says where the functions of this engine find their state. An engine whose functions run
    /// inside the measuring process is never told: none of them keeps state.
    ///
    /// # Errors
    /// When the engine lacks what that takes.
    fn keep_state(&mut self, backend: Backend) -> Result<()> {
        let _ = backend;
        bail!("the functions of this engine keep no state")
    }

    /// Compiles a module ahead of time, for any engine of the same settings.
    ///
    /// # Errors
    /// When the engine compiles nothing ahead of time, or the module is invalid.
    fn compile(&self, module: &[u8], target: &Target) -> Result<Compiled> {
        let _ = (module, target);
        bail!("this engine compiles nothing ahead of time")
    }

    /// Reads an artifact, and parses, compiles or maps it.
    ///
    /// # Errors
    /// When the file is not what the engine loads; the message says what it is instead.
    fn load(&self, artifact: &Checked) -> Result<Self::Module>;

    /// Resolves the module's imports, once for all of its instances.
    ///
    /// # Errors
    /// When an import is unknown; the message names it.
    fn link(&self, module: &Self::Module) -> Result<Self::Linked>;

    /// Sets up what the host holds for one instance.
    ///
    /// # Errors
    /// When the engine's WASI cannot be set up.
    fn environment(&self, linked: &Self::Linked) -> Result<Self::Environment>;

    /// Makes an instance in its environment and resolves its exports, so that `invoke` looks
    /// nothing up.
    ///
    /// # Errors
    /// When an export is missing, or the initialiser traps.
    fn instantiate(
        &self,
        linked: &Self::Linked,
        environment: Self::Environment,
    ) -> Result<Self::Instance>;

    /// An instance in an environment of its own.
    ///
    /// # Errors
    /// Those of [`Engine::environment`] and [`Engine::instantiate`].
    fn new_instance(&self, linked: &Self::Linked) -> Result<Self::Instance> {
        self.instantiate(linked, self.environment(linked)?)
    }

    /// Whether a module is a WASI command, which runs from its beginning to its end, and no function
    /// that serves one request after the other.
    fn is_command(&self, module: &Self::Module) -> bool {
        let _ = module;
        false
    }

    /// Runs a WASI command in an instance of its own. The request is what [`CommandRequest`] reads,
    /// and the command's standard output is appended to `response`. It has a name for an argument,
    /// no files, no variables, and what it writes to standard error is told only when it fails.
    ///
    /// # Errors
    /// A fault when it traps, or exits with another code than the request has; see
    /// [`CommandRequest::end`].
    fn run(
        &self,
        linked: &Self::Linked,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError> {
        let _ = (linked, request, response);
        Err(InvokeError::Fault("this engine runs no commands".to_owned()))
    }

    /// Serves one request, whose two parts follow each other, and gives the response where it lies
    /// in the instance's memory.
    ///
    /// # Errors
    /// See [`InvokeError`]; after a fault the instance is lost.
    fn answer<'i>(
        &self,
        instance: &'i mut Self::Instance,
        request: [&[u8]; 2],
    ) -> Result<&'i [u8], InvokeError>;

    /// Serves one request; the response is appended to `response`.
    ///
    /// # Errors
    /// Those of [`Engine::answer`].
    #[inline]
    fn invoke(
        &self,
        instance: &mut Self::Instance,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError> {
        response.extend_from_slice(self.answer(instance, [&[], request])?);
        Ok(())
    }

    /// Does the same as [`Engine::invoke`], and has the function take the time of its parts.
    ///
    /// # Errors
    /// As [`Engine::invoke`].
    fn invoke_timed(
        &self,
        instance: &mut Self::Instance,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError>;

    /// Another engine like this one, whose instances count the instructions of their function;
    /// none where this one counts none. It loads Wasm, and takes no part in what is timed.
    ///
    /// # Errors
    /// When it cannot be made.
    fn metered(&self) -> Result<Option<Self>>
    where
        Self: Sized,
    {
        Ok(None)
    }

    /// How many instructions an instance of a metered engine has executed, as the engine counts
    /// them: its fuel.
    ///
    /// # Errors
    /// When the engine is not metered.
    fn executed(&self, instance: &mut Self::Instance) -> Result<u64, InvokeError> {
        let _ = instance;
        Err(InvokeError::Fault("this engine counts no instructions".to_owned()))
    }

    /// What one reading of the function's clock takes inside this engine, in picoseconds.
    ///
    /// # Errors
    /// As [`Engine::invoke`].
    fn clock_cost_ps(&self, instance: &mut Self::Instance) -> Result<u64, InvokeError>;
}

/// The only argument of a WASI command: its name.
pub const COMMAND: &str = "command";

/// The most that a WASI command may write to a stream, in bytes.
pub const MOST_OUTPUT_BYTES: usize = 64 << 20;

/// What a WASI command has written to a stream, [`MOST_OUTPUT_BYTES`] at most: a command that
/// writes more is ended.
#[derive(Debug, Default)]
pub struct Output(Vec<u8>);

impl Output {
    /// Everything that was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if self.0.len() + bytes > MOST_OUTPUT_BYTES {
            // Not by a number, which a command would be told: it may well try again for ever.
            return Err(io::Error::other(format!(
                "it writes more than {} MiB to one of its streams, the most that a command may",
                MOST_OUTPUT_BYTES >> 20
            )));
        }
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
        Ok(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a WASI command is asked: four bytes with the code that it is to exit with, little-endian,
/// and then its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandRequest<'r> {
    /// The code that means success.
    pub exit: i32,
    /// The standard input.
    pub stdin: &'r [u8],
}

impl<'r> CommandRequest<'r> {
    /// Reads a request.
    ///
    /// # Errors
    /// A refusal of one that is too short.
    pub fn read(request: &'r [u8]) -> Result<Self, InvokeError> {
        let (exit, stdin) = request.split_first_chunk().ok_or_else(|| {
            InvokeError::Refused("a command's request begins with its exit code".to_owned())
        })?;
        Ok(Self { exit: i32::from_le_bytes(*exit), stdin })
    }

    /// What became of the command: none for an `exit` says that it trapped, with this `message`.
    ///
    /// # Errors
    /// When it did not end with success; the last line of its standard error is told.
    pub fn end(&self, exit: Option<i32>, message: &str, errors: &[u8]) -> Result<(), InvokeError> {
        if exit == Some(self.exit) {
            return Ok(());
        }
        let what = match exit {
            Some(code) => format!("the command exited with {code} instead of {}", self.exit),
            None => format!("the command trapped: {}", message.trim_end()),
        };
        Err(InvokeError::Fault(match last_words(errors).as_str() {
            "" => what,
            words => format!("{what}; its last words: {words}"),
        }))
    }
}

/// The last line that is not empty, or as much of its end as is worth telling.
fn last_words(errors: &[u8]) -> String {
    const MOST: usize = 300;
    let errors = errors.trim_ascii_end();
    let line = errors.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let start = line.len().saturating_sub(MOST);
    let cut = if start > 0 { "… " } else { "" };
    format!("{cut}{}", String::from_utf8_lossy(&line[start..]).trim())
}

/// The engine of a crate that has none, since its runtimes are measured in the served lane alone.
#[derive(Debug)]
pub enum NoEngine {}

impl Engine for NoEngine {
    type Module = ();
    type Linked = ();
    type Environment = ();
    type Instance = ();

    fn load(&self, _artifact: &Checked) -> Result<()> {
        match *self {}
    }

    fn link(&self, _module: &()) -> Result<()> {
        match *self {}
    }

    fn environment(&self, _linked: &()) -> Result<()> {
        match *self {}
    }

    fn instantiate(&self, _linked: &(), _environment: ()) -> Result<()> {
        match *self {}
    }

    fn answer<'i>(&self, _: &'i mut (), _: [&[u8]; 2]) -> Result<&'i [u8], InvokeError> {
        match *self {}
    }

    fn invoke_timed(&self, _: &mut (), _: &[u8], _: &mut Vec<u8>) -> Result<Timings, InvokeError> {
        match *self {}
    }

    fn clock_cost_ps(&self, _: &mut ()) -> Result<u64, InvokeError> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_end_is_told_with_its_last_words() {
        let request = CommandRequest::read(b"\x14\0\0\0input").unwrap();
        assert_eq!(request, CommandRequest { exit: 20, stdin: b"input" });
        assert_eq!(request.end(Some(20), "", b"unheard"), Ok(()));
        let told =
            |exit, errors| request.end(exit, "unreachable\n", errors).unwrap_err().to_string();
        assert!(told(Some(1), b"").contains("exited with 1 instead of 20"));
        let told = told(None, b"one\nno such file\n\n");
        assert!(told.contains("trapped: unreachable; its last words: no such file"), "{told}");
        assert!(matches!(CommandRequest::read(b"abc"), Err(InvokeError::Refused(_))));
        let flood = request.end(None, "unreachable", &vec![b'x'; 64 << 20]).unwrap_err();
        assert!(flood.to_string().len() < 400, "{flood}");
    }

    #[test]
    fn a_stream_that_is_full_takes_no_more_and_keeps_what_it_has() {
        let mut output = Output(vec![0; MOST_OUTPUT_BYTES - 4]);
        assert_eq!(output.write(b"four").unwrap(), 4);
        let error = output.write_vectored(&[IoSlice::new(b""), IoSlice::new(b"!")]).unwrap_err();
        assert!(error.to_string().contains("more than 64 MiB"), "{error}");
        assert!(output.into_bytes().ends_with(b"four"));
    }

    #[test]
    fn a_target_reads_back_what_it_writes() {
        for text in ["host", "pulley64", "x86_64-unknown-linux-gnu+sse3+sse4.1"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        let Ok(Target::Named { triple, features }) = "aarch64-unknown-linux-gnu+neon".parse()
        else {
            panic!("no triple");
        };
        assert_eq!((triple.as_str(), features), ("aarch64-unknown-linux-gnu", vec!["neon".into()]));
    }
}
