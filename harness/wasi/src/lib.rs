//! WASI preview 1 as all Wasm engines get it, from wasi-common: what differs between two of them
//! is then the engine. A function gets no files but its state, and streams that hold nothing.

use std::pin::pin;
use std::task::{Context as Task, Poll, Waker};

use anyhow::{Context, Result, bail};
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

/// What modules import preview 1 from.
pub const MODULE: &str = "wasi_snapshot_preview1";

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
        Poll::Ready(outcome) => outcome,
        Poll::Pending => bail!("a function of WASI waits for something"),
    }
}

/// Whether the host offers modules a function of that name: one of preview 1, or of the state that
/// it keeps.
pub fn offers(module: &str, name: &str) -> bool {
    match module {
        MODULE => NAMES.contains(&name),
        state::MODULE => state::name::ALL.contains(&name),
        _ => false,
    }
}

macro_rules! names {
    ($($name:ident($($parameter:ident: $type:ty),*) -> $result:ty;)*) => {
        &[$(stringify!($name)),*]
    };
}

/// Calls a macro with all [`functions`](crate::functions), each by the name and the parameters
/// that a module imports it with.
#[macro_export]
macro_rules! for_each_function {
    ($with:ident) => {
        $with! {
            args_get(a: i32, b: i32) -> i32;
            args_sizes_get(a: i32, b: i32) -> i32;
            clock_res_get(a: i32, b: i32) -> i32;
            clock_time_get(a: i32, b: i64, c: i32) -> i32;
            environ_get(a: i32, b: i32) -> i32;
            environ_sizes_get(a: i32, b: i32) -> i32;
            fd_advise(a: i32, b: i64, c: i64, d: i32) -> i32;
            fd_allocate(a: i32, b: i64, c: i64) -> i32;
            fd_close(a: i32) -> i32;
            fd_datasync(a: i32) -> i32;
            fd_fdstat_get(a: i32, b: i32) -> i32;
            fd_fdstat_set_flags(a: i32, b: i32) -> i32;
            fd_fdstat_set_rights(a: i32, b: i64, c: i64) -> i32;
            fd_filestat_get(a: i32, b: i32) -> i32;
            fd_filestat_set_size(a: i32, b: i64) -> i32;
            fd_filestat_set_times(a: i32, b: i64, c: i64, d: i32) -> i32;
            fd_pread(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32;
            fd_prestat_dir_name(a: i32, b: i32, c: i32) -> i32;
            fd_prestat_get(a: i32, b: i32) -> i32;
            fd_pwrite(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32;
            fd_read(a: i32, b: i32, c: i32, d: i32) -> i32;
            fd_readdir(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32;
            fd_renumber(a: i32, b: i32) -> i32;
            fd_seek(a: i32, b: i64, c: i32, d: i32) -> i32;
            fd_sync(a: i32) -> i32;
            fd_tell(a: i32, b: i32) -> i32;
            fd_write(a: i32, b: i32, c: i32, d: i32) -> i32;
            path_create_directory(a: i32, b: i32, c: i32) -> i32;
            path_filestat_get(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32;
            path_filestat_set_times(a: i32, b: i32, c: i32, d: i32, e: i64, f: i64, g: i32) -> i32;
            path_link(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32) -> i32;
            path_open(a: i32, b: i32, c: i32, d: i32, e: i32, f: i64, g: i64, h: i32, i: i32) -> i32;
            path_readlink(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32;
            path_remove_directory(a: i32, b: i32, c: i32) -> i32;
            path_rename(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32;
            path_symlink(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32;
            path_unlink_file(a: i32, b: i32, c: i32) -> i32;
            poll_oneoff(a: i32, b: i32, c: i32, d: i32) -> i32;
            proc_exit(a: i32) -> ();
            proc_raise(a: i32) -> i32;
            random_get(a: i32, b: i32) -> i32;
            sched_yield() -> i32;
            sock_accept(a: i32, b: i32, c: i32) -> i32;
            sock_recv(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32;
            sock_send(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32;
            sock_shutdown(a: i32, b: i32) -> i32;
        }
    };
}

/// The names of all [`functions`].
const NAMES: &[&str] = for_each_function!(names);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The list is that of the specification, which has one function for each name.
    #[test]
    fn every_function_of_preview_1_is_there_once() {
        let names: BTreeSet<&str> = NAMES.iter().copied().collect();
        assert_eq!((names.len(), NAMES.len()), (46, 46));
        assert!(offers(MODULE, "proc_exit") && offers(state::MODULE, state::name::GET));
        assert!(!offers(MODULE, "environ_borrow") && !offers("env", "proc_exit"));
    }

    #[test]
    fn a_command_may_exit_with_any_code() {
        let mut context = Streams::default().of_command(b"").unwrap();
        for code in [0, 1, 126, 200, -1] {
            let mut memory = GuestMemory::Unshared(&mut []);
            let exit = ready(functions::proc_exit(&mut context, &mut memory, code)).unwrap_err();
            assert_eq!(exit.downcast_ref::<I32Exit>().map(|exit| exit.0), Some(code));
        }
    }
}
