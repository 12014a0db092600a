//! `subband cost`: multiplications, traffic, and what a profile makes of them.

mod common;

use common::{Folder, map, npy_f32, onnx};
use serde_json::Value;

fn json(folder: &Folder, args: &[&str]) -> Value {
    serde_json::from_str(&folder.ok(&[args, &["--json", "-", "-q"]].concat())).unwrap()
}

#[test]
fn networks_without_data_are_counted() {
    let folder = Folder::new();
    let found = json(&folder, &["cost", "--network", "resnet18"]);
    assert_eq!(found["macs"], 1_814_073_344);
    assert_eq!(found["accelerators"].as_array().unwrap().len(), 3);
    assert!(found["memory"]["coded"].is_null() && found["rates"].is_null());
    assert_eq!(json(&folder, &["cost", "--network", "resnet20", "--shortcut", "B"])["macs"], 40_813_184);
    let text = folder.ok(&["cost", "--network", "resnet20", "--accelerator", "eyeriss"]);
    for word in ["40,551,040", "layer3.2.conv2", "eyeriss", "Horowitz", "No rates were measured", "Chen et al."] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // Width counts: a quarter of the bytes.
    let bytes = |bits: &str| {
        let found = json(&folder, &["cost", "--network", "resnet20", "--bits", bits]);
        found["memory"]["plain"]["map_bytes"].as_f64().unwrap()
    };
    assert_eq!(bytes("32"), 4.0 * bytes("8"));
}

#[test]
fn a_bundled_model_saves_what_its_packets_save() {
    let folder = Folder::new();
    let found = json(&folder, &["cost", "resnet20-cifar10-blocks-37x", "--limit", "20", "--accelerator", "eyeriss"]);
    assert_eq!(found["rates"]["images"], 20);
    let run = |kind: &str| &found["memory"][kind];
    let maps = |kind: &str| run(kind)["map_bytes"].as_f64().unwrap();
    // What is saved is the difference of all reads and writes of the tapped maps, by the measured packets.
    let mut saved = 0.0;
    for tap in found["taps"].as_array().unwrap() {
        let shape: f64 = tap["shape"].as_array().unwrap().iter().map(|size| size.as_f64().unwrap()).product();
        let passes = 1.0 + tap["reads"].as_f64().unwrap();
        saved += passes * (4.0 * shape - tap["measured_bytes"].as_f64().unwrap());
        assert!(tap["work"]["encode"]["multiplies"].as_u64().unwrap() > 0);
    }
    assert!((maps("plain") - maps("coded") - saved).abs() < 1.0, "{found}");
    assert!(run("coded")["codec_pj"].as_f64().unwrap() > 0.0 && run("plain")["codec_pj"] == 0.0);
    let eyeriss = &found["accelerators"][0];
    assert!(eyeriss["coded"]["seconds"].as_f64().unwrap() <= eyeriss["plain"]["seconds"].as_f64().unwrap());
}

#[test]
fn an_onnx_model_with_an_evaluation_and_a_page() {
    let hostile = "<img src=x onerror=alert(1)>";
    let folder = Folder::new();
    folder.write("net.onnx", &onnx::small(hostile));
    folder.write("in.npy", &npy_f32(&[6, 3, 16, 16], &map(&[6, 3, 16, 16])));
    folder.calibrate_small("2");
    folder.ok(&["eval", "--model", "net.onnx", "--data", "in.npy", "--profile", "p.sbp", "--json", "eval.json"]);
    let with = ["cost", "net.onnx", "--profile", "p.sbp"];
    let given = json(&folder, &[&with[..], &["--eval", "eval.json"]].concat());
    assert_eq!(given["macs"], 256 * 108 + 256 * 144 + 20);
    // The same rates, measured on the spot.
    let measured = json(&folder, &[&with[..], &["--data", "in.npy"]].concat());
    assert_eq!(given["memory"], measured["memory"]);
    assert!(given["memory"]["coded"].is_object());
    // Without a profile the codec's own energy is unknown, and said to be.
    let text = folder.ok(&["cost", "net.onnx", "--eval", "eval.json"]);
    assert!(text.contains("give --profile") && text.contains("measured: bytes written for 6 images"), "{text}");
    folder.ok(&[&with[..], &["--eval", "eval.json", "--report", "page.html"]].concat());
    let page = String::from_utf8(folder.read("page.html")).unwrap();
    assert!(!page.contains("<img src=x") && page.contains("&lt;img src=x onerror"), "{page}");
    assert!(page.contains("Horowitz") && page.contains("measured") && page.contains("nvdla"));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let folder = Folder::new();
    folder.write("net.onnx", &onnx::small("r1"));
    let eval = "{\"network\": \"other\", \"dataset\": \"d\", \"images\": 1, \"profile_hash\": \"\", \"per_tap\": []}";
    folder.write("eval.json", eval.as_bytes());
    folder.write("bad.toml", b"name = \"x\"");
    folder.write("cut.onnx", &onnx::small("r1")[..40]);
    for (status, args, message) in [
        (2, &["cost"][..], "MODEL.onnx|NAME"),
        (2, &["cost", "net.onnx", "--network", "resnet18"], "cannot be used with"),
        (2, &["cost", "net.onnx", "--bits", "12"], "8, 16 and 32"),
        (2, &["cost", "net.onnx", "--accelerator", "abacus"], "eyeriss, nvdla, tpu-v1"),
        (2, &["cost", "net.onnx", "--accelerator", "bad.toml"], "macs_per_second"),
        (2, &["cost", "net.onnx", "--energy", "bad.toml", "--bits", "7"], "--bits"),
        (2, &["cost", "net.onnx", "--data", "."], "--profile"),
        (1, &["cost", "net.onnx", "--eval", "eval.json"], "of other: the network is net"),
        (1, &["cost", "net.onnx", "--eval", "net.onnx"], "net.onnx"),
        (1, &["cost", "cut.onnx"], "cut.onnx"),
        (1, &["cost", "missing.onnx"], "missing.onnx"),
        (1, &["cost", "resnet99"], "resnet20-cifar10"),
        (1, &["cost", "--network", "resnet20", "--json", "-", "--report", "-"], "standard output"),
    ] {
        let error = folder.fails(status, args);
        assert!(error.contains(message), "{args:?}: {error}");
    }
}
