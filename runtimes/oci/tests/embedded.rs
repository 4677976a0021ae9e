//! What a container without a daemon has to show beside what every runtime has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::checkout::{
    Checkout, Outcome, Process, TEN_SAMPLES, outcomes, wait_until,
};
use lumos_bench::conformance::images::Altered;
use lumos_bench::conformance::{Built, alone, main_of_sandbox, program};
use lumos_bench::image::Image;
use lumos_bench::sandbox::Name;
use lumos_bench::suites::select::Selection;
use lumos_oci::Oci;
use lumos_record::{Case, Profile, PullCheck, Runtime, Setting, Suite};

fn main() -> ExitCode {
    if program::is_rogue() {
        return program::main();
    }
    main_of_sandbox(env!("CARGO_PKG_NAME"), Oci::new, || lumos_oci::lacks().is_none(), trials)
}

fn is_root() -> bool {
    // SAFETY: the call cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn trials(built: &Arc<Built>) -> Vec<Trial> {
    let test = |name: &str, check: fn(&Built) -> Result<()>| {
        let built = Arc::clone(built);
        alone(name, move || check(&built))
    };
    if !is_root() {
        return vec![];
    }
    vec![
        test("isolation", isolation),
        alone("break_out", break_out),
        test("limits", limits),
        test("memory", memory),
        test("bad_images", bad_images),
        test("silent_container", silent_container),
        test("name_clash", name_clash),
        test("full_disk", full_disk),
        test("unpacking", unpacking),
        test("registry", registry),
        test("killed_harness", killed_harness),
    ]
}

/// The crate's runtime on a base.
fn runtime<'b>(built: &'b Built, base: &str) -> Result<&'b Runtime> {
    let mut runtimes = built.runtimes.iter();
    runtimes.find(|runtime| runtime.base.as_deref() == Some(base)).context("no such runtime")
}

/// A checkout with `noop` on a base; `alter` may replace its image.
fn noop(built: &Built, base: &str, alter: impl FnOnce(&mut Altered)) -> Result<Checkout> {
    function(built, "noop", base, alter)
}

fn function(
    built: &Built,
    function: &str,
    base: &str,
    alter: impl FnOnce(&mut Altered),
) -> Result<Checkout> {
    let runtime = runtime(built, base)?;
    let mut checkout = built.checkout(runtime, function)?;
    let workload = built.workloads.function(function).context("no such function")?;
    let text = fs::read_to_string(&workload.file)?.replace("fixture = true", "");
    fs::write(checkout.layout().workloads().join(format!("{function}.toml")), text)?;
    let artifact = checkout.manifest.for_runtime(runtime, runtime.serves, function);
    let artifact = artifact.context("no such image")?.clone();
    let mut altered = Altered::of(&artifact.path)?;
    alter(&mut altered);
    let path = altered.write(&checkout.layout().artifacts().join("images"))?;
    for known in checkout.manifest.artifacts.iter_mut().filter(|known| **known == artifact) {
        known.sha256 = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        known.path.clone_from(&path);
    }
    Ok(checkout)
}

/// Every case of a suite once, with a second for an invocation.
fn selection(suite: Suite) -> Selection {
    Selection {
        suites: vec![suite.to_string()],
        verify: true,
        invocation_timeout_ms: 1000,
        profile: Profile::Standard,
        ..Selection::default()
    }
}

/// The outcome of the one case.
fn outcome(checkout: &Checkout, selection: &Selection) -> Result<(Case, Outcome)> {
    let ended = checkout.run(selection, &[])?;
    let mut outcomes = outcomes(&ended.run()?)?.into_iter();
    checkout.nothing_is_left()?;
    nothing_is_left()?;
    outcomes.next().with_context(|| format!("no outcome: {ended}"))
}

/// That the one case fails, with these words in its cause.
fn fails(checkout: &Checkout, selection: &Selection, words: &str) -> Result<()> {
    match outcome(checkout, selection)? {
        (_, Outcome::Failed(cause)) if cause.contains(words) => Ok(()),
        (case, outcome) => bail!("{case}: {outcome:?} instead of a failure with `{words}`"),
    }
}

/// The cgroups with such names, in every hierarchy.
fn cgroups(is_meant: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let roots = mounts.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        fields[2].starts_with("cgroup").then(|| PathBuf::from(fields[1]))
    });
    let entries = roots.flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten());
    let named = entries.filter(|entry| is_meant(&entry.file_name().to_string_lossy()));
    named.map(|entry| entry.path()).collect()
}

/// No cgroup and no mount of a process that is no more.
fn nothing_is_left() -> Result<()> {
    let left = cgroups(Name::is_leftover);
    ensure!(left.is_empty(), "cgroups are left: {left:?}");
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let left: Vec<&str> = mounts.lines().filter(|line| line.contains("/rootfs/")).collect();
    ensure!(left.is_empty(), "mounts are left: {left:?}");
    Ok(())
}

