//! Rounds, and turns within them: what one runtime does is no harm to the others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::checkout::{Checkout, Ended, Outcome, TEN_SAMPLES, outcomes};
use lumos_bench::conformance::trial;
use lumos_bench::suites::pinned::Pinned;
use lumos_bench::suites::select::{Precision, Selection};
use lumos_criterion::{Samples, files};
use lumos_record::protocol::variable;
use lumos_record::{ArtifactKind, Case, Profile, Record, Run, Suite};

use crate::{checkout, fake, selection};

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("rounds::a_run_is_five_rounds_in_fresh_processes", five_rounds),
        trial("rounds::what_is_not_known_precisely_has_more_of_them", more_rounds),
        trial("rounds::what_a_start_costs_is_tried_in_the_first_alone", known_costs),
        trial("rounds::all_of_a_row_take_their_samples_in_turns", turns),
        trial("rounds::who_hangs_in_its_turn_fails_alone_and_once", who_hangs_fails_alone),
        trial("rounds::who_dies_in_its_turn_fails_alone_and_once", who_dies_fails_alone),
        trial("rounds::who_is_slow_does_not_starve_the_others", who_is_slow),
        trial("rounds::a_single_processor_is_enough", a_single_processor),
        trial("rounds::where_nobody_may_choose_a_processor", no_choice_of_processors),
        trial("rounds::a_baseline_is_saved_with_its_rounds", a_baseline),
        trial("rounds::a_case_that_fails_leaves_no_samples_of_before", nothing_of_before),
    ]
}

/// Two runtimes with one function, of which the second does something else.
fn two(second: &str) -> Result<Checkout> {
    let mut checkout = checkout(&[fake::ENGINE, fake::OTHER_ENGINE], &["steady"])?;
    checkout.manifest.artifacts.retain(|found| found.engine.as_deref() != Some(fake::OTHER_ENGINE));
    let file = format!("{}-{second}.bin", fake::OTHER_ENGINE);
    std::fs::write(checkout.layout().artifacts().join(&file), second)?;
    let engine = Some((fake::OTHER_ENGINE, crate::VERSION));
    let kind = ArtifactKind::Precompiled;
    checkout.add_artifact(kind, Some("steady"), engine, file.as_ref())?;
    Ok(checkout)
}

fn in_rounds(suite: Suite, rounds: u32) -> Selection {
    let precision = Precision::Off;
    Selection { suites: vec![suite.to_string()], rounds, precision, ..selection() }
}

/// The runs of a checkout, a round each.
fn runs(checkout: &Checkout) -> Result<Vec<Run>> {
    let folders = Run::all(&checkout.layout().runs())?;
    let mut runs =
        folders.iter().map(|folder| Ok(Run::read(folder)?)).collect::<Result<Vec<_>>>()?;
    runs.sort_by_key(|run| run.manifest.round.as_ref().map(|round| round.number));
    Ok(runs)
}

/// The outcomes of each round by runtime.
fn by_runtime(checkout: &Checkout) -> Result<Vec<BTreeMap<String, Outcome>>> {
    let of_run = |run: &Run| {
        let outcomes = outcomes(run)?.into_iter();
        Ok(outcomes.map(|(case, outcome)| (case.runtime, outcome)).collect())
    };
    runs(checkout)?.iter().map(of_run).collect()
}

fn five_rounds() -> Result<()> {
    let checkout = two("steady")?;
    let ended = checkout.run(&in_rounds(Suite::Call, 0), &[])?;
    ensure!(ended.status.success(), "{ended}");
    let runs = runs(&checkout)?;
    let numbers: Vec<_> = runs.iter().filter_map(|run| run.manifest.round.clone()).collect();
    let series = &numbers[0].series;
    ensure!(numbers.iter().map(|round| round.number).eq(1..=5), "{numbers:?}");
    ensure!(numbers.iter().all(|round| round.series == *series && round.of == 5), "{numbers:?}");
    let mut processes = BTreeSet::new();
    for run in &runs {
        let finished = outcomes(run)?;
        ensure!(finished.len() == 2, "{finished:?}");
        for (case, outcome) in finished {
            let Outcome::Finished(finished) = outcome else { anyhow::bail!("{case}: {outcome:?}") };
            let samples = Samples::read(&run.directory.join(finished.criterion))?;
            ensure!((2..=10).contains(&samples.count()), "{case}: {samples:?}");
        }
        processes.extend(run.records.iter().filter_map(|record| match record {
            Record::Process(process) => Some(process.pid),
            _ => None,
        }));
        let weather = run.records.iter().filter(|record| matches!(record, Record::Weather(_)));
        ensure!(weather.count() == 1, "a round without weather: {:?}", run.records);
    }
    ensure!(
        processes.len() == 10,
        "{} processes instead of one a runtime and round",
        processes.len()
    );
    // Criterion prints all rounds as one benchmark.
    ensure!(ended.output.matches("time:   [").count() == 2, "{ended}");
    checkout.nothing_is_left()
}

