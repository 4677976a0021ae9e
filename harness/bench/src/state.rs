//! The state of a function in linear memory: what all Wasm engines offer it.
//!
//! A directory is opened for the function, through WASI. Any other state is the host's, which holds
//! the connection: the function imports [`HostState`]'s methods from the module [`MODULE`].

pub use lumos_state::{Backend, VARIABLE};
use lumos_state::{HOST, Store};

/// The module that a function imports the host's state from.
pub const MODULE: &str = "lumos_state";

/// The functions of that module.
pub mod name {
    /// `fn(key, key_bytes) -> i64`: see [`super::HostState::get`].
    pub const GET: &str = "get";
    /// `fn(key, key_bytes, value, value_bytes) -> i64`: see [`super::HostState::put`].
    pub const PUT: &str = "put";
    /// `fn(into)`: copies what the last result speaks of.
    pub const READ: &str = "read";
    /// All of them.
    pub const ALL: [&str; 3] = [GET, PUT, READ];
}

/// What a function is told of its state: the value of [`lumos_state::VARIABLE`].
///
/// `directory` is where a directory of values is opened for it.
pub fn told(backend: &Backend, directory: &str) -> String {
    match backend {
        Backend::Directory(_) => format!("directory:{directory}"),
        Backend::Redis(_) => HOST.to_owned(),
    }
}

/// The state that the host of one instance keeps for it.
#[derive(Default)]
pub struct HostState {
    backend: Option<Backend>,
    store: Option<Store>,
    last: Vec<u8>,
}

impl HostState {
    /// The state of an instance; none for a function that keeps none.
    pub fn new(backend: Option<Backend>) -> Self {
        Self { backend, ..Self::default() }
    }

    /// Gets a value. The result is its length; or -1 where there is none; or, where something is
    /// wrong, -2 less the length of a message. What it speaks of is [`HostState::last`].
    pub fn get(&mut self, key: &[u8]) -> i64 {
        let value = self.with_store(key, |store, key| store.get(key));
        self.result(value)
    }

    /// Puts a value. The result is 0 or, where something is wrong, as that of [`HostState::get`].
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> i64 {
        let stored = self.with_store(key, |store, key| store.put(key, value));
        self.result(stored.map(|()| Some(Vec::new())))
    }

    /// The value or the message that the last result speaks of.
    pub fn last(&self) -> &[u8] {
        &self.last
    }

    fn with_store<T>(
        &mut self,
        key: &[u8],
        use_it: impl FnOnce(&mut Store, &str) -> Result<T, lumos_abi::Error>,
    ) -> Result<T, lumos_abi::Error> {
        let key = str::from_utf8(key).map_err(|_| lumos_abi::Error::new("the key is not text"))?;
        let mut store = match (self.store.take(), &self.backend) {
            (Some(store), _) => store,
            (None, Some(backend)) => Store::open(backend)?,
            (None, None) => return Err(lumos_abi::Error::new("the function was given no state")),
        };
        // A store that fails is not kept: the next use opens another.
        let outcome = use_it(&mut store, key)?;
        self.store = Some(store);
        Ok(outcome)
    }

    fn result(&mut self, outcome: Result<Option<Vec<u8>>, lumos_abi::Error>) -> i64 {
        // What is kept is bounded, so that no length comes near the end of an integer.
        match outcome {
            Ok(Some(value)) => {
                self.last = value;
                self.last.len() as i64
            }
            Ok(None) => -1,
            Err(error) => {
                self.last = error.0.into_bytes();
                -2 - self.last.len() as i64
            }
        }
    }
}

/// The bytes of linear memory at an address.
///
/// # Errors
/// When they lie outside; the instance is lost then.
pub fn slice(memory: &[u8], address: u32, bytes: u32) -> anyhow::Result<&[u8]> {
    let start = address as usize;
    memory
        .get(start..start.saturating_add(bytes as usize))
        .ok_or_else(|| anyhow::anyhow!("the function speaks of bytes outside its memory"))
}

/// Copies what the last result speaks of into linear memory.
///
/// # Errors
/// When there is no room; the instance is lost then.
pub fn copy_last(state: &HostState, memory: &mut [u8], address: u32) -> anyhow::Result<()> {
    let start = address as usize;
    memory
        .get_mut(start..start.saturating_add(state.last.len()))
        .ok_or_else(|| anyhow::anyhow!("the function has no room for what it reads"))?
        .copy_from_slice(&state.last);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_without_state_learns_why() {
        let mut state = HostState::new(None);
        let result = state.get(b"key");
        assert_eq!(result, -2 - "the function was given no state".len() as i64);
        assert_eq!(state.last(), b"the function was given no state");
        let mut memory = [0; 40];
        copy_last(&state, &mut memory, 4).unwrap();
        assert_eq!(&memory[4..16], b"the function");
        assert!(copy_last(&state, &mut memory, 30).is_err());
    }

    #[test]
    fn values_and_their_absence_are_told_apart() {
        let folder = std::env::temp_dir().join(format!("lumos-host-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut state = HostState::new(Some(Backend::Directory(folder.clone())));
        assert_eq!(state.get(b"key"), -1);
        assert_eq!(state.put(b"key", b"value"), 0);
        assert_eq!((state.get(b"key"), state.last()), (5, &b"value"[..]));
        assert!(state.get(b"\xff") < -1);
        assert_eq!(state.last(), b"the key is not text");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn bytes_outside_the_memory_are_an_error() {
        assert_eq!(slice(b"abc", 1, 2).unwrap(), b"bc");
        for (address, bytes) in [(1, 3), (4, 0), (u32::MAX, u32::MAX)] {
            assert!(slice(b"abc", address, bytes).is_err());
        }
    }
}
