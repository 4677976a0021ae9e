//! The shape of `report.json`: what other programs may rely on.
//!
//! Times are in nanoseconds, sizes in bytes. Every list is sorted: by suite, function, payload
//! (small first), then runtime (native first).

use std::collections::BTreeMap;

use lumos_record::{
    Artifact, ArtifactKind, Case, Lane, Mode, Node, Phase, PrecisionReached, Profile, Pull,
    Revision, Runtime, Setting, StateBackend, Suite, Toolchain, Variant,
};
use serde::{Deserialize, Serialize};

/// The version of this shape: raised when a reader of older reports would go wrong.
pub const SCHEMA_VERSION: u32 = 1;

/// A whole report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The run that the report is of.
    pub run: RunInfo,
    /// The machine that measured.
    pub node: Node,
    /// What each crate's sandbox was made of there, such as a container engine's version.
    #[serde(default)]
    pub sandboxes: BTreeMap<String, BTreeMap<String, String>>,
    /// How figures became estimates.
    pub method: Method,
    /// What somebody should know before trusting the figures.
    pub warnings: Vec<String>,
    /// The runtimes that the artifacts were built for.
    pub runtimes: Vec<Runtime>,
    /// What was built, with sizes: for every target, and in every variant.
    pub artifacts: Vec<Artifact>,
    /// Whether only a part of what there can be was built: what was measured, and what else an
    /// earlier build had left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial_build: bool,
    /// What could not be built.
    pub missing_artifacts: Vec<MissingArtifact>,
    /// One figure per case.
    pub estimates: Vec<CaseEstimate>,
    /// Every estimate over the native one of its lane and sandbox; those of the suite `variants`
    /// stand in `variants`.
    pub ratios: Vec<CaseRatio>,
    /// The parts of each cold start.
    pub phases: Vec<PhaseEstimate>,
    /// What the workers of each case used.
    pub memory: Vec<WorkerEstimate>,
    /// Cold-start ratios on platforms with a start-up cost of their own.
    pub platform: Vec<PlatformRatio>,
    /// What it costs to bring each image to a node.
    pub pull: PullReport,
    /// What it took to compile each module ahead of time, for every target.
    #[serde(default)]
    pub compilations: Vec<CompilationEstimate>,
    /// From how many calls or loads on one runtime costs no more than another; empty on an
    /// emulated node.
    #[serde(default)]
    pub break_even: Vec<BreakEvenEstimate>,
    /// The same functions with their Wasm built in different ways: sizes and times.
    #[serde(default)]
    pub variants: Vec<VariantEstimate>,
    /// Geometric means of what `variants` holds.
    #[serde(default)]
    pub variant_means: Vec<VariantMean>,
    /// Where the time of invocations goes.
    #[serde(default)]
    pub breakdown: Vec<BreakdownEstimate>,
    /// What requests cost by their size.
    #[serde(default)]
    pub serialization: Vec<SweepEstimate>,
    /// What getting and putting state costs by the size of the value.
    #[serde(default)]
    pub retrieval: Vec<SweepEstimate>,
    /// What requests through chains of functions cost, by the number of functions.
    #[serde(default)]
    pub chain: Vec<ChainEstimate>,
    /// The instructions of one invocation, where they were counted.
    #[serde(default)]
    pub counts: Vec<InstructionCount>,
    /// The paper's claims beside this run's figures.
    pub claims: Vec<Claim>,
    /// Cases that were not run.
    pub skips: Vec<Absence>,
    /// Cases that went wrong, among them interrupted ones.
    pub failures: Vec<Absence>,
    /// Cases that complete the tables, but of which the run holds no record: its filters or its
    /// profile left them out.
    pub unrecorded: Vec<Case>,
}

impl Report {
    /// The artifacts that the run is about: those that its node runs, of no particular variant.
    pub fn own_artifacts(&self) -> impl Iterator<Item = &Artifact> + Clone {
        self.artifacts_of(None)
    }

    /// The artifacts that the run's node runs, whose Wasm was built in one way; none means as all
    /// suites but `variants` have it.
    pub fn artifacts_of(
        &self,
        variant: Option<Variant>,
    ) -> impl Iterator<Item = &Artifact> + Clone {
        let variant = variant.filter(|&variant| variant != Variant::DEFAULT);
        self.artifacts.iter().filter(move |artifact| {
            artifact.variant == variant && artifact.runs_on(&self.node.arch)
        })
    }
}

