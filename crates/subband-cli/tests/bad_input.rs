//! Wrong command lines and damaged files: one line that says what is wrong, the right exit status, never a panic.

mod common;

use common::{Folder, map, npy, npy_f32, npz, one_error, safetensors};
use zip::CompressionMethod;

#[test]
fn wrong_usage_is_status_2_and_names_the_allowed_range() {
    let folder = Folder::new();
    for (args, message) in [
        (&["compress", "a.npy", "-o", "x.sbd"][..], "--step"),
        (&["compress", "a.npy", "--step", "1"], "--output"),
        (&["compress", "a.npy", "-o", "x.sbd", "--step", "1", "--bits", "2"], "cannot be used with"),
        (&["compress", "a.npy", "-o", "x.sbd", "--step", "0"], "a number over 0"),
        (&["compress", "a.npy", "-o", "x.sbd", "--step", "nan"], "a number over 0"),
        (&["compress", "a.npy", "-o", "x.sbd", "--bits", "-1"], "--bits"),
        (&["compress", "a.npy", "-o", "x.sbd", "--step", "1", "--levels", "9"], "0..=8"),
        (&["compress", "a.npy", "-o", "x.sbd", "--step", "1", "--wavelet", "db9"], "db2"),
        (&["compress", "a.npy", "-o", "x.sbd", "--step", "1", "--nan", "0"], "--inf"),
        (&["compress", "a.npy", "-o", "x.sbd", "--step", "1", "--tap", "layer1.0"], "--profile"),
        (&["compress", "a.npy", "-o", "x.sbd", "--step", "1", "--threads", "0"], "1..=1024"),
        (&["decompress", "x.sbd", "-o", "out.txt"], ".npy, .npz or .safetensors"),
        (&["decompress", "x.sbd", "-o", "out.npy", "--batch", "3"], "A..B"),
        (&["decompres", "x.sbd"], "decompress"),
        (&["completions", "tcl"], "bash"),
        (&["inspect", "x.sbd", "--frobnicate"], "--frobnicate"),
    ] {
        let error = folder.fails(2, args);
        assert!(error.contains(message), "{args:?}: {error}");
    }
    assert!(folder.names().is_empty());
}

#[test]
fn without_a_command_it_says_what_there_is() {
    let output = Folder::new().run::<&str>(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("Usage: subband"));
}

#[test]
fn unreadable_tensor_files_are_status_1_and_say_why() {
    let values = map(&[2, 8, 8]);
    let good = npy_f32(&[2, 8, 8], &values);
    let zipped = npz(&[("a", good.clone())], CompressionMethod::Deflated);
    let mut damaged = zipped.clone();
    damaged[60] ^= 0x55;
    let huge_header = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    let long_header = [b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..], b"{"].concat();
    let nested = [b"\x93NUMPY\x01\x00\xff\xff", &[b'('; 65535][..]].concat();
    let tensor = |dtype, shape: &'static [usize], bytes| safetensors("{}", &[("w", dtype, shape, bytes)]);
    for (name, bytes, message) in [
        ("empty.npy", vec![], "neither"),
        ("text.npy", b"hello, this is no array".to_vec(), "neither"),
        ("f64.npy", npy("<f8", false, &[2, 2], &[0; 32]), "convert it to float32"),
        ("i32.npy", npy("<i4", false, &[2, 2], &[0; 16]), "<i4"),
        ("bool.npy", npy("|b1", false, &[2, 2], &[0; 4]), "|b1"),
        ("rank1.npy", npy_f32(&[4], &values[..4]), "at least 2"),
        ("rank0.npy", npy_f32(&[], &values[..1]), "at least 2"),
        ("short.npy", good[..good.len() - 1].to_vec(), "512 bytes"),
        ("long.npy", [&good[..], &[0]].concat(), "512 bytes"),
        ("overflow.npy", npy_f32(&[usize::MAX, 8], &[]), "larger than memory"),
        ("claims.npy", npy_f32(&[1 << 40, 8], &[]), "bytes"),
        ("long_header.npy", long_header, "cut short"),
        ("nested.npy", nested, "expected '{'"),
        ("cut.npz", zipped[..zipped.len() / 2].to_vec(), "npz"),
        ("damaged.npz", damaged, "\"a\""),
        ("none.npz", npz(&[], CompressionMethod::Stored), "empty"),
        ("rank1.npz", npz(&[("b", npy_f32(&[2], &values[..2]))], CompressionMethod::Stored), "\"b\""),
        ("huge.safetensors", huge_header, "safetensors"),
        ("f64.safetensors", tensor("F64", &[1, 1], vec![0; 8]), "convert it to float32"),
        ("i64.safetensors", tensor("I64", &[1, 1], vec![0; 8]), "\"w\""),
        ("rank1.safetensors", tensor("F32", &[2], vec![0; 8]), "at least 2"),
        ("cut.safetensors", tensor("F32", &[2, 2], vec![0; 8]), "safetensors"),
    ] {
        let folder = Folder::new();
        folder.write(name, &bytes);
        let error = folder.fails(1, &["compress", name, "-o", "x.sbd", "--step", "1"]);
        assert!(error.contains(name) && error.contains(message), "{name}: {error}");
        assert_eq!(folder.names(), [name]);
    }
}

