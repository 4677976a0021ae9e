//! The whole command over a run that this file makes up: four fake engines, steady samples.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use lumos_record::{
    Artifact, ArtifactKind, ArtifactManifest, Breakdown, Case, ChainFacts, Compilation, CpuTime,
    Failure, Finished, Image, Layout, Ledger, Mode, Node, Phase, PhaseSpan, PrecisionReached,
    Profile, Pull, PullCheck, Record, Revision, Round, RunManifest, RunWriter, Runtime, Setting,
    Skip, StateBackend, Suite, TimedCalls, Toolchain, Variant, Weather, WorkerUse,
};
use lumos_workloads::sha256_hex;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const RUN: &str = "20260504-133700-fixture";

/// A target that is not the node's.
const ELSEWHERE: &str = "aarch64-unknown-linux-musl";

/// A checkout in a temporary folder with one run in it.
struct Fixture {
    folder: TempDir,
    layout: Layout,
    writer: RunWriter,
    cases: usize,
}

impl Fixture {
    fn new() -> Self {
        Self::on(Node { emulated: false, ..node() })
    }

    fn on(node: Node) -> Self {
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
    fn complete() -> Self {
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
    fn in_rounds(&self) {
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

    fn copy_round(&self, folder: &Path, number: u32, weather: f64) {
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

    fn round_folder(&self, number: u32) -> PathBuf {
        match number {
            1 => self.run_folder(),
            _ => self.layout.runs().join(format!("{RUN}-{number}")),
        }
    }

    fn measure_served(&mut self, function: &str, runtime: &str, factor: f64) {
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
    fn measure_in_process(&mut self, function: &str, runtime: &str, factor: f64, load_ns: f64) {
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
    fn measure_variants(&mut self) {
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
    fn take_apart(&mut self) {
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
    fn sweep(&mut self) {
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
    fn relay(&mut self) {
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

    fn write(&mut self, record: Record) {
        self.writer.write(&record).unwrap();
    }

    /// Records a case with the files that Criterion leaves; gives their folder.
    fn measure(&mut self, case: &Case, iterations: &[f64], times: &[f64]) -> PathBuf {
        self.measure_sized(case, iterations, times, 4096)
    }

    /// The same, for a case that moves this many bytes.
    fn measure_sized(
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
        let files = [
            ("benchmark.json", json!({"group_id": case.group(), "full_id": case.to_string()})),
            ("sample.json", json!({"sampling_mode": "Flat", "iters": iterations, "times": times})),
            ("estimates.json", json!({"median": {"point_estimate": median}, "slope": null})),
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
    fn follow_by(&self, bandwidths_bytes_per_s: &[Option<u64>]) {
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

    fn run_folder(&self) -> PathBuf {
        self.layout.runs().join(RUN)
    }

    /// Makes the report and gives its JSON.
    fn report(&self) -> Value {
        generate(&self.layout, &self.run_folder(), &self.layout.report()).unwrap();
        serde_json::from_str(&self.output("report.json")).unwrap()
    }

    fn output(&self, name: &str) -> String {
        fs::read_to_string(self.layout.report().join(name)).unwrap()
    }

    /// Makes the report of a run whose only measured case had `file` replaced by `text`, and
    /// gives the reason of the failure that this became.
    fn failure_after(file: &str, text: &str) -> String {
        let mut fixture = Self::new();
        let case = case(Suite::Warm, "noop", "alpha-process", "4KiB");
        let folder = fixture.measure(&case, &[1.0; 10], &steady(10, 1_000.0));
        fs::write(folder.join(file), text).unwrap();
        let report = fixture.report();
        assert_eq!(report["estimates"], json!([]));
        report["failures"][0]["reason"].as_str().unwrap().to_owned()
    }
}

fn node() -> Node {
    Node {
        cpu_model: "Fixture CPU".into(),
        cpus: 2,
        arch: "x86_64".into(),
        memory_bytes: 8 << 30,
        kernel: "6.1".into(),
        os: "Debian 12".into(),
        governor: "none".into(),
        cgroup: "v2".into(),
        virtualization: "kvm".into(),
        timer_precision_ns: 1,
        timer_cost_ns: 20,
        emulated: false,
    }
}

fn manifest(node: Node, artifacts_sha256: String) -> RunManifest {
    RunManifest {
        schema_version: lumos_record::SCHEMA_VERSION,
        run: RUN.into(),
        started_unix_ms: 1_777_901_820_000,
        session: "fixture".into(),
        profile: Profile::Standard,
        node,
        revision: Revision { commit: "0123456789abcdef".into(), dirty: false },
        toolchain: Toolchain {
            provider: "rustup".into(),
            rustc: "rustc 1.95.0".into(),
            llvm: "22".into(),
        },
        engines: vec!["alpha 1".into(), "beta 2".into(), "delta 3".into(), "gamma 3".into()],
        artifacts_sha256,
        seed: 7,
        command_line: vec!["/somewhere/xtask".into(), "bench".into()],
        ..RunManifest::default()
    }
}

fn artifacts() -> ArtifactManifest {
    let runtime = |name: &str, mode, loads, serves| Runtime {
        serves,
        worker: (mode != Mode::Native).then(|| format!("lumos-{name}")),
        ..Runtime::plain(name, &format!("lumos-{name}"), mode, "1", loads)
    };
    let artifact = |kind, function: Option<&str>, engine: Option<&str>, bytes| Artifact {
        kind,
        function: function.map(str::to_owned),
        engine: engine.map(str::to_owned),
        engine_version: None,
        path: "unused".into(),
        bytes,
        sha256: "00".into(),
        source_hash: "11".into(),
        target: "x86_64-unknown-linux-musl".into(),
        toolchain: "rustc 1.95.0".into(),
        flags: Vec::new(),
        build_time_ns: 1,
        text_bytes: None,
        variant: None,
        compilation: None,
        image: None,
    };
    use ArtifactKind::{NativeExe, NativeLib, Precompiled, Wasm, Worker};
    let with_text = |made: Artifact, text_bytes| Artifact { text_bytes: Some(text_bytes), ..made };
    let elsewhere = |made: Artifact| Artifact { target: ELSEWHERE.into(), ..made };
    let wasm = |function, bytes| Artifact {
        target: "wasm32-wasip1".into(),
        ..artifact(Wasm, Some(function), None, bytes)
    };
    let compiled = |bytes, times_ns: &[u64]| {
        let plain = artifact(Precompiled, Some("noop"), Some("gamma"), bytes);
        let compilation = Compilation {
            compile_ns: times_ns.to_vec(),
            peak_rss_bytes: Some(48 << 20),
            ..Compilation::default()
        };
        Artifact { compilation: Some(compilation), ..with_text(plain, 31 << 10) }
    };
    let varied = |made: Artifact, variant: &str| Artifact {
        variant: Some(variant.parse::<Variant>().unwrap()),
        ..made
    };
    let mut list = vec![with_text(artifact(Worker, None, Some("lumos-beta"), 3 << 20), 2 << 20)];
    for (function, scale) in [("noop", 1), ("sort", 2)] {
        let native = artifact(NativeExe, Some(function), None, (scale * 400) << 10);
        list.push(with_text(native.clone(), (scale * 290) << 10));
        list.push(elsewhere(with_text(native, (scale * 310) << 10)));
        let module = wasm(function, (scale * 20) << 10);
        list.push(with_text(module, (scale * 15) << 10));
    }
    const TIMES_NS: [u64; 8] = [22, 21, 23, 21, 24, 22, 21, 25];
    list.push(compiled(60 << 10, &TIMES_NS.map(|time_ms| time_ms * 1_000_000)));
    list.push(elsewhere(compiled(192 << 10, &[26_000_000, 25_000_000, 27_000_000])));
    for (variant, kibibytes) in [("Os", 16), ("O3+simd", 21)] {
        let module = wasm("noop", kibibytes << 10);
        list.push(varied(with_text(module, (kibibytes - 5) << 10), variant));
        list.push(varied(compiled((kibibytes * 3) << 10, &[20_000_000; 7]), variant));
    }
    let image = |holds, base: &str, base_bytes| Image {
        base: base.to_owned(),
        holds,
        base_bytes,
        compressed_bytes: (200 << 10) + base_bytes / 2,
        base_compressed_bytes: base_bytes / 2,
    };
    for (holds, base, base_bytes) in
        [(NativeExe, "scratch", 0), (NativeExe, "attic", 64 << 20), (Wasm, "scratch", 0)]
    {
        let plain = artifact(ArtifactKind::Image, Some("noop"), None, base_bytes + (400 << 10));
        list.push(Artifact { image: Some(image(holds, base, base_bytes)), ..plain });
    }
    ArtifactManifest {
        schema_version: lumos_record::SCHEMA_VERSION,
        toolchain: Toolchain::default(),
        runtimes: vec![
            runtime("beta", Mode::Interpreted, Wasm, Wasm),
            runtime("gamma", Mode::Aot, Precompiled, Precompiled),
            // The same engine, which compiles when it loads.
            Runtime { package: "lumos-gamma".into(), ..runtime("delta", Mode::Jit, Wasm, Wasm) },
            runtime("alpha", Mode::Native, NativeLib, NativeExe),
            Runtime {
                sandbox: "box".into(),
                loads: None,
                base: Some("scratch".into()),
                suites: vec![Suite::Pull],
                ..runtime("alpha", Mode::Native, NativeLib, ArtifactKind::Image)
            },
        ],
        artifacts: list,
        missing: [
            ("precompiled sort gamma".to_owned(), "gamma refused it".to_owned()),
            ("precompiled sort gamma for aarch64".to_owned(), "it is unheard of".to_owned()),
            ("wasm sort Os".to_owned(), "a variant is no part of ordinary tables".to_owned()),
        ]
        .into(),
        partial: false,
    }
}

fn case(suite: Suite, function: &str, runtime: &str, payload: &str) -> Case {
    let setting = Setting::default();
    let (function, runtime, payload) = (function.into(), runtime.into(), payload.into());
    Case { suite, function, runtime, payload, setting }
}

/// Samples around a middle, a few per cent apart, in no order.
fn steady(count: u32, middle_ns: f64) -> Vec<f64> {
    (0..count)
        .map(|n| middle_ns * (1.0 + f64::from(n * 7 % count) / f64::from(count) / 20.0))
        .collect()
}

fn ledger(case: &Case, sample: u32, factor: f64) -> Ledger {
    let load_ns = (150_000.0 * factor) as u64 + u64::from(sample) * 1_000;
    let phases = [(Phase::Create, 400_000), (Phase::Load, load_ns), (Phase::FirstCall, 200_000)];
    Ledger {
        case: case.clone(),
        sample,
        outer_ns: phases.iter().map(|phase| phase.1).sum(),
        phases: phases.map(|(phase, wall_ns)| PhaseSpan { phase, wall_ns }).into(),
        teardown_ns: 100_000,
    }
}

/// What clocks read in one sample: of the worker with timings, `distortion_ns` more each time than
/// the other took.
fn taken_apart(
    case: &Case,
    sample: u32,
    cold_ns: f64,
    factor: f64,
    distortion_ns: u64,
) -> Breakdown {
    const WARM_CALLS: u32 = 4;
    const CLOCK_NS: u64 = 50;
    let term = |time_ns: f64| (time_ns * factor) as u64;
    let (decode_ns, compute_ns, encode_ns) = (term(2_000.0), term(10_000.0), term(500.0));
    let boundary_ns = 2_500 * factor as u64;
    let calls = |count: u64, more_ns: u64| TimedCalls {
        outer_ns: count
            * (decode_ns + compute_ns + encode_ns + boundary_ns + 4 * CLOCK_NS + more_ns),
        decode_ns: count * (decode_ns + CLOCK_NS),
        compute_ns: count * (compute_ns + CLOCK_NS),
        encode_ns: count * (encode_ns + CLOCK_NS),
        ..TimedCalls::default()
    };
    let call_ns = decode_ns + compute_ns + encode_ns + boundary_ns;
    Breakdown {
        case: case.clone(),
        sample,
        cold_ns: cold_ns as u64,
        warm_ns: u64::from(WARM_CALLS) * call_ns,
        warm_calls: WARM_CALLS,
        launch_ns: cold_ns as u64 - call_ns,
        first: calls(1, 0),
        warm: calls(u64::from(WARM_CALLS), distortion_ns),
        clock_cost_ps: CLOCK_NS * 1000,
    }
}

fn used(case: &Case, invocations: u64, factor: f64) -> WorkerUse {
    WorkerUse {
        case: case.clone(),
        peak_rss_bytes: Some((1 << 20) + (factor * 65_536.0) as u64),
        cpu: CpuTime { user_ns: (500_000.0 * factor) as u64, system_ns: 300_000 },
        invocations,
    }
}

/// Drops the digits in which the logarithms of two machines may differ.
fn rounded(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(rounded).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, rounded(value))).collect(),
        Value::Number(number) if number.is_f64() => {
            let text = format!("{:.9e}", number.as_f64().unwrap());
            json!(text.parse::<f64>().unwrap())
        }
        other => other,
    }
}

#[test]
fn a_complete_run_gives_the_report_of_the_snapshots() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    insta::assert_json_snapshot!("report.json", rounded(report));
    insta::assert_snapshot!("report.md", fixture.output("report.md"));
    insta::assert_snapshot!("report.csv", fixture.output("report.csv"));
}

/// Of two figures in `report.csv`, something says which is which.
#[test]
fn lines_of_the_csv_are_told_apart() {
    let fixture = Fixture::complete();
    fixture.report();
    let text = fixture.output("report.csv");
    let mut seen = HashSet::new();
    for line in text.lines() {
        let (mut fields, mut is_quoted) = (vec![String::new()], false);
        for character in line.chars() {
            match character {
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => fields.push(String::new()),
                other => fields.last_mut().unwrap().push(other),
            }
        }
        assert_eq!(fields.len(), 17, "{line}");
        // From `value` to `p99`.
        fields.drain(8..15);
        assert!(seen.insert(fields), "another line is of the same: {line}");
    }
}

#[test]
fn a_report_is_the_same_every_time_and_whatever_the_order_of_the_run() {
    let fixture = Fixture::complete();
    let first = fixture.report();
    let path = fixture.run_folder().join(Run::RECORDS);
    let text = fs::read_to_string(&path).unwrap();
    let (manifest, rest) = text.split_once('\n').unwrap();
    let mut lines: Vec<&str> = rest.lines().collect();
    // Stable, so that a case's records keep their order among themselves.
    lines.sort_by_key(|line| std::cmp::Reverse(line.find("beta").is_some()));
    fs::write(&path, format!("{manifest}\n{}\n", lines.join("\n"))).unwrap();
    assert_eq!(fixture.report(), first);
}

#[test]
fn a_round_that_was_measured_again_counts_in_the_place_of_the_disturbed_one() {
    let fixture = Fixture::complete();
    let before = fixture.report();
    let records = fs::read_to_string(fixture.round_folder(3).join(Run::RECORDS)).unwrap();
    let again = fixture.round_folder(6);
    fixture.copy_round(&again, 3, 0.9);
    let text = records.replace("\"number\":3", "\"number\":6");
    let weather = Weather {
        wall_ns: 1_000_000_000,
        stolen_ns: Some(20_000_000),
        calibrations_ns: vec![210_000, 200_000, 400_000],
        instead_of: Some(3),
        ..Weather::default()
    };
    let weather = serde_json::to_string(&Record::Weather(weather)).unwrap();
    fs::write(again.join(Run::RECORDS), format!("{text}{weather}\n")).unwrap();
    let report = fixture.report();
    let rounds = &report["run"]["rounds"];
    assert_eq!((&rounds["counted"], &rounds["again"]), (&json!([1, 2, 3, 4, 5]), &json!([3])));
    assert_eq!((&rounds["asked"], &rounds["interrupted"]), (&json!(5), &json!([])));
    assert_eq!(rounds["weather"][0]["round"], json!(3));
    assert_eq!(report["ratios"], before["ratios"], "it was measured alike");
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("5 of 5, 1 measured again since the node was disturbed"));
    assert!(markdown.contains("the same work took 210 µs from round to round"), "{markdown}");
    assert!(markdown.contains("at most 2.0 % of a processor was stolen"), "{markdown}");
}

#[test]
fn a_clock_that_steps_back_changes_no_figure() {
    let fixture = Fixture::complete();
    let before = fixture.report();
    // The names of runs begin with the time of the node.
    let (folder, earlier) = (fixture.round_folder(2), "20200101T000000Z-1-2");
    let records = fs::read_to_string(folder.join(Run::RECORDS)).unwrap();
    let name = folder.file_name().unwrap().to_str().unwrap();
    fs::write(folder.join(Run::RECORDS), records.replacen(name, earlier, 1)).unwrap();
    fs::rename(&folder, folder.with_file_name(earlier)).unwrap();
    let report = fixture.report();
    for list in ["estimates", "ratios", "warnings"] {
        assert_eq!(report[list], before[list], "{list}");
    }
    assert_eq!(report["run"]["name"], before["run"]["name"]);
}

#[test]
fn a_round_of_some_cases_counts_for_these() {
    let fixture = Fixture::complete();
    let before = fixture.report();
    let extra = fixture.round_folder(6);
    fixture.copy_round(&extra, 6, 1.1);
    let records = fs::read_to_string(fixture.round_folder(5).join(Run::RECORDS)).unwrap();
    let is_of_row = |line: &&str| {
        let record: Record = serde_json::from_str(line).unwrap();
        let of_row = |case: &Case| case.suite == Suite::Call && case.function == "sort";
        matches!(record, Record::Run(_))
            || matches!(&record, Record::Finished(f) if of_row(&f.case))
    };
    let lines: Vec<&str> = records.lines().filter(is_of_row).collect();
    let text = lines.join("\n").replace("\"number\":5", "\"number\":6") + "\n";
    fs::write(extra.join(Run::RECORDS), &text).unwrap();
    let interrupted = fixture.report();
    assert_eq!(interrupted["estimates"], before["estimates"]);
    assert_eq!(interrupted["run"]["rounds"]["interrupted"], json!([6]));

    let reached = PrecisionReached {
        wanted_permille: 50,
        figures: 9,
        met: 8,
        more: 1,
        more_ns: 90_000_000_000,
    };
    let end = [Record::Weather(Weather::default()), Record::Precision(reached)]
        .map(|record| serde_json::to_string(&record).unwrap() + "\n");
    fs::write(extra.join(Run::RECORDS), text + &end.concat()).unwrap();
    let report = fixture.report();
    let rounds = &report["run"]["rounds"];
    assert_eq!((&rounds["counted"], &rounds["extra"]), (&json!([1, 2, 3, 4, 5]), &json!([6])));
    let changed = |list: &str| {
        let pairs =
            std::iter::zip(report[list].as_array().unwrap(), before[list].as_array().unwrap());
        let changed = pairs.filter(|(now, then)| now != then);
        changed.map(|(now, _)| format!("{}/{}", now["suite"], now["function"])).collect::<Vec<_>>()
    };
    let estimates = changed("estimates");
    assert!(!estimates.is_empty() && estimates.iter().all(|row| row == "\"call\"/\"sort\""));
    assert!(report["warnings"].as_array().unwrap().is_empty(), "{}", report["warnings"]);
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("5 of 5, 1 more of what was not known"), "{markdown}");
    assert!(markdown.contains("8 of 9 figures are known within 5 %; 91 s more"), "{markdown}");
}

#[test]
fn every_cell_of_a_table_is_a_figure_or_a_reason() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    // Native code has no variants: what has some is a table of its own, and a case stands for it
    // by payload and setting.
    for (suite, varies) in Suite::ALL.iter().flat_map(|suite| [(suite, false), (suite, true)]) {
        let list = |name: &str| report[name].as_array().unwrap().iter();
        let all = ["estimates", "skips", "failures", "unrecorded"].map(list);
        let is_of_table = |cell: &&Value| {
            let setting = cell.get("setting").and_then(Value::as_str).unwrap_or_default();
            cell["suite"] == suite.name() && setting.contains("variant=") == varies
        };
        let cells: Vec<_> = all.into_iter().flatten().filter(is_of_table).collect();
        let count = |keys: &[&str]| {
            let key = |cell: &&Value| keys.iter().map(|key| cell[*key].to_string()).collect();
            cells.iter().map(key).collect::<std::collections::BTreeSet<Vec<String>>>().len()
        };
        let lines = count(&["function", "payload", "setting"]);
        assert_eq!(lines * count(&["runtime"]), cells.len(), "{suite}");
    }
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("skipped: needs 3 GiB \\| has 2 GiB"), "{markdown}");
    assert!(markdown.contains("not selected: this run holds no record of it"), "{markdown}");
}

#[test]
fn pulls_that_cannot_be_read_are_a_warning_and_absent_ones_are_not() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    let ratio = report["pull_checks"][0]["ratio"].as_f64().unwrap();
    // Four round trips of 0.4 ms, and 200 KiB in frames at 25 MB/s.
    assert!((ratio - 11e6 / (1.6e6 + 204_800.0 * 1514.0 / 1448.0 * 40.0)).abs() < 1e-9);
    assert!(report["pull_checks"][1]["modelled_ns"].is_null(), "no limit, no model");
    let path = fixture.round_folder(5).join(PullCheck::FILE);
    fs::write(&path, "{").unwrap();
    let report = fixture.report();
    assert!(report["warnings"][0].as_str().unwrap().contains("cannot be read"), "{report}");
    fs::remove_file(path).unwrap();
    let report = fixture.report();
    assert_eq!((&report["warnings"], &report["pull_checks"]), (&json!([]), &json!([])));
    assert!(fixture.output("report.md").contains("This run did not check the model"));
}

#[test]
fn a_page_of_html_stands_alone_and_escapes_what_it_shows() {
    let fixture = Fixture::complete();
    fixture.report();
    let html = fixture.output("report.html");
    assert!(html.contains("wrong answer &lt;0x00&gt;"), "reasons are escaped");
    for outside in ["<script", "<link", "src=", "http:", "https:", "@import", "url("] {
        assert!(!html.contains(outside), "the page refers to something outside: {outside}");
    }
    assert!(html.contains("<svg role='img'"), "charts are inline and not escaped");
}

#[test]
fn an_absent_run_names_those_that_there_are_and_the_remedy() {
    let fixture = Fixture::new();
    let message = find_run(&fixture.layout, Some("other")).unwrap_err().to_string();
    assert!(message.contains("no run `other`") && message.contains(RUN), "{message}");
    assert!(message.contains("`cargo xtask bench`"), "{message}");
    assert_eq!(find_run(&fixture.layout, None).unwrap(), fixture.run_folder());

    let root = fixture.folder.path().join("empty");
    let layout = Layout::at(root);
    for name in [None, Some("other")] {
        let message = find_run(&layout, name).unwrap_err().to_string();
        assert!(message.contains("`cargo xtask bench` makes one"), "{message}");
    }
}

#[test]
fn a_truncated_last_record_is_a_warning() {
    let mut fixture = Fixture::new();
    let case = case(Suite::Warm, "noop", "alpha-process", "4KiB");
    fixture.measure(&case, &[1.0; 10], &steady(10, 1_000.0));
    let path = fixture.run_folder().join(Run::RECORDS);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "{\"type\":\"skip\",\"ca").unwrap();
    let report = fixture.report();
    assert_eq!(report["estimates"].as_array().unwrap().len(), 1);
    let unrecorded = "no record of the workers of:\n\n- `warm/noop/alpha-process/4KiB`";
    assert!(fixture.output("report.md").contains(unrecorded), "an absence is explained");
    assert_eq!(report["run"]["truncated"], json!(true));
    assert!(report["warnings"][0].as_str().unwrap().contains("cut short"));
}

#[test]
fn bad_files_become_failures_that_name_them() {
    let reason = Fixture::failure_after("sample.json", "{\"iters\":[1.0,");
    assert!(reason.starts_with("criterion/0001/sample.json: EOF"), "{reason}");
    let reason = Fixture::failure_after("sample.json", "{\"iters\":[1.0],\"times\":[]}");
    assert_eq!(reason, "criterion/0001/sample.json: 1 iteration counts, but 0 times");
    let reason = Fixture::failure_after("sample.json", "{\"iters\":[],\"times\":[]}");
    assert_eq!(reason, "criterion/0001/sample.json: there are no samples");
    let reason = Fixture::failure_after("sample.json", "{\"iters\":[0.0],\"times\":[1.0]}");
    assert_eq!(reason, "criterion/0001/sample.json: sample 0 has no iteration");
    let other = "{\"group_id\":\"warm/noop\",\"full_id\":\"warm/noop/other/4KiB\"}";
    let reason = Fixture::failure_after("benchmark.json", other);
    assert!(reason.contains("benchmark.json: is of `warm/noop/other/4KiB`"), "{reason}");
    let stale = "{\"median\":{\"point_estimate\":5000.0}}";
    let reason = Fixture::failure_after("estimates.json", stale);
    assert!(reason.contains("estimates.json: has a median of 5000 ns"), "{reason}");
}

#[test]
fn a_missing_file_becomes_a_failure_that_names_it() {
    let mut fixture = Fixture::new();
    let case = case(Suite::Warm, "noop", "alpha-process", "4KiB");
    let folder = fixture.measure(&case, &[1.0; 10], &steady(10, 1_000.0));
    fs::remove_file(folder.join("sample.json")).unwrap();
    let reason = fixture.report()["failures"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("criterion/0001/sample.json: "), "{reason}");
}

#[test]
fn samples_of_several_iterations_have_no_percentiles() {
    let mut fixture = Fixture::new();
    let case = case(Suite::Call, "noop", "alpha", "4KiB");
    fixture.measure(&case, &[10.0; 100], &steady(100, 1_000.0));
    let report = fixture.report();
    let estimate = &report["estimates"][0];
    assert_eq!((estimate["raw"].as_bool(), estimate["p95"].as_f64()), (Some(false), None));
    assert!(estimate["median"].as_f64().unwrap() < 110.0, "a time is per iteration");
    let note = "each sample is the mean of several iterations";
    assert!(fixture.output("report.md").contains(note));
}

#[test]
fn a_case_without_an_outcome_was_interrupted() {
    let mut fixture = Fixture::new();
    let case = case(Suite::Warm, "noop", "alpha-process", "4KiB");
    fixture.measure(&case, &[1.0; 10], &steady(10, 1_000.0));
    assert_eq!(fixture.report()["failures"], json!([]));
    fixture.write(Record::Started { case });
    let report = fixture.report();
    assert_eq!(report["estimates"], json!([]), "an earlier attempt does not count");
    let reason = report["failures"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("interrupted"), "{reason}");
}

#[test]
fn rebuilt_artifacts_are_a_warning() {
    let fixture = Fixture::complete();
    assert_eq!(fixture.report()["warnings"], json!([]));
    let path = fixture.layout.artifacts().join(ArtifactManifest::FILE);
    let original = fs::read_to_string(&path).unwrap();
    fs::write(&path, original.clone() + "\n").unwrap();
    let report = fixture.report();
    assert!(report["warnings"][0].as_str().unwrap().contains("rebuilt since"));
    assert_ne!(report["ratios"], json!([]), "modes are still known");

    // The run's own copy, where there is one, is preferred.
    fs::write(fixture.run_folder().join(ArtifactManifest::FILE), original).unwrap();
    assert_eq!(fixture.report()["warnings"], json!([]));
}

#[test]
fn without_an_artifact_manifest_there_are_figures_but_no_ratios() {
    let fixture = Fixture::complete();
    fs::remove_file(fixture.layout.artifacts().join(ArtifactManifest::FILE)).unwrap();
    let report = fixture.report();
    assert_eq!((&report["ratios"], &report["artifacts"]), (&json!([]), &json!([])));
    assert_ne!(report["estimates"], json!([]));
    assert!(report["warnings"][0].as_str().unwrap().contains("`cargo xtask build`"));
    assert!(fixture.output("report.md").contains("no ratio: the artifact manifest has no such"));
}

#[test]
fn an_emulated_run_is_labelled_and_not_ranked() {
    let mut fixture = Fixture::on(Node { emulated: true, ..node() });
    fixture.measure_served("noop", "alpha-process", 1.0);
    fixture.measure_served("noop", "beta-process", 20.0);
    let report = fixture.report();
    let ratios = report["ratios"].as_array().unwrap();
    assert!(!ratios.is_empty() && ratios.iter().all(|ratio| ratio.get("verdict").is_none()));
    let claims = report["claims"].as_array().unwrap().iter();
    assert!(
        claims.clone().all(|claim| claim["id"] == "program-size" || claim["measured"] == json!([]))
    );
    fixture.measure_in_process("noop", "delta", 1.0, 20e6);
    fixture.measure_in_process("noop", "beta", 20.0, 1e6);
    fixture.measure_variants();
    let report = fixture.report();
    assert_eq!(report["break_even"], json!([]));
    let variants = report["variants"].as_array().unwrap();
    assert!(variants.iter().all(|entry| entry["to_native"].get("verdict").is_none()));
    assert!(fixture.output("report.md").contains("emulated figures are not ranked."));
    assert!(fixture.output("report.html").contains("Emulated run"));
    assert!(!fixture.output("report.html").contains("class=\"slower\" style=\"--s:7"));
}

/// Measures what the break-even of two engines comes from: loading and calling, in nanoseconds.
fn break_even_of(engines: &[(&str, f64, f64)], node: Node) -> Vec<Value> {
    let mut fixture = Fixture::on(node);
    for &(engine, load_ns, call_ns) in engines {
        fixture.measure_in_process("noop", engine, call_ns / 300.0, load_ns);
    }
    fixture.report()["break_even"].as_array().unwrap().clone()
}

#[test]
fn compiling_pays_always_from_some_call_on_or_never() {
    let row = |jit: (f64, f64), interpreter: (f64, f64)| {
        let engines = [("delta", jit.0, jit.1), ("beta", interpreter.0, interpreter.1)];
        let mut rows = break_even_of(&engines, node());
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    };
    let figures = |row: &Value| {
        let number = |key: &str| row[key].as_u64();
        (row["verdict"].as_str().unwrap().to_owned(), ["units", "low", "high"].map(number))
    };

    let crossing = row((20e6, 400.0), (1e6, 8_000.0));
    assert_eq!((&crossing["runtime"], &crossing["against"]), (&json!("delta"), &json!("beta")));
    assert_eq!((&crossing["unit"], &crossing["payload"]), (&json!("calls"), &json!("4KiB")));
    let (verdict, [units, low, high]) = figures(&crossing);
    // 19 ms more at first, 7.6 us less each time; medians lie above the middles.
    assert_eq!((verdict.as_str(), units), ("from", Some(2_498)));
    assert!(low < units && units < high, "{crossing}");
    assert_eq!(crossing["cost_fixed"], json!(["load", "instantiate"]));
    assert_eq!(crossing["cost_per_unit"], json!(["call"]));

    let all = Some(1);
    assert_eq!(figures(&row((9e5, 400.0), (1e6, 8_000.0))), ("always".into(), [all; 3]));
    assert_eq!(figures(&row((20e6, 9_000.0), (1e6, 8_000.0))), ("never".into(), [None; 3]));
    // What is saved is less than matters.
    assert_eq!(figures(&row((20e6, 8_000.0), (1e6, 8_010.0))), ("never".into(), [None; 3]));
    let (verdict, [units, ..]) = figures(&row((1e6, 9_000.0), (20e6, 8_000.0)));
    assert_eq!((verdict.as_str(), units), ("until", Some(18_985)));
    let (verdict, [_, low, high]) = figures(&row((20e6, 7_770.0), (1e6, 8_000.0)));
    assert_eq!((verdict.as_str(), high), ("inconclusive", None));
    assert!(low.is_some_and(|low| low > 30_000), "{low:?}");
}

#[test]
fn compiling_ahead_is_counted_in_loads_and_paid_for_once() {
    // Calls of one engine's code differ by noise alone, and play no part in loads.
    let engines = [("gamma", 60_000.0, 405.0), ("delta", 20e6, 395.0), ("beta", 1e6, 6_000.0)];
    let rows = break_even_of(&engines, node());
    let find = |runtime: &str, against: &str| {
        rows.iter().find(|row| row["runtime"] == runtime && row["against"] == against).unwrap()
    };
    assert_eq!(rows.len(), 3);
    let loads = find("gamma", "delta");
    assert_eq!((&loads["unit"], &loads["payload"]), (&json!("loads"), &json!("-")));
    assert_eq!((&loads["verdict"], &loads["units"]), (&json!("from"), &json!(2)));
    assert_eq!(loads["cost_fixed"], json!(["compile"]));
    assert_eq!(loads["against_cost_fixed"], json!([]));
    assert_eq!(loads["cost_per_unit"], json!(["load"]));
    let calls = find("gamma", "beta");
    assert_eq!(calls["cost_fixed"], json!(["compile", "load", "instantiate"]));
    assert!(calls["units"].as_u64() > find("delta", "beta")["units"].as_u64());
}

#[test]
fn what_was_built_for_another_target_is_told_and_plays_no_part() {
    // On the other node, the compilation of the other target counts: three times, so no interval.
    let engines = [("gamma", 60_000.0, 400.0), ("beta", 1e6, 6_000.0)];
    let rows = break_even_of(&engines, Node { arch: "aarch64".into(), ..node() });
    assert_eq!((&rows[0]["verdict"], &rows[0]["low"]), (&Value::Null, &Value::Null));
    assert_eq!(rows[0]["units"], json!(4_368));
    let reason = rows[0]["reason"].as_str().unwrap();
    assert_eq!(reason, "no interval: the fewest samples of a part are 3, and an interval needs 6");
    let fixture = Fixture::complete();
    let report = fixture.report();
    let targets = report["compilations"].as_array().unwrap().iter();
    let plain = targets.filter(|entry| entry["variant"].is_null());
    assert_eq!(plain.count(), 2);
    let claims = report["claims"].as_array().unwrap();
    let size = claims.iter().find(|claim| claim["id"] == "program-size").unwrap();
    assert_eq!(size["measured"][0]["cells"], json!(1), "one target, and no variants");
}

#[test]
fn variants_are_a_table_of_their_own() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    let of_variants = |list: &str| {
        let list = report[list].as_array().unwrap();
        list.iter().filter(|entry| entry["suite"] == "variants").count()
    };
    assert_eq!((of_variants("estimates"), of_variants("variants")), (6, 5));
    assert_eq!((of_variants("ratios"), of_variants("unrecorded")), (0, 0));
    let find = |runtime: &str, variant: &str| {
        let list = report["variants"].as_array().unwrap();
        list.iter()
            .find(|entry| entry["runtime"] == runtime && entry["variant"] == variant)
            .unwrap()
    };
    let (default, simd) = (find("gamma", "O3"), find("gamma", "O3+simd"));
    assert_eq!(default["to_default"], Value::Null);
    assert_eq!(
        (&simd["to_default"]["verdict"], simd["loaded_bytes"].as_u64()),
        (&json!("faster"), Some(63 << 10))
    );
    assert_eq!(simd["to_native"]["reference"], json!("alpha"));
    assert_eq!(find("beta", "Os")["loaded_bytes"], json!(16 << 10), "it loads the module");
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("[1] skipped: beta has no SIMD"), "{markdown}");
    assert!(!markdown.contains("\n## variants"), "no table as of other suites");
}

#[test]
fn invocations_are_taken_apart_and_marked_where_that_distorts_them() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    let rows = report["breakdown"].as_array().unwrap();
    let find = |runtime: &str, invocation: &str| {
        let is_meant = |row: &&Value| row["runtime"] == runtime && row["invocation"] == invocation;
        rows.iter().find(is_meant).unwrap()
    };
    assert_eq!(rows.len(), 4, "the skipped case has no rows");
    let first = find("alpha-process", "first");
    let median = |row: &Value, term: &str| row[term]["median"].as_f64().unwrap();
    assert_eq!(median(first, "decode_ns"), 2_000.0, "what the clock takes is no part of it");
    assert_eq!(median(first, "serialization_ns"), 5_000.0);
    assert_eq!((&first["reconciles"], first["calls"].as_u64()), (&json!(true), Some(60)));
    assert_eq!((&first["clock_cost_ns"], &first["retrieval_ns"]), (&json!(50), &Value::Null));
    let later = find("alpha-process", "later");
    assert_eq!((&later["cold_ns"], later["calls"].as_u64()), (&Value::Null, Some(240)));
    assert_eq!(median(later, "whole_ns"), median(later, "sum_ns"));
    let distorted = find("beta-process", "later");
    assert_eq!(distorted["reconciles"], json!(false));
    assert!((distorted["difference"].as_f64().unwrap() - 0.3).abs() < 1e-9);
    let markdown = fixture.output("report.md");
    let note =
        "the terms add up to 390 µs, and the whole is 300 µs: +30.0 %, which is more than 5 %";
    assert!(markdown.contains(note), "{markdown}");
    assert!(markdown.contains("In 1 of 4 rows they do not add up"), "{markdown}");
    assert!(markdown.contains("skipped: gamma has no clock"), "{markdown}");
    let (_, memory) = markdown.split_once("\n## Memory").unwrap();
    let (memory, _) = memory.split_once("\n## ").unwrap();
    assert!(!memory.contains("`breakdown"), "nobody records what its workers use: {memory}");
}

