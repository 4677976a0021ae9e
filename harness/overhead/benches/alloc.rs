//! The allocations of an invocation, by divan's profiler: a row of allocations appears below a
//! case that has any. `control` does, so that a blank below the others means something.

use divan::{AllocProfiler, Bencher};
use lumos_bench::suites::timing::check;
use lumos_overhead::allocations::{CASES, Case, Watched};
use lumos_overhead::checkout::Checkout;
use lumos_overhead::prepared::Processes;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// An allocation per invocation, on purpose.
#[divan::bench]
fn control(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| Vec::<u8>::with_capacity(64));
}

/// Nothing is asked for that was not there before: the frame, the copies, the call, and the
/// comparison with the right answer.
#[divan::bench(args = CASES.as_flattened())]
fn invocation(bencher: Bencher<'_, '_>, watched: &Watched) {
    let checkout = Checkout::read().expect("`cargo xtask build` builds what is missing");
    let processes = Processes::new().expect("a folder for sockets");
    let Case { mut invocable, expected } =
        Case::prepare(&checkout, &processes, *watched).expect("a right answer");
    let mut response = Vec::with_capacity(expected.len() + 64);
    bencher.bench_local(move || {
        response.clear();
        invocable.invoke(&mut response).expect("an answer");
        check(&response, &expected).expect("the right answer");
    });
}