#[test]
fn formats_that_cannot_hold_the_tensor() {
    let folder = Folder::new();
    folder.write("in.safetensors", &safetensors("{}", &[("w", "BF16", &[2, 2], vec![0; 8])]));
    folder.ok(&["compress", "in.safetensors", "-o", "x.sbd", "--step", "1"]);
    for output in ["out.npy", "out.npz"] {
        let error = folder.fails(1, &["decompress", "x.sbd", "-o", output]);
        assert!(error.contains("bf16") && error.contains(".safetensors"), "{error}");
    }
    folder.ok(&["decompress", "x.sbd", "-o", "out.safetensors"]);
    assert_eq!(folder.names(), ["in.safetensors", "out.safetensors", "x.sbd"]);
}

/// Both kinds of compressed file, small.
fn compressed() -> [Vec<u8>; 2] {
    let folder = Folder::new();
    let file = npy_f32(&[2, 4, 4], &map(&[2, 4, 4]));
    folder.write("in.npz", &npz(&[("a", file.clone()), ("b", file.clone())], CompressionMethod::Stored));
    folder.write("in.npy", &file);
    folder.ok(&["compress", "in.npz", "-o", "archive", "--step", "0.5"]);
    folder.ok(&["compress", "in.npy", "-o", "stream", "--step", "0.5"]);
    [folder.read("archive"), folder.read("stream")]
}

#[test]
fn files_cut_at_any_byte_are_one_error() {
    for bytes in compressed() {
        let folder = Folder::new();
        for length in 0..bytes.len() {
            folder.write("cut.sbd", &bytes[..length]);
            for args in [&["decompress", "cut.sbd", "-o", "x.npz"][..], &["inspect", "cut.sbd"]] {
                let error = folder.fails(1, args);
                assert!(error.contains("cut.sbd"), "{length}: {error}");
            }
            assert_eq!(folder.names(), ["cut.sbd"]);
        }
    }
}

#[test]
fn a_flipped_bit_is_an_error() {
    for bytes in compressed() {
        let folder = Folder::new();
        // Every bit is tried in the codec's and the archive's own tests; here one bit a byte.
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            folder.write("bad.sbd", &bytes);
            let error = folder.fails(1, &["decompress", "bad.sbd", "-o", "x.npz"]);
            assert!(error.contains("bad.sbd"), "{at}: {error}");
        }
        assert_eq!(folder.names(), ["bad.sbd"]);
    }
}

#[test]
fn other_files_are_no_compressed_files() {
    let folder = Folder::new();
    folder.write("in.npy", &npy_f32(&[2, 4, 4], &map(&[2, 4, 4])));
    folder.write("empty", b"");
    for name in ["in.npy", "empty"] {
        for args in [&["decompress", name, "-o", "x.npy"][..], &["inspect", name]] {
            let error = folder.fails(1, args);
            assert!(error.contains(name), "{error}");
        }
    }
    let output = common::with_input(&["inspect", "-"], b"");
    one_error(&output, 1);
    let error = folder.fails(1, &["inspect", "."]);
    assert!(error.contains("cannot read ."), "{error}");
}
