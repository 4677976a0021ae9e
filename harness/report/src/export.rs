//! The figures of a run in the formats of services that keep benchmarks over time.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::csv;
use super::schema::{CaseEstimate, Report};

/// A format of `cargo xtask report --format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Export {
    /// The table of report.csv
    Csv,
    /// What github-action-benchmark calls `customSmallerIsBetter`
    CustomSmallerIsBetter,
    /// Bencher's metric format
    Bencher,
}

/// An entry of github-action-benchmark.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    unit: &'static str,
    value: f64,
    /// How far the interval reaches from the median, at most.
    range: String,
    extra: String,
}

/// A metric of Bencher's measure `latency`, in nanoseconds.
#[derive(Debug, Serialize)]
struct Metric {
    value: f64,
    lower_value: f64,
    upper_value: f64,
}

/// The text of a report in a format.
///
/// # Errors
/// When a figure is no number, which none is.
pub fn render(report: &Report, format: Export) -> Result<String> {
    let estimates = report.estimates.iter();
    Ok(match format {
        Export::Csv => csv::render(report)?,
        Export::CustomSmallerIsBetter => {
            let entries: Vec<Entry> = estimates.map(entry).collect();
            serde_json::to_string_pretty(&entries)? + "\n"
        }
        Export::Bencher => {
            let latencies = estimates.map(|estimate| {
                let CaseEstimate { median: value, low, high, .. } = *estimate;
                let metric = Metric { value, lower_value: low, upper_value: high };
                (estimate.case.to_string(), BTreeMap::from([("latency", metric)]))
            });
            let latencies: BTreeMap<String, _> = latencies.collect();
            serde_json::to_string_pretty(&latencies)? + "\n"
        }
    })
}

fn entry(estimate: &CaseEstimate) -> Entry {
    let CaseEstimate { case, median, low, high, n, .. } = estimate;
    let reach = (high - median).max(median - low);
    Entry {
        name: case.to_string(),
        unit: "ns",
        value: *median,
        range: format!("± {reach:.3}"),
        extra: format!("95 % interval {low:.3} to {high:.3} ns, {n} samples"),
    }
}
