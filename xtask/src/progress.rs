//! Progress of long work: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The progress of work.
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
}

impl Progress {
    /// Begins work of `steps` steps; 0 when their number is not known.
    pub fn begin(what: &'static str, steps: usize) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let bar = ProgressBar::new(steps as u64);
        if plain {
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
        Self { bar: ProgressBar::hidden(), plain: false }
    }

    /// Says which step is under way.
    pub fn at(&self, step: &str) {
        if self.plain {
            match (self.bar.position(), self.bar.length()) {
                (_, None | Some(0)) => eprintln!("{:>12} {step}", self.bar.prefix()),
                (done, Some(all)) => eprintln!("{:>12} {done}/{all} {step}", self.bar.prefix()),
            }
        }
        self.bar.set_message(step.to_owned());
    }

    /// Counts finished steps.
    pub fn advance(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    /// Prints a line that stays.
    pub fn say(&self, line: &str) {
        match self.bar.is_hidden() {
            true => eprintln!("{line}"),
            false => self.bar.println(line),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
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
}
