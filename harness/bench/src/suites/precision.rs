//! Which rows are not known precisely enough when all have had their rounds, and what it would
//! take.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use lumos_model::{Bootstrap, Estimate, rounds_due};
use lumos_record::{Case, PrecisionReached, Record, Run, Runtime};

use super::sampling::Samples;

/// The seed of what is resampled; of as many rounds as are looked at here, nothing is.
const SEED: u64 = 0;

/// What is known of the rows.
#[derive(Debug)]
pub struct Known {
    /// How far an interval may reach from its figure, in thousandths of it.
    wanted_permille: u32,
    /// What a row tells: a case's ratio to another, or a case's own time where none of the row is
    /// compared with another.
    rows: BTreeMap<u64, Vec<(Case, Option<Case>)>>,
    /// By the number of the round.
    samples: HashMap<Case, BTreeMap<u32, lumos_model::Samples>>,
    /// How many rounds a row is to have before it is looked at again.
    due: HashMap<u64, usize>,
}

/// A row that is to have more rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Open {
    /// The row.
    pub row: u64,
    /// How far its widest interval reaches.
    pub reach: f64,
    /// How many rounds more it would take; none where no affordable number would do.
    pub lacks: Option<usize>,
}

impl Known {
    /// Knows nothing yet of these cases, each with its row, which is to be known within so
    /// many thousandths.
    pub fn new(
        wanted_permille: u32,
        cases: impl IntoIterator<Item = (u64, Case)>,
        runtimes: &[Runtime],
    ) -> Self {
        let mut rows: BTreeMap<u64, Vec<Case>> = BTreeMap::new();
        for (row, case) in cases {
            rows.entry(row).or_default().push(case);
        }
        let told = |cases: Vec<Case>| -> Vec<(Case, Option<Case>)> {
            let compared = |case: &Case| {
                let reference = Runtime::references(runtimes, case).into_iter().next()?;
                let reference = reference.name_in(case.suite.lane());
                let below = Case { runtime: reference, ..case.clone() };
                cases.contains(&below).then(|| (case.clone(), Some(below)))
            };
            let ratios: Vec<_> = cases.iter().filter_map(compared).collect();
            match ratios.is_empty() {
                true => cases.into_iter().map(|case| (case, None)).collect(),
                false => ratios,
            }
        };
        let rows = rows.into_iter().map(|(row, cases)| (row, told(cases))).collect();
        Self { wanted_permille, rows, samples: HashMap::new(), due: HashMap::new() }
    }

