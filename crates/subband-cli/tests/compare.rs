//! `subband compare` on small files: rows, files, and what is wrong with the command line.

mod common;

use common::{Folder, f32_bytes, map, npy, npy_f32, safetensors};
use serde_json::Value;

fn rows(folder: &Folder, name: &str) -> Vec<Value> {
    serde_json::from_slice(&folder.read(name)).unwrap()
}

#[test]
fn every_coder_has_a_row_that_verifies() {
    let folder = Folder::new();
    folder.write("maps.npy", &npy_f32(&[2, 3, 16, 16], &map(&[2, 3, 16, 16])));
    let args = ["compare", "maps.npy", "--step", "0.25", "--repeats", "1", "--threads", "2"];
    let text = folder.ok(&[&args[..], &["--json", "out.json", "--csv", "out.csv", "--plot", "out.svg"]].concat());
    assert!(text.contains("indices (haar 2)") && text.contains("indices (no transform)"), "{text}");
    let rows = rows(&folder, "out.json");
    for row in &rows {
        assert_eq!(row["tensor"], "maps", "{row}");
        assert_eq!(row["verified"], true, "{row}");
        let (bytes, ratio) = (row["bytes"].as_f64().unwrap(), row["ratio_f32"].as_f64().unwrap());
        assert!((ratio - 4.0 * 1536.0 / bytes).abs() < 1e-9, "{row}");
        assert!(
            row["compress_mb_s"].as_f64().unwrap() > 0.0 && row["decompress_mb_s"].as_f64().unwrap() > 0.0,
            "{row}"
        );
        assert!((row["bits_per_value"].as_f64().unwrap() - 32.0 / ratio).abs() < 1e-9);
        if cfg!(target_os = "linux") {
            assert!(row["peak_bytes"].is_u64(), "{row}");
        }
    }
    let find = |codec: &str, effort: &str, input: &str, threads: u64| {
        let found = rows.iter().find(|row| {
            row["codec"] == codec
                && row["effort"] == effort
                && row["input"].as_str().unwrap().starts_with(input)
                && row["threads"] == threads
        });
        found.unwrap_or_else(|| panic!("{codec} {effort} {input}"))
    };
    assert_eq!(find("memcpy", "", "f32", 1)["bytes"], 4 * 1536);
    let ours = find("subband", "default", "f32", 1);
    assert_eq!(ours["bytes"], find("subband", "default", "f32", 2)["bytes"]);
    assert!(ours["rmse"].as_f64().unwrap() <= 0.125 && ours["ratio_f32"].as_f64().unwrap() > 3.0, "{ours}");
    assert_eq!(find("subband-lossless", "default", "f32", 1)["max_error"], 0.0);
    assert!(find("u8+zstd", "1", "f32", 1)["max_error"].as_f64().unwrap() <= 0.1253);
    for code in ["zvc", "zrle", "bpc", "ebpc", "seg", "huffman", "csc"] {
        for input in ["indices (haar 2, step 0.25)", "indices (no transform, step 0.25)"] {
            find(code, "8 bit", input, 1);
        }
    }
    for input in ["f32", "indices (haar 2", "indices (no transform"] {
        for (codec, effort) in [("zstd", "1"), ("zstd", "3"), ("zstd", "19"), ("lz4", ""), ("pco", "8")] {
            find(codec, effort, input, 1);
        }
    }
    let csv = String::from_utf8(folder.read("out.csv")).unwrap();
    assert_eq!(csv.lines().count(), rows.len() + 1);
    let svg = String::from_utf8(folder.read("out.svg")).unwrap();
    assert!(svg.contains("hardware codes") && svg.contains("ebpc"), "{svg}");
    assert_eq!(folder.names(), ["maps.npy", "out.csv", "out.json", "out.svg"]);
}

