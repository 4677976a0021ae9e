//! Computes a Fibonacci number, step by step: integer additions of which each waits for the last.

use std::io::Write;

use lumos_abi::{Error, Function};

/// The largest index: a hundred times that of the paper's largest payload.
pub const LARGEST_INDEX: u32 = 250_000_000;

/// The function. It takes an index in decimal digits and gives a line of JSON:
/// `{"index":10,"value":55}`, where the value is modulo 2^64.
#[derive(Debug)]
pub struct Fibonacci;

lumos_abi::export!(crate::Fibonacci);

/// A Fibonacci number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Which one: 0 is 0, and 1 is 1.
    pub index: u32,
    /// Its value modulo 2^64.
    pub value: u64,
}

impl Function for Fibonacci {
    type Input<'r> = u32;
    type Output<'r> = Number;

    fn decode(request: &[u8]) -> Result<u32, Error> {
        let text = str::from_utf8(request).map_err(|_| Error::new("the index is not text"))?;
        let index: u32 = text
            .trim_ascii()
            .parse()
            .map_err(|error| Error(format!("the index is not a decimal number: {error}")))?;
        if index > LARGEST_INDEX {
            return Err(Error(format!("the index {index} is more than {LARGEST_INDEX}")));
        }
        Ok(index)
    }

    fn compute(index: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let (mut value, mut next) = (0_u64, 1_u64);
        for _ in 0..index {
            (value, next) = (next, value.wrapping_add(next));
        }
        Ok(Number { index, value })
    }

    fn encode(Number { index, value }: Self::Output<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        writeln!(out, r#"{{"index":{index},"value":{value}}}"#).map_err(Error::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8]) -> Result<String, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<Fibonacci>(request, &mut response).map_err(|error| error.0)?;
        Ok(String::from_utf8(response).unwrap())
    }

    /// By doubling the index, which shares nothing with the steps.
    fn doubled(index: u32) -> (u64, u64) {
        if index == 0 {
            return (0, 1);
        }
        let (a, b) = doubled(index / 2);
        let c = a.wrapping_mul(b.wrapping_mul(2).wrapping_sub(a));
        let d = a.wrapping_mul(a).wrapping_add(b.wrapping_mul(b));
        if index.is_multiple_of(2) { (c, d) } else { (d, c.wrapping_add(d)) }
    }

    #[test]
    fn it_computes_what_doubling_computes() {
        for index in (0..200).chain([10_000, 1_000_000]) {
            assert_eq!(Fibonacci::compute(index).unwrap().value, doubled(index).0, "{index}");
        }
    }

    #[test]
    fn the_response_is_a_line_of_json() {
        assert_eq!(answer(b"10"), Ok("{\"index\":10,\"value\":55}\n".to_owned()));
        assert_eq!(answer(b" 93\n"), Ok("{\"index\":93,\"value\":12200160415121876738}\n".into()));
    }

    #[test]
    fn a_malformed_index_is_refused() {
        for request in [&b""[..], b"ten", b"-5", b"1.5", b"99999999999999"] {
            let message = answer(request).unwrap_err();
            assert!(message.starts_with("the index is not a decimal number"), "{message}");
        }
        assert_eq!(answer(&[0xff]).unwrap_err(), "the index is not text");
        let message = answer(b"250000001").unwrap_err();
        assert_eq!(message, "the index 250000001 is more than 250000000");
    }
}
