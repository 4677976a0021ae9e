//! Notices that a container has ended before its worker connected, so that nobody waits for it.
//!
//! The harness waits for the worker's connection with a descriptor at hand that tells of its
//! end. Of a container the engine alone knows the end, and to ask it takes a connection and
//! about a millisecond of two processors. So a thread of its own asks, and only once a worker
//! is late: in every other launch the watching costs two messages between threads.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::engine::Engine;

/// How late a worker may be until the engine is asked what became of it.
const GRACE: Duration = Duration::from_millis(20);

/// A thread that watches one container at a time.
#[derive(Debug)]
pub struct Watcher {
    orders: Sender<Order>,
}

#[derive(Debug)]
struct Order {
    container: String,
    /// Closed once the worker has connected, or was given up.
    settled: Receiver<()>,
    /// Closed, which the other end sees, once the container has ended.
    alive: PipeWriter,
}

/// The watch over one container, which ends with the value.
#[derive(Debug)]
pub struct Watch {
    alive: PipeReader,
    _settled: Sender<()>,
}

impl AsFd for Watch {
    /// Readable once the container has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.alive.as_fd()
    }
}

impl Watcher {
    /// Starts the thread, which ends with the value; it watches a container for `limit` at most.
    ///
    /// # Errors
    /// When this process has no threads or descriptors left.
    pub fn start(engine: &Engine, limit: Duration) -> io::Result<Self> {
        let engine = engine.for_another_thread()?;
        let (orders, received) = channel::<Order>();
        std::thread::Builder::new().name("watcher".to_owned()).spawn(move || {
            for order in received {
                if order.settled.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                    // An engine that cannot be asked any more is found out by the launch itself.
                    let _ = engine.wait(&order.container, limit);
                }
                drop(order.alive);
            }
        })?;
        Ok(Self { orders })
    }

    /// Watches a container that was started.
    ///
    /// # Errors
    /// When this process has no descriptors left.
    pub fn watch(&self, container: &str) -> io::Result<Watch> {
        let (reader, writer) = io::pipe()?;
        let (settled, received) = channel();
        let order = Order { container: container.to_owned(), settled: received, alive: writer };
        // Without the thread, a worker would count as dead at once.
        let gone = |_| io::Error::other("the thread that watches containers has ended");
        self.orders.send(order).map_err(gone)?;
        Ok(Watch { alive: reader, _settled: settled })
    }
}
