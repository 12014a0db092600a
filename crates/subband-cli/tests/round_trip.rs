//! Every format and dtype through the binary and back.

mod common;

use common::{Folder, bytes_f32, f32_bytes, largest_error, map, npy, npy_f32, npy_values, npz, safetensors, unzip};
use half::{bf16, f16};
use zip::CompressionMethod;

const SHAPE: [usize; 4] = [2, 3, 9, 7];

/// Values of one byte that use the whole range, smooth enough to be worth compressing.
fn bytes(shape: &[usize]) -> Vec<u8> {
    map(shape).iter().enumerate().map(|(i, v)| (v * 50.0) as u8 ^ if i % 50 == 0 { 0xff } else { 0 }).collect()
}

/// First-axis-fastest order of C-ordered values of `size` bytes.
fn to_fortran(values: &[u8], size: usize, shape: &[usize]) -> Vec<u8> {
    let mut result = vec![0; values.len()];
    for index in 0..values.len() / size {
        let (mut rest, mut position, mut stride) = (index, 0, values.len() / size);
        for &n in shape.iter().rev() {
            stride /= n;
            position += rest % n * stride;
            rest /= n;
        }
        result[position * size..][..size].copy_from_slice(&values[index * size..][..size]);
    }
    result
}

fn swapped(values: &[u8], size: usize) -> Vec<u8> {
    values.chunks_exact(size).flat_map(|chunk| chunk.iter().rev().copied()).collect()
}

#[test]
fn npy_values_of_every_kind_and_order_come_back_exactly() {
    let one = bytes(&SHAPE);
    let two: Vec<u8> = one.iter().flat_map(|&b| (u16::from(b) * 257).to_le_bytes()).collect();
    // Any bits at all: NaN with payloads, infinities, both zeros.
    let four: Vec<u8> = one.iter().flat_map(|&b| [b, b ^ 0x5a, if b % 3 == 0 { 0x80 } else { b }, b | 0x3f]).collect();
    for (descr, out, size, values) in [
        ("<f4", "<f4", 4, &four),
        (">f4", "<f4", 4, &four),
        ("<f2", "<f2", 2, &two),
        (">f2", "<f2", 2, &two),
        ("|u1", "|u1", 1, &one),
        ("|i1", "|i1", 1, &one),
        ("<u2", "<u2", 2, &two),
        ("<i2", "<i2", 2, &two),
        (">u2", "<u2", 2, &two),
        (">i2", "<i2", 2, &two),
    ] {
        for fortran in [false, true] {
            let stored = if descr.starts_with('>') { swapped(values, size) } else { values.clone() };
            let stored = if fortran { to_fortran(&stored, size, &SHAPE) } else { stored };
            let folder = Folder::new();
            folder.write("in.npy", &npy(descr, fortran, &SHAPE, &stored));
            folder.ok(&["compress", "in.npy", "-o", "x.sbd", "--lossless"]);
            folder.ok(&["decompress", "x.sbd", "-o", "out.npy"]);
            assert_eq!(npy_values(&folder.read("out.npy"), out, &SHAPE), values, "{descr} fortran {fortran}");
        }
    }
}

#[test]
fn npy_floats_of_every_kind_and_order_keep_the_error_asked_for() {
    let values = map(&SHAPE);
    let single = f32_bytes(&values);
    let half: Vec<u8> = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
    for (descr, out, size, stored) in
        [("<f4", "<f4", 4, &single), (">f4", "<f4", 4, &single), ("<f2", "<f2", 2, &half), (">f2", "<f2", 2, &half)]
    {
        for fortran in [false, true] {
            let stored = if descr.starts_with('>') { swapped(stored, size) } else { stored.clone() };
            let stored = if fortran { to_fortran(&stored, size, &SHAPE) } else { stored };
            let folder = Folder::new();
            folder.write("in.npy", &npy(descr, fortran, &SHAPE, &stored));
            folder.ok(&["compress", "in.npy", "-o", "x.sbd", "--max-error", "0.02"]);
            folder.ok(&["decompress", "x.sbd", "-o", "out.npy"]);
            let file = folder.read("out.npy");
            let back = npy_values(&file, out, &SHAPE);
            let back = if size == 4 { bytes_f32(back) } else { halves(back, f16::from_le_bytes) };
            // Half precision rounds twice: 0.002 is its spacing at 4.
            let allowed = if size == 4 { 0.0201 } else { 0.024 };
            let error = largest_error(&values, &back);
            assert!(error <= allowed, "{descr} fortran {fortran}: {error}");
        }
    }
}

