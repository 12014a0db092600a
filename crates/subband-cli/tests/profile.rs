//! Profiles on the command line, and the networks that make and use them, as far as that goes without a data set.

mod common;

use common::{Folder, bytes_f32, f32_bytes, largest_error, map, npy_f32, npy_values, npz, safetensors};
use subband::{Coding, Limits, Profile, Scratch, Steps, TapCalibrator, Wavelet};
use zip::CompressionMethod;

const SHAPE: [usize; 3] = [4, 8, 8];

/// A profile of two taps with this step.
fn profile(step: f32) -> Vec<u8> {
    let values = map(&SHAPE);
    let taps = ["layer1.0", "layer1.1"].map(|name| {
        let coding = Coding::new(Wavelet::Haar, 2, Steps::Uniform(step));
        let mut calibrator = TapCalibrator::new(name, SHAPE, coding).unwrap();
        calibrator.observe(&values, &mut Scratch::default(), &mut vec![0.0; values.len()]).unwrap();
        calibrator.finish()
    });
    Profile::new("resnet20", taps.into()).unwrap().to_bytes()
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("p.sbp", &profile(0.1));
    folder.write("other.sbp", &profile(0.2));
    folder.write("map.npy", &npy_f32(&[1, 4, 8, 8], &map(&SHAPE)));
    folder
}

#[test]
fn a_tap_comes_back_with_its_profile_only() {
    let folder = folder();
    folder.ok(&["compress", "map.npy", "-o", "x.sbd", "--profile", "p.sbp", "--tap", "layer1.1"]);
    folder.ok(&["decompress", "x.sbd", "-o", "out.npy", "--profile", "p.sbp"]);
    let file = folder.read("out.npy");
    assert!(largest_error(&map(&SHAPE), &bytes_f32(npy_values(&file, "<f4", &[1, 4, 8, 8]))) < 0.4);
    assert!(folder.ok(&["inspect", "x.sbd", "--profile", "p.sbp"]).contains("of the profile"));
    for args in [
        &["decompress", "x.sbd", "-o", "no.npy"][..],
        &["decompress", "x.sbd", "-o", "no.npy", "--profile", "other.sbp"],
        &["inspect", "x.sbd"],
    ] {
        let error = folder.fails(1, args);
        assert!(error.contains("x.sbd") && error.contains("profile"), "{error}");
    }
}

#[test]
fn steps_are_rounded_and_all_else_kept() {
    let folder = folder();
    let said = folder.ok(&["calibrate", "--round-steps", "p.sbp", "-o", "rounded.sbp"]);
    assert!(said.contains("2 taps") && said.contains("rounded"), "{said}");
    let before = Profile::from_bytes(&folder.read("p.sbp"), &Limits::default()).unwrap();
    assert_eq!(folder.read("rounded.sbp"), before.with_rounded_steps().to_bytes());
    assert_ne!(folder.read("rounded.sbp"), folder.read("p.sbp"));
    folder.fails(2, &["calibrate", "--round-steps", "p.sbp", "--step-scale", "2", "-o", "no.sbp"]);
}

#[test]
fn names_in_an_archive_are_taps() {
    let folder = folder();
    let array = folder.read("map.npy");
    folder.write("maps.npz", &npz(&[("layer1.0", array.clone()), ("layer1.1", array)], CompressionMethod::Stored));
    folder.ok(&["compress", "maps.npz", "-o", "x.sbd", "--profile", "p.sbp"]);
    folder.ok(&["decompress", "x.sbd", "-o", "out.npz", "--profile", "p.sbp"]);
    assert_eq!(common::unzip(&folder.read("out.npz")).len(), 2);
}

