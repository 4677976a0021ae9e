//! What it costs to bring an image to a node: the model of a pull for some links, the measured
//! time to unpack, and the model beside pulls from a registry.

use lumos_model::{median, pull_ns};
use lumos_record::{Artifact, ArtifactKind, Image, Pull, PullCheck, Suite};

use super::schema::{
    CaseEstimate, Figure, PullCheckReport, PullComparison, PullEstimate, PullLink, PullReport,
    Report,
};

/// The links that pulls are modelled for, as Mbit/s and round trips in microseconds: a data
/// centre, a good line, and a poor one at the edge.
const LINKS: [(u64, u64); 3] = [(1000, 500), (100, 10_000), (10, 50_000)];

/// The section of a report whose artifacts, runtimes and estimates are known.
pub fn section(report: &Report, check: Option<PullCheck>) -> PullReport {
    let links: Vec<PullLink> =
        LINKS.iter().map(|&(mbit_per_s, round_trip_us)| link(mbit_per_s, round_trip_us)).collect();
    let images = report.own_artifacts().filter_map(|artifact| {
        let image = artifact.image.as_ref()?;
        Some(estimate(report, &links, artifact, image))
    });
    let mut images: Vec<PullEstimate> = images.collect();
    images.sort_by_cached_key(|found| {
        (found.function.clone(), found.holds, found.compressed_bytes, found.engine.clone())
    });
    PullReport { images, links, check: check.map(compare) }
}

fn link(mbit_per_s: u64, round_trip_us: u64) -> PullLink {
    let bandwidth = match mbit_per_s {
        1000.. => format!("{} Gbit/s", mbit_per_s / 1000),
        _ => format!("{mbit_per_s} Mbit/s"),
    };
    PullLink {
        name: format!("{bandwidth}, {} ms", round_trip_us as f64 / 1000.0),
        bandwidth_bytes_per_s: mbit_per_s * 1_000_000 / 8,
        round_trip_ns: round_trip_us * 1000,
    }
}

fn estimate(
    report: &Report,
    links: &[PullLink],
    artifact: &Artifact,
    image: &Image,
) -> PullEstimate {
    let function = artifact.function.clone().unwrap_or_default();
    let modelled = links.iter().filter_map(|link| {
        let bandwidth_bytes_per_s = link.bandwidth_bytes_per_s as f64;
        let round_trip_ns = link.round_trip_ns as f64;
        pull_ns(image.compressed_bytes, image.layers(), bandwidth_bytes_per_s, round_trip_ns)
    });
    PullEstimate {
        base: image.base.clone(),
        holds: image.holds,
        engine: artifact.engine.clone(),
        layers: image.layers(),
        compressed_bytes: image.compressed_bytes,
        modelled_ns: modelled.collect(),
        unpack_ns: unpacking(report, &function, image),
        function,
    }
}

/// The time to unpack an image, by the first runtime that serves it: only native functions are
/// served from images.
fn unpacking(report: &Report, function: &str, image: &Image) -> Option<Figure> {
    if !ArtifactKind::NATIVE_EXECUTABLES.contains(&image.holds) {
        return None;
    }
    let is_of_image = |estimate: &&CaseEstimate| {
        let case = &estimate.case;
        let serves = |name: &str| {
            report.runtimes.iter().any(|runtime| {
                runtime.name_in(case.suite.lane()) == name
                    && runtime.base.as_ref() == Some(&image.base)
            })
        };
        case.suite == Suite::Pull && case.function == function && serves(&case.runtime)
    };
    let found = report.estimates.iter().find(is_of_image)?;
    let (low, high) = (Some(found.low), Some(found.high));
    Some(Figure { median: found.median, low, high, n: found.n })
}

fn compare(check: PullCheck) -> PullCheckReport {
    let comparison = |pull: Pull| {
        let times_ns: Vec<f64> = pull.times_ns.iter().map(|&time_ns| time_ns as f64).collect();
        let measured_ns = median(&times_ns)?;
        let modelled_ns = pull.bandwidth_bytes_per_s.and_then(|bandwidth_bytes_per_s| {
            let bandwidth_bytes_per_s = bandwidth_bytes_per_s as f64;
            let round_trip_ns = pull.round_trip_ns as f64;
            pull_ns(pull.compressed_bytes, pull.layers, bandwidth_bytes_per_s, round_trip_ns)
        });
        let ratio = modelled_ns.filter(|&time_ns| time_ns > 0.0).map(|ns| measured_ns / ns);
        Some(PullComparison { pull, measured_ns, modelled_ns, ratio })
    };
    PullCheckReport {
        registry: check.registry,
        notes: check.notes,
        pulls: check.pulls.into_iter().filter_map(comparison).collect(),
    }
}
