//! Disks that are full, and folders that cannot be written to.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumos_record::{ArtifactKind, Suite};

use super::Fault;
use super::field::{Cases, Field, Length};
use super::files::built;
use super::mounts;

/// Enough for everything that a few small runs write.
const DISK_BYTES: u64 = 48 << 20;

/// What the kernel says of a full disk.
const NO_SPACE: &str = "No space left on device";
const READ_ONLY: &str = "Read-only file system";

/// Every fault of this kind.
pub fn all(cases: &Cases) -> Vec<Fault> {
    let mut faults = vec![
        Fault::new("the disk is full when an artifact is built", build).on_a_small_disk(DISK_BYTES),
        Fault::new("the disk is full when a run begins", begin).on_a_small_disk(DISK_BYTES),
        Fault::new("the disk becomes full while it is measured", measure)
            .on_a_small_disk(DISK_BYTES),
        Fault::new("the disk is full when it is reported", report).on_a_small_disk(DISK_BYTES),
        Fault::new("the disk becomes full when samples are handed over", hand_over)
            .on_a_small_disk(DISK_BYTES),
        Fault::new("the folder for temporary files is full", temporary_is_full),
        Fault::new("the folder for temporary files becomes full", temporary_becomes_full),
        Fault::new("the folder for temporary files is read-only", temporary_is_read_only),
        Fault::new("the folder for temporary files is not there", temporary_is_absent),
        Fault::new("the folder for temporary files has a long name", temporary_is_long),
        Fault::new("the checkout is read-only: bench", read_only_bench),
        Fault::new("the checkout is read-only: report", read_only_report),
        Fault::new("the checkout is read-only: build", read_only_build),
    ];
    // Of the sandboxes, those that unpack images by themselves keep them in the checkout.
    for (sandbox, runtime) in cases.sandboxes.clone() {
        let name = format!("{runtime}: the disk is full when an image is unpacked");
        let unpack = move |field: &Field| unpack(field, &sandbox, &runtime);
        faults.push(Fault::new(name, unpack));
    }
    faults
}

fn build(field: &Field) -> Result<()> {
    fs::remove_file(built(field, ArtifactKind::Wasm)?)?;
    field.fill(&field.upper())?;
    let engine = field.cases.engine.as_str();
    let ended = field.run(&field.bench(Length::Short, &["warm"], &[engine], &[]))?;
    ended.fails(&[NO_SPACE])
}

fn begin(field: &Field) -> Result<()> {
    field.fill(&field.upper())?;
    field.run(&field.small()?)?.fails(&[NO_SPACE])
}

fn measure(field: &Field) -> Result<()> {
    let bystander = field.cases.bystander()?;
    let words = field.bench(Length::Long("3000"), &["cold_start", "warm"], &[bystander], &[]);
    let mut started = field.start(&words)?;
    started.until("the case has begun", |_| field.is_under_way(bystander, Suite::ColdStart))?;
    std::thread::sleep(Duration::from_millis(300));
    field.fill(&field.upper())?;
    started.wait_usually()?.fails(&[NO_SPACE])
}

fn report(field: &Field) -> Result<()> {
    field.run(&field.small()?)?.succeeds(&[])?;
    let page = field.layout.report().join("report.html");
    let before = fs::read(&page)?;
    // With other figures, the page is another one.
    field.run(&field.small()?)?.succeeds(&[])?;
    fs::write(&page, &before)?;
    field.fill(&field.upper())?;
    field.run(&["report"])?.fails(&[NO_SPACE, "report.html"])?;
    ensure!(fs::read(&page)? == before, "the report is half-written");
    Ok(())
}

fn hand_over(field: &Field) -> Result<()> {
    let started = field.handing_over()?;
    field.fill(&field.upper())?;
    let ended = started.wait_usually()?;
    // It may have been over by then.
    if ended.status.success() { ended.says(&[]) } else { ended.fails(&[NO_SPACE]) }
}

