//! The bench targets: compiled, asked for their cases, and run.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, TargetKind};
use lumos_build::progress::Progress;
use lumos_build::{process, runtimes};
use lumos_criterion::{Arguments, files};
use lumos_record::protocol::{Events, variable};
use lumos_record::{Case, Event, Layout, Run, Selection};

use super::log_of;
use crate::interrupt::{self, Interrupted};

/// The bench targets of the runtime crates, compiled.
#[derive(Debug, Clone)]
pub struct Benches {
    /// The checkout that they measure: where they were built, or another.
    pub measured: Layout,
    /// Where Criterion writes, if they measure another than they were built in.
    elsewhere: Option<PathBuf>,
    /// Package and program, in the order of the packages' names.
    programs: Vec<(String, PathBuf)>,
    /// What tells them that another side is measured in turns with them.
    turn: Option<String>,
}

impl Benches {
    /// Compiles what a plain `cargo bench` of these packages would run, so that both share one
    /// build.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn build(layout: &Layout, measured: Layout, packages: &BTreeSet<String>) -> Result<Self> {
        let mut command = process::cargo();
        command.current_dir(&layout.root).args(["bench", "--no-run", "--locked"]);
        command.args(packages.iter().flat_map(|package| ["--package", package]));
        command.args(runtimes::feature_arguments(layout, |package| packages.contains(package))?);
        // cargo shows on a terminal what it does, and is silent elsewhere while a crate takes long.
        let progress = match std::io::stderr().is_terminal() {
            true => Progress::hidden(),
            false => Progress::begin("compiling", 0),
        };
        progress.at("the bench targets");
        let messages =
            process::output(command.args(["--message-format", "json-render-diagnostics"]))?;
        drop(progress);
        let mut programs: Vec<(String, PathBuf)> = Message::parse_stream(messages.as_bytes())
            .filter_map(|message| match message {
                Ok(Message::CompilerArtifact(built))
                    if built.target.kind.contains(&TargetKind::Bench) =>
                {
                    let folder = built.manifest_path.parent()?.file_name()?;
                    Some((format!("lumos-{folder}"), built.executable?.into()))
                }
                _ => None,
            })
            .collect();
        programs.sort();
        let elsewhere = (measured != *layout).then(|| measured.target.join("criterion"));
        Ok(Self { elsewhere, measured, programs, turn: None })
    }

    /// The same programs, to measure another checkout, with Criterion's files in that folder.
    pub fn elsewhere(&self, measured: Layout, criterion: PathBuf) -> Self {
        Self { measured, elsewhere: Some(criterion), ..self.clone() }
    }

    /// The same, taking its samples in turns with another side; see [`lumos_turns::take`].
    pub fn in_turns(&self, turn: &str) -> Self {
        Self { turn: Some(turn.to_owned()), ..self.clone() }
    }

    /// Where Criterion writes. Each process is told: Criterion would have to ask cargo.
    fn criterion(&self) -> PathBuf {
        self.elsewhere.clone().unwrap_or_else(|| self.measured.criterion())
    }

    /// Where the output of the measuring processes goes.
    pub fn log(&self) -> PathBuf {
        log_of(&self.measured)
    }

    fn command(&self, program: &Path, selection: &Selection) -> Result<Command> {
        let mut command = Command::new(program);
        command.current_dir(&self.measured.root).arg("--bench");
        if self.elsewhere.is_some() {
            command.env(variable::ROOT, &self.measured.root);
        }
        command.env("CARGO_TARGET_DIR", &self.measured.target);
        command.env("CRITERION_HOME", self.criterion());
        command.env(variable::SELECTION, serde_json::to_string(selection)?);
        command.env(variable::ARTIFACTS_READY, "1");
        if let Some(turn) = &self.turn {
            command.env(lumos_turns::Turns::VARIABLE, turn);
        }
        Ok(command)
    }

    /// Every case of a selection, suite by suite and function by function.
    ///
    /// # Errors
    /// When a program fails.
    pub fn list(&self, selection: &Selection) -> Result<Vec<Case>> {
        let selection = Selection { list: true, ..selection.clone() };
        let mut cases = Vec::new();
        for (_, program) in &self.programs {
            let lines = process::output(&mut self.command(program, &selection)?)?;
            for line in lines.lines() {
                let case: Case = serde_json::from_str(line)
                    .with_context(|| format!("{} listed `{line}`", program.display()))?;
                cases.push(case);
            }
        }
        // A stable sort: the cases of one program stay in its own order.
        cases.sort_by_cached_key(|case| (case.suite, case.function.clone()));
        Ok(cases)
    }

    /// Measures so many cases in the rounds of a selection, and returns the folder of the last
    /// round's run.
    ///
    /// # Errors
    /// As [`Benches::run`].
    pub fn measure(
        &self,
        selection: &Selection,
        cases: usize,
        criterion: &[String],
    ) -> Result<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let session = format!("xtask-{}-{}", std::process::id(), now.as_nanos());
        // Of a baseline that is saved again, older rounds are not a part.
        if let Some(name) = Arguments::parse(criterion)?.save_baseline {
            files::remove_rounds(&self.criterion(), &name)?;
        }
        self.run(selection, cases, criterion, &session)
    }

    /// Runs so many cases in the rounds of a selection, and returns the folder of the last one's
    /// run. One of the programs conducts all of them.
    ///
    /// # Errors
    /// When a measuring process fails by itself; of cases, the run tells.
    pub fn run(
        &self,
        selection: &Selection,
        cases: usize,
        criterion: &[String],
        session: &str,
    ) -> Result<PathBuf> {
        let log_path = self.log();
        let log = File::create(&log_path).with_context(|| log_path.display().to_string())?;
        let log = Mutex::new(log);
        let progress = match self.turn {
            None if selection.verify => Progress::begin("verifying", 1),
            None => Progress::begin("measuring", 1),
            // Two of them would write over each other.
            Some(_) => Progress::hidden(),
        };
        let _watched = interrupt::watch();
        let (_, conductor) = self.programs.first().context("there is no bench target")?;
        let mut command = self.command(conductor, selection)?;
        command.args(criterion).env(variable::SESSION, session);
        let programs: BTreeMap<_, _> = self.programs.iter().cloned().collect();
        command.env(variable::PROGRAMS, serde_json::to_string(&programs)?);
        command.env(variable::COMMAND_LINE, serde_json::to_string(&command_line())?);
        let ended = run_logged(&mut command, &log, &progress);
        drop(progress);
        if interrupt::is_interrupted() {
            return Err(self.interrupted(selection, session, cases).into());
        }
        ended.with_context(|| format!("its output is in {}", log_path.display()))?;
        self.find_run(session)
    }

    /// What there is of a run that somebody has interrupted.
    fn interrupted(&self, selection: &Selection, session: &str, cases: usize) -> Interrupted {
        let run = self.find_run(session).ok();
        let read = run.as_deref().and_then(|run| Run::read(run).ok());
        let ended = read.as_ref().map_or(0, |run| run.ended().len());
        let round = read.and_then(|run| Some((run.manifest.round?.number, selection.rounds)));
        let earlier = round.is_some_and(|(number, _)| number > 1);
        let remedy = run.filter(|_| ended > 0 || earlier).map(|run| {
            let name = run.file_name().unwrap_or_default().display();
            // A round that lacks cases is left out of the report of the others.
            let what = if earlier { "the rounds before it" } else { "them" };
            match (selection.verify, self.elsewhere.is_none()) {
                (true, _) => "nothing was timed that could be reported".to_owned(),
                (_, true) => format!("`cargo xtask report --run {name}` reports {what}"),
                _ => format!("their records are in {}", run.display()),
            }
        });
        Interrupted { ended, cases, round, remedy }
    }

    fn find_run(&self, session: &str) -> Result<PathBuf> {
        let runs = Run::all(&self.measured.runs())?;
        let own = |folder: &&PathBuf| {
            Run::read_manifest(folder).is_ok_and(|manifest| {
                let series = manifest.round.as_ref().map(|round| &round.series);
                manifest.session == session || series.is_some_and(|series| series == session)
            })
        };
        runs.iter().rev().find(own).cloned().context("the suites left no run")
    }
}

