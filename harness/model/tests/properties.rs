//! Properties that hold for any samples, not only for the examples.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lumos_model::{
    Bootstrap, BreakEven, Cost, Estimate, MINIMAL_EFFECT, ReadTimes, SampledCost, Samples,
    SizedSamples, Terms, Verdict, break_even, fit, geometric_mean, holm, median, platform_ratio,
    quantile, reconcile,
};
use proptest::prelude::*;

/// Times in nanoseconds, from one to an hour.
fn times() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(1.0..3.6e12f64, Bootstrap::FEWEST..60)
}

fn samples(values: &[f64]) -> Samples {
    Samples::raw(values.to_vec()).unwrap()
}

fn is_ordered(estimate: &Estimate) -> bool {
    estimate.low <= estimate.point && estimate.point <= estimate.high
}

/// A cost that is paid once in two parts, and per unit in one.
fn sampled(parts: &[Samples; 3]) -> SampledCost<'_> {
    let [load, instantiate, call] = parts;
    SampledCost { fixed: vec![load, instantiate], per_unit: vec![call] }
}

fn costs() -> impl Strategy<Value = [Samples; 3]> {
    // Few samples a set: there are six sets, and every count is drawn for anew.
    let few = || prop::collection::vec(1.0..3.6e12f64, Bootstrap::FEWEST..12);
    [few(), few(), few()].prop_map(|parts| parts.map(|values| samples(&values)))
}

/// Sizes in bytes from nothing to 16 MiB, all different, each with times of its own.
fn sweep() -> impl Strategy<Value = Vec<(u64, Samples)>> {
    let times = prop::collection::vec(1.0..1e9f64, Bootstrap::FEWEST..8);
    prop::collection::btree_map(0u64..1 << 24, times, 3..6).prop_map(|sizes| {
        sizes.into_iter().map(|(bytes, times)| (bytes, samples(&times))).collect()
    })
}

fn sized(sweep: &[(u64, Samples)]) -> Vec<SizedSamples<'_>> {
    sweep.iter().map(|(bytes, samples)| SizedSamples { bytes: *bytes, samples }).collect()
}

/// Rounds by their numbers, an odd number of them; both sides have all.
fn paired_rounds() -> impl Strategy<Value = (Samples, Samples)> {
    let round = || prop::collection::vec(1.0..1e9f64, 1..10);
    (1usize..4).prop_flat_map(move |half| {
        let rounds = || prop::collection::vec(round(), 2 * half + 1);
        (rounds(), rounds()).prop_map(|(a, b)| (in_rounds(&a), in_rounds(&b)))
    })
}

fn in_rounds(rounds: &[Vec<f64>]) -> Samples {
    Samples::in_rounds((1..).zip(rounds.iter().map(|round| samples(round))).collect()).unwrap()
}

fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_estimate_is_ordered_and_within_the_samples(values in times(), seed: u64) {
        let samples = samples(&values);
        let estimate = Bootstrap::new(seed).median(&samples).unwrap();
        prop_assert!(is_ordered(&estimate));
        prop_assert!(samples.smallest() <= estimate.low && estimate.high <= samples.largest());
    }

    #[test]
    fn a_ratio_over_rounds_is_ordered_and_turns_over_with_its_sides((a, b) in paired_rounds()) {
        // Too few samples carry no interval, in rounds either.
        prop_assume!(a.count() >= Bootstrap::FEWEST && b.count() >= Bootstrap::FEWEST);
        let mut bootstrap = Bootstrap::new(1);
        let ratio = bootstrap.ratio(&a, &b).unwrap();
        let turned = bootstrap.ratio(&b, &a).unwrap();
        prop_assert!(is_ordered(&ratio) && is_ordered(&turned));
        prop_assert!(is_close(ratio.point * turned.point, 1.0), "{ratio:?} {turned:?}");
        // Only what is resampled stays within what was sampled.
        if a.rounds().len() < Bootstrap::FEWEST_ROUNDS {
            let (a_low, a_high, b_low, b_high) =
                (a.smallest(), a.largest(), b.smallest(), b.largest());
            prop_assert!(a_low / b_high <= ratio.low && ratio.high <= a_high / b_low);
        }
    }

    #[test]
    fn the_weather_of_a_round_does_not_change_a_ratio(
        (a, b) in paired_rounds(),
        weather in prop::collection::vec(0.5..2.0f64, 7),
    ) {
        prop_assume!(a.count() >= Bootstrap::FEWEST && b.count() >= Bootstrap::FEWEST);
        let under = |side: &Samples| {
            let rounds: Vec<Vec<f64>> = side
                .rounds()
                .iter()
                .zip(&weather)
                .map(|((_, round), factor)| round.taken().iter().map(|t| t * factor).collect())
                .collect();
            in_rounds(&rounds)
        };
        let mut bootstrap = Bootstrap::new(1);
        let calm = bootstrap.ratio(&a, &b).unwrap();
        let rough = bootstrap.ratio(&under(&a), &under(&b)).unwrap();
        prop_assert!(is_close(calm.point, rough.point));
        prop_assert!(is_close(calm.low, rough.low) && is_close(calm.high, rough.high));
    }

    #[test]
    fn holms_correction_keeps_the_order_and_only_raises(
        chances in prop::collection::vec(0.0..=1.0f64, 1..20)
    ) {
        let adjusted = holm(&chances);
        for (chance, found) in chances.iter().zip(&adjusted) {
            prop_assert!(chance <= found && *found <= 1.0);
        }
        for (i, j) in (0..chances.len()).flat_map(|i| (0..chances.len()).map(move |j| (i, j))) {
            prop_assert!(chances[i] > chances[j] || adjusted[i] <= adjusted[j]);
        }
    }

    #[test]
    fn the_order_of_samples_does_not_matter(
        (values, shuffled) in times().prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle()))
    ) {
        let mut bootstrap = Bootstrap::new(1);
        prop_assert_eq!(
            bootstrap.median(&samples(&values)),
            bootstrap.median(&samples(&shuffled))
        );
        prop_assert_eq!(median(&values), median(&shuffled));
    }

    #[test]
    fn a_change_of_unit_scales_an_estimate(values in times(), factor in 1e-6..1e6f64) {
        let scaled: Vec<f64> = values.iter().map(|value| value * factor).collect();
        let mut bootstrap = Bootstrap::new(1);
        let before = bootstrap.median(&samples(&values)).unwrap();
        let after = bootstrap.median(&samples(&scaled)).unwrap();
        prop_assert!(is_close(before.point * factor, after.point));
        prop_assert!(is_close(before.low * factor, after.low));
        prop_assert!(is_close(before.high * factor, after.high));
    }

    #[test]
    fn a_change_of_unit_leaves_a_ratio(a in times(), b in times(), factor in 1e-6..1e6f64) {
        let scale = |values: &[f64]| values.iter().map(|v| v * factor).collect::<Vec<_>>();
        let mut bootstrap = Bootstrap::new(1);
        let before = bootstrap.ratio(&samples(&a), &samples(&b)).unwrap();
        let after = bootstrap.ratio(&samples(&scale(&a)), &samples(&scale(&b))).unwrap();
        prop_assert!(is_close(before.low, after.low) && is_close(before.high, after.high));
    }

    #[test]
    fn a_ratio_is_ordered(a in times(), b in times(), seed: u64) {
        let ratio = Bootstrap::new(seed).ratio(&samples(&a), &samples(&b)).unwrap();
        prop_assert!(is_ordered(&ratio));
        prop_assert!(ratio.low > 0.0);
    }

    #[test]
    fn nothing_differs_from_itself(values in times(), seed: u64) {
        let samples = samples(&values);
        let ratio = Bootstrap::new(seed).ratio(&samples, &samples).unwrap();
        prop_assert!(ratio.low <= 1.0 && 1.0 <= ratio.high);
        let verdict = Verdict::of(&ratio, MINIMAL_EFFECT);
        prop_assert!(!matches!(verdict, Verdict::Faster | Verdict::Slower));
    }

    #[test]
    fn a_platform_constant_draws_a_ratio_towards_one(
        a in times(), b in times(), constant in 0.0..1e13f64
    ) {
        let (a, b) = (samples(&a), samples(&b));
        let mut bootstrap = Bootstrap::new(1);
        let alone = bootstrap.ratio(&a, &b).unwrap();
        let hidden = bootstrap.shifted_ratio(&a, &b, constant).unwrap();
        prop_assert!(is_ordered(&hidden));
        prop_assert!((hidden.point.ln()).abs() <= (alone.point.ln()).abs() + 1e-12);
        prop_assert_eq!(platform_ratio(constant, a.median(), b.median()), Some(hidden.point));
    }

    #[test]
    fn quantiles_rise_with_their_share(values in times(), p in 0.0..=1.0f64, q in 0.0..=1.0f64) {
        let (low, high) = (p.min(q), p.max(q));
        prop_assert!(quantile(&values, low).unwrap() <= quantile(&values, high).unwrap());
    }

    #[test]
    fn half_of_the_samples_are_on_each_side_of_the_median(values in times()) {
        let middle = median(&values).unwrap();
        let at_most = values.iter().filter(|&&value| value <= middle).count();
        let at_least = values.iter().filter(|&&value| value >= middle).count();
        prop_assert!(2 * at_most >= values.len() && 2 * at_least >= values.len());
    }

    #[test]
    fn exchanging_sides_exchanges_the_verdict(low in 0.2..3.0f64, width in 0.0..2.0f64) {
        let high = low + width;
        let there = Estimate { point: low, low, high };
        let back = Estimate { point: 1.0 / low, low: 1.0 / high, high: 1.0 / low };
        let expected = match Verdict::of(&there, MINIMAL_EFFECT) {
            Verdict::Faster => Verdict::Slower,
            Verdict::Slower => Verdict::Faster,
            other => other,
        };
        prop_assert_eq!(Verdict::of(&back, MINIMAL_EFFECT), expected);
    }

    #[test]
    fn a_geometric_mean_is_in_range_and_inverts(
        ratios in prop::collection::vec(1e-3..1e3f64, 1..50)
    ) {
        let mean = geometric_mean(&ratios).unwrap();
        prop_assert!(mean.smallest <= mean.mean && mean.mean <= mean.largest);
        let inverted: Vec<f64> = ratios.iter().map(|ratio| 1.0 / ratio).collect();
        prop_assert!(is_close(geometric_mean(&inverted).unwrap().mean, 1.0 / mean.mean));
    }

    #[test]
    fn work_pays_from_the_break_even_on_and_not_before(
        this in (0.0..1e12f64, 0.0..1e9f64), other in (0.0..1e12f64, 0.0..1e9f64), more in 0.0..1e6f64
    ) {
        let [this, other] = [this, other].map(|(fixed, per_unit)| Cost { fixed, per_unit });
        let total = |cost: Cost, units: f64| cost.fixed + units * cost.per_unit;
        let from = break_even(this, other, 0.0).unwrap();
        prop_assert!(from >= 1.0);
        if from.is_infinite() {
            prop_assert!(
                this.per_unit > other.per_unit
                    || this.per_unit == other.per_unit && this.fixed > other.fixed
            );
        } else {
            // Up to what is lost when sums of this size are rounded.
            let slack = 1e-9 * (total(this, from + more) + total(other, from + more));
            prop_assert!(total(this, from + more) <= total(other, from + more) + slack);
            prop_assert!(from == 1.0 || total(this, from - 1.0) + slack > total(other, from - 1.0));
        }
    }

    #[test]
    fn a_break_even_is_ordered_and_whole(this in costs(), other in costs(), seed: u64) {
        let outcome =
            Bootstrap::new(seed).break_even(&sampled(&this), &sampled(&other), MINIMAL_EFFECT);
        match outcome.unwrap() {
            BreakEven::Always | BreakEven::Never => {}
            BreakEven::From(estimate) | BreakEven::Until(estimate) => {
                prop_assert!(is_ordered(&estimate));
                let Estimate { point, low, high } = estimate;
                prop_assert!(low >= 1.0 && high.is_finite() && high > 1.0);
                prop_assert!([point, low, high].iter().all(|number| number.fract() == 0.0));
            }
            BreakEven::Inconclusive { point, low } => {
                prop_assert!(low >= 1.0 && low.is_finite());
                prop_assert!(point.is_none_or(|point| point.is_finite() && point >= low));
            }
        }
    }

    #[test]
    fn not_both_sides_pay(this in costs(), other in costs(), effect in 0.0..0.1f64) {
        let (this, other) = (sampled(&this), sampled(&other));
        let mut bootstrap = Bootstrap::new(1);
        let forth = bootstrap.break_even(&this, &other, effect).unwrap();
        let back = bootstrap.break_even(&other, &this, effect).unwrap();
        // That both are sure needs equal costs, which times at random do not have.
        let pays = |outcome| matches!(outcome, BreakEven::Always | BreakEven::From(_));
        prop_assert!(!(pays(forth) && pays(back)), "{forth:?}, {back:?}");
    }

    #[test]
    fn a_change_of_unit_leaves_a_break_even(
        this in costs(), other in costs(), exponent in -20..20i32
    ) {
        // By a power of two, which rounds nothing.
        let factor = 2f64.powi(exponent);
        let scale = |parts: &[Samples; 3]| {
            parts.clone().map(|part| samples(&part.sorted().iter().map(|v| v * factor).collect::<Vec<_>>()))
        };
        let mut bootstrap = Bootstrap::new(1);
        let before = bootstrap.break_even(&sampled(&this), &sampled(&other), MINIMAL_EFFECT);
        let (this, other) = (scale(&this), scale(&other));
        let after = bootstrap.break_even(&sampled(&this), &sampled(&other), MINIMAL_EFFECT);
        prop_assert_eq!(before, after);
    }

    #[test]
    fn no_input_panics(values in prop::collection::vec(any::<f64>(), 0..20), q: f64) {
        let _ = median(&values);
        let _ = quantile(&values, q);
        let _ = geometric_mean(&values);
        if let Ok(samples) = Samples::raw(values) {
            let mut bootstrap = Bootstrap::new(1);
            let _ = samples.percentile(q);
            let _ = bootstrap.median(&samples);
            let _ = bootstrap.shifted_ratio(&samples, &samples, q);
            let cost = SampledCost { fixed: vec![&samples], per_unit: vec![&samples] };
            let _ = bootstrap.break_even(&cost, &SampledCost::default(), q);
            let sizes = [1, 2, 3].map(|bytes| SizedSamples { bytes, samples: &samples });
            let _ = bootstrap.line(&sizes);
            let _ = bootstrap.per_byte_ratio(&sizes, &sizes);
            let (fixed, per_unit) = (samples.smallest(), q);
            let _ = fit(&[(fixed, q), (q, fixed), (1.0, 1.0)]);
            let _ = reconcile(fixed, q);
            let _ = break_even(Cost { fixed, per_unit }, Cost { fixed: q, per_unit: fixed }, q);
        }
    }
}