/// What a run was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunInfo {
    /// Its name.
    pub name: String,
    /// When it began, in milliseconds since 1970 (UTC).
    pub started_unix_ms: u64,
    /// The commit.
    pub revision: Revision,
    /// The guests' toolchain.
    pub toolchain: Toolchain,
    /// The version of every engine, as `name version`.
    pub engines: Vec<String>,
    /// SHA-256 of the artifact manifest that it used.
    pub artifacts_sha256: String,
    /// The seed of its order of work.
    pub seed: u64,
    /// How much it measured.
    pub profile: Profile,
    /// What began it.
    pub command_line: Vec<String>,
    /// Whether its last record was cut short.
    pub truncated: bool,
    /// Its rounds; none where all was measured once.
    #[serde(default)]
    pub rounds: Option<Rounds>,
}

/// The rounds of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rounds {
    /// How many were asked for.
    pub asked: u32,
    /// The numbers of those that count: in which every case of the first has an outcome.
    pub counted: Vec<u32>,
    /// The numbers of those that were interrupted, and do not count.
    pub interrupted: Vec<u32>,
    /// The numbers of those that the node disturbed, and that were measured again: the later
    /// measurement counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<u32>,
    /// The numbers of those in which only cases were measured whose figures were not known precisely
    /// enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<u32>,
    /// How precisely the figures are known; none where nobody went on for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<PrecisionReached>,
    /// What the node did by itself in each that counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weather: Vec<RoundWeather>,
}

/// What the node did by itself in a round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoundWeather {
    /// The round's number.
    pub round: u32,
    /// How long it took.
    pub wall_ns: u64,
    /// What a piece of work took that is always the same, before each row: the median.
    pub calibration_ns: u64,
    /// Its 95th percentile.
    pub calibration_p95_ns: f64,
    /// The share of a processor's time that the hypervisor took; none where the kernel does not
    /// tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stolen: Option<f64>,
    /// How often the kernel took the processor from a measuring process or a worker.
    pub involuntary_switches: u64,
    /// The clock of the first processor at the end, in kHz; none where the kernel does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_khz: Option<u64>,
}

/// How figures became estimates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Method {
    /// How often samples were resampled for an interval.
    pub resamples: usize,
    /// The share of resamples inside of an interval.
    pub confidence: f64,
    /// The difference from which a verdict says more than `equivalent`, as a share of 1.
    pub minimal_effect: f64,
}

/// An artifact that could not be built.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MissingArtifact {
    /// Which, as the artifact manifest names it.
    pub artifact: String,
    /// Why.
    pub reason: String,
}

/// The figure of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaseEstimate {
    /// The case, as `suite`, `function`, `runtime` and `payload`.
    #[serde(flatten)]
    pub case: Case,
    /// The suite's lane.
    pub lane: Lane,
    /// `ns`.
    pub unit: String,
    /// The median time of one iteration.
    pub median: f64,
    /// The lower end of the median's interval.
    pub low: f64,
    /// The upper end of the median's interval.
    pub high: f64,
    /// How many samples there are.
    pub n: usize,
    /// Whether each sample is one iteration; only then are there percentiles.
    pub raw: bool,
    /// The 90th percentile of single iterations, where the samples carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<f64>,
    /// The 95th.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// The 99th.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
}

/// A case's estimate over its reference's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaseRatio {
    /// The case, as `suite`, `function`, `runtime` and `payload`.
    #[serde(flatten)]
    pub case: Case,
    /// The suite's lane, which is the reference's too.
    pub lane: Lane,
    /// The runtime below the line.
    pub reference: String,
    /// The ratio of the medians: above 1, the case is slower.
    pub ratio: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end of its interval.
    pub high: f64,
    /// `faster`, `slower`, `equivalent` or `inconclusive`; none on an emulated node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

/// A median that may have too few samples for an interval.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Figure {
    /// The median.
    pub median: f64,
    /// The lower end of its interval.
    pub low: Option<f64>,
    /// The upper end of its interval.
    pub high: Option<f64>,
    /// How many samples there are.
    pub n: usize,
}

/// Which of a worker's invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invocation {
    /// The first, with the worker's cold start before it.
    First,
    /// Any later one.
    Later,
}

impl Invocation {
    /// The name as it stands in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Later => "later",
        }
    }
}

