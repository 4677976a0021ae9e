//! What a user's interruption does to a run: the program that measures ends by itself, and what
//! there is by then is told.

use std::fmt;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The processes to be told, or 0: two sides may be measured at once.
static CHILDREN: [AtomicI32; 4] = [const { AtomicI32::new(0) }; 4];

extern "C" fn note(signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
    for child in &CHILDREN {
        let child = child.load(Ordering::Relaxed);
        if child > 0 {
            // SAFETY: a call that a handler may make. From a terminal the child has the signal
            // already, and then it takes no notice.
            unsafe { libc::kill(child, signal) };
        }
    }
}

/// Has signals that ask for an end be noted instead, from here on.
pub fn watch() {
    let handler: extern "C" fn(libc::c_int) = note;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler does what a handler may do.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Has a process be told too, as long as the guard lives.
pub fn pass_on_to(child: &Child) -> PassedOn {
    let id = i32::try_from(child.id()).unwrap_or(0);
    let is_free = |slot: &&AtomicI32| {
        slot.compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    };
    PassedOn(CHILDREN.iter().find(is_free))
}

/// The guard of [`pass_on_to`].
pub struct PassedOn(Option<&'static AtomicI32>);

impl Drop for PassedOn {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

/// Whether somebody has asked for an end.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// The error of a run that was interrupted.
#[derive(Debug)]
pub struct Interrupted {
    /// How many cases have an outcome.
    pub ended: usize,
    /// How many there are.
    pub cases: usize,
    /// The run that has them; none where none had begun.
    pub run: Option<String>,
}

impl Interrupted {
    /// The exit code of a program that a user has interrupted.
    pub const EXIT_CODE: u8 = 130;
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ended, cases, run } = self;
        write!(f, "interrupted: {ended} of {cases} cases have an outcome")?;
        match run {
            Some(run) => write!(f, "; `cargo xtask report --run {run}` reports them"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Interrupted {}
