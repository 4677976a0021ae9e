//! The conductor: measures all runtimes in rounds, and in each round a row of them in turns.
//!
//! A round is a run of its own, in which each runtime has a process of its own that lives as long
//! as the round. What a process keeps from its start to its end, and what the node does meanwhile,
//! differs from round to round, and so it shows. When all rounds are over, Criterion gets their
//! samples together, and files, prints and compares them as if it had taken them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lumos_criterion::files::{self, NEWEST};
use lumos_criterion::{Criterion, FEWEST_SAMPLES, Samples, criterion, replay};
use lumos_record::protocol::{read_variable, variable};
use lumos_record::{Case, Event, Layout, Measuring, Record, Round, Run, Skip, Weather};
use lumos_turns::Request;
use lumos_workloads::Workloads;

use super::plan::{Plan, Planned};
use super::precision::{self, Known};
use super::select::{Filter, Selection};
use super::session::{Brief, Session, command_line, revision, session_name};
use super::supervise::{Ended, Part, Side, note_interrupts};
use super::weather::Watcher;
use super::{backing, strays};
use crate::artifact::Artifacts;

/// Whoever measures.
pub struct Conductor<'c> {
    /// The crate of this program.
    pub package: &'c str,
    /// The checkout.
    pub layout: &'c Layout,
    /// What is measured.
    pub artifacts: &'c Artifacts,
    /// What is asked.
    pub workloads: &'c Workloads,
    /// What was asked for.
    pub selection: &'c Selection,
    /// What of it is left by Criterion's filter.
    pub filter: &'c Filter,
    /// The baseline that samples are saved under, beside Criterion's own.
    pub save_baseline: Option<&'c str>,
    /// The baseline that Criterion compares with, and refuses to do without.
    pub baseline: Option<&'c str>,
}

/// What has been measured so far.
#[derive(Debug, Default)]
struct Series {
    name: String,
    /// How many rounds have begun.
    begun: u32,
    /// The rounds that count, with their numbers: where one was measured again, the later run.
    runs: Vec<(u32, PathBuf)>,
    /// Of the rounds of all cases, in the order of `runs`.
    weather: Vec<Weather>,
    /// How long a round of a case took, by its name, when it was measured last.
    case_times: HashMap<String, Duration>,
    /// What an iteration of a case costs, by its name, as the last round has shown.
    costs: HashMap<String, Duration>,
    /// What has no samples, and why later rounds do not try it again: what has hung once would do
    /// so in each of them.
    without_samples: BTreeMap<Case, String>,
}

impl Series {
    /// How long the next round of a case will take.
    fn time_of_case(&self, case: &Case) -> Duration {
        self.case_times.get(&case.to_string()).copied().unwrap_or_default()
    }

    /// How long the rounds of all cases took together.
    fn time(&self) -> Duration {
        self.weather.iter().map(|weather| Duration::from_nanos(weather.wall_ns)).sum()
    }

    /// How long a round takes besides its cases.
    fn time_of_round(&self) -> Duration {
        let of_rounds = self.time() / u32::try_from(self.weather.len()).unwrap_or(1).max(1);
        of_rounds.saturating_sub(self.case_times.values().sum())
    }
}

/// Why a round is measured.
#[derive(Debug)]
enum Reason {
    /// It was asked for.
    Asked,
    /// The node has disturbed the one at this place, which it stands for.
    Disturbed(usize),
    /// Figures of these cases are not known precisely enough.
    Imprecise(HashSet<Case>),
}

/// A round that was measured.
struct Measured {
    weather: Weather,
    case_times: HashMap<String, Duration>,
}

/// A runtime with its program and its cases.
struct Member<'p> {
    part: Part,
    program: &'p Path,
    cases: HashSet<Case>,
}

