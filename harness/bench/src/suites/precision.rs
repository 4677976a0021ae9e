//! Which figures are not known precisely enough when all cases have had their rounds, and what it
//! would take.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use lumos_criterion::Samples;
use lumos_model::{Bootstrap, Estimate, rounds_due};
use lumos_record::{Case, PrecisionReached, Record, Run, Runtime, Setting};

/// The seed of what is resampled; of as many rounds as are looked at here, nothing is.
const SEED: u64 = 0;

/// A case's ratio to another, or its own time where none is compared with another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Figure {
    /// The case.
    pub case: Case,
    /// What it is compared with.
    pub reference: Option<Case>,
}

/// What is known of the figures.
#[derive(Debug)]
pub struct Known {
    /// How far an interval may reach from its figure, in thousandths of it.
    wanted_permille: u32,
    figures: Vec<Figure>,
    /// By the number of the round.
    samples: HashMap<Case, BTreeMap<u32, lumos_model::Samples>>,
    /// How many rounds a figure is to have before it is looked at again.
    due: HashMap<Figure, usize>,
}

/// A figure that is to have more rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// The figure.
    pub figure: Figure,
    /// How far its interval reaches.
    pub reach: f64,
    /// How many rounds more it would take; none where no affordable number would do.
    pub lacks: Option<usize>,
}

impl Open {
    /// Whose samples it takes.
    fn cases(&self) -> impl Iterator<Item = &Case> {
        [&self.figure.case].into_iter().chain(&self.figure.reference)
    }
}