/// The option of a word, without the value that may be in it.
pub fn option(word: &str) -> &str {
    word.split_once('=').map_or(word, |(option, _)| option)
}

/// What the user typed.
fn command_line() -> Vec<String> {
    let words = ["cargo", "xtask"].map(str::to_owned).into_iter();
    words.chain(std::env::args().skip(1)).collect()
}

/// How far a run is, by what its processes tell.
#[derive(Debug, Default)]
struct Reached {
    /// The round, counted from 1, and how many there are.
    round: Option<(u32, u32)>,
    /// What stays on the terminal, each once.
    told: HashSet<Event>,
}

impl Reached {
    /// Shows an event, if it is worth it.
    fn show(&mut self, event: Event, progress: &Progress) {
        match &event {
            Event::Round { number, of } => self.round = Some((*number, *of)),
            Event::Row { number, of, name } => {
                let (done, all) = self.rows(*number, *of);
                progress.reached(done, all, name);
            }
            Event::Failed { .. }
            | Event::Skipped { .. }
            | Event::Notice { .. }
            | Event::Error { .. } => {
                let line = event.to_string();
                if self.told.insert(event) {
                    progress.say(&line);
                }
            }
        }
    }

    /// How many rows of all rounds are done when this one of a round begins, and how many there are.
    fn rows(&self, number: usize, of: usize) -> (usize, usize) {
        let (round, rounds) = self.round.unwrap_or((1, 1));
        (round.saturating_sub(1) as usize * of + number.saturating_sub(1), rounds as usize * of)
    }
}