/// Of two functions, the one whose time differs from round to round has more of them.
fn more_rounds() -> Result<()> {
    let mut checkout = checkout(&[fake::ENGINE], &["steady", "uneven"])?;
    // As under `cargo xtask bench`: of a crate alone, no round is added.
    let programs = BTreeMap::from([(fake::PACKAGE, std::env::current_exe()?)]);
    checkout.variables.push((variable::PROGRAMS, serde_json::to_string(&programs)?.into()));
    let precision = Precision::WithinPermille(1000);
    // What waits for a busy node must not be taken for what hangs.
    let invocation_timeout_ms = 10_000;
    let selection = Selection { precision, invocation_timeout_ms, ..in_rounds(Suite::Call, 5) };
    let ended = checkout.run(&selection, &["--save-baseline", "kept"])?;
    ensure!(ended.status.success(), "{ended}");
    let runs = runs(&checkout)?;
    let filed_of = |function: &str, name: &str| {
        let case = Case { function: function.into(), ..call(fake::ENGINE) };
        Samples::read(&files::directory(&checkout.layout(), &case).join(name)).is_ok()
    };
    let mut added = 0;
    for (number, run) in (1..).zip(&runs) {
        let round = run.manifest.round.clone().context("a round")?;
        ensure!((round.number, round.of) == (number, 5), "{round:?}");
        let mut weather = run.records.iter().filter_map(|record| match record {
            Record::Weather(weather) => Some(weather),
            _ => None,
        });
        let seen = weather.next().with_context(|| format!("round {number} has no weather"))?;
        ensure!(weather.next().is_none(), "round {number} has weather twice");
        if seen.instead_of.is_some() {
            // The node was disturbed meanwhile.
            continue;
        }
        let outcomes = outcomes(run)?;
        let functions: BTreeSet<&str> =
            outcomes.keys().map(|case| case.function.as_str()).collect();
        let is_extra = number > 5;
        added += usize::from(is_extra);
        ensure!(functions.contains("uneven"), "round {number}: {functions:?}");
        ensure!(!(is_extra && functions.contains("steady")), "round {number}: {functions:?}");
        let is_filed = filed_of("uneven", &format!("kept@{number}"));
        ensure!(is_filed, "round {number} is not filed: {outcomes:?}");
        ensure!(filed_of("steady", &format!("kept@{number}")) != is_extra, "round {number}");
    }
    ensure!(added > 0, "no round was added: {ended}");
    let reached = runs.iter().flat_map(|run| &run.records).filter_map(|record| match record {
        Record::Precision(reached) => Some(reached),
        _ => None,
    });
    let reached: Vec<_> = reached.collect();
    ensure!(reached.len() == 1 && reached[0].figures == 2 && reached[0].met >= 1, "{reached:?}");
    ensure!(ended.output.contains(&format!("precision: {}", reached[0])), "{ended}");
    checkout.nothing_is_left()
}

/// In later rounds every cold start is a sample, and the first of them is checked.
fn known_costs() -> Result<()> {
    let checkout = checkout(&[fake::ENGINE], &["steady"])?;
    let ended = checkout.run(&in_rounds(Suite::ColdStart, 3), &TEN_SAMPLES)?;
    ensure!(ended.status.success(), "{ended}");
    let mut tried = Vec::new();
    for run in runs(&checkout)? {
        for (case, outcome) in outcomes(&run)? {
            let Outcome::Finished(finished) = outcome else { anyhow::bail!("{case}: {outcome:?}") };
            let samples = Samples::read(&run.directory.join(finished.criterion))?;
            tried.push(finished.verified - samples.count() as u64);
        }
    }
    ensure!(tried == [1, 0, 0], "answers that were checked and are no samples: {tried:?}");
    checkout.nothing_is_left()
}

