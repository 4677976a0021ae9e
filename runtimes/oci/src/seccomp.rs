//! The system calls that a container may make, and the start of its program.
//!
//! The list is that of the profile that Docker and Podman give a container without capabilities.
//! libcontainer would need a C library for it; here the filter is compiled in Rust, once, and
//! installed right before the program is run.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::sync::Arc;

use anyhow::{Context, Result};
use libcontainer::oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompBuilder, LinuxSyscallBuilder, Spec,
};
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Runs a container's program behind the filters.
#[derive(Debug, Clone)]
pub struct Exec {
    filters: Arc<[BpfProgram]>,
}

impl Exec {
    /// Compiles the filters.
    ///
    /// # Errors
    /// When they cannot be compiled for this architecture.
    pub fn new() -> Result<Self> {
        let filters = compile().context("the filter of system calls")?;
        Ok(Self { filters: filters.into() })
    }
}

impl Executor for Exec {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let words = arguments(spec).ok_or(ExecutorError::InvalidArg)?;
        let environment = spec.process().as_ref().and_then(|process| process.env().clone());
        let c_strings = |words: &[String]| -> Result<Vec<CString>, ExecutorError> {
            let words = words.iter().map(|word| CString::new(word.as_str()));
            words.collect::<Result<_, _>>().map_err(|_| ExecutorError::InvalidArg)
        };
        let words = c_strings(words)?;
        let environment = c_strings(&environment.unwrap_or_default())?;
        let pointers = |words: &[CString]| -> Vec<*const libc::c_char> {
            words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (argv, envp) = (pointers(&words), pointers(&environment));
        for filter in self.filters.iter() {
            seccompiler::apply_filter(filter).map_err(|error| {
                ExecutorError::Other(format!("cannot install the seccomp filter: {error}"))
            })?;
        }
        // SAFETY: both lists end with a null pointer, and their strings live.
        unsafe { libc::execve(words[0].as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        let error = std::io::Error::last_os_error();
        Err(ExecutorError::Other(format!("cannot run {:?}: {error}", words[0])))
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let fail = |message: String| Err(ExecutorValidationError::ArgValidationError(message));
        let Some([program, ..]) = arguments(spec) else {
            return fail("the image has no entry point".to_owned());
        };
        let path = CString::new(program.as_str()).unwrap_or_default();
        // SAFETY: a string that ends with a zero.
        match unsafe { libc::access(path.as_ptr(), libc::X_OK) } {
            0 => Ok(()),
            _ => fail(format!(
                "the image's entry point {program} cannot be run: {}; `cargo xtask build --force` \
                 builds the image again",
                std::io::Error::last_os_error()
            )),
        }
    }

    /// The program is given its environment when it is run, so this process keeps its own.
    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }
}

/// What the container runs.
fn arguments(spec: &Spec) -> Option<&[String]> {
    let arguments = spec.process().as_ref()?.args().as_deref()?;
    (!arguments.is_empty()).then_some(arguments)
}

fn compile() -> Result<Vec<BpfProgram>> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let errno = |code: i32| SeccompAction::Errno(code.unsigned_abs());
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().chain(LEGACY).map(|&(_, number)| (number, Vec::new())).collect();
    allowed.insert(libc::SYS_clone, vec![without_namespaces()?]);
    allowed.insert(libc::SYS_socket, vec![any_but_vsock()?]);
    allowed.insert(libc::SYS_personality, harmless_personalities()?);
    // Its arguments are in memory, where a filter cannot look: whoever is told that there is no
    // such call takes the older one.
    allowed.insert(libc::SYS_clone3, Vec::new());
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let filters = [
        SeccompFilter::new(allowed, errno(libc::EPERM), SeccompAction::Allow, architecture)?,
        SeccompFilter::new(absent, SeccompAction::Allow, errno(libc::ENOSYS), architecture)?,
    ];
    Ok(filters.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
}

/// The same calls as a container engine is told of them, without the conditions on arguments:
/// for a peer that is to do the same work.
///
/// # Errors
/// When the description lacks a part.
pub fn profile() -> Result<LinuxSeccomp> {
    let conditional = ["clone", "socket", "personality"].map(str::to_owned);
    let known = ALLOWED.iter().chain(LEGACY).map(|(name, _)| name.replacen("SYS_", "", 1));
    let action = |names: Vec<String>, action, errno: Option<u32>| {
        let call = LinuxSyscallBuilder::default().names(names).action(action);
        anyhow::Ok(match errno {
            Some(errno) => call.errno_ret(errno).build()?,
            None => call.build()?,
        })
    };
    let allowed = known.chain(conditional).collect();
    Ok(LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .architectures(vec![])
        .syscalls(vec![
            action(allowed, LinuxSeccompAction::ScmpActAllow, None)?,
            action(
                vec!["clone3".to_owned()],
                LinuxSeccompAction::ScmpActErrno,
                Some(libc::ENOSYS.unsigned_abs()),
            )?,
        ])
        .build()?)
}

/// `clone`, unless it makes a namespace.
fn without_namespaces() -> Result<SeccompRule> {
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET;
    let mask = SeccompCmpOp::MaskedEq(u64::from(namespaces.unsigned_abs()));
    rule(SeccompCmpArgLen::Qword, mask, 0)
}

/// `socket`, unless it reaches the host of a virtual machine.
fn any_but_vsock() -> Result<SeccompRule> {
    let family = u64::from(libc::AF_VSOCK.unsigned_abs());
    rule(SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
}

/// `personality` as it is, and as debuggers and 32-bit programs want it.
fn harmless_personalities() -> Result<Vec<SeccompRule>> {
    const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
    let same = |value| rule(SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
    PERSONALITIES.into_iter().map(same).collect()
}

/// A rule about the first argument.
fn rule(length: SeccompCmpArgLen, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule> {
    Ok(SeccompRule::new(vec![SeccompCondition::new(0, length, operator, value)?])?)
}

/// Names with their numbers.
macro_rules! calls {
    ($($call:ident)*) => { &[$((stringify!($call), libc::$call)),*] };
}

/// The system calls that are allowed whatever their arguments are.
#[rustfmt::skip]
const ALLOWED: &[(&str, i64)] = calls! {
    SYS_accept SYS_accept4 SYS_adjtimex SYS_bind SYS_brk SYS_capget SYS_capset SYS_chdir
    SYS_clock_adjtime SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_close
    SYS_close_range SYS_connect SYS_copy_file_range SYS_dup SYS_dup3 SYS_epoll_create1
    SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_execve SYS_execveat SYS_exit
    SYS_exit_group SYS_faccessat SYS_faccessat2 SYS_fadvise64 SYS_fallocate SYS_fanotify_mark
    SYS_fchdir SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_fcntl SYS_fdatasync
    SYS_fgetxattr SYS_flistxattr SYS_flock SYS_fremovexattr SYS_fsetxattr SYS_fstat SYS_fstatfs
    SYS_fsync SYS_ftruncate SYS_futex SYS_futex_waitv SYS_get_robust_list SYS_getcpu SYS_getcwd
    SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid SYS_getgroups SYS_getitimer SYS_getpeername
    SYS_getpgid SYS_getpid SYS_getppid SYS_getpriority SYS_getrandom SYS_getresgid SYS_getresuid
    SYS_getrlimit SYS_getrusage SYS_getsid SYS_getsockname SYS_getsockopt SYS_gettid
    SYS_gettimeofday SYS_getuid SYS_getxattr SYS_inotify_add_watch SYS_inotify_init1
    SYS_inotify_rm_watch SYS_io_cancel SYS_io_destroy SYS_io_getevents SYS_io_setup SYS_io_submit
    SYS_ioctl SYS_ioprio_get SYS_ioprio_set SYS_kill SYS_landlock_add_rule
    SYS_landlock_create_ruleset SYS_landlock_restrict_self SYS_lgetxattr SYS_linkat SYS_listen
    SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek SYS_lsetxattr SYS_madvise
    SYS_membarrier SYS_memfd_create SYS_memfd_secret SYS_mincore SYS_mkdirat SYS_mknodat SYS_mlock
    SYS_mlock2 SYS_mlockall SYS_mmap SYS_mprotect SYS_mq_getsetattr SYS_mq_notify SYS_mq_open
    SYS_mq_timedreceive SYS_mq_timedsend SYS_mq_unlink SYS_mremap SYS_mseal SYS_msgctl SYS_msgget
    SYS_msgrcv SYS_msgsnd SYS_msync SYS_munlock SYS_munlockall SYS_munmap SYS_name_to_handle_at
    SYS_nanosleep SYS_newfstatat SYS_openat SYS_openat2 SYS_pidfd_open SYS_pidfd_send_signal
    SYS_pipe2 SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_ppoll SYS_prctl SYS_pread64
    SYS_preadv SYS_preadv2 SYS_prlimit64 SYS_process_mrelease SYS_process_vm_readv
    SYS_process_vm_writev SYS_pselect6 SYS_ptrace SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_read
    SYS_readahead SYS_readlinkat SYS_readv SYS_recvfrom SYS_recvmmsg SYS_recvmsg
    SYS_remap_file_pages SYS_removexattr SYS_renameat SYS_renameat2 SYS_restart_syscall SYS_rseq
    SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask SYS_rt_sigqueueinfo SYS_rt_sigreturn
    SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo SYS_sched_get_priority_max
    SYS_sched_get_priority_min SYS_sched_getaffinity SYS_sched_getattr SYS_sched_getparam
    SYS_sched_getscheduler SYS_sched_rr_get_interval SYS_sched_setaffinity SYS_sched_setattr
    SYS_sched_setparam SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_semctl SYS_semget
    SYS_semop SYS_semtimedop SYS_sendfile SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_set_robust_list
    SYS_set_tid_address SYS_setfsgid SYS_setfsuid SYS_setgid SYS_setgroups SYS_setitimer
    SYS_setpgid SYS_setpriority SYS_setregid SYS_setresgid SYS_setresuid SYS_setreuid
    SYS_setrlimit SYS_setsid SYS_setsockopt SYS_setuid SYS_setxattr SYS_shmat SYS_shmctl SYS_shmdt
    SYS_shmget SYS_shutdown SYS_sigaltstack SYS_signalfd4 SYS_socketpair SYS_splice SYS_statfs
    SYS_statx SYS_symlinkat SYS_sync SYS_sync_file_range SYS_syncfs SYS_sysinfo SYS_tee SYS_tgkill
    SYS_timer_create SYS_timer_delete SYS_timer_getoverrun SYS_timer_gettime SYS_timer_settime
    SYS_timerfd_create SYS_timerfd_gettime SYS_timerfd_settime SYS_times SYS_tkill SYS_truncate
    SYS_umask SYS_uname SYS_unlinkat SYS_utimensat SYS_vmsplice SYS_wait4 SYS_waitid SYS_write
    SYS_writev
};

/// Those that newer architectures no longer have.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const LEGACY: &[(&str, i64)] = calls! {
    SYS_access SYS_alarm SYS_arch_prctl SYS_chmod SYS_chown SYS_creat SYS_dup2 SYS_epoll_create
    SYS_epoll_ctl_old SYS_epoll_wait SYS_epoll_wait_old SYS_eventfd SYS_fchmodat2 SYS_fork
    SYS_futimesat SYS_get_thread_area SYS_getdents SYS_getpgrp SYS_inotify_init SYS_lchown
    SYS_link SYS_lstat SYS_mkdir SYS_mknod SYS_modify_ldt SYS_open SYS_pause SYS_pipe SYS_poll
    SYS_readlink SYS_rename SYS_rmdir SYS_select SYS_set_thread_area SYS_signalfd SYS_stat
    SYS_symlink SYS_time SYS_unlink SYS_utime SYS_utimes SYS_vfork
};

#[cfg(not(target_arch = "x86_64"))]
const LEGACY: &[(&str, i64)] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a process behind the filters may make a call; with what errno if not.
    fn try_call(call: impl Fn() -> libc::c_long) -> i32 {
        let exec = Exec::new().unwrap();
        // SAFETY: the child calls what may be called between fork and exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let installed = exec.filters.iter().all(|f| seccompiler::apply_filter(f).is_ok());
            let code = match (installed, call()) {
                (false, _) => 255,
                (true, 0..) => 0,
                // SAFETY: this thread's own errno.
                (true, _) => unsafe { *libc::__errno_location() },
            };
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: the pointer is to a live value.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert!(libc::WIFEXITED(status), "{status}");
        libc::WEXITSTATUS(status)
    }

    #[test]
    fn what_a_function_needs_is_allowed_and_what_harms_the_node_is_not() {
        // SAFETY: calls without memory, or with none that is touched.
        unsafe {
            assert_eq!(try_call(|| libc::syscall(libc::SYS_getpid)), 0);
            let unix = || libc::syscall(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0);
            assert_eq!(try_call(unix), 0);
            let vsock = || libc::syscall(libc::SYS_socket, libc::AF_VSOCK, libc::SOCK_STREAM, 0);
            assert_eq!(try_call(vsock), libc::EPERM);
            for call in [libc::SYS_reboot, libc::SYS_mount, libc::SYS_bpf, libc::SYS_unshare] {
                assert_eq!(try_call(|| libc::syscall(call, 0, 0, 0, 0, 0)), libc::EPERM, "{call}");
            }
            let clone3 = || libc::syscall(libc::SYS_clone3, 0, 0);
            assert_eq!(try_call(clone3), libc::ENOSYS);
            let namespace = || libc::syscall(libc::SYS_clone, libc::CLONE_NEWUSER, 0, 0, 0, 0);
            assert_eq!(try_call(namespace), libc::EPERM);
        }
    }
}
