//! Which cases to run: what `cargo xtask bench` asks for, and Criterion's own filter.

use std::time::Duration;

use globset::{Glob, GlobMatcher};
use lumos_record::{Case, Setting};
use regex::Regex;

use super::sampling::Asked;
use crate::Limits;

pub use lumos_record::{Emulator, Precision, Selection};

/// What a function may use under a setting.
pub fn limits(selection: &Selection, setting: &Setting) -> Limits {
    let default = Limits::of_memory(selection.memory_limit_bytes);
    Limits {
        memory_bytes: setting.memory_bytes.unwrap_or(default.memory_bytes),
        cpus_milli: setting.cpus_milli,
        cgroup: setting.has_limits(),
    }
}

/// A selection whose globs are compiled, together with Criterion's filter.
#[derive(Debug)]
pub struct Filter {
    suites: Vec<GlobMatcher>,
    functions: Vec<GlobMatcher>,
    runtimes: Vec<GlobMatcher>,
    payloads: Vec<GlobMatcher>,
    criterion: CriterionFilter,
}

impl Filter {
    /// Compiles a selection.
    ///
    /// # Errors
    /// When a glob is malformed; the message holds it.
    pub fn new(selection: &Selection, criterion: CriterionFilter) -> anyhow::Result<Self> {
        Ok(Self {
            suites: compile(&selection.suites)?,
            functions: compile(&selection.functions)?,
            runtimes: compile(&selection.runtimes)?,
            payloads: compile(&selection.payloads)?,
            criterion,
        })
    }

    /// Whether a case is to run.
    pub fn accepts(&self, case: &Case) -> bool {
        // A suite without payload is not thrown out by a choice of payloads.
        let payload = !case.suite.takes_payload() || any(&self.payloads, &case.payload);
        payload
            && any(&self.suites, case.suite.name())
            && any(&self.functions, &case.function)
            && any(&self.runtimes, &case.runtime)
            && self.criterion.accepts(&case.to_string())
    }
}

fn compile(globs: &[String]) -> anyhow::Result<Vec<GlobMatcher>> {
    globs.iter().map(|glob| Ok(Glob::new(glob)?.compile_matcher())).collect()
}

fn any(globs: &[GlobMatcher], name: &str) -> bool {
    globs.is_empty() || globs.iter().any(|glob| glob.is_match(name))
}

/// The filter among Criterion's own arguments.
///
/// Criterion applies it too; here it keeps cases that Criterion would leave out from being
/// prepared, which may take seconds each.
#[derive(Debug)]
pub enum CriterionFilter {
    /// No filter.
    All,
    /// A regular expression, searched for in the id.
    Regex(Regex),
    /// The whole id.
    Exact(String),
}

impl CriterionFilter {
    fn accepts(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Regex(regex) => regex.is_match(id),
            Self::Exact(exact) => exact == id,
        }
    }
}

/// What Criterion's arguments mean for the harness.
#[derive(Debug)]
pub struct CriterionArguments {
    /// The filter.
    pub filter: CriterionFilter,
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

impl CriterionArguments {
    /// Criterion's options that are followed by a value, as of version 0.8.
    const WITH_VALUE: [&str; 18] = [
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
    /// When the filter is no regular expression.
    pub fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let (mut pattern, mut exact, mut bench) = (None, false, false);
        let mut purpose = Purpose::Measure;
        let (mut save_baseline, mut baseline) = (None, None);
        let mut asked = Asked::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                _ => (argument.as_str(), None),
            };
            match name {
                "--bench" => bench = true,
                "--exact" => exact = true,
                "--quick" => anyhow::bail!(
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
                match name {
                    "-s" | "--save-baseline" => save_baseline = value,
                    "-b" | "--baseline" => baseline = value,
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
            None => CriterionFilter::All,
            Some(id) if exact => CriterionFilter::Exact(id.to_owned()),
            Some(pattern) => CriterionFilter::Regex(Regex::new(pattern)?),
        };
        Ok(Self { filter, save_baseline, baseline, asked, purpose })
    }
}

impl Purpose {
    fn max(self, other: Self) -> Self {
        if self as u8 >= other as u8 { self } else { other }
    }
}

#[cfg(test)]
mod tests {
    use lumos_record::Suite;

    use super::*;

    fn case(suite: Suite, function: &str, runtime: &str, payload: &str) -> Case {
        let (function, runtime, payload) = (function.into(), runtime.into(), payload.into());
        Case { suite, function, runtime, payload, setting: Setting::default() }
    }

    fn arguments(line: &str) -> CriterionArguments {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        CriterionArguments::parse(&words).unwrap()
    }

    #[test]
    fn globs_choose_and_empty_lists_take_all() {
        let selection = Selection {
            runtimes: vec!["wasmi-*".into()],
            payloads: vec!["64KiB".into()],
            ..Selection::default()
        };
        let filter = Filter::new(&selection, CriterionFilter::All).unwrap();
        assert!(filter.accepts(&case(Suite::Call, "json", "wasmi-lazy", "64KiB")));
        assert!(!filter.accepts(&case(Suite::Call, "json", "wasmi-lazy", "1KiB")));
        assert!(!filter.accepts(&case(Suite::Call, "json", "native", "64KiB")));
        assert!(filter.accepts(&case(Suite::Load, "json", "wasmi-eager", Case::NO_PAYLOAD)));
    }

    #[test]
    fn criterions_filter_is_found_among_its_options() {
        let parsed = arguments("--bench --save-baseline main --sample-size 20 warm/.*native");
        assert_eq!(parsed.save_baseline.as_deref(), Some("main"));
        assert_eq!(parsed.purpose, Purpose::Measure);
        let asked = Asked { samples: Some(20), ..Asked::default() };
        assert_eq!(parsed.asked, asked);
        let filter = Filter::new(&Selection::default(), parsed.filter).unwrap();
        assert!(filter.accepts(&case(Suite::Warm, "noop", "native-process", "empty")));
        assert!(!filter.accepts(&case(Suite::Call, "noop", "native", "empty")));
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
    fn a_bad_pattern_and_a_bad_selection_are_errors() {
        assert!(CriterionArguments::parse(&["(".to_owned()]).is_err());
        let quick = CriterionArguments::parse(&["--bench".to_owned(), "--quick".to_owned()]);
        assert!(quick.unwrap_err().to_string().contains("in turns"));
        let selection = Selection { suites: vec!["a[".into()], ..Selection::default() };
        assert!(Filter::new(&selection, CriterionFilter::All).is_err());
    }
}
