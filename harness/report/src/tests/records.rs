//! What a run that is made up records.

use lumos_record::{
    Artifact, ArtifactKind, ArtifactManifest, Breakdown, Case, Compilation, CpuTime, Image, Ledger,
    Mode, Node, Phase, PhaseSpan, Profile, Revision, RunManifest, Runtime, Setting, Suite,
    TimedCalls, Toolchain, Variant, WorkerUse,
};

pub const RUN: &str = "20260504-133700-fixture";

/// A target that is not the node's.
pub const ELSEWHERE: &str = "aarch64-unknown-linux-musl";

pub fn node() -> Node {
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

pub fn manifest(node: Node, artifacts_sha256: String) -> RunManifest {
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

pub fn artifacts() -> ArtifactManifest {
    let artifact = |kind, function: Option<&str>, engine: Option<&str>, bytes| Artifact {
        function: function.map(str::to_owned),
        engine: engine.map(str::to_owned),
        bytes,
        sha256: "00".into(),
        source_hash: "11".into(),
        toolchain: "rustc 1.95.0".into(),
        build_time_ns: 1,
        ..Artifact::new(kind, "unused", "x86_64-unknown-linux-musl")
    };
    use ArtifactKind::{NativeExe, Precompiled, Wasm, Worker};
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
        runtimes: runtimes(),
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

fn runtimes() -> Vec<Runtime> {
    use ArtifactKind::{NativeExe, NativeLib, Precompiled, Wasm};
    let runtime = |name: &str, mode, loads, serves| Runtime {
        serves,
        worker: (mode != Mode::Native).then(|| format!("lumos-{name}")),
        ..Runtime::plain(name, &format!("lumos-{name}"), mode, "1", loads)
    };
    vec![
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
    ]
}

pub fn case(suite: Suite, function: &str, runtime: &str, payload: &str) -> Case {
    let setting = Setting::default();
    let (function, runtime, payload) = (function.into(), runtime.into(), payload.into());
    Case { suite, function, runtime, payload, setting }
}

/// Samples around a middle, a few per cent apart, in no order.
pub fn steady(count: u32, middle_ns: f64) -> Vec<f64> {
    (0..count)
        .map(|n| middle_ns * (1.0 + f64::from(n * 7 % count) / f64::from(count) / 20.0))
        .collect()
}

pub fn ledger(case: &Case, sample: u32, factor: f64) -> Ledger {
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
pub fn taken_apart(
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

pub fn used(case: &Case, invocations: u64, factor: f64) -> WorkerUse {
    WorkerUse {
        case: case.clone(),
        peak_rss_bytes: Some((1 << 20) + (factor * 65_536.0) as u64),
        cpu: CpuTime { user_ns: (500_000.0 * factor) as u64, system_ns: 300_000 },
        invocations,
    }
}