fn unpack(field: &Field, sandbox: &str, runtime: &str) -> Result<()> {
    let unpacked = field.images();
    fs::create_dir_all(&unpacked)?;
    let small_disk = mounts::cover(&unpacked, "size=64k")?;
    let bystander = field.cases.bystander()?;
    let runtimes = if runtime == bystander { vec![runtime] } else { vec![runtime, bystander] };
    let ended = field.run(&field.bench(Length::Short, &["warm"], &runtimes, &[]))?;
    drop(small_disk);
    if ended.status.success() {
        // Its images are elsewhere, or it has none.
        return field.measured(&runtimes).with_context(|| format!("in {sandbox}"));
    }
    ended.fails(&["1 failed"])?;
    let cause = field.cause(runtime, Suite::Warm)?;
    ensure!(cause.contains("the disk is full"), "the cause is: {cause}");
    field.measured(&[bystander]).context("the other cases")
}

fn temporary_is_full(field: &Field) -> Result<()> {
    let small_disk = mounts::cover(&field.temporary(), "size=64k")?;
    field.fill(&field.temporary())?;
    let ended = field.run(&field.small()?)?;
    drop(small_disk);
    ended.fails(&[NO_SPACE, &field.temporary().display().to_string()])
}

fn temporary_becomes_full(field: &Field) -> Result<()> {
    let small_disk = mounts::cover(&field.temporary(), "size=256k")?;
    let bystander = field.cases.bystander()?;
    let words = field.bench(Length::Long("3000"), &["cold_start"], &[bystander], &[]);
    let mut started = field.start(&words)?;
    started.until("the case has begun", |_| field.is_under_way(bystander, Suite::ColdStart))?;
    field.fill(&field.temporary())?;
    let ended = started.wait_usually()?;
    drop(small_disk);
    // What it needs of that folder it may have by then.
    if ended.status.success() { ended.says(&[]) } else { ended.fails(&[NO_SPACE]) }
}

fn temporary_is_read_only(field: &Field) -> Result<()> {
    let protected = mounts::cover(&field.temporary(), "ro")?;
    let ended = field.run(&field.small()?)?;
    drop(protected);
    ended.fails(&[READ_ONLY, &field.temporary().display().to_string()])
}

fn temporary_is_absent(field: &Field) -> Result<()> {
    let mut command = field.command(&field.small()?)?;
    let absent = field.temporary().join("absent");
    command.env("TMPDIR", &absent);
    let ended = field.start_as(command)?.wait_usually()?;
    ended.fails(&[&absent.display().to_string()])
}

fn temporary_is_long(field: &Field) -> Result<()> {
    let long = field.temporary().join("long".repeat(30));
    fs::create_dir(&long)?;
    let mut command = field.command(&field.small()?)?;
    command.env("TMPDIR", &long);
    let ended = field.start_as(command)?.wait_usually()?;
    fs::remove_dir_all(&long)?;
    ended.fails(&["TMPDIR"])
}

/// What becomes of a command while nothing can be written to the checkout.
fn protected(field: &Field, words: &[&str]) -> Result<super::field::Ended> {
    field.write_protect(true)?;
    let ended = field.run(words);
    field.write_protect(false)?;
    ended
}

fn read_only_bench(field: &Field) -> Result<()> {
    protected(field, &field.small()?)?.fails(&[READ_ONLY])
}

fn read_only_report(field: &Field) -> Result<()> {
    field.run(&field.small()?)?.succeeds(&[])?;
    // What is the same need not be written.
    fs::write(field.layout.report().join("report.html"), "another page")?;
    protected(field, &["report"])?.fails(&[READ_ONLY, "report"])
}

fn read_only_build(field: &Field) -> Result<()> {
    fs::remove_file(built(field, ArtifactKind::Wasm)?)?;
    protected(field, &["build"])?.fails(&[READ_ONLY])
}
