//! Answers nothing, whatever it is asked: what is left is the cost of an invocation.

use lumos_abi::{Error, Function};

/// The function. It takes any request and gives an empty response.
#[derive(Debug)]
pub struct Noop;

lumos_abi::export!(crate::Noop);

impl Function for Noop {
    type Input<'r> = ();
    type Output<'r> = ();

    fn decode(_request: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn compute((): Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        Ok(())
    }

    fn encode((): Self::Output<'_>, _response: &mut Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_request_has_an_empty_response() {
        for request in [&b""[..], b"anything", &[0xff; 4096]] {
            let mut response = Vec::new();
            assert_eq!(lumos_abi::invoke::<Noop>(request, &mut response), Ok(()));
            assert_eq!(response, b"");
        }
    }
}
