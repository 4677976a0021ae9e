//! What sections say.

use lumos_record::Node;
use serde_json::{Value, json};

use super::fixture::Fixture;
use super::records::*;

#[test]
fn an_emulated_run_is_labelled_and_not_ranked() {
    let mut fixture = Fixture::on(Node { emulated: true, ..node() });
    fixture.measure_served("noop", "alpha-process", 1.0);
    fixture.measure_served("noop", "beta-process", 20.0);
    let report = fixture.report();
    let ratios = report["ratios"].as_array().unwrap();
    assert!(!ratios.is_empty() && ratios.iter().all(|ratio| ratio.get("verdict").is_none()));
    let claims = report["claims"].as_array().unwrap().iter();
    assert!(
        claims.clone().all(|claim| claim["id"] == "program-size" || claim["measured"] == json!([]))
    );
    fixture.measure_in_process("noop", "delta", 1.0, 20e6);
    fixture.measure_in_process("noop", "beta", 20.0, 1e6);
    fixture.measure_variants();
    let report = fixture.report();
    assert_eq!(report["break_even"], json!([]));
    let variants = report["variants"].as_array().unwrap();
    assert!(variants.iter().all(|entry| entry["to_native"].get("verdict").is_none()));
    assert!(fixture.output("report.md").contains("emulated figures are not ranked."));
    assert!(fixture.output("report.html").contains("Emulated run"));
    assert!(!fixture.output("report.html").contains("class=\"slower\" style=\"--s:7"));
}

/// Measures what the break-even of two engines comes from: loading and calling, in nanoseconds.
fn break_even_of(engines: &[(&str, f64, f64)], node: Node) -> Vec<Value> {
    let mut fixture = Fixture::on(node);
    for &(engine, load_ns, call_ns) in engines {
        fixture.measure_in_process("noop", engine, call_ns / 300.0, load_ns);
    }
    fixture.report()["break_even"].as_array().unwrap().clone()
}

#[test]
fn compiling_pays_always_from_some_call_on_or_never() {
    let row = |jit: (f64, f64), interpreter: (f64, f64)| {
        let engines = [("delta", jit.0, jit.1), ("beta", interpreter.0, interpreter.1)];
        let mut rows = break_even_of(&engines, node());
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    };
    let figures = |row: &Value| {
        let number = |key: &str| row[key].as_u64();
        (row["verdict"].as_str().unwrap().to_owned(), ["units", "low", "high"].map(number))
    };

    let crossing = row((20e6, 400.0), (1e6, 8_000.0));
    assert_eq!((&crossing["runtime"], &crossing["against"]), (&json!("delta"), &json!("beta")));
    assert_eq!((&crossing["unit"], &crossing["payload"]), (&json!("calls"), &json!("4KiB")));
    let (verdict, [units, low, high]) = figures(&crossing);
    // 19 ms more at first, 7.6 us less each time; medians lie above the middles.
    assert_eq!((verdict.as_str(), units), ("from", Some(2_498)));
    assert!(low < units && units < high, "{crossing}");
    assert_eq!(crossing["cost_fixed"], json!(["load", "instantiate"]));
    assert_eq!(crossing["cost_per_unit"], json!(["call"]));

    let all = Some(1);
    assert_eq!(figures(&row((9e5, 400.0), (1e6, 8_000.0))), ("always".into(), [all; 3]));
    assert_eq!(figures(&row((20e6, 9_000.0), (1e6, 8_000.0))), ("never".into(), [None; 3]));
    // What is saved is less than matters.
    assert_eq!(figures(&row((20e6, 8_000.0), (1e6, 8_010.0))), ("never".into(), [None; 3]));
    let (verdict, [units, ..]) = figures(&row((1e6, 9_000.0), (20e6, 8_000.0)));
    assert_eq!((verdict.as_str(), units), ("until", Some(18_985)));
    let (verdict, [_, low, high]) = figures(&row((20e6, 7_770.0), (1e6, 8_000.0)));
    assert_eq!((verdict.as_str(), high), ("inconclusive", None));
    assert!(low.is_some_and(|low| low > 30_000), "{low:?}");
}

