//! Models and inputs that are not what they should be: one line that says what is wrong, and the right exit status.

mod common;

use common::{Folder, map, npy_f32, onnx};

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("net.onnx", &onnx::small("r1"));
    folder.write("in.npy", &npy_f32(&[3, 3, 16, 16], &map(&[3, 3, 16, 16])));
    folder.calibrate_small("1");
    folder
}

fn picture(folder: &Folder, name: &str) {
    let path = folder.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_fn(20, 18, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 90])).save(path).unwrap();
}

const EVAL: [&str; 4] = ["eval", "--profile", "p.sbp", "--model"];

#[test]
fn files_that_are_no_models() {
    let folder = folder();
    let whole = onnx::small("r1");
    folder.write("text.onnx", b"this is a text and no model");
    folder.write("empty.onnx", b"");
    folder.write("array.onnx", &folder.read("in.npy"));
    folder.write("profile.onnx", &folder.read("p.sbp"));
    for name in ["text.onnx", "empty.onnx", "array.onnx", "profile.onnx", "missing.onnx"] {
        for args in [&["taps", name][..], &["cost", name], &[&EVAL[..], &[name, "--data", "in.npy"]].concat()] {
            let error = folder.fails(1, args);
            assert!(error.contains(name), "{args:?}: {error}");
        }
    }
    // At its very end is what the file says of its output and its version, and nothing needs that.
    for length in (0..whole.len() - 20).step_by(37) {
        folder.write("cut.onnx", &whole[..length]);
        let error = folder.fails(1, &["taps", "cut.onnx"]);
        assert!(error.contains("cut.onnx"), "{length}: {error}");
    }
    let nodes = [("Frobnicate", "x", "a"), ("Relu", "a", "b"), ("Neg", "b", "y")];
    let nodes = nodes.map(|(operator, reads, makes)| onnx::node(operator, &[reads], makes, &[]));
    let other = onnx::model(&nodes, &[], ("x", &[3, 4, 4]), ("y", &[3, 4, 4]));
    folder.write("other.onnx", &other);
    let error = folder.fails(1, &["taps", "other.onnx"]);
    assert!(error.contains("other.onnx") && error.contains("Frobnicate"), "{error}");
}

#[test]
fn files_that_are_no_profiles() {
    let folder = folder();
    folder.write("cut.sbp", &folder.read("p.sbp")[..60]);
    for name in ["net.onnx", "in.npy", "cut.sbp", "missing.sbp"] {
        let error = folder.fails(1, &["eval", "--model", "net.onnx", "--data", "in.npy", "--profile", name]);
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn inputs_that_do_not_fit() {
    let folder = folder();
    std::fs::create_dir(folder.path("empty")).unwrap();
    std::fs::create_dir_all(folder.path("classes/none")).unwrap();
    picture(&folder, "ids/n00000001/a.png");
    picture(&folder, "two/cats/a.png");
    picture(&folder, "two/dogs/a.png");
    folder.write("classes.txt", b"n00000002 other\n");
    folder.write("small.npy", &npy_f32(&[2, 3, 8, 8], &map(&[2, 3, 8, 8])));
    std::fs::create_dir(folder.path("broken")).unwrap();
    folder.write("broken/a.jpg", b"no picture");
    for (data, more, messages) in [
        ("empty", &[][..], &["no image in empty"][..]),
        ("classes", &[], &["classes has 1 subfolders and no image"]),
        ("two", &[], &["two holds 2 classes", "net tells 5 apart", "classes file"]),
        ("ids", &[], &["1 of ImageNet's 1000 classes", "classes file"]),
        ("ids", &["--classes", "classes.txt"], &["n00000001", "not among the 1 classes"]),
        ("ids", &["--classes", "missing.txt"], &["cannot read missing.txt"]),
        ("small.npy", &[], &["small.npy is [2, 3, 8, 8]", "[3, 16, 16]"]),
        ("net.onnx", &[], &["net.onnx is neither a folder of photographs"]),
        ("broken", &[], &["no input of broken could be read"]),
        ("nothing", &[], &["cannot read nothing"]),
    ] {
        let error = folder.fails(1, &[&EVAL[..], &["net.onnx", "--data", data], more].concat());
        assert!(messages.iter().all(|message| error.contains(message)), "{data}: {error}");
    }
}

#[test]
fn photographs_that_do_not_decode_are_left_out_and_listed() {
    let folder = folder();
    picture(&folder, "photographs/a.png");
    picture(&folder, "photographs/b.png");
    folder.write("photographs/broken.jpg", b"no picture");
    let output = folder.run(&[&EVAL[..], &["net.onnx", "--data", "photographs", "--json", "-", "-q"]].concat());
    let (text, warnings) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((found["images"].as_u64(), found["skipped"].as_array().unwrap().len()), (Some(2), 1));
    assert!(warnings.contains("left out") && warnings.contains("broken.jpg"), "{warnings}");
}

#[test]
fn sizes_that_the_file_fixes_or_leaves_open() {
    let folder = folder();
    let error = folder.fails(1, &["taps", "net.onnx", "--crop", "32"]);
    assert!(error.contains("does not take 32 x 32") && error.contains("--any-shape"), "{error}");
    let text = folder.ok(&["taps", "net.onnx", "--crop", "32", "--any-shape"]);
    assert!(text.contains("4x32x32"), "{text}");
    // What is wrong with another model is not its sizes.
    let nodes = [("Frobnicate", "x", "a"), ("Relu", "a", "b"), ("Neg", "b", "y")];
    let nodes = nodes.map(|(operator, reads, makes)| onnx::node(operator, &[reads], makes, &[]));
    folder.write("other.onnx", &onnx::model(&nodes, &[], ("x", &[3, 4, 4]), ("y", &[3, 4, 4])));
    let error = folder.fails(1, &["taps", "other.onnx"]);
    assert!(!error.contains("--any-shape"), "{error}");
}