/// Whoever has turns of others asks for each sample of each runtime, pass by pass.
fn turns() -> Result<()> {
    let name = format!("lumos-{}-turns-of-a-row", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    let giver = std::thread::spawn(move || -> Result<Vec<String>> {
        let mut asked = Vec::new();
        for _ in 0..20 {
            let mut stream = listener.accept()?.0;
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line)?;
            asked.push(line.trim_end().to_owned());
            stream.write_all(b"\n")?;
        }
        Ok(asked)
    });
    let mut checkout = two("steady")?;
    checkout.variables.push(("LUMOS_TURNS", format!("1:{name}").into()));
    checkout.run(&in_rounds(Suite::Call, 1), &TEN_SAMPLES)?.run()?;
    let Ok(asked) = giver.join() else { anyhow::bail!("too few have asked for a turn") };
    let asked = asked?;
    let mut firsts = BTreeSet::new();
    for (pass, pair) in asked.chunks(2).enumerate() {
        let of = |line: &String| -> Option<(String, String)> {
            let mut words = line.rsplit(' ');
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        };
        let pair: Vec<_> = pair.iter().map(of).collect::<Option<_>>().context("a request")?;
        ensure!(pair.iter().all(|(_, number)| *number == pass.to_string()), "{asked:?}");
        ensure!(pair[0].0 != pair[1].0, "twice the same in pass {pass}: {asked:?}");
        firsts.insert(pair[0].0.clone());
    }
    ensure!(firsts.len() == 2, "one of them always goes first: {asked:?}");
    checkout.nothing_is_left()
}

/// The other runtime has all of its samples in all rounds; the one that fails is not tried again.
fn fails_alone(checkout: &Checkout, ended: &Ended, cause: &str) -> Result<()> {
    ensure!(ended.status.success(), "{ended}");
    let rounds = by_runtime(checkout)?;
    ensure!(rounds.len() == 3, "{} rounds", rounds.len());
    for (number, round) in (1..).zip(&rounds) {
        let Some(Outcome::Finished(_)) = round.get(fake::ENGINE) else {
            anyhow::bail!("round {number}: {round:?}")
        };
        match (number, round.get(fake::OTHER_ENGINE)) {
            (1, Some(Outcome::Failed(found))) => ensure!(found.contains(cause), "{found}"),
            (2.., Some(Outcome::Skipped(reason))) => {
                ensure!(reason == "it failed in round 1", "{reason}");
            }
            _ => anyhow::bail!("round {number}: {round:?}"),
        }
    }
    for run in runs(checkout)? {
        for (case, outcome) in outcomes(&run)? {
            let Outcome::Finished(finished) = outcome else { continue };
            let count = Samples::read(&run.directory.join(finished.criterion))?.count();
            ensure!(count == 4, "{case}: {count} samples instead of a third of ten, rounded up");
        }
    }
    checkout.nothing_is_left()
}

fn who_hangs_fails_alone() -> Result<()> {
    let checkout = two("spinning")?;
    let ended = checkout.run(&in_rounds(Suite::Call, 3), &TEN_SAMPLES)?;
    fails_alone(&checkout, &ended, "no answer within 0.3 s")
}

fn who_dies_fails_alone() -> Result<()> {
    let checkout = two("exiting-later")?;
    let ended = checkout.run(&in_rounds(Suite::Call, 3), &TEN_SAMPLES)?;
    fails_alone(&checkout, &ended, "exit code 7")
}

/// Two samples of one iteration each, spread over those of the others.
fn who_is_slow() -> Result<()> {
    let checkout = two("slow")?;
    let quick = Selection { profile: Profile::Quick, ..in_rounds(Suite::Call, 5) };
    let ended = checkout.run(&quick, &[])?;
    ensure!(ended.status.success(), "{ended}");
    for run in runs(&checkout)? {
        let mut counts = BTreeMap::new();
        for (case, outcome) in outcomes(&run)? {
            let Outcome::Finished(finished) = outcome else { anyhow::bail!("{case}: {outcome:?}") };
            let samples = Samples::read(&run.directory.join(finished.criterion))?;
            counts.insert(case.runtime, (samples.count(), samples.iters));
        }
        let (slow, iterations) = &counts[fake::OTHER_ENGINE];
        ensure!(*slow == 2 && iterations == &[1.0, 1.0], "{counts:?}");
        ensure!(counts[fake::ENGINE].0 == 10, "{counts:?}");
    }
    checkout.nothing_is_left()
}

/// Everything shares the only processor, as it does where there are several.
fn a_single_processor() -> Result<()> {
    let checkout = two("steady")?;
    checkout.save_manifest()?;
    let pinned = Pinned::here()?;
    let child = checkout.start(&in_rounds(Suite::Warm, 2), &[])?;
    drop(pinned);
    let ended = checkout.wait(child)?;
    ensure!(ended.status.success(), "{ended}");
    for round in by_runtime(&checkout)? {
        let finished = round.values().filter(|one| matches!(one, Outcome::Finished(_)));
        ensure!(finished.count() == 2, "{round:?}");
    }
    for run in runs(&checkout)? {
        let processors = run.records.iter().filter_map(|record| match record {
            Record::Process(process) => Some(process.processor),
            _ => None,
        });
        ensure!(processors.clone().count() == 2 && processors.clone().all(|one| one.is_some()));
    }
    checkout.nothing_is_left()
}

