//! Hashes its request with SHA-256.
//!
//! Native code uses the processor's instructions for this hash where the library finds them at
//! run time; Wasm has none. The ratio of the two holds what the hardware gives.

use lumos_abi::{Error, Function};
use sha2::{Digest, Sha256};

/// The function. It takes any request and gives a line with its hash in hexadecimal digits.
#[derive(Debug)]
pub struct Sha;

lumos_abi::export!(crate::Sha);

impl Function for Sha {
    type Input<'r> = &'r [u8];
    type Output<'r> = [u8; 32];

    fn decode(request: &[u8]) -> Result<&[u8], Error> {
        Ok(request)
    }

    fn compute(input: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        Ok(Sha256::digest(input).into())
    }

    fn encode(hash: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in hash {
            response.extend([byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]));
        }
        response.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8]) -> String {
        let mut response = Vec::new();
        lumos_abi::invoke::<Sha>(request, &mut response).unwrap();
        String::from_utf8(response).unwrap()
    }

    /// The first two from FIPS 180-2, appendix B.
    #[test]
    fn hashes_are_those_of_the_standard() {
        assert_eq!(
            answer(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"
        );
        assert_eq!(
            answer(&[b'a'; 1_000_000]),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0\n"
        );
        assert_eq!(
            answer(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
        );
    }
}
