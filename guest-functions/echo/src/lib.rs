//! Answers its request: what is left is the cost of moving bytes in and out.

use lumos_abi::{Error, Function};

/// The function. It takes any request and gives the same bytes back.
#[derive(Debug)]
pub struct Echo;

lumos_abi::export!(crate::Echo);

impl Function for Echo {
    // Borrowed all the way, so that the bytes are copied once: into the response.
    type Input<'r> = &'r [u8];
    type Output<'r> = &'r [u8];

    fn decode(request: &[u8]) -> Result<&[u8], Error> {
        Ok(request)
    }

    fn compute(input: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        Ok(input)
    }

    fn encode(output: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        response.extend_from_slice(output);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_is_the_request() {
        for request in [&b""[..], b"hello", &[0xff; 100_000]] {
            let mut response = Vec::new();
            assert_eq!(lumos_abi::invoke::<Echo>(request, &mut response), Ok(()));
            assert_eq!(response, request);
        }
    }

    #[test]
    fn the_request_is_not_copied_before_the_response() {
        let request = b"hello".as_slice();
        let output = Echo::compute(Echo::decode(request).unwrap()).unwrap();
        assert_eq!(output.as_ptr(), request.as_ptr());
    }
}
