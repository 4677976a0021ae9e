//! What is printed for a reader who may have seen enough.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

/// Runs a program that prints. Where nobody reads any more, as behind `| head`, a `println!` panics,
/// wherever it stands: the program then ends without a word, and with success.
pub fn while_somebody_reads(main: impl FnOnce() -> ExitCode) -> ExitCode {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !is_of_closed_output(panic.payload()) {
            before(panic);
        }
    }));
    match panic::catch_unwind(AssertUnwindSafe(main)) {
        Ok(code) => code,
        Err(panic) if is_of_closed_output(&*panic) => ExitCode::SUCCESS,
        Err(panic) => panic::resume_unwind(panic),
    }
}

/// Whether a panic is that of the standard library for an output that nobody reads.
fn is_of_closed_output(payload: &(dyn Any + Send)) -> bool {
    let message = payload.downcast_ref::<String>();
    let closed = format!("(os error {})", libc::EPIPE);
    message.is_some_and(|message| {
        message.starts_with("failed printing to stdout") && message.ends_with(&closed)
    })
}