#[test]
fn what_does_not_fit_the_profile_is_named() {
    let folder = folder();
    let error = folder.fails(2, &["compress", "map.npy", "-o", "x.sbd", "--profile", "p.sbp"]);
    assert!(error.contains("--tap"), "{error}");
    let error = folder.fails(1, &["compress", "map.npy", "-o", "x.sbd", "--profile", "p.sbp", "--tap", "layer9"]);
    assert!(error.contains("layer9") && error.contains("layer1.0, layer1.1"), "{error}");
    folder.write("small.npy", &npy_f32(&[4, 4, 4], &map(&[4, 4, 4])));
    let error = folder.fails(1, &["compress", "small.npy", "-o", "x.sbd", "--profile", "p.sbp", "--tap", "layer1.0"]);
    assert!(error.contains("[4, 4, 4]") && error.contains("[4, 8, 8]"), "{error}");
    for wrong in ["--wavelet=haar", "--levels=2", "--rounding=0.4"] {
        let args = ["compress", "map.npy", "-o", "x.sbd", "--profile", "p.sbp", "--tap", "layer1.0", wrong];
        assert!(folder.fails(2, &args).contains("cannot be used with"));
    }
}

#[test]
fn inspect_shows_a_profile_and_refuses_a_damaged_one() {
    let folder = folder();
    let text = folder.ok(&["inspect", "p.sbp"]);
    assert!(text.contains("profile of resnet20, 2 taps") && text.contains("layer1.1  4x8x8"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&folder.ok(&["inspect", "p.sbp", "--json"])).unwrap();
    assert_eq!(json["kind"], "profile");
    assert_eq!(json["taps"][0]["coding"]["wavelet"], "haar");
    let bytes = folder.read("p.sbp");
    for length in (4..bytes.len()).step_by(11) {
        folder.write("cut.sbp", &bytes[..length]);
        assert!(folder.fails(1, &["inspect", "cut.sbp"]).contains("cut.sbp"));
    }
    folder.fails(1, &["compress", "map.npy", "-o", "x.sbd", "--profile", "cut.sbp", "--tap", "layer1.0"]);
}

#[test]
fn networks_say_what_is_wrong_before_they_start() {
    let folder = folder();
    folder.write("w.safetensors", &safetensors("{}", &[("conv1.weight", "F32", &[1, 1], f32_bytes(&[0.0]))]));
    std::fs::create_dir(folder.path("empty")).unwrap();
    let eval = ["eval", "--network", "resnet20", "--weights", "w.safetensors"];
    for (status, args, message) in [
        (2, [&eval[..], &["--profile", "p.sbp", "--limit", "0"]].concat(), "--limit"),
        (1, [&eval[..], &["--profile", "missing.sbp"]].concat(), "missing.sbp"),
        (1, [&eval[..], &["--profile", "map.npy"]].concat(), "map.npy"),
        (1, [&eval[..], &["--profile", "p.sbp"]].concat(), "w.safetensors"),
        (2, vec!["eval", "--network", "vgg16", "--weights", "w", "--profile", "p.sbp"], "vgg16"),
        (2, vec!["calibrate", "--network", "resnet20", "--weights", "w", "-o", "q", "--step-scale", "-1"], "over 0"),
        (
            2,
            vec!["calibrate", "--network", "resnet20", "--weights", "w", "-o", "q", "--target-drop", "100"],
            "below 100",
        ),
        (2, vec!["calibrate", "--network", "resnet20", "--weights", "w", "-o", "q", "--preset", "best"], "thesis"),
        (2, vec!["calibrate", "--network", "resnet20", "--weights", "w", "-o", "q", "--taps", "all"], "blocks"),
        (1, vec!["calibrate", "--network", "resnet20", "--weights", "w", "-o", "p.sbp"], "p.sbp exists"),
        (1, vec!["train", "--network", "resnet18", "--run", "r"], "say with --data"),
        (2, vec!["train", "--network", "resnet20", "--run", "r", "--epochs", "0"], "at least 1"),
        (1, vec!["train", "--network", "resnet20", "--run", "r", "--data", "empty"], "data_batch_1"),
    ] {
        let error = folder.fails(status, &args);
        assert!(error.contains(message), "{args:?}: {error}");
    }
    assert_eq!(folder.names(), ["empty", "map.npy", "other.sbp", "p.sbp", "w.safetensors"]);
}
