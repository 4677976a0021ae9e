//! The page and its Markdown: what stands above the sections, and then these one after the other.

use std::collections::BTreeMap;

use lumos_record::{Case, Runtime};
use serde::Serialize;

use super::charts;
use super::format;
use super::grid::Grid;
use super::render;
use super::schema::{Report, RoundWeather};
use super::table::Key;

/// What the templates show.
#[derive(Serialize)]
pub struct Page {
    title: String,
    emulated: bool,
    facts: Vec<(String, String)>,
    warnings: Vec<String>,
    resamples: usize,
    minimal_effect: String,
    counts: Counts,
    /// The ids of the sections with what stands in a list of them.
    links: Vec<(&'static str, &'static str)>,
    sections_html: String,
    sections_markdown: String,
}

#[derive(Serialize)]
struct Counts {
    estimates: usize,
    skips: usize,
    failures: usize,
    unrecorded: usize,
}

impl Page {
    /// Formats a report.
    pub fn new(report: &Report) -> Self {
        let sections = &report.sections;
        Self {
            title: format!("Lumos: {}", report.run.name),
            emulated: report.node.emulated,
            facts: facts(report),
            warnings: report.warnings.clone(),
            resamples: report.method.resamples,
            minimal_effect: format!("{} %", report.method.minimal_effect * 100.0),
            counts: Counts {
                estimates: report.estimates.len(),
                skips: report.skips.len(),
                failures: report.failures.len(),
                unrecorded: report.unrecorded.len(),
            },
            links: sections.iter().map(|section| (section.id, section.title)).collect(),
            sections_html: sections.iter().map(render::html).collect(),
            sections_markdown: sections.iter().map(render::markdown).collect(),
        }
    }
}

/// The colour of each runtime: an engine has the same one in both lanes, and a container its own.
pub struct Palette(BTreeMap<String, usize>);

impl Palette {
    /// Gives each runtime its colour, in the order of the tables.
    pub fn new(report: &Report, grids: &[Grid]) -> Self {
        let runtimes = super::runtimes::Runtimes::new(&report.runtimes);
        let mut colours: BTreeMap<String, usize> = BTreeMap::new();
        let mut engines: Vec<String> = Vec::new();
        for grid in grids {
            for &name in &grid.runtimes {
                let engine = runtimes.find(grid.suite.lane(), name);
                let engine = engine.map_or(name, |runtime| match runtime.sandbox.as_str() {
                    Runtime::PROCESS => runtime.name.as_str(),
                    _ => name,
                });
                let known = engines.iter().position(|other| other == engine);
                let colour = known.unwrap_or_else(|| {
                    engines.push(engine.to_owned());
                    engines.len() - 1
                });
                colours.insert(name.to_owned(), colour % charts::COLOURS);
            }
        }
        Self(colours)
    }

    /// The colour of a runtime, counted from 0.
    pub fn of(&self, runtime: &str) -> usize {
        self.0.get(runtime).copied().unwrap_or(0)
    }

    /// Which colour stands for which of these runtimes.
    pub fn legend<'a>(&self, runtimes: impl IntoIterator<Item = &'a str>) -> Vec<Key> {
        let key = |name: &str| Key { name: name.to_owned(), colour: self.of(name) };
        runtimes.into_iter().map(key).collect()
    }
}

/// A function with its payload, if there is one.
pub fn label(function: &str, payload: &str) -> String {
    match payload {
        Case::NO_PAYLOAD => function.to_owned(),
        payload => format!("{function}, {payload}"),
    }
}

fn facts(report: &Report) -> Vec<(String, String)> {
    let (run, node) = (&report.run, &report.node);
    let commit = run.revision.commit.get(..12).unwrap_or(&run.revision.commit);
    let commit = if commit.is_empty() { "unknown" } else { commit };
    let dirty = if run.revision.dirty { ", with uncommitted changes" } else { "" };
    let emulated = if node.emulated { ", emulated" } else { "" };
    let facts = [
        ("Run", format!("{}, profile {}", run.name, run.profile)),
        ("Begun", format::moment(run.started_unix_ms)),
        ("Command", format::command(&run.command_line)),
        ("Revision", format!("{commit}{dirty}")),
        ("Processor", format!("{} ({}{emulated})", node.cpu_model, node.arch)),
        ("Logical processors", node.cpus.to_string()),
        ("Memory", format::bytes(node.memory_bytes as f64)),
        ("System", format!("{}, Linux {}", node.os, node.kernel)),
        ("Governor", node.governor.clone()),
        ("Control groups", node.cgroup.clone()),
        ("Hypervisor", node.virtualization.clone()),
        (
            "Clock",
            format!(
                "steps of {}, {} to read",
                format::duration(node.timer_precision_ns as f64),
                format::duration(node.timer_cost_ns as f64)
            ),
        ),
        ("Guest compiler", run.toolchain.rustc.clone()),
        ("Engines", run.engines.join(", ")),
    ];
    let mut facts: Vec<(String, String)> =
        facts.map(|(name, value)| (name.to_owned(), value)).into();
    if let Some(rounds) = &run.rounds {
        let lost = match rounds.interrupted.len() {
            0 => String::new(),
            lost => format!(", {lost} interrupted"),
        };
        let again = match rounds.again.len() {
            0 => String::new(),
            again => format!(", {again} measured again since the node was disturbed"),
        };
        let extra = match rounds.extra.len() {
            0 => String::new(),
            extra => format!(", {extra} more of what was not known precisely enough"),
        };
        let (counted, asked) = (rounds.counted.len(), rounds.asked);
        facts.insert(1, ("Rounds".to_owned(), format!("{counted} of {asked}{lost}{again}{extra}")));
        facts
            .extend(rounds.precision.iter().map(|told| ("Precision".to_owned(), told.to_string())));
        facts.extend(weather(&rounds.weather).map(|told| ("Weather".to_owned(), told)));
    }
    facts.extend(report.sandboxes.iter().map(|(package, told)| {
        let told: Vec<String> =
            told.iter().map(|(name, value)| format!("{name} {value}")).collect();
        (format!("Sandbox of {package}"), told.join(", "))
    }));
    facts
}

/// How quiet the node was; nothing where no round tells.
fn weather(rounds: &[RoundWeather]) -> Option<String> {
    let of_rounds = || rounds.iter().map(|round| round.calibration_ns as f64);
    let (least, most) = (of_rounds().reduce(f64::min)?, of_rounds().reduce(f64::max)?);
    let within = rounds.iter().map(|round| round.calibration_p95_ns / round.calibration_ns as f64);
    let stolen = rounds.iter().filter_map(|round| round.stolen).reduce(f64::max);
    let stolen =
        stolen.map(|share| format!("; at most {:.1} % of a processor was stolen", share * 100.0));
    Some(format!(
        "the same work took {} from round to round (medians), and in one row of twenty up to {} \
         as long as the round's median{}",
        format::interval(least, most, format::duration),
        format::ratio(within.fold(1.0, f64::max)),
        stolen.unwrap_or_default()
    ))
}
