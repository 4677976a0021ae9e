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

/// The signals that ask for an end.
const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Has signals that ask for an end be noted instead, as long as the guard lives.
pub fn watch() -> Watched {
    let handler: extern "C" fn(libc::c_int) = note;
    // SAFETY: the handler does what a handler may do.
    Watched(SIGNALS.map(|signal| unsafe { libc::signal(signal, handler as libc::sighandler_t) }))
}

/// The guard of [`watch`]: what signals did before.
pub struct Watched([libc::sighandler_t; 3]);

impl Drop for Watched {
    fn drop(&mut self) {
        for (signal, before) in SIGNALS.into_iter().zip(self.0) {
            // SAFETY: what was set before may be set again.
            unsafe { libc::signal(signal, before) };
        }
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
    /// Which of several rounds it was, and of how many.
    pub round: Option<(u32, u32)>,
    /// What became of what there is, such as the command that reports it; none where nothing is.
    pub rest: Option<String>,
}

impl Interrupted {
    /// The exit code of a program that a user has interrupted.
    pub const EXIT_CODE: u8 = 130;
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ended, cases, round, rest } = self;
        match round {
            Some((number, of)) => write!(f, "interrupted in round {number} of {of}: ")?,
            None => write!(f, "interrupted: ")?,
        }
        write!(f, "{ended} of {cases} cases have an outcome")?;
        rest.iter().try_for_each(|rest| write!(f, "; {rest}"))
    }
}

impl std::error::Error for Interrupted {}
