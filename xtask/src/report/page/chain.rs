//! The suites of chains: a line for each chain, payload and runtime.

use serde::Serialize;

use super::super::format;
use super::super::runtimes::Runtimes;
use super::super::schema::{ChainEstimate, Interval, Report};
use super::{NOTHING, Notes};

/// What a template shows of it.
#[derive(Serialize)]
pub struct View {
    /// The lengths, one column each.
    lengths: Vec<u8>,
    /// The chains and what they consist of.
    chains: Vec<(String, String)>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// A figure stands before its interval.
#[derive(Serialize)]
struct Row {
    suite: String,
    chain: String,
    payload: String,
    runtime: String,
    /// One for each length.
    times: Vec<(String, String)>,
    per_step: (String, String),
    /// The footnote of a line that is missing; 0 for none.
    line_note: usize,
    /// The geometric mean, and the range.
    ratio: (String, String),
    /// The footnote of a ratio that is missing; 0 for none.
    ratio_note: usize,
}

/// Formats what the report holds of it.
pub fn view(report: &Report) -> View {
    let runtimes = Runtimes::new(&report.runtimes);
    let most = report.chain.iter().flat_map(|chain| &chain.lengths).map(|length| length.steps);
    let lengths: Vec<u8> = (1..=most.max().unwrap_or(0)).collect();
    let mut chains: Vec<(String, String)> = Vec::new();
    for chain in &report.chain {
        let name = &chain.case.function;
        if !chain.functions.is_empty() && chains.iter().all(|(known, _)| known != name) {
            chains.push((name.clone(), chain.functions.join(", ")));
        }
    }
    let mut notes = Notes::default();
    let rows =
        report.chain.iter().map(|chain| row(chain, &lengths, &runtimes, &mut notes)).collect();
    View { lengths, chains, rows, notes: notes.texts }
}

fn row(chain: &ChainEstimate, lengths: &[u8], runtimes: &Runtimes, notes: &mut Notes) -> Row {
    let nothing = || (NOTHING.to_owned(), NOTHING.to_owned());
    let case = &chain.case;
    let mut row = Row {
        suite: case.suite.to_string(),
        chain: case.function.clone(),
        payload: case.input(),
        runtime: case.runtime.clone(),
        times: lengths.iter().map(|&steps| times(chain, steps)).collect(),
        per_step: nothing(),
        line_note: 0,
        ratio: nothing(),
        ratio_note: 0,
    };
    match chain.per_step_ns {
        Some(Interval { point, low, high }) => {
            let interval = format::interval(low, high, format::duration);
            row.per_step = (format::duration(point), interval);
        }
        None => {
            row.line_note = notes.number(
                "no cost per step: it takes three lengths or more, of one function throughout",
            );
        }
    }
    match &chain.to_native {
        Some(native) => {
            let range = format::ratio_interval(native.smallest, native.largest);
            row.ratio = (format::ratio(native.ratio), range);
        }
        None if runtimes.is_reference(chain.lane, &case.runtime) => {
            row.ratio = ("reference".to_owned(), NOTHING.to_owned());
        }
        None => row.ratio_note = notes.number("no ratio: native code has no figure for it"),
    }
    row
}

/// What a length takes, with state in each place where it was measured.
fn times(chain: &ChainEstimate, steps: u8) -> (String, String) {
    let found = chain.lengths.iter().filter(|length| length.steps == steps);
    let (times, intervals): (Vec<String>, Vec<String>) = found
        .map(|length| {
            let time = format::duration(length.median_ns);
            let interval = format::interval(length.low_ns, length.high_ns, format::duration);
            match length.state {
                Some(state) => (format!("{time} ({state})"), format!("{interval} ({state})")),
                None => (time, interval),
            }
        })
        .unzip();
    match times.is_empty() {
        true => (NOTHING.to_owned(), "not measured".to_owned()),
        false => (times.join(", "), intervals.join(", ")),
    }
}