impl Conductor<'_> {
    /// Measures all rounds. Before and after, what processes that are no more have left behind is
    /// removed.
    ///
    /// # Errors
    /// When a process cannot be started, or a run not be recorded.
    pub fn run(&self) -> Result<ExitCode> {
        // What is wrong with its arguments it says at once, and ends the process.
        let criterion = criterion();
        let programs = self.programs()?;
        self.check_baseline(&programs)?;
        // Those who take turns were started by one who keeps others waiting.
        let in_turns = std::env::var_os(lumos_turns::Turns::VARIABLE).is_some();
        let alone = || {
            Measuring::begin(self.layout, &command_line()?.join(" "))
                .context("the lock of measurements")
        };
        let _alone = (!in_turns).then(alone).transpose()?;
        if revision(&self.layout.root).commit.is_empty() {
            notice(
                "git does not tell the commit of this checkout: the run is recorded without".into(),
            );
        }
        tidy(&programs, Stdio::inherit);
        note_interrupts();
        strays::adopt();
        let mut series = Series { name: session_name(), ..Series::default() };
        if !self.selection.verify {
            backing::touch();
        }
        let ended = self.rounds(&programs, &mut series);
        // A measuring process that was ended had no time to tidy up.
        tidy(&programs, Stdio::null);
        // However those beyond them end, the rounds that were asked for are whole.
        if !self.selection.verify && series.weather.len() == self.selection.rounds() as usize {
            self.hand_over(criterion, &series.runs)?;
        }
        Ok(match ended? {
            Ended::Interrupted => ExitCode::from(130),
            Ended::Exit(code) => ExitCode::from(code),
        })
    }

    fn programs(&self) -> Result<BTreeMap<String, PathBuf>> {
        match read_variable(variable::PROGRAMS)? {
            Some(programs) => Ok(programs),
            None => Ok(BTreeMap::from([(self.package.to_owned(), std::env::current_exe()?)])),
        }
    }

    /// Makes sure that there is the baseline to compare with: Criterion would only say so when
    /// everything has been measured.
    fn check_baseline(&self, programs: &BTreeMap<String, PathBuf>) -> Result<()> {
        let Some(name) = self.baseline else { return Ok(()) };
        let plan = Plan::new(self.workloads, &self.artifacts.manifest, self.selection);
        let own = plan.cases.iter().filter(|own| programs.contains_key(&own.runtime.package));
        let lacks = |case: &Case| !files::directory(self.layout, case).join(name).is_dir();
        let mut cases = own.map(Planned::case).filter(|case| self.filter.accepts(case));
        if let Some(case) = cases.find(lacks) {
            bail!(
                "there is no baseline `{name}` of {case}: `--save-baseline {name}` saves one, and \
                 `--baseline-lenient {name}` compares what there is"
            );
        }
        Ok(())
    }

    /// Measures all rounds, those that the node has disturbed again, and more of the cases whose
    /// figures are not known precisely enough.
    fn rounds(&self, programs: &BTreeMap<String, PathBuf>, series: &mut Series) -> Result<Ended> {
        let of = self.selection.rounds();
        for _ in 0..of {
            let ended = self.next_round(programs, series, Reason::Asked)?;
            if ended != Ended::Exit(0) {
                return Ok(ended);
            }
        }
        if std::env::var_os(variable::PROGRAMS).is_none() {
            // Of a plain `cargo bench`, others measure a part of each round, and what this crate is
            // compared with is not here.
            return Ok(Ended::Exit(0));
        }
        // One in five may be measured again, after all others.
        for _ in 0..of / Round::USUAL {
            let Some(place) = Weather::worst(&series.weather) else { break };
            notice(format!("round {} is measured again: the node was disturbed", place + 1));
            let ended = self.next_round(programs, series, Reason::Disturbed(place))?;
            if ended != Ended::Exit(0) {
                return Ok(ended);
            }
        }
        self.go_on(programs, series)
    }

    /// Measures more rounds of the cases whose figures are not known precisely enough, and records
    /// what that has brought.
    fn go_on(&self, programs: &BTreeMap<String, PathBuf>, series: &mut Series) -> Result<Ended> {
        let Some((wanted_permille, share)) = self.selection.precision() else {
            return Ok(Ended::Exit(0));
        };
        let runtimes = &self.artifacts.manifest.runtimes;
        let plan = Plan::new(self.workloads, &self.artifacts.manifest, self.selection);
        let own = plan.cases.iter().filter(|own| programs.contains_key(&own.runtime.package));
        let cases: Vec<Case> =
            own.map(Planned::case).filter(|case| self.filter.accepts(case)).collect();
        let mut known = Known::new(wanted_permille, &cases, runtimes);
        for (number, run) in &series.runs {
            known.add(*number, run)?;
        }
        let mut left = series.time().mul_f64(share);
        let time_of_round = series.time_of_round();
        let open = loop {
            known.give_up(|case| series.without_samples.contains_key(case));
            let open = known.open();
            let time = left.saturating_sub(time_of_round);
            let cases = precision::choose(&open, time, |case| series.time_of_case(case));
            if cases.is_empty() || left.is_zero() {
                break open;
            }
            let percent = f64::from(wanted_permille) / 10.0;
            notice(format!(
                "precision: {} figures are not known within {percent} %: {} cases have another round",
                open.len(),
                cases.len()
            ));
            let begun = Instant::now();
            let ended = self.next_round(programs, series, Reason::Imprecise(cases))?;
            if ended != Ended::Exit(0) {
                return Ok(ended);
            }
            left = left.saturating_sub(begun.elapsed());
            if let Some((number, run)) = series.runs.last() {
                known.add(*number, run)?;
            }
        };
        let reached = known.reached(&open, |case| series.time_of_case(case), time_of_round);
        if let Some((_, run)) = series.runs.last().filter(|_| reached.figures > 0) {
            notice(format!("precision: {reached}"));
            Session::join(run)?.write(&Record::Precision(reached))?;
        }
        Ok(Ended::Exit(0))
    }

    /// Begins the next round, or goes on with it where other crates have begun it, and measures it
    /// to its end.
    fn next_round(
        &self,
        programs: &BTreeMap<String, PathBuf>,
        series: &mut Series,
        reason: Reason,
    ) -> Result<Ended> {
        series.begun += 1;
        let (number, of) = (series.begun, self.selection.rounds());
        let (mut session, mut selection) = (series.name.clone(), self.selection.clone());
        if of > 1 {
            Event::Round { number, of: of.max(number) }.tell();
            session = format!("{session}-{number}");
            selection.round = Some(Round { series: series.name.clone(), number, of });
        }
        let instead_of = match &reason {
            Reason::Disturbed(place) => Some(series.runs[*place].0),
            _ => None,
        };
        let begun =
            Session::begin(self.layout, session, &selection, self.artifacts, self.save_baseline);
        let mut begun = begun?;
        let only = match &reason {
            Reason::Imprecise(cases) => Some(cases.clone()),
            _ => None,
        };
        begun.instruct(&Brief { only, costs: series.costs.clone() })?;
        let over = &series.without_samples;
        let (ended, measured) = self.round(&mut begun, &selection, programs, over)?;
        if ended != Ended::Exit(0) || self.selection.verify {
            return Ok(ended);
        }
        let Measured { mut weather, case_times } = measured;
        weather.instead_of = instead_of;
        begun.write(&Record::Weather(weather.clone()))?;
        let run = begun.directory().to_owned();
        series.case_times.extend(case_times);
        series.costs.extend(costs(&run)?);
        series.without_samples.extend(without_samples(&run, number)?);
        match reason {
            Reason::Asked => {
                series.weather.push(weather);
                series.runs.push((number, run));
            }
            Reason::Disturbed(place) => {
                series.weather[place] = weather;
                series.runs[place].1 = run;
            }
            Reason::Imprecise(_) => series.runs.push((number, run)),
        }
        Ok(Ended::Exit(0))
    }

    /// Measures a round: every runtime in a process, and all of them in turns; but for what is over,
    /// for the reasons that are recorded.
    fn round(
        &self,
        session: &mut Session,
        selection: &Selection,
        programs: &BTreeMap<String, PathBuf>,
        over: &BTreeMap<Case, String>,
    ) -> Result<(Ended, Measured)> {
        let plan = Plan::new(self.workloads, &self.artifacts.manifest, selection);
        let (ended, brief) = (session.ended()?, session.brief()?);
        let mut members: Vec<Member<'_>> = Vec::new();
        let mut rows = BTreeSet::new();
        for planned in &plan.cases {
            let case = planned.case();
            let Some(program) = programs.get(&planned.runtime.package) else { continue };
            let is_chosen = self.filter.accepts(&case) && brief.takes(&case);
            if !is_chosen || ended.contains(&case) {
                continue;
            }
            if let Some(reason) = over.get(&case) {
                session.write(&Record::Started { case: case.clone() })?;
                session.write(&Record::Skip(Skip { case, reason: reason.clone() }))?;
                continue;
            }
            rows.insert(planned.row as u64);
            let part = Part::of(planned.runtime);
            match members.iter_mut().find(|member| member.part == part) {
                Some(member) => _ = member.cases.insert(case),
                None => members.push(Member { part, program, cases: HashSet::from([case]) }),
            }
        }
        let rows: Vec<u64> = rows.into_iter().collect();
        let outer = lumos_turns::Turns::from_environment();
        let mut row = None;
        let mut last: Option<(String, Instant)> = None;
        let mut case_times: HashMap<String, Duration> = HashMap::new();
        let mut watcher = Watcher::begin();
        let before = |request: &Request| {
            let now = Instant::now();
            if let Some((case, since)) = last.replace((request.case.clone(), now)) {
                *case_times.entry(case).or_default() += now - since;
            }
            if row.replace(request.place.row) != Some(request.place.row) {
                watcher.calibrate();
                let place = rows.binary_search(&request.place.row).map_or(0, |place| place + 1);
                let name = request.case.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
                Event::Row { number: place, of: rows.len(), name }.tell();
            }
            if let Some(outer) = &outer {
                // When nobody gives turns any more, there is nothing to wait for.
                let _ = outer.wait(request);
            }
        };
        let run = session.directory();
        let taken = lumos_turns::take(members.len(), 0, before, |number, turn| {
            let Member { part, program, cases } = &members[number];
            Side { layout: self.layout, program, part, cases, selection, run }.measure(turn)
        })?;
        if let Some((case, since)) = last {
            *case_times.entry(case).or_default() += since.elapsed();
        }
        strays::end();
        let mut all = Ended::Exit(0);
        for ended in taken.sides {
            match ended? {
                Ended::Exit(0) => {}
                // What a process says that was interrupted is of no account.
                code => all = if all == Ended::Interrupted { all } else { code },
            }
        }
        Ok((all, Measured { weather: watcher.end(), case_times }))
    }

    /// Gives Criterion the samples of all rounds.
    fn hand_over(&self, mut criterion: Criterion, runs: &[(u32, PathBuf)]) -> Result<()> {
        let mut found: HashMap<Case, Vec<(u32, PathBuf, u64)>> = HashMap::new();
        let mut failed = Vec::new();
        for &(number, ref run) in runs {
            for record in Run::read(run)?.records {
                match record {
                    Record::Finished(finished) => {
                        let folder = run.join(&finished.criterion);
                        let entry = (number, folder, finished.size_bytes);
                        found.entry(finished.case).or_default().push(entry);
                    }
                    Record::Failure(failure) => failed.push(failure.case),
                    _ => {}
                }
            }
        }
        for case in failed.iter().filter(|case| !found.contains_key(case)) {
            self.forget(case)?;
        }
        let plan = Plan::new(self.workloads, &self.artifacts.manifest, self.selection);
        for case in plan.cases.iter().map(Planned::case) {
            let Some(rounds) = found.remove(&case) else { continue };
            self.hand_over_case(&mut criterion, &case, &rounds)
                .with_context(|| format!("the samples of {case}"))?;
        }
        criterion.final_summary();
        Ok(())
    }

    /// Removes what Criterion keeps of a case that failed: it would be taken for its samples.
    fn forget(&self, case: &Case) -> Result<()> {
        let saved = files::directory(self.layout, case);
        for name in [NEWEST].into_iter().chain(self.save_baseline) {
            // Often there is nothing to remove.
            let _ = fs::remove_dir_all(saved.join(name));
        }
        self.save_baseline.map_or(Ok(()), |name| files::remove_rounds(&saved, name))
    }

    fn hand_over_case(
        &self,
        criterion: &mut Criterion,
        case: &Case,
        rounds: &[(u32, PathBuf, u64)],
    ) -> Result<()> {
        let (mut times_ns, mut is_raw, mut size_bytes) = (Vec::new(), true, 0);
        for (_, folder, bytes) in rounds {
            let samples = Samples::read(folder)?;
            times_ns.extend(samples.per_iteration());
            is_raw &= samples.is_raw();
            size_bytes = *bytes;
        }
        if times_ns.len() >= FEWEST_SAMPLES {
            let throughput = (case.suite.takes_payload() && size_bytes > 0).then_some(size_bytes);
            replay(criterion, case, &times_ns, is_raw, throughput);
        }
        let Some(name) = self.save_baseline else { return Ok(()) };
        let saved = files::directory(self.layout, case);
        files::remove_rounds(&saved, name)?;
        for (number, folder, _) in rounds {
            let round = Round { number: *number, ..Round::default() };
            let to = saved.join(round.baseline(name));
            fs::create_dir_all(&to)?;
            for file in fs::read_dir(folder)?.flatten() {
                fs::copy(file.path(), to.join(file.file_name()))?;
            }
        }
        Ok(())
    }
}

