//! State that outlives an instance: values by key.
//!
//! Where the values are is not the function's business: the environment variable
//! [`VARIABLE`] says it. Native code reads and writes a directory itself, or connects to Redis
//! itself. Wasm reads and writes a directory that is opened for it, or asks its host, which
//! then holds the connection.

mod backend;
mod directory;
#[cfg(not(unix))]
mod host;
#[cfg(unix)]
mod redis;

use std::cell::RefCell;

use lumos_abi::Error;

pub use backend::{Backend, HOST, VARIABLE};
use directory::Directory;

/// The longest value in bytes.
pub const LARGEST_VALUE_BYTES: usize = 16 << 20;
/// The longest key in bytes.
pub const LONGEST_KEY_BYTES: usize = 128;

/// An open store of values.
///
/// What is behind it may fail at any time: a store that has failed is opened anew for the next
/// use.
pub struct Store(Kind);

enum Kind {
    Directory(Directory),
    #[cfg(unix)]
    Redis(redis::Connected),
    #[cfg(not(unix))]
    Host,
}

impl Store {
    /// Opens a store.
    ///
    /// # Errors
    /// When what is behind it does not answer.
    pub fn open(backend: &Backend) -> Result<Self, Error> {
        Ok(Self(match backend {
            Backend::Directory(path) => Kind::Directory(Directory::new(path)),
            #[cfg(unix)]
            Backend::Redis(socket) => Kind::Redis(redis::Connected::open(socket)?),
            #[cfg(not(unix))]
            Backend::Host => Kind::Host,
        }))
    }

    /// The value of a key; none when there is none.
    ///
    /// # Errors
    /// When the key is malformed, or what is behind the store does not answer.
    pub fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        check_key(key)?;
        match &mut self.0 {
            Kind::Directory(directory) => directory.get(key),
            #[cfg(unix)]
            Kind::Redis(redis) => redis.get(key),
            #[cfg(not(unix))]
            Kind::Host => host::get_value(key),
        }
    }

    /// Stores a value, in place of the one that the key had.
    ///
    /// # Errors
    /// When the key is malformed, the value is too large, or what is behind the store does not
    /// take it.
    pub fn put(&mut self, key: &str, value: &[u8]) -> Result<(), Error> {
        check_key(key)?;
        if value.len() > LARGEST_VALUE_BYTES {
            return Err(Error(format!(
                "a value of {} bytes is too large: at most {LARGEST_VALUE_BYTES} are kept",
                value.len()
            )));
        }
        match &mut self.0 {
            Kind::Directory(directory) => directory.put(key, value),
            #[cfg(unix)]
            Kind::Redis(redis) => redis.put(key, value),
            #[cfg(not(unix))]
            Kind::Host => host::put_value(key, value),
        }
    }
}

/// A key is a part of a path, so it holds nothing that a path gives a meaning to.
fn check_key(key: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_right = (1..=LONGEST_KEY_BYTES).contains(&key.len())
        && key.bytes().all(allowed)
        && !key.starts_with('.');
    if is_right {
        return Ok(());
    }
    Err(Error(format!(
        "the key {key:?} is none: it must have 1 to {LONGEST_KEY_BYTES} ASCII letters, digits, \
         `-`, `_` and `.`, and not begin with `.`"
    )))
}

thread_local! {
    /// The function's store, opened at its first use.
    static STORE: RefCell<Option<Store>> = const { RefCell::new(None) };
}

/// The value of a key in the function's store; none when there is none.
///
/// # Errors
/// Those of [`Store::get`], and when the function was given no store.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    with_store(|store| store.get(key))
}

/// Stores a value in the function's store.
///
/// # Errors
/// Those of [`Store::put`], and when the function was given no store.
pub fn put(key: &str, value: &[u8]) -> Result<(), Error> {
    with_store(|store| store.put(key, value))
}

fn with_store<T>(use_it: impl FnOnce(&mut Store) -> Result<T, Error>) -> Result<T, Error> {
    lumos_abi::retrieval(|| {
        STORE.with_borrow_mut(|store| {
            let opened = match store.take() {
                Some(opened) => opened,
                None => Store::open(&Backend::of_environment()?)?,
            };
            // A store that fails is not put back.
            let mut opened = opened;
            let outcome = use_it(&mut opened)?;
            *store = Some(opened);
            Ok(outcome)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked() {
        for key in ["a", "user-1.cart_2", &"k".repeat(LONGEST_KEY_BYTES)] {
            assert_eq!(check_key(key), Ok(()));
        }
        let orders = ["a\r\nFLUSHALL", "a\0b", "a\u{1b}[2J"];
        let names = ["", ".", "..", ".hidden", "a/b", "a b", "é", &"k".repeat(129)];
        for key in names.into_iter().chain(orders) {
            let message = check_key(key).unwrap_err().0;
            assert!(message.contains("is none") && !message.contains(char::is_control), "{key}");
        }
    }

    #[test]
    fn a_value_that_is_too_large_is_refused() {
        let mut store = Store::open(&Backend::Directory("/nonexistent".into())).unwrap();
        let message = store.put("a", &vec![0; LARGEST_VALUE_BYTES + 1]).unwrap_err().0;
        assert!(message.starts_with("a value of 16777217 bytes is too large"), "{message}");
    }
}
