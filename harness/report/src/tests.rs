//! The whole command over a run that is made up.

mod bad;
mod fixture;
mod records;
mod sections;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use lumos_record::{Case, PrecisionReached, Record, Run, Suite, Weather};
use serde_json::{Value, json};

use super::*;
use fixture::Fixture;
use records::{case, steady};

/// Drops the digits in which the logarithms of two machines may differ.
fn rounded(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(rounded).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, rounded(value))).collect(),
        Value::Number(number) if number.is_f64() => {
            let text = format!("{:.9e}", number.as_f64().unwrap());
            json!(text.parse::<f64>().unwrap())
        }
        other => other,
    }
}

/// The same, with the first row of each list, which tells what all of them hold, and how many
/// there are: report.csv has the figures of all.
fn shortened(mut report: Value) -> Value {
    for list in report.as_object_mut().unwrap().values_mut().filter_map(Value::as_array_mut) {
        let others = list.len().saturating_sub(1);
        list.truncate(1);
        list.extend((others > 0).then(|| json!(format!("and {others} more"))));
    }
    report
}

#[test]
fn a_complete_run_gives_the_report_of_the_snapshots() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    insta::assert_json_snapshot!("report.json", shortened(rounded(report)));
    insta::assert_snapshot!("report.md", fixture.output("report.md"));
    insta::assert_snapshot!("report.csv", fixture.output("report.csv"));
}

/// Of two figures in `report.csv`, something says which is which.
#[test]
fn lines_of_the_csv_are_told_apart() {
    let fixture = Fixture::complete();
    fixture.report();
    let text = fixture.output("report.csv");
    let mut seen = HashSet::new();
    for line in ::csv::Reader::from_reader(text.as_bytes()).records() {
        let line = line.unwrap();
        assert_eq!(line.len(), 17, "{line:?}");
        let mut fields: Vec<&str> = line.iter().collect();
        // From `value` to `p99`.
        fields.drain(8..15);
        let fields = fields.into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert!(seen.insert(fields), "another line is of the same: {line:?}");
    }
}

#[test]
fn a_report_is_the_same_every_time_and_whatever_the_order_of_the_run() {
    let fixture = Fixture::complete();
    let first = fixture.report();
    let path = fixture.run_folder().join(Run::RECORDS);
    let text = fs::read_to_string(&path).unwrap();
    let (manifest, rest) = text.split_once('\n').unwrap();
    let mut lines: Vec<&str> = rest.lines().collect();
    // Stable, so that a case's records keep their order among themselves.
    lines.sort_by_key(|line| std::cmp::Reverse(line.find("beta").is_some()));
    fs::write(&path, format!("{manifest}\n{}\n", lines.join("\n"))).unwrap();
    assert_eq!(fixture.report(), first);
}

#[test]
fn a_round_that_was_measured_again_counts_in_the_place_of_the_disturbed_one() {
    let fixture = Fixture::complete();
    let before = fixture.report();
    let records = fs::read_to_string(fixture.round_folder(3).join(Run::RECORDS)).unwrap();
    let again = fixture.round_folder(6);
    fixture.copy_round(&again, 3, 0.9);
    let text = records.replace("\"number\":3", "\"number\":6");
    let weather = Weather {
        wall_ns: 1_000_000_000,
        stolen_ns: Some(20_000_000),
        calibrations_ns: vec![210_000, 200_000, 400_000],
        instead_of: Some(3),
        ..Weather::default()
    };
    let weather = serde_json::to_string(&Record::Weather(weather)).unwrap();
    fs::write(again.join(Run::RECORDS), format!("{text}{weather}\n")).unwrap();
    let report = fixture.report();
    let rounds = &report["run"]["rounds"];
    assert_eq!((&rounds["counted"], &rounds["again"]), (&json!([1, 2, 3, 4, 5]), &json!([3])));
    assert_eq!((&rounds["asked"], &rounds["interrupted"]), (&json!(5), &json!([])));
    assert_eq!(rounds["weather"][0]["round"], json!(3));
    assert_eq!(report["ratios"], before["ratios"], "it was measured alike");
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("5 of 5, 1 measured again since the node was disturbed"));
    assert!(markdown.contains("the same work took 210 µs from round to round"), "{markdown}");
    assert!(markdown.contains("at most 2.0 % of a processor was stolen"), "{markdown}");
}

