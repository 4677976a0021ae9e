//! Stores a value under a key: the cost of putting state.

use std::io::Write;

use lumos_abi::{Error, Function};

/// The function. It takes a line with a key and then the value, and gives a line with the number
/// of bytes that it stored.
#[derive(Debug)]
pub struct KvWrite;

lumos_abi::export!(crate::KvWrite);

/// A request that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'r> {
    /// The key.
    pub key: &'r str,
    /// Its value.
    pub value: &'r [u8],
}

impl Function for KvWrite {
    type Input<'r> = Entry<'r>;
    type Output<'r> = usize;

    fn decode(request: &[u8]) -> Result<Entry<'_>, Error> {
        let end = request
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(|| Error::new("the request does not begin with a line that holds a key"))?;
        let key = str::from_utf8(&request[..end]).map_err(|_| Error::new("the key is not text"))?;
        Ok(Entry { key, value: &request[end + 1..] })
    }

    fn compute(Entry { key, value }: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        lumos_state::put(key, value)?;
        Ok(value.len())
    }

    fn encode(stored_bytes: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        writeln!(response, "{stored_bytes}").map_err(Error::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_first_line() {
        let entry = KvWrite::decode(b"a-key\nfirst\nsecond").unwrap();
        assert_eq!(entry, Entry { key: "a-key", value: b"first\nsecond" });
        assert_eq!(KvWrite::decode(b"k\n").unwrap().value, b"");
    }

    #[test]
    fn a_malformed_request_is_refused() {
        let message = KvWrite::decode(b"a-key").unwrap_err().0;
        assert_eq!(message, "the request does not begin with a line that holds a key");
        assert_eq!(KvWrite::decode(b"\xff\nx").unwrap_err().0, "the key is not text");
    }
}
