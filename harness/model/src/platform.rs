//! What a difference in cold start is worth on a platform with a start-up cost of its own.

/// The ratio of two cold starts after a platform has added the same constant to both:
/// `(constant + case) / (constant + reference)`, all in one unit.
///
/// A scheduler, an image pull or a sidecar delays every start alike, and so hides what the
/// runtimes differ by. None when an argument is negative or not finite, or the lower sum is 0.
pub fn platform_ratio(constant: f64, case: f64, reference: f64) -> Option<f64> {
    let valid = [constant, case, reference].iter().all(|time| time.is_finite() && *time >= 0.0);
    (valid && constant + reference > 0.0).then(|| (constant + case) / (constant + reference))
}

/// The platform constant from which two cold starts differ by no more than `effect`, such as
/// 0.03, in the unit of the two; 0 when they never differ by more.
///
/// Solves `(P + slower) / (P + faster) = 1 + effect` for `P`. None when a time is negative or
/// not finite, or `effect` is not positive.
pub fn negligible_from(case: f64, reference: f64, effect: f64) -> Option<f64> {
    let valid = [case, reference, effect].iter().all(|value| value.is_finite() && *value >= 0.0);
    let (faster, slower) = (case.min(reference), case.max(reference));
    (valid && effect > 0.0).then(|| ((slower - (1.0 + effect) * faster) / effect).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_hides_a_difference() {
        assert_eq!(platform_ratio(0.0, 3.0, 1.0), Some(3.0));
        assert_eq!(platform_ratio(1.0, 3.0, 1.0), Some(2.0));
        assert_eq!(platform_ratio(0.0, 3.0, 0.0), None);
        assert_eq!(platform_ratio(-1.0, 3.0, 1.0), None);
        assert_eq!(platform_ratio(f64::NAN, 3.0, 1.0), None);
    }

    #[test]
    fn the_constant_of_a_negligible_difference_is_where_the_curve_meets_the_band() {
        let constant = negligible_from(3.0, 1.0, 0.03).unwrap();
        let ratio = platform_ratio(constant, 3.0, 1.0).unwrap();
        assert!((ratio - 1.03).abs() < 1e-12, "{ratio}");
        assert_eq!(negligible_from(1.0, 3.0, 0.03), Some(constant));
        assert_eq!(negligible_from(1.0, 1.01, 0.03), Some(0.0));
        assert_eq!(negligible_from(1.0, 2.0, 0.0), None);
    }
}
