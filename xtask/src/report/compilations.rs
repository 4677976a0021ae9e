//! What it took to compile each module ahead of time, for every target that the build made.

use lumos_model::{Bootstrap, Samples};
use lumos_record::{Artifact, ArtifactKind, Lane};

use super::analysis;
use super::runtimes::Runtimes;
use super::schema::{CompilationEstimate, Report};

/// One for each artifact that the build recorded a compilation of; the report's artifacts are
/// sorted, and so are these.
pub fn estimates(
    report: &Report,
    runtimes: &Runtimes,
    bootstrap: &mut Bootstrap,
) -> Vec<CompilationEstimate> {
    let artifacts = report.artifacts.iter();
    artifacts.filter_map(|artifact| estimate(report, runtimes, bootstrap, artifact)).collect()
}

fn estimate(
    report: &Report,
    runtimes: &Runtimes,
    bootstrap: &mut Bootstrap,
    artifact: &Artifact,
) -> Option<CompilationEstimate> {
    let compilation = artifact.compilation.as_ref()?;
    let engine = artifact.engine.clone()?;
    let times_ns = compilation.compile_ns.iter().map(|&time_ns| time_ns as f64).collect();
    let compile_ns = Samples::raw(times_ns).ok();
    let compile_ns = compile_ns.map(|times_ns| analysis::figure(bootstrap, &times_ns));
    let is_module = |other: &&Artifact| {
        other.kind == ArtifactKind::Wasm
            && other.function == artifact.function
            && other.variant == artifact.variant
    };
    let module_bytes = report.artifacts.iter().find(is_module).map(|module| module.bytes);
    let per_byte = |bytes: u64| Some(compile_ns?.median / bytes as f64).filter(|ns| ns.is_finite());
    Some(CompilationEstimate {
        function: artifact.function.clone()?,
        mode: runtimes.mode_of(Lane::InProcess, &engine),
        engine,
        engine_version: artifact.engine_version.clone(),
        target: artifact.target.clone(),
        variant: artifact.variant,
        compile_ns,
        compile_ns_per_module_byte: module_bytes.and_then(per_byte),
        peak_rss_bytes: compilation.peak_rss_bytes,
        module_bytes,
        bytes: artifact.bytes,
        text_bytes: artifact.text_bytes.or(compilation.text_bytes),
    })
}