fn notice(text: String) {
    Event::Notice { text }.tell();
}

/// Has every crate remove what processes that are no more have left behind.
fn tidy(programs: &BTreeMap<String, PathBuf>, output: fn() -> Stdio) {
    for program in programs.values() {
        let mut command = Command::new(program);
        command.arg("--bench").env(variable::TIDY, "1").stdin(Stdio::null());
        // What is left now is removed by a later run.
        let _ = command.stdout(output()).stderr(output()).status();
    }
}

/// What an iteration of each case costs, as a round has shown: that of its median sample, and where
/// something begins anew each time, the end of it as well.
fn costs(run: &Path) -> Result<HashMap<String, Duration>> {
    let mut found = HashMap::new();
    let mut teardown_ns: HashMap<Case, u64> = HashMap::new();
    for record in Run::read(run)?.records {
        match record {
            Record::Phases(ledger) => _ = teardown_ns.insert(ledger.case, ledger.teardown_ns),
            Record::Finished(finished) => {
                let samples = Samples::read(&run.join(&finished.criterion))?;
                let times_ns: Vec<f64> = samples.per_iteration().collect();
                let Some(median_ns) = lumos_model::median(&times_ns) else { continue };
                let end_ns = teardown_ns.get(&finished.case).copied().unwrap_or_default();
                let cost = Duration::from_nanos((median_ns as u64).max(1) + end_ns);
                found.insert(finished.case.to_string(), cost);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// What a round has no samples of, and why.
fn without_samples(run: &Path, round: u32) -> Result<BTreeMap<Case, String>> {
    let records = Run::read(run)?.records.into_iter();
    let found = records.filter_map(|record| match record {
        Record::Skip(skip) => Some((skip.case, skip.reason)),
        Record::Failure(failure) => Some((failure.case, format!("it failed in round {round}"))),
        _ => None,
    });
    Ok(found.collect())
}
