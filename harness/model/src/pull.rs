//! How long it takes to pull an image, as a function of the image and the link.

/// What a full Ethernet frame carries on the wire, over what of it is an image's bytes: 1,500
/// bytes of packet and 14 of header, of which IP takes 20 and TCP with time stamps 32.
const FRAME_RATIO: f64 = 1514.0 / 1448.0;

/// The requests of a pull beside one for each layer: for the manifest and the configuration.
const REQUESTS: u64 = 2;

/// The nanoseconds from the connection to the last byte of the last layer: what a client needs
/// that sends its requests one after the other over one connection.
///
/// ```text
/// (1 + 2 + layers) * round trip  +  compressed bytes * 1514/1448 / bandwidth
/// ```
///
/// This is our own reasoning about the distribution protocol, not a published model. A round
/// trip is spent on the connection (TCP's handshake), one on the manifest, one on the
/// configuration, and one on each layer, before its first byte arrives; the manifest names all
/// that follows, so it must come first. Manifest and configuration are so small that their bytes
/// do not count. Layers share the link, so fetching them at once, as engines do, saves round
/// trips and no time of transfer.
///
/// It is a lower bound of what a public registry takes: TLS costs one or two round trips more, a
/// token two requests to another server, a redirect to a store of blobs a connection of its own
/// per layer, and TCP's slow start some round trips until the link is full. The registry itself
/// is taken to be faster than the link.
///
/// None when the bandwidth or the round trip is negative, zero (the bandwidth) or not finite.
pub fn pull_ns(
    compressed_bytes: u64,
    layers: u64,
    bandwidth_bytes_per_s: f64,
    round_trip_ns: f64,
) -> Option<f64> {
    let has_link = bandwidth_bytes_per_s.is_finite() && bandwidth_bytes_per_s > 0.0;
    let valid = has_link && round_trip_ns.is_finite() && round_trip_ns >= 0.0;
    valid.then(|| {
        let round_trips = 1 + REQUESTS + layers;
        let transfer_s = compressed_bytes as f64 * FRAME_RATIO / bandwidth_bytes_per_s;
        round_trips as f64 * round_trip_ns + transfer_s * 1e9
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_known_link_gives_a_known_time() {
        // 1,448 bytes fill one frame: 1,514 bytes at a byte per microsecond.
        assert_eq!(pull_ns(1448, 1, 1e6, 0.0), Some(1_514_000.0));
        assert_eq!(pull_ns(0, 2, 1e6, 1000.0), Some(5000.0));
    }

    #[test]
    fn what_is_no_link_gives_no_time() {
        for bandwidth in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(pull_ns(1, 1, bandwidth, 0.0), None);
        }
        for round_trip in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(pull_ns(1, 1, 1.0, round_trip), None);
        }
    }

    proptest! {
        #[test]
        fn more_takes_longer_and_a_better_link_less(
            bytes in 0u64..1 << 40,
            more in 1u64..1 << 40,
            layers in 0u64..100,
            bandwidth in 1e3..1e11,
            round_trip in 0.0..1e9,
        ) {
            let time = pull_ns(bytes, layers, bandwidth, round_trip).unwrap();
            prop_assert!(time >= 0.0);
            prop_assert!(pull_ns(bytes + more, layers, bandwidth, round_trip).unwrap() > time);
            prop_assert!(pull_ns(bytes, layers + 1, bandwidth, round_trip).unwrap() >= time);
            prop_assert!(pull_ns(bytes, layers, bandwidth * 2.0, round_trip).unwrap() <= time);
            prop_assert!(pull_ns(bytes, layers, bandwidth, round_trip + 1.0).unwrap() >= time);
        }

        #[test]
        fn a_short_link_leaves_the_transfer_and_a_wide_one_the_round_trips(
            bytes in 1u64..1 << 30,
            layers in 1u64..100,
            bandwidth in 1e3..1e9,
            round_trip in 1e3..1e9,
        ) {
            let near = pull_ns(bytes, layers, bandwidth, 0.0).unwrap();
            prop_assert!((near / (bytes as f64 / bandwidth * 1e9) - FRAME_RATIO).abs() < 1e-9);
            let wide = pull_ns(bytes, layers, f64::MAX, round_trip).unwrap();
            prop_assert!((wide / ((layers + 3) as f64 * round_trip) - 1.0).abs() < 1e-9);
            // Each part alone is a lower bound of the whole.
            let time = pull_ns(bytes, layers, bandwidth, round_trip).unwrap();
            prop_assert!(time >= near && time >= wide);
        }
    }
}