/// Where the time of an invocation goes: `whole = cold + retrieval + serialization + compute`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BreakdownEstimate {
    /// The case, as `suite`, `function`, `runtime` and `payload`.
    #[serde(flatten)]
    pub case: Case,
    /// Which invocation.
    pub invocation: Invocation,
    /// How many invocations were taken apart, in all samples together. A sample of later ones is
    /// the mean of as many as a worker served.
    pub calls: u64,
    /// The whole, of a worker that was not asked for timings.
    pub whole_ns: Figure,
    /// The cold start; none of later invocations.
    pub cold_ns: Option<Figure>,
    /// Getting and putting state; none of functions that keep none.
    pub retrieval_ns: Option<Figure>,
    /// Decode, encode and boundary together.
    pub serialization_ns: Figure,
    /// The work itself.
    pub compute_ns: Figure,
    /// From the request's bytes to the input.
    pub decode_ns: Figure,
    /// From the output to the response's bytes.
    pub encode_ns: Figure,
    /// Copies between the caller and the function, and the socket.
    pub boundary_ns: Figure,
    /// The terms together, of a worker that was asked for timings.
    pub sum_ns: Figure,
    /// The sum's median over the whole's, less 1.
    pub difference: f64,
    /// Whether the two agree, within a twentieth of the whole.
    pub reconciles: bool,
    /// What one reading of the function's clock took, the median over the workers; the terms are
    /// without it.
    pub clock_cost_ns: f64,
}

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The figure.
    pub point: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl From<lumos_model::Estimate> for Interval {
    fn from(estimate: lumos_model::Estimate) -> Self {
        Self { point: estimate.point, low: estimate.low, high: estimate.high }
    }
}

impl Interval {
    /// The same in another unit.
    pub fn times(self, factor: f64) -> Self {
        let Self { point, low, high } = self;
        Self { point: point * factor, low: low * factor, high: high * factor }
    }
}

/// What requests to a function cost on a runtime, by the bytes that they move.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SweepEstimate {
    /// The suite.
    pub suite: Suite,
    /// Its lane.
    pub lane: Lane,
    /// The function.
    pub function: String,
    /// The runtime.
    pub runtime: String,
    /// What it was measured under, where that is not the default.
    #[serde(default, skip_serializing_if = "Setting::is_default")]
    pub setting: Setting,
    /// Each size, small first.
    pub sizes: Vec<SizeEstimate>,
    /// What a request costs whatever its size, by the line through all sizes; none where there are
    /// fewer than three.
    pub fixed_ns: Option<Interval>,
    /// What each KiB costs, by that line.
    pub per_kib_ns: Option<Interval>,
    /// How far the line is from the farthest size, as a share of that size's time.
    pub largest_residual: Option<f64>,
    /// What it costs beside native code in the same lane and sandbox; none of native code in a
    /// process, and where native code was not measured.
    pub to_native: Option<SweepComparison>,
}

impl SweepEstimate {
    /// The case that stands for all sizes: one without a payload.
    pub fn case(&self) -> Case {
        Case {
            suite: self.suite,
            function: self.function.clone(),
            runtime: self.runtime.clone(),
            payload: Case::NO_PAYLOAD.to_owned(),
            setting: self.setting,
        }
    }
}

/// One size of a sweep.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SizeEstimate {
    /// The payload.
    pub payload: String,
    /// The bytes that it moves: of the request, or of the value that is got or put.
    pub bytes: u64,
    /// The median.
    pub median_ns: f64,
    /// The lower end of its interval.
    pub low_ns: f64,
    /// The upper end of its interval.
    pub high_ns: f64,
    /// How many samples there are.
    pub n: usize,
    /// The ratio to native code in the same lane and sandbox.
    pub ratio: Option<Interval>,
}

/// A sweep beside that of its reference.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SweepComparison {
    /// What is below the line.
    pub reference: String,
    /// The geometric mean of the ratios over all sizes.
    pub ratio: f64,
    /// The smallest ratio.
    pub smallest: f64,
    /// The largest ratio.
    pub largest: f64,
    /// Over how many sizes.
    pub sizes: usize,
    /// What each KiB costs, by the lines of both; none where a line is missing, or where the
    /// reference's cost cannot be told from nothing.
    pub per_kib_ratio: Option<Interval>,
}

/// How many instructions one invocation executes: no sample, but the same number each time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstructionCount {
    /// The case, as `suite`, `function`, `runtime` and `payload`.
    #[serde(flatten)]
    pub case: Case,
    /// The instructions, as the counter defines them.
    pub instructions: u64,
    /// What counted.
    pub counter: String,
}

