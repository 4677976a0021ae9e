//! Stands between a run and the engine, and goes away in the middle.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};

/// A socket that leads to the engine, until it has seen a text so many times.
pub struct Proxy {
    state: Arc<State>,
}

struct State {
    socket: PathBuf,
    text: String,
    /// How often the text has still to come.
    count: Mutex<u32>,
    connections: Mutex<Vec<UnixStream>>,
}

impl Proxy {
    /// Listens on `socket` until `text` has come for the `count`th time.
    pub fn start(socket: &Path, text: &str, count: u32) -> Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let (socket, text) = (socket.to_owned(), text.to_owned());
        let (count, connections) = (Mutex::new(count), Mutex::default());
        let state = Arc::new(State { socket, text, count, connections });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.is_over() {
                    return;
                }
                // A connection that cannot be made is one that the run sees closed.
                let _ = shared.lead(client);
            }
        });
        Ok(Self { state })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stop();
    }
}

impl State {
    fn is_over(&self) -> bool {
        *self.count.lock().expect("no thread panics") == 0
    }

    fn lead(self: &Arc<Self>, client: UnixStream) -> Result<()> {
        let engine = UnixStream::connect(engine_socket()?)?;
        let mut connections = self.connections.lock().expect("no thread panics");
        connections.extend([client.try_clone()?, engine.try_clone()?]);
        drop(connections);
        let (from, to) = (engine.try_clone()?, client.try_clone()?);
        std::thread::spawn(move || copy(from, to, |_| true));
        let shared = Arc::clone(self);
        std::thread::spawn(move || copy(client, engine, |bytes| shared.lets_pass(bytes)));
        Ok(())
    }

    fn lets_pass(&self, bytes: &[u8]) -> bool {
        if String::from_utf8_lossy(bytes).contains(&self.text) {
            let mut count = self.count.lock().expect("no thread panics");
            *count = count.saturating_sub(1);
        }
        let is_over = self.is_over();
        if is_over {
            self.stop();
        }
        !is_over
    }

    fn stop(&self) {
        *self.count.lock().expect("no thread panics") = 0;
        // Wakes the thread that waits for connections, the last time that it can be.
        let _ = UnixStream::connect(&self.socket);
        let _ = std::fs::remove_file(&self.socket);
        for connection in self.connections.lock().expect("no thread panics").drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn copy(mut from: UnixStream, mut to: UnixStream, lets_pass: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer)
        && lets_pass(&buffer[..count])
        && to.write_all(&buffer[..count]).is_ok()
    {}
    let _ = to.shutdown(Shutdown::Write);
}

/// The socket of the engine that the tests use.
fn engine_socket() -> Result<PathBuf> {
    match std::env::var("DOCKER_HOST") {
        Ok(host) if !host.is_empty() => {
            Ok(host.strip_prefix("unix://").context("the engine has no socket")?.into())
        }
        _ => Ok("/var/run/docker.sock".into()),
    }
}