/// Starts a run that is stuck in a cold start, and waits for the process in the container.
fn stuck(built: &Built, base: &str) -> Result<(Checkout, std::process::Child, Process)> {
    let checkout = noop(built, base, |image| {
        image.entrypoint = ["/bin/sh", "-c", "exec sleep 1000"].map(str::to_owned).to_vec();
    })?;
    checkout.save_manifest()?;
    let selection = Selection { invocation_timeout_ms: 60_000, ..selection(Suite::ColdStart) };
    let child = checkout.start(&selection, &[])?;
    let sleeping = || {
        let processes = descendants(i32::try_from(child.id()).unwrap_or(0));
        processes.into_iter().find(|process| process.arguments.starts_with("sleep"))
    };
    wait_until("the container sleeps", || Ok(sleeping().is_some()))?;
    let process = sleeping().context("it has ended")?;
    Ok((checkout, child, process))
}

/// The processes below another.
fn descendants(of: i32) -> Vec<Process> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let mut above = pid;
        while above > 1 && above != of {
            let stat = fs::read_to_string(format!("/proc/{above}/stat")).unwrap_or_default();
            let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            above = fields.nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
        }
        if above == of && pid != of {
            let bytes = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&bytes).replace('\0', " ");
            found.push(Process { pid, arguments });
        }
    }
    found
}

/// What the kernel says of a process in a container, while it runs.
fn isolation(built: &Built) -> Result<()> {
    let (checkout, mut child, process) = stuck(built, "debian")?;
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", process.pid));
    let status = read("status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().split('\t').next().unwrap_or_default().to_owned()
    };
    let mounts = read("mounts")?;
    let checks = || -> Result<()> {
        for name in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            ensure!(field(name) == "0000000000000000", "{name} {}", field(name));
        }
        ensure!(field("NoNewPrivs:") == "1", "new privileges");
        ensure!(field("Seccomp:") == "2", "no filter of system calls");
        ensure!(field("Uid:") == "65534", "runs as {}", field("Uid:"));
        for namespace in ["pid", "net", "ipc", "uts", "mnt"] {
            let own = fs::read_link(format!("/proc/self/ns/{namespace}"))?;
            let its = fs::read_link(format!("/proc/{}/ns/{namespace}", process.pid))?;
            ensure!(own != its, "shares the namespace {namespace}");
        }
        let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/"));
        let options = root.and_then(|line| line.split(' ').nth(3)).unwrap_or_default();
        ensure!(options.split(',').any(|option| option == "ro"), "a writable root: {options}");
        let cgroup = read("cgroup")?;
        ensure!(cgroup.lines().any(|line| line.contains("/lumos-")), "no cgroup: {cgroup}");
        Ok(())
    };
    let outcome = checks();
    // SAFETY: integers alone; the process is one of the test's own.
    unsafe { libc::kill(i32::try_from(child.id())?, libc::SIGINT) };
    child.wait()?;
    outcome?;
    checkout.nothing_is_left()?;
    nothing_is_left()
}

/// What a function tries to do to the node is refused, each single thing.
fn break_out() -> Result<()> {
    let checkout = program::checkout(env!("CARGO_PKG_NAME"), "oci", &["honest", "breaks-out"])?;
    let limited = Selection { memory_limit_bytes: 64 << 20, ..selection(Suite::ColdStart) };
    let ended = checkout.run(&limited, &[])?;
    let outcomes = outcomes(&ended.run()?)?;
    ensure!(outcomes.len() == 2, "{ended}");
    for (case, outcome) in outcomes {
        ensure!(outcome == Outcome::Verified, "{case}: {outcome:?}");
    }
    checkout.nothing_is_left()?;
    nothing_is_left()
}

/// The limits of a setting are the container's, and a part of the case.
fn limits(built: &Built) -> Result<()> {
    let checkout = noop(built, "scratch", |_| ())?;
    let setting: Setting = "cpus=0.5,memory=64MiB".parse().map_err(anyhow::Error::msg)?;
    let selection = Selection { settings: vec![setting], ..selection(Suite::ColdStart) };
    let (case, outcome) = outcome(&checkout, &selection)?;
    ensure!(outcome == Outcome::Verified, "{case}: {outcome:?}");
    ensure!(case.to_string() == "cold_start/noop/native-oci/empty@cpus=0.5,memory=64MiB", "{case}");
    Ok(())
}