/// What requests through a chain of functions cost on a runtime, by the chain's length.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChainEstimate {
    /// The case, as `suite`, `function` (the chain), `runtime` and `payload`; of its setting what
    /// all lengths have in common.
    #[serde(flatten)]
    pub case: Case,
    /// The lane.
    pub lane: Lane,
    /// The functions of the whole chain, step by step; empty where the run does not say.
    pub functions: Vec<String>,
    /// Each length, short first; with state once for each place where state is.
    pub lengths: Vec<LengthEstimate>,
    /// What a request costs whatever the length, by the line through all lengths; none where there
    /// are fewer than three, or the functions differ.
    pub fixed_ns: Option<Interval>,
    /// What each step costs, by that line.
    pub per_step_ns: Option<Interval>,
    /// How far the line is from the farthest length, as a share of that length's time.
    pub largest_residual: Option<f64>,
    /// What it costs beside native code in the same lane and sandbox; none of native code in a
    /// process, and where native code was not measured.
    pub to_native: Option<ChainComparison>,
}

/// One length of a chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LengthEstimate {
    /// How many functions ran.
    pub steps: u8,
    /// Where the state is, if one of them keeps any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateBackend>,
    /// The median.
    pub median_ns: f64,
    /// The lower end of its interval.
    pub low_ns: f64,
    /// The upper end of its interval.
    pub high_ns: f64,
    /// How many samples there are.
    pub n: usize,
    /// The ratio to native code in the same lane and sandbox.
    pub ratio: Option<Interval>,
}

/// A chain beside that of its reference.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChainComparison {
    /// What is below the line.
    pub reference: String,
    /// The geometric mean of the ratios over all lengths.
    pub ratio: f64,
    /// The smallest ratio.
    pub smallest: f64,
    /// The largest ratio.
    pub largest: f64,
    /// Over how many lengths.
    pub lengths: usize,
    /// What each step costs, by the lines of both.
    pub per_step_ratio: Option<Interval>,
}

/// One phase of a case's cold starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PhaseEstimate {
    /// The case, as `suite`, `function`, `runtime` and `payload`.
    #[serde(flatten)]
    pub case: Case,
    /// The phase; `teardown` comes after the time that the suite measures.
    pub phase: Phase,
    /// `ns`.
    pub unit: String,
    /// Its time.
    #[serde(flatten)]
    pub figure: Figure,
}

/// What the workers of a case used, each in its whole life.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerEstimate {
    /// The case, as `suite`, `function`, `runtime` and `payload`.
    #[serde(flatten)]
    pub case: Case,
    /// How many workers there were.
    pub workers: usize,
    /// Requests per worker, the median.
    pub invocations: f64,
    /// The most memory that was resident; none if it could not be read.
    pub peak_rss_bytes: Option<Figure>,
    /// Processor time, in user mode and in the kernel together.
    pub cpu_ns: Figure,
    /// The part of it in user mode.
    pub cpu_user_ns: Figure,
    /// The part of it in the kernel.
    pub cpu_system_ns: Figure,
}

/// A cold-start ratio as a function of what a platform adds to both sides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlatformRatio {
    /// The case, as `suite`, `function`, `runtime` and `payload`.
    #[serde(flatten)]
    pub case: Case,
    /// The runtime below the line.
    pub reference: String,
    /// The case's median, without any constant.
    pub median_ns: f64,
    /// The reference's median, without any constant.
    pub reference_median_ns: f64,
    /// The constant from which the two differ by no more than the minimal effect.
    pub negligible_from_ns: Option<f64>,
    /// The ratio for some constants.
    pub points: Vec<PlatformPoint>,
}

/// The ratio for one platform constant.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PlatformPoint {
    /// What the platform adds.
    pub constant_ns: u64,
    /// The ratio.
    pub ratio: f64,
    /// The lower end of its interval, the constant being taken as exact.
    pub low: f64,
    /// The upper end of its interval.
    pub high: f64,
}

/// What it costs to bring images to a node: modelled pulls, and measured unpacking.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PullReport {
    /// The links that pulls are modelled for.
    pub links: Vec<PullLink>,
    /// The images of the functions that the run concerns.
    pub images: Vec<PullEstimate>,
    /// The model beside pulls from a registry, where the run was followed by any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<PullCheckReport>,
}

