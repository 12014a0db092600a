//! `subband tune` and what `eval` says about its profile, on a small network of the tests.

mod common;
#[path = "../../subband-onnx/tests/common/mod.rs"]
mod small;

use common::{Folder, npy_f32};
use serde_json::Value;

/// A folder with `net.onnx`, `in.npy` of 40 inputs, and labels for them.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("net.onnx", &small::model(None));
    let [c, h, w] = small::INPUT;
    folder.write("in.npy", &npy_f32(&[40, c, h, w], &small::inputs(40)));
    folder.write("labels.txt", (0..40).map(|at| format!("{}\n", at % small::CLASSES)).collect::<String>().as_bytes());
    folder
}

fn json(folder: &Folder, name: &str) -> Value {
    serde_json::from_slice(&folder.read(name)).unwrap()
}

#[test]
fn a_tuned_profile_goes_to_eval() {
    let folder = folder();
    let tune = ["tune", "net.onnx", "--data", "in.npy", "--taps", "relu", "--max-kl", "0.01", "--search-images", "6"];
    let text = folder.ok(&[&tune[..], &["-o", "p.sbp", "--json", "t.json", "--run", "run"]].concat());
    assert!(text.contains("kept") && text.contains("On the held-out inputs"), "{text}");
    let tuned = json(&folder, "t.json");
    assert_eq!((tuned["met"].as_bool(), tuned["budget"]["max_kl"].as_f64()), (Some(true), Some(0.01)));
    assert_eq!((tuned["calibration_inputs"].as_u64(), tuned["held_out"]["images"].as_u64()), (Some(16), Some(24)));
    assert_eq!(tuned["tuned"].as_array().unwrap().len(), 3);
    let args = ["eval", "--model", "net.onnx", "--data", "in.npy", "--profile", "p.sbp", "--json", "e.json"];
    folder.ok(&[&args[..], &["--labels", "labels.txt"]].concat());
    let found = json(&folder, "e.json");
    for field in ["top1", "top1_drop", "top1_agreement", "kl", "cosine", "psnr", "bits_per_value"] {
        assert!(found[field].is_number(), "{field}");
    }
    assert_eq!(found["top1_drop_interval"].as_array().unwrap().len(), 2);
    assert_eq!(found["top1_drop_expected_interval"].as_array().unwrap().len(), 2);
    // Input by input: as many are right as the share says.
    folder.ok(&[&args[..], &["--labels", "labels.txt", "--outcomes", "o.csv"]].concat());
    let outcomes = String::from_utf8(folder.read("o.csv")).unwrap();
    let (head, lines) = outcomes.split_once('\n').unwrap();
    assert_eq!((head, lines.lines().count()), ("class,margin_uncompressed,margin", 40));
    let margins = lines.lines().map(|line| line.rsplit(',').next().unwrap().parse::<f64>().unwrap());
    assert_eq!(100.0 * margins.filter(|&margin| margin >= 0.0).count() as f64 / 40.0, found["top1"].as_f64().unwrap());
    assert!(folder.fails(2, &["eval", "--limit", "1", "--outcomes", "o.csv"]).contains("ONNX"));
    folder.ok(&args);
    let found = json(&folder, "e.json");
    assert!(found["top1_drop"].is_null() && found["top1_agreement"].as_f64().unwrap() > 50.0);
    // Another budget finds most of it done; the profile is not overwritten unasked.
    let again = ["tune", "net.onnx", "--data", "in.npy", "--taps", "relu", "--max-kl", "0.02", "--search-images", "6"];
    let error = folder.fails(1, &[&again[..], &["-o", "p.sbp", "--run", "run"]].concat());
    assert!(error.contains("--force"), "{error}");
    folder.ok(&[&again[..], &["-o", "q.sbp", "--run", "run"]].concat());
}

#[test]
fn a_batch_of_an_export() {
    let folder = folder();
    folder.write("ten.onnx", &small::model(Some(10)));
    let calibrate = ["calibrate", "--data", "in.npy", "--taps", "relu", "--model"];
    let error = folder.fails(1, &[&calibrate[..], &["ten.onnx", "-o", "p.sbp"]].concat());
    assert!(error.contains("10") && error.contains("--any-shape"), "{error}");
    assert!(!folder.path("p.sbp").exists());
    folder.ok(&[&calibrate[..], &["ten.onnx", "--any-shape", "-o", "p.sbp"]].concat());
    folder.ok(&[&calibrate[..], &["net.onnx", "-o", "q.sbp"]].concat());
    let eval = |model: &str, profile: &str, more: &[&str]| {
        folder
            .ok(&[&["eval", "--data", "in.npy", "--json", "e.json", "--model", model, "--profile", profile], more]
                .concat());
        json(&folder, "e.json")["bytes"].as_u64().unwrap()
    };
    // The same network with the same maps.
    assert_eq!(eval("ten.onnx", "p.sbp", &["--any-shape"]), eval("net.onnx", "q.sbp", &[]));
}