fn halves<T: Into<f32>>(bytes: &[u8], from: fn([u8; 2]) -> T) -> Vec<f32> {
    bytes.chunks_exact(2).map(|b| from(b.try_into().unwrap()).into()).collect()
}

#[test]
fn safetensors_keep_names_dtypes_and_metadata() {
    let values = map(&SHAPE);
    let bf16s: Vec<u8> = values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect();
    let folder = Folder::new();
    let tensors = [
        ("layer1.0", "F32", &SHAPE[..], f32_bytes(&values)),
        ("layer1.1", "BF16", &SHAPE[..], bf16s),
        ("plane", "F32", &[5, 4][..], f32_bytes(&map(&[5, 4]))),
    ];
    folder.write("in.safetensors", &safetensors("{\"network\":\"resnet20\",\"empty\":\"\"}", &tensors));
    let report = folder.ok(&["compress", "in.safetensors", "-o", "x.sbd", "--max-error", "0.02"]);
    assert!(report.contains("layer1.1") && report.contains("bf16") && report.contains("2x3x9x7"), "{report}");
    folder.ok(&["decompress", "x.sbd", "-o", "out.safetensors"]);

    let file = folder.read("out.safetensors");
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    assert_eq!(header["__metadata__"], serde_json::json!({"network": "resnet20", "empty": ""}));
    for (name, dtype, shape, _) in &tensors {
        let entry = &header[name];
        assert_eq!(entry["dtype"], *dtype);
        assert_eq!(entry["shape"], serde_json::json!(shape));
        let at = |i: usize| 8 + length + entry["data_offsets"][i].as_u64().unwrap() as usize;
        let bytes = &file[at(0)..at(1)];
        let back = if *dtype == "F32" { bytes_f32(bytes) } else { halves(bytes, bf16::from_le_bytes) };
        // bfloat16 has a spacing of 0.016 at 2 to 4.
        let allowed = if *dtype == "F32" { 0.0201 } else { 0.05 };
        assert!(largest_error(&map(shape), &back) <= allowed, "{name}");
    }
}

#[test]
fn npz_stored_and_deflated_keep_their_names() {
    let image = bytes(&[3, 8, 8]);
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let folder = Folder::new();
        let arrays = [("a", npy("|u1", false, &[3, 8, 8], &image)), ("dir/b", npy("|i1", true, &[8, 1], &image[..8]))];
        folder.write("in.npz", &npz(&arrays, method));
        folder.ok(&["compress", "in.npz", "-o", "x.sbd", "--lossless"]);
        folder.ok(&["decompress", "x.sbd", "-o", "out.npz"]);
        let back = unzip(&folder.read("out.npz"));
        assert_eq!(back.len(), 2);
        assert_eq!(npy_values(&back["a.npy"], "|u1", &[3, 8, 8]), image);
        assert_eq!(npy_values(&back["dir/b.npy"], "|i1", &[8, 1]), &image[..8]);

        // One tensor of several, and into another format.
        folder.ok(&["decompress", "x.sbd", "-o", "a.npy", "--name", "a"]);
        assert_eq!(npy_values(&folder.read("a.npy"), "|u1", &[3, 8, 8]), image);
        folder.ok(&["compress", "in.npz", "-o", "a.sbd", "--lossless", "--name", "a"]);
        folder.ok(&["decompress", "a.sbd", "-o", "a.safetensors"]);
        let error = folder.fails(1, &["decompress", "x.sbd", "-o", "both.npy"]);
        assert!(error.contains("--name"), "{error}");
        let error = folder.fails(1, &["decompress", "x.sbd", "-o", "c.npy", "--name", "c"]);
        assert!(error.contains("\"c\"") && error.contains("a, dir/b"), "{error}");
    }
}