#[test]
fn sweeps_have_a_line_and_are_compared_where_they_can_be() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    let find = |list: &str, runtime: &str| {
        let rows = report[list].as_array().unwrap();
        rows.iter().find(|row| row["runtime"] == runtime).unwrap()
    };
    let native = find("serialization", "alpha");
    assert_eq!((&native["ratio"], &native["sizes"]), (&Value::Null, &json!(4)));
    let slow = find("serialization", "beta");
    let near = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value / expected - 1.0).abs() < 0.03, "{value} instead of {expected}");
    };
    near(&slow["fixed_ns"]["point"], 900.0);
    near(&slow["per_kib_ns"]["point"], 5.27 * 1024.0);
    near(&slow["per_kib_ratio"]["point"], 25.5);
    near(&slow["ratio"]["largest"], 27.5);
    near(&slow["ratio"]["smallest"], 23.1);
    let residual = slow["largest_residual"].as_f64().unwrap();
    assert!((0.03..0.1).contains(&residual), "{residual}");
    let served = find("serialization", "beta-process");
    assert_eq!((&served["fixed_ns"], &served["ratio"]), (&Value::Null, &Value::Null));
    let state = find("retrieval", "gamma-process");
    assert_eq!(state["setting"], json!("state=directory"));
    near(&state["ratio"]["mean"], 1.5);
    let claims = report["claims"].as_array().unwrap();
    let claim = |id: &str| claims.iter().find(|claim| claim["id"] == id).unwrap();
    let call = &claim("interpreted-serialization-call")["measured"];
    assert_eq!((&call[0]["of"], &call[0]["cells"]), (&json!("beta, sort"), &json!(4)));
    let absent = claim("aot-serialization")["not_measured"].as_str().unwrap();
    assert!(absent.contains("`cargo xtask bench --suite serialization_served`"), "{absent}");
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("no line: it takes three sizes or more"), "{markdown}");
    assert!(markdown.contains("no ratio: native code has no figure for it"), "{markdown}");
}

