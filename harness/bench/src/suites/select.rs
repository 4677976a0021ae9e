//! Which cases to run: what `cargo xtask bench` asks for, and Criterion's own filter.

use globset::{Glob, GlobMatcher};
use lumos_criterion::CaseFilter;
use lumos_record::{Case, Setting};
use regex::Regex;

use crate::Limits;

pub use lumos_record::{Emulator, Precision, Selection};

/// What a function may use under a setting.
pub fn limits(selection: &Selection, setting: &Setting) -> Limits {
    let default = Limits::of_memory(selection.memory_limit_bytes);
    Limits {
        memory_bytes: setting.memory_bytes.unwrap_or(default.memory_bytes),
        stack_bytes: setting.stack_bytes.map_or(default.stack_bytes, u64::from),
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
    id: Option<Regex>,
}

impl Filter {
    /// Compiles a selection.
    ///
    /// # Errors
    /// When a glob or Criterion's filter is malformed; the message holds it.
    pub fn new(selection: &Selection, criterion: &CaseFilter) -> anyhow::Result<Self> {
        Ok(Self {
            suites: compile(&selection.suites)?,
            functions: compile(&selection.functions)?,
            runtimes: compile(&selection.runtimes)?,
            payloads: compile(&selection.payloads)?,
            id: match criterion {
                CaseFilter::All => None,
                CaseFilter::Pattern(pattern) => Some(Regex::new(pattern)?),
                CaseFilter::Exact(id) => Some(Regex::new(&format!("^{}$", regex::escape(id)))?),
            },
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
            && self.id.as_ref().is_none_or(|id| id.is_match(&case.to_string()))
    }
}

fn compile(globs: &[String]) -> anyhow::Result<Vec<GlobMatcher>> {
    globs.iter().map(|glob| Ok(Glob::new(glob)?.compile_matcher())).collect()
}

fn any(globs: &[GlobMatcher], name: &str) -> bool {
    globs.is_empty() || globs.iter().any(|glob| glob.is_match(name))
}

#[cfg(test)]
mod tests {
    use lumos_record::Suite;

    use super::*;

    fn case(suite: Suite, function: &str, runtime: &str, payload: &str) -> Case {
        let (function, runtime, payload) = (function.into(), runtime.into(), payload.into());
        Case { suite, function, runtime, payload, setting: Setting::default() }
    }

    #[test]
    fn globs_choose_and_empty_lists_take_all() {
        let selection = Selection {
            runtimes: vec!["wasmi-*".into()],
            payloads: vec!["64KiB".into()],
            ..Selection::default()
        };
        let filter = Filter::new(&selection, &CaseFilter::All).unwrap();
        assert!(filter.accepts(&case(Suite::Call, "json", "wasmi-lazy", "64KiB")));
        assert!(!filter.accepts(&case(Suite::Call, "json", "wasmi-lazy", "1KiB")));
        assert!(!filter.accepts(&case(Suite::Call, "json", "native", "64KiB")));
        assert!(filter.accepts(&case(Suite::Load, "json", "wasmi-eager", Case::NO_PAYLOAD)));
    }

    #[test]
    fn criterions_filter_is_searched_for_or_the_whole_id() {
        let of = |filter: CaseFilter| Filter::new(&Selection::default(), &filter).unwrap();
        let warm = case(Suite::Warm, "noop", "native-process", "empty");
        let call = case(Suite::Call, "noop", "native", "empty");
        let pattern = of(CaseFilter::Pattern("warm/.*native".into()));
        assert!(pattern.accepts(&warm) && !pattern.accepts(&call));
        let exact = of(CaseFilter::Exact(call.to_string()));
        assert!(exact.accepts(&call) && !exact.accepts(&warm));
        assert!(!of(CaseFilter::Exact("call/noop".into())).accepts(&call));
    }

    #[test]
    fn a_bad_pattern_and_a_bad_selection_are_errors() {
        let bad = CaseFilter::Pattern("(".into());
        assert!(Filter::new(&Selection::default(), &bad).is_err());
        let selection = Selection { suites: vec!["a[".into()], ..Selection::default() };
        assert!(Filter::new(&selection, &CaseFilter::All).is_err());
    }
}
