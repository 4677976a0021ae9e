//! The paper's claims, which are data, and this run's figures beside them.

use anyhow::{Context, Result};
use lumos_model::geometric_mean;
use lumos_record::{Artifact, ArtifactKind, Case, Image, Lane, Mode, Suite};
use serde::Deserialize;

use super::runtimes::Runtimes;
use super::schema::{CaseRatio, Claim, ClaimFigure, Report, Spread, Statistic};

/// The file of claims.
const CLAIMS: &str = include_str!("claims.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    claim: Vec<Definition>,
}

/// A claim as the file holds it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    id: String,
    source: String,
    text: String,
    figure: String,
    note: Option<String>,
    measure: Measure,
}

/// Where our figure comes from.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum Measure {
    Ratio {
        suite: Suite,
        mode: Mode,
        statistic: Statistic,
        /// The sandbox of the native code below the line; without it, the case's own.
        against: Option<String>,
        /// Whether each function has a mean of its own.
        #[serde(default)]
        by_function: bool,
    },
    Size {
        larger: ArtifactKind,
        smaller: ArtifactKind,
        mode: Mode,
        statistic: Statistic,
    },
    ImageSize {
        base: String,
        mode: Mode,
        bytes: ImageBytes,
        statistic: Statistic,
    },
    None {
        reason: String,
    },
}

/// What of an image is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ImageBytes {
    /// What a registry sends.
    Compressed,
    /// What lies on the node's disk.
    Unpacked,
}

/// One ratio that a statistic is taken over.
struct Cell {
    /// What has a mean of its own: the runtime or engine, with the function where the claim tells
    /// functions apart.
    of: String,
    /// What exactly, for extremes.
    name: String,
    ratio: f64,
    low: f64,
    high: f64,
}

/// Every claim with the figures that the report holds for it, or the reason that there are none.
///
/// # Errors
/// When the file of claims is malformed, which is a fault of this program.
pub fn evaluate(report: &Report, runtimes: &Runtimes) -> Result<Vec<Claim>> {
    let file: File = toml::from_str(CLAIMS).context("claims.toml")?;
    Ok(file.claim.into_iter().map(|definition| claim(definition, report, runtimes)).collect())
}