#[test]
fn chains_have_a_cost_per_step_where_their_functions_are_the_same() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    let find = |suite: &str, chain: &str, runtime: &str| {
        let is = |row: &&Value| {
            row["suite"] == suite && row["function"] == chain && row["runtime"] == runtime
        };
        report["chain"].as_array().unwrap().iter().find(is).unwrap()
    };
    let near = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value / expected - 1.0).abs() < 0.03, "{value} instead of {expected}");
    };
    let slow = find("chain", "relay", "beta-process");
    near(&slow["per_step_ns"]["point"], 40_000.0);
    near(&slow["fixed_ns"]["point"], 10_000.0);
    near(&slow["ratio"]["mean"], 2.0);
    near(&slow["per_step_ratio"]["point"], 2.0);
    assert_eq!(slow["functions"], json!(["sort", "sort", "sort"]));
    let local = find("chain_local", "relay", "beta");
    near(&local["per_step_ns"]["point"], 400.0);
    assert_eq!(local["ratio"], Value::Null);
    let store = find("chain", "store", "alpha-process");
    assert_eq!((&store["per_step_ns"], &store["ratio"]), (&Value::Null, &Value::Null));
    assert!(store["steps_1_ns"]["median"].is_number(), "{store}");
    let states = store["steps_2_ns"].as_object().unwrap();
    assert_eq!(states.keys().collect::<Vec<_>>(), ["directory", "redis"]);
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("70 µs (directory), 90 µs (redis)"), "{markdown}");
    assert!(markdown.contains("- `relay`: sort, sort, sort"), "{markdown}");
    assert!(markdown.contains("no cost per step: it takes three lengths"), "{markdown}");
}

