//! Encrypts a message with AES-256-GCM.
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

/// The function. It takes a key, a nonce and a message, and gives the encrypted message and its
/// tag of 16 bytes.
#[derive(Debug)]
pub struct AesEncrypt;

lumos_abi::export!(crate::AesEncrypt);

/// A request that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job<'r> {
    key: &'r [u8; KEY_BYTES],
    nonce: &'r [u8; NONCE_BYTES],
    message: &'r [u8],
}

impl Function for AesEncrypt {
    type Input<'r> = Job<'r>;
    type Output<'r> = Vec<u8>;

    fn decode(request: &[u8]) -> Result<Job<'_>, Error> {
        let parts = request.split_first_chunk().and_then(|(key, rest)| {
            let (nonce, message) = rest.split_first_chunk()?;
            Some(Job { key, nonce, message })
        });
        parts.ok_or_else(|| {
            Error(format!(
                "the request has {} bytes, and a key and a nonce alone have {}",
                request.len(),
                KEY_BYTES + NONCE_BYTES
            ))
        })
    }

    fn compute(Job { key, nonce, message }: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let cipher = Aes256Gcm::new(key.into());
        let mut sealed = Vec::with_capacity(message.len() + 16);
        sealed.extend_from_slice(message);
        let tag = cipher
            .encrypt_inout_detached(nonce.into(), &[], sealed.as_mut_slice().into())
            .map_err(|_| Error::new("the message is longer than the cipher takes"))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    fn encode(sealed: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        response.extend_from_slice(&sealed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8]) -> Result<Vec<u8>, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<AesEncrypt>(request, &mut response).map_err(|error| error.0)?;
        Ok(response)
    }

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let pairs = hexadecimal.as_bytes().chunks(2);
        pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Test cases 13 and 15 of McGrew and Viega, "The Galois/Counter Mode of Operation" (2004).
    #[test]
    fn messages_are_sealed_as_published() {
        let nothing = answer(&[0; 44]).unwrap();
        assert_eq!(nothing, bytes("530f8afbc74536b9a963b4f1c4cb738b"));
        let request = [
            bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"),
            bytes("cafebabefacedbaddecaf888"),
            bytes("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"),
            bytes("1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"),
        ]
        .concat();
        let sealed = [
            bytes("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"),
            bytes("8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"),
            bytes("b094dac5d93471bdec1a502270e3cc6c"),
        ]
        .concat();
        assert_eq!(answer(&request).unwrap(), sealed);
    }

    #[test]
    fn a_short_request_is_refused() {
        let message = "the request has 43 bytes, and a key and a nonce alone have 44";
        assert_eq!(answer(&[0; 43]).unwrap_err(), message);
        assert!(answer(b"").unwrap_err().starts_with("the request has 0 bytes"));
    }
}
