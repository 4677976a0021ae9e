//! Values in Redis, over a Unix socket.

use std::path::Path;
use std::time::Duration;

use lumos_abi::Error;
use redis::{Client, Connection, ConnectionAddr, IntoConnectionInfo, TypedCommands};

/// How long Redis may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
pub(crate) struct Connected {
    connection: Connection,
}

impl Connected {
    /// Connects.
    pub(crate) fn open(socket: &Path) -> Result<Self, Error> {
        let connection = ConnectionAddr::Unix(socket.to_owned())
            .into_connection_info()
            .and_then(Client::open)
            .and_then(|client| client.get_connection_with_timeout(PATIENCE))
            .and_then(|connection| {
                connection.set_read_timeout(Some(PATIENCE))?;
                connection.set_write_timeout(Some(PATIENCE))?;
                Ok(connection)
            });
        Ok(Self { connection: connection.map_err(|error| describe(&error))? })
    }

    pub(crate) fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        redis::cmd("GET").arg(key).query(&mut self.connection).map_err(|error| describe(&error))
    }

    pub(crate) fn put(&mut self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.connection.set(key, value).map_err(|error| describe(&error))
    }
}

fn describe(error: &redis::RedisError) -> Error {
    let is_gone = error.is_io_error() || error.is_connection_dropped();
    let what = if is_gone { "the state's Redis is gone" } else { "the state's Redis refuses" };
    Error(format!("{what}: {error}"))
}
