//! The shape of `report.json`: what other programs may rely on.
//!
//! Times are in nanoseconds, sizes in bytes. Every list is sorted: by suite, function, payload
//! (small first), then runtime (native first).

use std::collections::BTreeMap;

use lumos_record::{
    Artifact, Case, Lane, Node, PrecisionReached, Profile, Revision, Runtime, Toolchain, Variant,
};
use serde::{Deserialize, Serialize};

use super::render::json;
use super::table::Section;

/// The version of this shape: raised when a reader of older reports would go wrong.
pub const SCHEMA_VERSION: u32 = 2;

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
    /// The sections whose tables are of one model: `memory`, `breakdown` and others.
    #[serde(flatten, serialize_with = "json::lists", skip_deserializing)]
    pub sections: Vec<Section>,
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