/// Runs a bench target: its output goes to the log, and what has happened to the terminal.
fn run_logged(command: &mut Command, log: &Mutex<File>, progress: &Progress) -> Result<()> {
    /// How much of what a process has said last may tell why it failed.
    const LAST_LINES: usize = 8;
    let events = Events::listen().context("cannot listen to the measuring processes")?;
    command.env(variable::EVENTS, events.name());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let _told = interrupt::pass_on_to(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let copy = |pipe: Option<Box<dyn Read + Send>>| {
        let mut last = VecDeque::new();
        let lines = pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n'));
        for line in lines.map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Ok(mut log) = log.lock() {
                // A log that cannot be written must not end the run.
                let _ = writeln!(log, "{line}");
            }
            last.push_back(line);
            if last.len() > LAST_LINES {
                last.pop_front();
            }
        }
        last
    };
    let is_over = AtomicBool::new(false);
    let (status, last, reached) = std::thread::scope(|scope| {
        let showing = scope.spawn(|| {
            let mut reached = Reached::default();
            loop {
                match events.next(Duration::from_millis(100)) {
                    Ok(Some(event)) => reached.show(event, progress),
                    Ok(None) if !is_over.load(Ordering::Relaxed) => {}
                    _ => return reached,
                }
            }
        });
        scope.spawn(|| copy(stdout.map(|pipe| Box::new(pipe) as _)));
        let last = copy(stderr.map(|pipe| Box::new(pipe) as _));
        let status = child.wait();
        is_over.store(true, Ordering::Relaxed);
        let reached = showing.join().unwrap_or_else(|panic| resume_unwind(panic));
        (status, last, reached)
    });
    let status = status?;
    if status.success() {
        return Ok(());
    }
    let has_told = reached.told.iter().any(|event| matches!(event, Event::Error { .. }));
    let said = if has_told { Vec::new() } else { Vec::from(last) };
    let said: String = said.iter().map(|line| format!("\n  {line}")).collect();
    bail!("the suite's process failed ({status}){said}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_over_all_rounds() {
        let mut reached = Reached::default();
        let progress = Progress::hidden();
        assert_eq!(reached.rows(3, 80), (2, 80));
        reached.show(Event::Round { number: 2, of: 5 }, &progress);
        assert_eq!(reached.rows(1, 80), (80, 400));
    }

    #[test]
    fn a_process_that_fails_by_itself_has_said_why() {
        let log = Mutex::new(tempfile::tempfile().unwrap());
        let mut failing = Command::new("sh");
        failing.args(["-c", "echo result; echo 'error: no such option' >&2; exit 2"]);
        let error = run_logged(&mut failing, &log, &Progress::hidden()).unwrap_err().to_string();
        assert!(error.contains("exit status: 2)\n  error: no such option"), "{error}");
        assert!(run_logged(&mut Command::new("true"), &log, &Progress::hidden()).is_ok());
        assert!(log.into_inner().unwrap().metadata().unwrap().len() > 25);
    }
}
