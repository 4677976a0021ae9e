//! How a request is made.

use std::path::{Path, PathBuf};

use crate::generate::{self, Random};
use crate::wire;

/// A generator and its parameters. The same parameters give the same bytes on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// No bytes.
    Empty,
    /// A text as it stands.
    Literal {
        /// The text.
        text: String,
    },
    /// What a WASI command is asked: four bytes with the code that it is to exit with,
    /// little-endian, and then its standard input.
    Command {
        /// The code that means success.
        exit: i32,
        /// What the file of the standard input held when the workload was read.
        stdin: Vec<u8>,
    },
    /// Bytes that cannot be compressed.
    Bytes {
        /// What stands before them.
        header: String,
        /// How many.
        bytes: u32,
        /// The seed.
        seed: u64,
    },
    /// English-like prose in ASCII, whose word frequencies follow Zipf's law.
    Text {
        /// What stands before the prose.
        header: String,
        /// The length of the prose in bytes.
        bytes: u32,
        /// The seed.
        seed: u64,
    },
    /// Prose that is encrypted with AES-256-GCM: a key of 32 bytes, a nonce of 12 bytes, the
    /// ciphertext, and its tag of 16 bytes.
    Sealed {
        /// The length of the prose in bytes.
        bytes: u32,
        /// The seed.
        seed: u64,
    },
    /// A JSON list of a shop's orders.
    Orders {
        /// Its length in bytes.
        bytes: u32,
        /// The seed.
        seed: u64,
    },
    /// A picture like a photograph, with a camera's noise, as an 8-bit RGB PNG.
    Photo {
        /// What stands before the PNG.
        header: String,
        /// The width in pixels.
        width: u32,
        /// The height in pixels.
        height: u32,
        /// The seed.
        seed: u64,
    },
}

/// The longest request that a file may ask for: a digit too many must not fill the memory.
const LARGEST_BYTES: u32 = 64 << 20;
/// The largest width and height of a picture.
const LARGEST_SIDE: u32 = 8192;

impl Request {
    /// Makes the request.
    ///
    /// # Panics
    /// When the width or the height of a photo is 0, which no request read from a file has.
    pub fn generate(&self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Literal { text } => text.clone().into_bytes(),
            Self::Command { exit, stdin } => [&exit.to_le_bytes(), stdin.as_slice()].concat(),
            Self::Bytes { header, bytes, seed } => after(header, Random::new(*seed).bytes(*bytes)),
            Self::Text { header, bytes, seed } => after(header, generate::text(*bytes, *seed)),
            Self::Sealed { bytes, seed } => generate::sealed(*bytes, *seed),
            Self::Orders { bytes, seed } => generate::orders(*bytes, *seed),
            Self::Photo { header, width, height, seed } => {
                after(header, generate::photo(*width, *height, *seed))
            }
        }
    }
}

/// Reads what every process that measures reads again: a file that ends, and is the same each time.
fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let found = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("not a plain file, as one has to be that is read more than once".to_owned());
    }
    if found.len() > u64::from(LARGEST_BYTES) {
        return Err(format!("{} bytes: at most {LARGEST_BYTES} are read", found.len()));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

/// Checks that the parameters are within what can be generated; the error names the field.
impl TryFrom<wire::Request> for Request {
    type Error = String;

    fn try_from(request: wire::Request) -> Result<Self, String> {
        Ok(match request {
            wire::Request::Empty {} => Self::Empty,
            wire::Request::Literal { text } => Self::Literal { text },
            wire::Request::Command { exit, stdin } => {
                let read = |path: PathBuf| {
                    read_file(&path).map_err(|why| format!("`stdin`: {}: {why}", path.display()))
                };
                Self::Command { exit, stdin: stdin.map_or(Ok(Vec::new()), read)? }
            }
            wire::Request::Bytes { header, bytes, seed } => {
                Self::Bytes { header, bytes: within("bytes", bytes, 1, LARGEST_BYTES)?, seed }
            }
            wire::Request::Text { header, bytes, seed } => {
                Self::Text { header, bytes: within("bytes", bytes, 1, LARGEST_BYTES)?, seed }
            }
            wire::Request::Sealed { bytes, seed } => {
                Self::Sealed { bytes: within("bytes", bytes, 1, LARGEST_BYTES)?, seed }
            }
            wire::Request::Orders { bytes, seed } => {
                let least = generate::SMALLEST_ORDERS_BYTES;
                Self::Orders { bytes: within("bytes", bytes, least, LARGEST_BYTES)?, seed }
            }
            wire::Request::Photo { header, width, height, seed } => Self::Photo {
                header,
                width: within("width", width, 1, LARGEST_SIDE)?,
                height: within("height", height, 1, LARGEST_SIDE)?,
                seed,
            },
        })
    }
}

fn after(header: &str, body: Vec<u8>) -> Vec<u8> {
    [header.as_bytes(), &body].concat()
}

fn within(field: &str, value: u32, least: u32, most: u32) -> Result<u32, String> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("`{field}` is {value}, which is not within {least} and {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_asked() {
        for bytes in [1024, 1025, 1337, 4096, 65_536, 100_001] {
            for request in [
                Request::Bytes { header: String::new(), bytes, seed: 1 },
                Request::Text { header: String::new(), bytes, seed: 1 },
                Request::Orders { bytes, seed: 1 },
            ] {
                assert_eq!(request.generate().len(), bytes as usize, "{request:?}");
            }
        }
        assert!(Request::Empty.generate().is_empty());
        assert_eq!(Request::Literal { text: "42".to_owned() }.generate(), b"42");
    }

    #[test]
    fn the_seed_decides() {
        let photo = |seed| {
            Request::Photo { header: "h\n".to_owned(), width: 20, height: 10, seed }.generate()
        };
        assert_eq!(photo(1), photo(1));
        assert_ne!(photo(1), photo(2));
        assert!(photo(1).starts_with(b"h\n\x89PNG"));
        let orders = |seed| Request::Orders { bytes: 2048, seed }.generate();
        assert_eq!(orders(1), orders(1));
        assert_ne!(orders(1), orders(2));
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        let message = Request::try_from(wire::Request::Orders { bytes: 1, seed: 1 }).unwrap_err();
        assert_eq!(message, "`bytes` is 1, which is not within 2 and 67108864");
        let photo = wire::Request::Photo { header: String::new(), width: 9, height: 0, seed: 1 };
        let message = Request::try_from(photo).unwrap_err();
        assert_eq!(message, "`height` is 0, which is not within 1 and 8192");
    }

    #[test]
    fn a_standard_input_is_a_file_that_ends() {
        for (path, part) in [
            ("/dev/zero", "`stdin`: /dev/zero: not a plain file"),
            ("/", "`stdin`: /: not a plain file"),
            ("/no/such/file", "`stdin`: /no/such/file: No such file"),
        ] {
            let wire = wire::Request::Command { exit: 0, stdin: Some(path.into()) };
            let message = Request::try_from(wire).unwrap_err();
            assert!(message.starts_with(part), "{message}");
        }
    }
}
