//! Answers the value of a key: the cost of getting state.

use lumos_abi::{Error, Function};

/// The function. It takes a key and gives the key's value.
#[derive(Debug)]
pub struct KvRead;

lumos_abi::export!(crate::KvRead);

impl Function for KvRead {
    type Input<'r> = &'r str;
    type Output<'r> = Vec<u8>;

    fn decode(request: &[u8]) -> Result<&str, Error> {
        str::from_utf8(request).map_err(|_| Error::new("the key is not text"))
    }

    fn compute(key: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        lumos_state::get(key)?.ok_or_else(|| Error(format!("the key `{key}` has no value")))
    }

    fn encode(value: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        response.extend_from_slice(&value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_no_key_is_refused() {
        let refuse = |request: &[u8]| {
            lumos_abi::invoke::<KvRead>(request, &mut Vec::new()).unwrap_err().to_string()
        };
        assert_eq!(refuse(b"\xff"), "the key is not text");
        assert!(refuse(b"key").contains("LUMOS_STATE is not set"));
    }
}
