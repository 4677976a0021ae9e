//! Where the time of an invocation goes: `T_exec = T_cold + T_retrieval + T_serialization +
//! T_compute`, the decomposition of the paper that Lumos reproduces.
//!
//! What the function's clock was read for is taken out of each term: a reading takes `c`, and
//! half of it falls before the moment that it tells and half after, so that each interval between
//! two readings holds one. With `n` retrievals, all of them inside of the computation:
//!
//! - decode and encode: as read, less `c`;
//! - retrieval: as read, less `n c`;
//! - compute: as read, less what was read for retrieval, less `(n + 1) c`;
//! - boundary: the time around the invocation, less all that was read inside, less `c`, of which
//!   one half falls before the first reading and the other after the last: copying in and out, and
//!   the socket.
//!
//! Serialization is decode, encode and boundary. The cold start is no matter of the function's
//! clock: it is the time until the worker could accept a request.

/// Times that were read, in nanoseconds: sums over `calls` invocations.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ReadTimes {
    /// Around the invocations, by the caller's clock.
    pub outer_ns: f64,
    /// From the request to the input, by the function's clock.
    pub decode_ns: f64,
    /// From the input to the output, by the function's clock.
    pub compute_ns: f64,
    /// From the output to the response, by the function's clock.
    pub encode_ns: f64,
    /// Getting and putting state, by the function's clock.
    pub retrieval_ns: f64,
    /// How many times state was got or put.
    pub retrievals: f64,
    /// How many invocations.
    pub calls: f64,
}

/// The terms of one invocation, in nanoseconds; none is negative.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Terms {
    /// From the request's bytes to the input.
    pub decode_ns: f64,
    /// Getting and putting state.
    pub retrieval_ns: f64,
    /// The work itself.
    pub compute_ns: f64,
    /// From the output to the response's bytes.
    pub encode_ns: f64,
    /// Between the caller and the function: copies, and the socket.
    pub boundary_ns: f64,
}

impl Terms {
    /// The terms of one of several invocations, where a reading of the function's clock takes
    /// `clock_ns`. None without invocations, or when something read is negative or not finite.
    pub fn of(read: &ReadTimes, clock_ns: f64) -> Option<Self> {
        let ReadTimes { outer_ns, decode_ns, compute_ns, encode_ns, retrieval_ns, .. } = *read;
        let all = [outer_ns, decode_ns, compute_ns, encode_ns, retrieval_ns, read.retrievals];
        let valid = |value: &f64| value.is_finite() && *value >= 0.0;
        if !all.iter().chain([&clock_ns]).all(valid) || read.calls < 1.0 {
            return None;
        }
        let each = |sum: f64| sum / read.calls;
        let retrievals = each(read.retrievals);
        // A part that is shorter than a reading's own scatter is nothing that was measured.
        let less = |time_ns: f64, readings: f64| (time_ns - readings * clock_ns).max(0.0);
        let inside = each(decode_ns) + each(compute_ns) + each(encode_ns);
        Some(Self {
            decode_ns: less(each(decode_ns), 1.0),
            retrieval_ns: less(each(retrieval_ns), retrievals),
            compute_ns: less(each(compute_ns) - each(retrieval_ns), retrievals + 1.0),
            encode_ns: less(each(encode_ns), 1.0),
            boundary_ns: less(each(outer_ns) - inside, 1.0),
        })
    }

    /// What it takes that the function and its caller are apart, and speak in bytes.
    pub fn serialization_ns(&self) -> f64 {
        self.decode_ns + self.encode_ns + self.boundary_ns
    }

    /// All terms together.
    pub fn sum_ns(&self) -> f64 {
        self.serialization_ns() + self.retrieval_ns + self.compute_ns
    }
}

/// How far the terms' sum may be from the whole, as a share of the whole, for the two to agree.
pub const TOLERANCE: f64 = 0.05;

/// The sum of the terms over the whole, less 1, and whether that is within [`TOLERANCE`]; none
/// when the whole is not positive.
pub fn reconcile(sum_ns: f64, whole_ns: f64) -> Option<(f64, bool)> {
    let difference = sum_ns / whole_ns - 1.0;
    (whole_ns > 0.0 && difference.is_finite()).then(|| (difference, difference.abs() <= TOLERANCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What clocks read of invocations with known terms.
    fn read(terms: &Terms, retrievals: f64, calls: f64, clock_ns: f64) -> ReadTimes {
        let decode = terms.decode_ns + clock_ns;
        let retrieval = terms.retrieval_ns + retrievals * clock_ns;
        let compute = terms.compute_ns + retrieval + (retrievals + 1.0) * clock_ns;
        let encode = terms.encode_ns + clock_ns;
        let outer = terms.boundary_ns + decode + compute + encode + clock_ns;
        ReadTimes {
            outer_ns: outer * calls,
            decode_ns: decode * calls,
            compute_ns: compute * calls,
            encode_ns: encode * calls,
            retrieval_ns: retrieval * calls,
            retrievals: retrievals * calls,
            calls,
        }
    }

    #[test]
    fn the_clock_is_taken_out_again() {
        let terms = Terms {
            decode_ns: 100.0,
            retrieval_ns: 2000.0,
            compute_ns: 700.0,
            encode_ns: 50.0,
            boundary_ns: 9000.0,
        };
        for (retrievals, calls, clock_ns) in [(0.0, 1.0, 0.0), (2.0, 1.0, 30.0), (1.0, 7.0, 80.0)] {
            let found = Terms::of(&read(&terms, retrievals, calls, clock_ns), clock_ns).unwrap();
            assert!((found.sum_ns() - terms.sum_ns()).abs() < 1e-6, "{found:?}");
            assert!((found.compute_ns - 700.0).abs() < 1e-6, "{found:?}");
            assert!((found.retrieval_ns - 2000.0).abs() < 1e-6, "{found:?}");
        }
        assert_eq!(terms.serialization_ns(), 9150.0);
    }

    #[test]
    fn no_term_is_negative() {
        let read = ReadTimes { outer_ns: 100.0, decode_ns: 5.0, calls: 1.0, ..Default::default() };
        let terms = Terms::of(&read, 30.0).unwrap();
        assert_eq!((terms.decode_ns, terms.encode_ns), (0.0, 0.0));
        assert_eq!(terms.boundary_ns, 65.0);
    }

    #[test]
    fn nonsense_has_no_terms() {
        assert_eq!(Terms::of(&ReadTimes::default(), 1.0), None);
        let read = ReadTimes { outer_ns: f64::NAN, calls: 1.0, ..Default::default() };
        assert_eq!(Terms::of(&read, 1.0), None);
    }

    #[test]
    fn sums_agree_within_a_twentieth() {
        assert!(reconcile(104.0, 100.0).unwrap().1);
        assert!(!reconcile(94.0, 100.0).unwrap().1);
        assert!((reconcile(110.0, 100.0).unwrap().0 - 0.1).abs() < 1e-12);
        assert_eq!(reconcile(1.0, 0.0), None);
    }
}