#[test]
fn a_tuned_profile_at_another_rate() {
    let folder = folder();
    let tune = ["tune", "net.onnx", "--data", "in.npy", "--taps", "relu", "--max-kl", "0.01", "--search-images", "6"];
    folder.ok(&[&tune[..], &["-o", "p.sbp"]].concat());
    let calibrate = ["calibrate", "--model", "net.onnx", "--data", "in.npy", "--from-profile"];
    let text = folder.ok(&[&calibrate[..], &["p.sbp", "--step-scale", "2", "-o", "coarse.sbp"]].concat());
    assert!(text.contains("3 taps of p.sbp, steps times 2"), "{text}");
    let bits = |profile: &str| {
        folder.ok(&["eval", "--model", "net.onnx", "--data", "in.npy", "--profile", profile, "--json", "e.json"]);
        json(&folder, "e.json")["bits_per_value"].as_f64().unwrap()
    };
    assert!(bits("coarse.sbp") < 0.9 * bits("p.sbp"));
    // Without a factor steps, transforms and masks are those of the profile.
    folder.ok(&[&calibrate[..], &["coarse.sbp", "-o", "again.sbp"]].concat());
    assert_eq!(folder.read("again.sbp"), folder.read("coarse.sbp"));
    let error =
        folder.fails(2, &[&calibrate[..5], &["--taps", "relu", "--from-profile", "p.sbp", "-o", "q.sbp"]].concat());
    assert!(error.contains("--taps"), "{error}");
    folder.write("other.onnx", &common::onnx::small("r1"));
    let other = ["calibrate", "--model", "other.onnx", "--data", "in.npy", "--from-profile", "p.sbp", "-o", "q.sbp"];
    let error = folder.fails(1, &other);
    assert!(error.contains("the profile has a tap relu0, which the model has not"), "{error}");
    assert!(!folder.path("q.sbp").exists());
}

#[test]
fn a_budget_out_of_reach_has_its_own_status() {
    let folder = folder();
    let args = ["tune", "net.onnx", "--data", "in.npy", "--taps", "block", "--min-psnr", "300", "--rule", "--quiet"];
    let error = folder.fails(3, &[&args[..], &["-o", "p.sbp", "--json", "t.json"]].concat());
    assert!(error.contains("300 dB") && error.contains("p.sbp"), "{error}");
    assert_eq!((json(&folder, "t.json")["met"].as_bool(), folder.read("p.sbp").len() > 20), (Some(false), true));
}

#[test]
fn what_is_wrong_is_said_before_any_work() {
    let folder = folder();
    let base = ["tune", "net.onnx", "--data", "in.npy", "-o", "p.sbp"];
    let with = |more: &[&'static str]| [&base[..], more].concat();
    assert!(folder.fails(2, &with(&[])).contains("--max-drop"));
    assert!(folder.fails(2, &with(&["--max-kl", "1", "--min-psnr", "1"])).contains("cannot be used with"));
    assert!(folder.fails(2, &with(&["--max-kl", "-1"])).contains("-1"));
    assert!(folder.fails(2, &with(&["--max-kl", "1", "--wavelet", "haar"])).contains("--rule"));
    let error = folder.fails(1, &with(&["--max-drop", "1"]));
    assert!(error.contains("no labels"), "{error}");
    let error = folder.fails(1, &with(&["--max-kl", "1", "--taps", "nothing*"]));
    assert!(error.contains("subband taps") && error.contains("3 of relu"), "{error}");
    let whole = folder.read("net.onnx");
    folder.write("net.onnx", &whole[..whole.len() / 2]);
    let error = folder.fails(1, &with(&["--max-kl", "1"]));
    assert!(error.contains("net.onnx") && error.contains("cut short"), "{error}");
    assert!(!folder.names().contains(&"p.sbp".to_owned()));
}
