//! WASI preview 1 as all Wasm engines get it, from wasi-common: what differs between two of them
//! is then the engine. A function gets no files but its state, and streams that hold nothing.

use std::pin::pin;
use std::task::{Context as Task, Poll, Waker};

use anyhow::{Context, Error, Result, anyhow, bail};
pub use lumos_abi::for_each_function;
pub use lumos_abi::preview_1::MODULE;
use lumos_bench::engine::{COMMAND, Output};
use lumos_bench::state::{self, Backend};
use wasi_common::pipe::{ReadPipe, WritePipe};
use wasi_common::sync::{Dir, WasiCtxBuilder, ambient_authority};
pub use wasi_common::{I32Exit, WasiCtx};
pub use wiggle::GuestMemory;

/// The functions of preview 1.
pub mod functions {
    use anyhow::Result;
    pub use wasi_common::snapshots::preview_1::wasi_snapshot_preview1::*;

    use crate::{GuestMemory, I32Exit, WasiCtx};

    /// Ends a command. wasi-common takes codes from 126 on for a fault, and other libraries do not.
    ///
    /// # Errors
    /// Always: the code, as [`I32Exit`].
    pub async fn proc_exit(_: &mut WasiCtx, _: &mut GuestMemory<'_>, code: i32) -> Result<()> {
        Err(I32Exit(code).into())
    }
}

/// Where a directory of values is opened for a function.
const STATE_DIRECTORY: &str = "/state";

/// The context of a function, with its state where that is kept for it.
///
/// # Errors
/// When the directory of a function's state cannot be opened.
pub fn of_function(state: Option<&Backend>) -> Result<WasiCtx> {
    let mut context = WasiCtxBuilder::new();
    if let Some(backend) = state {
        context.env(state::VARIABLE, &state::told(backend, STATE_DIRECTORY))?;
        if let Backend::Directory(path) = backend {
            let directory = Dir::open_ambient_dir(path, ambient_authority())
                .with_context(|| path.display().to_string())?;
            context.preopened_dir(directory, STATE_DIRECTORY)?;
        }
    }
    Ok(context.build())
}

/// The standard output and error of a command.
#[derive(Debug)]
pub struct Streams {
    output: WritePipe<Output>,
    errors: WritePipe<Output>,
}

impl Default for Streams {
    fn default() -> Self {
        let [output, errors] = [(); 2].map(|()| WritePipe::new(Output::default()));
        Self { output, errors }
    }
}

impl Streams {
    /// The context of a command that writes to these.
    ///
    /// # Errors
    /// None that a command can cause.
    pub fn of_command(&self, input: &[u8]) -> Result<WasiCtx> {
        let mut context = WasiCtxBuilder::new();
        context.arg(COMMAND)?.stdin(Box::new(ReadPipe::from(input)));
        context.stdout(Box::new(self.output.clone())).stderr(Box::new(self.errors.clone()));
        Ok(context.build())
    }

    /// What was written to the output and as errors, once no context is left.
    pub fn into_bytes(self) -> [Vec<u8>; 2] {
        [self.output, self.errors]
            .map(|pipe| pipe.try_into_inner().map(Output::into_bytes).unwrap_or_default())
    }
}

/// The outcome of one of the [`functions`]. Of those that do not run beside others, each is ready
/// when it is first asked.
///
/// # Errors
/// Those of the function.
pub fn ready<T>(outcome: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(outcome).poll(&mut Task::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.map_err(cause),
        Poll::Pending => bail!("a function of WASI waits for something"),
    }
}

/// An exit as it is, and of anything else what was the matter: wasi-common calls what it does not
/// know an error of the operating system.
fn cause(error: Error) -> Error {
    match error.downcast::<I32Exit>() {
        Ok(exit) => exit.into(),
        Err(error) => anyhow!("{}", error.root_cause()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_exit_with_any_code() {
        let mut context = Streams::default().of_command(b"").unwrap();
        for code in [0, 1, 126, 200, -1] {
            let mut memory = GuestMemory::Unshared(&mut []);
            let exit = ready(functions::proc_exit(&mut context, &mut memory, code)).unwrap_err();
            assert_eq!(exit.downcast_ref::<I32Exit>().map(|exit| exit.0), Some(code));
        }
    }

    /// A folder of state beside a secret, with links that lead out of it.
    struct Beside(std::path::PathBuf);

    impl Beside {
        fn new() -> Self {
            let name = format!("lumos-wasi-{}", std::process::id());
            let above = std::env::temp_dir().join(name);
            std::fs::create_dir_all(above.join("state")).unwrap();
            for file in ["secret", "state/value"] {
                std::fs::write(above.join(file), "text").unwrap();
            }
            let links =
                [("out", "../secret"), ("up", ".."), ("far", "/etc/passwd"), ("dot", "up/secret")];
            for (link, target) in links {
                let _ = std::fs::remove_file(above.join("state").join(link));
                std::os::unix::fs::symlink(target, above.join("state").join(link)).unwrap();
            }
            Self(above)
        }
    }

    impl Drop for Beside {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn no_path_leads_out_of_the_folder_of_a_functions_state() {
        /// The first descriptor behind the standard streams.
        const FOLDER: i32 = 3;
        let beside = Beside::new();
        let backend = Backend::Directory(beside.0.join("state"));
        let mut context = of_function(Some(&backend)).unwrap();
        let mut bytes = [0; 256];
        let mut call = |path: &str, what: &str| {
            bytes[..path.len()].copy_from_slice(path.as_bytes());
            let name = "taken";
            bytes[128..128 + name.len()].copy_from_slice(name.as_bytes());
            let (length, name_length) = (path.len() as i32, name.len() as i32);
            let memory = &mut GuestMemory::Unshared(&mut bytes);
            let context = &mut context;
            let outcome = match what {
                // What a link names is followed.
                "read" | "create" => {
                    let (flags, rights) = if what == "read" { (0, 2) } else { (1, i64::MAX) };
                    ready(functions::path_open(
                        context, memory, FOLDER, 1, 0, length, flags, rights, 0, 0, 200,
                    ))
                }
                "make a folder" => {
                    ready(functions::path_create_directory(context, memory, FOLDER, 0, length))
                }
                "remove" => ready(functions::path_unlink_file(context, memory, FOLDER, 0, length)),
                "link here" => ready(functions::path_link(
                    context,
                    memory,
                    FOLDER,
                    1,
                    0,
                    length,
                    FOLDER,
                    128,
                    name_length,
                )),
                "move here" => ready(functions::path_rename(
                    context,
                    memory,
                    FOLDER,
                    0,
                    length,
                    FOLDER,
                    128,
                    name_length,
                )),
                _ => {
                    ready(functions::path_filestat_get(context, memory, FOLDER, 1, 0, length, 200))
                }
            };
            outcome.map_or(-1, |errno| errno)
        };
        assert_eq!(call("value", "read"), 0);
        let out =
            ["../secret", "/etc/passwd", "x/../../secret", "up/secret", "out", "far", "dot", ".."];
        for path in out {
            for what in ["read", "create", "link here", "ask for"] {
                assert_ne!(call(path, what), 0, "{what} {path}");
            }
        }
        for path in ["../secret", "up/secret", "/etc/passwd", "../mine", "up/mine"] {
            for what in ["make a folder", "remove", "move here"] {
                assert_ne!(call(path, what), 0, "{what} {path}");
            }
        }
        let left: Vec<_> = std::fs::read_dir(&beside.0).unwrap().collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert_eq!(std::fs::read_to_string(beside.0.join("secret")).unwrap(), "text");
    }
}
