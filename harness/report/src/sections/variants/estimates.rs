//! Sizes and times of every variant, and their means beside the default.

use std::collections::{BTreeMap, BTreeSet};

use lumos_model::{Bootstrap, Comparison, Estimate, Samples, geometric_mean};
use lumos_record::{Artifact, ArtifactKind, Case, Setting, Suite, Variant};

use crate::figure::{Figure, verdicts};
use crate::load::CaseEvidence;
use crate::runtimes::{Runtimes, payload_rank};
use crate::schema::{CaseEstimate, Report};
use crate::table::Ratio;

/// A function with its Wasm built in one way, on one runtime.
#[derive(Debug, Clone)]
pub struct VariantEstimate {
    /// The case, as `suite`, `function`, `runtime`, `payload` and `setting`.
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
    pub to_default: Option<Ratio>,
    /// The time over that of native code; none where that was not measured.
    pub to_native: Option<Ratio>,
}

/// A geometric mean over functions and payloads, with its range.
#[derive(Debug, Clone)]
pub struct VariantMean {
    /// The variant.
    pub variant: Variant,
    /// The runtime; none for the sizes of modules.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Every measured case of the suite whose Wasm was built in a particular way.
pub fn estimates(
    report: &Report,
    runtimes: &Runtimes,
    cases: &BTreeMap<Case, CaseEvidence>,
    bootstrap: &mut Bootstrap,
) -> Vec<VariantEstimate> {
    let samples = |case: &Case| cases.get(case).and_then(CaseEvidence::samples);
    let native: BTreeSet<&str> = cases
        .keys()
        .filter(|case| case.suite == Suite::Variants && case.setting.variant.is_none())
        .map(|case| case.runtime.as_str())
        .filter(|name| runtimes.is_reference(Suite::Variants.lane(), name))
        .collect();
    let mut compared = Vec::new();
    let mut ratio = |above: &Samples, reference: &str, below: &Case| -> Option<Ratio> {
        let found = Comparison::new(above, samples(below)?, bootstrap)?;
        let Estimate { point, low, high } = found.ratio;
        compared.push(found);
        let reference = reference.to_owned();
        Some(Ratio { reference, ratio: point, low, high, verdict: None })
    };
    let mut found = Vec::new();
    for estimate in report.estimates.iter().filter(|entry| entry.case.suite == Suite::Variants) {
        let case = &estimate.case;
        let (Some(variant), Some(above)) = (case.setting.variant, samples(case)) else { continue };
        let with = |variant| Setting { variant, ..case.setting };
        let default = Case { setting: with(Some(Variant::DEFAULT)), ..case.clone() };
        let to_default = match variant {
            Variant::DEFAULT => None,
            _ => ratio(above, &Variant::DEFAULT.to_string(), &default),
        };
        let to_native = native.iter().find_map(|&name| {
            let below = Case { runtime: name.to_owned(), setting: with(None), ..case.clone() };
            ratio(above, name, &below)
        });
        found.push(described(report, runtimes, estimate, variant, [to_default, to_native]));
    }
    if !report.node.emulated {
        let ratios = found.iter_mut().flat_map(|entry: &mut VariantEstimate| {
            entry.to_default.iter_mut().chain(&mut entry.to_native)
        });
        for (ratio, verdict) in ratios.zip(verdicts(&compared)) {
            ratio.verdict = Some(verdict);
        }
    }
    found.sort_by_cached_key(|entry| {
        let case = &entry.case;
        let runtime = runtimes.rank(case.suite.lane(), &case.runtime);
        (case.function.clone(), payload_rank(&case.payload), entry.variant, runtime)
    });
    found
}

/// A case's figures, with the sizes of its artifacts.
fn described(
    report: &Report,
    runtimes: &Runtimes,
    estimate: &CaseEstimate,
    variant: Variant,
    [to_default, to_native]: [Option<Ratio>; 2],
) -> VariantEstimate {
    let case = estimate.case.clone();
    let module = artifact(report, variant, ArtifactKind::Wasm, &case.function, None);
    let loads = runtimes.find(case.suite.lane(), &case.runtime).and_then(|runtime| runtime.loads);
    let loaded = match loads {
        Some(ArtifactKind::Precompiled) => {
            let engine = Some(case.runtime.as_str());
            artifact(report, variant, ArtifactKind::Precompiled, &case.function, engine)
        }
        Some(ArtifactKind::Wasm) => module,
        _ => None,
    };
    VariantEstimate {
        case,
        variant,
        module_bytes: module.map(|artifact| artifact.bytes),
        module_text_bytes: module.and_then(|artifact| artifact.text_bytes),
        loaded_bytes: loaded.map(|artifact| artifact.bytes),
        loaded_text_bytes: loaded.and_then(|artifact| artifact.text_bytes),
        median: estimate.median,
        low: estimate.low,
        high: estimate.high,
        n: estimate.n,
        to_default,
        to_native,
    }
}

fn artifact<'r>(
    report: &'r Report,
    variant: Variant,
    kind: ArtifactKind,
    function: &str,
    engine: Option<&str>,
) -> Option<&'r Artifact> {
    report.artifacts_of(Some(variant)).find(|artifact| {
        artifact.kind == kind
            && artifact.function.as_deref() == Some(function)
            && artifact.engine.as_deref() == engine
    })
}

