//! What was measured when images were pulled from a registry, to check the model of a pull.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Pulls of some images over links of known bandwidth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullCheck {
    /// [`crate::SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// What the registry says of its version; empty when there is none.
    pub registry: String,
    /// What the check had to do without, and what would change that.
    pub notes: Vec<String>,
    /// The pulls; none when there is no registry.
    pub pulls: Vec<Pull>,
}

/// The pulls of one image over one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// The function that the image holds.
    pub function: String,
    /// What the image is built upon.
    pub base: String,
    /// How many layers it has.
    pub layers: u64,
    /// The compressed bytes of all layers.
    pub compressed_bytes: u64,
    /// What the link lets through; none when nothing limits it.
    pub bandwidth_bytes_per_s: Option<u64>,
    /// The median time of the smallest request on an open connection.
    pub round_trip_ns: u64,
    /// How long each pull took, from the connection to the last byte of the last layer.
    pub times_ns: Vec<u64>,
}

impl PullCheck {
    /// The file's name, where it is written and in the folder of a run.
    pub const FILE: &str = "pull.json";

    /// Reads the check in a folder.
    ///
    /// # Errors
    /// When the file is absent, or is not a check; the message names the file.
    pub fn read(folder: &Path) -> io::Result<Self> {
        crate::place::read_json(&folder.join(Self::FILE))
    }
}