impl Known {
    /// Knows nothing yet of these cases, whose figures are to be known within so many thousandths:
    /// their ratios to the first reference that is among them or, of a case that has none and is
    /// none, its time.
    pub fn new(wanted_permille: u32, cases: &[Case], runtimes: &[Runtime]) -> Self {
        let all: HashSet<&Case> = cases.iter().collect();
        let reference_of = |case: &Case| {
            // Native code is built in one way.
            let setting = Setting { variant: None, ..case.setting };
            let mut references = Runtime::references(runtimes, case).into_iter().map(|reference| {
                Case { runtime: reference.name_in(case.suite.lane()), setting, ..case.clone() }
            });
            references.find(|reference| all.contains(reference))
        };
        let figures = cases.iter().map(|case| {
            let reference = reference_of(case);
            Figure { case: case.clone(), reference }
        });
        let mut figures: Vec<Figure> = figures.collect();
        let references: HashSet<Case> =
            figures.iter().filter_map(|figure| figure.reference.clone()).collect();
        figures.retain(|figure| figure.reference.is_some() || !references.contains(&figure.case));
        Self { wanted_permille, figures, samples: HashMap::new(), due: HashMap::new() }
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

    /// How far an interval may reach, as a share of its figure.
    fn wanted(&self) -> f64 {
        f64::from(self.wanted_permille) / 1e3
    }

    /// Leaves out the figures of cases that will have no more samples.
    pub fn give_up(&mut self, has_ended: impl Fn(&Case) -> bool) {
        self.figures.retain(|Figure { case, reference }| {
            !has_ended(case) && !reference.as_ref().is_some_and(&has_ended)
        });
    }

    /// The figures that are to have more rounds, the widest first: those that are not known
    /// precisely enough, and those whose rounds that were due are not over.
    pub fn open(&mut self) -> Vec<Open> {
        let wanted = self.wanted();
        let mut open = Vec::new();
        for (figure, estimate, rounds) in self.estimates() {
            let reach = estimate.reach();
            let pending = self.due.remove(&figure).filter(|&due| due > rounds);
            if pending.is_none() && reach <= wanted {
                continue;
            }
            let due = pending.or_else(|| rounds_due(&estimate, rounds, wanted));
            self.due.extend(due.map(|due| (figure.clone(), due)));
            let lacks = due.map(|due| {
                let until = estimate.rounds_until(rounds, wanted).unwrap_or(due);
                until.max(due).saturating_sub(rounds).max(1)
            });
            open.push(Open { figure, reach, lacks });
        }
        open.sort_by(|a, b| b.reach.total_cmp(&a.reach));
        open
    }

    /// The figures that have an interval, and of how many rounds it is.
    fn estimates(&self) -> Vec<(Figure, Estimate, usize)> {
        let mut bootstrap = Bootstrap::new(SEED);
        let estimates = self.figures.iter().filter_map(|figure| {
            let (rounds, samples) = self.in_rounds(&figure.case)?;
            let (estimate, rounds) = match &figure.reference {
                None => (bootstrap.median(&samples)?, rounds.len()),
                Some(reference) => {
                    let (others, below) = self.in_rounds(reference)?;
                    let common = rounds.iter().filter(|round| others.contains(round)).count();
                    (bootstrap.ratio(&samples, &below)?, common)
                }
            };
            Some((figure.clone(), estimate, rounds))
        });
        estimates.filter(|(.., rounds)| *rounds >= Bootstrap::FEWEST_ROUNDS).collect()
    }

    fn in_rounds(&self, case: &Case) -> Option<(Vec<u32>, lumos_model::Samples)> {
        let rounds = self.samples.get(case)?;
        let numbers = rounds.keys().copied().collect();
        Some((numbers, lumos_model::Samples::in_rounds(rounds.clone()).ok()?))
    }

    /// What was reached, if `open` is left: a round of a case takes `time_of_case`, and any round
    /// `time_of_round` besides.
    pub fn reached(
        &self,
        open: &[Open],
        time_of_case: impl Fn(&Case) -> Duration,
        time_of_round: Duration,
    ) -> PrecisionReached {
        let wanted = self.wanted();
        let reaches: Vec<f64> =
            self.estimates().iter().map(|(_, estimate, _)| estimate.reach()).collect();
        let met = reaches.iter().filter(|&&reach| reach <= wanted).count();
        // A case that several are compared with is measured once in a round.
        let mut rounds: HashMap<&Case, u32> = HashMap::new();
        let mut more = 0;
        for open in open.iter().filter(|open| open.reach > wanted) {
            let Some(lacks) = open.lacks else { continue };
            more += 1;
            for case in open.cases() {
                let rounds = rounds.entry(case).or_default();
                *rounds = (*rounds).max(lacks as u32);
            }
        }
        let of_rounds = time_of_round * rounds.values().copied().max().unwrap_or(0);
        let of_cases: Duration =
            rounds.into_iter().map(|(case, rounds)| time_of_case(case) * rounds).sum();
        PrecisionReached {
            wanted_permille: self.wanted_permille,
            figures: reaches.len(),
            met,
            more,
            more_ns: (of_rounds + of_cases).as_nanos() as u64,
        }
    }
}

/// The cases that a round takes, if it may take `time`: those of the widest figures, and as many
/// as fit.
pub fn choose(
    open: &[Open],
    time: Duration,
    time_of_case: impl Fn(&Case) -> Duration,
) -> HashSet<Case> {
    let mut left = time;
    let mut chosen = HashSet::new();
    // What no affordable number of rounds would settle is not worth one.
    for open in open.iter().filter(|open| open.lacks.is_some()) {
        let new: Vec<&Case> = open.cases().filter(|case| !chosen.contains(*case)).collect();
        if let Some(rest) = left.checked_sub(new.iter().map(|case| time_of_case(case)).sum()) {
            left = rest;
            chosen.extend(new.into_iter().cloned());
        }
    }
    chosen
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

    /// The function `f` on `fast` and on `metal`, which it is compared with, and `g` on `fast`
    /// alone; with these times in each round.
    fn known(wanted_permille: u32, fast: &[f64], metal: &[f64], alone: &[f64]) -> Known {
        let runtime = |name: &str, mode| Runtime::plain(name, "p", mode, "1", ArtifactKind::Wasm);
        let runtimes = [runtime("metal", Mode::Native), runtime("fast", Mode::Jit)];
        let cases = [case("f", "fast"), case("f", "metal"), case("g", "fast")];
        let mut known = Known::new(wanted_permille, &cases, &runtimes);
        for (case, levels) in cases.into_iter().zip([fast, metal, alone]) {
            let rounds = (1..).zip(levels.iter().map(|&level| samples(level)));
            known.samples.insert(case, rounds.collect());
        }
        known
    }

    fn functions(open: &[Open]) -> Vec<&str> {
        open.iter().map(|open| open.figure.case.function.as_str()).collect()
    }

    const STEADY: [f64; 5] = [10.0, 10.1, 9.9, 10.0, 10.05];
    const STEADIER: [f64; 5] = [10.0, 10.1, 9.9, 10.1, 10.0];
    const WILD: [f64; 5] = [10.0, 13.0, 9.0, 11.0, 8.0];

    #[test]
    fn figures_are_ratios_to_native_code_and_times_where_there_is_none() {
        let known = known(100, &STEADY, &STEADY, &STEADY);
        let told: Vec<_> = known
            .figures
            .iter()
            .map(|figure| (figure.case.clone(), figure.reference.clone()))
            .collect();
        let ratio = (case("f", "fast"), Some(case("f", "metal")));
        assert_eq!(told, [ratio, (case("g", "fast"), None)]);
    }

    #[test]
    fn the_widest_figure_is_the_first_and_what_is_met_is_none() {
        let open = |wanted_permille, fast: &[f64], alone: &[f64]| {
            let mut known = known(wanted_permille, fast, &STEADY, alone);
            functions(&known.open()).join(" ")
        };
        assert_eq!(open(50, &STEADY, &STEADY), "");
        assert_eq!(open(50, &STEADY, &WILD), "g");
        assert_eq!(open(1, &STEADIER, &WILD), "g f");
        assert_eq!(open(1, &WILD, &STEADY), "f g");
        // What disturbs both sides is no part of their ratio.
        assert_eq!(functions(&known(1, &WILD, &WILD, &STEADY).open()), ["g"]);
    }

    #[test]
    fn fewer_rounds_than_tell_how_far_they_differ_are_nothing_to_go_on_with() {
        let mut few = known(10, &WILD[..2], &STEADY[..2], &WILD[..2]);
        assert!(few.open().is_empty());
        let reached = few.reached(&[], |_| SECOND, SECOND);
        assert_eq!((reached.figures, reached.met), (0, 0));
    }

    #[test]
    fn a_figure_is_not_looked_at_before_its_rounds_are_over() {
        let mut known = known(100, &STEADY, &STEADY, &WILD);
        let first = known.open().remove(0);
        assert_eq!((first.figure.case.function.as_str(), known.due[&first.figure]), ("g", 10));
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
    fn what_has_failed_is_given_up() {
        let mut known = known(1, &WILD, &STEADY, &WILD);
        assert_eq!(known.open().len(), 2);
        known.give_up(|case| *case == self::case("f", "metal"));
        assert_eq!(functions(&known.open()), ["g"]);
        assert_eq!(known.reached(&[], |_| SECOND, SECOND).figures, 1);
    }

    #[test]
    fn a_round_takes_the_widest_figures_that_fit() {
        let open = |function: &str, reference: Option<&str>, lacks| {
            let reference = reference.map(|runtime| case(function, runtime));
            let figure = Figure { case: case(function, "fast"), reference };
            Open { figure, reach: 0.5, lacks }
        };
        let open = [
            open("7", Some("metal"), Some(2)),
            open("1", None, None),
            open("4", None, Some(9)),
            open("2", None, Some(1)),
        ];
        let time_of_case = |case: &Case| SECOND * case.function.parse::<u32>().unwrap();
        let chosen = |seconds| {
            let chosen = choose(&open, SECOND * seconds, time_of_case).into_iter();
            let mut names: Vec<_> =
                chosen.map(|case| case.function.clone() + " " + &case.runtime).collect();
            names.sort();
            names.join(", ")
        };
        assert_eq!(chosen(17), "2 fast, 7 fast, 7 metal");
        assert_eq!(chosen(20), "2 fast, 4 fast, 7 fast, 7 metal");
        assert_eq!(chosen(5), "4 fast");
        assert_eq!(chosen(1), "");
    }

    #[test]
    fn what_more_time_would_bring_is_told() {
        let mut known = known(100, &WILD, &STEADY, &STEADY);
        let open = known.open();
        let lacks = open[0].lacks.unwrap() as u64;
        let reached = known.reached(&open, |_| SECOND, SECOND * 3);
        assert_eq!((reached.figures, reached.met, reached.more), (2, 1, 1));
        // Of the case and of its reference.
        assert_eq!(reached.more_ns, lacks * (2 + 3) * 1_000_000_000);
    }
}