    /// Takes the samples of a round.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn add(&mut self, round: u32, run: &Path) -> Result<()> {
        for record in Run::read(run)?.records {
            let Record::Finished(finished) = record else { continue };
            let times = Samples::read(&run.join(&finished.criterion))?.per_iteration().collect();
            // Without samples there is nothing to know.
            let Ok(samples) = lumos_model::Samples::raw(times) else { continue };
            self.samples.entry(finished.case).or_default().insert(round, samples);
        }
        Ok(())
    }

    /// The rows that are to have more rounds, the widest first.
    pub fn open(&mut self) -> Vec<Open> {
        let mut open = Vec::new();
        let mut bootstrap = Bootstrap::new(SEED);
        for (&row, told) in &self.rows {
            let Some((widest, rounds)) = self.widest(&mut bootstrap, told) else { continue };
            let (reach, wanted) = (widest.reach(), f64::from(self.wanted_permille) / 1e3);
            let pending = self.due.remove(&row).filter(|&due| due > rounds);
            if pending.is_none() && reach <= wanted {
                continue;
            }
            let due = pending.or_else(|| rounds_due(&widest, rounds, wanted));
            self.due.extend(due.map(|due| (row, due)));
            let lacks = due.map(|due| {
                let until = widest.rounds_until(rounds, wanted).unwrap_or(due);
                until.max(due).saturating_sub(rounds).max(1)
            });
            open.push(Open { row, reach, lacks });
        }
        open.sort_by(|a, b| b.reach.total_cmp(&a.reach));
        open
    }

    /// The widest interval of what a row tells, and of how many rounds it is.
    fn widest(
        &self,
        bootstrap: &mut Bootstrap,
        told: &[(Case, Option<Case>)],
    ) -> Option<(Estimate, usize)> {
        let estimates = told.iter().filter_map(|(case, below)| {
            let (rounds, of_rounds) = self.in_rounds(case)?;
            let Some(below) = below else {
                return Some((bootstrap.median(&of_rounds)?, rounds.len()));
            };
            let (rounds_below, below) = self.in_rounds(below)?;
            let common = rounds.iter().filter(|round| rounds_below.contains(round)).count();
            Some((bootstrap.ratio(&of_rounds, &below)?, common))
        });
        let estimates = estimates.filter(|(_, rounds)| *rounds >= Bootstrap::FEWEST_ROUNDS);
        estimates.max_by(|(a, _), (b, _)| a.reach().total_cmp(&b.reach()))
    }

    fn in_rounds(&self, case: &Case) -> Option<(Vec<u32>, lumos_model::Samples)> {
        let rounds = self.samples.get(case)?;
        let numbers = rounds.keys().copied().collect();
        Some((numbers, lumos_model::Samples::in_rounds(rounds.clone()).ok()?))
    }

    /// What was reached, if `open` is left: a round of a row takes `time_of_row`, and any round
    /// `time_of_round` besides.
    pub fn reached(
        &self,
        open: &[Open],
        time_of_row: impl Fn(u64) -> Duration,
        time_of_round: Duration,
    ) -> PrecisionReached {
        let mut bootstrap = Bootstrap::new(SEED);
        let known =
            self.rows.values().filter(|told| self.widest(&mut bootstrap, told).is_some()).count();
        let lacking = open.iter().filter_map(|open| Some((open.row, open.lacks? as u32)));
        let (mut more_rows, mut more_rounds, mut more_time) = (0, 0, Duration::ZERO);
        for (row, lacks) in lacking {
            more_rows += 1;
            more_rounds = more_rounds.max(lacks);
            more_time += time_of_row(row) * lacks;
        }
        more_time += time_of_round * more_rounds;
        PrecisionReached {
            wanted_permille: self.wanted_permille,
            rows: known,
            met: known - open.len(),
            more_rows,
            more_ns: more_time.as_nanos() as u64,
        }
    }
}

