//! The files of this folder: that they read, and that they hold what they say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lumos_record::Profile;
use lumos_workloads::{Payload, Workloads, sha256_hex};

fn workloads() -> Workloads {
    Workloads::read(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_file_reads() {
    let workloads = workloads();
    assert!(workloads.functions.is_sorted_by_key(|workload| &workload.function));
    assert!(workloads.function("json").is_some());
    assert!(workloads.function("no-such-function").is_none());
    let faulty = workloads.function("faulty").unwrap();
    assert!(faulty.fixture);
    assert!(workloads.benchmarked().all(|workload| workload.function != faulty.function));
}

#[test]
fn requests_have_their_digests_and_no_two_are_the_same() {
    for workload in &workloads().functions {
        let mut digests = BTreeSet::new();
        for payload in &workload.payloads {
            let digest = sha256_hex(&payload.generate());
            if !payload.request_sha256.is_empty() {
                assert_eq!(digest, payload.request_sha256, "{} {}", workload.function, payload.id);
            }
            assert!(digests.insert(digest), "{} {} is there twice", workload.function, payload.id);
        }
    }
}

#[test]
fn profiles_stay_small() {
    for workload in workloads().benchmarked() {
        let count = |profile| {
            let of = |payload: &&Payload| payload.profile == Some(profile);
            workload.payloads.iter().filter(of).count()
        };
        let (quick, standard) = (count(Profile::Quick), count(Profile::Standard));
        assert!(quick <= 1 && standard <= 1 && quick + standard > 0, "{}", workload.function);
    }
}

#[test]
fn every_function_has_a_file_and_every_file_a_function() {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-functions");
    let folders: BTreeSet<String> = fs::read_dir(guests)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("src/main.rs").is_file())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let files: BTreeSet<String> =
        workloads().functions.into_iter().map(|workload| workload.function).collect();
    assert_eq!(folders, files);
}
