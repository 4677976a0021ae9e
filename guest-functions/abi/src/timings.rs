//! What a request that asks for timings learns.

use std::cell::Cell;

use crate::monotonic_ns;

/// How long the parts of an invocation took, by the function's own clock. Each holds one reading
/// of that clock, which takes [`clock_cost_ps`](crate::clock_cost_ps).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the request's bytes to the input.
    pub decode_ns: u64,
    /// From the input to the output, with all retrievals; of each of these, one more reading of
    /// the clock is in it.
    pub compute_ns: u64,
    /// From the output to the response's bytes.
    pub encode_ns: u64,
    /// Getting and putting state: the sum over all retrievals.
    pub retrieval_ns: u64,
    /// How many retrievals there were.
    pub retrievals: u64,
}

impl Timings {
    /// The size of the layout in bytes.
    pub const SIZE: usize = 40;

    /// Reads the layout: little-endian integers.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let field = |index: usize| u64::from_le_bytes(words[index]);
        Self {
            decode_ns: field(0),
            compute_ns: field(1),
            encode_ns: field(2),
            retrieval_ns: field(3),
            retrievals: field(4),
        }
    }

    /// Writes what [`Timings::from_bytes`] reads.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let Self { decode_ns, compute_ns, encode_ns, retrieval_ns, retrievals } = self;
        let fields = [decode_ns, compute_ns, encode_ns, retrieval_ns, retrievals];
        let mut bytes = [0; Self::SIZE];
        for (chunk, field) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(fields) {
            *chunk = field.to_le_bytes();
        }
        bytes
    }
}

thread_local! {
    /// The retrievals of the invocation in progress: their time and their number; none unless
    /// timings were asked for.
    static RETRIEVALS: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Gets or puts state, and takes the time of that where timings were asked for.
pub fn retrieval<T>(retrieve: impl FnOnce() -> T) -> T {
    let Some((total_ns, count)) = RETRIEVALS.get() else { return retrieve() };
    let start_ns = monotonic_ns();
    let retrieved = retrieve();
    let took_ns = monotonic_ns().saturating_sub(start_ns);
    RETRIEVALS.set(Some((total_ns + took_ns, count + 1)));
    retrieved
}

/// Runs `invoke` with the time of retrievals taken, and adds that to its timings.
pub(crate) fn with_retrievals<E>(
    invoke: impl FnOnce() -> Result<Timings, E>,
) -> Result<Timings, E> {
    RETRIEVALS.set(Some((0, 0)));
    let timings = invoke();
    let (retrieval_ns, retrievals) = RETRIEVALS.take().unwrap_or_default();
    Ok(Timings { retrieval_ns, retrievals, ..timings? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_reads_back() {
        let timings = Timings {
            decode_ns: 1,
            compute_ns: u64::MAX,
            encode_ns: 3 << 40,
            retrieval_ns: 4,
            retrievals: 5,
        };
        assert_eq!(size_of::<Timings>(), Timings::SIZE);
        // SAFETY: plain integers without padding.
        let bytes: [u8; Timings::SIZE] = unsafe { std::mem::transmute(timings) };
        assert_eq!(bytes, timings.to_bytes());
        assert_eq!(Timings::from_bytes(&bytes), timings);
    }

    #[test]
    fn retrievals_are_counted_where_timings_are_asked_for() {
        assert_eq!(retrieval(|| 7), 7);
        let invoke = || {
            retrieval(|| std::thread::sleep(std::time::Duration::from_millis(2)));
            retrieval(|| ());
            Ok::<_, ()>(Timings { decode_ns: 9, ..Timings::default() })
        };
        let timings = with_retrievals(invoke).unwrap();
        assert_eq!((timings.decode_ns, timings.retrievals), (9, 2));
        assert!(timings.retrieval_ns >= 2_000_000, "{timings:?}");
        assert_eq!(RETRIEVALS.get(), None);
    }
}