proptest! {
    // Each size of a line is drawn for by itself, which takes its time.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_exact_line_is_found_again(
        fixed in 1.0..1e7f64,
        per_byte in 1e-3..1e3f64,
        sizes in prop::collection::btree_set(0u32..1 << 24, 3..12),
    ) {
        let points: Vec<(f64, f64)> = sizes
            .into_iter()
            .map(|bytes| (f64::from(bytes), fixed + per_byte * f64::from(bytes)))
            .collect();
        let (found_fixed, found_per_byte) = fit(&points).unwrap();
        // What one coefficient adds to no point can be told from no point.
        for (bytes, time) in points {
            prop_assert!((found_fixed + found_per_byte * bytes - time).abs() <= 1e-6 * time);
        }
    }

    #[test]
    fn a_line_has_no_negative_coefficient_and_holds_its_own_intervals(
        sweep in sweep(), seed: u64
    ) {
        let line = Bootstrap::new(seed).line(&sized(&sweep)).unwrap();
        prop_assert!(is_ordered(&line.fixed) && is_ordered(&line.per_byte));
        prop_assert!(line.fixed.low >= 0.0 && line.per_byte.low >= 0.0);
        prop_assert!(line.largest_residual >= 0.0 && line.largest_residual.is_finite());
    }

    #[test]
    fn a_change_of_unit_scales_a_line(sweep in sweep(), exponent in -20..20i32) {
        // By a power of two, which rounds nothing.
        let factor = 2f64.powi(exponent);
        let scaled: Vec<(u64, Samples)> = sweep
            .iter()
            .map(|(bytes, times)| {
                let times = times.sorted().iter().map(|time| time * factor).collect::<Vec<_>>();
                (*bytes, samples(&times))
            })
            .collect();
        let mut bootstrap = Bootstrap::new(1);
        let before = bootstrap.line(&sized(&sweep)).unwrap();
        let after = bootstrap.line(&sized(&scaled)).unwrap();
        prop_assert_eq!(before.fixed.point * factor, after.fixed.point);
        prop_assert_eq!(before.per_byte.high * factor, after.per_byte.high);
        prop_assert_eq!(before.largest_residual, after.largest_residual);
        // A ratio has no unit.
        let ratio = bootstrap.per_byte_ratio(&sized(&sweep), &sized(&sweep));
        prop_assert_eq!(bootstrap.per_byte_ratio(&sized(&scaled), &sized(&scaled)), ratio);
    }

    #[test]
    fn costs_per_byte_are_no_different_from_themselves(sweep in sweep(), seed: u64) {
        let sizes = sized(&sweep);
        if let Some(ratio) = Bootstrap::new(seed).per_byte_ratio(&sizes, &sizes) {
            prop_assert!(is_ordered(&ratio) && ratio.low >= 0.0);
            prop_assert_eq!(ratio.point, 1.0);
        }
    }

    #[test]
    fn terms_are_not_negative_and_hold_no_more_than_was_read(
        parts in prop::array::uniform3(0.0..1e9f64),
        around in 0.0..1e9f64,
        retrieval in 0.0..=1.0f64,
        retrievals in 0u32..4,
        calls in 1u32..200,
        clock in 0.0..1e3f64,
    ) {
        let [decode_ns, compute_ns, encode_ns] = parts;
        let outer_ns = decode_ns + compute_ns + encode_ns + around;
        let read = ReadTimes {
            outer_ns,
            decode_ns,
            compute_ns,
            encode_ns,
            retrieval_ns: retrieval * compute_ns,
            retrievals: f64::from(retrievals * calls),
            calls: f64::from(calls),
        };
        let terms = Terms::of(&read, clock).unwrap();
        let Terms { decode_ns, retrieval_ns, compute_ns, encode_ns, boundary_ns } = terms;
        let all = [decode_ns, retrieval_ns, compute_ns, encode_ns, boundary_ns];
        prop_assert!(all.iter().all(|&term| term >= 0.0 && term.is_finite()));
        prop_assert!(is_close(all.iter().sum(), terms.sum_ns()));
        prop_assert!(terms.sum_ns() <= outer_ns / f64::from(calls) * (1.0 + 1e-9));
    }
}
