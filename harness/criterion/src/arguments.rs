//! What Criterion's arguments mean.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use lumos_record::shown;

/// What the user has asked for by Criterion's arguments, for all rounds together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Asked {
    /// `--sample-size`
    pub samples: Option<usize>,
    /// `--warm-up-time`
    pub warm_up: Option<Duration>,
    /// `--measurement-time`
    pub measurement: Option<Duration>,
}

/// The filter among Criterion's own arguments.
///
/// Criterion applies it too; here it keeps cases that Criterion would leave out from being
/// prepared, which may take seconds each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseFilter {
    /// No filter.
    All,
    /// A regular expression, searched for in the id.
    Pattern(String),
    /// The whole id.
    Exact(String),
}

/// What Criterion's arguments mean for the harness.
#[derive(Debug)]
pub struct Arguments {
    /// The filter.
    pub filter: CaseFilter,
    /// The name given to `--save-baseline`.
    pub save_baseline: Option<String>,
    /// The name given to `--baseline`: what Criterion compares with, and refuses to do without.
    pub baseline: Option<String>,
    /// What is asked for of the sampling.
    pub asked: Asked,
    /// What the process is to do.
    pub purpose: Purpose,
}

/// What a bench target was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To measure, and to keep the samples.
    Measure,
    /// To run each case without keeping anything: `--test`, `--profile-time`.
    Try,
    /// To run nothing: `--list`, `--load-baseline`, `--help`, `--version`.
    Look,
}

impl Arguments {
    /// Criterion's options that are followed by a value, as of version 0.8.
    pub const WITH_VALUE: [&str; 18] = [
        "-c",
        "--color",
        "--colour",
        "-s",
        "--save-baseline",
        "-b",
        "--baseline",
        "--baseline-lenient",
        "--load-baseline",
        "--sample-size",
        "--warm-up-time",
        "--measurement-time",
        "--nresamples",
        "--noise-threshold",
        "--confidence-level",
        "--significance-level",
        "--plotting-backend",
        "--output-format",
    ];

    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// When a baseline has no name, or the samples could not be taken in turns.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let (mut pattern, mut exact, mut bench) = (None, false, false);
        let mut purpose = Purpose::Measure;
        let (mut save_baseline, mut baseline) = (None, None);
        let mut asked = Asked::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with('-') => (name, Some(value)),
                _ => match argument.split_at_checked(2) {
                    // As in `-smain`.
                    Some((name @ ("-s" | "-b" | "-c"), value)) if !value.is_empty() => {
                        (name, Some(value))
                    }
                    _ => (argument.as_str(), None),
                },
            };
            match name {
                "--bench" => bench = true,
                "--exact" => exact = true,
                "--quick" => bail!(
                    "Criterion's --quick takes as many samples as it likes, and so none in turns: \
                     `--profile quick` and `--rounds` choose how much is measured"
                ),
                "--test" => purpose = purpose.max(Purpose::Try),
                "--list" | "--load-baseline" | "--help" | "-h" | "--version" | "-V" => {
                    purpose = Purpose::Look;
                }
                "--profile-time" => {
                    purpose = purpose.max(Purpose::Try);
                    if inline.is_none() {
                        rest.next();
                    }
                    continue;
                }
                _ if !name.starts_with('-') => pattern = Some(argument.as_str()),
                _ => {}
            }
            if Self::WITH_VALUE.contains(&name) {
                let value = inline.map(str::to_owned).or_else(|| rest.next().cloned());
                let number = value.as_deref().map(str::parse::<f64>).and_then(Result::ok);
                // What is no number of that kind, Criterion refuses.
                let seconds = number.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let named = || value.clone().with_context(|| format!("{name} lacks a name"));
                match name {
                    "-s" | "--save-baseline" => {
                        let name = named()?;
                        check_name(&name)?;
                        save_baseline = Some(name);
                    }
                    "-b" | "--baseline" => baseline = Some(named()?),
                    "--sample-size" => asked.samples = number.map(|number| number as usize),
                    "--warm-up-time" => asked.warm_up = seconds,
                    "--measurement-time" => asked.measurement = seconds,
                    _ => {}
                }
            }
        }
        // Without `--bench`, as under `cargo test --benches`, Criterion only tries.
        if !bench {
            purpose = purpose.max(Purpose::Try);
        }
        let filter = match pattern {
            None => CaseFilter::All,
            Some(id) if exact => CaseFilter::Exact(id.to_owned()),
            Some(pattern) => CaseFilter::Pattern(pattern.to_owned()),
        };
        Ok(Self { filter, save_baseline, baseline, asked, purpose })
    }
}

