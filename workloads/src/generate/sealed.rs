//! Encrypted prose.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};

use super::{Random, text};

/// A key, a nonce, and `bytes` of prose that are encrypted with both by AES-256-GCM, with no
/// associated data; the tag comes last.
pub(crate) fn sealed(bytes: u32, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let (mut key, mut nonce) = ([0; 32], [0; 12]);
    key.copy_from_slice(&random.bytes(32));
    nonce.copy_from_slice(&random.bytes(12));
    let mut message = text(bytes, seed);
    let cipher = Aes256Gcm::new(&key.into());
    let tag =
        cipher.encrypt_inout_detached(&Nonce::from(nonce), &[], message.as_mut_slice().into());
    // The longest request is far below what the cipher takes.
    let tag = tag.unwrap_or_default();
    [key.as_slice(), &nonce, &message, &tag].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens() {
        let request = sealed(1000, 7);
        assert_eq!(request.len(), 32 + 12 + 1000 + 16);
        let (key, rest) = request.split_first_chunk::<32>().unwrap();
        let (nonce, rest) = rest.split_first_chunk::<12>().unwrap();
        let (ciphertext, tag) = rest.split_last_chunk::<16>().unwrap();
        let mut message = ciphertext.to_vec();
        assert_ne!(message, text(1000, 7));
        let cipher = Aes256Gcm::new(key.into());
        let buffer = message.as_mut_slice().into();
        cipher.decrypt_inout_detached(nonce.into(), &[], buffer, tag.into()).unwrap();
        assert_eq!(message, text(1000, 7));
    }
}
