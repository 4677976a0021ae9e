//! Which runtime is what: engine, sandbox, mode and reference, from the manifest alone.

use lumos_record::{Case, Lane, Mode, Runtime};

/// The runtimes of the artifact manifest.
pub struct Runtimes<'a>(&'a [Runtime]);

impl<'a> Runtimes<'a> {
    /// Takes the manifest's list; it may be empty.
    pub fn new(runtimes: &'a [Runtime]) -> Self {
        Self(runtimes)
    }

    /// The engine behind a runtime's name, and its sandbox (empty in the in-process lane).
    ///
    /// A served runtime is named `<engine>-<sandbox>`. Both may hold hyphens, and one engine's
    /// name may begin another's, so the longest engine that fits is meant. None when the
    /// manifest holds no such engine.
    pub fn engine_of<'n>(&self, lane: Lane, name: &'n str) -> Option<(&'a Runtime, &'n str)> {
        let fits = |engine: &str| match lane {
            Lane::InProcess => (name == engine).then_some(""),
            Lane::Served => {
                name.strip_prefix(engine)?.strip_prefix('-').filter(|sandbox| !sandbox.is_empty())
            }
        };
        let matching = self.0.iter().filter_map(|runtime| Some((runtime, fits(&runtime.name)?)));
        matching.max_by_key(|(runtime, _)| runtime.name.len())
    }

    /// How a runtime runs code, if the manifest says.
    pub fn mode_of(&self, lane: Lane, name: &str) -> Option<Mode> {
        Some(self.engine_of(lane, name)?.0.mode)
    }

    /// The runtimes that a case is compared with: the native ones of its lane and sandbox.
    pub fn references(&self, case: &Case) -> Vec<String> {
        let lane = case.suite.lane();
        let Some((_, sandbox)) = self.engine_of(lane, &case.runtime) else { return Vec::new() };
        let native = self.0.iter().filter(|runtime| runtime.mode == Mode::Native);
        native
            .map(|runtime| match lane {
                Lane::InProcess => runtime.name.clone(),
                Lane::Served => format!("{}-{sandbox}", runtime.name),
            })
            .filter(|reference| *reference != case.runtime)
            .collect()
    }

    /// A key that sorts cases for a reader: by suite, function, payload, then runtime.
    pub fn order(&self, case: &Case) -> impl Ord + use<> {
        let runtime = self.rank(case.suite.lane(), &case.runtime);
        (case.suite, case.function.clone(), payload_rank(&case.payload), runtime)
    }

    /// A key that sorts runtimes for a reader: by mode, native first, then by name.
    pub fn rank(&self, lane: Lane, name: &str) -> impl Ord + use<> {
        let mode = self.mode_of(lane, name);
        // `None` sorts first by itself, but what the manifest does not know belongs last.
        (mode.is_none(), mode, name.to_owned())
    }
}

/// A key that sorts payloads by size where their ids begin with one: `8KiB`, `64KiB`, `1MiB`.
fn payload_rank(id: &str) -> impl Ord + use<> {
    let digits = id.len() - id.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = id[..digits].parse().unwrap_or(0);
    let unit = match id[digits..].chars().next() {
        Some('k' | 'K') => 1 << 10,
        Some('M') => 1 << 20,
        Some('G') => 1 << 30,
        _ => 1,
    };
    (number.saturating_mul(unit), id.to_owned())
}

#[cfg(test)]
mod tests {
    use lumos_record::{ArtifactKind, Suite};

    use super::*;

    fn runtime(name: &str, mode: Mode) -> Runtime {
        Runtime {
            name: name.into(),
            package: "fake".into(),
            mode,
            engine_version: "1".into(),
            loads: ArtifactKind::Wasm,
            serves: ArtifactKind::Wasm,
            worker: None,
        }
    }

    fn case(suite: Suite, runtime: &str) -> Case {
        Case { suite, function: "noop".into(), runtime: runtime.into(), payload: "-".into() }
    }

    #[test]
    fn a_served_name_splits_at_the_longest_engine() {
        let list = [
            runtime("metal", Mode::Native),
            runtime("fast", Mode::Jit),
            runtime("fast-early", Mode::Aot),
        ];
        let runtimes = Runtimes::new(&list);
        let engine = |name| {
            let found = runtimes.engine_of(Lane::Served, name);
            found.map(|(runtime, sandbox)| (runtime.name.as_str(), sandbox.to_owned()))
        };
        assert_eq!(engine("fast-early-process"), Some(("fast-early", "process".into())));
        assert_eq!(engine("fast-process"), Some(("fast", "process".into())));
        assert_eq!(engine("fast-two-words"), Some(("fast", "two-words".into())));
        assert_eq!(engine("fast"), None);
        assert_eq!(engine("faster-process"), None);
    }

    #[test]
    fn the_reference_shares_lane_and_sandbox() {
        let list = [runtime("metal", Mode::Native), runtime("fast", Mode::Jit)];
        let runtimes = Runtimes::new(&list);
        assert_eq!(runtimes.references(&case(Suite::Warm, "fast-oci")), ["metal-oci"]);
        assert_eq!(runtimes.references(&case(Suite::Call, "fast")), ["metal"]);
        assert!(runtimes.references(&case(Suite::Call, "metal")).is_empty());
        assert!(runtimes.references(&case(Suite::Call, "unheard-of")).is_empty());
    }

    #[test]
    fn the_reader_meets_native_first_and_the_unknown_last() {
        let list = [runtime("slow", Mode::Interpreted), runtime("metal", Mode::Native)];
        let runtimes = Runtimes::new(&list);
        let mut names = ["unheard-of", "slow", "metal"];
        names.sort_by_key(|name| runtimes.rank(Lane::InProcess, name));
        assert_eq!(names, ["metal", "slow", "unheard-of"]);
    }

    #[test]
    fn payloads_sort_by_size() {
        let mut ids = ["1MiB", "64KiB", "8KiB", "empty", "100k", "99"];
        ids.sort_by_key(|id| payload_rank(id));
        assert_eq!(ids, ["empty", "99", "8KiB", "64KiB", "100k", "1MiB"]);
    }
}
