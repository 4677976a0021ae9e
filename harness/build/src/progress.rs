//! Progress of long work: a bar on a terminal, plain lines elsewhere, and never a minute of
//! silence.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// After so long without a line, one says what is still under way.
const SILENCE: Duration = Duration::from_secs(30);

/// The progress of work.
pub struct Progress {
    bar: ProgressBar,
    /// What says in plain lines what is under way; none on a terminal, and where nothing is shown.
    plain: Option<Plain>,
}

impl Progress {
    /// Begins work of `steps` steps; 0 when their number is not known.
    pub fn begin(what: &'static str, steps: usize) -> Self {
        let bar = ProgressBar::new(steps as u64);
        let plain = (!std::io::stderr().is_terminal()).then(|| Plain::begin(what, &bar));
        if plain.is_some() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            let template = match steps {
                0 => "{prefix:>12} {spinner} {elapsed}  {wide_msg}",
                _ => "{prefix:>12} [{bar:24}] {pos}/{len} {elapsed}, {eta} left  {wide_msg}",
            };
            // The template is a constant: it parses, or the tests of this module fail.
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        bar.set_prefix(what);
        Self { bar, plain }
    }

    /// Shows nothing but the lines that stay.
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), plain: None }
    }

    /// Says which step is under way.
    pub fn at(&self, step: &str) {
        if let Some(plain) = &self.plain {
            plain.say(&format!("{:>12} {}", self.bar.prefix(), counted(&self.bar, step)));
        }
        self.now(step);
    }

    /// Says what is under way, which changes too often for a line of its own.
    pub fn now(&self, step: &str) {
        if let Some(plain) = &self.plain {
            step.clone_into(&mut plain.state().step);
        }
        self.bar.set_message(step.to_owned());
    }

    /// Says that so many steps are done, of how many, and which one is under way.
    pub fn reached(&self, done: usize, all: usize, step: &str) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        self.at(step);
    }

    /// Counts finished steps.
    pub fn advance(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    /// Prints a line that stays.
    pub fn say(&self, line: &str) {
        match &self.plain {
            Some(plain) => plain.say(line),
            None if self.bar.is_hidden() => eprintln!("{line}"),
            None => self.bar.println(line),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Plain lines, and a thread that breaks their silence.
struct Plain {
    state: Arc<Mutex<State>>,
    /// The thread, and what ends it.
    thread: Option<(JoinHandle<()>, Sender<()>)>,
}

struct State {
    bar: ProgressBar,
    step: String,
    begun: Instant,
    spoke: Instant,
}

impl Plain {
    #[expect(clippy::disallowed_methods, reason = "patience is no measurement")]
    fn begin(what: &'static str, bar: &ProgressBar) -> Self {
        let now = Instant::now();
        let state = State { bar: bar.clone(), step: String::new(), begun: now, spoke: now };
        let state = Arc::new(Mutex::new(state));
        let (end, ended) = mpsc::channel::<()>();
        let seen = Arc::clone(&state);
        let thread = thread::spawn(move || {
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let mut state = lock(&seen);
                if state.spoke.elapsed() >= SILENCE {
                    eprintln!("{what:>12} {}", state.line());
                    state.spoke = Instant::now();
                }
            }
        });
        Self { state, thread: Some((thread, end)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    #[expect(clippy::disallowed_methods, reason = "patience is no measurement")]
    fn say(&self, line: &str) {
        let mut state = self.state();
        eprintln!("{line}");
        state.spoke = Instant::now();
    }
}

impl State {
    /// What is still under way, and since when something is.
    fn line(&self) -> String {
        let elapsed = self.begun.elapsed().as_secs();
        let step = counted(&self.bar, &self.step);
        format!("still {step} ({} min {} s)", elapsed / 60, elapsed % 60)
    }
}

/// A step behind the number of those that are done, where it is known how many there are.
fn counted(bar: &ProgressBar, step: &str) -> String {
    match (bar.position(), bar.length()) {
        (_, None | Some(0)) => step.to_owned(),
        (done, Some(all)) => format!("{done}/{all} {step}"),
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Plain {
    fn drop(&mut self) {
        if let Some((thread, end)) = self.thread.take() {
            drop(end);
            // It says a line at most.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted() {
        let progress = Progress::begin("testing", 3);
        progress.at("the first");
        progress.advance(2);
        assert_eq!(progress.bar.position(), 2);
    }

    #[test]
    fn what_is_under_way_is_told_without_a_line() {
        let progress = Progress::begin("testing", 0);
        progress.at("a worker");
        progress.now("a worker: one crate");
        assert_eq!(progress.bar.message(), "a worker: one crate");
        if let Some(plain) = &progress.plain {
            assert!(plain.state().line().starts_with("still a worker: one crate (0 min"));
        }
        progress.at("the next");
        if let Some(plain) = &progress.plain {
            assert!(plain.state().line().starts_with("still the next ("));
        }
    }
}
