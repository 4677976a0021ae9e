//! Cases that have answered once, and rightly: what is left is to measure them.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};
use lumos_abi::Timings;
use lumos_abi::wire::{self, Kind};
use lumos_abi::worker::{self, Service};
use lumos_bench::sandbox::connection::{Connection, Listener};
use lumos_bench::sandbox::process::{Process, Worker};
use lumos_bench::sandbox::{Sandbox, SocketDirectory};
use lumos_bench::suites::plan::Planned;
use lumos_bench::suites::verify_digest;
use lumos_bench::{Checked, Engine, InvokeError, Limits};

use crate::checkout::{Checkout, TIMEOUT};

/// Something that answers one request again and again.
pub trait Invocable {
    /// Sends the request, and puts the answer into `response`, which is empty.
    ///
    /// # Errors
    /// See [`InvokeError`].
    fn invoke(&mut self, response: &mut Vec<u8>) -> Result<(), InvokeError>;
}

/// Calls once, compares the answer with the workload's digest, and returns it.
///
/// # Errors
/// When there is no answer, or it is wrong.
pub fn verified(invocable: &mut dyn Invocable, planned: &Planned<'_>) -> Result<Vec<u8>> {
    let mut response = Vec::new();
    invocable.invoke(&mut response)?;
    verify_digest(&response, planned.payload).map_err(|stop| anyhow!(stop))?;
    Ok(response)
}

/// A function in an engine of this process.
pub struct InProcess<E: Engine> {
    // Fields drop in this order: an instance goes before what it was made from.
    instance: E::Instance,
    linked: E::Linked,
    _module: E::Module,
    engine: E,
    request: Vec<u8>,
}

impl<E: Engine> InProcess<E> {
    /// Loads, links and instantiates the function of a case; `new` makes an engine by name.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn new(
        checkout: &Checkout,
        planned: &Planned<'_>,
        new: fn(&str, &Limits) -> Result<E>,
    ) -> Result<Self> {
        let engine = new(&planned.runtime.name, &Limits::default())?;
        Self::load(engine, &checkout.artifact(planned)?, planned.payload.generate())
    }

    fn load(engine: E, artifact: &Checked, request: Vec<u8>) -> Result<Self> {
        let module = engine.load(artifact)?;
        let linked = engine.link(&module)?;
        let instance = engine.new_instance(&linked)?;
        Ok(Self { instance, linked, _module: module, engine, request })
    }

    /// Puts a new instance in the place of the old one.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn renew(&mut self) -> Result<()> {
        self.instance = self.engine.new_instance(&self.linked)?;
        Ok(())
    }

    /// Makes a new instance and calls it once.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn fresh(&self, response: &mut Vec<u8>) -> Result<E::Instance> {
        let mut instance = self.engine.new_instance(&self.linked)?;
        self.engine.invoke(&mut instance, &self.request, response)?;
        Ok(instance)
    }
}

impl<E: Engine> Invocable for InProcess<E> {
    fn invoke(&mut self, response: &mut Vec<u8>) -> Result<(), InvokeError> {
        self.engine.invoke(&mut self.instance, &self.request, response)
    }
}

impl<E: Engine> Service for InProcess<E> {
    fn invoke(&mut self, request: &[u8], response: &mut Vec<u8>) -> Result<(), InvokeError> {
        self.engine.invoke(&mut self.instance, request, response)
    }

    fn invoke_timed(
        &mut self,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        self.engine.invoke_timed(&mut self.instance, request, response)
    }

    fn clock_cost_ps(&mut self) -> Result<u64, InvokeError> {
        self.engine.clock_cost_ps(&mut self.instance)
    }
}

/// A `process` sandbox and the folder of its socket.
pub struct Processes {
    /// The sandbox.
    pub sandbox: Process,
    _sockets: SocketDirectory,
}

impl Processes {
    /// Prepares it.
    ///
    /// # Errors
    /// When the system's directory for temporary files cannot be written.
    pub fn new() -> Result<Self> {
        let sockets = SocketDirectory::create()?;
        Ok(Self { sandbox: Process::in_folder(sockets.path(), TIMEOUT)?, _sockets: sockets })
    }
}

/// A warm worker in a process of its own.
pub struct Served<'p> {
    processes: &'p Processes,
    // None once it is torn down.
    worker: Option<Worker>,
    request: Vec<u8>,
}

impl<'p> Served<'p> {
    /// Launches the worker of a case.
    ///
    /// # Errors
    /// When it does not announce itself.
    pub fn new(
        processes: &'p Processes,
        checkout: &Checkout,
        planned: &Planned<'_>,
    ) -> Result<Self> {
        let worker_spec = checkout.worker_spec(planned)?;
        let worker = processes.sandbox.launch(&worker_spec, &Limits::default())?;
        Ok(Self { processes, worker: Some(worker), request: planned.payload.generate() })
    }
}

impl Invocable for Served<'_> {
    fn invoke(&mut self, response: &mut Vec<u8>) -> Result<(), InvokeError> {
        let Some(worker) = &mut self.worker else {
            return Err(InvokeError::Fault("the worker is gone".to_owned()));
        };
        self.processes.sandbox.invoke(worker, &self.request, response)
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.processes.sandbox.teardown(worker);
        }
    }
}

/// Both ends of a served invocation in this one process: the worker's loop is on a thread, so
/// that an allocator which counts sees its allocations as well.
pub struct BothEnds {
    // Closed first, which ends the thread.
    connection: Option<Connection>,
    request: Vec<u8>,
    thread: Option<JoinHandle<()>>,
    _sockets: SocketDirectory,
}

impl BothEnds {
    /// Starts the worker's loop around the library of a case of the native engine.
    ///
    /// # Errors
    /// When the library or the socket cannot be opened.
    pub fn new(checkout: &Checkout, planned: &Planned<'_>) -> Result<Self> {
        let artifact = checkout.artifact(planned)?;
        let sockets = SocketDirectory::create()?;
        let path = sockets.path().join("worker.sock");
        let listener = Listener::bind(&path, TIMEOUT)?;
        let mut stream = UnixStream::connect(&path)?;
        // Becomes readable when the worker's end is dropped, as a process's descriptor would.
        let (life, workers_life) = UnixStream::pair()?;
        let thread = std::thread::spawn(move || {
            let _life = workers_life;
            // The other side sees any error as a worker that ended.
            let _ = serve_library(&mut stream, &artifact);
        });
        let (connection, _) = listener.accept(life.as_fd()).map_err(|error| anyhow!(error))?;
        let request = planned.payload.generate();
        Ok(Self { connection: Some(connection), request, thread: Some(thread), _sockets: sockets })
    }
}

/// A worker's life, without a process around it.
fn serve_library(stream: &mut UnixStream, artifact: &Checked) -> Result<()> {
    let library = InProcess::load(lumos_native::Native, artifact, Vec::new())?;
    wire::send(stream, Kind::Hello, b"")?;
    Ok(worker::serve(stream, library)?)
}

impl Invocable for BothEnds {
    fn invoke(&mut self, response: &mut Vec<u8>) -> Result<(), InvokeError> {
        match &mut self.connection {
            Some(connection) => connection.invoke(&self.request, response),
            None => Err(InvokeError::Fault("the worker is gone".to_owned())),
        }
    }
}

impl Drop for BothEnds {
    fn drop(&mut self) {
        drop(self.connection.take());
        if let Some(thread) = self.thread.take() {
            // A panic on the thread was seen by the invocation that it cut short.
            let _ = thread.join();
        }
    }
}