/// Refuses names of baselines that would not be found again: they are those of folders.
fn check_name(name: &str) -> Result<()> {
    /// What Criterion calls its own folders beside baselines.
    const TAKEN: [&str; 4] = ["base", "change", "new", "report"];
    let why = match name {
        "" => "it is empty".to_owned(),
        _ if TAKEN.contains(&name) => "Criterion has a folder of that name itself".to_owned(),
        _ if name.contains('/') => {
            format!("it holds a slash: `{}` would do", name.replace('/', "-"))
        }
        _ if name.starts_with('.') => "it begins with a full stop".to_owned(),
        _ if name.contains(char::is_control) => "it holds a control character".to_owned(),
        _ if name.len() > 64 => "it has more than 64 bytes".to_owned(),
        _ => return Ok(()),
    };
    bail!("no baseline can be saved as `{}`: {why}", shown(name))
}

impl Purpose {
    fn max(self, other: Self) -> Self {
        if self as u8 >= other as u8 { self } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Arguments {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Arguments::parse(&words).unwrap()
    }

    #[test]
    fn the_filter_is_found_among_options() {
        let parsed = arguments("--bench --save-baseline main --sample-size 20 warm/.*native");
        assert_eq!(parsed.save_baseline.as_deref(), Some("main"));
        assert_eq!(parsed.purpose, Purpose::Measure);
        assert_eq!(parsed.asked, Asked { samples: Some(20), ..Asked::default() });
        assert_eq!(parsed.filter, CaseFilter::Pattern("warm/.*native".into()));
        let exact = arguments("--bench a/b/c --exact -s=no").filter;
        assert_eq!(exact, CaseFilter::Exact("a/b/c".into()));
    }

    #[test]
    fn a_baseline_is_found_wherever_it_stands() {
        let saved = |line: &str| arguments(line).save_baseline;
        assert_eq!(saved("-s main --sample-size 20 call/").as_deref(), Some("main"));
        for line in ["--save-baseline=a b", "-s=a b", "-sa b"] {
            assert_eq!(saved(line).as_deref(), Some("a"), "{line}");
        }
        assert_eq!(saved("--baseline a"), None);
        let error = Arguments::parse(&["call".to_owned(), "-s".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "-s lacks a name");
    }

    #[test]
    fn a_name_that_would_be_lost_is_refused_with_the_reason() {
        for (name, part) in [
            ("", "empty"),
            ("..", "full stop"),
            (".hidden", "full stop"),
            ("feature/x", "`feature-x` would do"),
            ("base", "Criterion has a folder"),
            ("new", "Criterion has a folder"),
            ("report", "Criterion has a folder"),
            ("change", "Criterion has a folder"),
            ("a\u{1b}[2J", "a\\u{1b}[2J"),
        ] {
            let words = ["--save-baseline".to_owned(), name.to_owned()];
            let message = Arguments::parse(&words).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
        assert_eq!(arguments("-s v1.2-x").save_baseline.as_deref(), Some("v1.2-x"));
    }

    #[test]
    fn purposes_are_told_apart() {
        assert_eq!(arguments("").purpose, Purpose::Try);
        assert_eq!(arguments("--bench --test").purpose, Purpose::Try);
        assert_eq!(arguments("--bench --profile-time 5 json").purpose, Purpose::Try);
        assert_eq!(arguments("--bench --load-baseline a").purpose, Purpose::Look);
        assert_eq!(arguments("--bench --list --test").purpose, Purpose::Look);
        assert_eq!(arguments("--bench --baseline=a").purpose, Purpose::Measure);
    }

    #[test]
    fn what_takes_no_samples_in_turns_is_refused() {
        let quick = Arguments::parse(&["--bench".to_owned(), "--quick".to_owned()]);
        assert!(quick.unwrap_err().to_string().contains("in turns"));
    }
}