/// A link to a registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PullLink {
    /// What it is called, such as `100 Mbit/s, 10 ms`.
    pub name: String,
    /// What it lets through.
    pub bandwidth_bytes_per_s: u64,
    /// How long the smallest request takes.
    pub round_trip_ns: u64,
}

/// What it costs to bring an image to a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PullEstimate {
    /// The function that the image holds.
    pub function: String,
    /// What the image is built upon.
    pub base: String,
    /// The kind of artifact that it adds to its base.
    pub holds: ArtifactKind,
    /// The engine that made it, where it is precompiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// How many layers it has.
    pub layers: u64,
    /// The compressed bytes of all layers.
    pub compressed_bytes: u64,
    /// The modelled time to pull it, for each of the links.
    pub modelled_ns: Vec<f64>,
    /// The measured time to unpack it; none where the run has no such figure.
    pub unpack_ns: Option<Figure>,
}

/// The model of a pull beside pulls from a registry.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PullCheckReport {
    /// What the registry says of its version; empty when there was none.
    pub registry: String,
    /// What the check had to do without, and what would change that.
    pub notes: Vec<String>,
    /// The pulls.
    pub pulls: Vec<PullComparison>,
}

/// The model beside the pulls of one image over one link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PullComparison {
    /// What was measured.
    #[serde(flatten)]
    pub pull: Pull,
    /// The median of the measured times.
    pub measured_ns: f64,
    /// The modelled time; none where nothing limited the link.
    pub modelled_ns: Option<f64>,
    /// Measured over modelled: above 1, the model promises too much.
    pub ratio: Option<f64>,
}

/// What it took to compile a module ahead of time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CompilationEstimate {
    /// The function.
    pub function: String,
    /// The engine that compiled it, and loads it.
    pub engine: String,
    /// How that engine runs it; none if the artifact manifest does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The engine's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// What it was compiled for.
    pub target: String,
    /// How the module was built; none for what every suite but `variants` measures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
    /// The time of one compilation; none if it was not taken.
    pub compile_ns: Option<Figure>,
    /// The same for each byte of the module.
    pub compile_ns_per_module_byte: Option<f64>,
    /// The most memory that was resident of the compiler's process.
    pub peak_rss_bytes: Option<u64>,
    /// The size of the module.
    pub module_bytes: Option<u64>,
    /// The size of what was made of it.
    pub bytes: u64,
    /// The code in that.
    pub text_bytes: Option<u64>,
}

/// From how many units of work on one runtime costs no more than another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BreakEvenEstimate {
    /// The function.
    pub function: String,
    /// The payload, or `-` where it does not matter.
    pub payload: String,
    /// What is counted.
    pub unit: WorkUnit,
    /// The runtime of which it is asked whether it pays: it compiles more, or earlier.
    pub runtime: String,
    /// How that one runs code.
    pub mode: Mode,
    /// The runtime that it is compared with.
    pub against: String,
    /// How that one runs code.
    pub against_mode: Mode,
    /// Whether both come from one crate.
    pub same_package: bool,
    /// What the runtime costs; none where something of it was not measured.
    pub cost: Option<CostEstimate>,
    /// What the other costs; none where something of it was not measured.
    pub against_cost: Option<CostEstimate>,
    /// What the interval says; none without an interval.
    pub verdict: Option<BreakEvenVerdict>,
    /// The number by the medians: from it on, or for `until` below it. None where there is none.
    pub units: Option<u64>,
    /// The lower end of its interval.
    pub low: Option<u64>,
    /// The upper end of its interval; none where that is beyond all numbers.
    pub high: Option<u64>,
    /// Why there is no figure, or no interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a break-even counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkUnit {
    /// Calls of one instance.
    Calls,
    /// Loads of the module, each for one call.
    Loads,
}

impl WorkUnit {
    /// The name as it stands in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Loads => "loads",
        }
    }
}

/// What the interval of a break-even says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakEvenVerdict {
    /// It costs no more from the first unit on.
    Always,
    /// It costs no more from some number of units on.
    From,
    /// It costs less below some number of units, and more from there on.
    Until,
    /// It never costs less.
    Never,
    /// The interval does not tell whether it ever does.
    Inconclusive,
}