/// More memory than the cgroup allows: the kernel ends the function, and the record says so.
fn memory(built: &Built) -> Result<()> {
    let checkout = noop(built, "debian", |image| {
        // Page by page into shared memory, which the limit of private memory does not see.
        let fill = "dd if=/dev/zero of=/dev/shm/fill bs=1M count=60; sleep 1000";
        image.entrypoint = ["/bin/sh", "-c", fill].map(str::to_owned).to_vec();
    })?;
    let setting: Setting = "memory=8MiB".parse().map_err(anyhow::Error::msg)?;
    let selection = Selection {
        settings: vec![setting],
        invocation_timeout_ms: 5000,
        ..selection(Suite::ColdStart)
    };
    fails(&checkout, &selection, "for its memory: its cgroup allows 8388608 bytes")
}

/// Images that cannot be run are refused, or end at once, with a message that says why.
fn bad_images(built: &Built) -> Result<()> {
    type Alter = fn(&mut Altered);
    let bad: [(Alter, &str); 5] = [
        (|image| image.architecture = "riscv64".into(), "the image is for riscv64"),
        (|image| image.entrypoint.clear(), "the image has no entry point"),
        (|image| image.entrypoint = vec!["/nothing".into()], "entry point /nothing cannot be run"),
        (|image| image.entrypoint.push("--frobnicate".into()), "unknown argument"),
        (|image| image.layers.clear(), "entry point /function cannot be run"),
    ];
    for (alter, words) in bad {
        fails(&noop(built, "scratch", alter)?, &selection(Suite::ColdStart), words)?;
    }
    // A blob that is gone, and one that is not what its digest says.
    let checkout = noop(built, "scratch", |_| ())?;
    let blobs = fs::read_dir(checkout.layout().artifacts().join("images"))?;
    let largest = blobs.flatten().max_by_key(|blob| blob.metadata().map_or(0, |m| m.len()));
    let layer = largest.context("no blobs")?.path();
    fs::remove_file(&layer)?;
    fails(&checkout, &selection(Suite::ColdStart), "cannot unpack")?;
    fs::write(&layer, "altered")?;
    fails(&checkout, &selection(Suite::ColdStart), "not what was built")
}

/// A container that runs and never connects is given up after the limit, and removed.
fn silent_container(built: &Built) -> Result<()> {
    let checkout = noop(built, "debian", |image| {
        image.entrypoint = ["/bin/sh", "-c", "sleep 1000"].map(str::to_owned).to_vec();
    })?;
    fails(&checkout, &selection(Suite::ColdStart), "did not connect within 1 s")
}

/// A cgroup that bears the name of a container to come does not stop it.
fn name_clash(built: &Built) -> Result<()> {
    // The largest process id that Linux allows is far below this one.
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let roots = mounts.lines().filter(|line| line.split(' ').nth(2) == Some("cgroup"));
    let folder = roots.filter_map(|line| line.split(' ').nth(1)).next();
    let folder = Path::new(folder.unwrap_or("/sys/fs/cgroup")).join("lumos-4294967295-0");
    fs::create_dir_all(&folder)?;
    let checkout = noop(built, "scratch", |_| ())?;
    let ended = checkout.run(&selection(Suite::ColdStart), &[])?;
    ensure!(ended.output.contains("removed what an earlier run left behind"), "{ended}");
    ensure!(!folder.exists(), "a leftover stays");
    checkout.nothing_is_left()
}

