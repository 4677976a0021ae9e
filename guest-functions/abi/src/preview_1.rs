//! WASI preview 1, as far as a module's imports tell: what hosts offer, and what may be asked of
//! them.

/// What modules import preview 1 from.
pub const MODULE: &str = "wasi_snapshot_preview1";

/// Calls a macro with all functions of preview 1, each by the name and the parameters that a module
/// imports it with.
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

/// The types of a function's parameters, and of its result if it has one.
type Signature = (&'static [&'static str], Option<&'static str>);

/// How the function of a name is called; none where there is no such function.
pub fn signature(name: &str) -> Option<Signature> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, signature)| *signature)
}

macro_rules! signatures {
    ($($name:ident($($parameter:ident: $type:ty),*) -> $result:tt;)*) => {
        &[$((stringify!($name), (&[$(stringify!($type)),*], result!($result)))),*]
    };
}

macro_rules! result {
    (()) => {
        None
    };
    ($type:tt) => {
        Some(stringify!($type))
    };
}

const ALL: &[(&str, Signature)] = for_each_function!(signatures);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The list is that of the specification, which has one function for each name.
    #[test]
    fn every_function_of_preview_1_is_there_once() {
        let names: BTreeSet<&str> = ALL.iter().map(|(name, _)| *name).collect();
        assert_eq!((names.len(), ALL.len()), (46, 46));
        assert_eq!(signature("proc_exit"), Some((&["i32"][..], None)));
        assert_eq!(signature("clock_time_get").unwrap(), (&["i32", "i64", "i32"][..], Some("i32")));
        assert_eq!(signature("environ_borrow"), None);
    }
}
