//! Which runtime is what: engine, sandbox, mode and reference, from the manifest alone.

use lumos_record::{Case, Lane, Mode, Runtime};

/// The runtimes of the artifact manifest.
pub struct Runtimes<'a>(&'a [Runtime]);

impl<'a> Runtimes<'a> {
    /// Takes the manifest's list; it may be empty.
    pub fn new(runtimes: &'a [Runtime]) -> Self {
        Self(runtimes)
    }

    /// The runtime of that name in a lane; none when the manifest holds no such runtime.
    pub fn find(&self, lane: Lane, name: &str) -> Option<&'a Runtime> {
        self.0.iter().find(|runtime| runtime.is_called(lane, name))
    }

    /// How a runtime runs code, if the manifest says.
    pub fn mode_of(&self, lane: Lane, name: &str) -> Option<Mode> {
        Some(self.find(lane, name)?.mode)
    }

    /// Whether others are compared with it, and it with none: native code in a plain process.
    pub fn is_reference(&self, lane: Lane, name: &str) -> bool {
        self.find(lane, name).is_some_and(|runtime| {
            runtime.mode == Mode::Native && runtime.sandbox == Runtime::PROCESS
        })
    }

    /// The names of the runtimes that a case is compared with; see [`Runtime::references`].
    pub fn references(&self, case: &Case) -> Vec<String> {
        let names = |runtime: &Runtime| runtime.name_in(case.suite.lane());
        Runtime::references(self.0, case).into_iter().map(names).collect()
    }

    /// A key that sorts cases for a reader: by suite, function, payload, then runtime.
    pub fn order(&self, case: &Case) -> impl Ord + use<> {
        let runtime = self.rank(case.suite.lane(), &case.runtime);
        (case.suite, case.function.clone(), payload_rank(&case.payload), case.setting, runtime)
    }

    /// A key that sorts runtimes for a reader: by mode, native first, then plain processes before
    /// containers, then by name.
    pub fn rank(&self, lane: Lane, name: &str) -> impl Ord + use<> {
        let mode = self.mode_of(lane, name);
        let contained = !self.is_reference(lane, name) && mode == Some(Mode::Native);
        // `None` sorts first by itself, but what the manifest does not know belongs last.
        (mode.is_none(), mode, contained, name.to_owned())
    }
}

/// A key that sorts payloads by size where their ids begin with one: `8KiB`, `64KiB`, `1MiB`.
pub fn payload_rank(id: &str) -> impl Ord + use<> {
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
        Runtime::plain(name, "fake", mode, "1", ArtifactKind::Wasm)
    }

    fn case(suite: Suite, runtime: &str) -> Case {
        let (function, runtime, payload) = ("noop".into(), runtime.into(), "-".into());
        Case { suite, function, runtime, payload, setting: Default::default() }
    }

    /// The same code in a container, which has no part in the in-process lane.
    fn contained(name: &str, sandbox: &str) -> Runtime {
        Runtime { sandbox: sandbox.into(), loads: None, ..runtime(name, Mode::Native) }
    }

    #[test]
    fn a_served_name_is_an_engines_and_a_sandboxs() {
        let list = [contained("metal", "box"), runtime("fast", Mode::Jit)];
        let runtimes = Runtimes::new(&list);
        let mode = |lane, name| runtimes.mode_of(lane, name);
        assert_eq!(mode(Lane::Served, "fast-process"), Some(Mode::Jit));
        assert_eq!(mode(Lane::Served, "metal-box"), Some(Mode::Native));
        assert_eq!(mode(Lane::InProcess, "metal"), None);
        assert_eq!(mode(Lane::Served, "fast"), None);
    }

    #[test]
    fn references_share_the_lane_and_the_first_the_sandbox() {
        let list =
            [contained("metal", "box"), runtime("metal", Mode::Native), runtime("fast", Mode::Jit)];
        let runtimes = Runtimes::new(&list);
        let served = runtimes.references(&case(Suite::Warm, "fast-process"));
        assert_eq!(served, ["metal-process", "metal-box"]);
        assert!(runtimes.is_reference(Lane::Served, "metal-process"));
        assert!(!runtimes.is_reference(Lane::Served, "metal-box"));
        assert!(runtimes.references(&case(Suite::Warm, "metal-process")).is_empty());
        assert_eq!(runtimes.references(&case(Suite::Warm, "metal-box")), ["metal-process"]);
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