#[test]
fn several_files_dtypes_and_a_choice_of_coders() {
    let folder = Folder::new();
    let tensor: (&str, &str, &[usize], Vec<u8>) = ("a", "F32", &[8, 8], f32_bytes(&map(&[8, 8])));
    folder.write("x.safetensors", &safetensors("{}", std::slice::from_ref(&tensor)));
    folder.write("y.safetensors", &safetensors("{}", &[tensor]));
    folder.write("u.npy", &npy("|u1", false, &[1, 4, 4], &[7; 16]));
    let base = ["compare", "x.safetensors", "y.safetensors", "u.npy", "--repeats", "1", "--no-peak", "--quiet"];
    let more = ["--only", "memcpy,subband,zvc", "--threads", "1", "--index-bits", "16", "--json", "out.json"];
    assert_eq!(folder.ok(&[&base[..], &more].concat()), "");
    let rows = rows(&folder, "out.json");
    let names: Vec<&str> = rows.iter().map(|row| row["tensor"].as_str().unwrap()).collect();
    // memcpy, subband at both efforts, zvc on both kinds of indices.
    assert_eq!(names, [["x:a"; 5], ["y:a"; 5], ["u"; 5]].concat());
    assert!(rows.iter().all(|row| row["peak_bytes"].is_null() && row["verified"] == true));
    assert_eq!([1, 2, 3].map(|row| rows[row]["effort"].as_str().unwrap()), ["fast", "default", "16 bit"]);
}

#[test]
fn a_profile_sets_the_steps() {
    use subband::{Coding, Profile, Scratch, Steps, TapCalibrator, Wavelet};
    let folder = Folder::new();
    let values = map(&[4, 8, 8]);
    let coding = Coding::new(Wavelet::LeGall53, 1, Steps::PerSubband(vec![0.1, 0.2, 0.2, 0.3]));
    let mut calibrator = TapCalibrator::new("layer1.0", [4, 8, 8], coding).unwrap();
    calibrator.observe(&values, &mut Scratch::default(), &mut vec![0.0; values.len()]).unwrap();
    folder.write("p.sbp", &Profile::new("resnet20", vec![calibrator.finish()]).unwrap().to_bytes());
    folder.write("layer1.0.npy", &npy_f32(&[2, 4, 8, 8], &[values.as_slice(), &values].concat()));
    let args = ["compare", "layer1.0.npy", "--profile", "p.sbp", "--repeats", "1", "--json", "out.json"];
    folder.ok(&args);
    let rows = rows(&folder, "out.json");
    for codec in ["subband-profile", "subband-packets", "zvc", "u8+zstd"] {
        assert!(rows.iter().any(|row| row["codec"] == codec && row["verified"] == true), "{codec}");
    }
    assert!(rows.iter().any(|row| row["input"] == "indices (legall53 1, step 0.1..0.3)"));
    folder.write("other.npy", &npy_f32(&[2, 4, 8, 8], &[values.as_slice(), &values].concat()));
    let error = folder.fails(1, &["compare", "other.npy", "--profile", "p.sbp"]);
    assert!(error.contains("other") && error.contains("layer1.0"), "{error}");
}

#[test]
fn bad_input_is_one_error_and_leaves_no_file() {
    let folder = Folder::new();
    folder.write("nan.npy", &npy_f32(&[1, 2, 2], &[0.0, f32::NAN, 0.0, 0.0]));
    folder.write("empty.npy", &npy_f32(&[0, 2, 2], &[]));
    folder.write("junk.npy", b"junk");
    for (status, args, message) in [
        (1, &["compare", "nan.npy", "--json", "out.json"][..], "value 1 is NaN"),
        (1, &["compare", "empty.npy", "--csv", "out.csv"], "has no values"),
        (1, &["compare", "junk.npy", "--plot", "out.svg"], "junk.npy"),
        (1, &["compare", "missing.npy"], "missing.npy"),
        (2, &["compare"], "--synthetic"),
        (2, &["compare", "nan.npy", "--synthetic"], "cannot be used with"),
        (2, &["compare", "nan.npy", "--only", "gzip"], "gzip"),
        (2, &["compare", "nan.npy", "--step", "0"], "over 0"),
        (2, &["compare", "nan.npy", "--index-bits", "9"], "8 and 16"),
        (2, &["compare", "nan.npy", "--step", "1", "--step-scale", "1"], "cannot be used with"),
        (1, &["compare", "nan.npy", "--json", "-", "--csv", "-"], "standard output"),
        (1, &["compare", "--model", "resnet99"], "resnet99"),
    ] {
        let error = folder.fails(status, args);
        assert!(error.contains(message), "{args:?}: {error}");
    }
    assert_eq!(folder.names(), ["empty.npy", "junk.npy", "nan.npy"]);
}
