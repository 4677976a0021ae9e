//! A run that is made up: four fake engines, steady samples.

use std::fs;
use std::path::{Path, PathBuf};

use lumos_record::{
    ArtifactManifest, Case, ChainFacts, Failure, Finished, Layout, Node, Pull, PullCheck, Record,
    Round, Run, RunWriter, Setting, Skip, StateBackend, Suite,
};
use lumos_workloads::sha256_hex;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::records::*;
use crate::generate;

/// A checkout in a temporary folder with one run in it.
pub struct Fixture {
    pub folder: TempDir,
    pub layout: Layout,
    pub writer: RunWriter,
    pub cases: usize,
}

impl Fixture {
    pub fn new() -> Self {
        Self::on(Node { emulated: false, ..node() })
    }

    pub fn on(node: Node) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let layout = Layout::at(root);
        let artifacts = serde_json::to_vec(&artifacts()).unwrap();
        fs::create_dir_all(layout.artifacts()).unwrap();
        fs::write(layout.artifacts().join(ArtifactManifest::FILE), &artifacts).unwrap();
        let sha256 = sha256_hex(&artifacts);
        let writer = RunWriter::create(&layout.runs(), manifest(node, sha256)).unwrap();
        Self { folder, layout, writer, cases: 0 }
    }

    /// The run that the snapshots are of: every suite, an absence of every kind.
    pub fn complete() -> Self {
        let mut fixture = Self::new();
        for (engine, factor) in [("alpha", 1.0), ("gamma", 1.25), ("beta", 20.0)] {
            let served = format!("{engine}-process");
            for function in ["noop", "sort"] {
                fixture.measure_served(function, &served, factor);
                fixture.measure_in_process(function, engine, factor, 50_000.0 * factor);
            }
        }
        for (function, factor) in [("noop", 25.0), ("sort", 1.3)] {
            fixture.measure_in_process(function, "delta", factor, 20e6);
        }
        fixture.measure_variants();
        fixture.take_apart();
        fixture.sweep();
        fixture.relay();
        let case = case(Suite::Warm, "sort", "beta-process", "1MiB");
        fixture.write(Record::Skip(Skip { case, reason: "needs 3 GiB | has 2 GiB".into() }));
        let case = self::case(Suite::Warm, "sort", "gamma-process", "1MiB");
        fixture.write(Record::Started { case: case.clone() });
        fixture.write(Record::Failure(Failure { case, cause: "wrong answer <0x00>".into() }));
        let case = self::case(Suite::Call, "sort", "beta", "1MiB");
        fixture.write(Record::Started { case });
        let case = self::case(Suite::Pull, "noop", "alpha-box", Case::NO_PAYLOAD);
        fixture.measure(&case, &[1.0; 24], &steady(24, 9e6));
        fixture.follow_by(&[Some(25_000_000), None]);
        fixture.in_rounds();
        fixture
    }

    /// Makes the run one of five rounds, in which the node is fast and slow, and each case varies
    /// by up to a hundredth by itself.
    pub fn in_rounds(&self) {
        let records = fs::read_to_string(self.run_folder().join(Run::RECORDS)).unwrap();
        let (manifest, rest) = records.split_once('\n').unwrap();
        for (number, weather) in (1..).zip([1.0, 1.4, 0.9, 1.0, 1.2]) {
            let folder = self.round_folder(number);
            let Record::Run(mut own) = serde_json::from_str(manifest).unwrap() else { panic!() };
            own.run = folder.file_name().unwrap().to_string_lossy().into_owned();
            own.round = Some(Round { series: "fixture".into(), number, of: 5 });
            if number > 1 {
                self.copy_round(&folder, number, weather);
            }
            let own = serde_json::to_string(&Record::Run(own)).unwrap();
            fs::write(folder.join(Run::RECORDS), format!("{own}\n{rest}")).unwrap();
        }
    }

    pub fn copy_round(&self, folder: &Path, number: u32, weather: f64) {
        fs::create_dir_all(folder).unwrap();
        fs::copy(self.run_folder().join(PullCheck::FILE), folder.join(PullCheck::FILE)).unwrap();
        for case in 1..=self.cases {
            let relative = format!("criterion/{case:04}");
            let (from, to) = (self.run_folder().join(&relative), folder.join(&relative));
            fs::create_dir_all(&to).unwrap();
            fs::copy(from.join("benchmark.json"), to.join("benchmark.json")).unwrap();
            let sample = fs::read(from.join("sample.json")).unwrap();
            let mut sample: Value = serde_json::from_slice(&sample).unwrap();
            let own = 1.0 + (((case * 7 + number as usize * 3) % 5) as f64 - 2.0) / 400.0;
            for time in sample["times"].as_array_mut().unwrap() {
                *time = json!(time.as_f64().unwrap() * weather * own);
            }
            fs::write(to.join("sample.json"), sample.to_string()).unwrap();
        }
    }

    pub fn round_folder(&self, number: u32) -> PathBuf {
        match number {
            1 => self.run_folder(),
            _ => self.layout.runs().join(format!("{RUN}-{number}")),
        }
    }

    pub fn measure_served(&mut self, function: &str, runtime: &str, factor: f64) {
        let cold = case(Suite::ColdStart, function, runtime, "4KiB");
        let start_ns = 600_000.0 + 150_000.0 * factor;
        self.measure(&cold, &[1.0; 24], &steady(24, start_ns));
        for sample in 0..8 {
            self.write(Record::Phases(ledger(&cold, sample, factor)));
            self.write(Record::Worker(used(&cold, 1, factor)));
        }
        let warm = case(Suite::Warm, function, runtime, "4KiB");
        self.measure(&warm, &[1.0; 30], &steady(30, 20_000.0 * factor));
        self.write(Record::Worker(used(&warm, 31, factor)));
    }

    /// The suites of a function alone; those of an instance are the same for all.
    pub fn measure_in_process(&mut self, function: &str, runtime: &str, factor: f64, load_ns: f64) {
        let call = case(Suite::Call, function, runtime, "4KiB");
        let iterations: Vec<f64> = (1..=20).map(|sample| f64::from(sample * 100)).collect();
        let times: Vec<f64> = std::iter::zip(&iterations, steady(20, 300.0 * factor))
            .map(|(iterations, time_ns)| iterations * time_ns)
            .collect();
        self.measure(&call, &iterations, &times);
        let load = case(Suite::Load, function, runtime, Case::NO_PAYLOAD);
        self.measure(&load, &[1.0; 12], &steady(12, load_ns));
        let instantiate = case(Suite::Instantiate, function, runtime, Case::NO_PAYLOAD);
        self.measure(&instantiate, &[1.0; 12], &steady(12, 9_000.0));
    }

    /// One function in three variants, on an engine that compiles and one that does not.
    pub fn measure_variants(&mut self) {
        let of_variant = |runtime: &str, variant: Option<&str>| {
            let variant = variant.map(|name| name.parse().unwrap());
            let setting = Setting { variant, ..Setting::default() };
            Case { setting, ..case(Suite::Variants, "noop", runtime, "4KiB") }
        };
        self.measure(&of_variant("alpha", None), &[1.0; 20], &steady(20, 300.0));
        let times = [("gamma", [390.0, 385.0, 290.0]), ("beta", [6000.0, 7500.0, 0.0])];
        for (runtime, times_ns) in times {
            for (variant, time_ns) in std::iter::zip(["O3", "Os", "O3+simd"], times_ns) {
                let case = of_variant(runtime, Some(variant));
                if time_ns > 0.0 {
                    self.measure(&case, &[1.0; 20], &steady(20, time_ns));
                } else {
                    self.write(Record::Skip(Skip { case, reason: "beta has no SIMD".into() }));
                }
            }
        }
    }

    /// Invocations of three runtimes: of one, the timings take longer than what they time; of
    /// another, there is but a reason.
    pub fn take_apart(&mut self) {
        let of = |runtime: &str| case(Suite::Breakdown, "sort", runtime, "4KiB");
        for (runtime, factor, distortion_ns) in
            [("alpha-process", 1.0, 0), ("beta-process", 20.0, 90_000)]
        {
            let case = of(runtime);
            let cold_ns = steady(12, 600_000.0 + 15_000.0 * factor);
            self.measure(&case, &[1.0; 12], &cold_ns);
            for (sample, cold_ns) in (0..).zip(cold_ns) {
                let sample = taken_apart(&case, sample, cold_ns, factor, distortion_ns);
                self.write(Record::Breakdown(sample));
            }
        }
        let (case, reason) = (of("gamma-process"), "gamma has no clock".into());
        self.write(Record::Skip(Skip { case, reason }));
    }

    /// One function over four sizes in one lane and, but for the reference, over two in the other;
    /// and one that gets state from a directory.
    pub fn sweep(&mut self) {
        let sizes = [("64B", 64), ("4KiB", 4 << 10), ("256KiB", 256 << 10), ("16MiB", 16 << 20)];
        for (runtime, fixed_ns, per_byte_ns) in [("alpha", 40.0, 0.2), ("beta", 900.0, 5.0)] {
            for (payload, bytes) in sizes {
                let call = case(Suite::Serialization, "sort", runtime, payload);
                // No line meets all sizes, least of all those of the slower one.
                let beside = match (payload, runtime) {
                    ("256KiB", "beta") => 1.1,
                    ("256KiB", _) => 1.01,
                    _ => 1.0,
                };
                let time_ns = beside * (fixed_ns + per_byte_ns * bytes as f64);
                self.measure_sized(&call, &[1.0; 12], &steady(12, time_ns), bytes);
            }
        }
        for (payload, bytes) in &sizes[..2] {
            let served = case(Suite::SerializationServed, "sort", "beta-process", payload);
            self.measure_sized(&served, &[1.0; 12], &steady(12, 30_000.0), *bytes);
            self.write(Record::Worker(used(&served, 13, 20.0)));
        }
        let setting = Setting { state: Some(StateBackend::Directory), ..Setting::default() };
        for (runtime, factor) in [("alpha-process", 1.0), ("gamma-process", 1.5)] {
            for (payload, bytes) in &sizes[..3] {
                let case = Case { setting, ..case(Suite::Retrieval, "noop", runtime, payload) };
                let beside = if *payload == "4KiB" { 1.02 } else { 1.0 };
                let time_ns = beside * factor * (20_000.0 + *bytes as f64);
                self.measure_sized(&case, &[1.0; 12], &steady(12, time_ns), *bytes);
                self.write(Record::Worker(used(&case, 13, factor)));
            }
        }
    }

    /// A chain of one function over three lengths in both lanes, of which one runtime was measured
    /// in one alone; and one whose last step keeps state, in both places.
    pub fn relay(&mut self) {
        let functions = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        for (chain, functions) in
            [("relay", functions(&["sort"; 3])), ("store", functions(&["sort", "noop"]))]
        {
            self.write(Record::Chain(ChainFacts { chain: chain.to_owned(), functions }));
        }
        let mut measure = |suite, chain, runtime, setting, time_ns| {
            let case = Case { setting, ..case(suite, chain, runtime, "4KiB") };
            self.measure(&case, &[1.0; 12], &steady(12, time_ns));
            if suite == Suite::Chain {
                self.write(Record::Worker(used(&case, 13, 1.0)));
            }
        };
        let of_steps = |steps| Setting { steps: Some(steps), ..Setting::default() };
        for steps in 1..=3 {
            let (setting, count) = (of_steps(steps), f64::from(steps));
            for (runtime, factor) in [("alpha-process", 1.0), ("beta-process", 2.0)] {
                let time_ns = factor * (5_000.0 + 20_000.0 * count);
                measure(Suite::Chain, "relay", runtime, setting, time_ns);
            }
            measure(Suite::ChainLocal, "relay", "beta", setting, 400.0 * count);
        }
        measure(Suite::Chain, "store", "alpha-process", of_steps(1), 30_000.0);
        for &state in StateBackend::ALL {
            let setting = Setting { state: Some(state), ..of_steps(2) };
            let time_ns = if state == StateBackend::Redis { 90_000.0 } else { 70_000.0 };
            measure(Suite::Chain, "store", "alpha-process", setting, time_ns);
        }
    }

    pub fn write(&mut self, record: Record) {
        self.writer.write(&record).unwrap();
    }

    /// Records a case with the files that Criterion leaves; gives their folder.
    pub fn measure(&mut self, case: &Case, iterations: &[f64], times: &[f64]) -> PathBuf {
        self.measure_sized(case, iterations, times, 4096)
    }

    /// The same, for a case that moves this many bytes.
    pub fn measure_sized(
        &mut self,
        case: &Case,
        iterations: &[f64],
        times: &[f64],
        size_bytes: u64,
    ) -> PathBuf {
        self.cases += 1;
        let relative = PathBuf::from(format!("criterion/{:04}", self.cases));
        let folder = self.run_folder().join(&relative);
        fs::create_dir_all(&folder).unwrap();
        let per_iteration: Vec<f64> =
            std::iter::zip(iterations, times).map(|(n, time_ns)| time_ns / n).collect();
        let median = lumos_model::median(&per_iteration).unwrap();
        let estimate = json!({
            "point_estimate": median,
            "confidence_interval": {"lower_bound": median, "upper_bound": median},
        });
        let files = [
            ("benchmark.json", json!({"group_id": case.group(), "full_id": case.to_string()})),
            ("sample.json", json!({"sampling_mode": "Flat", "iters": iterations, "times": times})),
            ("estimates.json", json!({"median": estimate, "slope": null})),
        ];
        for (name, value) in files {
            fs::write(folder.join(name), value.to_string()).unwrap();
        }
        self.write(Record::Started { case: case.clone() });
        let case = case.clone();
        self.write(Record::Finished(Finished {
            case,
            criterion: relative,
            verified: 30,
            size_bytes,
        }));
        folder
    }

    /// Leaves pulls of one image over these links, as a check after the run does.
    pub fn follow_by(&self, bandwidths_bytes_per_s: &[Option<u64>]) {
        let pull = |&bandwidth_bytes_per_s| Pull {
            function: "noop".into(),
            base: "scratch".into(),
            layers: 1,
            compressed_bytes: 200 << 10,
            bandwidth_bytes_per_s,
            round_trip_ns: 400_000,
            times_ns: vec![11_000_000, 10_000_000, 14_000_000],
        };
        let check = PullCheck {
            schema_version: lumos_record::SCHEMA_VERSION,
            registry: "fixture 1".into(),
            notes: vec!["a note | of the check".into()],
            pulls: bandwidths_bytes_per_s.iter().map(pull).collect(),
        };
        let path = self.run_folder().join(PullCheck::FILE);
        fs::write(path, serde_json::to_vec(&check).unwrap()).unwrap();
    }

    pub fn run_folder(&self) -> PathBuf {
        self.layout.runs().join(RUN)
    }

    /// Makes the report and gives its JSON.
    pub fn report(&self) -> Value {
        generate(&self.layout, &self.run_folder(), &self.layout.report()).unwrap();
        serde_json::from_str(&self.output("report.json")).unwrap()
    }

    pub fn output(&self, name: &str) -> String {
        fs::read_to_string(self.layout.report().join(name)).unwrap()
    }

    /// Makes the report of a run whose only measured case had `file` replaced by `text`, and
    /// gives the reason of the failure that this became.
    pub fn failure_after(file: &str, text: &str) -> String {
        let mut fixture = Self::new();
        let case = case(Suite::Warm, "noop", "alpha-process", "4KiB");
        let folder = fixture.measure(&case, &[1.0; 10], &steady(10, 1_000.0));
        fs::write(folder.join(file), text).unwrap();
        let report = fixture.report();
        assert_eq!(report["estimates"], json!([]));
        report["failures"][0]["reason"].as_str().unwrap().to_owned()
    }
}
