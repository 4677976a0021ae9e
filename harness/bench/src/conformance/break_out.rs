//! What a function in a container tries to do to the node, each of which has to be refused.

use std::ffi::CString;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Tries what a container must not do, and returns what worked.
pub fn break_out() -> Vec<String> {
    let mut done = Vec::new();
    files(&mut done);
    system_calls(&mut done);
    others(&mut done);
    limits(&mut done);
    done
}

/// Notes what worked.
fn tried(done: &mut Vec<String>, what: &str, worked: bool) {
    if worked {
        done.push(what.to_owned());
    }
}

fn files(done: &mut Vec<String>) {
    let written = [
        "/mine",
        "/lib/mine",
        "/run/lumos/mine",
        "/proc/sys/kernel/hostname",
        // The node's kernel would run it, outside of all this.
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/release_agent",
        "/sys/fs/cgroup/memory/release_agent",
        "/proc/self/exe",
        "/program",
    ];
    for path in written {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
        tried(done, path, file.and_then(|mut file| file.write_all(b"x")).is_ok());
    }
    tried(done, "removing the socket", fs::remove_file("/run/lumos/s.sock").is_ok());
    // What leads to a root leads to this one: the node's has more.
    let names = |path: &str| -> Vec<_> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    let own = names("/");
    for root in ["/proc/1/root/", "/proc/self/root/../../", "/proc/1/cwd/../../../"] {
        let is_beyond = |name| !own.contains(name);
        tried(done, root, names(root).iter().any(is_beyond));
    }
    for path in ["/proc/kcore", "/proc/1/mem", "/dev/mem", "/dev/sda", "/dev/vda", "/dev/kmsg"] {
        // A masked file can be opened, and is empty.
        let read = fs::File::open(path).and_then(|mut file| {
            let mut byte = [0];
            std::io::Read::read(&mut file, &mut byte)
        });
        tried(done, path, read.is_ok_and(|count| count > 0));
    }
}

fn system_calls(done: &mut Vec<String>) {
    let text = |text: &str| CString::new(text).unwrap_or_default();
    let (none, root, folder) = (text("none"), text("/"), text("/run/lumos"));
    let (kind, device, bind) = (text("tmpfs"), text("/dev/shm/memory"), text("/proc/1/root"));
    let data = std::ptr::null();
    // SAFETY: strings that live, and integers; nothing else of this process is touched.
    let outcomes = unsafe {
        [
            ("mounting", libc::mount(none.as_ptr(), folder.as_ptr(), kind.as_ptr(), 0, data)),
            (
                "a root mounted elsewhere",
                libc::mount(bind.as_ptr(), folder.as_ptr(), data.cast(), libc::MS_BIND, data),
            ),
            (
                "a root that can be written to",
                libc::mount(
                    data.cast(),
                    root.as_ptr(),
                    data.cast(),
                    libc::MS_REMOUNT | libc::MS_BIND,
                    data,
                ),
            ),
            ("unmounting", libc::umount2(folder.as_ptr(), libc::MNT_DETACH)),
            ("changing the root", libc::chroot(root.as_ptr())),
            ("becoming root", libc::setuid(0)),
            ("becoming root's group", libc::setgid(0)),
            ("a namespace", libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)),
            ("a device", libc::mknod(device.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(1, 1))),
            ("the node's name", libc::sethostname(none.as_ptr(), 4)),
            ("the node's clock", set_clock()),
            ("a module of the kernel", call(libc::SYS_init_module, [0, 0, 0])),
            ("another kernel", call(libc::SYS_kexec_load, [0, 0, 0])),
            ("keys of the kernel", call(libc::SYS_add_key, [0, 0, 0])),
            ("watching faults of pages", call(libc::SYS_userfaultfd, [0, 0, 0])),
            // An array of one element (command 0), as unprivileged programs would load it.
            ("BPF", call(libc::SYS_bpf, [0, (&raw const BPF_MAP).addr() as libc::c_long, 72])),
            ("counting what the node does", call(libc::SYS_perf_event_open, [0, -1, 0])),
            ("opening by handle", call(libc::SYS_open_by_handle_at, [libc::AT_FDCWD.into(), 0, 0])),
            ("tracing the first process", trace(1)),
            ("tracing whoever started this", trace(libc::getppid())),
            ("a raw socket", libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)),
            ("a raw socket of IPv6", libc::socket(libc::AF_INET6, libc::SOCK_RAW, 58)),
            ("a socket of packets", libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
        ]
    };
    for (what, outcome) in outcomes {
        tried(done, what, outcome >= 0);
    }
}