/// The geometric means over functions and payloads of the report's variants: of times for each
/// variant and runtime, of sizes over functions alone.
pub fn means(entries: &[VariantEstimate]) -> Vec<VariantMean> {
    let variants: BTreeSet<Variant> = entries.iter().map(|entry| entry.variant).collect();
    // In the order in which they appear, which is a reader's.
    let mut runtimes: Vec<&str> = Vec::new();
    for entry in entries {
        if !runtimes.contains(&entry.case.runtime.as_str()) {
            runtimes.push(&entry.case.runtime);
        }
    }
    let mut means = Vec::new();
    for variant in variants {
        let mut push = |runtime: Option<&str>, quantity, ratios: Vec<f64>| {
            let Some(mean) = geometric_mean(&ratios) else { return };
            means.push(VariantMean {
                variant,
                runtime: runtime.map(str::to_owned),
                quantity,
                mean: mean.mean,
                smallest: mean.smallest,
                largest: mean.largest,
                cells: mean.count,
            });
        };
        let is_default = variant == Variant::DEFAULT;
        if !is_default {
            let sizes = size_ratios(entries, variant, |entry| entry.module_bytes);
            push(None, VariantQuantity::ModuleBytes, sizes);
        }
        for runtime in &runtimes {
            let of_runtime = |entry: &&VariantEstimate| {
                entry.variant == variant && entry.case.runtime == *runtime
            };
            let times = |of: fn(&VariantEstimate) -> &Option<Ratio>| {
                let ratio = |entry| of(entry).as_ref().map(|ratio| ratio.ratio);
                entries.iter().filter(of_runtime).filter_map(ratio).collect::<Vec<f64>>()
            };
            let (to_default, to_native) =
                (times(|entry| &entry.to_default), times(|entry| &entry.to_native));
            push(Some(runtime), VariantQuantity::TimeToDefault, to_default);
            push(Some(runtime), VariantQuantity::TimeToNative, to_native);
            if !is_default {
                let sizes = size_ratios(entries, variant, |entry| {
                    entry.loaded_bytes.filter(|_| entry.case.runtime == *runtime)
                });
                push(Some(runtime), VariantQuantity::LoadedBytes, sizes);
            }
        }
    }
    means
}

/// The size of each function in a variant over that in the default one: sizes depend on no
/// payload, so each function counts once.
fn size_ratios(
    entries: &[VariantEstimate],
    variant: Variant,
    bytes: impl Fn(&VariantEstimate) -> Option<u64>,
) -> Vec<f64> {
    let of_variant = |variant| -> BTreeMap<&str, u64> {
        let entries = entries.iter().filter(|entry| entry.variant == variant);
        entries.filter_map(|entry| Some((entry.case.function.as_str(), bytes(entry)?))).collect()
    };
    let (above, below) = (of_variant(variant), of_variant(Variant::DEFAULT));
    let ratio = |(function, bytes): (&&str, &u64)| {
        below.get(function).map(|&default| *bytes as f64 / default as f64)
    };
    above.iter().filter_map(ratio).collect()
}

impl VariantEstimate {
    pub fn figure(&self) -> Figure {
        Figure { median: self.median, low: Some(self.low), high: Some(self.high), n: self.n }
    }
}