/// A disk that is full while an image is unpacked: a failure with a remedy, and nothing half
/// unpacked.
fn full_disk(built: &Built) -> Result<()> {
    let checkout = noop(built, "debian", |_| ())?;
    let folder = lumos_oci::unpacked(&checkout.layout());
    fs::create_dir_all(&folder)?;
    let mount = |arguments: &[&str]| -> Result<()> {
        let status =
            std::process::Command::new(arguments[0]).args(&arguments[1..]).arg(&folder).status()?;
        ensure!(status.success(), "{arguments:?}: {status}");
        Ok(())
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs"])?;
    let outcome = checkout.run(&selection(Suite::ColdStart), &[]);
    let left = fs::read_dir(&folder)?.flatten().count();
    mount(&["umount"])?;
    let outcomes = outcomes(&outcome?.run()?)?;
    let Some(Outcome::Failed(cause)) = outcomes.into_values().next() else { bail!("no failure") };
    ensure!(cause.contains("the disk is full: make room"), "{cause}");
    ensure!(left <= 1, "{left} entries are left beside the lock");
    checkout.nothing_is_left()
}

/// An image is unpacked for every sample, and nothing of it stays; a layer that was altered is
/// no sample.
fn unpacking(built: &Built) -> Result<()> {
    let checkout = noop(built, "distroless", |_| ())?;
    let unpacking = checkout.layout().lumos().join("unpacking");
    // What a process left behind that was killed.
    let leftover = unpacking.join("lumos-4294967295-0");
    fs::create_dir_all(&leftover)?;
    let selection = Selection {
        verify: false,
        rounds: 1,
        invocation_timeout_ms: 60_000,
        ..selection(Suite::Pull)
    };
    let ended = checkout.run(&selection, &TEN_SAMPLES)?;
    let outcomes = outcomes(&ended.run()?)?;
    let Some((case, Outcome::Finished(finished))) = outcomes.into_iter().next() else {
        bail!("not measured: {ended}");
    };
    ensure!(case.to_string() == "pull/noop/native-oci-distroless/-", "{case}");
    // Ten samples, and one before them that tells the cost.
    ensure!(finished.verified == 11, "{} images", finished.verified);
    ensure!(fs::read_dir(&unpacking)?.next().is_none(), "something stays in {unpacking:?}");
    let blobs = fs::read_dir(checkout.layout().artifacts().join("images"))?;
    let largest = blobs.flatten().max_by_key(|blob| blob.metadata().map_or(0, |m| m.len()));
    fs::write(largest.context("no blobs")?.path(), "altered")?;
    fails(&checkout, &selection, "not what was built")?;
    ensure!(fs::read_dir(&unpacking)?.next().is_none(), "something stays in {unpacking:?}");
    checkout.nothing_is_left()
}

/// The program that checks the model of a pull: it pulls the image, or says what it lacks.
fn registry(built: &Built) -> Result<()> {
    let mut checkout = noop(built, "scratch", |_| ())?;
    let layout = checkout.layout();
    // The model counts layers by the base alone.
    for artifact in &checkout.manifest.artifacts {
        let Some(image) = &artifact.image else { continue };
        let layers = Image::read(&artifact.path)?.layers.len() as u64;
        ensure!(layers == image.layers(), "{layers} layers on {}", image.base);
    }
    // The smallest image will do.
    let is_small = |image: &lumos_record::Image| image.base == lumos_record::Image::SCRATCH;
    checkout.manifest.artifacts.retain(|artifact| artifact.image.as_ref().is_none_or(is_small));
    checkout.save_manifest()?;
    let run = |path: Option<&str>| -> Result<PullCheck> {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lumos-oci-pull"));
        command.env("LUMOS_ROOT", &layout.root).env("TMPDIR", checkout.temporary());
        command.env_remove("CARGO_TARGET_DIR").envs(path.map(|path| ("PATH", path)));
        let output = command.output()?;
        ensure!(output.status.success(), "{output:?}");
        checkout.nothing_is_left()?;
        Ok(PullCheck::read(&layout.lumos())?)
    };
    let without = run(Some(""))?;
    ensure!(without.pulls.is_empty(), "{without:?}");
    ensure!(without.notes.iter().any(|note| note.contains("apt-get install")), "{without:?}");
    let check = run(None)?;
    if check.registry.is_empty() {
        return Ok(());
    }
    for pull in &check.pulls {
        ensure!(pull.times_ns.len() >= 3 && pull.round_trip_ns > 0, "{pull:?}");
        // What the bucket holds at the start is a small part of the image.
        if let Some(bytes_per_s) = pull.bandwidth_bytes_per_s {
            let least_ns = pull.compressed_bytes as f64 * 0.9 / bytes_per_s as f64 * 1e9;
            ensure!(pull.times_ns.iter().all(|&ns| ns as f64 > least_ns), "{pull:?}");
        }
    }
    ensure!(!check.pulls.is_empty(), "{check:?}");
    Ok(())
}

/// The harness is killed in the middle of a cold start: the kernel ends the container, and the
/// next run removes what stays behind.
fn killed_harness(built: &Built) -> Result<()> {
    let (checkout, mut child, process) = stuck(built, "debian")?;
    let processes: Vec<i32> = checkout.processes()?.iter().map(|process| process.pid).collect();
    let is_own = |owner: u32| i32::try_from(owner).is_ok_and(|pid| processes.contains(&pid));
    // Any run on this node removes them once their owner is dead, so they are looked for before.
    let own = cgroups(|name| Name::owner(name).is_some_and(is_own));
    ensure!(!own.is_empty(), "the container has no cgroup");
    // SAFETY: integers alone; the process is one of the test's own.
    unsafe { libc::kill(i32::try_from(child.id())?, libc::SIGKILL) };
    child.wait()?;
    let measuring_is_gone = || Ok(checkout.processes()?.is_empty());
    wait_until("the measuring process has ended", measuring_is_gone)?;
    let mut next = noop(built, "scratch", |_| ())?;
    next.variables.push(("TMPDIR", checkout.temporary().into_os_string()));
    let ended = next.run(&selection(Suite::ColdStart), &[])?;
    ensure!(ended.output.contains("removed what an earlier run left behind"), "{ended}");
    let is_gone = || Ok(!Path::new(&format!("/proc/{}", process.pid)).exists());
    wait_until("the container has ended", is_gone)?;
    ensure!(own.iter().all(|group| !group.exists()), "cgroups are left: {own:?}");
    checkout.nothing_is_left()?;
    nothing_is_left()
}
