//! What Lumos knows of Criterion, held against the real crate: this program is its own bench
//! target.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use libtest_mimic::{Arguments as Choice, Failed, Trial};
use lumos_criterion::{
    Arguments, Benchmark, FEWEST_SAMPLES, Purpose, Said, Samples, criterion, files, register,
    replay, try_case, verdicts,
};
use lumos_record::{Case, Layout, Setting, Suite};

/// Makes this program a bench target, which does as it says.
const ROLE: &str = "LUMOS_TEST_ROLE";

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        return bench_target(&role);
    }
    let trial = |name: &str, test: fn() -> Result<(), Failed>| Trial::test(name, test);
    let tests = vec![
        trial("replayed_samples_are_filed_as_they_are", replayed_samples_are_filed_as_they_are),
        trial("raw_samples_stay_so", raw_samples_stay_so),
        trial("what_is_said_is_understood", what_is_said_is_understood),
        trial("options_with_a_value_are_known", options_with_a_value_are_known),
        trial("purposes_are_kept", purposes_are_kept),
    ];
    libtest_mimic::run(&Choice::from_args(), tests).exit();
}

/// A name with what a file name cannot hold, and one that is too long for Criterion.
fn cases() -> [Case; 2] {
    let case = |function: &str, payload: &str| Case {
        suite: Suite::Call,
        function: function.to_owned(),
        runtime: "a:b*c".to_owned(),
        payload: payload.to_owned(),
        setting: Setting::default(),
    };
    [case("sort", "64KiB"), case("primes", &"long".repeat(30))]
}

/// Samples that are around so many nanoseconds, and differ by a percent or two.
fn samples(middle_ns: f64) -> Vec<f64> {
    (0..20).map(|n| middle_ns * (1.0 + f64::from(n % 5) / 200.0)).collect()
}

fn bench_target(role: &str) {
    let mut criterion = criterion();
    for case in cases() {
        match role {
            "register" => register(&mut criterion, &case),
            "try" => try_case(&mut criterion, &case, |iterations| {
                println!("tried {iterations}");
                Ok(Duration::from_nanos(iterations))
            }),
            "raw" => {
                let times_ns: Vec<f64> = samples(5e6).into_iter().take(FEWEST_SAMPLES).collect();
                replay(&mut criterion, &case, &times_ns, true, None);
            }
            middle_ns => {
                let times_ns = samples(middle_ns.parse().expect("a time"));
                replay(&mut criterion, &case, &times_ns, false, None);
            }
        }
    }
    criterion.final_summary();
}

fn run(home: &Path, role: &str, arguments: &[&str]) -> Result<Output, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ROLE, role).env("CRITERION_HOME", home.join("criterion"));
    Ok(command.args(arguments).output()?)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ensure(holds: bool, otherwise: impl Into<String>) -> Result<(), Failed> {
    holds.then_some(()).ok_or_else(|| otherwise.into().into())
}

fn replayed_samples_are_filed_as_they_are() -> Result<(), Failed> {
    let home = tempfile::tempdir()?;
    let words = ["--bench", "--save-baseline", "main"];
    ensure(run(home.path(), "2000", &words)?.status.success(), "it fails")?;
    let criterion = home.path().join("criterion");
    let found = files::find(&criterion)?;
    for case in cases() {
        let layout = Layout { target: home.path().to_owned(), ..Layout::at(home.path().into()) };
        let folder = files::directory(&layout, &case).join("main");
        ensure(found["main"].contains(&folder), format!("{found:?} lacks {}", folder.display()))?;
        let filed: Benchmark = files::read_json(Path::new(""), &folder, files::BENCHMARK)?;
        ensure(filed.full_id == case.to_string(), filed.full_id.clone())?;
        ensure(filed.group_id == case.group(), filed.group_id)?;
        let read: Vec<f64> = Samples::read(&folder)?.per_iteration().collect();
        for (read, told) in read.iter().zip(samples(2000.0)) {
            ensure((read / told - 1.0).abs() < 1e-6, format!("{read} for {told}"))?;
        }
        // What Lumos writes itself has the same names.
        let own = home.path().join("own");
        let mut written = Samples::default();
        written.push(1, Duration::from_nanos(5));
        written.write(&own, &case)?;
        let own: Benchmark = files::read_json(Path::new(""), &own, files::BENCHMARK)?;
        ensure(own.full_id == filed.full_id, own.full_id)?;
    }
    Ok(())
}

fn raw_samples_stay_so() -> Result<(), Failed> {
    let home = tempfile::tempdir()?;
    ensure(run(home.path(), "raw", &["--bench"])?.status.success(), "it fails")?;
    let layout = Layout { target: home.path().to_owned(), ..Layout::at(home.path().into()) };
    for case in cases() {
        let read = Samples::read(&files::directory(&layout, &case).join(files::NEWEST))?;
        ensure(read.is_raw() && read.count() == FEWEST_SAMPLES, format!("{read:?}"))?;
        let told: Vec<f64> = samples(5e6).into_iter().take(FEWEST_SAMPLES).collect();
        let agree = read.times.iter().zip(&told).all(|(read, told)| (read - told).abs() < 1.0);
        ensure(agree, format!("{:?} for {told:?}", read.times))?;
    }
    Ok(())
}

fn what_is_said_is_understood() -> Result<(), Failed> {
    let home = tempfile::tempdir()?;
    // The first has nothing to be compared with.
    for (middle_ns, expected) in [
        ("2000", None),
        ("2000", Some(Said::Nothing)),
        ("3000", Some(Said::Regressed)),
        ("2000", Some(Said::Improved)),
    ] {
        let output = run(home.path(), middle_ns, &["--bench"])?;
        let ids = cases().map(|case| case.to_string());
        let said = verdicts(&text(&output), ids.iter());
        for id in &ids {
            let found = said.get(id).copied();
            ensure(found == expected, format!("{found:?}, not {expected:?}: {}", text(&output)))?;
        }
    }
    Ok(())
}

fn options_with_a_value_are_known() -> Result<(), Failed> {
    let home = tempfile::tempdir()?;
    for option in Arguments::WITH_VALUE {
        let value = match option {
            "-c" | "--color" | "--colour" => "never",
            "--output-format" => "criterion",
            "--confidence-level" | "--significance-level" | "--noise-threshold" => "0.5",
            "--sample-size" => "20",
            "--nresamples" => "1000",
            _ => "1",
        };
        // An option that takes no value would leave a second filter, which matches nothing.
        let words = ["--bench", option, value, "--list", "sort"];
        let output = run(home.path(), "register", &words)?;
        let lists = text(&output).contains("sort");
        let complaint = String::from_utf8_lossy(&output.stderr);
        // Some want others, exclude them, or want another value, which tells as well that they are
        // known.
        let known = lists
            || ["cannot be used with", "were not provided", "invalid value"]
                .iter()
                .any(|words| complaint.contains(words));
        ensure(known, format!("{option}: {}{complaint}", text(&output)))?;
    }
    Ok(())
}

fn purposes_are_kept() -> Result<(), Failed> {
    let home = tempfile::tempdir()?;
    for line in ["", "--bench --test", "--bench --profile-time 1", "--bench --list", "--help"] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let owned: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let tries = Arguments::parse(&owned)?.purpose == Purpose::Try;
        let output = run(home.path(), "try", &words)?;
        ensure(text(&output).contains("tried") == tries, format!("{line}: {}", text(&output)))?;
        let filed = files::find(&home.path().join("criterion"))?;
        ensure(filed.is_empty(), format!("{line} left {filed:?}"))?;
    }
    Ok(())
}
