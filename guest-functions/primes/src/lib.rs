//! Counts the primes up to a limit with a sieve: integer work and memory, no parsing to
//! speak of.

use std::io::Write;

use lumos_abi::{Error, Function};

/// The largest limit: its sieve takes 6.25 MB, which every runtime's memory holds.
pub const LARGEST_LIMIT: u32 = 100_000_000;

/// The function. It takes a limit in decimal digits and gives one line of JSON:
/// `{"limit":10,"count":4,"last":7,"checksum":...}`.
#[derive(Debug)]
pub struct Primes;

lumos_abi::export!(crate::Primes);

/// What the sieve found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The limit, which is included.
    pub limit: u32,
    /// How many primes there are up to the limit.
    pub count: u32,
    /// The largest of them.
    pub last: u32,
    /// A hash of all of them in ascending order, modulo 2^64.
    pub checksum: u64,
}

impl Function for Primes {
    type Input<'r> = u32;
    type Output<'r> = Found;

    fn decode(request: &[u8]) -> Result<u32, Error> {
        let text = str::from_utf8(request).map_err(|_| Error::new("the limit is not text"))?;
        let text = text.trim_ascii();
        let limit: u32 = text
            .parse()
            .map_err(|error| Error(format!("the limit is not a decimal number: {error}")))?;
        if !(2..=LARGEST_LIMIT).contains(&limit) {
            return Err(Error(format!("the limit {limit} is not within 2 and {LARGEST_LIMIT}")));
        }
        Ok(limit)
    }

    fn compute(limit: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let mut found = Found { limit, count: 0, last: 0, checksum: 0 };
        found.add(2);
        Sieve::new(limit).for_each_prime(|prime| found.add(prime));
        Ok(found)
    }

    fn encode(found: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        let Found { limit, count, last, checksum } = found;
        writeln!(
            response,
            r#"{{"limit":{limit},"count":{count},"last":{last},"checksum":{checksum}}}"#
        )
        .map_err(Error::new)
    }
}

impl Found {
    /// Takes note of the next prime.
    fn add(&mut self, prime: u32) {
        self.count += 1;
        self.last = prime;
        self.checksum = self.checksum.wrapping_mul(31).wrapping_add(u64::from(prime));
    }
}

/// A sieve of Eratosthenes over the odd numbers: bit `i` stands for `2 * i + 1`.
struct Sieve {
    composite: Vec<u64>,
    /// How many bits count: those of the odd numbers up to the limit.
    bits: u32,
}

impl Sieve {
    fn new(limit: u32) -> Self {
        let bits = limit.div_ceil(2);
        let mut sieve = Self { composite: vec![0; bits.div_ceil(64) as usize], bits };
        // Bit 0 is the number 1, which is neither prime nor composite.
        sieve.mark(0);
        let mut bit = 1;
        // A composite number has a factor that is at most its root.
        while Self::square(bit) < u64::from(bits) {
            if !sieve.is_marked(bit) {
                sieve.mark_multiples(bit);
            }
            bit += 1;
        }
        sieve
    }

    /// The bit of the square of bit `bit`'s number: (2i + 1)^2 = 2 (2i (i + 1)) + 1.
    fn square(bit: u32) -> u64 {
        2 * u64::from(bit) * (u64::from(bit) + 1)
    }

    /// Marks the odd multiples of bit `bit`'s number, from its square on: the smaller ones
    /// have a smaller factor.
    fn mark_multiples(&mut self, bit: u32) {
        let step = u64::from(bit) * 2 + 1;
        let mut multiple = Self::square(bit);
        while multiple < u64::from(self.bits) {
            // No truncation: the bits are counted in 32 bits.
            self.mark(multiple as u32);
            multiple += step;
        }
    }

    fn mark(&mut self, bit: u32) {
        self.composite[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    fn is_marked(&self, bit: u32) -> bool {
        self.composite[(bit / 64) as usize] & (1 << (bit % 64)) != 0
    }

    fn for_each_prime(&self, mut visit: impl FnMut(u32)) {
        for bit in 1..self.bits {
            if !self.is_marked(bit) {
                visit(2 * bit + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8]) -> Result<String, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<Primes>(request, &mut response).map_err(|error| error.0)?;
        Ok(String::from_utf8(response).unwrap())
    }

    /// Trial division, which shares nothing with the sieve.
    fn expected(limit: u32) -> Found {
        let mut found = Found { limit, count: 0, last: 0, checksum: 0 };
        (2..=limit).filter(|n| (2..*n).all(|d| n % d != 0)).for_each(|prime| found.add(prime));
        found
    }

    #[test]
    fn it_finds_what_trial_division_finds() {
        for limit in (2..=300).chain([1000, 1021, 2047, 2048, 2049]) {
            assert_eq!(Primes::compute(limit).unwrap(), expected(limit));
        }
    }

    #[test]
    fn it_counts_up_to_a_million() {
        let found = Primes::compute(1_000_000).unwrap();
        assert_eq!((found.count, found.last), (78_498, 999_983));
    }

    #[test]
    fn the_response_is_a_line_of_json() {
        let checksum: u64 = [2, 3, 5, 7].iter().fold(0, |sum, prime| sum * 31 + prime);
        let line = format!("{{\"limit\":10,\"count\":4,\"last\":7,\"checksum\":{checksum}}}\n");
        assert_eq!(answer(b"10"), Ok(line.clone()));
        assert_eq!(answer(b" 10\n"), Ok(line));
    }

    #[test]
    fn a_malformed_limit_is_refused() {
        for request in [&b""[..], b"ten", b"-5", b"1.5", b"99999999999999"] {
            let message = answer(request).unwrap_err();
            assert!(message.starts_with("the limit is not a decimal number"), "{message}");
        }
        assert_eq!(answer(&[0xff]).unwrap_err(), "the limit is not text");
    }

    #[test]
    fn a_limit_out_of_range_is_refused() {
        for request in ["0", "1", "100000001", "4294967295"] {
            let message = answer(request.as_bytes()).unwrap_err();
            assert_eq!(message, format!("the limit {request} is not within 2 and 100000000"));
        }
    }
}