#[test]
fn a_part_is_the_same_part_of_the_whole() {
    let shape = [4, 8, 6, 5];
    let folder = Folder::new();
    folder.write("in.npy", &npy_f32(&shape, &map(&shape)));
    folder.ok(&["compress", "in.npy", "-o", "x.sbd", "--step", "0.1", "--channels-per-chunk", "2"]);
    folder.ok(&["decompress", "x.sbd", "-o", "whole.npy"]);
    folder.ok(&["decompress", "x.sbd", "-o", "part.npy", "--batch", "1..3", "--channels", "3..8"]);
    let whole = folder.read("whole.npy");
    let part = folder.read("part.npy");
    let plane = 6 * 5 * 4;
    let expected: Vec<u8> = npy_values(&whole, "<f4", &shape)
        .chunks_exact(8 * plane)
        .skip(1)
        .take(2)
        .flat_map(|item| &item[3 * plane..8 * plane])
        .copied()
        .collect();
    assert_eq!(npy_values(&part, "<f4", &[2, 5, 6, 5]), expected);
    let error = folder.fails(1, &["decompress", "x.sbd", "-o", "no.npy", "--batch", "1..5"]);
    assert!(error.contains("1..5") && error.contains("0..4"), "{error}");
}

#[test]
fn threads_do_not_change_the_bytes() {
    let shape = [3, 16, 20, 20];
    let folder = Folder::new();
    folder.write("in.npy", &npy_f32(&shape, &map(&shape)));
    for threads in ["1", "2", "5"] {
        let out = format!("{threads}.sbd");
        folder.ok(&["compress", "in.npy", "-o", &out, "--bits", "2", "--threads", threads]);
        assert_eq!(folder.read(&out), folder.read("1.sbd"));
    }
}

#[test]
fn pipes_work_both_ways() {
    let values = bytes(&[3, 8, 8]);
    let file = npy("|u1", false, &[3, 8, 8], &values);
    let compressed = common::with_input(&["compress", "-", "-o", "-", "--lossless"], &file);
    assert!(compressed.status.success());
    // The report must not mix with the data.
    assert!(String::from_utf8(compressed.stderr).unwrap().contains("3x8x8"));
    let quiet = common::with_input(&["-q", "compress", "-", "-o", "-", "--lossless"], &file);
    assert_eq!((quiet.stdout, quiet.stderr), (compressed.stdout.clone(), Vec::new()));
    let back = common::with_input(&["decompress", "-", "-o", "-"], &compressed.stdout);
    assert_eq!(npy_values(&back.stdout, "|u1", &[3, 8, 8]), values);
}

#[test]
fn targets_are_met_and_reported() {
    let shape = [1, 16, 32, 32];
    let values = map(&shape);
    let folder = Folder::new();
    folder.write("in.npy", &npy_f32(&shape, &values));
    for wavelet in ["none", "haar", "legall53", "cdf97", "db2"] {
        let out = format!("{wavelet}.sbd");
        folder.ok(&["compress", "in.npy", "-o", &out, "--bits", "2", "--wavelet", wavelet]);
        let bits = folder.read(&out).len() as f64 * 8.0 / values.len() as f64;
        assert!(bits <= 2.0 && bits > 1.5, "{wavelet}: {bits}");
        folder.ok(&["decompress", &out, "-o", &format!("{wavelet}.npy")]);
    }
    let report = folder.ok(&["compress", "in.npy", "-o", "p.sbd", "--psnr", "45"]);
    let header: Vec<_> = report.lines().next().unwrap().split("  ").filter(|s| !s.is_empty()).collect();
    assert_eq!(header.last().unwrap().trim(), "zeros");
}

#[test]
fn nan_and_infinity_are_refused_or_mapped() {
    let mut values = map(&[2, 4, 4]);
    values[5] = f32::NAN;
    values[6] = f32::NEG_INFINITY;
    let folder = Folder::new();
    folder.write("in.npy", &npy_f32(&[2, 4, 4], &values));
    let error = folder.fails(1, &["compress", "in.npy", "-o", "x.sbd", "--max-error", "0.01"]);
    assert!(error.contains("in.npy") && error.contains("[0, 1, 1]"), "{error}");
    assert_eq!(folder.names(), ["in.npy"]);
    let output = folder.run(&["compress", "in.npy", "-o", "x.sbd", "--max-error", "0.01", "--nan", "-1", "--inf", "4"]);
    assert!(output.status.success());
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains("2 values"), "{warning}");
    folder.ok(&["decompress", "x.sbd", "-o", "out.npy"]);
    values[5] = -1.0;
    values[6] = -4.0;
    let file = folder.read("out.npy");
    assert!(largest_error(&values, &bytes_f32(npy_values(&file, "<f4", &[2, 4, 4]))) <= 0.0101);
}