#[test]
fn a_round_of_some_cases_counts_for_these() {
    let fixture = Fixture::complete();
    let before = fixture.report();
    let extra = fixture.round_folder(6);
    fixture.copy_round(&extra, 6, 1.1);
    let records = fs::read_to_string(fixture.round_folder(5).join(Run::RECORDS)).unwrap();
    let is_of_row = |line: &&str| {
        let record: Record = serde_json::from_str(line).unwrap();
        let of_row = |case: &Case| case.suite == Suite::Call && case.function == "sort";
        matches!(record, Record::Run(_))
            || matches!(&record, Record::Finished(f) if of_row(&f.case))
    };
    let lines: Vec<&str> = records.lines().filter(is_of_row).collect();
    let text = lines.join("\n").replace("\"number\":5", "\"number\":6") + "\n";
    fs::write(extra.join(Run::RECORDS), &text).unwrap();
    let interrupted = fixture.report();
    assert_eq!(interrupted["estimates"], before["estimates"]);
    assert_eq!(interrupted["run"]["rounds"]["interrupted"], json!([6]));

    let reached = PrecisionReached {
        wanted_permille: 50,
        figures: 9,
        met: 8,
        more: 1,
        more_ns: 90_000_000_000,
    };
    let end = [Record::Weather(Weather::default()), Record::Precision(reached)]
        .map(|record| serde_json::to_string(&record).unwrap() + "\n");
    fs::write(extra.join(Run::RECORDS), text + &end.concat()).unwrap();
    let report = fixture.report();
    let rounds = &report["run"]["rounds"];
    assert_eq!((&rounds["counted"], &rounds["extra"]), (&json!([1, 2, 3, 4, 5]), &json!([6])));
    let changed = |list: &str| {
        let pairs =
            std::iter::zip(report[list].as_array().unwrap(), before[list].as_array().unwrap());
        let changed = pairs.filter(|(now, then)| now != then);
        changed.map(|(now, _)| format!("{}/{}", now["suite"], now["function"])).collect::<Vec<_>>()
    };
    let estimates = changed("estimates");
    assert!(!estimates.is_empty() && estimates.iter().all(|row| row == "\"call\"/\"sort\""));
    assert!(report["warnings"].as_array().unwrap().is_empty(), "{}", report["warnings"]);
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("5 of 5, 1 more of what was not known"), "{markdown}");
    assert!(markdown.contains("8 of 9 figures are known within 5 %; 91 s more"), "{markdown}");
}

#[test]
fn every_cell_of_a_table_is_a_figure_or_a_reason() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    // Native code has no variants: what has some is a table of its own, and a case stands for it
    // by payload and setting.
    for (suite, varies) in Suite::ALL.iter().flat_map(|suite| [(suite, false), (suite, true)]) {
        let list = |name: &str| report[name].as_array().unwrap().iter();
        let all = ["estimates", "skips", "failures", "unrecorded"].map(list);
        let is_of_table = |cell: &&Value| {
            let setting = cell.get("setting").and_then(Value::as_str).unwrap_or_default();
            cell["suite"] == suite.name() && setting.contains("variant=") == varies
        };
        let cells: Vec<_> = all.into_iter().flatten().filter(is_of_table).collect();
        let count = |keys: &[&str]| {
            let key = |cell: &&Value| keys.iter().map(|key| cell[*key].to_string()).collect();
            cells.iter().map(key).collect::<std::collections::BTreeSet<Vec<String>>>().len()
        };
        let lines = count(&["function", "payload", "setting"]);
        assert_eq!(lines * count(&["runtime"]), cells.len(), "{suite}");
    }
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("skipped: needs 3 GiB \\| has 2 GiB"), "{markdown}");
    assert!(markdown.contains("not selected: this run holds no record of it"), "{markdown}");
}

#[test]
fn a_page_of_html_stands_alone_and_escapes_what_it_shows() {
    let fixture = Fixture::complete();
    fixture.report();
    let html = fixture.output("report.html");
    assert!(html.contains("wrong answer &lt;0x00&gt;"), "reasons are escaped");
    for outside in ["<script", "<link", "src=", "http:", "https:", "@import", "url("] {
        assert!(!html.contains(outside), "the page refers to something outside: {outside}");
    }
    assert!(html.contains("<svg role='img'"), "charts are inline and not escaped");
}