fn claim(definition: Definition, report: &Report, runtimes: &Runtimes) -> Claim {
    let Definition { id, source, text, figure, note, measure } = definition;
    let (measured, not_measured) = match measured(&measure, report, runtimes) {
        Ok(figures) => (figures, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    Claim { id, source, text, figure, note, measured, not_measured }
}

fn measured(
    measure: &Measure,
    report: &Report,
    runtimes: &Runtimes,
) -> Result<Vec<ClaimFigure>, String> {
    match measure {
        Measure::None { reason } => Err(reason.clone()),
        Measure::Ratio { .. } if report.node.emulated => {
            Err("this run was emulated, and emulated figures are not ranked".into())
        }
        Measure::Ratio { suite, mode, statistic, against, by_function } => {
            // Limits and a cold page cache are drivers of their own: the first setting counts.
            let settings = report.ratios.iter().filter(|ratio| ratio.case.suite == *suite);
            let setting = settings.map(|ratio| ratio.case.setting).min();
            let of_mode = |ratio: &&CaseRatio| {
                let runtime = runtimes.find(ratio.lane, &ratio.case.runtime);
                let sandbox = runtimes.find(ratio.lane, &ratio.reference).map(|r| &r.sandbox);
                ratio.case.suite == *suite
                    && Some(ratio.case.setting) == setting
                    && runtime.is_some_and(|runtime| {
                        runtime.mode == *mode
                            && sandbox == Some(against.as_ref().unwrap_or(&runtime.sandbox))
                    })
            };
            let cell = |ratio| ratio_cell(ratio, *by_function);
            let cells: Vec<Cell> = report.ratios.iter().filter(of_mode).map(cell).collect();
            let absent = || {
                let native = against
                    .as_ref()
                    .map_or_else(String::new, |sandbox| format!(" to native code in `{sandbox}`"));
                let remedy = match suite.spec().on_request {
                    true => format!(": `cargo xtask bench --suite {suite}` measures it"),
                    false => String::new(),
                };
                format!("this run has no ratio of mode `{mode}`{native} in suite `{suite}`{remedy}")
            };
            figures(*statistic, Spread::Interval, cells).ok_or_else(absent)
        }
        Measure::Size { larger, smaller, mode, statistic } => {
            let cells = size_cells(report, runtimes, (*larger, *smaller), *mode);
            let absent = || {
                format!(
                    "no function has both an artifact `{larger}` and one `{smaller}` of mode \
                     `{mode}`"
                )
            };
            figures(*statistic, Spread::Exact, cells).ok_or_else(absent)
        }
        Measure::ImageSize { base, mode, bytes, statistic } => {
            let cells = image_cells(report, runtimes, (base, *bytes), *mode);
            let absent = || {
                format!(
                    "no function has both an image of native code on `{base}` and one of mode \
                     `{mode}`; `cargo xtask build` says why"
                )
            };
            figures(*statistic, Spread::Exact, cells).ok_or_else(absent)
        }
    }
}

/// The size of each function's native image on a base over each of its images on no base that
/// holds a module of the mode.
fn image_cells(
    report: &Report,
    runtimes: &Runtimes,
    (base, bytes): (&str, ImageBytes),
    mode: Mode,
) -> Vec<Cell> {
    let count = |artifact: &Artifact, image: &Image| match bytes {
        ImageBytes::Compressed => image.compressed_bytes,
        ImageBytes::Unpacked => artifact.bytes,
    };
    let images =
        || report.own_artifacts().filter_map(|artifact| Some((artifact, artifact.image.as_ref()?)));
    let mut cells = Vec::new();
    for (below, module) in images() {
        let Some(engine) = &below.engine else { continue };
        if runtimes.mode_of(Lane::InProcess, engine) != Some(mode) || count(below, module) == 0 {
            continue;
        }
        let function = below.function.as_deref().unwrap_or("every function");
        let native = images().filter(|(above, image)| {
            ArtifactKind::NATIVE_EXECUTABLES.contains(&image.holds)
                && image.base == base
                && above.function == below.function
                && architecture(above) == architecture(below)
        });
        cells.extend(native.map(|(above, image)| {
            let ratio = count(above, image) as f64 / count(below, module) as f64;
            let name = format!("{function}: native on {base} over {engine} on {}", module.base);
            Cell { of: engine.clone(), name, ratio, low: ratio, high: ratio }
        }));
    }
    cells
}

fn ratio_cell(ratio: &CaseRatio, by_function: bool) -> Cell {
    let Case { function, runtime, .. } = &ratio.case;
    Cell {
        of: if by_function { format!("{runtime}, {function}") } else { runtime.clone() },
        name: format!("{} over {}", ratio.case, ratio.reference),
        ratio: ratio.ratio,
        low: ratio.low,
        high: ratio.high,
    }
}

/// The size of each function's larger artifact over each of its smaller ones, where those belong
/// to an engine of the mode and both are for one architecture.
fn size_cells(
    report: &Report,
    runtimes: &Runtimes,
    (larger, smaller): (ArtifactKind, ArtifactKind),
    mode: Mode,
) -> Vec<Cell> {
    let of_kind = |kind| report.own_artifacts().filter(move |artifact| artifact.kind == kind);
    let mut cells = Vec::new();
    for below in of_kind(smaller).filter(|artifact| artifact.bytes > 0) {
        let Some(engine) = &below.engine else { continue };
        if runtimes.mode_of(Lane::InProcess, engine) != Some(mode) {
            continue;
        }
        let same = |above: &&Artifact| {
            above.function == below.function && architecture(above) == architecture(below)
        };
        let function = below.function.as_deref().unwrap_or("every function");
        cells.extend(of_kind(larger).filter(same).map(|above| {
            let ratio = above.bytes as f64 / below.bytes as f64;
            let name = format!("{function}: {larger} over {smaller} of {engine}");
            Cell { of: engine.clone(), name, ratio, low: ratio, high: ratio }
        }));
    }
    cells
}

/// The first part of the target triple.
fn architecture(artifact: &Artifact) -> Option<&str> {
    artifact.target.split('-').next()
}

/// The statistic over the cells: one figure for an extreme, one per runtime for a mean. None
/// when there are no cells.
fn figures(statistic: Statistic, spread: Spread, cells: Vec<Cell>) -> Option<Vec<ClaimFigure>> {
    let count = cells.len();
    let by_ratio = |a: &Cell, b: &Cell| a.ratio.total_cmp(&b.ratio);
    let extreme = match statistic {
        Statistic::GeometricMean => return means(&cells),
        Statistic::Largest => cells.into_iter().max_by(by_ratio)?,
        Statistic::Smallest => cells.into_iter().min_by(by_ratio)?,
    };
    Some(vec![ClaimFigure {
        statistic,
        ratio: extreme.ratio,
        low: extreme.low,
        high: extreme.high,
        spread,
        cells: count,
        of: extreme.name,
    }])
}

/// The geometric mean of each runtime's cells, in the order in which the runtimes appear.
fn means(cells: &[Cell]) -> Option<Vec<ClaimFigure>> {
    let mut names: Vec<&str> = Vec::new();
    for cell in cells {
        if !names.contains(&cell.of.as_str()) {
            names.push(&cell.of);
        }
    }
    let mean = |name: &str| {
        let of_name = cells.iter().filter(|cell| cell.of == name);
        let mean = geometric_mean(&of_name.map(|cell| cell.ratio).collect::<Vec<_>>())?;
        Some(ClaimFigure {
            statistic: Statistic::GeometricMean,
            ratio: mean.mean,
            low: mean.smallest,
            high: mean.largest,
            spread: Spread::Range,
            cells: mean.count,
            of: name.to_owned(),
        })
    };
    let figures: Vec<ClaimFigure> = names.into_iter().filter_map(mean).collect();
    (!figures.is_empty()).then_some(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_claims_is_well_formed() {
        let file: File = toml::from_str(CLAIMS).unwrap();
        let mut ids: Vec<&str> = file.claim.iter().map(|claim| claim.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), file.claim.len(), "ids are unique");
    }
}
