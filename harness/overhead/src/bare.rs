//! The peers: what somebody would write by hand who needed no harness.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use lumos_abi::exports::{STATUS_OK, name};
use lumos_abi::wire::HEADER_BYTES;
use lumos_bench::{Checked, InvokeError, Limits};
use wasi_common::WasiCtx;
use wasi_common::sync::WasiCtxBuilder;
use wasmtime::{
    InstancePre, Linker, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, TypedFunc,
};

/// A function in wasmtime, by wasmtime's own interface alone.
///
/// It does what no embedder can do without: make a WASI context, limit the memory of an instance,
/// run the reactor's initialiser, open a context; then, for each call, pass the length of the
/// request, look at the status, and copy the response from where the context says that it is.
/// It serves `noop` with an empty request only, so it never copies a request in, never makes
/// room for one, and does not even look up the export that would.
pub struct Wasmtime {
    linked: InstancePre<Host>,
    limits: StoreLimits,
    engine: wasmtime::Engine,
}

struct Host {
    /// Held for the functions of WASI, none of which is called.
    _wasi: WasiCtx,
    limits: StoreLimits,
}

/// An instance of the function.
pub struct Instance {
    store: Store<Host>,
    memory: Memory,
    invoke: TypedFunc<(u32, u32), u32>,
    context: u32,
}

/// Where a context keeps the address of its response; the length comes next.
const RESPONSE_AT: usize = 16;

impl Wasmtime {
    /// Loads and links the same precompiled module, under the same settings.
    ///
    /// # Errors
    /// Those of wasmtime.
    pub fn new(runtime: &str, artifact: &Checked) -> Result<Self> {
        Self::load(runtime, artifact.path()).map_err(|error| anyhow!("{error:#}"))
    }

    fn load(runtime: &str, path: &Path) -> wasmtime::Result<Self> {
        let config =
            lumos_wasmtime::config(runtime).map_err(|error| wasmtime::format_err!("{error:#}"))?;
        let engine = wasmtime::Engine::new(&config)?;
        // SAFETY: the artifact was compared with the manifest.
        let module = unsafe { Module::deserialize_file(&engine, path) }?;
        let mut linker = Linker::new(&engine);
        // What is called here calls none of them.
        linker.define_unknown_imports_as_traps(&module)?;
        let linked = linker.instantiate_pre(&module)?;
        let memory_bytes = usize::try_from(Limits::default().memory_bytes)?;
        let limits = StoreLimitsBuilder::new().memory_size(memory_bytes).build();
        Ok(Self { linked, limits, engine })
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// Those of wasmtime.
    pub fn instantiate(&self) -> wasmtime::Result<Instance> {
        let host = Host { _wasi: WasiCtxBuilder::new().build(), limits: self.limits.clone() };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limits);
        let instance = self.linked.instantiate(&mut store)?;
        instance.get_typed_func::<(), ()>(&mut store, "_initialize")?.call(&mut store, ())?;
        let context =
            instance.get_typed_func::<(), u32>(&mut store, name::OPEN)?.call(&mut store, ())?;
        let memory = instance
            .get_memory(&mut store, "memory")
            .ok_or_else(|| wasmtime::format_err!("the module exports no memory"))?;
        let invoke = instance.get_typed_func(&mut store, name::INVOKE)?;
        Ok(Instance { store, memory, invoke, context })
    }
}

impl Instance {
    /// Calls the function with an empty request, and appends its response.
    ///
    /// # Errors
    /// When it traps, refuses, or lies about its response.
    pub fn call(&mut self, response: &mut Vec<u8>) -> wasmtime::Result<()> {
        let status = self.invoke.call(&mut self.store, (self.context, 0))?;
        let memory = self.memory.data(&self.store);
        let at = self.context as usize + RESPONSE_AT;
        let bytes = memory.get(at..).and_then(|rest| rest.first_chunk::<16>()).and_then(|both| {
            let [address, length] = [0, 8].map(|at| {
                let mut word = [0; 8];
                word.copy_from_slice(&both[at..at + 8]);
                u64::from_le_bytes(word) as usize
            });
            memory.get(address..address.checked_add(length)?)
        });
        match bytes {
            Some(bytes) if status == STATUS_OK => response.extend_from_slice(bytes),
            _ => wasmtime::bail!("no response"),
        }
        Ok(())
    }
}

/// A process that answers as many bytes as it is sent, and the socket to it.
///
/// Each way goes what the worker protocol sends for `noop`: a header, by one `write` and one
/// `read`. There is nothing else: no time-out, no frame to be checked, no function.
pub struct PingPong {
    // Closed first, which ends the process.
    stream: Option<UnixStream>,
    process: Child,
}

impl PingPong {
    /// The argument that makes this program the other side.
    pub const ARGUMENT: &str = "ping-pong";

    /// Starts the other side: this same program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn new() -> Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        let program = std::env::current_exe().context("the path of this program")?;
        let process = Command::new(program)
            .arg(Self::ARGUMENT)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { stream: Some(stream), process })
    }

    /// There and back again.
    ///
    /// # Errors
    /// When the other side has ended.
    pub fn round_trip(&mut self) -> Result<(), InvokeError> {
        let Some(stream) = &mut self.stream else {
            return Err(InvokeError::Fault("the peer is gone".to_owned()));
        };
        let mut bytes = [0; HEADER_BYTES];
        stream
            .write_all(&bytes)
            .and_then(|()| stream.read_exact(&mut bytes))
            .map_err(|error| InvokeError::Fault(error.to_string()))
    }

    /// The other side's `main`: answers until its standard input is closed.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn serve() -> Result<()> {
        let mut stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        let mut bytes = [0; HEADER_BYTES];
        loop {
            match stream.read_exact(&mut bytes) {
                Ok(()) => stream.write_all(&bytes)?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => bail!(error),
            }
        }
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        drop(self.stream.take());
        // It ends by itself; a failure to reap it leaves nothing behind but an entry.
        let _ = self.process.wait();
    }
}
