//! What a user's interruption does to a run: the program that measures ends by itself, and what
//! there is by then is told.

use std::fmt;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

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

/// How many guards there are, and what signals did before the first: two sides may be measured at
/// once.
static WATCHED: Mutex<(usize, [libc::sighandler_t; 3])> = Mutex::new((0, [libc::SIG_DFL; 3]));

/// Has signals that ask for an end be noted instead, as long as a guard lives.
pub fn watch() -> Watched {
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    let (guards, before) = &mut *watched;
    if *guards == 0 {
        let handler: extern "C" fn(libc::c_int) = note;
        *before = SIGNALS.map(|signal| {
            // SAFETY: the handler does what a handler may do.
            let before = unsafe { libc::signal(signal, handler as libc::sighandler_t) };
            if before == libc::SIG_IGN {
                // As `nohup` wants it: what is ignored stays so.
                // SAFETY: what was set before may be set again.
                unsafe { libc::signal(signal, before) };
            }
            before
        });
    }
    *guards += 1;
    Watched(())
}

/// The guard of [`watch`].
pub struct Watched(());

impl Drop for Watched {
    fn drop(&mut self) {
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        let (guards, before) = &mut *watched;
        *guards -= 1;
        if *guards == 0 {
            for (signal, before) in SIGNALS.into_iter().zip(*before) {
                // SAFETY: what was set before may be set again.
                unsafe { libc::signal(signal, before) };
            }
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
    /// Where the records are, or the command that reports them; none where there are none.
    pub remedy: Option<String>,
}

impl Interrupted {
    /// The exit code of a program that a user has interrupted.
    pub const EXIT_CODE: u8 = 130;
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ended, cases, round, remedy } = self;
        match round {
            // One that was measured again, or of what was not known precisely enough.
            Some((number, of)) if number > of => {
                write!(f, "interrupted after all {of} rounds")?;
                return remedy.iter().try_for_each(|remedy| write!(f, "; {remedy}"));
            }
            Some((number, of)) => write!(f, "interrupted in round {number} of {of}: ")?,
            None => write!(f, "interrupted: ")?,
        }
        write!(f, "{ended} of {cases} cases have an outcome")?;
        remedy.iter().try_for_each(|remedy| write!(f, "; {remedy}"))
    }
}

impl std::error::Error for Interrupted {}

#[cfg(test)]
mod tests {
    use super::*;

    /// What signals do is a matter of the whole process.
    static ALONE: Mutex<()> = Mutex::new(());

    #[test]
    fn a_signal_that_is_ignored_stays_so() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: no other test looks at signals meanwhile.
        let before = unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
        let watched = watch();
        // SAFETY: as above.
        assert_eq!(unsafe { libc::signal(libc::SIGTERM, before) }, libc::SIG_IGN);
        drop(watched);
    }

    #[test]
    fn signals_do_what_they_did_once_the_last_guard_is_gone() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let handler = || {
            let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: it is only asked what is set, and writes all of it.
            let action = unsafe {
                libc::sigaction(libc::SIGHUP, std::ptr::null(), action.as_mut_ptr());
                action.assume_init()
            };
            action.sa_sigaction
        };
        // Whoever runs the tests may ignore it.
        // SAFETY: what a signal does by default it may do.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
        let before = handler();
        let first = watch();
        let second = watch();
        let watched = handler();
        assert_ne!(watched, before);
        drop(first);
        assert_eq!(handler(), watched);
        drop(second);
        assert_eq!(handler(), before);
    }

    #[test]
    fn an_interruption_tells_what_there_is() {
        let told = |round, remedy: Option<&str>| {
            let remedy = remedy.map(str::to_owned);
            Interrupted { ended: 3, cases: 10, round, remedy }.to_string()
        };
        assert_eq!(told(None, None), "interrupted: 3 of 10 cases have an outcome");
        assert_eq!(
            told(Some((2, 5)), Some("their records are in x")),
            "interrupted in round 2 of 5: 3 of 10 cases have an outcome; their records are in x"
        );
        let after = told(Some((6, 5)), Some("`x` reports the rounds before it"));
        assert_eq!(after, "interrupted after all 5 rounds; `x` reports the rounds before it");
    }
}
