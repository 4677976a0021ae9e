//! Decrypts a message with AES-256-GCM, after checking that nobody has changed it.
//!
//! Native code uses the processor's instructions for AES and for products without carries where
//! the library finds them at run time; Wasm has none. The ratio of the two holds what the hardware
//! gives.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use lumos_abi::{Error, Function};

/// The length of a key in bytes.
pub const KEY_BYTES: usize = 32;
/// The length of a nonce in bytes.
pub const NONCE_BYTES: usize = 12;
/// The length of a tag in bytes.
pub const TAG_BYTES: usize = 16;

/// The function. It takes a key, a nonce, an encrypted message and its tag, and gives the message.
#[derive(Debug)]
pub struct AesDecrypt;

lumos_abi::export!(crate::AesDecrypt);

/// A request that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job<'r> {
    key: &'r [u8; KEY_BYTES],
    nonce: &'r [u8; NONCE_BYTES],
    sealed: &'r [u8],
    tag: &'r [u8; TAG_BYTES],
}

impl Function for AesDecrypt {
    type Input<'r> = Job<'r>;
    type Output<'r> = Vec<u8>;

    fn decode(request: &[u8]) -> Result<Job<'_>, Error> {
        let parts = request.split_first_chunk().and_then(|(key, rest)| {
            let (nonce, rest) = rest.split_first_chunk()?;
            let (sealed, tag) = rest.split_last_chunk()?;
            Some(Job { key, nonce, sealed, tag })
        });
        parts.ok_or_else(|| {
            Error(format!(
                "the request has {} bytes, and a key, a nonce and a tag alone have {}",
                request.len(),
                KEY_BYTES + NONCE_BYTES + TAG_BYTES
            ))
        })
    }

    fn compute(job: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let Job { key, nonce, sealed, tag } = job;
        let cipher = Aes256Gcm::new(key.into());
        let mut message = sealed.to_vec();
        cipher
            .decrypt_inout_detached(nonce.into(), &[], message.as_mut_slice().into(), tag.into())
            .map_err(|_| Error::new("the message is not what was encrypted with this key"))?;
        Ok(message)
    }

    fn encode(message: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        response.extend_from_slice(&message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8]) -> Result<Vec<u8>, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<AesDecrypt>(request, &mut response).map_err(|error| error.0)?;
        Ok(response)
    }

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let pairs = hexadecimal.as_bytes().chunks(2);
        pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Test case 14 of McGrew and Viega, "The Galois/Counter Mode of Operation" (2004).
    fn request() -> Vec<u8> {
        let sealed = bytes("cea7403d4d606b6e074ec5d3baf39d18");
        let tag = bytes("d0d1c8a799996bf0265b98b5d48ab919");
        [vec![0; 44], sealed, tag].concat()
    }

    #[test]
    fn messages_are_opened_as_published() {
        assert_eq!(answer(&request()), Ok(vec![0; 16]));
    }

    #[test]
    fn a_message_that_was_changed_is_refused() {
        for place in [0, 31, 40, 44, 59, 60, 75] {
            let mut request = request();
            request[place] ^= 1;
            let message = answer(&request).unwrap_err();
            assert_eq!(message, "the message is not what was encrypted with this key", "{place}");
        }
    }

    #[test]
    fn a_short_request_is_refused() {
        let message = "the request has 59 bytes, and a key, a nonce and a tag alone have 60";
        assert_eq!(answer(&[0; 59]).unwrap_err(), message);
        assert!(answer(b"").unwrap_err().starts_with("the request has 0 bytes"));
    }
}
