//! The statistics beside those of SciPy and statsmodels, which `fixtures/statistics.py` has
//! written down.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use lumos_model::{Bootstrap, Comparison, Estimate, Samples, holm, mean_differs};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/statistics.json")).unwrap()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    let list = value[name].as_array().unwrap();
    assert!(!list.is_empty(), "{name}");
    list
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn samples(value: &Value) -> Samples {
    Samples::raw(numbers(value)).unwrap()
}

fn in_rounds(value: &Value) -> Samples {
    let rounds = (1..).zip(value.as_array().unwrap().iter().map(samples));
    Samples::in_rounds(rounds.collect::<BTreeMap<u32, Samples>>()).unwrap()
}

/// Both ends agree to a tenth of the interval's width: they are draws of their own.
fn assert_agrees(found: &Estimate, expected: &Value) {
    let (low, high) = (expected["low"].as_f64().unwrap(), expected["high"].as_f64().unwrap());
    let tolerance = (high - low) / 10.0;
    let agrees = (found.low - low).abs() < tolerance && (found.high - high).abs() < tolerance;
    assert!(agrees, "{found:?} instead of {low} to {high}");
}

#[test]
fn intervals_of_medians_are_scipys() {
    for entry in list(&fixture(), "medians") {
        assert_agrees(&Bootstrap::new(1).median(&samples(&entry["samples"])).unwrap(), entry);
    }
}

#[test]
fn intervals_of_ratios_are_scipys_and_agree_with_a_rank_test() {
    for entry in list(&fixture(), "ratios") {
        let (new, base) = (samples(&entry["new"]), samples(&entry["base"]));
        let found = Bootstrap::new(1).ratio(&new, &base).unwrap();
        assert_agrees(&found, entry);
        let chance = entry["rank_chance"].as_f64().unwrap();
        let differs = found.low > 1.0 || found.high < 1.0;
        // Between the two, the tests ask different questions.
        if !(0.001..=0.2).contains(&chance) {
            assert_eq!(differs, chance < 0.05, "{found:?}, but {chance}");
        }
    }
}

#[test]
fn intervals_over_rounds_are_scipys_and_those_of_trimmed_means_statsmodels() {
    for entry in list(&fixture(), "rounds") {
        let (new, base) = (in_rounds(&entry["new"]), in_rounds(&entry["base"]));
        let found = Comparison::new(&new, &base, &mut Bootstrap::new(1)).unwrap();
        for (found, expected) in [(found.ratio.low, "low"), (found.ratio.high, "high")] {
            let expected = entry[expected].as_f64().unwrap();
            assert!((found / expected - 1.0).abs() < 1e-9, "{found}, not {expected}");
        }
        let expected = entry["chance"].as_f64().unwrap();
        assert!((found.p_value.unwrap() - expected).abs() < 1e-9 * expected.max(1e-4));
    }
}

#[test]
fn students_test_is_scipys_and_that_of_trimmed_means_is_statsmodels() {
    for entry in list(&fixture(), "tests") {
        let found = mean_differs(&numbers(&entry["values"])).unwrap();
        let expected = entry["chance"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12 + 1e-6 * expected, "{found}, not {expected}");
    }
}

#[test]
fn holms_correction_is_that_of_statsmodels() {
    for entry in list(&fixture(), "families") {
        let found = holm(&numbers(&entry["chances"]));
        for (found, expected) in found.iter().zip(numbers(&entry["adjusted"])) {
            assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
        }
    }
}