#[test]
fn what_was_not_asked_for_names_the_command_that_measures_it() {
    let mut fixture = Fixture::new();
    fixture.measure_served("noop", "alpha-process", 1.0);
    fixture.report();
    let (markdown, html) = (fixture.output("report.md"), fixture.output("report.html"));
    for suite in ["breakdown", "serialization", "retrieval", "chain"] {
        assert!(markdown.contains(&format!("`cargo xtask bench --suite {suite}")), "{markdown}");
        assert!(html.contains(&format!("<code>cargo xtask bench --suite {suite}")), "{html}");
    }
}

#[test]
fn phases_that_do_not_add_up_are_a_warning() {
    let mut fixture = Fixture::new();
    let case = case(Suite::ColdStart, "noop", "alpha-process", "4KiB");
    fixture.measure(&case, &[1.0; 10], &steady(10, 750_000.0));
    let wrong = Ledger { outer_ns: 5_000_000, ..ledger(&case, 0, 1.0) };
    fixture.write(Record::Phases(wrong));
    let warning = fixture.report()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("1 of 1 cold starts: the phases add up to"), "{warning}");
    for sample in 1..30 {
        let wrong = if sample == 7 { 5_000_000 } else { 750_000 + u64::from(sample) * 1_000 };
        let found = ledger(&case, sample, 1.0);
        fixture.write(Record::Phases(Ledger { outer_ns: wrong, ..found }));
    }
    let report = fixture.report();
    let reason = report["failures"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("2 of 30 cold starts do not reconcile; the first: "), "{reason}");
    assert_eq!(report["estimates"], json!([]));
}