impl BreakEvenVerdict {
    /// The name as it stands in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::From => "from",
            Self::Until => "until",
            Self::Never => "never",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// What `n` units of work cost: `fixed_ns + n * per_unit_ns`, and what each is the sum of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostEstimate {
    /// The parts of what is paid once.
    pub fixed: Vec<CostPart>,
    /// The sum of their medians.
    pub fixed_ns: f64,
    /// The parts of what each unit costs.
    pub per_unit: Vec<CostPart>,
    /// The sum of their medians.
    pub per_unit_ns: f64,
}

/// A part of what work costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CostPart {
    /// Compiling ahead of time, as the build recorded it.
    Compile,
    /// The suite `load`.
    Load,
    /// The suite `instantiate`.
    Instantiate,
    /// The suite `call`.
    Call,
}

/// A function with its Wasm built in one way, on one runtime.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VariantEstimate {
    /// The case, as `suite`, `function`, `runtime`, `payload` and `setting`.
    #[serde(flatten)]
    pub case: Case,
    /// How its Wasm was built.
    pub variant: Variant,
    /// The size of the module; none if the artifact manifest does not say.
    pub module_bytes: Option<u64>,
    /// The code in the module.
    pub module_text_bytes: Option<u64>,
    /// The size of what the runtime loads: the module, or what was compiled of it.
    pub loaded_bytes: Option<u64>,
    /// The code in that.
    pub loaded_text_bytes: Option<u64>,
    /// The median time of one call.
    pub median: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end of its interval.
    pub high: f64,
    /// How many samples there are.
    pub n: usize,
    /// The time over that of the default variant on the same runtime; none for itself, and where
    /// that was not measured.
    pub to_default: Option<VariantRatio>,
    /// The time over that of native code; none where that was not measured.
    pub to_native: Option<VariantRatio>,
}

/// A ratio to another way of building a function.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VariantRatio {
    /// What is below the line: a variant, or a native runtime.
    pub reference: String,
    /// The ratio of the medians: above 1, the case is slower.
    pub ratio: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end of its interval.
    pub high: f64,
    /// `faster`, `slower`, `equivalent` or `inconclusive`; none on an emulated node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

/// A geometric mean over functions and payloads, with its range.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VariantMean {
    /// The variant.
    pub variant: Variant,
    /// The runtime; none for the sizes of modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// What the ratios are of.
    pub quantity: VariantQuantity,
    /// Their geometric mean.
    pub mean: f64,
    /// The smallest of them.
    pub smallest: f64,
    /// The largest of them.
    pub largest: f64,
    /// How many there are.
    pub cells: usize,
}

/// What a mean over variants is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariantQuantity {
    /// The time over the default variant's.
    TimeToDefault,
    /// The time over native code's.
    TimeToNative,
    /// The size of the module over the default variant's.
    ModuleBytes,
    /// The size of what the runtime loads over the default variant's.
    LoadedBytes,
}

impl VariantQuantity {
    /// The name as it stands in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TimeToDefault => "time-to-default",
            Self::TimeToNative => "time-to-native",
            Self::ModuleBytes => "module-bytes",
            Self::LoadedBytes => "loaded-bytes",
        }
    }
}

/// A claim of the paper beside this run's figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claim {
    /// A short name.
    pub id: String,
    /// Who says it.
    pub source: String,
    /// What is said, in our words.
    pub text: String,
    /// Their figure.
    pub figure: String,
    /// What to keep in mind when comparing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Our figures; empty when there are none.
    pub measured: Vec<ClaimFigure>,
    /// Why there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_measured: Option<String>,
}

/// A figure of this run beside a claim.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClaimFigure {
    /// `largest`, `smallest` or `geometric-mean`.
    pub statistic: Statistic,
    /// The ratio.
    pub ratio: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// What `low` and `high` are.
    pub spread: Spread,
    /// How many cells the statistic was taken over.
    pub cells: usize,
    /// The cell with that ratio (an extreme), or the runtime of all of them (a mean).
    pub of: String,
}

/// What is taken from a set of ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// The largest ratio.
    Largest,
    /// The smallest ratio.
    Smallest,
    /// The geometric mean, for each runtime.
    GeometricMean,
}

/// What the two ends beside a claim's figure are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// The interval of that cell's ratio.
    Interval,
    /// The smallest and the largest of the cells.
    Range,
    /// The figure itself: sizes have no noise.
    Exact,
}

/// A case without an estimate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Absence {
    /// The case, as `suite`, `function`, `runtime` and `payload`.
    #[serde(flatten)]
    pub case: Case,
    /// Why.
    pub reason: String,
}
