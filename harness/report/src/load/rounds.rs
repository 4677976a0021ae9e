//! Which rounds of a run count, and what the node did meanwhile.

use std::collections::HashSet;

use lumos_model::quantile;
use lumos_record::{Case, Record, Run, Weather};

use crate::schema::{RoundWeather, Rounds};

/// Leaves only the rounds that count: those in which every case of the first has an outcome, and
/// those beyond what was asked for that were measured to their end, of some cases. The first counts
/// in any case. None where there is only one anyway.
pub fn rounds(runs: &mut Vec<(u32, Run)>, warnings: &mut Vec<String>) -> Option<Rounds> {
    let (_, first) = runs.first()?;
    let asked = first.manifest.round.as_ref().map_or(runs.len() as u32, |round| round.of);
    if asked == 1 {
        return None;
    }
    let cases: HashSet<Case> = first.ended().into_iter().cloned().collect();
    let mut interrupted = Vec::new();
    runs.retain(|(number, run)| {
        let ended = run.ended();
        let whole = match is_extra(*number, run) {
            true => weather(run).is_some(),
            false => cases.iter().all(|case| ended.contains(case)),
        };
        if !whole {
            interrupted.push(*number);
        }
        whole
    });
    let again = put_in_place(runs);
    let (extra, counted): (Vec<u32>, Vec<u32>) =
        runs.iter().map(|(number, _)| *number).partition(|&number| number > asked);
    let weather = runs.iter().filter_map(|(number, run)| round_weather(*number, run)).collect();
    for number in &interrupted {
        let which = match *number > asked {
            true => format!("Round {number}, after the {asked} that were asked for,"),
            false => format!("Round {number} of {asked}"),
        };
        warnings.push(format!("{which} was interrupted: what it measured is left out."));
    }
    if counted.len() < asked as usize {
        let count = counted.len();
        warnings.push(format!("Of {asked} rounds, {count} were measured to their end."));
    }
    let precision = runs.iter().rev().find_map(|(_, run)| {
        run.records.iter().find_map(|record| match record {
            Record::Precision(reached) => Some(reached.clone()),
            _ => None,
        })
    });
    Some(Rounds { asked, counted, interrupted, again, extra, precision, weather })
}

/// Whether a round is of the cases alone whose figures were not known precisely enough.
fn is_extra(number: u32, run: &Run) -> bool {
    let asked = run.manifest.round.as_ref().map_or(u32::MAX, |round| round.of);
    number > asked && weather(run).is_none_or(|weather| weather.instead_of.is_none())
}

/// What is known of the node in a round; none where an older version of Lumos measured.
fn weather(run: &Run) -> Option<&Weather> {
    run.records.iter().find_map(|record| match record {
        Record::Weather(weather) => Some(weather),
        _ => None,
    })
}

fn round_weather(round: u32, run: &Run) -> Option<RoundWeather> {
    let weather = weather(run)?;
    let calibrations: Vec<f64> = weather.calibrations_ns.iter().map(|&ns| ns as f64).collect();
    Some(RoundWeather {
        round,
        wall_ns: weather.wall_ns,
        calibration_ns: weather.calibration_ns(),
        calibration_p95_ns: quantile(&calibrations, 0.95)?,
        stolen: weather.stolen_ns.map(|_| weather.stolen()),
        involuntary_switches: weather.involuntary_switches,
        frequency_khz: weather.frequency_khz,
    })
}

/// Puts rounds that were measured again in the place of those that the node has disturbed, and
/// gives the numbers of these.
fn put_in_place(runs: &mut Vec<(u32, Run)>) -> Vec<u32> {
    let mut again = Vec::new();
    for later in (0..runs.len()).rev() {
        let stands_for = weather(&runs[later].1).and_then(|weather| weather.instead_of);
        let earlier = runs.iter().position(|(number, _)| Some(*number) == stands_for);
        let Some(earlier) = earlier.filter(|&earlier| earlier < later) else { continue };
        let (number, _) = runs[earlier];
        let (_, run) = runs.remove(later);
        runs[earlier] = (number, run);
        again.push(number);
    }
    again.sort_unstable();
    again
}
