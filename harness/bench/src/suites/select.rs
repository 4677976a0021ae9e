//! Which cases to run: what `cargo xtask bench` asks for, and Criterion's own filter.

use std::path::PathBuf;
use std::time::Duration;

use globset::{Glob, GlobMatcher};
use lumos_record::{Case, Profile, Round, Setting, Suite};
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::sampling::Asked;
use crate::Limits;

/// The choice of `cargo xtask bench`, passed to the measuring processes as JSON in
/// [`Selection::VARIABLE`]. Without it everything in the standard profile runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// The profile.
    pub profile: Profile,
    /// The seed that goes into the run's manifest.
    pub seed: u64,
    /// Which round this is, for the run's manifest; none where all is measured once.
    pub round: Option<Round>,
    /// How many rounds there are; 0 means the default.
    pub rounds: u32,
    /// Globs over suites; empty means all.
    pub suites: Vec<String>,
    /// Globs over functions.
    pub functions: Vec<String>,
    /// Globs over runtimes, with their sandbox in the served lane.
    pub runtimes: Vec<String>,
    /// Globs over payload ids.
    pub payloads: Vec<String>,
    /// What workers are given and find, one series each; empty means the default.
    pub settings: Vec<Setting>,
    /// Print the cases, one JSON object a line, and do nothing else.
    pub list: bool,
    /// Run every case once and check it, without timing it.
    pub verify: bool,
    /// Only the first payload of each function, which is the least work.
    pub first_payload: bool,
    /// How long one invocation may take, in milliseconds; 0 means the default.
    pub invocation_limit_ms: u64,
    /// The most memory that a function may use, in bytes; 0 means the default.
    pub memory_limit_bytes: u64,
    /// How precisely figures are to be known.
    pub precision: Precision,
    /// Run the workers of another architecture through an emulator; only the served lane can.
    pub emulator: Option<Emulator>,
}

/// How precisely figures are to be known when all cases have had their rounds: those that are not
/// have more, as long as there is time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// As the profile has it, for 15 % of the time that the rounds have taken.
    #[default]
    Usual,
    /// Within so many thousandths, for as long as the rounds have taken.
    WithinPermille(u32),
    /// No case has more rounds than were asked for.
    Off,
}

/// What runs another architecture's programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emulator {
    /// The architecture.
    pub arch: String,
    /// The program, which takes another and its arguments.
    pub program: PathBuf,
    /// What the emulated processor offers beyond what all of its architecture have, as far as it
    /// is known.
    pub features: Vec<String>,
    /// Why the kernel runs no such programs by itself, as containers need it, if it does not.
    pub lacks: Option<String>,
}

impl Selection {
    /// The environment variable that carries the selection.
    pub const VARIABLE: &str = "LUMOS_SELECT";

    /// How long one invocation may take where nothing else is asked for.
    const DEFAULT_LIMIT_MS: u64 = 60_000;

    /// Reads the selection from the environment.
    ///
    /// # Errors
    /// When the variable is set to something else than a selection.
    pub fn from_environment() -> anyhow::Result<Self> {
        match std::env::var(Self::VARIABLE) {
            Ok(json) => serde_json::from_str(&json)
                .map_err(|error| anyhow::anyhow!("{}: {error}", Self::VARIABLE)),
            Err(_) => Ok(Self::default()),
        }
    }

    /// How long one invocation may take.
    pub fn invocation_limit(&self) -> Duration {
        Duration::from_millis(match self.invocation_limit_ms {
            0 => Self::DEFAULT_LIMIT_MS,
            limit => limit,
        })
    }

    /// How many rounds there are.
    pub fn rounds(&self) -> u32 {
        match self.rounds {
            // What is only verified is the same in each.
            _ if self.verify => 1,
            0 => Round::USUAL,
            rounds => rounds,
        }
    }

    /// How far an interval may reach from its figure, in thousandths of it, and the share of the
    /// rounds' time that more of them may take; none where nobody goes on.
    pub fn precision(&self) -> Option<(u32, f64)> {
        /// The share where nobody has asked.
        const USUAL_SHARE: f64 = 0.15;
        // What is emulated, or tried once, says nothing of a time.
        if self.verify || self.emulator.is_some() {
            return None;
        }
        match (self.precision, self.profile) {
            (Precision::Off, _) => None,
            (Precision::WithinPermille(permille), _) => Some((permille, 1.0)),
            (Precision::Usual, Profile::Quick) => Some((100, USUAL_SHARE)),
            (Precision::Usual, Profile::Standard) => Some((50, USUAL_SHARE)),
            (Precision::Usual, Profile::Full) => Some((30, USUAL_SHARE)),
        }
    }

    /// What a function may use under a setting.
    pub fn limits(&self, setting: &Setting) -> Limits {
        let default = Limits::of_memory(self.memory_limit_bytes);
        Limits {
            memory_bytes: setting.memory_bytes.unwrap_or(default.memory_bytes),
            cpus_milli: setting.cpus_milli,
            cgroup: setting.has_limits(),
        }
    }

    /// Whether a suite is a part of what is to run; one that is measured on request has to be
    /// named, by more than a glob that happens to match.
    pub fn asks_for(&self, suite: Suite) -> bool {
        let is_named = self.suites.iter().any(|glob| glob == suite.name());
        !suite.is_on_request() || self.profile == Profile::Full || is_named
    }

    /// The settings to measure, one at least.
    pub fn settings(&self) -> Vec<Setting> {
        match self.settings.is_empty() {
            true => vec![Setting::default()],
            false => self.settings.clone(),
        }
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
    fn a_suite_on_request_has_to_be_named() {
        let asks = |profile, suites: &[&str]| {
            let suites = suites.iter().map(|&glob| glob.to_owned()).collect();
            let selection = Selection { profile, suites, ..Selection::default() };
            (selection.asks_for(Suite::Pull), selection.asks_for(Suite::Warm))
        };
        assert_eq!(asks(Profile::Standard, &[]), (false, true));
        assert_eq!(asks(Profile::Standard, &["*"]), (false, true));
        assert_eq!(asks(Profile::Quick, &["pull"]), (true, true));
        assert_eq!(asks(Profile::Full, &[]), (true, true));
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
