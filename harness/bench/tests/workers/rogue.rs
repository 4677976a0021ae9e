//! Workers that break the protocol, each in a way of its own, chosen by the engine that the
//! harness asks for.

#![expect(clippy::disallowed_methods, reason = "a rogue leaves without a farewell")]

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use lumos_abi::monotonic_ns;
use lumos_abi::wire::{self, Kind};
use lumos_abi::worker::Options;

/// Whether this program was started as a worker.
pub fn is_worker() -> bool {
    std::env::args().any(|argument| argument == "--connect")
}

/// The worker.
pub fn main() -> ExitCode {
    let entered_ns = monotonic_ns();
    // SAFETY: no memory is passed. As the workers proper do: none outlives its harness.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let options = Options::parse(arguments.into_iter()).expect("the harness's arguments");
    match options.engine.as_str() {
        // SAFETY: no memory is passed.
        "lingers" => _ = unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) },
        "leaves-a-process" => leave_a_process(),
        "exits-at-once" => {
            eprintln!("I cannot go on");
            return ExitCode::from(7);
        }
        "never-connects" => sleep_for_ever(),
        _ => {}
    }
    let mut socket = UnixStream::connect(&options.connect).expect("the harness listens");
    announce(&options.engine, &mut socket, entered_ns);
    let mut request = Vec::new();
    // Ends when the harness closes the socket.
    while wire::receive(&mut socket, &mut request).is_ok() {
        match options.engine.as_str() {
            "alters-its-artifact" => {
                std::fs::write(&options.artifact, "another module").expect("it is this user's");
                send(&mut socket, Kind::Response, &request);
            }
            how => answer(how, &mut socket, &request),
        }
    }
    match options.engine.as_str() {
        "ends-badly" => ExitCode::from(9),
        "lingers" => sleep_for_ever(),
        _ => ExitCode::SUCCESS,
    }
}

/// Starts a process that is nobody's, and would outlive this one and its harness.
fn leave_a_process() {
    let mut shell = std::process::Command::new("sh");
    let outcome = shell.args(["-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &"]).status();
    outcome.expect("there is a shell");
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn send(socket: &mut UnixStream, kind: Kind, body: &[u8]) {
    wire::send(socket, kind, body).expect("the harness reads");
}

fn write(socket: &mut UnixStream, bytes: &[u8]) {
    socket.write_all(bytes).expect("the harness reads");
}

fn announce(how: &str, socket: &mut UnixStream, entered_ns: u64) {
    match how {
        "never-says-hello" => sleep_for_ever(),
        "garbage-as-hello" => write(socket, b"HTTP/1.1 200 OK\r\n\r\n"),
        "unknown-phase" => send(socket, Kind::Hello, b"start 5\nlunch 9\n"),
        "hello-in-binary" => send(socket, Kind::Hello, b"\xff\xfe"),
        "answers-unasked" => send(socket, Kind::Response, b"hi"),
        "hangs-up" => std::process::exit(0),
        "declines" => send(socket, Kind::Fault, b"the artifact has no export `lumos_open`"),
        _ => send(socket, Kind::Hello, format!("start {entered_ns}\n").as_bytes()),
    }
}

fn answer(how: &str, socket: &mut UnixStream, request: &[u8]) {
    match how {
        "crashes" => {
            eprintln!("my stack\nis broken");
            std::process::abort();
        }
        "exits-quietly" => std::process::exit(4),
        "hangs" => sleep_for_ever(),
        "garbage" => write(socket, b"HTTP/1.1 200 OK\r\n\r\n"),
        "says-hello-again" => send(socket, Kind::Hello, b""),
        "says-too-much" => {
            let header = wire::header(Kind::Response, 1).expect("short");
            write(socket, &[&header[..], b"abc"].concat());
        }
        "cuts-short" | "stops-halfway" => {
            let header = wire::header(Kind::Response, 10).expect("short");
            write(socket, &[&header[..], b"abc"].concat());
            match how {
                "cuts-short" => std::process::exit(0),
                _ => sleep_for_ever(),
            }
        }
        "announces-gigabytes" => {
            let mut header = wire::header(Kind::Response, 0).expect("short");
            header[8..].copy_from_slice(&u32::MAX.to_le_bytes());
            write(socket, &header);
        }
        "floods" => {
            // More and more answers to the one request, until the harness has enough.
            let header = wire::header(Kind::Response, request.len()).expect("short");
            let answers = [&header[..], request].concat().repeat(1000);
            while socket.write_all(&answers).is_ok() {}
            std::process::exit(0);
        }
        "announces-more-than-there-is" => {
            let header = wire::header(Kind::Response, wire::MAX_BODY_BYTES).expect("the most");
            write(socket, &header);
            sleep_for_ever();
        }
        "answers-wrongly" => send(socket, Kind::Response, b"nonsense"),
        "chatters" => {
            eprintln!("idle talk");
            send(socket, Kind::Response, request);
        }
        _ => send(socket, Kind::Response, request),
    }
}
