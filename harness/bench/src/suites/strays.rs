//! Processes that functions have started, and left running.
//!
//! A worker is ended with its harness; what it has started is not. Such processes become the
//! conductor's own children when their parent ends, and it ends them after each round.

use std::fs;

use lumos_record::Event;

/// Has what loses its parent below this process become its child.
pub fn adopt() {
    // SAFETY: no memory is passed. Where it does not work, such processes are the system's.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
}

/// Ends every child of this process, waits for it, and tells how many there were that ran. Nobody
/// else may wait for a child meanwhile.
pub fn end() {
    let mut ended = 0;
    loop {
        let children = children();
        if children.is_empty() {
            break;
        }
        for child in children {
            let mut status = 0;
            // SAFETY: a live place for a status. A child's id stays its own until it is waited for.
            unsafe {
                if libc::waitpid(child, &raw mut status, libc::WNOHANG) != 0 {
                    continue;
                }
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, &raw mut status, 0);
            }
            ended += 1;
        }
    }
    if ended > 0 {
        let text = format!("{ended} processes that functions had left running were ended");
        Event::Notice { text }.tell();
    }
}

/// The children of every thread.
fn children() -> Vec<libc::pid_t> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    lists.iter().flat_map(|list| list.split_whitespace()).filter_map(|id| id.parse().ok()).collect()
}