/// Those of the open rows that a round takes, if it may take `time`: the widest first, and as many
/// as fit.
pub fn choose(open: &[Open], time: Duration, time_of_row: impl Fn(u64) -> Duration) -> Vec<u64> {
    let mut left = time;
    let mut rows = Vec::new();
    // What no affordable number of rounds would settle is not worth one.
    for open in open.iter().filter(|open| open.lacks.is_some()) {
        if let Some(rest) = left.checked_sub(time_of_row(open.row)) {
            left = rest;
            rows.push(open.row);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use lumos_record::{ArtifactKind, Mode, Suite};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn case(function: &str, runtime: &str) -> Case {
        Case {
            suite: Suite::Call,
            function: function.into(),
            runtime: runtime.into(),
            payload: "1".into(),
            setting: Default::default(),
        }
    }

    fn samples(level: f64) -> lumos_model::Samples {
        lumos_model::Samples::raw((0..6).map(|n| level + f64::from(n) / 1e6).collect()).unwrap()
    }

    /// Row 0 compares `fast` with `metal`, whose times are these in each round; in row 1 `fast` is
    /// alone.
    fn known(wanted_permille: u32, fast: &[f64], metal: &[f64], alone: &[f64]) -> Known {
        let told = [
            (0, vec![(case("f", "fast"), Some(case("f", "metal")))]),
            (1, vec![(case("g", "fast"), None)]),
        ];
        let rounds = |levels: &[f64]| -> BTreeMap<u32, lumos_model::Samples> {
            (1..).zip(levels.iter().map(|&level| samples(level))).collect()
        };
        let samples = HashMap::from([
            (case("f", "fast"), rounds(fast)),
            (case("f", "metal"), rounds(metal)),
            (case("g", "fast"), rounds(alone)),
        ]);
        Known { wanted_permille, rows: told.into(), samples, due: HashMap::new() }
    }

    const STEADY: [f64; 5] = [10.0, 10.1, 9.9, 10.0, 10.05];
    const STEADIER: [f64; 5] = [10.0, 10.1, 9.9, 10.1, 10.0];
    const WILD: [f64; 5] = [10.0, 13.0, 9.0, 11.0, 8.0];

    #[test]
    fn the_widest_row_is_the_first_and_what_is_met_is_none() {
        let rows = |wanted_permille, fast: &[f64], alone: &[f64]| -> Vec<u64> {
            let mut known = known(wanted_permille, fast, &STEADY, alone);
            known.open().iter().map(|open| open.row).collect()
        };
        assert_eq!(rows(50, &STEADY, &STEADY), [0; 0]);
        assert_eq!(rows(50, &STEADY, &WILD), [1]);
        assert_eq!(rows(1, &STEADIER, &WILD), [1, 0]);
        assert_eq!(rows(1, &WILD, &STEADY), [0, 1]);
        // What disturbs both sides is no part of their ratio.
        let mut both = known(1, &WILD, &WILD, &STEADY);
        assert_eq!(both.open().len(), 1);
    }

    #[test]
    fn fewer_rounds_than_tell_how_far_they_differ_are_nothing_to_go_on_with() {
        let mut few = known(10, &WILD[..2], &STEADY[..2], &WILD[..2]);
        assert!(few.open().is_empty());
        let reached = few.reached(&[], |_| SECOND, SECOND);
        assert_eq!((reached.rows, reached.met), (0, 0));
    }

    #[test]
    fn a_row_is_not_looked_at_before_its_rounds_are_over() {
        let mut known = known(100, &STEADY, &STEADY, &WILD);
        let first = known.open()[0];
        assert_eq!((first.row, known.due[&1]), (1, 10));
        // Rounds that happen to agree do not end it.
        let rounds = known.samples.get_mut(&case("g", "fast")).unwrap();
        for round in 1..=9 {
            rounds.insert(round, samples(10.0));
        }
        assert_eq!(known.open().len(), 1);
        known.samples.get_mut(&case("g", "fast")).unwrap().insert(10, samples(10.0));
        assert!(known.open().is_empty());
    }

    #[test]
    fn a_round_takes_the_widest_rows_that_fit() {
        let open = |row, lacks| Open { row, reach: 0.5, lacks };
        let open = [open(7, Some(2)), open(1, None), open(4, Some(9)), open(2, Some(1))];
        let time_of_row = |row| SECOND * row as u32;
        assert_eq!(choose(&open, SECOND * 10, time_of_row), [7, 2]);
        assert_eq!(choose(&open, SECOND * 13, time_of_row), [7, 4, 2]);
        assert_eq!(choose(&open, SECOND, time_of_row), [0; 0]);
    }

    #[test]
    fn what_more_time_would_bring_is_told() {
        let mut known = known(100, &STEADY, &STEADY, &WILD);
        let open = known.open();
        let lacks = open[0].lacks.unwrap();
        let reached = known.reached(&open, |_| SECOND, SECOND * 3);
        assert_eq!((reached.rows, reached.met, reached.more_rows), (2, 1, 1));
        assert_eq!(reached.more_ns, lacks as u64 * 4_000_000_000);
    }

    #[test]
    fn rows_compare_with_native_code_where_there_is_any() {
        let runtime = |name: &str, mode| Runtime::plain(name, "p", mode, "1", ArtifactKind::Wasm);
        let runtimes = [runtime("metal", Mode::Native), runtime("fast", Mode::Jit)];
        let cases = [(0, case("f", "fast")), (0, case("f", "metal")), (1, case("g", "fast"))];
        let known = Known::new(100, cases, &runtimes);
        let below = |row: u64| -> Vec<Option<String>> {
            let told = known.rows[&row].iter();
            told.map(|(_, below)| below.as_ref().map(|below| below.runtime.clone())).collect()
        };
        assert_eq!(below(0), [Some("metal".to_owned())]);
        assert_eq!(below(1), [None]);
    }
}