#[test]
fn compiling_ahead_is_counted_in_loads_and_paid_for_once() {
    // Calls of one engine's code differ by noise alone, and play no part in loads.
    let engines = [("gamma", 60_000.0, 405.0), ("delta", 20e6, 395.0), ("beta", 1e6, 6_000.0)];
    let rows = break_even_of(&engines, node());
    let find = |runtime: &str, against: &str| {
        rows.iter().find(|row| row["runtime"] == runtime && row["against"] == against).unwrap()
    };
    assert_eq!(rows.len(), 3);
    let loads = find("gamma", "delta");
    assert_eq!((&loads["unit"], &loads["payload"]), (&json!("loads"), &json!("-")));
    assert_eq!((&loads["verdict"], &loads["units"]), (&json!("from"), &json!(2)));
    assert_eq!(loads["cost_fixed"], json!(["compile"]));
    assert_eq!(loads["against_cost_fixed"], json!([]));
    assert_eq!(loads["cost_per_unit"], json!(["load"]));
    let calls = find("gamma", "beta");
    assert_eq!(calls["cost_fixed"], json!(["compile", "load", "instantiate"]));
    assert!(calls["units"].as_u64() > find("delta", "beta")["units"].as_u64());
}

#[test]
fn what_was_built_for_another_target_is_told_and_plays_no_part() {
    // On the other node, the compilation of the other target counts: three times, so no interval.
    let engines = [("gamma", 60_000.0, 400.0), ("beta", 1e6, 6_000.0)];
    let rows = break_even_of(&engines, Node { arch: "aarch64".into(), ..node() });
    assert_eq!((&rows[0]["verdict"], &rows[0]["low"]), (&Value::Null, &Value::Null));
    assert_eq!(rows[0]["units"], json!(4_368));
    let reason = rows[0]["reason"].as_str().unwrap();
    assert_eq!(reason, "no interval: the fewest samples of a part are 3, and an interval needs 6");
    let fixture = Fixture::complete();
    let report = fixture.report();
    let targets = report["compilations"].as_array().unwrap().iter();
    let plain = targets.filter(|entry| entry["variant"].is_null());
    assert_eq!(plain.count(), 2);
    let claims = report["claims"].as_array().unwrap();
    let size = claims.iter().find(|claim| claim["id"] == "program-size").unwrap();
    assert_eq!(size["measured"][0]["cells"], json!(1), "one target, and no variants");
}

#[test]
fn variants_are_a_table_of_their_own() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    let of_variants = |list: &str| {
        let list = report[list].as_array().unwrap();
        list.iter().filter(|entry| entry["suite"] == "variants").count()
    };
    assert_eq!((of_variants("estimates"), of_variants("variants")), (6, 5));
    assert_eq!((of_variants("ratios"), of_variants("unrecorded")), (0, 0));
    let find = |runtime: &str, variant: &str| {
        let list = report["variants"].as_array().unwrap();
        list.iter()
            .find(|entry| entry["runtime"] == runtime && entry["variant"] == variant)
            .unwrap()
    };
    let (default, simd) = (find("gamma", "O3"), find("gamma", "O3+simd"));
    assert_eq!(default["to_default"], Value::Null);
    assert_eq!(
        (&simd["to_default"]["verdict"], simd["loaded_bytes"].as_u64()),
        (&json!("faster"), Some(63 << 10))
    );
    assert_eq!(simd["to_native"]["reference"], json!("alpha"));
    assert_eq!(find("beta", "Os")["loaded_bytes"], json!(16 << 10), "it loads the module");
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("[1] skipped: beta has no SIMD"), "{markdown}");
    assert!(!markdown.contains("\n## variants"), "no table as of other suites");
}

#[test]
fn invocations_are_taken_apart_and_marked_where_that_distorts_them() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    let rows = report["breakdown"].as_array().unwrap();
    let find = |runtime: &str, invocation: &str| {
        let is_meant = |row: &&Value| row["runtime"] == runtime && row["invocation"] == invocation;
        rows.iter().find(is_meant).unwrap()
    };
    assert_eq!(rows.len(), 4, "the skipped case has no rows");
    let first = find("alpha-process", "first");
    let median = |row: &Value, term: &str| row[term]["median"].as_f64().unwrap();
    assert_eq!(median(first, "decode_ns"), 2_000.0, "what the clock takes is no part of it");
    assert_eq!(median(first, "serialization_ns"), 5_000.0);
    assert_eq!((&first["reconciles"], first["calls"].as_u64()), (&json!(true), Some(60)));
    assert_eq!((&first["clock_cost_ns"], &first["retrieval_ns"]), (&json!(50), &Value::Null));
    let later = find("alpha-process", "later");
    assert_eq!((&later["cold_ns"], later["calls"].as_u64()), (&Value::Null, Some(240)));
    assert_eq!(median(later, "whole_ns"), median(later, "sum_ns"));
    let distorted = find("beta-process", "later");
    assert_eq!(distorted["reconciles"], json!(false));
    assert!((distorted["difference"].as_f64().unwrap() - 0.3).abs() < 1e-9);
    let markdown = fixture.output("report.md");
    let note =
        "the terms add up to 390 µs, and the whole is 300 µs: +30.0 %, which is more than 5 %";
    assert!(markdown.contains(note), "{markdown}");
    assert!(markdown.contains("In 1 of 4 rows they do not add up"), "{markdown}");
    assert!(markdown.contains("skipped: gamma has no clock"), "{markdown}");
    let (_, memory) = markdown.split_once("\n## Memory").unwrap();
    let (memory, _) = memory.split_once("\n## ").unwrap();
    assert!(!memory.contains("`breakdown"), "nobody records what its workers use: {memory}");
}

