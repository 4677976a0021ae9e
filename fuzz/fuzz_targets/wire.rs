//! The worker protocol, both ways: what a harness may send to a worker, and a worker to a harness.

#![no_main]

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use lumos_abi::Timings;
use lumos_abi::worker::{self, InvokeError, Service};
use lumos_bench::sandbox::connection::Listener;

fuzz_target!(|data: &[u8]| {
    let Some((&side, message)) = data.split_first() else { return };
    match side {
        b'>' => to_a_worker(message),
        _ => to_a_harness(message),
    }
});

fn to_a_worker(message: &[u8]) {
    let (mut harness, mut worker) = UnixStream::pair().unwrap();
    if harness.write_all(message).is_err() {
        return;
    }
    // Nobody reads the answers: what does not fit ends the worker.
    harness.shutdown(Shutdown::Write).unwrap();
    worker.set_nonblocking(true).unwrap();
    let _ = worker::serve(&mut worker, Echo);
}

fn to_a_harness(message: &[u8]) {
    let folder = lumos_fuzz::folder();
    let listener = Listener::bind(&folder.path().join("s"), Duration::from_millis(50)).unwrap();
    let mut worker = UnixStream::connect(listener.path()).unwrap();
    worker.set_nonblocking(true).unwrap();
    if worker.write_all(message).is_err() {
        return;
    }
    worker.shutdown(Shutdown::Write).unwrap();
    let (life, _alive) = UnixStream::pair().unwrap();
    let Ok((mut connection, _)) = listener.accept(life.as_fd()) else { return };
    let mut response = Vec::new();
    let broke = |outcome: Result<(), InvokeError>| matches!(outcome, Err(InvokeError::Fault(_)));
    loop {
        if broke(connection.invoke(b"request", &mut response))
            || broke(connection.invoke_timed(b"", &mut response).map(drop))
            || broke(connection.clock_cost_ps().map(drop))
        {
            return;
        }
    }
}

/// Answers with the request, refuses one that begins with `n`, and breaks at one with `b`.
struct Echo;

impl Service for Echo {
    fn invoke(&mut self, request: &[u8], response: &mut Vec<u8>) -> Result<(), InvokeError> {
        response.extend_from_slice(request);
        match request.first() {
            Some(b'n') => Err(InvokeError::Refused("no".into())),
            Some(b'b') => Err(InvokeError::Fault("broken".into())),
            _ => Ok(()),
        }
    }

    fn invoke_timed(
        &mut self,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        self.invoke(request, response).map(|()| Timings::default())
    }

    fn clock_cost_ps(&mut self) -> Result<u64, InvokeError> {
        Ok(1)
    }
}