#[test]
fn the_summary_shows_a_line_per_function_and_runtime() {
    let fixture = Fixture::complete();
    let mut summary =
        generate(&fixture.layout, &fixture.run_folder(), &fixture.layout.report()).unwrap();
    assert_eq!(summary.paths.len(), 4);
    summary.paths.clear();
    insta::assert_snapshot!("summary", summary.to_string());
}

#[test]
fn the_check_of_the_readme_needs_no_run_and_finds_a_change() {
    let fixture = Fixture::complete();
    let layout = &fixture.layout;
    let readme = layout.root.join("README.md");
    let splice = Arguments { splice: true, ..Arguments::default() };
    let check = Arguments { check: true, ..Arguments::default() };

    fs::write(&readme, "# Title\n").unwrap();
    let message = format!("{:#}", run(layout, &splice).unwrap_err());
    assert!(message.contains("README.md: lacks the markers"), "{message}");
    assert!(!layout.root.join("docs").exists(), "nothing was written");
    let message = format!("{:#}", run(layout, &check).unwrap_err());
    assert!(message.contains("--splice"), "{message}");

    let markers = "<!-- lumos:results:begin -->\n<!-- lumos:results:end -->";
    fs::write(&readme, format!("# Title\n{markers}\nmore\n")).unwrap();
    run(layout, &splice).unwrap();
    let spliced = fs::read_to_string(&readme).unwrap();
    insta::assert_snapshot!("readme", spliced);
    run(layout, &splice).unwrap();
    assert_eq!(fs::read_to_string(&readme).unwrap(), spliced, "splicing again changes nothing");

    fs::remove_dir_all(layout.runs()).unwrap();
    run(layout, &check).unwrap();
    fs::write(&readme, spliced.replacen("×)", "9×)", 1)).unwrap();
    let message = format!("{:#}", run(layout, &check).unwrap_err());
    assert!(message.contains("README.md:") && message.contains("9×)"), "{message}");
    fs::write(&readme, spliced.replacen("more", "other prose", 1)).unwrap();
    run(layout, &check).unwrap();
}