#[test]
fn the_summary_shows_a_line_per_function_and_runtime() {
    let fixture = Fixture::complete();
    let mut summary =
        generate(&fixture.layout, &fixture.run_folder(), &fixture.layout.report()).unwrap();
    assert_eq!(summary.paths.len(), 4);
    summary.paths.clear();
    insta::assert_snapshot!("summary", summary.to_string());
}

#[test]
fn the_check_of_the_readme_needs_no_run_and_finds_a_change() {
    let fixture = Fixture::complete();
    let layout = &fixture.layout;
    let readme = layout.root.join("README.md");
    let splice = || splice::splice(layout, &read(layout, &fixture.run_folder())?);
    let check = || splice::check(layout);

    fs::write(&readme, "# Title\n").unwrap();
    let message = format!("{:#}", splice().unwrap_err());
    assert!(message.contains("README.md: lacks the markers"), "{message}");
    assert!(!layout.root.join("docs").exists(), "nothing was written");
    let message = format!("{:#}", check().unwrap_err());
    assert!(message.contains("--splice"), "{message}");

    let markers = "<!-- lumos:results:begin -->\n<!-- lumos:results:end -->";
    fs::write(&readme, format!("# Title\n{markers}\nmore\n")).unwrap();
    splice().unwrap();
    let spliced = fs::read_to_string(&readme).unwrap();
    insta::assert_snapshot!("readme", spliced);
    splice().unwrap();
    assert_eq!(fs::read_to_string(&readme).unwrap(), spliced, "splicing again changes nothing");

    fs::remove_dir_all(layout.runs()).unwrap();
    check().unwrap();
    fs::write(&readme, spliced.replacen("×)", "9×)", 1)).unwrap();
    let message = format!("{:#}", check().unwrap_err());
    assert!(message.contains("README.md:") && message.contains("9×)"), "{message}");
    fs::write(&readme, spliced.replacen("more", "other prose", 1)).unwrap();
    check().unwrap();
}

/// The documentation of what comes from tables. Set `LUMOS_UPDATE_DOCS` to write it.
#[test]
fn the_fields_of_tables_are_documented() {
    const MARKERS: [&str; 2] = ["<!-- lumos:fields:begin -->", "<!-- lumos:fields:end -->"];
    let fixture = Fixture::complete();
    let report = read(&fixture.layout, &fixture.run_folder()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/files.md");
    let text = fs::read_to_string(&path).unwrap();
    let expected = splice::replace(&text, MARKERS, &fields(&report)).unwrap();
    if std::env::var_os("LUMOS_UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), expected, "LUMOS_UPDATE_DOCS=1 writes it");
}

#[test]
#[ignore = "a benchmark: run it with --ignored --nocapture"]
#[expect(clippy::disallowed_methods, reason = "a benchmark of the report itself")]
fn ten_thousand_estimates() {
    let mut fixture = Fixture::new();
    for index in 0..1_700 {
        let function = format!("function{index}");
        for engine in ["alpha", "beta", "gamma"] {
            let served = format!("{engine}-process");
            let warm = case(Suite::Warm, &function, &served, "4KiB");
            fixture.measure(&warm, &[1.0; 100], &steady(100, 20_000.0));
            let cold = case(Suite::ColdStart, &function, &served, "4KiB");
            fixture.measure(&cold, &[1.0; 100], &steady(100, 20_000.0));
        }
    }
    let start = std::time::Instant::now();
    let summary =
        generate(&fixture.layout, &fixture.run_folder(), &fixture.layout.report()).unwrap();
    println!("{} estimates in {:?}", summary.estimates, start.elapsed());
}

/// Makes the report of the fixture in the folder that `LUMOS_FIXTURE_REPORT` names, to look at.
#[test]
#[ignore = "writes a page to look at"]
fn a_page_to_look_at() {
    let Some(output) = std::env::var_os("LUMOS_FIXTURE_REPORT") else { return };
    let fixture = Fixture::complete();
    generate(&fixture.layout, &fixture.run_folder(), Path::new(&output)).unwrap();
}
