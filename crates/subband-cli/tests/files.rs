//! Output files appear whole or not at all, and nothing else stays behind.

mod common;

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Folder, map, npy_f32, one_error, subband};

fn with_map() -> Folder {
    let folder = Folder::new();
    folder.write("in.npy", &npy_f32(&[4, 16, 16], &map(&[4, 16, 16])));
    folder
}

#[test]
fn an_existing_file_is_kept_without_force() {
    let folder = with_map();
    folder.write("x.sbd", b"precious");
    let error = folder.fails(1, &["compress", "in.npy", "-o", "x.sbd", "--step", "0.1"]);
    assert!(error.contains("x.sbd exists") && error.contains("--force"), "{error}");
    assert_eq!(folder.read("x.sbd"), b"precious");
    folder.ok(&["compress", "in.npy", "-o", "x.sbd", "--step", "0.1", "--force"]);
    assert_ne!(folder.read("x.sbd"), b"precious");

    folder.write("out.npy", b"precious");
    let error = folder.fails(1, &["decompress", "x.sbd", "-o", "out.npy"]);
    assert!(error.contains("out.npy exists"), "{error}");
    assert_eq!(folder.read("out.npy"), b"precious");
    folder.ok(&["decompress", "x.sbd", "-o", "out.npy", "--force"]);
    assert_eq!(folder.names(), ["in.npy", "out.npy", "x.sbd"]);
}

#[test]
fn a_failure_leaves_the_old_file_and_nothing_new() {
    let folder = with_map();
    folder.write("x.sbd", b"precious");
    folder.write("bad.npy", b"\x93NUMPY");
    folder.fails(1, &["compress", "bad.npy", "-o", "x.sbd", "--step", "0.1", "--force"]);
    folder.fails(1, &["compress", "missing.npy", "-o", "new.sbd", "--step", "0.1"]);
    folder.fails(1, &["decompress", "x.sbd", "-o", "new.npy"]);
    assert_eq!(folder.read("x.sbd"), b"precious");
    assert_eq!(folder.names(), ["bad.npy", "in.npy", "x.sbd"]);
}

#[test]
fn folders_that_cannot_be_written() {
    let folder = with_map();
    for output in ["missing/x.sbd", "in.npy/x.sbd", "."] {
        let error = folder.fails(1, &["compress", "in.npy", "-o", output, "--step", "0.1"]);
        assert!(error.contains(output), "{error}");
    }
    assert_eq!(folder.names(), ["in.npy"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files() {
    // Refused even to root, unlike a folder without write permission.
    let folder = with_map();
    let error = folder.fails(1, &["compress", "in.npy", "-o", "/proc/x.sbd", "--step", "0.1"]);
    assert!(error.contains("/proc/x.sbd"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let folder = with_map();
    // A file size limit fails the write as a full disk does, once the signal that goes with it is ignored.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" compress in.npy -o x.sbd --max-error 0.0001";
    let output = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_subband")])
        .current_dir(folder.0.path())
        .output()
        .unwrap();
    let error = one_error(&output, 1);
    assert!(error.contains("cannot write x.sbd"), "{error}");
    assert_eq!(folder.names(), ["in.npy"]);

    let error = folder.fails(1, &["compress", "in.npy", "-o", "/dev/full", "--step", "0.1"]);
    assert!(error.contains("/dev/full") && error.contains("No space"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn devices_are_written_in_place() {
    let folder = with_map();
    folder.ok(&["compress", "in.npy", "-o", "/dev/null", "--step", "0.1"]);
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
}

#[cfg(unix)]
#[test]
fn links_and_permissions_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = with_map();
    folder.write("real.sbd", b"old");
    std::fs::set_permissions(folder.path("real.sbd"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink("real.sbd", folder.path("link.sbd")).unwrap();
    folder.ok(&["compress", "in.npy", "-o", "link.sbd", "--step", "0.1", "--force"]);
    assert!(std::fs::symlink_metadata(folder.path("link.sbd")).unwrap().is_symlink());
    assert_ne!(folder.read("real.sbd"), b"old");
    assert_eq!(std::fs::metadata(folder.path("real.sbd")).unwrap().permissions().mode() & 0o777, 0o640);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error() {
    let folder = with_map();
    folder.ok(&["compress", "in.npy", "-o", "x.sbd", "--step", "0.1"]);
    for args in [
        &["inspect", "x.sbd"][..],
        &["decompress", "x.sbd", "-o", "-"],
        &["compress", "in.npy", "-o", "-", "--step", "0.1"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let child = subband().args(args).current_dir(folder.0.path()).stdout(full).stderr(Stdio::piped()).spawn();
        let error = one_error(&child.unwrap().wait_with_output().unwrap(), 1);
        assert!(error.contains("standard output") && error.contains("No space"), "{error}");
    }
}

#[test]
fn a_broken_pipe_is_silent() {
    let file = npy_f32(&[4, 64, 64], &map(&[4, 64, 64]));
    let compressed = common::with_input(&["compress", "-", "-o", "-", "--step", "0.1"], &file).stdout;
    for (args, input) in [
        (&["compress", "-", "-o", "-", "--step", "0.1"][..], &file),
        (&["decompress", "-", "-o", "-"], &compressed),
        (&["inspect", "-"], &compressed),
        (&["inspect", "-", "--json"], &compressed),
    ] {
        let mut child =
            subband().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The reader is gone before the input is complete, so before anything is written.
        drop(child.stdout.take());
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
        assert_eq!(output.status.code(), Some(141), "{args:?}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing() {
    for signal in ["-INT", "-TERM"] {
        let folder = Folder::new();
        let mut child = subband()
            .args(["compress", "-", "-o", "x.sbd", "--step", "0.1"])
            .current_dir(folder.0.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It waits for input with its temporary file open.
        let start = Instant::now();
        while folder.names().is_empty() {
            assert!(start.elapsed() < Duration::from_secs(20), "no temporary file appeared");
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let stdin = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        assert_eq!(output.status.code(), Some(130));
        assert!(output.stderr.is_empty());
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    }
}