/// The documentation of what comes from tables. Set `LUMOS_UPDATE_DOCS` to write it.
#[test]
fn the_fields_of_tables_are_documented() {
    const MARKERS: [&str; 2] = ["<!-- lumos:fields:begin -->", "<!-- lumos:fields:end -->"];
    let fixture = Fixture::complete();
    let report = read(&fixture.layout, &fixture.run_folder()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/files.md");
    let text = fs::read_to_string(&path).unwrap();
    let expected = splice::replace(&text, MARKERS, &fields(&report)).unwrap();
    if std::env::var_os("LUMOS_UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), expected, "LUMOS_UPDATE_DOCS=1 writes it");
}

#[test]
#[ignore = "a benchmark: run it with --ignored --nocapture"]
#[expect(clippy::disallowed_methods, reason = "a benchmark of the report itself")]
fn ten_thousand_estimates() {
    let mut fixture = Fixture::new();
    for index in 0..1_700 {
        let function = format!("function{index}");
        for engine in ["alpha", "beta", "gamma"] {
            let served = format!("{engine}-process");
            let warm = case(Suite::Warm, &function, &served, "4KiB");
            fixture.measure(&warm, &[1.0; 100], &steady(100, 20_000.0));
            let cold = case(Suite::ColdStart, &function, &served, "4KiB");
            fixture.measure(&cold, &[1.0; 100], &steady(100, 20_000.0));
        }
    }
    let start = std::time::Instant::now();
    let summary =
        generate(&fixture.layout, &fixture.run_folder(), &fixture.layout.report()).unwrap();
    println!("{} estimates in {:?}", summary.estimates, start.elapsed());
}

/// Makes the report of the fixture in the folder that `LUMOS_FIXTURE_REPORT` names, to look at.
#[test]
#[ignore = "writes a page to look at"]
fn a_page_to_look_at() {
    let Some(output) = std::env::var_os("LUMOS_FIXTURE_REPORT") else { return };
    let fixture = Fixture::complete();
    generate(&fixture.layout, &fixture.run_folder(), Path::new(&output)).unwrap();
}