fn call(runtime: &str) -> Case {
    Case {
        suite: Suite::Call,
        function: "steady".into(),
        runtime: runtime.into(),
        payload: "small".into(),
        setting: Default::default(),
    }
}

/// It is said, on record, and no reason not to measure.
fn no_choice_of_processors() -> Result<()> {
    let checkout = two("steady")?;
    // What a thread is forbidden is forbidden to what it starts, and to no other thread.
    let ended = std::thread::scope(|scope| {
        let run = || {
            forbid_choice_of_processors()?;
            checkout.run(&in_rounds(Suite::Call, 1), &TEN_SAMPLES)
        };
        scope.spawn(run).join()
    });
    let Ok(ended) = ended else { anyhow::bail!("the thread that runs it has panicked") };
    let ended = ended?;
    ensure!(ended.status.success(), "{ended}");
    ensure!(ended.output.contains("cannot choose a processor: Operation not permitted"), "{ended}");
    let run = ended.run()?;
    let finished = outcomes(&run)?.into_values();
    ensure!(finished.filter(|one| matches!(one, Outcome::Finished(_))).count() == 2);
    let processors: Vec<Option<u32>> = run
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Process(process) => Some(process.processor),
            _ => None,
        })
        .collect();
    ensure!(processors == [None, None], "{processors:?}");
    checkout.nothing_is_left()
}

/// Has the kernel refuse to move this thread, and what it starts from now on, to a processor.
fn forbid_choice_of_processors() -> Result<()> {
    let step = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let number = libc::SYS_sched_setaffinity as u32;
    let is_it = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut filter = [
        // The number of the call is what comes first.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter { jf: 1, ..step(is_it, number) },
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: integers, and a pointer to a live program of as many steps as it says.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
    };
    ensure!(!refused, "no filter: {}", std::io::Error::last_os_error());
    Ok(())
}

/// How many samples Criterion has of `call` on a runtime under a name.
fn filed(checkout: &Checkout, runtime: &str, name: &str) -> Option<usize> {
    let folder = files::directory(&checkout.layout(), &call(runtime)).join(name);
    Samples::read(&folder).map(|samples| samples.count()).ok()
}

/// Samples of an earlier run would be taken for those of the one that failed.
fn nothing_of_before() -> Result<()> {
    let mut checkout = two("steady")?;
    let kept = ["--save-baseline", "kept"];
    checkout.run(&in_rounds(Suite::Call, 2), &kept)?.run()?;
    let names = ["new", "kept", "kept@1", "kept@2"];
    let filed = |checkout: &Checkout, runtime| names.map(|name| filed(checkout, runtime, name));
    let before = filed(&checkout, fake::OTHER_ENGINE);
    ensure!(before.iter().all(Option::is_some), "{before:?}");
    let broken = two("refusing")?;
    let file = format!("{}-refusing.bin", fake::OTHER_ENGINE);
    let [from, to] = [&broken, &checkout].map(|one| one.layout().artifacts().join(&file));
    std::fs::copy(from, to)?;
    checkout.manifest = broken.manifest;
    checkout.run(&in_rounds(Suite::Call, 2), &kept)?.run()?;
    let after = filed(&checkout, fake::OTHER_ENGINE);
    ensure!(after.iter().all(Option::is_none), "{after:?}");
    ensure!(filed(&checkout, fake::ENGINE).iter().all(Option::is_some));
    checkout.nothing_is_left()
}

/// As Criterion's own, and beside it a baseline of each round.
fn a_baseline() -> Result<()> {
    let checkout = two("steady")?;
    let save = ["--save-baseline", "kept"];
    let ended = checkout.run(&in_rounds(Suite::Call, 2), &save)?;
    ensure!(ended.status.success(), "{ended}");
    let saved = |name: &str| filed(&checkout, fake::ENGINE, name);
    let [all, one, two] = ["kept", "kept@1", "kept@2"].map(saved);
    ensure!(all.is_some() && all == one.zip(two).map(|(one, two)| one + two), "{all:?}");
    // With fewer rounds, those of before are gone.
    let ended = checkout.run(&in_rounds(Suite::Call, 1), &save)?;
    ensure!(ended.status.success(), "{ended}");
    ensure!(saved("kept@1").is_some() && saved("kept@2").is_none());
    let ended = checkout.run(&in_rounds(Suite::Call, 2), &["--baseline", "kept"])?;
    ensure!(ended.status.success() && ended.output.contains("change:"), "{ended}");
    checkout.nothing_is_left()
}