/// Sets the clock to what it shows.
fn set_clock() -> libc::c_int {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live place for a time, twice.
    unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now);
        libc::clock_settime(libc::CLOCK_REALTIME, &raw const now)
    }
}

/// Of a map of BPF: an array (type 2) with keys of 4 bytes, values of 8, and one element.
static BPF_MAP: [u32; 18] = [2, 4, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn call(number: libc::c_long, [first, second, third]: [libc::c_long; 3]) -> libc::c_int {
    // SAFETY: the kernel reads at most the constant that an address is of; the others are none.
    let outcome = unsafe { libc::syscall(number, first, second, third, 0, 0) };
    if outcome < 0 { -1 } else { 0 }
}

fn trace(process: libc::pid_t) -> libc::c_int {
    let own = std::process::id();
    if process <= 0 || u32::try_from(process) == Ok(own) {
        // It is the first process of its namespace, and nobody else's.
        return -1;
    }
    // SAFETY: no memory is passed.
    let outcome = unsafe { libc::ptrace(libc::PTRACE_SEIZE, process, 0, 0) };
    if outcome < 0 { -1 } else { 0 }
}

fn others(done: &mut Vec<String>) {
    let far = SocketAddr::from(([192, 0, 2, 1], 80));
    let sent = TcpStream::connect_timeout(&far, Duration::from_millis(200));
    let is_refused = sent.is_err_and(|error| error.kind() == ErrorKind::NetworkUnreachable);
    tried(done, "the network", !is_refused);
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let others = interfaces.lines().filter(|line| line.contains(':') && !line.contains("lo:"));
    tried(done, "a network interface", others.count() > 0);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_process = |name: &str| name.parse::<u32>().is_ok_and(|pid| pid != std::process::id());
    let others = processes.filter(|entry| is_process(&entry.file_name().to_string_lossy()));
    tried(done, "seeing processes", others.count() > 0);
}

fn limits(done: &mut Vec<String>) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "Uid:\t65534\t65534",
        "Gid:\t65534\t65534",
    ] {
        tried(done, &format!("having no {line:?}"), !status.contains(line));
    }
    for (what, resource) in [
        ("more open files", libc::RLIMIT_NOFILE),
        ("more locked memory", libc::RLIMIT_MEMLOCK),
        ("a priority of real time", libc::RLIMIT_RTPRIO),
    ] {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a live place for one limit, twice.
        let outcome = unsafe {
            libc::getrlimit(resource, &raw mut limit);
            let is_all = limit.rlim_max == libc::RLIM_INFINITY;
            let more = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max + 1 };
            if is_all { -1 } else { libc::setrlimit(resource, &raw const more) }
        };
        tried(done, what, outcome == 0);
    }
    for path in ["memory/memory.limit_in_bytes", "memory.max", "pids/pids.max", "pids.max"] {
        let path = format!("/sys/fs/cgroup/{path}");
        tried(done, &path, fs::write(&path, "max").is_ok() || fs::write(&path, "-1").is_ok());
    }
    // SAFETY: no memory is passed.
    tried(done, "a higher priority", unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -5) } == 0);
    let sleep = || std::thread::sleep(Duration::from_secs(60));
    let spawn = |_| std::thread::Builder::new().stack_size(1 << 16).spawn(sleep).is_ok();
    tried(done, "a hundred threads", (0..100).all(spawn));
}