#[test]
fn sweeps_have_a_line_and_are_compared_where_they_can_be() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    let find = |list: &str, runtime: &str| {
        let rows = report[list].as_array().unwrap();
        rows.iter().find(|row| row["runtime"] == runtime).unwrap()
    };
    let native = find("serialization", "alpha");
    assert_eq!((&native["ratio"], &native["sizes"]), (&Value::Null, &json!(4)));
    let slow = find("serialization", "beta");
    let near = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value / expected - 1.0).abs() < 0.03, "{value} instead of {expected}");
    };
    near(&slow["fixed_ns"]["point"], 900.0);
    near(&slow["per_kib_ns"]["point"], 5.27 * 1024.0);
    near(&slow["per_kib_ratio"]["point"], 25.5);
    near(&slow["ratio"]["largest"], 27.5);
    near(&slow["ratio"]["smallest"], 23.1);
    let residual = slow["largest_residual"].as_f64().unwrap();
    assert!((0.03..0.1).contains(&residual), "{residual}");
    let served = find("serialization", "beta-process");
    assert_eq!((&served["fixed_ns"], &served["ratio"]), (&Value::Null, &Value::Null));
    let state = find("retrieval", "gamma-process");
    assert_eq!(state["setting"], json!("state=directory"));
    near(&state["ratio"]["mean"], 1.5);
    let claims = report["claims"].as_array().unwrap();
    let claim = |id: &str| claims.iter().find(|claim| claim["id"] == id).unwrap();
    let call = &claim("interpreted-serialization-call")["measured"];
    assert_eq!((&call[0]["of"], &call[0]["cells"]), (&json!("beta, sort"), &json!(4)));
    let absent = claim("aot-serialization")["not_measured"].as_str().unwrap();
    assert!(absent.contains("`cargo xtask bench --suite serialization_served`"), "{absent}");
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("no line: it takes three sizes or more"), "{markdown}");
    assert!(markdown.contains("no ratio: native code has no figure for it"), "{markdown}");
}

#[test]
fn chains_have_a_cost_per_step_where_their_functions_are_the_same() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    let find = |suite: &str, chain: &str, runtime: &str| {
        let is = |row: &&Value| {
            row["suite"] == suite && row["function"] == chain && row["runtime"] == runtime
        };
        report["chain"].as_array().unwrap().iter().find(is).unwrap()
    };
    let near = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value / expected - 1.0).abs() < 0.03, "{value} instead of {expected}");
    };
    let slow = find("chain", "relay", "beta-process");
    near(&slow["per_step_ns"]["point"], 40_000.0);
    near(&slow["fixed_ns"]["point"], 10_000.0);
    near(&slow["ratio"]["mean"], 2.0);
    near(&slow["per_step_ratio"]["point"], 2.0);
    assert_eq!(slow["functions"], json!(["sort", "sort", "sort"]));
    let local = find("chain_local", "relay", "beta");
    near(&local["per_step_ns"]["point"], 400.0);
    assert_eq!(local["ratio"], Value::Null);
    let store = find("chain", "store", "alpha-process");
    assert_eq!((&store["per_step_ns"], &store["ratio"]), (&Value::Null, &Value::Null));
    assert!(store["steps_1_ns"]["median"].is_number(), "{store}");
    let states = store["steps_2_ns"].as_object().unwrap();
    assert_eq!(states.keys().collect::<Vec<_>>(), ["directory", "redis"]);
    let markdown = fixture.output("report.md");
    assert!(markdown.contains("70 µs (directory), 90 µs (redis)"), "{markdown}");
    assert!(markdown.contains("- `relay`: sort, sort, sort"), "{markdown}");
    assert!(markdown.contains("no cost per step: it takes three lengths"), "{markdown}");
}

#[test]
fn what_was_not_asked_for_names_the_command_that_measures_it() {
    let mut fixture = Fixture::new();
    fixture.measure_served("noop", "alpha-process", 1.0);
    fixture.report();
    let (markdown, html) = (fixture.output("report.md"), fixture.output("report.html"));
    for suite in ["breakdown", "serialization", "retrieval", "chain"] {
        assert!(markdown.contains(&format!("`cargo xtask bench --suite {suite}")), "{markdown}");
        assert!(html.contains(&format!("<code>cargo xtask bench --suite {suite}")), "{html}");
    }
}
