//! Values that the host keeps: an imported interface of three functions.
//!
//! A result that is not negative is the length of a value, -1 says that there is none, and any
//! other that there is an error: it is -2 less the length of its message. The value or the message
//! lies with the host until the function has room for it and reads it.

use lumos_abi::Error;

#[link(wasm_import_module = "lumos_state")]
unsafe extern "C" {
    fn get(key: *const u8, key_bytes: u32) -> i64;
    fn put(key: *const u8, key_bytes: u32, value: *const u8, value_bytes: u32) -> i64;
    fn read(into: *mut u8);
}

pub(crate) fn get_value(key: &str) -> Result<Option<Vec<u8>>, Error> {
    // SAFETY: the host reads the bytes of a live string.
    let result = unsafe { get(key.as_ptr(), key.len() as u32) };
    take(result)
}

pub(crate) fn put_value(key: &str, value: &[u8]) -> Result<(), Error> {
    // SAFETY: the host reads the bytes of a live string and a live slice.
    let result = unsafe { put(key.as_ptr(), key.len() as u32, value.as_ptr(), value.len() as u32) };
    take(result).map(drop)
}

/// Reads what a result speaks of.
fn take(result: i64) -> Result<Option<Vec<u8>>, Error> {
    let (is_value, length) = match result {
        0.. => (true, result),
        -1 => return Ok(None),
        _ => (false, -2 - result),
    };
    let mut bytes = Vec::with_capacity(length as usize);
    if length > 0 {
        // SAFETY: the host writes as many bytes as it said, for which there is room.
        unsafe {
            read(bytes.as_mut_ptr());
            bytes.set_len(length as usize);
        }
    }
    match is_value {
        true => Ok(Some(bytes)),
        false => Err(Error(String::from_utf8_lossy(&bytes).into_owned())),
    }
}
